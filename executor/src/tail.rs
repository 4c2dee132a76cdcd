//! The rows of a table that lie in no shard yet.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use quickdb_storage::{Shard, ShardId, ShardIdentity, ShardImage, StorageError, TableId};

use crate::error::{ErrorKind, ExecError};

/// The number under which the rows of a tail appear; no shard has it.
pub const TAIL_SHARD: ShardId = ShardId(0);

/// The last rows of a table, after those of all shards: rows of small INSERTs, which are durable elsewhere and few
/// enough to be sent with a query.
///
/// Scans see it as one more shard: at the first one its rows are written as a shard in memory, which later ones share.
/// So whoever makes it keeps it with the catalogue snapshot that it belongs to.
pub struct Tail {
    /// Its rows, at most `u32::MAX`.
    pub rows: u64,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    image: Mutex<Option<Arc<TailImage>>>,
}

/// A tail as a shard.
pub(crate) struct TailImage {
    pub(crate) image: ShardImage,
    pub(crate) shard: Arc<Shard>,
}

impl Tail {
    /// The rows of `batches` in order, whose columns are those of `schema`, the table's present one. Deleted rows are
    /// left out by whoever gathers the batches.
    ///
    /// # Errors
    /// `Internal` when a batch does not have these columns.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let fits = |batch: &RecordBatch| {
            let found = batch.columns().iter().map(|column| column.data_type());
            found.eq(schema.fields().iter().map(|field| field.data_type()))
        };
        if !batches.iter().all(fits) {
            return Err(internal("columns of a tail do not match those of its table"));
        }
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        Ok(Self { rows, schema, batches, image: Mutex::default() })
    }

    /// The rows as they were given; none of a tail that was sent to this process.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// A tail that was sent here as the bytes of its image.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Self> {
        let opened = TailImage::open(ShardImage::copy_of(bytes)).map_err(explain)?;
        Ok(Self {
            rows: opened.shard.row_count(),
            schema: Arc::clone(opened.shard.schema()),
            batches: vec![],
            image: Mutex::new(Some(Arc::new(opened))),
        })
    }

    /// The tail as a shard.
    ///
    /// # Errors
    /// That of a type which cannot be stored.
    pub(crate) fn image(&self) -> Result<Arc<TailImage>> {
        // Others wait for the one who writes it: it is no more work for them than writing it themselves.
        let mut image = self.image.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = image.as_ref() {
            return Ok(Arc::clone(image));
        }
        let identity = ShardIdentity { shard: TAIL_SHARD, table: TableId(0), table_name: "tail".to_owned() };
        let written = ShardImage::write(identity, &self.schema, &self.batches)
            .and_then(|(_, written)| TailImage::open(written))
            .map_err(explain)?;
        let written = Arc::new(written);
        *image = Some(Arc::clone(&written));
        Ok(written)
    }
}

impl TailImage {
    fn open(image: ShardImage) -> Result<Self, StorageError> {
        let shard = Arc::new(image.open()?);
        Ok(Self { image, shard })
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("rows", &self.rows).finish_non_exhaustive()
    }
}

fn explain(error: StorageError) -> DataFusionError {
    internal(&format!("the tail of a table cannot be read: {error}"))
}

fn internal(message: &str) -> DataFusionError {
    ExecError::new(ErrorKind::Internal, message).into_datafusion()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::Schema;

    fn batch(rows: i32) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from_iter_values(0..rows)) as ArrayRef)])
            .unwrap()
    }

    #[test]
    fn a_tail_is_written_once_and_survives_the_trip() {
        let tail = Tail::new(batch(0).schema(), vec![batch(3), batch(0), batch(4)]).unwrap();
        let image = tail.image().unwrap();
        assert!(Arc::ptr_eq(&image, &tail.image().unwrap()));
        assert_eq!((tail.rows, image.shard.row_count()), (7, 7));
        let sent = Tail::of_bytes(image.image.bytes()).unwrap();
        assert_eq!(sent.rows, 7);
        assert_eq!(sent.image().unwrap().image, image.image);
        assert!(Tail::of_bytes(&image.image.bytes()[1..]).is_err());
    }

    #[test]
    fn other_columns_are_refused() {
        assert!(Tail::new(Arc::new(Schema::empty()), vec![batch(1)]).is_err());
    }
}
