//! Arrays made of other arrays: joined, longer, shorter, with other elements.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use super::order::comparator;
use super::shape::{ArrayValue, Arrays, ArraysBuilder, Dimensions, is_multi, list_of};
use super::types::{array_and_element, is_unknown, two_arrays};
use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{Function, arg, error, internal, is_int, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let array_first: fn(&[DataType]) -> Option<Vec<DataType>> = |types| match types {
        [array, element] => array_and_element(array, element).map(|(array, element)| vec![array, element]),
        _ => None,
    };
    vec![
        Function::new("array_append", array_first, first_type, |args| {
            over_arrays(args, |arrays| extended(arg(arrays, 0)?, arg(arrays, 1)?, false, args))
        })
        .same_type()
        .udf(),
        Function::new(
            "array_prepend",
            |types| match types {
                [element, array] => {
                    array_and_element(array, element).map(|(array, element)| vec![element, array])
                }
                _ => None,
            },
            |types, _| types.get(1).cloned().ok_or_else(|| internal("an array of no type")),
            |args| over_arrays(args, |arrays| extended(arg(arrays, 1)?, arg(arrays, 0)?, true, args)),
        )
        .describe(|args, _| Some((PG_TYPE_KEY, named(args, 1)?)))
        .udf(),
        Function::new(
            "array_cat",
            |types| match types {
                [left, right] if is_unknown(left) && is_unknown(right) => {
                    Some(vec![list_of(DataType::Utf8View), list_of(DataType::Utf8View)])
                }
                [left, right] => two_arrays(left, right).map(|(left, right)| vec![left, right]),
                _ => None,
            },
            |types, _| {
                let multi = types.iter().find(|data_type| is_multi(data_type));
                multi.or(types.first()).cloned().ok_or_else(|| internal("an array of no type"))
            },
            |args| over_arrays(args, |arrays| joined(arrays, args)),
        )
        .describe(|args, _| Some((PG_TYPE_KEY, named(args, 0).or_else(|| named(args, 1))?)))
        .nullable()
        .udf(),
        Function::new("array_remove", array_first, first_type, |args| {
            over_arrays(args, |arrays| without(arrays, args))
        })
        .same_type()
        .nullable()
        .udf(),
        Function::new(
            "array_replace",
            |types| match types {
                [array, from, to] => {
                    let (array, _) = array_and_element(array, from)?;
                    let (array, element) = array_and_element(&array, to)?;
                    Some(vec![array, element.clone(), element])
                }
                _ => None,
            },
            first_type,
            |args| over_arrays(args, |arrays| replaced(arrays, args)),
        )
        .same_type()
        .nullable()
        .udf(),
        Function::new(
            "trim_array",
            |types| match types {
                [array, count] if super::shape::is_array(array) && (is_int(count) || is_unknown(count)) => {
                    Some(vec![array.clone(), DataType::Int32])
                }
                _ => None,
            },
            first_type,
            |args| over_arrays(args, |arrays| trimmed(arrays, args)),
        )
        .same_type()
        .nullable()
        .udf(),
    ]
}

