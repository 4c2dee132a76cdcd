//! A moment or an interval in a picture: `DCH_to_char` of PostgreSQL.

use super::{Case, Field, Kind, MONTHS, Node, ROMAN, WEEKDAYS, parse};
use crate::datetime::calendar::{
    UNIX_EPOCH_JULIAN, civil_from_days, days_from_civil, days_since_monday, iso_week, split_micros,
};
use crate::datetime::{Interval, TimeZone};
use crate::error::{ErrorKind, ExecError};

/// What is written.
pub(crate) struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// Day since 1970-01-01; of an interval the day that its fields would be.
    days: i64,
    /// Of the day, with the interval's sign.
    micros: i64,
    zone: Option<(i32, String)>,
    is_interval: bool,
}

impl Moment {
    /// A local time, and where it has a zone its offset in seconds east and abbreviation.
    pub(crate) fn of_local(local: i64, zone: Option<(i32, String)>) -> Self {
        let (days, micros) = split_micros(local);
        let (year, month, day) = civil_from_days(days);
        Self { year, month, day, days, micros, zone, is_interval: false }
    }

    /// An instant as clocks in `zone` show it.
    pub(crate) fn of_instant(utc: i64, zone: &TimeZone) -> Self {
        let instant = utc.div_euclid(1_000_000);
        let shown = (zone.offset_at(instant), zone.abbreviation(instant));
        Self::of_local(zone.to_local(utc), Some(shown))
    }

    /// An interval, whose months are counted as years and the rest.
    pub(crate) fn of_interval(interval: Interval) -> Self {
        let (months, day) = (i64::from(interval.months), i64::from(interval.days));
        Self {
            year: months / 12,
            month: months % 12,
            day,
            days: day_of_fields(months / 12, months % 12, day),
            micros: interval.micros,
            zone: None,
            is_interval: true,
        }
    }

    fn seconds(&self) -> i64 {
        self.micros / 1_000_000
    }

    fn hour(&self) -> i64 {
        self.seconds() / 3600
    }

    fn day_of_year(&self) -> i64 {
        if self.is_interval {
            (self.year * 12 + self.month) * 30 + self.day
        } else {
            self.days - days_from_civil(self.year, 1, 1) + 1
        }
    }

    /// The year of its era; an interval's as it is.
    fn shown_year(&self, year: i64) -> i64 {
        if self.is_interval || year > 0 { year } else { 1 - year }
    }

    /// What only a date has.
    fn of_date<T>(&self, value: T) -> Result<T, ExecError> {
        if self.is_interval {
            return Err(ExecError::new(
                ErrorKind::InvalidDatetime,
                "invalid format specification for an interval value",
            )
            .with_hint("Intervals are not tied to specific calendar dates."));
        }
        Ok(value)
    }
}

/// The day of a year, month and day of which none need exist, counted as PostgreSQL does.
fn day_of_fields(year: i64, month: i64, day: i64) -> i64 {
    let (month, year) = if month > 2 { (month + 1, year + 4_800) } else { (month + 13, year + 4_799) };
    let century = year / 100;
    let julian = year * 365 - 32_167 + year / 4 - century + century / 4 + 7_834 * month / 256 + day;
    julian - UNIX_EPOCH_JULIAN
}

/// The moment in the picture.
///
/// # Errors
/// 22007 for a field that an interval does not have.
pub(crate) fn write(moment: &Moment, picture: &str) -> Result<String, ExecError> {
    let mut out = String::new();
    for node in parse(picture) {
        match node {
            Node::Separator(c) | Node::Space(c) | Node::Char(c) => out.push(c),
            Node::Field(field) => {
                let (mut text, is_number) = text_of(moment, &field)?;
                if is_number && let Some(upper) = field.ordinal {
                    let suffix = ordinal_suffix(&text);
                    text.push_str(&if upper { suffix.to_uppercase() } else { suffix.to_owned() });
                }
                out.push_str(&text);
            }
        }
    }
    Ok(out)
}

fn ordinal_suffix(number: &str) -> &'static str {
    let mut last = number.bytes().rev();
    let (unit, ten) = (last.next(), last.next());
    match unit {
        _ if ten == Some(b'1') => "th",
        Some(b'1') => "st",
        Some(b'2') => "nd",
        Some(b'3') => "rd",
        _ => "th",
    }
}

