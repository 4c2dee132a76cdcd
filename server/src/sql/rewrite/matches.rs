//! LIKE, SIMILAR TO and the comparisons with all or any elements of an array.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value, ValueWithSpan,
};
use quickdb_executor::functions::similar_to::similar_to_regex;

use super::expressions::{literal_text, text};
use super::folded;
use super::subqueries::call;
use crate::sql::patterns;

/// `left op ANY (array)` and its like.
pub(super) fn quantified(function: &str, left: Expr, op: &BinaryOperator, array: Expr) -> Expr {
    let sign = match op {
        BinaryOperator::PGCustomBinaryOperator(path) => path.last().cloned().unwrap_or_default(),
        op => op.to_string(),
    };
    call(function, vec![left, array, text(&sign)], Vec::new())
}

/// The function for `ALL (array)`, which the parser takes for a call, in the place of a pattern.
pub(super) fn over_array(pattern: &Expr) -> Option<(&'static str, &Expr)> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = pattern else {
        return None;
    };
    let function = match folded(name.0.last()?.as_ident()?).as_str() {
        "all" => "array_all",
        "any" | "some" => "array_any",
        _ => return None,
    };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(array))] => Some((function, array)),
        _ => None,
    }
}

pub(super) fn like_over_array(left: Expr, op: &BinaryOperator, pattern: Expr) -> Expr {
    match over_array(&pattern) {
        Some((function, array)) => quantified(function, left, op, array.clone()),
        None => pattern,
    }
}

fn escape_of(escape: &ValueWithSpan) -> Option<Option<char>> {
    match &escape.value {
        Value::SingleQuotedString(text) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (escape, None) => Some(escape),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A LIKE pattern with backslashes for its escape character, and the escape character where that cannot be.
pub(super) fn escaped_pattern(pattern: Expr, escape: &ValueWithSpan) -> (Expr, Option<ValueWithSpan>) {
    match (literal_text(&pattern), escape_of(escape)) {
        (Some(literal), Some(escape)) => (text(&patterns::like_with_backslash(literal, escape)), None),
        (None, Some(Some('\\'))) => (pattern, None),
        _ => (call("like_escape", vec![pattern, Expr::Value(escape.clone())], Vec::new()), None),
    }
}

pub(super) fn similar_to(negated: bool, expr: Expr, pattern: Expr, escape: Option<&ValueWithSpan>) -> Expr {
    let literal = literal_text(&pattern).and_then(|literal| {
        let escape = match escape {
            Some(escape) => escape_of(escape)?,
            None => Some('\\'),
        };
        similar_to_regex(literal, escape).ok()
    });
    let regex = match literal {
        Some(regex) => text(&regex),
        None => {
            let escape = escape.map(|escape| Expr::Value(escape.clone()));
            call("similar_to_escape", std::iter::once(pattern).chain(escape).collect(), Vec::new())
        }
    };
    let op = if negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
    Expr::BinaryOp { left: Box::new(expr), op, right: Box::new(regex) }
}