fn first_type(types: &[DataType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<DataType> {
    types.first().cloned().ok_or_else(|| internal("an array of no type"))
}

fn named(args: &ReturnFieldArgs, index: usize) -> Option<String> {
    args.arg_fields.get(index)?.metadata().get(PG_TYPE_KEY).cloned()
}

/// An element at the end or, with `before`, at the beginning; NULL is an array of no elements here.
fn extended(
    array: &ArrayRef,
    element: &ArrayRef,
    before: bool,
    args: &ScalarFunctionArgs,
) -> Result<ArrayRef> {
    let arrays = Arrays::of(array)?;
    let mut builder = ArraysBuilder::default();
    for row in 0..arrays.len() {
        let value = arrays.get(row).unwrap_or(ArrayValue { range: 0..0, dimensions: Dimensions::default() });
        if value.dimensions.count() > 1 {
            return Err(error(ErrorKind::DataException, "argument must be empty or one-dimensional array"));
        }
        let length = value.range.len() + 1;
        if before {
            builder.pick(2, row);
            builder.pick_all(1, value.range);
        } else {
            builder.pick_all(1, value.range);
            builder.pick(2, row);
        }
        let lower = value.dimensions.lower().first().copied().unwrap_or(1);
        builder.close(Dimensions::of([(length, lower)])?);
    }
    builder.finish(&[arrays.elements(), element], args.return_type())
}

fn joined(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let (left, right) = (Arrays::of(arg(arrays, 0)?)?, Arrays::of(arg(arrays, 1)?)?);
    let mut builder = ArraysBuilder::default();
    for row in 0..left.len() {
        match (left.get(row), right.get(row)) {
            (None, None) => builder.null(),
            (Some(left), None) => {
                builder.pick_all(1, left.range);
                builder.close(left.dimensions);
            }
            (None, Some(right)) => {
                builder.pick_all(2, right.range);
                builder.close(right.dimensions);
            }
            (Some(left), Some(right)) => {
                let dimensions = joined_dimensions(&left.dimensions, &right.dimensions)?;
                builder.pick_all(1, left.range);
                builder.pick_all(2, right.range);
                builder.close(dimensions);
            }
        }
    }
    builder.finish(&[left.elements(), right.elements()], args.return_type())
}

/// Two arrays of as many dimensions follow one another; one of a dimension less is an element of the other.
fn joined_dimensions(left: &Dimensions, right: &Dimensions) -> Result<Dimensions> {
    let incompatible = |detail: String| {
        Err(ExecError::new(ErrorKind::ArraySubscript, "cannot concatenate incompatible arrays")
            .with_detail(detail)
            .into())
    };
    let length = |dimensions: &Dimensions| dimensions.pairs().next().map_or(0, |(length, _)| length);
    let (l, r) = (left.count(), right.count());
    if l == 0 {
        return Ok(*right);
    }
    if r == 0 {
        return Ok(*left);
    }
    let (whole, fits, count) = match (l.cmp(&r), l.abs_diff(r)) {
        (Ordering::Equal, _) => {
            (*left, left.inner().lengths() == right.inner().lengths(), length(left) + length(right))
        }
        (Ordering::Less, 1) => (*right, left.lengths() == right.inner().lengths(), length(right) + 1),
        (Ordering::Greater, 1) => (*left, right.lengths() == left.inner().lengths(), length(left) + 1),
        _ => {
            return incompatible(format!(
                "Arrays of {l} and {r} dimensions are not compatible for concatenation."
            ));
        }
    };
    if !fits {
        let kind = if l == r { "element dimensions" } else { "dimensions" };
        return incompatible(format!("Arrays with differing {kind} are not compatible for concatenation."));
    }
    Ok(whole.with_first(count))
}

/// Whether the element at a place of an array is another column's value of a row; NULL is NULL here.
pub(super) fn same_element(
    arrays: &Arrays,
    element: &ArrayRef,
) -> Result<impl Fn(usize, usize) -> bool + use<>> {
    let compare = comparator(arrays.elements().as_ref(), element.as_ref())?;
    Ok(move |place: usize, row: usize| compare(place, row) == Ordering::Equal)
}

fn without(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let is = same_element(&lists, arg(arrays, 1)?)?;
    let mut builder = ArraysBuilder::default();
    for row in 0..lists.len() {
        let Some(value) = lists.get(row) else {
            builder.null();
            continue;
        };
        if value.dimensions.count() > 1 {
            let message = "removing elements from multidimensional arrays is not supported";
            return Err(error(ErrorKind::Unsupported, message));
        }
        for place in value.range.filter(|place| !is(*place, row)) {
            builder.pick(1, place);
        }
        let kept = builder.picked();
        builder.close(value.dimensions.with_first(kept));
    }
    builder.finish(&[lists.elements()], args.return_type())
}

fn replaced(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let is = same_element(&lists, arg(arrays, 1)?)?;
    let mut builder = ArraysBuilder::default();
    for row in 0..lists.len() {
        let Some(value) = lists.get(row) else {
            builder.null();
            continue;
        };
        for place in value.range {
            if is(place, row) { builder.pick(2, row) } else { builder.pick(1, place) }
        }
        builder.close(value.dimensions);
    }
    builder.finish(&[lists.elements(), arg(arrays, 2)?], args.return_type())
}

fn trimmed(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let counts = arg(arrays, 1)?.as_primitive_opt::<Int32Type>();
    let counts = counts.ok_or_else(|| internal("a count is no integer"))?;
    let mut builder = ArraysBuilder::default();
    for row in 0..lists.len() {
        let (Some(value), true) = (lists.get(row), counts.is_valid(row)) else {
            builder.null();
            continue;
        };
        let length = value.dimensions.pairs().next().map_or(0, |(length, _)| length);
        let kept = usize::try_from(counts.value(row)).ok().and_then(|count| length.checked_sub(count));
        let Some(kept) = kept else {
            let message = format!("number of elements to trim must be between 0 and {length}");
            return Err(error(ErrorKind::ArraySubscript, message));
        };
        let stride = value.range.len().checked_div(length).unwrap_or(0);
        builder.pick_all(1, value.range.start..value.range.start + kept * stride);
        // What a slice gives counts from 1.
        let lengths = value.dimensions.with_first(kept);
        builder.close(Dimensions::of(lengths.pairs().map(|(length, _)| (length, 1)))?);
    }
    builder.finish(&[lists.elements()], args.return_type())
}
