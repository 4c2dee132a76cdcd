//! `jsonb` values made of others: joined, with parts set, inserted or left out.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::parse::{Kind, Node, parse};
use super::value::{Json, quoted};
use super::{is_json, is_jsonb, is_list, is_value, one, text, texts as text_array, two, with_list};
use crate::error::{ErrorKind, ExecError};
use crate::functions::by_row::{Row, texts};
use crate::functions::function::{Function, error, is_int, is_text};

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("jsonb_concat", two, text, |args| {
            texts(args, |row| {
                Ok(Some(concatenated(Json::read(row.text(0)?)?, Json::read(row.text(1)?)?)?.to_string()))
            })
        })
        .describe(is_jsonb)
        .operator("||")
        .udf(),
        Function::new(
            "jsonb_delete",
            |types| match types {
                [json, key] if is_value(json) && (is_text(key) || key.is_null()) => {
                    Some(vec![DataType::Utf8View, DataType::Utf8View])
                }
                [json, index] if is_value(json) && is_int(index) => {
                    Some(vec![DataType::Utf8View, DataType::Int64])
                }
                _ => with_list(types),
            },
            text,
            |args| {
                let key = args.arg_fields.get(1).map(|field| field.data_type().clone());
                texts(args, |row| {
                    let json = Json::read(row.text(0)?)?;
                    let left = match &key {
                        Some(DataType::Int64) => without_index(json, row.long(1)?)?,
                        Some(DataType::Utf8View) => without_keys(json, &[row.text(1)?.to_owned()])?,
                        _ => {
                            let keys: Vec<String> = row.text_list(1)?.into_iter().flatten().collect();
                            without_keys(json, &keys)?
                        }
                    };
                    Ok(Some(left.to_string()))
                })
            },
        )
        .describe(is_jsonb)
        .operator("-")
        .udf(),
        Function::new("jsonb_delete_path", with_list, text, |args| {
            texts(args, |row| {
                let json = Json::read(row.text(0)?)?;
                if json.is_scalar() {
                    return Err(error(ErrorKind::InvalidParameter, "cannot delete path in scalar"));
                }
                let path = path(row)?;
                let mut changed = json;
                if let Some((first, rest)) = path.split_first() {
                    changed = at(changed, first, rest, 1, &mut |_| Ok(None), false)?;
                }
                Ok(Some(changed.to_string()))
            })
        })
        .describe(is_jsonb)
        .operator("#-")
        .udf(),
        Function::new("jsonb_set", json_path_value_flag, text, |args| {
            texts(args, |row| {
                let json = Json::read(row.text(0)?)?;
                let create = if row.len() > 3 { row.boolean(3)? } else { true };
                if json.is_scalar() {
                    return Err(error(ErrorKind::InvalidParameter, "cannot set path in scalar"));
                }
                let (path, new) = (path(row)?, Json::read(row.text(2)?)?);
                let Some((first, rest)) = path.split_first() else { return Ok(Some(json.to_string())) };
                let set = at(json, first, rest, 1, &mut |_| Ok(Some(vec![new.clone()])), create)?;
                Ok(Some(set.to_string()))
            })
        })
        .describe(is_jsonb)
        .udf(),
        Function::new("jsonb_insert", json_path_value_flag, text, |args| {
            texts(args, |row| {
                let json = Json::read(row.text(0)?)?;
                let after = row.len() > 3 && row.boolean(3)?;
                if json.is_scalar() {
                    return Err(error(ErrorKind::InvalidParameter, "cannot set path in scalar"));
                }
                let (path, new) = (path(row)?, Json::read(row.text(2)?)?);
                let Some((first, rest)) = path.split_first() else { return Ok(Some(json.to_string())) };
                let mut insert = |found: Place| match found {
                    Place::Key(_) => {
                        Err(ExecError::new(ErrorKind::InvalidParameter, "cannot replace existing key")
                            .with_hint("Try using the function jsonb_set to replace key value.")
                            .into())
                    }
                    Place::Element(old) if after => Ok(Some(vec![old, new.clone()])),
                    Place::Element(old) => Ok(Some(vec![new.clone(), old])),
                    Place::Missing => Ok(Some(vec![new.clone()])),
                };
                Ok(Some(at(json, first, rest, 1, &mut insert, true)?.to_string()))
            })
        })
        .describe(is_jsonb)
        .udf(),
        Function::new("jsonb_strip_nulls", one, text, |args| {
            texts(args, |row| Ok(Some(stripped(Json::read(row.text(0)?)?).to_string())))
        })
        .describe(is_jsonb)
        .udf(),
        Function::new("json_strip_nulls", one, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                Ok(Some(compact(&parse(source)?, source)))
            })
        })
        .describe(is_json)
        .udf(),
        Function::new("jsonb_pretty", one, text, |args| {
            texts(args, |row| Ok(Some(Json::read(row.text(0)?)?.pretty())))
        })
        .udf(),
    ]
}

