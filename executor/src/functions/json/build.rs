//! JSON made of SQL values: `to_json`, `json_build_object`, `json_build_array`, `json_object` and their like.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

use super::value::{Json, quoted};
use super::{is_json, is_jsonb, is_list, text, texts as text_array};
use crate::error::{ErrorKind, ExecError};
use crate::functions::arrays::shape::{Arrays, is_array, item_of};
use crate::functions::by_row::texts;
use crate::functions::function::{Function, error};
use crate::functions::text_of::text_of;
use crate::functions::type_names::PG_TYPE_KEY;

pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let builders = [
        ("json_build_object", Shape::Object, false),
        ("json_build_array", Shape::Array, false),
        ("jsonb_build_object", Shape::Object, true),
        ("jsonb_build_array", Shape::Array, true),
        ("to_json", Shape::Value, false),
        ("to_jsonb", Shape::Value, true),
        ("row_to_json", Shape::Value, false),
        ("array_to_json", Shape::Value, false),
        // As an element of an aggregate: arrays and records stand on lines of their own.
        ("json_agg_element", Shape::Element, false),
        ("jsonb_agg_element", Shape::Value, true),
        ("json_agg_pair", Shape::Pair, false),
    ];
    let mut functions: Vec<Arc<ScalarUDF>> = builders
        .into_iter()
        .map(|(name, shape, binary)| Arc::new(ScalarUDF::from(JsonBuild::new(name, shape, binary))))
        .collect();
    for name in ["json_object", "jsonb_object"] {
        let function = Function::new(
            name,
            |types| match types {
                [pairs] if is_list(pairs) => Some(vec![text_array()]),
                [keys, values] if is_list(keys) && is_list(values) => Some(vec![text_array(), text_array()]),
                _ => None,
            },
            text,
            |args| {
                texts(args, |row| {
                    let first = row.text_list(0)?;
                    let (keys, values): (Vec<_>, Vec<_>) = if row.len() == 2 {
                        (first, row.text_list(1)?)
                    } else {
                        if first.len() % 2 == 1 {
                            let message = "array must have even number of elements";
                            return Err(error(ErrorKind::ArraySubscript, message));
                        }
                        let every_second = |start: usize| first.iter().skip(start).step_by(2).cloned();
                        (every_second(0).collect(), every_second(1).collect())
                    };
                    if keys.len() != values.len() {
                        return Err(error(ErrorKind::ArraySubscript, "mismatched array dimensions"));
                    }
                    let pairs = keys.into_iter().zip(values).map(|(key, value)| {
                        let null =
                            || error(ErrorKind::NullNotAllowed, "null value not allowed for object key");
                        let value = value.map_or_else(|| "null".to_owned(), |value| quoted(&value));
                        Ok(format!("{} : {value}", quoted(&key.ok_or_else(null)?)))
                    });
                    let object = format!("{{{}}}", pairs.collect::<Result<Vec<_>>>()?.join(", "));
                    let binary =
                        args.return_field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == "jsonb");
                    Ok(Some(if binary { Json::read(&object)?.to_string() } else { object }))
                })
            },
        );
        functions.push(
            if name == "json_object" { function.describe(is_json) } else { function.describe(is_jsonb) }
                .udf(),
        );
    }
    functions
}

/// What is built of the arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    Object,
    Array,
    /// The one argument itself; NULL stays NULL.
    Value,
    /// An element of an array: NULL is `null`.
    Element,
    /// `"key" : value`
    Pair,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonBuild {
    name: &'static str,
    shape: Shape,
    binary: bool,
    signature: Signature,
}

impl JsonBuild {
    fn new(name: &'static str, shape: Shape, binary: bool) -> Self {
        let taken = match shape {
            Shape::Object | Shape::Array => {
                TypeSignature::OneOf(vec![TypeSignature::VariadicAny, TypeSignature::Nullary])
            }
            Shape::Value | Shape::Element if name == "row_to_json" || name == "array_to_json" => {
                TypeSignature::OneOf(vec![TypeSignature::Any(1), TypeSignature::Any(2)])
            }
            Shape::Value | Shape::Element => TypeSignature::Any(1),
            Shape::Pair => TypeSignature::Any(2),
        };
        Self { name, shape, binary, signature: Signature::new(taken, Volatility::Stable) }
    }

    fn row(&self, arguments: &[(ArrayRef, &FieldRef)], row: usize) -> Result<Option<String>> {
        let first = arguments.first();
        Ok(Some(match self.shape {
            Shape::Value | Shape::Element => {
                let Some((array, field)) = first else { return Ok(None) };
                let null = array.is_null(row) || array.data_type().is_null();
                if null && self.shape == Shape::Value && !self.name.ends_with("_element") {
                    return Ok(None);
                }
                let built = value(array, field, row)?;
                let structured =
                    !null && matches!(array.data_type(), DataType::List(_) | DataType::Struct(_));
                if structured && self.shape == Shape::Element { format!("\n {built}") } else { built }
            }
            Shape::Array => {
                let parts = arguments.iter().map(|(array, field)| value(array, field, row));
                format!("[{}]", parts.collect::<Result<Vec<_>>>()?.join(", "))
            }
            Shape::Object => {
                let mut parts = Vec::with_capacity(arguments.len() / 2);
                for (number, pair) in (1..).step_by(2).zip(arguments.chunks(2)) {
                    let [(keys, _), (values, field)] = pair else { return Err(self.odd().into()) };
                    let key = text_of(keys, row)?.ok_or_else(|| null_key(number))?;
                    parts.push(format!("{} : {}", quoted(&key), value(values, field, row)?));
                }
                format!("{{{}}}", parts.join(", "))
            }
            Shape::Pair => {
                let [(keys, _), (values, field)] = arguments else { return Err(self.odd().into()) };
                let null = || error(ErrorKind::InvalidParameter, "field name must not be null");
                let key = text_of(keys, row)?.ok_or_else(null)?;
                format!("{} : {}", quoted(&key), value(values, field, row)?)
            }
        }))
    }

