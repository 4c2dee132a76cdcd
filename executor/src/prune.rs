//! Row groups that a filter cannot match, told by their zone maps.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use quickdb_storage::{Bound, ZoneMap};

use crate::view::ShardView;

/// A filter, ready to be asked of zone maps.
#[derive(Debug)]
pub(crate) struct Pruner {
    predicate: Option<PruningPredicate>,
    schema: SchemaRef,
}

impl Pruner {
    /// A pruner for `filter` over the table's `schema`. A filter that says nothing about bounds keeps everything.
    pub(crate) fn new(filter: Option<&Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Self {
        let predicate = filter.and_then(|filter| {
            PruningPredicateBuilder::new()
                .with_file_schema(Arc::clone(schema))
                .try_build(Arc::clone(filter))
                .ok()
                .filter(|predicate| !predicate.always_true())
        });
        Self { predicate, schema: Arc::clone(schema) }
    }

    /// Whether a row group of `shard` may hold matching rows.
    pub(crate) fn keeps(&self, shard: &ShardView, row_group: usize) -> Result<bool> {
        let Some(predicate) = &self.predicate else { return Ok(true) };
        let kept = predicate.prune(&ZoneMaps { shard, schema: &self.schema, row_groups: &[row_group] })?;
        Ok(kept.first().copied().unwrap_or(true))
    }

    /// The row groups of `shard` that may hold matching rows, in order.
    pub(crate) fn keep(&self, shard: &ShardView) -> Result<Vec<usize>> {
        let row_groups: Vec<usize> =
            (0..shard.row_group_count()).filter(|&index| shard.live_rows(index) > 0).collect();
        let Some(predicate) = &self.predicate else { return Ok(row_groups) };
        let kept = predicate.prune(&ZoneMaps { shard, schema: &self.schema, row_groups: &row_groups })?;
        Ok(row_groups.into_iter().zip(kept).filter_map(|(index, kept)| kept.then_some(index)).collect())
    }
}

struct ZoneMaps<'a> {
    shard: &'a ShardView,
    schema: &'a SchemaRef,
    row_groups: &'a [usize],
}

impl ZoneMaps<'_> {
    fn bounds(
        &self,
        column: &Column,
        side: fn(&ZoneMap, &DataType) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let data_type = self.schema.fields().get(index)?.data_type();
        let null = ScalarValue::try_new_null(data_type).ok()?;
        let bounds = self.row_groups.iter().map(|&row_group| {
            side(self.shard.zone_map(row_group, index), data_type).unwrap_or_else(|| null.clone())
        });
        ScalarValue::iter_to_array(bounds).ok()
    }
}

