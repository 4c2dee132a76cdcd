//! A sharded table as DataFusion's planner sees it.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Statistics};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use quickdb_storage::{ColumnSummary, ShardId, TableId};

use crate::columns::{missing_summary, with_row_ids, without_private};
use crate::prune::bound_value;
use crate::scan::{ScanTarget, ShardScanExec};

pub use crate::columns::{
    COLUMN_KEY, MISSING_KEY, ROW_COLUMN, SHARD_COLUMN, missing_value, parse_missing_value,
};
pub use crate::scan::ShardRef;
pub use crate::tail::{TAIL_SHARD, Tail};
pub use quickdb_storage::RoaringBitmap;

/// Number of a worker, given out by the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u32);

/// Where a shard lies and what is known about it without reading it.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardPlacement {
    /// The shard.
    pub shard: ShardId,
    /// The workers that hold a copy, the preferred one first.
    pub workers: Vec<WorkerId>,
    /// Its rows.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// One summary for each of the table's present columns, in their order, as the shard's writer reported them;
    /// `None` for a column that is younger than the shard. Deleted rows are counted in.
    pub columns: Vec<Option<ColumnSummary>>,
    /// Its deletion vector, where rows are deleted.
    pub deletions: Option<DeletionRef>,
}

/// The deletion vector of a shard in one snapshot of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeletionRef {
    /// Its number, not used for another one of the same shard.
    pub version: u64,
    /// How many rows it names.
    pub rows: u64,
}

impl ShardPlacement {
    /// Rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows.saturating_sub(self.deletions.map_or(0, |deletions| deletions.rows))
    }

    /// The shard as scans name it.
    pub fn shard_ref(&self) -> ShardRef {
        ShardRef { shard: self.shard, deletions: self.deletions.map(|deletions| deletions.version) }
    }
}

/// A table whose rows lie in shards: one snapshot of it, since a change makes a new list of shards.
#[derive(Debug, Clone)]
pub struct ShardTable {
    /// `schema.table`, for people.
    pub name: String,
    /// The table's number.
    pub table: TableId,
    /// Its present columns. Their metadata says how they are found in older shards: [`COLUMN_KEY`], [`MISSING_KEY`].
    pub schema: SchemaRef,
    /// Its shards in the order of their rows.
    pub shards: Arc<Vec<ShardPlacement>>,
    /// The rows after those of the shards.
    pub tail: Option<Arc<Tail>>,
    /// Whether there are two more columns at the end, for statements that name rows: [`SHARD_COLUMN`], the number of
    /// the shard ([`TAIL_SHARD`] in the tail), and [`ROW_COLUMN`], that of the row in it, from 0. Rows keep their
    /// number when others are deleted.
    pub row_ids: bool,
    /// Output partitions of a scan; fewer than two are taken for two.
    pub partitions: usize,
}

impl ShardTable {
    /// What the placements say of the whole table.
    ///
    /// Row counts are exact. NULL counts are so unless rows were deleted or there is a tail, and bounds besides only
    /// where they are values that occur: not for text, whose bounds may be shortened, nor for columns with NaN, which
    /// the bounds leave out. Distinct counts of several shards add up to an upper bound.
    pub fn table_statistics(&self) -> Statistics {
        let rows: u64 = self.shards.iter().map(ShardPlacement::live_rows).sum();
        let rows = rows + self.tail.as_ref().map_or(0, |tail| tail.rows);
        let bytes: u64 = self.shards.iter().map(|shard| shard.bytes).sum();
        let is_whole =
            self.shards.iter().all(|shard| shard.deletions.is_none_or(|deleted| deleted.rows == 0))
                && self.tail.as_ref().is_none_or(|tail| tail.rows == 0);
        let known = (0..self.schema.fields().len()).map(|column| {
            let statistics = self.column_statistics(column);
            if is_whole { statistics } else { statistics.to_inexact() }
        });
        let row_ids = if self.row_ids { 2 } else { 0 };
        let columns = known.chain(std::iter::repeat_n(ColumnStatistics::new_unknown(), row_ids)).collect();
        Statistics {
            num_rows: exact(rows),
            total_byte_size: exact(bytes).to_inexact(),
            column_statistics: columns,
        }
    }

