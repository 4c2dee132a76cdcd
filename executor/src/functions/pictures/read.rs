//! A text by a picture: `DCH_from_char` and `do_to_timestamp` of PostgreSQL.

use super::{Case, Convention, Field, Kind, MONTHS, Node, ROMAN, WEEKDAYS, is_separator, is_space, parse};
use crate::datetime::calendar::{
    UNIX_EPOCH_JULIAN, civil_from_days, days_from_civil, days_in_month, days_since_monday, is_leap,
};
use crate::datetime::input::field_overflow;
use crate::error::{ErrorKind, ExecError};

/// What a text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Since 1970-01-01.
    pub(crate) days: i64,
    /// Of the day.
    pub(crate) micros: i64,
    /// Seconds east of Greenwich.
    pub(crate) offset: Option<i64>,
}

/// Reads a text by a picture.
///
/// # Errors
/// 22007 for a text that is not like the picture, 22008 for a value out of range.
pub(crate) fn read(text: &str, picture: &str) -> Result<Read, ExecError> {
    let nodes = parse(picture);
    let mut fields = Fields::default();
    let mut reader = Reader { text, rest: text, extra_skip: 0, fixed: false };
    for (index, node) in nodes.iter().enumerate() {
        if reader.rest.is_empty() {
            break;
        }
        let is_fixed = matches!(node, Node::Field(Field { kind: Kind::Fixed, .. }));
        if !reader.fixed && (matches!(node, Node::Field(_)) || index == 0) && !is_fixed {
            reader.skip_spaces();
        }
        match node {
            Node::Space(_) | Node::Separator(_) => reader.separator(),
            Node::Char(_) => reader.character(),
            Node::Field(field) => {
                let greedy = field.fill_mode || is_next_separator(field, nodes.get(index + 1));
                reader.field(field, greedy, &mut fields)?;
                if !reader.fixed {
                    reader.extra_skip = 0;
                    reader.skip_spaces();
                }
            }
        }
    }
    fields.finish(text)
}

