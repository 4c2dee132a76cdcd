//! Creating, altering and dropping schemas and tables.

use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::Schema as ArrowSchema;
use quickdb_storage::{ShardId, TableId};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::{CatalogueError, CatalogueResult};
use super::file::{self, FIRST_DATABASE};
use super::load::{Touched, stored};
use super::pg_type::PgType;
use super::snapshot::{Column, OIDS_PER_TABLE, Table, TableOptions};
use super::{Catalogue, CatalogueSnapshot, WorkerId, no_tables};

/// As many columns as PostgreSQL allows.
const COLUMNS_MAX: usize = 1_600;

/// A table to be created.
#[derive(Debug, Clone)]
pub struct NewTable {
    /// The identity from [`Catalogue::allocate_table_id`], which its shards may carry already.
    pub id: TableId,
    /// The schema, which must exist.
    pub schema: String,
    /// The name.
    pub name: String,
    /// The owner's name.
    pub owner: String,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// The `WITH` options.
    pub options: TableOptions,
    /// The comment.
    pub comment: Option<String>,
}

impl NewTable {
    /// A table with the columns of an Arrow schema, as a file brings it.
    ///
    /// # Errors
    /// [`CatalogueError::UnsupportedType`] for a column that no SQL type stands for.
    pub fn of_arrow(id: TableId, schema: &str, name: &str, columns: &ArrowSchema) -> CatalogueResult<Self> {
        let columns = columns.fields().iter().map(|field| {
            Ok(Column {
                name: field.name().clone(),
                pg_type: PgType::of_field(field)?,
                not_null: !field.is_nullable(),
                comment: None,
            })
        });
        Ok(Self {
            id,
            schema: schema.to_owned(),
            name: name.to_owned(),
            owner: file::FIRST_ROLE.to_owned(),
            columns: columns.collect::<CatalogueResult<_>>()?,
            options: TableOptions::default(),
            comment: None,
        })
    }
}

