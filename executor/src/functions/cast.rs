//! Casts with PostgreSQL's rounding, range checks, spellings and errors.
//!
//! Casts of arrow that could differ are replaced by the server; widening stays DataFusion's own.
//!
//! | cast | rule |
//! |---|---|
//! | float to integer | half to even, 22003 beyond the range |
//! | `numeric` to integer | half away from zero, 22003 beyond the range |
//! | text to anything | the type's input function, 22P02 or 22007 |
//! | anything to text | the type's output function |
//! | float to `numeric` | 15 significant digits (6 from `real`), as PostgreSQL |

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, Decimal128Array,
    PrimitiveArray, StringViewArray,
};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, Volatility};

use crate::datetime::calendar::{
    DATE_INFINITY, DATE_MINUS_INFINITY, MICROS_PER_DAY, TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY,
    split_micros,
};
use crate::datetime::input::{parse_date, parse_time, parse_timestamp, parse_timestamptz};
use crate::datetime::{DateTimeSettings, IntervalField, parse_interval};
use crate::error::ErrorKind;
use crate::functions::arithmetic::{out_of_range, signed};
use crate::functions::decimal::{as_decimal, rescale};
use crate::functions::function::{
    Function, arg, error, internal, is_float, is_int, is_numeric, is_text, over_arrays,
};
use crate::functions::input;
use crate::functions::numeric_display::{NATURAL, NUMERIC_DISPLAY_KEY, QUOTIENT};
use crate::functions::temporal::{INTERVAL, TIME};
use crate::functions::text_of::text_in;
use crate::functions::type_names::{timestamp, timestamptz};

/// Digits after the point of a `numeric` that nothing gave a scale: of a float, or of text that is no literal.
pub const NATURAL_SCALE: i8 = 16;

/// The function that casts to a type, or `None` for types that need none of ours.
pub fn cast_function(to: &DataType) -> Option<Arc<ScalarUDF>> {
    functions().into_iter().find(|udf| Some(udf.name()) == cast_function_name(to))
}

/// The name of the function that casts to a type.
pub fn cast_function_name(to: &DataType) -> Option<&'static str> {
    Some(match to {
        DataType::Boolean => "cast_bool",
        DataType::Int16 => "cast_int2",
        DataType::Int32 => "cast_int4",
        DataType::Int64 => "cast_int8",
        DataType::Float32 => "cast_float4",
        DataType::Float64 => "cast_float8",
        DataType::Decimal128(..) => "cast_numeric",
        DataType::Utf8View => "cast_text",
        DataType::Date32 => "cast_date",
        DataType::Time64(_) => "cast_time",
        DataType::Timestamp(_, None) => "cast_timestamp",
        DataType::Timestamp(_, Some(_)) => "cast_timestamptz",
        DataType::Interval(_) => "cast_interval",
        DataType::Binary | DataType::BinaryView => "cast_bytea",
        _ => return None,
    })
}

/// Whether DataFusion's own cast between the types gives what PostgreSQL gives.
pub fn is_plain_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        BinaryView, Boolean, Decimal128, Float32, Float64, Int16, Int32, Int64, Timestamp, Utf8, Utf8View,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (DataType::Null, _) => true,
        (Utf8 | DataType::LargeUtf8 | Utf8View, Utf8 | DataType::LargeUtf8 | Utf8View) => true,
        (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (Int16 | Int32 | Int64, Float32 | Float64) | (Float32, Float64) => true,
        (Int16 | Int32 | Int64, Decimal128(p, s)) => {
            let digits =
                as_decimal(from).map_or(0, |t| if let Decimal128(p, _) = t { i16::from(p) } else { 0 });
            i16::from(*p) - i16::from(*s) >= digits
        }
        (Decimal128(p1, s1), Decimal128(p2, s2)) => {
            s2 >= s1 && i16::from(*p2) - i16::from(*s2) >= i16::from(*p1) - i16::from(*s1)
        }
        (Decimal128(..), Float64) => true,
        (Timestamp(_, a), Timestamp(_, b)) if a.is_some() == b.is_some() => true,
        (Boolean, Int32) | (BinaryView | DataType::Binary, BinaryView | DataType::Binary) => true,
        (
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) | DataType::Struct(_),
            to,
        ) => !is_text(to),
        (DataType::UInt32 | DataType::UInt64 | DataType::UInt16 | DataType::UInt8 | DataType::Int8, to) => {
            !is_text(to)
        }
        (_, to) => cast_function_name(to).is_none(),
    }
}

