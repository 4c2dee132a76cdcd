//! Fields of dates, times, timestamps and intervals: `extract` (numeric) and `date_part` (double precision).
//!
//! Instants are looked at in the session's time zone.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::calendar::{
    DATE_INFINITY, DATE_MINUS_INFINITY, MICROS_PER_DAY, MICROS_PER_SECOND, TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY, UNIX_EPOCH_JULIAN, civil_from_days, days_from_civil, days_since_monday,
    iso_week, split_micros,
};
use crate::datetime::units::DateField;
use crate::datetime::{DateTimeSettings, Interval, TimeZone};
use crate::error::ErrorKind;
use crate::functions::cast::texts;
use crate::functions::function::{Function, arg, error, internal, is_text, over_arrays};
use crate::functions::temporal::{INTERVAL, TIME};
use crate::functions::type_names::{pg_type_name, timestamp, timestamptz};

/// Digits after the point of a Julian day with a time, as many as PostgreSQL shows of most.
const JULIAN_SCALE: i8 = 20;

/// Both.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "extract",
            |types| sources(types, |moment| moment),
            extract_type,
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| {
                    let DataType::Decimal128(precision, scale) = *args.return_type() else {
                        return Err(internal("extract is numeric"));
                    };
                    let values: Decimal128Array = fields(arrays, &settings.time_zone, |value| match value {
                        Value::Exact(value, own) => crate::functions::decimal::rescale(value, own, scale),
                        Value::Infinite { .. } => Err(error(
                            ErrorKind::Unsupported,
                            "numeric values that are not finite are not supported",
                        )),
                    })?
                    .into();
                    Ok(Arc::new(values.with_precision_and_scale(precision, scale)?) as ArrayRef)
                })
            },
        )
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "date_part",
            // A date is a timestamp to it, and has hours.
            |types| sources(types, |moment| if moment == DataType::Date32 { timestamp() } else { moment }),
            |_, _| Ok(DataType::Float64),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| {
                    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL's date_part is a double too")]
                    let values: Float64Array = fields(arrays, &settings.time_zone, |value| {
                        Ok(match value {
                            Value::Exact(value, scale) => value as f64 / 10_f64.powi(i32::from(scale)),
                            Value::Infinite { positive: true } => f64::INFINITY,
                            Value::Infinite { positive: false } => f64::NEG_INFINITY,
                        })
                    })?
                    .into();
                    Ok(Arc::new(values) as ArrayRef)
                })
            },
        )
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
    ]
}

fn sources(types: &[DataType], source: impl Fn(DataType) -> DataType) -> Option<Vec<DataType>> {
    let [field, moment] = types else { return None };
    if !is_text(field) {
        return None;
    }
    let moment = match moment {
        DataType::Date32 => DataType::Date32,
        DataType::Timestamp(_, None) | DataType::Utf8 | DataType::Null => timestamp(),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        _ => return None,
    };
    // The name keeps its type: a literal under a cast would not be known for one, and the scale depends on it.
    Some(vec![field.clone(), source(moment)])
}

/// PostgreSQL's digits after the point, which depend on the field.
fn extract_type(types: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
    let field = literals.first().copied().flatten().and_then(|value| value.try_as_str()).flatten();
    let is_date = matches!(types.get(1), Some(DataType::Date32));
    let scale = match field.map(|name| DateField::named(&name.to_lowercase())) {
        None => 6,
        Some(Some(DateField::Second | DateField::Epoch)) if !is_date => 6,
        Some(Some(DateField::Millisecond)) => 3,
        Some(Some(DateField::Julian)) if !is_date => JULIAN_SCALE,
        Some(_) => 0,
    };
    Ok(DataType::Decimal128(38, scale))
}

/// A field's value.
#[derive(Clone, Copy)]
enum Value {
    /// A number without its point, and the digits after it.
    Exact(i128, i8),
    /// Of an infinite date or timestamp.
    Infinite { positive: bool },
}

