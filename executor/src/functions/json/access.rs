//! Reading JSON, parts of it, and what is said about it.
//!
//! | function | gives |
//! |---|---|
//! | `json_in(text)`, `jsonb_in(text)` | the text, checked; for `jsonb` normalized |
//! | `json_get(j, key or index)`, `json_get_text` | `j -> key`, `j ->> key` |
//! | `json_get_path(j, path)`, `json_get_path_text` | `j #> path`, `j #>> path` |
//! | `jsonb_to_int8(j, type)` and its like | casts of `jsonb`; the type's name is for the error |
//! | `jsonb_order(a, b)` | -1, 0 or 1, as `a` comes before, with or after `b` |

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use super::parse::{Kind, Node, parse};
use super::value::Json;
use super::{as_first, boolean, is_json, is_jsonb, is_value, one, text, two, with_list};
use crate::error::ErrorKind;
use crate::functions::by_row::{Row, booleans, numerics, texts, values};
use crate::functions::cast::NATURAL_SCALE;
use crate::functions::function::{Function, error, is_int, is_text};
use crate::functions::input::{parse_float, parse_numeric};
use crate::functions::numeric_display::{NATURAL, NUMERIC_DISPLAY_KEY};
use crate::functions::type_names::{PG_TYPE_KEY, pg_field_type_name};

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = vec![
        Function::new("json_in", one, text, |args| {
            texts(args, |row| {
                parse(row.text(0)?)?;
                Ok(Some(row.text(0)?.to_owned()))
            })
        })
        .cast("json")
        .describe(is_json)
        .udf(),
        Function::new("jsonb_in", one, text, |args| {
            texts(args, |row| Ok(Some(Json::read(row.text(0)?)?.to_string())))
        })
        .cast("jsonb")
        .describe(is_jsonb)
        .udf(),
        Function::new("json_get", key_or_index, text, |args| {
            texts(args, |row| {
                let (source, steps) = (row.text(0)?, [step(row, args)?]);
                let root = parse(source)?;
                Ok(walk(&root, &steps).map(|node| node.text(source).to_owned()))
            })
        })
        .describe(as_first)
        .operator("->")
        .nullable()
        .udf(),
        Function::new("json_get_text", key_or_index, text, |args| {
            texts(args, |row| {
                let (source, steps) = (row.text(0)?, [step(row, args)?]);
                let root = parse(source)?;
                Ok(walk(&root, &steps).and_then(|node| node_text(node, source)))
            })
        })
        .operator("->>")
        .nullable()
        .udf(),
        Function::new("json_get_path", with_list, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                let (root, path) = (parse(source)?, path(row, 1)?);
                let found = path.as_ref().and_then(|path| walk(&root, path));
                Ok(found.map(|node| node.text(source).to_owned()))
            })
        })
        .describe(as_first)
        .operator("#>")
        .nullable()
        .udf(),
        Function::new("json_get_path_text", with_list, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                let (root, path) = (parse(source)?, path(row, 1)?);
                Ok(path.as_ref().and_then(|path| walk(&root, path)).and_then(|node| node_text(node, source)))
            })
        })
        .operator("#>>")
        .nullable()
        .udf(),
        Function::new("json_get_array", two, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                let root = parse(source)?;
                let found = walk(&root, &[Step::Key(row.text(1)?.to_owned())]);
                Ok(found.and_then(|node| array_literal(node, source)))
            })
        })
        .nullable()
        .udf(),
        Function::new("jsonb_contains", two, boolean, |args| {
            booleans(args, |row| Ok(Some(Json::read(row.text(0)?)?.contains(&Json::read(row.text(1)?)?))))
        })
        .operator("@>")
        .udf(),
        Function::new("jsonb_contained", two, boolean, |args| {
            booleans(args, |row| Ok(Some(Json::read(row.text(1)?)?.contains(&Json::read(row.text(0)?)?))))
        })
        .operator("<@")
        .udf(),
        Function::new("jsonb_exists", two, boolean, |args| {
            booleans(args, |row| Ok(Some(exists(&Json::read(row.text(0)?)?, row.text(1)?))))
        })
        .operator("?")
        .udf(),
        Function::new("jsonb_exists_any", with_list, boolean, |args| {
            booleans(args, |row| {
                let json = Json::read(row.text(0)?)?;
                Ok(Some(row.text_list(1)?.iter().flatten().any(|key| exists(&json, key))))
            })
        })
        .operator("?|")
        .udf(),
        Function::new("jsonb_exists_all", with_list, boolean, |args| {
            booleans(args, |row| {
                let json = Json::read(row.text(0)?)?;
                Ok(Some(row.text_list(1)?.iter().flatten().all(|key| exists(&json, key))))
            })
        })
        .operator("?&")
        .udf(),
        Function::new(
            "jsonb_order",
            two,
            |_, _| Ok(DataType::Int32),
            |args| {
                values::<Int32Type>(args, |row| {
                    let (left, right) = (row.text(0)?, row.text(1)?);
                    let order = if left == right {
                        std::cmp::Ordering::Equal
                    } else {
                        Json::read(left)?.order(&Json::read(right)?)
                    };
                    Ok(Some(match order {
                        std::cmp::Ordering::Less => -1,
                        std::cmp::Ordering::Equal => 0,
                        std::cmp::Ordering::Greater => 1,
                    }))
                })
            },
        )
        .udf(),
        Function::new("jsonb_to_bool", two, boolean, |args| {
            booleans(args, |row| match Json::read(row.text(0)?)? {
                Json::Bool(value) => Ok(Some(value)),
                other => Err(no_cast(&other, row.text(1)?)),
            })
        })
        .udf(),
        Function::new(
            "jsonb_to_int8",
            two,
            |_, _| Ok(DataType::Int64),
            |args| {
                values::<Int64Type>(args, |row| {
                    let rounded = parse_numeric(&number(row)?, 0)?;
                    let type_name = row.text(1)?;
                    let beyond = || error(ErrorKind::NumericOutOfRange, format!("{type_name} out of range"));
                    i64::try_from(rounded).map(Some).map_err(|_| beyond())
                })
            },
        )
        .udf(),
        Function::new(
            "jsonb_to_float8",
            two,
            |_, _| Ok(DataType::Float64),
            |args| values::<Float64Type>(args, |row| parse_float(&number(row)?).map(Some)),
        )
        .udf(),
        Function::new(
            "jsonb_to_numeric",
            two,
            |_, _| Ok(DataType::Decimal128(38, NATURAL_SCALE)),
            |args| numerics(args, |row| parse_numeric(&number(row)?, NATURAL_SCALE).map(Some)),
        )
        .describe(|_, _| Some((NUMERIC_DISPLAY_KEY, NATURAL.to_owned())))
        .udf(),
    ];
    for name in ["json_typeof", "jsonb_typeof"] {
        functions.push(Function::new(name, one, text, type_of).udf());
    }
    for name in ["json_array_length", "jsonb_array_length"] {
        functions.push(Function::new(name, one, |_, _| Ok(DataType::Int32), array_length).udf());
    }
    for name in ["json_extract_path", "jsonb_extract_path"] {
        let extract = Function::new(name, texts_only, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                let (root, steps) = (parse(source)?, rest(row)?);
                Ok(walk(&root, &steps).map(|node| node.text(source).to_owned()))
            })
        });
        let extract =
            if name == "json_extract_path" { extract.describe(is_json) } else { extract.describe(is_jsonb) };
        functions.push(extract.nullable().udf());
    }
    for name in ["json_extract_path_text", "jsonb_extract_path_text"] {
        let extract = Function::new(name, texts_only, text, |args| {
            texts(args, |row| {
                let source = row.text(0)?;
                let (root, steps) = (parse(source)?, rest(row)?);
                Ok(walk(&root, &steps).and_then(|node| node_text(node, source)))
            })
        });
        functions.push(extract.nullable().udf());
    }
    functions
}

