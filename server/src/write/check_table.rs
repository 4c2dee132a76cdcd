//! CHECK TABLE: every copy of every shard is read whole.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::sql::sqlparser::ast::ObjectName;
use quickdb_executor::table::ShardRef;

use super::names::{RelationName, SearchPath};
use crate::cursor::{Cursor, Description};
use crate::error::PgError;
use crate::session::{Outcome, Session};

/// The columns of the result: one row for each place that is damaged, none when all is well.
pub(crate) fn description() -> Description {
    Description::of(Arc::new(Schema::new(vec![
        Field::new("shard", DataType::Int64, false),
        Field::new("worker", DataType::Utf8View, false),
        Field::new("column", DataType::Utf8View, true),
        Field::new("damage", DataType::Utf8View, false),
    ])))
}

/// Reads a table whole.
///
/// # Errors
/// 42P01; a worker that cannot be reached is damage, not an error.
pub(crate) async fn run(session: &mut Session, name: &ObjectName) -> Result<Outcome, PgError> {
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let hosts = session.engine.hosts().map_err(|error| PgError::from_datafusion(error, None))?;
    let (mut shards, mut workers, mut columns, mut damages) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for shard in table.shards.iter() {
        for worker in &shard.workers {
            let named =
                snapshot.worker(*worker).map_or_else(|| worker.0.to_string(), |known| known.name.clone());
            let reference =
                ShardRef { shard: shard.id, deletions: shard.deletions.map(|deletions| deletions.version) };
            let found = match hosts.iter().find(|(id, _)| id == worker) {
                Some((_, host)) => match host.verify(reference).await {
                    Ok(found) => found.into_iter().map(|damage| (damage.column, damage.what)).collect(),
                    Err(error) => vec![(None, PgError::from_datafusion(error, None).message)],
                },
                None => vec![(None, "the worker is not part of the cluster".to_owned())],
            };
            for (column, what) in found {
                shards.push(i64::try_from(shard.id.0).unwrap_or(i64::MAX));
                workers.push(named.clone());
                columns.push(column);
                damages.push(what);
            }
        }
    }
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(shards)),
        Arc::new(StringViewArray::from_iter_values(workers)),
        Arc::new(StringViewArray::from_iter(columns)),
        Arc::new(StringViewArray::from_iter_values(damages)),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&description().schema), arrays);
    let batch = batch.map_err(|error| PgError::from_datafusion(error.into(), None))?;
    Ok(Outcome::Rows {
        description: description(),
        cursor: Cursor::of_batches([batch]),
        tag: "CHECK TABLE",
        counted: false,
    })
}
