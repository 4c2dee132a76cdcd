//! Functions of `bytea`, and those of text that `bytea` has too.
//!
//! | function | of text | of `bytea` |
//! |---|---|---|
//! | `octet_length`, `bit_length` | bytes | bytes |
//! | `btrim`, `ltrim`, `rtrim` | characters | bytes |
//! | `strpos` | characters | bytes |
//! | `bytea_concat`, `bytea_like` | | `a || b`, `a LIKE b` |

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::ErrorKind;
use crate::functions::by_row::{booleans, byteas, texts, values};
use crate::functions::function::{Function, arg, error, internal, is_text};

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![
        Function::new("octet_length", one, |_, _| Ok(DataType::Int32), |args| measured(args, 1)).udf(),
        Function::new("bit_length", one, |_, _| Ok(DataType::Int32), |args| measured(args, 8)).udf(),
        Function::new(
            "strpos",
            |types| match types {
                [text, sought] if [text, sought].iter().any(|of| is_bytes(of)) => {
                    [text, sought].iter().all(|of| takes_bytes(of)).then(|| vec![DataType::BinaryView; 2])
                }
                [text, sought] if takes_text(text) && takes_text(sought) => Some(vec![DataType::Utf8View; 2]),
                _ => None,
            },
            |_, _| Ok(DataType::Int32),
            |args| {
                let bytes = of_bytes(args);
                values::<Int32Type>(args, |row| {
                    if bytes {
                        let (bytes, sought) = (row.bytes(0)?, row.bytes(1)?);
                        let found = if sought.is_empty() {
                            Some(0)
                        } else {
                            bytes.windows(sought.len()).position(|window| window == sought)
                        };
                        return Ok(found.map_or(Some(0), |at| i32::try_from(at + 1).ok()));
                    }
                    let (text, sought) = (row.text(0)?, row.text(1)?);
                    let before = text.find(sought).and_then(|at| text.get(..at));
                    Ok(before.map_or(Some(0), |before| i32::try_from(before.chars().count() + 1).ok()))
                })
            },
        )
        .aliases(&["instr", "position"])
        .udf(),
        Function::new(
            "bytea_concat",
            |types| match types {
                [left, right] if takes_bytes(left) && takes_bytes(right) => {
                    Some(vec![DataType::BinaryView; 2])
                }
                _ => None,
            },
            |_, _| Ok(DataType::BinaryView),
            |args| byteas(args, |row| Ok(Some([row.bytes(0)?, row.bytes(1)?].concat()))),
        )
        .operator("||")
        .udf(),
        Function::new(
            "bytea_like",
            |types| match types {
                [value, pattern] if takes_bytes(value) && takes_bytes(pattern) => {
                    Some(vec![DataType::BinaryView; 2])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Boolean),
            |args| booleans(args, |row| like(row.bytes(0)?, row.bytes(1)?).map(Some)),
        )
        .operator("~~")
        .udf(),
    ];
    let trims: [(&'static str, Evaluate, &[&str]); 3] = [
        ("btrim", |args| trimmed(args, true, true), &["trim"]),
        ("ltrim", |args| trimmed(args, true, false), &[]),
        ("rtrim", |args| trimmed(args, false, true), &[]),
    ];
    for (name, evaluate, aliases) in trims {
        functions.push(
            Function::new(
                name,
                |types| match types {
                    [text] if takes_text(text) => Some(vec![DataType::Utf8View]),
                    [value, set] if is_bytes(value) && takes_bytes(set) => {
                        Some(vec![DataType::BinaryView; 2])
                    }
                    [text, set] if takes_text(text) && takes_text(set) => Some(vec![DataType::Utf8View; 2]),
                    _ => None,
                },
                first_type,
                evaluate,
            )
            .aliases(aliases)
            .udf(),
        );
    }
    functions
}

type Evaluate = fn(&ScalarFunctionArgs) -> Result<ColumnarValue>;

/// Whether the type is `bytea`.
pub(crate) fn is_bytes(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// `bytea`, or what nothing gave a type.
pub(crate) fn takes_bytes(data_type: &DataType) -> bool {
    is_bytes(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null)
}

fn takes_text(data_type: &DataType) -> bool {
    is_text(data_type) || data_type.is_null()
}

fn of_bytes(args: &ScalarFunctionArgs) -> bool {
    args.arg_fields.first().is_some_and(|field| is_bytes(field.data_type()))
}

fn first_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    types.first().cloned().ok_or_else(|| internal("a value of no type"))
}

fn one(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [value] if is_bytes(value) => Some(vec![DataType::BinaryView]),
        [text] if takes_text(text) => Some(vec![DataType::Utf8View]),
        _ => None,
    }
}

