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

use crate::prune::bound_value;
use crate::scan::{ScanTarget, ShardScanExec};

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
    /// One summary per column of the table, as its writer reported them.
    pub columns: Vec<ColumnSummary>,
}

/// A table whose rows lie in shards: one snapshot of it, since a change makes a new list of shards.
#[derive(Debug, Clone)]
pub struct ShardTable {
    /// `schema.table`, for people.
    pub name: String,
    /// The table's number.
    pub table: TableId,
    /// Its columns, as every shard stores them.
    pub schema: SchemaRef,
    /// Its shards in the order of their rows.
    pub shards: Arc<Vec<ShardPlacement>>,
    /// Output partitions of a scan; fewer than two are taken for two.
    pub partitions: usize,
}

impl ShardTable {
    /// What the placements say of the whole table.
    ///
    /// Row and NULL counts are exact. Bounds are exact where they are values that occur: not for text, whose bounds
    /// may be shortened, nor for columns with NaN, which the bounds leave out. Distinct counts of several shards add
    /// up to an upper bound.
    pub fn table_statistics(&self) -> Statistics {
        let rows: u64 = self.shards.iter().map(|shard| shard.rows).sum();
        let bytes: u64 = self.shards.iter().map(|shard| shard.bytes).sum();
        let columns = (0..self.schema.fields().len()).map(|column| self.column_statistics(column)).collect();
        Statistics {
            num_rows: exact(rows),
            total_byte_size: exact(bytes).to_inexact(),
            column_statistics: columns,
        }
    }

    fn column_statistics(&self, column: usize) -> ColumnStatistics {
        let unknown = ColumnStatistics::new_unknown();
        let data_type = self.schema.field(column).data_type();
        // Shards without rows say nothing, and their bounds are absent without making the others' inexact.
        let filled = self.shards.iter().filter(|shard| shard.rows > 0);
        let Some(summaries) =
            filled.map(|shard| Some((shard.rows, shard.columns.get(column)?))).collect::<Option<Vec<_>>>()
        else {
            return unknown;
        };
        let null_count = summaries.iter().map(|(_, summary)| summary.null_count).sum();
        let has_nan = summaries.iter().any(|(_, summary)| summary.nan_count > 0);
        let valued: Vec<&ColumnSummary> = summaries
            .iter()
            .filter(|(rows, summary)| summary.null_count + summary.nan_count < *rows)
            .map(|(_, summary)| *summary)
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

fn exact(count: u64) -> Precision<usize> {
    usize::try_from(count).map_or(Precision::Absent, Precision::Exact)
}

#[async_trait]
impl TableProvider for ShardTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let filter = conjunction(filters.to_vec())
            .map(|filter| {
                let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
                // Filters name their columns with the table's alias in the query; the scan has one table only.
                state.create_physical_expr(unqualified(filter)?, &schema)
            })
            .transpose()?;
        let target = ScanTarget {
            table: self.table,
            table_name: self.name.clone(),
            table_schema: Arc::clone(&self.schema),
            shards: self.shards.iter().map(|shard| shard.shard).collect(),
            worker: None,
            partitions: self.partitions,
        };
        let projection = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
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
