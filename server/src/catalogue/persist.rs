//! Changes as SQLite keeps them.

use quickdb_storage::{ShardId, TableId};
use rusqlite::{Connection, params};

use super::change::{Change, CommentOn};
use super::error::{CatalogueError, CatalogueResult};
use super::file::FIRST_DATABASE;
use super::load::stored;
use super::sequences::Sequence;
use super::snapshot::{CatalogueSnapshot, ConstraintKind, Generation, Shard, TableDefinition, View};
use super::{WorkerId, summary_codec};

/// Writes what `changes` made of the snapshot `before`.
pub(super) fn persist(
    connection: &Connection,
    before: &CatalogueSnapshot,
    after: &CatalogueSnapshot,
    changes: &[Change],
) -> CatalogueResult<()> {
    // Logs are compared as a whole at the end, since several changes may have gone over one.
    let mut logs: Vec<TableId> = Vec::new();
    for change in changes {
        match change {
            Change::CreateSchema(schema) => {
                connection.execute(
                    "INSERT INTO schemas (oid, database, name, owner, comment)
                     SELECT ?1, databases.oid, ?2, ?3, ?5 FROM databases WHERE databases.name = ?4",
                    params![schema.oid, schema.name, schema.owner, FIRST_DATABASE, schema.comment],
                )?;
            }
            Change::AlterSchema(schema) => {
                connection.execute(
                    "UPDATE schemas SET name = ?2, owner = ?3 WHERE oid = ?1",
                    params![schema.oid, schema.name, schema.owner],
                )?;
            }
            Change::DropSchema { oid } => {
                connection.execute("DELETE FROM schemas WHERE oid = ?1", [oid])?;
            }
            Change::CreateTable(definition) => write_definition(connection, definition)?,
            Change::DropTable { table } => {
                connection.execute("DELETE FROM tables WHERE id = ?1", [stored(table.0)?])?;
            }
            Change::AlterTable(definition) => {
                write_definition(connection, definition)?;
                logs.push(definition.id);
            }
            Change::CreateView(view) | Change::AlterView(view) => write_view(connection, view)?,
            Change::DropView { oid } => {
                connection.execute("DELETE FROM views WHERE oid = ?1", [oid])?;
            }
            Change::CreateSequence(sequence) | Change::AlterSequence(sequence) => {
                write_sequence(connection, sequence)?;
            }
            Change::DropSequence { oid } => {
                connection.execute("DELETE FROM sequences WHERE oid = ?1", [oid])?;
                connection.execute("DELETE FROM sequence_values WHERE sequence = ?1", [oid])?;
            }
            Change::AddShards { table, shards } => {
                for shard in shards {
                    insert_shard(connection, *table, shard)?;
                }
            }
            Change::RemoveShards { shards, .. } => {
                for (shard, _) in shards {
                    connection.execute("DELETE FROM shards WHERE id = ?1", [stored(shard.0)?])?;
                }
            }
            Change::SetDeletions { shard, after, .. } => {
                connection.execute(
                    "UPDATE shards SET deletions = ?2, deleted = ?3 WHERE id = ?1",
                    params![stored(shard.0)?, stored(after.version)?, stored(after.rows)?],
                )?;
            }
            Change::Place { shard, workers, .. } => {
                connection.execute("DELETE FROM shard_replicas WHERE shard = ?1", [stored(shard.0)?])?;
                insert_replicas(connection, *shard, workers)?;
            }
            Change::Append { table, .. } | Change::RemoveLogged { table, .. } => logs.push(*table),
            // What was added of late is for those who are at it now.
            Change::AddKeys { .. } => {}
            Change::Comment { on, comment } => {
                let (sql, oid) = match on {
                    CommentOn::Database(oid) => ("UPDATE databases SET comment = ?2 WHERE oid = ?1", oid),
                    CommentOn::Schema(oid) => ("UPDATE schemas SET comment = ?2 WHERE oid = ?1", oid),
                    CommentOn::Role(oid) => ("UPDATE roles SET comment = ?2 WHERE oid = ?1", oid),
                };
                connection.execute(sql, params![oid, comment])?;
            }
        }
    }
    logs.sort_unstable();
    logs.dedup();
    for table in logs {
        write_log(connection, before, after, table)?;
    }
    Ok(())
}

