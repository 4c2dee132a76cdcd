//! What the catalogue's relations and functions see: a snapshot of the catalogue and the facts of one session.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use quickdb_storage::ShardId;

use super::acl::Grantee;
use super::builtin;
use super::error::{FunctionError, FunctionResult, Mistake};
use super::function_list::FunctionList;
use crate::catalogue::{CatalogueSnapshot, Sequence, SequenceValue, Table};
use crate::layouts::LayoutsByShard;

/// The facts of a session that its catalogue shows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// The user whose privileges count: `current_user`.
    pub user: String,
    /// The user who connected: `session_user`.
    pub session_user: String,
    /// The database.
    pub database: String,
    /// The process id that the client knows the session by.
    pub backend_pid: i32,
    /// The settings that differ from their default, by name as `SHOW ALL` spells it, as `SHOW` prints them.
    pub settings: Arc<BTreeMap<String, String>>,
    /// When the server started: microseconds since 1970.
    pub server_started_us: i64,
    /// The number of the current transaction.
    pub transaction_id: u64,
    /// The client's address; `None` for a local one.
    pub client_address: Option<(String, u16)>,
    /// The address that the client came to; `None` for a local one.
    pub server_address: Option<(String, u16)>,
    /// What is going on, asked when a relation that shows it is read.
    pub live: Arc<dyn LiveFacts>,
}

impl SessionFacts {
    /// The facts of a session of `user` that nothing else is known of.
    pub fn of_user(user: &str, database: &str) -> Self {
        Self {
            user: user.to_owned(),
            session_user: user.to_owned(),
            database: database.to_owned(),
            backend_pid: 0,
            settings: Arc::default(),
            server_started_us: 0,
            transaction_id: 0,
            client_address: None,
            server_address: None,
            live: Arc::new(NothingLive),
        }
    }
}

/// What changes while a session lives and only the server knows.
#[async_trait]
pub trait LiveFacts: Debug + Send + Sync {
    /// The open sessions.
    fn sessions(&self) -> Vec<SessionActivity> {
        Vec::new()
    }

    /// The session's prepared statements.
    fn prepared_statements(&self) -> Vec<PreparedStatementFacts> {
        Vec::new()
    }

    /// The session's open cursors.
    fn cursors(&self) -> Vec<CursorFacts> {
        Vec::new()
    }

    /// Changes a setting, `None` to its default; how it is shown then.
    ///
    /// # Errors
    /// SQLSTATE and message of a setting that is not there or does not take the value.
    fn configure(&self, name: &str, _value: Option<&str>, _local: bool) -> Result<String, (String, String)> {
        Err(("42704".to_owned(), format!("unrecognized configuration parameter \"{name}\"")))
    }

    /// Stops the statement of the session with that process id; whether there is such a session.
    fn cancel(&self, _pid: i32) -> bool {
        false
    }

    /// The next value of a sequence, which the session remembers.
    ///
    /// # Errors
    /// The sequence's end.
    fn next_value(&self, sequence: &Sequence) -> FunctionResult<i64> {
        Err(FunctionError::new(Mistake::Unsupported, format!("sequence \"{}\" has no values", sequence.name)))
    }

    /// The value of a sequence that the session got last.
    fn current_value(&self, _oid: u32) -> Option<i64> {
        None
    }

    /// The sequence of which the session got a value last.
    fn last_sequence(&self) -> Option<u32> {
        None
    }

    /// Where a sequence stands.
    fn sequence_value(&self, _sequence: &Sequence) -> Option<SequenceValue> {
        None
    }

    /// Makes a sequence stand elsewhere.
    ///
    /// # Errors
    /// The catalogue's.
    fn set_value(&self, sequence: &Sequence, _value: SequenceValue) -> FunctionResult<()> {
        Err(FunctionError::new(Mistake::Unsupported, format!("sequence \"{}\" has no values", sequence.name)))
    }

    /// Ends the session with that process id; whether there is one.
    fn terminate(&self, _pid: i32) -> bool {
        false
    }

