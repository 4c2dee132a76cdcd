//! Writes a shard.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::{ColumnSummary, Result, ShardDirectory, ShardIdentity};

/// Writes one shard file. Dropping it before [`finish`](Self::finish) leaves nothing behind.
pub struct ShardWriter {}

/// What the writer tells about the finished shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardReport {
    /// Which shard of which table was written.
    pub identity: ShardIdentity,
    /// Rows written.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Checksum of the footer, which holds the checksums of all else: equal in copies of the same shard.
    pub checksum: u32,
    /// One per column.
    pub columns: Vec<ColumnSummary>,
}

/// The type in which values of `data_type` are stored without loss, `None` if there is none.
pub fn stored_type(_data_type: &DataType) -> Option<DataType> {
    todo!()
}

impl ShardWriter {
    /// Starts a shard. The columns of `schema` are stored as [`stored_type`] says.
    pub fn create(_directory: &ShardDirectory, _identity: ShardIdentity, _schema: SchemaRef) -> Result<Self> {
        todo!()
    }
    /// Appends rows. Columns go by position.
    pub fn write(&mut self, _batch: &RecordBatch) -> Result<()> {
        todo!()
    }
    /// Makes the shard durable and visible.
    pub fn finish(self) -> Result<ShardReport> {
        todo!()
    }
}