/// Whether what follows a number cannot be taken for one of its digits.
fn is_next_separator(field: &Field, next: Option<&Node>) -> bool {
    match next {
        _ if field.ordinal.is_some() => true,
        Some(Node::Field(next)) => !next.kind.is_number(),
        Some(Node::Char(c)) => !c.is_ascii_digit(),
        _ => true,
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    /// Characters that were skipped beyond those of the picture.
    extra_skip: i64,
    fixed: bool,
}

/// The fields so far; 0 is none, as in PostgreSQL.
#[derive(Default)]
struct Fields {
    convention: Option<Convention>,
    hour: i64,
    afternoon: i64,
    minute: i64,
    second: i64,
    seconds_of_day: i64,
    day_of_week: i64,
    day: i64,
    day_of_year: i64,
    month: i64,
    millis: i64,
    year: i64,
    before_christ: i64,
    week: i64,
    week_of_month: i64,
    century: i64,
    julian: i64,
    micros: i64,
    year_digits: u8,
    half_clock: bool,
    zone_sign: i64,
    zone_hours: i64,
    zone_minutes: i64,
}

type Done<T = ()> = Result<T, ExecError>;

fn bad(message: String) -> ExecError {
    ExecError::new(ErrorKind::InvalidDatetime, message)
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.next();
            self.extra_skip += 1;
        }
    }

    /// A separator of the picture is one of the text or, but in fixed mode, none.
    fn separator(&mut self) {
        if self.fixed {
            return self.next();
        }
        self.extra_skip -= 1;
        if self.peek().is_some_and(|c| is_space(c) || is_separator(c)) {
            self.next();
            self.extra_skip += 1;
        }
    }

    fn character(&mut self) {
        if !self.fixed && self.extra_skip > 0 {
            self.extra_skip -= 1;
        } else {
            self.next();
        }
    }

    fn field(&mut self, field: &Field, greedy: bool, fields: &mut Fields) -> Done {
        if let Some(convention) = field.kind.convention()
            && *fields.convention.get_or_insert(convention) != convention
        {
            return Err(bad("invalid combination of date conventions".to_owned())
                .with_hint("Do not mix Gregorian and ISO week date conventions in a formatting template."));
        }
        let own = field.name.len();
        match field.kind {
            Kind::Fixed => {
                self.fixed = true;
                return Ok(());
            }
            Kind::HalfDay { dots } => {
                let words: &[&str] = if dots { &["a.m.", "p.m."] } else { &["am", "pm"] };
                let afternoon = self.word(field, words)?;
                set(&mut fields.afternoon, afternoon, field)?;
                fields.half_clock = true;
            }
            Kind::Era { dots } => {
                let words: &[&str] = if dots { &["a.d.", "b.c."] } else { &["ad", "bc"] };
                let before = self.word(field, words)?;
                set(&mut fields.before_christ, before, field)?;
            }
            Kind::MonthName => {
                let month = self.word(field, &MONTHS)? + 1;
                set(&mut fields.month, month, field)?;
            }
            Kind::MonthNameShort => {
                let month = self.word(field, &MONTHS.map(|name| name.get(..3).unwrap_or(name)))? + 1;
                set(&mut fields.month, month, field)?;
            }
            Kind::Roman => {
                let month = 12 - self.word(field, &ROMAN)?;
                set(&mut fields.month, month, field)?;
            }
            Kind::DayName => {
                let day = self.word(field, &WEEKDAYS)? + 1;
                set(&mut fields.day_of_week, day, field)?;
            }
            Kind::DayNameShort => {
                let day = self.word(field, &WEEKDAYS.map(|name| name.get(..3).unwrap_or(name)))? + 1;
                set(&mut fields.day_of_week, day, field)?;
            }
            Kind::Hour12 => {
                self.number(field, 2, greedy, Some(&mut fields.hour))?;
                fields.half_clock = true;
            }
            Kind::Hour24 => {
                self.number(field, 2, greedy, Some(&mut fields.hour))?;
            }
            Kind::Minute => {
                self.number(field, own, greedy, Some(&mut fields.minute))?;
            }
            Kind::Second => {
                self.number(field, own, greedy, Some(&mut fields.second))?;
            }
            Kind::Millisecond => {
                let digits = self.number(field, 3, greedy, Some(&mut fields.millis))?;
                fields.millis *= 10_i64.pow(u32::try_from(3_usize.saturating_sub(digits)).unwrap_or(0));
            }
            Kind::Fraction(_) | Kind::Microsecond => {
                let most = if let Kind::Fraction(digits) = field.kind { usize::from(digits) } else { 6 };
                let digits = self.number(field, most, greedy, Some(&mut fields.micros))?;
                fields.micros *= 10_i64.pow(u32::try_from(6_usize.saturating_sub(digits)).unwrap_or(0));
            }
            Kind::SecondsOfDay => {
                self.number(field, own, greedy, Some(&mut fields.seconds_of_day))?;
            }
            Kind::Zone | Kind::Offset => {
                let name = if field.kind == Kind::Offset { "OF" } else { "TZ" };
                let name = if field.case == Case::Lower { name.to_lowercase() } else { name.to_owned() };
                return Err(ExecError::new(
                    ErrorKind::Unsupported,
                    format!("formatting field \"{name}\" is only supported in to_char"),
                ));
            }
            Kind::ZoneHours => {
                // A minus may have been taken for a separator.
                fields.zone_sign = match self.peek() {
                    Some(sign @ ('+' | '-' | ' ')) => {
                        self.next();
                        if sign == '-' { -1 } else { 1 }
                    }
                    _ if self.extra_skip > 0 && self.before().ends_with('-') => -1,
                    _ => 1,
                };
                self.number(field, 2, greedy, Some(&mut fields.zone_hours))?;
            }
            Kind::ZoneMinutes => {
                if fields.zone_sign == 0 {
                    fields.zone_sign = 1;
                }
                self.number(field, 2, greedy, Some(&mut fields.zone_minutes))?;
            }
            Kind::Month => {
                self.number(field, own, greedy, Some(&mut fields.month))?;
            }
            Kind::DayOfYear => {
                self.number(field, own, greedy, Some(&mut fields.day_of_year))?;
            }
            Kind::IsoDayOfYear => {
                self.number(field, 3, greedy, Some(&mut fields.day_of_year))?;
            }
            Kind::DayOfMonth => {
                self.number(field, own, greedy, Some(&mut fields.day))?;
            }
            Kind::DayOfWeek => {
                self.number(field, own, greedy, Some(&mut fields.day_of_week))?;
            }
            Kind::IsoDay => {
                self.number(field, 1, greedy, Some(&mut fields.day_of_week))?;
                // Sunday is the first day elsewhere.
                fields.day_of_week = if fields.day_of_week >= 7 { 1 } else { fields.day_of_week + 1 };
            }
            Kind::WeekOfYear | Kind::IsoWeek => {
                self.number(field, own, greedy, Some(&mut fields.week))?;
            }
            // It would contradict most months beside it, so it is read and forgotten.
            Kind::Quarter => {
                self.number(field, own, greedy, None)?;
            }
            Kind::Century => {
                self.number(field, own, greedy, Some(&mut fields.century))?;
            }
            Kind::YearWithComma => {
                let year = self.year_with_comma()?;
                set(&mut fields.year, year, field)?;
                fields.year_digits = 4;
            }
            Kind::Year(digits) | Kind::IsoYear(digits) => {
                let read = self.number(field, own, greedy, Some(&mut fields.year))?;
                if digits < 4 && read < 4 {
                    fields.year = near_2020(fields.year);
                }
                fields.year_digits = digits;
            }
            Kind::WeekOfMonth => {
                self.number(field, own, greedy, Some(&mut fields.week_of_month))?;
            }
            Kind::Julian => {
                self.number(field, own, greedy, Some(&mut fields.julian))?;
            }
        }
        if field.ordinal.is_some() && field.kind.is_number() {
            self.next();
            self.next();
        }
        Ok(())
    }

    fn before(&self) -> &str {
        self.text.get(..self.text.len() - self.rest.len()).unwrap_or_default()
    }

    /// A number of exactly `width` characters, or of as many digits as there are; the answer is how many it had.
    fn number(&mut self, field: &Field, width: usize, greedy: bool, slot: Option<&mut i64>) -> Done<usize> {
        self.rest = self.rest.trim_start_matches(is_space);
        let copy: String = self.rest.chars().take(width).collect();
        let name = &field.name;
        let hint = "If your source string is not fixed-width, try using the \"FM\" modifier.";
        if !greedy && self.rest.len() < width {
            let left = self.rest.len();
            return Err(bad(format!("source string too short for \"{name}\" formatting field"))
                .with_detail(format!("Field requires {width} characters, but only {left} remain."))
                .with_hint(hint));
        }
        let source = if greedy { self.rest } else { copy.as_str() };
        let digits = leading_integer(source);
        let used = digits.len();
        if !greedy && used > 0 && used < width {
            return Err(bad(format!("invalid value \"{copy}\" for \"{name}\""))
                .with_detail(format!("Field requires {width} characters, but only {used} could be parsed."))
                .with_hint(hint));
        }
        if used == 0 {
            return Err(bad(format!("invalid value \"{copy}\" for \"{name}\""))
                .with_detail("Value must be an integer."));
        }
        let value = digits.trim_start_matches(is_space).parse::<i32>().map_err(|_| {
            let message = format!("value for \"{name}\" in source string is out of range");
            ExecError::new(ErrorKind::DatetimeOutOfRange, message)
                .with_detail("Value must be in the range -2147483648 to 2147483647.")
        })?;
        self.rest = self.rest.get(used..).unwrap_or_default();
        if let Some(slot) = slot {
            set(slot, value.into(), field)?;
        }
        Ok(used)
    }

    fn year_with_comma(&mut self) -> Done<i64> {
        let invalid = || bad("invalid input string for \"Y,YYY\"".to_owned());
        let thousands = leading_integer(self.rest);
        let after = self.rest.get(thousands.len()..).and_then(|rest| rest.strip_prefix(','));
        let after = after.filter(|_| !thousands.is_empty()).ok_or_else(invalid)?;
        let end = after.bytes().take(3).take_while(u8::is_ascii_digit).count();
        let (rest_of_year, rest) = after.split_at(end);
        let number = |text: &str| text.parse::<i64>().map_err(|_| invalid());
        let year = number(thousands)? * 1000 + number(rest_of_year)?;
        self.rest = rest;
        Ok(year)
    }

    /// The place in `words` of the one that the text goes on with.
    fn word(&mut self, field: &Field, words: &[&str]) -> Done<i64> {
        let found = words
            .iter()
            .position(|word| self.rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word)));
        let Some(index) = found else {
            let shown: String = self.rest.chars().take_while(|c| !is_space(*c)).collect();
            return Err(bad(format!("invalid value \"{shown}\" for \"{}\"", field.name))
                .with_detail("The given value did not match any of the allowed values for this field."));
        };
        let used = words.get(index).map_or(0, |word| word.len());
        self.rest = self.rest.get(used..).unwrap_or_default();
        Ok(i64::try_from(index).unwrap_or(0))
    }
}

