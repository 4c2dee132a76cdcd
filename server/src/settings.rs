//! Run-time settings of a session: what `SET`, `SHOW`, `RESET` and the startup packet speak of.
//!
//! Names, defaults and units are PostgreSQL 15's. A setting that has no meaning here is kept, checked and
//! shown all the same, because clients set it and read it back.

use std::collections::BTreeMap;

use quickdb_executor::datetime::TimeZone;

use crate::error::{PgError, SqlState};
use crate::pg_catalog::{BuiltinSetting, setting, settings, shown};

/// Settings whose changes the client is told of, by the `ParameterStatus` message.
const REPORTED: [&str; 14] = [
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
    "search_path",
];

/// Settings that exist and are in no list, because the session itself keeps them.
const UNLISTED: [&str; 3] = ["is_superuser", "session_authorization", "role"];

fn is_unlisted(name: &str) -> bool {
    UNLISTED.iter().any(|unlisted| unlisted.eq_ignore_ascii_case(name))
}

/// A setting's name as PostgreSQL spells it.
pub fn spelling(name: &str) -> String {
    setting(name).map_or_else(|| name.to_ascii_lowercase(), |setting| setting.name.to_owned())
}

/// The values of one session.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Values that differ from the session's start, by the name's lower case.
    values: BTreeMap<String, String>,
    /// Values that the session started with (from the role, the startup packet), which RESET goes back to.
    session_defaults: BTreeMap<String, String>,
}

impl Settings {
    /// Settings whose startup values are `overrides`, checked as SET checks them.
    ///
    /// # Errors
    /// 42704 for a name that is not known, 22023 for a value that a setting does not take.
    pub fn with_startup(overrides: impl IntoIterator<Item = (String, String)>) -> Result<Self, PgError> {
        let mut settings = Self::default();
        for (name, value) in overrides {
            let (name, value) = checked(&name, &value)?;
            settings.session_defaults.insert(name, value);
        }
        Ok(settings)
    }

    /// Fixes a value from the server's side, without check.
    pub fn force(&mut self, name: &str, value: &str) {
        self.session_defaults.insert(name.to_ascii_lowercase(), value.to_owned());
    }

    /// Current value in its base unit, or `None` for a name that is not known.
    pub fn get(&self, name: &str) -> Option<&str> {
        let key = name.to_ascii_lowercase();
        let own = self.values.get(&key).or_else(|| self.session_defaults.get(&key)).map(String::as_str);
        own.or_else(|| setting(name).map(|setting| setting.default))
            .or_else(|| is_unlisted(name).then_some("none"))
    }

    /// Current value of a setting that is known to exist, in its base unit.
    pub fn value(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Value as SHOW prints it: with the largest unit that divides it.
    ///
    /// # Errors
    /// 42704 for a name that is not known.
    pub fn show(&self, name: &str) -> Result<String, PgError> {
        let value = self.get(name).ok_or_else(|| unrecognized(name))?;
        Ok(shown(value, setting(name).map_or("", |setting| setting.unit)))
    }

    /// Checks and sets; gives the definition's spelling of the name and the new value, for reporting.
    ///
    /// # Errors
    /// 42704 for a name that is not known, 22023 for a value it does not take, 55P02 for one that is fixed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PgError> {
        let context = setting(name).map_or("user", |setting| setting.context);
        let refusal = match context {
            "user" | "superuser" if !is_unlisted(name) => None,
            "postmaster" => Some("cannot be changed without restarting the server"),
            "sighup" => Some("cannot be changed now"),
            "backend" | "superuser-backend" => Some("cannot be set after connection start"),
            _ => Some("cannot be changed"),
        };
        if let Some(refusal) = refusal {
            let message = format!("parameter \"{}\" {refusal}", spelling(name));
            return Err(PgError::with_state(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        let (name, value) = checked(name, value)?;
        self.values.insert(name, value);
        Ok(())
    }

    /// Back to the value that the session started with.
    ///
    /// # Errors
    /// 42704 for a name that is not known.
    pub fn reset(&mut self, name: &str) -> Result<(), PgError> {
        if self.get(name).is_none() {
            return Err(unrecognized(name));
        }
        self.values.remove(&name.to_ascii_lowercase());
        Ok(())
    }

    /// Everything back to what the session started with.
    pub fn reset_all(&mut self) {
        self.values.clear();
    }

    /// Every listed setting with its current value as SHOW prints it, sorted by name.
    pub fn all(&self) -> Vec<(&'static BuiltinSetting, String)> {
        let mut all: Vec<_> =
            settings().iter().map(|setting| (setting, self.show(setting.name).unwrap_or_default())).collect();
        all.sort_by_key(|(setting, _)| setting.name.to_ascii_lowercase());
        all
    }

    /// Settings that the client is told of, with their values.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        REPORTED.into_iter().map(|name| (name, self.value(name)))
    }

    /// A duration setting in milliseconds, `None` where it is off.
    pub fn milliseconds(&self, name: &str) -> Option<u64> {
        self.value(name).parse().ok().filter(|milliseconds| *milliseconds > 0)
    }

    /// The schemas where bare names are sought, as `search_path` lists them; whether they exist is another question.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        split_identifiers(self.value("search_path"))
            .into_iter()
            .filter(|schema| schema != "$user" || !crate::pg_catalog::SYSTEM_SCHEMAS.contains(&user))
            .map(|schema| if schema == "$user" { user.to_owned() } else { schema })
            .collect()
    }
}

/// A list of identifiers as `search_path` holds it: unquoted ones fold to lower case.
pub fn split_identifiers(list: &str) -> Vec<String> {
    let mut identifiers = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (identifier, after) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').unwrap_or(quoted.len());
                let (identifier, after) = quoted.split_at(end);
                (identifier.to_owned(), after.strip_prefix('"').unwrap_or(after))
            }
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (identifier, after) = rest.split_at(end);
                (identifier.trim().to_lowercase(), after)
            }
        };
        if !identifier.is_empty() {
            identifiers.push(identifier);
        }
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    identifiers
}

