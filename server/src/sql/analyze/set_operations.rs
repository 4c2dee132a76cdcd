//! `EXCEPT ALL` and `INTERSECT ALL`, which count equal rows.
//!
//! The planner makes a join of them that finds every copy of a row as soon as one is on the other side. Here each copy
//! gets its number among its equals, on both sides, and the join is on the numbers too:
//!
//! ```text
//! LeftAnti on all columns       LeftAnti on all columns and __copy
//!   left                    ─▶    left,  row_number() OVER (PARTITION BY all columns) AS __copy
//!   right                         right, row_number() OVER (PARTITION BY all columns) AS __copy
//! ```
//!
//! Where the left side has no equal rows, the number of a copy is 1 and changes nothing: `EXCEPT` stays as it is.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Distinct, Expr, ExprFunctionExt, Join, LogicalPlan, Projection, Window};
use datafusion::optimizer::AnalyzerRule;

/// Numbers the copies of rows; runs before type coercion, on plans as the planner makes them.
#[derive(Debug)]
pub struct CountedSetOperations;

impl AnalyzerRule for CountedSetOperations {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut count = 0;
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if counts_rows(&join) => {
                count += 1;
                numbered(join, &format!("__copy_{count}")).map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "counted_set_operations"
    }
}

/// Whether the join is one that the planner makes of a set operation with ALL.
fn counts_rows(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftAnti | JoinType::LeftSemi)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == join.left.schema().fields().len()
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
}

fn numbered(join: Join, name: &str) -> Result<LogicalPlan> {
    let Join { left, right, mut on, join_type, join_constraint, null_equality, null_aware, schema, .. } =
        join;
    let (left_name, right_name) = (format!("{name}_left"), format!("{name}_right"));
    let left = with_number(left, &left_name)?;
    let right = with_number(right, &right_name)?;
    on.push((Expr::Column(Column::from_name(left_name)), Expr::Column(Column::from_name(right_name))));
    let joined = Join::try_new(left, right, on, None, join_type, join_constraint, null_equality, null_aware)?;
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    let plan = Arc::new(LogicalPlan::Join(joined));
    Ok(LogicalPlan::Projection(Projection::try_new(columns, plan)?))
}

fn with_number(plan: Arc<LogicalPlan>, name: &str) -> Result<Arc<LogicalPlan>> {
    let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number =
        Expr::from(WindowFunction::new(row_number_udwf(), Vec::new())).partition_by(columns).build()?;
    Ok(Arc::new(LogicalPlan::Window(Window::try_new(vec![number.alias(name)], plan)?)))
}
