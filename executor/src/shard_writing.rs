//! Batches in, a shard out: encoded on rayon, written by the worker that keeps it.
//!
//! A put that is given up at any point, by an error or by whoever waits for it going away, leaves no file. In memory are
//! the batch that is being encoded, the next one, and what [`ShardWriter`] keeps; where the rows are to be sorted, all
//! of them, so that a shard's size bounds it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, concat, interleave_record_batch, lexsort_to_indices};
use arrow::datatypes::SchemaRef;
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use futures::{Stream, StreamExt};
use quickdb_storage::{ROW_GROUP_ROWS, ShardIdentity, ShardReport, ShardWriter};
use tokio_util::sync::CancellationToken;

use crate::cpu;
use crate::error::{ErrorKind, ExecError};
use crate::store::ShardStore;

/// Writes one shard from a stream of batches. `sort_by` are positions in `schema`: the rows are sorted by these
/// columns, ascending, NULLs last, and else stay in their order; without any they are not sorted.
pub(crate) async fn write_shard<S, E>(
    store: &Arc<ShardStore>,
    identity: ShardIdentity,
    schema: SchemaRef,
    sort_by: Vec<usize>,
    mut batches: S,
) -> Result<ShardReport>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<DataFusionError>,
{
    if sort_by.iter().any(|column| *column >= schema.fields().len()) {
        return exec_err!("a shard of {} columns cannot be sorted by another", schema.fields().len());
    }
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let creating = Arc::clone(store);
    let mut writer = blocking(move || {
        ShardWriter::create(creating.directory(), identity, schema).map_err(|error| creating.explain(error))
    })
    .await?;
    let mut unsorted = vec![];
    let mut next = batches.next().await;
    while let Some(batch) = next {
        let batch = batch.map_err(Into::into)?;
        if sort_by.is_empty() {
            let write = written(store, writer, &cancel, move |writer| writer(&batch));
            (next, writer) = futures::future::try_join(async { Ok(batches.next().await) }, write).await?;
        } else {
            unsorted.push(batch);
            next = batches.next().await;
        }
    }
    if !unsorted.is_empty() {
        let token = cancel.clone();
        writer = written(store, writer, &cancel, move |write| {
            for batch in sorted(&unsorted, &sort_by)? {
                cpu::check(&token)?;
                write(&batch?)?;
            }
            Ok(())
        })
        .await?;
    }
    finished(store, writer).await
}

/// The writer after `work`, which is done on rayon, has given it batches.
async fn written(
    store: &Arc<ShardStore>,
    mut writer: ShardWriter,
    cancel: &CancellationToken,
    work: impl FnOnce(&mut dyn FnMut(&RecordBatch) -> Result<()>) -> Result<()> + Send + 'static,
) -> Result<ShardWriter> {
    let store = Arc::clone(store);
    cpu::run(cancel, move || {
        work(&mut |batch| writer.write(batch).map_err(|error| store.explain(error)))?;
        Ok(writer)
    })
    .await
}

/// Makes the shard durable. One that nobody waits for any more is removed again: nobody knows of it.
async fn finished(store: &Arc<ShardStore>, writer: ShardWriter) -> Result<ShardReport> {
    let store = Arc::clone(store);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let finished = writer.finish().map_err(|error| store.explain(error));
        if let Err(Ok(report)) = sender.send(finished) {
            // What cannot be removed now is found as an orphan later.
            let _ = store.directory().remove(report.identity.shard);
        }
    });
    receiver.await.unwrap_or_else(|_| {
        Err(ExecError::new(ErrorKind::Internal, "writing a shard stopped").into_datafusion())
    })
}

/// Runs `work`, which waits for a disk, on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let message = format!("work on a worker's disk stopped: {error}");
        Err(ExecError::new(ErrorKind::Internal, message).into_datafusion())
    })
}

