//! Reads a snapshot from SQLite.

use std::collections::HashMap;
use std::sync::Arc;

use quickdb_executor::table::DeletionRef;
use quickdb_storage::{ShardId, TableId};
use rusqlite::{Connection, Row};

use super::WorkerId;
use super::error::{CatalogueError, CatalogueResult};
use super::keys::KeyLog;
use super::log::Log;
use super::persist::{parse_generation, parse_kind, parse_numbers};
use super::pg_type::PgType;
use super::sequences::{Sequence, SequenceOwner};
use super::snapshot::{
    CatalogueSnapshot, Column, Constraint, Database, OnCommit, Role, Schema, Shard, StoredSetting, Table,
    TableDefinition, TableOptions, View, Worker, arrow_schema,
};
use super::summary_codec;
use crate::auth::scram::Verifier;

/// The catalogue as SQLite has it.
pub(super) fn snapshot(connection: &Connection) -> CatalogueResult<CatalogueSnapshot> {
    let mut snapshot = CatalogueSnapshot { version: 1, ..CatalogueSnapshot::default() };
    read_roles(connection, &mut snapshot)?;
    snapshot.views = Arc::new(read_views(connection)?);
    snapshot.sequences = Arc::new(read_sequences(connection)?);
    snapshot.set_tables(read_tables(connection)?);
    Ok(snapshot)
}

/// Reads what has no rows: databases, schemas, roles, workers and settings.
pub(super) fn read_roles(connection: &Connection, snapshot: &mut CatalogueSnapshot) -> CatalogueResult<()> {
    let sql = "SELECT oid, name, owner, comment FROM databases ORDER BY oid";
    snapshot.databases = Arc::new(rows(connection, sql, |row| {
        Ok(Database { oid: row.get(0)?, name: row.get(1)?, owner: row.get(2)?, comment: row.get(3)? })
    })?);
    let sql = "SELECT oid, name, owner, comment FROM schemas ORDER BY oid";
    snapshot.schemas = Arc::new(rows(connection, sql, |row| {
        Ok(Schema { oid: row.get(0)?, name: row.get(1)?, owner: row.get(2)?, comment: row.get(3)? })
    })?);
    snapshot.roles = Arc::new(roles(connection)?);
    let sql = "SELECT id, name, address FROM workers ORDER BY id";
    snapshot.workers = Arc::new(rows(connection, sql, |row| {
        Ok(Worker { id: WorkerId(row.get(0)?), name: row.get(1)?, address: row.get(2)? })
    })?);
    let sql = "SELECT database, role, name, value FROM settings ORDER BY database, role, name";
    snapshot.settings = Arc::new(rows(connection, sql, |row| {
        Ok(StoredSetting { database: row.get(0)?, role: row.get(1)?, name: row.get(2)?, value: row.get(3)? })
    })?);
    Ok(())
}

fn rows<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> CatalogueResult<Vec<T>> {
    let mut statement = connection.prepare(sql)?;
    Ok(statement.query_map([], read)?.collect::<rusqlite::Result<_>>()?)
}

fn roles(connection: &Connection) -> CatalogueResult<Vec<Role>> {
    let sql = "SELECT oid, name, superuser, login, verifier, comment FROM roles ORDER BY oid";
    let read = rows(connection, sql, |row| {
        let verifier: Option<String> = row.get(4)?;
        let role = Role {
            oid: row.get(0)?,
            name: row.get(1)?,
            superuser: row.get(2)?,
            login: row.get(3)?,
            verifier: None,
            comment: row.get(5)?,
        };
        Ok((role, verifier))
    })?;
    read.into_iter()
        .map(|(role, verifier)| {
            let corrupt = || CatalogueError::Corrupt(format!("verifier of role \"{}\"", role.name));
            let verifier = verifier.map(|text| Verifier::parse(&text).ok_or_else(corrupt)).transpose()?;
            Ok(Role { verifier, ..role })
        })
        .collect()
}

