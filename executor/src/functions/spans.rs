//! `age`, `make_interval` and `overlaps`: intervals between moments, of parts, and in common.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType,
};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::calendar::{
    MICROS_PER_DAY, TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY, civil_from_days, days_in_month,
    split_micros,
};
use crate::datetime::{DateTimeSettings, TimeZone};
use crate::functions::arithmetic::{Arithmetic, is_number};
use crate::functions::by_row::{Row, values};
use crate::functions::function::{Function, internal, over_arrays};
use crate::functions::temporal::{self, INTERVAL, TIME, interval_range, timestamp_range};
use crate::functions::type_names::{timestamp, timestamptz};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "age",
            moments,
            |_, _| Ok(INTERVAL),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                let zoned = matches!(
                    args.arg_fields.first().map(|field| field.data_type()),
                    Some(DataType::Timestamp(_, Some(_)))
                );
                let local = |micros| if zoned { settings.time_zone.to_local(micros) } else { micros };
                values::<IntervalMonthDayNanoType>(args, |row| {
                    let (later, earlier) = (
                        row.value::<TimestampMicrosecondType>(0)?,
                        row.value::<TimestampMicrosecondType>(1)?,
                    );
                    let infinite = |micros| matches!(micros, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY);
                    if infinite(later) || infinite(earlier) {
                        return Err(timestamp_range());
                    }
                    Ok(Some(age(local(later), local(earlier))))
                })
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
        Function::new(
            "make_interval",
            |types| {
                let fits = types.len() == 7 && types.iter().all(|t| is_number(t) || t.is_null());
                fits.then(|| [vec![DataType::Int64; 6], vec![DataType::Float64]].concat())
            },
            |_, _| Ok(INTERVAL),
            |args| values::<IntervalMonthDayNanoType>(args, |row| make_interval(row).map(Some)),
        )
        .udf(),
        Function::new(
            "overlaps",
            spans,
            |_, _| Ok(DataType::Boolean),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| {
                    let [from, to, other_from, other_to] = arrays else {
                        return Err(internal("overlaps takes four bounds"));
                    };
                    let first = bounds(from, to, &settings.time_zone)?;
                    let second = bounds(other_from, other_to, &settings.time_zone)?;
                    let rows = first.into_iter().zip(second);
                    Ok(Arc::new(rows.map(|(a, b)| overlaps(a, b)).collect::<BooleanArray>()) as ArrayRef)
                })
            },
        )
        .nullable()
        .volatility(Volatility::Stable)
        .udf(),
    ]
}

/// Two moments, with zones where one of them has one.
fn moments(types: &[DataType]) -> Option<Vec<DataType>> {
    let [a, b] = types else { return None };
    let is_moment = |t: &DataType| {
        matches!(t, DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null)
    };
    if !is_moment(a) || !is_moment(b) {
        return None;
    }
    let local = [a, b].iter().any(|t| matches!(t, DataType::Timestamp(_, None)));
    let zoned = [a, b].iter().any(|t| matches!(t, DataType::Timestamp(_, Some(_))));
    let moment = if local && !zoned { timestamp() } else { timestamptz() };
    Some(vec![moment.clone(), moment])
}

/// The bounds of two spans of one type, of which an end may be a length.
fn spans(types: &[DataType]) -> Option<Vec<DataType>> {
    let is_time = |of: &&DataType| matches!(of, DataType::Time32(_) | DataType::Time64(_));
    let is_moment = |of: &&DataType| matches!(of, DataType::Date32 | DataType::Timestamp(..));
    let point = if types.iter().any(|of| is_time(&of)) {
        TIME
    } else if types.iter().any(|of| matches!(of, DataType::Timestamp(_, None)))
        && !types.iter().any(|of| matches!(of, DataType::Timestamp(_, Some(_))))
    {
        timestamp()
    } else {
        timestamptz()
    };
    let of = |place: usize, of: &DataType| match of {
        DataType::Interval(_) if place % 2 == 1 => Some(INTERVAL),
        DataType::Null | DataType::Utf8 => Some(point.clone()),
        of if is_time(&of) == (point == TIME) && (is_time(&of) || is_moment(&of)) => Some(point.clone()),
        _ => None,
    };
    let types: Option<Vec<DataType>> =
        types.iter().enumerate().map(|(place, data_type)| of(place, data_type)).collect();
    types.filter(|types| types.len() == 4)
}

