//! The master's catalogue: databases, schemas, tables, views, shards and where they are, rows of small writes, workers,
//! roles and settings, in one SQLite file.
//!
//! ```text
//!  [Change] ─▶ commit ─ group ─▶ applied to the newest snapshot ─▶ one SQLite transaction (WAL, synchronous FULL)
//!                                                                        │ committed
//!  snapshot() ◀── Arc<CatalogueSnapshot> ◀───────────────────────────────┘ replaced; a reader keeps the one it has
//! ```
//!
//! Calls that change the catalogue block on SQLite and on the disk's sync, some milliseconds each: async code runs
//! them in `spawn_blocking`. Those that come while one is under way go together in the next transaction.
//! [`Catalogue::snapshot`] never waits for them.
//!
//! **Invariant:** the changes of one commit become visible, and durable, together or not at all.
//! **Invariant:** an OID, a table id, a shard id and a worker id are never given out twice, not even after what they
//! named is gone.

mod change;
mod copy;
mod error;
mod evolve;
mod file;
mod keys;
mod load;
mod log;
mod numbers;
mod persist;
mod pg_type;
mod roles;
mod runs;
mod secrets;
mod sequences;
mod snapshot;
mod summary_codec;
mod tables;
mod temporary;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use quickdb_storage::{ShardId, TableId};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use numbers::{Counter, Numbers};

pub use quickdb_executor::table::WorkerId;

pub use change::{Change, CommentOn};
pub use copy::LeftOut;
pub(crate) use copy::{complete, restore};
pub use error::{CatalogueError, CatalogueResult};
pub use keys::{AddedKeys, KeyLog};
pub use log::{Log, LogEntry, LoggedRows};
pub(crate) use pg_type::with_modifier;
pub use pg_type::{PG_TYPE_KEY, PG_TYPMOD_KEY, PgType};
pub use roles::RoleOptions;
pub use runs::Standing;
pub use sequences::{Sequence, SequenceOwner, SequenceValue};
pub use snapshot::{
    CatalogueSnapshot, Column, Constraint, ConstraintKind, Database, Generation, OnCommit, Role, Schema,
    Shard, StoredSetting, Table, TableDefinition, TableOptions, View, Worker,
};
pub use tables::{NewTable, check_columns};
pub use temporary::{TEMPORARY_SCHEMA, Temporary, is_temporary_schema};

/// Bytes of the disk that rows of small writes leave to everything else: about what SQLite's own log takes, and a copy
/// of the catalogue.
const BYTES_FREE_MIN: u64 = 16 << 20;

/// Published snapshots that are remembered before those that are gone are forgotten.
const PUBLISHED_MAX: usize = 256;

/// The catalogue of one master. Shared by reference; calls that change it take turns.
#[derive(Debug)]
pub struct Catalogue {
    connection: Mutex<Connection>,
    /// Commits that wait for the connection; whoever gets it takes them all.
    waiting: Mutex<Vec<Arc<Commit>>>,
    current: RwLock<Arc<CatalogueSnapshot>>,
    /// Every snapshot that somebody may still read.
    published: Mutex<Vec<Weak<CatalogueSnapshot>>>,
    numbers: Numbers,
    sequences: sequences::Values,
    /// The first shard id that was free when the catalogue was opened.
    first_shard: u64,
    versions: AtomicU64,
    run: runs::Run,
    /// Where the file is; absent in memory.
    path: Option<PathBuf>,
}

/// One caller's changes and, later, what came of them.
#[derive(Debug)]
struct Commit {
    changes: Vec<Change>,
    result: Mutex<Option<CatalogueResult<Arc<CatalogueSnapshot>>>>,
}

