//! `json_build_object` and `json_build_array`, which reflection queries use to answer with one column.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use crate::error::{ErrorKind, ExecError};
use crate::functions::text_of::text_of;
use crate::functions::type_names::PG_TYPE_KEY;

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct JsonBuild {
    name: &'static str,
    is_object: bool,
    signature: Signature,
}

impl JsonBuild {
    /// All of them.
    pub(crate) fn all() -> [Self; 2] {
        let signature = || {
            Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], Volatility::Stable)
        };
        [
            Self { name: "json_build_object", is_object: true, signature: signature() },
            Self { name: "json_build_array", is_object: false, signature: signature() },
        ]
    }

    fn row(&self, arguments: &[(ArrayRef, &FieldRef)], row: usize) -> Result<String> {
        let mut parts = Vec::with_capacity(arguments.len());
        if !self.is_object {
            for (array, field) in arguments {
                parts.push(value(array, field, row)?);
            }
            return Ok(format!("[{}]", parts.join(", ")));
        }
        for (number, pair) in (1..).step_by(2).zip(arguments.chunks(2)) {
            let [(keys, _), (values, field)] = pair else { return Err(odd().into()) };
            let key = text_of(keys, row)?.ok_or_else(|| null_key(number))?;
            parts.push(format!("{} : {}", quote(&key), value(values, field, row)?));
        }
        Ok(format!("{{{}}}", parts.join(", ")))
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
        let metadata = HashMap::from([(PG_TYPE_KEY.to_owned(), "json".to_owned())]);
        Ok(Arc::new(Field::new(self.name, DataType::Utf8View, false).with_metadata(metadata)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arguments = args.args.iter().zip(&args.arg_fields);
        let arguments = arguments
            .map(|(argument, field)| Ok((argument.to_array(args.number_rows)?, field)))
            .collect::<Result<Vec<_>>>()?;
        if self.is_object && arguments.len() % 2 == 1 {
            return Err(odd().into());
        }
        let mut builder = StringViewBuilder::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            builder.append_value(self.row(&arguments, row)?);
        }
        Ok(ColumnarValue::Array(Arc::new(builder.finish())))
    }
}

fn odd() -> ExecError {
    ExecError::new(ErrorKind::InvalidParameter, "argument list must have even number of elements")
}

fn null_key(number: usize) -> ExecError {
    ExecError::new(ErrorKind::InvalidParameter, format!("argument {number} cannot be null"))
}

/// A value as JSON: numbers and booleans plain, arrays as arrays, JSON as it is, everything else as a string.
fn value(array: &ArrayRef, field: &Field, row: usize) -> Result<String> {
    if array.is_null(row) {
        return Ok("null".into());
    }
    if let DataType::List(element) = array.data_type() {
        let items = array.as_list::<i32>().value(row);
        let items =
            (0..items.len()).map(|index| value(&items, element, index)).collect::<Result<Vec<_>>>()?;
        return Ok(format!("[{}]", items.join(",")));
    }
    let Some(text) = text_of(array, row)? else { return Ok("null".into()) };
    let is_json = matches!(field.metadata().get(PG_TYPE_KEY).map(String::as_str), Some("json" | "jsonb"));
    // Infinities and NaN are no JSON numbers.
    let is_number = array.data_type().is_numeric() && text.ends_with(|last: char| last.is_ascii_digit());
    Ok(if is_json || is_number || *array.data_type() == DataType::Boolean { text } else { quote(&text) })
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            control if u32::from(control) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quote("a\"b\\c\n\u{1}ö"), "\"a\\\"b\\\\c\\n\\u0001ö\"");
    }
}