    /// The encodings of the columns of each shard, by their numbers; shards that nobody can ask for are missing.
    async fn layouts(
        &self,
        _snapshot: &CatalogueSnapshot,
    ) -> HashMap<ShardId, Arc<HashMap<u32, Vec<String>>>> {
        HashMap::new()
    }
}

/// A session about which nothing is known.
#[derive(Debug)]
pub struct NothingLive;

impl LiveFacts for NothingLive {}

/// A row of `pg_stat_activity`. Times are microseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct SessionActivity {
    /// The process id that the client knows the session by.
    pub pid: i32,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// What the client calls itself.
    pub application_name: String,
    /// The client's address; `None` for a local one.
    pub client_address: Option<(String, u16)>,
    /// Whether TLS protects the connection.
    pub is_encrypted: bool,
    /// When the session began.
    pub started_us: i64,
    /// When its transaction began.
    pub transaction_started_us: Option<i64>,
    /// When its last statement began.
    pub query_started_us: Option<i64>,
    /// When its state changed.
    pub state_changed_us: Option<i64>,
    /// `active`, `idle`, `idle in transaction` or `idle in transaction (aborted)`.
    pub state: String,
    /// The last statement.
    pub query: String,
}

/// A row of `pg_prepared_statements`.
#[derive(Debug, Clone)]
pub struct PreparedStatementFacts {
    /// Its name.
    pub name: String,
    /// The text that prepared it.
    pub statement: String,
    /// When: microseconds since 1970.
    pub prepared_us: i64,
    /// The parameters' types, as OIDs.
    pub parameter_types: Vec<u32>,
    /// Whether SQL's `PREPARE` made it, and not the protocol.
    pub from_sql: bool,
}

/// A row of `pg_cursors`.
#[derive(Debug, Clone)]
pub struct CursorFacts {
    /// Its name.
    pub name: String,
    /// The text that declared it.
    pub statement: String,
    /// Whether it outlives its transaction.
    pub is_holdable: bool,
    /// Whether it gives binary values.
    pub is_binary: bool,
    /// Whether it goes backwards.
    pub is_scrollable: bool,
    /// When it was opened: microseconds since 1970.
    pub opened_us: i64,
}

/// All that a catalogue relation or function can see.
#[derive(Debug)]
pub(super) struct SessionView {
    pub(super) snapshot: Arc<CatalogueSnapshot>,
    pub(super) facts: SessionFacts,
    pub(super) functions: Arc<FunctionList>,
    /// What [`LiveFacts::layouts`] gave, for the relations that show it.
    pub(super) layouts: LayoutsByShard,
}

impl SessionView {
    /// The same with layouts of shards.
    pub(super) fn with_layouts(&self, layouts: LayoutsByShard) -> Self {
        Self {
            snapshot: Arc::clone(&self.snapshot),
            facts: self.facts.clone(),
            functions: Arc::clone(&self.functions),
            layouts,
        }
    }

    /// A setting as `SHOW` prints it; `None` for one that nobody knows.
    pub(super) fn setting(&self, name: &str) -> Option<String> {
        let set = self.facts.settings.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        set.map(|(_, value)| value.clone())
            .or_else(|| builtin::setting(name).map(|setting| shown(setting.default, setting.unit)))
    }

    /// The schemas that unqualified names are looked up in, in order; only those that exist. `implicit` adds
    /// `pg_catalog`, which comes first where the path does not name it.
    pub(super) fn search_path(&self, implicit: bool) -> Vec<String> {
        let setting = self.setting("search_path").unwrap_or_default();
        let mut path = Vec::new();
        for part in super::identifier::split_list(&setting) {
            // A system schema that is called as a user is not the user's own.
            if part == "$user" && super::SYSTEM_SCHEMAS.contains(&self.facts.user.as_str()) {
                continue;
            }
            let schema = if part == "$user" { self.facts.user.clone() } else { part };
            let schema = self.snapshot.schema_called(&schema).to_owned();
            if self.schema_oid(&schema).is_some() && !path.contains(&schema) {
                path.push(schema);
            }
        }
        if implicit && !path.iter().any(|schema| schema == "pg_catalog") {
            path.insert(0, "pg_catalog".to_owned());
        }
        let own = self.snapshot.temporary_schema().filter(|own| implicit && !path.contains(&own.name));
        if let Some(own) = own {
            path.insert(0, own.name.clone());
        }
        path
    }

