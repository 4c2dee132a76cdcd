//! LATERAL items: a relation for each row before them.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{JoinType, NullEquality, Result};
use datafusion::logical_expr::{
    Expr, Join, JoinConstraint, LogicalPlan, Projection, Subquery, SubqueryAlias,
};

use super::domain::{Domain, Numbers, Pushed};
use super::shape::is_left_lateral;

/// A join with a LATERAL item that is not left to DataFusion, as a join with the item over its domain.
pub(super) fn joined(plan: LogicalPlan, numbers: &mut Numbers) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Join(join) = plan else { return Ok(Transformed::no(plan)) };
    let concerned = matches!(join.join_type, JoinType::Inner | JoinType::Left)
        && subquery_of(&join.right).is_some_and(|subquery| !is_left_lateral(subquery));
    if !concerned {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    let Join { left, right, on, filter, join_type, schema, .. } = join;
    let mut domain = Domain::of(&left, inside(&right), numbers);
    let Pushed { plan, keys } = domain.push(Arc::unwrap_or_clone(right))?;
    // Keys are the same, NULL or not; what the query says is an equality like any other.
    let on_keys = domain.columns.iter().zip(&keys);
    let on_keys: Vec<_> = on_keys.map(|(l, r)| (Expr::Column(l.clone()), Expr::Column(r.clone()))).collect();
    let conditions = on.into_iter().map(|(l, r)| l.eq(r)).chain(filter);
    let filter = conditions.reduce(Expr::and);
    let joined = LogicalPlan::Join(Join::try_new(
        left,
        Arc::new(plan),
        on_keys,
        filter,
        join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNull,
        false,
    )?);
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(joined))?)))
}

fn subquery_of(plan: &LogicalPlan) -> Option<&Subquery> {
    match plan {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => subquery_of(input),
        _ => None,
    }
}

fn inside(plan: &LogicalPlan) -> &LogicalPlan {
    subquery_of(plan).map_or(plan, |subquery| &subquery.subquery)
}
