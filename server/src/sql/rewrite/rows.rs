//! Rows and ranges compared element by element: `(a, b) = (1, 2)`, `(a, b) IN (...)`, `a BETWEEN b AND c`.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

use super::unnested;

fn join(terms: impl IntoIterator<Item = Expr>, op: &BinaryOperator) -> Option<Expr> {
    let joined = terms.into_iter().reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: op.clone(),
        right: Box::new(right),
    })?;
    Some(Expr::Nested(Box::new(joined)))
}

/// Row comparison: `=` by every element, `<` and its like by the first that differs.
pub(super) fn compare_rows(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Option<Expr> {
    let pair = |op: &BinaryOperator, index: usize| {
        Some(super::operators::binary(left.get(index)?.clone(), op.clone(), right.get(index)?.clone()))
    };
    let all = |op: &BinaryOperator| (0..left.len()).map(|index| pair(op, index)).collect::<Option<Vec<_>>>();
    match op {
        BinaryOperator::Eq => join(all(op)?, &BinaryOperator::And),
        BinaryOperator::NotEq => join(all(op)?, &BinaryOperator::Or),
        BinaryOperator::Lt | BinaryOperator::LtEq | BinaryOperator::Gt | BinaryOperator::GtEq => {
            let strict = match op {
                BinaryOperator::Lt | BinaryOperator::LtEq => BinaryOperator::Lt,
                _ => BinaryOperator::Gt,
            };
            let last = left.len().checked_sub(1)?;
            (0..last).rev().try_fold(pair(op, last)?, |rest, index| {
                let equal = join([pair(&BinaryOperator::Eq, index)?, rest], &BinaryOperator::And)?;
                join([pair(&strict, index)?, equal], &BinaryOperator::Or)
            })
        }
        _ => None,
    }
}

pub(super) fn in_list(expr: Expr, list: Vec<Expr>, negated: bool) -> Expr {
    if let Expr::Tuple(row) = unnested(&expr)
        && list.iter().all(|item| matches!(unnested(item), Expr::Tuple(other) if other.len() == row.len()))
    {
        let matches = list.iter().filter_map(|item| match unnested(item) {
            Expr::Tuple(other) => compare_rows(row, &BinaryOperator::Eq, other),
            _ => None,
        });
        if let Some(any) = join(matches, &BinaryOperator::Or) {
            return if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any };
        }
    }
    Expr::InList { expr: Box::new(expr), list, negated }
}

/// Whether evaluating the expression twice is cheap and gives the same twice.
pub(super) fn is_simple(expr: &Expr) -> bool {
    match unnested(expr) {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) => true,
        Expr::Cast { expr, .. } => is_simple(expr),
        Expr::BinaryOp { left, right, .. } => is_simple(left) && is_simple(right),
        _ => false,
    }
}

pub(super) fn between(expr: Expr, negated: bool, low: Expr, high: Expr) -> Expr {
    let (below, above, both) = if negated {
        (BinaryOperator::Lt, BinaryOperator::Gt, BinaryOperator::Or)
    } else {
        (BinaryOperator::GtEq, BinaryOperator::LtEq, BinaryOperator::And)
    };
    let side = |op: BinaryOperator, bound: Expr| Expr::BinaryOp {
        left: Box::new(Expr::Nested(Box::new(expr.clone()))),
        op,
        right: Box::new(Expr::Nested(Box::new(bound))),
    };
    let sides =
        Expr::BinaryOp { left: Box::new(side(below, low)), op: both, right: Box::new(side(above, high)) };
    Expr::Nested(Box::new(sides))
}
