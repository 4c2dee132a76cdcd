//! SIMILAR TO patterns as regular expressions.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::error::{ErrorKind, ExecError};
use crate::functions::by_row::{Takes, take, texts};
use crate::functions::function::{Function, error};

/// `similar_to_escape(pattern [, escape])`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "similar_to_escape",
            |types| take(types, &[Takes::Text, Takes::Text], 1),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| {
                    let escape = if row.len() > 1 { escape_of(row.text(1)?)? } else { Some('\\') };
                    similar_to_regex(row.text(0)?, escape).map(Some)
                })
            },
        )
        .udf(),
    ]
}

/// The one character of an escape string, none where it is empty.
///
/// # Errors
/// 22025 for more than one.
pub fn escape_of(escape: &str) -> Result<Option<char>> {
    let mut letters = escape.chars();
    match (letters.next(), letters.next()) {
        (letter, None) => Ok(letter),
        _ => Err(ExecError::new(ErrorKind::InvalidEscape, "invalid escape string")
            .with_hint("Escape string must be empty or one character.")
            .into()),
    }
}

/// The regular expression of a SIMILAR TO pattern, which must match the whole text. Two of the escape character followed
/// by a double quote set the part apart that SUBSTRING gives; they match nothing themselves.
///
/// # Errors
/// 22025 for more than two of those.
pub fn similar_to_regex(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut out = String::from("^(?:");
    let mut chars = pattern.chars();
    let mut in_class = false;
    let mut separators = 0;
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next() {
                Some('"') if !in_class => {
                    separators += 1;
                    out.push_str(match separators {
                        1 => "){1,1}?(",
                        2 => "){1,1}(?:",
                        _ => {
                            return Err(error(
                                ErrorKind::InvalidEscape,
                                "SQL regular expression may not contain more than two escape-double-quote separators",
                            ));
                        }
                    });
                }
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                }
                None => {}
            }
            continue;
        }
        match c {
            '[' if !in_class => {
                in_class = true;
                out.push(c);
            }
            ']' if in_class => {
                in_class = false;
                out.push(c);
            }
            '%' if !in_class => out.push_str(".*"),
            '_' if !in_class => out.push('.'),
            '(' if !in_class => out.push_str("(?:"),
            '.' | '^' | '$' | '\\' if !in_class => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\\\"),
            _ => out.push(c),
        }
    }
    out.push_str(")$");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_translated() {
        let regex = |pattern, escape| similar_to_regex(pattern, escape).unwrap();
        assert_eq!(regex("(a|b)%_.", Some('\\')), "^(?:(?:a|b).*.\\.)$");
        assert_eq!(regex("[a-c%]+", Some('\\')), "^(?:[a-c%]+)$");
        assert_eq!(regex("%#\"o_b#\"%", Some('#')), "^(?:.*){1,1}?(o.b){1,1}(?:.*)$");
        assert!(similar_to_regex("#\"#\"#\"", Some('#')).is_err());
    }
}
