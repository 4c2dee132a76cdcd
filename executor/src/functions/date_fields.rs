//! Fields of dates, times, timestamps and intervals: `extract` (numeric), `date_part` (double precision), `date_trunc`,
//! `age` and `timezone`.
//!
//! Instants are looked at in the session's time zone.

use std::sync::Arc;

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, PrimitiveArray};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    Time64MicrosecondType, TimestampMicrosecondType,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::error::ErrorKind;
use crate::functions::arithmetic::is_number;
use crate::functions::calendar::{
    civil_from_days, days_from_civil, days_in_month, days_since_monday, iso_week, split_micros,
};
use crate::functions::cast::{session_zone, texts};
use crate::functions::datetime_input::{offset_at, parse_zone, to_utc};
use crate::functions::decimal::rescale;
use crate::functions::function::{Function, arg, error, internal, is_text, over_arrays};
use crate::functions::temporal::{INTERVAL, MICROS_PER_DAY, TIME, interval_range, timestamp_range};
use crate::functions::type_names::{pg_type_name, timestamp, timestamptz};

const MICROS_PER_SECOND: i64 = 1_000_000;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("extract", field_of, extract_type, |args| {
            let zone = session_zone(args);
            over_arrays(args, |arrays| {
                let DataType::Decimal128(precision, scale) = *args.return_type() else {
                    return Err(internal("extract is numeric"));
                };
                let values: Decimal128Array = fields(arrays, zone)?
                    .into_iter()
                    .map(|value| match value {
                        Some(Value::Millionths(millionths)) => rescale(millionths, 6, scale).map(Some),
                        Some(Value::Infinite { .. }) => Err(error(
                            ErrorKind::Unsupported,
                            "numeric values that are not finite are not supported",
                        )),
                        None => Ok(None),
                    })
                    .collect::<Result<_>>()?;
                Ok(Arc::new(values.with_precision_and_scale(precision, scale)?) as ArrayRef)
            })
        })
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "date_part",
            field_of,
            |_, _| Ok(DataType::Float64),
            |args| {
                let zone = session_zone(args);
                over_arrays(args, |arrays| {
                    #[expect(clippy::cast_precision_loss, reason = "PostgreSQL's date_part is a double too")]
                    let values: Float64Array = fields(arrays, zone)?
                        .into_iter()
                        .map(|value| {
                            value.map(|value| match value {
                                Value::Millionths(millionths) => millionths as f64 / 1e6,
                                Value::Infinite { positive: true } => f64::INFINITY,
                                Value::Infinite { positive: false } => f64::NEG_INFINITY,
                            })
                        })
                        .collect();
                    Ok(Arc::new(values) as ArrayRef)
                })
            },
        )
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "date_trunc",
            |types| match types {
                [field, moment] if is_text(field) => {
                    let moment = match moment {
                        DataType::Date32 | DataType::Timestamp(_, Some(_)) => timestamptz(),
                        DataType::Timestamp(_, None) => timestamp(),
                        DataType::Interval(_) => INTERVAL,
                        DataType::Null | DataType::Utf8 => timestamptz(),
                        _ => return None,
                    };
                    Some(vec![DataType::Utf8View, moment])
                }
                _ => None,
            },
            |types, _| Ok(types.get(1).cloned().unwrap_or_else(timestamp)),
            |args| {
                let zone = session_zone(args);
                over_arrays(args, |arrays| truncate(arrays, zone))
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "age",
            |types| match types {
                [a, b] => {
                    let moment = |t: &DataType| match t {
                        DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null => {
                            Some(timestamp())
                        }
                        _ => None,
                    };
                    Some(vec![moment(a)?, moment(b)?])
                }
                _ => None,
            },
            |_, _| Ok(INTERVAL),
            |args| {
                over_arrays(args, |arrays| {
                    let later = arg(arrays, 0)?.as_primitive::<TimestampMicrosecondType>();
                    let earlier = arg(arrays, 1)?.as_primitive::<TimestampMicrosecondType>();
                    let ages: PrimitiveArray<IntervalMonthDayNanoType> =
                        later.iter().zip(earlier.iter()).map(|(a, b)| Some(age(a?, b?))).collect();
                    Ok(Arc::new(ages) as ArrayRef)
                })
            },
        )
        .udf(),
        Function::new(
            "make_interval",
            |types| {
                let fits = types.len() == 7 && types.iter().all(|t| is_number(t) || t.is_null());
                fits.then(|| [vec![DataType::Int64; 6], vec![DataType::Float64]].concat())
            },
            |_, _| Ok(INTERVAL),
            |args| over_arrays(args, make_interval),
        )
        .udf(),
        Function::new(
            "timezone",
            |types| match types {
                [zone, DataType::Timestamp(_, None)] if is_text(zone) => {
                    Some(vec![DataType::Utf8View, timestamp()])
                }
                [zone, DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Utf8]
                    if is_text(zone) =>
                {
                    Some(vec![DataType::Utf8View, timestamptz()])
                }
                _ => None,
            },
            |types, _| match types {
                [_, DataType::Timestamp(_, None)] => Ok(timestamptz()),
                _ => Ok(timestamp()),
            },
            |args| over_arrays(args, at_time_zone),
        )
        .udf(),
    ]
}

