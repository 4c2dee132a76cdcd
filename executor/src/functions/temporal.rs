//! Arithmetic of dates, times, timestamps and intervals.
//!
//! | operands | result |
//! |---|---|
//! | date ± integer | date |
//! | date - date | integer (days) |
//! | date ± interval, date + time | timestamp |
//! | timestamp ± interval | timestamp, with or without zone |
//! | timestamp - timestamp | interval of days and a time |
//! | time ± interval | time, modulo a day |
//! | time - time | interval |
//! | interval ± interval | interval, field by field |
//! | interval * or / number | interval, fractions carried to the smaller fields |
//!
//! Intervals are kept as months, days and nanoseconds.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Datum, IntervalMonthDayNanoArray, PrimitiveArray,
};
use datafusion::arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
    IntervalUnit, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::Result;

use crate::datetime::TimeZone;
use crate::datetime::calendar::{
    DATE_END, DATE_INFINITY, DATE_MIN, DATE_MINUS_INFINITY, MICROS_PER_DAY, TIMESTAMP_END,
    TIMESTAMP_INFINITY, TIMESTAMP_MIN, TIMESTAMP_MINUS_INFINITY, civil_from_days, days_from_civil,
    days_in_month, split_micros,
};
use crate::error::ErrorKind;
use crate::functions::arithmetic::{Arithmetic, is_number};
use crate::functions::function::{error, internal, is_int};
use crate::functions::type_names::{timestamp, timestamptz};

pub(crate) const NANOS_PER_MICRO: i64 = 1_000;
const NANOS_PER_DAY: i64 = MICROS_PER_DAY * NANOS_PER_MICRO;
const SECONDS_PER_DAY: f64 = 86_400.0;

pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
pub(crate) const TIME: DataType = DataType::Time64(TimeUnit::Microsecond);

/// The type that a literal of no type takes beside an operand of the type `other`.
pub(crate) fn partner_of(op: Arithmetic, other: &DataType) -> DataType {
    match (op, other) {
        (Arithmetic::Multiply | Arithmetic::Divide, DataType::Interval(_)) => DataType::Float64,
        (Arithmetic::Add, DataType::Timestamp(..) | DataType::Time64(_) | DataType::Time32(_)) => INTERVAL,
        (Arithmetic::Add, DataType::Date32) => DataType::Int32,
        _ => other.clone(),
    }
}

/// The types that the operands are cast to, or `None` where PostgreSQL has no such operator.
pub(crate) fn coerce(op: Arithmetic, left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    let (left, right) = (canonical(left), canonical(right));
    let keep = || Some((left.clone(), right.clone()));
    match (op, &left, &right) {
        (Add | Subtract, DataType::Date32, int) if is_int(int) => Some((left, DataType::Int32)),
        (Add, int, DataType::Date32) if is_int(int) => Some((DataType::Int32, right)),
        (Subtract, DataType::Date32, DataType::Date32) => keep(),
        (Add | Subtract, DataType::Date32, DataType::Interval(_)) => Some((timestamp(), right)),
        (Add, DataType::Interval(_), DataType::Date32) => Some((left, timestamp())),
        (Add, DataType::Date32, DataType::Time64(_)) => Some((timestamp(), right)),
        (Add, DataType::Time64(_), DataType::Date32) => Some((left, timestamp())),
        (Add, DataType::Timestamp(..), DataType::Time64(_))
        | (Add, DataType::Time64(_), DataType::Timestamp(..)) => keep(),
        (Add | Subtract, DataType::Timestamp(..) | DataType::Time64(_), DataType::Interval(_)) => keep(),
        (Add, DataType::Interval(_), DataType::Timestamp(..) | DataType::Time64(_)) => keep(),
        (Subtract, DataType::Timestamp(_, None), DataType::Timestamp(_, None)) => keep(),
        (Subtract, DataType::Timestamp(..), DataType::Timestamp(..)) => Some((timestamptz(), timestamptz())),
        (Subtract, DataType::Date32, DataType::Timestamp(..)) => Some((right.clone(), right)),
        (Subtract, DataType::Timestamp(..), DataType::Date32) => Some((left.clone(), left)),
        (Subtract, DataType::Time64(_), DataType::Time64(_)) => keep(),
        (Add | Subtract, DataType::Interval(_), DataType::Interval(_)) => keep(),
        (Multiply, DataType::Interval(_), number) if is_number(number) => Some((left, DataType::Float64)),
        (Multiply, number, DataType::Interval(_)) if is_number(number) => Some((DataType::Float64, right)),
        (Divide, DataType::Interval(_), number) if is_number(number) => Some((left, DataType::Float64)),
        _ => None,
    }
}