/// What C's `strtol` takes: white space, a sign, digits. Empty where there is no digit.
fn leading_integer(text: &str) -> &str {
    let trimmed = text.trim_start_matches(is_space);
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return "";
    }
    text.get(..text.len() - unsigned.len() + digits).unwrap_or_default()
}

fn set(slot: &mut i64, value: i64, field: &Field) -> Done {
    if *slot != 0 && *slot != value {
        let message = format!("conflicting values for \"{}\" field in formatting string", field.name);
        return Err(
            bad(message).with_detail("This value contradicts a previous setting for the same field type.")
        );
    }
    *slot = value;
    Ok(())
}

/// A year of fewer than four digits is the one nearest to 2020.
fn near_2020(year: i64) -> i64 {
    match year {
        ..70 => year + 2000,
        70..100 => year + 1900,
        100..520 => year + 2000,
        520..1000 => year + 1000,
        _ => year,
    }
}

/// The Monday of an ISO week.
fn monday_of(year: i64, week: i64) -> i64 {
    let fourth = days_from_civil(year, 1, 4);
    (week - 1) * 7 + fourth - days_since_monday(fourth)
}

impl Fields {
    fn finish(mut self, text: &str) -> Done<Read> {
        let micros = self.time(text)?;
        let mut date =
            Date { year: 0, month: 1, day: 1, year_known: false, month_known: false, day_known: false };
        self.set_year(&mut date);
        if self.julian != 0 {
            date.become_day(self.julian - UNIX_EPOCH_JULIAN);
        }
        if self.week != 0 {
            if self.convention == Some(Convention::IsoWeek) {
                let day = match self.day_of_week {
                    0 | 2 => 0,
                    1 => 6,
                    later => later - 2,
                };
                date.become_day(monday_of(date.year, self.week) + day);
            } else {
                self.day_of_year = (self.week - 1) * 7 + 1;
            }
        }
        if self.week_of_month != 0 {
            self.day = (self.week_of_month - 1) * 7 + 1;
        }
        if self.day != 0 {
            (date.day, date.day_known) = (self.day, true);
        }
        if self.month != 0 {
            (date.month, date.month_known) = (self.month, true);
        }
        if self.day_of_year != 0 && (date.month <= 1 || date.day <= 1) {
            self.count_days(&mut date)?;
        }
        date.check().ok_or_else(|| field_overflow(text))?;
        let offset = match self.zone_sign {
            0 => None,
            _ if !(0..=15).contains(&self.zone_hours) || !(0..60).contains(&self.zone_minutes) => {
                return Err(ExecError::new(
                    ErrorKind::ZoneDisplacement,
                    format!("time zone displacement out of range: \"{text}\""),
                ));
            }
            sign => Some(sign * (self.zone_hours * 3600 + self.zone_minutes * 60)),
        };
        Ok(Read { days: days_from_civil(date.year, date.month, date.day), micros, offset })
    }