fn field_of(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [field, moment] if is_text(field) => {
            let moment = match moment {
                DataType::Date32 => DataType::Date32,
                DataType::Timestamp(_, None) | DataType::Utf8 | DataType::Null => timestamp(),
                DataType::Timestamp(_, Some(_)) => timestamptz(),
                DataType::Time32(_) | DataType::Time64(_) => TIME,
                DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
                _ => return None,
            };
            Some(vec![DataType::Utf8View, moment])
        }
        _ => None,
    }
}

/// Six digits after the point for seconds and the epoch, three for milliseconds, none for everything else.
fn extract_type(types: &[DataType], literals: &[Option<&ScalarValue>]) -> Result<DataType> {
    let field = literals.first().copied().flatten().and_then(|value| value.try_as_str()).flatten();
    let scale = match field.map(str::to_lowercase).as_deref() {
        Some("epoch" | "julian") if matches!(types.get(1), Some(DataType::Date32)) => 0,
        Some("second" | "seconds" | "epoch" | "julian") | None => 6,
        Some("milliseconds" | "millisecond" | "msec" | "ms") => 3,
        Some(_) => 0,
    };
    Ok(DataType::Decimal128(38, scale))
}

/// A field's value.
#[derive(Clone, Copy)]
enum Value {
    Millionths(i128),
    /// Of an infinite date or timestamp.
    Infinite {
        positive: bool,
    },
}

/// What a field of an infinite moment is: infinite for those that grow with time, NULL for those that come round.
fn infinite_field(name: &str, positive: bool) -> Option<Value> {
    let grows = matches!(
        name,
        "year" | "years" | "y" | "decade" | "century" | "millennium" | "julian" | "isoyear" | "epoch"
    );
    grows.then_some(Value::Infinite { positive })
}

/// The field of each row.
fn fields(arrays: &[ArrayRef], zone: Tz) -> Result<Vec<Option<Value>>> {
    let names = texts(arg(arrays, 0)?)?;
    let moments = arg(arrays, 1)?;
    let type_name = pg_type_name(moments.data_type());
    (0..moments.len())
        .map(|row| {
            if names.is_null(row) || moments.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row).to_lowercase();
            let infinite = match moments.data_type() {
                DataType::Date32 => match moments.as_primitive::<Date32Type>().value(row) {
                    i32::MAX => Some(true),
                    i32::MIN => Some(false),
                    _ => None,
                },
                DataType::Timestamp(..) => {
                    match moments.as_primitive::<TimestampMicrosecondType>().value(row) {
                        i64::MAX => Some(true),
                        i64::MIN => Some(false),
                        _ => None,
                    }
                }
                _ => None,
            };
            if let Some(positive) = infinite
                && (name == "epoch"
                    || date_field(&name, 0).is_some()
                    || moments.data_type() != &DataType::Date32 && time_field(&name, 0).is_some())
            {
                return Ok(infinite_field(&name, positive));
            }
            let value = match moments.data_type() {
                DataType::Date32 => {
                    let days = i64::from(moments.as_primitive::<Date32Type>().value(row));
                    date_field(&name, days)
                        .or_else(|| (name == "epoch").then_some(days * 86_400))
                        .map(in_millionths)
                }
                DataType::Timestamp(_, zoned) => {
                    let utc = moments.as_primitive::<TimestampMicrosecondType>().value(row);
                    let offset = if zoned.is_some() { i64::from(offset_at(utc, zone)) } else { 0 };
                    let (days, time) = split_micros(utc + offset * MICROS_PER_SECOND);
                    match name.as_str() {
                        "epoch" => Some(i128::from(utc)),
                        "timezone" if zoned.is_some() => Some(in_millionths(offset)),
                        "timezone_hour" if zoned.is_some() => Some(in_millionths(offset / 3600)),
                        "timezone_minute" if zoned.is_some() => Some(in_millionths(offset / 60 % 60)),
                        name => time_field(name, time).or_else(|| date_field(name, days).map(in_millionths)),
                    }
                }
                DataType::Time64(_) => {
                    let time = moments.as_primitive::<Time64MicrosecondType>().value(row);
                    if name == "epoch" { Some(i128::from(time)) } else { time_field(&name, time) }
                }
                _ => interval_field(&name, moments.as_primitive::<IntervalMonthDayNanoType>().value(row)),
            };
            value.map(|value| Some(Value::Millionths(value))).ok_or_else(|| no_field(&name, &type_name))
        })
        .collect()
}

