//! `to_date` and `to_timestamp` of a text by a picture.
//!
//! Fields are read in the picture's order; a number takes as many digits as its field has, or all that follow where the
//! picture says `FM` or something else comes next. White space and separators of the text may differ from the
//! picture's.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarUDF, Volatility};

use crate::error::ErrorKind;
use crate::functions::by_row::{Takes, take, values};
use crate::functions::calendar::{days_from_civil, days_in_month};
use crate::functions::cast::session_zone;
use crate::functions::datetime_input::to_utc;
use crate::functions::function::{Function, error, is_text};
use crate::functions::temporal::{MICROS_PER_DAY, timestamp_range};
use crate::functions::type_names::timestamptz;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Both.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "to_date",
            |types| take(types, &[Takes::Text, Takes::Text], 0),
            |_, _| Ok(DataType::Date32),
            |args| {
                values::<Date32Type>(args, |row| {
                    let (days, _) = parse(row.text(0)?, row.text(1)?)?.moment()?;
                    i32::try_from(days).map(Some).map_err(|_| timestamp_range())
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
                let zone = session_zone(args);
                values::<TimestampMicrosecondType>(args, |row| {
                    if row.len() == 1 {
                        return from_epoch(row.float(0)?).map(Some);
                    }
                    let parsed = parse(row.text(0)?, row.text(1)?)?;
                    let (days, micros) = parsed.moment()?;
                    let local = days.checked_mul(MICROS_PER_DAY).and_then(|day| day.checked_add(micros));
                    let local = local.ok_or_else(timestamp_range)?;
                    Ok(Some(match parsed.offset_seconds {
                        Some(offset) => local - offset * 1_000_000,
                        None => to_utc(local, zone),
                    }))
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
        return Ok(if seconds > 0.0 { i64::MAX } else { i64::MIN });
    }
    let micros = (seconds * 1e6).round_ties_even();
    if micros.abs() > 9.2e18 {
        return Err(error(ErrorKind::DatetimeOutOfRange, format!("timestamp out of range: \"{seconds}\"")));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    Ok(micros as i64)
}

#[derive(Default)]
struct Parsed {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: i64,
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: i64,
    second: i64,
    seconds_of_day: Option<i64>,
    micros: i64,
    before_christ: bool,
    offset_seconds: Option<i64>,
    text: String,
}

impl Parsed {
    /// Day number and microseconds of the day.
    fn moment(&self) -> Result<(i64, i64)> {
        let beyond = || {
            let message = format!("date/time field value out of range: \"{}\"", self.text);
            error(ErrorKind::DatetimeOutOfRange, message)
        };
        let hour = match (self.hour_of_half, self.afternoon) {
            (Some(hour), afternoon) => {
                if !(1..=12).contains(&hour) {
                    return Err(error(
                        ErrorKind::InvalidDatetime,
                        format!("hour \"{hour}\" is invalid for the 12-hour clock"),
                    ));
                }
                hour % 12 + if afternoon == Some(true) { 12 } else { 0 }
            }
            _ => self.hour,
        };
        if !(0..24).contains(&hour) || !(0..60).contains(&self.minute) || !(0..60).contains(&self.second) {
            return Err(beyond());
        }
        let seconds = self.seconds_of_day.unwrap_or(hour * 3_600 + self.minute * 60 + self.second);
        let micros = seconds * 1_000_000 + self.micros;
        if let Some(julian) = self.julian {
            return Ok((julian - 2_440_588, micros));
        }
        // Without a year it is the first before Christ.
        let year = match self.year {
            Some(year) if self.before_christ => 1 - year,
            Some(year) => year,
            None => 0,
        };
        if let Some(day) = self.day_of_year {
            return Ok((days_from_civil(year, 1, 1) + day - 1, micros));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return Err(beyond());
        }
        Ok((days_from_civil(year, month, day), micros))
    }
}

/// Fields of a picture, the longer of two that begin alike first, with the digits that they take.
const FIELDS: [(&str, usize); 37] = [
    ("YYYY", 4),
    ("Y,YYY", 5),
    ("YYY", 3),
    ("YY", 2),
    ("Y", 1),
    ("MONTH", 0),
    ("MON", 0),
    ("MM", 2),
    ("MI", 2),
    ("MS", 3),
    ("DDD", 3),
    ("DD", 2),
    ("DAY", 0),
    ("DY", 0),
    ("D", 1),
    ("HH24", 2),
    ("HH12", 2),
    ("HH", 2),
    ("SSSSS", 5),
    ("SSSS", 5),
    ("SS", 2),
    ("US", 6),
    ("FF1", 1),
    ("FF2", 2),
    ("FF3", 3),
    ("FF4", 4),
    ("FF5", 5),
    ("FF6", 6),
    ("A.M.", 0),
    ("P.M.", 0),
    ("AM", 0),
    ("PM", 0),
    ("B.C.", 0),
    ("BC", 0),
    ("AD", 0),
    ("TZH", 0),
    ("J", 7),
];

fn parse(text: &str, picture: &str) -> Result<Parsed> {
    let mut parsed = Parsed { text: text.to_owned(), ..Parsed::default() };
    let mut rest = text;
    let mut pattern = picture;
    let mut exact = false;
    while !pattern.is_empty() {
        if let Some(after) = strip_word(pattern, "FM")
            .or_else(|| strip_word(pattern, "FX"))
            .or_else(|| strip_word(pattern, "TM"))
        {
            pattern = after;
            exact = true;
            continue;
        }
        let field =
            FIELDS.iter().find_map(|(name, digits)| Some((*name, *digits, strip_word(pattern, name)?)));
        if let Some((name, digits, after)) = field {
            pattern = strip_word(after, "TH").filter(|_| digits > 0).unwrap_or(after);
            rest = rest.trim_start();
            // A number goes on as far as it can where no other follows right away.
            let next_is_number = pattern.starts_with(|c: char| c.is_ascii_alphabetic());
            let limit = if exact || !next_is_number { usize::MAX } else { digits };
            rest = read(&mut parsed, name, digits, limit, rest)?;
            exact = false;
            continue;
        }
        let Some(c) = pattern.chars().next() else { break };
        pattern = pattern.get(c.len_utf8()..).unwrap_or_default();
        if c == '"' {
            let end = pattern.find('"').unwrap_or(pattern.len());
            let skipped = pattern.get(..end).unwrap_or_default().chars().count();
            pattern = pattern.get(end + 1..).unwrap_or_default();
            rest = rest.char_indices().nth(skipped).map_or("", |(at, _)| rest.get(at..).unwrap_or_default());
            continue;
        }
        // A separator matches any separator, or none.
        if c.is_alphanumeric() {
            rest = rest.strip_prefix(|_: char| true).unwrap_or(rest);
        } else {
            let trimmed = rest.trim_start();
            rest = trimmed
                .strip_prefix(|c: char| !c.is_alphanumeric() && c != '-' && c != '+')
                .or_else(|| (c == '-' || c == '+').then(|| trimmed.strip_prefix(c)).flatten())
                .or_else(|| trimmed.strip_prefix('-').filter(|_| !c.is_whitespace()))
                .unwrap_or(trimmed);
        }
    }
    Ok(parsed)
}

/// What follows a keyword of a picture, in either case.
fn strip_word<'p>(pattern: &'p str, word: &str) -> Option<&'p str> {
    let head = pattern.get(..word.len())?;
    head.eq_ignore_ascii_case(word).then(|| pattern.get(word.len()..)).flatten()
}

fn read<'t>(parsed: &mut Parsed, name: &str, digits: usize, limit: usize, text: &'t str) -> Result<&'t str> {
    let bad =
        |shown: &str| error(ErrorKind::InvalidDatetime, format!("invalid value \"{shown}\" for \"{name}\""));
    if digits == 0 {
        return read_word(parsed, name, text).ok_or_else(|| {
            let shown: String = text.chars().take(name.len()).collect();
            bad(&shown)
        });
    }
    let body = if name == "Y,YYY" { text.replacen(',', "", 1) } else { text.to_owned() };
    let signed = body.strip_prefix(['-', '+']).filter(|_| name.starts_with('Y')).unwrap_or(&body);
    let sign = body.len() - signed.len();
    let count = signed.chars().take_while(char::is_ascii_digit).count().min(limit);
    if count == 0 {
        let shown: String = text.chars().take(digits).collect();
        return Err(bad(&shown));
    }
    let number = body.get(..sign + count).unwrap_or_default();
    let value: i64 = number.parse().map_err(|_| bad(number))?;
    let fraction = |scale: usize| {
        let digits: String = number.chars().chain(std::iter::repeat('0')).take(scale).collect();
        digits.parse::<i64>().unwrap_or(0)
    };
    match name {
        "YYYY" | "Y,YYY" => {
            parsed.before_christ |= value < 0;
            parsed.year = Some(value.abs());
        }
        "YYY" | "YY" | "Y" => {
            parsed.year = Some(match count {
                1 | 2 if value < 70 => 2000 + value,
                1 | 2 => 1900 + value,
                3 if value >= 100 => 1000 + value + if value < 520 { 1000 } else { 0 },
                3 => 2000 + value,
                _ => value,
            });
        }
        "MM" => parsed.month = Some(value),
        "DD" => parsed.day = Some(value),
        "DDD" => parsed.day_of_year = Some(value),
        "J" => parsed.julian = Some(value),
        "HH24" => parsed.hour = value,
        "HH12" | "HH" => parsed.hour_of_half = Some(value),
        "MI" => parsed.minute = value,
        "SS" => parsed.second = value,
        "SSSS" | "SSSSS" => parsed.seconds_of_day = Some(value),
        "MS" => parsed.micros += fraction(3) * 1_000,
        "US" | "FF6" => parsed.micros += fraction(6),
        "FF1" => parsed.micros += fraction(1) * 100_000,
        "FF2" => parsed.micros += fraction(2) * 10_000,
        "FF3" => parsed.micros += fraction(3) * 1_000,
        "FF4" => parsed.micros += fraction(4) * 100,
        "FF5" => parsed.micros += fraction(5) * 10,
        _ => {}
    }
    let comma = usize::from(name == "Y,YYY" && text.contains(','));
    Ok(text.get(sign + count + comma..).unwrap_or_default())
}