fn whole(value: i64) -> Value {
    Value::Exact(value.into(), 0)
}

/// The field of each row, in the form that `convert` gives it.
fn fields<T>(
    arrays: &[ArrayRef],
    zone: &TimeZone,
    convert: impl Fn(Value) -> Result<T>,
) -> Result<Vec<Option<T>>> {
    let names = texts(arg(arrays, 0)?)?;
    let moments = arg(arrays, 1)?;
    let type_name = pg_type_name(moments.data_type());
    let mut known: Option<(&str, DateField)> = None;
    (0..moments.len())
        .map(|row| {
            if names.is_null(row) || moments.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row);
            let field = match known {
                Some((same, field)) if same == name => field,
                _ => {
                    let found = DateField::named(&name.to_lowercase());
                    let field = found.ok_or_else(|| unknown_field(name, &type_name))?;
                    known = Some((name, field));
                    field
                }
            };
            let value = value_of(field, moments, row, zone).ok_or_else(|| no_field(name, &type_name))?;
            value.map(&convert).transpose()
        })
        .collect()
}

/// 22023: no type has such a field.
pub(crate) fn unknown_field(name: &str, type_name: &str) -> DataFusionError {
    error(
        ErrorKind::InvalidParameter,
        format!("unit \"{}\" not recognized for type {type_name}", name.to_lowercase()),
    )
}

/// 0A000: the type does not have the field.
pub(crate) fn no_field(name: &str, type_name: &str) -> DataFusionError {
    error(
        ErrorKind::Unsupported,
        format!("unit \"{}\" not supported for type {type_name}", name.to_lowercase()),
    )
}

/// The field at a row; `None` where the type does not have it, `Some(None)` where its value is NULL.
#[expect(clippy::option_option, reason = "no such field is something else than no value")]
fn value_of(field: DateField, moments: &ArrayRef, row: usize, zone: &TimeZone) -> Option<Option<Value>> {
    let infinite = |positive| (!field.comes_round()).then_some(Value::Infinite { positive });
    match moments.data_type() {
        DataType::Date32 => {
            let days = moments.as_primitive::<Date32Type>().value(row);
            let value = date_field(field, days.into())?;
            Some(match days {
                DATE_INFINITY => infinite(true),
                DATE_MINUS_INFINITY => infinite(false),
                _ => Some(value),
            })
        }
        DataType::Timestamp(_, zoned) => {
            let utc = moments.as_primitive::<TimestampMicrosecondType>().value(row);
            let zone = zoned.is_some().then_some(zone);
            let finite = !matches!(utc, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY);
            let value = timestamp_field(field, if finite { utc } else { 0 }, zone)?;
            Some(if finite { Some(value) } else { infinite(utc == TIMESTAMP_INFINITY) })
        }
        DataType::Time64(_) => {
            let time = moments.as_primitive::<Time64MicrosecondType>().value(row);
            Some(Some(match field {
                DateField::Epoch => Value::Exact(time.into(), 6),
                field => time_field(field, time)?,
            }))
        }
        _ => {
            let interval = moments.as_primitive::<IntervalMonthDayNanoType>().value(row);
            interval_field(field, interval.into()).map(Some)
        }
    }
}

fn timestamp_field(field: DateField, utc: i64, zone: Option<&TimeZone>) -> Option<Value> {
    let east = zone.map(|zone| i64::from(zone.offset_at_micros(utc)));
    let (days, time) = split_micros(utc.saturating_add(east.unwrap_or(0) * MICROS_PER_SECOND));
    Some(match (field, east) {
        (DateField::Epoch, _) => Value::Exact(utc.into(), 6),
        (DateField::Zone, Some(east)) => whole(east),
        (DateField::ZoneHour, Some(east)) => whole(east / 3600),
        (DateField::ZoneMinute, Some(east)) => whole(east / 60 % 60),
        (DateField::Julian, _) => {
            // The fraction of the day, in the last of its digits.
            let one = 10_i128.pow(JULIAN_SCALE.unsigned_abs().into());
            let day = i128::from(days + UNIX_EPOCH_JULIAN) * one;
            let micros_per_day = i128::from(MICROS_PER_DAY);
            Value::Exact(day + (i128::from(time) * one + micros_per_day / 2) / micros_per_day, JULIAN_SCALE)
        }
        (field, _) => match time_field(field, time) {
            Some(value) => value,
            None => date_field(field, days)?,
        },
    })
}

