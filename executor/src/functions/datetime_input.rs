//! Text to dates, times and timestamps, as PostgreSQL reads them with `DateStyle = ISO, MDY`.
//!
//! A text is a sequence of parts in any order that makes sense: a date in one of several notations, a time of day, an
//! offset or zone name, an era. What is missing is midnight, and UTC.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{NaiveDateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use regex::{Captures, Regex};

use crate::error::{ErrorKind, ExecError};
use crate::functions::calendar::{days_from_civil, days_in_month, split_micros};
use crate::functions::function::error;
use crate::functions::input::trim;
use crate::functions::temporal::MICROS_PER_DAY;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// 4714-11-24 BC, the first day of the Julian calendar, and 294277-01-01: PostgreSQL's range of timestamps.
const TIMESTAMP_DAYS: std::ops::Range<i64> = -2_440_588..106_751_992;

/// A date, as days since 1970-01-01.
///
/// # Errors
/// 22007 for text that is no date, 22008 for one whose fields are out of range.
pub fn parse_date(text: &str) -> Result<i32> {
    let parts = parse(text, "date")?;
    if let Some(infinite) = parts.infinite {
        return Ok(if infinite { i32::MAX } else { i32::MIN });
    }
    let days = parts.days.ok_or_else(|| invalid("date", text))?;
    i32::try_from(days).map_err(|_| date_range(text))
}

/// A timestamp without time zone, as microseconds since 1970-01-01; an offset in the text is ignored.
///
/// # Errors
/// 22007 for text that is no timestamp, 22008 for one out of range.
pub fn parse_timestamp(text: &str) -> Result<i64> {
    let parts = parse(text, "timestamp")?;
    if let Some(infinite) = parts.infinite {
        return Ok(if infinite { i64::MAX } else { i64::MIN });
    }
    parts.local_micros(text, "timestamp")
}

/// An instant, as microseconds since 1970-01-01 UTC; without an offset in the text, `zone` says what its hours mean.
///
/// # Errors
/// 22007 for text that is no timestamp, 22008 for one out of range, 22023 for an unknown zone name.
pub fn parse_timestamptz(text: &str, zone: Tz) -> Result<i64> {
    let parts = parse(text, "timestamp with time zone")?;
    if let Some(infinite) = parts.infinite {
        return Ok(if infinite { i64::MAX } else { i64::MIN });
    }
    let local = parts.local_micros(text, "timestamp with time zone")?;
    match parts.zone {
        Some(Zone::Offset(seconds)) => Ok(local - i64::from(seconds) * MICROS_PER_SECOND),
        Some(Zone::Named(named)) => Ok(to_utc(local, named)),
        None => Ok(to_utc(local, zone)),
    }
}

/// A time of day in microseconds; midnight at its end is 24:00.
///
/// # Errors
/// 22007 for text that is no time, 22008 for one out of range.
pub fn parse_time(text: &str) -> Result<i64> {
    let parts = parse(text, "time")?;
    parts.time.ok_or_else(|| invalid("time", text))
}

/// The instant at which clocks in `zone` show `local`; the earlier one where two do, the later one where none does.
pub fn to_utc(local: i64, zone: Tz) -> i64 {
    let Some(naive) = naive(local) else { return local };
    let offset = match zone.offset_from_local_datetime(&naive) {
        chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
        chrono::LocalResult::Ambiguous(_, later) => later.fix().local_minus_utc(),
        chrono::LocalResult::None => naive
            .checked_sub_signed(chrono::TimeDelta::hours(3))
            .map_or(0, |before| zone.offset_from_utc_datetime(&before).fix().local_minus_utc()),
    };
    local - i64::from(offset) * MICROS_PER_SECOND
}

/// Seconds that clocks in `zone` are ahead of UTC at an instant.
pub fn offset_at(utc: i64, zone: Tz) -> i32 {
    naive(utc).map_or(0, |naive| zone.offset_from_utc_datetime(&naive).fix().local_minus_utc())
}

fn naive(micros: i64) -> Option<NaiveDateTime> {
    chrono::DateTime::from_timestamp_micros(micros).map(|instant| instant.naive_utc())
}

/// A zone by its name in the zone database, its usual abbreviation, or as an offset.
///
/// # Errors
/// 22023 for a name that is none.
pub fn parse_zone(name: &str) -> Result<Tz> {
    named_zone(name)
        .ok_or_else(|| error(ErrorKind::InvalidParameter, format!("time zone \"{name}\" not recognized")))
}

