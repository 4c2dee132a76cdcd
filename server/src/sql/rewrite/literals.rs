//! Number literals: `integer` where they fit, `bigint` where they fit that, `numeric` otherwise.
//!
//! DataFusion takes every whole number for a `bigint`. A literal that is a value becomes a cast of itself. Places that
//! need a bare number keep it: LIMIT and OFFSET, ordinals of ORDER BY and GROUP BY, arguments that choose a result type
//! (`round(x, 2)`), subscripts and arguments of table functions. They are marked by the number's flag for a suffix `L`,
//! which PostgreSQL's dialect never sets.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, GroupByExpr, LimitClause, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query,
    Select, Subscript, TableFactor, UnaryOperator, Value, ValueWithSpan, VisitorMut, WindowFrameBound,
    WindowSpec, WindowType,
};

use super::unnested;

/// Functions whose later arguments choose the result's type and must stay literals.
const TYPE_CHOOSING: [&str; 8] =
    ["round", "trunc", "cast_numeric", "average", "ntile", "lag", "lead", "nth_value"];

/// Casts the literals of a statement.
#[derive(Debug)]
pub struct Literals;

impl VisitorMut for Literals {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(keep_all);
                offset.iter_mut().for_each(|offset| keep_all(&mut offset.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                keep_all(offset);
                keep_all(limit);
            }
            None => {}
        }
        if let Some(fetch) = &mut query.fetch {
            fetch.quantity.iter_mut().for_each(keep_all);
        }
        if let Some(order_by) = &mut query.order_by
            && let OrderByKind::Expressions(keys) = &mut order_by.kind
        {
            keys.iter_mut().for_each(|key| keep(&mut key.expr));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for NamedWindowDefinition(_, window) in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = window {
                keep_in_window(spec);
            }
        }
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            for key in keys {
                match key {
                    Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                        sets.iter_mut().flatten().for_each(keep);
                    }
                    key => keep(key),
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { args: Some(args), .. } => args.args.iter_mut().for_each(keep_argument),
            TableFactor::Function { args, .. } => args.iter_mut().for_each(keep_argument),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Interval(interval) => keep_all(&mut interval.value),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let AccessExpr::Subscript(Subscript::Index { index }) = access {
                        keep_all(index);
                    }
                    if let AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride }) =
                        access
                    {
                        [lower_bound, upper_bound, stride].into_iter().flatten().for_each(keep_all);
                    }
                }
            }
            Expr::Function(function) => keep_in_function(function),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan { value: Value::Number(digits, false), .. }) = expr {
            let data_type = number_type(digits);
            let digits = match data_type {
                DataType::Numeric(_) => numeric_digits(digits),
                _ => digits.replace('_', ""),
            };
            let plain = matches!(data_type, DataType::Numeric(_));
            if data_type == DataType::DoublePrecision {
                // Read as the float that it is to be.
                *expr = cast(Expr::Value(Value::SingleQuotedString(digits).into()), data_type);
                return ControlFlow::Continue(());
            }
            let literal = Expr::Value(Value::Number(digits, true).into());
            *expr = if plain { literal } else { cast(literal, data_type) };
        }
        ControlFlow::Continue(())
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast { kind: CastKind::Cast, expr: Box::new(expr), data_type, array: false, format: None }
}

/// Takes the marks off again: parts of the planner know plain numbers only.
#[derive(Debug)]
pub struct Unmark;

impl VisitorMut for Unmark {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Number(_, marked) = &mut value.value {
            *marked = false;
        }
        ControlFlow::Continue(())
    }
}

/// The type of a number as it is written.
pub fn number_type(digits: &str) -> DataType {
    let plain = digits.replace('_', "");
    if plain.parse::<i32>().is_ok() {
        DataType::Int4(None)
    } else if plain.parse::<i64>().is_ok() {
        DataType::Int8(None)
    } else if fits_numeric(&plain) {
        DataType::Numeric(ExactNumberInfo::None)
    } else {
        DataType::DoublePrecision
    }
}

