//! Bind parameters to DataFusion scalars: what PostgreSQL's input and receive functions accept.
//!
//! ```text
//! (bytes, format, type OID) ──decode_param──▶ ScalarValue of arrow_type(OID)
//! ```
//!
//! A `numeric` gets the precision and scale of its own digits, as `Decimal128` or, beyond 38 digits,
//! `Decimal256`. An unknown type is text.

use super::binary::{JSONB_VERSION, date_from_binary, timestamp_from_binary};
use super::numeric_text::{Numeric, NumericError};
use super::scalar_input::{parse_bool, parse_bytea, parse_char, parse_float, parse_integer, parse_name};
use super::settings::OutputSettings;
use super::text::write_uuid;
use super::types::{PgColumnType, arrow_type, element_type, is_vector, oid};
use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, i256};
use bytes::{Buf, BytesMut};
use datafusion::common::ScalarValue;
use pgwire::api::results::FieldFormat;
use quickdb_executor::datetime::calendar::{
    DATE_END, DATE_INFINITY, DATE_MIN, DATE_MINUS_INFINITY, MICROS_PER_DAY, TIMESTAMP_END,
    TIMESTAMP_INFINITY, TIMESTAMP_MIN, TIMESTAMP_MINUS_INFINITY,
};
use quickdb_executor::datetime::input::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use quickdb_executor::datetime::{Interval, parse_interval};
use quickdb_executor::functions::arrays::literal::ArrayText;
use quickdb_executor::functions::arrays::shape::{ArraysBuilder, DIMENSIONS_MAX, Dimensions, multi_of};
use std::sync::Arc;

pub use super::input_error::InputError;
pub(crate) use super::json_input::{check_json, normal_json};
pub use super::scalar_input::parse_uuid;

/// What the reading of values depends on besides their bytes.
#[derive(Debug, Clone)]
pub struct InputContext {
    /// `DateStyle`'s order, `IntervalStyle` and `TimeZone` matter to dates, times and intervals.
    pub settings: Arc<OutputSettings>,
    /// Start of the transaction, in microseconds since 1970-01-01 UTC: what `now` and `today` mean.
    pub now_micros: i64,
}

/// Reads a parameter of a Bind message: `param_number` counts from 1 and is for messages only; `value` is `None`
/// for NULL; `type_oid` is the declared or inferred type, 0 or `unknown` where there is none.
///
/// # Errors
/// [`InputError`] with PostgreSQL's code and message.
pub fn decode_param(
    param_number: usize,
    value: Option<&[u8]>,
    format: FieldFormat,
    type_oid: u32,
    context: &InputContext,
) -> Result<ScalarValue, InputError> {
    let Some(bytes) = value else { return null_of(type_oid) };
    match format {
        FieldFormat::Text => parse_text(utf8(bytes)?, type_oid, context),
        FieldFormat::Binary => from_binary(param_number, bytes, type_oid),
    }
}

/// The formats of all parameters from those in a Bind message: none is text, one is for all.
///
/// # Errors
/// 08P01 for another number of formats than of parameters, 22023 for a code that is no format.
pub fn parameter_formats(codes: &[i16], param_count: usize) -> Result<Vec<FieldFormat>, InputError> {
    let format = |code: &i16| match code {
        0 => Ok(FieldFormat::Text),
        1 => Ok(FieldFormat::Binary),
        other => Err(InputError::new("22023", format!("unsupported format code: {other}"))),
    };
    match codes {
        [] => Ok(vec![FieldFormat::Text; param_count]),
        [one] => Ok(vec![format(one)?; param_count]),
        many if many.len() == param_count => many.iter().map(format).collect(),
        many => Err(InputError::new(
            "08P01",
            format!("bind message has {} parameter formats but {param_count} parameters", many.len()),
        )),
    }
}