fn read_tables(connection: &Connection) -> CatalogueResult<Vec<Arc<Table>>> {
    let mut columns = read_columns(connection)?;
    let mut constraints = read_constraints(connection)?;
    let mut shards = read_shards(connection)?;
    let mut logs = read_logs(connection)?;
    let mut statement = connection.prepare(
        "SELECT tables.id, tables.oid, tables.schema, schemas.name, tables.name, tables.owner, tables.comment,
                created_at, distribute_by, sort_by, replicas, revision, next_column
         FROM tables JOIN schemas ON schemas.oid = tables.schema ORDER BY tables.id",
    )?;
    let mut read = statement.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = read.next()? {
        let id = counted(row, 0)?;
        let columns = columns.remove(&id).unwrap_or_default();
        let definition = TableDefinition {
            id: TableId(id),
            oid: row.get(1)?,
            schema_oid: row.get(2)?,
            schema: row.get(3)?,
            name: row.get(4)?,
            owner: row.get(5)?,
            comment: row.get(6)?,
            created_at_us: row.get(7)?,
            options: TableOptions {
                distribute_by: row.get(8)?,
                sort_by: row.get(9)?,
                replicas: row.get(10)?,
            },
            on_commit: OnCommit::default(),
            arrow_schema: arrow_schema(&columns),
            columns,
            constraints: constraints.remove(&id).unwrap_or_default(),
            revision: counted(row, 11)?,
            next_column: row.get(12)?,
        };
        tables.push(Arc::new(Table {
            shards: Arc::new(shards.remove(&id).unwrap_or_default()),
            keys: KeyLog::default(),
            log: Log::of_entries(logs.remove(&id).unwrap_or_default(), &definition.arrow_schema)?,
            definition: Arc::new(definition),
        }));
    }
    Ok(tables)
}

fn read_columns(connection: &Connection) -> CatalogueResult<HashMap<u64, Vec<Column>>> {
    let mut columns = HashMap::<u64, Vec<Column>>::new();
    let mut statement = connection.prepare(
        "SELECT table_id, name, type, not_null, comment, position, default_value, missing, generation FROM columns
         ORDER BY table_id, position",
    )?;
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        let type_name: String = row.get(2)?;
        let pg_type = PgType::parse(&type_name)
            .map_err(|_| CatalogueError::Corrupt(format!("column type \"{type_name}\"")))?;
        columns.entry(counted(row, 0)?).or_default().push(Column {
            number: row.get(5)?,
            name: row.get(1)?,
            pg_type,
            not_null: row.get(3)?,
            comment: row.get(4)?,
            default: row.get(6)?,
            missing: row.get(7)?,
            generation: parse_generation(row.get::<_, Option<String>>(8)?.as_deref())?,
        });
    }
    Ok(columns)
}

fn read_constraints(connection: &Connection) -> CatalogueResult<HashMap<u64, Vec<Constraint>>> {
    let mut constraints = HashMap::<u64, Vec<Constraint>>::new();
    let mut statement = connection.prepare(
        "SELECT table_id, oid, name, kind, columns, definition, comment FROM constraints ORDER BY oid",
    )?;
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        let (kind, columns): (String, String) = (row.get(3)?, row.get(4)?);
        constraints.entry(counted(row, 0)?).or_default().push(Constraint {
            oid: row.get(1)?,
            name: row.get(2)?,
            kind: parse_kind(&kind)?,
            columns: parse_numbers(&columns)?,
            definition: row.get(5)?,
            comment: row.get(6)?,
        });
    }
    Ok(constraints)
}

/// The stored entries of each table's log, by number.
type StoredLogs = HashMap<u64, Vec<(u64, Vec<u8>)>>;

fn read_logs(connection: &Connection) -> CatalogueResult<StoredLogs> {
    let mut logs = StoredLogs::new();
    let mut statement = connection.prepare("SELECT table_id, seq, rows FROM log ORDER BY table_id, seq")?;
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        logs.entry(counted(row, 0)?).or_default().push((counted(row, 1)?, row.get(2)?));
    }
    Ok(logs)
}

