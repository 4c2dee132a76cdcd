//! PostgreSQL's text form of intervals in every `IntervalStyle`.

use super::IntervalStyle;
use super::calendar::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::text::{write_fraction, write_int, write_padded};
use crate::error::{ErrorKind, ExecError};
use bytes::BytesMut;
use datafusion::arrow::datatypes::IntervalMonthDayNano;

/// An interval as PostgreSQL keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interval {
    /// Months, of which twelve are a year.
    pub months: i32,
    /// Days, which may have 23 or 25 hours.
    pub days: i32,
    /// Microseconds of the part below a day.
    pub micros: i64,
}

impl Interval {
    /// As arrow keeps it, which counts the part below a day in nanoseconds: 292 years of it.
    ///
    /// # Errors
    /// 22008 for more than that.
    pub fn to_arrow(self) -> Result<IntervalMonthDayNano, ExecError> {
        let nanos = self.micros.checked_mul(1_000);
        let nanos =
            nanos.ok_or_else(|| ExecError::new(ErrorKind::DatetimeOutOfRange, "interval out of range"))?;
        Ok(IntervalMonthDayNano::new(self.months, self.days, nanos))
    }
}

impl From<IntervalMonthDayNano> for Interval {
    fn from(interval: IntervalMonthDayNano) -> Self {
        Self { months: interval.months, days: interval.days, micros: interval.nanoseconds / 1_000 }
    }
}

/// The fields that are printed; all carry their sign.
#[derive(Clone, Copy)]
struct Fields {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
    minutes: i64,
    seconds: i64,
    micros: i64,
}

/// Appends an interval in the given style.
pub fn write_interval(interval: Interval, style: IntervalStyle, out: &mut BytesMut) {
    let fields = Fields {
        years: i64::from(interval.months / 12),
        months: i64::from(interval.months % 12),
        days: i64::from(interval.days),
        hours: interval.micros / MICROS_PER_HOUR,
        minutes: interval.micros / MICROS_PER_MINUTE % 60,
        seconds: interval.micros / MICROS_PER_SECOND % 60,
        micros: interval.micros % MICROS_PER_SECOND,
    };
    match style {
        IntervalStyle::Postgres => fields.write_postgres(out),
        IntervalStyle::PostgresVerbose => fields.write_verbose(out),
        IntervalStyle::SqlStandard => fields.write_sql_standard(out),
        IntervalStyle::Iso8601 => fields.write_iso_8601(out),
    }
}

impl Fields {
    fn write_postgres(self, out: &mut BytesMut) {
        let start = out.len();
        let mut after_negative = false;
        for (value, unit) in [(self.years, "year"), (self.months, "mon"), (self.days, "day")] {
            if value == 0 {
                continue;
            }
            if out.len() > start {
                out.extend_from_slice(b" ");
            }
            if after_negative && value > 0 {
                out.extend_from_slice(b"+");
            }
            write_int(value, out);
            out.extend_from_slice(b" ");
            out.extend_from_slice(unit.as_bytes());
            if value != 1 {
                out.extend_from_slice(b"s");
            }
            after_negative = value < 0;
        }
        let is_zero = out.len() == start;
        if !is_zero && !self.has_time() {
            return;
        }
        if !is_zero {
            out.extend_from_slice(b" ");
        }
        if self.time_is_negative() {
            out.extend_from_slice(b"-");
        } else if after_negative {
            out.extend_from_slice(b"+");
        }
        write_padded(u32::try_from(self.hours.unsigned_abs()).unwrap_or(u32::MAX), 2, out);
        self.write_minutes_and_seconds(out);
    }

    fn write_verbose(self, out: &mut BytesMut) {
        out.extend_from_slice(b"@");
        let mut is_zero = true;
        let mut ago = false;
        let parts = [
            (self.years, "year"),
            (self.months, "mon"),
            (self.days, "day"),
            (self.hours, "hour"),
            (self.minutes, "min"),
        ];
        for (value, unit) in parts {
            if value == 0 {
                continue;
            }
            // The first field's sign goes to the end, as `ago`; later fields are relative to it.
            if is_zero {
                ago = value < 0;
            }
            let value = if ago { -value } else { value };
            out.extend_from_slice(b" ");
            write_int(value, out);
            out.extend_from_slice(b" ");
            out.extend_from_slice(unit.as_bytes());
            if value != 1 {
                out.extend_from_slice(b"s");
            }
            is_zero = false;
        }
        if self.seconds != 0 || self.micros != 0 {
            out.extend_from_slice(b" ");
            if self.seconds < 0 || self.micros < 0 {
                if is_zero {
                    ago = true;
                } else if !ago {
                    out.extend_from_slice(b"-");
                }
            } else if ago {
                out.extend_from_slice(b"-");
            }
            self.write_seconds(1, out);
            let plural = self.seconds.abs() != 1 || self.micros != 0;
            out.extend_from_slice(if plural { b" secs" } else { b" sec" });
            is_zero = false;
        }
        if is_zero {
            out.extend_from_slice(b" 0");
        }
        if ago {
            out.extend_from_slice(b" ago");
        }
    }