    /// The OID of a schema, the system's included.
    pub(super) fn schema_oid(&self, name: &str) -> Option<u32> {
        match name {
            "pg_catalog" => Some(builtin::PG_CATALOG_OID),
            "information_schema" => Some(builtin::INFORMATION_SCHEMA_OID),
            "quickdb" => Some(builtin::QUICKDB_SCHEMA_OID),
            "pg_toast" => Some(builtin::PG_TOAST_OID),
            name => self.snapshot.schema(self.snapshot.schema_called(name)).map(|schema| schema.oid),
        }
    }

    /// The name of a schema, the system's included.
    pub(super) fn schema_name(&self, oid: u32) -> Option<&str> {
        match oid {
            builtin::PG_CATALOG_OID => Some("pg_catalog"),
            builtin::INFORMATION_SCHEMA_OID => Some("information_schema"),
            builtin::QUICKDB_SCHEMA_OID => Some("quickdb"),
            builtin::PG_TOAST_OID => Some("pg_toast"),
            oid => self.snapshot.schemas.iter().find(|schema| schema.oid == oid).map(|schema| &*schema.name),
        }
    }

    /// The user's tables with the name of their schema.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.snapshot.tables().iter()
    }

    /// The OID of the session's database.
    pub(super) fn database_oid(&self) -> u32 {
        let databases = &self.snapshot.databases;
        databases
            .iter()
            .find(|database| database.name == self.facts.database)
            .map_or(0, |database| database.oid)
    }

    /// The current user with what it may do.
    pub(super) fn current_user(&self) -> Grantee {
        self.grantee(&self.facts.user).unwrap_or(Grantee::NOBODY)
    }
}

/// A number of a setting as `SHOW` prints it: in the largest unit that keeps it whole.
pub(crate) fn shown(value: &str, unit: &str) -> String {
    let Ok(number) = value.parse::<i64>() else {
        return value.to_owned();
    };
    let (step, units): (i64, &[(i64, &str)]) = match unit {
        "8kB" => (8, &[(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")]),
        "kB" => (1, &[(1 << 30, "TB"), (1 << 20, "GB"), (1 << 10, "MB"), (1, "kB")]),
        "B" => (1, &[(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "kB"), (1, "B")]),
        "MB" => (1, &[(1 << 20, "TB"), (1 << 10, "GB"), (1, "MB")]),
        "ms" => (1, &[(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")]),
        "s" => (1, &[(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")]),
        "min" => (1, &[(1_440, "d"), (60, "h"), (1, "min")]),
        _ => return value.to_owned(),
    };
    // Zero and the negative numbers that mean "off" have no unit.
    if number <= 0 {
        return value.to_owned();
    }
    let number = number.saturating_mul(step);
    let fit = units.iter().find(|(factor, _)| number % factor == 0);
    fit.map_or_else(|| value.to_owned(), |(factor, name)| format!("{}{name}", number / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL's `SHOW` prints them.
    #[test]
    fn numbers_show_in_the_largest_unit_that_keeps_them_whole() {
        for (value, unit, expected) in [
            ("4096", "kB", "4MB"),
            ("524288", "8kB", "4GB"),
            ("0", "ms", "0"),
            ("-1", "ms", "-1"),
            ("1000", "ms", "1s"),
            ("1500", "ms", "1500ms"),
            ("60", "s", "1min"),
            ("100", "", "100"),
            ("on", "", "on"),
        ] {
            assert_eq!(shown(value, unit), expected, "{value} {unit}");
        }
    }
}
