//! How many dimensions and elements arrays have, and where their subscripts begin and end.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use super::access::counted;
use super::shape::{ArrayValue, is_array, list_of};
use super::types::is_unknown;
use crate::functions::function::{Function, arg, internal, is_int, over_arrays};

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        of_array("array_ndims", |args| {
            over_arrays(args, |arrays| {
                measured(arrays, args, |value| {
                    i32::try_from(value.dimensions.count()).ok().filter(|count| *count > 0)
                })
            })
        }),
        of_array("cardinality", |args| {
            over_arrays(args, |arrays| measured(arrays, args, |value| i32::try_from(value.range.len()).ok()))
        }),
        Function::new(
            "array_dims",
            one_array,
            |_, _| Ok(DataType::Utf8View),
            |args| over_arrays(args, |arrays| dims(arrays, args)),
        )
        .nullable()
        .udf(),
        of_dimension("array_length", |args| {
            over_arrays(args, |arrays| along(arrays, args, |length, _| length))
        }),
        of_dimension("array_upper", |args| {
            over_arrays(args, |arrays| along(arrays, args, |length, lower| lower + length - 1))
        }),
        of_dimension("array_lower", |args| over_arrays(args, |arrays| along(arrays, args, |_, lower| lower))),
    ]
}

type Evaluate = fn(&ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue>;

fn of_array(name: &'static str, evaluate: Evaluate) -> Arc<ScalarUDF> {
    Function::new(name, one_array, |_, _| Ok(DataType::Int32), evaluate).nullable().udf()
}

fn of_dimension(name: &'static str, evaluate: Evaluate) -> Arc<ScalarUDF> {
    Function::new(
        name,
        |types| match types {
            [array, dimension] if is_int(dimension) || is_unknown(dimension) => {
                let mut types = one_array(std::slice::from_ref(array))?;
                types.push(DataType::Int32);
                Some(types)
            }
            _ => None,
        },
        |_, _| Ok(DataType::Int32),
        evaluate,
    )
    .nullable()
    .udf()
}

fn one_array(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [array] if is_array(array) => Some(vec![array.clone()]),
        // NULL of no type is as good as one of text.
        [DataType::Null] => Some(vec![list_of(DataType::Utf8View)]),
        _ => None,
    }
}

fn measured(
    arrays: &[ArrayRef],
    args: &ScalarFunctionArgs,
    measure: impl Fn(&ArrayValue) -> Option<i32>,
) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let found = (0..lists.len()).map(|row| lists.get(row).and_then(|value| measure(&value)));
    Ok(Arc::new(found.collect::<Int32Array>()))
}

/// What `measure` makes of the length and lower bound of the dimension that each row asks for.
fn along(
    arrays: &[ArrayRef],
    args: &ScalarFunctionArgs,
    measure: impl Fn(i32, i32) -> i32,
) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let dimensions = arg(arrays, 1)?.as_primitive_opt::<Int32Type>();
    let dimensions = dimensions.ok_or_else(|| internal("a dimension is no integer"))?;
    let found = (0..lists.len()).map(|row| {
        let asked = dimensions.is_valid(row).then(|| dimensions.value(row))?;
        let index = usize::try_from(asked.checked_sub(1)?).ok()?;
        let value = lists.get(row)?;
        Some(measure(*value.dimensions.lengths().get(index)?, *value.dimensions.lower().get(index)?))
    });
    Ok(Arc::new(found.collect::<Int32Array>()))
}

fn dims(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let found = (0..lists.len()).map(|row| {
        let value = lists.get(row).filter(|value| value.dimensions.count() > 0)?;
        let pairs = value.dimensions.lengths().iter().zip(value.dimensions.lower());
        Some(pairs.map(|(length, lower)| format!("[{lower}:{}]", lower + length - 1)).collect::<String>())
    });
    Ok(Arc::new(found.collect::<StringViewArray>()))
}
