//! Correlated subqueries that DataFusion cannot turn into joins by itself.
//!
//! DataFusion's rules take a subquery apart whose conditions on outer columns are in a filter with nothing but
//! projections and aggregates above it, and under an aggregate are equalities with an inner column. Everything else is
//! done here: the subquery is computed for all outer rows at once ([`dependent`]) and joined to them.
//!
//! ```text
//! Projection [.. (SELECT .. outer ..) ..]      Projection [.. __subquery.__value ..]
//!   outer                                  ─▶    LEFT JOIN on outer columns (NULL = NULL)
//!                                                  outer
//!                                                  the subquery over DISTINCT outer columns
//! ```
//!
//! | subquery | its value |
//! |---|---|
//! | scalar | the column that was joined, NULL where the subquery has no row |
//! | `EXISTS` | whether a row was joined |
//! | `x IN (SELECT y ..)` | `(SELECT CASE WHEN bool_or(x = y) THEN true WHEN bool_or((x = y) IS NULL) THEN NULL ELSE false END ..)` |
//! | `LATERAL` | no value: an inner or left join |

mod dependent;
mod references;
mod shape;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DataFusionError, ExprSchema, JoinType, NullEquality, Result};
use datafusion::functions_aggregate::expr_fn::bool_or;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use dependent::{Domain, with_columns_of};
use references::outer_columns;
use shape::{Use, is_left_to_datafusion};

/// Turns the subqueries that DataFusion leaves into joins; runs after all other rules.
#[derive(Debug)]
pub struct DecorrelateSubqueries;

impl AnalyzerRule for DecorrelateSubqueries {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut names = Names::default();
        plan.transform_up_with_subqueries(|plan| rewrite(plan, &mut names)).map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "decorrelate_subqueries"
    }
}

/// Names of relations that no statement uses and that are not repeated.
#[derive(Default)]
struct Names {
    taken: usize,
}

impl Names {
    fn next(&mut self, what: &str) -> String {
        self.taken += 1;
        format!("__{what}_{}", self.taken)
    }
}

/// One node, whose inputs and subqueries have been rewritten before. What cannot be is left for DataFusion to refuse.
fn rewrite(plan: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let kept = plan.clone();
    let rewritten = match plan {
        LogicalPlan::Join(join) => match lateral(&join.right) {
            Some(subquery) => {
                if is_left_to_datafusion(&subquery.subquery, Use::Lateral)
                    || outer_columns(&subquery.subquery, join.left.schema())?.is_empty()
                {
                    return Ok(Transformed::no(LogicalPlan::Join(join)));
                }
                join_lateral(join, names).map(Transformed::yes)
            }
            None => join_condition(join, names),
        },
        plan => subqueries_of(plan, names),
    };
    match rewritten {
        Err(error) if is_not_built(&error) => Ok(Transformed::no(kept)),
        other => other,
    }
}

fn is_not_built(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::NotImplemented(_))
}

/// The subqueries in the expressions of a node with one input.
fn subqueries_of(plan: LogicalPlan, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(plan)) };
    let own_use = match &plan {
        LogicalPlan::Filter(_) => Use::Condition,
        LogicalPlan::Projection(_) => Use::Value,
        LogicalPlan::Distinct(_) | LogicalPlan::Extension(_) => return Ok(Transformed::no(plan)),
        _ => Use::Elsewhere,
    };
    let mut outer = Outer { plan: (*input).clone(), own_use, names, joined: false };
    let saver = NamePreserver::new(&plan);
    let expressions = plan.expressions();
    if !expressions.iter().any(has_subquery) {
        return Ok(Transformed::no(plan));
    }
    let mut replaced = Vec::with_capacity(expressions.len());
    for expr in expressions {
        let name = saver.save(&expr);
        replaced.push(name.restore(outer.replace(expr)?));
    }
    if !outer.joined {
        return Ok(Transformed::no(plan));
    }
    let schema = Arc::clone(plan.schema());
    let plan = plan.with_new_exprs(replaced, vec![outer.plan])?;
    with_columns_of(plan, &schema)
}

/// The subqueries in the condition of an inner join, as a filter over it.
fn join_condition(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    if !join.filter.as_ref().is_some_and(has_subquery) {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    }
    match join.join_type {
        JoinType::Inner => {}
        JoinType::Left | JoinType::Right | JoinType::Full => return outer_condition(join, names),
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    }
    let Join { left, right, on, filter, join_constraint, null_equality, .. } = join;
    let joined =
        Join::try_new(left, right, on, None, JoinType::Inner, join_constraint, null_equality, false)?;
    let Some(filter) = filter else { return Ok(Transformed::no(LogicalPlan::Join(joined))) };
    let filtered = LogicalPlanBuilder::from(LogicalPlan::Join(joined)).filter(filter)?.build()?;
    let rewritten = subqueries_of(filtered, names)?;
    Ok(Transformed::yes(rewritten.data))
}

