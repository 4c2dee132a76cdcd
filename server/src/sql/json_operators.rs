//! Operators of `json` and `jsonb`, which are text inside: only the metadata of their fields tells them apart.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::BinaryExpr;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, ScalarUDF, lit};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arrays::shape::is_array;
use quickdb_executor::functions::scalar_functions;
use quickdb_executor::functions::type_names::{PG_TYPE_KEY, pg_field_type_name};

use super::operators::{adopt, call, is_unknown};

static FUNCTIONS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = scalar_functions().into_iter();
    functions
        .filter(|function| function.name().starts_with("json"))
        .map(|function| (function.name().to_owned(), function))
        .collect()
});

/// One of the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonType {
    /// As it is written.
    Json,
    /// Normalized.
    Jsonb,
}

/// Which of the two an expression is of, if any.
pub(super) fn json_type(expr: &Expr, schema: &DFSchema) -> Result<Option<JsonType>> {
    let (_, field) = expr.to_field(schema)?;
    Ok(match field.metadata().get(PG_TYPE_KEY).map(String::as_str) {
        Some("json") => Some(JsonType::Json),
        Some("jsonb") => Some(JsonType::Jsonb),
        _ => None,
    })
}

/// A call of one of the executor's JSON functions.
///
/// # Errors
/// A name that none of them has is a defect.
pub(super) fn json_call(name: &str, args: Vec<Expr>) -> Result<Expr> {
    match FUNCTIONS.get(name) {
        Some(function) => Ok(call(function, args)),
        None => Err(ExecError::new(ErrorKind::Internal, format!("there is no function {name}")).into()),
    }
}

/// A literal of no type as `jsonb`.
fn as_jsonb(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    if is_unknown(&expr) {
        json_call("jsonb_in", vec![adopt(expr, &DataType::Utf8View, schema)?])
    } else {
        Ok(expr)
    }
}

fn texts() -> DataType {
    DataType::new_list(DataType::Utf8View, true)
}

/// Plans an operator of which an operand is JSON; the operands again where it is none of these.
pub(super) fn plan(
    op: &BinaryOperator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
) -> Result<std::result::Result<Expr, (Expr, Expr)>> {
    use BinaryOperator as Op;
    let path = match op {
        Op::Arrow => Some("json_get"),
        Op::LongArrow => Some("json_get_text"),
        Op::HashArrow => Some("json_get_path"),
        Op::HashLongArrow => Some("json_get_path_text"),
        _ => None,
    };
    let (l, r) = (json_type(&left, schema)?, json_type(&right, schema)?);
    if let Some(name) = path {
        if l.is_none() && !is_unknown(&left) {
            return Err(undefined(op, &left, &right, schema)?);
        }
        let wanted =
            if matches!(op, Op::HashArrow | Op::HashLongArrow) { texts() } else { DataType::Utf8View };
        let (left, right) = (adopt(left, &DataType::Utf8View, schema)?, adopt(right, &wanted, schema)?);
        return json_call(name, vec![left, right]).map(Ok);
    }
    if let Some(order) = comparison(op)
        && (l.is_some() || r.is_some())
    {
        if l == Some(JsonType::Json) || r == Some(JsonType::Json) {
            return Err(undefined(op, &left, &right, schema)?);
        }
        let (left, right) = (as_jsonb(left, schema)?, as_jsonb(right, schema)?);
        if json_type(&left, schema)?.is_none() || json_type(&right, schema)?.is_none() {
            return Err(undefined(op, &left, &right, schema)?);
        }
        let order_of = json_call("jsonb_order", vec![left, right])?;
        let compared = BinaryExpr::new(Box::new(order_of), order, Box::new(lit(0_i32)));
        return Ok(Ok(Expr::BinaryExpr(compared)));
    }
    let is_jsonb = |kind: Option<JsonType>| kind == Some(JsonType::Jsonb);
    match op {
        Op::AtArrow | Op::ArrowAt if is_jsonb(l) || is_jsonb(r) => {
            let name = if *op == Op::AtArrow { "jsonb_contains" } else { "jsonb_contained" };
            json_call(name, vec![as_jsonb(left, schema)?, as_jsonb(right, schema)?]).map(Ok)
        }
        Op::StringConcat
            if is_jsonb(l) && (is_jsonb(r) || is_unknown(&right)) || is_jsonb(r) && is_unknown(&left) =>
        {
            json_call("jsonb_concat", vec![as_jsonb(left, schema)?, as_jsonb(right, schema)?]).map(Ok)
        }
        Op::Question if is_jsonb(l) => {
            json_call("jsonb_exists", vec![left, adopt(right, &DataType::Utf8View, schema)?]).map(Ok)
        }
        Op::QuestionAnd | Op::QuestionPipe if is_jsonb(l) => {
            let name = if *op == Op::QuestionAnd { "jsonb_exists_all" } else { "jsonb_exists_any" };
            json_call(name, vec![left, adopt(right, &texts(), schema)?]).map(Ok)
        }
        Op::Minus if is_jsonb(l) => {
            let wanted = right.get_type(schema)?;
            let wanted = if is_array(&wanted) { wanted } else { DataType::Utf8View };
            json_call("jsonb_delete", vec![left, adopt(right, &wanted, schema)?]).map(Ok)
        }
        Op::HashMinus if is_jsonb(l) => {
            json_call("jsonb_delete_path", vec![left, adopt(right, &texts(), schema)?]).map(Ok)
        }
        _ => Ok(Err((left, right))),
    }
}

fn comparison(op: &BinaryOperator) -> Option<Operator> {
    Some(match op {
        BinaryOperator::Eq => Operator::Eq,
        BinaryOperator::NotEq => Operator::NotEq,
        BinaryOperator::Lt => Operator::Lt,
        BinaryOperator::LtEq => Operator::LtEq,
        BinaryOperator::Gt => Operator::Gt,
        BinaryOperator::GtEq => Operator::GtEq,
        _ => return None,
    })
}

/// 42883 with the names that the operands' types have.
fn undefined(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<datafusion::error::DataFusionError> {
    let name = |expr: &Expr| -> Result<String> {
        if is_unknown(expr) {
            return Ok("unknown".to_owned());
        }
        Ok(pg_field_type_name(&expr.to_field(schema)?.1))
    };
    let message = format!("operator does not exist: {} {op} {}", name(left)?, name(right)?);
    Ok(ExecError::new(ErrorKind::UndefinedFunction, message)
        .with_hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
        .into())
}