fn date_field(field: DateField, days: i64) -> Option<Value> {
    let (year, month, day) = civil_from_days(days);
    // Years before the first count down from 1 BC, which is 0 inside.
    let shown = |year: i64| if year > 0 { year } else { year - 1 };
    let rounded_up = |unit: i64| {
        if year > 0 { (year + unit - 1) / unit } else { -((unit - 1 - (year - 1)) / unit) }
    };
    Some(whole(match field {
        DateField::Year => shown(year),
        DateField::Month => month,
        DateField::Day => day,
        DateField::Quarter => (month - 1) / 3 + 1,
        DateField::Decade => year.div_euclid(10),
        DateField::Century => rounded_up(100),
        DateField::Millennium => rounded_up(1000),
        DateField::DayOfWeek => (days_since_monday(days) + 1) % 7,
        DateField::IsoDayOfWeek => days_since_monday(days) + 1,
        DateField::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        DateField::Week => iso_week(days).1,
        DateField::IsoYear => shown(iso_week(days).0),
        DateField::Julian => days + UNIX_EPOCH_JULIAN,
        DateField::Epoch => days * 86_400,
        _ => return None,
    }))
}

fn time_field(field: DateField, micros: i64) -> Option<Value> {
    let seconds = micros / MICROS_PER_SECOND;
    let within_minute = i128::from(micros % (60 * MICROS_PER_SECOND));
    Some(match field {
        DateField::Hour => whole(seconds / 3600),
        DateField::Minute => whole(seconds / 60 % 60),
        DateField::Second => Value::Exact(within_minute, 6),
        DateField::Millisecond => Value::Exact(within_minute, 3),
        DateField::Microsecond => Value::Exact(within_minute, 0),
        _ => return None,
    })
}

fn interval_field(field: DateField, interval: Interval) -> Option<Value> {
    let (months, days) = (i64::from(interval.months), i64::from(interval.days));
    Some(match field {
        DateField::Year => whole(months / 12),
        DateField::Month => whole(months % 12),
        DateField::Day => whole(days),
        DateField::Quarter => whole(months % 12 / 3 + 1),
        DateField::Decade => whole(months / 120),
        DateField::Century => whole(months / 1_200),
        DateField::Millennium => whole(months / 12_000),
        // A year counts 365.25 days, a month beside it 30.
        DateField::Epoch => Value::Exact(
            i128::from(months / 12) * 31_557_600_000_000
                + i128::from(months % 12) * 2_592_000_000_000
                + i128::from(days) * i128::from(MICROS_PER_DAY)
                + i128::from(interval.micros),
            6,
        ),
        field => time_field(field, interval.micros)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_dates() {
        let check = |field: DateField, days: i64, expected: i128| {
            assert!(matches!(date_field(field, days), Some(Value::Exact(value, 0)) if value == expected));
        };
        let days = days_from_civil(2013, 2, 28);
        check(DateField::DayOfWeek, days, 4);
        check(DateField::DayOfYear, days, 59);
        check(DateField::Century, days_from_civil(2000, 1, 1), 20);
        check(DateField::Century, days_from_civil(-1, 1, 1), -1);
        check(DateField::Year, days_from_civil(0, 1, 1), -1);
        assert!(date_field(DateField::Hour, days).is_none());
    }
}