    fn write_sql_standard(self, out: &mut BytesMut) {
        let all = [self.years, self.months, self.days, self.hours, self.minutes, self.seconds, self.micros];
        let has_negative = all.iter().any(|value| *value < 0);
        let has_positive = all.iter().any(|value| *value > 0);
        let has_year_month = self.years != 0 || self.months != 0;
        let has_day_time = self.days != 0 || self.has_time();
        if !has_negative && !has_positive {
            return out.extend_from_slice(b"0");
        }
        if (has_negative && has_positive) || (has_year_month && has_day_time) {
            // No interval of the standard: every part has its own sign.
            write_sign(self.years < 0 || self.months < 0, out);
            write_int(self.years.unsigned_abs(), out);
            out.extend_from_slice(b"-");
            write_int(self.months.unsigned_abs(), out);
            out.extend_from_slice(b" ");
            write_sign(self.days < 0, out);
            write_int(self.days.unsigned_abs(), out);
            out.extend_from_slice(b" ");
            write_sign(self.time_is_negative(), out);
            write_int(self.hours.unsigned_abs(), out);
            return self.write_minutes_and_seconds(out);
        }
        if has_negative {
            out.extend_from_slice(b"-");
        }
        if has_year_month {
            write_int(self.years.unsigned_abs(), out);
            out.extend_from_slice(b"-");
            return write_int(self.months.unsigned_abs(), out);
        }
        if self.days != 0 {
            write_int(self.days.unsigned_abs(), out);
            out.extend_from_slice(b" ");
        }
        write_int(self.hours.unsigned_abs(), out);
        self.write_minutes_and_seconds(out);
    }

    fn write_iso_8601(self, out: &mut BytesMut) {
        let has_date = self.years != 0 || self.months != 0 || self.days != 0;
        if !has_date && !self.has_time() {
            return out.extend_from_slice(b"PT0S");
        }
        let write_part = |value: i64, unit: &[u8], out: &mut BytesMut| {
            if value != 0 {
                write_int(value, out);
                out.extend_from_slice(unit);
            }
        };
        out.extend_from_slice(b"P");
        write_part(self.years, b"Y", out);
        write_part(self.months, b"M", out);
        write_part(self.days, b"D", out);
        if self.has_time() {
            out.extend_from_slice(b"T");
        }
        write_part(self.hours, b"H", out);
        write_part(self.minutes, b"M", out);
        if self.seconds != 0 || self.micros != 0 {
            if self.seconds < 0 || self.micros < 0 {
                out.extend_from_slice(b"-");
            }
            self.write_seconds(1, out);
            out.extend_from_slice(b"S");
        }
    }

    fn has_time(self) -> bool {
        self.hours != 0 || self.minutes != 0 || self.seconds != 0 || self.micros != 0
    }

    fn time_is_negative(self) -> bool {
        self.hours < 0 || self.minutes < 0 || self.seconds < 0 || self.micros < 0
    }

    /// `:mm:ss.ffffff` without signs.
    fn write_minutes_and_seconds(self, out: &mut BytesMut) {
        out.extend_from_slice(b":");
        write_padded(u32::try_from(self.minutes.unsigned_abs()).unwrap_or(0), 2, out);
        out.extend_from_slice(b":");
        self.write_seconds(2, out);
    }

    fn write_seconds(self, width: usize, out: &mut BytesMut) {
        write_padded(u32::try_from(self.seconds.unsigned_abs()).unwrap_or(0), width, out);
        write_fraction(u32::try_from(self.micros.unsigned_abs()).unwrap_or(0), out);
    }
}

fn write_sign(negative: bool, out: &mut BytesMut) {
    out.extend_from_slice(if negative { b"-" } else { b"+" });
}
