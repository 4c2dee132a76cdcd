//! Forms that DataFusion plans and answers wrongly: refused, since a wrong answer is worse than none.
//!
//! | form | what came out |
//! |---|---|
//! | `EXCEPT ALL`, `INTERSECT ALL` | rows were not counted |
//! | `RIGHT` and `FULL JOIN ... USING` | the merged column was the left one, NULL where it has no row |
//! | `x > ANY (SELECT ..)`, `x > ALL (SELECT ..)` with columns in `x` | `x` was taken from inside the subquery |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, JoinConstraint, JoinOperator, Query, SetExpr, SetOperator, SetQuantifier,
    Statement, TableWithJoins, Visit, Visitor, visit_expressions,
};
use quickdb_executor::error::ErrorKind;

use crate::error::PgError;

/// Passes a statement without such forms.
///
/// # Errors
/// 0A000 with what to write instead.
pub fn refuse_wrong_answers(statement: &Statement) -> Result<(), PgError> {
    match Visit::visit(statement, &mut Refusals) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Refusals;

fn refuse(what: &str, instead: &str) -> ControlFlow<Box<PgError>> {
    let error = PgError::new(ErrorKind::Unsupported, format!("{what} is not supported")).hint(instead);
    ControlFlow::Break(Box::new(error))
}

impl Visitor for Refusals {
    type Break = Box<PgError>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        set_expr(&query.body)
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        let (left, op, right, plain) = match expr {
            Expr::AnyOp { left, compare_op, right, .. } => (left, compare_op, right, BinaryOperator::Eq),
            Expr::AllOp { left, compare_op, right } => (left, compare_op, right, BinaryOperator::NotEq),
            _ => return ControlFlow::Continue(()),
        };
        if matches!(right.as_ref(), Expr::Subquery(_)) && *op != plain && has_columns(left) {
            return refuse(
                "a comparison with ANY or ALL of a subquery",
                "Compare with min or max in a subquery.",
            );
        }
        ControlFlow::Continue(())
    }
}

fn has_columns(expr: &Expr) -> bool {
    let found = visit_expressions(expr, |expr| match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn set_expr(body: &SetExpr) -> ControlFlow<Box<PgError>> {
    match body {
        SetExpr::SetOperation { op, set_quantifier, left, right } => {
            if *set_quantifier == SetQuantifier::All {
                match op {
                    SetOperator::Except | SetOperator::Minus => {
                        return refuse("EXCEPT ALL", "EXCEPT, without ALL, is.");
                    }
                    SetOperator::Intersect => return refuse("INTERSECT ALL", "INTERSECT, without ALL, is."),
                    SetOperator::Union => {}
                }
            }
            set_expr(left)?;
            set_expr(right)
        }
        SetExpr::Select(select) => select.from.iter().try_for_each(joins),
        _ => ControlFlow::Continue(()),
    }
}

fn joins(from: &TableWithJoins) -> ControlFlow<Box<PgError>> {
    for join in &from.joins {
        let (JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)) = &join.join_operator
        else {
            continue;
        };
        if matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural) {
            return refuse(
                "RIGHT or FULL JOIN with USING or NATURAL",
                "Join ON the columns and select coalesce(left.column, right.column).",
            );
        }
    }
    ControlFlow::Continue(())
}