/// The subqueries in the condition of an outer join, each joined to the side whose columns it refers to. One that refers
/// to both is left.
fn outer_condition(join: Join, names: &mut Names) -> Result<Transformed<LogicalPlan>> {
    let Join { left, right, on, filter, join_type, join_constraint, null_equality, schema, .. } = join;
    let Some(condition) = filter else {
        return datafusion::common::not_impl_err!("an outer join without a condition");
    };
    let mut sides = Vec::new();
    let mut condition = condition;
    for side in [left, right] {
        let plan = Arc::unwrap_or_clone(side);
        let mut outer = Outer { plan, own_use: Use::Elsewhere, names, joined: false };
        condition = condition
            .transform_down(|expr| {
                let own = Arc::clone(outer.plan.schema());
                let inside = match &expr {
                    Expr::ScalarSubquery(subquery) => outer_columns(&subquery.subquery, &schema)?,
                    Expr::Exists(Exists { subquery, .. }) => outer_columns(&subquery.subquery, &schema)?,
                    Expr::InSubquery(test) => {
                        let mut columns = outer_columns(&test.subquery.subquery, &schema)?;
                        columns.extend(test.expr.column_refs().into_iter().cloned());
                        columns
                    }
                    _ => return Ok(Transformed::no(expr)),
                };
                if inside.is_empty() || !inside.iter().all(|column| own.has_column(column)) {
                    return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
                }
                let replaced = outer.replace(expr)?;
                Ok(Transformed::new(replaced, true, TreeNodeRecursion::Jump))
            })?
            .data;
        sides.push((outer.plan, outer.joined));
    }
    let (Some((right, right_joined)), Some((left, left_joined))) = (sides.pop(), sides.pop()) else {
        return datafusion::common::not_impl_err!("a join of other than two sides");
    };
    let (left, right) = (Arc::new(left), Arc::new(right));
    let plan = LogicalPlan::Join(Join::try_new(
        left,
        right,
        on,
        Some(condition),
        join_type,
        join_constraint,
        null_equality,
        false,
    )?);
    if !left_joined && !right_joined {
        return Ok(Transformed::no(plan));
    }
    with_columns_of(plan, &schema)
}

fn has_subquery(expr: &Expr) -> bool {
    let is_one =
        |expr: &Expr| Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_)));
    expr.exists(is_one).unwrap_or(false)
}

/// The subquery of a LATERAL item.
fn lateral(right: &LogicalPlan) -> Option<&Subquery> {
    match right {
        LogicalPlan::Subquery(subquery) => Some(subquery),
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => lateral(input),
        _ => None,
    }
}

/// A join with a LATERAL item as a join with its rows for all rows of the left side.
///
/// # Errors
/// As [`Domain::unnest`]; for joins that PostgreSQL has no LATERAL for.
fn join_lateral(join: Join, names: &mut Names) -> Result<LogicalPlan> {
    let schema = Arc::clone(&join.schema);
    let Join { left, right, on, filter, join_type, .. } = join;
    if !matches!(join_type, JoinType::Inner | JoinType::Left) || !on.is_empty() {
        return datafusion::common::not_impl_err!("Correlated subquery in this join");
    }
    let (left, right) = (Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right));
    let columns = outer_columns(&right, left.schema())?;
    let mut domain = Domain::new(&left, columns, names)?;
    let right = domain.unnest(right)?;
    let keys = (domain.columns().to_vec(), domain.keys());
    let joined = LogicalPlanBuilder::from(left)
        .join_detailed(right, join_type, keys, filter, NullEquality::NullEqualsNull)?
        .build()?;
    with_columns_of(joined, &schema).map(|joined| joined.data)
}

/// The plan whose rows the subqueries refer to, with the subqueries joined to it so far.
struct Outer<'a> {
    plan: LogicalPlan,
    own_use: Use,
    names: &'a mut Names,
    joined: bool,
}