/// All cast functions.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let number_or_text: fn(&[DataType]) -> Option<Vec<DataType>> = |types| match types {
        [from] if is_text(from) => Some(vec![DataType::Utf8View]),
        [DataType::Boolean] => Some(vec![DataType::Boolean]),
        [DataType::Null] => Some(vec![DataType::Null]),
        [from] if is_int(from) || is_float(from) || is_numeric(from) => Some(vec![signed(from)]),
        _ => None,
    };
    vec![
        Function::new(
            "cast_int2",
            number_or_text,
            |_, _| Ok(DataType::Int16),
            |args| {
                over_arrays(args, |arrays| {
                    to_int::<Int16Type>(arg(arrays, 0)?, "smallint", i16::MIN.into(), i16::MAX.into())
                })
            },
        )
        .cast("smallint")
        .udf(),
        Function::new(
            "cast_int4",
            number_or_text,
            |_, _| Ok(DataType::Int32),
            |args| {
                over_arrays(args, |arrays| {
                    to_int::<Int32Type>(arg(arrays, 0)?, "integer", i32::MIN.into(), i32::MAX.into())
                })
            },
        )
        .cast("integer")
        .udf(),
        Function::new(
            "cast_int8",
            number_or_text,
            |_, _| Ok(DataType::Int64),
            |args| {
                over_arrays(args, |arrays| to_int::<Int64Type>(arg(arrays, 0)?, "bigint", i64::MIN, i64::MAX))
            },
        )
        .cast("bigint")
        .udf(),
        Function::new(
            "cast_float4",
            number_or_text,
            |_, _| Ok(DataType::Float32),
            |args| over_arrays(args, |arrays| to_real(arg(arrays, 0)?)),
        )
        .cast("real")
        .udf(),
        Function::new(
            "cast_float8",
            number_or_text,
            |_, _| Ok(DataType::Float64),
            |args| over_arrays(args, |arrays| to_float(arg(arrays, 0)?)),
        )
        .cast("double precision")
        .udf(),
        Function::new(
            "cast_bool",
            number_or_text,
            |_, _| Ok(DataType::Boolean),
            |args| over_arrays(args, |arrays| to_bool(arg(arrays, 0)?)),
        )
        .cast("boolean")
        .udf(),
        Function::new(
            "cast_numeric",
            |types| match types {
                [from, _, _] if is_text(from) => {
                    Some(vec![DataType::Utf8View, DataType::Int64, DataType::Int64])
                }
                [from, _, _] if is_int(from) || is_float(from) || is_numeric(from) => {
                    Some(vec![signed(from), DataType::Int64, DataType::Int64])
                }
                [DataType::Null, _, _] => Some(vec![DataType::Null, DataType::Int64, DataType::Int64]),
                _ => None,
            },
            |_, literals| match literals {
                [_, Some(ScalarValue::Int64(Some(precision))), Some(ScalarValue::Int64(Some(scale)))] => {
                    let precision =
                        u8::try_from(*precision).map_err(|_| internal("a precision beyond 38"))?;
                    let scale = i8::try_from(*scale).map_err(|_| internal("a scale beyond 38"))?;
                    Ok(DataType::Decimal128(precision, scale))
                }
                _ => Err(internal("cast_numeric needs a literal precision and scale")),
            },
            evaluate_numeric,
        )
        .cast("numeric")
        .udf(),
        Function::new(
            "to_numeric",
            |types| match types {
                [from] if is_text(from) => Some(vec![from.clone()]),
                [from] if is_int(from) || is_float(from) || is_numeric(from) => Some(vec![signed(from)]),
                [DataType::Null] => Some(vec![DataType::Null]),
                _ => None,
            },
            |types, literals| Ok(natural_type(types.first().unwrap_or(&DataType::Null), literals)),
            evaluate_numeric,
        )
        .cast("numeric")
        .describe(|args, _| {
            let from = args.arg_fields.first()?;
            if let Some(kept) = from.metadata().get(NUMERIC_DISPLAY_KEY) {
                return Some((
                    NUMERIC_DISPLAY_KEY,
                    if kept == QUOTIENT { QUOTIENT } else { NATURAL }.to_owned(),
                ));
            }
            let literal = args.scalar_arguments.first().copied().flatten().is_some();
            let natural = is_float(from.data_type()) || is_text(from.data_type()) && !literal;
            natural.then(|| (NUMERIC_DISPLAY_KEY, NATURAL.to_owned()))
        })
        .udf(),
        Function::new(
            "cast_text",
            |types| Some(types.to_vec()),
            |_, _| Ok(DataType::Utf8View),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_text(arg(arrays, 0)?, &settings))
            },
        )
        .cast("text")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_date",
            datetime_source,
            |_, _| Ok(DataType::Date32),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_date(arg(arrays, 0)?, &settings))
            },
        )
        .cast("date")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_timestamp",
            datetime_source,
            |_, _| Ok(timestamp()),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_timestamp(arg(arrays, 0)?, &settings))
            },
        )
        .cast("timestamp without time zone")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_timestamptz",
            datetime_source,
            |_, _| Ok(timestamptz()),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_timestamptz(arg(arrays, 0)?, &settings))
            },
        )
        .cast("timestamp with time zone")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_time",
            |types| match types {
                [from] if is_text(from) => Some(vec![DataType::Utf8View]),
                [DataType::Timestamp(_, None)] => Some(vec![timestamp()]),
                [DataType::Timestamp(_, Some(_))] => Some(vec![timestamptz()]),
                [DataType::Time32(_) | DataType::Time64(_)] => Some(vec![TIME]),
                [DataType::Interval(_)] => Some(vec![INTERVAL]),
                [DataType::Null] => Some(vec![DataType::Null]),
                _ => None,
            },
            |_, _| Ok(TIME),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_time(arg(arrays, 0)?, &settings))
            },
        )
        .cast("time without time zone")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_interval",
            |types| match types {
                [from] if is_text(from) => Some(vec![DataType::Utf8View]),
                [from, unit] if is_text(from) && is_text(unit) => {
                    Some(vec![DataType::Utf8View, DataType::Utf8View])
                }
                [DataType::Time32(_) | DataType::Time64(_)] => Some(vec![TIME]),
                [DataType::Interval(_) | DataType::Duration(_)] => Some(vec![INTERVAL]),
                [DataType::Interval(_), unit] if is_text(unit) => Some(vec![INTERVAL, DataType::Utf8View]),
                [DataType::Null, ..] => Some(types.to_vec()),
                _ => None,
            },
            |_, _| Ok(INTERVAL),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| to_interval(arrays, &settings))
            },
        )
        .cast("interval")
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "cast_bytea",
            |types| match types {
                [from] if is_text(from) => Some(vec![DataType::Utf8View]),
                [DataType::Binary | DataType::LargeBinary | DataType::BinaryView] => {
                    Some(vec![DataType::BinaryView])
                }
                [DataType::Null] => Some(vec![DataType::Null]),
                _ => None,
            },
            |_, _| Ok(DataType::BinaryView),
            |args| over_arrays(args, |arrays| to_bytea(arg(arrays, 0)?)),
        )
        .cast("bytea")
        .udf(),
    ]
}

