//! Run-time settings of a session: what `SET`, `SHOW`, `RESET` and the startup packet speak of.
//!
//! Names, defaults and units are PostgreSQL 15's. A setting that has no meaning here is kept, checked and
//! shown all the same, because clients set it and read it back.

use std::collections::BTreeMap;

use crate::error::{PgError, SqlState};

/// What values a setting takes and how they are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `on` or `off`.
    Bool,
    /// A whole number within bounds, in a unit that input may name (`5s`, `64MB`) and output scales to.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// Unit of the number.
        unit: Unit,
    },
    /// A number with a fraction.
    Real,
    /// One of a few words.
    Enum(&'static [&'static str]),
    /// Any text.
    Text,
}

/// Units of whole-number settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A plain number.
    None,
    /// Milliseconds.
    Milliseconds,
    /// Kibibytes.
    Kibibytes,
}

/// One setting as the server knows it.
#[derive(Debug)]
pub struct Definition {
    /// Name as PostgreSQL spells it; compared without case.
    pub name: &'static str,
    /// Value of a new session.
    pub default: &'static str,
    /// Values it takes.
    pub kind: Kind,
    /// Whether a session may change it.
    pub settable: bool,
    /// Whether the client is told of each change.
    pub reported: bool,
    /// One line on what it is.
    pub description: &'static str,
}

const fn define(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, settable: true, reported: false, description }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, settable: true, reported: true, description }
}

const fn fixed(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, settable: false, reported: false, description }
}

