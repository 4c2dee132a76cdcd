//! Writers of the values of scalar types, one for each pair of an arrow type and a PostgreSQL type that belong
//! together.

use super::binary::{
    JSONB_VERSION, write_date_binary, write_decimal128_binary, write_decimal256_binary,
    write_interval_binary, write_timestamp_binary,
};
use super::column::{BoxedWriter, ValueWriter, WriterContext};
use super::numeric_text::Numeric;
use super::text;
use super::types::{base_type, is_vector, oid, type_by_name};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType, DurationSecondType,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalDayTimeType,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use bytes::{BufMut, BytesMut};
use pgwire::api::results::FieldFormat;
use quickdb_executor::datetime::Interval;
use quickdb_executor::functions::numeric_display::format_numeric_as;
use std::net::IpAddr;
use std::sync::Arc;

/// An array with what to do with each of its values.
struct Cells<A, F> {
    array: A,
    write: F,
}

impl<A: Array, F: Fn(&A, usize, &mut BytesMut) + Send> ValueWriter for Cells<A, F> {
    #[inline]
    fn is_null(&self, row_idx: usize) -> bool {
        self.array.is_null(row_idx)
    }

    #[inline]
    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        (self.write)(&self.array, row_idx, out);
    }
}

fn cells<A: Array + 'static>(
    array: A,
    write: impl Fn(&A, usize, &mut BytesMut) + Send + 'static,
) -> Option<BoxedWriter> {
    Some(Box::new(Cells { array, write }))
}

/// The values of a primitive array.
fn primitives<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    write: impl Fn(T::Native, &mut BytesMut) + Send + 'static,
) -> Option<BoxedWriter> {
    let array: PrimitiveArray<T> = array.as_primitive_opt::<T>()?.clone();
    cells(array, move |array, row_idx, out| write(array.value(row_idx), out))
}

/// The values of a numeric array whose field says how many digits each value shows.
pub(super) fn displayed_numerics(array: &ArrayRef, scale: i8, display: String) -> Option<BoxedWriter> {
    primitives::<Decimal128Type>(array, move |value, out| {
        out.extend_from_slice(format_numeric_as(value, scale, Some(&display)).as_bytes());
    })
}

/// The values of a string array of any layout.
fn strings(array: &ArrayRef, write: impl Fn(&str, &mut BytesMut) + Send + 'static) -> Option<BoxedWriter> {
    match array.data_type() {
        DataType::Utf8 => {
            cells(array.as_string::<i32>().clone(), move |array, row, out| write(array.value(row), out))
        }
        DataType::LargeUtf8 => {
            cells(array.as_string::<i64>().clone(), move |array, row, out| write(array.value(row), out))
        }
        DataType::Utf8View => {
            cells(array.as_string_view().clone(), move |array, row, out| write(array.value(row), out))
        }
        _ => None,
    }
}