fn named_zone(name: &str) -> Option<Tz> {
    let folded = name.to_ascii_lowercase();
    let canonical = match folded.as_str() {
        "z" | "zulu" | "utc" | "gmt" | "ut" | "etc/utc" => "UTC".to_owned(),
        "est" => "-05:00".to_owned(),
        "edt" => "-04:00".to_owned(),
        "cst" => "-06:00".to_owned(),
        "cdt" => "-05:00".to_owned(),
        "mst" => "-07:00".to_owned(),
        "mdt" => "-06:00".to_owned(),
        "pst" => "-08:00".to_owned(),
        "pdt" => "-07:00".to_owned(),
        "cet" => "+01:00".to_owned(),
        "cest" => "+02:00".to_owned(),
        "bst" => "+01:00".to_owned(),
        "ist" => "+02:00".to_owned(),
        "jst" => "+09:00".to_owned(),
        _ => capitalized(name),
    };
    canonical.parse().ok().or_else(|| name.parse().ok())
}

/// `america/new_york` as the zone database spells it.
fn capitalized(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let out = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = matches!(c, '/' | '_' | '-');
            out
        })
        .collect()
}

enum Zone {
    Offset(i32),
    Named(Tz),
}

#[derive(Default)]
struct Parts {
    /// `infinity` is true, `-infinity` false: the largest and the smallest value of the type, as PostgreSQL has them.
    infinite: Option<bool>,
    days: Option<i64>,
    time: Option<i64>,
    zone: Option<Zone>,
}

impl Parts {
    fn local_micros(&self, text: &str, type_name: &str) -> Result<i64> {
        let days = self.days.ok_or_else(|| invalid(type_name, text))?;
        if !TIMESTAMP_DAYS.contains(&days) {
            return Err(error(ErrorKind::DatetimeOutOfRange, format!("timestamp out of range: \"{text}\"")));
        }
        Ok(days * MICROS_PER_DAY + self.time.unwrap_or(0))
    }
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const MONTH_PATTERN: &str = "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)";

#[expect(clippy::expect_used, reason = "the patterns are constants that every test run compiles")]
fn pattern(text: &str) -> Regex {
    Regex::new(&format!("^{text}")).expect("a constant pattern compiles")
}

/// The notations of a date with the order of their fields.
static DATES: LazyLock<[(Regex, [usize; 3]); 6]> = LazyLock::new(|| {
    [
        (pattern(r"(\d{3,6})[-/.](\d{1,2})[-/.](\d{1,2})(?:\b|t)"), [1, 2, 3]),
        (pattern(r"(\d{4})(\d{2})(\d{2})(?:\b|t)"), [1, 2, 3]),
        (pattern(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{2,6})\b"), [3, 1, 2]),
        (
            pattern(&format!(r"{MONTH_PATTERN}[ .-]+(\d{{1,2}})(?:st|nd|rd|th)?[ ,-]+(\d{{4,6}})\b")),
            [3, 1, 2],
        ),
        (pattern(&format!(r"(\d{{1,2}})[ -]*{MONTH_PATTERN}[ ,-]+(\d{{4,6}})\b")), [3, 2, 1]),
        (pattern(&format!(r"(\d{{4,6}})[ -]+{MONTH_PATTERN}[ -]+(\d{{1,2}})\b")), [1, 2, 3]),
    ]
});
static TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"t?(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d*))?)?(?:\s*([ap]m)\b)?"));
static COMPACT_TIME: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"t(\d{2})(\d{2})(?:(\d{2})(?:\.(\d*))?)?()\b"));
static OFFSET: LazyLock<Regex> = LazyLock::new(|| pattern(r"([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?"));
static WEEKDAY: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b"));
static ERA: LazyLock<Regex> = LazyLock::new(|| pattern(r"(bc|ad)\b"));
static ZONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[a-z][a-z0-9_/+-]*"));

