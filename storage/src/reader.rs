//! An open shard.

use arrow::datatypes::SchemaRef;

use crate::{ColumnChunk, ColumnSummary, Encoding, Result, ShardIdentity, ZoneMap};

/// An open, immutable, memory-mapped shard file. Any number of threads may read it at once.
pub struct Shard {}

impl Shard {
    /// Which shard of which table this is.
    pub fn identity(&self) -> &ShardIdentity {
        todo!()
    }
    /// The columns, with the metadata of schema and fields.
    pub fn schema(&self) -> &SchemaRef {
        todo!()
    }
    /// Rows of the shard.
    pub fn row_count(&self) -> u64 {
        todo!()
    }
    /// Row groups of the shard; all but the last have [`ROW_GROUP_ROWS`](crate::ROW_GROUP_ROWS) rows.
    pub fn row_group_count(&self) -> usize {
        todo!()
    }
    /// Rows of a row group.
    pub fn row_group_rows(&self, _row_group: usize) -> usize {
        todo!()
    }
    /// What is known about a chunk.
    pub fn zone_map(&self, _row_group: usize, _column: usize) -> &ZoneMap {
        todo!()
    }
    /// What is known about a column.
    pub fn summary(&self, _column: usize) -> &ColumnSummary {
        todo!()
    }
    /// How a chunk is laid out.
    pub fn encoding(&self, _row_group: usize, _column: usize) -> Encoding {
        todo!()
    }
    /// Reads a chunk.
    pub fn column(&self, _row_group: usize, _column: usize) -> Result<ColumnChunk> {
        todo!()
    }
    /// Checks everything.
    pub fn verify(&self) -> Result<()> {
        todo!()
    }
    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Checksum of the footer, which holds the checksums of all else.
    pub fn checksum(&self) -> u32 {
        todo!()
    }
}
