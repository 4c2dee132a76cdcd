//! `concat`, `concat_ws` and `substr`, over values of any type as PostgreSQL writes them.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::DateTimeSettings;
use crate::error::ErrorKind;
use crate::functions::bytes::{byte_substr, is_bytes};
use crate::functions::cast::texts;
use crate::functions::function::{Function, arg, error, is_int, is_text, over_arrays};
use crate::functions::text_of::text_in;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "concat",
            |types| if types.is_empty() { None } else { Some(types.to_vec()) },
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| Ok(Arc::new(joined(arrays, None, &settings)?) as ArrayRef))
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "concat_ws",
            |types| match types {
                [separator, _, ..] if is_text(separator) || separator.is_null() => Some(types.to_vec()),
                _ => None,
            },
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| {
                    let separators = texts(arg(arrays, 0)?)?;
                    let parts = arrays.get(1..).unwrap_or(&[]);
                    Ok(Arc::new(joined(parts, Some(&separators), &settings)?) as ArrayRef)
                })
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "substr",
            |types| match types {
                [value, rest @ ..]
                    if (is_text(value) || is_bytes(value) || value.is_null())
                        && matches!(rest.len(), 1 | 2)
                        && rest.iter().all(|t| is_int(t) || t.is_null()) =>
                {
                    let value = if is_bytes(value) { DataType::BinaryView } else { DataType::Utf8View };
                    Some([vec![value], vec![DataType::Int64; rest.len()]].concat())
                }
                _ => None,
            },
            |types, _| Ok(types.first().cloned().unwrap_or(DataType::Utf8View)),
            |args| match args.arg_fields.first() {
                Some(field) if is_bytes(field.data_type()) => byte_substr(args),
                _ => over_arrays(args, substr),
            },
        )
        .aliases(&["substring"])
        .udf(),
    ]
}

/// The arguments of each row after one another; NULLs are left out, a NULL separator gives NULL.
fn joined(
    arrays: &[ArrayRef],
    separators: Option<&StringViewArray>,
    settings: &DateTimeSettings,
) -> Result<StringViewArray> {
    let rows = arrays.first().map_or(0, |array| array.len());
    let mut builder = StringViewBuilder::with_capacity(rows);
    for row in 0..rows {
        if separators.is_some_and(|separators| separators.is_null(row)) {
            builder.append_null();
            continue;
        }
        let mut text = String::new();
        let mut first = true;
        for array in arrays {
            let Some(part) = output(array, row, settings)? else { continue };
            if let Some(separators) = separators
                && !first
            {
                text.push_str(separators.value(row));
            }
            first = false;
            text.push_str(&part);
        }
        builder.append_value(text);
    }
    Ok(builder.finish())
}

/// What the type's output function gives, which for booleans is one letter.
fn output(array: &ArrayRef, row: usize, settings: &DateTimeSettings) -> Result<Option<String>> {
    let text = text_in(array.as_ref(), row, settings)?;
    if array.data_type() == &DataType::Boolean {
        return Ok(text.map(|text| text.chars().take(1).collect()));
    }
    Ok(text)
}

/// Characters from a place counted from 1; places before the first count against the length.
fn substr(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let values = texts(arg(arrays, 0)?)?;
    let starts = arrow_cast(arg(arrays, 1)?, &DataType::Int64)?;
    let starts = starts.as_primitive::<Int64Type>();
    let lengths = arrays.get(2).map(|lengths| arrow_cast(lengths, &DataType::Int64)).transpose()?;
    let lengths = lengths.as_ref().map(|lengths| lengths.as_primitive::<Int64Type>());
    let mut builder = StringViewBuilder::with_capacity(values.len());
    for row in 0..values.len() {
        let null =
            values.is_null(row) || starts.is_null(row) || lengths.is_some_and(|lengths| lengths.is_null(row));
        if null {
            builder.append_null();
            continue;
        }
        let start = starts.value(row);
        let end = match lengths.map(|lengths| lengths.value(row)) {
            Some(length) if length < 0 => {
                return Err(error(ErrorKind::InvalidSubstring, "negative substring length not allowed"));
            }
            Some(length) => start.saturating_add(length),
            None => i64::MAX,
        };
        let skip = usize::try_from(start.max(1) - 1).unwrap_or(usize::MAX);
        let take = usize::try_from(end.saturating_sub(start.max(1))).unwrap_or(0);
        let text = values.value(row);
        let from = text.char_indices().nth(skip).map_or(text.len(), |(at, _)| at);
        let tail = text.get(from..).unwrap_or_default();
        let to = tail.char_indices().nth(take).map_or(tail.len(), |(at, _)| at);
        builder.append_value(tail.get(..to).unwrap_or_default());
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    fn text(text: &str) -> ScalarValue {
        ScalarValue::Utf8View(Some(text.to_owned()))
    }

    #[test]
    fn nulls_are_left_out() {
        let args = [text("a"), ScalarValue::Utf8View(None), ScalarValue::Boolean(Some(true))];
        assert_eq!(call_named("concat", &args).unwrap(), text("at"));
        let args = [text(","), text("a"), ScalarValue::Int32(None), ScalarValue::Int32(Some(2))];
        assert_eq!(call_named("concat_ws", &args).unwrap(), text("a,2"));
    }

    #[test]
    fn places_before_the_first_count_against_the_length() {
        let int = |value| ScalarValue::Int64(Some(value));
        assert_eq!(call_named("substr", &[text("hello"), int(-1), int(4)]).unwrap(), text("he"));
        assert_eq!(call_named("substr", &[text("häuser"), int(2), int(3)]).unwrap(), text("äus"));
        assert_eq!(call_named("substr", &[text("abc"), int(3)]).unwrap(), text("c"));
        assert!(call_named("substr", &[text("abc"), int(1), int(-1)]).is_err());
    }
}