    /// Microseconds of the day.
    fn time(&self, text: &str) -> Done<i64> {
        let (mut hour, mut minute, mut second) = (0, 0, 0);
        if self.seconds_of_day != 0 {
            hour = self.seconds_of_day / 3600;
            minute = self.seconds_of_day / 60 % 60;
            second = self.seconds_of_day % 60;
        }
        for (slot, given) in [(&mut hour, self.hour), (&mut minute, self.minute), (&mut second, self.second)]
        {
            if given != 0 {
                *slot = given;
            }
        }
        if self.half_clock {
            if !(1..=12).contains(&hour) {
                return Err(bad(format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                    .with_hint("Use the 24-hour clock, or give an hour between 1 and 12."));
            }
            hour = hour % 12 + if self.afternoon != 0 { 12 } else { 0 };
        }
        let fraction = self.millis * 1_000 + self.micros;
        let valid = (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second)
            && (0..1_000_000).contains(&fraction);
        if !valid {
            return Err(field_overflow(text));
        }
        Ok(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
    }

    fn set_year(&mut self, date: &mut Date) {
        let signed_century = if self.before_christ != 0 { -self.century } else { self.century };
        if self.year != 0 && self.century != 0 && self.year_digits <= 2 {
            let short = self.year % 100;
            date.year = match (short, signed_century) {
                (0, century) if century >= 0 => century * 100,
                (0, century) => century * 100 + 1,
                (short, century) if century >= 0 => short + (century - 1) * 100,
                (short, century) => (century + 1) * 100 - short + 1,
            };
        } else if self.year != 0 {
            let year = if self.before_christ != 0 { -self.year } else { self.year };
            date.year = if year < 0 { year + 1 } else { year };
        } else if self.century != 0 {
            // The first year of the century.
            let first = if signed_century >= 0 { signed_century - 1 } else { signed_century };
            date.year = first * 100 + 1;
        }
        date.year_known = self.year != 0 || self.century != 0;
    }

    fn count_days(&self, date: &mut Date) -> Done {
        if date.year == 0 && self.before_christ == 0 {
            return Err(bad("cannot calculate day of year without year information".to_owned()));
        }
        if self.convention == Some(Convention::IsoWeek) {
            date.become_day(monday_of(date.year, 1) + self.day_of_year - 1);
            return Ok(());
        }
        let mut left = self.day_of_year;
        let mut month = 1;
        while month < 13 {
            let length = u32::try_from(month).map_or(31, |month| i64::from(days_in_month(date.year, month)));
            if left <= length {
                break;
            }
            left -= length;
            month += 1;
        }
        debug_assert!(month <= 13 && (is_leap(date.year) || self.day_of_year != 366 || month == 13));
        if date.month <= 1 {
            date.month = month;
        }
        if date.day <= 1 {
            date.day = left;
        }
        (date.month_known, date.day_known) = (true, true);
        Ok(())
    }
}

struct Date {
    year: i64,
    month: i64,
    day: i64,
    year_known: bool,
    month_known: bool,
    day_known: bool,
}

impl Date {
    fn become_day(&mut self, days: i64) {
        (self.year, self.month, self.day) = civil_from_days(days);
        (self.year_known, self.month_known, self.day_known) = (true, true, true);
    }

    /// `None` where month or day are out of range; the length of a month counts where its year is known.
    fn check(&self) -> Option<()> {
        let month = u32::try_from(self.month).ok().filter(|month| (1..=12).contains(month))?;
        let longest = if self.year_known && self.month_known && self.day_known {
            days_in_month(self.year, month)
        } else {
            31
        };
        (1..=i64::from(longest)).contains(&self.day).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_pictures() {
        let check = |text: &str, picture: &str, expected: (i64, i64, i64, i64)| {
            let found = read(text, picture).unwrap();
            let (year, month, day) = civil_from_days(found.days);
            assert_eq!((year, month, day, found.micros / 1_000_000), expected, "{text} {picture}");
        };
        check("04/07/2013", "DD/MM/YYYY", (2013, 7, 4, 0));
        check("2013-07-04 15:06", "YYYY-MM-DD HH24:MI", (2013, 7, 4, 15 * 3600 + 360));
        check("20130704", "YYYYMMDD", (2013, 7, 4, 0));
        check("4 July 2013 03:06 pm", "DD Month YYYY HH12:MI am", (2013, 7, 4, 15 * 3600 + 360));
        check("2013185", "YYYYDDD", (2013, 7, 4, 0));
        check("2013-27-4", "IYYY-IW-ID", (2013, 7, 4, 0));
        check("21 05", "CC YY", (2005, 1, 1, 0));
        check("97/Feb/16", "YY:Mon:DD", (1997, 2, 16, 0));
        check("1997 AD 11 16", "YYYY BC MM DD", (1997, 11, 16, 0));
        check("J2451187", "\"J\"J", (1999, 1, 8, 0));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let check = |text: &str, picture: &str, expected: &str| {
            assert_eq!(read(text, picture).unwrap_err().message, expected, "{text} {picture}");
        };
        check("2013-13-01", "YYYY-MM-DD", "date/time field value out of range: \"2013-13-01\"");
        check("abc", "YYYY", "invalid value \"abc\" for \"YYYY\"");
        check("19", "YYYYMM", "source string too short for \"YYYY\" formatting field");
        check("2005 12", "IYYY MM", "invalid combination of date conventions");
        check("13:00", "HH12:MI", "hour \"13\" is invalid for the 12-hour clock");
    }
}
