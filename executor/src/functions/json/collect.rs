//! The results of JSON's aggregates, made of what `array_agg` collected.
//!
//! | aggregate | becomes |
//! |---|---|
//! | `json_agg(x)` | `json_list(array_agg(json_agg_element(x)))` |
//! | `json_agg(DISTINCT x)` | `json_list_of(array_agg(DISTINCT x))` |
//! | `json_object_agg(k, v)` | `json_pairs(array_agg(json_agg_pair(k, v)))` |

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use super::build::value;
use super::value::Json;
use super::{is_json, is_jsonb, text};
use crate::functions::arrays::shape::{Arrays, is_array};
use crate::functions::function::{Function, arg, internal, over_arrays};
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let evaluate: [(&str, &str, Collect); 3] = [
        ("json_list", "jsonb_list", |args| over_arrays(args, |arrays| collected(arrays, args, list))),
        ("json_list_of", "jsonb_list_of", |args| over_arrays(args, |arrays| elements(arrays, args))),
        ("json_pairs", "jsonb_pairs", |args| over_arrays(args, |arrays| collected(arrays, args, pairs))),
    ];
    let mut functions = Vec::new();
    for (json, jsonb, evaluate) in evaluate {
        functions.push(Function::new(json, one_array, text, evaluate).describe(is_json).udf());
        functions.push(Function::new(jsonb, one_array, text, evaluate).describe(is_jsonb).udf());
    }
    functions
}

type Collect = fn(&ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue>;

fn one_array(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [array] if is_array(array) => Some(types.to_vec()),
        _ => None,
    }
}

fn list(parts: &[&str]) -> String {
    let mut out = String::from("[");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(if index == 0 { part.trim_start() } else { part });
    }
    out.push(']');
    out
}

fn pairs(parts: &[&str]) -> String {
    format!("{{ {} }}", parts.join(", "))
}

fn normal(built: String, args: &ScalarFunctionArgs) -> Result<String> {
    let binary = args.return_field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == "jsonb");
    if binary { Ok(Json::read(&built)?.to_string()) } else { Ok(built) }
}

/// Texts that are JSON already.
fn collected(
    arrays: &[ArrayRef],
    args: &ScalarFunctionArgs,
    join: fn(&[&str]) -> String,
) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let texts = lists.elements().as_string_view_opt().ok_or_else(|| internal("an element is no text"))?;
    let mut found = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let built = lists.get(row).map(|list| {
            let parts: Vec<&str> = list
                .range
                .map(|place| if texts.is_null(place) { "null" } else { texts.value(place) })
                .collect();
            normal(join(&parts), args)
        });
        found.push(built.transpose()?);
    }
    Ok(Arc::new(found.into_iter().collect::<StringViewArray>()))
}

/// Values of any type.
fn elements(arrays: &[ArrayRef], args: &ScalarFunctionArgs) -> Result<ArrayRef> {
    let lists = Arrays::of(arg(arrays, 0)?)?;
    let field = Field::new("element", lists.elements().data_type().clone(), true);
    let mut found = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let built = lists.get(row).map(|list| {
            let parts = list.range.map(|place| value(lists.elements(), &field, place));
            let parts = parts.collect::<Result<Vec<_>>>()?;
            normal(format!("[{}]", parts.join(", ")), args)
        });
        found.push(built.transpose()?);
    }
    Ok(Arc::new(found.into_iter().collect::<StringViewArray>()))
}
