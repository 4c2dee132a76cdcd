//! Elements and parts of arrays by their subscripts.
//!
//! | function | gives |
//! |---|---|
//! | `array_subscript(a, i, ..)` | `a[i]..`, NULL for a place that is not there |
//! | `array_slice(a, kinds, ..)` | `a[i:j]..`; `kinds` has a letter for each dimension |
//!
//! The letters of a slice: `b` for both bounds, `l` for the lower one, `u` for the upper one, `n` for none, `i` for a
//! single subscript, which stands for `1:i` there. The bounds that are written follow as arguments.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use datafusion::arrow::compute::{cast as arrow_cast, take};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use super::shape::{ArrayValue, Arrays, ArraysBuilder, Dimensions, is_array, item_of};
use super::types::is_unknown;
use crate::error::ErrorKind;
use crate::functions::function::{Function, arg, error, internal, is_int, is_numeric, is_text, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "array_subscript",
            |types| {
                let (array, subscripts) = types.split_first()?;
                // A jsonb value takes keys and places, both as text.
                if is_text(array) && *array != DataType::Utf8 {
                    let step = |from: &DataType| is_text(from) || is_subscript(from);
                    return subscripts.iter().all(step).then(|| vec![DataType::Utf8View; types.len()]);
                }
                (is_array(array) && !subscripts.is_empty() && subscripts.iter().all(is_subscript)).then(
                    || {
                        std::iter::once(array.clone())
                            .chain(subscripts.iter().map(|_| DataType::Int64))
                            .collect()
                    },
                )
            },
            |types, _| {
                if let Some(DataType::Utf8View) = types.first() {
                    return Ok(DataType::Utf8View);
                }
                let item = types.first().and_then(item_of);
                item.cloned().ok_or_else(|| internal("a subscript of what is no array"))
            },
            |args| match args.arg_fields.first() {
                Some(field) if is_text(field.data_type()) => crate::functions::json::subscripted(args),
                _ => over_arrays(args, |arrays| subscript(arrays, args)),
            },
        )
        .describe(|args, _| Some((PG_TYPE_KEY, element_name(args)?)))
        .nullable()
        .udf(),
        Function::new(
            "array_slice",
            |types| match types {
                [array, kinds, bounds @ ..]
                    if is_array(array) && is_text(kinds) && bounds.iter().all(is_subscript) =>
                {
                    let bounds = bounds.iter().map(|_| DataType::Int64);
                    Some([array.clone(), DataType::Utf8View].into_iter().chain(bounds).collect())
                }
                _ => None,
            },
            |types, _| types.first().cloned().ok_or_else(|| internal("a slice of nothing")),
            |args| over_arrays(args, |arrays| slice(arrays, args)),
        )
        .same_type()
        .nullable()
        .udf(),
    ]
}

/// Numbers are rounded to whole ones, as an assignment does.
fn is_subscript(data_type: &DataType) -> bool {
    is_int(data_type) || is_numeric(data_type) || is_unknown(data_type)
}

/// The name of the element's type where the array's has one.
fn element_name(args: &ReturnFieldArgs) -> Option<String> {
    let name = args.arg_fields.first()?.metadata().get(PG_TYPE_KEY)?;
    match name.as_str() {
        "jsonb" => Some("jsonb".to_owned()),
        "int2vector" => None,
        "oidvector" => Some("oid".to_owned()),
        name => Some(name.strip_suffix("[]")?.to_owned()),
    }
}

/// The column of arrays, counted as its type is.
pub(super) fn counted(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<Arrays> {
    let name = args.arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY));
    let first = i32::from(!matches!(name.map(String::as_str), Some("int2vector" | "oidvector")));
    Ok(Arrays::of(arg(arrays, 0)?)?.counted_from(first))
}

/// Subscripts of a row; `None` where one is NULL.
fn subscripts_at(columns: &[Int64Array], row: usize) -> Result<Option<Vec<i32>>> {
    let mut subscripts = Vec::with_capacity(columns.len());
    for column in columns {
        if column.is_null(row) {
            return Ok(None);
        }
        let subscript = i32::try_from(column.value(row));
        subscripts.push(subscript.map_err(|_| error(ErrorKind::NumericOutOfRange, "integer out of range"))?);
    }
    Ok(Some(subscripts))
}

