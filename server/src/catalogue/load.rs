//! Reads a snapshot from SQLite.

use std::collections::HashMap;
use std::sync::Arc;

use quickdb_storage::{ShardId, TableId};
use rusqlite::{Connection, Row};

use super::WorkerId;
use super::error::{CatalogueError, CatalogueResult};
use super::pg_type::PgType;
use super::snapshot::{
    CatalogueSnapshot, Column, Database, Role, Schema, Shard, StoredSetting, Table, TableOptions, Worker,
    arrow_schema,
};
use super::summary_codec;
use crate::auth::scram::Verifier;

/// Which tables a commit touched: the others are taken over from the snapshot before it.
pub(super) enum Touched {
    /// Read them all.
    All,
    /// These were created, altered or dropped.
    Tables(Vec<TableId>),
}

/// The catalogue as it is now. `previous` gives the tables that did not change.
pub(super) fn snapshot(
    connection: &Connection,
    previous: &CatalogueSnapshot,
    touched: &Touched,
) -> CatalogueResult<CatalogueSnapshot> {
    let mut snapshot = CatalogueSnapshot {
        version: previous.version + 1,
        databases: rows(connection, "SELECT oid, name, owner, comment FROM databases ORDER BY oid", |row| {
            Ok(Database { oid: row.get(0)?, name: row.get(1)?, owner: row.get(2)?, comment: row.get(3)? })
        })?,
        schemas: rows(connection, "SELECT oid, name, owner, comment FROM schemas ORDER BY oid", |row| {
            Ok(Schema { oid: row.get(0)?, name: row.get(1)?, owner: row.get(2)?, comment: row.get(3)? })
        })?,
        roles: roles(connection)?,
        workers: rows(connection, "SELECT id, name, address FROM workers ORDER BY id", |row| {
            Ok(Worker { id: WorkerId(row.get(0)?), name: row.get(1)?, address: row.get(2)? })
        })?,
        settings: rows(
            connection,
            "SELECT database, role, name, value FROM settings ORDER BY database, role, name",
            |row| {
                Ok(StoredSetting {
                    database: row.get(0)?,
                    role: row.get(1)?,
                    name: row.get(2)?,
                    value: row.get(3)?,
                })
            },
        )?,
        ..CatalogueSnapshot::default()
    };
    let mut tables = match touched {
        Touched::All => read_tables(connection, None)?,
        Touched::Tables(ids) => {
            let untouched = previous.tables.iter().filter(|table| !ids.contains(&table.id));
            let mut tables = untouched.cloned().collect::<Vec<_>>();
            for id in ids {
                tables.extend(read_tables(connection, Some(*id))?);
            }
            tables
        }
    };
    tables.sort_by_key(|table| table.id);
    snapshot.set_tables(tables);
    Ok(snapshot)
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

/// All tables, or the one with that id where it still exists.
fn read_tables(connection: &Connection, only: Option<TableId>) -> CatalogueResult<Vec<Arc<Table>>> {
    // A NULL parameter asks for all rows.
    let only = only.map(|table| stored(table.0)).transpose()?;
    let mut columns = HashMap::<u64, Vec<Column>>::new();
    let mut statement = connection.prepare(
        "SELECT table_id, name, type, not_null, comment FROM columns
         WHERE ?1 IS NULL OR table_id = ?1 ORDER BY table_id, position",
    )?;
    let mut read = statement.query([only])?;
    while let Some(row) = read.next()? {
        let type_name: String = row.get(2)?;
        let pg_type = PgType::parse(&type_name)
            .map_err(|_| CatalogueError::Corrupt(format!("column type \"{type_name}\"")))?;
        columns.entry(counted(row, 0)?).or_default().push(Column {
            name: row.get(1)?,
            pg_type,
            not_null: row.get(3)?,
            comment: row.get(4)?,
        });
    }
    let mut shards = read_shards(connection, only)?;
    let mut statement = connection.prepare(
        "SELECT tables.id, tables.oid, tables.schema, schemas.name, tables.name, tables.owner, tables.comment,
                created_at, distribute_by, sort_by, replicas
         FROM tables JOIN schemas ON schemas.oid = tables.schema
         WHERE ?1 IS NULL OR tables.id = ?1 ORDER BY tables.id",
    )?;
    let mut read = statement.query([only])?;
    let mut tables = Vec::new();
    while let Some(row) = read.next()? {
        let id = counted(row, 0)?;
        let columns = columns.remove(&id).unwrap_or_default();
        tables.push(Arc::new(Table {
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
            arrow_schema: arrow_schema(&columns),
            columns,
            shards: shards.remove(&id).unwrap_or_default(),
        }));
    }
    Ok(tables)
}

fn read_shards(connection: &Connection, only: Option<i64>) -> CatalogueResult<HashMap<u64, Vec<Shard>>> {
    let mut workers = HashMap::<u64, Vec<WorkerId>>::new();
    let mut statement = connection.prepare(
        "SELECT shard, worker FROM shard_replicas
         WHERE ?1 IS NULL OR shard IN (SELECT id FROM shards WHERE table_id = ?1) ORDER BY shard, ordinal",
    )?;
    let mut read = statement.query([only])?;
    while let Some(row) = read.next()? {
        workers.entry(counted(row, 0)?).or_default().push(WorkerId(row.get(1)?));
    }
    let mut shards = HashMap::<u64, Vec<Shard>>::new();
    let mut statement = connection.prepare(
        "SELECT id, table_id, rows, bytes, checksum, summaries FROM shards
         WHERE ?1 IS NULL OR table_id = ?1 ORDER BY id",
    )?;
    let mut read = statement.query([only])?;
    while let Some(row) = read.next()? {
        let id = counted(row, 0)?;
        let summaries: Vec<u8> = row.get(5)?;
        shards.entry(counted(row, 1)?).or_default().push(Shard {
            id: ShardId(id),
            rows: counted(row, 2)?,
            bytes: counted(row, 3)?,
            checksum: row.get(4)?,
            columns: Arc::new(summary_codec::decode(&summaries)?),
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
