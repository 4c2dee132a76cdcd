//! Dates, times and timestamps made of their parts, and what else DataFusion lacks around them.
//!
//! | function | gives |
//! |---|---|
//! | `make_date`, `make_time`, `make_timestamp` | a moment of its parts; a negative year is one before Christ |
//! | `isfinite(x)` | whether a date or timestamp is none of the two infinities |
//! | `date_bin(stride, x, origin)` | the beginning of the stride that holds `x` |
//! | `moment_digits(x, n)` | `x` with `n` digits of a second, as `timestamp(n)` keeps them |
//!
//! Intervals between moments and of parts are in [`spans`](super::spans).

use std::sync::Arc;

use datafusion::arrow::datatypes::{
    DataType, Date32Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::datetime::calendar::{
    DATE_END, DATE_MIN, MICROS_PER_DAY, TIMESTAMP_END, TIMESTAMP_INFINITY, TIMESTAMP_MIN,
    TIMESTAMP_MINUS_INFINITY, days_from_civil, days_in_month,
};
use crate::error::ErrorKind;
use crate::functions::by_row::{Row, Takes, booleans, take, values};
use crate::functions::function::{Function, error, internal};
use crate::functions::temporal::{INTERVAL, NANOS_PER_MICRO, TIME, interval_range, timestamp_range};
use crate::functions::type_names::{timestamp, timestamptz};

const MICROS_PER_SECOND: f64 = 1e6;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    use Takes::{Float, Int};
    vec![
        Function::new(
            "make_date",
            |types| take(types, &[Int, Int, Int], 0),
            |_, _| Ok(DataType::Date32),
            |args| values::<Date32Type>(args, |row| day(row).map(Some)),
        )
        .udf(),
        Function::new(
            "make_time",
            |types| take(types, &[Int, Int, Float], 0),
            |_, _| Ok(TIME),
            |args| values::<Time64MicrosecondType>(args, |row| time(row, 0).map(Some)),
        )
        .udf(),
        Function::new(
            "make_timestamp",
            |types| take(types, &[Int, Int, Int, Int, Int, Float], 0),
            |_, _| Ok(timestamp()),
            |args| {
                values::<TimestampMicrosecondType>(args, |row| {
                    let micros = i64::from(day(row)?).checked_mul(MICROS_PER_DAY);
                    let micros = micros.and_then(|micros| micros.checked_add(time(row, 3).ok()?));
                    // An error of the time comes before that of the range.
                    time(row, 3)?;
                    let micros = micros.filter(|micros| (TIMESTAMP_MIN..TIMESTAMP_END).contains(micros));
                    micros.map(Some).ok_or_else(|| {
                        let shown = seconds_shown(row.float(5).unwrap_or_default());
                        let part = |index| row.int(index).unwrap_or_default();
                        let message = format!(
                            "timestamp out of range: {}-{:02}-{:02} {}:{:02}:{shown}",
                            part(0),
                            part(1),
                            part(2),
                            part(3),
                            part(4),
                        );
                        error(ErrorKind::DatetimeOutOfRange, message)
                    })
                })
            },
        )
        .udf(),
        Function::new(
            "isfinite",
            finite_types,
            |_, _| Ok(DataType::Boolean),
            |args| {
                let data_type = args.arg_fields.first().map(|field| field.data_type().clone());
                booleans(args, |row| {
                    Ok(Some(match &data_type {
                        Some(DataType::Date32) => !matches!(row.value::<Date32Type>(0)?, i32::MIN | i32::MAX),
                        Some(DataType::Interval(_)) => true,
                        _ => !matches!(row.value::<TimestampMicrosecondType>(0)?, i64::MIN | i64::MAX),
                    }))
                })
            },
        )
        .udf(),
        Function::new(
            "date_bin",
            bin_types,
            |types, _| types.get(1).cloned().ok_or_else(|| internal("date_bin of nothing")),
            |args| {
                values::<TimestampMicrosecondType>(args, |row| {
                    let (stride, at) = (row.interval(0)?, row.value::<TimestampMicrosecondType>(1)?);
                    bin(stride, at, row.value::<TimestampMicrosecondType>(2)?).map(Some)
                })
            },
        )
        .udf(),
        Function::new(
            "moment_digits",
            |types| match types {
                [DataType::Timestamp(_, None), _] => Some(vec![timestamp(), DataType::Int32]),
                [DataType::Timestamp(_, Some(_)), _] => Some(vec![timestamptz(), DataType::Int32]),
                [DataType::Time64(_), _] => Some(vec![TIME, DataType::Int32]),
                [DataType::Interval(_), _] => Some(vec![INTERVAL, DataType::Int32]),
                _ => None,
            },
            |types, _| types.first().cloned().ok_or_else(|| internal("the digits of nothing")),
            |args| {
                if matches!(args.return_type(), DataType::Time64(_)) {
                    return values::<Time64MicrosecondType>(args, |row| {
                        Ok(Some(with_digits(row.value::<Time64MicrosecondType>(0)?, row.int(1)?)))
                    });
                }
                if matches!(args.return_type(), DataType::Interval(_)) {
                    return values::<IntervalMonthDayNanoType>(args, |row| {
                        let interval = row.interval(0)?;
                        let micros = with_digits(interval.nanoseconds / NANOS_PER_MICRO, row.int(1)?);
                        let nanoseconds = micros.checked_mul(NANOS_PER_MICRO).ok_or_else(interval_range)?;
                        Ok(Some(IntervalMonthDayNano { nanoseconds, ..interval }))
                    });
                }
                values::<TimestampMicrosecondType>(args, |row| {
                    Ok(Some(with_digits(row.value::<TimestampMicrosecondType>(0)?, row.int(1)?)))
                })
            },
        )
        .udf(),
    ]
}