impl PruningStatistics for ZoneMaps<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, greatest)
    }

    fn num_containers(&self) -> usize {
        self.row_groups.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let index = self.schema.index_of(&column.name).ok()?;
        let counts =
            self.row_groups.iter().map(|&row_group| self.shard.zone_map(row_group, index).null_count);
        Some(Arc::new(UInt64Array::from_iter_values(counts)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = self.row_groups.iter().map(|&row_group| self.shard.row_group_rows(row_group) as u64);
        Some(Arc::new(UInt64Array::from_iter_values(counts)))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// The least value of a row group in the order that comparisons use: NaN is the greatest value, and -0 is taken for
/// less than 0, since both match either.
fn least(zone_map: &ZoneMap, data_type: &DataType) -> Option<ScalarValue> {
    match &zone_map.min {
        Some(Bound::Float(min)) if *min == 0.0 => bound_value(&Bound::Float(-0.0), data_type),
        Some(min) => bound_value(min, data_type),
        None if only_nan(zone_map) => bound_value(&Bound::Float(f64::NAN), data_type),
        None => None,
    }
}

/// The greatest value of a row group; see [`least`].
fn greatest(zone_map: &ZoneMap, data_type: &DataType) -> Option<ScalarValue> {
    if zone_map.nan_count > 0 {
        return bound_value(&Bound::Float(f64::NAN), data_type);
    }
    match &zone_map.max {
        Some(Bound::Float(max)) if *max == 0.0 => bound_value(&Bound::Float(0.0), data_type),
        Some(max) => bound_value(max, data_type),
        None => None,
    }
}

fn only_nan(zone_map: &ZoneMap) -> bool {
    zone_map.nan_count > 0 && zone_map.nan_count + zone_map.null_count == zone_map.row_count
}

/// A bound as a value of the column's type; `None` when it is not of that type.
pub(crate) fn bound_value(bound: &Bound, data_type: &DataType) -> Option<ScalarValue> {
    use arrow::datatypes::TimeUnit;
    Some(match (bound, data_type) {
        (Bound::Bool(value), DataType::Boolean) => ScalarValue::Boolean(Some(*value)),
        (Bound::Int(value), DataType::Int16) => ScalarValue::Int16(Some(i16::try_from(*value).ok()?)),
        (Bound::Int(value), DataType::Int32) => ScalarValue::Int32(Some(i32::try_from(*value).ok()?)),
        (Bound::Int(value), DataType::Int64) => ScalarValue::Int64(Some(*value)),
        (Bound::Int(value), DataType::Date32) => ScalarValue::Date32(Some(i32::try_from(*value).ok()?)),
        (Bound::Int(value), DataType::Time64(TimeUnit::Microsecond)) => {
            ScalarValue::Time64Microsecond(Some(*value))
        }
        (Bound::Int(value), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.clone())
        }
        #[expect(clippy::cast_possible_truncation, reason = "a float32 column's bounds are float32 values")]
        (Bound::Float(value), DataType::Float32) => ScalarValue::Float32(Some(*value as f32)),
        (Bound::Float(value), DataType::Float64) => ScalarValue::Float64(Some(*value)),
        (Bound::Decimal(value), DataType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(*value), *precision, *scale)
        }
        (Bound::Text(value), DataType::Utf8View) => ScalarValue::Utf8View(Some(value.clone())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int32Array, RecordBatch, StringViewArray};
    use arrow::datatypes::{Field, Schema};
    use datafusion::common::DFSchema;
    use datafusion::execution::context::ExecutionProps;
    use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
    use datafusion::physical_expr::create_physical_expr;
    use datafusion::prelude::{Expr, col, lit};
    use quickdb_storage::{ROW_GROUP_ROWS, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("number", DataType::Int32, true),
            Field::new("real", DataType::Float64, true),
            Field::new("word", DataType::Utf8View, true),
        ]))
    }

    /// Three row groups: small numbers, large numbers with NaN, nothing but NULL.
    fn shard(directory: &ShardDirectory) -> ShardView {
        let identity =
            ShardIdentity { shard: ShardId(1), table: TableId(1), table_name: "public.t".to_owned() };
        let mut writer = ShardWriter::create(directory, identity, schema()).unwrap();
        let mut write = |number: Option<i32>, real: Option<f64>, word: Option<&str>| {
            let batch = RecordBatch::try_new(
                schema(),
                vec![
                    Arc::new(Int32Array::from(vec![number; ROW_GROUP_ROWS])),
                    Arc::new(
                        (0..ROW_GROUP_ROWS)
                            .map(|row| real.map(|real| if row == 5 { real } else { 50.0 }))
                            .collect::<Float64Array>(),
                    ),
                    Arc::new(StringViewArray::from(vec![word; ROW_GROUP_ROWS])),
                ],
            );
            writer.write(&batch.unwrap()).unwrap();
        };
        write(Some(1), Some(-0.0), Some("apple"));
        write(Some(1_000), Some(f64::NAN), Some("pear"));
        write(None, None, None);
        writer.finish().unwrap();
        ShardView::new(directory.shard(ShardId(1)).unwrap(), None, &schema()).unwrap()
    }

    fn text(value: &str) -> Expr {
        lit(ScalarValue::Utf8View(Some(value.to_owned())))
    }

    fn check(filter: Expr, expected: &[usize]) {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let shard = shard(&directory);
        let schema = schema();
        let columns = DFSchema::try_from(Arc::clone(&schema)).unwrap();
        let expr = create_physical_expr(
            &filter,
            &columns,
            &ExecutionProps::new(),
            &PhysicalPlanningContext::default(),
        )
        .unwrap();
        let pruner = Pruner::new(Some(&expr), &schema);
        assert_eq!(pruner.keep(&shard).unwrap(), expected, "{filter}");
        for row_group in 0..3 {
            assert_eq!(pruner.keeps(&shard, row_group).unwrap(), expected.contains(&row_group), "{filter}");
        }
    }

    #[test]
    fn bounds_and_nulls_prune() {
        check(col("number").lt(lit(10)), &[0]);
        check(col("number").gt_eq(lit(1_000)), &[1]);
        check(col("number").is_null(), &[2]);
        check(col("number").is_not_null(), &[0, 1]);
        check(col("word").eq(text("apple")), &[0]);
        check(col("word").gt(text("b")).and(col("number").gt(lit(5))), &[1]);
        check(col("number").gt(lit(5_000)), &[]);
    }

    #[test]
    fn a_row_group_with_nan_may_hold_what_is_greater_than_all() {
        check(col("real").gt(lit(1e300)), &[1]);
        check(col("real").eq(lit(f64::NAN)), &[1]);
        check(col("real").lt(lit(20.0)), &[0]);
    }

    #[test]
    fn zeros_of_both_signs_are_one_value() {
        check(col("real").eq(lit(0.0)), &[0]);
        check(col("real").lt_eq(lit(-0.0)), &[0]);
    }
}
