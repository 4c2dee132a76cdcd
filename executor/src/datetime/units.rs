//! The names of the fields of dates, times and intervals, as `extract`, `date_part` and `date_trunc` take them.

/// A field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateField {
    /// Millionths of a second, the seconds included.
    Microsecond,
    /// Thousandths of a second, the seconds included.
    Millisecond,
    /// With its fraction.
    Second,
    /// Of the hour.
    Minute,
    /// Of the day.
    Hour,
    /// Of the month.
    Day,
    /// ISO week of the year.
    Week,
    /// Of the year.
    Month,
    /// Of the year.
    Quarter,
    /// Negative before Christ.
    Year,
    /// Tens of years.
    Decade,
    /// Hundreds of years.
    Century,
    /// Thousands of years.
    Millennium,
    /// Year of the ISO week.
    IsoYear,
    /// Sunday is 0.
    DayOfWeek,
    /// Monday is 1.
    IsoDayOfWeek,
    /// Of the year.
    DayOfYear,
    /// Days since 4714 BC.
    Julian,
    /// Seconds since 1970.
    Epoch,
    /// Seconds east of Greenwich.
    Zone,
    /// Hours of the zone.
    ZoneHour,
    /// Minutes of the zone.
    ZoneMinute,
}

impl DateField {
    /// The field of a name in lower case, of which ten letters count.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.get(..10).unwrap_or(name) {
            "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsecon" => Self::Microsecond,
            "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisecon" => Self::Millisecond,
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "week" | "weeks" => Self::Week,
            "mon" | "mons" | "month" | "months" => Self::Month,
            "qtr" | "quarter" => Self::Quarter,
            "y" | "yr" | "yrs" | "year" | "years" => Self::Year,
            "dec" | "decs" | "decade" | "decades" => Self::Decade,
            "c" | "cent" | "century" | "centuries" => Self::Century,
            "mil" | "mils" | "millennia" | "millennium" => Self::Millennium,
            "isoyear" => Self::IsoYear,
            "dow" => Self::DayOfWeek,
            "isodow" => Self::IsoDayOfWeek,
            "doy" => Self::DayOfYear,
            "j" | "jd" | "julian" => Self::Julian,
            "epoch" => Self::Epoch,
            "timezone" => Self::Zone,
            "timezone_h" => Self::ZoneHour,
            "timezone_m" => Self::ZoneMinute,
            _ => return None,
        })
    }

    /// Whether the field comes round: it has no value at an infinite moment.
    pub fn comes_round(self) -> bool {
        !matches!(
            self,
            Self::Year
                | Self::Decade
                | Self::Century
                | Self::Millennium
                | Self::IsoYear
                | Self::Julian
                | Self::Epoch
        )
    }
}