fn json_path_value_flag(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [json, path, value, flag @ ..]
            if is_value(json)
                && is_list(path)
                && is_value(value)
                && flag.len() <= 1
                && flag
                    .iter()
                    .all(|flag| matches!(flag, DataType::Boolean | DataType::Utf8 | DataType::Null)) =>
        {
            let mut types = vec![DataType::Utf8View, text_array(), DataType::Utf8View];
            types.extend(flag.iter().map(|_| DataType::Boolean));
            Some(types)
        }
        _ => None,
    }
}

/// Objects are merged, arrays appended; what is neither is an array of itself.
fn concatenated(left: Json, right: Json) -> Result<Json> {
    Ok(match (left, right) {
        (Json::Object(left), Json::Object(right)) => Json::object(left.into_iter().chain(right)),
        (left, right) => {
            let elements = |json: Json| match json {
                Json::Array(elements) => elements,
                other => vec![other],
            };
            Json::Array(elements(left).into_iter().chain(elements(right)).collect())
        }
    })
}

fn without_keys(json: Json, keys: &[String]) -> Result<Json> {
    match json {
        Json::Object(pairs) => {
            Ok(Json::Object(pairs.into_iter().filter(|(key, _)| !keys.contains(key)).collect()))
        }
        Json::Array(elements) => {
            let kept = |element: &Json| !matches!(element, Json::String(text) if keys.contains(text));
            Ok(Json::Array(elements.into_iter().filter(kept).collect()))
        }
        _ => Err(error(ErrorKind::InvalidParameter, "cannot delete from scalar")),
    }
}

fn without_index(json: Json, index: i64) -> Result<Json> {
    match json {
        Json::Array(mut elements) => {
            if let Some(place) = place_of(index, elements.len()) {
                elements.remove(place);
            }
            Ok(Json::Array(elements))
        }
        Json::Object(_) => {
            Err(error(ErrorKind::InvalidParameter, "cannot delete from object using integer index"))
        }
        _ => Err(error(ErrorKind::InvalidParameter, "cannot delete from scalar")),
    }
}

/// A place in an array, from its end where the index is below 0.
fn place_of(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let place = if index < 0 { index.checked_add(length)? } else { index };
    usize::try_from(place).ok().filter(|_| place < length)
}

fn path(row: &Row<'_>) -> Result<Vec<String>> {
    row.text_list(1)?
        .into_iter()
        .zip(1..)
        .map(|(step, number)| {
            let message = format!("path element at position {number} is null");
            step.ok_or_else(|| error(ErrorKind::NullNotAllowed, message))
        })
        .collect()
}

