//! `to_date` and `to_timestamp` of a text by a picture, and `to_timestamp` of seconds since 1970.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::datetime::DateTimeSettings;
use crate::datetime::calendar::{
    DATE_END, DATE_MIN, MICROS_PER_DAY, TIMESTAMP_END, TIMESTAMP_INFINITY, TIMESTAMP_MIN,
    TIMESTAMP_MINUS_INFINITY,
};
use crate::error::ErrorKind;
use crate::functions::by_row::{Takes, take, values};
use crate::functions::function::{Function, error, is_text};
use crate::functions::pictures::read;
use crate::functions::temporal::timestamp_range;
use crate::functions::type_names::timestamptz;

/// Both.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "to_date",
            |types| take(types, &[Takes::Text, Takes::Text], 0),
            |_, _| Ok(DataType::Date32),
            |args| {
                values::<Date32Type>(args, |row| {
                    let days = read(row.text(0)?, row.text(1)?)?.days;
                    let in_range = (i64::from(DATE_MIN)..i64::from(DATE_END)).contains(&days);
                    let days = i32::try_from(days).ok().filter(|_| in_range);
                    days.map(Some).ok_or_else(|| {
                        let message = format!("date out of range: \"{}\"", row.text(0).unwrap_or_default());
                        error(ErrorKind::DatetimeOutOfRange, message)
                    })
                })
            },
        )
        .udf(),
        Function::new(
            "to_timestamp",
            |types| match types {
                [seconds] => take(std::slice::from_ref(seconds), &[Takes::Float], 0),
                [text, picture] if is_text(text) && is_text(picture) => {
                    take(types, &[Takes::Text, Takes::Text], 0)
                }
                _ => None,
            },
            |_, _| Ok(timestamptz()),
            |args| {
                let settings = DateTimeSettings::of(&args.config_options);
                values::<TimestampMicrosecondType>(args, |row| {
                    if row.len() == 1 {
                        return from_epoch(row.float(0)?).map(Some);
                    }
                    let found = read(row.text(0)?, row.text(1)?)?;
                    let local = found.days.checked_mul(MICROS_PER_DAY);
                    let local = local.and_then(|midnight| midnight.checked_add(found.micros));
                    let local = local.ok_or_else(timestamp_range)?;
                    let utc = match found.offset {
                        Some(offset) => local.saturating_sub(offset * 1_000_000),
                        None => settings.time_zone.to_utc(local),
                    };
                    let utc = Some(utc).filter(|utc| (TIMESTAMP_MIN..TIMESTAMP_END).contains(utc));
                    utc.map(Some).ok_or_else(timestamp_range)
                })
            },
        )
        .volatility(Volatility::Stable)
        .udf(),
    ]
}

fn from_epoch(seconds: f64) -> Result<i64> {
    if seconds.is_nan() {
        return Err(error(ErrorKind::DatetimeOutOfRange, "timestamp cannot be NaN"));
    }
    if seconds.is_infinite() {
        return Ok(if seconds > 0.0 { TIMESTAMP_INFINITY } else { TIMESTAMP_MINUS_INFINITY });
    }
    let micros = (seconds * 1e6).round_ties_even();
    #[expect(clippy::cast_precision_loss, reason = "the ends of the range are far from any moment in use")]
    if micros < TIMESTAMP_MIN as f64 || micros >= TIMESTAMP_END as f64 {
        let shown = crate::functions::output::format_float(seconds);
        return Err(error(ErrorKind::DatetimeOutOfRange, format!("timestamp out of range: \"{shown}\"")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    Ok(micros as i64)
}