fn canonical(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(_, None) => timestamp(),
        DataType::Timestamp(_, Some(_)) => timestamptz(),
        DataType::Time32(_) | DataType::Time64(_) => TIME,
        DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
        DataType::Date64 => DataType::Date32,
        other => other.clone(),
    }
}

/// The type of the result for operands that [`coerce`] has chosen.
pub(crate) fn returns(op: Arithmetic, left: &DataType, right: &DataType) -> Option<DataType> {
    Some(match (op, left, right) {
        (Arithmetic::Subtract, DataType::Date32, DataType::Date32) => DataType::Int32,
        (_, DataType::Date32, _) | (_, _, DataType::Date32) => DataType::Date32,
        (Arithmetic::Subtract, DataType::Timestamp(..), DataType::Timestamp(..)) => INTERVAL,
        (_, DataType::Timestamp(..), _) => left.clone(),
        (_, _, DataType::Timestamp(..)) => right.clone(),
        (Arithmetic::Subtract, DataType::Time64(_), DataType::Time64(_)) => INTERVAL,
        (_, DataType::Time64(_), _) | (_, _, DataType::Time64(_)) => TIME,
        (_, DataType::Interval(_), _) | (_, _, DataType::Interval(_)) => INTERVAL,
        _ => return None,
    })
}

