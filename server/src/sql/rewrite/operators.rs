//! Operators and positions in the spelling of the planner.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Select, SelectItem, UnaryOperator, Value, ValueWithSpan,
};

use super::rows::compare_rows;
use super::subqueries::call;
use super::unnested;

pub(super) fn unary(op: UnaryOperator, operand: Expr) -> Expr {
    let function = match op {
        UnaryOperator::Plus => return operand,
        UnaryOperator::Minus => "checked_neg",
        UnaryOperator::PGAbs => "abs",
        UnaryOperator::PGSquareRoot => "sqrt",
        UnaryOperator::PGCubeRoot => "cbrt",
        UnaryOperator::BitwiseNot => {
            let one = Expr::Value(Value::Number("-1".to_owned(), false).into());
            return Expr::BinaryOp {
                left: Box::new(one),
                op: BinaryOperator::Minus,
                right: Box::new(Expr::Nested(Box::new(operand))),
            };
        }
        op => return Expr::UnaryOp { op, expr: Box::new(operand) },
    };
    call(function, vec![operand], Vec::new())
}

pub(super) fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    let op = match &op {
        BinaryOperator::PGCustomBinaryOperator(path) => {
            path.last().and_then(|sign| operator(sign)).unwrap_or(op)
        }
        _ => op,
    };
    match op {
        BinaryOperator::PGStartsWith => return call("starts_with", vec![left, right], Vec::new()),
        BinaryOperator::Overlaps => {
            if let (Expr::Tuple(a), Expr::Tuple(b)) = (unnested(&left), unnested(&right))
                && let ([from, to], [other_from, other_to]) = (a.as_slice(), b.as_slice())
            {
                let bounds = [from, to, other_from, other_to].map(Clone::clone);
                return call("overlaps", bounds.to_vec(), Vec::new());
            }
        }
        // The planner takes `a # a` for 0 where it is NULL, so this is the same by other means.
        BinaryOperator::PGBitwiseXor => {
            let nested = |expr: Expr| Expr::Nested(Box::new(expr));
            let either = binary(nested(left.clone()), BinaryOperator::BitwiseOr, nested(right.clone()));
            let both = binary(nested(left), BinaryOperator::BitwiseAnd, nested(right));
            return Expr::BinaryOp {
                left: Box::new(nested(either)),
                op: BinaryOperator::Minus,
                right: Box::new(nested(both)),
            };
        }
        BinaryOperator::PGOverlap => return call("array_overlap", vec![left, right], Vec::new()),
        _ => {}
    }
    if let (Expr::Tuple(a), Expr::Tuple(b)) = (unnested(&left), unnested(&right))
        && a.len() == b.len()
        && let Some(compared) = compare_rows(a, &op, b)
    {
        return compared;
    }
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn operator(sign: &str) -> Option<BinaryOperator> {
    Some(match sign {
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        "^@" => BinaryOperator::PGStartsWith,
        "&&" => BinaryOperator::PGOverlap,
        "&" => BinaryOperator::BitwiseAnd,
        "|" => BinaryOperator::BitwiseOr,
        "^" => BinaryOperator::PGExp,
        _ => return None,
    })
}

/// Positions in ROLLUP, CUBE and GROUPING SETS as the expressions that they stand for: the planner knows them as keys of
/// their own only.
pub(super) fn ordinals_of_sets(select: &mut Select) {
    let Select { projection, group_by: GroupByExpr::Expressions(keys, _), .. } = select else { return };
    for key in keys {
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = key else { continue };
        for item in sets.iter_mut().flatten() {
            let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = &*item else { continue };
            let place = digits.parse::<usize>().ok().and_then(|place| place.checked_sub(1));
            if let Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) =
                place.and_then(|place| projection.get(place))
            {
                *item = expr.clone();
            }
        }
    }
}

/// Whether the first operand of an expression has the mark of `BETWEEN SYMMETRIC`.
pub(super) fn is_marked(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::PGPrefixFactorial, .. } => true,
        Expr::BinaryOp { left, .. } | Expr::Cast { expr: left, .. } => is_marked(left),
        _ => false,
    }
}

pub(super) fn unmarked(expr: Expr) -> Expr {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::PGPrefixFactorial, expr } => *expr,
        Expr::BinaryOp { left, op, right } => Expr::BinaryOp { left: Box::new(unmarked(*left)), op, right },
        Expr::Cast { kind, expr, data_type, array, format } => {
            Expr::Cast { kind, expr: Box::new(unmarked(*expr)), data_type, array, format }
        }
        other => other,
    }
}
