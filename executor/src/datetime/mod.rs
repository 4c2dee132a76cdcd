//! Dates, times, timestamps and intervals as PostgreSQL reads and writes them: one implementation for parameters,
//! COPY, casts and functions.
//!
//! ```text
//! text ─fields─▶ split ─decoder, words─▶ fields with a meaning ─input─▶ days, microseconds
//!                      ─interval_input──────────────────────────────▶ months, days, microseconds
//! days, microseconds ─text, interval_text─▶ text in the session's styles and zone
//! ```
//!
//! Everything counts from 1970-01-01; the largest and smallest counts are the two infinities.

pub mod calendar;
mod decoder;
mod fields;
pub mod input;
mod interval_input;
mod interval_text;
mod posix_zone;
pub mod style;
pub mod text;
pub mod time_zone;
pub mod units;
mod words;
pub mod zone_abbreviations;

use datafusion::config::ConfigOptions;

use crate::session::SessionOptions;
pub use interval_input::{IntervalField, parse_interval};
pub use interval_text::{Interval, write_interval};
pub use style::{DateLayout, DateOrder, DateStyle, IntervalStyle};
pub use time_zone::TimeZone;

/// What reading and writing of dates, times and intervals depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DateTimeSettings {
    /// `DateStyle`.
    pub date_style: DateStyle,
    /// `IntervalStyle`.
    pub interval_style: IntervalStyle,
    /// `TimeZone`.
    pub time_zone: TimeZone,
}

impl DateTimeSettings {
    /// The settings of the session that a plan runs for.
    pub fn of(options: &ConfigOptions) -> Self {
        let Some(session) = options.extensions.get::<SessionOptions>() else { return Self::default() };
        Self {
            date_style: DateStyle::shown(&session.date_style),
            interval_style: IntervalStyle::shown(&session.interval_style),
            time_zone: TimeZone::parse(&session.time_zone).unwrap_or_default(),
        }
    }
}