fn datetime_source(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [from] if is_text(from) => Some(vec![DataType::Utf8View]),
        [DataType::Timestamp(_, None)] => Some(vec![timestamp()]),
        [DataType::Timestamp(_, Some(_))] => Some(vec![timestamptz()]),
        [DataType::Date32 | DataType::Date64] => Some(vec![DataType::Date32]),
        [DataType::Null] => Some(vec![DataType::Null]),
        _ => None,
    }
}

/// What `now` and `today` mean in text.
fn now_micros() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    i64::try_from(now).unwrap_or(0)
}

/// Applies `convert` to the valid values of a text array.
fn from_text<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    convert: impl Fn(&str) -> Result<T::Native>,
) -> Result<PrimitiveArray<T>> {
    texts(array)?.iter().map(|text| text.map(&convert).transpose()).collect()
}

pub(crate) fn texts(array: &ArrayRef) -> Result<StringViewArray> {
    let array = if array.data_type() == &DataType::Utf8View {
        Arc::clone(array)
    } else {
        arrow_cast(array, &DataType::Utf8View)?
    };
    Ok(array.as_string_view().clone())
}

fn to_int<T: ArrowPrimitiveType>(array: &ArrayRef, type_name: &str, min: i64, max: i64) -> Result<ArrayRef>
where
    T::Native: TryFrom<i64>,
{
    let beyond = || out_of_range(&T::DATA_TYPE);
    let narrow = |value: i64| T::Native::try_from(value).map_err(|_| beyond());
    let result: PrimitiveArray<T> = match array.data_type() {
        data_type if is_text(data_type) => {
            from_text(array, |text| narrow(input::parse_int(text, type_name, min, max)?))?
        }
        DataType::Float32 => {
            let values = arrow_cast(array, &DataType::Float64)?;
            return to_int::<T>(&values, type_name, min, max);
        }
        DataType::Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.map(|value| narrow(float_to_int(value).ok_or_else(beyond)?)).transpose())
            .collect::<Result<_>>()?,
        DataType::Decimal128(_, scale) => array
            .as_primitive::<Decimal128Type>()
            .iter()
            .map(|value| {
                let convert =
                    |value| narrow(i64::try_from(rescale(value, *scale, 0)?).map_err(|_| beyond())?);
                value.map(convert).transpose()
            })
            .collect::<Result<_>>()?,
        _ => arrow_cast(array, &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .iter()
            .map(|value| value.map(narrow).transpose())
            .collect::<Result<_>>()?,
    };
    Ok(Arc::new(result))
}