/// Computes `left op right`; days and months of instants are those of the session's zone.
pub(crate) fn evaluate(
    op: Arithmetic,
    left: &dyn Datum,
    right: &dyn Datum,
    zone: &TimeZone,
) -> Result<ArrayRef> {
    let (left_type, right_type) = (left.get().0.data_type().clone(), right.get().0.data_type().clone());
    match (op, &left_type, &right_type) {
        (Arithmetic::Add, _, DataType::Date32 | DataType::Timestamp(..))
        | (Arithmetic::Add, DataType::Interval(_), DataType::Time64(_))
        | (Arithmetic::Multiply, _, DataType::Interval(_)) => evaluate(op, right, left, zone),
        (Arithmetic::Subtract, DataType::Date32, DataType::Date32) => {
            binary::<Date32Type, Date32Type, Int32Type>(left, right, |a, b| {
                let infinite = |days| matches!(days, DATE_INFINITY | DATE_MINUS_INFINITY);
                if infinite(a) || infinite(b) {
                    return Err(error(ErrorKind::DatetimeOutOfRange, "cannot subtract infinite dates"));
                }
                a.checked_sub(b).ok_or_else(date_range)
            })
        }
        (Arithmetic::Add, DataType::Date32, _) => {
            binary::<Date32Type, Int32Type, Date32Type>(left, right, |a, b| shift_date(a, a.checked_add(b)))
        }
        (Arithmetic::Subtract, DataType::Date32, _) => {
            binary::<Date32Type, Int32Type, Date32Type>(left, right, |a, b| shift_date(a, a.checked_sub(b)))
        }
        (Arithmetic::Subtract, DataType::Timestamp(..), DataType::Timestamp(..)) => {
            binary::<TimestampMicrosecondType, TimestampMicrosecondType, IntervalMonthDayNanoType>(
                left,
                right,
                |a, b| {
                    if is_infinite(a) || is_infinite(b) {
                        let message = "cannot subtract infinite timestamps";
                        return Err(error(ErrorKind::DatetimeOutOfRange, message));
                    }
                    let micros = a.checked_sub(b).ok_or_else(interval_range)?;
                    interval_of_micros(micros)
                },
            )
        }
        (Arithmetic::Add, DataType::Timestamp(..), DataType::Time64(_)) => {
            let sum = binary::<TimestampMicrosecondType, Time64MicrosecondType, TimestampMicrosecondType>(
                left,
                right,
                |a, b| if is_infinite(a) { Ok(a) } else { within_range(a.checked_add(b)) },
            )?;
            Ok(datafusion::arrow::compute::cast(&sum, &left_type)?)
        }
        (_, DataType::Timestamp(_, zoned), DataType::Interval(_)) => {
            let zone = zoned.is_some().then_some(zone);
            let back = op == Arithmetic::Subtract;
            let sum = binary::<TimestampMicrosecondType, IntervalMonthDayNanoType, TimestampMicrosecondType>(
                left,
                right,
                |moment, interval| {
                    let interval = if back { negated(interval)? } else { interval };
                    add_interval(moment, interval, zone)
                },
            )?;
            Ok(datafusion::arrow::compute::cast(&sum, &left_type)?)
        }
        (Arithmetic::Subtract, DataType::Time64(_), DataType::Time64(_)) => {
            binary::<Time64MicrosecondType, Time64MicrosecondType, IntervalMonthDayNanoType>(
                left,
                right,
                |a, b| Ok(IntervalMonthDayNano::new(0, 0, (a - b) * NANOS_PER_MICRO)),
            )
        }
        (Arithmetic::Add, DataType::Time64(_), DataType::Interval(_)) => shift_time(left, right, 1),
        (Arithmetic::Subtract, DataType::Time64(_), DataType::Interval(_)) => shift_time(left, right, -1),
        (Arithmetic::Add, DataType::Interval(_), DataType::Interval(_)) => {
            binary::<IntervalMonthDayNanoType, IntervalMonthDayNanoType, IntervalMonthDayNanoType>(
                left,
                right,
                |a, b| combine(a, b, i32::checked_add, i64::checked_add),
            )
        }
        (Arithmetic::Subtract, DataType::Interval(_), DataType::Interval(_)) => {
            binary::<IntervalMonthDayNanoType, IntervalMonthDayNanoType, IntervalMonthDayNanoType>(
                left,
                right,
                |a, b| combine(a, b, i32::checked_sub, i64::checked_sub),
            )
        }
        (Arithmetic::Multiply, DataType::Interval(_), _) => {
            binary::<IntervalMonthDayNanoType, Float64Type, IntervalMonthDayNanoType>(left, right, |a, b| {
                scale_interval(a, |value| value * b)
            })
        }
        (Arithmetic::Divide, DataType::Interval(_), _) => {
            binary::<IntervalMonthDayNanoType, Float64Type, IntervalMonthDayNanoType>(left, right, |a, b| {
                if b == 0.0 {
                    return Err(error(ErrorKind::DivisionByZero, "division by zero"));
                }
                scale_interval(a, |value| value / b)
            })
        }
        _ => Err(internal(format!("no arithmetic for {left_type} {} {right_type}", op.sign()))),
    }
}

fn binary<L: ArrowPrimitiveType, R: ArrowPrimitiveType, O: ArrowPrimitiveType>(
    left: &dyn Datum,
    right: &dyn Datum,
    compute: impl Fn(L::Native, R::Native) -> Result<O::Native>,
) -> Result<ArrayRef> {
    let ((left, left_constant), (right, right_constant)) = (left.get(), right.get());
    let (left, right) = (left.as_primitive::<L>(), right.as_primitive::<R>());
    let rows = if left_constant { right.len() } else { left.len() };
    let values: PrimitiveArray<O> = (0..rows)
        .map(|row| {
            let left_row = if left_constant { 0 } else { row };
            let right_row = if right_constant { 0 } else { row };
            if left.is_null(left_row) || right.is_null(right_row) {
                return Ok(None);
            }
            compute(left.value(left_row), right.value(right_row)).map(Some)
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values))
}

