//! Histograms by named arguments, with the defaults of those that are not given.
//!
//! | written | planned |
//! |---|---|
//! | `histogram(x, bins => n, range => (lo, hi))` | `histogram(x, n, lo, hi)` |
//! | `histogram2d(x, y, bins => (m, n), range => ((x0, x1), (y0, y1)))` | `histogram2d(x, y, m, n, x0, x1, y0, y1)` |
//!
//! Arguments come by name in any order, or in their places; one number of bins holds for both axes, and a range that is
//! NULL is none.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, Statement,
    Value, ValueWithSpan, VisitMut, VisitorMut,
};
use quickdb_executor::error::ErrorKind;

use super::expressions::plain_cast;
use super::{folded, unnested};
use crate::error::PgError;
use crate::sql::position::char_position;

/// Bins along each axis where none are asked for, as in numpy.
const BINS_DEFAULT: u32 = 10;

/// Brings the arguments of every histogram into their places.
///
/// # Errors
/// 42883 for a name that is no argument's or is given twice, and for bins and ranges of another shape.
pub(super) fn place(statement: &mut Statement, source: &str) -> Result<(), PgError> {
    match VisitMut::visit(statement, &mut NamedArguments { source }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct NamedArguments<'a> {
    source: &'a str,
}

impl VisitorMut for NamedArguments<'_> {
    type Break = Box<PgError>;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Self::Break> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let names: &[&str] = match function_name(function).as_deref() {
            Some("histogram") => &["x", "bins", "range"],
            Some("histogram2d") => &["x", "y", "bins", "range"],
            _ => return ControlFlow::Continue(()),
        };
        match placed(function, names) {
            Some(arguments) => {
                if let FunctionArguments::List(list) = &mut function.args {
                    list.args = arguments;
                }
                ControlFlow::Continue(())
            }
            None => {
                let start = function.name.span().start;
                let name = function_name(function).unwrap_or_default();
                let written = match &function.args {
                    FunctionArguments::List(list) => list.args.iter().map(ToString::to_string).collect(),
                    _ => Vec::new(),
                };
                let message = format!("function {name}({}) does not exist", written.join(", "));
                let error = PgError::new(ErrorKind::UndefinedFunction, message)
                    .hint(hint(names.len()))
                    .at(char_position(self.source, start.line, start.column));
                ControlFlow::Break(Box::new(error))
            }
        }
    }
}

fn hint(arguments: usize) -> &'static str {
    if arguments == 3 {
        "It is called as histogram(x, bins => 50, range => (lo, hi))."
    } else {
        "It is called as histogram2d(x, y, bins => (50, 50), range => ((x0, x1), (y0, y1)))."
    }
}

/// The name of a function that has no schema, or the catalogue's.
fn function_name(function: &Function) -> Option<String> {
    let mut names = function.name.0.iter().map(|part| part.as_ident().map(folded));
    match (names.next()??, names.next()) {
        (name, None) => Some(name),
        (schema, Some(name)) if schema == "pg_catalog" => name,
        _ => None,
    }
}

/// The arguments in the places that the planner knows; `None` when there is no such function. The values stand first
/// in `names`, then the bins and the range.
fn placed(function: &Function, names: &[&str]) -> Option<Vec<FunctionArg>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let mut given: Vec<Option<&Expr>> = vec![None; names.len()];
    let mut by_name = false;
    for (index, argument) in list.args.iter().enumerate() {
        let (place, value) = match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if !by_name => (index, value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                by_name = true;
                (place_of(names, name)?, value)
            }
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => {
                by_name = true;
                (place_of(names, name)?, value)
            }
            _ => return None,
        };
        let slot = given.get_mut(place)?;
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let range = given.pop()?;
    let bins = given.pop()?;
    let dimensions = given.len();
    let mut arguments: Vec<Expr> = given.into_iter().map(|value| value.cloned()).collect::<Option<_>>()?;
    match bins {
        None => {
            let default = Expr::Value(Value::Number(BINS_DEFAULT.to_string(), false).into());
            arguments.extend(std::iter::repeat_n(default, dimensions));
        }
        Some(bins) => match unnested(bins) {
            Expr::Tuple(each) if each.len() == dimensions && dimensions > 1 => {
                arguments.extend(each.iter().cloned());
            }
            Expr::Tuple(_) => return None,
            bins => arguments.extend(std::iter::repeat_n(bins.clone(), dimensions)),
        },
    }
    if let Some(range) = range.filter(|range| !is_null(range)) {
        let Expr::Tuple(parts) = unnested(range) else { return None };
        let axes: Vec<&Expr> = if dimensions == 1 { vec![range] } else { parts.iter().collect() };
        if axes.len() != dimensions {
            return None;
        }
        for axis in axes {
            let Expr::Tuple(ends) = unnested(axis) else { return None };
            let [low, high] = ends.as_slice() else { return None };
            // A number is a double here, whatever its digits: its exponent may reach beyond those of a numeric.
            arguments.extend([low, high].map(|end| plain_cast(end.clone(), DataType::DoublePrecision)));
        }
    }
    Some(arguments.into_iter().map(|value| FunctionArg::Unnamed(FunctionArgExpr::Expr(value))).collect())
}

fn place_of(names: &[&str], name: &Ident) -> Option<usize> {
    names.iter().position(|known| folded(name) == *known)
}

fn is_null(expr: &Expr) -> bool {
    matches!(unnested(expr), Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::parse::parse;

    fn of(sql: &str) -> Result<String, String> {
        let mut statement = parse(sql).unwrap().remove(0).ast;
        place(&mut statement, sql).map_err(|error| error.message)?;
        Ok(statement.to_string())
    }

    #[test]
    fn arguments_come_into_their_places() {
        for (sql, expected) in [
            ("histogram(a)", "histogram(a, 10)"),
            (
                "histogram(a, range => (1, 2), bins => 5)",
                "histogram(a, 5, CAST(1 AS DOUBLE PRECISION), CAST(2 AS DOUBLE PRECISION))",
            ),
            ("histogram(a, 5, NULL)", "histogram(a, 5)"),
            ("histogram(bins => 5, x => a)", "histogram(a, 5)"),
            ("histogram2d(a, b, bins => 7)", "histogram2d(a, b, 7, 7)"),
            ("histogram2d(a, b, bins => (7, 8))", "histogram2d(a, b, 7, 8)"),
            ("other(a, bins => 5)", "other(a, bins => 5)"),
        ] {
            assert_eq!(of(&format!("SELECT {sql} FROM t")), Ok(format!("SELECT {expected} FROM t")));
        }
    }

    #[test]
    fn what_is_no_argument_is_no_function() {
        for sql in [
            "histogram()",
            "histogram(a, bin => 5)",
            "histogram(a, bins => 5, bins => 6)",
            "histogram(a, 5, bins => 6)",
            "histogram(a, bins => (5, 6))",
            "histogram(a, range => 5)",
            "histogram(a, range => (1, 2, 3))",
            "histogram2d(a, bins => 5)",
            "histogram2d(a, b, range => (1, 2))",
            "histogram2d(a, b, bins => (1, 2, 3))",
        ] {
            let error = of(&format!("SELECT {sql} FROM t")).unwrap_err();
            assert_eq!(error, format!("function {sql} does not exist"));
        }
    }
}