    fn odd(&self) -> ExecError {
        let hint = format!("The arguments of {}() must consist of alternating keys and values.", self.name);
        ExecError::new(ErrorKind::InvalidParameter, "argument list must have even number of elements")
            .with_hint(hint)
    }
}

impl ScalarUDFImpl for JsonBuild {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = if self.binary { "jsonb" } else { "json" };
        let metadata = HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]);
        Ok(Arc::new(Field::new(self.name, DataType::Utf8View, true).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = args.args.iter().zip(&args.arg_fields);
        let arguments = arguments
            .map(|(argument, field)| Ok((argument.to_array(args.number_rows)?, field)))
            .collect::<Result<Vec<_>>>()?;
        if self.shape == Shape::Object && arguments.len() % 2 == 1 {
            return Err(self.odd().into());
        }
        let mut builder = StringViewBuilder::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let built = self.row(&arguments, row)?;
            let normal = |built: String| -> Result<String> {
                if self.binary { Ok(Json::read(&built)?.to_string()) } else { Ok(built) }
            };
            builder.append_option(built.map(normal).transpose()?);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

fn null_key(number: usize) -> ExecError {
    ExecError::new(ErrorKind::InvalidParameter, format!("argument {number} cannot be null"))
        .with_hint("Object keys should be text.")
}

/// A value as JSON: numbers and booleans plain, arrays as arrays, records as objects, JSON as it is, everything else as a
/// string.
pub(super) fn value(array: &ArrayRef, field: &Field, row: usize) -> Result<String> {
    if array.is_null(row) || array.data_type().is_null() {
        return Ok("null".into());
    }
    let name = field.metadata().get(PG_TYPE_KEY).map(String::as_str);
    if let Some(item) = item_of(array.data_type()).filter(|_| is_array(array.data_type())) {
        let arrays = Arrays::of(array)?;
        let Some(found) = arrays.get(row) else { return Ok("null".into()) };
        let mut element = Field::new("element", item.clone(), true);
        if let Some(name) = name.and_then(|name| name.strip_suffix("[]")) {
            element = element.with_metadata([(PG_TYPE_KEY.to_owned(), name.to_owned())].into());
        }
        let texts = found.range.map(|place| value(arrays.elements(), &element, place));
        return Ok(nested(found.dimensions.lengths(), &texts.collect::<Result<Vec<_>>>()?));
    }
    if let Some(record) = array.as_struct_opt() {
        let fields = record.fields().iter().zip(record.columns());
        let parts = fields.map(|(field, column)| {
            Ok(format!("{}:{}", quoted(&field_name(field.name())), value(column, field, row)?))
        });
        return Ok(format!("{{{}}}", parts.collect::<Result<Vec<_>>>()?.join(",")));
    }
    let Some(text) = text_of(array, row)? else { return Ok("null".into()) };
    // Infinities and NaN are no JSON numbers.
    let is_number = array.data_type().is_numeric() && text.ends_with(|last: char| last.is_ascii_digit());
    let is_reg = name.is_some_and(|name| name.starts_with("reg"));
    Ok(match array.data_type() {
        _ if matches!(name, Some("json" | "jsonb")) => text,
        DataType::Boolean => text,
        _ if is_number && !is_reg => text,
        // Between date and time JSON has a T; an offset has minutes.
        DataType::Timestamp(_, zone) => {
            let iso = text.replacen(' ', "T", 1);
            let whole = zone.is_some() && iso.len() >= 3 && iso.as_bytes().get(iso.len() - 3) == Some(&b'+');
            quoted(&if whole { format!("{iso}:00") } else { iso })
        }
        _ => quoted(&text),
    })
}

/// Fields of records without names are `f1`, `f2` and so on.
fn field_name(name: &str) -> String {
    match name.strip_prefix('c').and_then(|number| number.parse::<usize>().ok()) {
        Some(number) => format!("f{}", number + 1),
        None => name.to_owned(),
    }
}

/// Elements in the brackets of their dimensions.
fn nested(lengths: &[i32], elements: &[String]) -> String {
    match lengths {
        [] | [_] => format!("[{}]", elements.join(",")),
        [length, inner @ ..] => {
            let count = usize::try_from(*length).unwrap_or(0).max(1);
            let parts = elements.chunks((elements.len() / count).max(1)).map(|part| nested(inner, part));
            format!("[{}]", parts.collect::<Vec<_>>().join(","))
        }
    }
}
