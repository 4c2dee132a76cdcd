//! One row group, whose columns are read when they are first asked for.

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use quickdb_kernels::bitmap;
use quickdb_storage::ColumnChunk;

use crate::error::{ErrorKind, ExecError};
use crate::selection::{CHUNK_ROWS, Selection};
use crate::store::ShardStore;
use crate::view::ShardView;

/// A row group of a shard. One thread works on it.
pub(crate) struct RowGroup {
    store: Arc<ShardStore>,
    shard: Arc<ShardView>,
    index: usize,
    rows: usize,
    chunks: Vec<OnceCell<ColumnChunk>>,
    /// The rows of each column that were asked for last: a predicate and an aggregate often want the same.
    slices: Vec<RefCell<Option<Slice>>>,
    bytes: Cell<usize>,
}

/// Some rows of a column, decoded.
struct Slice {
    start: usize,
    array: ArrayRef,
}

impl RowGroup {
    /// Row group `index` of `shard`, nothing of it read yet.
    pub(crate) fn new(store: Arc<ShardStore>, shard: Arc<ShardView>, index: usize) -> Self {
        if !shard.is_tail() {
            store.count_read(shard.identity().shard, shard.row_group_rows(index));
        }
        Self::sample(store, shard, index)
    }

    /// The same for a look at some rows before the row group is read in earnest: it does not count as read.
    pub(crate) fn sample(store: Arc<ShardStore>, shard: Arc<ShardView>, index: usize) -> Self {
        let columns = shard.column_count();
        let rows = shard.row_group_rows(index);
        Self {
            store,
            shard,
            index,
            rows,
            chunks: (0..columns).map(|_| OnceCell::new()).collect(),
            slices: (0..columns).map(|_| RefCell::default()).collect(),
            bytes: Cell::new(0),
        }
    }

    /// The shard that it belongs to.
    pub(crate) fn shard(&self) -> &Arc<ShardView> {
        &self.shard
    }

    /// Its rows, deleted ones included.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows of the chunk that begins at row `start` but for the deleted ones.
    pub(crate) fn live(&self, start: usize) -> Selection {
        let mut selection = Selection::all(CHUNK_ROWS.min(self.rows.saturating_sub(start)));
        if let Some(words) = self.shard.live_words(self.index) {
            let first = start / bitmap::WORD_ROWS;
            let words = words.get(first..first + bitmap::words_for(selection.rows()));
            selection.and(words.unwrap_or_default());
        }
        selection
    }

    /// How many columns the table has.
    pub(crate) fn column_count(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of the columns read so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.get()
    }

    /// A column as it is stored: text as codes where it has a dictionary, numbers packed.
    pub(crate) fn chunk(&self, column: usize) -> Result<&ColumnChunk> {
        let cell = self.chunks.get(column).ok_or_else(|| missing(column))?;
        if let Some(chunk) = cell.get() {
            return Ok(chunk);
        }
        let chunk = self.shard.column(self.index, column).map_err(|error| self.store.explain(error))?;
        self.bytes.set(self.bytes.get() + chunk.bytes());
        Ok(cell.get_or_init(|| chunk))
    }

    /// `rows` rows from `start` of a column, as an array of its type; text is Utf8View.
    pub(crate) fn slice(&self, column: usize, start: usize, rows: usize) -> Result<ArrayRef> {
        let chunk = self.chunk(column)?;
        if let ColumnChunk::Array(array) = chunk {
            return Ok(array.slice(start, rows));
        }
        let mut last = self.slices.get(column).ok_or_else(|| missing(column))?.borrow_mut();
        if let Some(last) = last.as_ref()
            && last.start == start
            && last.array.len() == rows
        {
            return Ok(Arc::clone(&last.array));
        }
        let array = chunk.slice(start, rows);
        *last = Some(Slice { start, array: Arc::clone(&array) });
        Ok(array)
    }

    /// `rows` rows from `start` of some columns.
    pub(crate) fn batch(
        &self,
        schema: &SchemaRef,
        columns: &[usize],
        start: usize,
        rows: usize,
    ) -> Result<RecordBatch> {
        let arrays =
            columns.iter().map(|&column| self.slice(column, start, rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

fn missing(column: usize) -> datafusion::error::DataFusionError {
    ExecError::new(ErrorKind::Internal, format!("shard has no column {column}")).into_datafusion()
}
