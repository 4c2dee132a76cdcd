//! Dates, times and timestamps from text, as `date_in`, `time_in`, `timestamp_in` and `timestamptz_in` read
//! them: the meaning of each field depends on those before it and on `DateStyle`'s field order.

use super::calendar::{
    DATE_END, DATE_INFINITY, DATE_MIN, DATE_MINUS_INFINITY, MICROS_PER_DAY, MICROS_PER_SECOND, TIMESTAMP_END,
    TIMESTAMP_INFINITY, TIMESTAMP_MIN, TIMESTAMP_MINUS_INFINITY,
};
use super::datetime_decoder::{Moment, Refusal, Wanted, Zone};
use super::datetime_words::Special;
use super::input_error::InputError;
use super::settings::OutputSettings;

impl Refusal {
    fn into_error(self, type_name: &str, text: &str) -> InputError {
        match self {
            Self::BadFormat => InputError::datetime_syntax(type_name, text),
            Self::FieldOverflow => InputError::field_overflow(text),
            Self::MonthDayOverflow => InputError::field_overflow(text)
                .with_hint("Perhaps you need a different \"datestyle\" setting."),
            Self::DisplacementOverflow => {
                InputError::new("22009", format!("time zone displacement out of range: \"{text}\""))
            }
            Self::UnknownZone(name) => {
                InputError::new("22023", format!("time zone \"{name}\" not recognized"))
            }
        }
    }
}

/// A `date` in days since 1970-01-01.
pub(super) fn parse_date(text: &str, settings: &OutputSettings, now_micros: i64) -> Result<i32, InputError> {
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
    days.ok_or_else(|| InputError::new("22008", format!("date out of range: \"{text}\"")))
}

/// A `time` in microseconds since midnight.
pub(super) fn parse_time(text: &str, settings: &OutputSettings, now_micros: i64) -> Result<i64, InputError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Time)
        .map_err(|refusal| refusal.into_error("time", text))?;
    match moment.special {
        Some(_) => Err(InputError::datetime_syntax("time", text)),
        None => Ok(moment.time_micros),
    }
}

/// A `timestamp` in microseconds since 1970-01-01; a zone in the text is read and ignored.
pub(super) fn parse_timestamp(
    text: &str,
    settings: &OutputSettings,
    now_micros: i64,
) -> Result<i64, InputError> {
    let moment = Moment::parse(text, settings, now_micros, Wanted::Date)
        .map_err(|refusal| refusal.into_error("timestamp", text))?;
    timestamp_micros(&moment, 0, text)
}

/// A `timestamptz` in microseconds since 1970-01-01 UTC; a text without zone is in the session's.
pub(super) fn parse_timestamptz(
    text: &str,
    settings: &OutputSettings,
    now_micros: i64,
) -> Result<i64, InputError> {
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

fn timestamp_micros(moment: &Moment, seconds_east: i32, text: &str) -> Result<i64, InputError> {
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
    micros.ok_or_else(|| InputError::new("22008", format!("timestamp out of range: \"{text}\"")))
}
