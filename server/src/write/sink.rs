//! Rows to where they will lie: a few into the log, many into shards on workers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{DataFusionError, Result as DfResult};
use futures::StreamExt;
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::WorkerId;
use quickdb_storage::{ShardIdentity, ShardReport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::checks::Checks;
use super::placement::Placement;
use super::rows::conform;
use super::unique::{Fresh, Growing, keys_of};
use crate::catalogue::{Change, LogEntry, Shard, TableDefinition};
use crate::engine::Engine;
use crate::error::PgError;
use crate::upkeep::Claim;

/// A write of no more rows and bytes than these goes into the log.
const LOG_ROWS_MAX: usize = 4_096;
const LOG_BYTES_MAX: usize = 1 << 20;

/// Rows of a shard after which the next one begins.
pub(crate) const SHARD_ROWS: u64 = 4 << 20;

/// Rows that are handed to one shard before the next one has its turn.
const RUN_ROWS: usize = 65_536;

/// Batches that wait for a worker; whoever brings rows waits after that.
const BATCHES_AHEAD: usize = 2;

/// What a sink has made of its rows.
pub(crate) struct Written {
    /// Rows taken.
    pub(crate) rows: u64,
    /// What makes them part of the table.
    pub(crate) changes: Vec<Change>,
    /// Of the shards that the changes name.
    pub(crate) claims: Vec<Claim>,
    /// The rows, for unique keys.
    pub(crate) fresh: Fresh,
}

/// Takes rows of one statement. Dropped before its end, it leaves nothing behind.
pub(crate) struct RowSink {
    engine: Arc<Engine>,
    table: Arc<TableDefinition>,
    checks: Checks,
    rows: u64,
    /// Rows before it is known that they are many.
    held: Vec<RecordBatch>,
    held_rows: usize,
    held_bytes: usize,
    placement: Placement,
    /// Empty until then.
    lanes: Vec<Lane>,
    /// The lane whose turn it is, and the rows that it has had in this turn.
    turn: usize,
    turn_rows: usize,
    finished: Vec<(ShardReport, Vec<WorkerId>)>,
    claims: Vec<Claim>,
    /// By unique key.
    growing: Vec<Growing>,
}

/// A place for shards, one after the other.
struct Lane {
    /// The workers that each shard of the lane goes to.
    hosts: Vec<(WorkerId, ShardHost)>,
    writing: Option<Writing>,
}

/// A shard that is being written, on each of its workers.
struct Writing {
    rows: u64,
    copies: Vec<(mpsc::Sender<DfResult<RecordBatch>>, JoinHandle<DfResult<ShardReport>>)>,
}

impl RowSink {
    pub(crate) fn new(engine: &Arc<Engine>, table: Arc<TableDefinition>) -> Self {
        let growing = keys_of(&table).iter().map(|key| Growing::of(key, &table)).collect();
        Self {
            growing,
            engine: Arc::clone(engine),
            table,
            checks: Checks::default(),
            rows: 0,
            held: Vec::new(),
            held_rows: 0,
            held_bytes: 0,
            placement: Placement::RoundRobin,
            lanes: Vec::new(),
            turn: 0,
            turn_rows: 0,
            finished: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// The same that refuses rows which fail a condition.
    pub(crate) fn with_checks(mut self, checks: &Checks) -> Self {
        self.checks = checks.clone();
        self
    }

    /// A sink that puts its rows into shards, however few they are.
    ///
    /// # Errors
    /// The workers cannot be named.
    pub(crate) fn into_shards(engine: &Arc<Engine>, table: Arc<TableDefinition>) -> Result<Self, PgError> {
        let mut sink = Self::new(engine, table);
        sink.open_lanes()?;
        Ok(sink)
    }

    /// Takes rows in the table's columns.
    ///
    /// # Errors
    /// What [`conform`] refuses, or a worker's failure.
    pub(crate) async fn push(&mut self, batch: RecordBatch) -> Result<(), PgError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = self.conformed(batch)?;
        self.take(batch).await
    }

    /// The same; gives the rows as they are in the table.
    ///
    /// # Errors
    /// See [`RowSink::push`].
    pub(crate) async fn push_returning(&mut self, batch: RecordBatch) -> Result<RecordBatch, PgError> {
        let batch = self.conformed(batch)?;
        if batch.num_rows() > 0 {
            self.take(batch.clone()).await?;
        }
        Ok(batch)
    }

    /// Rows as the table would have them: complete, and within its constraints.
    ///
    /// # Errors
    /// Those of the constraints.
    pub(crate) fn conformed(&self, batch: RecordBatch) -> Result<RecordBatch, PgError> {
        let batch = conform(&self.checks.complete(&self.table, batch)?, &self.table)?;
        self.checks.verify(&self.table, &batch)?;
        Ok(batch)
    }

    async fn take(&mut self, batch: RecordBatch) -> Result<(), PgError> {
        for growing in &mut self.growing {
            growing.see(&batch);
        }
        self.rows += batch.num_rows() as u64;
        if self.lanes.is_empty() {
            self.held_rows += batch.num_rows();
            self.held_bytes += batch.get_array_memory_size();
            self.held.push(batch);
            if self.held_rows > LOG_ROWS_MAX || self.held_bytes > LOG_BYTES_MAX {
                self.open_lanes()?;
                for batch in std::mem::take(&mut self.held) {
                    self.send(batch).await?;
                }
            }
            return Ok(());
        }
        self.send(batch).await
    }

    /// Ends the rows; on return they are durable where they lie.
    ///
    /// # Errors
    /// A worker's failure.
    pub(crate) async fn finish(mut self) -> Result<Written, PgError> {
        let rows = self.rows;
        if self.lanes.is_empty() {
            let mut changes = Vec::new();
            if rows > 0 {
                let batch = arrow::compute::concat_batches(self.table.arrow_schema(), &self.held);
                let batch = batch.map_err(|error| wrong(error.into()))?;
                let seq = self.engine.catalogue.allocate_log_seq()?;
                let entry = LogEntry::new(seq, batch)?;
                changes.push(Change::Append { table: self.table.id, revision: self.table.revision, entry });
            }
            let fresh = if rows == 0 { Fresh::None } else { Fresh::Few(std::mem::take(&mut self.held)) };
            return Ok(Written { rows, changes, claims: Vec::new(), fresh });
        }
        for lane in 0..self.lanes.len() {
            self.close(lane).await?;
        }
        let shards = std::mem::take(&mut self.finished);
        let shards =
            shards.into_iter().map(|(report, workers)| Shard::of_report(&report, &self.table, workers));
        let shards = shards.collect::<Result<Vec<_>, _>>()?;
        let claims = std::mem::take(&mut self.claims);
        let fresh = Fresh::Many(self.growing.iter().map(Growing::holds).collect());
        Ok(Written { rows, changes: vec![Change::AddShards { table: self.table.id, shards }], claims, fresh })
    }

    fn open_lanes(&mut self) -> Result<(), PgError> {
        let hosts = self.engine.hosts().map_err(wrong)?;
        self.placement = Placement::of(&self.table);
        let copies = match self.placement {
            Placement::All => hosts.len(),
            _ => usize::try_from(self.table.options.replicas).unwrap_or(1).clamp(1, hosts.len().max(1)),
        };
        // A lone worker writes with all its threads, each of several with its own.
        let lanes = match self.placement {
            Placement::All if hosts.len() > 1 => 1,
            _ if hosts.len() == 1 => self.engine.writers(),
            _ => hosts.len(),
        };
        self.lanes = (0..lanes)
            .map(|lane| {
                let hosts = (0..copies).filter_map(|copy| hosts.get((lane + copy) % hosts.len().max(1)));
                Lane { hosts: hosts.cloned().collect(), writing: None }
            })
            .collect();
        Ok(())
    }

    async fn send(&mut self, batch: RecordBatch) -> Result<(), PgError> {
        if let Some(parts) = self.placement.split(&batch, self.lanes.len())? {
            for (lane, part) in parts.into_iter().enumerate().filter(|(_, part)| part.num_rows() > 0) {
                self.send_to(lane, part).await?;
            }
            return Ok(());
        }
        let mut batch = batch;
        while batch.num_rows() > 0 {
            let room = RUN_ROWS - self.turn_rows.min(RUN_ROWS);
            let count = batch.num_rows().min(room);
            let (now, later) = (batch.slice(0, count), batch.slice(count, batch.num_rows() - count));
            self.send_to(self.turn, now).await?;
            self.turn_rows += count;
            if self.turn_rows >= RUN_ROWS {
                self.turn = (self.turn + 1) % self.lanes.len().max(1);
                self.turn_rows = 0;
            }
            batch = later;
        }
        Ok(())
    }

    async fn send_to(&mut self, lane: usize, batch: RecordBatch) -> Result<(), PgError> {
        self.begin(lane)?;
        let Some(writing) = self.lanes.get_mut(lane).and_then(|lane| lane.writing.as_mut()) else {
            return Ok(());
        };
        writing.rows += batch.num_rows() as u64;
        let full = writing.rows >= SHARD_ROWS;
        for copy in 0..writing.copies.len() {
            let Some((sender, _)) = writing.copies.get(copy) else { continue };
            if sender.send(Ok(batch.clone())).await.is_err() {
                // The worker does not listen any more, and says why.
                return Err(self.failure_of(lane).await);
            }
        }
        if full { self.close(lane).await } else { Ok(()) }
    }

    /// Opens a shard on a lane that has none open.
    fn begin(&mut self, lane: usize) -> Result<(), PgError> {
        let schema = Arc::clone(self.table.arrow_schema());
        let sort_by = sort_columns(&self.table);
        if self.lanes.get(lane).is_none_or(|lane| lane.writing.is_some()) {
            return Ok(());
        }
        let shard = self.engine.catalogue.allocate_shard_ids(1)?.pop();
        let shard =
            shard.ok_or_else(|| PgError::new(quickdb_executor::error::ErrorKind::Internal, "no shard id"))?;
        self.claims.push(self.engine.claims.claim(shard.0));
        let identity = ShardIdentity { shard, table: self.table.id, table_name: self.table.full_name() };
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        let copies = lane.hosts.iter().map(|(_, host)| {
            let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
            let (host, identity, schema) = (host.clone(), identity.clone(), Arc::clone(&schema));
            let sort_by = sort_by.clone();
            let put = async move {
                host.put_sorted(identity, schema, sort_by, ReceiverStream::new(batches).boxed()).await
            };
            (sender, self.engine.plans.spawn(put))
        });
        lane.writing = Some(Writing { rows: 0, copies: copies.collect() });
        Ok(())
    }

    /// Ends the shard that is open on a lane.
    async fn close(&mut self, lane: usize) -> Result<(), PgError> {
        let Some(lane) = self.lanes.get_mut(lane) else { return Ok(()) };
        let Some(writing) = lane.writing.take() else { return Ok(()) };
        let workers: Vec<WorkerId> = lane.hosts.iter().map(|(worker, _)| *worker).collect();
        let mut first = None;
        let mut failure = None;
        for (sender, task) in writing.copies {
            drop(sender);
            match joined(task.await) {
                Ok(report) => first = first.or(Some(report)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match (first, failure) {
            (Some(report), None) => {
                self.finished.push((report, workers));
                Ok(())
            }
            (_, failure) => Err(wrong(
                failure.unwrap_or_else(|| DataFusionError::Internal("a shard on no worker".into())),
            )),
        }
    }

    /// Why a worker stopped listening.
    async fn failure_of(&mut self, lane: usize) -> PgError {
        match self.close(lane).await {
            Err(error) => error,
            Ok(()) => PgError::new(
                quickdb_executor::error::ErrorKind::Internal,
                "a worker ended a shard before its rows ended",
            ),
        }
    }
}

impl Drop for RowSink {
    fn drop(&mut self) {
        for lane in &mut self.lanes {
            if let Some(writing) = lane.writing.take() {
                // A stream that merely ends would make a shard of the rows so far.
                writing.copies.iter().for_each(|(_, task)| task.abort());
            }
        }
    }
}

/// Positions of the columns that a table's shards are sorted by; those that were dropped since are left out.
pub(crate) fn sort_columns(table: &TableDefinition) -> Vec<usize> {
    let names = table.options.sort_by.as_deref().unwrap_or_default().split(',').map(str::trim);
    names.filter_map(|name| table.columns.iter().position(|column| column.name == name)).collect()
}

fn joined(task: Result<DfResult<ShardReport>, tokio::task::JoinError>) -> DfResult<ShardReport> {
    task.unwrap_or_else(|error| Err(DataFusionError::External(Box::new(error))))
}

fn wrong(error: DataFusionError) -> PgError {
    PgError::from_datafusion(error, None)
}
