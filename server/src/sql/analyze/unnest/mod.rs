//! Subqueries that DataFusion cannot turn into joins by itself, or turns into wrong ones; what
//! [`DecorrelateSubqueries`](super::DecorrelateSubqueries) has made joins of does not come here.
//!
//! | form | what DataFusion does |
//! |---|---|
//! | correlation that is no equality, or deeper than one filter | no plan |
//! | `x IN (SELECT ..)`, `EXISTS` as a value | no plan, or false where SQL has NULL |
//! | `x > ANY (SELECT ..)`, `x > ALL (SELECT ..)` | takes columns of `x` from inside the subquery |
//! | LATERAL items that are more than a filter | no plan |
//!
//! Each such subquery is computed once for each combination of the outer columns that it uses, its [`Domain`], and
//! joined to the rows that it belongs to:
//!
//! ```text
//! Projection [.. (SELECT agg(x) FROM inner WHERE p(inner, outer)) ..]      Projection [.. __subquery.__value ..]
//!   outer                                                            ─▶      LEFT JOIN on outer columns (NULL = NULL)
//!                                                                              outer
//!                                                                              the subquery over its domain
//! ```

mod domain;
mod lateral;
mod membership;
mod shape;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison, SetQuantifier};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Projection, Subquery, lit,
};
use datafusion::optimizer::AnalyzerRule;

use super::casts::input_schema;
use domain::{Domain, Numbers, Pushed, join_on_keys};
use shape::{Place, is_left, is_subquery};

/// Turns the subqueries that DataFusion is not left with into joins; runs after all other rules, `DecorrelateSubqueries` among them.
#[derive(Debug)]
pub struct UnnestSubqueries;

impl AnalyzerRule for UnnestSubqueries {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let mut numbers = Numbers::default();
        plan.transform_up_with_subqueries(|plan| rewrite(plan, &mut numbers)).map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "unnest_subqueries"
    }
}

fn rewrite(plan: LogicalPlan, numbers: &mut Numbers) -> Result<Transformed<LogicalPlan>> {
    let plan = match lateral::joined(plan, numbers)? {
        rewritten if rewritten.transformed => return Ok(rewritten),
        kept => kept.data,
    };
    let first = |plan: &LogicalPlan| match plan {
        LogicalPlan::Filter(_) => Place::Conjunct,
        _ => Place::Value,
    };
    let place = first(&plan);
    let schema = input_schema(&plan);
    let concerned = match &plan {
        LogicalPlan::Filter(_)
        | LogicalPlan::Projection(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Sort(_) => plan.expressions().iter().any(|expr| is_concerned(expr, place, &schema)),
        _ => false,
    };
    if !concerned {
        return Ok(Transformed::no(plan));
    }
    let inputs = plan.inputs();
    let [input] = inputs.as_slice() else { return Ok(Transformed::no(plan)) };
    let input = LogicalPlan::clone(input);
    let columns = plan.schema().columns();
    let names = NamePreserver::new(&plan);
    let mut outer = Outer { plan: input, numbers };
    let mut exprs = Vec::new();
    for expr in plan.expressions() {
        let name = names.save(&expr);
        exprs.push(name.restore(outer.replace(expr, place)?));
    }
    let keeps_columns =
        matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_));
    let rebuilt = match plan {
        LogicalPlan::Filter(_) => match exprs.pop() {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(outer.plan))?),
            None => outer.plan,
        },
        plan => plan.with_new_exprs(exprs, vec![outer.plan])?.recompute_schema()?,
    };
    if !keeps_columns {
        return Ok(Transformed::yes(rebuilt));
    }
    // The joined columns are nobody else's.
    let columns = columns.into_iter().map(Expr::Column).collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(rebuilt))?)))
}

/// Whether a subquery in the expression is not left to DataFusion.
fn is_concerned(expr: &Expr, place: Place, outer: &DFSchema) -> bool {
    if is_subquery(expr) {
        return !is_left(expr, place, outer)
            || operand(expr).is_some_and(|operand| is_concerned(operand, Place::Value, outer));
    }
    if let Some((left, right, below)) = connected(expr, place) {
        return is_concerned(left, below, outer) || is_concerned(right, below, outer);
    }
    let mut found = false;
    let _ = expr.apply_children(|child| {
        found |= is_concerned(child, Place::Value, outer);
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

fn operand(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::InSubquery(InSubquery { expr, .. }) | Expr::SetComparison(SetComparison { expr, .. }) => {
            Some(expr)
        }
        _ => None,
    }
}

/// The sides of an AND or OR in a condition, and their place.
fn connected(expr: &Expr, place: Place) -> Option<(&Expr, &Expr, Place)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) if place != Place::Value => {
            Some((left, right, place))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) if place != Place::Value => {
            Some((left, right, Place::Monotone))
        }
        _ => None,
    }
}