/// The values of a binary array of any layout.
fn binaries(array: &ArrayRef, write: impl Fn(&[u8], &mut BytesMut) + Send + 'static) -> Option<BoxedWriter> {
    match array.data_type() {
        DataType::Binary => {
            cells(array.as_binary::<i32>().clone(), move |array, row, out| write(array.value(row), out))
        }
        DataType::LargeBinary => {
            cells(array.as_binary::<i64>().clone(), move |array, row, out| write(array.value(row), out))
        }
        DataType::BinaryView => {
            cells(array.as_binary_view().clone(), move |array, row, out| write(array.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            cells(array.as_fixed_size_binary().clone(), move |array, row, out| {
                write(array.value(row), out);
            })
        }
        _ => None,
    }
}

/// Types whose values are a text in both formats.
pub(super) fn is_text(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::TEXT
            | oid::VARCHAR
            | oid::BPCHAR
            | oid::NAME
            | oid::JSON
            | oid::UNKNOWN
            | oid::CSTRING
            | oid::VOID
    ) || base_type(type_oid).is_some_and(|info| matches!(info.name, "xml" | "pg_node_tree"))
}

fn is_reg(type_oid: u32) -> bool {
    matches!(
        type_oid,
        oid::REGPROC
            | oid::REGPROCEDURE
            | oid::REGOPER
            | oid::REGOPERATOR
            | oid::REGCLASS
            | oid::REGTYPE
            | oid::REGNAMESPACE
            | oid::REGROLE
    ) || base_type(type_oid).is_some_and(|info| info.name.starts_with("reg"))
}

/// The OID of `inet`, which only the catalogue has.
const INET: u32 = 869;

/// An address as `inet_send` writes it: family, bits of the network, not a `cidr`, length, bytes.
fn write_inet_binary(text: &str, out: &mut BytesMut) {
    let address = text.parse::<IpAddr>();
    let bytes = match &address {
        Ok(IpAddr::V4(address)) => address.octets().to_vec(),
        Ok(IpAddr::V6(address)) => address.octets().to_vec(),
        // The catalogue has addresses only.
        Err(_) => Vec::new(),
    };
    let family = if bytes.len() == 16 { 3 } else { 2 };
    let length = u8::try_from(bytes.len()).unwrap_or(0);
    out.extend_from_slice(&[family, length.saturating_mul(8), 0, length]);
    out.extend_from_slice(&bytes);
}

/// Writers of the pairs of types that need no conversion.
pub(super) fn scalar_writer(
    type_oid: u32,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Option<BoxedWriter> {
    let binary = format == FieldFormat::Binary;
    match type_oid {
        oid::BOOL => {
            let array: BooleanArray = array.as_boolean_opt()?.clone();
            if binary {
                cells(array, |array, row, out| out.put_u8(u8::from(array.value(row))))
            } else {
                cells(array, |array, row, out| text::write_bool(array.value(row), out))
            }
        }
        oid::INT2 | oid::INT4 | oid::INT8 | oid::OID | oid::XID | oid::CID | oid::XID8 => {
            integers(type_oid, array, binary)
        }
        oid::FLOAT4 => {
            let extra = context.settings.extra_float_digits;
            match array.data_type() {
                DataType::Float16 if binary => {
                    primitives::<Float16Type>(array, |v, out| out.put_f32(v.to_f32()))
                }
                DataType::Float16 => {
                    primitives::<Float16Type>(array, move |v, out| text::write_float4(v.to_f32(), extra, out))
                }
                _ if binary => primitives::<Float32Type>(array, |v, out| out.put_f32(v)),
                _ => primitives::<Float32Type>(array, move |v, out| text::write_float4(v, extra, out)),
            }
        }
        oid::FLOAT8 => {
            let extra = context.settings.extra_float_digits;
            if binary {
                primitives::<Float64Type>(array, |v, out| out.put_f64(v))
            } else {
                primitives::<Float64Type>(array, move |v, out| text::write_float8(v, extra, out))
            }
        }
        oid::NUMERIC => numerics(array, binary),
        oid::BYTEA if binary => binaries(array, |bytes, out| out.extend_from_slice(bytes))
            .or_else(|| strings(array, |text, out| out.extend_from_slice(text.as_bytes()))),
        oid::BYTEA => {
            let output = context.settings.bytea_output;
            binaries(array, move |bytes, out| text::write_bytea(bytes, output, out))
                .or_else(|| strings(array, move |text, out| text::write_bytea(text.as_bytes(), output, out)))
        }
        oid::CHAR if binary => {
            strings(array, |text, out| out.put_u8(text.as_bytes().first().copied().unwrap_or(0)))
        }
        oid::JSONB if binary => strings(array, |text, out| {
            out.put_u8(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }),
        oid::UUID => uuids(array, binary),
        INET if binary => strings(array, write_inet_binary),
        oid::DATE if binary => primitives::<Date32Type>(array, write_date_binary),
        oid::DATE => {
            let style = context.settings.datetime.date_style;
            primitives::<Date32Type>(array, move |days, out| text::write_date(days, style, out))
        }
        oid::TIME if binary => times(array, |micros, out| out.put_i64(micros)),
        oid::TIME => times(array, text::write_time),
        oid::TIMESTAMP | oid::TIMESTAMPTZ if binary => timestamps(array, write_timestamp_binary),
        oid::TIMESTAMP => {
            let style = context.settings.datetime.date_style;
            timestamps(array, move |micros, out| text::write_timestamp(micros, style, out))
        }
        oid::TIMESTAMPTZ => {
            let settings = Arc::clone(&context.settings);
            timestamps(array, move |micros, out| {
                text::write_timestamptz(
                    micros,
                    settings.datetime.date_style,
                    &settings.datetime.time_zone,
                    out,
                );
            })
        }
        oid::INTERVAL if binary => intervals(array, write_interval_binary),
        oid::INTERVAL => {
            let style = context.settings.datetime.interval_style;
            intervals(array, move |interval, out| text::write_interval(interval, style, out))
        }
        reg if is_reg(reg) => regs(reg, array, binary, context),
        vector if is_vector(vector) && binary => strings(array, move |text, out| {
            super::nested::write_vector_text_binary(vector, text, out);
        }),
        other if !binary || is_text(other) => {
            strings(array, |text, out| out.extend_from_slice(text.as_bytes()))
        }
        _ => None,
    }
}

/// Integers of at most 64 signed bits, in text or in the width of the PostgreSQL type.
fn integers(type_oid: u32, array: &ArrayRef, binary: bool) -> Option<BoxedWriter> {
    macro_rules! integers {
        ($arrow:ty) => {
            if !binary {
                primitives::<$arrow>(array, |v, out| text::write_int(v, out))
            } else {
                match type_oid {
                    oid::INT2 => {
                        primitives::<$arrow>(array, |v, out| out.put_i16(v.try_into().unwrap_or(i16::MAX)))
                    }
                    oid::INT4 => {
                        primitives::<$arrow>(array, |v, out| out.put_i32(v.try_into().unwrap_or(i32::MAX)))
                    }
                    oid::INT8 => {
                        primitives::<$arrow>(array, |v, out| out.put_i64(v.try_into().unwrap_or(i64::MAX)))
                    }
                    oid::XID8 => primitives::<$arrow>(array, |v, out| out.put_u64(v.try_into().unwrap_or(0))),
                    _ => primitives::<$arrow>(array, |v, out| out.put_u32(v.try_into().unwrap_or(0))),
                }
            }
        };
    }
    // A wider integer than the PostgreSQL type is converted by the caller, which notices overflow.
    let width = match type_oid {
        oid::INT2 => 2,
        oid::INT4 => 4,
        _ => 8,
    };
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::UInt16 if width >= 4 => integers!(UInt16Type),
        DataType::Int32 if width >= 4 => integers!(Int32Type),
        DataType::UInt32 if width >= 8 => integers!(UInt32Type),
        DataType::Int64 if width >= 8 => integers!(Int64Type),
        DataType::UInt64 if type_oid == oid::XID8 => integers!(UInt64Type),
        _ => None,
    }
}

fn numerics(array: &ArrayRef, binary: bool) -> Option<BoxedWriter> {
    macro_rules! decimals {
        ($arrow:ty, $scale:expr) => {{
            let scale: i8 = $scale;
            if binary {
                primitives::<$arrow>(array, move |v, out| write_decimal128_binary(v.into(), scale, out))
            } else {
                primitives::<$arrow>(array, move |v, out| text::write_decimal128(v.into(), scale, out))
            }
        }};
    }
    match array.data_type() {
        DataType::Decimal32(_, scale) => decimals!(Decimal32Type, *scale),
        DataType::Decimal64(_, scale) => decimals!(Decimal64Type, *scale),
        DataType::Decimal128(_, scale) => decimals!(Decimal128Type, *scale),
        DataType::Decimal256(_, scale) => {
            let scale = *scale;
            if binary {
                primitives::<Decimal256Type>(array, move |v, out| write_decimal256_binary(v, scale, out))
            } else {
                primitives::<Decimal256Type>(array, move |v, out| text::write_decimal256(v, scale, out))
            }
        }
        DataType::Int8 => decimals!(Int8Type, 0),
        DataType::UInt8 => decimals!(UInt8Type, 0),
        DataType::Int16 => decimals!(Int16Type, 0),
        DataType::UInt16 => decimals!(UInt16Type, 0),
        DataType::Int32 => decimals!(Int32Type, 0),
        DataType::UInt32 => decimals!(UInt32Type, 0),
        DataType::Int64 => decimals!(Int64Type, 0),
        DataType::UInt64 => decimals!(UInt64Type, 0),
        DataType::Float64 => {
            primitives::<Float64Type>(array, move |v, out| write_float_numeric(v, binary, out))
        }
        _ if binary => strings(array, |text, out| {
            // Text that is no number cannot be in a numeric column; NaN is the honest answer if it is.
            Numeric::parse(text).unwrap_or(Numeric::NaN).write_binary(out);
        }),
        _ => strings(array, |text, out| out.extend_from_slice(text.as_bytes())),
    }
}

/// A float in a column declared `numeric`: its shortest digits, never with an exponent.
fn write_float_numeric(value: f64, binary: bool, out: &mut BytesMut) {
    let mut buffer = ryu::Buffer::new();
    let shortest = buffer.format(value);
    // ryu's names for what is not finite are those of numeric_in but for the case.
    let numeric = Numeric::parse(shortest.strip_suffix(".0").unwrap_or(shortest)).unwrap_or(Numeric::NaN);
    if binary { numeric.write_binary(out) } else { numeric.write_text(out) }
}

fn uuids(array: &ArrayRef, binary: bool) -> Option<BoxedWriter> {
    if let Some(writer) = binaries(array, move |bytes, out| match <[u8; 16]>::try_from(bytes) {
        Ok(uuid) if !binary => text::write_uuid(uuid, out),
        _ => out.extend_from_slice(bytes),
    }) {
        return Some(writer);
    }
    if binary {
        strings(array, |text, out| {
            out.extend_from_slice(&super::params::parse_uuid(text).unwrap_or_default());
        })
    } else {
        strings(array, |text, out| out.extend_from_slice(text.as_bytes()))
    }
}

fn times(array: &ArrayRef, write: impl Fn(i64, &mut BytesMut) + Send + 'static) -> Option<BoxedWriter> {
    match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            primitives::<Time32SecondType>(array, move |v, out| write(i64::from(v) * 1_000_000, out))
        }
        DataType::Time32(_) => {
            primitives::<Time32MillisecondType>(array, move |v, out| write(i64::from(v) * 1_000, out))
        }
        DataType::Time64(TimeUnit::Microsecond) => primitives::<Time64MicrosecondType>(array, write),
        DataType::Time64(_) => primitives::<Time64NanosecondType>(array, move |v, out| write(v / 1_000, out)),
        _ => None,
    }
}

