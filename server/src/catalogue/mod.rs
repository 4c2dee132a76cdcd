//! The master's catalogue: databases, schemas, tables, columns, shards and where they are, workers, roles and
//! settings, in one SQLite file.
//!
//! ```text
//! commit_load, create_table, ...  ──▶  one SQLite transaction (WAL, synchronous FULL)
//!                                          │ committed
//! snapshot() ◀── Arc<CatalogueSnapshot> ◀──┘ replaced; a reader keeps the one it has
//! ```
//!
//! Calls that change the catalogue block on SQLite and on the disk's sync, some milliseconds each: async code runs
//! them in `spawn_blocking`. [`Catalogue::snapshot`] never waits for them.
//!
//! **Invariant:** a table and the shards of a load become visible in one commit, or not at all.
//! **Invariant:** an OID, a table id, a shard id and a worker id are never given out twice, not even after what they
//! named is gone.

mod error;
mod file;
mod load;
mod pg_type;
mod roles;
mod shards;
mod snapshot;
mod summary_codec;
mod tables;
mod workers;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use load::Touched;

pub use quickdb_executor::table::WorkerId;

pub use error::{CatalogueError, CatalogueResult};
pub(crate) use pg_type::with_modifier;
pub use pg_type::{PG_TYPE_KEY, PG_TYPMOD_KEY, PgType};
pub use roles::RoleOptions;
pub use shards::LoadTarget;
pub use snapshot::{
    CatalogueSnapshot, Column, Database, Role, Schema, Shard, StoredSetting, Table, TableOptions, Worker,
};
pub use tables::{Commented, NewTable};

/// The catalogue of one master. Shared by reference; calls that change it take turns.
#[derive(Debug)]
pub struct Catalogue {
    connection: Mutex<Connection>,
    current: RwLock<Arc<CatalogueSnapshot>>,
}

impl Catalogue {
    /// Opens the catalogue in that file; makes it where there is none.
    ///
    /// # Errors
    /// [`CatalogueError::Foreign`] and [`CatalogueError::Newer`] for a file that is not for this quickdb, which stays
    /// untouched; [`CatalogueError::Sqlite`] when it cannot be read or written.
    pub fn open(path: &Path) -> CatalogueResult<Self> {
        Self::of(file::open(path)?)
    }

    /// A catalogue that is gone when dropped, for tests.
    pub fn in_memory() -> CatalogueResult<Self> {
        Self::of(file::open_in_memory()?)
    }

    fn of(connection: Connection) -> CatalogueResult<Self> {
        let snapshot = load::snapshot(&connection, &CatalogueSnapshot::default(), &Touched::All)?;
        Ok(Self { connection: Mutex::new(connection), current: RwLock::new(Arc::new(snapshot)) })
    }

    /// The catalogue as of the last commit.
    pub fn snapshot(&self) -> Arc<CatalogueSnapshot> {
        // The lock is held for a clone of an `Arc` only, so that a poisoned one still holds a whole snapshot.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `change` in a transaction and publishes what it changed. `change` also says which tables it touched.
    fn commit<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>, &CatalogueSnapshot) -> CatalogueResult<(T, Touched)>,
    ) -> CatalogueResult<T> {
        // A panic in between rolled its transaction back when it was dropped.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.snapshot();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (result, touched) = change(&transaction, &previous)?;
        // Read before the commit: when reading fails, nothing has changed.
        let next = load::snapshot(&transaction, &previous, &touched)?;
        transaction.commit()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(result)
    }
}

/// Changes that touch no table.
fn no_tables<T>(result: T) -> (T, Touched) {
    (result, Touched::Tables(Vec::new()))
}