/// The plan whose rows the subqueries belong to, with the subqueries joined to it so far.
struct Outer<'a> {
    plan: LogicalPlan,
    numbers: &'a mut Numbers,
}

impl Outer<'_> {
    fn replace(&mut self, expr: Expr, place: Place) -> Result<Expr> {
        if !is_concerned(&expr, place, self.plan.schema()) {
            return Ok(expr);
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right })
                if place != Place::Value =>
            {
                let below = if op == Operator::And { place } else { Place::Monotone };
                let left = self.replace(*left, below)?;
                let right = self.replace(*right, below)?;
                Ok(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
            }
            Expr::ScalarSubquery(subquery) => self.value(&subquery),
            Expr::Exists(Exists { subquery, negated }) => {
                let exists = self.existence(&subquery)?;
                Ok(if negated { !exists } else { exists })
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                let operand = self.replace(*expr, Place::Value)?;
                let is_in = self.any(operand, Operator::Eq, &subquery)?;
                Ok(if negated { !is_in } else { is_in })
            }
            Expr::SetComparison(SetComparison { expr, subquery, op, quantifier }) => {
                let operand = self.replace(*expr, Place::Value)?;
                match quantifier {
                    SetQuantifier::Any => self.any(operand, op, &subquery),
                    SetQuantifier::All => match op.negate() {
                        Some(op) => Ok(!self.any(operand, op, &subquery)?),
                        None => {
                            datafusion::common::plan_err!("Correlated column is not allowed under {op} ALL")
                        }
                    },
                }
            }
            other => other
                .map_children(|child| self.replace(child, Place::Value).map(Transformed::yes))
                .map(|replaced| replaced.data),
        }
    }

    fn pushed(&mut self, subquery: &Subquery) -> Result<(Pushed, Vec<Column>)> {
        let plan = subquery.subquery.as_ref().clone();
        let mut domain = Domain::of(&self.plan, &plan, self.numbers);
        let pushed = domain.push(plan)?;
        Ok((pushed, domain.columns))
    }

    /// Joins a relation of one row at most for each combination of `columns`.
    fn join(&mut self, right: LogicalPlan, columns: &[Column], keys: &[Column]) -> Result<()> {
        self.plan = join_on_keys(self.plan.clone(), right, columns, keys, JoinType::Left)?;
        Ok(())
    }

    /// The one value of a subquery.
    fn value(&mut self, subquery: &Subquery) -> Result<Expr> {
        let (Pushed { plan, keys }, columns) = self.pushed(subquery)?;
        let (name, keys, mut items) = self.renamed(&keys);
        items.push(first_column(plan.schema()).alias("__value"));
        let right = LogicalPlanBuilder::from(plan).project(items)?.alias(name.as_str())?.build()?;
        self.join(right, &columns, &keys)?;
        Ok(Expr::Column(Column::new(Some(name), "__value")))
    }

    /// Whether the subquery has a row.
    fn existence(&mut self, subquery: &Subquery) -> Result<Expr> {
        let (Pushed { plan, keys }, columns) = self.pushed(subquery)?;
        let (name, keys, mut items) = self.renamed(&keys);
        items.push(lit(true).alias("__value"));
        let mut right = LogicalPlanBuilder::from(plan).project(items)?;
        right = if keys.is_empty() { right.limit(0, Some(1))? } else { right.distinct()? };
        let right = right.alias(name.as_str())?.build()?;
        self.join(right, &columns, &keys)?;
        Ok(Expr::Column(Column::new(Some(name), "__value")).is_not_null())
    }

    /// A name for a relation to join, the names of its keys, and the items that give them.
    fn renamed(&mut self, keys: &[Column]) -> (String, Vec<Column>, Vec<Expr>) {
        let name = format!("__asked_{}", self.numbers.next());
        let key = |index: usize| format!("__key_{index}");
        let renamed = (0..keys.len()).map(|index| Column::new(Some(name.as_str()), key(index))).collect();
        let items = keys.iter().enumerate();
        let items = items.map(|(index, column)| Expr::Column(column.clone()).alias(key(index))).collect();
        (name, renamed, items)
    }
}

fn first_column(schema: &DFSchema) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(0)))
}

#[cfg(test)]
mod tests;