fn no_field(name: &str, type_name: &str) -> datafusion::error::DataFusionError {
    let known =
        date_field(name, 0).is_some() || time_field(name, 0).is_some() || name.starts_with("timezone");
    let what = if known { "not supported" } else { "not recognized" };
    error(ErrorKind::InvalidParameter, format!("unit \"{name}\" {what} for type {type_name}"))
}

fn in_millionths(value: i64) -> i128 {
    i128::from(value) * 1_000_000
}

fn date_field(name: &str, days: i64) -> Option<i64> {
    let (year, month, day) = civil_from_days(days);
    // Years before the first count down from 1 BC, which is 0 inside.
    let shown_year = if year > 0 { year } else { year - 1 };
    Some(match name {
        "year" | "years" | "y" => shown_year,
        "month" | "months" | "mon" => month,
        "day" | "days" | "d" => day,
        "quarter" => (month - 1) / 3 + 1,
        "decade" => year.div_euclid(10),
        "century" => {
            if year > 0 {
                (year + 99) / 100
            } else {
                -((99 - (year - 1)) / 100)
            }
        }
        "millennium" => {
            if year > 0 {
                (year + 999) / 1000
            } else {
                -((999 - (year - 1)) / 1000)
            }
        }
        "dow" => (days_since_monday(days) + 1) % 7,
        "isodow" => days_since_monday(days) + 1,
        "doy" => days - days_from_civil(year, 1, 1) + 1,
        "week" => iso_week(days).1,
        "isoyear" => match iso_week(days).0 {
            year if year > 0 => year,
            year => year - 1,
        },
        "julian" => days + 2_440_588,
        _ => return None,
    })
}

fn time_field(name: &str, micros: i64) -> Option<i128> {
    let seconds = micros / MICROS_PER_SECOND;
    Some(match name {
        "hour" | "hours" | "h" => in_millionths(seconds / 3600),
        "minute" | "minutes" | "min" | "m" => in_millionths(seconds / 60 % 60),
        "second" | "seconds" | "sec" | "s" => i128::from(micros % (60 * MICROS_PER_SECOND)),
        "millisecond" | "milliseconds" | "msec" | "ms" => {
            i128::from(micros % (60 * MICROS_PER_SECOND)) * 1_000
        }
        "microsecond" | "microseconds" | "usec" | "us" => in_millionths(micros % (60 * MICROS_PER_SECOND)),
        _ => return None,
    })
}

fn interval_field(name: &str, interval: IntervalMonthDayNano) -> Option<i128> {
    let (months, days) = (i64::from(interval.months), i64::from(interval.days));
    let micros = interval.nanoseconds / 1_000;
    let whole = |value: i64| Some(in_millionths(value));
    match name {
        "year" | "years" => whole(months / 12),
        "month" | "months" => whole(months % 12),
        "day" | "days" => whole(days),
        "quarter" => whole(months % 12 / 3 + 1),
        "decade" => whole(months / 120),
        "century" => whole(months / 1_200),
        "millennium" => whole(months / 12_000),
        "hour" | "hours" => whole(micros / 3_600_000_000),
        // A year counts 365.25 days, a month beside it 30: PostgreSQL's `interval_part`.
        "epoch" => Some(
            i128::from(months / 12) * 31_557_600_000_000
                + i128::from(months % 12) * 2_592_000_000_000
                + i128::from(days) * i128::from(MICROS_PER_DAY)
                + i128::from(micros),
        ),
        name => time_field(name, micros % 3_600_000_000),
    }
}