fn key_or_index(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [json, key] if is_value(json) && (is_text(key) || key.is_null()) => {
            Some(vec![DataType::Utf8View, DataType::Utf8View])
        }
        [json, index] if is_value(json) && is_int(index) => Some(vec![DataType::Utf8View, DataType::Int64]),
        _ => None,
    }
}

fn texts_only(types: &[DataType]) -> Option<Vec<DataType>> {
    (!types.is_empty() && types.iter().all(is_value)).then(|| vec![DataType::Utf8View; types.len()])
}

/// `j['a'][0]` of `jsonb`; other texts have no subscripts.
///
/// # Errors
/// 42804 for text that is no `jsonb`.
pub(crate) fn subscripted(args: &ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue> {
    let field = args.arg_fields.first();
    if field.and_then(|field| field.metadata().get(PG_TYPE_KEY)).is_none_or(|name| name != "jsonb") {
        let name = field.map_or_else(|| "text".to_owned(), |field| pg_field_type_name(field));
        let message = format!("cannot subscript type {name} because it does not support subscripting");
        return Err(error(ErrorKind::DatatypeMismatch, message));
    }
    texts(args, |row| {
        let source = row.text(0)?;
        let (root, steps) = (parse(source)?, rest(row)?);
        Ok(walk(&root, &steps).map(|node| node.text(source).to_owned()))
    })
}

/// A step into a value: a key, or a place in an array from its beginning or, below 0, from its end.
enum Step {
    Key(String),
    Index(i64),
    /// A key, or an index where there is an array.
    Either(String),
}

fn step(row: &Row<'_>, args: &ScalarFunctionArgs) -> Result<Step> {
    let is_index = args.arg_fields.get(1).is_some_and(|field| is_int(field.data_type()));
    Ok(if is_index { Step::Index(row.long(1)?) } else { Step::Key(row.text(1)?.to_owned()) })
}

/// `None` where an element of the path is NULL.
fn path(row: &Row<'_>, index: usize) -> Result<Option<Vec<Step>>> {
    Ok(row.text_list(index)?.into_iter().map(|step| step.map(Step::Either)).collect())
}

fn rest(row: &Row<'_>) -> Result<Vec<Step>> {
    (1..row.len()).map(|index| Ok(Step::Either(row.text(index)?.to_owned()))).collect()
}

/// Where the steps lead.
fn walk<'a>(root: &'a Node, steps: &[Step]) -> Option<&'a Node> {
    steps.iter().try_fold(root, |node, step| {
        let index = match (&node.kind, step) {
            (Kind::Object(pairs), Step::Key(key) | Step::Either(key)) => {
                return pairs.iter().rev().find(|(own, _)| own == key).map(|(_, value)| value);
            }
            (Kind::Array(_), Step::Index(index)) => *index,
            (Kind::Array(_), Step::Either(text)) => text.trim().parse::<i64>().ok()?,
            _ => return None,
        };
        let Kind::Array(elements) = &node.kind else { return None };
        let length = i64::try_from(elements.len()).ok()?;
        let place = if index < 0 { index.checked_add(length)? } else { index };
        elements.get(usize::try_from(place).ok()?)
    })
}

