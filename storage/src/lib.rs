//! Columnar shards on a worker's disk: their format, writer, reader and zone maps.
//!
//! ```text
//!  table flights (id 7)                        known to the catalogue only
//!  ├── shard 0000000000000001.qdb ── worker A  one immutable file, memory-mapped   Shard, ShardWriter
//!  ├── shard 0000000000000002.qdb ── worker B
//!  └── ...
//!
//!                       column 0        column 1       column 2
//!                       (int)           (text)         (float)
//!                                      dictionary ◀──────────────── one per shard and text column
//!  row group 0         ┌────────────┐ ┌────────────┐ ┌────────────┐
//!  65,536 rows         │ column     │ │ codes      │ │ values     │
//!                      │ chunk      │ │            │ │ validity ◀───── segments: encoded bytes,
//!                      │ + zone map │ │ + zone map │ │ + zone map │    64-byte aligned, checksummed
//!                      └────────────┘ └────────────┘ └────────────┘
//!  row group 1         ┌────────────┐ ┌────────────┐ ┌────────────┐
//!  the rest            │    ...     │ │    ...     │ │    ...     │
//!                      └────────────┘ └────────────┘ └────────────┘
//!
//!  RecordBatch ──▶ ShardWriter ──▶ NAME.tmp ── fsync, rename ──▶ NAME.qdb ──▶ Shard ──▶ ColumnChunk
//!                                                                              mmap      Arrow arrays into the map
//! ```
//!
//! The writer picks an [`Encoding`] for each chunk: constants, two values, packed integers, floats that are decimals in
//! disguise, dictionary codes, compressed strings, or values as they are. A shard is read whole chunks at a time: plain
//! values and bitmaps become Arrow arrays that point into the memory map, all else stays packed in its [`ColumnChunk`]
//! until some of its rows are asked for. [`ZoneMap`]s say beforehand which row groups cannot matter. Damaged bytes give
//! [`StorageError::Corrupt`], never a wrong value. The format is specified in `FORMAT.md` beside this crate.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{Int32Array, RecordBatch};
//! use quickdb_storage::{Bound, ColumnChunk, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let directory = ShardDirectory::open(folder.path())?;
//! let identity = ShardIdentity { shard: ShardId(1), table: TableId(7), table_name: "public.t".into() };
//! let batch = RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![3, 4])) as _)])?;
//!
//! let mut writer = ShardWriter::create(&directory, identity, batch.schema())?;
//! writer.write(&batch)?;
//! writer.finish()?;
//!
//! let shard = directory.shard(ShardId(1))?;
//! assert_eq!(shard.zone_map(0, 0).max, Some(Bound::Int(4)));
//! let array = shard.column(0, 0)?.into_array();
//! assert_eq!(&array, batch.column(0));
//! # Ok(())
//! # }
//! ```

mod bound;
mod catalogue_copy;
mod checked_set;
mod chunk;
mod chunk_reader;
mod chunk_writer;
mod codes;
mod column_writer;
mod decoder;
mod deletions;
mod dictionary;
mod directory;
mod error;
mod footer;
mod format;
mod identity;
mod image;
mod layout;
mod mmap;
mod packed;
mod packed_chunk;
mod physical;
mod reader;
mod receiver;
mod repeated;
mod scaled;
mod schema;
mod segment;
mod space;
mod string_hash;
mod string_writer;
mod verify;
mod writer;
mod zone_map;

pub use bound::Bound;
pub use catalogue_copy::{CatalogueCopy, CatalogueRun};
pub use chunk::{ColumnChunk, Encoding};
pub use codes::Codes;
pub use deletions::{Deletions, DeletionsId};
pub use directory::ShardDirectory;
pub use error::{Result, StorageError};
pub use identity::{ShardId, ShardIdentity, TableId};
pub use image::ShardImage;
pub use packed_chunk::PackedChunk;
pub use reader::Shard;
pub use receiver::ShardReceiver;
pub use repeated::{ConstantChunk, TwoValuesChunk};
pub use roaring::RoaringBitmap;
pub use schema::stored_type;
pub use space::{DiskLimits, bytes_free};
pub use writer::{ShardReport, ShardWriter};
pub use zone_map::{ColumnSummary, ZoneMap};

/// Rows of a row group, the unit of a zone map and of a morsel; the last row group of a shard may have fewer.
pub const ROW_GROUP_ROWS: usize = 65_536;

/// Bytes of a text [`Bound`] at most: enough for the common prefixes of URLs and paths, and little in a footer.
pub const TEXT_BOUND_BYTES_MAX: usize = 64;