fn null_of(type_oid: u32) -> Result<ScalarValue, InputError> {
    match type_oid {
        0 | oid::UNKNOWN | oid::VOID => Ok(ScalarValue::Null),
        type_oid => {
            let data_type = arrow_type(type_oid).ok_or_else(|| unsupported(type_oid))?;
            ScalarValue::try_new_null(&data_type).map_err(|_| unsupported(type_oid))
        }
    }
}

fn unsupported(type_oid: u32) -> InputError {
    match PgColumnType::of_oid(type_oid) {
        Some(pg_type) => {
            InputError::not_supported(format!("parameters of type {} are not supported", pg_type.name))
        }
        None => {
            InputError::not_supported(format!("parameters of the type with OID {type_oid} are not supported"))
        }
    }
}

/// Bytes as text: valid UTF-8 without zero bytes.
///
/// # Errors
/// 22021 with the bytes that are wrong.
pub fn utf8(bytes: &[u8]) -> Result<&str, InputError> {
    let invalid = |bytes: &[u8]| {
        let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
        let shown = shown.join(" ");
        InputError::new("22021", format!("invalid byte sequence for encoding \"UTF8\": {shown}"))
    };
    let checked = std::str::from_utf8(bytes);
    let valid_len = checked.as_ref().map_or_else(std::str::Utf8Error::valid_up_to, |text| text.len());
    if bytes.iter().take(valid_len).any(|byte| *byte == 0) {
        return Err(invalid(&[0]));
    }
    checked.map_err(|_| {
        // As many bytes as the first of the sequence announces.
        let sequence = bytes.get(valid_len..).unwrap_or_default();
        let announced = match sequence.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..=0xf7) => 4,
            _ => 1,
        };
        invalid(sequence.get(..announced.min(sequence.len())).unwrap_or_default())
    })
}

/// Reads the text form of a value, as a cast of a literal does.
///
/// # Errors
/// [`InputError`] with PostgreSQL's code and message.
pub fn parse_text(text: &str, type_oid: u32, context: &InputContext) -> Result<ScalarValue, InputError> {
    let settings = &context.settings.datetime;
    let now = context.now_micros;
    Ok(match type_oid {
        0 | oid::UNKNOWN | oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::CSTRING => string(text),
        oid::JSON => {
            super::json_input::check_json(text)?;
            string(text)
        }
        oid::JSONB => string(&normal_json(text)?),
        oid::BOOL => ScalarValue::Boolean(Some(parse_bool(text)?)),
        oid::INT2 => ScalarValue::Int16(Some(parse_integer(text, "smallint")?)),
        oid::INT4 => ScalarValue::Int32(Some(parse_integer(text, "integer")?)),
        oid::INT8 => ScalarValue::Int64(Some(parse_integer(text, "bigint")?)),
        oid::OID | oid::XID | oid::CID => ScalarValue::Int64(Some(parse_oid(text)?.into())),
        oid::FLOAT4 => ScalarValue::Float32(Some(parse_float(text, "real")?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(parse_float(text, "double precision")?)),
        oid::NUMERIC => {
            let numeric = Numeric::parse(text).map_err(|error| match error {
                NumericError::Syntax => InputError::syntax("numeric", text),
                NumericError::Overflow => numeric_overflow(),
            })?;
            decimal(&numeric)?
        }
        oid::NAME => string(parse_name(text)),
        oid::CHAR => string(&parse_char(text)),
        oid::BYTEA => ScalarValue::BinaryView(Some(parse_bytea(text)?)),
        oid::UUID => string(&uuid_text(parse_uuid(text)?)),
        oid::DATE => ScalarValue::Date32(Some(parse_date(text, settings, now)?)),
        oid::TIME => ScalarValue::Time64Microsecond(Some(parse_time(text, settings, now)?)),
        oid::TIMESTAMP => {
            ScalarValue::TimestampMicrosecond(Some(parse_timestamp(text, settings, now)?), None)
        }
        oid::TIMESTAMPTZ => timestamptz(parse_timestamptz(text, settings, now)?),
        oid::INTERVAL => interval(parse_interval(text, settings, None)?)?,
        vector if is_vector(vector) => parse_vector(text, vector, context)?,
        other => match element_type(other) {
            Some(element) => array_of_text(text, element.oid, context)?,
            None if arrow_type(other) == Some(DataType::Utf8View) => string(text),
            None => return Err(unsupported(other)),
        },
    })
}

fn string(text: &str) -> ScalarValue {
    ScalarValue::Utf8View(Some(text.to_owned()))
}

fn timestamptz(micros: i64) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(micros), Some(Arc::from("UTC")))
}

