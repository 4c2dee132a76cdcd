//! Arrays by PostgreSQL's rules of subscripts, and out of text.
//!
//! | function | gives |
//! |---|---|
//! | `array_subscript(a, i)` | `a[i]`, NULL for a place that is not there, such as 0 or a negative one |
//! | `array_subscripts(a, i, j)` | `a[i:j]`; a NULL bound is the array's own |
//! | `text_array_in(s, a)` | the text `{..}` as an array of the type of `a` |

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringViewBuilder, UInt64Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast as arrow_cast, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::ErrorKind;
use crate::functions::cast::{cast_function, is_plain_cast, texts};
use crate::functions::function::{Function, arg, error, internal, is_int, is_text, over_arrays};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "array_subscript",
            |types| match types {
                [list, index] if is_list(list) && is_index(index) => {
                    Some(vec![list.clone(), DataType::Int64])
                }
                _ => None,
            },
            |types, _| item_of(types).map(|item| item.data_type().clone()),
            |args| over_arrays(args, subscript),
        )
        .nullable()
        .udf(),
        Function::new(
            "array_subscripts",
            |types| match types {
                [list, from, to] if is_list(list) && is_index(from) && is_index(to) => {
                    Some(vec![list.clone(), DataType::Int64, DataType::Int64])
                }
                _ => None,
            },
            |types, _| types.first().cloned().ok_or_else(|| internal("a slice of nothing")),
            |args| over_arrays(args, subscripts),
        )
        .nullable()
        .udf(),
        Function::new(
            "text_array_in",
            |types| match types {
                [text, list] if is_text(text) && is_list(list) => {
                    Some(vec![DataType::Utf8View, list.clone()])
                }
                _ => None,
            },
            |types, _| types.get(1).cloned().ok_or_else(|| internal("an array of no type")),
            |args| over_arrays(args, |arrays| read(arrays, args)),
        )
        .nullable()
        .udf(),
    ]
}

fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::List(_))
}

fn is_index(data_type: &DataType) -> bool {
    is_int(data_type) || data_type.is_null()
}

fn item_of(types: &[DataType]) -> Result<&FieldRef> {
    match types {
        [DataType::List(item), ..] => Ok(item),
        _ => Err(internal("a subscript of what is no array")),
    }
}

fn list_of(array: &ArrayRef) -> Result<&ListArray> {
    array.as_list_opt::<i32>().ok_or_else(|| internal("a subscript of what is no array"))
}

fn subscript(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let list = list_of(arg(arrays, 0)?)?;
    let indices = arrow_cast(arg(arrays, 1)?, &DataType::Int64)?;
    let indices = indices.as_primitive::<Int64Type>();
    let places: UInt64Array = (0..list.len())
        .map(|row| {
            if list.is_null(row) || indices.is_null(row) {
                return None;
            }
            let place = u64::try_from(indices.value(row).checked_sub(1)?).ok()?;
            let (from, length) = bounds(list, row)?;
            (place < length).then_some(from + place)
        })
        .collect();
    Ok(take(list.values(), &places, None)?)
}

/// Where a row's elements begin, and how many there are.
fn bounds(list: &ListArray, row: usize) -> Option<(u64, u64)> {
    let from = u64::try_from(*list.value_offsets().get(row)?).ok()?;
    let length = u64::try_from(list.value_length(row)).ok()?;
    Some((from, length))
}

fn subscripts(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let list = list_of(arg(arrays, 0)?)?;
    let bound = |index: usize| -> Result<Int64Array> {
        Ok(arrow_cast(arg(arrays, index)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    };
    let (lows, highs) = (bound(1)?, bound(2)?);
    let mut places = Vec::new();
    let mut lengths = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        let before = places.len();
        if list.is_valid(row)
            && let Some((from, length)) = bounds(list, row)
        {
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            let low = if lows.is_null(row) { 1 } else { lows.value(row).max(1) };
            let high = if highs.is_null(row) { length } else { highs.value(row).min(length) };
            places.extend((low..=high).filter_map(|place| Some(from + u64::try_from(place - 1).ok()?)));
        }
        lengths.push(places.len() - before);
    }
    let values = take(list.values(), &UInt64Array::from(places), None)?;
    let item = item_of(std::slice::from_ref(list.data_type()))?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, list.nulls().cloned())?))
}

