//! What can go wrong in the catalogue.

use std::path::PathBuf;

use quickdb_storage::ShardId;

/// An error of the catalogue. The server maps each kind to its SQLSTATE.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// SQLite refused: the disk is full, the file is locked or not readable.
    #[error("catalogue storage failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Rows would take what is left of the catalogue's disk.
    #[error("could not add rows to the catalogue: less than {} MiB are free on its disk", bytes >> 20)]
    DiskFull {
        /// What must stay free.
        bytes: u64,
    },
    /// The file is no catalogue of quickdb.
    #[error("{} is not a quickdb catalogue", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer quickdb wrote the file.
    #[error(
        "{} has catalogue version {found}, this quickdb knows versions up to {known}: use a newer quickdb",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The file contradicts itself.
    #[error("catalogue is corrupt: {0}")]
    Corrupt(String),
    /// Somebody else's commit came first.
    #[error("could not serialize access due to concurrent update")]
    Conflict(String),
    /// Rows that cannot be kept.
    #[error("rows cannot be stored: {0}")]
    Rows(String),
    /// No such database.
    #[error("database \"{0}\" does not exist")]
    UndefinedDatabase(String),
    /// No such schema.
    #[error("schema \"{0}\" does not exist")]
    UndefinedSchema(String),
    /// A schema of that name is there.
    #[error("schema \"{0}\" already exists")]
    DuplicateSchema(String),
    /// A schema with tables in it was to be dropped.
    #[error("cannot drop schema {0} because other objects depend on it")]
    SchemaNotEmpty(String),
    /// No such table.
    #[error("relation \"{0}\" does not exist")]
    UndefinedTable(String),
    /// A relation of that name is there.
    #[error("relation \"{0}\" already exists")]
    DuplicateTable(String),
    /// No such column.
    #[error("column \"{column}\" of relation \"{table}\" does not exist")]
    UndefinedColumn {
        /// The table.
        table: String,
        /// The missing column.
        column: String,
    },
    /// A column is named twice.
    #[error("column \"{0}\" specified more than once")]
    DuplicateColumn(String),
    /// A table of more columns than PostgreSQL's protocol and clients can take.
    #[error("tables can have at most {max} columns")]
    TooManyColumns {
        /// The limit.
        max: usize,
    },
    /// The type is unknown or cannot be stored.
    #[error("type \"{0}\" does not exist")]
    UndefinedType(String),
    /// An Arrow type that no SQL type stands for.
    #[error("column \"{column}\" has type {data_type}, which no SQL type stands for")]
    UnsupportedType {
        /// The column.
        column: String,
        /// The Arrow type.
        data_type: String,
    },
    /// A name that is empty or reserved.
    #[error("unacceptable name \"{0}\"")]
    ReservedName(String),
    /// No such role.
    #[error("role \"{0}\" does not exist")]
    UndefinedRole(String),
    /// A role of that name is there.
    #[error("role \"{0}\" already exists")]
    DuplicateRole(String),
    /// A sequence has no value any more.
    #[error("nextval: reached {limit} value of sequence \"{sequence}\" ({bound})")]
    SequenceLimit {
        /// The sequence.
        sequence: String,
        /// `maximum` or `minimum`.
        limit: &'static str,
        /// The last value that it may have.
        bound: i64,
    },
    /// The role owns objects, or it is the one that must stay.
    #[error("role \"{0}\" cannot be dropped because some objects depend on it")]
    RoleInUse(String),
    /// A verifier that is no `SCRAM-SHA-256$...` text.
    #[error("invalid SCRAM-SHA-256 verifier")]
    InvalidVerifier,
    /// No such worker.
    #[error("worker \"{0}\" does not exist")]
    UndefinedWorker(String),
    /// The worker still holds shards.
    #[error("worker \"{worker}\" still holds {shards} shards")]
    WorkerInUse {
        /// The worker.
        worker: String,
        /// How many shards it holds.
        shards: u64,
    },
    /// The shard is in the catalogue already.
    #[error("shard {0} is committed already")]
    DuplicateShard(ShardId),
    /// A relation that others need was to be dropped.
    #[error("cannot drop {relation} because other objects depend on it")]
    InUse {
        /// What was to be dropped.
        relation: String,
        /// What needs it.
        by: Vec<String>,
    },
    /// No such shard.
    #[error("shard {0} does not exist")]
    UndefinedShard(ShardId),
    /// A shard was written for another table than the one it is committed to.
    #[error("shard {shard} was written for table \"{found}\", not for \"{expected}\"")]
    ForeignShard {
        /// The shard.
        shard: ShardId,
        /// The table it was written for.
        found: String,
        /// The table it was to be committed to.
        expected: String,
    },
    /// A shard has no worker, or not one summary per column.
    #[error("shard {shard}: {what}")]
    InvalidShard {
        /// The shard.
        shard: ShardId,
        /// What is wrong with it.
        what: String,
    },
}

/// The result of a catalogue call.
pub type CatalogueResult<T> = Result<T, CatalogueError>;