/// Rounds microseconds to digits of a second, half away from zero; infinities stay.
fn with_digits(micros: i64, digits: i32) -> i64 {
    let dropped = u32::try_from((6 - digits).clamp(0, 6)).unwrap_or(0);
    if dropped == 0 || matches!(micros, i64::MIN | i64::MAX) {
        return micros;
    }
    let unit = 10_i64.pow(dropped);
    let rounded = (micros.abs().saturating_add(unit / 2)) / unit * unit;
    if micros < 0 { -rounded } else { rounded }
}

fn finite_types(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Date32] => Some(vec![DataType::Date32]),
        [DataType::Timestamp(_, None)] => Some(vec![timestamp()]),
        [DataType::Timestamp(_, Some(_))] => Some(vec![timestamptz()]),
        [DataType::Interval(_)] => Some(vec![INTERVAL]),
        _ => None,
    }
}

fn bin_types(types: &[DataType]) -> Option<Vec<DataType>> {
    let unknown = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Null);
    let [stride, at, origin] = types else { return None };
    if !matches!(stride, DataType::Interval(_)) && !unknown(stride) {
        return None;
    }
    let moment = |t: &DataType| matches!(t, DataType::Date32 | DataType::Timestamp(..)) || unknown(t);
    if !moment(at) || !moment(origin) {
        return None;
    }
    let zoned = [at, origin].iter().any(|t| matches!(t, DataType::Timestamp(_, Some(_))));
    let moment = if zoned { timestamptz() } else { timestamp() };
    Some(vec![INTERVAL, moment.clone(), moment])
}

fn day(row: &Row<'_>) -> Result<i32> {
    let (year, month, day) = (i64::from(row.int(0)?), i64::from(row.int(1)?), i64::from(row.int(2)?));
    // There is no year 0; -1 is 1 BC, which the calendar counts as 0.
    let counted = if year < 0 { year + 1 } else { year };
    let valid = year != 0
        && u32::try_from(month).is_ok_and(|month| {
            (1..=12).contains(&month) && day >= 1 && day <= i64::from(days_in_month(counted, month))
        });
    let shown = || format!("{year}-{month:02}-{day:02}");
    if !valid {
        let message = format!("date field value out of range: {}", shown());
        return Err(error(ErrorKind::DatetimeOutOfRange, message));
    }
    let days = days_from_civil(counted, month, day);
    let in_range = (i64::from(DATE_MIN)..i64::from(DATE_END)).contains(&days);
    let days = i32::try_from(days).ok().filter(|_| in_range);
    days.ok_or_else(|| error(ErrorKind::DatetimeOutOfRange, format!("date out of range: {}", shown())))
}

/// Seconds as C's `%02g` prints them.
fn seconds_shown(second: f64) -> String {
    let text = second.to_string();
    if text.len() < 2 { format!("0{text}") } else { text }
}

/// Microseconds of the hour, minute and second at three places of a row.
fn time(row: &Row<'_>, at: usize) -> Result<i64> {
    let (hour, minute, second) = (row.int(at)?, row.int(at + 1)?, row.float(at + 2)?);
    let micros = (second * MICROS_PER_SECOND).round_ties_even();
    let valid = (0..=24).contains(&hour)
        && (0..=59).contains(&minute)
        && (0.0..=60.0).contains(&second)
        && (hour < 24 || minute == 0 && micros == 0.0);
    if !valid {
        let second = seconds_shown(second);
        let message = format!("time field value out of range: {hour}:{minute:02}:{second}");
        return Err(error(ErrorKind::DatetimeOutOfRange, message));
    }
    #[expect(clippy::cast_possible_truncation, reason = "60 seconds at most")]
    let micros = micros as i64;
    Ok((i64::from(hour) * 3_600 + i64::from(minute) * 60) * 1_000_000 + micros)
}

fn bin(stride: IntervalMonthDayNano, at: i64, origin: i64) -> Result<i64> {
    if stride.months != 0 {
        return Err(error(
            ErrorKind::Unsupported,
            "timestamps cannot be binned into intervals containing months or years",
        ));
    }
    if matches!(at, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY) {
        return Ok(at);
    }
    if matches!(origin, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY) {
        return Err(error(ErrorKind::DatetimeOutOfRange, "origin out of range"));
    }
    let days = i64::from(stride.days).checked_mul(MICROS_PER_DAY);
    let stride = days.and_then(|days| days.checked_add(stride.nanoseconds / NANOS_PER_MICRO));
    let stride = stride.ok_or_else(interval_range)?;
    if stride <= 0 {
        return Err(error(ErrorKind::DatetimeOutOfRange, "stride must be greater than zero"));
    }
    let passed = at.checked_sub(origin).ok_or_else(interval_range)?;
    let binned = passed.div_euclid(stride).checked_mul(stride).and_then(|since| origin.checked_add(since));
    binned.filter(|binned| *binned >= TIMESTAMP_MIN).ok_or_else(timestamp_range)
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    #[test]
    fn moments_are_made_of_parts() {
        let int = |value: i32| ScalarValue::Int32(Some(value));
        assert_eq!(
            call_named("make_date", &[int(1970), int(1), int(2)]).unwrap(),
            ScalarValue::Date32(Some(1))
        );
        assert!(call_named("make_date", &[int(2013), int(2), int(29)]).is_err());
        assert!(call_named("make_date", &[int(0), int(2), int(1)]).is_err());
        assert!(call_named("make_time", &[int(24), int(0), ScalarValue::Float64(Some(0.5))]).is_err());
    }
}
