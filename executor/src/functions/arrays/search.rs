//! Elements sought in arrays, arrays in arrays, and arrays as text.
//!
//! | function | gives |
//! |---|---|
//! | `array_position(a, x [, from])` | the subscript of the first `x`, NULL counted as a value |
//! | `array_positions(a, x)` | the subscripts of all |
//! | `array_contains(a, b)`, `array_contained(a, b)`, `array_overlap(a, b)` | `a @> b`, `a <@ b`, `a && b` |
//! | `array_any(x, a, op)`, `array_all(x, a, op)` | `x op ANY (a)`, `x op ALL (a)` |
//! | `array_to_string(a, separator [, null])` | the elements' texts, joined |

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int32Builder, ListBuilder, StringViewArray,
    UInt64Array,
};
use datafusion::arrow::compute::{kernels::comparison, take};
use datafusion::arrow::datatypes::{DataType, Int32Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use super::access::counted;
use super::change::same_element;
use super::order::comparator;
use super::shape::{Arrays, is_array, list_of};
use super::types::{array_and_element, is_unknown, two_arrays};
use crate::datetime::DateTimeSettings;
use crate::error::ErrorKind;
use crate::functions::function::{Function, arg, error, internal, is_int, is_text, over_arrays};
use crate::functions::regular_expressions::is_match;
use crate::functions::text_of::element_text;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let two: fn(&[DataType]) -> Option<Vec<DataType>> = |types| match types {
        [left, right] => two_arrays(left, right).map(|(left, right)| vec![left, right]),
        _ => None,
    };
    let quantified: fn(&[DataType]) -> Option<Vec<DataType>> = |types| match types {
        [element, array, op] if is_text(op) => {
            let (array, element) = array_and_element(array, element)?;
            Some(vec![element, array, DataType::Utf8View])
        }
        _ => None,
    };
    vec![
        Function::new(
            "array_position",
            |types| match types {
                [array, element] => {
                    array_and_element(array, element).map(|(array, element)| vec![array, element])
                }
                [array, element, from] if is_int(from) || is_unknown(from) => {
                    let (array, element) = array_and_element(array, element)?;
                    Some(vec![array, element, DataType::Int32])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Int32),
            |args| over_arrays(args, |arrays| position(arrays, args)),
        )
        .nullable()
        .udf(),
        Function::new(
            "array_positions",
            |types| match types {
                [array, element] => {
                    array_and_element(array, element).map(|(array, element)| vec![array, element])
                }
                _ => None,
            },
            |_, _| Ok(list_of(DataType::Int32)),
            |args| over_arrays(args, |arrays| positions(arrays, args)),
        )
        .nullable()
        .udf(),
        Function::new("array_contains", two, boolean, |args| {
            over_arrays(args, |arrays| held(arg(arrays, 0)?, arg(arrays, 1)?, Held::All))
        })
        .operator("@>")
        .udf(),
        Function::new("array_contained", two, boolean, |args| {
            over_arrays(args, |arrays| held(arg(arrays, 1)?, arg(arrays, 0)?, Held::All))
        })
        .operator("<@")
        .udf(),
        Function::new("array_overlap", two, boolean, |args| {
            over_arrays(args, |arrays| held(arg(arrays, 0)?, arg(arrays, 1)?, Held::Some))
        })
        .operator("&&")
        .udf(),
        Function::new("array_any", quantified, boolean, |args| {
            over_arrays(args, |arrays| quantify(arrays, true))
        })
        .nullable()
        .udf(),
        Function::new("array_all", quantified, boolean, |args| {
            over_arrays(args, |arrays| quantify(arrays, false))
        })
        .nullable()
        .udf(),
        Function::new(
            "array_to_string",
            |types| {
                let (array, texts) = types.split_first()?;
                let array = if is_unknown(array) { list_of(DataType::Utf8View) } else { array.clone() };
                let text = |data_type: &DataType| is_text(data_type) || is_unknown(data_type);
                (is_array(&array) && matches!(texts.len(), 1 | 2) && texts.iter().all(text))
                    .then(|| std::iter::once(array).chain(texts.iter().map(|_| DataType::Utf8View)).collect())
            },
            |_, _| Ok(DataType::Utf8View),
            |args| over_arrays(args, |arrays| to_string(arrays, &DateTimeSettings::of(&args.config_options))),
        )
        .nullable()
        .udf(),
    ]
}

fn boolean(_: &[DataType], _: &[Option<&datafusion::common::ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Boolean)
}

fn not_multi(count: usize) -> Result<()> {
    if count > 1 {
        let message = "searching for elements in multidimensional arrays is not supported";
        return Err(error(ErrorKind::Unsupported, message));
    }
    Ok(())
}

fn position(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let is = same_element(&lists, arg(arrays, 1)?)?;
    let from = arrays.get(2).map(|from| from.as_primitive_opt::<Int32Type>());
    let from = from.map(|from| from.ok_or_else(|| internal("a position is no integer"))).transpose()?;
    let mut found = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let Some(value) = lists.get(row) else {
            found.push(None);
            continue;
        };
        not_multi(value.dimensions.count())?;
        let lower = value.dimensions.lower().first().copied().unwrap_or(1);
        let first = match from {
            Some(from) if from.is_null(row) => {
                return Err(error(ErrorKind::NullNotAllowed, "initial position must not be null"));
            }
            Some(from) => from.value(row),
            None => lower,
        };
        found.push(
            (lower..).zip(value.range).find(|(at, place)| *at >= first && is(*place, row)).map(|(at, _)| at),
        );
    }
    Ok(Arc::new(Int32Array::from(found)))
}

