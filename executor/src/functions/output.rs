//! Values to text, digit for digit as PostgreSQL's output functions write them.

use std::fmt::Write;

use datafusion::arrow::datatypes::IntervalMonthDayNano;

use crate::functions::calendar::{civil_from_days, split_micros};

/// A `double precision`: the shortest digits that read back as the same value.
pub fn format_float(value: f64) -> String {
    special(value).unwrap_or_else(|| layout(&format!("{value:e}"), 15))
}

/// A `real`, likewise.
pub fn format_real(value: f32) -> String {
    special(f64::from(value)).unwrap_or_else(|| layout(&format!("{value:e}"), 6))
}

fn special(value: f64) -> Option<String> {
    let word = match value {
        v if v.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Lays `d.ddde<exponent>` out as C's `%g` does: an exponent below -4 or from `digits_max` on stays one.
fn layout(scientific: &str, digits_max: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < -4 || exponent >= digits_max {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(1);
    match digits.get(whole..) {
        Some("") | None => format!("{sign}{digits:0<whole$}"),
        Some(fraction) => format!("{sign}{}.{fraction}", digits.get(..whole).unwrap_or_default()),
    }
}

/// A `numeric` of `scale` digits after the point.
pub fn format_numeric(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// A date, days since 1970-01-01, in ISO style.
pub fn format_date(days: i32) -> String {
    if let Some(infinite) = infinite(days == i32::MAX, days == i32::MIN) {
        return infinite;
    }
    let (date, era) = date_parts(i64::from(days));
    format!("{date}{era}")
}

/// The largest and the smallest value of a type stand for the two infinities.
fn infinite(positive: bool, negative: bool) -> Option<String> {
    match (positive, negative) {
        (true, _) => Some("infinity".to_owned()),
        (_, true) => Some("-infinity".to_owned()),
        _ => None,
    }
}

fn date_parts(days: i64) -> (String, &'static str) {
    let (year, month, day) = civil_from_days(days);
    if year > 0 {
        (format!("{year:04}-{month:02}-{day:02}"), "")
    } else {
        (format!("{:04}-{month:02}-{day:02}", 1 - year), " BC")
    }
}

/// A timestamp, microseconds since 1970-01-01, in ISO style.
pub fn format_timestamp(micros: i64) -> String {
    if let Some(infinite) = infinite(micros == i64::MAX, micros == i64::MIN) {
        return infinite;
    }
    let (days, time) = split_micros(micros);
    let (date, era) = date_parts(days);
    format!("{date} {}{era}", format_time(time))
}

/// The same instant as `format_timestamp` at an offset from UTC, with the offset at its end.
pub fn format_timestamptz(micros: i64, offset_seconds: i32) -> String {
    if let Some(infinite) = infinite(micros == i64::MAX, micros == i64::MIN) {
        return infinite;
    }
    let (days, time) = split_micros(micros + i64::from(offset_seconds) * 1_000_000);
    let (date, era) = date_parts(days);
    format!("{date} {}{}{era}", format_time(time), format_offset(offset_seconds))
}

fn format_offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let magnitude = seconds.abs();
    let (hours, minutes, rest) = (magnitude / 3600, magnitude / 60 % 60, magnitude % 60);
    match (minutes, rest) {
        (0, 0) => format!("{sign}{hours:02}"),
        (_, 0) => format!("{sign}{hours:02}:{minutes:02}"),
        _ => format!("{sign}{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// A time of day in microseconds.
pub fn format_time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    push_fraction(&mut text, (micros % 1_000_000).unsigned_abs());
    text
}

fn push_fraction(text: &mut String, micros: u64) {
    if micros != 0 {
        let fraction = format!("{micros:06}");
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
}

/// An interval in PostgreSQL's own style: `1 year 2 mons -3 days 04:05:06.7`.
pub fn format_interval(interval: IntervalMonthDayNano) -> String {
    let (years, months) = (interval.months / 12, interval.months % 12);
    let micros = interval.nanoseconds / 1_000;
    let mut text = String::new();
    let mut after_negative = false;
    for (count, unit) in [(years, "year"), (months, "mon"), (interval.days, "day")] {
        if count != 0 {
            let gap = if text.is_empty() { "" } else { " " };
            let plus = if after_negative && count > 0 { "+" } else { "" };
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(text, "{gap}{plus}{count} {unit}{plural}");
            after_negative = count < 0;
        }
    }
    if micros != 0 || text.is_empty() {
        let gap = if text.is_empty() { "" } else { " " };
        let sign = if micros < 0 {
            "-"
        } else if after_negative {
            "+"
        } else {
            ""
        };
        let magnitude = micros.unsigned_abs();
        let seconds = magnitude / 1_000_000;
        let _ = write!(text, "{gap}{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        push_fraction(&mut text, magnitude % 1_000_000);
    }
    text
}

/// `bytea` in hex notation.
pub fn format_bytea(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shortest_and_switch_to_exponents_like_postgresql() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (-123.456, "-123.456"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(format_float(value), text);
        }
        assert_eq!(format_real(1e6), "1e+06");
        assert_eq!(format_real(0.1), "0.1");
    }

    #[test]
    fn numerics_keep_their_scale() {
        assert_eq!(format_numeric(-5, 2), "-0.05");
        assert_eq!(format_numeric(12345, 2), "123.45");
        assert_eq!(format_numeric(12, 0), "12");
    }

    #[test]
    fn dates_and_times() {
        assert_eq!(format_date(0), "1970-01-01");
        assert_eq!(format_date(-719_163), "0001-12-31 BC");
        assert_eq!(format_timestamp(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(format_timestamptz(0, 19_800), "1970-01-01 05:30:00+05:30");
    }

    #[test]
    fn intervals() {
        let interval = IntervalMonthDayNano::new(14, -3, 14_706_700_000_000);
        assert_eq!(format_interval(interval), "1 year 2 mons -3 days +04:05:06.7");
        assert_eq!(format_interval(IntervalMonthDayNano::ZERO), "00:00:00");
        assert_eq!(format_interval(IntervalMonthDayNano::new(0, 1, 0)), "1 day");
    }
}