fn interval(interval: Interval) -> Result<ScalarValue, InputError> {
    Ok(ScalarValue::IntervalMonthDayNano(Some(interval.to_arrow()?)))
}

fn parse_oid(text: &str) -> Result<u32, InputError> {
    let value: i64 = parse_integer(text, "oid").map_err(|error| match error.sqlstate {
        "22003" => InputError::out_of_range("oid", text),
        _ => error,
    })?;
    // Negative numbers down to -2^31 wrap around, as in C.
    u32::try_from(value)
        .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
        .map_err(|_| InputError::out_of_range("oid", text))
}

fn numeric_overflow() -> InputError {
    InputError::new("22003", "value overflows numeric format")
}

fn decimal(numeric: &Numeric) -> Result<ScalarValue, InputError> {
    if let Numeric::NaN | Numeric::Infinity | Numeric::MinusInfinity = numeric {
        return Err(InputError::not_supported("numeric parameters that are not finite are not supported"));
    }
    let (value, scale) = numeric.to_i256().ok_or_else(numeric_overflow)?;
    Ok(decimal_scalar(value, decimal_precision(numeric), scale))
}

/// Digits of a finite numeric, those behind the point included.
fn decimal_precision(numeric: &Numeric) -> u8 {
    match numeric {
        Numeric::Finite { digits, scale, .. } => {
            u8::try_from(digits.len().max(usize::from(*scale)).max(1)).unwrap_or(u8::MAX)
        }
        _ => 1,
    }
}

fn decimal_scalar(value: i256, precision: u8, scale: i8) -> ScalarValue {
    match value.to_i128().filter(|_| precision <= 38) {
        Some(value) => ScalarValue::Decimal128(Some(value), precision, scale),
        None => ScalarValue::Decimal256(Some(value), precision, scale),
    }
}

/// The elements of an array of one dimension, NULL or text; `None` where it has another shape.
///
/// # Errors
/// 22P02 for text that is no array.
pub(crate) fn array_elements(text: &str) -> Result<Option<Vec<Option<String>>>, InputError> {
    let read = ArrayText::read(text)?;
    let flat = read.dimensions == Dimensions::flat(read.elements.len());
    Ok(flat.then_some(read.elements))
}

/// A `uuid` in the form that it is printed in.
///
/// # Errors
/// 22P02.
pub(crate) fn canonical_uuid(text: &str) -> Result<String, InputError> {
    parse_uuid(text).map(uuid_text)
}

