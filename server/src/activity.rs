//! What sessions are doing, for `pg_stat_activity` and its like, and how one session stops another.
//!
//! ```text
//! connection ── begins, ends a statement ──▶ Activity ◀── read by ── Connections ◀── Live ◀── pg_catalog of any session
//! session ──── its statements, cursors ───▶ Live
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pgwire::messages::response::TransactionStatus;

use crate::catalogue::{CatalogueError, CatalogueSnapshot, Sequence, SequenceValue};
use crate::engine::Engine;
use crate::layouts::LayoutsByShard;
use crate::pg_catalog::{
    CursorFacts, FunctionError, FunctionResult, LiveFacts, Mistake, PreparedStatementFacts, SessionActivity,
};
use crate::settings::Settings;
use crate::wire::interrupt::Connections;

/// Bytes of a statement that are shown, as PostgreSQL's default `track_activity_query_size` keeps.
const QUERY_BYTES_MAX: usize = 1_023;

/// What one session is doing.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    doing: Mutex<SessionActivity>,
}

impl Activity {
    /// A session that has just begun; its process id is its connection's.
    pub(crate) fn new(mut began: SessionActivity) -> Arc<Self> {
        let now = now_us();
        began.started_us = now;
        began.state_changed_us = Some(now);
        began.state = "idle".to_owned();
        Arc::new(Self { doing: Mutex::new(began) })
    }

    fn lock(&self) -> MutexGuard<'_, SessionActivity> {
        // Every change leaves a whole value.
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement begins.
    pub(crate) fn begin(&self, query: &str) {
        let mut end = query.len().min(QUERY_BYTES_MAX);
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let now = now_us();
        let mut doing = self.lock();
        doing.query = query.get(..end).unwrap_or_default().to_owned();
        doing.query_started_us = Some(now);
        doing.transaction_started_us.get_or_insert(now);
        doing.state_changed_us = Some(now);
        doing.state = "active".to_owned();
    }

    /// The client may send its next statement.
    pub(crate) fn end(&self, status: TransactionStatus) {
        let mut doing = self.lock();
        doing.state = match status {
            TransactionStatus::Idle => "idle",
            TransactionStatus::Transaction => "idle in transaction",
            TransactionStatus::Error => "idle in transaction (aborted)",
        }
        .to_owned();
        doing.state_changed_us = Some(now_us());
        if status == TransactionStatus::Idle {
            doing.transaction_started_us = None;
        }
    }

    /// The client calls itself differently.
    pub(crate) fn name_application(&self, name: &str) {
        name.clone_into(&mut self.lock().application_name);
    }

    /// As it is now.
    pub(crate) fn now(&self) -> SessionActivity {
        self.lock().clone()
    }
}

fn now_us() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// The server as one session sees it: everybody's activity, its own statements and cursors.
#[derive(Debug)]
pub(crate) struct Live {
    engine: Arc<Engine>,
    connections: Arc<Connections>,
    activity: Arc<Activity>,
    own: Mutex<(Vec<PreparedStatementFacts>, Vec<CursorFacts>)>,
    values: Mutex<OwnValues>,
    configuring: Mutex<Configuring>,
}

/// What the running statement makes of the session's settings.
#[derive(Debug, Default)]
struct Configuring {
    settings: Settings,
    done: Vec<Configured>,
}

/// A call of `set_config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configured {
    pub(crate) name: String,
    /// `None` is the default.
    pub(crate) value: Option<String>,
    /// Until the end of the transaction.
    pub(crate) local: bool,
}

/// What the session got of sequences.
#[derive(Debug, Default)]
struct OwnValues {
    /// The last value of each.
    current: HashMap<u32, i64>,
    /// The sequence of the last one.
    last: Option<u32>,
}

impl Live {
    pub(crate) fn new(
        engine: Arc<Engine>,
        connections: Arc<Connections>,
        activity: Arc<Activity>,
    ) -> Arc<Self> {
        Arc::new(Self {
            engine,
            connections,
            activity,
            own: Mutex::default(),
            configuring: Mutex::default(),
            values: Mutex::default(),
        })
    }

    fn values(&self) -> MutexGuard<'_, OwnValues> {
        // Every change leaves a whole value.
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what the session got of sequences.
    pub(crate) fn forget_values(&self) {
        *self.values() = OwnValues::default();
    }