/// What a `COMMENT ON` is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commented<'a> {
    /// A database.
    Database(&'a str),
    /// A schema.
    Schema(&'a str),
    /// A role.
    Role(&'a str),
    /// A table.
    Table(TableId),
    /// A column of a table.
    Column(TableId, &'a str),
}

impl Catalogue {
    /// Reserves the identity of a table that is to be created, so that shards can be written for it first.
    pub fn allocate_table_id(&self) -> CatalogueResult<TableId> {
        self.commit(|transaction, _| Ok(no_tables(TableId(file::take(transaction, "table", 1)?))))
    }

    /// Creates a schema: its OID.
    ///
    /// # Errors
    /// [`CatalogueError::DuplicateSchema`], [`CatalogueError::ReservedName`], [`CatalogueError::UndefinedRole`].
    pub fn create_schema(&self, name: &str, owner: &str) -> CatalogueResult<u32> {
        self.commit(|transaction, current| {
            if name.is_empty() || name.starts_with("pg_") || name == "information_schema" {
                return Err(CatalogueError::ReservedName(name.to_owned()));
            }
            if current.schema(name).is_some() {
                return Err(CatalogueError::DuplicateSchema(name.to_owned()));
            }
            let oid = file::take_oids(transaction, 1)?;
            transaction.execute(
                "INSERT INTO schemas (oid, database, name, owner)
                 SELECT ?1, databases.oid, ?2, ?3 FROM databases WHERE databases.name = ?4",
                params![oid, name, role_oid(current, owner)?, FIRST_DATABASE],
            )?;
            Ok(no_tables(oid))
        })
    }

    /// Drops a schema and, where `cascade` says so, the tables in it: the shards that their workers can remove.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedSchema`], [`CatalogueError::SchemaNotEmpty`].
    pub fn drop_schema(&self, name: &str, cascade: bool) -> CatalogueResult<Vec<(ShardId, Vec<WorkerId>)>> {
        self.commit(|transaction, current| {
            let schema =
                current.schema(name).ok_or_else(|| CatalogueError::UndefinedSchema(name.to_owned()))?;
            let tables = current.tables().iter().filter(|table| table.schema_oid == schema.oid);
            let tables = tables.collect::<Vec<_>>();
            if !cascade && !tables.is_empty() {
                return Err(CatalogueError::SchemaNotEmpty(name.to_owned()));
            }
            let mut shards = Vec::new();
            for table in &tables {
                shards.extend(delete_table(transaction, table)?);
            }
            transaction.execute("DELETE FROM schemas WHERE oid = ?1", [schema.oid])?;
            Ok((shards, Touched::Tables(tables.iter().map(|table| table.id).collect())))
        })
    }

    /// Creates a table without rows: its OID.
    ///
    /// # Errors
    /// [`CatalogueError::DuplicateTable`], [`CatalogueError::UndefinedSchema`], and those of its columns.
    pub fn create_table(&self, table: &NewTable) -> CatalogueResult<u32> {
        self.commit(|transaction, current| {
            Ok((insert_table(transaction, current, table)?, Touched::Tables(vec![table.id])))
        })
    }

    /// Drops a table: the shards that their workers can remove once no reader has an older snapshot.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedTable`].
    pub fn drop_table(&self, id: TableId) -> CatalogueResult<Vec<(ShardId, Vec<WorkerId>)>> {
        self.commit(|transaction, current| {
            let shards = delete_table(transaction, existing(current, id)?)?;
            Ok((shards, Touched::Tables(vec![id])))
        })
    }

    /// Gives a table another name in its schema.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedTable`], [`CatalogueError::DuplicateTable`].
    pub fn rename_table(&self, id: TableId, name: &str) -> CatalogueResult<()> {
        self.commit(|transaction, current| {
            let table = existing(current, id)?;
            if current.table(&table.schema, name).is_some() {
                return Err(CatalogueError::DuplicateTable(name.to_owned()));
            }
            transaction.execute("UPDATE tables SET name = ?2 WHERE id = ?1", params![stored(id.0)?, name])?;
            Ok(((), Touched::Tables(vec![id])))
        })
    }

    /// Sets a comment, or removes it with `None`.
    ///
    /// # Errors
    /// The `Undefined` kind of what is not there.
    pub fn comment_on(&self, on: Commented<'_>, comment: Option<&str>) -> CatalogueResult<()> {
        self.commit(|transaction, current| {
            // PostgreSQL takes an empty comment as none.
            let comment = comment.filter(|comment| !comment.is_empty());
            let (changed, missing, touched) = match on {
                Commented::Database(name) => (
                    transaction.execute(
                        "UPDATE databases SET comment = ?2 WHERE name = ?1",
                        params![name, comment],
                    )?,
                    CatalogueError::UndefinedDatabase(name.to_owned()),
                    Vec::new(),
                ),
                Commented::Schema(name) => {
                    let schema = current.schema(name).map(|schema| schema.oid);
                    let tables = current.tables().iter().filter(|table| Some(table.schema_oid) == schema);
                    (
                        transaction.execute(
                            "UPDATE schemas SET comment = ?2 WHERE name = ?1",
                            params![name, comment],
                        )?,
                        CatalogueError::UndefinedSchema(name.to_owned()),
                        tables.map(|table| table.id).collect(),
                    )
                }
                Commented::Role(name) => (
                    transaction
                        .execute("UPDATE roles SET comment = ?2 WHERE name = ?1", params![name, comment])?,
                    CatalogueError::UndefinedRole(name.to_owned()),
                    Vec::new(),
                ),
                Commented::Table(id) => (
                    transaction.execute(
                        "UPDATE tables SET comment = ?2 WHERE id = ?1",
                        params![stored(id.0)?, comment],
                    )?,
                    CatalogueError::UndefinedTable(id.to_string()),
                    vec![id],
                ),
                Commented::Column(id, column) => (
                    transaction.execute(
                        "UPDATE columns SET comment = ?3 WHERE table_id = ?1 AND name = ?2",
                        params![stored(id.0)?, column, comment],
                    )?,
                    CatalogueError::UndefinedColumn {
                        table: existing(current, id)?.name.clone(),
                        column: column.to_owned(),
                    },
                    vec![id],
                ),
            };
            if changed == 0 { Err(missing) } else { Ok(((), Touched::Tables(touched))) }
        })
    }
}

/// The table with that id.
pub(super) fn existing(current: &CatalogueSnapshot, id: TableId) -> CatalogueResult<&Table> {
    let table = current.table_by_id(id).ok_or_else(|| CatalogueError::UndefinedTable(id.to_string()))?;
    Ok(table)
}

pub(super) fn role_oid(current: &CatalogueSnapshot, name: &str) -> CatalogueResult<u32> {
    let role = current.role(name).ok_or_else(|| CatalogueError::UndefinedRole(name.to_owned()))?;
    Ok(role.oid)
}

/// Writes a new table and its columns: its OID.
pub(super) fn insert_table(
    connection: &Connection,
    current: &CatalogueSnapshot,
    table: &NewTable,
) -> CatalogueResult<u32> {
    let schema =
        current.schema(&table.schema).ok_or_else(|| CatalogueError::UndefinedSchema(table.schema.clone()))?;
    if current.table(&table.schema, &table.name).is_some() {
        return Err(CatalogueError::DuplicateTable(table.name.clone()));
    }
    check_columns(&table.columns)?;
    check_allocated(connection, "table", table.id.0)?;
    let oid = file::take_oids(connection, OIDS_PER_TABLE)?;
    let id = stored(table.id.0)?;
    connection.execute(
        "INSERT INTO tables
             (id, oid, schema, name, owner, comment, created_at, distribute_by, sort_by, replicas)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id,
            oid,
            schema.oid,
            table.name,
            role_oid(current, &table.owner)?,
            table.comment,
            now_us(),
            table.options.distribute_by,
            table.options.sort_by,
            table.options.replicas,
        ],
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO columns (table_id, position, name, type, not_null, comment)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (column, position) in table.columns.iter().zip(1_i64..) {
        insert.execute(params![
            id,
            position,
            column.name,
            column.pg_type.to_string(),
            column.not_null,
            column.comment,
        ])?;
    }
    Ok(oid)
}

fn check_columns(columns: &[Column]) -> CatalogueResult<()> {
    if columns.len() > COLUMNS_MAX {
        return Err(CatalogueError::TooManyColumns { max: COLUMNS_MAX });
    }
    let mut names = HashSet::new();
    for column in columns {
        if column.name.is_empty() {
            return Err(CatalogueError::ReservedName(String::new()));
        }
        if !names.insert(&column.name) {
            return Err(CatalogueError::DuplicateColumn(column.name.clone()));
        }
    }
    Ok(())
}

/// An id that the counter has not reached yet would be given out again later.
pub(super) fn check_allocated(connection: &Connection, counter: &str, id: u64) -> CatalogueResult<()> {
    let next: Option<i64> = connection
        .query_row("SELECT next FROM counters WHERE name = ?1", [counter], |row| row.get(0))
        .optional()?;
    match next {
        Some(next) if stored(id)? < next => Ok(()),
        _ => Err(CatalogueError::Corrupt(format!("{counter} {id} was not allocated"))),
    }
}

fn delete_table(connection: &Connection, table: &Table) -> CatalogueResult<Vec<(ShardId, Vec<WorkerId>)>> {
    connection.execute("DELETE FROM tables WHERE id = ?1", [stored(table.id.0)?])?;
    Ok(table.shards.iter().map(|shard| (shard.id, shard.workers.clone())).collect())
}

/// Microseconds since 1970.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, pg_type: &str) -> Column {
        Column { name: name.into(), pg_type: PgType::parse(pg_type).unwrap(), not_null: false, comment: None }
    }

    fn new_table(catalogue: &Catalogue, name: &str) -> NewTable {
        NewTable {
            id: catalogue.allocate_table_id().unwrap(),
            schema: "public".into(),
            name: name.into(),
            owner: "quickdb".into(),
            columns: vec![column("id", "bigint"), column("price", "numeric(8,2)")],
            options: TableOptions { distribute_by: Some("hash(id)".into()), ..TableOptions::default() },
            comment: None,
        }
    }

    #[test]
    fn a_table_comes_back_as_it_was_created_and_keeps_its_oid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue");
        let catalogue = Catalogue::open(&path).unwrap();
        let oid = catalogue.create_table(&new_table(&catalogue, "sales")).unwrap();
        let id = catalogue.snapshot().table("public", "sales").unwrap().id;
        catalogue.comment_on(Commented::Table(id), Some("what was sold")).unwrap();
        catalogue.comment_on(Commented::Column(id, "price"), Some("in euros")).unwrap();
        drop(catalogue);

        let snapshot = Catalogue::open(&path).unwrap().snapshot();
        let table = snapshot.table_by_oid(oid).unwrap();
        assert_eq!((table.full_name(), table.id), ("public.sales".into(), id));
        assert_eq!(table.comment.as_deref(), Some("what was sold"));
        assert_eq!(table.options.distribute_by.as_deref(), Some("hash(id)"));
        assert_eq!(table.columns[1].pg_type.to_string(), "numeric(8,2)");
        assert_eq!(table.columns[1].comment.as_deref(), Some("in euros"));
        assert_eq!(table.arrow_schema().field(1).data_type().to_string(), "Decimal128(8, 2)");
        assert_eq!(snapshot.table_in_path(["nowhere", "public"], "sales").unwrap().oid, oid);
    }

    #[test]
    fn oids_are_not_used_again_and_readers_keep_their_snapshot() {
        let catalogue = Catalogue::in_memory().unwrap();
        let first = catalogue.create_table(&new_table(&catalogue, "a")).unwrap();
        let before = catalogue.snapshot();
        catalogue.drop_table(before.table("public", "a").unwrap().id).unwrap();
        let second = catalogue.create_table(&new_table(&catalogue, "a")).unwrap();
        assert_eq!(second, first + OIDS_PER_TABLE);
        assert_eq!(before.table("public", "a").unwrap().oid, first);
        assert_eq!(catalogue.snapshot().table("public", "a").unwrap().oid, second);
        assert!(before.version < catalogue.snapshot().version);
    }

    #[test]
    fn mistakes_are_named_and_change_nothing() {
        let catalogue = Catalogue::in_memory().unwrap();
        let table = new_table(&catalogue, "a");
        catalogue.create_table(&table).unwrap();
        let version = catalogue.snapshot().version;
        let refused = |change: fn(&mut NewTable)| {
            let mut table = NewTable { name: "b".into(), id: TableId(99), ..table.clone() };
            change(&mut table);
            catalogue.create_table(&table).unwrap_err().to_string()
        };
        assert_eq!(refused(|table| table.name = "a".into()), "relation \"a\" already exists");
        assert_eq!(refused(|table| table.schema = "s".into()), "schema \"s\" does not exist");
        assert_eq!(
            refused(|table| table.owner = "joe".into()),
            "catalogue is corrupt: table 99 was not allocated"
        );
        assert_eq!(
            refused(|table| table.columns[1].name = "id".into()),
            "column \"id\" specified more than once"
        );
        assert!(matches!(catalogue.create_schema("pg_x", "quickdb"), Err(CatalogueError::ReservedName(_))));
        assert!(matches!(catalogue.drop_schema("public", false), Err(CatalogueError::SchemaNotEmpty(_))));
        assert!(matches!(
            catalogue.create_schema("public", "quickdb"),
            Err(CatalogueError::DuplicateSchema(_))
        ));
        assert_eq!(catalogue.snapshot().version, version);
    }

    #[test]
    fn a_schema_goes_with_its_tables_when_asked_to() {
        let catalogue = Catalogue::in_memory().unwrap();
        catalogue.create_schema("lab", "quickdb").unwrap();
        let table = NewTable { schema: "lab".into(), ..new_table(&catalogue, "t") };
        catalogue.create_table(&table).unwrap();
        catalogue.rename_table(table.id, "renamed").unwrap();
        assert!(catalogue.snapshot().table("lab", "renamed").is_some());
        catalogue.drop_schema("lab", true).unwrap();
        let snapshot = catalogue.snapshot();
        assert!(snapshot.schema("lab").is_none() && snapshot.tables().is_empty());
    }
}
