//! The SQLite file: how it is opened, what it holds, which version it has.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::error::{CatalogueError, CatalogueResult};

/// The version of the schema below, kept in `user_version`.
pub(super) const VERSION: i64 = 3;

/// `quic`: SQLite's `application_id` of a catalogue, which tells it from any other SQLite file.
pub(super) const APPLICATION_ID: i64 = 0x7175_6963;

/// The first OID of a user object, as in PostgreSQL.
pub(super) const FIRST_USER_OID: u32 = 16_384;

/// The OID of the role that exists from the start, as PostgreSQL's bootstrap superuser.
pub(super) const BOOTSTRAP_ROLE_OID: u32 = 10;

/// The OID of the schema `public`, as in PostgreSQL.
pub(super) const PUBLIC_SCHEMA_OID: u32 = 2_200;

/// The database that exists from the start; it takes the first user OID.
pub(super) const FIRST_DATABASE: &str = "quickdb";

/// The role that exists from the start.
pub(super) const FIRST_ROLE: &str = "quickdb";

/// The role that owns the schema `public`: whoever owns the database, as in PostgreSQL.
pub(super) const DATABASE_OWNER_OID: u32 = 6_171;

const SCHEMA: &str = "
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    next  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE roles (
    oid        INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    superuser  INTEGER NOT NULL,
    login      INTEGER NOT NULL,
    verifier   TEXT,
    comment    TEXT
) STRICT;

CREATE TABLE databases (
    oid      INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    owner    INTEGER NOT NULL REFERENCES roles (oid),
    comment  TEXT
) STRICT;

CREATE TABLE schemas (
    oid       INTEGER PRIMARY KEY,
    database  INTEGER NOT NULL REFERENCES databases (oid),
    name      TEXT NOT NULL,
    owner     INTEGER NOT NULL,
    comment   TEXT,
    UNIQUE (database, name)
) STRICT;

CREATE TABLE tables (
    id             INTEGER PRIMARY KEY,
    oid            INTEGER NOT NULL UNIQUE,
    schema         INTEGER NOT NULL REFERENCES schemas (oid),
    name           TEXT NOT NULL,
    owner          INTEGER NOT NULL REFERENCES roles (oid),
    comment        TEXT,
    created_at     INTEGER NOT NULL,
    distribute_by  TEXT,
    sort_by        TEXT,
    replicas       INTEGER NOT NULL,
    revision       INTEGER NOT NULL,
    next_column    INTEGER NOT NULL,
    UNIQUE (schema, name)
) STRICT;