/// An interval of whole days and a time below one day, as the difference of two timestamps is.
pub(crate) fn interval_of_micros(micros: i64) -> Result<IntervalMonthDayNano> {
    let days = i32::try_from(micros / MICROS_PER_DAY).map_err(|_| interval_range())?;
    Ok(IntervalMonthDayNano::new(0, days, micros % MICROS_PER_DAY * NANOS_PER_MICRO))
}

fn combine(
    a: IntervalMonthDayNano,
    b: IntervalMonthDayNano,
    narrow: fn(i32, i32) -> Option<i32>,
    wide: fn(i64, i64) -> Option<i64>,
) -> Result<IntervalMonthDayNano> {
    let parts = (narrow(a.months, b.months), narrow(a.days, b.days), wide(a.nanoseconds, b.nanoseconds));
    match parts {
        (Some(months), Some(days), Some(nanos)) => Ok(IntervalMonthDayNano::new(months, days, nanos)),
        _ => Err(interval_range()),
    }
}

/// Scales every field and carries the fractions down, a month counting 30 days: `interval_mul` and `interval_div` of
/// PostgreSQL.
#[expect(clippy::cast_possible_truncation, reason = "every value is range-checked, or below a month of days")]
fn scale_interval(
    interval: IntervalMonthDayNano,
    scale: impl Fn(f64) -> f64,
) -> Result<IntervalMonthDayNano> {
    let in_range = |value: f64| value > f64::from(i32::MIN) - 1.0 && value < f64::from(i32::MAX) + 1.0;
    let (scaled_months, scaled_days) = (scale(interval.months.into()), scale(interval.days.into()));
    if !in_range(scaled_months) || !in_range(scaled_days) {
        return Err(interval_range());
    }
    let (months, days) = (scaled_months.trunc(), scaled_days.trunc());
    let days_of_months = round_to_micro((scaled_months - months) * 30.0);
    let mut seconds =
        round_to_micro((scaled_days - days + days_of_months - days_of_months.trunc()) * SECONDS_PER_DAY);
    let mut days = days as i64;
    if seconds.abs() >= SECONDS_PER_DAY {
        let whole = (seconds / SECONDS_PER_DAY).trunc();
        days += whole as i64;
        seconds -= whole * SECONDS_PER_DAY;
    }
    days += days_of_months.trunc() as i64;
    #[expect(clippy::cast_precision_loss, reason = "as in PostgreSQL")]
    let micros = (scale((interval.nanoseconds / NANOS_PER_MICRO) as f64) + seconds * 1e6).round_ties_even();
    if micros.is_nan() || micros.abs() >= 9.2e18 {
        return Err(interval_range());
    }
    let days = i32::try_from(days).map_err(|_| interval_range())?;
    let nanos = (micros as i64).checked_mul(NANOS_PER_MICRO).ok_or_else(interval_range)?;
    Ok(IntervalMonthDayNano::new(months as i32, days, nanos))
}

/// What lies at a share of the way from one interval to another.
pub(crate) fn interval_between(
    low: IntervalMonthDayNano,
    high: IntervalMonthDayNano,
    share: f64,
) -> Result<IntervalMonthDayNano> {
    let span = combine(high, low, i32::checked_sub, i64::checked_sub)?;
    combine(low, scale_interval(span, |value| value * share)?, i32::checked_add, i64::checked_add)
}

