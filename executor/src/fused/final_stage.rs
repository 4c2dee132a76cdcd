//! Where the final aggregate runs: few groups are gathered and finished in one place.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, ExecutionPlan, ExecutionPlanProperties, ReplaceChildrenOptions,
};

use super::exec::ShardAggregateExec;

/// Up to this many groups are gathered and finished by one task. Shuffling costs a stage, 1-2 ms with two workers and
/// more with each further one; merging 100,000 groups from four workers costs about as much.
pub const GATHERED_GROUPS_MAX: usize = 100_000;

/// Lets fused aggregates give results, and removes the final aggregates above them; a shuffle stays where it was, now of
/// results. For plans whose rows all lie in this process.
pub(super) fn finish_in_place(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = rearranged(plan, &|aggregate| Ok(finished(aggregate).map(|(finished, _)| finished)))?;
    // What is left is relied on for its partitions.
    plan.transform_up(|node| {
        let aggregate = node.downcast_ref::<AggregateExec>();
        let Some((finished, groups)) = aggregate.and_then(finished) else { return Ok(Transformed::no(node)) };
        let partitioned = match node.output_partitioning() {
            Partitioning::Hash(_, partitions) => Partitioning::Hash(groups, *partitions),
            _ => return Ok(Transformed::no(node)),
        };
        Ok(Transformed::yes(Arc::new(RepartitionExec::try_new(finished, partitioned)?) as _))
    })
    .data()
}

/// The fused aggregate below a final one as one that gives results, and the columns of its keys; `None` when there is
/// none, or no keys, or an early end is wanted.
fn finished(aggregate: &AggregateExec) -> Option<(Arc<dyn ExecutionPlan>, Vec<Arc<dyn PhysicalExpr>>)> {
    let input = match aggregate.mode() {
        AggregateMode::FinalPartitioned => {
            let shuffle = aggregate.input().downcast_ref::<RepartitionExec>()?;
            matches!(shuffle.partitioning(), Partitioning::Hash(..)).then(|| shuffle.input())?
        }
        AggregateMode::Final => {
            let gather = aggregate.input().downcast_ref::<CoalescePartitionsExec>()?;
            gather.fetch().is_none().then(|| gather.input())?
        }
        _ => return None,
    };
    let fused = input.downcast_ref::<ShardAggregateExec>()?;
    let groups = aggregate.group_expr();
    let wanted = !groups.is_empty()
        && !groups.has_grouping_set()
        && aggregate.limit_options().is_none()
        && aggregate.aggr_expr().len() == fused.aggregate().aggr_expr().len();
    let finished = fused.finished(aggregate.schema());
    wanted.then(|| (Arc::new(finished) as Arc<dyn ExecutionPlan>, groups.output_exprs()))
}

/// Replaces `FinalPartitioned <- shuffle <- fused aggregate` by `Final <- gather <- fused aggregate` where the groups
/// are few and nothing above relies on the shuffle's partitions.
pub(super) fn gather_few_groups(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    rearranged(plan, &finish_in_one_place)
}

type Replace<'a> = &'a dyn Fn(&AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>>;

/// Replaces final aggregates whose partitions nothing above relies on.
///
/// A node above relies on them unless everything between it and the aggregate works on each partition by itself, up
/// to a node that gathers or spreads the partitions anew, or the root.
fn rearranged(plan: Arc<dyn ExecutionPlan>, replace: Replace<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = match gathered(&plan, replace)? {
        Some(gathered) => gathered,
        None => plan,
    };
    plan.transform_down(|node| {
        if !regroups(&node) {
            return Ok(Transformed::no(node));
        }
        let [child] = node.children()[..] else { return Ok(Transformed::no(node)) };
        match gathered(child, replace)? {
            Some(child) => Ok(Transformed::yes(replaced(&node, child)?)),
            None => Ok(Transformed::no(node)),
        }
    })
    .data()
}

/// Nodes whose output does not depend on how their input is partitioned.
fn regroups(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.is::<CoalescePartitionsExec>()
        || node.is::<SortPreservingMergeExec>()
        || node.is::<RepartitionExec>()
}

/// Nodes that treat each partition by itself and ask nothing of the partitioning.
fn is_local(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(aggregate) = node.downcast_ref::<AggregateExec>() {
        return *aggregate.mode() == AggregateMode::Partial;
    }
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return sort.preserve_partitioning();
    }
    node.is::<ProjectionExec>() || node.is::<FilterExec>() || node.name() == "CoalesceBatchesExec"
}

