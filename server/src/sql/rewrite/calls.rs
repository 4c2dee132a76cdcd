//! Calls whose arguments or results differ between PostgreSQL and DataFusion.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    Array, ArrayElemTypeDef, BinaryOperator, CaseWhen, DataType, DuplicateTreatment, ExactNumberInfo, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, Ident, ObjectName,
    OrderByExpr, OrderByOptions, TimezoneInfo, Value, ValueWithSpan,
};

use super::arrays::array_elements;
use super::expressions::plain_cast;
use super::operators::binary;
use super::subqueries::call;
use super::{folded, sets};

/// A call whose result DataFusion gives in another integer type than PostgreSQL, or as a list instead of a set.
pub(super) fn result_type(name: &str, function: Function) -> Expr {
    match name {
        "ntile" => plain_cast(Expr::Function(function), DataType::Int4(None)),
        "unnest" => flattened(function),
        // Of arrays it is one array, of a dimension more.
        "json_agg" | "jsonb_agg" | "json_object_agg" | "jsonb_object_agg" => json_aggregate(name, function),
        "array_agg" => call("array_of_arrays", vec![Expr::Function(function)], Vec::new()),
        "row_number" | "rank" | "dense_rank" => plain_cast(Expr::Function(function), DataType::Int8(None)),
        "make_timestamptz" => make_timestamptz(function),
        "gen_random_uuid" => plain_cast(call("uuid", Vec::new(), Vec::new()), DataType::Uuid),
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

/// The JSON aggregates: their values are collected as JSON and put together.
fn json_aggregate(name: &str, mut function: Function) -> Expr {
    let binary = if name.starts_with("jsonb") { "jsonb" } else { "json" };
    let mut outer = if name.ends_with("object_agg") { "pairs" } else { "list" };
    let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
    let values = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    let Some(values) = values.collect::<Option<Vec<_>>>() else { return Expr::Function(function) };
    let element = match (outer, values.as_slice()) {
        ("pairs", [key, value]) => call("json_agg_pair", vec![key.clone(), value.clone()], Vec::new()),
        // Distinct values come in their own order.
        ("list", [value]) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct) => {
            outer = "list_of";
            if list.clauses.is_empty() {
                let options = OrderByOptions { asc: None, nulls_first: None };
                let key = OrderByExpr { expr: value.clone(), options, with_fill: None };
                list.clauses.push(FunctionArgumentClause::OrderBy(vec![key]));
            }
            value.clone()
        }
        ("list", [value]) => call(&format!("{binary}_agg_element"), vec![value.clone()], Vec::new()),
        _ => return Expr::Function(function),
    };
    list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(element))];
    function.name = ObjectName::from(vec![Ident::new("array_agg")]);
    call(&format!("{binary}_{outer}"), vec![Expr::Function(function)], Vec::new())
}

/// `unnest(a)`: of all elements, whatever the array's dimensions are.
fn flattened(mut function: Function) -> Expr {
    if let FunctionArguments::List(list) = &mut function.args {
        for arg in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(array)) = arg
                && !matches!(array, Expr::Function(inner) if inner.name.to_string() == "array_flat")
            {
                let flat = call("array_flat", vec![array.clone()], Vec::new());
                *array = flat;
            }
        }
    }
    Expr::Function(function)
}

/// `make_timestamptz(year, .., second [, zone])`: a timestamp in the session's zone or the given one.
fn make_timestamptz(mut function: Function) -> Expr {
    let zone = match &mut function.args {
        FunctionArguments::List(list) if list.args.len() == 7 => match list.args.pop() {
            Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(zone))) => Some(zone),
            _ => None,
        },
        _ => None,
    };
    function.name = ObjectName::from(vec![Ident::new("make_timestamp")]);
    let local = Expr::Function(function);
    match zone {
        Some(zone) => call("timezone", vec![zone, local], Vec::new()),
        None => plain_cast(local, DataType::Timestamp(None, TimezoneInfo::Tz)),
    }
}

/// Percentiles at several fractions are as many aggregates.
pub(super) fn percentiles(name: &str, function: &mut Function) -> Option<Expr> {
    if !matches!(name, "percentile_cont" | "percentile_disc") {
        return None;
    }
    let key = function.within_group.first()?.expr.clone();
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(fractions))] = list.args.as_slice() else { return None };
    let one = |fraction: Expr| {
        let mut call = function.clone();
        if let FunctionArguments::List(list) = &mut call.args {
            list.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(fraction))];
        }
        Expr::Function(call)
    };
    let elem = array_elements(fractions)?.into_iter().map(one).collect();
    // No values have no percentiles, not an array of NULLs.
    let mut count = call("count", vec![key], Vec::new());
    if let Expr::Function(count) = &mut count {
        count.filter.clone_from(&function.filter);
    }
    let zero = Expr::Value(Value::Number("0".to_owned(), false).into());
    Some(Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: binary(count, BinaryOperator::Gt, zero),
            result: Expr::Array(Array { elem, named: true }),
        }],
        else_result: None,
    })
}

/// A call of a type's name with one argument is a cast.
pub(super) fn type_call(name: &str, function: &Function) -> Option<(Expr, DataType)> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    if !list.clauses.is_empty() || function.over.is_some() || function.filter.is_some() {
        return None;
    }
    let data_type = match name {
        "int2" => DataType::Int2(None),
        "int4" => DataType::Int4(None),
        "int8" => DataType::Int8(None),
        "float4" => DataType::Float4,
        "float8" => DataType::Float8,
        "bool" => DataType::Bool,
        "text" => DataType::Text,
        "date" => DataType::Date,
        "numeric" => DataType::Numeric(ExactNumberInfo::None),
        "timestamptz" => DataType::Timestamp(None, TimezoneInfo::Tz),
        "varchar" | "bpchar" | "bytea" | "name" | "uuid" | "json" | "jsonb" => {
            DataType::Custom(ObjectName::from(vec![Ident::new(name)]), Vec::new())
        }
        _ => return None,
    };
    Some((argument.clone(), data_type))
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
