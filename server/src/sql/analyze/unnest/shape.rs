//! Which subqueries DataFusion turns into joins by itself, and rightly.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, Filter, LogicalPlan, Operator, Projection, Subquery, SubqueryAlias,
};

/// Where a subquery stands in the expression of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A condition of a WHERE or HAVING, one of those that all have to hold.
    Conjunct,
    /// Under AND and OR of a condition: NULL has the effect of false.
    Monotone,
    /// Anywhere else: NULL is told from false.
    Value,
}

/// Whether the expression is a subquery that is left to DataFusion in this place, over rows of `outer`.
pub(super) fn is_left(expr: &Expr, place: Place, outer: &DFSchema) -> bool {
    if !refers_to(expr, outer) {
        return false;
    }
    match expr {
        Expr::ScalarSubquery(subquery) => {
            !is_correlated(&subquery.subquery) || is_aggregate_over_equalities(&subquery.subquery)
        }
        Expr::Exists(Exists { subquery, .. }) => place != Place::Value && is_filtered(&subquery.subquery),
        Expr::InSubquery(InSubquery { expr, subquery, negated: false }) => {
            place != Place::Value
                && !expr.column_refs().is_empty()
                && (!is_correlated(&subquery.subquery) || is_filtered(&subquery.subquery))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated: true }) => {
            place == Place::Conjunct && !expr.column_refs().is_empty() && !is_correlated(&subquery.subquery)
        }
        _ => false,
    }
}

/// Whether a subquery refers to the rows that it belongs to only, and to none further out.
fn refers_to(expr: &Expr, outer: &DFSchema) -> bool {
    let subquery = match expr {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. }) => subquery,
        _ => return true,
    };
    subquery.subquery.all_out_ref_exprs().iter().all(|reference| match reference {
        Expr::OuterReferenceColumn(_, column) => outer.has_column(column),
        _ => true,
    })
}

/// Whether the expression is a subquery of any kind.
pub(super) fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_))
}

/// Whether a LATERAL item is left to DataFusion.
pub(super) fn is_left_lateral(subquery: &Subquery) -> bool {
    !is_correlated(&subquery.subquery)
        || is_aggregate_over_equalities(&subquery.subquery)
        || is_filtered(&subquery.subquery) && has_only_equalities(&subquery.subquery)
}

/// Whether the plan refers to columns outside of itself.
pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    plan.exists(|plan| Ok(plan.contains_outer_reference())).unwrap_or(true)
}

/// The filter under projections and the like that do not refer outside.
fn filter_of(plan: &LogicalPlan) -> Option<&Filter> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) if !refers_outside(expr) => filter_of(input),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => filter_of(input),
        LogicalPlan::Distinct(Distinct::All(input)) => filter_of(input),
        LogicalPlan::Filter(filter) => Some(filter),
        _ => None,
    }
}

fn refers_outside(exprs: &[Expr]) -> bool {
    exprs.iter().any(Expr::contains_outer)
}

/// Only one filter refers outside, in conditions without subqueries.
fn is_filtered(plan: &LogicalPlan) -> bool {
    if !is_correlated(plan) {
        return true;
    }
    filter_of(plan).is_some_and(|filter| {
        let nested = split_conjunction(&filter.predicate).into_iter().any(|condition| {
            condition.contains_outer() && condition.exists(|expr| Ok(is_subquery(expr))).unwrap_or(true)
        });
        !nested && !is_correlated(&filter.input)
    })
}

fn has_only_equalities(plan: &LogicalPlan) -> bool {
    filter_of(plan).is_some_and(|filter| {
        split_conjunction(&filter.predicate)
            .into_iter()
            .all(|condition| !condition.contains_outer() || is_equality(condition))
    })
}

/// One row of aggregates over a filter whose only outer conditions are equalities with inner columns.
fn is_aggregate_over_equalities(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) if !refers_outside(expr) => {
            is_aggregate_over_equalities(input)
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => is_aggregate_over_equalities(input),
        LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, .. }) => {
            group_expr.is_empty()
                && !refers_outside(aggr_expr)
                && is_filtered(input)
                && has_only_equalities(input)
        }
        _ => false,
    }
}

/// Whether DataFusion's own rule takes the condition: outer on one side, inner on the other.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let has_inner = |expr: &Expr| !expr.contains_outer() && !expr.column_refs().is_empty();
    (left.contains_outer() && has_inner(right)) || (right.contains_outer() && has_inner(left))
}
