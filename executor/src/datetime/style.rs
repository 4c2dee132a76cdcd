//! The styles that dates and intervals are written in.

/// The layout part of `DateStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateLayout {
    /// `1997-12-17 07:37:16-08`
    #[default]
    Iso,
    /// `12/17/1997 07:37:16.00 PST`
    Sql,
    /// `Wed Dec 17 07:37:16 1997 PST`
    Postgres,
    /// `17.12.1997 07:37:16.00 PST`
    German,
}

/// The field order part of `DateStyle`: of input that leaves it open, and of the SQL and Postgres layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DateOrder {
    /// Month, day, year.
    #[default]
    Mdy,
    /// Day, month, year.
    Dmy,
    /// Year, month, day.
    Ymd,
}

/// A value of the setting `DateStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DateStyle {
    /// Output layout.
    pub layout: DateLayout,
    /// Field order.
    pub order: DateOrder,
}

impl DateStyle {
    /// The style that SHOW prints as `text`, the default for any other text.
    pub fn shown(text: &str) -> Self {
        let (layout, order) = text.split_once(", ").unwrap_or((text, ""));
        Self {
            layout: match layout {
                "SQL" => DateLayout::Sql,
                "Postgres" => DateLayout::Postgres,
                "German" => DateLayout::German,
                _ => DateLayout::Iso,
            },
            order: match order {
                "DMY" => DateOrder::Dmy,
                "YMD" => DateOrder::Ymd,
                _ => DateOrder::Mdy,
            },
        }
    }
}

/// A value of the setting `IntervalStyle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IntervalStyle {
    /// `1 year 2 mons 3 days 04:05:06`
    #[default]
    Postgres,
    /// `@ 1 year 2 mons 3 days 4 hours 5 mins 6 secs`
    PostgresVerbose,
    /// `+1-2 +3 +4:05:06`
    SqlStandard,
    /// `P1Y2M3DT4H5M6S`
    Iso8601,
}

impl IntervalStyle {
    /// The style that SHOW prints as `text`, the default for any other text.
    pub fn shown(text: &str) -> Self {
        match text {
            "postgres_verbose" => Self::PostgresVerbose,
            "sql_standard" => Self::SqlStandard,
            "iso_8601" => Self::Iso8601,
            _ => Self::Postgres,
        }
    }
}
