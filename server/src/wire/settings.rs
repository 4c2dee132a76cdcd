//! The session settings that change how values are written, and their SET texts.

use quickdb_executor::datetime::{
    DateLayout, DateOrder, DateStyle, DateTimeSettings, IntervalStyle, TimeZone,
};
use std::fmt;

/// How values are written: one immutable value per session state, shared by encoders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSettings {
    /// `DateStyle`, `IntervalStyle` and `TimeZone`.
    pub datetime: DateTimeSettings,
    /// `extra_float_digits`: -15 to 3; shortest exact output above 0.
    pub extra_float_digits: i32,
    /// `bytea_output`.
    pub bytea_output: ByteaOutput,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self {
            datetime: DateTimeSettings::default(),
            extra_float_digits: 1,
            bytea_output: ByteaOutput::default(),
        }
    }
}

/// A refused SET value: SQLSTATE 22023 with PostgreSQL's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
}

impl SettingError {
    /// SQLSTATE of every such error.
    pub const SQLSTATE: &'static str = "22023";

    fn invalid(name: &str, value: &str) -> Self {
        Self {
            message: format!("invalid value for parameter \"{name}\": \"{value}\""),
            detail: None,
            hint: None,
        }
    }

    fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SettingError {}

impl From<SettingError> for String {
    fn from(error: SettingError) -> Self {
        error.message
    }
}

/// A setting whose value has a text form in SET and SHOW.
pub trait PgFormat: Sized {
    /// The value after `SET setting = text`, where it was `self` before.
    ///
    /// # Errors
    /// PostgreSQL's 22023 for a text that is no value of the setting.
    fn set(&self, text: &str) -> Result<Self, SettingError>;

    /// The text that SHOW prints.
    fn show(&self) -> String;
}

impl PgFormat for DateStyle {
    fn set(&self, text: &str) -> Result<Self, SettingError> {
        let invalid = || SettingError::invalid("DateStyle", text);
        let mut layout = None;
        let mut order = None;
        let mut conflict = false;
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        if words.len() > 1 && words.iter().any(|word| word.is_empty()) {
            return Err(invalid().with_detail("List syntax is invalid."));
        }
        for word in words.into_iter().filter(|word| !word.is_empty()) {
            let lower = word.trim_matches('"').to_ascii_lowercase();
            let (new_layout, new_order) = match lower.as_str() {
                "iso" => (Some(DateLayout::Iso), None),
                "sql" => (Some(DateLayout::Sql), None),
                "german" => (Some(DateLayout::German), None),
                "ymd" => (None, Some(DateOrder::Ymd)),
                "dmy" => (None, Some(DateOrder::Dmy)),
                "mdy" | "us" => (None, Some(DateOrder::Mdy)),
                "default" => {
                    layout = layout.or(Some(DateLayout::default()));
                    order = order.or(Some(DateOrder::default()));
                    continue;
                }
                other if other.starts_with("postgres") => (Some(DateLayout::Postgres), None),
                other if other.starts_with("euro") => (None, Some(DateOrder::Dmy)),
                other if other.starts_with("noneuro") => (None, Some(DateOrder::Mdy)),
                _ => return Err(invalid().with_detail(format!("Unrecognized key word: \"{lower}\"."))),
            };
            conflict |= new_layout.is_some_and(|new| layout.is_some_and(|old| old != new));
            conflict |= new_order.is_some_and(|new| order.is_some_and(|old| old != new));
            layout = new_layout.or(layout);
            order = new_order.or(order);
        }
        if conflict {
            return Err(invalid().with_detail("Conflicting \"datestyle\" specifications."));
        }
        let german_order = (layout == Some(DateLayout::German)).then_some(DateOrder::Dmy);
        Ok(Self {
            layout: layout.unwrap_or(self.layout),
            order: order.or(german_order).unwrap_or(self.order),
        })
    }

