//! Zones by a POSIX specification: `EST5EDT,M3.2.0,M11.1.0`, `<+0330>-3:30`.
//!
//! Offsets count westward. Without rules summer time is that of the United States, as in PostgreSQL.

use super::calendar::{CivilDate, days_in_month, is_leap, weekday};

const DAY: i64 = 86_400;
/// When clocks change where nothing else is said.
const DEFAULT_RULES: &str = ",M3.2.0,M11.1.0";
/// When clocks change on their day: two in the morning.
const DEFAULT_TIME: i64 = 7_200;

/// A zone with at most two offsets a year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PosixZone {
    standard: Clock,
    summer: Option<Summer>,
}

/// An offset with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clock {
    pub(super) seconds_east: i32,
    pub(super) abbreviation: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Summer {
    clock: Clock,
    start: Change,
    end: Change,
}

/// When clocks change, by local time before the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    day: ChangeDay,
    seconds: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangeDay {
    /// 1 to 365, without 29 February.
    NeverLeap(i64),
    /// 0 to 365, with it.
    OfYear(i64),
    /// Month, week (5 is the last) and day of the week from Sunday.
    OfWeek { month: u32, week: u32, weekday: u32 },
}

impl PosixZone {
    /// Reads a specification in upper case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text };
        let name = reader.name()?;
        let standard = Clock { seconds_east: -reader.clock(167)?, abbreviation: name };
        if reader.rest.is_empty() {
            return Some(Self { standard, summer: None });
        }
        let name = reader.name().filter(|name| !name.is_empty())?;
        let default = standard.seconds_east + 3600;
        let has_offset = !reader.rest.is_empty() && !reader.rest.starts_with([',', ';']);
        let seconds_east = if has_offset { -reader.clock(167)? } else { default };
        let clock = Clock { seconds_east, abbreviation: name };
        let mut rules = if reader.rest.is_empty() { Reader { rest: DEFAULT_RULES } } else { reader };
        let start = rules.change()?;
        let end = rules.change()?;
        rules.rest.is_empty().then_some(Self { standard, summer: Some(Summer { clock, start, end }) })
    }

    /// Whether the offset never changes.
    pub(super) fn is_fixed(&self) -> bool {
        self.summer.is_none()
    }

    /// The offset in force at an instant, in seconds since 1970.
    pub(super) fn clock_at(&self, instant: i64) -> &Clock {
        let Some(summer) = &self.summer else { return &self.standard };
        let standard_east = i64::from(self.standard.seconds_east);
        let year = CivilDate::from_days((instant + standard_east).div_euclid(DAY)).year;
        let start = summer.start.local(year) - standard_east;
        let end = summer.end.local(year) - i64::from(summer.clock.seconds_east);
        let is_summer = if start < end {
            (start..end).contains(&instant)
        } else {
            // South of the equator summer goes on over the end of the year.
            !(end..start).contains(&instant)
        };
        if is_summer { &summer.clock } else { &self.standard }
    }
}

impl Change {
    /// Local seconds since 1970 of the change in a year.
    fn local(self, year: i64) -> i64 {
        let first = CivilDate { year, month: 1, day: 1 }.to_days();
        let days = match self.day {
            ChangeDay::NeverLeap(day) => first + day - 1 + i64::from(is_leap(year) && day >= 60),
            ChangeDay::OfYear(day) => first + day,
            ChangeDay::OfWeek { month, week, weekday: wanted } => {
                let first = CivilDate { year, month, day: 1 }.to_days();
                let ahead = (i64::from(wanted) - i64::try_from(weekday(first)).unwrap_or(0)).rem_euclid(7);
                let mut day = ahead + 7 * (i64::from(week) - 1);
                if day >= i64::from(days_in_month(year, month)) {
                    day -= 7;
                }
                first + day
            }
        };
        days * DAY + self.seconds
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Letters, or anything between angle brackets.
    fn name(&mut self) -> Option<String> {
        if let Some(quoted) = self.rest.strip_prefix('<') {
            let (name, rest) = quoted.split_once('>')?;
            self.rest = rest;
            return Some(name.to_owned());
        }
        let end = self.rest.find(|c: char| c.is_ascii_digit() || matches!(c, ',' | ';' | '+' | '-'));
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        self.rest = rest;
        Some(name.to_owned())
    }

    fn number(&mut self, most: i32) -> Option<i32> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits.parse().ok().filter(|value| (0..=most).contains(value))
    }

    fn eat(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// `5`, `-3:30` or `+1:02:03` in seconds.
    fn clock(&mut self, hours_max: i32) -> Option<i32> {
        let negative = self.eat('-');
        if !negative {
            self.eat('+');
        }
        let mut seconds = self.number(hours_max)? * 3600;
        if self.eat(':') {
            seconds += self.number(59)? * 60;
            if self.eat(':') {
                seconds += self.number(59)?;
            }
        }
        Some(if negative { -seconds } else { seconds })
    }

    /// `,M3.2.0/2`, `,J60`, `,59`.
    fn change(&mut self) -> Option<Change> {
        if !self.eat(',') {
            return None;
        }
        let day = if self.eat('M') {
            let month = self.number(12).filter(|month| *month > 0)?;
            let week = self.eat('.').then(|| self.number(5)).flatten().filter(|week| *week > 0)?;
            let weekday = self.eat('.').then(|| self.number(6)).flatten()?;
            ChangeDay::OfWeek {
                month: u32::try_from(month).ok()?,
                week: u32::try_from(week).ok()?,
                weekday: u32::try_from(weekday).ok()?,
            }
        } else if self.eat('J') {
            ChangeDay::NeverLeap(self.number(365).filter(|day| *day > 0)?.into())
        } else {
            ChangeDay::OfYear(self.number(365)?.into())
        };
        let seconds = if self.eat('/') { i64::from(self.clock(167)?) } else { DEFAULT_TIME };
        Some(Change { day, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn east(zone: &PosixZone, year: i64, month: u32, day: u32, hour: i64) -> i32 {
        let instant = CivilDate { year, month, day }.to_days() * DAY + hour * 3600;
        zone.clock_at(instant).seconds_east
    }

    #[test]
    fn summer_time_follows_its_rules() {
        let zone = PosixZone::parse("EST5EDT,M3.2.0,M11.1.0").unwrap();
        assert_eq!(east(&zone, 2021, 3, 14, 6), -5 * 3600);
        assert_eq!(east(&zone, 2021, 3, 14, 7), -4 * 3600);
        assert_eq!(east(&zone, 2021, 11, 7, 5), -4 * 3600);
        assert_eq!(east(&zone, 2021, 11, 7, 6), -5 * 3600);
        assert_eq!(PosixZone::parse("EST5EDT"), Some(zone));
        let south = PosixZone::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(east(&south, 2021, 1, 1, 0), 11 * 3600);
        assert_eq!(east(&south, 2021, 7, 1, 0), 10 * 3600);
        assert_eq!(east(&PosixZone::parse("<+0330>-3:30").unwrap(), 2021, 7, 1, 0), 12_600);
        for text in ["", "UTC", "UTC+", "UTC+3:", "EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0", "FOO/BAR"] {
            assert_eq!(PosixZone::parse(text), None, "{text}");
        }
    }
}