fn write_log(
    connection: &Connection,
    before: &CatalogueSnapshot,
    after: &CatalogueSnapshot,
    table: TableId,
) -> CatalogueResult<()> {
    // A table that was dropped in the same commit has taken its log with it.
    let Some(now) = after.table_by_id(table) else { return Ok(()) };
    let earlier = before.table_by_id(table).map(|table| table.log.clone()).unwrap_or_default();
    let difference = now.log.difference(&earlier)?;
    if !difference.removed.is_empty() {
        let mut delete = connection.prepare("DELETE FROM log WHERE table_id = ?1 AND seq = ?2")?;
        for seq in difference.removed {
            delete.execute(params![stored(table.0)?, stored(seq)?])?;
        }
    }
    let mut insert =
        connection.prepare("INSERT OR REPLACE INTO log (table_id, seq, rows) VALUES (?1, ?2, ?3)")?;
    for entry in difference.written {
        insert.execute(params![stored(table.0)?, stored(entry.seq)?, entry.bytes.as_ref()])?;
    }
    Ok(())
}

/// Writes a table that is new or has changed; its shards and its log stay.
fn write_definition(connection: &Connection, table: &TableDefinition) -> CatalogueResult<()> {
    let id = stored(table.id.0)?;
    connection.execute(
        "INSERT INTO tables
             (id, oid, schema, name, owner, comment, created_at, distribute_by, sort_by, replicas, revision, next_column)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET
             schema = excluded.schema, name = excluded.name, owner = excluded.owner, comment = excluded.comment,
             distribute_by = excluded.distribute_by, sort_by = excluded.sort_by, replicas = excluded.replicas,
             revision = excluded.revision, next_column = excluded.next_column",
        params![
            id,
            table.oid,
            table.schema_oid,
            table.name,
            table.owner,
            table.comment,
            table.created_at_us,
            table.options.distribute_by,
            table.options.sort_by,
            table.options.replicas,
            stored(table.revision)?,
            table.next_column,
        ],
    )?;
    connection.execute("DELETE FROM columns WHERE table_id = ?1", [id])?;
    let mut insert = connection.prepare(
        "INSERT INTO columns (table_id, position, name, type, not_null, comment, default_value, missing, generation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for column in &table.columns {
        insert.execute(params![
            id,
            column.number,
            column.name,
            column.pg_type.declaration(),
            column.not_null,
            column.comment,
            column.default,
            column.missing,
            generation_name(column.generation),
        ])?;
    }
    connection.execute("DELETE FROM constraints WHERE table_id = ?1", [id])?;
    let mut insert = connection.prepare(
        "INSERT INTO constraints (oid, table_id, name, kind, columns, definition, comment)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for constraint in &table.constraints {
        insert.execute(params![
            constraint.oid,
            id,
            constraint.name,
            kind_name(constraint.kind),
            numbers_text(&constraint.columns),
            constraint.definition,
            constraint.comment,
        ])?;
    }
    Ok(())
}

/// Column numbers as one text.
fn numbers_text(numbers: &[u32]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Reads what [`numbers_text`] wrote.
pub(super) fn parse_numbers(text: &str) -> CatalogueResult<Vec<u32>> {
    let numbers = text.split(',').filter(|number| !number.is_empty());
    let corrupt = || CatalogueError::Corrupt(format!("column numbers \"{text}\""));
    numbers.map(|number| number.parse().map_err(|_| corrupt())).collect()
}

const KINDS: [(ConstraintKind, &str); 6] = [
    (ConstraintKind::PrimaryKey, "primary key"),
    (ConstraintKind::Unique, "unique"),
    (ConstraintKind::Check, "check"),
    (ConstraintKind::ForeignKey, "foreign key"),
    (ConstraintKind::Index, "index"),
    (ConstraintKind::UniqueIndex, "unique index"),
];

fn kind_name(kind: ConstraintKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, name)| name)
}

pub(super) fn parse_kind(name: &str) -> CatalogueResult<ConstraintKind> {
    let known = KINDS.iter().find(|(_, known)| *known == name);
    known.map(|(kind, _)| *kind).ok_or_else(|| CatalogueError::Corrupt(format!("constraint kind \"{name}\"")))
}

const GENERATIONS: [(Generation, Option<&str>); 4] = [
    (Generation::None, None),
    (Generation::Stored, Some("stored")),
    (Generation::Always, Some("always")),
    (Generation::ByDefault, Some("by default")),
];