/// Half to even; `None` for what no `bigint` holds.
fn float_to_int(value: f64) -> Option<i64> {
    let rounded = value.round_ties_even();
    // -2^63 and 2^63: both are exact in a double, the upper one no longer is a bigint.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&rounded) {
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        return Some(rounded as i64);
    }
    None
}

fn to_float(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        data_type if is_text(data_type) => Ok(Arc::new(from_text::<Float64Type>(array, input::parse_float)?)),
        DataType::Boolean => Err(no_cast("boolean", "double precision")),
        _ => Ok(arrow_cast(array, &DataType::Float64)?),
    }
}

fn to_real(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        data_type if is_text(data_type) => Ok(Arc::new(from_text::<Float32Type>(array, input::parse_real)?)),
        DataType::Boolean => Err(no_cast("boolean", "real")),
        _ => {
            let doubles = arrow_cast(array, &DataType::Float64)?;
            let convert = |value: f64| {
                #[expect(clippy::cast_possible_truncation, reason = "overflow is looked for right after")]
                let single = value as f32;
                if single.is_infinite() && value.is_finite() {
                    return Err(error(ErrorKind::NumericOutOfRange, "value out of range: overflow"));
                }
                if single == 0.0 && value != 0.0 {
                    return Err(error(ErrorKind::NumericOutOfRange, "value out of range: underflow"));
                }
                Ok(single)
            };
            let singles: PrimitiveArray<Float32Type> = doubles
                .as_primitive::<Float64Type>()
                .iter()
                .map(|value| value.map(convert).transpose())
                .collect::<Result<_>>()?;
            Ok(Arc::new(singles))
        }
    }
}

fn no_cast(from: &str, to: &str) -> datafusion::error::DataFusionError {
    error(ErrorKind::CannotCoerce, format!("cannot cast type {from} to {to}"))
}

fn to_bool(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        data_type if is_text(data_type) => {
            let values: BooleanArray = texts(array)?
                .iter()
                .map(|text| text.map(input::parse_bool).transpose())
                .collect::<Result<_>>()?;
            Ok(Arc::new(values))
        }
        data_type if is_float(data_type) || is_numeric(data_type) => {
            Err(no_cast(&crate::functions::type_names::pg_type_name(data_type), "boolean"))
        }
        _ => Ok(arrow_cast(array, &DataType::Boolean)?),
    }
}

/// The type of `value::numeric`: exact for integers, numerics and literals.
fn natural_type(from: &DataType, literals: &[Option<&ScalarValue>]) -> DataType {
    if let Some(exact) = as_decimal(from) {
        return exact;
    }
    let literal = literals.first().copied().flatten().and_then(|value| value.try_as_str()).flatten();
    match literal.and_then(input::numeric_literal_type) {
        Some((precision, scale)) => DataType::Decimal128(precision, scale),
        None => DataType::Decimal128(38, NATURAL_SCALE),
    }
}

fn evaluate_numeric(args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let DataType::Decimal128(precision, scale) = *args.return_type() else {
        return Err(internal("a cast to numeric whose type is none"));
    };
    let only_first = ScalarFunctionArgs {
        args: args.args.iter().take(1).cloned().collect(),
        arg_fields: args.arg_fields.iter().take(1).cloned().collect(),
        number_rows: args.number_rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    };
    over_arrays(&only_first, |arrays| to_numeric(arg(arrays, 0)?, precision, scale))
}