impl Outer<'_> {
    fn replace(&mut self, expr: Expr) -> Result<Expr> {
        expr.transform_up(|expr| {
            let value = match &expr {
                Expr::ScalarSubquery(subquery) => self.scalar(&subquery.subquery)?,
                Expr::Exists(Exists { subquery, negated }) => self.existence(&subquery.subquery, *negated)?,
                Expr::InSubquery(test) => self.membership(test)?,
                _ => None,
            };
            Ok(match value {
                Some(value) => Transformed::yes(value),
                None => Transformed::no(expr),
            })
        })
        .map(|replaced| replaced.data)
    }

    fn scalar(&mut self, plan: &LogicalPlan) -> Result<Option<Expr>> {
        let columns = outer_columns(plan, self.plan.schema())?;
        if columns.is_empty() || is_left_to_datafusion(plan, self.own_use) {
            return Ok(None);
        }
        self.join(plan.clone(), columns, |value| value).map(Some)
    }

    fn existence(&mut self, plan: &LogicalPlan, negated: bool) -> Result<Option<Expr>> {
        let columns = outer_columns(plan, self.plan.schema())?;
        let own_use = if self.own_use == Use::Condition { Use::Existence } else { Use::Elsewhere };
        if columns.is_empty() || is_left_to_datafusion(plan, own_use) {
            return Ok(None);
        }
        let value = self.join(plan.clone(), columns, |_| lit(true))?;
        Ok(Some(if negated { value.is_not_true() } else { value.is_true() }))
    }

    fn membership(&mut self, test: &InSubquery) -> Result<Option<Expr>> {
        let InSubquery { expr, subquery, negated } = test;
        let plan = &subquery.subquery;
        let schema = Arc::clone(self.plan.schema());
        let correlated = !outer_columns(plan, &schema)?.is_empty();
        let is_easy =
            self.own_use == Use::Condition && (!correlated || is_left_to_datafusion(plan, Use::Existence));
        let Some(item) = plan.schema().columns().into_iter().next() else { return Ok(None) };
        if is_easy {
            return Ok(None);
        }
        let outer = as_outer(expr.as_ref().clone(), &schema)?;
        let equal = outer.eq(Expr::Column(item));
        let values = LogicalPlanBuilder::from(plan.as_ref().clone())
            .project(vec![equal.alias("__equal")])?
            .aggregate(
                Vec::<Expr>::new(),
                vec![
                    bool_or(column("__equal")).alias("__some"),
                    bool_or(column("__equal").is_null()).alias("__unknown"),
                ],
            )?
            .project(vec![
                when(column("__some"), lit(true))
                    .when(column("__unknown"), lit(ScalarValue::Boolean(None)))
                    .otherwise(lit(false))?
                    .alias("__value"),
            ])?
            .build()?;
        let columns = outer_columns(&values, &schema)?;
        if columns.is_empty() {
            return Ok(None);
        }
        let value = self.join(values, columns, |value| value)?;
        Ok(Some(if *negated { not(value) } else { value }))
    }

    /// Joins the subquery's rows, each outer row at most one: the column with what `value` makes of the first column.
    fn join(
        &mut self,
        subquery: LogicalPlan,
        columns: Vec<Column>,
        value: impl FnOnce(Expr) -> Expr,
    ) -> Result<Expr> {
        let name = self.names.next("subquery");
        let first = subquery.schema().columns().into_iter().next();
        let mut domain = Domain::new(&self.plan, columns, self.names)?;
        let inner = domain.unnest(subquery)?;
        let value = value(first.map_or_else(|| lit(true), Expr::Column)).alias("__value");
        let mut items = vec![value];
        items.extend(domain.keys().into_iter().map(|key| {
            let name = key.name.clone();
            Expr::Column(key).alias(name)
        }));
        let is_existence =
            matches!(items.first(), Some(Expr::Alias(alias)) if matches!(*alias.expr, Expr::Literal(..)));
        let mut inner = LogicalPlanBuilder::from(inner).project(items)?;
        if is_existence {
            inner = inner.distinct()?;
        }
        let inner = inner.alias(name.as_str())?.build()?;
        let inner_keys = domain.keys().into_iter().map(|key| Column::new(Some(name.as_str()), key.name));
        let keys = (domain.columns().to_vec(), inner_keys.collect::<Vec<_>>());
        self.plan = LogicalPlanBuilder::from(self.plan.clone())
            .join_detailed(inner, JoinType::Left, keys, None, NullEquality::NullEqualsNull)?
            .build()?;
        self.joined = true;
        Ok(Expr::Column(Column::new(Some(name.as_str()), "__value")))
    }
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::from_name(name))
}

/// An expression of the outer query as one of its subquery.
fn as_outer(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let outer = expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let field = Arc::clone(schema.field_from_column(&column)?);
            Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
        }
        Expr::ScalarSubquery(_) => Ok(Transformed::new(expr, false, TreeNodeRecursion::Stop)),
        other => Ok(Transformed::no(other)),
    });
    outer.map(|outer| outer.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::analyze::harness::check_rule;

    async fn check(sql: &str, expected: &[&str]) {
        check_rule(&DecorrelateSubqueries, sql, expected).await;
    }

    #[tokio::test]
    async fn a_condition_that_is_no_equality_becomes_a_join() {
        check(
            "SELECT column1 AS a, column2 AS b, \
             (SELECT max(u.column3) FROM u WHERE u.column1 = t.column1 AND u.column2 <> t.column2) AS m \
             FROM t ORDER BY a",
            &["1 10 b", "1 10 b", "2 20 c", "3"],
        )
        .await;
    }

    #[tokio::test]
    async fn a_condition_on_outer_columns_alone_becomes_a_join() {
        check(
            "SELECT column1 AS a, \
             (SELECT min(u.column3) FROM u WHERE u.column1 = t.column1 AND t.column2 > 10) AS m FROM t ORDER BY a",
            &["1", "1", "2 c", "3"],
        )
        .await;
    }

    #[tokio::test]
    async fn a_filter_keeps_its_columns() {
        check(
            "SELECT * FROM t WHERE (SELECT min(u.column2) FROM u WHERE u.column2 > t.column2) = 11",
            &["1 10", "1 10"],
        )
        .await;
    }
}
