//! The columns of a COPY: for each PostgreSQL type its fast form, and the server's input functions as the reader of all
//! other forms.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, IntervalMonthDayNano};
use bytes::BytesMut;
use datafusion::common::ScalarValue;
use pgwire::api::results::FieldFormat;
use quickdb_copy::{Column, Reader, Refusal, TextReader};
use quickdb_executor::functions::arrays::shape::one_dimension_only;

use super::length::{characters_max, fit_numeric, fit_text, round_micros, round_moment, second_digits};
use crate::catalogue::PgType;
use crate::error::{PgError, SqlState};
use crate::wire::numeric_text::Numeric;
use crate::wire::params::{self, InputContext};
use crate::wire::types::oid;

/// Nanoseconds of a microsecond.
const NANOS_PER_MICRO: i64 = 1_000;

/// The column that reads values of a type.
///
/// # Errors
/// 0A000 for a type that has no input function here.
pub(super) fn column(pg_type: PgType, binary: bool, context: &InputContext) -> Result<Column, PgError> {
    let input = Input { pg_type, binary, context: context.clone() };
    if let Some(element) = pg_type.element() {
        if binary || pg_type.dimensions > 1 {
            return Ok(Column::other(pg_type.data_type(), input.array()));
        }
        return Ok(Column::list(column(element, false, context)?, elements()));
    }
    let digits = second_digits(pg_type);
    let utc = context.settings.datetime.time_zone.is_utc();
    Ok(match pg_type.oid {
        oid::BOOL => Column::boolean(
            binary,
            input.reader(|value| match value {
                ScalarValue::Boolean(value) => value,
                _ => None,
            }),
        ),
        oid::INT2 => Column::int16(
            binary,
            input.reader(|value| match value {
                ScalarValue::Int16(value) => value,
                _ => None,
            }),
        ),
        oid::INT4 => Column::int32(
            binary,
            input.reader(|value| match value {
                ScalarValue::Int32(value) => value,
                _ => None,
            }),
        ),
        oid::INT8 => Column::int64(binary, input.reader(int64)),
        oid::OID => Column::oid(binary, input.reader(int64)),
        oid::FLOAT4 => Column::float32(
            binary,
            input.reader(|value| match value {
                ScalarValue::Float32(value) => value,
                _ => None,
            }),
        ),
        oid::FLOAT8 => Column::float64(
            binary,
            input.reader(|value| match value {
                ScalarValue::Float64(value) => value,
                _ => None,
            }),
        ),
        oid::NUMERIC => {
            let DataType::Decimal128(precision, scale) = pg_type.data_type() else {
                return Err(unreadable(pg_type));
            };
            Column::decimal(binary, precision, scale, input.numeric(precision, scale))
        }
        oid::DATE => Column::date(
            binary,
            input.reader(|value| match value {
                ScalarValue::Date32(value) => value,
                _ => None,
            }),
        ),
        oid::TIME => {
            let reader = input.reader(move |value| match value {
                ScalarValue::Time64Microsecond(value) => value.map(|micros| round_micros(micros, digits)),
                _ => None,
            });
            if digits.is_some() { Column::rounded_time(binary, reader) } else { Column::time(binary, reader) }
        }
        oid::TIMESTAMP => Column::timestamp(binary, digits.is_some(), input.reader(timestamp(digits))),
        oid::TIMESTAMPTZ => {
            Column::timestamptz(binary, digits.is_some(), utc, input.reader(timestamp(digits)))
        }
        oid::INTERVAL => {
            let reader = input.reader(move |value| match value {
                ScalarValue::IntervalMonthDayNano(value) => value.map(|interval| IntervalMonthDayNano {
                    nanoseconds: round_micros(interval.nanoseconds / NANOS_PER_MICRO, digits)
                        * NANOS_PER_MICRO,
                    ..interval
                }),
                _ => None,
            });
            if digits.is_some() {
                Column::cut_interval(binary, reader)
            } else {
                Column::interval(binary, reader)
            }
        }
        oid::BYTEA => Column::bytea(
            binary,
            input.reader(|value| match value {
                ScalarValue::BinaryView(value) => value,
                _ => None,
            }),
        ),
        oid::UUID if binary => {
            // Sixteen bytes are no text: every value is read on its own.
            Column::other(pg_type.data_type(), input.array())
        }
        oid::CHAR | oid::JSONB if binary => Column::other(pg_type.data_type(), input.array()),
        oid::UUID => Column::uuid(false, input.text()),
        oid::TEXT => Column::text(binary, usize::MAX, input.text()),
        oid::VARCHAR => Column::text(binary, characters_max(pg_type).unwrap_or(usize::MAX), input.text()),
        oid::BPCHAR => {
            Column::padded_text(binary, characters_max(pg_type).unwrap_or(usize::MAX), input.text())
        }
        oid::NAME | oid::CHAR | oid::JSON | oid::JSONB => Column::checked_text(binary, input.text()),
        _ => return Err(unreadable(pg_type)),
    })
}