/// The field's text, and whether it is a number that can be an ordinal.
fn text_of(moment: &Moment, field: &Field) -> Result<(String, bool), ExecError> {
    // A minus is beside the digits, not one of them.
    let padded = |value: i64, width: usize| {
        let text = match (field.fill_mode, value < 0) {
            (true, _) => value.to_string(),
            (false, true) => format!("{value:0width$}", width = width + 1),
            (false, false) => format!("{value:0width$}"),
        };
        Ok((text, true))
    };
    let word = |text: &str, width: usize| {
        let cased = match field.case {
            Case::Upper => text.to_uppercase(),
            Case::Capital => text.to_owned(),
            Case::Lower => text.to_lowercase(),
        };
        Ok((if field.is_padded() { format!("{cased:<width$}") } else { cased }, false))
    };
    let number = |value: i64| Ok((value.to_string(), true));
    let plain = |text: String| Ok((text, false));
    let half = |upper: &str, lower: &str| {
        plain(if field.case == Case::Upper { upper.to_owned() } else { lower.to_owned() })
    };
    let fraction = moment.micros % 1_000_000;
    let iso = || iso_week(moment.days);
    match field.kind {
        Kind::HalfDay { dots } => {
            let afternoon = moment.hour() % 24 >= 12;
            match (afternoon, dots) {
                (true, true) => half("P.M.", "p.m."),
                (true, false) => half("PM", "pm"),
                (false, true) => half("A.M.", "a.m."),
                (false, false) => half("AM", "am"),
            }
        }
        Kind::Hour12 => padded(if moment.hour() % 12 == 0 { 12 } else { moment.hour() % 12 }, 2),
        Kind::Hour24 => padded(moment.hour(), 2),
        Kind::Minute => padded(moment.seconds() / 60 % 60, 2),
        Kind::Second => padded(moment.seconds() % 60, 2),
        Kind::Fraction(digits) => {
            let unit = 10_i64.pow(6 - u32::from(digits));
            Ok((format!("{:0width$}", fraction / unit, width = usize::from(digits)), true))
        }
        Kind::Millisecond => Ok((format!("{:03}", fraction / 1_000), true)),
        Kind::Microsecond => Ok((format!("{fraction:06}"), true)),
        Kind::SecondsOfDay => number(moment.seconds()),
        Kind::Zone => {
            let name = moment.of_date(moment.zone.as_ref())?.map_or("", |(_, name)| name.as_str());
            plain(if field.case == Case::Lower { name.to_lowercase() } else { name.to_owned() })
        }
        Kind::ZoneHours | Kind::ZoneMinutes | Kind::Offset => {
            let east = moment.of_date(moment.zone.as_ref())?.map_or(0, |(east, _)| *east);
            let sign = if east < 0 { '-' } else { '+' };
            let (hours, minutes) = (east.abs() / 3600, east.abs() % 3600 / 60);
            plain(match field.kind {
                Kind::ZoneHours => format!("{sign}{hours:02}"),
                Kind::ZoneMinutes => format!("{minutes:02}"),
                _ => {
                    let hours = if field.fill_mode { hours.to_string() } else { format!("{hours:02}") };
                    let minutes =
                        if east.abs() % 3600 == 0 { String::new() } else { format!(":{minutes:02}") };
                    format!("{sign}{hours}{minutes}")
                }
            })
        }
        Kind::Era { dots } => match (moment.of_date(moment.year <= 0)?, dots) {
            (true, true) => half("B.C.", "b.c."),
            (true, false) => half("BC", "bc"),
            (false, true) => half("A.D.", "a.d."),
            (false, false) => half("AD", "ad"),
        },
        Kind::MonthName => word(name(&MONTHS, moment.of_date(moment.month)? - 1), 9),
        Kind::MonthNameShort => word(short(name(&MONTHS, moment.of_date(moment.month)? - 1)), 0),
        Kind::Month => padded(moment.month, 2),
        Kind::DayName => word(name(&WEEKDAYS, moment.of_date(sunday_first(moment.days))?), 9),
        Kind::DayNameShort => word(short(name(&WEEKDAYS, moment.of_date(sunday_first(moment.days))?)), 0),
        Kind::DayOfYear => padded_to(moment.day_of_year(), 3, field),
        Kind::IsoDayOfYear => padded_to((iso().1 - 1) * 7 + days_since_monday(moment.days) + 1, 3, field),
        Kind::DayOfMonth => padded_to(moment.day, 2, field),
        Kind::DayOfWeek => number(moment.of_date(sunday_first(moment.days))? + 1),
        Kind::IsoDay => number(moment.of_date(days_since_monday(moment.days))? + 1),
        Kind::WeekOfYear => padded_to((moment.day_of_year() - 1) / 7 + 1, 2, field),
        Kind::IsoWeek => padded_to(iso().1, 2, field),
        Kind::Quarter if moment.month == 0 => plain(String::new()),
        Kind::Quarter => number((moment.month - 1) / 3 + 1),
        Kind::Century => {
            let century = match moment.year {
                year if moment.is_interval => year / 100,
                year if year > 0 => (year - 1) / 100 + 1,
                year => year / 100 - 1,
            };
            if (-99..=99).contains(&century) { padded(century, 2) } else { number(century) }
        }
        Kind::YearWithComma => {
            let year = moment.shown_year(moment.year);
            Ok((format!("{},{:03}", year / 1000, year - year / 1000 * 1000), true))
        }
        Kind::Year(digits) => {
            let year = moment.shown_year(moment.year);
            last_digits(year, digits, padded)
        }
        Kind::IsoYear(digits) => last_digits(moment.shown_year(iso().0), digits, padded),
        Kind::Roman if moment.month == 0 && moment.year == 0 => plain(String::new()),
        Kind::Roman => {
            // The months of an interval count back from the end where they are negative.
            let index = match moment.month {
                0 if moment.year >= 0 => 0,
                0 => 11,
                month if month < 0 => -month - 1,
                month => 12 - month,
            };
            word(name(&ROMAN, index), 4)
        }
        Kind::WeekOfMonth => number((moment.day - 1) / 7 + 1),
        Kind::Julian => number(moment.days + UNIX_EPOCH_JULIAN),
        Kind::Fixed => plain(String::new()),
    }
}

