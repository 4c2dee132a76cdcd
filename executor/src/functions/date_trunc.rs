//! `date_trunc`: what is before a field stays, what is after it is zero.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::calendar::{
    MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND, TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY, civil_from_days, days_from_civil, days_since_monday, split_micros,
};
use crate::datetime::units::DateField;
use crate::datetime::{DateTimeSettings, Interval, TimeZone};
use crate::error::{ErrorKind, ExecError};
use crate::functions::cast::texts;
use crate::functions::date_fields::{no_field, unknown_field};
use crate::functions::function::{Function, arg, is_text, over_arrays};
use crate::functions::temporal::INTERVAL;
use crate::functions::type_names::{pg_type_name, timestamp, timestamptz};

/// `date_trunc`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "date_trunc",
            |types| {
                let (field, moment, zone) = match types {
                    [field, moment] => (field, moment, None),
                    [field, moment, zone] if is_text(zone) => (field, moment, Some(DataType::Utf8View)),
                    _ => return None,
                };
                if !is_text(field) {
                    return None;
                }
                let moment = match moment {
                    DataType::Interval(_) if zone.is_none() => INTERVAL,
                    DataType::Timestamp(_, None) if zone.is_none() => timestamp(),
                    DataType::Date32 | DataType::Timestamp(..) | DataType::Null | DataType::Utf8 => {
                        timestamptz()
                    }
                    _ => return None,
                };
                Some([DataType::Utf8View, moment].into_iter().chain(zone).collect())
            },
            |types, _| Ok(types.get(1).cloned().unwrap_or_else(timestamp)),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                over_arrays(args, |arrays| truncate(arrays, &settings.time_zone))
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
    ]
}

fn truncate(arrays: &[ArrayRef], zone: &TimeZone) -> Result<ArrayRef> {
    let names = texts(arg(arrays, 0)?)?;
    let moments = arg(arrays, 1)?;
    let type_name = pg_type_name(moments.data_type());
    if let DataType::Interval(_) = moments.data_type() {
        let intervals = moments.as_primitive::<IntervalMonthDayNanoType>();
        let truncated: PrimitiveArray<IntervalMonthDayNanoType> = (0..intervals.len())
            .map(|row| {
                if names.is_null(row) || intervals.is_null(row) {
                    return Ok(None);
                }
                let field = named(names.value(row), &type_name)?;
                match truncate_interval(field, intervals.value(row).into()) {
                    Some(interval) => Ok(Some(interval.to_arrow()?)),
                    None if field == DateField::Week => {
                        let message = "unit \"week\" not supported for type interval";
                        Err(ExecError::new(ErrorKind::Unsupported, message)
                            .with_detail("Months usually have fractional weeks.")
                            .into())
                    }
                    None => Err(no_field(names.value(row), &type_name)),
                }
            })
            .collect::<Result<_>>()?;
        return Ok(Arc::new(truncated));
    }
    let zones = arrays.get(2).map(texts).transpose()?;
    let zoned = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
    let values = moments.as_primitive::<TimestampMicrosecondType>();
    let truncated: PrimitiveArray<TimestampMicrosecondType> = (0..values.len())
        .map(|row| {
            let no_zone = zones.as_ref().is_some_and(|zones| zones.is_null(row));
            if names.is_null(row) || values.is_null(row) || no_zone {
                return Ok(None);
            }
            let moment = values.value(row);
            if matches!(moment, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY) {
                return Ok(Some(moment));
            }
            let field = named(names.value(row), &type_name)?;
            let own = zone_at(zones.as_ref(), row)?;
            let zone = zoned.then_some(own.as_ref().unwrap_or(zone));
            truncate_moment(field, moment, zone)
                .map(Some)
                .ok_or_else(|| no_field(names.value(row), &type_name))
        })
        .collect::<Result<_>>()?;
    Ok(if zoned { Arc::new(truncated.with_timezone("UTC")) } else { Arc::new(truncated) })
}

fn zone_at(zones: Option<&StringViewArray>, row: usize) -> Result<Option<TimeZone>> {
    Ok(zones.map(|zones| TimeZone::lookup(zones.value(row))).transpose()?)
}

