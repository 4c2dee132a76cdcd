//! A shard as a query sees it: with the table's columns of today and without deleted rows.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use arrow::error::ArrowError;
use datafusion::error::Result;
use quickdb_storage::{
    Bound, Codes, ColumnChunk, Deletions, Encoding, ROW_GROUP_ROWS, Shard, ShardIdentity, StorageError,
    ZoneMap,
};

use crate::columns::{ColumnSource, constant_zone_map, find_columns};
use crate::table::TAIL_SHARD;

/// A shard, or a tail, with what the catalogue says of it now. Columns are those of the table by position.
///
/// The methods are those of [`Shard`] and mean the same; rows and row groups are numbered as they lie in the shard,
/// deleted rows included.
pub(crate) struct ShardView {
    shard: Arc<Shard>,
    columns: Vec<ViewColumn>,
    deletions: Option<Arc<Deletions>>,
}

enum ViewColumn {
    Stored(usize),
    Made(MadeColumn),
}

/// A column whose values are not in the shard.
struct MadeColumn {
    source: ColumnSource,
    /// By row group.
    zone_maps: Vec<ZoneMap>,
    /// A constant in all rows of the first row group, which has no fewer than the others.
    rows: OnceLock<ColumnChunk>,
}

impl ShardView {
    /// The view of `shard` for a table with the columns `schema`.
    ///
    /// # Errors
    /// `Internal` when the columns do not fit.
    pub(crate) fn new(shard: Arc<Shard>, deletions: Option<Arc<Deletions>>, schema: &Schema) -> Result<Self> {
        let sources = find_columns(shard.schema(), schema)?;
        let columns = sources.into_iter().map(|source| match source {
            ColumnSource::Stored(column) => ViewColumn::Stored(column),
            source => ViewColumn::Made(MadeColumn::new(source, &shard)),
        });
        Ok(Self { columns: columns.collect(), shard, deletions })
    }

    pub(crate) fn identity(&self) -> &ShardIdentity {
        self.shard.identity()
    }

    /// Whether this is a table's tail and no shard of a worker.
    pub(crate) fn is_tail(&self) -> bool {
        self.identity().shard == TAIL_SHARD
    }

    pub(crate) fn column_count(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.shard.row_count()
    }

    pub(crate) fn row_group_count(&self) -> usize {
        self.shard.row_group_count()
    }

    pub(crate) fn row_group_rows(&self, row_group: usize) -> usize {
        self.shard.row_group_rows(row_group)
    }

    /// Rows of a row group that are not deleted.
    pub(crate) fn live_rows(&self, row_group: usize) -> usize {
        let deleted = self.deletions.as_ref().map_or(0, |deletions| deletions.deleted_rows(row_group));
        self.row_group_rows(row_group).saturating_sub(deleted)
    }

    /// A bit for each row of a row group that is not deleted; see [`Deletions::live_words`].
    pub(crate) fn live_words(&self, row_group: usize) -> Option<&[u64]> {
        self.deletions.as_ref()?.live_words(row_group)
    }

    /// Counts and bounds of all rows, the deleted ones included: what is left lies within the bounds, and is NULL
    /// everywhere or nowhere where all rows are.
    pub(crate) fn zone_map(&self, row_group: usize, column: usize) -> &ZoneMap {
        match self.column_of(column) {
            ViewColumn::Stored(stored) => self.shard.zone_map(row_group, *stored),
            ViewColumn::Made(made) => made.zone_map(row_group),
        }
    }

    pub(crate) fn encoding(&self, row_group: usize, column: usize) -> Encoding {
        match self.column_of(column) {
            ViewColumn::Stored(stored) => self.shard.encoding(row_group, *stored),
            ViewColumn::Made(made) => made.encoding(),
        }
    }

    pub(crate) fn dictionary(&self, column: usize) -> Result<Option<Arc<StringViewArray>>, StorageError> {
        match self.column_of(column) {
            ViewColumn::Stored(stored) => self.shard.dictionary(*stored),
            ViewColumn::Made(made) => Ok(made.dictionary()),
        }
    }