fn read(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let texts = texts(arg(arrays, 0)?)?;
    let DataType::List(item) = args.return_type() else {
        return Err(internal("an array of no type"));
    };
    let mut elements = StringViewBuilder::new();
    let mut lengths = Vec::with_capacity(texts.len());
    for text in &texts {
        let parsed = text.map(elements_of).transpose()?.unwrap_or_default();
        lengths.push(parsed.len());
        parsed.iter().for_each(|element| elements.append_option(element.as_deref()));
    }
    let elements: ArrayRef = Arc::new(elements.finish());
    let values = cast(elements, item, args)?;
    let nulls: NullBuffer = texts.iter().map(|text| text.is_some()).collect();
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls))?))
}

/// Texts as values of a type, by the type's own input function.
fn cast(elements: ArrayRef, item: &FieldRef, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let to = item.data_type();
    if is_plain_cast(elements.data_type(), to) && is_text(to) {
        return Ok(arrow_cast(&elements, to)?);
    }
    let function = match (cast_function(to), to) {
        (Some(function), to) if !matches!(to, DataType::Decimal128(..)) => function,
        (_, DataType::Decimal128(_, scale)) => {
            let values = elements.as_string_view().iter();
            let values: datafusion::arrow::array::Decimal128Array = values
                .map(|text| text.map(|text| crate::functions::input::parse_numeric(text, *scale)).transpose())
                .collect::<Result<_>>()?;
            return Ok(Arc::new(values.with_data_type(to.clone())));
        }
        _ => return Err(error(ErrorKind::Unsupported, "an array of this type out of text is not supported")),
    };
    let number_rows = elements.len();
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: vec![ColumnarValue::Array(elements)],
        arg_fields: vec![Arc::new(Field::new("element", DataType::Utf8View, true))],
        number_rows,
        return_field: Arc::new(Field::new("element", to.clone(), true)),
        config_options: Arc::clone(&args.config_options),
    })?;
    result.into_array(number_rows)
}

/// The elements of `{a,"b c",NULL}`.
fn elements_of(text: &str) -> Result<Vec<Option<String>>> {
    let malformed = || error(ErrorKind::InvalidText, format!("malformed array literal: \"{text}\""));
    let body = text.trim().strip_prefix('{').and_then(|body| body.strip_suffix('}')).ok_or_else(malformed)?;
    let mut elements = Vec::new();
    if body.trim().is_empty() {
        return Ok(elements);
    }
    let mut chars = body.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let mut element = String::new();
        let quoted = chars.next_if_eq(&'"').is_some();
        if quoted {
            loop {
                match chars.next().ok_or_else(malformed)? {
                    '"' => break,
                    '\\' => element.push(chars.next().ok_or_else(malformed)?),
                    c => element.push(c),
                }
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                match c {
                    '{' | '}' => {
                        let message = "arrays of more than one dimension are not supported";
                        return Err(error(ErrorKind::Unsupported, message));
                    }
                    '"' => return Err(malformed()),
                    '\\' => element.push(chars.next().ok_or_else(malformed)?),
                    c => element.push(c),
                }
            }
            element.truncate(element.trim_end().len());
            if element.is_empty() {
                return Err(malformed());
            }
        }
        let null = !quoted && element.eq_ignore_ascii_case("null");
        elements.push((!null).then_some(element));
        match chars.next() {
            Some(',') => {}
            None => return Ok(elements),
            Some(_) => return Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_literals_are_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(elements_of("{}").unwrap(), []);
        assert_eq!(
            elements_of(r#"{a, "b c" ,NULL,"NULL", d e }"#).unwrap(),
            [some("a"), some("b c"), None, some("NULL"), some("d e")]
        );
        assert_eq!(elements_of(r#"{"\"",\\}"#).unwrap(), [some("\""), some("\\")]);
        for bad in ["1,2", "{1,", "{1,}", "{\"a}", "{{1},{2}}"] {
            assert!(elements_of(bad).is_err(), "{bad}");
        }
    }
}