/// What is before the field stays, what is after it is zero.
fn truncate(arrays: &[ArrayRef], zone: Tz) -> Result<ArrayRef> {
    let names = texts(arg(arrays, 0)?)?;
    let moments = arg(arrays, 1)?;
    if let DataType::Interval(_) = moments.data_type() {
        let intervals = moments.as_primitive::<IntervalMonthDayNanoType>();
        let truncated: PrimitiveArray<IntervalMonthDayNanoType> = (0..intervals.len())
            .map(|row| {
                if names.is_null(row) || intervals.is_null(row) {
                    return Ok(None);
                }
                truncate_interval(&names.value(row).to_lowercase(), intervals.value(row)).map(Some)
            })
            .collect::<Result<_>>()?;
        return Ok(Arc::new(truncated));
    }
    let zoned = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
    let type_name = pg_type_name(moments.data_type());
    let values = moments.as_primitive::<TimestampMicrosecondType>();
    let truncated: PrimitiveArray<TimestampMicrosecondType> = (0..values.len())
        .map(|row| {
            if names.is_null(row) || values.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row).to_lowercase();
            let moment = values.value(row);
            let local =
                if zoned { moment + i64::from(offset_at(moment, zone)) * MICROS_PER_SECOND } else { moment };
            let local = truncate_local(&name, local).ok_or_else(|| no_field(&name, &type_name))?;
            Ok(Some(if zoned { to_utc(local, zone) } else { local }))
        })
        .collect::<Result<_>>()?;
    Ok(if zoned { Arc::new(truncated.with_timezone("UTC")) } else { Arc::new(truncated) })
}

fn truncate_local(name: &str, local: i64) -> Option<i64> {
    let (days, time) = split_micros(local);
    let (year, month, _) = civil_from_days(days);
    let step = match name {
        "microsecond" | "microseconds" => Some(1),
        "millisecond" | "milliseconds" => Some(1_000),
        "second" | "seconds" => Some(MICROS_PER_SECOND),
        "minute" | "minutes" => Some(60 * MICROS_PER_SECOND),
        "hour" | "hours" => Some(3_600 * MICROS_PER_SECOND),
        _ => None,
    };
    if let Some(step) = step {
        return Some(local - time % step);
    }
    let first = match name {
        "day" | "days" => days,
        "week" | "weeks" => days - days_since_monday(days),
        "month" | "months" => days_from_civil(year, month, 1),
        "quarter" => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        "year" | "years" => days_from_civil(year, 1, 1),
        "decade" => days_from_civil(year.div_euclid(10) * 10, 1, 1),
        "century" => days_from_civil((year - 1).div_euclid(100) * 100 + 1, 1, 1),
        "millennium" => days_from_civil((year - 1).div_euclid(1000) * 1000 + 1, 1, 1),
        _ => return None,
    };
    Some(first * MICROS_PER_DAY)
}

fn truncate_interval(name: &str, interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let months = |unit: i32| Ok(IntervalMonthDayNano::new(interval.months / unit * unit, 0, 0));
    let nanos = |unit: i64| {
        Ok(IntervalMonthDayNano::new(interval.months, interval.days, interval.nanoseconds / unit * unit))
    };
    match name {
        "millennium" => months(12_000),
        "century" => months(1_200),
        "decade" => months(120),
        "year" | "years" => months(12),
        "quarter" => months(3),
        "month" | "months" => months(1),
        "day" | "days" => Ok(IntervalMonthDayNano::new(interval.months, interval.days, 0)),
        "hour" | "hours" => nanos(3_600_000_000_000),
        "minute" | "minutes" => nanos(60_000_000_000),
        "second" | "seconds" => nanos(1_000_000_000),
        "millisecond" | "milliseconds" => nanos(1_000_000),
        "microsecond" | "microseconds" => nanos(1_000),
        other => Err(no_field(other, "interval")),
    }
}

/// Years, months and days between two moments on the calendar, with the sign of the difference.
fn age(later: i64, earlier: i64) -> IntervalMonthDayNano {
    if later < earlier {
        let positive = age(earlier, later);
        return IntervalMonthDayNano::new(-positive.months, -positive.days, -positive.nanoseconds);
    }
    let ((later_days, later_time), (earlier_days, earlier_time)) =
        (split_micros(later), split_micros(earlier));
    let ((y1, m1, d1), (y2, m2, d2)) = (civil_from_days(later_days), civil_from_days(earlier_days));
    let (mut months, mut days, mut time) = ((y1 - y2) * 12 + m1 - m2, d1 - d2, later_time - earlier_time);
    if time < 0 {
        time += MICROS_PER_DAY;
        days -= 1;
    }
    if days < 0 {
        // The days of the month in which the earlier moment is.
        days += days_in_month(y2, m2);
        months -= 1;
    }
    let narrow = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    IntervalMonthDayNano::new(narrow(months), narrow(days), time * 1_000)
}

