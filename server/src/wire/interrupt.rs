//! What stops a statement from outside: a cancel request, the client going away, the server stopping, time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::error::{PgError, SqlState};
use crate::pg_catalog::SessionActivity;

/// The switch of one connection. Cancelling stops the statement that runs and no later one.
#[derive(Debug, Default)]
pub(crate) struct Interrupts {
    statement: Mutex<Option<CancellationToken>>,
    /// The client has closed its end.
    pub(crate) gone: CancellationToken,
    /// Another session has ended this one.
    pub(crate) terminated: CancellationToken,
}

impl Interrupts {
    /// Runs a statement until it ends, is cancelled, loses its client or runs out of time.
    ///
    /// # Errors
    /// The statement's own, or 57014.
    pub(crate) async fn guard<T>(
        &self,
        timeout: Option<Duration>,
        statement: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, PgError> {
        let cancelled = CancellationToken::new();
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancelled.clone());
        let expired = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            biased;
            () = cancelled.cancelled() => Err(cancelled_by("user request")),
            () = self.gone.cancelled() => Err(PgError::with_state(SqlState::CONNECTION_FAILURE, "connection to client lost")),
            () = self.terminated.cancelled() => Err(terminated()),
            () = expired => Err(cancelled_by("statement timeout")),
            result = statement => result,
        };
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// Stops the statement that runs, if one does.
    pub(crate) fn cancel(&self) {
        if let Some(statement) = self.statement.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            statement.cancel();
        }
    }
}

/// What a client is told whose session somebody ends.
pub(crate) fn terminated() -> PgError {
    PgError::with_state(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
}

fn cancelled_by(what: &str) -> PgError {
    PgError::with_state(SqlState::QUERY_CANCELED, format!("canceling statement due to {what}"))
}

/// The connections of the server by process id, for cancel requests and `pg_stat_activity`.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: Mutex<HashMap<i32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    secret: SecretKey,
    interrupts: Arc<Interrupts>,
    activity: Arc<Activity>,
}

impl Connections {
    /// Enters a connection under a process id of its own; it leaves when the guard is dropped.
    pub(crate) fn enter(
        self: &Arc<Self>,
        secret: SecretKey,
        interrupts: Arc<Interrupts>,
        activity: Arc<Activity>,
    ) -> ConnectionGuard {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pid = rand::random_range(1000..i32::MAX);
        while open.contains_key(&pid) {
            pid = rand::random_range(1000..i32::MAX);
        }
        open.insert(pid, Entry { secret, interrupts, activity });
        ConnectionGuard { pid, connections: Arc::clone(self) }
    }

    /// Cancels the statement of a connection whose secret the caller knows. Like PostgreSQL it answers
    /// nothing, whether or not there was anything to cancel.
    pub(crate) fn cancel(&self, pid: i32, secret: &SecretKey) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.get(&pid)
            && same_secret(&entry.secret, secret)
        {
            entry.interrupts.cancel();
        }
    }

    /// Cancels the statement of a connection on behalf of another session.
    pub(crate) fn cancel_backend(&self, pid: i32) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&pid).map(|entry| entry.interrupts.cancel()).is_some()
    }

    /// Ends a connection, and the statement it runs, on behalf of another session.
    pub(crate) fn terminate_backend(&self, pid: i32) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(&pid).map(|entry| entry.interrupts.terminated.cancel()).is_some()
    }

    /// What every connection is doing, the oldest first.
    pub(crate) fn sessions(&self) -> Vec<SessionActivity> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions: Vec<SessionActivity> =
            open.iter().map(|(pid, entry)| SessionActivity { pid: *pid, ..entry.activity.now() }).collect();
        sessions.sort_by_key(|session| (session.started_us, session.pid));
        sessions
    }
}

fn same_secret(a: &SecretKey, b: &SecretKey) -> bool {
    let (a, b) = (a.to_bytes(), b.to_bytes());
    // The whole secret is compared whatever differs, so that its bytes cannot be guessed one by one.
    a.len() == b.len() && a.iter().zip(b.iter()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Keeps a connection entered.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    /// The connection's process id.
    pub(crate) pid: i32,
    connections: Arc<Connections>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.pid);
    }
}
