//! An immutable view of the catalogue.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use quickdb_storage::{ColumnSummary, ShardId, TableId};

use super::pg_type::PgType;
use super::{WorkerId, file};
use crate::auth::scram::Verifier;

/// The catalogue as it was after some commit. Cheap to clone through its [`Arc`]; a reader that holds one sees no
/// later change.
#[derive(Debug, Clone, Default)]
pub struct CatalogueSnapshot {
    /// Counts the commits since the catalogue was opened, so that two snapshots can be told apart.
    pub version: u64,
    /// The databases, by OID.
    pub databases: Vec<Database>,
    /// The schemas of users, by OID; the system's own are not in it.
    pub schemas: Vec<Schema>,
    /// The roles, by OID; the predefined ones are not in it.
    pub roles: Vec<Role>,
    /// The workers, by id.
    pub workers: Vec<Worker>,
    /// Settings of databases and roles.
    pub settings: Vec<StoredSetting>,
    /// The tables, by id.
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) table_by_name: HashMap<(String, String), usize>,
    pub(super) table_by_oid: HashMap<u32, usize>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// The OID of its owner.
    pub owner: u32,
    /// What `COMMENT ON DATABASE` said.
    pub comment: Option<String>,
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// The OID of its owner.
    pub owner: u32,
    /// What `COMMENT ON SCHEMA` said.
    pub comment: Option<String>,
}

/// A table with its columns and its shards.
#[derive(Debug, Clone)]
pub struct Table {
    /// The identity that its shards carry.
    pub id: TableId,
    /// Its OID in `pg_class`. The two OIDs after it are its array type and its row type.
    pub oid: u32,
    /// The OID of its schema.
    pub schema_oid: u32,
    /// The name of its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The OID of its owner.
    pub owner: u32,
    /// What `COMMENT ON TABLE` said.
    pub comment: Option<String>,
    /// When it was created: microseconds since 1970.
    pub created_at_us: i64,
    /// The `WITH` options.
    pub options: TableOptions,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Its shards by id.
    pub shards: Vec<Shard>,
    pub(super) arrow_schema: SchemaRef,
}

/// A table's `WITH (...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableOptions {
    /// How rows find their worker: `round_robin`, `hash(col, ...)`, `sky(ra, dec)` or `all`.
    pub distribute_by: Option<String>,
    /// The columns that a shard's rows are sorted by.
    pub sort_by: Option<String>,
    /// On how many workers each shard is kept.
    pub replicas: u32,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { distribute_by: None, sort_by: None, replicas: 1 }
    }
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub pg_type: PgType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// What `COMMENT ON COLUMN` said.
    pub comment: Option<String>,
}

/// A committed shard and the workers that hold it.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The shard.
    pub id: ShardId,
    /// How many rows it has.
    pub rows: u64,
    /// How many bytes its file has.
    pub bytes: u64,
    /// The checksum of its footer.
    pub checksum: u32,
    /// One summary per column of the table.
    pub columns: Arc<Vec<ColumnSummary>>,
    /// The workers that hold it, the preferred one first.
    pub workers: Vec<WorkerId>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its number.
    pub id: WorkerId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// Its address, `host:port`.
    pub address: String,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub superuser: bool,
    /// Whether it may connect.
    pub login: bool,
    /// What a password is checked against; `None` when it has no password.
    pub verifier: Option<Verifier>,
    /// What `COMMENT ON ROLE` said.
    pub comment: Option<String>,
}

/// A setting that `ALTER DATABASE` or `ALTER ROLE ... SET` stored, or one of the server (both OIDs 0).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSetting {
    /// The database, 0 for all.
    pub database: u32,
    /// The role, 0 for all.
    pub role: u32,
    /// The setting's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl CatalogueSnapshot {
    /// All tables, by id.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The table of that schema and name.
    pub fn table(&self, schema: &str, name: &str) -> Option<&Arc<Table>> {
        // A map from a pair of owned strings cannot be asked with borrowed ones; a table's name is short.
        let index = self.table_by_name.get(&(schema.to_owned(), name.to_owned()))?;
        self.tables.get(*index)
    }

    /// The first table of that name in the schemas of a search path.
    pub fn table_in_path<'a>(
        &self,
        search_path: impl IntoIterator<Item = &'a str>,
        name: &str,
    ) -> Option<&Arc<Table>> {
        search_path.into_iter().find_map(|schema| self.table(schema, name))
    }

    /// The table with that OID in `pg_class`.
    pub fn table_by_oid(&self, oid: u32) -> Option<&Arc<Table>> {
        self.tables.get(*self.table_by_oid.get(&oid)?)
    }

    /// The table whose shards carry that identity.
    pub fn table_by_id(&self, id: TableId) -> Option<&Arc<Table>> {
        let index = self.tables.binary_search_by_key(&id, |table| table.id).ok()?;
        self.tables.get(index)
    }

    /// The schema of that name.
    pub fn schema(&self, name: &str) -> Option<&Schema> {
        self.schemas.iter().find(|schema| schema.name == name)
    }

    /// The role of that name.
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// The worker of that number.
    pub fn worker(&self, id: WorkerId) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.id == id)
    }

    pub(super) fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        let keys = |key: fn(&Table) -> (String, String)| {
            tables.iter().enumerate().map(move |(index, table)| (key(table), index))
        };
        self.table_by_name = keys(|table| (table.schema.clone(), table.name.clone())).collect();
        self.table_by_oid = tables.iter().enumerate().map(|(index, table)| (table.oid, index)).collect();
        self.tables = tables;
    }
}

impl Table {
    /// The Arrow schema of the table's rows.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow_schema
    }

    /// The name with its schema, as shards and plans carry it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// How many rows the shards have together.
    pub fn row_count(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }

    /// How many bytes the shards have together, replicas not counted.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// The OID of the array type over the table's rows.
    pub fn array_type_oid(&self) -> u32 {
        self.oid + 1
    }

    /// The OID of the table's row type.
    pub fn row_type_oid(&self) -> u32 {
        self.oid + 2
    }
}

/// How many consecutive OIDs a table takes: itself, its array type, its row type.
pub(super) const OIDS_PER_TABLE: u32 = 3;

/// The Arrow schema of `columns`.
pub(super) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let fields = columns.iter().map(|column| column.pg_type.field(&column.name, !column.not_null));
    Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
}

impl Database {
    /// The name of the database that exists from the start.
    pub const FIRST: &'static str = file::FIRST_DATABASE;
}

impl Role {
    /// The name of the role that exists from the start.
    pub const FIRST: &'static str = file::FIRST_ROLE;
}
