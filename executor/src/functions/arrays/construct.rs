//! Arrays that are made: `ARRAY[...]`, `array_agg` of arrays, `array_fill`; and those that lose their shape.
//!
//! | function | gives |
//! |---|---|
//! | `make_array(x, ..)` | `ARRAY[x, ..]`; of arrays, one of a dimension more |
//! | `array_of_arrays(list)` | the arrays of a list, such as `array_agg` collects, as one of a dimension more; other lists as they are |
//! | `array_fill(x, lengths [, lower bounds])` | an array of equal elements |
//! | `array_flat(a)` | all elements in one dimension, which `unnest` takes apart |

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray};
use datafusion::arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use super::shape::{Arrays, ArraysBuilder, Dimensions, is_array, item_of, list_of, multi_of};
use super::types::{common_type, is_unknown, with_item};
use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{Function, arg, error, internal, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "make_array",
            |types| {
                let Some(common) = element_type(types) else { return Some(types.to_vec()) };
                let to = |from: &DataType| match item_of(&common) {
                    Some(item) if is_array(from) => with_item(from, item.clone()),
                    Some(item) => list_of(item.clone()),
                    None => common.clone(),
                };
                Some(types.iter().map(to).collect())
            },
            |types, _| {
                let common = element_type(types).or_else(|| types.first().cloned());
                match common {
                    Some(common) => Ok(match item_of(&common) {
                        Some(item) => multi_of(item.clone()),
                        None => list_of(common),
                    }),
                    None => Err(ExecError::new(
                        ErrorKind::IndeterminateDatatype,
                        "cannot determine type of empty array",
                    )
                    .with_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[].")
                    .into()),
                }
            },
            |args| over_arrays(args, |arrays| make(arrays, args)),
        )
        .describe(|args, _| Some((PG_TYPE_KEY, named_array(args)?)))
        .udf(),
        Function::new(
            "array_of_arrays",
            |types| match types {
                [DataType::List(_)] => Some(types.to_vec()),
                _ => None,
            },
            |types, _| match types {
                [list @ DataType::List(inner)] => {
                    Ok(item_of(inner.data_type()).map_or_else(|| list.clone(), |item| multi_of(item.clone())))
                }
                _ => Err(internal("no list of arrays")),
            },
            |args| {
                over_arrays(args, |arrays| {
                    let lists = arg(arrays, 0)?;
                    if lists.data_type() == args.return_type() {
                        return Ok(Arc::clone(lists));
                    }
                    gather(lists, args.return_type())
                })
            },
        )
        .same_type()
        .udf(),
        Function::new(
            "array_fill",
            |types| {
                let ints = list_of(DataType::Int32);
                let is_ints = |data_type: &DataType| is_unknown(data_type) || item_of(data_type).is_some();
                match types {
                    [value, lengths] if !is_array(value) && is_ints(lengths) => {
                        Some(vec![known(value), ints])
                    }
                    [value, lengths, lower] if !is_array(value) && is_ints(lengths) && is_ints(lower) => {
                        Some(vec![known(value), ints.clone(), ints])
                    }
                    _ => None,
                }
            },
            |types, _| Ok(multi_of(types.first().cloned().unwrap_or(DataType::Utf8View))),
            |args| over_arrays(args, |arrays| fill(arrays, args)),
        )
        .describe(|args, _| Some((PG_TYPE_KEY, named_array(args)?)))
        .udf(),
        Function::new(
            "array_flat",
            |types| match types {
                [array] if is_array(array) || is_unknown(array) => Some(vec![array.clone()]),
                _ => None,
            },
            |types, _| match types {
                [array] => Ok(item_of(array).map_or_else(|| array.clone(), |item| list_of(item.clone()))),
                _ => Err(internal("an array of no type")),
            },
            |args| {
                over_arrays(args, |arrays| {
                    let array = arg(arrays, 0)?;
                    if !super::shape::is_multi(array.data_type()) {
                        return Ok(Arc::clone(array));
                    }
                    let elements = array.as_struct().columns().first();
                    let list = elements.and_then(|list| list.as_list_opt::<i32>());
                    let list = list.ok_or_else(|| internal("an array without elements"))?;
                    let (field, offsets, values, _) = list.clone().into_parts();
                    Ok(Arc::new(ListArray::try_new(field, offsets, values, array.nulls().cloned())?))
                })
            },
        )
        .same_type()
        .udf(),
    ]
}

/// A literal of no type is text.
fn known(data_type: &DataType) -> DataType {
    if is_unknown(data_type) { DataType::Utf8View } else { data_type.clone() }
}

/// The type that all elements have in common; `None` for no elements, or for such as do not go together, which the
/// server complains about.
fn element_type(types: &[DataType]) -> Option<DataType> {
    let mut types = types.iter();
    let first = types.next()?.clone();
    types.try_fold(first, |common, next| common_type(&common, next)).map(|common| known(&common))
}

/// The name of an array's type where its elements' has one that Arrow does not know.
fn named_array(args: &ReturnFieldArgs) -> Option<String> {
    let typed = |field: &&Arc<Field>| !is_unknown(field.data_type());
    let mut names = args.arg_fields.iter().filter(typed).map(|field| field.metadata().get(PG_TYPE_KEY));
    let name = names.next()??;
    let alike = args.arg_fields.len() == 1 || names.all(|other| other.is_none_or(|other| other == name));
    alike.then(|| if name.ends_with("[]") { name.clone() } else { format!("{name}[]") })
}

