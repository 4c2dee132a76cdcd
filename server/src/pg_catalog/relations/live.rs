//! Relations that show the session and the server as they run.

use chrono::{Offset, TimeZone, Utc};

use crate::pg_catalog::builtin;
use crate::pg_catalog::relation::RowSource;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_settings"), settings),
    (("pg_catalog", "pg_stat_activity"), activity),
    (("pg_catalog", "pg_stat_ssl"), encryption),
    (("pg_catalog", "pg_stat_gssapi"), kerberos),
    (("pg_catalog", "pg_prepared_statements"), prepared_statements),
    (("pg_catalog", "pg_cursors"), cursors),
    (("pg_catalog", "pg_timezone_names"), timezone_names),
    (("pg_catalog", "pg_timezone_abbrevs"), timezone_abbreviations),
];

fn settings(view: &SessionView, rows: &mut Rows) {
    let superuser = view.current_user().superuser;
    for setting in builtin::settings() {
        let set = view.facts.settings.get(setting.name);
        // The relation has the plain number in the setting's unit, not what `SHOW` makes of it.
        let value = set.map_or_else(|| setting.default.to_owned(), |shown| in_unit(shown, setting.unit));
        let none_if_empty = |text: &'static str| Datum::from(Some(text).filter(|text| !text.is_empty()));
        let values = Some(setting.values).filter(|values| !values.is_empty());
        let source = if setting.context == "internal" { "override" } else { "default" };
        let secret = matches!(setting.context, "superuser-backend") && !superuser;
        if secret {
            continue;
        }
        rows.push([
            ("name", setting.name.into()),
            ("setting", value.into()),
            ("unit", none_if_empty(setting.unit)),
            ("category", setting.category.into()),
            ("short_desc", "".into()),
            ("context", setting.context.into()),
            ("vartype", setting.kind.into()),
            ("source", if set.is_some() { "session" } else { source }.into()),
            ("min_val", none_if_empty(setting.min)),
            ("max_val", none_if_empty(setting.max)),
            ("enumvals", values.map(|values| Datum::list(values.split(','))).into()),
            ("boot_val", setting.default.into()),
            ("reset_val", setting.default.into()),
            ("pending_restart", false.into()),
        ]);
    }
    // Settings with a dot in their name are the client's own.
    for (name, value) in view.facts.settings.iter().filter(|(name, _)| name.contains('.')) {
        rows.push([
            ("name", name.into()),
            ("setting", value.into()),
            ("category", "Customized Options".into()),
            ("short_desc", "".into()),
            ("context", "user".into()),
            ("vartype", "string".into()),
            ("source", "session".into()),
            ("reset_val", "".into()),
            ("pending_restart", false.into()),
        ]);
    }
}