/// Whether a number with a point or an exponent has no more digits than a numeric takes.
fn fits_numeric(digits: &str) -> bool {
    let Some((mantissa, exponent)) = digits.split_once(['e', 'E']) else { return true };
    let Ok(exponent) = exponent.parse::<i32>() else { return false };
    let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let whole = mantissa.trim_start_matches('-').len();
    let (fraction, whole) =
        (i32::try_from(fraction).unwrap_or(i32::MAX), i32::try_from(whole).unwrap_or(i32::MAX));
    whole.saturating_add(exponent.max(0)) <= 38 && fraction.saturating_sub(exponent.min(0)) <= 38
}

/// A number that the planner reads as a decimal: with a point, so that no unsigned integer is made of it.
fn numeric_digits(digits: &str) -> String {
    let plain = digits.replace('_', "");
    if plain.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) {
        format!("{plain}.")
    } else {
        plain
    }
}

/// Keeps a number that is the whole expression.
fn keep(expr: &mut Expr) {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Number(_, kept), .. }) => *kept = true,
        Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => keep(expr),
        _ => {}
    }
}

/// Keeps a number that is the whole expression or an operand of it.
fn keep_all(expr: &mut Expr) {
    match expr {
        Expr::BinaryOp { left, right, .. } => {
            keep_all(left);
            keep_all(right);
        }
        Expr::Nested(inner) => keep_all(inner),
        other => keep(other),
    }
}

fn keep_argument(argument: &mut FunctionArg) {
    if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument {
        keep_all(expr);
    }
}

fn keep_in_function(function: &mut Function) {
    let chooses = function
        .name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|name| TYPE_CHOOSING.iter().any(|known| name.value.eq_ignore_ascii_case(known)));
    if chooses && let FunctionArguments::List(list) = &mut function.args {
        let skip = usize::from(!function_takes_only_numbers(&function.name.to_string()));
        list.args.iter_mut().skip(skip).for_each(keep_argument);
    }
    if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
        keep_in_window(spec);
    }
}

fn keep_in_window(spec: &mut WindowSpec) {
    spec.order_by.iter_mut().for_each(|key| keep(&mut key.expr));
    if let Some(frame) = &mut spec.window_frame {
        let ends = [Some(&mut frame.start_bound), frame.end_bound.as_mut()];
        for end in ends.into_iter().flatten() {
            if let WindowFrameBound::Preceding(Some(offset)) | WindowFrameBound::Following(Some(offset)) = end
            {
                while let Expr::Nested(inner) = offset.as_ref() {
                    *offset = inner.clone();
                }
                keep_all(offset);
            }
        }
    }
}

fn function_takes_only_numbers(name: &str) -> bool {
    name.eq_ignore_ascii_case("ntile")
}

/// Whether the expression is a number as it is written, with or without a sign.
pub fn is_number(expr: &Expr) -> bool {
    match unnested(expr) {
        Expr::Value(ValueWithSpan { value: Value::Number(..), .. }) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => is_number(expr),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::VisitMut;

    use super::*;
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        let _ = statement.visit(&mut Literals);
        assert_eq!(statement.to_string().replace('L', ""), expected.replace('L', ""));
    }

    #[test]
    fn values_are_cast_by_their_size() {
        check("select 5, 5000000000, 1.5", "SELECT CAST(5L AS INT4), CAST(5000000000L AS INT8), 1.5L");
        check("select 99999999999999999999", "SELECT 99999999999999999999.L");
    }

    #[test]
    fn counts_ordinals_and_scales_stay_bare() {
        check(
            "select round(x, 2) from t group by 1 order by 1 limit 5 offset 2",
            "SELECT round(x, 2L) FROM t GROUP BY 1L ORDER BY 1L LIMIT 5L OFFSET 2L",
        );
        check("select lag(x, 1) over (order by y) from t", "SELECT lag(x, 1L) OVER (ORDER BY y) FROM t");
    }
}
