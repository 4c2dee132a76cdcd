//! Correlated scalar subqueries that DataFusion cannot turn into a join by itself.
//!
//! DataFusion's rule needs every condition on an outer column to be an equality with an inner one. A condition such as
//! `inner <> outer`, or one on outer columns alone, is outside of it. Here the subquery is computed once for each
//! combination of the outer columns that it uses:
//!
//! ```text
//! Projection [.. (SELECT agg(x) FROM inner WHERE p(inner, outer)) ..]      Projection [.. __subquery.__value ..]
//!   outer                                                            ─▶      LEFT JOIN on outer columns (NULL = NULL)
//!                                                                              outer
//!                                                                              Aggregate [keys] [agg(x)]
//!                                                                                Filter p(inner, keys)
//!                                                                                  inner x DISTINCT outer columns
//! ```
//!
//! An outer row without a match gets NULL, which is what every aggregate but a count gives for no rows; counts are left
//! alone.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery,
};
use datafusion::optimizer::AnalyzerRule;

/// Turns the subqueries that DataFusion leaves into joins; runs after all other rules.
#[derive(Debug)]
pub struct DecorrelateScalars;

impl AnalyzerRule for DecorrelateScalars {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut count = 0;
        plan.transform_up_with_subqueries(|plan| rewrite(plan, &mut count)).map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "decorrelate_scalars"
    }
}

fn rewrite(plan: LogicalPlan, count: &mut usize) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(Projection { expr, input, .. }) if expr.iter().any(has_subquery) => {
            let names = NamePreserver::new_for_projection();
            let mut outer = Outer { plan: Arc::unwrap_or_clone(input), count, joined: false };
            let mut items = Vec::with_capacity(expr.len());
            for item in expr {
                let name = names.save(&item);
                items.push(name.restore(outer.replace(item)?));
            }
            let joined = outer.joined;
            let projection = LogicalPlan::Projection(Projection::try_new(items, Arc::new(outer.plan))?);
            Ok(if joined { Transformed::yes(projection) } else { Transformed::no(projection) })
        }
        LogicalPlan::Filter(Filter { predicate, input, .. }) if has_subquery(&predicate) => {
            let columns = input.schema().columns();
            let mut outer = Outer { plan: Arc::unwrap_or_clone(input), count, joined: false };
            let predicate = outer.replace(predicate)?;
            let joined = outer.joined;
            let filter = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(outer.plan))?);
            if !joined {
                return Ok(Transformed::no(filter));
            }
            // The joined columns are nobody else's.
            let columns = columns.into_iter().map(Expr::Column).collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(filter))?)))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::ScalarSubquery(_)))).unwrap_or(false)
}

/// The plan whose rows the subqueries refer to, with the subqueries joined to it so far.
struct Outer<'a> {
    plan: LogicalPlan,
    /// How many subqueries of the whole statement were joined, for names that are not repeated.
    count: &'a mut usize,
    joined: bool,
}