fn measured(args: &ScalarFunctionArgs, unit: usize) -> Result<ColumnarValue> {
    let bytes = of_bytes(args);
    values::<Int32Type>(args, |row| {
        let length = if bytes { row.bytes(0)?.len() } else { row.text(0)?.len() };
        Ok(i32::try_from(length * unit).ok())
    })
}

/// Both ends or one without the characters, or bytes, of a set.
fn trimmed(args: &ScalarFunctionArgs, start: bool, end: bool) -> Result<ColumnarValue> {
    if of_bytes(args) {
        return byteas(args, |row| {
            let (mut bytes, set) = (row.bytes(0)?, row.bytes(1)?);
            while let (true, [first, rest @ ..]) = (start, bytes) {
                if !set.contains(first) {
                    break;
                }
                bytes = rest;
            }
            while let (true, [rest @ .., last]) = (end, bytes) {
                if !set.contains(last) {
                    break;
                }
                bytes = rest;
            }
            Ok(Some(bytes.to_vec()))
        });
    }
    texts(args, |row| {
        let mut text = row.text(0)?;
        let set: Vec<char> = if row.len() > 1 { row.text(1)?.chars().collect() } else { vec![' '] };
        if start {
            text = text.trim_start_matches(set.as_slice());
        }
        if end {
            text = text.trim_end_matches(set.as_slice());
        }
        Ok(Some(text.to_owned()))
    })
}

/// Bytes from a place counted from 1; places before the first count against the length.
pub(crate) fn byte_substr(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    crate::functions::function::over_arrays(args, |arrays| {
        let bytes = arg(arrays, 0)?.as_binary_view();
        let starts = arrow_cast(arg(arrays, 1)?, &DataType::Int64)?;
        let lengths = arrays.get(2).map(|lengths| arrow_cast(lengths, &DataType::Int64)).transpose()?;
        let mut builder = datafusion::arrow::array::BinaryViewBuilder::with_capacity(bytes.len());
        for row in 0..bytes.len() {
            let null = |array: &ArrayRef| array.is_null(row);
            if bytes.is_null(row) || null(&starts) || lengths.as_ref().is_some_and(null) {
                builder.append_null();
                continue;
            }
            let start = starts.as_primitive::<Int64Type>().value(row);
            let end = match lengths.as_ref().map(|lengths| lengths.as_primitive::<Int64Type>().value(row)) {
                Some(length) if length < 0 => {
                    return Err(error(ErrorKind::InvalidSubstring, "negative substring length not allowed"));
                }
                Some(length) => start.saturating_add(length),
                None => i64::MAX,
            };
            let value = bytes.value(row);
            let from = usize::try_from(start.max(1) - 1).unwrap_or(usize::MAX).min(value.len());
            let to = usize::try_from(end.saturating_sub(1)).unwrap_or(0).clamp(from, value.len());
            builder.append_value(value.get(from..to).unwrap_or_default());
        }
        Ok(Arc::new(builder.finish()))
    })
}

/// LIKE over bytes, a backslash being the escape.
fn like(value: &[u8], pattern: &[u8]) -> Result<bool> {
    // The place after the last `%`, and where in the value it began to match.
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let step = match (pattern.get(of), value.get(at)) {
            (Some(b'%'), _) => {
                star = Some((of + 1, at));
                of += 1;
                continue;
            }
            (Some(b'\\'), found) => {
                let Some(literal) = pattern.get(of + 1) else {
                    return Err(error(
                        ErrorKind::InvalidEscape,
                        "LIKE pattern must not end with escape character",
                    ));
                };
                (found == Some(literal)).then_some(2)
            }
            (Some(b'_'), Some(_)) => Some(1),
            (Some(literal), Some(found)) if literal == found => Some(1),
            (None, None) => return Ok(true),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                at += 1;
                of += step;
            }
            (None, Some((after, began))) if began < value.len() => {
                star = Some((after, began + 1));
                (at, of) = (began + 1, after);
            }
            (None, _) => return Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_match_patterns() {
        for (value, pattern, expected) in [
            ("abc", "a%", true),
            ("abc", "%b_", true),
            ("abc", "_b", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("", "%", true),
            ("aab", "%ab", true),
        ] {
            assert_eq!(like(value.as_bytes(), pattern.as_bytes()).unwrap(), expected, "{value} {pattern}");
        }
    }
}
