//! Columnar shards on a worker's disk.

mod bound;
mod chunk;
mod directory;
mod error;
mod identity;
mod reader;
mod writer;
mod zone_map;

pub use bound::Bound;
pub use chunk::{ColumnChunk, Encoding};
pub use directory::ShardDirectory;
pub use error::{Result, StorageError};
pub use identity::{ShardId, ShardIdentity, TableId};
pub use reader::Shard;
pub use writer::{ShardReport, ShardWriter, stored_type};
pub use zone_map::{ColumnSummary, ZoneMap};

/// Rows of a row group, the unit of a zone map and of a morsel; the last row group of a shard may have fewer.
pub const ROW_GROUP_ROWS: usize = 65_536;

/// Bytes of a text bound at most.
pub const TEXT_BOUND_BYTES_MAX: usize = 64;