fn read_views(connection: &Connection) -> CatalogueResult<Vec<Arc<View>>> {
    let columns = rows(
        connection,
        "SELECT view, name, type, typmod FROM view_columns ORDER BY view, position",
        |row| {
            let pg_type = PgType::with_typmod(row.get(2)?, row.get(3)?);
            Ok((row.get::<_, u32>(0)?, (row.get::<_, String>(1)?, pg_type)))
        },
    )?;
    let reads = rows(connection, "SELECT view, relation FROM view_reads ORDER BY view, relation", |row| {
        Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?))
    })?;
    let views = rows(
        connection,
        "SELECT views.oid, views.schema, schemas.name, views.name, views.owner, views.comment, query, search_path
         FROM views JOIN schemas ON schemas.oid = views.schema ORDER BY views.oid",
        |row| {
            let path: String = row.get(7)?;
            Ok(View {
                oid: row.get(0)?,
                schema_oid: row.get(1)?,
                schema: row.get(2)?,
                name: row.get(3)?,
                owner: row.get(4)?,
                comment: row.get(5)?,
                query: row.get(6)?,
                search_path: path.split('\n').map(str::to_owned).collect(),
                columns: Vec::new(),
                reads: Vec::new(),
            })
        },
    )?;
    let complete = views.into_iter().map(|mut view| {
        let own = columns.iter().filter(|(oid, _)| *oid == view.oid);
        view.columns = own.map(|(_, column)| column.clone()).collect();
        view.reads = reads.iter().filter(|(oid, _)| *oid == view.oid).map(|(_, read)| *read).collect();
        Arc::new(view)
    });
    Ok(complete.collect())
}

fn read_sequences(connection: &Connection) -> CatalogueResult<Vec<Arc<Sequence>>> {
    let sql = "SELECT sequences.oid, sequences.schema, schemas.name, sequences.name, sequences.owner,
                      sequences.comment, type, start, increment, min, max, cache, cycle, owner_table, owner_column,
                      identity
               FROM sequences JOIN schemas ON schemas.oid = sequences.schema ORDER BY sequences.oid";
    rows(connection, sql, |row| {
        let (table, column): (Option<u32>, Option<u32>) = (row.get(13)?, row.get(14)?);
        let identity = row.get::<_, Option<bool>>(15)?.unwrap_or(false);
        let owned_by = table.zip(column).map(|(table, column)| SequenceOwner { table, column, identity });
        Ok(Arc::new(Sequence {
            oid: row.get(0)?,
            schema_oid: row.get(1)?,
            schema: row.get(2)?,
            name: row.get(3)?,
            owner: row.get(4)?,
            comment: row.get(5)?,
            type_oid: row.get(6)?,
            start: row.get(7)?,
            increment: row.get(8)?,
            min: row.get(9)?,
            max: row.get(10)?,
            cache: row.get(11)?,
            cycle: row.get(12)?,
            owned_by,
        }))
    })
}

fn read_shards(connection: &Connection) -> CatalogueResult<HashMap<u64, Vec<Shard>>> {
    let mut workers = HashMap::<u64, Vec<WorkerId>>::new();
    let mut statement =
        connection.prepare("SELECT shard, worker FROM shard_replicas ORDER BY shard, ordinal")?;
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        workers.entry(counted(row, 0)?).or_default().push(WorkerId(row.get(1)?));
    }
    let mut shards = HashMap::<u64, Vec<Shard>>::new();
    let mut statement = connection.prepare(
        "SELECT id, table_id, rows, bytes, checksum, summaries, deletions, deleted FROM shards ORDER BY id",
    )?;
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        let id = counted(row, 0)?;
        let summaries: Vec<u8> = row.get(5)?;
        let deletions: Option<i64> = row.get(6)?;
        let deletions = deletions.map(|_| {
            Ok::<_, CatalogueError>(DeletionRef { version: counted(row, 6)?, rows: counted(row, 7)? })
        });
        shards.entry(counted(row, 1)?).or_default().push(Shard {
            id: ShardId(id),
            rows: counted(row, 2)?,
            bytes: counted(row, 3)?,
            checksum: row.get(4)?,
            columns: Arc::new(summary_codec::decode(&summaries)?),
            deletions: deletions.transpose()?,
            workers: workers.remove(&id).unwrap_or_default(),
        });
    }
    Ok(shards)
}

/// SQLite's integers are signed: an id or a count as it stores it.
pub(super) fn stored(number: u64) -> CatalogueResult<i64> {
    i64::try_from(number).map_err(|_| CatalogueError::Corrupt(format!("number {number} is too large")))
}

fn counted(row: &Row<'_>, column: usize) -> CatalogueResult<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| CatalogueError::Corrupt(format!("negative number {number}")))
}
