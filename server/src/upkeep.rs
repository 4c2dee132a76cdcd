//! What the master does without being asked: rows of logs into shards, small shards together, files that nobody needs
//! off the disks.
//!
//! **Invariant:** a file is removed when no snapshot names it that anybody can still read or that the worker has a copy
//! of, and nobody has claimed its number. A number is claimed before its file is written, and given up after the commit that names it was published.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quickdb_executor::table::WorkerId;
use quickdb_storage::{ShardId, TableId};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::catalogue::{CatalogueError, CatalogueSnapshot, Change, Log, Table};
use crate::engine::Engine;
use crate::error::{PgError, SqlState};
use crate::write::compaction;
use crate::write::sink::{RowSink, Written};

/// A log of more rows or bytes than these goes into a shard.
const LOG_ROWS: u64 = 64 << 10;
const LOG_BYTES: u64 = 8 << 20;

/// A log that nobody has written to for this long goes into a shard when it has more rows than [`IDLE_ROWS`].
const IDLE: Duration = Duration::from_secs(30);
const IDLE_ROWS: u64 = 1_024;

/// Time between two rounds when nobody asks for one.
const ROUND: Duration = Duration::from_secs(1);

/// Rounds after which files are looked through without anybody having asked.
const ROUNDS_PER_COLLECTION: u32 = 60;

/// Rounds between two looks at the sizes of shards.
const ROUNDS_PER_COMPACTION: u32 = 10;

/// Times that somebody else may change a table's rows while it is put in order.
const CONFLICTS_MAX: u32 = 8;

/// So many small shards of a table on the same workers are put together without being asked.
const SMALL_MIN: usize = 8;

/// Numbers of files that are being written and that no snapshot names yet.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    numbers: Mutex<HashSet<u64>>,
    /// Whether something was given up since the last collection.
    given_up: tokio::sync::Notify,
}

/// One claimed number; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    number: u64,
}

impl Claims {
    /// Claims a number before its file is written.
    pub(crate) fn claim(self: &Arc<Self>, number: u64) -> Claim {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        Claim { claims: Arc::clone(self), number }
    }

    /// Asks for a collection soon.
    pub(crate) fn collect_soon(&self) {
        self.given_up.notify_one();
    }

    fn held(&self) -> HashSet<u64> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.numbers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
        self.claims.collect_soon();
    }
}

