//! What the catalogue shows of a session: its statements and cursors, its settings, itself.

use std::sync::Arc;

use pgwire::api::Type;

use super::Session;
use crate::pg_catalog::{CursorFacts, LiveFacts, PreparedStatementFacts, SessionFacts};

impl Session {
    /// Shows what is prepared and declared in the catalogue. Nameless ones are the protocol's own.
    pub(super) fn show_own(&self) {
        let statements = self.statements.iter().filter(|(name, _)| !name.is_empty());
        let mut statements: Vec<_> = statements
            .map(|(name, prepared)| PreparedStatementFacts {
                name: name.clone(),
                statement: prepared.statement.text.clone(),
                prepared_us: prepared.prepared_us,
                parameter_types: prepared.parameters.iter().map(Type::oid).collect(),
                from_sql: prepared.from_sql,
            })
            .collect();
        let cursors = self.portals.iter().filter(|(name, _)| !name.is_empty());
        let mut cursors: Vec<_> = cursors
            .map(|(name, portal)| CursorFacts {
                name: name.clone(),
                statement: portal.prepared.statement.text.clone(),
                is_holdable: portal.hold,
                is_binary: false,
                is_scrollable: false,
                opened_us: portal.opened_us,
            })
            .collect();
        statements.sort_by_key(|statement| statement.prepared_us);
        cursors.sort_by_key(|cursor| cursor.opened_us);
        self.live.show(statements, cursors);
    }

    /// What the session's catalogue relations show of the session itself.
    pub(super) fn facts(&self) -> SessionFacts {
        let all = self.settings.all().into_iter();
        let changed = all.filter(|(setting, _)| self.settings.value(setting.name) != setting.default);
        SessionFacts {
            backend_pid: self.pid,
            settings: Arc::new(changed.map(|(setting, shown)| (setting.name.to_owned(), shown)).collect()),
            server_started_us: self.engine.started_at_us,
            client_address: Some((self.address.ip().to_string(), self.address.port())),
            live: Arc::clone(&self.live) as Arc<dyn LiveFacts>,
            ..SessionFacts::of_user(&self.user, &self.database)
        }
    }
}