    fn show(&self) -> String {
        let layout = match self.layout {
            DateLayout::Iso => "ISO",
            DateLayout::Sql => "SQL",
            DateLayout::Postgres => "Postgres",
            DateLayout::German => "German",
        };
        let order = match self.order {
            DateOrder::Mdy => "MDY",
            DateOrder::Dmy => "DMY",
            DateOrder::Ymd => "YMD",
        };
        format!("{layout}, {order}")
    }
}

impl PgFormat for IntervalStyle {
    fn set(&self, text: &str) -> Result<Self, SettingError> {
        match text.to_ascii_lowercase().as_str() {
            "postgres" => Ok(Self::Postgres),
            "postgres_verbose" => Ok(Self::PostgresVerbose),
            "sql_standard" => Ok(Self::SqlStandard),
            "iso_8601" => Ok(Self::Iso8601),
            _ => Err(SettingError::invalid("intervalstyle", text)
                .with_hint("Available values: postgres, postgres_verbose, sql_standard, iso_8601.")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Postgres => "postgres",
            Self::PostgresVerbose => "postgres_verbose",
            Self::SqlStandard => "sql_standard",
            Self::Iso8601 => "iso_8601",
        }
        .to_owned()
    }
}

/// A value of the setting `bytea_output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteaOutput {
    /// `\xdeadbeef`
    #[default]
    Hex,
    /// Printable bytes as they are, others as `\ooo`.
    Escape,
}

impl PgFormat for ByteaOutput {
    fn set(&self, text: &str) -> Result<Self, SettingError> {
        match text.to_ascii_lowercase().as_str() {
            "hex" => Ok(Self::Hex),
            "escape" => Ok(Self::Escape),
            _ => Err(SettingError::invalid("bytea_output", text).with_hint("Available values: escape, hex.")),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Hex => "hex",
            Self::Escape => "escape",
        }
        .to_owned()
    }
}

impl PgFormat for TimeZone {
    fn set(&self, text: &str) -> Result<Self, SettingError> {
        Self::parse(text).ok_or_else(|| {
            let error = SettingError::invalid("TimeZone", text);
            match text.parse::<f64>() {
                Ok(hours) if hours.is_finite() => error.with_detail("UTC timezone offset is out of range."),
                _ => error,
            }
        })
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// A value of the setting `extra_float_digits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtraFloatDigits(pub i32);

impl PgFormat for ExtraFloatDigits {
    fn set(&self, text: &str) -> Result<Self, SettingError> {
        const NAME: &str = "extra_float_digits";
        let invalid = || SettingError::invalid(NAME, text);
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        let value = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            i64::from_str_radix(hex, 16).map_err(|_| invalid())?
        } else if digits.starts_with('0') && digits.len() > 1 && digits.bytes().all(|b| b.is_ascii_digit()) {
            i64::from_str_radix(digits, 8).map_err(|_| invalid())?
        } else {
            let value: f64 = digits.parse().map_err(|_| invalid())?;
            if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                return Err(invalid());
            }
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and the range is checked below")]
            {
                value.round_ties_even() as i64
            }
        };
        let value = if negative { -value } else { value };
        let value = i32::try_from(value).map_err(|_| invalid().with_hint("Value exceeds integer range."))?;
        if (-15..=3).contains(&value) {
            return Ok(Self(value));
        }
        Err(SettingError {
            message: format!("{value} is outside the valid range for parameter \"{NAME}\" (-15 .. 3)"),
            detail: None,
            hint: None,
        })
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}

impl OutputSettings {
    /// The settings after `SET name = text`, for the five settings of this type in any letter case; `None` for
    /// a name that is none of them.
    ///
    /// # Errors
    /// PostgreSQL's 22023 for a text that is no value of the setting.
    pub fn set(&self, name: &str, text: &str) -> Option<Result<Self, SettingError>> {
        let mut new = self.clone();
        let outcome = match name.to_ascii_lowercase().as_str() {
            "datestyle" => self.datetime.date_style.set(text).map(|value| new.datetime.date_style = value),
            "intervalstyle" => {
                self.datetime.interval_style.set(text).map(|value| new.datetime.interval_style = value)
            }
            "timezone" => self.datetime.time_zone.set(text).map(|value| new.datetime.time_zone = value),
            "extra_float_digits" => ExtraFloatDigits(self.extra_float_digits)
                .set(text)
                .map(|ExtraFloatDigits(value)| new.extra_float_digits = value),
            "bytea_output" => self.bytea_output.set(text).map(|value| new.bytea_output = value),
            _ => return None,
        };
        Some(outcome.map(|()| new))
    }

