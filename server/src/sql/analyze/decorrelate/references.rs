//! Which outer columns a plan refers to, and other columns in their place.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};

/// The columns of `schema` that a subquery's plan refers to as outer ones; each once.
pub(super) fn outer_columns(plan: &LogicalPlan, schema: &DFSchema) -> Result<Vec<Column>> {
    let mut columns = free_references(plan)?;
    columns.retain(|column| schema.has_column(column));
    Ok(columns)
}

/// Whether the plan refers to one of the outer columns.
pub(super) fn depends_on(plan: &LogicalPlan, columns: &[Column]) -> Result<bool> {
    Ok(free_references(plan)?.iter().any(|column| columns.contains(column)))
}

/// The columns outside of the plan that it refers to, each once: not those that subqueries within it mean of the plan
/// itself.
pub(super) fn free_references(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut columns = Vec::new();
    let mut add = |column: Column| {
        if !columns.contains(&column) {
            columns.push(column);
        }
    };
    let inputs = plan.inputs();
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::OuterReferenceColumn(_, column) => add(column.clone()),
                Expr::ScalarSubquery(subquery)
                | Expr::Exists(Exists { subquery, .. })
                | Expr::InSubquery(InSubquery { subquery, .. })
                | Expr::SetComparison(SetComparison { subquery, .. }) => {
                    let within = free_references(&subquery.subquery)?;
                    let is_own =
                        |column: &Column| inputs.iter().any(|input| input.schema().has_column(column));
                    within.into_iter().filter(|column| !is_own(column)).for_each(&mut add);
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    for input in &inputs {
        let within = free_references(input)?;
        // What a LATERAL item means of the left side of its join is not free.
        let left = match plan {
            LogicalPlan::Join(join) if super::lateral(input).is_some() => Some(join.left.schema()),
            _ => None,
        };
        let is_own = |column: &Column| left.is_some_and(|left| left.has_column(column));
        within.into_iter().filter(|column| !is_own(column)).for_each(&mut add);
    }
    Ok(columns)
}

/// The expression with columns in place of outer ones where `key_of` knows them. Inside of a subquery they become
/// outer columns again; there, columns of `own` come first, as the nearer ones.
pub(super) fn bind(expr: Expr, key_of: &dyn Fn(&Column) -> Option<Column>, own: &DFSchema) -> Result<Expr> {
    let bound = expr.transform_up(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(field, column) => match key_of(&column) {
                Some(key) => Transformed::yes(Expr::Column(key)),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            },
            Expr::ScalarSubquery(subquery) => {
                Transformed::yes(Expr::ScalarSubquery(bind_subquery(subquery, key_of, own)?))
            }
            Expr::Exists(mut exists) => {
                exists.subquery = bind_subquery(exists.subquery, key_of, own)?;
                Transformed::yes(Expr::Exists(exists))
            }
            Expr::InSubquery(mut test) => {
                test.subquery = bind_subquery(test.subquery, key_of, own)?;
                Transformed::yes(Expr::InSubquery(test))
            }
            Expr::SetComparison(mut test) => {
                test.subquery = bind_subquery(test.subquery, key_of, own)?;
                Transformed::yes(Expr::SetComparison(test))
            }
            other => Transformed::no(other),
        })
    });
    bound.map(|bound| bound.data)
}

fn bind_subquery(
    subquery: Subquery,
    key_of: &dyn Fn(&Column) -> Option<Column>,
    own: &DFSchema,
) -> Result<Subquery> {
    let Subquery { subquery, spans, .. } = subquery;
    let bound = Arc::unwrap_or_clone(subquery).transform_down_with_subqueries(|node| {
        node.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::OuterReferenceColumn(field, column) if !own.has_column(&column) => {
                    Ok(match key_of(&column) {
                        Some(key) => Transformed::yes(Expr::OuterReferenceColumn(field, key)),
                        None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
                    })
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(with_references(bound.data, spans))
}

/// A subquery over the plan that names all its outer columns, those of the subqueries within it too.
fn with_references(plan: LogicalPlan, spans: datafusion::common::Spans) -> Subquery {
    let outer_ref_columns = plan.all_out_ref_exprs();
    Subquery { subquery: Arc::new(plan), outer_ref_columns, spans }
}
