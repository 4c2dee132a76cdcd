//! Calls whose arguments or results differ between PostgreSQL and DataFusion.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Value,
    ValueWithSpan,
};

use super::expressions::plain_cast;
use super::subqueries::call;
use super::{folded, sets};

/// A call whose result DataFusion gives in another integer type than PostgreSQL, or as a list instead of a set.
pub(super) fn result_type(name: &str, function: Function) -> Expr {
    match name {
        "array_length" => {
            // An empty array has no length.
            let zero = Expr::Value(Value::Number("0".to_owned(), false).into());
            call("nullif", vec![plain_cast(Expr::Function(function), DataType::Int4(None)), zero], Vec::new())
        }
        "cardinality" | "ntile" | "array_ndims" | "array_position" => {
            plain_cast(Expr::Function(function), DataType::Int4(None))
        }
        "row_number" | "rank" | "dense_rank" | "regexp_count" => {
            plain_cast(Expr::Function(function), DataType::Int8(None))
        }
        "generate_series" => {
            let small = match &function.args {
                FunctionArguments::List(list) => list.args.iter().all(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(ValueWithSpan {
                        value, ..
                    }))) => {
                        matches!(value, Value::Number(digits, _) if digits.parse::<i32>().is_ok())
                    }
                    _ => false,
                }),
                _ => false,
            };
            let series = match (&function.args, small) {
                (FunctionArguments::List(list), false) => {
                    let args = list.args.iter().filter_map(|arg| match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                        _ => None,
                    });
                    call("series_list", args.collect(), Vec::new())
                }
                _ => Expr::Function(function),
            };
            let element = if small { DataType::Int4(None) } else { DataType::Int8(None) };
            let list = if small {
                plain_cast(series, DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(element), None)))
            } else {
                series
            };
            call("unnest", vec![list], Vec::new())
        }
        _ => set(name, function),
    }
}

/// A call in a select list of a function that returns a set.
fn set(name: &str, function: Function) -> Expr {
    let FunctionArguments::List(list) = &function.args else { return Expr::Function(function) };
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    let Some(args) = args.collect::<Option<Vec<_>>>() else { return Expr::Function(function) };
    sets::in_select_list(name, args).unwrap_or(Expr::Function(function))
}

/// `make_interval` by names or places: all seven arguments, zero where not given.
pub(super) fn make_interval(function: &Function) -> Option<Expr> {
    const NAMES: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];
    let FunctionArguments::List(list) = &function.args else { return None };
    let zero = || Expr::Value(Value::Number("0".to_owned(), false).into());
    let mut places: Vec<Expr> = NAMES.iter().map(|_| zero()).collect();
    for (index, arg) in list.args.iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (index, value),
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => {
                (NAMES.iter().position(|known| folded(name) == *known)?, value)
            }
            FunctionArg::ExprNamed {
                name: Expr::Identifier(name),
                arg: FunctionArgExpr::Expr(value),
                ..
            } => (NAMES.iter().position(|known| folded(name) == *known)?, value),
            _ => return None,
        };
        *places.get_mut(place)? = value.clone();
    }
    Some(call("make_interval", places, Vec::new()))
}