CREATE TABLE columns (
    table_id       INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    position       INTEGER NOT NULL,
    name           TEXT NOT NULL,
    type           TEXT NOT NULL,
    not_null       INTEGER NOT NULL,
    comment        TEXT,
    default_value  TEXT,
    missing        TEXT,
    generation     TEXT,
    PRIMARY KEY (table_id, position),
    UNIQUE (table_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    address  TEXT NOT NULL
) STRICT;

CREATE TABLE shards (
    id         INTEGER PRIMARY KEY,
    table_id   INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    rows       INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    checksum   INTEGER NOT NULL,
    summaries  BLOB NOT NULL,
    deletions  INTEGER,
    deleted    INTEGER
) STRICT;
CREATE INDEX shards_of_table ON shards (table_id);

CREATE TABLE shard_replicas (
    shard    INTEGER NOT NULL REFERENCES shards (id) ON DELETE CASCADE,
    ordinal  INTEGER NOT NULL,
    worker   INTEGER NOT NULL REFERENCES workers (id),
    PRIMARY KEY (shard, ordinal),
    UNIQUE (shard, worker)
) STRICT, WITHOUT ROWID;
CREATE INDEX replicas_of_worker ON shard_replicas (worker);

CREATE TABLE constraints (
    oid         INTEGER PRIMARY KEY,
    table_id    INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    columns     TEXT NOT NULL,
    definition  TEXT NOT NULL,
    comment     TEXT
) STRICT;
CREATE INDEX constraints_of_table ON constraints (table_id);

CREATE TABLE log (
    table_id  INTEGER NOT NULL REFERENCES tables (id) ON DELETE CASCADE,
    seq       INTEGER NOT NULL,
    rows      BLOB NOT NULL,
    PRIMARY KEY (table_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE views (
    oid          INTEGER PRIMARY KEY,
    schema       INTEGER NOT NULL REFERENCES schemas (oid),
    name         TEXT NOT NULL,
    owner        INTEGER NOT NULL REFERENCES roles (oid),
    comment      TEXT,
    query        TEXT NOT NULL,
    search_path  TEXT NOT NULL,
    UNIQUE (schema, name)
) STRICT;

CREATE TABLE view_columns (
    view      INTEGER NOT NULL REFERENCES views (oid) ON DELETE CASCADE,
    position  INTEGER NOT NULL,
    name      TEXT NOT NULL,
    type      INTEGER NOT NULL,
    typmod    INTEGER NOT NULL,
    PRIMARY KEY (view, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE view_reads (
    view      INTEGER NOT NULL REFERENCES views (oid) ON DELETE CASCADE,
    relation  INTEGER NOT NULL,
    PRIMARY KEY (view, relation)
) STRICT, WITHOUT ROWID;

CREATE TABLE sequences (
    oid           INTEGER PRIMARY KEY,
    schema        INTEGER NOT NULL REFERENCES schemas (oid),
    name          TEXT NOT NULL,
    owner         INTEGER NOT NULL REFERENCES roles (oid),
    comment       TEXT,
    type          INTEGER NOT NULL,
    start         INTEGER NOT NULL,
    increment     INTEGER NOT NULL,
    min           INTEGER NOT NULL,
    max           INTEGER NOT NULL,
    cache         INTEGER NOT NULL,
    cycle         INTEGER NOT NULL,
    owner_table   INTEGER,
    owner_column  INTEGER,
    identity      INTEGER,
    UNIQUE (schema, name)
) STRICT;

CREATE TABLE sequence_values (
    sequence  INTEGER PRIMARY KEY,
    last      INTEGER NOT NULL,
    called    INTEGER NOT NULL
) STRICT;

CREATE TABLE settings (
    database  INTEGER NOT NULL,
    role      INTEGER NOT NULL,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (database, role, name)
) STRICT, WITHOUT ROWID;
";

/// What makes a catalogue of version 1 one of version 2.
const FROM_1_TO_2: &str = "
ALTER TABLE tables ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tables ADD COLUMN next_column INTEGER NOT NULL DEFAULT 1;
UPDATE tables SET next_column =
    1 + coalesce((SELECT max(position) FROM columns WHERE columns.table_id = tables.id), 0);
ALTER TABLE columns ADD COLUMN default_value TEXT;
ALTER TABLE columns ADD COLUMN missing TEXT;
ALTER TABLE shards ADD COLUMN deletions INTEGER;
ALTER TABLE shards ADD COLUMN deleted INTEGER;
";

/// What makes a catalogue of version 2 one of version 3, but for the tables that are new.
const FROM_2_TO_3: &str = "
ALTER TABLE columns ADD COLUMN generation TEXT;
ALTER TABLE constraints ADD COLUMN comment TEXT;
";

/// The part of [`SCHEMA`] from the table `first` up to the table `end`.
fn schema_between(first: &str, end: &str) -> &'static str {
    let at = |name: &str| SCHEMA.find(&format!("CREATE TABLE {name} ")).unwrap_or(SCHEMA.len());
    SCHEMA.get(at(first)..at(end)).unwrap_or_default()
}

/// Opens the catalogue at `path`, creating it where there is no file.
pub(super) fn open(path: &Path) -> CatalogueResult<Connection> {
    let foreign = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => CatalogueError::Foreign { path: path.to_path_buf() },
        _ => CatalogueError::Sqlite(error),
    };
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    // The version is read before anything is written, so that a foreign file stays as it is.
    check_version(&connection, path).map_err(|error| match error {
        CatalogueError::Sqlite(error) => foreign(error),
        other => other,
    })?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(foreign)?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// A catalogue that lives in memory, for tests.
pub(super) fn open_in_memory() -> CatalogueResult<Connection> {
    let mut connection = Connection::open_in_memory()?;
    prepare(&mut connection, Path::new(":memory:"))?;
    Ok(connection)
}

/// The version of the file: 0 when it is empty.
fn check_version(connection: &Connection, path: &Path) -> CatalogueResult<i64> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return Err(CatalogueError::Foreign { path: path.to_path_buf() });
    }
    if version > VERSION {
        return Err(CatalogueError::Newer { path: path.to_path_buf(), found: version, known: VERSION });
    }
    Ok(version)
}

fn prepare(connection: &mut Connection, path: &Path) -> CatalogueResult<()> {
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // One process owns the file; a second one (a backup, a look from the shell) may hold it briefly.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match check_version(&transaction, path)? {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            fill(&transaction)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        older => {
            if older < 2 {
                transaction.execute_batch(FROM_1_TO_2)?;
                // The tables that are new are as in a new catalogue, with what they have got since.
                transaction.execute_batch(schema_between("constraints", "sequences"))?;
                transaction.execute_batch("ALTER TABLE constraints DROP COLUMN comment")?;
            }
            if older < 3 {
                transaction.execute_batch(FROM_2_TO_3)?;
                transaction.execute_batch(schema_between("sequences", "settings"))?;
            }
        }
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// What exists from the start: the superuser, its database, the schema `public`.
fn fill(connection: &Connection) -> CatalogueResult<()> {
    connection.execute(
        "INSERT INTO roles (oid, name, superuser, login) VALUES (?1, ?2, 1, 1)",
        params![BOOTSTRAP_ROLE_OID, FIRST_ROLE],
    )?;
    connection.execute(
        "INSERT INTO databases (oid, name, owner) VALUES (?1, ?2, ?3)",
        params![FIRST_USER_OID, FIRST_DATABASE, BOOTSTRAP_ROLE_OID],
    )?;
    connection.execute(
        "INSERT INTO schemas (oid, database, name, owner, comment)
         VALUES (?1, ?2, 'public', ?3, 'standard public schema')",
        params![PUBLIC_SCHEMA_OID, FIRST_USER_OID, DATABASE_OWNER_OID],
    )?;
    for (counter, next) in [("oid", FIRST_USER_OID + 1), ("table", 1), ("shard", 1), ("worker", 0)] {
        connection.execute("INSERT INTO counters (name, next) VALUES (?1, ?2)", params![counter, next])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_its_own_file_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.sqlite");
        drop(open(&path).unwrap());
        let connection = open(&path).unwrap();
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synchronous, 2);
    }

    #[test]
    fn refuses_a_file_of_something_else_and_leaves_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "x".repeat(5_000)).unwrap();
        assert!(matches!(open(&text), Err(CatalogueError::Foreign { .. })));
        assert_eq!(std::fs::read_to_string(&text).unwrap().len(), 5_000);

        let other = folder.path().join("other.sqlite");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(open(&other), Err(CatalogueError::Foreign { .. })));
    }

    #[test]
    fn refuses_a_newer_version_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.sqlite");
        open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, CatalogueError::Newer { .. }), "{error}");
        assert!(error.to_string().contains("use a newer quickdb"));
    }
}
