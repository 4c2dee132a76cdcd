//! `jsonb`: values without the blanks and repeated keys that they were written with, and their order.

use std::cmp::Ordering;
use std::fmt::Write;

use datafusion::common::Result;

use super::parse::{Kind, Node, parse};
use crate::functions::decimal_text::{canonical, compare_decimals};

/// A `jsonb` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The digits, with no exponent.
    Number(String),
    /// A string.
    String(String),
    /// The elements.
    Array(Vec<Json>),
    /// Keys, each once, shorter ones first, and their values.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads a text.
    ///
    /// # Errors
    /// Those of [`parse`].
    pub fn read(text: &str) -> Result<Self> {
        Ok(Self::of(&parse(text)?, text))
    }

    /// The value at a node of a text.
    pub fn of(node: &Node, source: &str) -> Self {
        match &node.kind {
            Kind::Null => Json::Null,
            Kind::Bool(value) => Json::Bool(*value),
            Kind::Number => Json::Number(canonical(node.text(source))),
            Kind::String(text) => Json::String(text.clone()),
            Kind::Array(elements) => {
                Json::Array(elements.iter().map(|node| Self::of(node, source)).collect())
            }
            Kind::Object(pairs) => {
                Self::object(pairs.iter().map(|(key, node)| (key.clone(), Self::of(node, source))))
            }
        }
    }

    /// An object; of repeated keys the last one counts.
    pub fn object(pairs: impl IntoIterator<Item = (String, Json)>) -> Self {
        let mut pairs: Vec<(String, Json)> = pairs.into_iter().collect();
        pairs.sort_by(|(a, _), (b, _)| key_order(a, b));
        // Equal keys keep their order: the last of them stays.
        let mut kept: Vec<(String, Json)> = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match kept.last_mut() {
                Some(last) if last.0 == pair.0 => *last = pair,
                _ => kept.push(pair),
            }
        }
        Json::Object(kept)
    }

    /// The word that `jsonb_typeof` has for it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Number(_) => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        }
    }

    /// Whether it has no parts.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Json::Array(_) | Json::Object(_))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Json::Object(pairs) => pairs.iter().find(|(own, _)| own == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text as `->>` gives it: strings bare, NULL for `null`.
    pub fn into_text(self) -> Option<String> {
        match self {
            Json::Null => None,
            Json::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    /// Whether another value is contained: `@>`.
    pub fn contains(&self, other: &Json) -> bool {
        match (self, other) {
            // An array contains a scalar that is one of its elements, at the top only.
            (Json::Array(elements), scalar) if scalar.is_scalar() => {
                elements.iter().any(|element| element.is_scalar() && element.same(scalar))
            }
            _ => self.holds(other),
        }
    }

    fn holds(&self, other: &Json) -> bool {
        match (self, other) {
            (Json::Object(_), Json::Object(pairs)) => {
                pairs.iter().all(|(key, value)| self.get(key).is_some_and(|own| own.holds(value)))
            }
            (Json::Array(own), Json::Array(elements)) => {
                elements.iter().all(|element| own.iter().any(|own| own.holds(element)))
            }
            (own, other) => own.is_scalar() && other.is_scalar() && own.same(other),
        }
    }

    /// Equality of values: `1.0` is `1.00`.
    pub fn same(&self, other: &Json) -> bool {
        self.order(other) == Ordering::Equal
    }

    /// The order of `jsonb`'s operators: objects, arrays, booleans, numbers, strings, null, the greatest first.
    pub fn order(&self, other: &Json) -> Ordering {
        fn rank(json: &Json) -> u8 {
            match json {
                // An empty array comes before everything, as PostgreSQL has it.
                Json::Array(elements) if elements.is_empty() => 0,
                Json::Null => 1,
                Json::String(_) => 2,
                Json::Number(_) => 3,
                Json::Bool(_) => 4,
                Json::Array(_) => 5,
                Json::Object(_) => 6,
            }
        }
        match (self, other) {
            (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
            (Json::Number(a), Json::Number(b)) => compare_decimals(a, b),
            (Json::String(a), Json::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Json::Array(a), Json::Array(b)) => a.len().cmp(&b.len()).then_with(|| {
                a.iter()
                    .zip(b)
                    .map(|(a, b)| a.order(b))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            (Json::Object(a), Json::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
                a.iter()
                    .zip(b)
                    .map(|((ka, va), (kb, vb))| key_order(ka, kb).then_with(|| va.order(vb)))
                    .find(|order| order.is_ne())
                    .unwrap_or(Ordering::Equal)
            }),
            (a, b) => rank(a).cmp(&rank(b)),
        }
    }

    /// Laid out over several lines, as `jsonb_pretty` does.
    pub fn pretty(&self) -> String {
        fn lines(json: &Json, depth: usize, out: &mut String) {
            let indent = |depth: usize, out: &mut String| {
                out.push('\n');
                out.push_str(&"    ".repeat(depth));
            };
            match json {
                Json::Array(elements) => {
                    out.push('[');
                    for (index, element) in elements.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        indent(depth + 1, out);
                        lines(element, depth + 1, out);
                    }
                    indent(depth, out);
                    out.push(']');
                }
                Json::Object(pairs) => {
                    out.push('{');
                    for (index, (key, value)) in pairs.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        indent(depth + 1, out);
                        write_string(key, out);
                        out.push_str(": ");
                        lines(value, depth + 1, out);
                    }
                    indent(depth, out);
                    out.push('}');
                }
                scalar => {
                    let _ = write!(out, "{scalar}");
                }
            }
        }
        let mut out = String::new();
        lines(self, 0, &mut out);
        out
    }
}

/// `{"a": 1, "b": [true, null]}`
impl std::fmt::Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(value) => write!(f, "{value}"),
            Json::Number(digits) => f.write_str(digits),
            Json::String(text) => f.write_str(&quoted(text)),
            Json::Array(elements) => {
                f.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{element}")?;
                }
                f.write_str("]")
            }
            Json::Object(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{}: {value}", quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Shorter keys come first.
fn key_order(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

/// A string in quotes, with escapes for what needs them.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_string(text, &mut out);
    out
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_normalized() {
        let json = Json::read("{ \"bb\":1.50e1, \"a\" : [1,{}], \"a\":\"x\\u0001\" }").unwrap();
        assert_eq!(json.to_string(), "{\"a\": \"x\\u0001\", \"bb\": 15.0}");
    }

    #[test]
    fn containment_and_order() {
        let json = |text: &str| Json::read(text).unwrap();
        assert!(json("{\"a\":[1,2,{\"b\":3}],\"c\":1}").contains(&json("{\"a\":[{\"b\":3},1]}")));
        assert!(json("[1,2]").contains(&json("2")) && !json("2").contains(&json("[2]")));
        assert!(json("1.0").same(&json("1.00")));
        let ordered = ["[]", "null", "\"a\"", "1", "true", "[1]", "{}"];
        for pair in ordered.windows(2) {
            assert_eq!(json(pair[0]).order(&json(pair[1])), Ordering::Less, "{pair:?}");
        }
    }
}