const fn fixed_reported(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Definition {
    Definition { name, default, kind, settable: false, reported: true, description }
}

const MILLISECONDS: Kind = Kind::Integer { min: 0, max: i32::MAX as i64, unit: Unit::Milliseconds };
const KIBIBYTES: Kind = Kind::Integer { min: 64, max: i32::MAX as i64, unit: Unit::Kibibytes };
const ISOLATION: Kind = Kind::Enum(&["serializable", "repeatable read", "read committed", "read uncommitted"]);
const MESSAGE_LEVEL: Kind =
    Kind::Enum(&["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"]);
const ON_OFF: Kind = Kind::Bool;

/// Version of PostgreSQL whose behaviour this server follows, as clients parse it.
pub const SERVER_VERSION: &str = "15.8";
/// The same as a number.
pub const SERVER_VERSION_NUM: &str = "150008";

/// Every setting, sorted by name without case.
pub static DEFINITIONS: &[Definition] = &[
    reported("application_name", "", Kind::Text, "name of the client's program"),
    define("backslash_quote", "safe_encoding", Kind::Enum(&["safe_encoding", "on", "off"]), "whether \\' is allowed in string literals"),
    define("bytea_output", "hex", Kind::Enum(&["escape", "hex"]), "output format of bytea"),
    define("check_function_bodies", "on", ON_OFF, "whether routine bodies are checked when created"),
    reported("client_encoding", "UTF8", Kind::Text, "the client's character set"),
    define("client_min_messages", "notice", MESSAGE_LEVEL, "message levels that are sent to the client"),
    define("constraint_exclusion", "partition", Kind::Enum(&["partition", "on", "off"]), "whether constraints are used to optimize queries"),
    define("cursor_tuple_fraction", "0.1", Kind::Real, "fraction of a cursor's rows that will be retrieved"),
    reported("DateStyle", "ISO, MDY", Kind::Text, "display format of dates and times"),
    define("default_statistics_target", "100", Kind::Integer { min: 1, max: 10000, unit: Unit::None }, "default statistics target"),
    define("default_table_access_method", "heap", Kind::Text, "default table access method of new tables"),
    define("default_tablespace", "", Kind::Text, "default tablespace of new tables"),
    define("default_transaction_deferrable", "off", ON_OFF, "default deferrable status of new transactions"),
    define("default_transaction_isolation", "read committed", ISOLATION, "isolation level of new transactions"),
    reported("default_transaction_read_only", "off", ON_OFF, "default read-only status of new transactions"),
    define("enable_seqscan", "on", ON_OFF, "whether sequential scans are planned"),
    define("escape_string_warning", "on", ON_OFF, "whether backslash escapes in ordinary literals are warned of"),
    define("extra_float_digits", "1", Kind::Integer { min: -15, max: 3, unit: Unit::None }, "digits displayed for floating-point values"),
    define("geqo", "on", ON_OFF, "whether genetic query optimization is used"),
    define("idle_in_transaction_session_timeout", "0", MILLISECONDS, "longest idle time within a transaction"),
    define("idle_session_timeout", "0", MILLISECONDS, "longest idle time outside a transaction"),
    fixed_reported("in_hot_standby", "off", ON_OFF, "whether hot standby is active"),
    fixed_reported("integer_datetimes", "on", ON_OFF, "datetimes are integer based"),
    reported("IntervalStyle", "postgres", Kind::Enum(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]), "display format of intervals"),
    reported("is_superuser", "on", ON_OFF, "whether the current user is a superuser"),
    define("jit", "off", ON_OFF, "whether just-in-time compilation is used"),
    fixed("lc_collate", "C", Kind::Text, "collation order"),
    fixed("lc_ctype", "C.UTF-8", Kind::Text, "character classification"),
    define("lc_messages", "C", Kind::Text, "language of messages"),
    define("lc_monetary", "C", Kind::Text, "locale of monetary amounts"),
    define("lc_numeric", "C", Kind::Text, "locale of numbers"),
    define("lc_time", "C", Kind::Text, "locale of dates and times"),
    define("lock_timeout", "0", MILLISECONDS, "longest wait for a lock"),
    define("maintenance_work_mem", "65536", KIBIBYTES, "memory of maintenance operations"),
    fixed("max_connections", "100", Kind::Integer { min: 1, max: 262_143, unit: Unit::None }, "largest number of connections"),
    fixed("max_identifier_length", "63", Kind::Integer { min: 63, max: 63, unit: Unit::None }, "longest identifier"),
    fixed("max_index_keys", "32", Kind::Integer { min: 32, max: 32, unit: Unit::None }, "most index keys"),
    define("max_parallel_workers_per_gather", "2", Kind::Integer { min: 0, max: 1024, unit: Unit::None }, "parallel processes per executor node"),
    define("quote_all_identifiers", "off", ON_OFF, "whether all identifiers are quoted in output"),
    define("row_security", "on", ON_OFF, "whether row security is applied"),
    define("search_path", "\"$user\", public", Kind::Text, "schemas searched for unqualified names"),
    fixed_reported("server_encoding", "UTF8", Kind::Text, "the server's character set"),
    fixed_reported("server_version", SERVER_VERSION, Kind::Text, "server version"),
    fixed("server_version_num", SERVER_VERSION_NUM, Kind::Integer { min: 0, max: 999_999, unit: Unit::None }, "server version as a number"),
    reported("session_authorization", "", Kind::Text, "the session's user"),
    fixed("ssl", "on", ON_OFF, "whether connections may use TLS"),
    reported("standard_conforming_strings", "on", ON_OFF, "whether '...' strings treat backslashes literally"),
    define("statement_timeout", "0", MILLISECONDS, "longest time of a statement"),
    define("synchronize_seqscans", "on", ON_OFF, "whether sequential scans are synchronized"),
    define("synchronous_commit", "on", Kind::Enum(&["local", "remote_write", "remote_apply", "on", "off"]), "synchronization level of transactions"),
    define("tcp_keepalives_idle", "0", Kind::Integer { min: 0, max: i32::MAX as i64, unit: Unit::None }, "seconds before a TCP keepalive"),
    define("temp_tablespaces", "", Kind::Text, "tablespaces of temporary tables"),
    reported("TimeZone", "UTC", Kind::Text, "time zone of displayed and interpreted timestamps"),
    define("timezone_abbreviations", "Default", Kind::Text, "time zone abbreviations"),
    define("transaction_deferrable", "off", ON_OFF, "deferrable status of the transaction"),
    define("transaction_isolation", "read committed", ISOLATION, "isolation level of the transaction"),
    define("transaction_read_only", "off", ON_OFF, "read-only status of the transaction"),
    define("work_mem", "4096", KIBIBYTES, "memory of a query's operations"),
    define("xmloption", "content", Kind::Enum(&["content", "document"]), "whether XML data are documents"),
];