/// Fields that count days in another way are none here.
fn named(name: &str, type_name: &str) -> Result<DateField> {
    use DateField::{DayOfWeek, DayOfYear, Epoch, IsoDayOfWeek, IsoYear, Julian};
    DateField::named(&name.to_lowercase())
        .filter(|field| !matches!(field, DayOfWeek | DayOfYear | Epoch | IsoDayOfWeek | IsoYear | Julian))
        .ok_or_else(|| unknown_field(name, type_name))
}

fn truncate_moment(field: DateField, moment: i64, zone: Option<&TimeZone>) -> Option<i64> {
    let local = zone.map_or(moment, |zone| zone.to_local(moment));
    let (days, time) = split_micros(local);
    let (year, month, _) = civil_from_days(days);
    let step = match field {
        DateField::Microsecond => Some(1),
        DateField::Millisecond => Some(1_000),
        DateField::Second => Some(MICROS_PER_SECOND),
        DateField::Minute => Some(MICROS_PER_MINUTE),
        DateField::Hour => Some(MICROS_PER_HOUR),
        _ => None,
    };
    if let Some(step) = step {
        // The offset stays what it was.
        return Some(moment - time % step);
    }
    let first = match field {
        DateField::Day => days,
        DateField::Week => days - days_since_monday(days),
        DateField::Month => days_from_civil(year, month, 1),
        DateField::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        DateField::Year => days_from_civil(year, 1, 1),
        DateField::Decade => days_from_civil(year.div_euclid(10) * 10, 1, 1),
        DateField::Century => days_from_civil((year - 1).div_euclid(100) * 100 + 1, 1, 1),
        DateField::Millennium => days_from_civil((year - 1).div_euclid(1000) * 1000 + 1, 1, 1),
        _ => return None,
    };
    let local = first * MICROS_PER_DAY;
    Some(zone.map_or(local, |zone| zone.to_utc(local)))
}

fn truncate_interval(field: DateField, interval: Interval) -> Option<Interval> {
    let months = |unit: i32| Some(Interval { months: interval.months / unit * unit, days: 0, micros: 0 });
    let micros = |unit: i64| Some(Interval { micros: interval.micros / unit * unit, ..interval });
    match field {
        DateField::Millennium => months(12_000),
        DateField::Century => months(1_200),
        DateField::Decade => months(120),
        DateField::Year => months(12),
        DateField::Quarter => months(3),
        DateField::Month => months(1),
        DateField::Day => Some(Interval { micros: 0, ..interval }),
        DateField::Hour => micros(MICROS_PER_HOUR),
        DateField::Minute => micros(MICROS_PER_MINUTE),
        DateField::Second => micros(MICROS_PER_SECOND),
        DateField::Millisecond => micros(1_000),
        DateField::Microsecond => micros(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_keeps_what_is_before_the_field() {
        let at = days_from_civil(2013, 5, 17) * MICROS_PER_DAY + 38_262_500_000;
        let check = |field: DateField, (year, month, day): (i64, i64, i64), time: i64| {
            let expected = days_from_civil(year, month, day) * MICROS_PER_DAY + time;
            assert_eq!(truncate_moment(field, at, None), Some(expected), "{field:?}");
        };
        check(DateField::Second, (2013, 5, 17), 38_262_000_000);
        check(DateField::Week, (2013, 5, 13), 0);
        check(DateField::Quarter, (2013, 4, 1), 0);
        check(DateField::Century, (2001, 1, 1), 0);
        assert_eq!(truncate_moment(DateField::Zone, at, None), None);
    }

    #[test]
    fn days_begin_at_midnight_of_the_zone() {
        let zone = TimeZone::named("America/New_York").unwrap();
        let at = days_from_civil(2021, 7, 4) * MICROS_PER_DAY + 2 * MICROS_PER_HOUR;
        let midnight = days_from_civil(2021, 7, 3) * MICROS_PER_DAY + 4 * MICROS_PER_HOUR;
        assert_eq!(truncate_moment(DateField::Day, at, Some(&zone)), Some(midnight));
    }
}