/// `plan` with the final aggregate below its local nodes gathered; `None` when there is none or it must stay.
fn gathered(plan: &Arc<dyn ExecutionPlan>, replace: Replace<'_>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && matches!(aggregate.mode(), AggregateMode::FinalPartitioned | AggregateMode::Final)
    {
        return replace(aggregate);
    }
    if !is_local(plan) {
        return Ok(None);
    }
    let [child] = plan.children()[..] else { return Ok(None) };
    gathered(child, replace)?.map(|child| replaced(plan, child)).transpose()
}

fn replaced(node: &Arc<dyn ExecutionPlan>, child: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    Arc::clone(node).replace_children(vec![child], options)
}

fn finish_in_one_place(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(shuffle) = aggregate.input().downcast_ref::<RepartitionExec>() else { return Ok(None) };
    if !matches!(shuffle.partitioning(), Partitioning::Hash(..)) {
        return Ok(None);
    }
    let Some(fused) = shuffle.input().downcast_ref::<ShardAggregateExec>() else { return Ok(None) };
    if groups_max(fused).is_none_or(|groups| groups > GATHERED_GROUPS_MAX) {
        return Ok(None);
    }
    let gather: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(Arc::clone(shuffle.input())));
    let finished = AggregateExec::try_new(
        AggregateMode::Final,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        gather,
        aggregate.input_schema(),
    )?
    .with_limit_options(aggregate.limit_options());
    Ok((finished.schema() == aggregate.schema()).then(|| Arc::new(finished) as _))
}

/// How many groups there can be, by what is known of the table; `None` when nothing is.
fn groups_max(fused: &ShardAggregateExec) -> Option<usize> {
    let statistics = fused.scan().table_statistics()?;
    let rows = known(&statistics.num_rows)?;
    let keys = fused.aggregate().group_expr().input_exprs();
    let combinations =
        keys.iter().try_fold(1usize, |product, key| product.checked_mul(values_max(key, fused, rows)?));
    Some(combinations.map_or(rows, |combinations| combinations.min(rows)))
}

/// How many values a key can have, NULL included.
fn values_max(key: &Arc<dyn PhysicalExpr>, fused: &ShardAggregateExec, rows: usize) -> Option<usize> {
    let scan = fused.scan();
    let column = key.downcast_ref::<Column>();
    let Some(column) = column else {
        let is_flag = key.data_type(&scan.target.table_schema).ok()? == arrow::datatypes::DataType::Boolean;
        return if is_flag { Some(3) } else { Some(rows) };
    };
    let statistics = scan.table_statistics()?.column_statistics.get(column.index())?;
    let distinct = known(&statistics.distinct_count);
    let span = match (statistics.min_value.get_value(), statistics.max_value.get_value()) {
        (Some(min), Some(max)) => span(min, max),
        _ => None,
    };
    let values = match (distinct, span) {
        (Some(distinct), Some(span)) => distinct.min(span),
        (Some(values), None) | (None, Some(values)) => values,
        (None, None) => rows,
    };
    values.checked_add(1)
}

fn known(count: &Precision<usize>) -> Option<usize> {
    count.get_value().copied()
}

/// How many integers lie between two bounds, both included.
fn span(min: &ScalarValue, max: &ScalarValue) -> Option<usize> {
    let integer = |value: &ScalarValue| match value {
        ScalarValue::Boolean(Some(value)) => Some(i64::from(*value)),
        ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
        ScalarValue::Int32(Some(value)) | ScalarValue::Date32(Some(value)) => Some(i64::from(*value)),
        ScalarValue::Int64(Some(value))
        | ScalarValue::Time64Microsecond(Some(value))
        | ScalarValue::TimestampMicrosecond(Some(value), _) => Some(*value),
        _ => None,
    };
    let values = integer(max)?.checked_sub(integer(min)?)?.checked_add(1)?;
    usize::try_from(values).ok()
}