    fn column_statistics(&self, column: usize) -> ColumnStatistics {
        let unknown = ColumnStatistics::new_unknown();
        let field = self.schema.field(column);
        let data_type = field.data_type();
        // Shards without rows say nothing, and their bounds are absent without making the others' inexact.
        let filled = self.shards.iter().filter(|shard| shard.rows > 0);
        let summary = |shard: &ShardPlacement| match shard.columns.get(column)? {
            Some(summary) => Some((shard.rows, summary.clone())),
            None => Some((shard.rows, missing_summary(field, shard.rows).ok()?)),
        };
        let Some(summaries) = filled.map(summary).collect::<Option<Vec<_>>>() else {
            return unknown;
        };
        let null_count = summaries.iter().map(|(_, summary)| summary.null_count).sum();
        let has_nan = summaries.iter().any(|(_, summary)| summary.nan_count > 0);
        let valued: Vec<&ColumnSummary> = summaries
            .iter()
            .filter(|(rows, summary)| summary.null_count + summary.nan_count < *rows)
            .map(|(_, summary)| summary)
            .collect();
        let least = valued.iter().map(|summary| summary.min.as_ref()).collect::<Option<Vec<_>>>();
        let greatest = valued.iter().map(|summary| summary.max.as_ref()).collect::<Option<Vec<_>>>();
        let occurs = !has_nan && !matches!(data_type, arrow::datatypes::DataType::Utf8View);
        let bound = |bound: Option<&quickdb_storage::Bound>| match bound
            .and_then(|bound| bound_value(bound, data_type))
        {
            Some(value) if occurs => Precision::Exact(value),
            Some(value) => Precision::Inexact(value),
            None => Precision::Absent,
        };
        let distinct: Option<u64> = valued.iter().map(|summary| summary.distinct).sum();
        ColumnStatistics {
            null_count: exact(null_count),
            min_value: bound(least.and_then(|bounds| bounds.into_iter().min())),
            max_value: bound(greatest.and_then(|bounds| bounds.into_iter().max())),
            distinct_count: match distinct {
                Some(count) if valued.len() <= 1 && !has_nan => exact(count),
                Some(count) => exact(count).to_inexact(),
                None => Precision::Absent,
            },
            ..unknown
        }
    }
}

impl ShardTable {
    /// The columns of a scan, with the metadata by which they are found.
    fn scan_schema(&self) -> SchemaRef {
        if self.row_ids { with_row_ids(&self.schema) } else { Arc::clone(&self.schema) }
    }
}

fn exact(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

#[async_trait]
impl TableProvider for ShardTable {
    fn schema(&self) -> SchemaRef {
        without_private(&self.scan_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let table_schema = self.scan_schema();
        let filter = conjunction(filters.to_vec())
            .map(|filter| {
                let schema = DFSchema::try_from(without_private(&table_schema))?;
                // Filters name their columns with the table's alias in the query; the scan has one table only.
                state.create_physical_expr(unqualified(filter)?, &schema)
            })
            .transpose()?;
        let target = ScanTarget {
            table: self.table,
            table_name: self.name.clone(),
            table_schema: Arc::clone(&table_schema),
            shards: self.shards.iter().map(ShardPlacement::shard_ref).collect(),
            tail: self.tail.as_ref().filter(|tail| tail.rows > 0).map(Arc::clone),
            worker: None,
            partitions: self.partitions,
        };
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..table_schema.fields().len()).collect(),
        };
        let scan = ShardScanExec::try_new(target, projection, filter, limit)?;
        Ok(Arc::new(scan.with_table_statistics(Arc::new(self.table_statistics()))))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                if filter.is_volatile() || has_subquery(filter) {
                    TableProviderFilterPushDown::Unsupported
                } else {
                    TableProviderFilterPushDown::Exact
                }
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        Some(self.table_statistics())
    }
}

fn has_subquery(filter: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    filter
        .exists(|expr| {
            Ok(matches!(
                expr,
                Expr::Exists(_)
                    | Expr::InSubquery(_)
                    | Expr::ScalarSubquery(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
            ))
        })
        .unwrap_or(true)
}

fn unqualified(filter: Expr) -> Result<Expr> {
    use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
    filter
        .transform(|expr| {
            Ok(match expr {
                Expr::Column(mut column) if column.relation.is_some() => {
                    column.relation = None;
                    Transformed::yes(Expr::Column(column))
                }
                expr => Transformed::no(expr),
            })
        })
        .data()
}