/// The definition of a setting, by its name without case.
pub fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|definition| definition.name.eq_ignore_ascii_case(name))
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
        own.or_else(|| definition(name).map(|definition| definition.default))
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
        let unit = match definition(name).map(|definition| definition.kind) {
            Some(Kind::Integer { unit, .. }) => unit,
            _ => Unit::None,
        };
        Ok(with_unit(value, unit))
    }

    /// Checks and sets; gives the definition's spelling of the name and the new value, for reporting.
    ///
    /// # Errors
    /// 42704 for a name that is not known, 22023 for a value it does not take, 55P02 for one that is fixed.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), PgError> {
        if let Some(definition) = definition(name)
            && !definition.settable
        {
            return Err(PgError::with_state(SqlState::CANT_CHANGE_RUNTIME_PARAM,
                format!("parameter \"{}\" cannot be changed", definition.name),
            ));
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

    /// Every known setting with its current value as SHOW prints it, sorted by name.
    pub fn all(&self) -> Vec<(&'static Definition, String)> {
        DEFINITIONS
            .iter()
            .map(|definition| (definition, self.show(definition.name).unwrap_or_default()))
            .collect()
    }

    /// Settings that the client is told of, with their values.
    pub fn reported(&self) -> impl Iterator<Item = (&'static str, &str)> {
        DEFINITIONS
            .iter()
            .filter(|definition| definition.reported)
            .map(|definition| (definition.name, self.value(definition.name)))
    }

    /// A duration setting in milliseconds, `None` where it is off.
    pub fn milliseconds(&self, name: &str) -> Option<u64> {
        self.value(name).parse().ok().filter(|milliseconds| *milliseconds > 0)
    }

    /// Schemas of `search_path` in order, `"$user"` replaced.
    pub fn search_path(&self, user: &str) -> Vec<String> {
        split_identifiers(self.value("search_path"))
            .into_iter()
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
    PgError::with_state(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""))
}

fn invalid(definition: &Definition, value: &str) -> PgError {
    PgError::with_state(SqlState::INVALID_PARAMETER_VALUE,
        format!("invalid value for parameter \"{}\": \"{value}\"", definition.name),
    )
}