fn parse(text: &str, type_name: &str) -> Result<Parts> {
    let folded = trim(text).to_ascii_lowercase();
    if let Some(parts) = special(&folded)? {
        return Ok(parts);
    }
    let mut rest = folded.as_str();
    let mut parts = Parts::default();
    let mut date: Option<(i64, i64, i64)> = None;
    let mut before_christ = false;
    let bad = || invalid(type_name, text);
    while !rest.is_empty() {
        let (matched, end) = next_part(rest, date.is_some(), parts.time.is_some()).ok_or_else(bad)?;
        match matched {
            Part::Date(year, month, day) => date = Some((year, month, day)),
            Part::Time(time) => parts.time = Some(time.ok_or_else(|| field_range(text, false))?),
            Part::Era(bc) => before_christ = bc,
            Part::Offset(seconds) => parts.zone = Some(Zone::Offset(seconds)),
            Part::Weekday => {}
            Part::Zone(name) if parts.zone.is_none() && date.is_some() => {
                parts.zone = Some(Zone::Named(named_zone(&name).ok_or_else(bad)?));
            }
            Part::Zone(_) => return Err(bad()),
        }
        rest = rest.get(end..).unwrap_or_default().trim_start_matches([' ', ',', '\t', '\n']);
    }
    if let Some((year, month, day)) = date {
        if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(field_range(text, year != 0));
        }
        let year = if before_christ { 1 - year } else { year };
        if day > days_in_month(year, month) {
            return Err(field_range(text, false));
        }
        let days = days_from_civil(year, month, day);
        if type_name == "date" && !(-2_440_588..=2_145_042_905).contains(&days) {
            return Err(date_range(text));
        }
        parts.days = Some(days);
    }
    if parts.days.is_none() && parts.time.is_none() {
        return Err(bad());
    }
    Ok(parts)
}

enum Part {
    Date(i64, i64, i64),
    /// `None` for hours, minutes or seconds out of range.
    Time(Option<i64>),
    Era(bool),
    Offset(i32),
    Weekday,
    Zone(String),
}

/// The part at the beginning of `rest` and where it ends.
fn next_part(rest: &str, has_date: bool, has_time: bool) -> Option<(Part, usize)> {
    if !has_date {
        for (regex, order) in DATES.iter() {
            if let Some(found) = regex.captures(rest) {
                let [year, month, day] = order.map(|group| field(&found, group));
                let year_text_len = found.get(order.first().copied()?)?.as_str().len();
                let year = match (year_text_len, year?) {
                    (2, short @ 0..70) => short + 2000,
                    (2, short) => short + 1900,
                    (_, year) => year,
                };
                let end = found.get(0)?.end();
                let end = if rest.get(..end)?.ends_with('t') { end - 1 } else { end };
                return Some((Part::Date(year, month?, day?), end));
            }
        }
    }
    if !has_time && let Some(found) = TIME.captures(rest).or_else(|| COMPACT_TIME.captures(rest)) {
        return Some((Part::Time(time_of_day(&found)), found.get(0)?.end()));
    }
    if (has_time || has_date)
        && let Some(found) = OFFSET.captures(rest)
    {
        let seconds =
            field(&found, 2)? * 3600 + field(&found, 3).unwrap_or(0) * 60 + field(&found, 4).unwrap_or(0);
        let sign = if found.get(1)?.as_str() == "-" { -1 } else { 1 };
        return Some((Part::Offset(i32::try_from(sign * seconds).ok()?), found.get(0)?.end()));
    }
    if let Some(found) = ERA.captures(rest) {
        return Some((Part::Era(found.get(1)?.as_str() == "bc"), found.get(0)?.end()));
    }
    if let Some(found) = WEEKDAY.find(rest) {
        return Some((Part::Weekday, found.end()));
    }
    ZONE.find(rest).map(|found| (Part::Zone(found.as_str().to_owned()), found.end()))
}

fn field(found: &Captures, group: usize) -> Option<i64> {
    let text = found.get(group)?.as_str();
    text.parse().ok().or_else(|| {
        let month = MONTHS.iter().position(|month| text.starts_with(month))?;
        i64::try_from(month + 1).ok()
    })
}