    /// What SHOW prints for one of the five settings; `None` for another name.
    pub fn show(&self, name: &str) -> Option<String> {
        Some(match name.to_ascii_lowercase().as_str() {
            "datestyle" => self.datetime.date_style.show(),
            "intervalstyle" => self.datetime.interval_style.show(),
            "timezone" => self.datetime.time_zone.show(),
            "extra_float_digits" => ExtraFloatDigits(self.extra_float_digits).show(),
            "bytea_output" => self.bytea_output.show(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(start: DateStyle, text: &str) -> String {
        match start.set(text) {
            Ok(style) => style.show(),
            Err(error) => error.detail.unwrap_or(error.message),
        }
    }

    #[test]
    fn date_style_takes_what_postgresql_takes() {
        let iso_dmy = DateStyle { layout: DateLayout::Iso, order: DateOrder::Dmy };
        let cases = [
            ("foo", "Unrecognized key word: \"foo\"."),
            ("iso, sql", "Conflicting \"datestyle\" specifications."),
            ("dmy,mdy", "Conflicting \"datestyle\" specifications."),
            ("iso,", "List syntax is invalid."),
            ("german", "German, DMY"),
            ("german, mdy", "German, MDY"),
            ("ISO", "ISO, DMY"),
            ("sql, european", "SQL, DMY"),
            (" Postgresql ,us", "Postgres, MDY"),
            ("default", "ISO, MDY"),
            ("", "ISO, DMY"),
            ("noneuropean", "ISO, MDY"),
            ("ymd, sql", "SQL, YMD"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(iso_dmy, text), expected, "{text}");
        }
    }

    #[test]
    fn settings_are_set_and_shown_by_name() {
        let start = OutputSettings::default();
        let cases = [
            ("IntervalStyle", "ISO_8601", "iso_8601"),
            ("timezone", "europe/paris", "Europe/Paris"),
            ("extra_float_digits", "-15", "-15"),
            ("extra_float_digits", "0x2", "2"),
            ("extra_float_digits", "1.5", "2"),
            ("bytea_output", "ESCAPE", "escape"),
        ];
        for (name, text, expected) in cases {
            let new = start.set(name, text).unwrap().unwrap();
            assert_eq!(new.show(name).as_deref(), Some(expected), "{name} = {text}");
        }
        assert_eq!(start.set("work_mem", "1"), None);
    }

    #[test]
    fn refusals_have_postgresql_words() {
        let start = OutputSettings::default();
        let cases = [
            ("intervalstyle", "foo", "invalid value for parameter \"intervalstyle\": \"foo\""),
            ("timezone", "Foo/Bar", "invalid value for parameter \"TimeZone\": \"Foo/Bar\""),
            ("extra_float_digits", "x", "invalid value for parameter \"extra_float_digits\": \"x\""),
            ("extra_float_digits", "1kB", "invalid value for parameter \"extra_float_digits\": \"1kB\""),
            (
                "extra_float_digits",
                "4",
                "4 is outside the valid range for parameter \"extra_float_digits\" (-15 .. 3)",
            ),
            ("bytea_output", "foo", "invalid value for parameter \"bytea_output\": \"foo\""),
        ];
        for (name, text, expected) in cases {
            assert_eq!(start.set(name, text).unwrap().unwrap_err().message, expected);
        }
    }
}
