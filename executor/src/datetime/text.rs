//! PostgreSQL's text form of dates, times and timestamps in every `DateStyle`.

use super::calendar::{
    CivilDate, DATE_INFINITY, DATE_MINUS_INFINITY, MICROS_PER_DAY, MICROS_PER_SECOND, MONTHS,
    TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY, WEEKDAYS, weekday,
};
use super::{DateLayout, DateOrder, DateStyle};

use super::time_zone::{TimeZone, write_offset};
use bytes::BytesMut;
use std::fmt::Write as _;

/// Appends a `date`, in days since 1970-01-01; the smallest and largest day counts are the infinities.
pub fn write_date(days: i32, style: DateStyle, out: &mut BytesMut) {
    match days {
        DATE_INFINITY => out.extend_from_slice(b"infinity"),
        DATE_MINUS_INFINITY => out.extend_from_slice(b"-infinity"),
        days => {
            let date = CivilDate::from_days(days.into());
            let separator: &[u8] = match style.layout {
                DateLayout::Iso | DateLayout::Postgres => b"-",
                DateLayout::Sql => b"/",
                DateLayout::German => b".",
            };
            write_day(date, style, separator, out);
            write_era(date, out);
        }
    }
}

/// Appends a `time`, in microseconds since midnight.
pub fn write_time(micros: i64, out: &mut BytesMut) {
    write_clock(micros, out);
}

/// Appends a `timestamp`, in microseconds since 1970-01-01 00:00:00 of no particular zone.
pub fn write_timestamp(micros: i64, style: DateStyle, out: &mut BytesMut) {
    if !write_infinity(micros, out) {
        let date = write_local(micros, style, out);
        write_era(date, out);
    }
}

/// Appends a `timestamptz`, in microseconds since 1970-01-01 00:00:00 UTC, as the local time of `zone`.
pub fn write_timestamptz(micros: i64, style: DateStyle, zone: &TimeZone, out: &mut BytesMut) {
    if write_infinity(micros, out) {
        return;
    }
    let instant = micros.div_euclid(MICROS_PER_SECOND);
    let seconds_east = zone.offset_at(instant);
    let local = micros.saturating_add(i64::from(seconds_east) * MICROS_PER_SECOND);
    let date = write_local(local, style, out);
    if style.layout == DateLayout::Iso {
        write_offset(seconds_east, out);
    } else {
        out.extend_from_slice(b" ");
        zone.write_abbreviation(instant, out);
    }
    write_era(date, out);
}

fn write_infinity(micros: i64, out: &mut BytesMut) -> bool {
    match micros {
        TIMESTAMP_INFINITY => out.extend_from_slice(b"infinity"),
        TIMESTAMP_MINUS_INFINITY => out.extend_from_slice(b"-infinity"),
        _ => return false,
    }
    true
}

/// `yyyy-mm-dd hh:mm:ss` and the microseconds, written at once: the layout and the years of nearly all values.
fn write_iso(date: CivilDate, time_micros: i64, out: &mut BytesMut) -> bool {
    let Some(year) = u32::try_from(date.year).ok().filter(|year| (1..=9_999).contains(year)) else {
        return false;
    };
    let seconds = u32::try_from(time_micros / MICROS_PER_SECOND).unwrap_or(0);
    let fraction = u32::try_from(time_micros % MICROS_PER_SECOND).unwrap_or(0);
    let [c1, c2] = two_digits(year / 100);
    let [y1, y2] = two_digits(year % 100);
    let [m1, m2] = two_digits(date.month);
    let [d1, d2] = two_digits(date.day);
    let [h1, h2] = two_digits(seconds / 3600);
    let [n1, n2] = two_digits(seconds / 60 % 60);
    let [s1, s2] = two_digits(seconds % 60);
    out.extend_from_slice(&[
        c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b' ', h1, h2, b':', n1, n2, b':', s1, s2,
    ]);
    write_fraction(fraction, out);
    true
}

