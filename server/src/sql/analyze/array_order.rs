//! The place of NULL among arrays: a sort key's `NULLS FIRST` or `LAST` is about arrays that are NULL, not about their
//! elements, which come after all others whatever it says.
//!
//! The engine takes it for both, so a key whose NULLs are not where its direction puts them becomes two: whether the
//! array is NULL, and the array.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Sort, SortExpr};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::functions::arrays::shape::is_array;

use super::casts::input_schema;

/// Sorts arrays as PostgreSQL does; runs after type coercion.
#[derive(Debug)]
pub struct ArrayOrder;

impl AnalyzerRule for ArrayOrder {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite).map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "array_order"
    }
}

fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = input_schema(&plan);
    if let LogicalPlan::Sort(Sort { expr, input, fetch }) = plan {
        let split = expr.iter().any(|key| is_split(key, &schema));
        let sort = LogicalPlan::Sort(Sort { expr: sorted(expr, &schema), input, fetch });
        return Ok(Transformed::new_transformed(sort, split));
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|expr| within(expr, &schema))?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })
}

fn within(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::AggregateFunction(AggregateFunction { func, params })
            if params.order_by.iter().any(|key| is_split(key, schema)) =>
        {
            let order_by = sorted(params.order_by, schema);
            let params = AggregateFunctionParams { order_by, ..params };
            Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
        }
        Expr::WindowFunction(call) if call.params.order_by.iter().any(|key| is_split(key, schema)) => {
            let WindowFunction { fun, mut params } = *call;
            params.order_by = sorted(params.order_by, schema);
            Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params })))
        }
        other => Transformed::no(other),
    })
}

/// Whether a key is one of arrays whose NULLs are not where its direction puts them.
fn is_split(key: &SortExpr, schema: &DFSchema) -> bool {
    key.asc == key.nulls_first && key.expr.get_type(schema).is_ok_and(|data_type| is_array(&data_type))
}

fn sorted(keys: Vec<SortExpr>, schema: &DFSchema) -> Vec<SortExpr> {
    let mut split = Vec::with_capacity(keys.len());
    for key in keys {
        if is_split(&key, schema) {
            let null = Expr::IsNull(Box::new(key.expr.clone()));
            // Of false and true, true is the greater.
            split.push(SortExpr { expr: null, asc: !key.nulls_first, nulls_first: false });
            split.push(SortExpr { nulls_first: !key.asc, ..key });
        } else {
            split.push(key);
        }
    }
    split
}
