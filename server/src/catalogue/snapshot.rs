//! An immutable view of the catalogue.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use quickdb_executor::table::{COLUMN_KEY, DeletionRef, MISSING_KEY};
use quickdb_storage::{ColumnSummary, ShardId, TableId};

use super::keys::KeyLog;
use super::log::Log;
use super::pg_type::PgType;
use super::sequences::Sequence;
use super::temporary::is_temporary_schema;
use super::{WorkerId, file};
use crate::auth::scram::Verifier;

/// The catalogue as it was after some commit. Cheap to clone through its [`Arc`]; a reader that holds one sees no
/// later change.
#[derive(Debug, Clone, Default)]
pub struct CatalogueSnapshot {
    /// Tells any two snapshots of a process apart, those inside of transactions too; a later commit has a greater one.
    pub version: u64,
    /// The version in which a definition changed last; with the same one, all but rows is the same.
    pub definitions: u64,
    /// The databases, by OID.
    pub databases: Arc<Vec<Database>>,
    /// The schemas of users, by OID; the system's own are not in it.
    pub schemas: Arc<Vec<Schema>>,
    /// The roles, by OID; the predefined ones are not in it.
    pub roles: Arc<Vec<Role>>,
    /// The workers, by id.
    pub workers: Arc<Vec<Worker>>,
    /// Settings of databases and roles.
    pub settings: Arc<Vec<StoredSetting>>,
    /// The views, by OID.
    pub views: Arc<Vec<Arc<View>>>,
    /// The sequences, by OID.
    pub sequences: Arc<Vec<Arc<Sequence>>>,
    /// The tables, by id.
    pub(super) tables: Vec<Arc<Table>>,
    pub(super) names: Arc<Names>,
}

/// Where tables are in [`CatalogueSnapshot::tables`]; shared by snapshots that have the same tables.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<(String, String), usize>,
    by_oid: HashMap<u32, usize>,
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

/// A table: what it is, and its rows.
#[derive(Debug, Clone)]
pub struct Table {
    pub(super) definition: Arc<TableDefinition>,
    /// Its shards by id.
    pub shards: Arc<Vec<Shard>>,
    /// Its rows that are in no shard yet.
    pub log: Log,
    /// The unique keys that were added of late.
    pub keys: KeyLog,
}

/// What a table is, without its rows.
#[derive(Debug, Clone)]
pub struct TableDefinition {
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
    /// What a commit does to it; always the first for a table that is not temporary.
    pub on_commit: OnCommit,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Its constraints and indexes in the order in which they were made.
    pub constraints: Vec<Constraint>,
    /// Counts the changes of what the table is: rows that were made for another revision do not fit.
    pub revision: u64,
    /// The number that the next new column gets.
    pub next_column: u32,
    pub(super) arrow_schema: SchemaRef,
}

/// A constraint or an index. None but NOT NULL and CHECK is enforced; the others are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Its OID in `pg_constraint`; that of its index is the next one.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// What it says.
    pub kind: ConstraintKind,
    /// Numbers of the columns that it is on, in its order.
    pub columns: Vec<u32>,
    /// The rest in SQL: the condition of a CHECK, what follows REFERENCES of a foreign key, `USING ...` of an index.
    pub definition: String,
    /// What `COMMENT ON CONSTRAINT` or `COMMENT ON INDEX` said.
    pub comment: Option<String>,
}

impl Constraint {
    /// Whether an index is made for it.
    pub fn has_index(&self) -> bool {
        !matches!(self.kind, ConstraintKind::Check | ConstraintKind::ForeignKey)
    }
}

/// What a [`Constraint`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    /// `PRIMARY KEY`.
    PrimaryKey,
    /// `UNIQUE`.
    Unique,
    /// `CHECK`.
    Check,
    /// `FOREIGN KEY`.
    ForeignKey,
    /// `CREATE INDEX`.
    Index,
    /// `CREATE UNIQUE INDEX`.
    UniqueIndex,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
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
    /// What `COMMENT ON VIEW` said.
    pub comment: Option<String>,
    /// Its query in SQL.
    pub query: String,
    /// Where the query's bare names are sought.
    pub search_path: Vec<String>,
    /// Its columns: name and type.
    pub columns: Vec<(String, PgType)>,
    /// OIDs of the tables and views that the query reads.
    pub reads: Vec<u32>,
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

/// What the end of a transaction does to a temporary table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnCommit {
    /// Nothing.
    #[default]
    Preserve,
    /// Takes its rows.
    Delete,
    /// Takes it.
    Drop,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its number in the table (`attnum`), which stays when others go; 0 in a [`super::NewTable`], which gives it one.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its type.
    pub pg_type: PgType,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// What `COMMENT ON COLUMN` said.
    pub comment: Option<String>,
    /// Its `DEFAULT` in SQL.
    pub default: Option<String>,
    /// The value in rows that were there before the column, in the encoding of `quickdb_executor::table`; NULL for
    /// `None`.
    pub missing: Option<String>,
    /// Where its values come from.
    pub generation: Generation,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Generation {
    /// Statements, and its default.
    #[default]
    None,
    /// The expression that its default is, over the other columns of the row.
    Stored,
    /// Its sequence alone; the default calls it.
    Always,
    /// Statements, else its sequence; the default calls it.
    ByDefault,
}

