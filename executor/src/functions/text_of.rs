//! One value of any array as text, as a cast to `text` writes it.

use std::fmt::Write;

use bytes::BytesMut;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StructArray};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, IntervalUnit, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::Result;

use crate::datetime::text::{write_date, write_time, write_timestamp, write_timestamptz};
use crate::datetime::{DateTimeSettings, write_interval};
use crate::functions::arrays::shape::{Arrays, Dimensions, is_multi};
use crate::functions::function::internal;
use crate::functions::output::{format_bytea, format_float, format_numeric, format_real};
use crate::functions::temporal::{INTERVAL, TIME};
use crate::functions::type_names::{timestamp, timestamptz};

/// The text of the value at `row` in the styles of a session that has chosen none, `None` for NULL.
///
/// # Errors
/// An internal error for types that PostgreSQL does not have.
pub fn text_of(array: &dyn Array, row: usize) -> Result<Option<String>> {
    text_in(array, row, &DateTimeSettings::default())
}

/// The text of the value at `row` in the session's styles, `None` for NULL.
///
/// # Errors
/// An internal error for types that PostgreSQL does not have.
pub fn text_in(array: &dyn Array, row: usize, settings: &DateTimeSettings) -> Result<Option<String>> {
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
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            written(|out| write_date(days, settings.date_style, out))
        }
        data_type if *data_type == TIME => {
            written(|out| write_time(array.as_primitive::<Time64MicrosecondType>().value(row), out))
        }
        data_type if *data_type == timestamp() => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            written(|out| write_timestamp(micros, settings.date_style, out))
        }
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            written(|out| write_timestamptz(micros, settings.date_style, &settings.time_zone, out))
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            written(|out| write_interval(interval.into(), settings.interval_style, out))
        }
        DataType::List(_) => list_text(array.as_list::<i32>().value(row).as_ref(), settings)?,
        DataType::LargeList(_) => list_text(array.as_list::<i64>().value(row).as_ref(), settings)?,
        DataType::FixedSizeList(..) => list_text(array.as_fixed_size_list().value(row).as_ref(), settings)?,
        other if is_multi(other) => multi_text(&array.slice(row, 1), settings)?,
        DataType::Struct(_) => record_text(array.as_struct(), row, settings)?,
        other => {
            let target = match other {
                DataType::Timestamp(_, None) | DataType::Date64 => timestamp(),
                DataType::Timestamp(_, Some(_)) => timestamptz(),
                DataType::Time32(_) | DataType::Time64(_) => TIME,
                DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
                DataType::Dictionary(_, value) => value.as_ref().clone(),
                _ => return Err(internal(format!("values of type {other} have no text"))),
            };
            return text_in(arrow_cast(&array.slice(row, 1), &target)?.as_ref(), 0, settings);
        }
    };
    Ok(Some(text))
}

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `{1,2,NULL}`, quoting elements that would be read differently.
fn list_text(elements: &dyn Array, settings: &DateTimeSettings) -> Result<String> {
    let nested = matches!(
        elements.data_type(),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)
    );
    let mut parts = Vec::with_capacity(elements.len());
    for row in 0..elements.len() {
        parts.push(if nested {
            text_in(elements, row, settings)?.unwrap_or_else(|| "NULL".to_owned())
        } else {
            quoted_element(elements, row, settings)?
        });
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

/// The one array of a column of arrays of any shape: `[0:1]={{1,2},{3,4}}`.
fn multi_text(array: &ArrayRef, settings: &DateTimeSettings) -> Result<String> {
    let arrays = Arrays::of(array)?;
    let Some(value) = arrays.get(0) else { return Err(internal("NULL has no text")) };
    let mut parts = Vec::with_capacity(value.range.len());
    for place in value.range {
        parts.push(quoted_element(arrays.elements().as_ref(), place, settings)?);
    }
    Ok(nested_text(&value.dimensions, &parts))
}

/// The texts of elements in the braces of their dimensions, after the bounds where one does not begin at 1.
pub fn nested_text(dimensions: &Dimensions, elements: &[String]) -> String {
    fn nest(lengths: &[i32], elements: &[String], out: &mut String) {
        out.push('{');
        match lengths {
            [] | [_] => out.push_str(&elements.join(",")),
            [length, inner @ ..] => {
                let count = usize::try_from(*length).unwrap_or(0).max(1);
                for (index, part) in elements.chunks((elements.len() / count).max(1)).enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    nest(inner, part, out);
                }
            }
        }
        out.push('}');
    }
    let mut out = String::new();
    if dimensions.lower().iter().any(|lower| *lower != 1) {
        for (length, lower) in dimensions.lengths().iter().zip(dimensions.lower()) {
            let _ = write!(out, "[{lower}:{}]", i64::from(*lower) + i64::from(*length) - 1);
        }
        out.push('=');
    }
    nest(dimensions.lengths(), elements, &mut out);
    out
}

/// The text of an element as arrays and records have it: a boolean is a letter there.
pub(crate) fn element_text(
    elements: &dyn Array,
    row: usize,
    settings: &DateTimeSettings,
) -> Result<Option<String>> {
    let text = text_in(elements, row, settings)?;
    let boolean = elements.data_type() == &DataType::Boolean;
    Ok(text.map(|text| if boolean { text.get(..1).unwrap_or_default().to_owned() } else { text }))
}

fn quoted_element(elements: &dyn Array, row: usize, settings: &DateTimeSettings) -> Result<String> {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_ascii_whitespace();
    Ok(match element_text(elements, row, settings)? {
        None => "NULL".to_owned(),
        Some(text) => quoted(text, special, true),
    })
}

/// `(1,abc,)`.
fn record_text(record: &StructArray, row: usize, settings: &DateTimeSettings) -> Result<String> {
    let mut parts = Vec::with_capacity(record.num_columns());
    for column in record.columns() {
        parts.push(match element_text(column.as_ref(), row, settings)? {
            None => String::new(),
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
        assert_eq!(
            list_text(&texts, &DateTimeSettings::default()).unwrap(),
            r#"{a,"b c",NULL,"","null","q\""}"#
        );
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
        assert_eq!(record_text(&record, 0, &DateTimeSettings::default()).unwrap(), "(1,)");
    }
}