fn time_of_day(found: &Captures) -> Option<i64> {
    let mut hours = field(found, 1)?;
    let (minutes, seconds) = (field(found, 2)?, field(found, 3).unwrap_or(0));
    let fraction = found.get(4).map_or("", |digits| digits.as_str());
    let micros = micros_of_fraction(fraction)?;
    match found.get(5).map(|half| half.as_str()) {
        Some("am" | "pm") if !(1..=12).contains(&hours) => return None,
        Some("am") => hours %= 12,
        Some("pm") => hours = hours % 12 + 12,
        _ => {}
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
    (minutes < 60 && seconds <= 60 && total <= MICROS_PER_DAY).then_some(total)
}

/// Microseconds of the digits after a point, rounded half up.
pub(crate) fn micros_of_fraction(digits: &str) -> Option<i64> {
    let padded = format!("{digits:0<7}");
    let head: i64 = padded.get(..6)?.parse().ok()?;
    let round = padded.as_bytes().get(6)? >= &b'5';
    Some(head + i64::from(round))
}

fn special(word: &str) -> Result<Option<Parts>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    let (today, time) = split_micros(i64::try_from(now).unwrap_or(0));
    let (days, time) = match word {
        "epoch" => (0, 0),
        "now" => (today, time),
        "today" => (today, 0),
        "yesterday" => (today - 1, 0),
        "tomorrow" => (today + 1, 0),
        "infinity" | "+infinity" => return Ok(Some(Parts { infinite: Some(true), ..Parts::default() })),
        "-infinity" => return Ok(Some(Parts { infinite: Some(false), ..Parts::default() })),
        _ => return Ok(None),
    };
    Ok(Some(Parts { infinite: None, days: Some(days), time: Some(time), zone: Some(Zone::Offset(0)) }))
}

pub(crate) fn invalid(type_name: &str, text: &str) -> DataFusionError {
    error(ErrorKind::InvalidDatetime, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

fn field_range(text: &str, perhaps_another_order: bool) -> DataFusionError {
    let error = ExecError::new(
        ErrorKind::DatetimeOutOfRange,
        format!("date/time field value out of range: \"{text}\""),
    );
    if perhaps_another_order {
        return error.with_hint("Perhaps you need a different \"datestyle\" setting.").into();
    }
    error.into()
}

fn date_range(text: &str) -> DataFusionError {
    error(ErrorKind::DatetimeOutOfRange, format!("date out of range: \"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc() -> Tz {
        "UTC".parse().unwrap()
    }

    #[test]
    fn notations_of_one_date_agree() {
        let texts = [
            "2013-01-15",
            "20130115",
            "2013/1/15",
            "1/15/2013",
            "January 15, 2013",
            "15 Jan 2013",
            "2013-Jan-15",
            "15-Jan-2013",
            "Jan 15 2013",
            "2013-01-15 10:00:00",
            "Tue Jan 15 2013",
        ];
        for text in texts {
            assert_eq!(parse_date(text).unwrap(), 15_720, "{text}");
        }
        assert_eq!(parse_date("0001-01-01 BC").unwrap(), -719_528);
    }

    #[test]
    fn times_and_zones() {
        let noon = 15_720 * MICROS_PER_DAY + MICROS_PER_DAY / 2;
        for text in [
            "2013-01-15 12:00",
            "2013-01-15T12:00:00",
            "2013-01-15 12:00:00.000 PM",
            "2013-01-15 07:00-05",
            "2013-01-15 12:00:00Z",
            "2013-01-15 13:00:00 Europe/Paris",
            "2013-01-15 07:00:00 EST",
        ] {
            assert_eq!(parse_timestamptz(text, utc()).unwrap(), noon, "{text}");
        }
        assert_eq!(parse_timestamp("2013-01-15 12:00+05").unwrap(), noon);
        assert_eq!(parse_timestamptz("2013-01-15 07:00", "America/New_York".parse().unwrap()).unwrap(), noon);
        assert_eq!(parse_time("24:00").unwrap(), MICROS_PER_DAY);
        assert_eq!(parse_time("04:05:06.789").unwrap(), 14_706_789_000);
    }

    #[test]
    fn refusals_have_postgresqls_words() {
        let check = |result: Result<i32>, kind: ErrorKind, message: &str| {
            let error = ExecError::find(&result.unwrap_err()).unwrap();
            assert_eq!((error.kind, error.message.as_str()), (kind, message));
        };
        check(
            parse_date("2020-02-30"),
            ErrorKind::DatetimeOutOfRange,
            "date/time field value out of range: \"2020-02-30\"",
        );
        check(
            parse_date("2020-13-01"),
            ErrorKind::DatetimeOutOfRange,
            "date/time field value out of range: \"2020-13-01\"",
        );
        check(parse_date("abc"), ErrorKind::InvalidDatetime, "invalid input syntax for type date: \"abc\"");
        check(parse_date(""), ErrorKind::InvalidDatetime, "invalid input syntax for type date: \"\"");
    }
}