/// Runs until `stop` is cancelled.
pub(crate) async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let mut rounds = 0;
    let mut seen: HashMap<TableId, (u64, Instant)> = HashMap::new();
    let mut asked = true;
    loop {
        engine.copies.keep_all(&engine).await;
        flush_logs(&engine, &mut seen).await;
        rounds += 1;
        if std::mem::take(&mut asked) || rounds % ROUNDS_PER_COLLECTION == 0 {
            collect(&engine).await;
        }
        if rounds % ROUNDS_PER_COMPACTION == 0 {
            compact_tables(&engine).await;
        }
        tokio::select! {
            () = stop.cancelled() => {
                engine.copies.keep_all(&engine).await;
                return;
            }
            () = tokio::time::sleep(ROUND) => {}
            () = engine.claims.given_up.notified() => {
                asked = true;
                // Those of one statement come together.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Puts the rows of logs that are large, or that nobody writes to any more, into shards.
async fn flush_logs(engine: &Arc<Engine>, seen: &mut HashMap<TableId, (u64, Instant)>) {
    let snapshot = engine.snapshot();
    seen.retain(|table, _| snapshot.table_by_id(*table).is_some_and(|table| !table.log.is_empty()));
    for table in snapshot.tables().iter().filter(|table| !table.log.is_empty()) {
        let rows = table.log.rows();
        let entry = seen.entry(table.id).or_insert((rows, Instant::now()));
        if entry.0 != rows {
            *entry = (rows, Instant::now());
        }
        let idle = rows >= IDLE_ROWS && entry.1.elapsed() >= IDLE;
        if !is_long(&table.log) && !idle {
            continue;
        }
        match flush(engine, table).await {
            Ok(()) => debug!(table = table.full_name(), rows, "the log lies in shards now"),
            // Somebody has deleted some of the rows, or changed the table: the next round sees what there is.
            Err(error) if error.sqlstate == SqlState("40001") => {}
            Err(error) => warn!(table = table.full_name(), %error, "the log cannot be put into shards"),
        }
    }
}

/// Writes shards of tables anew that are small or of which much is deleted, one lot of each table at a time.
async fn compact_tables(engine: &Arc<Engine>) {
    for table in engine.snapshot().tables() {
        match compact(engine, table, SMALL_MIN).await {
            Ok(0) => {}
            Ok(inputs) => debug!(table = table.full_name(), inputs, "shards are put together"),
            Err(error) if error.sqlstate == SqlState("40001") => {}
            Err(error) => warn!(table = table.full_name(), %error, "shards cannot be put together"),
        }
    }
}

/// Writes one lot of a table's shards anew: how many it was.
async fn compact(engine: &Arc<Engine>, table: &Table, small_min: usize) -> Result<usize, PgError> {
    let Some(compacted) = compaction::compact(engine, table, small_min).await? else { return Ok(0) };
    commit(engine, compacted.changes).await?;
    drop(compacted.claim);
    Ok(compacted.inputs)
}

/// Puts a table in order at once: its log into shards, small shards together, deleted rows off the disks.
///
/// # Errors
/// A worker's; 40001 when somebody writes to the same rows all the time.
pub(crate) async fn put_in_order(engine: &Arc<Engine>, id: TableId) -> Result<(), PgError> {
    let mut conflicts = 0;
    loop {
        match put_in_order_once(engine, id).await {
            // The rows are no others, but upkeep or a client has put them elsewhere: there may be nothing left to do.
            Err(error) if error.sqlstate == SqlState("40001") && conflicts < CONFLICTS_MAX => conflicts += 1,
            done => {
                engine.claims.collect_soon();
                return done;
            }
        }
    }
}

async fn put_in_order_once(engine: &Arc<Engine>, id: TableId) -> Result<(), PgError> {
    let present = || engine.snapshot().table_by_id(id).cloned();
    if let Some(table) = present().filter(|table| !table.log.is_empty()) {
        flush(engine, &table).await?;
    }
    while let Some(table) = present() {
        if compact(engine, &table, 2).await? == 0 {
            break;
        }
    }
    Ok(())
}

async fn commit(engine: &Arc<Engine>, changes: Vec<Change>) -> Result<(), PgError> {
    let committing = Arc::clone(engine);
    match tokio::task::spawn_blocking(move || committing.commit(changes)).await {
        Ok(committed) => Ok(committed?),
        Err(error) => Err(CatalogueError::Corrupt(format!("the commit stopped: {error}")).into()),
    }
}

/// Whether a log has so many rows that it is to go into shards at once.
pub(crate) fn is_long(log: &Log) -> bool {
    log.rows() >= LOG_ROWS || log.bytes() >= LOG_BYTES
}

/// Puts the rows of a table's log into shards.
///
/// # Errors
/// A worker's; 40001 when rows of the log were deleted meanwhile.
async fn flush(engine: &Arc<Engine>, table: &Table) -> Result<(), PgError> {
    let written = into_shards(engine, table).await?;
    let committed = commit(engine, written.changes).await;
    drop(written.claims);
    committed
}

/// Writes the rows of a table's log into shards: what puts these in the log's place.
///
/// # Errors
/// A worker's.
pub(crate) async fn into_shards(engine: &Arc<Engine>, table: &Table) -> Result<Written, PgError> {
    let mut sink = RowSink::into_shards(engine, Arc::clone(table.definition()))?;
    for batch in table.log.batches() {
        sink.push(batch).await?;
    }
    let mut written = sink.finish().await?;
    written.changes.push(Change::RemoveLogged { table: table.id, rows: table.log.all() });
    Ok(written)
}

/// Files of one worker that snapshots name.
#[derive(Default)]
struct Named {
    shards: HashSet<ShardId>,
    deletions: HashSet<(ShardId, u64)>,
}

fn named(snapshots: &[Arc<CatalogueSnapshot>]) -> HashMap<WorkerId, Named> {
    let mut by_worker: HashMap<WorkerId, Named> = HashMap::new();
    for shard in snapshots.iter().flat_map(|snapshot| snapshot.tables()).flat_map(|table| table.shards.iter())
    {
        for worker in &shard.workers {
            let named = by_worker.entry(*worker).or_default();
            named.shards.insert(shard.id);
            named.deletions.extend(shard.deletions.map(|deletions| (shard.id, deletions.version)));
        }
    }
    by_worker
}

/// Removes the files that nobody needs from every worker that can be reached.
async fn collect(engine: &Arc<Engine>) {
    let Ok(hosts) = engine.hosts() else { return };
    for (worker, host) in hosts {
        if !engine.copies.are_known(worker) {
            continue;
        }
        // In this order: what is committed after the listing is in the claims or in the snapshots read after it.
        let held = match host.list().await {
            Ok(held) => held,
            Err(error) => {
                debug!(%error, "a worker's files cannot be listed");
                continue;
            }
        };
        let claimed = engine.claims.held();
        let named = named(&engine.catalogue.live_snapshots()).remove(&worker).unwrap_or_default();
        let mut removed = 0_u32;
        for shard in held.shards {
            if named.shards.contains(&shard) || claimed.contains(&shard.0) {
                continue;
            }
            if !engine.catalogue.has_allocated(shard) {
                warn!(%shard, ?worker, "a shard of another catalogue is left alone");
                continue;
            }
            match host.remove(shard).await {
                Ok(()) => removed += 1,
                Err(error) => warn!(%shard, %error, "a shard that nobody needs stays behind"),
            }
        }
        for deletions in held.deletions {
            let (shard, version) = (deletions.shard, deletions.version);
            if named.deletions.contains(&(shard, version)) || claimed.contains(&version) {
                continue;
            }
            match host.remove_deletions(shard, version).await {
                Ok(()) => removed += 1,
                Err(error) => debug!(%shard, %error, "a deletion vector that nobody needs stays behind"),
            }
        }
        if removed > 0 {
            info!(?worker, removed, "files that nobody needs are removed");
        }
    }
}