/// What is at the end of a path.
enum Place {
    Key(#[expect(dead_code, reason = "what is replaced")] Json),
    Element(Json),
    Missing,
}

/// Puts what `change` gives, no values for none, in the place that a path leads to; where there is no such place, only
/// with `create`, and only at the path's end.
fn at(
    json: Json,
    step: &str,
    rest: &[String],
    number: usize,
    change: &mut dyn FnMut(Place) -> Result<Option<Vec<Json>>>,
    create: bool,
) -> Result<Json> {
    match json {
        Json::Object(pairs) => {
            let mut changed = Vec::with_capacity(pairs.len() + 1);
            let mut found = false;
            for (key, value) in pairs {
                if key != step {
                    changed.push((key, value));
                    continue;
                }
                found = true;
                match rest.split_first() {
                    Some((next, rest)) => {
                        changed.push((key, at(value, next, rest, number + 1, change, create)?));
                    }
                    None => {
                        let values = change(Place::Key(value))?.unwrap_or_default();
                        changed.extend(values.into_iter().map(|value| (key.clone(), value)));
                    }
                }
            }
            if !found && create && rest.is_empty() {
                let values = change(Place::Missing)?.unwrap_or_default();
                changed.extend(values.into_iter().map(|value| (step.to_owned(), value)));
            }
            Ok(Json::object(changed))
        }
        Json::Array(mut elements) => {
            let index: i64 = step.trim().parse().map_err(|_| {
                let message = format!("path element at position {number} is not an integer: \"{step}\"");
                error(ErrorKind::InvalidText, message)
            })?;
            let Some(place) = place_of(index, elements.len()) else {
                if create && rest.is_empty() {
                    let values = change(Place::Missing)?.unwrap_or_default();
                    let end = if index < 0 { 0 } else { elements.len() };
                    elements.splice(end..end, values);
                }
                return Ok(Json::Array(elements));
            };
            let old = elements.remove(place);
            let values = match rest.split_first() {
                Some((next, rest)) => vec![at(old, next, rest, number + 1, change, create)?],
                None => change(Place::Element(old))?.unwrap_or_default(),
            };
            elements.splice(place..place, values);
            Ok(Json::Array(elements))
        }
        scalar => Ok(scalar),
    }
}

fn stripped(json: Json) -> Json {
    match json {
        Json::Object(pairs) => Json::Object(
            pairs
                .into_iter()
                .filter(|(_, value)| *value != Json::Null)
                .map(|(key, value)| (key, stripped(value)))
                .collect(),
        ),
        Json::Array(elements) => Json::Array(elements.into_iter().map(stripped).collect()),
        other => other,
    }
}

/// `json` without its null fields, and without blanks.
fn compact(node: &Node, source: &str) -> String {
    match &node.kind {
        Kind::Array(elements) => {
            let parts: Vec<String> = elements.iter().map(|element| compact(element, source)).collect();
            format!("[{}]", parts.join(","))
        }
        Kind::Object(pairs) => {
            let kept = pairs.iter().filter(|(_, value)| value.kind != Kind::Null);
            let parts: Vec<String> =
                kept.map(|(key, value)| format!("{}:{}", quoted(key), compact(value, source))).collect();
            format!("{{{}}}", parts.join(","))
        }
        Kind::String(text) => quoted(text),
        _ => node.text(source).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::read(text).unwrap()
    }

    #[test]
    fn values_are_joined_and_parts_left_out() {
        assert_eq!(
            concatenated(json("{\"a\":1}"), json("{\"a\":2,\"b\":3}")).unwrap(),
            json("{\"a\":2,\"b\":3}")
        );
        assert_eq!(concatenated(json("1"), json("[2]")).unwrap(), json("[1,2]"));
        assert_eq!(without_index(json("[1,2,3]"), -1).unwrap(), json("[1,2]"));
        assert!(without_keys(json("1"), &["a".to_owned()]).is_err());
        assert_eq!(stripped(json("{\"a\":null,\"b\":[null,{\"c\":null}]}")), json("{\"b\":[null,{}]}"));
    }

    #[test]
    fn parts_are_set_where_a_path_leads() {
        let set = |text: &str, path: &[&str], create| {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            let (first, rest) = path.split_first().unwrap();
            at(json(text), first, rest, 1, &mut |_| Ok(Some(vec![json("9")])), create).unwrap()
        };
        assert_eq!(set("{\"a\":[1,2]}", &["a", "1"], true), json("{\"a\":[1,9]}"));
        assert_eq!(set("{\"a\":[1,2]}", &["a", "7"], true), json("{\"a\":[1,2,9]}"));
        assert_eq!(set("{\"a\":1}", &["b"], false), json("{\"a\":1}"));
        assert_eq!(set("{\"a\":1}", &["b", "c"], true), json("{\"a\":1}"));
    }
}