fn positions(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = counted(arrays, args)?;
    let is = same_element(&lists, arg(arrays, 1)?)?;
    let mut builder = ListBuilder::new(Int32Builder::new());
    for row in 0..lists.len() {
        let Some(value) = lists.get(row) else {
            builder.append(false);
            continue;
        };
        not_multi(value.dimensions.count())?;
        let lower = value.dimensions.lower().first().copied().unwrap_or(1);
        for (at, _) in (lower..).zip(value.range).filter(|(_, place)| is(*place, row)) {
            builder.values().append_value(at);
        }
        builder.append(true);
    }
    Ok(Arc::new(builder.finish()))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    All,
    Some,
}

/// Whether all or some elements of `sought` are among those of `array`; NULL is among none.
fn held(array: &ArrayRef, sought: &ArrayRef, how: Held) -> Result<ArrayRef> {
    let (arrays, sought) = (Arrays::of(array)?, Arrays::of(sought)?);
    let compare = comparator(arrays.elements().as_ref(), sought.elements().as_ref())?;
    let held = (0..arrays.len()).map(|row| {
        let (array, mut sought_in) = (arrays.get(row)?, sought.get(row)?);
        let among = |place: usize| {
            !sought.is_null_at(place)
                && array
                    .range
                    .clone()
                    .any(|own| !arrays.is_null_at(own) && compare(own, place) == Ordering::Equal)
        };
        Some(match how {
            Held::All => sought_in.range.all(among),
            Held::Some => sought_in.range.any(among),
        })
    });
    Ok(Arc::new(held.collect::<BooleanArray>()))
}

