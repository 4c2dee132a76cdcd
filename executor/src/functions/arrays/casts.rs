//! Casts to array types, element by element with PostgreSQL's casts of the elements.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, StringViewBuilder};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::literal::ArrayText;
use super::shape::{Arrays, ArraysBuilder, is_array, item_of};
use crate::error::ErrorKind;
use crate::functions::cast::{cast_function, is_plain_cast, texts};
use crate::functions::function::{Function, arg, error, internal, is_text, over_arrays};
use crate::functions::input::parse_numeric;

/// `array_cast(value, NULL::type)`: a text or an array as an array of the type of the second argument.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "array_cast",
            |types| match types {
                [from, to] if is_array(to) && is_text(from) => Some(vec![DataType::Utf8View, to.clone()]),
                [from, to] if is_array(to) && (is_array(from) || from.is_null()) => Some(types.to_vec()),
                _ => None,
            },
            |types, _| types.get(1).cloned().ok_or_else(|| internal("an array of no type")),
            |args| {
                // The second argument is there for its type alone.
                let only_first = ScalarFunctionArgs {
                    args: args.args.iter().take(1).cloned().collect(),
                    arg_fields: args.arg_fields.iter().take(1).cloned().collect(),
                    number_rows: args.number_rows,
                    return_field: Arc::clone(&args.return_field),
                    config_options: Arc::clone(&args.config_options),
                };
                over_arrays(&only_first, |arrays| to_arrays(arg(arrays, 0)?, args))
            },
        )
        .nullable()
        .udf(),
    ]
}

fn to_arrays(array: &ArrayRef, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let to = args.return_type();
    let item = item_of(to).ok_or_else(|| internal("an array of no type"))?;
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let mut builder = ArraysBuilder::default();
    if array.data_type().is_null() {
        (0..array.len()).for_each(|_| builder.null());
        return builder.finish(&[], to);
    }
    if is_text(array.data_type()) {
        let texts = texts(array)?;
        let mut elements = StringViewBuilder::new();
        let mut place = 0;
        for text in &texts {
            match text.map(ArrayText::parse).transpose()? {
                None => builder.null(),
                Some(read) => {
                    let next = place + read.elements.len();
                    read.elements.iter().for_each(|element| elements.append_option(element.as_deref()));
                    builder.pick_all(1, place..next);
                    place = next;
                    builder.close(read.dimensions);
                }
            }
        }
        let elements: ArrayRef = Arc::new(elements.finish());
        return builder.finish(&[&cast_elements(elements, item, args)?], to);
    }
    let arrays = Arrays::of(array)?;
    // Only what is inside of an array is cast: what lies between may be anything.
    let mut used = Vec::new();
    let mut shapes = Vec::with_capacity(arrays.len());
    for row in 0..arrays.len() {
        let value = arrays.get(row);
        if let Some(value) = &value {
            used.extend(value.range.clone().map(|place| u64::try_from(place).unwrap_or(0)));
        }
        shapes.push(value);
    }
    let used = datafusion::arrow::array::UInt64Array::from(used);
    let elements = datafusion::arrow::compute::take(arrays.elements(), &used, None)?;
    let elements = cast_elements(elements, item, args)?;
    let mut place = 0;
    for value in shapes {
        match value {
            None => builder.null(),
            Some(value) => {
                let next = place + value.range.len();
                builder.pick_all(1, place..next);
                place = next;
                builder.close(value.dimensions);
            }
        }
    }
    builder.finish(&[&elements], to)
}

/// Elements as values of another type, by PostgreSQL's cast.
fn cast_elements(elements: ArrayRef, to: &DataType, args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let from = elements.data_type().clone();
    if &from == to {
        return Ok(elements);
    }
    if from.is_null() || is_plain_cast(&from, to) && (is_text(to) || !is_text(&from)) {
        return Ok(arrow_cast(&elements, to)?);
    }
    if let (true, DataType::Decimal128(precision, scale)) = (is_text(&from), to) {
        let values: Decimal128Array = elements
            .as_string_view()
            .iter()
            .map(|text| text.map(|text| parse_numeric(text, *scale)).transpose())
            .collect::<Result<_>>()?;
        return Ok(Arc::new(values.with_precision_and_scale(*precision, *scale)?));
    }
    let Some(function) = cast_function(to) else {
        return Err(error(ErrorKind::Unsupported, "a cast to an array of this type is not supported"));
    };
    let number_rows = elements.len();
    let mut inputs = vec![ColumnarValue::Array(elements)];
    let mut fields = vec![Arc::new(Field::new("element", from, true))];
    if let DataType::Decimal128(precision, scale) = to {
        for digits in [i64::from(*precision), i64::from(*scale)] {
            inputs.push(ColumnarValue::Scalar(ScalarValue::Int64(Some(digits))));
            fields.push(Arc::new(Field::new("digits", DataType::Int64, false)));
        }
    }
    let types: Vec<DataType> = fields.iter().map(|field| field.data_type().clone()).collect();
    let coerced = function.inner().coerce_types(&types)?;
    if let (Some(first), Some(ColumnarValue::Array(elements))) = (coerced.first(), inputs.first_mut())
        && elements.data_type() != first
    {
        *elements = arrow_cast(elements, first)?;
    }
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args: inputs,
        arg_fields: fields,
        number_rows,
        return_field: Arc::new(Field::new("element", to.clone(), true)),
        config_options: Arc::clone(&args.config_options),
    })?;
    result.into_array(number_rows)
}