/// As `->>` gives it: strings bare, NULL for `null`.
fn node_text(node: &Node, source: &str) -> Option<String> {
    match &node.kind {
        Kind::Null => None,
        Kind::String(text) => Some(text.clone()),
        _ => Some(node.text(source).to_owned()),
    }
}

/// An array of JSON as a literal of PostgreSQL's arrays; strings are such literals themselves.
fn array_literal(node: &Node, source: &str) -> Option<String> {
    match &node.kind {
        Kind::Array(elements) => {
            let parts = elements.iter().map(|element| match &element.kind {
                Kind::Null => "NULL".to_owned(),
                Kind::Array(_) => array_literal(element, source).unwrap_or_default(),
                _ => {
                    let text = node_text(element, source).unwrap_or_default();
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                }
            });
            Some(format!("{{{}}}", parts.collect::<Vec<_>>().join(",")))
        }
        _ => node_text(node, source),
    }
}

/// Whether a text is a key, or an element that is a string.
fn exists(json: &Json, key: &str) -> bool {
    let is = |value: &Json| matches!(value, Json::String(text) if text == key);
    match json {
        Json::Array(elements) => elements.iter().any(is),
        Json::Object(_) => json.get(key).is_some(),
        scalar => is(scalar),
    }
}

fn no_cast(json: &Json, type_name: &str) -> datafusion::error::DataFusionError {
    let kind = match json {
        Json::Number(_) => "numeric",
        other => other.type_name(),
    };
    error(ErrorKind::InvalidParameter, format!("cannot cast jsonb {kind} to type {type_name}"))
}

fn number(row: &Row<'_>) -> Result<String> {
    match Json::read(row.text(0)?)? {
        Json::Number(digits) => Ok(digits),
        other => Err(no_cast(&other, row.text(1)?)),
    }
}

fn type_of(args: &ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue> {
    texts(args, |row| Ok(Some(Json::read(row.text(0)?)?.type_name().to_owned())))
}

fn array_length(args: &ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue> {
    values::<Int32Type>(args, |row| match parse(row.text(0)?)?.kind {
        Kind::Array(elements) => Ok(i32::try_from(elements.len()).ok()),
        Kind::Object(_) => Err(error(ErrorKind::InvalidParameter, "cannot get array length of a non-array")),
        _ => Err(error(ErrorKind::InvalidParameter, "cannot get array length of a scalar")),
    })
}
