//! `json` and `jsonb`: both are text inside, `jsonb` in the one form that PostgreSQL prints it in.
//!
//! ```text
//! text ─ parse ─▶ Node, which knows where it stands (json) ─▶ Json, normalized (jsonb) ─▶ text
//! ```

mod access;
mod build;
mod change;
mod collect;
pub mod parse;
mod sets;
pub mod value;

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ReturnFieldArgs, ScalarUDF};

use crate::functions::arrays::shape::{item_of, list_of};
use crate::functions::by_row::{Takes, take};
use crate::functions::function::is_text;
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) use access::subscripted;

/// All functions.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = access::functions();
    functions.extend(build::functions());
    functions.extend(change::functions());
    functions.extend(collect::functions());
    functions.extend(sets::functions());
    functions
}

fn text(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Utf8View)
}

fn boolean(_: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(DataType::Boolean)
}

fn one(types: &[DataType]) -> Option<Vec<DataType>> {
    take(types, &[Takes::Text], 0)
}

fn two(types: &[DataType]) -> Option<Vec<DataType>> {
    take(types, &[Takes::Text, Takes::Text], 0)
}

/// A JSON value and an array of texts.
fn with_list(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [json, list] if is_value(json) && is_list(list) => Some(vec![DataType::Utf8View, texts()]),
        _ => None,
    }
}

fn texts() -> DataType {
    list_of(DataType::Utf8View)
}

fn is_value(data_type: &DataType) -> bool {
    is_text(data_type) || data_type.is_null()
}

/// Whether the type is one of arrays of text, or a literal that can be one.
fn is_list(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Null)
        || item_of(data_type).is_some_and(|item| is_value(item))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the descriptions that functions take")]
fn is_json(_: &ReturnFieldArgs, _: &DataType) -> Option<(&'static str, String)> {
    Some((PG_TYPE_KEY, "json".to_owned()))
}

#[expect(clippy::unnecessary_wraps, reason = "one of the descriptions that functions take")]
fn is_jsonb(_: &ReturnFieldArgs, _: &DataType) -> Option<(&'static str, String)> {
    Some((PG_TYPE_KEY, "jsonb".to_owned()))
}

/// `jsonb` where the first argument is, `json` otherwise.
fn as_first(args: &ReturnFieldArgs, data_type: &DataType) -> Option<(&'static str, String)> {
    let first = args.arg_fields.first().and_then(|field| field.metadata().get(PG_TYPE_KEY));
    if first.is_some_and(|name| name == "jsonb") {
        is_jsonb(args, data_type)
    } else {
        is_json(args, data_type)
    }
}
