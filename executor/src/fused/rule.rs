//! Finds partial aggregates over shard scans.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::exec::ShardAggregateExec;
use super::final_stage;
use crate::scan::{ScanTarget, ShardScanExec};

/// Replaces a partial aggregate over projections and filters over a shard scan by one [`ShardAggregateExec`], and a
/// whole aggregate in one step by a final one over that. Where the groups are few, they are gathered and finished in
/// one place instead of being shuffled first.
///
/// It runs after DataFusion's own rules and before a plan is cut into stages.
#[derive(Debug, Default)]
pub struct FuseAggregates {
    /// Whether all rows of a table lie in the process that plans: states are then finished where they are made.
    pub one_process: bool,
}

impl PhysicalOptimizerRule for FuseAggregates {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fused = plan.transform_up(|node| {
            let Some(aggregate) = node.downcast_ref::<AggregateExec>() else {
                return Ok(Transformed::no(node));
            };
            let replacement = match aggregate.mode() {
                AggregateMode::Partial => {
                    fuse(aggregate)?.map(|fused| Arc::new(fused) as Arc<dyn ExecutionPlan>)
                }
                AggregateMode::Single | AggregateMode::SinglePartitioned => split(aggregate)?,
                _ => None,
            };
            Ok(match replacement {
                Some(replacement) => Transformed::yes(replacement),
                None => Transformed::no(node),
            })
        });
        let fused = fused.data()?;
        if self.one_process {
            final_stage::finish_in_place(fused)
        } else {
            final_stage::gather_few_groups(fused)
        }
    }

    fn name(&self) -> &'static str {
        "FuseAggregates"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A scan seen through the nodes above it: what is read, under which conditions, and what each output column is over
/// the table.
struct Source {
    scan: ShardScanExec,
    filters: Vec<Arc<dyn PhysicalExpr>>,
    columns: Vec<Arc<dyn PhysicalExpr>>,
}

/// The fused node for a partial or single aggregate; `None` when it must stay as it is.
fn fuse(aggregate: &AggregateExec) -> Result<Option<ShardAggregateExec>> {
    if aggregate.group_expr().has_grouping_set() {
        return Ok(None);
    }
    let Some(source) = Source::of(aggregate.input())? else { return Ok(None) };
    let Some(rebuilt) = over_table(aggregate, &source)? else { return Ok(None) };
    let Source { scan, filters, .. } = source;
    // A filter that this aggregate would have tightened while it ran has nobody to tighten it now.
    let own: Vec<u64> =
        aggregate.dynamic_expressions_produced().iter().filter_map(|expr| expr.expression_id()).collect();
    let filters: Vec<_> = filters
        .into_iter()
        .filter(|filter| !filter.expression_id().is_some_and(|id| own.contains(&id)))
        .collect();
    let filter = (!filters.is_empty()).then(|| conjunction(filters));
    let statistics = scan.table_statistics().cloned();
    let columns = (0..scan.target.table_schema.fields().len()).collect();
    let mut scan = ShardScanExec::try_new(scan.target, columns, filter, None)?;
    if let Some(statistics) = statistics {
        scan = scan.with_table_statistics(statistics);
    }
    let partial = Arc::new(rebuilt);
    let expected = partial.schema();
    let schema =
        if *aggregate.mode() == AggregateMode::Partial { aggregate.schema() } else { Arc::clone(&expected) };
    let same_types = schema.fields().len() == expected.fields().len()
        && schema.fields().iter().zip(expected.fields()).all(|(a, b)| a.data_type() == b.data_type());
    if !same_types {
        return Ok(None);
    }
    ShardAggregateExec::try_new(scan, partial, schema).map(Some)
}

/// A final aggregate over a fused one for an aggregate in one step; `None` when it must stay as it is.
fn split(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let input = match aggregate.mode() {
        // All rows in one partition: gathered states do as well.
        AggregateMode::Single => match aggregate.input().downcast_ref::<CoalescePartitionsExec>() {
            Some(gather) if gather.fetch().is_none() => gather.input(),
            _ => return Ok(None),
        },
        // Rows shuffled by the keys: states can be shuffled by them instead.
        _ => match aggregate.input().downcast_ref::<RepartitionExec>() {
            Some(shuffle) if matches!(shuffle.partitioning(), Partitioning::Hash(..)) => shuffle.input(),
            _ => return Ok(None),
        },
    };
    let partial = AggregateExec::try_new(
        AggregateMode::Partial,
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        Arc::clone(input),
        aggregate.input_schema(),
    )?;
    let Some(fused) = fuse(&partial)? else { return Ok(None) };
    let groups = aggregate.group_expr().as_final();
    let fused: Arc<dyn ExecutionPlan> = Arc::new(fused);
    let (mode, input): (_, Arc<dyn ExecutionPlan>) = if *aggregate.mode() == AggregateMode::Single {
        (AggregateMode::Final, Arc::new(CoalescePartitionsExec::new(fused)))
    } else {
        let partitions = aggregate.input().output_partitioning().partition_count();
        let keys = Partitioning::Hash(groups.input_exprs(), partitions);
        (AggregateMode::FinalPartitioned, Arc::new(RepartitionExec::try_new(fused, keys)?))
    };
    let finished = AggregateExec::try_new(
        mode,
        groups,
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        input,
        aggregate.input_schema(),
    )?
    .with_limit_options(aggregate.limit_options());
    let same = finished.schema() == aggregate.schema();
    Ok(same.then(|| Arc::new(finished) as _))
}