/// Three-valued OR or AND of a comparison with every element.
fn quantify(arrays: &[ArrayRef], any: bool) -> Result<ArrayRef> {
    let (element, lists) = (arg(arrays, 0)?, Arrays::of(arg(arrays, 1)?)?);
    let ops = arg(arrays, 2)?.as_string_view_opt().ok_or_else(|| internal("an operator is no text"))?;
    let op = ops.iter().flatten().next().unwrap_or("=");
    let (mut rows, mut places, mut ranges) = (Vec::new(), Vec::new(), Vec::with_capacity(lists.len()));
    let number = |place: usize| u64::try_from(place).unwrap_or(0);
    for row in 0..lists.len() {
        let before = rows.len();
        let value = lists.get(row);
        if let Some(value) = &value {
            rows.extend(value.range.clone().map(|_| number(row)));
            places.extend(value.range.clone().map(number));
        }
        ranges.push(value.map(|_| before..rows.len()));
    }
    let left = take(element, &UInt64Array::from(rows), None)?;
    let right = take(lists.elements(), &UInt64Array::from(places), None)?;
    let verdicts = compare_all(&left, &right, op)?;
    let decided = ranges.into_iter().map(|range| {
        let mut verdict = Some(!any);
        for place in range? {
            if verdicts.is_null(place) {
                verdict = None;
            } else if verdicts.value(place) == any {
                return Some(any);
            }
        }
        verdict
    });
    Ok(Arc::new(decided.collect::<BooleanArray>()))
}

fn compare_all(left: &ArrayRef, right: &ArrayRef, op: &str) -> Result<BooleanArray> {
    let by_order = |test: fn(Ordering) -> bool| -> Result<BooleanArray> {
        let compare = comparator(left.as_ref(), right.as_ref())?;
        let null = |row: usize| left.is_null(row) || right.is_null(row) || left.data_type().is_null();
        Ok((0..left.len()).map(|row| (!null(row)).then(|| test(compare(row, row)))).collect())
    };
    Ok(match op {
        "=" => by_order(Ordering::is_eq)?,
        "<>" | "!=" => by_order(Ordering::is_ne)?,
        "<" => by_order(Ordering::is_lt)?,
        "<=" => by_order(Ordering::is_le)?,
        ">" => by_order(Ordering::is_gt)?,
        ">=" => by_order(Ordering::is_ge)?,
        _ if !is_text(left.data_type()) => {
            return Err(crate::functions::undefined_operator(op, Some(left.data_type()), right.data_type()));
        }
        "~~" => comparison::like(left, right)?,
        "!~~" => comparison::nlike(left, right)?,
        "~~*" => comparison::ilike(left, right)?,
        "!~~*" => comparison::nilike(left, right)?,
        "~" | "~*" | "!~" | "!~*" => {
            let (texts, patterns) = (left.as_string_view_opt(), right.as_string_view_opt());
            let (Some(texts), Some(patterns)) = (texts, patterns) else {
                return Err(internal("a pattern is no text"));
            };
            let (sensitive, negated) = (!op.ends_with('*'), op.starts_with('!'));
            let found = texts.iter().zip(patterns).map(|(text, pattern)| {
                let (Some(text), Some(pattern)) = (text, pattern) else { return Ok(None) };
                Ok(Some(is_match(text, pattern, sensitive)? != negated))
            });
            found.collect::<Result<BooleanArray>>()?
        }
        op => {
            let message = format!("the operator {op} with ANY or ALL over an array is not supported");
            return Err(error(ErrorKind::Unsupported, message));
        }
    })
}

fn to_string(arrays: &[ArrayRef], settings: &DateTimeSettings) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let texts = |index: usize| arrays.get(index).and_then(|array| array.as_string_view_opt());
    let separators = texts(1).ok_or_else(|| internal("a separator is no text"))?;
    let nulls = texts(2);
    let mut found = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let (Some(value), true) = (lists.get(row), separators.is_valid(row)) else {
            found.push(None);
            continue;
        };
        let null = nulls.filter(|nulls| nulls.is_valid(row)).map(|nulls| nulls.value(row));
        let mut parts = Vec::with_capacity(value.range.len());
        for place in value.range {
            match element_text(lists.elements().as_ref(), place, settings)? {
                Some(text) => parts.push(text),
                None => parts.extend(null.map(str::to_owned)),
            }
        }
        found.push(Some(parts.join(separators.value(row))));
    }
    Ok(Arc::new(found.into_iter().collect::<StringViewArray>()))
}