fn unrecognized(name: &str) -> PgError {
    PgError::with_state(
        SqlState::UNDEFINED_OBJECT,
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

fn invalid(setting: &BuiltinSetting, value: &str) -> PgError {
    PgError::with_state(
        SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", setting.name),
    )
}

/// Key and normal form of a value; a name with a dot is a custom setting and takes anything.
fn checked(name: &str, value: &str) -> Result<(String, String), PgError> {
    let key = name.to_ascii_lowercase();
    let Some(setting) = setting(name) else {
        let known = name.contains('.') || is_unlisted(name);
        return if known { Ok((key, value.to_owned())) } else { Err(unrecognized(name)) };
    };
    let value = match setting.kind {
        "bool" => match parse_bool(value) {
            Some(on) => if on { "on" } else { "off" }.to_owned(),
            None => {
                let message = format!("parameter \"{}\" requires a Boolean value", setting.name);
                return Err(PgError::with_state(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        },
        "integer" => integer(setting, value)?,
        "real" => {
            let number: f64 = value.trim().parse().map_err(|_| invalid(setting, value))?;
            number.to_string()
        }
        "enum" => word(setting, value)?,
        _ => match key.as_str() {
            "client_encoding" => client_encoding(value).ok_or_else(|| invalid(setting, value))?,
            "timezone" => time_zone(value).ok_or_else(|| invalid(setting, value))?,
            "datestyle" => date_style(value).ok_or_else(|| invalid(setting, value))?,
            _ => value.to_owned(),
        },
    };
    Ok((key, value))
}

fn integer(setting: &BuiltinSetting, value: &str) -> Result<String, PgError> {
    let number = parse_integer(value, setting.unit).ok_or_else(|| invalid(setting, value))?;
    let bound = |text: &str, none| text.parse().unwrap_or(none);
    let (min, max) = (bound(setting.min, i64::MIN), bound(setting.max, i64::MAX));
    if !(min..=max).contains(&number) {
        let unit = if setting.unit.is_empty() { String::new() } else { format!(" {}", setting.unit) };
        let message = format!(
            "{number}{unit} is outside the valid range for parameter \"{}\" ({min}{unit} .. {max}{unit})",
            setting.name
        );
        return Err(PgError::with_state(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    Ok(number.to_string())
}

fn word(setting: &BuiltinSetting, value: &str) -> Result<String, PgError> {
    let words: Vec<&str> = setting.values.split(',').collect();
    if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
        return Ok((*word).to_owned());
    }
    // A Boolean word stands for the matching word of a setting that has on and off.
    match parse_bool(value).map(|on| if on { "on" } else { "off" }) {
        Some(word) if words.contains(&word) => Ok(word.to_owned()),
        _ => Err(invalid(setting, value).hint(format!("Available values: {}.", words.join(", ")))),
    }
}

/// PostgreSQL's Boolean words, and their unique prefixes.
pub fn parse_bool(value: &str) -> Option<bool> {
    let value = value.trim().to_ascii_lowercase();
    match value.as_str() {
        "on" | "1" => Some(true),
        "off" | "of" | "0" => Some(false),
        "" => None,
        word if "true".starts_with(word) || "yes".starts_with(word) => Some(true),
        word if "false".starts_with(word) || "no".starts_with(word) => Some(false),
        _ => None,
    }
}

/// A whole number in the setting's unit, from input that may name another unit of the same kind.
fn parse_integer(value: &str, unit: &str) -> Option<i64> {
    let value = value.trim();
    let digits = value
        .find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '+' || c == '.'))
        .unwrap_or(value.len());
    let (number, suffix) = value.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix.trim() {
        "" => 1.0,
        suffix => unit_size(suffix)? / unit_size(unit)?,
    };
    let same_kind = suffix.trim().is_empty() || is_time(suffix.trim()) == is_time(unit);
    let scaled = (number * factor).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^53")]
    (same_kind && scaled.abs() < 9e15).then_some(scaled as i64)
}

fn is_time(unit: &str) -> bool {
    matches!(unit, "us" | "ms" | "s" | "min" | "h" | "d")
}

/// A unit in microseconds or bytes.
fn unit_size(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "min" => 6e7,
        "h" => 3.6e9,
        "d" => 8.64e10,
        "B" => 1.0,
        "kB" => 1024.0,
        "8kB" => 8192.0,
        "MB" => 1_048_576.0,
        "GB" => 1_073_741_824.0,
        "TB" => 1_099_511_627_776.0,
        _ => return None,
    })
}

fn client_encoding(value: &str) -> Option<String> {
    let plain: String =
        value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    match plain.as_str() {
        "utf8" | "unicode" => Some("UTF8".to_owned()),
        // Text that is ASCII alone reads the same in UTF-8.
        "sqlascii" => Some("SQL_ASCII".to_owned()),
        _ => None,
    }
}

/// A zone's full name in its own spelling, or a fixed offset as PostgreSQL writes it back.
fn time_zone(value: &str) -> Option<String> {
    let value = value.trim();
    if value.eq_ignore_ascii_case("default") {
        return Some("UTC".to_owned());
    }
    TimeZone::parse(value).map(|zone| zone.name().to_owned())
}

/// `ISO`, `ISO, DMY`, `German`: style and field order, each kept where the other alone is given.
fn date_style(value: &str) -> Option<String> {
    let (mut style, mut order) = ("ISO", "MDY");
    for word in value.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.to_ascii_lowercase().as_str() {
            "iso" => style = "ISO",
            "sql" => style = "SQL",
            "postgres" => style = "Postgres",
            "german" => (style, order) = ("German", "DMY"),
            "mdy" | "us" | "noneuropean" | "noneuro" => order = "MDY",
            "dmy" | "euro" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            "default" => (style, order) = ("ISO", "MDY"),
            _ => return None,
        }
    }
    Some(format!("{style}, {order}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_take_their_own_defaults() {
        for known in settings() {
            let (_, value) = checked(known.name, known.default).unwrap();
            assert_eq!(value, known.default, "{}", known.name);
        }
        for name in REPORTED {
            assert!(Settings::default().get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn values_are_checked_and_normalized_like_postgres() {
        let mut s = Settings::default();
        for (name, value, shown) in [
            ("statement_timeout", "5s", "5s"),
            ("statement_timeout", "90000", "90s"),
            ("statement_timeout", "0", "0"),
            ("work_mem", "64MB", "64MB"),
            ("work_mem", "100kB", "100kB"),
            ("datestyle", "german", "German, DMY"),
            ("DateStyle", "ISO", "ISO, MDY"),
            ("timezone", "europe/berlin", "Europe/Berlin"),
            ("TIMEZONE", "-5", "<-05>+05"),
            ("client_encoding", "utf-8", "UTF8"),
            ("extra_float_digits", "3", "3"),
            ("default_transaction_read_only", "yes", "on"),
            ("myapp.user", "x", "x"),
        ] {
            s.set(name, value).unwrap();
            assert_eq!(s.show(name).unwrap(), shown, "{name} = {value}");
        }
        for (name, value, code) in [
            ("no_such", "1", "42704"),
            ("statement_timeout", "x", "22023"),
            ("statement_timeout", "-1", "22023"),
            ("extra_float_digits", "99", "22023"),
            ("bytea_output", "base64", "22023"),
            ("jit", "maybe", "22023"),
            ("timezone", "Mars/Olympus", "22023"),
            ("client_encoding", "klingon", "22023"),
            ("server_version", "9", "55P02"),
        ] {
            assert_eq!(s.set(name, value).unwrap_err().sqlstate.0, code, "{name} = {value}");
        }
        s.reset("datestyle").unwrap();
        assert_eq!(s.show("datestyle").unwrap(), "ISO, MDY");
    }

    #[test]
    fn startup_values_are_what_reset_goes_back_to() {
        let mut s = Settings::with_startup([("TimeZone".to_owned(), "Asia/Tokyo".to_owned())]).unwrap();
        s.set("timezone", "UTC").unwrap();
        s.reset_all();
        assert_eq!(s.value("timezone"), "Asia/Tokyo");
    }

    #[test]
    fn search_path_splits_as_identifiers() {
        let s = Settings::default();
        assert_eq!(split_identifiers(s.value("search_path")), ["$user", "public"]);
        assert_eq!(split_identifiers("A, \"B c\" ,public"), ["a", "B c", "public"]);
    }
}