/// Timestamps of any unit in microseconds; the extreme counts of every unit are the infinities.
fn timestamps(array: &ArrayRef, write: impl Fn(i64, &mut BytesMut) + Send + 'static) -> Option<BoxedWriter> {
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            primitives::<TimestampSecondType>(array, move |v, out| write(v.saturating_mul(1_000_000), out))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            primitives::<TimestampMillisecondType>(array, move |v, out| write(v.saturating_mul(1_000), out))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitives::<TimestampMicrosecondType>(array, write),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            primitives::<TimestampNanosecondType>(array, move |v, out| {
                let micros = if matches!(v, i64::MIN | i64::MAX) { v } else { v.div_euclid(1_000) };
                write(micros, out);
            })
        }
        DataType::Date64 => {
            primitives::<Date64Type>(array, move |v, out| write(v.saturating_mul(1_000), out))
        }
        _ => None,
    }
}

fn intervals(
    array: &ArrayRef,
    write: impl Fn(Interval, &mut BytesMut) + Send + 'static,
) -> Option<BoxedWriter> {
    let of_micros = |micros| Interval { months: 0, days: 0, micros };
    match array.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            primitives::<IntervalMonthDayNanoType>(array, move |v, out| {
                write(Interval { months: v.months, days: v.days, micros: v.nanoseconds / 1_000 }, out);
            })
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            primitives::<IntervalDayTimeType>(array, move |v, out| {
                let micros = i64::from(v.milliseconds) * 1_000;
                write(Interval { months: 0, days: v.days, micros }, out);
            })
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            primitives::<IntervalYearMonthType>(array, move |v, out| {
                write(Interval { months: v, days: 0, micros: 0 }, out);
            })
        }
        DataType::Duration(TimeUnit::Second) => primitives::<DurationSecondType>(array, move |v, out| {
            write(of_micros(v.saturating_mul(1_000_000)), out);
        }),
        DataType::Duration(TimeUnit::Millisecond) => {
            primitives::<DurationMillisecondType>(array, move |v, out| {
                write(of_micros(v.saturating_mul(1_000)), out);
            })
        }
        DataType::Duration(TimeUnit::Microsecond) => {
            primitives::<DurationMicrosecondType>(array, move |v, out| write(of_micros(v), out))
        }
        DataType::Duration(TimeUnit::Nanosecond) => {
            primitives::<DurationNanosecondType>(array, move |v, out| write(of_micros(v / 1_000), out))
        }
        _ => None,
    }
}

/// OIDs that print as the names of their objects, or as they are where there is none.
fn regs(type_oid: u32, array: &ArrayRef, binary: bool, context: &WriterContext) -> Option<BoxedWriter> {
    match &context.names {
        Some(names) if !binary && array.data_type() == &DataType::Int64 => {
            let names = Arc::clone(names);
            primitives::<Int64Type>(array, move |value, out| {
                let name = u32::try_from(value).ok().and_then(|oid| names.name_of(type_oid, oid));
                let name = name.unwrap_or_else(|| value.to_string());
                out.extend_from_slice(name.as_bytes());
            })
        }
        _ => integers(oid::OID, array, binary).or_else(|| named_types(type_oid, array, binary)),
    }
}

/// Names of types, which some functions give instead of their OIDs.
fn named_types(type_oid: u32, array: &ArrayRef, binary: bool) -> Option<BoxedWriter> {
    if !binary {
        return strings(array, |text, out| out.extend_from_slice(text.as_bytes()));
    }
    strings(array, move |text, out| {
        let found = type_by_name(text).filter(|_| type_oid == oid::REGTYPE);
        out.put_u32(found.map_or(0, |(found, _)| found));
    })
}
