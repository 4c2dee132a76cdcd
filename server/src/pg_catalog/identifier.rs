//! Reading and writing SQL identifiers.

use super::error::{FunctionError, FunctionResult, Mistake};

pub(super) use quickdb_executor::functions::quoting::quote;

/// The parts of a dotted name: `public."My table"`. Parts without quotes fold to lower case.
///
/// # Errors
/// [`Mistake::InvalidName`] for anything else.
pub(super) fn split_qualified(text: &str) -> FunctionResult<Vec<String>> {
    split(text, '.').ok_or_else(|| FunctionError::new(Mistake::InvalidName, "invalid name syntax"))
}

/// The parts of a comma separated list of identifiers, as in `search_path`; empty when it is none.
pub(super) fn split_list(text: &str) -> Vec<String> {
    // An identifier without quotes may hold a dollar sign, but a name may not begin with one: `$user` is quoted.
    split(text, ',').unwrap_or_default()
}

fn split(text: &str, separator: char) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let part;
        (part, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_part(quoted)?,
            None => {
                let end = rest.find(|letter: char| letter == separator || letter.is_whitespace());
                let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
                if part.is_empty() || part.contains('"') {
                    return None;
                }
                (part.to_lowercase(), after)
            }
        };
        parts.push(part);
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix(separator)?.trim_start();
    }
}

/// A quoted part after its first quote, and what follows it.
fn quoted_part(text: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        part.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                part.push('"');
                rest = after;
            }
            None if part.is_empty() => return None,
            None => return Some((part, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dotted_names_split_and_fold() {
        let split = |text: &str| split_qualified(text).ok();
        assert_eq!(split("Public . \"My.Table\"").unwrap(), ["public", "My.Table"]);
        assert_eq!(split("\"a\"\"b\"").unwrap(), ["a\"b"]);
        for wrong in ["", "a.", ".a", "a b", "\"a", "\"\"", "a\"b\""] {
            assert!(split(wrong).is_none(), "{wrong}");
        }
        assert_eq!(split_list("\"$user\", public"), ["$user", "public"]);
        assert!(split_list("").is_empty());
    }
}
