//! Functions of text that must refuse what would be too much or make no sense.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::ErrorKind;
use crate::functions::by_row::{Takes, take, texts};
use crate::functions::function::{Function, error};

/// The longest text of PostgreSQL, in bytes.
const TEXT_BYTES_MAX: usize = 0x3fff_ffff;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Takes::{Int, Text};
    vec![
        Function::new(
            "repeat",
            |types| take(types, &[Text, Int], 0),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| {
                    let (text, count) = (row.text(0)?, usize::try_from(row.int(1)?).unwrap_or(0));
                    let bytes = text.len().checked_mul(count).filter(|bytes| *bytes <= TEXT_BYTES_MAX);
                    bytes.map(|_| Some(text.repeat(count))).ok_or_else(too_long)
                })
            },
        )
        .udf(),
        Function::new(
            "lpad",
            |types| take(types, &[Text, Int, Text], 1),
            |_, _| Ok(DataType::Utf8View),
            |args| padded_texts(args, |text, padding| padding + text),
        )
        .udf(),
        Function::new(
            "rpad",
            |types| take(types, &[Text, Int, Text], 1),
            |_, _| Ok(DataType::Utf8View),
            |args| padded_texts(args, |text, padding| text.to_owned() + &padding),
        )
        .udf(),
        Function::new(
            "chr",
            |types| take(types, &[Int], 0),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| match row.int(0)? {
                    0 => Err(error(ErrorKind::LimitExceeded, "null character not permitted")),
                    code if code < 0 => {
                        Err(error(ErrorKind::LimitExceeded, "character number must be positive"))
                    }
                    code => match u32::try_from(code).ok().and_then(char::from_u32) {
                        Some(c) => Ok(Some(c.to_string())),
                        None => {
                            let message = format!("requested character too large for encoding: {code}");
                            Err(error(ErrorKind::LimitExceeded, message))
                        }
                    },
                })
            },
        )
        .udf(),
        Function::new(
            "split_part",
            |types| take(types, &[Text, Text, Int], 0),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| {
                    let (text, separator, n) = (row.text(0)?, row.text(1)?, row.int(2)?);
                    if n == 0 {
                        return Err(error(ErrorKind::InvalidParameter, "field position must not be zero"));
                    }
                    let skip = usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX) - 1;
                    let part = if separator.is_empty() {
                        (skip == 0).then_some(text)
                    } else if n > 0 {
                        text.split(separator).nth(skip)
                    } else {
                        text.rsplit(separator).nth(skip)
                    };
                    Ok(Some(part.unwrap_or_default().to_owned()))
                })
            },
        )
        .udf(),
        Function::new(
            "overlay",
            |types| take(types, &[Text, Text, Int, Int], 1),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| {
                    let (text, other, start) = (row.text(0)?, row.text(1)?, row.int(2)?);
                    let length = if row.len() > 3 {
                        row.int(3)?
                    } else {
                        i32::try_from(other.chars().count()).unwrap_or(i32::MAX)
                    };
                    if start <= 0 {
                        return Err(error(
                            ErrorKind::InvalidSubstring,
                            "negative substring length not allowed",
                        ));
                    }
                    let before = usize::try_from(start - 1).unwrap_or(0);
                    let after = usize::try_from(i64::from(start) - 1 + i64::from(length)).unwrap_or(0);
                    let head: String = text.chars().take(before).collect();
                    let tail: String = text.chars().skip(after).collect();
                    Ok(Some(head + other + &tail))
                })
            },
        )
        .udf(),
    ]
}

fn too_long() -> DataFusionError {
    error(ErrorKind::LimitExceeded, "requested length too large")
}

/// The first argument cut or padded to the length of the second; `join` says on which side.
fn padded_texts(args: &ScalarFunctionArgs, join: fn(&str, String) -> String) -> Result<ColumnarValue> {
    texts(args, |row| {
        let fill = if row.len() > 2 { row.text(2)? } else { " " };
        let (text, padding) = padded(row.text(0)?, row.int(1)?, fill)?;
        Ok(Some(join(text, padding)))
    })
}

/// A text cut to a number of characters, and what fills it up to that number.
fn padded<'a>(text: &'a str, length: i32, fill: &str) -> Result<(&'a str, String)> {
    let length = usize::try_from(length).unwrap_or(0);
    let characters = text.chars().count();
    if characters >= length {
        let end = text.char_indices().nth(length).map_or(text.len(), |(at, _)| at);
        return Ok((text.get(..end).unwrap_or(text), String::new()));
    }
    let widest = fill.chars().map(char::len_utf8).max().unwrap_or(1);
    if length.checked_mul(widest).is_none_or(|bytes| bytes > TEXT_BYTES_MAX) {
        return Err(too_long());
    }
    Ok((text, fill.chars().cycle().take(length - characters).collect()))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    fn text(text: &str) -> ScalarValue {
        ScalarValue::Utf8View(Some(text.to_owned()))
    }

    #[test]
    fn texts_are_padded_and_cut() {
        let int = |value: i32| ScalarValue::Int32(Some(value));
        assert_eq!(call_named("lpad", &[text("hi"), int(5), text("xy")]).unwrap(), text("xyxhi"));
        assert_eq!(call_named("rpad", &[text("häuser"), int(2)]).unwrap(), text("hä"));
        assert_eq!(call_named("lpad", &[text("hi"), int(5), text("")]).unwrap(), text("hi"));
        assert!(call_named("repeat", &[text("a"), int(2_000_000_000)]).is_err());
        assert_eq!(call_named("repeat", &[text("ab"), int(-1)]).unwrap(), text(""));
    }

    #[test]
    fn parts_count_from_either_end() {
        let int = |value: i32| ScalarValue::Int32(Some(value));
        let part = |n| call_named("split_part", &[text("a,b,c"), text(","), int(n)]).unwrap();
        assert_eq!((part(1), part(3), part(-1), part(4)), (text("a"), text("c"), text("c"), text("")));
    }
}