fn generation_name(generation: Generation) -> Option<&'static str> {
    GENERATIONS.iter().find(|(known, _)| *known == generation).and_then(|(_, name)| *name)
}

pub(super) fn parse_generation(name: Option<&str>) -> CatalogueResult<Generation> {
    let known = GENERATIONS.iter().find(|(_, known)| *known == name);
    known.map(|(generation, _)| *generation).ok_or_else(|| {
        CatalogueError::Corrupt(format!("generation \"{}\" of a column", name.unwrap_or_default()))
    })
}

fn write_sequence(connection: &Connection, sequence: &Sequence) -> CatalogueResult<()> {
    let owner = sequence.owned_by;
    connection.execute(
        "INSERT INTO sequences
             (oid, schema, name, owner, comment, type, start, increment, min, max, cache, cycle, owner_table,
              owner_column, identity)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (oid) DO UPDATE SET
             schema = excluded.schema, name = excluded.name, owner = excluded.owner, comment = excluded.comment,
             type = excluded.type, start = excluded.start, increment = excluded.increment, min = excluded.min,
             max = excluded.max, cache = excluded.cache, cycle = excluded.cycle,
             owner_table = excluded.owner_table, owner_column = excluded.owner_column,
             identity = excluded.identity",
        params![
            sequence.oid,
            sequence.schema_oid,
            sequence.name,
            sequence.owner,
            sequence.comment,
            sequence.type_oid,
            sequence.start,
            sequence.increment,
            sequence.min,
            sequence.max,
            sequence.cache,
            sequence.cycle,
            owner.map(|owner| owner.table),
            owner.map(|owner| owner.column),
            owner.map(|owner| owner.identity),
        ],
    )?;
    Ok(())
}

fn write_view(connection: &Connection, view: &View) -> CatalogueResult<()> {
    connection.execute(
        "INSERT INTO views (oid, schema, name, owner, comment, query, search_path)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (oid) DO UPDATE SET
             schema = excluded.schema, name = excluded.name, owner = excluded.owner, comment = excluded.comment,
             query = excluded.query, search_path = excluded.search_path",
        params![
            view.oid,
            view.schema_oid,
            view.name,
            view.owner,
            view.comment,
            view.query,
            view.search_path.join("\n"),
        ],
    )?;
    connection.execute("DELETE FROM view_columns WHERE view = ?1", [view.oid])?;
    let mut insert = connection.prepare(
        "INSERT INTO view_columns (view, position, name, type, typmod) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for ((name, pg_type), position) in view.columns.iter().zip(1_i64..) {
        insert.execute(params![view.oid, position, name, pg_type.oid, pg_type.typmod])?;
    }
    connection.execute("DELETE FROM view_reads WHERE view = ?1", [view.oid])?;
    let mut insert =
        connection.prepare("INSERT OR IGNORE INTO view_reads (view, relation) VALUES (?1, ?2)")?;
    for relation in &view.reads {
        insert.execute(params![view.oid, relation])?;
    }
    Ok(())
}

fn insert_shard(connection: &Connection, table: TableId, shard: &Shard) -> CatalogueResult<()> {
    let inserted = connection
        .prepare(
            "INSERT INTO shards (id, table_id, rows, bytes, checksum, summaries, deletions, deleted)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            stored(shard.id.0)?,
            stored(table.0)?,
            stored(shard.rows)?,
            stored(shard.bytes)?,
            shard.checksum,
            summary_codec::encode(&shard.columns),
            shard.deletions.map(|deletions| stored(deletions.version)).transpose()?,
            shard.deletions.map(|deletions| stored(deletions.rows)).transpose()?,
        ])?;
    if inserted == 0 {
        return Err(CatalogueError::DuplicateShard(shard.id));
    }
    insert_replicas(connection, shard.id, &shard.workers)
}

fn insert_replicas(connection: &Connection, shard: ShardId, workers: &[WorkerId]) -> CatalogueResult<()> {
    let mut insert = connection.prepare(
        "INSERT INTO shard_replicas (shard, ordinal, worker)
         SELECT ?1, ?2, id FROM workers WHERE id = ?3 ON CONFLICT DO NOTHING",
    )?;
    for (worker, ordinal) in workers.iter().zip(0_i64..) {
        if insert.execute(params![stored(shard.0)?, ordinal, worker.0])? == 0 {
            return Err(CatalogueError::UndefinedWorker(worker.0.to_string()));
        }
    }
    Ok(())
}
