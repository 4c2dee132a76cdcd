//! Dates, times and timestamps from text, as `date_in`, `time_in`, `timestamp_in` and `timestamptz_in` read
//! them: the meaning of each field depends on those before it and on `DateStyle`'s field order.

use super::DateTimeSettings;
use super::calendar::{
    DATE_END, DATE_INFINITY, DATE_MIN, DATE_MINUS_INFINITY, MICROS_PER_DAY, MICROS_PER_SECOND, TIMESTAMP_END,
    TIMESTAMP_INFINITY, TIMESTAMP_MIN, TIMESTAMP_MINUS_INFINITY,
};
use super::decoder::{Moment, Refusal, Wanted, Zone};
use super::words::Special;
use crate::error::{ErrorKind, ExecError};

impl Refusal {
    fn into_error(self, type_name: &str, text: &str) -> ExecError {
        match self {
            Self::BadFormat => syntax(type_name, text),
            Self::FieldOverflow => field_overflow(text),
            Self::MonthDayOverflow => {
                field_overflow(text).with_hint("Perhaps you need a different \"datestyle\" setting.")
            }
            Self::DisplacementOverflow => ExecError::new(
                ErrorKind::ZoneDisplacement,
                format!("time zone displacement out of range: \"{text}\""),
            ),
            Self::UnknownZone(name) => unknown_zone(&name),
        }
    }
}

/// 22007: the text is no date, time or interval.
pub(crate) fn syntax(type_name: &str, text: &str) -> ExecError {
    ExecError::new(
        ErrorKind::InvalidDatetime,
        format!("invalid input syntax for type {type_name}: \"{text}\""),
    )
}

/// 22008: a field of a date or time is beyond its range.
pub(crate) fn field_overflow(text: &str) -> ExecError {
    ExecError::new(ErrorKind::DatetimeOutOfRange, format!("date/time field value out of range: \"{text}\""))
}

/// 22023: there is no such time zone.
pub(crate) fn unknown_zone(name: &str) -> ExecError {
    ExecError::new(ErrorKind::InvalidParameter, format!("time zone \"{name}\" not recognized"))
}

/// A `date` in days since 1970-01-01.
pub fn parse_date(text: &str, settings: &DateTimeSettings, now_micros: i64) -> Result<i32, ExecError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Date)
        .map_err(|refusal| refusal.into_error("date", text))?;
    let days = match moment.special {
        Some(Special::Infinity) => return Ok(DATE_INFINITY),
        Some(Special::MinusInfinity) => return Ok(DATE_MINUS_INFINITY),
        Some(Special::Epoch) => 0,
        None => moment.date.to_days(),
    };
    let in_range = (i64::from(DATE_MIN)..i64::from(DATE_END)).contains(&days);
    let days = i32::try_from(days).ok().filter(|_| in_range);
    days.ok_or_else(|| {
        ExecError::new(ErrorKind::DatetimeOutOfRange, format!("date out of range: \"{text}\""))
    })
}

/// A `time` in microseconds since midnight.
pub fn parse_time(text: &str, settings: &DateTimeSettings, now_micros: i64) -> Result<i64, ExecError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Time)
        .map_err(|refusal| refusal.into_error("time", text))?;
    match moment.special {
        Some(_) => Err(syntax("time", text)),
        None => Ok(moment.time_micros),
    }
}

/// A `timestamp` in microseconds since 1970-01-01; a zone in the text is read and ignored.
pub fn parse_timestamp(text: &str, settings: &DateTimeSettings, now_micros: i64) -> Result<i64, ExecError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Date)
        .map_err(|refusal| refusal.into_error("timestamp", text))?;
    timestamp_micros(&moment, 0, text)
}

/// A `timestamptz` in microseconds since 1970-01-01 UTC; a text without zone is in the session's.
pub fn parse_timestamptz(text: &str, settings: &DateTimeSettings, now_micros: i64) -> Result<i64, ExecError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Date)
        .map_err(|refusal| refusal.into_error("timestamp with time zone", text))?;
    let local_seconds = moment.local_micros().div_euclid(MICROS_PER_SECOND);
    let seconds_east = match &moment.zone {
        Some(Zone::Offset(seconds_east)) => *seconds_east,
        Some(Zone::Named(zone)) => zone.offset_at_local(local_seconds),
        None => settings.time_zone.offset_at_local(local_seconds),
    };
    timestamp_micros(&moment, seconds_east, text)
}

fn timestamp_micros(moment: &Moment, seconds_east: i32, text: &str) -> Result<i64, ExecError> {
    match moment.special {
        Some(Special::Infinity) => return Ok(TIMESTAMP_INFINITY),
        Some(Special::MinusInfinity) => return Ok(TIMESTAMP_MINUS_INFINITY),
        Some(Special::Epoch) => return Ok(0),
        None => {}
    }
    let micros = moment
        .date
        .to_days()
        .checked_mul(MICROS_PER_DAY)
        .and_then(|micros| micros.checked_add(moment.time_micros))
        .and_then(|micros| micros.checked_sub(i64::from(seconds_east) * MICROS_PER_SECOND))
        .filter(|micros| (TIMESTAMP_MIN..TIMESTAMP_END).contains(micros));
    micros.ok_or_else(|| {
        ExecError::new(ErrorKind::DatetimeOutOfRange, format!("timestamp out of range: \"{text}\""))
    })
}