impl Outer<'_> {
    fn replace(&mut self, expr: Expr) -> Result<Expr> {
        expr.transform_up(|expr| match expr {
            Expr::ScalarSubquery(subquery) => Ok(match self.join(&subquery)? {
                Some(column) => Transformed::yes(Expr::Column(column)),
                None => Transformed::no(Expr::ScalarSubquery(subquery)),
            }),
            other => Ok(Transformed::no(other)),
        })
        .map(|replaced| replaced.data)
    }

    /// Joins a subquery of the shape that is meant here: the column with its value.
    fn join(&mut self, subquery: &Subquery) -> Result<Option<Column>> {
        let mut outer_columns = Vec::new();
        for reference in &subquery.outer_ref_columns {
            let Expr::OuterReferenceColumn(_, column) = reference else { return Ok(None) };
            if !self.plan.schema().has_column(column) {
                return Ok(None);
            }
            if !outer_columns.contains(column) {
                outer_columns.push(column.clone());
            }
        }
        let Some((aggregate, filter)) = shape(&subquery.subquery) else { return Ok(None) };
        let Some(value) = aggregate.aggr_expr.first() else { return Ok(None) };

        let number = *self.count;
        *self.count += 1;
        let (domain, name) = (format!("__outer_{number}"), format!("__subquery_{number}"));
        let key_name = |index: usize| format!("__key_{index}");
        let key = |index: usize| Expr::Column(Column::new(Some(domain.as_str()), key_name(index)));
        let bind = |expr: Expr| {
            let bound = expr.transform_up(|expr| match &expr {
                Expr::OuterReferenceColumn(_, column) => {
                    match outer_columns.iter().position(|known| known == column) {
                        Some(index) => Ok(Transformed::yes(key(index))),
                        None => Ok(Transformed::no(expr)),
                    }
                }
                _ => Ok(Transformed::no(expr)),
            });
            bound.map(|bound| bound.data)
        };

        let keys = outer_columns.iter().enumerate();
        let keys = keys.map(|(index, column)| Expr::Column(column.clone()).alias(key_name(index)));
        let domain_plan = LogicalPlanBuilder::from(self.plan.clone())
            .project(keys.collect::<Vec<_>>())?
            .distinct()?
            .alias(domain.as_str())?
            .build()?;
        let inner = LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(&filter.input)))
            .cross_join(domain_plan)?
            .filter(bind(filter.predicate.clone())?)?
            .aggregate((0..outer_columns.len()).map(key), vec![bind(value.clone())?.alias("__value")])?
            .alias(name.as_str())?
            .build()?;
        let inner_keys =
            (0..outer_columns.len()).map(|index| Column::new(Some(name.as_str()), key_name(index)));
        let inner_keys = inner_keys.collect::<Vec<_>>();
        self.plan = LogicalPlanBuilder::from(self.plan.clone())
            .join_detailed(
                inner,
                JoinType::Left,
                (outer_columns, inner_keys),
                None,
                NullEquality::NullEqualsNull,
            )?
            .build()?;
        self.joined = true;
        Ok(Some(Column::new(Some(name.as_str()), "__value")))
    }
}

/// An aggregate without groups over a filter that has all of the correlation, some of it no equality; the subquery's
/// value is the aggregate itself.
fn shape(plan: &LogicalPlan) -> Option<(&Aggregate, &Filter)> {
    let plan = match plan {
        LogicalPlan::Projection(projection) => {
            let [only] = projection.expr.as_slice() else { return None };
            matches!(only.clone().unalias(), Expr::Column(_)).then_some(&*projection.input)?
        }
        plan => plan,
    };
    let LogicalPlan::Aggregate(aggregate) = plan else { return None };
    let [value] = aggregate.aggr_expr.as_slice() else { return None };
    let Expr::AggregateFunction(call) = value.clone().unalias() else { return None };
    // Counts of no rows are 0, not NULL.
    let counts = call.func.name().contains("count") || call.func.name().contains("distinct");
    let LogicalPlan::Filter(filter) = &*aggregate.input else { return None };
    let is_correlated_below = filter.input.exists(|plan| Ok(plan.contains_outer_reference())).unwrap_or(true);
    let is_hard = split_conjunction(&filter.predicate)
        .into_iter()
        .any(|condition| condition.contains_outer() && !is_equality(condition));
    (aggregate.group_expr.is_empty() && !counts && !is_correlated_below && is_hard)
        .then_some((aggregate, filter))
}

/// Whether DataFusion's own rule takes the condition: outer on one side, inner on the other.
fn is_equality(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let has_inner = |expr: &Expr| !expr.contains_outer() && !expr.column_refs().is_empty();
    (left.contains_outer() && has_inner(right)) || (right.contains_outer() && has_inner(left))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn check(sql: &str, expected: &[&str]) {
        let context = SessionContext::new();
        for table in [
            "CREATE TABLE t AS VALUES (1, 10), (2, 20), (3, NULL), (1, 10)",
            "CREATE TABLE u AS VALUES (1, 10, 'a'), (1, 11, 'b'), (2, 21, 'c'), (3, 30, 'd')",
        ] {
            context.sql(table).await.unwrap().collect().await.unwrap();
        }
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        let plan = DecorrelateScalars.analyze(plan, &ConfigOptions::default()).unwrap();
        let batches = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&batches).unwrap().to_string();
        let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
        let rows =
            rows.map(|line| line.replace([' ', '|'], " ").split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(rows.collect::<Vec<_>>(), expected, "{sql}");
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
