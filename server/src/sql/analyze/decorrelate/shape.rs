//! Which correlated subqueries DataFusion's own rules take: those keep their plans.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator};

use super::references::free_references;

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A value in a filter.
    Condition,
    /// A value in a select list.
    Value,
    /// `EXISTS` or `IN` in a filter.
    Existence,
    /// In FROM.
    Lateral,
    /// In a node that DataFusion does not look for subqueries in.
    Elsewhere,
}

/// Whether all that depends on outer columns is in filters with nothing but projections, names and aggregates above
/// them, and, under an aggregate, an equality of an outer with an inner expression.
pub(super) fn is_left_to_datafusion(plan: &LogicalPlan, own_use: Use) -> bool {
    own_use != Use::Elsewhere && is_simple(plan, own_use, false)
}

fn is_simple(plan: &LogicalPlan, own_use: Use, under_aggregate: bool) -> bool {
    if !is_correlated(plan) {
        return true;
    }
    if let LogicalPlan::Filter(filter) = plan {
        let conditions = split_conjunction(&filter.predicate);
        let fits =
            |condition: &&Expr| !condition.contains_outer() || !under_aggregate || is_equality(condition);
        let own = filter.input.schema();
        if !conditions.iter().all(|condition| subqueries_stay_within(condition, own)) {
            return false;
        }
        return conditions.iter().all(fits) && is_simple(&filter.input, own_use, under_aggregate);
    }
    let own = datafusion::logical_expr::utils::merge_schema(&plan.inputs());
    if plan.contains_outer_reference()
        || !plan.expressions().iter().all(|expr| subqueries_stay_within(expr, &own))
    {
        return false;
    }
    match plan {
        LogicalPlan::Projection(projection) => is_simple(&projection.input, own_use, under_aggregate),
        LogicalPlan::SubqueryAlias(alias) => is_simple(&alias.input, own_use, under_aggregate),
        LogicalPlan::Aggregate(aggregate) => {
            // Over another aggregate one without groups would lose its row for no rows.
            !(under_aggregate && aggregate.group_expr.is_empty())
                && is_simple(&aggregate.input, own_use, true)
        }
        LogicalPlan::Distinct(Distinct::All(input)) if own_use == Use::Existence => {
            is_simple(input, own_use, under_aggregate)
        }
        LogicalPlan::Limit(limit) if own_use == Use::Existence && limit.skip.is_none() => {
            is_simple(&limit.input, own_use, under_aggregate)
        }
        _ => false,
    }
}

fn is_correlated(plan: &LogicalPlan) -> bool {
    free_references(plan).map_or(true, |columns| !columns.is_empty())
}

/// Whether the subqueries of an expression refer to nothing but columns of `own`.
fn subqueries_stay_within(expr: &Expr, own: &DFSchema) -> bool {
    let leaves = expr.exists(|expr| {
        let (Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. })
        | Expr::SetComparison(SetComparison { subquery, .. })) = expr
        else {
            return Ok(false);
        };
        Ok(free_references(&subquery.subquery)?.iter().any(|column| !own.has_column(column)))
    });
    !leaves.unwrap_or(true)
}

/// Whether DataFusion's own rule takes the condition under an aggregate: an outer expression equals an inner column.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let is_column = |expr: &Expr| {
        matches!(expr, Expr::Column(_))
            || matches!(expr, Expr::Cast(cast) if matches!(*cast.expr, Expr::Column(_)))
    };
    let is_outer = |expr: &Expr| expr.contains_outer() && expr.column_refs().is_empty();
    (is_outer(left) && is_column(right)) || (is_outer(right) && is_column(left))
}