/// The rows of `batches` in the order of the columns `sort_by`, a row group at a time.
fn sorted<'a>(
    batches: &'a [RecordBatch],
    sort_by: &[usize],
) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
    let ends: Vec<usize> = batches
        .iter()
        .scan(0, |end, batch| {
            *end += batch.num_rows();
            Some(*end)
        })
        .collect();
    let rows = ends.last().copied().unwrap_or(0);
    let Ok(count) = u32::try_from(rows) else {
        return exec_err!("{rows} rows are more than a shard can hold");
    };
    let sort_column = |values: ArrayRef| SortColumn {
        values,
        options: Some(SortOptions { descending: false, nulls_first: false }),
    };
    let mut columns = vec![];
    for &column in sort_by {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| batch.column(column).as_ref()).collect();
        columns.push(sort_column(concat(&parts)?));
    }
    // What is equal stays in its order, so that the same rows give the same shard.
    columns.push(sort_column(Arc::new(UInt32Array::from_iter_values(0..count))));
    let order = lexsort_to_indices(&columns, None)?;
    let place = move |row: u32| {
        let row = row as usize;
        let batch = ends.partition_point(|end| *end <= row);
        let first = batch.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
        (batch, row - first)
    };
    let starts = (0..rows).step_by(ROW_GROUP_ROWS);
    let sources: Vec<&RecordBatch> = batches.iter().collect();
    Ok(starts.map(move |start| {
        let taken = order.values().iter().skip(start).take(ROW_GROUP_ROWS);
        let places: Vec<(usize, usize)> = taken.map(|row| place(*row)).collect();
        Ok(interleave_record_batch(&sources, &places)?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int32Array, Int64Array};
    use arrow::datatypes::{Int32Type, Int64Type};
    use quickdb_storage::{ShardDirectory, ShardId, TableId};

    fn batch(values: &[Option<i32>], first: i64) -> RecordBatch {
        let rows = i64::try_from(values.len()).unwrap();
        RecordBatch::try_from_iter_with_nullable([
            ("key", Arc::new(Int32Array::from(values.to_vec())) as ArrayRef, true),
            ("number", Arc::new(Int64Array::from_iter_values(first..first + rows)) as ArrayRef, false),
        ])
        .unwrap()
    }

    #[test]
    fn rows_are_sorted_over_batches_and_equal_ones_keep_their_order() {
        let batches =
            [batch(&[Some(3), None, Some(1)], 0), batch(&[], 3), batch(&[Some(1), Some(3), Some(-2)], 3)];
        let sorted: Vec<RecordBatch> = sorted(&batches, &[0]).unwrap().map(Result::unwrap).collect();
        assert_eq!(sorted.len(), 1);
        let keys: Vec<_> = sorted[0].column(0).as_primitive::<Int32Type>().iter().collect();
        assert_eq!(keys, [Some(-2), Some(1), Some(1), Some(3), Some(3), None]);
        let numbers = sorted[0].column(1).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(numbers, [5, 2, 3, 0, 4, 1]);
    }

    fn identity(shard: u64) -> ShardIdentity {
        ShardIdentity { shard: ShardId(shard), table: TableId(1), table_name: "public.t".to_owned() }
    }

    fn files(store: &ShardStore) -> usize {
        std::fs::read_dir(store.directory().path()).unwrap().count()
    }

    #[tokio::test]
    async fn a_put_that_fails_or_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ShardStore::new("w1", ShardDirectory::open(folder.path()).unwrap()));
        let rows = batch(&[Some(1)], 0);
        let failing = futures::stream::iter([Ok(rows.clone()), exec_err!("no more rows")]);
        let failed = write_shard(&store, identity(1), rows.schema(), vec![], failing).await;
        assert!(failed.unwrap_err().to_string().contains("no more rows"));
        assert_eq!(files(&store), 0);

        let rest = futures::stream::pending::<Result<RecordBatch>>();
        let endless = futures::stream::iter([Ok(rows.clone())]).chain(rest);
        let put = write_shard(&store, identity(2), rows.schema(), vec![], Box::pin(endless));
        let given_up = tokio::time::timeout(std::time::Duration::from_millis(50), put).await;
        assert!(given_up.is_err());
        while files(&store) > 0 {
            tokio::task::yield_now().await;
        }

        let other = batch(&[Some(1)], 0).project(&[1]).unwrap();
        let batches = futures::stream::iter([Ok::<_, DataFusionError>(other)]);
        assert!(write_shard(&store, identity(3), rows.schema(), vec![], batches).await.is_err());
        let batches = futures::stream::iter([Ok::<_, DataFusionError>(rows.clone())]);
        assert!(write_shard(&store, identity(3), rows.schema(), vec![2], batches).await.is_err());
        assert_eq!(files(&store), 0);
    }

    #[tokio::test]
    async fn puts_go_on_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(ShardStore::new("w1", ShardDirectory::open(folder.path()).unwrap()));
        let puts = (1..=8).map(|shard| {
            let store = Arc::clone(&store);
            async move {
                let values: Vec<_> = (0..1000).map(|row| Some((row * 7919) % 1000)).collect();
                let rows = batch(&values, 0);
                let batches = (0..70).map(move |_| Ok::<_, DataFusionError>(rows.clone()));
                let schema = batch(&[], 0).schema();
                let sort_by = if shard % 2 == 0 { vec![0, 1] } else { vec![] };
                write_shard(&store, identity(shard), schema, sort_by, futures::stream::iter(batches)).await
            }
        });
        for report in futures::future::try_join_all(puts).await.unwrap() {
            let shard = store.shard(report.identity.shard).unwrap();
            assert_eq!(report.rows, 70_000);
            let keys = shard.column(0, 0).unwrap().into_array();
            let keys = keys.as_primitive::<Int32Type>();
            let sorted = keys.values().is_sorted();
            assert_eq!(sorted, report.identity.shard.0 % 2 == 0);
        }
    }
}
