//! The proleptic Gregorian calendar of PostgreSQL, in whole days and microseconds since 1970-01-01.
//!
//! Years are astronomical here: year 0 is 1 BC, year -1 is 2 BC.

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const PG_EPOCH_DAYS: i32 = 10_957;
/// Microseconds from 1970-01-01 to PostgreSQL's epoch.
pub const PG_EPOCH_MICROS: i64 = PG_EPOCH_DAYS as i64 * MICROS_PER_DAY;
/// Microseconds in a day.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Microseconds in an hour.
pub const MICROS_PER_HOUR: i64 = 3_600 * MICROS_PER_SECOND;
/// Microseconds in a minute.
pub const MICROS_PER_MINUTE: i64 = 60 * MICROS_PER_SECOND;
/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// Julian day number of 1970-01-01.
pub const UNIX_EPOCH_JULIAN: i64 = 2_440_588;

/// `timestamp` and `timestamptz` hold infinity as the largest microsecond count.
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// `timestamp` and `timestamptz` hold -infinity as the smallest microsecond count.
pub const TIMESTAMP_MINUS_INFINITY: i64 = i64::MIN;
/// `date` holds infinity as the largest day count.
pub const DATE_INFINITY: i32 = i32::MAX;
/// `date` holds -infinity as the smallest day count.
pub const DATE_MINUS_INFINITY: i32 = i32::MIN;

/// First day of PostgreSQL's dates: 24 November 4714 BC, Julian day 0.
pub const DATE_MIN: i32 = -2_440_588;
/// First day after PostgreSQL's dates: 1 January 5874898.
pub const DATE_END: i32 = PG_EPOCH_DAYS + 2_145_031_949;
/// First microsecond of PostgreSQL's timestamps: midnight of [`DATE_MIN`].
pub const TIMESTAMP_MIN: i64 = DATE_MIN as i64 * MICROS_PER_DAY;
/// First microsecond after the timestamps that are held, in 294247. PostgreSQL counts its 64 bits from 2000 and
/// holds another thirty years.
pub const TIMESTAMP_END: i64 = i64::MAX;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilDate {
    /// Astronomical year.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

const DAYS_PER_ERA: i64 = 146_097;

impl CivilDate {
    /// The date that is `days` after 1970-01-01.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "month and day are within 1..=12 and 1..=31 by construction"
    )]
    pub fn from_days(days: i64) -> Self {
        // Years are counted from March, so that the leap day is the last of its year; an era is 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(DAYS_PER_ERA);
        let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month: month as u32, day: day as u32 }
    }

    /// Days since 1970-01-01. The month and the day need not exist: day 31 of a shorter month is counted on.
    pub fn to_days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month_from_march = (i64::from(self.month) + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(self.day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * DAYS_PER_ERA + day_of_era - 719_468
    }

    /// Whether month and day exist in that year.
    pub fn is_valid(self) -> bool {
        (1..=12).contains(&self.month) && self.day >= 1 && self.day <= days_in_month(self.year, self.month)
    }
}

/// Whether the astronomical year has a 29 February.
pub fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days in a month of an astronomical year; 31 for a month outside 1..=12.
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Day of the week, 0 for Sunday, of a day since 1970-01-01 (a Thursday).
pub fn weekday(days: i64) -> usize {
    usize::try_from((days + 4).rem_euclid(7)).unwrap_or(0)
}

/// Days since 1970-01-01 of year, month and day; year 0 is 1 BC.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let first = CivilDate { year, month: u32::try_from(month).unwrap_or(1), day: 1 };
    first.to_days() + day - 1
}

/// Year, month and day of a day since 1970-01-01; year 0 is 1 BC.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let date = CivilDate::from_days(days);
    (date.year, date.month.into(), date.day.into())
}

/// Day and microseconds of the day of a moment.
pub fn split_micros(micros: i64) -> (i64, i64) {
    (micros.div_euclid(MICROS_PER_DAY), micros.rem_euclid(MICROS_PER_DAY))
}

/// ISO 8601 week-numbering year and week of a day.
pub fn iso_week(days: i64) -> (i64, i64) {
    // The week belongs to the year that holds its Thursday; day 0 was one.
    let thursday = days - days_since_monday(days) + 3;
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

/// 0 on Mondays to 6 on Sundays.
pub fn days_since_monday(days: i64) -> i64 {
    (days + 3).rem_euclid(7)
}

/// Full English month names, January first.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Full English day names, Sunday first.
pub const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_round_trip_over_all_of_postgresql() {
        for days in (i64::from(DATE_MIN)..i64::from(DATE_END)).step_by(99_991).chain(-1_000..40_000) {
            let date = CivilDate::from_days(days);
            assert!(date.is_valid(), "{date:?}");
            assert_eq!(date.to_days(), days);
        }
        assert_eq!(CivilDate::from_days(0), CivilDate { year: 1970, month: 1, day: 1 });
        assert_eq!(CivilDate::from_days(PG_EPOCH_DAYS.into()), CivilDate { year: 2000, month: 1, day: 1 });
        assert_eq!(CivilDate::from_days(DATE_MIN.into()), CivilDate { year: -4713, month: 11, day: 24 });
        assert_eq!(CivilDate::from_days(DATE_END.into()), CivilDate { year: 5_874_898, month: 1, day: 1 });
        assert_eq!(
            CivilDate::from_days(TIMESTAMP_END / MICROS_PER_DAY),
            CivilDate { year: 294_247, month: 1, day: 10 }
        );
    }

    #[test]
    fn weeks_are_iso() {
        assert_eq!(iso_week(days_from_civil(2021, 1, 3)), (2020, 53));
        assert_eq!(iso_week(days_from_civil(2013, 12, 30)), (2014, 1));
        assert_eq!(days_since_monday(days_from_civil(2024, 1, 1)), 0);
    }

    #[test]
    fn weekdays_start_on_sunday() {
        assert_eq!(WEEKDAYS[weekday(0)], "Thursday");
        assert_eq!(WEEKDAYS[weekday(PG_EPOCH_DAYS.into())], "Saturday");
        assert_eq!(WEEKDAYS[weekday(-1)], "Wednesday");
    }
}
