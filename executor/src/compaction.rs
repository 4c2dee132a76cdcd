//! The rows that are left of some shards, for a new one.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use quickdb_storage::{ShardIdentity, ShardReport};
use tokio_util::sync::CancellationToken;

use crate::cpu;
use crate::row_group::RowGroup;
use crate::scan::ShardRef;
use crate::selection::{CHUNK_ROWS, Selection};
use crate::shard_writing::{blocking, write_shard};
use crate::store::ShardStore;
use crate::view::ShardView;

/// Row groups that are read ahead of the writer.
const READ_AHEAD: usize = 2;

/// Writes the rows of `inputs` that are not deleted, in order, as one shard with the columns `schema`. The inputs
/// stay.
pub(crate) async fn compact(
    store: &Arc<ShardStore>,
    inputs: Vec<ShardRef>,
    output: ShardIdentity,
    schema: SchemaRef,
    sort_by: Vec<usize>,
) -> Result<ShardReport> {
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let (reading, columns) = (Arc::clone(store), Arc::clone(&schema));
    let row_groups = blocking(move || row_groups(&reading, &inputs, &columns)).await?;
    let rows = live_rows(Arc::clone(store), row_groups, Arc::clone(&schema), cancel);
    write_shard(store, output, schema, sort_by, rows).await
}

fn row_groups(
    store: &ShardStore,
    inputs: &[ShardRef],
    schema: &SchemaRef,
) -> Result<Vec<(Arc<ShardView>, usize)>> {
    let mut row_groups = vec![];
    for input in inputs {
        let view = Arc::new(store.view(*input, schema)?);
        let filled = (0..view.row_group_count()).filter(|row_group| view.live_rows(*row_group) > 0);
        row_groups.extend(filled.map(|row_group| (Arc::clone(&view), row_group)));
    }
    Ok(row_groups)
}

/// The rows of row groups that are not deleted, all columns of them.
fn live_rows(
    store: Arc<ShardStore>,
    row_groups: Vec<(Arc<ShardView>, usize)>,
    schema: SchemaRef,
    cancel: CancellationToken,
) -> BoxStream<'static, Result<RecordBatch>> {
    let read = move |(view, index): (Arc<ShardView>, usize)| {
        let (store, schema, cancel) = (Arc::clone(&store), Arc::clone(&schema), cancel.clone());
        async move {
            cpu::run(&cancel, move || {
                let columns: Vec<usize> = (0..schema.fields().len()).collect();
                let row_group = RowGroup::sample(store, view, index);
                let mut live = Selection::default();
                for start in (0..row_group.rows()).step_by(CHUNK_ROWS) {
                    live.append(&row_group.live(start));
                }
                let rows = row_group.batch(&schema, &columns, 0, row_group.rows())?;
                if live.is_all() { Ok(rows) } else { Ok(filter_record_batch(&rows, &live.to_mask())?) }
            })
            .await
        }
    };
    stream::iter(row_groups).map(read).buffered(READ_AHEAD).boxed()
}
