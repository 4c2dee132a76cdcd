//! Intervals from text, as `interval_in` reads them: PostgreSQL's own form, SQL's and ISO 8601's.

use super::calendar::{MICROS_PER_HOUR, MICROS_PER_MINUTE, MICROS_PER_SECOND};
use super::fields::{Field, FieldKind, fraction_micros, split_fields};
use super::units::DateField;
use super::{DateTimeSettings, Interval, IntervalStyle};
use crate::error::{ErrorKind, ExecError};

/// Why a text is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    BadFormat,
    Overflow,
}

type Decoded<T = ()> = Result<T, Refusal>;

/// The last of the fields that an interval is restricted to: `INTERVAL '..' DAY TO MINUTE` ends with minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntervalField {
    /// `YEAR`
    Year,
    /// `MONTH`, `YEAR TO MONTH`
    Month,
    /// `DAY`
    Day,
    /// `HOUR`, `DAY TO HOUR`
    Hour,
    /// `MINUTE`, `DAY TO MINUTE`, `HOUR TO MINUTE`
    Minute,
    /// `SECOND`, `DAY TO SECOND`, `HOUR TO SECOND`
    Second,
    /// `MINUTE TO SECOND`, where `1:02` is not hours and minutes
    MinuteToSecond,
}

impl IntervalField {
    /// The field of its words in lower case: `day to minute`.
    pub fn named(words: &str) -> Option<Self> {
        Some(match words {
            "minute to second" => Self::MinuteToSecond,
            words => match words.rsplit(' ').next()? {
                "year" => Self::Year,
                "month" => Self::Month,
                "day" => Self::Day,
                "hour" => Self::Hour,
                "minute" => Self::Minute,
                "second" => Self::Second,
                _ => return None,
            },
        })
    }

    /// What numbers without a unit count.
    fn unit(self) -> Unit {
        match self {
            Self::Year => Unit::Year,
            Self::Month => Unit::Month,
            Self::Day => Unit::Day,
            Self::Hour => Unit::Hour,
            Self::Minute => Unit::Minute,
            Self::Second | Self::MinuteToSecond => Unit::Second,
        }
    }

    /// The interval without what is finer than the field; seconds keep their fraction.
    pub fn truncate(self, interval: Interval) -> Interval {
        let Interval { months, days, micros } = interval;
        let whole = |unit: i64| Interval { micros: micros / unit * unit, ..interval };
        match self {
            Self::Year => Interval { months: months / 12 * 12, days: 0, micros: 0 },
            Self::Month => Interval { months, days: 0, micros: 0 },
            Self::Day => Interval { months, days, micros: 0 },
            Self::Hour => whole(MICROS_PER_HOUR),
            Self::Minute => whole(MICROS_PER_MINUTE),
            Self::Second | Self::MinuteToSecond => interval,
        }
    }
}