impl Generation {
    /// Whether the column is an identity column.
    pub fn is_identity(self) -> bool {
        matches!(self, Self::Always | Self::ByDefault)
    }
}

impl Column {
    /// A column that takes NULL and has no default.
    pub fn new(name: impl Into<String>, pg_type: PgType) -> Self {
        let (comment, default, missing) = (None, None, None);
        let generation = Generation::None;
        Self { number: 0, name: name.into(), pg_type, not_null: false, comment, default, missing, generation }
    }
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
    /// One summary per column that the shard has, each with the column's number in the table.
    pub columns: Arc<Vec<(u32, ColumnSummary)>>,
    /// Which of its rows are deleted.
    pub deletions: Option<DeletionRef>,
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
        let index = self.names.by_name.get(&(schema.to_owned(), name.to_owned()))?;
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
        self.tables.get(*self.names.by_oid.get(&oid)?)
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

    /// The view of that schema and name.
    pub fn view(&self, schema: &str, name: &str) -> Option<&Arc<View>> {
        self.views.iter().find(|view| view.schema == schema && view.name == name)
    }

    /// The view with that OID in `pg_class`.
    pub fn view_by_oid(&self, oid: u32) -> Option<&Arc<View>> {
        self.views.iter().find(|view| view.oid == oid)
    }

    /// The sequence of that schema and name.
    pub fn sequence(&self, schema: &str, name: &str) -> Option<&Arc<Sequence>> {
        self.sequences.iter().find(|sequence| sequence.schema == schema && sequence.name == name)
    }

    /// The sequence with that OID in `pg_class`.
    pub fn sequence_by_oid(&self, oid: u32) -> Option<&Arc<Sequence>> {
        self.sequences.iter().find(|sequence| sequence.oid == oid)
    }

    /// The sequences that go with a table.
    pub fn sequences_of(&self, table: u32) -> impl Iterator<Item = &Arc<Sequence>> {
        self.sequences
            .iter()
            .filter(move |sequence| sequence.owned_by.is_some_and(|owner| owner.table == table))
    }

    /// Puts other tables, by id, in the place of the present ones.
    pub(super) fn set_tables(&mut self, tables: Vec<Arc<Table>>) {
        let by_name = tables.iter().enumerate();
        let by_name =
            by_name.map(|(index, table)| ((table.schema.clone(), table.name.clone()), index)).collect();
        let by_oid = tables.iter().enumerate().map(|(index, table)| (table.oid, index)).collect();
        self.names = Arc::new(Names { by_name, by_oid });
        self.tables = tables;
    }

    /// Puts another table in the place of the one with its id, which has the same name and OID.
    pub(super) fn set_rows(&mut self, table: Table) {
        if let Ok(index) = self.tables.binary_search_by_key(&table.id, |table| table.id)
            && let Some(slot) = self.tables.get_mut(index)
        {
            *slot = Arc::new(table);
        }
    }
}

impl Deref for Table {
    type Target = TableDefinition;

    fn deref(&self) -> &TableDefinition {
        &self.definition
    }
}

impl Table {
    /// What the table is.
    pub fn definition(&self) -> &Arc<TableDefinition> {
        &self.definition
    }

    /// How many rows the table has.
    pub fn row_count(&self) -> u64 {
        self.shards.iter().map(Shard::live_rows).sum::<u64>() + self.log.rows()
    }

    /// How many bytes the shards have together, replicas not counted.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum::<u64>() + self.log.bytes()
    }
}

impl Shard {
    /// Its rows that are not deleted.
    pub fn live_rows(&self) -> u64 {
        self.rows - self.deletions.map_or(0, |deletions| deletions.rows.min(self.rows))
    }

    /// What its writer said of a column of the table.
    pub fn summary(&self, column: &Column) -> Option<&ColumnSummary> {
        // A table's columns are in the order of their numbers, and so are a shard's.
        let found = self.columns.binary_search_by_key(&column.number, |(number, _)| *number).ok()?;
        self.columns.get(found).map(|(_, summary)| summary)
    }
}

impl TableDefinition {
    /// The name with its schema, as shards and plans carry it.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether it is its session's own.
    pub fn is_temporary(&self) -> bool {
        is_temporary_schema(&self.schema)
    }

    /// The Arrow schema of the table's rows.
    pub fn arrow_schema(&self) -> &SchemaRef {
        &self.arrow_schema
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
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
    let fields = columns.iter().map(|column| {
        let field = column.pg_type.field(&column.name, !column.not_null);
        let mut metadata = field.metadata().clone();
        metadata.insert(COLUMN_KEY.to_owned(), column.number.to_string());
        if let Some(missing) = &column.missing {
            metadata.insert(MISSING_KEY.to_owned(), missing.clone());
        }
        field.with_metadata(metadata)
    });
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