/// The partial aggregate with its expressions over all columns of the table. Its input is a scan of nothing: it is
/// there for its schema.
fn over_table(aggregate: &AggregateExec, source: &Source) -> Result<Option<AggregateExec>> {
    let table_schema = &source.scan.target.row_schema();
    let mut keys = vec![];
    for (expr, name) in aggregate.group_expr().expr() {
        let Some(expr) = source.rewrite(expr)? else { return Ok(None) };
        keys.push((expr, name.clone()));
    }
    let mut aggregates = vec![];
    for expr in aggregate.aggr_expr() {
        let Some(expr) = rewrite_aggregate(expr, source)? else { return Ok(None) };
        aggregates.push(Arc::new(expr));
    }
    let mut filters = vec![];
    for filter in aggregate.filter_expr() {
        let rewritten = filter.as_ref().map(|filter| source.rewrite(filter)).transpose()?;
        match rewritten {
            None => filters.push(None),
            Some(Some(filter)) => filters.push(Some(filter)),
            Some(None) => return Ok(None),
        }
    }
    let nothing = ScanTarget { shards: vec![], tail: None, ..source.scan.target.clone() };
    let columns = (0..table_schema.fields().len()).collect();
    let input = Arc::new(ShardScanExec::try_new(nothing, columns, None, None)?);
    let keys = if keys.is_empty() { PhysicalGroupBy::default() } else { PhysicalGroupBy::new_single(keys) };
    let schema = Arc::clone(table_schema);
    Ok(AggregateExec::try_new(AggregateMode::Partial, keys, aggregates, filters, input, schema).ok())
}

/// An aggregate built anew over the table: its arguments are other expressions now, so that what it knows of its
/// input must be found out again. `None` for those that depend on the order or the distinctness of their input.
fn rewrite_aggregate(
    aggregate: &AggregateFunctionExpr,
    source: &Source,
) -> Result<Option<AggregateFunctionExpr>> {
    if aggregate.is_distinct() || !aggregate.order_bys().is_empty() {
        return Ok(None);
    }
    let mut arguments = vec![];
    for argument in aggregate.expressions() {
        let Some(argument) = source.rewrite(&argument)? else { return Ok(None) };
        arguments.push(argument);
    }
    let mut builder = AggregateExprBuilder::new(Arc::new(aggregate.fun().clone()), arguments)
        .schema(source.scan.target.row_schema())
        .alias(aggregate.name())
        .with_ignore_nulls(aggregate.ignore_nulls())
        .with_reversed(aggregate.is_reversed());
    if let Some(display) = aggregate.human_display() {
        builder = builder.human_display(display);
    }
    Ok(builder.build().ok())
}

impl Source {
    /// Looks through the nodes between an aggregate and its scan; `None` when they do more than to choose and compute
    /// columns and rows.
    fn of(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Self>> {
        if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
            return Ok(Self::scan(scan));
        }
        if let Some(cooperative) = plan.downcast_ref::<CooperativeExec>() {
            return Self::of(cooperative.input());
        }
        if let Some(spread) = plan.downcast_ref::<RepartitionExec>() {
            return match spread.partitioning() {
                Partitioning::RoundRobinBatch(_) => Self::of(spread.input()),
                _ => Ok(None),
            };
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let Some(source) = Self::of(projection.input())? else { return Ok(None) };
            let mut columns = vec![];
            for expr in projection.expr() {
                let Some(column) = source.rewrite(&expr.expr)? else { return Ok(None) };
                columns.push(column);
            }
            return Ok(Some(Self { columns, ..source }));
        }
        if let Some(filter) = plan.downcast_ref::<FilterExec>() {
            if filter.fetch().is_some() {
                return Ok(None);
            }
            let Some(mut source) = Self::of(filter.input())? else { return Ok(None) };
            let Some(predicate) = source.rewrite(filter.predicate())? else { return Ok(None) };
            source.filters.extend(split_conjunction(&predicate).into_iter().cloned());
            if let Some(projection) = filter.projection() {
                let columns = projection.iter().map(|&column| source.columns.get(column).cloned()).collect();
                let Some(columns) = columns else { return Ok(None) };
                source.columns = columns;
            }
            return Ok(Some(source));
        }
        // Nodes that pass batches on as they are, of which DataFusion has had several.
        match (plan.name(), plan.children().as_slice()) {
            ("CoalesceBatchesExec", [input]) if plan.fetch().is_none() => Self::of(input),
            _ => Ok(None),
        }
    }

    fn scan(scan: &ShardScanExec) -> Option<Self> {
        if scan.limit.is_some() {
            return None;
        }
        let fields = scan.target.table_schema.fields();
        let columns = scan
            .projection
            .iter()
            .map(|&column| {
                let name = fields.get(column)?.name();
                Some(Arc::new(Column::new(name, column)) as Arc<dyn PhysicalExpr>)
            })
            .collect::<Option<Vec<_>>>()?;
        let filters = scan.filter.iter().flat_map(|filter| split_conjunction(filter)).cloned().collect();
        Some(Self { scan: scan.clone(), filters, columns })
    }

    /// `expr`, which is over the columns of this source, over the table; `None` when it is volatile, since it might be
    /// evaluated another number of times, or names a column that is not there.
    fn rewrite(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        if is_volatile(expr) {
            return Ok(None);
        }
        let mut complete = true;
        let rewritten = Arc::clone(expr)
            .transform_down(|node| {
                let Some(column) = node.downcast_ref::<Column>() else { return Ok(Transformed::no(node)) };
                match self.columns.get(column.index()) {
                    Some(column) => Ok(Transformed::new(Arc::clone(column), true, TreeNodeRecursion::Jump)),
                    None => {
                        complete = false;
                        Ok(Transformed::no(node))
                    }
                }
            })
            .data()?;
        Ok(complete.then_some(rewritten))
    }
}
