//! Intervals by their length: `1 month` is `30 days` wherever values are compared, sorted or grouped.
//!
//! | written | becomes |
//! |---|---|
//! | `a < b` of intervals, and IN | `interval_order(a) < interval_order(b)` |
//! | ORDER BY, PARTITION BY of an interval | of its order |
//! | GROUP BY, DISTINCT of an interval | of its order; the first of equal ones is shown |
//! | `min`, `max` of intervals | `first_value` in the order |
//! | joins on intervals | on their orders |

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::logical_expr::expr::{
    AggregateFunction, AggregateFunctionParams, Alias, Between, BinaryExpr, InList, ScalarFunction,
    WindowFunction,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection, Sort, SortExpr,
    WindowFrameBound, WindowFrameUnits,
};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::functions::intervals::interval_order_udf;

use super::casts::input_schema;

/// Compares intervals by their length; runs after type coercion.
#[derive(Debug)]
pub struct IntervalOrder;

impl AnalyzerRule for IntervalOrder {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "interval_order"
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = input_schema(&plan);
    // Most statements have no intervals at all.
    let mut found = schema.fields().iter().any(|field| is_interval(field.data_type()));
    if !found {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= expr.get_type(&schema).is_ok_and(|data_type| is_interval(&data_type));
                Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
            })
        })?;
    }
    if !found {
        return Ok(Transformed::no(plan));
    }
    let names = NamePreserver::new(&plan);
    let plan = plan
        .map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| compare(expr, &schema))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?
        .data;
    let plan = match plan {
        LogicalPlan::Sort(Sort { expr, input, fetch }) => {
            LogicalPlan::Sort(Sort { expr: sorted(expr, &schema)?, input, fetch })
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate, &schema)?,
        LogicalPlan::Distinct(Distinct::All(input))
            if input.schema().fields().iter().any(|field| is_interval(field.data_type())) =>
        {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            grouped(Aggregate::try_new(input, columns, Vec::new())?, &schema)?
        }
        LogicalPlan::Join(join) => joined(join)?,
        other => other,
    };
    Ok(Transformed::yes(plan))
}

fn is_interval(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Interval(_))
}

fn is_interval_expr(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| is_interval(&data_type))
}

fn order(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(interval_order_udf(), vec![expr]))
}

fn ordered(expr: Expr, schema: &DFSchema) -> Expr {
    if is_interval_expr(&expr, schema) { order(expr) } else { expr }
}

fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
    )
}

fn sorted(keys: Vec<SortExpr>, schema: &DFSchema) -> Result<Vec<SortExpr>> {
    Ok(keys.into_iter().map(|key| SortExpr { expr: ordered(key.expr, schema), ..key }).collect())
}

fn compare(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if (is_comparison(op)
                || matches!(op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom))
                && is_interval_expr(&left, schema)
                && is_interval_expr(&right, schema) =>
        {
            let compared = BinaryExpr::new(Box::new(order(*left)), op, Box::new(order(*right)));
            Ok(Transformed::yes(Expr::BinaryExpr(compared)))
        }
        Expr::InList(InList { expr, list, negated }) if is_interval_expr(&expr, schema) => {
            let list = list.into_iter().map(|item| ordered(item, schema)).collect();
            Ok(Transformed::yes(Expr::InList(InList { expr: Box::new(order(*expr)), list, negated })))
        }
        Expr::Between(Between { expr, negated, low, high }) if is_interval_expr(&expr, schema) => {
            let side = |bound: Box<Expr>| Box::new(ordered(*bound, schema));
            let between = Between { expr: side(expr), negated, low: side(low), high: side(high) };
            Ok(Transformed::yes(Expr::Between(between)))
        }
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let extreme = matches!(func.name(), "min" | "max")
                && params.args.first().is_some_and(|arg| is_interval_expr(arg, schema));
            if !extreme {
                let order_by = sorted(params.order_by, schema)?;
                let params = AggregateFunctionParams { order_by, ..params };
                return Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })));
            }
            let Some(value) = params.args.first().cloned() else {
                return Ok(Transformed::no(Expr::AggregateFunction(AggregateFunction { func, params })));
            };
            let ascending = func.name() == "min";
            let order_by = vec![SortExpr { expr: order(value), asc: ascending, nulls_first: false }];
            let params = AggregateFunctionParams { order_by, distinct: false, ..params };
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction {
                func: first_value_udaf(),
                params,
            })))
        }
        Expr::WindowFunction(call) => {
            let WindowFunction { fun, mut params } = *call;
            params.partition_by = params.partition_by.into_iter().map(|key| ordered(key, schema)).collect();
            // A frame of a range needs the values themselves.
            let frame = &params.window_frame;
            let open =
                |bound: &WindowFrameBound| bound.is_unbounded() || *bound == WindowFrameBound::CurrentRow;
            let ranged = frame.units == WindowFrameUnits::Range
                && !(open(&frame.start_bound) && open(&frame.end_bound));
            if !ranged {
                params.order_by = sorted(params.order_by, schema)?;
            }
            Ok(Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Groups by orders, and shows the first of each group.
fn grouped(aggregate: Aggregate, schema: &DFSchema) -> Result<LogicalPlan> {
    let concerned = aggregate.group_expr.iter().any(|expr| is_interval_expr(expr, schema))
        && !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
    if !concerned {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let Aggregate { input, group_expr, mut aggr_expr, schema: output, .. } = aggregate;
    let mut groups = Vec::with_capacity(group_expr.len());
    let mut items = Vec::with_capacity(output.fields().len());
    for (index, (expr, (relation, field))) in group_expr.into_iter().zip(output.iter()).enumerate() {
        if is_interval_expr(&expr, schema) {
            let inner = if let Expr::Alias(Alias { expr, .. }) = expr { *expr } else { expr };
            let (key, first) = (format!("__interval_key_{index}"), format!("__interval_{index}"));
            groups.push(order(inner.clone()).alias(key));
            aggr_expr.push(first_value_udaf().call(vec![inner]).alias(first.clone()));
            let shown = Expr::Column(Column::from_name(first));
            items.push(shown.alias_qualified(relation.cloned(), field.name()));
        } else {
            groups.push(expr);
            items.push(Expr::from((relation, field)));
        }
    }
    items.extend(output.iter().skip(groups.len()).map(Expr::from));
    let plan = LogicalPlan::Aggregate(Aggregate::try_new(input, groups, aggr_expr)?);
    Ok(LogicalPlan::Projection(Projection::try_new(items, Arc::new(plan))?))
}

fn joined(join: Join) -> Result<LogicalPlan> {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    let on = join.on.into_iter().map(|(l, r)| (ordered(l, &left), ordered(r, &right))).collect();
    Ok(LogicalPlan::Join(Join { on, ..join }))
}