/// Years, months, weeks, days, hours, minutes and seconds to an interval.
fn make_interval(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let int = |index: usize| -> Result<&PrimitiveArray<Int64Type>> { Ok(arg(arrays, index)?.as_primitive()) };
    let [years, months, weeks, days, hours, minutes] = [int(0)?, int(1)?, int(2)?, int(3)?, int(4)?, int(5)?];
    let seconds = arg(arrays, 6)?.as_primitive::<Float64Type>();
    let intervals: PrimitiveArray<IntervalMonthDayNanoType> = (0..seconds.len())
        .map(|row| {
            let null = arrays.iter().any(|array| array.is_null(row));
            if null {
                return Ok(None);
            }
            let total = |a: i64, size: i64, b: i64| {
                a.checked_mul(size).and_then(|a| a.checked_add(b)).and_then(|sum| i32::try_from(sum).ok())
            };
            let micros = seconds.value(row) * 1e6;
            let clock = hours.value(row).checked_mul(60).and_then(|h| h.checked_add(minutes.value(row)));
            let clock = clock.and_then(|minutes| minutes.checked_mul(60_000_000));
            let in_range = micros.abs() < 9.0e15;
            match (
                total(years.value(row), 12, months.value(row)),
                total(weeks.value(row), 7, days.value(row)),
                clock,
            ) {
                (Some(months), Some(days), Some(clock)) if in_range => {
                    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
                    let nanos =
                        clock.checked_add(micros.round_ties_even() as i64).and_then(|m| m.checked_mul(1_000));
                    let nanos = nanos.ok_or_else(interval_range)?;
                    Ok(Some(IntervalMonthDayNano::new(months, days, nanos)))
                }
                _ => Err(interval_range()),
            }
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(intervals))
}

/// A local time in a zone to an instant, or an instant to the local time.
fn at_time_zone(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let names = texts(arg(arrays, 0)?)?;
    let moments = arg(arrays, 1)?;
    let zoned = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
    let values = moments.as_primitive::<TimestampMicrosecondType>();
    let mut cached: Option<(String, Tz)> = None;
    let moved: PrimitiveArray<TimestampMicrosecondType> = (0..values.len())
        .map(|row| {
            if names.is_null(row) || values.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row);
            let zone = match &cached {
                Some((known, zone)) if known == name => *zone,
                _ => {
                    let zone = parse_zone(name)?;
                    cached = Some((name.to_owned(), zone));
                    zone
                }
            };
            let moment = values.value(row);
            if zoned {
                let shift = i64::from(offset_at(moment, zone)) * MICROS_PER_SECOND;
                moment.checked_add(shift).map(Some).ok_or_else(timestamp_range)
            } else {
                Ok(Some(to_utc(moment, zone)))
            }
        })
        .collect::<Result<_>>()?;
    Ok(if zoned { Arc::new(moved) } else { Arc::new(moved.with_timezone("UTC")) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::datetime_input::parse_timestamp;
    use crate::functions::output::{format_interval, format_timestamp};

    fn moment(text: &str) -> i64 {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn truncation_keeps_what_is_before_the_field() {
        let at = moment("2013-05-17 10:37:42.5");
        let check = |field: &str, expected: &str| {
            assert_eq!(format_timestamp(truncate_local(field, at).unwrap()), expected, "{field}");
        };
        check("second", "2013-05-17 10:37:42");
        check("week", "2013-05-13 00:00:00");
        check("quarter", "2013-04-01 00:00:00");
        check("century", "2001-01-01 00:00:00");
        assert_eq!(truncate_local("fortnight", at), None);
    }

    #[test]
    fn ages_count_on_the_calendar() {
        let check = |a: &str, b: &str, expected: &str| {
            assert_eq!(format_interval(age(moment(a), moment(b))), expected)
        };
        check("2013-03-15", "2013-01-10", "2 mons 5 days");
        check("2001-04-10", "1957-06-13", "43 years 9 mons 27 days");
        check("2013-01-10", "2013-03-15", "-2 mons -5 days");
    }

    #[test]
    fn fields_of_dates() {
        let days = days_from_civil(2013, 2, 28);
        assert_eq!(date_field("dow", days), Some(4));
        assert_eq!(date_field("doy", days), Some(59));
        assert_eq!(date_field("century", days_from_civil(2000, 1, 1)), Some(20));
        assert_eq!(date_field("century", days_from_civil(-1, 1, 1)), Some(-1));
    }
}
