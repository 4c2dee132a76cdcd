//! COPY ... FROM STDIN: the client's bytes to batches, to a sink, on a thread of their own.
//!
//! ```text
//!  connection ─ bytes, at most 4 messages ahead ─▶ task: decoder ▶ columns that are not copied ▶ sink
//!             ◀──────────────────────────────────  rows written, or the first error
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Statement as Ast};
use pgwire::api::Type;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cells::{assign, null};
use super::checks::Checks;
use super::defaults::default_of;
use super::insert::assignment_type;
use super::names::{RelationName, SearchPath};
use super::sink::{RowSink, Written};
use super::tables::{folded, positions};
use crate::catalogue::{Column, Generation, TableDefinition};
use crate::copy_in::{CopyColumn, CopyDecoder, decoder};
use crate::error::{PgError, SqlState};
use crate::session::Session;
use crate::sql::{ParsedStatement, is_volatile};
use crate::wire::copy_options::{CopyFromFormat, CopyFromOptions};

/// Messages that wait for the decoder; the client waits after that.
const MESSAGES_AHEAD: usize = 4;

/// Bytes that are put together before they are decoded: most clients send a message for each row.
const CHUNK_BYTES: usize = 256 << 10;

/// A COPY FROM that is ready to be run.
#[derive(Debug)]
pub(crate) struct CopyFrom {
    table: Arc<TableDefinition>,
    /// Positions of the columns that are copied.
    columns: Vec<usize>,
    options: CopyFromOptions,
}

