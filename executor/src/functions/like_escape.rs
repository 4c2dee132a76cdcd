//! `like_escape`: a LIKE pattern with another escape character as one with backslashes.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::error::{ErrorKind, ExecError};
use crate::functions::function::{Function, arg, is_text, over_arrays};

/// The function of this file.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "like_escape",
            |types| match types {
                [pattern, escape] if [pattern, escape].iter().all(|of| is_text(of) || of.is_null()) => {
                    Some(vec![DataType::Utf8View; 2])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Utf8View),
            |args| {
                over_arrays(args, |arrays| {
                    let (patterns, escapes) =
                        (arg(arrays, 0)?.as_string_view(), arg(arrays, 1)?.as_string_view());
                    let mut builder = StringViewBuilder::with_capacity(patterns.len());
                    for row in 0..patterns.len() {
                        if patterns.is_null(row) || escapes.is_null(row) {
                            builder.append_null();
                        } else {
                            builder.append_value(with_backslashes(patterns.value(row), escapes.value(row))?);
                        }
                    }
                    Ok(Arc::new(builder.finish()))
                })
            },
        )
        .udf(),
    ]
}

/// The pattern with a backslash for its escape character, and every backslash of its own escaped. Without an escape
/// character nothing is escaped.
fn with_backslashes(pattern: &str, escape: &str) -> Result<String> {
    let mut letters = escape.chars();
    let (escape, None) = (letters.next(), letters.next()) else {
        let error = ExecError::new(ErrorKind::InvalidEscape, "invalid escape string")
            .with_hint("Escape string must be empty or one character.");
        return Err(error.into());
    };
    if escape == Some('\\') {
        return Ok(pattern.to_owned());
    }
    let mut output = String::with_capacity(pattern.len() + 2);
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if Some(letter) == escape => {
                // Only what means something in a pattern takes a backslash.
                let next = letters.next();
                if matches!(next, Some('%' | '_' | '\\')) {
                    output.push('\\');
                }
                output.extend(next);
            }
            '\\' => output.push_str("\\\\"),
            letter => output.push(letter),
        }
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_escape_character_becomes_a_backslash() {
        for (pattern, escape, expected) in [
            ("pg/_%", "/", "pg\\_%"),
            ("a//b", "/", "a/b"),
            ("a\\b", "/", "a\\\\b"),
            ("a\\_b", "", "a\\\\_b"),
            ("a\\_b", "\\", "a\\_b"),
        ] {
            assert_eq!(with_backslashes(pattern, escape).unwrap(), expected, "{pattern} {escape}");
        }
        assert!(with_backslashes("a", "xy").unwrap_err().to_string().contains("invalid escape string"));
    }
}