/// Padded to `width` with the sign as one of the characters.
fn padded_to(value: i64, width: usize, field: &Field) -> Result<(String, bool), ExecError> {
    Ok((if field.fill_mode { value.to_string() } else { format!("{value:0width$}") }, true))
}

fn last_digits(
    year: i64,
    digits: u8,
    padded: impl Fn(i64, usize) -> Result<(String, bool), ExecError>,
) -> Result<(String, bool), ExecError> {
    match digits {
        4 => padded(year, 4),
        3 => padded(year % 1000, 3),
        2 => padded(year % 100, 2),
        _ => Ok(((year % 10).to_string(), true)),
    }
}

fn sunday_first(days: i64) -> i64 {
    (days_since_monday(days) + 1) % 7
}

fn name<'a>(names: &[&'a str], index: i64) -> &'a str {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
}

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::calendar::MICROS_PER_DAY;

    #[test]
    fn moments_are_written_in_pictures() {
        let at = days_from_civil(2013, 1, 5) * MICROS_PER_DAY + (15 * 3600 + 4 * 60 + 5) * 1_000_000 + 60_700;
        let check = |picture: &str, expected: &str| {
            let moment = Moment::of_local(at, Some((-19_800, "XYZ".to_owned())));
            assert_eq!(write(&moment, picture).unwrap(), expected, "{picture}");
        };
        check("YYYY-MM-DD HH24:MI:SS.US", "2013-01-05 15:04:05.060700");
        check("FMDay, DDth Month", "Saturday, 05th January  ");
        check("DAY dy FMMonth|RM|rm", "SATURDAY  sat January|I   |i   ");
        check("IYYY-IW-ID IDDD CC WW W Q D J", "2013-01-6 006 21 01 1 1 7 2456298");
        check("HH12 P.M. am SSSS FF3 tz OF TZH:TZM", "03 P.M. pm 54245 060 xyz -05:30 -05:30");
        check("Y,YYY \"DD\" \\\"", "2,013 DD \"");
    }

    #[test]
    fn intervals_have_no_dates() {
        let interval = Moment::of_interval(Interval { months: -14, days: 3, micros: -3_600_000_000 });
        assert_eq!(write(&interval, "YYYY MM DD HH24").unwrap(), "-0001 -02 03 -01");
        assert!(write(&interval, "Day").is_err());
    }
}