fn unreadable(pg_type: PgType) -> PgError {
    PgError::unsupported(format!("COPY FROM into columns of type {pg_type}"))
}

fn int64(value: ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

fn timestamp(digits: Option<u32>) -> impl Fn(ScalarValue) -> Option<i64> {
    move |value| match value {
        ScalarValue::TimestampMicrosecond(value, _) => value.map(|micros| round_moment(micros, digits)),
        _ => None,
    }
}

/// Reads values of one type by the server's input functions.
struct Input {
    pg_type: PgType,
    binary: bool,
    context: InputContext,
}

impl Input {
    fn value(&self, bytes: &[u8]) -> Result<ScalarValue, PgError> {
        let format = if self.binary { FieldFormat::Binary } else { FieldFormat::Text };
        params::decode_param(0, Some(bytes), format, self.pg_type.oid, &self.context).map_err(|error| {
            // The words of parameters are those of a Bind message.
            let error = PgError::from(error);
            if error.message.starts_with("incorrect binary data format") {
                return PgError::with_state(error.sqlstate, "incorrect binary data format");
            }
            error
        })
    }

    fn reader<T: 'static>(self, take: impl Fn(ScalarValue) -> Option<T> + Send + 'static) -> Reader<T> {
        Box::new(move |bytes| {
            let value = self.value(bytes)?;
            take(value).ok_or_else(|| Refusal::from(another_type(self.pg_type)))
        })
    }

    fn text(self) -> TextReader {
        let Self { pg_type, context, .. } = self;
        Box::new(move |text| {
            // The text of both formats is the same.
            let value = params::parse_text(text, pg_type.oid, &context).map_err(PgError::from)?;
            match value {
                ScalarValue::Utf8View(Some(text)) if characters_max(pg_type).is_some() => {
                    Ok(fit_text(&text, pg_type)?.to_owned())
                }
                ScalarValue::Utf8View(Some(text)) => Ok(text),
                _ => Err(another_type(pg_type).into()),
            }
        })
    }

    fn numeric(self, precision: u8, scale: i8) -> Reader<i128> {
        let declared = self.pg_type.typmod >= 0;
        Box::new(move |bytes| {
            if !self.binary {
                return Ok(fit_numeric(
                    params::utf8(bytes).map_err(PgError::from)?,
                    precision,
                    scale,
                    declared,
                )?);
            }
            let invalid =
                |_| PgError::with_state(SqlState("22P03"), "invalid digit in external \"numeric\" value");
            let mut text = BytesMut::new();
            Numeric::from_binary(bytes).map_err(invalid)?.write_text(&mut text);
            Ok(fit_numeric(&String::from_utf8_lossy(&text), precision, scale, declared)?)
        })
    }

    /// Values as arrays of one row, in the column's own type.
    fn array(self) -> Reader<ArrayRef> {
        let data_type = self.pg_type.data_type();
        Box::new(move |bytes| {
            let array =
                self.value(bytes)?.to_array().map_err(|error| PgError::from_datafusion(error, None))?;
            if array.data_type() == &data_type {
                return Ok(array);
            }
            super::arrow_stream::fit(&array, self.pg_type).map_err(Refusal::from)
        })
    }
}

fn another_type(pg_type: PgType) -> PgError {
    PgError::new(
        quickdb_executor::error::ErrorKind::Internal,
        format!("the input function of {pg_type} gives another type"),
    )
}

/// The elements of an array in text.
fn elements() -> Reader<Vec<Option<String>>> {
    Box::new(|bytes| {
        let text = params::utf8(bytes).map_err(PgError::from)?;
        let elements = params::array_elements(text).map_err(PgError::from)?;
        elements.ok_or_else(|| Refusal::from(PgError::from_datafusion(one_dimension_only(), None)))
    })
}
