//! Intervals: their order, and their fields brought into range.
//!
//! PostgreSQL compares intervals by their length, a month being 30 days and a day 24 hours: `1 month` is `30 days`.
//! [`interval_order_udf`] gives that length; what is compared, sorted or grouped is this number.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano, IntervalMonthDayNanoType};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use crate::datetime::calendar::MICROS_PER_DAY;
use crate::functions::by_row::{numerics, values};
use crate::functions::function::Function;
use crate::functions::temporal::{INTERVAL, NANOS_PER_MICRO, interval_range};

const DAYS_PER_MONTH: i64 = 30;
const NANOS_PER_DAY: i64 = MICROS_PER_DAY * NANOS_PER_MICRO;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        interval_order_udf(),
        justified("justify_days", |args| each(args, justify_days)),
        justified("justify_hours", |args| each(args, justify_hours)),
        justified("justify_interval", |args| each(args, justify_interval)),
    ]
}

/// The length of an interval, `interval_order`.
pub fn interval_order_udf() -> Arc<ScalarUDF> {
    static ORDER: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new(
            "interval_order",
            of_interval,
            |_, _| Ok(DataType::Decimal128(38, 0)),
            |args| numerics(args, |row| Ok(Some(length(row.interval(0)?)))),
        )
        .udf()
    });
    Arc::clone(&ORDER)
}

fn of_interval(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Interval(_) | DataType::Utf8 | DataType::Null] => Some(vec![INTERVAL]),
        _ => None,
    }
}

fn justified(
    name: &'static str,
    evaluate: fn(&ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue>,
) -> Arc<ScalarUDF> {
    Function::new(name, of_interval, |_, _| Ok(INTERVAL), evaluate).udf()
}

fn each(
    args: &ScalarFunctionArgs,
    justify: impl Fn(IntervalMonthDayNano) -> Result<IntervalMonthDayNano>,
) -> Result<datafusion::logical_expr::ColumnarValue> {
    values::<IntervalMonthDayNanoType>(args, |row| justify(row.interval(0)?).map(Some))
}

/// Nanoseconds, with months of 30 days.
pub(crate) fn length(interval: IntervalMonthDayNano) -> i128 {
    let days = i128::from(interval.months) * i128::from(DAYS_PER_MONTH) + i128::from(interval.days);
    days * i128::from(NANOS_PER_DAY) + i128::from(interval.nanoseconds)
}

fn interval(months: i64, days: i64, nanoseconds: i64) -> Result<IntervalMonthDayNano> {
    let narrow = |value: i64| i32::try_from(value).map_err(|_| interval_range());
    Ok(IntervalMonthDayNano::new(narrow(months)?, narrow(days)?, nanoseconds))
}

/// Moves whole units of `small` to `large`, so that both have one sign.
fn carry(mut large: i64, mut small: i64, units: i64) -> (i64, i64) {
    large += small / units;
    small %= units;
    if large > 0 && small < 0 {
        (large, small) = (large - 1, small + units);
    } else if large < 0 && small > 0 {
        (large, small) = (large + 1, small - units);
    }
    (large, small)
}

fn justify_days(value: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let (months, days) = carry(value.months.into(), value.days.into(), DAYS_PER_MONTH);
    interval(months, days, value.nanoseconds)
}

fn justify_hours(value: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let (days, nanoseconds) = carry(value.days.into(), value.nanoseconds, NANOS_PER_DAY);
    interval(value.months.into(), days, nanoseconds)
}

/// Both, with one sign for all fields.
fn justify_interval(value: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    let whole_days = value.nanoseconds / NANOS_PER_DAY;
    let mut nanoseconds = value.nanoseconds % NANOS_PER_DAY;
    let mut days = i64::from(value.days) + whole_days;
    let mut months = i64::from(value.months) + days / DAYS_PER_MONTH;
    days %= DAYS_PER_MONTH;
    if months > 0 && (days < 0 || days == 0 && nanoseconds < 0) {
        (months, days) = (months - 1, days + DAYS_PER_MONTH);
    } else if months < 0 && (days > 0 || days == 0 && nanoseconds > 0) {
        (months, days) = (months + 1, days - DAYS_PER_MONTH);
    }
    if days > 0 && nanoseconds < 0 {
        (days, nanoseconds) = (days - 1, nanoseconds + NANOS_PER_DAY);
    } else if days < 0 && nanoseconds > 0 {
        (days, nanoseconds) = (days + 1, nanoseconds - NANOS_PER_DAY);
    }
    interval(months, days, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_thirty_days() {
        let month = IntervalMonthDayNano::new(1, 0, 0);
        assert_eq!(length(month), length(IntervalMonthDayNano::new(0, 30, 0)));
        assert_eq!(length(month), length(IntervalMonthDayNano::new(0, 0, 30 * NANOS_PER_DAY)));
        assert!(length(month) < length(IntervalMonthDayNano::new(0, 31, 0)));
    }

    #[test]
    fn fields_get_one_sign() {
        let check = |value, expected: (i32, i32, i64)| {
            let (months, days, nanos) = expected;
            assert_eq!(justify_interval(value).unwrap(), IntervalMonthDayNano::new(months, days, nanos));
        };
        check(IntervalMonthDayNano::new(1, 0, -NANOS_PER_DAY / 24), (0, 29, NANOS_PER_DAY / 24 * 23));
        check(IntervalMonthDayNano::new(0, 35, 0), (1, 5, 0));
        check(IntervalMonthDayNano::new(-1, 5, 0), (0, -25, 0));
    }
}