    pub(crate) fn activity(&self) -> &Activity {
        &self.activity
    }

    fn configuring(&self) -> MutexGuard<'_, Configuring> {
        self.configuring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement begins under these settings.
    pub(crate) fn lend(&self, settings: &Settings) {
        *self.configuring() = Configuring { settings: settings.clone(), done: Vec::new() };
    }

    /// The calls of `set_config` since then, in order.
    pub(crate) fn take_configured(&self) -> Vec<Configured> {
        std::mem::take(&mut self.configuring().done)
    }

    /// What the session has prepared and declared by now.
    pub(crate) fn show(&self, statements: Vec<PreparedStatementFacts>, cursors: Vec<CursorFacts>) {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner) = (statements, cursors);
    }
}

#[async_trait]
impl LiveFacts for Live {
    fn sessions(&self) -> Vec<SessionActivity> {
        self.connections.sessions()
    }

    fn prepared_statements(&self) -> Vec<PreparedStatementFacts> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    fn cursors(&self) -> Vec<CursorFacts> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    fn configure(&self, name: &str, value: Option<&str>, local: bool) -> Result<String, (String, String)> {
        let mut configuring = self.configuring();
        let changed = match value {
            Some(value) => configuring.settings.set(name, value),
            None => configuring.settings.reset(name),
        };
        changed.map_err(|error| (error.sqlstate.0.to_owned(), error.message))?;
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let shown = configuring.settings.show(&name).unwrap_or_default();
        configuring.done.push(Configured { name, value, local });
        Ok(shown)
    }

    fn cancel(&self, pid: i32) -> bool {
        self.connections.cancel_backend(pid)
    }

    fn terminate(&self, pid: i32) -> bool {
        self.connections.terminate_backend(pid)
    }

    async fn layouts(&self, snapshot: &CatalogueSnapshot) -> LayoutsByShard {
        self.engine.layouts.of(&self.engine, snapshot).await
    }

    fn next_value(&self, sequence: &Sequence) -> FunctionResult<i64> {
        let next = self.engine.catalogue.next_value(sequence).map_err(refused)?;
        let mut values = self.values();
        values.current.insert(sequence.oid, next);
        values.last = Some(sequence.oid);
        Ok(next)
    }

    fn current_value(&self, oid: u32) -> Option<i64> {
        self.values().current.get(&oid).copied()
    }

    fn last_sequence(&self) -> Option<u32> {
        self.values().last
    }

    fn sequence_value(&self, sequence: &Sequence) -> Option<SequenceValue> {
        Some(self.engine.catalogue.sequence_value(sequence))
    }

    fn set_value(&self, sequence: &Sequence, value: SequenceValue) -> FunctionResult<()> {
        self.engine.catalogue.set_value(sequence, value).map_err(refused)?;
        if value.called {
            self.values().current.insert(sequence.oid, value.last);
        }
        Ok(())
    }
}

fn refused(error: CatalogueError) -> FunctionError {
    let mistake = match &error {
        CatalogueError::SequenceLimit { .. } => Mistake::SequenceLimit,
        _ => Mistake::Internal,
    };
    FunctionError { mistake, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_with_its_first_statement() {
        let activity = Activity::new(SessionActivity::default());
        assert_eq!((activity.now().state.as_str(), activity.now().transaction_started_us), ("idle", None));
        activity.begin("BEGIN");
        let began = activity.now().transaction_started_us;
        assert!(began.is_some());
        activity.end(TransactionStatus::Transaction);
        activity.begin("SELECT 1");
        assert_eq!(activity.now().transaction_started_us, began);
        assert_eq!((activity.now().state.as_str(), activity.now().query.as_str()), ("active", "SELECT 1"));
        activity.end(TransactionStatus::Idle);
        assert_eq!(activity.now().transaction_started_us, None);
    }

    #[test]
    fn a_long_statement_is_cut_between_characters() {
        let activity = Activity::new(SessionActivity::default());
        activity.begin(&"é".repeat(QUERY_BYTES_MAX));
        assert_eq!(activity.now().query, "é".repeat(QUERY_BYTES_MAX / 2));
    }
}
