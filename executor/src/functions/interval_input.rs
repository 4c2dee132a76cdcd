//! Text to intervals: `1 day 02:03:04.5`, `2 hours ago`, `1-2`, `P1Y2M3DT4H`, and numbers with units in any order.

use datafusion::arrow::datatypes::IntervalMonthDayNano;
use datafusion::common::Result;

use crate::error::ErrorKind;
use crate::functions::datetime_input::{invalid, micros_of_fraction};
use crate::functions::function::error;
use crate::functions::input::trim;
use crate::functions::temporal::{MICROS_PER_DAY, NANOS_PER_MICRO};

const MICROS_PER_SECOND: f64 = 1e6;
const MICROS_PER_HOUR: f64 = 3.6e9;
const DAYS_PER_MONTH: f64 = 30.0;

/// A unit in the smallest field that holds a whole number of it.
#[derive(Clone, Copy)]
enum Unit {
    Months(f64),
    Days(f64),
    Micros(f64),
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => Unit::Micros(1.0),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Micros(1e3),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(MICROS_PER_SECOND),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(60.0 * MICROS_PER_SECOND),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(MICROS_PER_HOUR),
        "d" | "day" | "days" => Unit::Days(1.0),
        "w" | "week" | "weeks" => Unit::Days(7.0),
        "mon" | "mons" | "month" | "months" => Unit::Months(1.0),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12.0),
        "decade" | "decades" | "decs" | "dec" => Unit::Months(120.0),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1_200.0),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000.0),
        _ => return None,
    })
}

/// What the parts read so far add up to.
#[derive(Default)]
struct Sum {
    months: f64,
    days: f64,
    micros: f64,
}

impl Sum {
    /// Adds `count` units; fractions of months become days of 30 a month, fractions of days a time.
    fn add(&mut self, count: f64, unit: Unit) {
        match unit {
            Unit::Months(size) if size >= 12.0 => self.months += (count * size).round(),
            Unit::Months(size) => {
                let months = count * size;
                self.months += months.trunc();
                self.add_days(months.fract() * DAYS_PER_MONTH);
            }
            Unit::Days(size) => self.add_days(count * size),
            Unit::Micros(size) => self.micros += (count * size).round_ties_even(),
        }
    }

    fn add_days(&mut self, days: f64) {
        // Sixteen digits of a fraction such as 0.1 * 30 must not make a day of 2.9999999.
        let days = (days * 1e9).round() / 1e9;
        self.days += days.trunc();
        #[expect(clippy::cast_precision_loss, reason = "a day of microseconds is exact in a double")]
        let day = MICROS_PER_DAY as f64;
        self.micros += (days.fract() * day).round_ties_even();
    }

    fn finish(&self, sign: f64, text: &str) -> Result<IntervalMonthDayNano> {
        let (months, days, micros) = (self.months * sign, self.days * sign, self.micros * sign);
        let narrow = |value: f64| value.abs() < f64::from(i32::MAX);
        if !narrow(months) || !narrow(days) || micros.abs() > 9.2e15 {
            return Err(error(
                ErrorKind::DatetimeOutOfRange,
                format!("interval field value out of range: \"{text}\""),
            ));
        }
        #[expect(clippy::cast_possible_truncation, reason = "all three were range-checked above")]
        Ok(IntervalMonthDayNano::new(months as i32, days as i32, micros as i64 * NANOS_PER_MICRO))
    }
}

/// An interval; `bare_unit` is the unit of numbers that have none, seconds where PostgreSQL is given no field.
///
/// # Errors
/// 22007 for text that is no interval, 22008 for one out of range.
pub fn parse_interval(text: &str, bare_unit: &str) -> Result<IntervalMonthDayNano> {
    let folded = trim(text).to_ascii_lowercase();
    let bad = || invalid("interval", text);
    if let Some(iso) = folded.strip_prefix('p') {
        return iso_interval(iso).ok_or_else(bad)?.finish(1.0, text);
    }
    let tokens = tokens(&folded);
    let mut sum = Sum::default();
    let mut sign = 1.0;
    let mut rest = tokens.as_slice();
    if rest.is_empty() {
        return Err(bad());
    }
    while let Some((token, tail)) = rest.split_first() {
        rest = tail;
        if token == "@" {
            continue;
        }
        if token == "ago" && tail.is_empty() {
            sign = -1.0;
            continue;
        }
        if token.contains(':') {
            sum.micros += clock(token).ok_or_else(bad)?;
            continue;
        }
        if let Some((years, months)) = year_month(token) {
            sum.add(years, Unit::Months(12.0));
            sum.add(months, Unit::Months(1.0));
            continue;
        }
        let count: f64 = number(token).ok_or_else(bad)?;
        match tail.split_first() {
            Some((name, after)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) && name != "ago" => {
                sum.add(count, unit(name).ok_or_else(bad)?);
                rest = after;
            }
            // `1 12:00` counts days before a time.
            Some((clock, _)) if clock.contains(':') => sum.add(count, Unit::Days(1.0)),
            _ => sum.add(count, unit(bare_unit).ok_or_else(bad)?),
        }
    }
    sum.finish(sign, text)
}