fn columns(arrays: &[ArrayRef], skip: usize) -> Result<Vec<Int64Array>> {
    arrays
        .iter()
        .skip(skip)
        .map(|array| Ok(arrow_cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()))
        .collect()
}

fn subscript(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let columns = columns(arrays, 1)?;
    let mut places = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let subscripts = subscripts_at(&columns, row)?;
        let place = match (subscripts, lists.get(row)) {
            (Some(subscripts), Some(value)) => place_of(&value, &subscripts),
            _ => None,
        };
        places.push(place.and_then(|place| u64::try_from(place).ok()));
    }
    Ok(take(lists.elements(), &UInt64Array::from(places), None)?)
}

/// Where an element is; as many subscripts as dimensions are needed.
fn place_of(value: &ArrayValue, subscripts: &[i32]) -> Option<usize> {
    let dimensions = &value.dimensions;
    if subscripts.len() != dimensions.count() {
        return None;
    }
    let mut place = 0;
    for ((length, lower), subscript) in dimensions.pairs().zip(subscripts) {
        let offset = usize::try_from(i64::from(*subscript) - i64::from(lower)).ok()?;
        if offset >= length {
            return None;
        }
        place = place * length + offset;
    }
    Some(value.range.start + place)
}

fn slice(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let kinds = arg(arrays, 1)?.as_string_view_opt().ok_or_else(|| internal("a slice without kinds"))?;
    let columns = columns(arrays, 2)?;
    let mut builder = ArraysBuilder::default();
    for row in 0..lists.len() {
        let bounds = subscripts_at(&columns, row)?;
        let (Some(value), Some(bounds)) = (lists.get(row), bounds) else {
            builder.null();
            continue;
        };
        cut(&value, kinds.value(row), &bounds, &mut builder)?;
    }
    builder.finish(&[lists.elements()], args.return_type())
}

/// Adds the part of an array that its bounds leave, empty where they leave none.
fn cut(value: &ArrayValue, kinds: &str, bounds: &[i32], builder: &mut ArraysBuilder) -> Result<()> {
    let dimensions = &value.dimensions;
    if dimensions.count() == 0 || dimensions.count() < kinds.len() {
        builder.close_flat();
        return Ok(());
    }
    let mut bounds = bounds.iter().copied();
    let mut kinds = kinds.chars();
    let mut ranges = Vec::with_capacity(dimensions.count());
    for (length, lower) in dimensions.pairs() {
        let upper = i64::from(lower) + i64::try_from(length).unwrap_or(i64::MAX) - 1;
        let mut next = || bounds.next().map(i64::from);
        let (from, to) = match kinds.next() {
            Some('b') => (next(), next()),
            Some('l') => (next(), None),
            Some('u') => (None, next()),
            Some('i') => (Some(1), next()),
            _ => (None, None),
        };
        let from = from.unwrap_or(i64::from(lower)).max(i64::from(lower));
        let to = to.unwrap_or(upper).min(upper);
        if from > to {
            builder.close_flat();
            return Ok(());
        }
        let start = usize::try_from(from - i64::from(lower)).unwrap_or(0);
        let end = usize::try_from(to - i64::from(lower)).unwrap_or(0) + 1;
        ranges.push((start, end, length));
    }
    pick(&ranges, value.range.start, builder);
    builder.close(Dimensions::of(ranges.iter().map(|(start, end, _)| (end - start, 1)))?);
    Ok(())
}

/// Picks the elements of a block inside another, in order.
fn pick(ranges: &[(usize, usize, usize)], base: usize, builder: &mut ArraysBuilder) {
    match ranges {
        [] => {}
        [(start, end, _)] => builder.pick_all(1, base + start..base + end),
        [(start, end, _), inner @ ..] => {
            let stride: usize = inner.iter().map(|(_, _, length)| length).product();
            (*start..*end).for_each(|index| pick(inner, base + index * stride, builder));
        }
    }
}
