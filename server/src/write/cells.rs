//! Values that a VALUES list gives without computing: literals, parameters, DEFAULT.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{Expr, UnaryOperator, Value};
use quickdb_executor::functions::arrays::shape::{is_array, is_multi, reshaped};

use crate::catalogue::PgType;
use crate::error::{PgError, SqlState};
use crate::wire::params::{InputContext, parse_text};

/// What stands in one place of a VALUES list.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// A value of the column's type.
    Value(ScalarValue),
    /// `$n`, counted from 0.
    Parameter(usize),
    /// `DEFAULT`.
    Default,
    /// The next value of the sequence with that OID.
    Next(u32),
}

/// Reads an expression that needs no computing, for a column of that type; `None` for any other.
///
/// # Errors
/// A literal that is no value of the type.
pub(crate) fn cell(expr: &Expr, pg_type: PgType, input: &InputContext) -> Result<Option<Cell>, PgError> {
    Ok(match expr {
        Expr::Nested(inner) => cell(inner, pg_type, input)?,
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default") =>
        {
            Some(Cell::Default)
        }
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => {
                let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
                number.and_then(|number| number.checked_sub(1)).map(Cell::Parameter)
            }
            value => literal(value, false, pg_type, input)?.map(Cell::Value),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) if matches!(value.value, Value::Number(..)) => {
                literal(&value.value, true, pg_type, input)?.map(Cell::Value)
            }
            _ => None,
        },
        _ => None,
    })
}

fn literal(
    value: &Value,
    negative: bool,
    pg_type: PgType,
    input: &InputContext,
) -> Result<Option<ScalarValue>, PgError> {
    let data_type = pg_type.data_type();
    Ok(match value {
        Value::Null => Some(null(&data_type)?),
        Value::Boolean(value) if data_type == DataType::Boolean => Some(ScalarValue::Boolean(Some(*value))),
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => {
            Some(of_text(text, pg_type, input)?)
        }
        Value::DollarQuotedString(text) => Some(of_text(&text.value, pg_type, input)?),
        Value::Number(digits, _) => {
            let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
            let takes_text = match data_type {
                DataType::Int16 | DataType::Int32 | DataType::Int64 => whole,
                DataType::Float32 | DataType::Float64 | DataType::Decimal128(..) => {
                    digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte))
                }
                _ => false,
            };
            if !takes_text {
                return Ok(None);
            }
            let text = if negative { format!("-{digits}") } else { digits.clone() };
            match of_text(&text, pg_type, input) {
                Ok(value) => Some(value),
                // PostgreSQL words the error of a number differently from that of a string.
                Err(error) if error.sqlstate == SqlState("22003") => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        _ => None,
    })
}

/// A text as a value of a type, by the type's input function.
///
/// # Errors
/// 22P02 and its kin.
pub(crate) fn of_text(text: &str, pg_type: PgType, input: &InputContext) -> Result<ScalarValue, PgError> {
    let value = parse_text(text, pg_type.oid, input)?;
    assign(value, pg_type)
}

/// A value in the column's own type.
///
/// # Errors
/// 22003 for a number that does not fit, 42804 for a value of another kind.
pub(crate) fn assign(value: ScalarValue, pg_type: PgType) -> Result<ScalarValue, PgError> {
    let data_type = pg_type.data_type();
    if value.data_type() == data_type {
        return Ok(value);
    }
    if value.is_null() {
        return null(&data_type);
    }
    if is_multi(&data_type) && is_array(&value.data_type())
        || is_multi(&value.data_type()) && is_array(&data_type)
    {
        let wrong = |error| PgError::from_datafusion(error, None);
        let array = value.to_array().map_err(wrong)?;
        let fitted = reshaped(&array, &data_type).map_err(wrong)?;
        return ScalarValue::try_from_array(&fitted, 0).map_err(wrong);
    }
    value.cast_to(&data_type).map_err(|_| match data_type {
        DataType::Decimal128(precision, scale) => {
            let bound = i32::from(precision) - i32::from(scale);
            let detail = format!(
                "A field with precision {precision}, scale {scale} must round to an absolute value less than 10^{bound}."
            );
            PgError::with_state(SqlState("22003"), "numeric field overflow").detail(detail)
        }
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            PgError::with_state(SqlState("22003"), format!("{pg_type} out of range"))
        }
        _ => PgError::with_state(
            SqlState("42804"),
            format!("a value of type {} cannot be one of type {pg_type}", value.data_type()),
        ),
    })
}

/// NULL of a type.
pub(crate) fn null(data_type: &DataType) -> Result<ScalarValue, PgError> {
    ScalarValue::try_from(data_type).map_err(|error| PgError::from_datafusion(error, None))
}