/// Start and end of a span; either may be unknown.
type Span = (Option<i64>, Option<i64>);

/// The spans of all rows, as points in one unit.
fn bounds(from: &ArrayRef, to: &ArrayRef, zone: &TimeZone) -> Result<Vec<Span>> {
    let points = |array: &ArrayRef| -> Vec<Option<i64>> {
        match array.data_type() {
            DataType::Time64(_) => array.as_primitive::<Time64MicrosecondType>().iter().collect(),
            _ => array.as_primitive::<TimestampMicrosecondType>().iter().collect(),
        }
    };
    let ends = if let DataType::Interval(_) = to.data_type() {
        points(&temporal::evaluate(Arithmetic::Add, from, to, zone)?)
    } else {
        points(to)
    };
    Ok(points(from).into_iter().zip(ends).collect())
}

/// Whether two spans have a point in common; a span ends before its end, but that of one point has it.
fn overlaps(a: Span, b: Span) -> Option<bool> {
    let in_order = |(start, end): Span| match (start, end) {
        (Some(start), Some(end)) => Some((start.min(end), Some(start.max(end)))),
        (start, end) => start.or(end).map(|known| (known, None)),
    };
    let ((start, end), (other_start, other_end)) = (in_order(a)?, in_order(b)?);
    let (earlier_end, later_start, later_end) = match start.cmp(&other_start) {
        Ordering::Equal => return (end.is_some() && other_end.is_some()).then_some(true),
        Ordering::Less => (end, other_start, other_end),
        Ordering::Greater => (other_end, start, end),
    };
    match earlier_end? {
        earlier_end if later_start < earlier_end => Some(true),
        _ => later_end.map(|_| false),
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
        days += u32::try_from(m2).map_or(31, |month| i64::from(days_in_month(y2, month)));
        months -= 1;
    }
    let narrow = |value: i64| i32::try_from(value).unwrap_or(i32::MAX);
    IntervalMonthDayNano::new(narrow(months), narrow(days), time * 1_000)
}

/// Years, months, weeks, days, hours, minutes and seconds to an interval.
fn make_interval(row: &Row<'_>) -> Result<IntervalMonthDayNano> {
    let [years, months, weeks, days, hours, minutes] = [
        row.value::<Int64Type>(0)?,
        row.value::<Int64Type>(1)?,
        row.value::<Int64Type>(2)?,
        row.value::<Int64Type>(3)?,
        row.value::<Int64Type>(4)?,
        row.value::<Int64Type>(5)?,
    ];
    let total = |large: i64, size: i64, small: i64| {
        let sum = large.checked_mul(size).and_then(|large| large.checked_add(small));
        sum.and_then(|sum| i32::try_from(sum).ok()).ok_or_else(interval_range)
    };
    let micros = row.value::<Float64Type>(6)? * 1e6;
    if micros.is_nan() || micros.abs() >= 9.2e18 {
        return Err(interval_range());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    let micros = micros.round_ties_even() as i64;
    let clock = hours.checked_mul(60).and_then(|clock| clock.checked_add(minutes));
    let clock = clock.and_then(|minutes| minutes.checked_mul(60_000_000));
    let nanos = clock.and_then(|clock| clock.checked_add(micros)).and_then(|sum| sum.checked_mul(1_000));
    Ok(IntervalMonthDayNano::new(
        total(years, 12, months)?,
        total(weeks, 7, days)?,
        nanos.ok_or_else(interval_range)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::calendar::days_from_civil;

    #[test]
    fn ages_count_on_the_calendar() {
        let check = |a: (i64, i64, i64), b: (i64, i64, i64), months: i32, days: i32| {
            let at = |(year, month, day)| days_from_civil(year, month, day) * MICROS_PER_DAY;
            assert_eq!(age(at(a), at(b)), IntervalMonthDayNano::new(months, days, 0));
        };
        check((2013, 3, 15), (2013, 1, 10), 2, 5);
        check((2001, 4, 10), (1957, 6, 13), 43 * 12 + 9, 27);
        check((2013, 1, 10), (2013, 3, 15), -2, -5);
    }
}