/// Reads a field of letters.
fn read_word<'t>(parsed: &mut Parsed, name: &str, text: &'t str) -> Option<&'t str> {
    let lower = text.to_lowercase();
    let find = |names: &[&str], length: usize| {
        names.iter().enumerate().find_map(|(index, name)| {
            let part = name.get(..length.min(name.len()))?;
            lower.starts_with(part).then_some((index, part.len()))
        })
    };
    let used = match name {
        "MONTH" | "MON" => {
            let (index, used) =
                find(&MONTHS, usize::MAX).filter(|_| name == "MONTH").or_else(|| find(&MONTHS, 3))?;
            parsed.month = Some(i64::try_from(index).ok()? + 1);
            used
        }
        "DAY" | "DY" => find(&DAYS, usize::MAX).filter(|_| name == "DAY").or_else(|| find(&DAYS, 3))?.1,
        "TZH" => {
            let signed = lower.strip_prefix(['-', '+'])?;
            let count = signed.chars().take_while(char::is_ascii_digit).count().min(2);
            let hours: i64 = signed.get(..count)?.parse().ok()?;
            let sign = if lower.starts_with('-') { -1 } else { 1 };
            parsed.offset_seconds = Some(sign * hours * 3_600);
            count + 1
        }
        "BC" | "B.C." | "AD" => {
            let word = ["b.c.", "a.d.", "bc", "ad"].into_iter().find(|word| lower.starts_with(word))?;
            parsed.before_christ = word.starts_with('b');
            word.len()
        }
        _ => {
            let word = ["a.m.", "p.m.", "am", "pm"].into_iter().find(|word| lower.starts_with(word))?;
            parsed.afternoon = Some(word.starts_with('p'));
            word.len()
        }
    };
    text.get(used..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_pictures() {
        let check = |text: &str, picture: &str, expected: (i64, i64, i64, i64)| {
            let (days, micros) = parse(text, picture).unwrap().moment().unwrap();
            let (year, month, day) = crate::functions::calendar::civil_from_days(days);
            assert_eq!((year, month, day, micros / 1_000_000), expected, "{text} {picture}");
        };
        check("04/07/2013", "DD/MM/YYYY", (2013, 7, 4, 0));
        check("2013-07-04 15:06", "YYYY-MM-DD HH24:MI", (2013, 7, 4, 15 * 3600 + 360));
        check("20130704", "YYYYMMDD", (2013, 7, 4, 0));
        check("4 July 2013 03:06 pm", "DD Month YYYY HH12:MI am", (2013, 7, 4, 15 * 3600 + 360));
        check("2013185", "YYYYDDD", (2013, 7, 4, 0));
        check("05 Dec 2000", "DD Mon YYYY", (2000, 12, 5, 0));
        assert!(parse("2013-13-01", "YYYY-MM-DD").unwrap().moment().is_err());
        assert!(parse("abc", "YYYY").is_err());
    }
}