impl Commit {
    fn finish(&self, result: CatalogueResult<Arc<CatalogueSnapshot>>) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }

    fn take(&self) -> Option<CatalogueResult<Arc<CatalogueSnapshot>>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Catalogue {
    /// Opens the catalogue in that file; makes it where there is none.
    ///
    /// # Errors
    /// [`CatalogueError::Foreign`] and [`CatalogueError::Newer`] for a file that is not for this quickdb, which stays
    /// untouched; [`CatalogueError::Sqlite`] when it cannot be read or written.
    pub fn open(path: &Path) -> CatalogueResult<Self> {
        Ok(Self { path: Some(path.to_path_buf()), ..Self::of(file::open(path)?)? })
    }

    /// A catalogue that is gone when dropped, for tests.
    pub fn in_memory() -> CatalogueResult<Self> {
        Self::of(file::open_in_memory()?)
    }

    fn of(connection: Connection) -> CatalogueResult<Self> {
        let snapshot = Arc::new(load::snapshot(&connection)?);
        let first_shard = numbers::position(&connection, Counter::Shard)?;
        let sequences = sequences::Values::read(&connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
            waiting: Mutex::default(),
            versions: AtomicU64::new(snapshot.version + 1),
            published: Mutex::new(vec![Arc::downgrade(&snapshot)]),
            current: RwLock::new(snapshot),
            numbers: Numbers::default(),
            sequences,
            first_shard,
            run: runs::Run::default(),
            path: None,
        })
    }

    /// The catalogue as of the last commit.
    pub fn snapshot(&self) -> Arc<CatalogueSnapshot> {
        // The lock is held for a clone of an `Arc` only, so that a poisoned one still holds a whole snapshot.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A version for a snapshot that nobody else has.
    pub fn next_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes changes, all or none of them; on return they are durable and visible: the snapshot that shows them.
    ///
    /// # Errors
    /// What makes a change impossible; [`CatalogueError::Conflict`] when it was made for a snapshot that another commit
    /// has overtaken; [`CatalogueError::Sqlite`].
    pub fn commit(&self, changes: Vec<Change>) -> CatalogueResult<Arc<CatalogueSnapshot>> {
        if changes.is_empty() {
            return Ok(self.snapshot());
        }
        self.check_space(&changes)?;
        let mine = Arc::new(Commit { changes, result: Mutex::default() });
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&mine));
        let mut connection = self.lock();
        if let Some(result) = mine.take() {
            return result;
        }
        let group = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.commit_group(&mut connection, &group);
        mine.take().unwrap_or_else(|| Err(CatalogueError::Corrupt("a commit without a result".into())))
    }

    /// Refuses rows for logs where the disk is nearly full, so that what makes room can still be committed.
    fn check_space(&self, changes: &[Change]) -> CatalogueResult<()> {
        let Some(path) = self.path.as_ref().filter(|_| changes.iter().any(Change::appends)) else {
            return Ok(());
        };
        // A file system that does not say has to refuse by itself.
        let free = quickdb_storage::bytes_free(path).unwrap_or(u64::MAX);
        if free < BYTES_FREE_MIN { Err(CatalogueError::DiskFull { bytes: BYTES_FREE_MIN }) } else { Ok(()) }
    }

    fn commit_group(&self, connection: &mut Connection, group: &[Arc<Commit>]) {
        let before = self.snapshot();
        let mut after = Arc::clone(&before);
        let mut fitting = Vec::with_capacity(group.len());
        for commit in group {
            match after.with(&commit.changes, self.next_version()) {
                Ok(next) => {
                    fitting.push((Arc::clone(commit), Arc::clone(&after)));
                    after = Arc::new(next);
                }
                Err(error) => commit.finish(Err(error)),
            }
        }
        if fitting.is_empty() {
            return;
        }
        let written = (|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (index, (commit, earlier)) in fitting.iter().enumerate() {
                let later = fitting.get(index + 1).map_or(&after, |(_, snapshot)| snapshot);
                persist::persist(&transaction, earlier, later, &commit.changes)?;
            }
            if fitting.iter().any(|(commit, _)| !commit.changes.iter().all(Change::appends)) {
                self.run.count_commit(&transaction)?;
            }
            transaction.commit()?;
            Ok::<_, CatalogueError>(())
        })();
        match written {
            Ok(()) => {
                self.publish(Arc::clone(&after));
                for (commit, _) in fitting {
                    commit.finish(Ok(Arc::clone(&after)));
                }
            }
            Err(error) => {
                // One that cannot be written must not take the others with it: they are tried one by one.
                if let [(commit, _)] = fitting.as_slice() {
                    commit.finish(Err(error));
                } else {
                    for (commit, _) in &fitting {
                        self.commit_group(connection, std::slice::from_ref(commit));
                    }
                }
            }
        }
    }

    /// The snapshots that somebody may still read, the last one among them.
    pub fn live_snapshots(&self) -> Vec<Arc<CatalogueSnapshot>> {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        let live: Vec<_> = published.iter().filter_map(Weak::upgrade).collect();
        *published = live.iter().map(Arc::downgrade).collect();
        live
    }

    /// Keeps what a session's own snapshot names from being collected for as long as somebody holds it.
    pub fn watch(&self, snapshot: &Arc<CatalogueSnapshot>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        // Rows come fast; those that are gone are forgotten now and then.
        if published.len() >= PUBLISHED_MAX {
            published.retain(|snapshot| snapshot.strong_count() > 0);
        }
        published.push(Arc::downgrade(snapshot));
    }

    fn publish(&self, snapshot: Arc<CatalogueSnapshot>) {
        self.watch(&snapshot);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Runs `change` in a transaction and reads what is no table, view or shard again afterwards.
    fn commit_roles<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>, &CatalogueSnapshot) -> CatalogueResult<T>,
    ) -> CatalogueResult<T> {
        let mut connection = self.lock();
        let previous = self.snapshot();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = change(&transaction, &previous)?;
        // Read before the commit: when reading fails, nothing has changed.
        let mut next = CatalogueSnapshot::clone(&previous);
        load::read_roles(&transaction, &mut next)?;
        next.version = self.next_version();
        next.definitions = next.version;
        self.run.count_commit(&transaction)?;
        transaction.commit()?;
        self.publish(Arc::new(next));
        Ok(result)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic under the lock rolled its transaction back when it was dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, counter: Counter, count: u64) -> CatalogueResult<u64> {
        self.numbers.take(counter, count, |size| {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let first = numbers::reserve(&transaction, counter, size)?;
            transaction.commit()?;
            Ok(first)
        })
    }

    /// The identity of a table that is to be created, so that shards can be written for it first.
    pub fn allocate_table_id(&self) -> CatalogueResult<TableId> {
        Ok(TableId(self.take(Counter::Table, 1)?))
    }

    /// `count` shard ids, which follow one another.
    pub fn allocate_shard_ids(&self, count: u32) -> CatalogueResult<Vec<ShardId>> {
        let first = self.take(Counter::Shard, u64::from(count))?;
        Ok((first..first + u64::from(count)).map(ShardId).collect())
    }

    /// Whether this catalogue has ever given out that shard id: any other is of another catalogue.
    pub fn has_allocated(&self, shard: ShardId) -> bool {
        shard.0 < self.numbers.end(Counter::Shard).unwrap_or(self.first_shard)
    }

    /// `count` OIDs, which follow one another: the first.
    pub fn allocate_oids(&self, count: u32) -> CatalogueResult<u32> {
        let first = self.take(Counter::Oid, u64::from(count))?;
        u32::try_from(first).map_err(|_| CatalogueError::Corrupt("out of OIDs".into()))
    }

    /// The number of a log entry.
    pub fn allocate_log_seq(&self) -> CatalogueResult<u64> {
        self.take(Counter::Log, 1)
    }
}