fn make(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let rows = arrays.first().map_or(0, |array| array.len());
    let sources: Vec<&ArrayRef> = arrays.iter().collect();
    let mut builder = ArraysBuilder::default();
    if !arrays.iter().any(|array| is_array(array.data_type())) {
        for row in 0..rows {
            (1..=arrays.len()).for_each(|source| builder.pick(source, row));
            builder.close_flat();
        }
        return builder.finish(&sources, args.return_type());
    }
    let columns = arrays.iter().map(Arrays::of).collect::<Result<Vec<_>>>()?;
    let elements: Vec<&ArrayRef> = columns.iter().map(Arrays::elements).collect();
    for row in 0..rows {
        let mut inner: Option<Dimensions> = None;
        let mut empty = false;
        for (source, column) in columns.iter().enumerate() {
            match column.get(row).filter(|value| value.dimensions.count() > 0) {
                None => empty = true,
                Some(value) => {
                    if inner.is_some_and(|known| known != value.dimensions) {
                        return Err(ragged());
                    }
                    inner = Some(value.dimensions);
                    builder.pick_all(source + 1, value.range);
                }
            }
        }
        match inner {
            None => builder.close_flat(),
            Some(_) if empty => return Err(ragged()),
            Some(inner) => builder.close(outer(columns.len(), &inner)?),
        }
    }
    builder.finish(&elements, args.return_type())
}

/// A dimension around others.
fn outer(length: usize, inner: &Dimensions) -> Result<Dimensions> {
    Dimensions::of(std::iter::once((length, 1)).chain(inner.pairs()))
}

fn ragged() -> datafusion::error::DataFusionError {
    error(
        ErrorKind::ArraySubscript,
        "multidimensional arrays must have array expressions with matching dimensions",
    )
}

/// As `array_agg` of arrays accumulates them.
fn gather(lists: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    let list = lists.as_list_opt::<i32>().ok_or_else(|| internal("no list of arrays"))?;
    let arrays = Arrays::of(list.values())?;
    let mut builder = ArraysBuilder::default();
    for row in 0..list.len() {
        if list.is_null(row) {
            builder.null();
            continue;
        }
        let bounds = list.value_offsets().get(row..row + 2).unwrap_or_default();
        let place =
            |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
        let (start, end) = (place(bounds.first()), place(bounds.last()));
        let mut inner: Option<Dimensions> = None;
        for position in start..end {
            let value = arrays
                .get(position)
                .ok_or_else(|| error(ErrorKind::NullNotAllowed, "cannot accumulate null arrays"))?;
            if value.dimensions.count() == 0 {
                return Err(error(ErrorKind::ArraySubscript, "cannot accumulate empty arrays"));
            }
            if inner.is_some_and(|known| known != value.dimensions) {
                let message = "cannot accumulate arrays of different dimensionality";
                return Err(error(ErrorKind::ArraySubscript, message));
            }
            inner = Some(value.dimensions);
            builder.pick_all(1, value.range);
        }
        match inner {
            None => builder.close_flat(),
            Some(inner) => builder.close(outer(end - start, &inner)?),
        }
    }
    builder.finish(&[arrays.elements()], data_type)
}

/// As many elements as PostgreSQL's largest array.
const ELEMENTS_MAX: usize = 134_217_727;

fn fill(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let value = arg(arrays, 0)?;
    let lengths = Arrays::of(arg(arrays, 1)?)?;
    let lower = arrays.get(2).map(Arrays::of).transpose()?;
    let mut builder = ArraysBuilder::default();
    for row in 0..value.len() {
        let lengths = integers(&lengths, row)?;
        let lower = match &lower {
            Some(lower) => {
                let lower = integers(lower, row)?;
                if lower.len() != lengths.len() {
                    return Err(wrong_subscripts(
                        "Low bound array has different size than dimensions array.",
                    ));
                }
                lower
            }
            None => vec![1; lengths.len()],
        };
        let too_large = || {
            let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
            error(ErrorKind::LimitExceeded, message)
        };
        let lengths = lengths.into_iter().map(|length| usize::try_from(length).map_err(|_| too_large()));
        let lengths = lengths.collect::<Result<Vec<usize>>>()?;
        let count = lengths.iter().try_fold(1_usize, |count, length| count.checked_mul(*length));
        let count = if lengths.is_empty() { 0 } else { count.unwrap_or(usize::MAX) };
        if count > ELEMENTS_MAX {
            return Err(too_large());
        }
        (0..count).for_each(|_| builder.pick(1, row));
        builder.close(Dimensions::of(lengths.into_iter().zip(lower))?);
    }
    builder.finish(&[value], args.return_type())
}

fn wrong_subscripts(detail: &str) -> datafusion::error::DataFusionError {
    ExecError::new(ErrorKind::ArraySubscript, "wrong number of array subscripts").with_detail(detail).into()
}

fn integers(arrays: &Arrays, row: usize) -> Result<Vec<i32>> {
    let null = || error(ErrorKind::NullNotAllowed, "dimension array or low bound array cannot be null");
    let value = arrays.get(row).ok_or_else(null)?;
    if value.dimensions.count() > 1 {
        return Err(wrong_subscripts("Dimension array must be one dimensional."));
    }
    let elements = arrays.elements().as_primitive_opt::<Int32Type>().ok_or_else(null)?;
    value
        .range
        .map(|place| {
            if elements.is_null(place) {
                return Err(error(ErrorKind::NullNotAllowed, "dimension values cannot be null"));
            }
            Ok(elements.value(place))
        })
        .collect()
}
