//! The sets that JSON is taken apart to, as arrays for the planner to unnest.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, StringViewBuilder, StructArray};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use super::parse::{Kind, Node, parse};
use super::value::Json;
use super::{one, texts as text_array};
use crate::error::ErrorKind;
use crate::functions::by_row::text_arrays;
use crate::functions::function::{Function, arg, error, internal, over_arrays};

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = Vec::new();
    let lists: [(&'static str, Evaluate); 6] = [
        ("json_array_elements_list", |args| elements(args, "json_array_elements", false)),
        ("json_array_elements_text_list", |args| elements(args, "json_array_elements_text", true)),
        ("jsonb_array_elements_list", |args| elements(args, "jsonb_array_elements", false)),
        ("jsonb_array_elements_text_list", |args| elements(args, "jsonb_array_elements_text", true)),
        ("json_object_keys_list", |args| keys(args, "json_object_keys")),
        ("jsonb_object_keys_list", |args| keys(args, "jsonb_object_keys")),
    ];
    for (name, evaluate) in lists {
        functions.push(Function::new(name, one, |_, _| Ok(text_array()), evaluate).udf());
    }
    let pairs: [(&'static str, Evaluate); 4] = [
        ("json_each_list", |args| each(args, "json_each", false)),
        ("json_each_text_list", |args| each(args, "json_each_text", true)),
        ("jsonb_each_list", |args| each(args, "jsonb_each", false)),
        ("jsonb_each_text_list", |args| each(args, "jsonb_each_text", true)),
    ];
    for (name, evaluate) in pairs {
        functions.push(Function::new(name, one, |_, _| Ok(records()), evaluate).udf());
    }
    functions
}

type Evaluate = fn(&ScalarFunctionArgs) -> Result<ColumnarValue>;

fn pair_fields() -> Fields {
    Fields::from(vec![
        Field::new("key", DataType::Utf8View, true),
        Field::new("value", DataType::Utf8View, true),
    ])
}

fn records() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(DataType::Struct(pair_fields()), true)))
}

fn refuse<T>(message: String) -> Result<T> {
    Err(error(ErrorKind::InvalidParameter, message))
}

/// A text as its type has it: `jsonb` without blanks and repeated keys.
fn source(text: &str, name: &str) -> Result<String> {
    if name.starts_with("jsonb") { Ok(Json::read(text)?.to_string()) } else { Ok(text.to_owned()) }
}

fn shown(node: &Node, source: &str, as_text: bool) -> Option<String> {
    match (&node.kind, as_text) {
        (Kind::Null, true) => None,
        (Kind::String(text), true) => Some(text.clone()),
        _ => Some(node.text(source).to_owned()),
    }
}

fn elements(args: &ScalarFunctionArgs, name: &str, as_text: bool) -> Result<ColumnarValue> {
    text_arrays(args, |row| {
        let source = source(row.text(0)?, name)?;
        match parse(&source)?.kind {
            Kind::Array(elements) => {
                Ok(Some(elements.iter().map(|node| shown(node, &source, as_text)).collect()))
            }
            Kind::Object(_) if name.starts_with("jsonb") => {
                refuse("cannot extract elements from an object".to_owned())
            }
            _ if name.starts_with("jsonb") => refuse("cannot extract elements from a scalar".to_owned()),
            Kind::Object(_) => refuse(format!("cannot call {name} on a non-array")),
            _ => refuse(format!("cannot call {name} on a scalar")),
        }
    })
}

fn keys(args: &ScalarFunctionArgs, name: &str) -> Result<ColumnarValue> {
    text_arrays(args, |row| match parse(&source(row.text(0)?, name)?)?.kind {
        Kind::Object(pairs) => Ok(Some(pairs.into_iter().map(|(key, _)| Some(key)).collect())),
        Kind::Array(_) => refuse(format!("cannot call {name} on an array")),
        _ => refuse(format!("cannot call {name} on a scalar")),
    })
}

fn each(args: &ScalarFunctionArgs, name: &str, as_text: bool) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let texts = arg(arrays, 0)?.as_string_view_opt().ok_or_else(|| internal("JSON is no text"))?;
        let (mut keys, mut values) = (StringViewBuilder::new(), StringViewBuilder::new());
        let mut lengths = Vec::with_capacity(texts.len());
        for text in texts {
            let Some(text) = text else {
                lengths.push(0);
                continue;
            };
            let source = source(text, name)?;
            match parse(&source)?.kind {
                Kind::Object(pairs) => {
                    lengths.push(pairs.len());
                    for (key, node) in &pairs {
                        keys.append_value(key);
                        values.append_option(shown(node, &source, as_text));
                    }
                }
                _ if name.starts_with("jsonb") => {
                    return refuse(format!("cannot call {name} on a non-object"));
                }
                Kind::Array(_) => return refuse("cannot deconstruct an array as an object".to_owned()),
                _ => return refuse("cannot deconstruct a scalar".to_owned()),
            }
        }
        let columns: Vec<ArrayRef> = vec![Arc::new(keys.finish()), Arc::new(values.finish())];
        let records = StructArray::try_new(pair_fields(), columns, None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(pair_fields()), true));
        let nulls: NullBuffer = texts.iter().map(|text| text.is_some()).collect();
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(records), Some(nulls))?))
    })
}
