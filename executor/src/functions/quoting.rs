//! Identifiers and texts as SQL writes them: `quote_ident`, `quote_literal`, `quote_nullable`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use crate::datetime::DateTimeSettings;
use crate::functions::function::{Function, arg, is_text, over_arrays};
use crate::functions::text_of::text_in;

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
pub fn quote(name: &str) -> String {
    let plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !QUOTED_WORDS.contains(&format!(" {name} "));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as SQL needs it, with backslashes kept by an `E` before it.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The functions of this file.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "quote_ident",
            |types| match types {
                [data_type] if is_text(data_type) || data_type.is_null() => Some(vec![DataType::Utf8View]),
                _ => None,
            },
            |_, _| Ok(DataType::Utf8View),
            |args| over_arrays(args, |arrays| quoted(args, arrays, |text| text.map(quote))),
        )
        .udf(),
        Function::new(
            "quote_literal",
            one,
            |_, _| Ok(DataType::Utf8View),
            |args| over_arrays(args, |arrays| quoted(args, arrays, |text| text.map(quote_literal))),
        )
        .udf(),
        Function::new(
            "quote_nullable",
            one,
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let null = || "NULL".to_owned();
                over_arrays(args, |arrays| {
                    quoted(args, arrays, |text| Some(text.map_or_else(null, quote_literal)))
                })
            },
        )
        .udf(),
    ]
}

fn one(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [data_type] if is_text(data_type) || data_type.is_null() => Some(vec![DataType::Utf8View]),
        [_] => Some(types.to_vec()),
        _ => None,
    }
}

fn quoted(
    args: &ScalarFunctionArgs,
    arrays: &[ArrayRef],
    quote: impl Fn(Option<&str>) -> Option<String>,
) -> Result<ArrayRef> {
    let settings = DateTimeSettings::of(&args.config_options);
    let values = arg(arrays, 0)?;
    let mut builder = StringViewBuilder::with_capacity(values.len());
    for row in 0..values.len() {
        builder.append_option(quote(text_in(values, row, &settings)?.as_deref()));
    }
    Ok(Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use super::*;
    use crate::functions::testing::call;

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

    /// As PostgreSQL quotes them.
    #[test]
    fn values_are_quoted_as_in_postgresql() {
        let text = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
        let null = ScalarValue::Utf8View(None);
        for (name, value, expected) in [
            ("quote_ident", text("plain"), text("plain")),
            ("quote_ident", text("My \"t\""), text("\"My \"\"t\"\"\"")),
            ("quote_ident", text("select"), text("\"select\"")),
            ("quote_literal", text("it's"), text("'it''s'")),
            ("quote_literal", text("a\\b"), text("E'a\\\\b'")),
            ("quote_literal", ScalarValue::Int32(Some(42)), text("'42'")),
            ("quote_literal", null.clone(), null.clone()),
            ("quote_nullable", null.clone(), text("NULL")),
        ] {
            let function = functions().into_iter().find(|function| function.name() == name).unwrap();
            assert_eq!(call(&function, &[value.clone()]).unwrap(), expected, "{name}({value})");
        }
    }
}