/// Date and time of day without zone and era.
fn write_local(micros: i64, style: DateStyle, out: &mut BytesMut) -> CivilDate {
    let days = micros.div_euclid(MICROS_PER_DAY);
    let time = micros.rem_euclid(MICROS_PER_DAY);
    let date = CivilDate::from_days(days);
    if style.layout == DateLayout::Iso && write_iso(date, time, out) {
        return date;
    }
    match style.layout {
        DateLayout::Iso => write_day(date, style, b"-", out),
        DateLayout::Sql => write_day(date, style, b"/", out),
        DateLayout::German => write_day(date, style, b".", out),
        DateLayout::Postgres => {
            let day_name = WEEKDAYS.get(weekday(days)).and_then(|name| name.get(..3)).unwrap_or_default();
            let month_name = usize::try_from(date.month - 1)
                .ok()
                .and_then(|month_idx| MONTHS.get(month_idx))
                .and_then(|name| name.get(..3))
                .unwrap_or_default();
            out.extend_from_slice(day_name.as_bytes());
            out.extend_from_slice(b" ");
            if style.order == DateOrder::Dmy {
                write_two(date.day, out);
                out.extend_from_slice(b" ");
                out.extend_from_slice(month_name.as_bytes());
            } else {
                out.extend_from_slice(month_name.as_bytes());
                out.extend_from_slice(b" ");
                write_two(date.day, out);
            }
        }
    }
    out.extend_from_slice(b" ");
    write_clock(time, out);
    if style.layout == DateLayout::Postgres {
        out.extend_from_slice(b" ");
        write_year(date.year, out);
    }
    date
}

fn write_day(date: CivilDate, style: DateStyle, separator: &[u8], out: &mut BytesMut) {
    if style.layout == DateLayout::Iso {
        write_year(date.year, out);
        out.extend_from_slice(separator);
        write_two(date.month, out);
        out.extend_from_slice(separator);
        return write_two(date.day, out);
    }
    let day_first = style.order == DateOrder::Dmy || style.layout == DateLayout::German;
    let (first, second) = if day_first { (date.day, date.month) } else { (date.month, date.day) };
    write_two(first, out);
    out.extend_from_slice(separator);
    write_two(second, out);
    out.extend_from_slice(separator);
    write_year(date.year, out);
}

/// The year of its era, at least four digits.
fn write_year(year: i64, out: &mut BytesMut) {
    let year = if year > 0 { year } else { 1 - year };
    write_padded(u32::try_from(year).unwrap_or(u32::MAX), 4, out);
}

fn write_era(date: CivilDate, out: &mut BytesMut) {
    if date.year <= 0 {
        out.extend_from_slice(b" BC");
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the value is below 100 by the callers' arithmetic")]
fn two_digits(value: u32) -> [u8; 2] {
    [b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]
}

fn write_two(value: u32, out: &mut BytesMut) {
    out.extend_from_slice(&two_digits(value));
}

/// `hh:mm:ss` and the microseconds without trailing zeros.
fn write_clock(micros: i64, out: &mut BytesMut) {
    let seconds = u32::try_from(micros / MICROS_PER_SECOND).unwrap_or(0);
    let fraction = u32::try_from(micros % MICROS_PER_SECOND).unwrap_or(0);
    let [h1, h2] = two_digits(seconds / 3600);
    let [m1, m2] = two_digits(seconds / 60 % 60);
    let [s1, s2] = two_digits(seconds % 60);
    out.extend_from_slice(&[h1, h2, b':', m1, m2, b':', s1, s2]);
    write_fraction(fraction, out);
}

/// Appends an integer in decimal with zeros in front up to `width` digits.
pub fn write_padded(value: u32, width: usize, out: &mut BytesMut) {
    // Writing to a buffer that grows cannot fail.
    let _ = write!(out, "{value:0width$}");
}

/// Appends an integer in decimal.
pub(super) fn write_int(value: impl std::fmt::Display, out: &mut BytesMut) {
    let _ = write!(out, "{value}");
}

/// `.` and the microseconds (below 1,000,000) without trailing zeros; nothing for 0.
pub fn write_fraction(fraction: u32, out: &mut BytesMut) {
    if fraction == 0 {
        return;
    }
    let [a, b] = two_digits(fraction / 10_000);
    let [c, d] = two_digits(fraction / 100 % 100);
    let [e, f] = two_digits(fraction % 100);
    let digits = [b'.', a, b, c, d, e, f];
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    out.extend_from_slice(digits.get(..digits.len() - zeros).unwrap_or_default());
}