fn to_numeric(array: &ArrayRef, precision: u8, scale: i8) -> Result<ArrayRef> {
    let limit = 10_i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    let check = |value: i128| {
        if value.unsigned_abs() >= limit.unsigned_abs() {
            return Err(field_overflow(precision, scale));
        }
        Ok(value)
    };
    let values: Decimal128Array = match array.data_type() {
        data_type if is_text(data_type) => {
            from_text::<Decimal128Type>(array, |text| check(input::parse_numeric(text, scale)?))?
        }
        DataType::Float32 | DataType::Float64 => {
            let significant = if array.data_type() == &DataType::Float32 { 6 } else { 15 };
            let convert = |value: f64| check(float_to_numeric(value, significant, scale)?);
            arrow_cast(array, &DataType::Float64)?
                .as_primitive::<Float64Type>()
                .iter()
                .map(|value| value.map(convert).transpose())
                .collect::<Result<_>>()?
        }
        DataType::Decimal128(_, from) => {
            let convert = |value: i128| check(rescale(value, *from, scale)?);
            array
                .as_primitive::<Decimal128Type>()
                .iter()
                .map(|value| value.map(convert).transpose())
                .collect::<Result<_>>()?
        }
        DataType::Boolean => return Err(no_cast("boolean", "numeric")),
        _ => {
            let convert = |value: i64| check(rescale(i128::from(value), 0, scale)?);
            arrow_cast(array, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .iter()
                .map(|value| value.map(convert).transpose())
                .collect::<Result<_>>()?
        }
    };
    Ok(Arc::new(values.with_precision_and_scale(precision, scale)?))
}

fn field_overflow(precision: u8, scale: i8) -> datafusion::error::DataFusionError {
    let whole = i16::from(precision) - i16::from(scale);
    let bound = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
    crate::error::ExecError::new(ErrorKind::NumericOutOfRange, "numeric field overflow")
        .with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
        ))
        .into()
}

/// PostgreSQL prints a float with 15 (`real`: 6) significant digits and reads that as a numeric.
fn float_to_numeric(value: f64, significant: usize, scale: i8) -> Result<i128> {
    if !value.is_finite() {
        return Err(error(ErrorKind::Unsupported, "numeric values that are not finite are not supported"));
    }
    input::parse_numeric(&format!("{value:.*e}", significant - 1), scale)
}

fn to_text(array: &ArrayRef, settings: &DateTimeSettings) -> Result<ArrayRef> {
    if is_text(array.data_type()) {
        return Ok(arrow_cast(array, &DataType::Utf8View)?);
    }
    let values: StringViewArray =
        (0..array.len()).map(|row| text_in(array.as_ref(), row, settings)).collect::<Result<_>>()?;
    Ok(Arc::new(values))
}

/// The day of a local moment; infinities have one of their own.
fn day_of(micros: i64) -> i32 {
    match micros {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        TIMESTAMP_MINUS_INFINITY => DATE_MINUS_INFINITY,
        micros => i32::try_from(split_micros(micros).0).unwrap_or(DATE_INFINITY),
    }
}

/// Midnight of a day, where timestamps reach so far.
fn midnight(days: i32) -> Result<i64> {
    match days {
        DATE_INFINITY => Ok(TIMESTAMP_INFINITY),
        DATE_MINUS_INFINITY => Ok(TIMESTAMP_MINUS_INFINITY),
        days => i64::from(days)
            .checked_mul(MICROS_PER_DAY)
            .ok_or_else(|| error(ErrorKind::DatetimeOutOfRange, "date out of range for timestamp")),
    }
}

fn to_date(array: &ArrayRef, settings: &DateTimeSettings) -> Result<ArrayRef> {
    let now = now_micros();
    match array.data_type() {
        data_type if is_text(data_type) => {
            Ok(Arc::new(from_text::<Date32Type>(array, |text| Ok(parse_date(text, settings, now)?))?))
        }
        DataType::Timestamp(_, zoned) => {
            let zoned = zoned.is_some();
            let dates: PrimitiveArray<Date32Type> = array
                .as_primitive::<TimestampMicrosecondType>()
                .unary(|micros| day_of(if zoned { settings.time_zone.to_local(micros) } else { micros }));
            Ok(Arc::new(dates))
        }
        _ => Ok(arrow_cast(array, &DataType::Date32)?),
    }
}

