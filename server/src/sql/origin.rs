//! Which column of which relation a query's output shows unchanged: what clients are told of it in RowDescription.

use datafusion::common::TableReference;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};

/// A column of a relation that the query names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The relation as the query names it.
    pub relation: TableReference,
    /// The column's name in it.
    pub column: String,
}

/// For each output column of a plan the column that it shows, where it is one and not computed.
pub fn origins(plan: &LogicalPlan) -> Vec<Option<Origin>> {
    (0..plan.schema().fields().len()).map(|index| origin(plan, index)).collect()
}

fn origin(plan: &LogicalPlan, index: usize) -> Option<Origin> {
    match plan {
        LogicalPlan::TableScan(scan) => Some(Origin {
            relation: scan.table_name.clone(),
            column: scan.projected_schema.fields().get(index)?.name().clone(),
        }),
        LogicalPlan::Projection(projection) => of_expression(projection.expr.get(index)?, &projection.input),
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            of_expression(distinct.select_expr.get(index)?, &distinct.input)
        }
        LogicalPlan::Aggregate(aggregate) => {
            of_expression(aggregate.group_expr.get(index)?, &aggregate.input)
        }
        LogicalPlan::Window(window) => {
            (index < window.input.schema().fields().len()).then(|| origin(&window.input, index)).flatten()
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti => origin(&join.right, index),
                _ if index < left => origin(&join.left, index),
                _ => origin(&join.right, index - left),
            }
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Repartition(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => origin(plan.inputs().first()?, index),
        _ => None,
    }
}

fn of_expression(expr: &Expr, input: &LogicalPlan) -> Option<Origin> {
    match expr {
        Expr::Alias(alias) => of_expression(&alias.expr, input),
        Expr::Column(column) => origin(input, input.schema().maybe_index_of_column(column)?),
        _ => None,
    }
}
