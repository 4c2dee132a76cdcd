//! Rows of a table written anew for another definition of it.

use std::sync::Arc;

use super::checks::Checks;
use super::insert::assignment_type;
use super::returning::quoted;
use super::sink::RowSink;
use super::tables::empty;
use crate::catalogue::{Change, Generation, Table, TableDefinition};
use crate::error::PgError;
use crate::session::Session;

/// Makes a table what `after` says, with each of its rows computed anew: `value` gives the expression of a column over
/// the columns that there were, `None` for the column as it was.
///
/// # Errors
/// Those of the expressions and of the table's constraints; nothing has changed then.
pub(crate) async fn rewrite(
    session: &mut Session,
    table: &Table,
    after: Arc<TableDefinition>,
    value: impl Fn(&str) -> Option<String>,
) -> Result<(), PgError> {
    let start = session.work_len();
    let written = written(session, table, after, value).await;
    if written.is_err() {
        session.go_back_to(start);
    }
    written
}

async fn written(
    session: &mut Session,
    table: &Table,
    after: Arc<TableDefinition>,
    value: impl Fn(&str) -> Option<String>,
) -> Result<(), PgError> {
    let items = after.columns.iter().map(|column| {
        let before = table.columns.iter().find(|known| known.number == column.number);
        let expression = match (value(&column.name), before) {
            // It is computed when the rows are complete.
            _ if column.generation == Generation::Stored => "NULL".to_owned(),
            (Some(expression), _) => format!("({expression})"),
            (None, Some(before)) => quoted(&before.name),
            (None, None) => "NULL".to_owned(),
        };
        format!("CAST({expression} AS {})", assignment_type(column.pg_type))
    });
    let items = items.collect::<Vec<_>>().join(", ");
    let text = format!("SELECT {items} FROM {}.{}", quoted(&table.schema), quoted(&table.name));
    let wrong = |error| PgError::from_datafusion(error, None);
    let planned = session.plan_text(&text).await?;
    // What is read are the rows as they are now, whatever the table becomes.
    let mut rows = session.start(&planned, &[], None).await?;
    // No shard lacks a column any more.
    let mut after = after.as_ref().clone();
    for column in &mut after.columns {
        column.missing = None;
    }
    let after = after.redefined();
    let mut changes = empty(table);
    changes.push(Change::AlterTable(Arc::clone(&after)));
    session.change(changes)?;
    let checks = Checks::of(session, &after).await?;
    let mut sink = RowSink::new(&session.engine, Arc::clone(&after)).with_checks(&checks);
    while let Some(batch) = rows.next().await {
        sink.push(batch.map_err(wrong)?).await?;
    }
    let written = sink.finish().await?;
    session.add_rows(&after, (Vec::new(), Vec::new()), written).await
}
