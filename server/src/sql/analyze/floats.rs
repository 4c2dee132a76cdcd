//! Equality of floats where DataFusion looks at their bits: zero has two signs, which are equal.
//!
//! | written | becomes |
//! |---|---|
//! | `NULLIF(a, b)` | `CASE WHEN a = b THEN NULL ELSE a END` |
//! | `CASE a WHEN b THEN c .. END` | `CASE WHEN a = b THEN c .. END` |

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit, when};
use datafusion::optimizer::AnalyzerRule;

use super::casts::input_schema;

/// Compares floats by their values; runs after type coercion.
#[derive(Debug)]
pub struct FloatEquality;

impl AnalyzerRule for FloatEquality {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            // What is inside a grouping set has to keep its name by itself.
            let has_sets = matches!(&plan, LogicalPlan::Aggregate(aggregate)
                if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))));
            if has_sets || !plan.expressions().iter().any(concerns_equality) {
                return Ok(Transformed::no(plan));
            }
            let schema = input_schema(&plan);
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| rewrite(expr, &schema))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "float_equality"
    }
}

fn concerns_equality(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        Ok(match expr {
            Expr::Case(case) => case.expr.is_some(),
            Expr::ScalarFunction(call) => call.func.name() == "nullif",
            _ => false,
        })
    });
    found.unwrap_or(false)
}

fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| matches!(of, DataType::Float32 | DataType::Float64))
}

fn rewrite(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) => match args.as_slice() {
            [a, b] if func.name() == "nullif" && is_float(a, schema) && is_float(b, schema) => {
                let null = ScalarValue::try_from(&a.get_type(schema)?)?;
                when(a.clone().eq(b.clone()), lit(null)).otherwise(a.clone()).map(Transformed::yes)
            }
            _ => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
        },
        Expr::Case(Case { expr: Some(operand), when_then_expr, else_expr }) => {
            if !is_float(&operand, schema) {
                let case = Case { expr: Some(operand), when_then_expr, else_expr };
                return Ok(Transformed::no(Expr::Case(case)));
            }
            let when_then_expr = when_then_expr
                .into_iter()
                .map(|(value, result)| (Box::new(operand.as_ref().clone().eq(*value)), result))
                .collect();
            Ok(Transformed::yes(Expr::Case(Case { expr: None, when_then_expr, else_expr })))
        }
        other => Ok(Transformed::no(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::analyze::harness::check_rule;

    #[tokio::test]
    async fn zeros_are_equal_whatever_their_sign() {
        check_rule(
            &FloatEquality,
            "SELECT nullif(CAST(column1 AS DOUBLE) * -0.0, 0.0) IS NULL AS a FROM t WHERE column1 = 3",
            &["true"],
        )
        .await;
    }
}