/// Adds months, then days, then the rest; the days and months of an instant are its zone's.
pub(crate) fn add_interval(
    moment: i64,
    interval: IntervalMonthDayNano,
    zone: Option<&TimeZone>,
) -> Result<i64> {
    if is_infinite(moment) {
        return Ok(moment);
    }
    let mut at = moment;
    if interval.months != 0 || interval.days != 0 {
        let local = zone.map_or(at, |zone| zone.to_local(at));
        let (mut days, time) = split_micros(local);
        if interval.months != 0 {
            let (year, month, day) = civil_from_days(days);
            let months = year * 12 + month - 1 + i64::from(interval.months);
            let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
            let last = u32::try_from(month).map_or(31, |month| i64::from(days_in_month(year, month)));
            days = days_from_civil(year, month, day.min(last));
        }
        days += i64::from(interval.days);
        let midnight = days.checked_mul(MICROS_PER_DAY).ok_or_else(timestamp_range)?;
        let local = midnight.checked_add(time).ok_or_else(timestamp_range)?;
        at = zone.map_or(local, |zone| zone.to_utc(local));
    }
    within_range(at.checked_add(interval.nanoseconds / NANOS_PER_MICRO))
}

fn within_range(moment: Option<i64>) -> Result<i64> {
    moment.filter(|moment| (TIMESTAMP_MIN..TIMESTAMP_END).contains(moment)).ok_or_else(timestamp_range)
}

fn is_infinite(moment: i64) -> bool {
    matches!(moment, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY)
}

/// A date that moved, or an infinite one, which does not.
fn shift_date(date: i32, moved: Option<i32>) -> Result<i32> {
    if matches!(date, DATE_INFINITY | DATE_MINUS_INFINITY) {
        return Ok(date);
    }
    moved.filter(|days| (DATE_MIN..DATE_END).contains(days)).ok_or_else(date_range)
}

fn negated(interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    combine(IntervalMonthDayNano::ZERO, interval, i32::checked_sub, i64::checked_sub)
}

fn round_to_micro(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

fn shift_time(time: &dyn Datum, interval: &dyn Datum, direction: i64) -> Result<ArrayRef> {
    binary::<Time64MicrosecondType, IntervalMonthDayNanoType, Time64MicrosecondType>(
        time,
        interval,
        |time, interval| {
            let shift = interval.nanoseconds % NANOS_PER_DAY / NANOS_PER_MICRO;
            Ok((time + direction * shift).rem_euclid(MICROS_PER_DAY))
        },
    )
}

/// Minus an interval, field by field.
pub(crate) fn negate_interval(operand: &ArrayRef) -> Result<ArrayRef> {
    let intervals = operand.as_primitive::<IntervalMonthDayNanoType>();
    let negated: IntervalMonthDayNanoArray =
        intervals.iter().map(|interval| interval.map(negated).transpose()).collect::<Result<_>>()?;
    Ok(Arc::new(negated))
}

pub(crate) fn timestamp_range() -> datafusion::error::DataFusionError {
    error(ErrorKind::DatetimeOutOfRange, "timestamp out of range")
}

fn date_range() -> datafusion::error::DataFusionError {
    error(ErrorKind::DatetimeOutOfRange, "date out of range")
}

pub(crate) fn interval_range() -> datafusion::error::DataFusionError {
    error(ErrorKind::DatetimeOutOfRange, "interval out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_of_timestamps_are_days_and_a_time() {
        let interval = interval_of_micros(MICROS_PER_DAY + 3_600_000_000).unwrap();
        assert_eq!(interval, IntervalMonthDayNano::new(0, 1, 3_600_000_000_000));
    }

    #[test]
    fn fractions_carry_to_smaller_fields() {
        let month = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(scale_interval(month, |value| value * 0.5).unwrap(), IntervalMonthDayNano::new(0, 15, 0));
        let day = IntervalMonthDayNano::new(0, 1, 0);
        assert_eq!(
            scale_interval(day, |value| value * 1.5).unwrap(),
            IntervalMonthDayNano::new(0, 1, 43_200_000_000_000)
        );
    }
}