fn uuid_text(uuid: [u8; 16]) -> String {
    let mut out = BytesMut::with_capacity(36);
    write_uuid(uuid, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn parse_vector(text: &str, vector_oid: u32, context: &InputContext) -> Result<ScalarValue, InputError> {
    let element_oid = if vector_oid == oid::INT2VECTOR { oid::INT2 } else { oid::OID };
    let values = text
        .split_ascii_whitespace()
        .map(|number| parse_text(number, element_oid, context))
        .collect::<Result<Vec<_>, _>>()?;
    list_of_values(values, element_oid)
}

fn array_of_text(text: &str, element_oid: u32, context: &InputContext) -> Result<ScalarValue, InputError> {
    let read = ArrayText::read(text)?;
    let value = |element: &Option<String>| match element {
        Some(text) => parse_text(text, element_oid, context),
        None => null_of(element_oid),
    };
    let values = read.elements.iter().map(value).collect::<Result<Vec<_>, _>>()?;
    array_of_values(values, read.dimensions, element_oid)
}

fn list_of_values(values: Vec<ScalarValue>, element_oid: u32) -> Result<ScalarValue, InputError> {
    let dimensions = Dimensions::flat(values.len());
    array_of_values(values, dimensions, element_oid)
}

/// One array of that shape over the elements in order.
fn array_of_values(
    values: Vec<ScalarValue>,
    dimensions: Dimensions,
    element_oid: u32,
) -> Result<ScalarValue, InputError> {
    let malformed = |error: String| InputError::new("22000", format!("malformed array: {error}"));
    let values = common_decimal(values);
    let element_field = super::types::list_field(element_oid).ok_or_else(|| unsupported(element_oid))?;
    let elements: ArrayRef = if values.is_empty() {
        arrow::array::new_empty_array(element_field.data_type())
    } else {
        ScalarValue::iter_to_array(values)
            .map_err(|error| InputError::new("22000", format!("array elements differ in type: {error}")))?
    };
    let field = Arc::new(Field::clone(&element_field).with_data_type(elements.data_type().clone()));
    if dimensions == Dimensions::flat(elements.len()) {
        let offsets = OffsetBuffer::from_lengths([elements.len()]);
        let list = ListArray::try_new(field, offsets, elements, None);
        let list: ArrayRef = Arc::new(list.map_err(|error| malformed(error.to_string()))?);
        return ScalarValue::try_from_array(&list, 0).map_err(|error| malformed(error.to_string()));
    }
    let mut builder = ArraysBuilder::default();
    builder.pick_all(1, 0..elements.len());
    builder.close(dimensions);
    let data_type = multi_of(elements.data_type().clone());
    let array = builder.finish(&[&elements], &data_type);
    let array = array.map_err(|error| malformed(error.to_string()))?;
    ScalarValue::try_from_array(&array, 0).map_err(|error| malformed(error.to_string()))
}

/// Decimals of one precision and scale, as an array needs them; other values as they are.
fn common_decimal(values: Vec<ScalarValue>) -> Vec<ScalarValue> {
    let parts = |value: &ScalarValue| match value {
        ScalarValue::Decimal128(Some(value), precision, scale) => {
            Some((i256::from_i128(*value), *precision, *scale))
        }
        ScalarValue::Decimal256(Some(value), precision, scale) => Some((*value, *precision, *scale)),
        _ => None,
    };
    let found: Vec<_> = values.iter().filter_map(parts).collect();
    if found.is_empty() {
        return values;
    }
    let scale = found.iter().map(|(_, _, scale)| *scale).max().unwrap_or(0);
    let whole_digits =
        found.iter().map(|(_, precision, scale)| i16::from(*precision) - i16::from(*scale)).max();
    let precision =
        u8::try_from(whole_digits.unwrap_or(1).max(0) + i16::from(scale)).unwrap_or(76).clamp(1, 76);
    let rescale = |value: ScalarValue| {
        let null_or_value = parts(&value).map(|(value, _, own_scale)| {
            let shift = u32::try_from(i16::from(scale) - i16::from(own_scale)).unwrap_or(0);
            value.wrapping_mul(i256::from_i128(10).wrapping_pow(shift))
        });
        if precision <= 38 {
            ScalarValue::Decimal128(null_or_value.and_then(i256::to_i128), precision, scale)
        } else {
            ScalarValue::Decimal256(null_or_value, precision, scale)
        }
    };
    values.into_iter().map(rescale).collect()
}

/// Reads the binary form of a value; all bytes have to be used.
fn from_binary(param_number: usize, mut bytes: &[u8], type_oid: u32) -> Result<ScalarValue, InputError> {
    let bytes = &mut bytes;
    let too_short = |_| InputError::truncated();
    let value = match type_oid {
        0 | oid::UNKNOWN | oid::TEXT | oid::VARCHAR | oid::BPCHAR | oid::CSTRING | oid::NAME => {
            string(utf8(std::mem::take(bytes))?)
        }
        oid::JSON => {
            let text = utf8(std::mem::take(bytes))?;
            super::json_input::check_json(text)?;
            string(text)
        }
        oid::JSONB => {
            let version = bytes.try_get_u8().map_err(too_short)?;
            if version != JSONB_VERSION {
                return Err(InputError::new("XX000", format!("unsupported jsonb version number {version}")));
            }
            string(&normal_json(utf8(std::mem::take(bytes))?)?)
        }
        oid::BOOL => ScalarValue::Boolean(Some(bytes.try_get_u8().map_err(too_short)? != 0)),
        oid::INT2 => ScalarValue::Int16(Some(bytes.try_get_i16().map_err(too_short)?)),
        oid::INT4 => ScalarValue::Int32(Some(bytes.try_get_i32().map_err(too_short)?)),
        oid::INT8 => ScalarValue::Int64(Some(bytes.try_get_i64().map_err(too_short)?)),
        oid::OID | oid::XID | oid::CID => {
            ScalarValue::Int64(Some(bytes.try_get_u32().map_err(too_short)?.into()))
        }
        oid::FLOAT4 => ScalarValue::Float32(Some(bytes.try_get_f32().map_err(too_short)?)),
        oid::FLOAT8 => ScalarValue::Float64(Some(bytes.try_get_f64().map_err(too_short)?)),
        oid::NUMERIC => {
            let invalid = |_| InputError::new("22P03", "invalid digit in external \"numeric\" value");
            decimal(&Numeric::from_binary(std::mem::take(bytes)).map_err(invalid)?)?
        }
        oid::CHAR => match bytes.try_get_u8().map_err(too_short)? {
            0 => string(""),
            byte => string(&char::from(byte).to_string()),
        },
        oid::BYTEA => ScalarValue::BinaryView(Some(std::mem::take(bytes).to_vec())),
        oid::UUID => {
            let mut uuid = [0; 16];
            bytes.try_copy_to_slice(&mut uuid).map_err(too_short)?;
            string(&uuid_text(uuid))
        }
        oid::DATE => {
            let days = date_from_binary(bytes.try_get_i32().map_err(too_short)?);
            let valid = |days: &i32| {
                matches!(*days, DATE_INFINITY | DATE_MINUS_INFINITY) || (DATE_MIN..DATE_END).contains(days)
            };
            let days = days.filter(valid).ok_or_else(|| InputError::new("22008", "date out of range"))?;
            ScalarValue::Date32(Some(days))
        }
        oid::TIME => {
            let micros = bytes.try_get_i64().map_err(too_short)?;
            if !(0..=MICROS_PER_DAY).contains(&micros) {
                return Err(InputError::new("22008", "time out of range"));
            }
            ScalarValue::Time64Microsecond(Some(micros))
        }
        oid::TIMESTAMP => ScalarValue::TimestampMicrosecond(
            Some(timestamp_binary(bytes.try_get_i64().map_err(too_short)?)?),
            None,
        ),
        oid::TIMESTAMPTZ => timestamptz(timestamp_binary(bytes.try_get_i64().map_err(too_short)?)?),
        oid::INTERVAL => {
            let micros = bytes.try_get_i64().map_err(too_short)?;
            let days = bytes.try_get_i32().map_err(too_short)?;
            let months = bytes.try_get_i32().map_err(too_short)?;
            interval(Interval { months, days, micros })?
        }
        vector if is_vector(vector) => {
            let element_oid = if vector == oid::INT2VECTOR { oid::INT2 } else { oid::OID };
            array_from_binary(param_number, bytes, element_oid, true)?
        }
        other => match element_type(other) {
            Some(element) => array_from_binary(param_number, bytes, element.oid, false)?,
            // regclass and its like: the object's number, which their text form takes too.
            None if arrow_type(other) == Some(DataType::Utf8View) && other != oid::ACLITEM => {
                string(&bytes.try_get_u32().map_err(too_short)?.to_string())
            }
            None => return Err(unsupported(other)),
        },
    };
    if bytes.is_empty() { Ok(value) } else { Err(InputError::binary_format(param_number)) }
}

fn timestamp_binary(micros: i64) -> Result<i64, InputError> {
    let valid = |micros: &i64| {
        matches!(*micros, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY)
            || (TIMESTAMP_MIN..TIMESTAMP_END).contains(micros)
    };
    timestamp_from_binary(micros)
        .filter(valid)
        .ok_or_else(|| InputError::new("22008", "timestamp out of range"))
}

fn array_from_binary(
    param_number: usize,
    bytes: &mut &[u8],
    element_oid: u32,
    is_vector: bool,
) -> Result<ScalarValue, InputError> {
    let too_short = |_| InputError::truncated();
    let dimension_count = bytes.try_get_i32().map_err(too_short)?;
    let flags = bytes.try_get_i32().map_err(too_short)?;
    let found_oid = bytes.try_get_u32().map_err(too_short)?;
    let dimension_count = usize::try_from(dimension_count)
        .map_err(|_| InputError::new("22P03", format!("invalid number of dimensions: {dimension_count}")))?;
    if dimension_count > DIMENSIONS_MAX {
        return Err(too_many_dimensions(dimension_count));
    }
    if !matches!(flags, 0 | 1) {
        return Err(InputError::new("22P03", "invalid array flags"));
    }
    if found_oid != element_oid {
        let name = |oid| PgColumnType::of_oid(oid).map_or("???", |pg_type| pg_type.name);
        return Err(InputError::new(
            "42804",
            format!(
                "binary data has array element type {found_oid} ({}) instead of expected {element_oid} ({})",
                name(found_oid),
                name(element_oid)
            ),
        ));
    }
    let mut bounds = Vec::with_capacity(dimension_count);
    for _ in 0..dimension_count {
        let len = bytes.try_get_i32().map_err(too_short)?;
        let lower = bytes.try_get_i32().map_err(too_short)?;
        let len = usize::try_from(len).map_err(|_| InputError::new("22P03", "invalid array dimensions"))?;
        bounds.push((len, lower));
    }
    let count = bounds.iter().try_fold(1_usize, |product, (len, _)| product.checked_mul(*len));
    let count = if bounds.is_empty() { 0 } else { count.unwrap_or(usize::MAX) };
    // Every element takes four bytes at least: no claim of more is believed, and nothing allocated for it.
    if count > bytes.len() / 4 {
        return Err(InputError::truncated());
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let len = bytes.try_get_i32().map_err(too_short)?;
        if len == -1 {
            values.push(null_of(element_oid)?);
            continue;
        }
        let len = usize::try_from(len).map_err(|_| InputError::truncated())?;
        let (element, rest) = bytes.split_at_checked(len).ok_or_else(InputError::truncated)?;
        *bytes = rest;
        values.push(from_binary(param_number, element, element_oid).map_err(
            |error| match error.sqlstate {
                "22P03" => InputError::new("22P03", "improper binary format in array element"),
                _ => error,
            },
        )?);
    }
    // Vectors count from 0 whatever they are sent as.
    let dimensions = if count == 0 || is_vector {
        Dimensions::flat(count)
    } else {
        Dimensions::of(bounds).map_err(|_| too_many_dimensions(dimension_count))?
    };
    array_of_values(values, dimensions, element_oid)
}

/// 54000 for more dimensions than PostgreSQL has.
fn too_many_dimensions(count: usize) -> InputError {
    InputError::new(
        "54000",
        format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
}
