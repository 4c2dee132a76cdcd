//! The session's time zone: IANA names, fixed offsets and POSIX names, with PostgreSQL's rules for
//! local times that a change of offset skips or repeats.

use super::calendar::{
    CivilDate, MICROS_PER_SECOND, TIMESTAMP_INFINITY, TIMESTAMP_MINUS_INFINITY, is_leap, weekday,
};
use super::input::unknown_zone;
use super::posix_zone::PosixZone;
use super::text::write_padded;
use super::zone_abbreviations::abbreviation_offset;
use crate::error::ExecError;
use bytes::BytesMut;
use chrono::{DateTime, Offset, TimeZone as _};
use chrono_tz::{OffsetName, TZ_VARIANTS, Tz};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// The zone data ends with this year; its rules are then taken to go on as they were.
const LAST_YEAR: i64 = 2099;
/// After this many years weekdays and leap days repeat (within 2072..=2099 no century interferes).
const SOLAR_CYCLE: i64 = 28;
/// Seconds since 1970 of a time before any zone's first change (1 January 1 BC): local mean time.
const BEFORE_ALL_CHANGES: i64 = -62_167_219_200;

/// A value of the setting `TimeZone`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeZone {
    name: String,
    rule: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    Fixed { seconds_east: i32, abbreviation: String },
    Named(Tz),
    Posix(PosixZone),
}

impl Default for TimeZone {
    fn default() -> Self {
        Self::utc()
    }
}