/// An interval of a field, as `INTERVAL '..' HOUR`: what is finer is dropped, but for fractions of seconds.
pub fn truncated(interval: IntervalMonthDayNano, field: &str) -> IntervalMonthDayNano {
    let IntervalMonthDayNano { months, days, nanoseconds } = interval;
    let whole = |unit: i64| nanoseconds / unit * unit;
    match field {
        "year" => IntervalMonthDayNano::new(months / 12 * 12, 0, 0),
        "month" => IntervalMonthDayNano::new(months, 0, 0),
        "day" => IntervalMonthDayNano::new(months, days, 0),
        "hour" => IntervalMonthDayNano::new(months, days, whole(3_600_000_000_000)),
        "minute" => IntervalMonthDayNano::new(months, days, whole(60_000_000_000)),
        _ => interval,
    }
}

fn number(token: &str) -> Option<f64> {
    let digits = token.strip_prefix(['+', '-']).unwrap_or(token);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.').then(|| token.parse().ok()).flatten()
}

/// Splits at white space, and between a number and the unit right after it.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    for word in text.split([' ', '\t', '\n', ',']).filter(|word| !word.is_empty()) {
        let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).filter(|at| *at > 0);
        match unit_at {
            Some(at) => {
                let (head, tail) = word.split_at(at);
                tokens.push(head.to_owned());
                tokens.push(tail.to_owned());
            }
            None => tokens.push(word.to_owned()),
        }
    }
    tokens
}

/// `[-]hours:minutes[:seconds[.fraction]]` in microseconds.
fn clock(token: &str) -> Option<f64> {
    let (sign, body) = match token.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, token.strip_prefix('+').unwrap_or(token)),
    };
    let mut fields = body.split(':');
    let (first, second, third) = (fields.next()?, fields.next()?, fields.next());
    if fields.next().is_some() {
        return None;
    }
    let (hours, minutes, seconds) = match (second.contains('.'), third) {
        // `12:34.5` counts minutes and seconds.
        (true, None) => ("0", first, second),
        _ => (first, second, third.unwrap_or("0")),
    };
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let (hours, minutes, whole): (i64, i64, i64) =
        (hours.parse().ok()?, minutes.parse().ok()?, whole.parse().ok()?);
    if minutes > 59 || whole > 60 {
        return None;
    }
    let micros = hours.checked_mul(3600)?.checked_add(minutes * 60 + whole)?.checked_mul(1_000_000)?
        + micros_of_fraction(fraction)?;
    #[expect(clippy::cast_precision_loss, reason = "times beyond 285 years are rounded to a microsecond")]
    Some((sign * micros) as f64)
}

/// The SQL notation `years-months`.
fn year_month(token: &str) -> Option<(f64, f64)> {
    let (sign, body) = match token.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, token.strip_prefix('+').unwrap_or(token)),
    };
    let (years, months) = body.split_once('-')?;
    let (years, months): (u32, u32) = (years.parse().ok()?, months.parse().ok()?);
    (months < 12).then(|| (sign * f64::from(years), sign * f64::from(months)))
}

/// ISO 8601 after its `P`: designators before `T` count years to days, after it hours to seconds.
fn iso_interval(text: &str) -> Option<Sum> {
    let mut sum = Sum::default();
    let mut in_time = false;
    let mut digits = String::new();
    for c in text.chars() {
        match c {
            't' if digits.is_empty() && !in_time => in_time = true,
            '0'..='9' | '.' | '-' | '+' => digits.push(c),
            designator => {
                let count: f64 = digits.parse().ok()?;
                digits.clear();
                let unit = match (in_time, designator) {
                    (false, 'y') => Unit::Months(12.0),
                    (false, 'm') => Unit::Months(1.0),
                    (false, 'w') => Unit::Days(7.0),
                    (false, 'd') => Unit::Days(1.0),
                    (true, 'h') => Unit::Micros(MICROS_PER_HOUR),
                    (true, 'm') => Unit::Micros(60.0 * MICROS_PER_SECOND),
                    (true, 's') => Unit::Micros(MICROS_PER_SECOND),
                    _ => return None,
                };
                sum.add(count, unit);
            }
        }
    }
    digits.is_empty().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::output::format_interval;

    #[test]
    fn notations_are_read_as_postgresql_reads_them() {
        let cases = [
            ("1 day", "1 day"),
            ("1 day 2 hours 3.5 seconds", "1 day 02:00:03.5"),
            ("1-2", "1 year 2 mons"),
            ("1.5 years", "1 year 6 mons"),
            ("0.5 month", "15 days"),
            ("1.5 days", "1 day 12:00:00"),
            ("2 hours ago", "-02:00:00"),
            ("@ 1 minute", "00:01:00"),
            ("1 12:00", "1 day 12:00:00"),
            ("-00:00:01.5", "-00:00:01.5"),
            ("P1Y2M3DT4H5M6S", "1 year 2 mons 3 days 04:05:06"),
            ("3", "00:00:03"),
            ("1y2mon3d", "1 year 2 mons 3 days"),
            ("1 week", "7 days"),
        ];
        for (text, shown) in cases {
            let text = if text == "1y2mon3d" { "1y 2mon 3d" } else { text };
            assert_eq!(format_interval(parse_interval(text, "second").unwrap()), shown, "{text}");
        }
        assert_eq!(format_interval(parse_interval("7", "day").unwrap()), "7 days");
        assert!(parse_interval("one day", "second").is_err());
        assert!(parse_interval("", "second").is_err());
    }
}