fn to_timestamp(array: &ArrayRef, settings: &DateTimeSettings) -> Result<ArrayRef> {
    let now = now_micros();
    let moments: PrimitiveArray<TimestampMicrosecondType> = match array.data_type() {
        data_type if is_text(data_type) => {
            from_text(array, |text| Ok(parse_timestamp(text, settings, now)?))?
        }
        DataType::Timestamp(_, Some(_)) => {
            array.as_primitive::<TimestampMicrosecondType>().unary(|utc| settings.time_zone.to_local(utc))
        }
        DataType::Date32 => array.as_primitive::<Date32Type>().try_unary(midnight)?,
        _ => return Ok(arrow_cast(array, &timestamp())?),
    };
    Ok(Arc::new(moments))
}

fn to_timestamptz(array: &ArrayRef, settings: &DateTimeSettings) -> Result<ArrayRef> {
    let now = now_micros();
    let zone = &settings.time_zone;
    let instants: PrimitiveArray<TimestampMicrosecondType> = match array.data_type() {
        data_type if is_text(data_type) => {
            from_text(array, |text| Ok(parse_timestamptz(text, settings, now)?))?
        }
        DataType::Timestamp(_, None) => {
            array.as_primitive::<TimestampMicrosecondType>().unary(|local| zone.to_utc(local))
        }
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().try_unary::<_, TimestampMicrosecondType, DataFusionError>(
                |days| Ok(zone.to_utc(midnight(days)?)),
            )?
        }
        _ => return Ok(arrow_cast(array, &timestamptz())?),
    };
    Ok(Arc::new(instants.with_timezone("UTC")))
}

fn to_time(array: &ArrayRef, settings: &DateTimeSettings) -> Result<ArrayRef> {
    let now = now_micros();
    if matches!(array.data_type(), DataType::Timestamp(..)) {
        let zoned = matches!(array.data_type(), DataType::Timestamp(_, Some(_)));
        // An infinite moment has no time of day.
        let time = |micros| match micros {
            TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY => None,
            micros => Some(split_micros(if zoned { settings.time_zone.to_local(micros) } else { micros }).1),
        };
        let times: PrimitiveArray<Time64MicrosecondType> =
            array.as_primitive::<TimestampMicrosecondType>().unary_opt(time);
        return Ok(Arc::new(times));
    }
    let times: PrimitiveArray<Time64MicrosecondType> = match array.data_type() {
        data_type if is_text(data_type) => from_text(array, |text| Ok(parse_time(text, settings, now)?))?,
        DataType::Interval(_) => array
            .as_primitive::<IntervalMonthDayNanoType>()
            .unary(|interval| (interval.nanoseconds / 1_000).rem_euclid(MICROS_PER_DAY)),
        _ => return Ok(arrow_cast(array, &TIME)?),
    };
    Ok(Arc::new(times))
}

fn to_interval(arrays: &[ArrayRef], settings: &DateTimeSettings) -> Result<ArrayRef> {
    let array = arg(arrays, 0)?;
    let words = arrays.get(1).map(texts).transpose()?;
    let field = words.as_ref().and_then(|words| IntervalField::named(words.iter().next().flatten()?));
    let intervals: PrimitiveArray<IntervalMonthDayNanoType> = match array.data_type() {
        data_type if is_text(data_type) => {
            from_text(array, |text| Ok(parse_interval(text, settings, field)?.to_arrow()?))?
        }
        DataType::Time64(_) => array
            .as_primitive::<Time64MicrosecondType>()
            .unary(|micros| IntervalMonthDayNano::new(0, 0, micros * 1_000)),
        _ => {
            let array = arrow_cast(array, &INTERVAL)?;
            let Some(field) = field else { return Ok(array) };
            array
                .as_primitive::<IntervalMonthDayNanoType>()
                .try_unary::<_, IntervalMonthDayNanoType, DataFusionError>(|interval| {
                    Ok(field.truncate(interval.into()).to_arrow()?)
                })?
        }
    };
    Ok(Arc::new(intervals))
}

fn to_bytea(array: &ArrayRef) -> Result<ArrayRef> {
    if !is_text(array.data_type()) {
        return Ok(arrow_cast(array, &DataType::BinaryView)?);
    }
    let values: BinaryViewArray =
        texts(array)?.iter().map(|text| text.map(input::parse_bytea).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(values))
}

#[cfg(test)]
mod tests;
