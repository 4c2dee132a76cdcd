//! One value of any array as text, as a cast to `text` writes it.

use datafusion::arrow::array::{Array, AsArray, StructArray};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::Result;

use crate::functions::function::internal;
use crate::functions::output::{
    format_bytea, format_date, format_float, format_interval, format_numeric, format_real, format_time,
    format_timestamp, format_timestamptz,
};
use crate::functions::temporal::{INTERVAL, TIME};
use crate::functions::type_names::{timestamp, timestamptz};

/// The text of the value at `row`, `None` for NULL.
///
/// # Errors
/// An internal error for types that PostgreSQL does not have.
pub fn text_of(array: &dyn Array, row: usize) -> Result<Option<String>> {
    if array.is_null(row) || array.data_type() == &DataType::Null {
        return Ok(None);
    }
    let text = match array.data_type() {
        DataType::Boolean => if array.as_boolean().value(row) { "true" } else { "false" }.to_owned(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Float32 => format_real(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format_float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            format_numeric(array.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Utf8View => array.as_string_view().value(row).to_owned(),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row).to_owned(),
        DataType::BinaryView => format_bytea(array.as_binary_view().value(row)),
        DataType::Binary => format_bytea(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => format_bytea(array.as_binary::<i64>().value(row)),
        DataType::Date32 => format_date(array.as_primitive::<Date32Type>().value(row)),
        data_type if *data_type == TIME => {
            format_time(array.as_primitive::<Time64MicrosecondType>().value(row))
        }
        data_type if *data_type == timestamp() => {
            format_timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Timestamp(datafusion::arrow::datatypes::TimeUnit::Microsecond, Some(_)) => {
            format_timestamptz(array.as_primitive::<TimestampMicrosecondType>().value(row), 0)
        }
        DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano) => {
            format_interval(array.as_primitive::<IntervalMonthDayNanoType>().value(row))
        }
        DataType::List(_) => list_text(array.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list_text(array.as_list::<i64>().value(row).as_ref())?,
        DataType::FixedSizeList(..) => list_text(array.as_fixed_size_list().value(row).as_ref())?,
        DataType::Struct(_) => record_text(array.as_struct(), row)?,
        other => {
            let target = match other {
                DataType::Timestamp(_, None) | DataType::Date64 => timestamp(),
                DataType::Timestamp(_, Some(_)) => timestamptz(),
                DataType::Time32(_) | DataType::Time64(_) => TIME,
                DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
                DataType::Dictionary(_, value) => value.as_ref().clone(),
                _ => return Err(internal(format!("values of type {other} have no text"))),
            };
            return text_of(arrow_cast(&array.slice(row, 1), &target)?.as_ref(), 0);
        }
    };
    Ok(Some(text))
}

/// `{1,2,NULL}`, quoting elements that would be read differently.
fn list_text(elements: &dyn Array) -> Result<String> {
    let nested = matches!(
        elements.data_type(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    );
    let mut parts = Vec::with_capacity(elements.len());
    for row in 0..elements.len() {
        parts.push(match text_of(elements, row)? {
            None => "NULL".to_owned(),
            Some(text) if nested => text,
            Some(text) if elements.data_type() == &DataType::Boolean => {
                text.get(..1).unwrap_or_default().to_owned()
            }
            Some(text) => {
                quoted(text, |c| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace(), true)
            }
        });
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

/// `(1,abc,)`.
fn record_text(record: &StructArray, row: usize) -> Result<String> {
    let mut parts = Vec::with_capacity(record.num_columns());
    for column in record.columns() {
        parts.push(match text_of(column.as_ref(), row)? {
            None => String::new(),
            Some(text) if column.data_type() == &DataType::Boolean => {
                text.get(..1).unwrap_or_default().to_owned()
            }
            Some(text) => {
                quoted(text, |c| matches!(c, '(' | ')' | ',' | '"' | '\\') || c.is_ascii_whitespace(), false)
            }
        });
    }
    Ok(format!("({})", parts.join(",")))
}

fn quoted(text: String, special: impl Fn(char) -> bool, array: bool) -> String {
    let bare = !text.is_empty() && !text.contains(special) && !(array && text.eq_ignore_ascii_case("null"));
    if bare {
        return text;
    }
    if array {
        return format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Int32Array, StringViewArray};
    use datafusion::arrow::datatypes::Field;

    use super::*;

    #[test]
    fn lists_quote_what_needs_it() {
        let texts =
            StringViewArray::from(vec![Some("a"), Some("b c"), None, Some(""), Some("null"), Some("q\"")]);
        assert_eq!(list_text(&texts).unwrap(), r#"{a,"b c",NULL,"","null","q\""}"#);
    }

    #[test]
    fn records_leave_nulls_empty() {
        let record = StructArray::from(vec![
            (Arc::new(Field::new("a", DataType::Int32, true)), Arc::new(Int32Array::from(vec![1])) as _),
            (
                Arc::new(Field::new("b", DataType::Utf8View, true)),
                Arc::new(StringViewArray::from(vec![None::<&str>])) as _,
            ),
        ]);
        assert_eq!(record_text(&record, 0).unwrap(), "(1,)");
    }
}
