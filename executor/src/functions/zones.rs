//! `timezone(zone, moment)`, which `AT TIME ZONE` is: a local time in a zone to an instant, or an instant to the local
//! time.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNanoType, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::datetime::calendar::{MICROS_PER_SECOND, TIMESTAMP_END, TIMESTAMP_MIN};
use crate::datetime::{Interval, IntervalStyle, TimeZone, write_interval};
use crate::error::ErrorKind;
use crate::functions::cast::texts;
use crate::functions::function::{Function, arg, error, is_text, over_arrays};
use crate::functions::temporal::{INTERVAL, timestamp_range};
use crate::functions::type_names::{timestamp, timestamptz};

/// `timezone`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "timezone",
            |types| {
                let [zone, moment] = types else { return None };
                let zone = match zone {
                    zone if is_text(zone) || zone.is_null() => DataType::Utf8View,
                    DataType::Interval(_) => INTERVAL,
                    _ => return None,
                };
                let moment = match moment {
                    DataType::Timestamp(_, None) => timestamp(),
                    DataType::Timestamp(_, Some(_)) | DataType::Date32 | DataType::Utf8 | DataType::Null => {
                        timestamptz()
                    }
                    _ => return None,
                };
                Some(vec![zone, moment])
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

fn at_time_zone(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let (zones, moments) = (arg(arrays, 0)?, arg(arrays, 1)?);
    let names = if is_text(zones.data_type()) { Some(texts(zones)?) } else { None };
    let zoned = matches!(moments.data_type(), DataType::Timestamp(_, Some(_)));
    let values = moments.as_primitive::<TimestampMicrosecondType>();
    let mut known: Option<(&str, TimeZone)> = None;
    let mut moved = PrimitiveArray::<TimestampMicrosecondType>::builder(values.len());
    for row in 0..values.len() {
        if zones.is_null(row) || values.is_null(row) {
            moved.append_null();
            continue;
        }
        let moment = values.value(row);
        let zone = match &names {
            None => &of_interval(zones.as_primitive::<IntervalMonthDayNanoType>().value(row).into())?,
            Some(names) => {
                let name = names.value(row);
                if known.as_ref().is_none_or(|(same, _)| *same != name) {
                    known = None;
                }
                match &mut known {
                    Some((_, zone)) => zone,
                    none => &none.insert((name, TimeZone::lookup(name)?)).1,
                }
            }
        };
        let shifted = if zoned { zone.to_local(moment) } else { zone.to_utc(moment) };
        if shifted != moment && !(TIMESTAMP_MIN..TIMESTAMP_END).contains(&shifted) {
            return Err(timestamp_range());
        }
        moved.append_value(shifted);
    }
    let moved = moved.finish();
    Ok(if zoned { Arc::new(moved) } else { Arc::new(moved.with_timezone("UTC")) })
}

/// A zone that is so far east of Greenwich.
fn of_interval(interval: Interval) -> Result<TimeZone> {
    if interval.months != 0 || interval.days != 0 {
        let mut shown = bytes::BytesMut::new();
        write_interval(interval, IntervalStyle::Postgres, &mut shown);
        let shown = String::from_utf8_lossy(&shown).into_owned();
        return Err(error(
            ErrorKind::InvalidParameter,
            format!("interval time zone \"{shown}\" must not include months or days"),
        ));
    }
    let east = i32::try_from(interval.micros / MICROS_PER_SECOND).map_err(|_| timestamp_range())?;
    Ok(TimeZone::fixed(east))
}