/// `4MB` as `4096` where the unit is kB; texts and numbers without a unit stay.
fn in_unit(shown: &str, unit: &str) -> String {
    let digits = shown.find(|letter: char| !letter.is_ascii_digit() && letter != '-').unwrap_or(shown.len());
    let (number, suffix) = shown.split_at(digits);
    let (Ok(number), false) = (number.parse::<i64>(), suffix.is_empty() || unit.is_empty()) else {
        return shown.to_owned();
    };
    let scale = |name: &str| {
        Some(match name {
            "B" | "ms" => 1,
            "kB" => 1 << 10,
            "8kB" => 8 << 10,
            "MB" => 1 << 20,
            "GB" => 1 << 30,
            "TB" => 1_i64 << 40,
            "s" => 1_000,
            "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        })
    };
    match (scale(suffix), scale(unit)) {
        (Some(from), Some(to)) => (number.saturating_mul(from) / to).to_string(),
        _ => shown.to_owned(),
    }
}

/// What TLS protects; which version and cipher the client knows.
fn encryption(view: &SessionView, rows: &mut Rows) {
    for session in view.facts.live.sessions() {
        rows.push([("pid", session.pid.into()), ("ssl", session.is_encrypted.into())]);
    }
}

/// Nobody comes by GSSAPI.
fn kerberos(view: &SessionView, rows: &mut Rows) {
    for session in view.facts.live.sessions() {
        rows.push([
            ("pid", session.pid.into()),
            ("gss_authenticated", false.into()),
            ("encrypted", false.into()),
        ]);
    }
}

fn activity(view: &SessionView, rows: &mut Rows) {
    let current = view.current_user();
    for session in view.facts.live.sessions() {
        let role = view.snapshot.role(&session.user).map(|role| role.oid);
        let database = view.snapshot.databases.iter().find(|database| database.name == session.database);
        // Others' statements are for superusers, as in PostgreSQL.
        let visible = current.superuser || role == Some(current.oid);
        let shown = |value: Datum| if visible { value } else { Datum::Null };
        let query = if visible { session.query.into() } else { Datum::from("<insufficient privilege>") };
        let (address, port) = match session.client_address {
            Some((address, port)) => (Datum::from(address), Datum::Int(port.into())),
            None => (Datum::Null, Datum::Int(-1)),
        };
        rows.push([
            ("datid", database.map(|database| database.oid).into()),
            ("datname", session.database.into()),
            ("pid", session.pid.into()),
            ("usesysid", role.into()),
            ("usename", session.user.into()),
            ("application_name", shown(session.application_name.into())),
            ("client_addr", shown(address)),
            ("client_port", shown(port)),
            ("backend_start", shown(session.started_us.into())),
            ("xact_start", shown(session.transaction_started_us.into())),
            ("query_start", shown(session.query_started_us.into())),
            ("state_change", shown(session.state_changed_us.into())),
            ("state", shown(session.state.into())),
            ("query", query),
            ("backend_type", shown("client backend".into())),
        ]);
    }
}

fn prepared_statements(view: &SessionView, rows: &mut Rows) {
    for statement in view.facts.live.prepared_statements() {
        rows.push([
            ("name", statement.name.into()),
            ("statement", statement.statement.into()),
            ("prepare_time", statement.prepared_us.into()),
            ("parameter_types", Datum::list(statement.parameter_types)),
            ("from_sql", statement.from_sql.into()),
            ("generic_plans", Datum::Int(0)),
            ("custom_plans", Datum::Int(0)),
        ]);
    }
}

fn cursors(view: &SessionView, rows: &mut Rows) {
    for cursor in view.facts.live.cursors() {
        rows.push([
            ("name", cursor.name.into()),
            ("statement", cursor.statement.into()),
            ("is_holdable", cursor.is_holdable.into()),
            ("is_binary", cursor.is_binary.into()),
            ("is_scrollable", cursor.is_scrollable.into()),
            ("creation_time", cursor.opened_us.into()),
        ]);
    }
}

fn timezone_names(_: &SessionView, rows: &mut Rows) {
    use chrono_tz::OffsetName;

    let now = Utc::now().naive_utc();
    for zone in chrono_tz::TZ_VARIANTS {
        let offset = zone.offset_from_utc_datetime(&now);
        let seconds = i64::from(offset.fix().local_minus_utc());
        let is_dst = chrono_tz::OffsetComponents::dst_offset(&offset) != chrono::TimeDelta::zero();
        // Zones without letters are abbreviated by their offset, as in the zone files.
        let abbreviation = offset.abbreviation().map_or_else(|| offset.fix().to_string(), str::to_owned);
        rows.push([
            ("name", zone.name().into()),
            ("abbrev", abbreviation.into()),
            ("utc_offset", (seconds * 1_000_000).into()),
            ("is_dst", is_dst.into()),
        ]);
    }
}

fn timezone_abbreviations(_: &SessionView, rows: &mut Rows) {
    for (abbreviation, hours, is_dst) in [
        ("CEST", 2, true),
        ("CET", 1, false),
        ("EDT", -4, true),
        ("EST", -5, false),
        ("CDT", -5, true),
        ("CST", -6, false),
        ("GMT", 0, false),
        ("JST", 9, false),
        ("MDT", -6, true),
        ("MST", -7, false),
        ("PDT", -7, true),
        ("PST", -8, false),
        ("UTC", 0, false),
        ("Z", 0, false),
    ] {
        rows.push([
            ("abbrev", abbreviation.into()),
            ("utc_offset", Datum::Int(hours * 3_600_000_000)),
            ("is_dst", is_dst.into()),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_back_to_the_unit_of_the_relation() {
        for (shown, unit, expected) in [
            ("4MB", "kB", "4096"),
            ("1min", "s", "60"),
            ("1s", "ms", "1000"),
            ("0", "ms", "0"),
            ("on", "", "on"),
        ] {
            assert_eq!(in_unit(shown, unit), expected);
        }
        assert_eq!(in_unit("UTC", ""), "UTC");
    }
}