    pub(crate) fn column(&self, row_group: usize, column: usize) -> Result<ColumnChunk, StorageError> {
        match self.column_of(column) {
            ViewColumn::Stored(stored) => self.shard.column(row_group, *stored),
            ViewColumn::Made(made) => made.chunk(&self.shard, row_group).map_err(|source| {
                StorageError::Convert { column: "added after the shard was written".to_owned(), source }
            }),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "as a shard's own methods, these are for columns that exist")]
    fn column_of(&self, column: usize) -> &ViewColumn {
        &self.columns[column]
    }
}

impl MadeColumn {
    fn new(source: ColumnSource, shard: &Shard) -> Self {
        let zone_map = |row_group: usize| {
            let rows = shard.row_group_rows(row_group) as u64;
            let between = |least, greatest| ZoneMap {
                row_count: rows,
                null_count: 0,
                nan_count: 0,
                min: Some(Bound::Int(least)),
                max: Some(Bound::Int(greatest)),
            };
            match &source {
                ColumnSource::RowNumber => {
                    let first = first_row(row_group);
                    between(first, first.saturating_add_unsigned(rows.saturating_sub(1)))
                }
                ColumnSource::Constant(value) => constant_zone_map(value, rows),
                ColumnSource::ShardNumber | ColumnSource::Stored(_) => {
                    let number = shard.identity().shard.0.cast_signed();
                    between(number, number)
                }
            }
        };
        let zone_maps = (0..shard.row_group_count()).map(zone_map).collect();
        Self { source, zone_maps, rows: OnceLock::new() }
    }

    #[expect(clippy::indexing_slicing, reason = "as a shard's own method, this is for row groups that exist")]
    fn zone_map(&self, row_group: usize) -> &ZoneMap {
        &self.zone_maps[row_group]
    }

    fn encoding(&self) -> Encoding {
        match &self.source {
            ColumnSource::Constant(value) if value.is_null(0) => Encoding::AllNull,
            ColumnSource::Constant(value) => match value.data_type() {
                DataType::Utf8View => Encoding::Dictionary,
                DataType::Boolean => Encoding::Bits,
                DataType::BinaryView => Encoding::Strings,
                _ => Encoding::Plain,
            },
            _ => Encoding::Plain,
        }
    }

    /// A text that is the same in all rows is the only one of its dictionary.
    fn dictionary(&self) -> Option<Arc<StringViewArray>> {
        match &self.source {
            ColumnSource::Constant(value) if value.is_valid(0) => {
                value.as_string_view_opt().map(|value| Arc::new(value.clone()))
            }
            _ => None,
        }
    }

    fn chunk(&self, shard: &Shard, row_group: usize) -> Result<ColumnChunk, ArrowError> {
        let rows = shard.row_group_rows(row_group);
        let first = first_row(row_group);
        if let ColumnSource::RowNumber = self.source {
            let end = first.saturating_add_unsigned(rows as u64);
            return Ok(ColumnChunk::Array(Arc::new(Int64Array::from_iter_values(first..end))));
        }
        let all = match self.rows.get() {
            Some(all) => all,
            None => {
                let all = self.constant(shard)?;
                self.rows.get_or_init(|| all)
            }
        };
        Ok(match all {
            ColumnChunk::Dictionary { codes, dictionary } => ColumnChunk::Dictionary {
                codes: Codes::from(codes.slice(0, rows)),
                dictionary: Arc::clone(dictionary),
            },
            all => ColumnChunk::Array(all.slice(0, rows)),
        })
    }

    /// The value in as many rows as a row group of the shard has at most.
    fn constant(&self, shard: &Shard) -> Result<ColumnChunk, ArrowError> {
        let zeros = UInt32Array::from(vec![0; shard.row_group_rows(0)]);
        if let Some(dictionary) = self.dictionary() {
            return Ok(ColumnChunk::Dictionary { codes: Codes::from(zeros), dictionary });
        }
        let number: ArrayRef = Arc::new(Int64Array::from(vec![shard.identity().shard.0.cast_signed()]));
        let value = match &self.source {
            ColumnSource::Constant(value) => value,
            _ => &number,
        };
        take(value.as_ref(), &zeros, None).map(ColumnChunk::Array)
    }
}

fn first_row(row_group: usize) -> i64 {
    i64::try_from(row_group.saturating_mul(ROW_GROUP_ROWS)).unwrap_or(i64::MAX)
}