/// Reads an interval, of `field` where it is restricted to some.
///
/// # Errors
/// 22007 for text that is no interval, 22015 for a field out of range, 22008 for a sum out of range.
pub fn parse_interval(
    text: &str,
    settings: &DateTimeSettings,
    field: Option<IntervalField>,
) -> Result<Interval, ExecError> {
    let sums = match Sums::parse(text, settings.interval_style, field) {
        Err(Refusal::BadFormat) => Sums::parse_iso_8601(text),
        other => other,
    };
    match sums {
        Ok(sums) => {
            let interval = sums.interval();
            let interval = interval.map(|interval| field.map_or(interval, |field| field.truncate(interval)));
            interval.ok_or_else(|| ExecError::new(ErrorKind::DatetimeOutOfRange, "interval out of range"))
        }
        Err(Refusal::BadFormat) => Err(super::input::syntax("interval", text)),
        Err(Refusal::Overflow) => Err(ExecError::new(
            ErrorKind::IntervalFieldOverflow,
            format!("interval field value out of range: \"{text}\""),
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Microsecond,
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
    Decade,
    Century,
    Millennium,
}

impl Unit {
    fn named(word: &str) -> Option<Self> {
        Some(match DateField::named(word)? {
            DateField::Microsecond => Self::Microsecond,
            DateField::Millisecond => Self::Millisecond,
            DateField::Second => Self::Second,
            DateField::Minute => Self::Minute,
            DateField::Hour => Self::Hour,
            DateField::Day => Self::Day,
            DateField::Week => Self::Week,
            DateField::Month => Self::Month,
            DateField::Year => Self::Year,
            DateField::Decade => Self::Decade,
            DateField::Century => Self::Century,
            DateField::Millennium => Self::Millennium,
            _ => return None,
        })
    }

    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// Seconds with their fraction, which is named as one field with milliseconds and microseconds.
const ALL_SECONDS: u32 = 0b111;

/// The sums of all fields.
#[derive(Debug, Default)]
struct Sums {
    years: i64,
    months: i64,
    days: i64,
    micros: i64,
}

/// A number with its fraction; both carry the sign.
#[derive(Debug, Clone, Copy)]
struct Amount {
    whole: i64,
    fraction: f64,
}

impl Sums {
    fn parse(text: &str, style: IntervalStyle, field: Option<IntervalField>) -> Decoded<Self> {
        let minutes_first = field == Some(IntervalField::MinuteToSecond);
        let bare_unit = field.map_or(Unit::Second, IntervalField::unit);
        let mut fields = split_fields(text, |word| Unit::named(word).is_some() || word == "ago")
            .ok_or(Refusal::BadFormat)?;
        if style == IntervalStyle::SqlStandard {
            spread_leading_sign(&mut fields);
        }
        let mut sums = Self::default();
        let mut found = 0_u32;
        let mut unit = None;
        // A number straight in front of `ago` has no unit.
        let mut unit_is_ago = false;
        let mut ago = false;
        // Units come behind their numbers, so the text is read from its end.
        for field in fields.iter().rev() {
            let fields_of = match field.kind {
                FieldKind::Time => {
                    unit_is_ago = false;
                    sums.set_clock(&field.text, minutes_first)?;
                    unit = Some(Unit::Day);
                    Unit::Hour.bit() | Unit::Minute.bit() | ALL_SECONDS
                }
                FieldKind::Signed if field.text.contains(':') => {
                    unit_is_ago = false;
                    // What is no clock could only be a number, which has no colon.
                    sums.set_clock(field.text.get(1..).unwrap_or_default(), minutes_first)
                        .map_err(|_| Refusal::BadFormat)?;
                    if field.text.starts_with('-') {
                        sums.micros = -sums.micros;
                    }
                    unit = Some(Unit::Day);
                    Unit::Hour.bit() | Unit::Minute.bit() | ALL_SECONDS
                }
                FieldKind::Signed | FieldKind::Date | FieldKind::Number => {
                    // Years and months, `1-2`, bring their unit with them.
                    if unit_is_ago && !field.text.get(1..).unwrap_or_default().contains('-') {
                        return Err(Refusal::BadFormat);
                    }
                    unit_is_ago = false;
                    sums.add_number(&field.text, &mut unit, bare_unit)?
                }
                FieldKind::Word | FieldKind::SignedWord => {
                    unit_is_ago = field.text == "ago";
                    if unit_is_ago {
                        ago = true;
                    } else {
                        unit = Some(Unit::named(&field.text).ok_or(Refusal::BadFormat)?);
                    }
                    0
                }
            };
            if found & fields_of != 0 {
                return Err(Refusal::BadFormat);
            }
            found |= fields_of;
        }
        if found == 0 {
            return Err(Refusal::BadFormat);
        }
        if ago {
            sums.negate()?;
        }
        Ok(sums)
    }

    /// `1`, `-1.5`, `+2-3` (years and months). The answer is the set of fields that it is.
    fn add_number(&mut self, text: &str, unit: &mut Option<Unit>, bare_unit: Unit) -> Decoded<u32> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let sign = if negative { -1 } else { 1 };
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let (whole, rest) = digits.split_at(end);
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| Refusal::Overflow)? };
        let whole = sign * whole;
        let used = unit.unwrap_or(bare_unit);
        *unit = Some(used);
        if let Some(months) = rest.strip_prefix('-') {
            if !months.bytes().all(|byte| byte.is_ascii_digit()) || months.is_empty() {
                return Err(Refusal::BadFormat);
            }
            let months: i64 = months.parse().map_err(|_| Refusal::Overflow)?;
            if months >= 12 {
                return Err(Refusal::Overflow);
            }
            let months = whole.checked_mul(12).and_then(|total| total.checked_add(sign * months));
            self.add(Unit::Month, Amount { whole: months.ok_or(Refusal::Overflow)?, fraction: 0.0 })?;
            *unit = Some(Unit::Month);
            return Ok(Unit::Month.bit());
        }
        let fraction = match rest {
            "" | "." => 0.0,
            rest if rest.starts_with('.') => rest.parse::<f64>().map_err(|_| Refusal::BadFormat)?,
            _ => return Err(Refusal::BadFormat),
        };
        let fraction = if negative { -fraction } else { fraction };
        self.add(used, Amount { whole, fraction })?;
        if used == Unit::Hour {
            *unit = Some(Unit::Day);
        }
        Ok(if used == Unit::Second && fraction != 0.0 { ALL_SECONDS } else { used.bit() })
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "float to integer casts saturate; months are far below"
    )]
    fn add(&mut self, unit: Unit, amount: Amount) -> Decoded {
        let Amount { whole, fraction } = amount;
        let sum = |slot: &mut i64, scale: i64| {
            let added = whole.checked_mul(scale).and_then(|scaled| slot.checked_add(scaled));
            added.map(|added| *slot = added).ok_or(Refusal::Overflow)
        };
        match unit {
            Unit::Microsecond => {
                sum(&mut self.micros, 1)?;
                self.add_micros(fraction)
            }
            Unit::Millisecond => {
                sum(&mut self.micros, 1_000)?;
                self.add_micros(fraction * 1e3)
            }
            Unit::Second => {
                sum(&mut self.micros, MICROS_PER_SECOND)?;
                self.add_micros(fraction * 1e6)
            }
            Unit::Minute => {
                sum(&mut self.micros, MICROS_PER_MINUTE)?;
                self.add_micros(fraction * 6e7)
            }
            Unit::Hour => {
                sum(&mut self.micros, MICROS_PER_HOUR)?;
                self.add_micros(fraction * 3.6e9)
            }
            Unit::Day => {
                sum(&mut self.days, 1)?;
                self.add_micros(fraction * 8.64e10)
            }
            Unit::Week => {
                sum(&mut self.days, 7)?;
                self.add_days(fraction * 7.0)
            }
            Unit::Month => {
                sum(&mut self.months, 1)?;
                self.add_days(fraction * 30.0)
            }
            Unit::Year | Unit::Decade | Unit::Century | Unit::Millennium => {
                let years = match unit {
                    Unit::Decade => 10,
                    Unit::Century => 100,
                    Unit::Millennium => 1_000,
                    _ => 1,
                };
                sum(&mut self.years, years)?;
                #[expect(clippy::cast_precision_loss, reason = "at most 12,000")]
                let months = (fraction * (12 * years) as f64).round_ties_even() as i64;
                self.months = self.months.checked_add(months).ok_or(Refusal::Overflow)?;
                Ok(())
            }
        }?;
        // Each of these is 32 bits wide in PostgreSQL.
        let fits = [self.years, self.months, self.days].into_iter().all(|sum| i32::try_from(sum).is_ok());
        if fits { Ok(()) } else { Err(Refusal::Overflow) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "fractions of a day at most")]
    fn add_micros(&mut self, micros: f64) -> Decoded {
        // A half is rounded down here, and to even in a clock: so does PostgreSQL.
        let whole = micros as i64;
        #[expect(clippy::cast_precision_loss, reason = "a day of microseconds is exact in a double")]
        let rest = micros - whole as f64;
        let micros = whole + i64::from(rest > 0.5) - i64::from(rest < -0.5);
        self.micros = self.micros.checked_add(micros).ok_or(Refusal::Overflow)?;
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "at most 30 days")]
    fn add_days(&mut self, days: f64) -> Decoded {
        self.days = self.days.checked_add(days.trunc() as i64).ok_or(Refusal::Overflow)?;
        self.add_micros(days.fract() * 8.64e10)
    }

    /// `hh:mm`, `hh:mm:ss`, `mm:ss.fff`, with hours of any size.
    fn set_clock(&mut self, text: &str, minutes_first: bool) -> Decoded {
        let (clock, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
        let micros =
            if fraction.is_empty() { 0 } else { fraction_micros(fraction).ok_or(Refusal::BadFormat)? };
        let mut parts = clock.split(':').map(|part| {
            if !part.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Refusal::BadFormat);
            }
            // Minutes and seconds may be missing, as in `1:`.
            let part = if part.is_empty() { "0" } else { part };
            part.parse::<i64>().map_err(|_| Refusal::Overflow)
        });
        let first = parts.next().ok_or(Refusal::BadFormat)??;
        let second = parts.next().ok_or(Refusal::BadFormat)??;
        let third = parts.next().transpose()?;
        if parts.next().is_some() {
            return Err(Refusal::BadFormat);
        }
        let (hours, minutes, seconds) = match third {
            Some(third) => (first, second, third),
            None if fraction.is_empty() && !minutes_first => (first, second, 0),
            None => (0, first, second),
        };
        if minutes > 59 || seconds > 60 {
            return Err(Refusal::Overflow);
        }
        let clock = hours.checked_mul(MICROS_PER_HOUR).and_then(|sum| {
            sum.checked_add(minutes * MICROS_PER_MINUTE + seconds * MICROS_PER_SECOND + micros)
        });
        // As in PostgreSQL a clock replaces what fractions behind it have added to the time.
        self.micros = clock.ok_or(Refusal::Overflow)?;
        Ok(())
    }

    fn negate(&mut self) -> Decoded {
        for part in [&mut self.years, &mut self.months, &mut self.days, &mut self.micros] {
            *part = part.checked_neg().ok_or(Refusal::Overflow)?;
        }
        Ok(())
    }

    /// `P1Y2M3DT4H5M6S`, `P2W`, `P0001-02-03T04:05:06`.
    fn parse_iso_8601(text: &str) -> Decoded<Self> {
        let text = text.trim_ascii();
        let mut rest = text.strip_prefix('P').filter(|rest| !rest.is_empty()).ok_or(Refusal::BadFormat)?;
        let mut sums = Self::default();
        let mut in_time = false;
        // Fields of this half so far: without designators, and with.
        let mut part_idx = 0;
        let mut has_designator = false;
        while !rest.is_empty() {
            if let Some(time) = rest.strip_prefix('T') {
                if in_time {
                    return Err(Refusal::BadFormat);
                }
                (rest, in_time, part_idx, has_designator) = (time, true, 0, false);
                continue;
            }
            let end = rest
                .char_indices()
                .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || *at == 0 && *c == '-'))
                .map_or(rest.len(), |(at, _)| at);
            let (number, after) = rest.split_at(end);
            let amount = iso_amount(number)?;
            let designator = after.chars().next();
            let unit = match (in_time, designator) {
                (false, Some('Y')) => Unit::Year,
                (false, Some('M')) => Unit::Month,
                (false, Some('W')) => Unit::Week,
                (false, Some('D')) => Unit::Day,
                (true, Some('H')) => Unit::Hour,
                (true, Some('M')) => Unit::Minute,
                (true, Some('S')) => Unit::Second,
                // The alternative form has its units by position.
                (false, Some('-' | 'T') | None) if !has_designator => match part_idx {
                    0 => Unit::Year,
                    1 => Unit::Month,
                    2 => Unit::Day,
                    _ => return Err(Refusal::BadFormat),
                },
                (true, Some(':') | None) if !has_designator => match part_idx {
                    0 => Unit::Hour,
                    1 => Unit::Minute,
                    2 => Unit::Second,
                    _ => return Err(Refusal::BadFormat),
                },
                _ => return Err(Refusal::BadFormat),
            };
            sums.add(unit, amount)?;
            part_idx += 1;
            has_designator |=
                designator.is_some_and(|designator| designator.is_ascii_uppercase() && designator != 'T');
            rest = match designator {
                Some('T') => after,
                Some(_) => after.get(1..).unwrap_or_default(),
                None => "",
            };
        }
        Ok(sums)
    }

    fn interval(&self) -> Option<Interval> {
        Some(Interval {
            months: i32::try_from(self.years * 12 + self.months).ok()?,
            days: i32::try_from(self.days).ok()?,
            micros: self.micros,
        })
    }
}

fn iso_amount(text: &str) -> Decoded<Amount> {
    let value: f64 = text.parse().map_err(|_| Refusal::BadFormat)?;
    if !value.is_finite() || value.abs() > 1e15 {
        return Err(Refusal::Overflow);
    }
    #[expect(clippy::cast_possible_truncation, reason = "the magnitude is checked above")]
    let whole = value.trunc() as i64;
    Ok(Amount { whole, fraction: value.fract() })
}

/// In the SQL standard's style a sign in front of the whole negates every field that has none of its own.
fn spread_leading_sign(fields: &mut [Field]) {
    let Some((first, rest)) = fields.split_first_mut() else { return };
    if first.kind != FieldKind::Signed || !first.text.starts_with('-') {
        return;
    }
    if rest.iter().any(|field| matches!(field.kind, FieldKind::Signed | FieldKind::SignedWord)) {
        return;
    }
    for field in rest {
        if matches!(field.kind, FieldKind::Number | FieldKind::Time | FieldKind::Date) {
            field.text.insert(0, '-');
            field.kind = FieldKind::Signed;
        }
    }
}
