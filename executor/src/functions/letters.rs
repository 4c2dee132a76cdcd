//! `upper`, `lower` and `initcap`: letter by letter, as the C library does it for PostgreSQL.
//!
//! A letter whose other case is several letters, such as `ß`, stays as it is.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::ScalarUDF;

use crate::functions::by_row::{Takes, take, texts};
use crate::functions::function::Function;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let of_text = |types: &[DataType]| take(types, &[Takes::Text], 0);
    vec![
        Function::new(
            "upper",
            of_text,
            |_, _| Ok(DataType::Utf8View),
            |args| texts(args, |row| Ok(Some(mapped(row.text(0)?, upper)))),
        )
        .udf(),
        Function::new(
            "lower",
            of_text,
            |_, _| Ok(DataType::Utf8View),
            |args| texts(args, |row| Ok(Some(mapped(row.text(0)?, lower)))),
        )
        .udf(),
        Function::new(
            "initcap",
            of_text,
            |_, _| Ok(DataType::Utf8View),
            |args| {
                texts(args, |row| {
                    let mut inside = false;
                    let capitalised = row.text(0)?.chars().map(|c| {
                        let mapped = if inside { lower(c) } else { upper(c) };
                        inside = c.is_alphanumeric();
                        mapped
                    });
                    Ok(Some(capitalised.collect()))
                })
            },
        )
        .udf(),
    ]
}

fn mapped(text: &str, map: impl Fn(char) -> char) -> String {
    text.chars().map(map).collect()
}

fn upper(c: char) -> char {
    single(c, c.to_uppercase())
}

fn lower(c: char) -> char {
    single(c, c.to_lowercase())
}

/// The one letter of a mapping, or the letter itself.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(other), None) => other,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    #[test]
    fn letters_stay_single() {
        let text = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
        assert_eq!(call_named("upper", &[text("straße Ωmega")]).unwrap(), text("STRAßE ΩMEGA"));
        assert_eq!(call_named("lower", &[text("ÄÖÜ İ")]).unwrap(), text("äöü İ"));
        assert_eq!(call_named("initcap", &[text("hI THOMAS-anna 1st")]).unwrap(), text("Hi Thomas-Anna 1st"));
    }
}
