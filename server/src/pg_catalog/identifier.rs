//! Reading and writing SQL identifiers.

use super::error::{FunctionError, FunctionResult, Mistake};

/// PostgreSQL's reserved words and those that need quotes as a name: categories other than unreserved.
const QUOTED_WORDS: &str = " all analyse analyze and any array as asc asymmetric authorization between bigint binary \
bit boolean both case cast char character check coalesce collate collation column concurrently constraint create cross \
current_catalog current_date current_role current_schema current_time current_timestamp current_user dec decimal \
default deferrable desc distinct do else end except exists extract false fetch float for foreign freeze from full \
grant greatest group grouping having ilike in initially inner inout int integer intersect interval into is isnull join \
lateral leading least left like limit localtime localtimestamp national natural nchar none normalize not notnull null \
nullif numeric offset on only or order out outer overlaps overlay placing position precision primary real references \
returning right row select session_user setof similar smallint some substring symmetric table tablesample then time \
timestamp to trailing treat trim true union unique user using values varchar variadic verbose when where window with \
xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable ";

/// An identifier as SQL needs it: in quotes where it must be.
pub(super) fn quote(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !QUOTED_WORDS.contains(&format!(" {name} "));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL needs it, with backslashes kept by an `E` before it.
pub(super) fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

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
    fn names_are_quoted_as_quote_ident_does() {
        for (name, quoted) in [
            ("flights", "flights"),
            ("arr_delay2", "arr_delay2"),
            ("Flights", "\"Flights\""),
            ("user", "\"user\""),
            ("name", "name"),
            ("2nd", "\"2nd\""),
            ("a\"b", "\"a\"\"b\""),
            ("", "\"\""),
            ("größe", "\"größe\""),
            ("a$b", "\"a$b\""),
        ] {
            assert_eq!(quote(name), quoted);
        }
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
    }

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