/// Key and normal form of a value; a name with a dot is a custom setting and takes anything.
fn checked(name: &str, value: &str) -> Result<(String, String), PgError> {
    let key = name.to_ascii_lowercase();
    let Some(definition) = definition(name) else {
        return if name.contains('.') { Ok((key, value.to_owned())) } else { Err(unrecognized(name)) };
    };
    let value = match definition.kind {
        Kind::Bool => match parse_bool(value) {
            Some(on) => if on { "on" } else { "off" }.to_owned(),
            None => {
                let message = format!("parameter \"{}\" requires a Boolean value", definition.name);
                return Err(PgError::with_state(SqlState::INVALID_PARAMETER_VALUE, message));
            }
        },
        Kind::Integer { min, max, unit } => {
            let number = parse_integer(value, unit).ok_or_else(|| invalid(definition, value))?;
            if !(min..=max).contains(&number) {
                let unit = if unit == Unit::Milliseconds { " ms" } else if unit == Unit::Kibibytes { " kB" } else { "" };
                let message = format!(
                    "{number}{unit} is outside the valid range for parameter \"{}\" ({min} .. {max})",
                    definition.name
                );
                return Err(PgError::with_state(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            number.to_string()
        }
        Kind::Real => {
            let number: f64 = value.trim().parse().map_err(|_| invalid(definition, value))?;
            number.to_string()
        }
        Kind::Enum(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
            Some(word) => (*word).to_owned(),
            // A Boolean word stands for the matching word of a setting that has on and off.
            None => match parse_bool(value).map(|on| if on { "on" } else { "off" }) {
                Some(word) if words.contains(&word) => word.to_owned(),
                _ => {
                    let hint = format!("Available values: {}.", words.join(", "));
                    return Err(invalid(definition, value).hint(hint));
                }
            },
        },
        Kind::Text => match key.as_str() {
            "client_encoding" => client_encoding(value).ok_or_else(|| invalid(definition, value))?,
            "timezone" => time_zone(value).ok_or_else(|| invalid(definition, value))?,
            "datestyle" => date_style(value).ok_or_else(|| invalid(definition, value))?,
            _ => value.to_owned(),
        },
    };
    Ok((key, value))
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

fn parse_integer(value: &str, unit: Unit) -> Option<i64> {
    let value = value.trim();
    let digits = value.find(|c: char| !(c.is_ascii_digit() || c == '-' || c == '+' || c == '.')).unwrap_or(value.len());
    let (number, suffix) = value.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match (unit, suffix.trim()) {
        (_, "") => 1.0,
        (Unit::Milliseconds, "us") => 0.001,
        (Unit::Milliseconds, "ms") => 1.0,
        (Unit::Milliseconds, "s") => 1e3,
        (Unit::Milliseconds, "min") => 6e4,
        (Unit::Milliseconds, "h") => 3.6e6,
        (Unit::Milliseconds, "d") => 8.64e7,
        (Unit::Kibibytes, "B") => 1.0 / 1024.0,
        (Unit::Kibibytes, "kB") => 1.0,
        (Unit::Kibibytes, "MB") => 1024.0,
        (Unit::Kibibytes, "GB") => 1_048_576.0,
        (Unit::Kibibytes, "TB") => 1_073_741_824.0,
        _ => return None,
    };
    let scaled = (number * factor).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^53")]
    (scaled.abs() < 9e15).then_some(scaled as i64)
}

fn with_unit(value: &str, unit: Unit) -> String {
    let Ok(number) = value.parse::<i64>() else { return value.to_owned() };
    let units: &[(i64, &str)] = match unit {
        Unit::None => return value.to_owned(),
        Unit::Milliseconds => &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms")],
        Unit::Kibibytes => &[(1_073_741_824, "TB"), (1_048_576, "GB"), (1024, "MB"), (1, "kB")],
    };
    if number == 0 {
        return "0".to_owned();
    }
    let fitting = units.iter().find(|(size, _)| number % size == 0);
    fitting.map_or_else(|| value.to_owned(), |(size, name)| format!("{}{name}", number / size))
}

fn client_encoding(value: &str) -> Option<String> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
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
    if value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") {
        return Some("UTC".to_owned());
    }
    if let Some(zone) = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(value)) {
        return Some(zone.name().to_owned());
    }
    let hours: f64 = value.parse().ok().filter(|hours: &f64| hours.abs() <= 14.0)?;
    let minutes = (hours * 60.0).round();
    // POSIX spelling: the sign says how far UTC is ahead of local time, so it is the other way round.
    let sign = if minutes < 0.0 { '-' } else { '+' };
    let posix = if minutes < 0.0 { '+' } else { '-' };
    let (h, m) = ((minutes.abs() / 60.0).floor(), minutes.abs() % 60.0);
    Some(if m == 0.0 { format!("<{sign}{h:02}>{posix}{h:02}") } else { format!("<{sign}{h:02}:{m:02}>{posix}{h:02}:{m:02}") })
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
    fn definitions_are_sorted_and_take_their_own_defaults() {
        let names: Vec<_> = DEFINITIONS.iter().map(|d| d.name.to_lowercase()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for d in DEFINITIONS {
            let (_, value) = checked(d.name, d.default).unwrap();
            assert_eq!(value, d.default, "{}", d.name);
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
        let mut s = Settings::default();
        assert_eq!(s.search_path("ann"), ["ann", "public"]);
        s.set("search_path", "A, \"B c\" ,public").unwrap();
        assert_eq!(s.search_path("ann"), ["a", "B c", "public"]);
    }
}