/// Analyses a COPY FROM.
///
/// # Errors
/// 42P01, 42703 and those of the options; 0A000 for a file of the server.
pub(crate) fn prepare(session: &Session, statement: &ParsedStatement) -> Result<CopyFrom, PgError> {
    let Ast::Copy { source, target, options, legacy_options, .. } = &statement.ast else {
        return Err(PgError::unsupported("this COPY"));
    };
    if !matches!(target, CopyTarget::Stdin) {
        return Err(PgError::unsupported("COPY from a file of the server")
            .hint("Use COPY FROM STDIN, psql's \\copy, or quickdb load for files of many formats."));
    }
    let CopySource::Table { table_name, columns } = source else {
        return Err(PgError::with_state(SqlState("42601"), "COPY FROM takes a table, not a query"));
    };
    let options = CopyFromOptions::parse(options, legacy_options)?;
    let name = RelationName::of(table_name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let generated = |position: &usize| {
        table.columns.get(*position).filter(|column| column.generation == Generation::Stored)
    };
    let named = !columns.is_empty();
    let mut columns = positions(table.definition(), &folded(columns))?;
    if let Some(column) = columns.iter().find_map(generated).filter(|_| named) {
        let message = format!("column \"{}\" is a generated column", column.name);
        return Err(PgError::with_state(SqlState("42P10"), message)
            .detail("Generated columns cannot be used in COPY."));
    }
    columns.retain(|position| generated(position).is_none());
    Ok(CopyFrom { table: Arc::clone(table.definition()), columns, options })
}

/// A COPY that takes data.
pub(crate) struct CopyIn {
    /// Columns and whether they come in binary, for CopyInResponse.
    pub(crate) columns: usize,
    pub(crate) binary: bool,
    pending: Vec<u8>,
    sender: mpsc::Sender<Bytes>,
    table: Arc<TableDefinition>,
    /// Dropped only once the client has sent all.
    whole: tokio::sync::oneshot::Sender<()>,
    task: JoinHandle<Result<Written, PgError>>,
}

impl CopyFrom {
    /// Gets ready for data.
    ///
    /// # Errors
    /// 25006, and those of the defaults of columns that are not copied.
    pub(crate) async fn start(
        &self,
        session: &mut Session,
        statement: &ParsedStatement,
    ) -> Result<CopyIn, PgError> {
        session.may_write("COPY FROM")?;
        let described = self.columns.iter().filter_map(|position| self.table.columns.get(*position));
        let described = described.map(|column| CopyColumn {
            name: column.name.clone(),
            pg_type: column.pg_type,
            not_null: column.not_null,
        });
        let decoder =
            decoder(&self.options, &self.table.name, described.collect(), &session.input_context())?;
        let defaults = self.defaults(session, statement).await?;
        let checks = Checks::of(session, &self.table).await?;
        let sink = RowSink::new(&session.engine, Arc::clone(&self.table)).with_checks(&checks);
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let (whole, ended) = tokio::sync::oneshot::channel();
        let filling = Filling { table: Arc::clone(&self.table), columns: self.columns.clone(), defaults };
        let task = session.engine.plans.spawn(take(decoder, filling, sink, receiver, ended));
        let binary = matches!(self.options.format, CopyFromFormat::Binary | CopyFromFormat::Arrow);
        let table = Arc::clone(&self.table);
        Ok(CopyIn { table, columns: self.columns.len(), binary, pending: Vec::new(), sender, whole, task })
    }

    /// A value for each column of the table that is not copied.
    async fn defaults(
        &self,
        session: &mut Session,
        statement: &ParsedStatement,
    ) -> Result<Vec<Option<Filler>>, PgError> {
        let mut defaults = Vec::with_capacity(self.table.columns.len());
        for (position, column) in self.table.columns.iter().enumerate() {
            if self.columns.contains(&position) {
                defaults.push(None);
                continue;
            }
            if let Some(expression) = self.volatile_default(session, column).await? {
                defaults.push(Some(Filler::Expression(expression)));
                continue;
            }
            let value = match default_of(column)? {
                None => null(&column.pg_type.data_type())?,
                Some(expr) => {
                    let context = session.context();
                    let wanted = Type::from_oid(column.pg_type.oid).unwrap_or(Type::TEXT);
                    let values =
                        crate::sql::constants(&context.state, &context.facts, statement, &[expr], &[wanted])
                            .await?;
                    match values.into_iter().next() {
                        Some(value) => assign(value, column.pg_type)?,
                        None => null(&column.pg_type.data_type())?,
                    }
                }
            };
            defaults.push(Some(Filler::Value(value)));
        }
        Ok(defaults)
    }

    /// A default that has another value for each row.
    async fn volatile_default(
        &self,
        session: &mut Session,
        column: &Column,
    ) -> Result<Option<Arc<dyn PhysicalExpr>>, PgError> {
        let Some(default) = default_of(column)? else { return Ok(None) };
        let text = format!("SELECT CAST({default} AS {}) AS value", assignment_type(column.pg_type));
        let planned = session.plan_text(&text).await?;
        let LogicalPlan::Projection(projection) = &planned.plan else { return Ok(None) };
        let Some(expr) = projection.expr.first().filter(|_| is_volatile(&planned.plan)) else {
            return Ok(None);
        };
        let state = session.context().state;
        let expr = state.create_physical_expr(expr.clone().unalias(), projection.input.schema());
        expr.map(Some).map_err(|error| PgError::from_datafusion(error, None))
    }
}

impl CopyIn {
    /// The table that the rows go to.
    pub(crate) fn table(&self) -> Arc<TableDefinition> {
        Arc::clone(&self.table)
    }

    /// Takes the bytes of one message. `false` when the data is wrong and no more is wanted: [`CopyIn::finish`] says
    /// why.
    pub(crate) async fn feed(&mut self, bytes: &[u8]) -> bool {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < CHUNK_BYTES {
            return !self.task.is_finished();
        }
        self.flush().await
    }

    async fn flush(&mut self) -> bool {
        let chunk = Bytes::from(std::mem::take(&mut self.pending));
        self.sender.send(chunk).await.is_ok()
    }

    /// The client has sent everything: what was written.
    ///
    /// # Errors
    /// The data's or a worker's.
    pub(crate) async fn finish(mut self) -> Result<Written, PgError> {
        let taken = self.pending.is_empty() || self.flush().await;
        if taken {
            // Nobody listens when the task has failed, and then it says why.
            let _ = self.whole.send(());
        }
        drop(self.sender);
        self.task.await.unwrap_or_else(|error| {
            Err(PgError::new(quickdb_executor::error::ErrorKind::Internal, format!("COPY stopped: {error}")))
        })
    }
}

/// What makes rows of the table of the copied columns.
struct Filling {
    table: Arc<TableDefinition>,
    columns: Vec<usize>,
    defaults: Vec<Option<Filler>>,
}

/// What a column that is not copied gets.
enum Filler {
    /// The same in all rows.
    Value(ScalarValue),
    /// Another value for each row.
    Expression(Arc<dyn PhysicalExpr>),
}

impl Filling {
    fn fill(&self, batch: &RecordBatch) -> Result<RecordBatch, PgError> {
        let wrong = |error| PgError::from_datafusion(error, None);
        let columns = self.defaults.iter().enumerate().map(|(position, default)| match default {
            Some(Filler::Value(value)) => value.to_array_of_size(batch.num_rows()).map_err(wrong),
            Some(Filler::Expression(expression)) => {
                expression.evaluate(batch).and_then(|value| value.into_array(batch.num_rows())).map_err(wrong)
            }
            None => {
                let place = self.columns.iter().position(|column| *column == position).unwrap_or_default();
                Ok(Arc::clone(batch.column(place)))
            }
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(super::rows::nullable(&self.table), columns, &options)
            .map_err(|error| wrong(error.into()))
    }
}

async fn take(
    mut decoder: Box<dyn CopyDecoder>,
    filling: Filling,
    mut sink: RowSink,
    mut receiver: mpsc::Receiver<Bytes>,
    ended: tokio::sync::oneshot::Receiver<()>,
) -> Result<Written, PgError> {
    while let Some(bytes) = receiver.recv().await {
        for batch in decoder.feed(&bytes)? {
            sink.push(filling.fill(&batch)?).await?;
        }
    }
    if ended.await.is_err() {
        // The client has gone, or the statement was cancelled: the sink's end undoes what it wrote.
        return Err(crate::error::cancelled());
    }
    for batch in decoder.finish()? {
        sink.push(filling.fill(&batch)?).await?;
    }
    sink.finish().await
}