impl TimeZone {
    /// The zone `UTC`.
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rule: Rule::Fixed { seconds_east: 0, abbreviation: "UTC".to_owned() } }
    }

    /// A zone without changes; its name is PostgreSQL's: `<+05:30>-05:30`.
    pub fn fixed(seconds_east: i32) -> Self {
        let abbreviation = offset_text(seconds_east);
        let name = format!("<{abbreviation}>{}", offset_text(-seconds_east));
        Self { name, rule: Rule::Fixed { seconds_east, abbreviation } }
    }

    /// What `SET TimeZone` takes: an IANA name in any case, hours east of Greenwich (`-8`, `5.5`), a POSIX
    /// specification (`UTC+3`, where + is west), or `interval '3:30'`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim_start().to_ascii_lowercase();
        if let Some(interval) = lower.strip_prefix("interval") {
            let seconds = clock_seconds(interval.trim().strip_prefix('\'')?.strip_suffix('\'')?)?;
            return Some(Self::fixed(seconds));
        }
        if let Ok(hours) = text.parse::<f64>() {
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
            return (hours.abs() < 168.0).then(|| Self::fixed((hours * 3600.0) as i32));
        }
        Self::named(text).or_else(|| Self::posix(text))
    }

    /// An IANA zone by its name in any case.
    pub fn named(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("utc") {
            return Some(Self::utc());
        }
        let bare = text.strip_prefix("posix/").unwrap_or(text);
        let zone = TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(bare))?;
        Some(Self { name: zone.name().to_owned(), rule: Rule::Named(*zone) })
    }

    fn posix(text: &str) -> Option<Self> {
        let name = text.to_ascii_uppercase();
        let zone = PosixZone::parse(&name)?;
        let rule = if zone.is_fixed() {
            let clock = zone.clock_at(0);
            Rule::Fixed { seconds_east: clock.seconds_east, abbreviation: clock.abbreviation.clone() }
        } else {
            Rule::Posix(zone)
        };
        Some(Self { name, rule })
    }

    /// The name that `SHOW TimeZone` prints.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A name of the zone for arrow, which knows IANA names and offsets.
    pub fn arrow_name(&self) -> String {
        match &self.rule {
            Rule::Named(zone) => zone.name().to_owned(),
            // Only what is computed outside of this module sees it.
            Rule::Posix(_) => "UTC".to_owned(),
            Rule::Fixed { seconds_east, .. } => {
                let sign = if *seconds_east < 0 { '-' } else { '+' };
                let minutes = seconds_east.unsigned_abs() / 60;
                format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }

    /// Microseconds since 1970 UTC at which clocks show `local`; infinities stay what they are.
    pub fn to_utc(&self, local: i64) -> i64 {
        if matches!(local, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY) {
            return local;
        }
        let east = self.offset_at_local(local.div_euclid(MICROS_PER_SECOND));
        local.saturating_sub(i64::from(east) * MICROS_PER_SECOND)
    }

    /// What clocks show at an instant, both in microseconds since 1970; infinities stay what they are.
    pub fn to_local(&self, utc: i64) -> i64 {
        if matches!(utc, TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY) {
            return utc;
        }
        utc.saturating_add(i64::from(self.offset_at_micros(utc)) * MICROS_PER_SECOND)
    }

    /// Seconds east of Greenwich at an instant in microseconds since 1970.
    pub fn offset_at_micros(&self, utc: i64) -> i32 {
        self.offset_at(utc.div_euclid(MICROS_PER_SECOND))
    }

    /// The zone of `AT TIME ZONE` and its like: an abbreviation, or whatever the setting takes.
    ///
    /// # Errors
    /// 22023 for a name that is none.
    pub fn lookup(name: &str) -> Result<Self, ExecError> {
        let abbreviated = abbreviation_offset(&name.to_ascii_lowercase());
        let zone = abbreviated.map(|seconds_east| Self {
            name: name.to_ascii_uppercase(),
            rule: Rule::Fixed { seconds_east, abbreviation: name.to_ascii_uppercase() },
        });
        zone.or_else(|| Self::named(name)).or_else(|| Self::posix(name)).ok_or_else(|| unknown_zone(name))
    }

    /// Whether the offset is zero at all times.
    pub fn is_utc(&self) -> bool {
        matches!(self.rule, Rule::Fixed { seconds_east: 0, .. })
    }

    /// Whether the offset never changes.
    pub fn has_fixed_offset(&self) -> bool {
        match &self.rule {
            Rule::Fixed { .. } => true,
            Rule::Posix(_) => false,
            Rule::Named(_) => {
                // Every season from 1840, before the first zones, to the end of the zone data.
                const SEASON: i64 = 91 * DAY;
                const START: i64 = -4_102_444_800;
                let first = self.offset_at(START);
                (0..1_050).all(|season| self.offset_at(START + season * SEASON) == first)
            }
        }
    }

    /// The zone of the IANA database, where it is one.
    pub fn iana(&self) -> Option<Tz> {
        match &self.rule {
            Rule::Named(zone) => Some(*zone),
            Rule::Fixed { .. } => self.is_utc().then_some(Tz::UTC),
            Rule::Posix(_) => None,
        }
    }

    /// Seconds east of Greenwich at an instant, in seconds since 1970.
    pub fn offset_at(&self, instant: i64) -> i32 {
        match &self.rule {
            Rule::Fixed { seconds_east, .. } => *seconds_east,
            Rule::Posix(zone) => zone.clock_at(instant).seconds_east,
            Rule::Named(zone) => named_offset(*zone, instant).fix().local_minus_utc(),
        }
    }

    /// Appends the abbreviation in force at an instant, as `EST`; zones without one have their offset, as `+0330`.
    pub fn write_abbreviation(&self, instant: i64, out: &mut BytesMut) {
        match &self.rule {
            Rule::Fixed { abbreviation, .. } => out.extend_from_slice(abbreviation.as_bytes()),
            Rule::Posix(zone) => out.extend_from_slice(zone.clock_at(instant).abbreviation.as_bytes()),
            Rule::Named(zone) => {
                let offset = named_offset(*zone, instant);
                match offset.abbreviation() {
                    Some(name) => out.extend_from_slice(name.as_bytes()),
                    None => write_numeric_abbreviation(offset.fix().local_minus_utc(), out),
                }
            }
        }
    }

    /// The abbreviation in force at an instant, in seconds since 1970.
    pub fn abbreviation(&self, instant: i64) -> String {
        let mut out = BytesMut::new();
        self.write_abbreviation(instant, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Seconds east of Greenwich that a local time (seconds since 1970 as if it were UTC) stands for. A local
    /// time that is skipped has the offset before the change, one that comes twice the offset after it.
    pub fn offset_at_local(&self, local: i64) -> i32 {
        match &self.rule {
            Rule::Fixed { seconds_east, .. } => *seconds_east,
            Rule::Named(_) | Rule::Posix(_) => {
                let before = self.offset_at(local - DAY);
                let after = self.offset_at(local + DAY);
                let as_before = local - i64::from(before);
                let as_after = local - i64::from(after);
                let holds_before = self.offset_at(as_before) == before;
                let holds_after = self.offset_at(as_after) == after;
                match (holds_before, holds_after) {
                    (true, false) => before,
                    (false, true) => after,
                    // Skipped: clocks went forward, neither offset gives this local time.
                    (false, false) => before,
                    // Repeated: clocks went back, both do.
                    (true, true) => after,
                }
            }
        }
    }
}

/// Appends `+05`, `-05:30` or `+00:19:32`.
pub fn write_offset(seconds_east: i32, out: &mut BytesMut) {
    let seconds = seconds_east.unsigned_abs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    out.extend_from_slice(if seconds_east < 0 { b"-" } else { b"+" });
    write_padded(hours, 2, out);
    if minutes != 0 || seconds != 0 {
        out.extend_from_slice(b":");
        write_padded(minutes, 2, out);
    }
    if seconds != 0 {
        out.extend_from_slice(b":");
        write_padded(seconds, 2, out);
    }
}

/// The abbreviation of zones that have none in letters: `+03`, `+0330`.
fn write_numeric_abbreviation(seconds_east: i32, out: &mut BytesMut) {
    let start = out.len();
    write_offset(seconds_east, out);
    let text: Vec<u8> = out.split_off(start).into_iter().filter(|byte| *byte != b':').collect();
    out.extend_from_slice(&text);
}

fn offset_text(seconds_east: i32) -> String {
    let mut out = BytesMut::new();
    write_offset(seconds_east, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

fn named_offset(zone: Tz, instant: i64) -> <Tz as chrono::TimeZone>::Offset {
    let instant = within_zone_data(instant).max(BEFORE_ALL_CHANGES);
    let utc = DateTime::from_timestamp(instant, 0).unwrap_or_default().naive_utc();
    zone.offset_from_utc_datetime(&utc)
}

/// An instant of a year that the zone data covers with the same rules: the same day of a year with the same
/// weekdays and as many days.
fn within_zone_data(instant: i64) -> i64 {
    // 2100-01-01, in seconds.
    const END: i64 = 4_102_444_800;
    if instant < END {
        return instant;
    }
    let days = instant.div_euclid(DAY);
    let date = CivilDate::from_days(days);
    let first_weekday = weekday(CivilDate { month: 1, day: 1, ..date }.to_days());
    let same = (0..SOLAR_CYCLE).map(|back| LAST_YEAR - back).find(|year| {
        is_leap(*year) == is_leap(date.year)
            && weekday(CivilDate { year: *year, month: 1, day: 1 }.to_days()) == first_weekday
    });
    let year = same.unwrap_or(LAST_YEAR);
    CivilDate { year, ..date }.to_days() * DAY + instant.rem_euclid(DAY)
}

/// `5`, `-3:30` or `+1:02:03` in seconds.
fn clock_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0;
    let mut unit = 3600;
    for part in digits.split(':') {
        if unit == 0 || part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let value: i32 = part.parse().ok()?;
        if value > if unit == 3600 { 167 } else { 59 } {
            return None;
        }
        seconds += value * unit;
        unit /= 60;
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datetime::calendar::MICROS_PER_SECOND;

    fn seconds(year: i64, month: u32, day: u32, hour: i64) -> i64 {
        CivilDate { year, month, day }.to_days() * DAY + hour * 3600
    }

    #[test]
    fn names_are_shown_as_postgresql_shows_them() {
        let cases = [
            ("utc", "UTC"),
            ("america/new_york", "America/New_York"),
            ("posix/America/New_York", "America/New_York"),
            ("est", "EST"),
            ("+05:30", "+05:30"),
            ("-8", "<-08>+08"),
            ("5.5", "<+05:30>-05:30"),
            ("UTC+3", "UTC+3"),
            ("<abc>-3:30", "<ABC>-3:30"),
            ("GMT0", "GMT0"),
            ("-167", "<-167>+167"),
            ("interval '3:30'", "<+03:30>-03:30"),
        ];
        for (text, shown) in cases {
            assert_eq!(TimeZone::parse(text).map(|zone| zone.name), Some(shown.to_owned()), "{text}");
        }
        for text in ["", "Foo/Bar", "pst", "-168", "z", "UTC+", "UTC+3:", "nan", "inf", "interval '3:30"] {
            assert_eq!(TimeZone::parse(text), None, "{text}");
        }
    }

    #[test]
    fn zones_without_changes_are_known() {
        for (name, fixed) in
            [("UTC", true), ("Etc/GMT+5", true), ("-8", true), ("Asia/Tokyo", false), ("Europe/Paris", false)]
        {
            assert_eq!(TimeZone::parse(name).unwrap().has_fixed_offset(), fixed, "{name}");
        }
    }

    #[test]
    fn posix_offsets_count_westward() {
        assert_eq!(TimeZone::parse("UTC+3").unwrap().offset_at(0), -3 * 3600);
        assert_eq!(TimeZone::parse("+05:30").unwrap().offset_at(0), -19_800);
        assert_eq!(TimeZone::parse("-8").unwrap().offset_at(0), -8 * 3600);
    }

    #[test]
    fn skipped_and_repeated_local_times_follow_postgresql() {
        let zone = TimeZone::named("America/New_York").unwrap();
        // 2021-03-14 02:30 does not exist, 2021-11-07 01:30 exists twice.
        assert_eq!(zone.offset_at_local(seconds(2021, 3, 14, 2) + 1800), -5 * 3600);
        assert_eq!(zone.offset_at_local(seconds(2021, 11, 7, 1) + 1800), -5 * 3600);
        assert_eq!(zone.offset_at_local(seconds(2021, 3, 14, 3)), -4 * 3600);
        assert_eq!(zone.offset_at_local(seconds(2021, 11, 7, 0)), -4 * 3600);
    }

    #[test]
    fn rules_go_on_after_the_zone_data_ends() {
        let zone = TimeZone::named("America/New_York").unwrap();
        for year in [2050, 2099, 2100, 2150, 2400, 9999, 200_000] {
            assert_eq!(zone.offset_at(seconds(year, 7, 4, 12)), -4 * 3600, "{year}");
            assert_eq!(zone.offset_at(seconds(year, 1, 4, 12)), -5 * 3600, "{year}");
        }
        // Local mean time before the first change, -4:56:02.
        assert_eq!(zone.offset_at(seconds(-4000, 1, 1, 0)), -17_762);
        assert_eq!(zone.offset_at(i64::MIN / MICROS_PER_SECOND), -17_762);
    }
}
