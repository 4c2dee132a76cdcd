//! What a new table is made of.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::Schema as ArrowSchema;
use quickdb_storage::TableId;

use super::error::{CatalogueError, CatalogueResult};
use super::file;
use super::pg_type::PgType;
use super::snapshot::{
    CatalogueSnapshot, Column, Constraint, OIDS_PER_TABLE, OnCommit, Schema, TableDefinition, TableOptions,
    arrow_schema,
};
use super::{Catalogue, Change};

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
    /// Constraints; their columns are counted from 1.
    pub constraints: Vec<Constraint>,
    /// The `WITH` options.
    pub options: TableOptions,
    /// What a commit does to it, if it is temporary.
    pub on_commit: OnCommit,
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
            let column = Column::new(field.name(), PgType::of_field(field)?);
            Ok(Column { not_null: !field.is_nullable(), ..column })
        });
        Ok(Self {
            id,
            schema: schema.to_owned(),
            name: name.to_owned(),
            owner: file::FIRST_ROLE.to_owned(),
            columns: columns.collect::<CatalogueResult<_>>()?,
            constraints: Vec::new(),
            options: TableOptions::default(),
            on_commit: OnCommit::default(),
            comment: None,
        })
    }

    /// The table's definition: its columns get their numbers, the table its OIDs.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedSchema`], [`CatalogueError::UndefinedRole`], and those of [`check_columns`].
    pub fn define(
        self,
        catalogue: &Catalogue,
        snapshot: &CatalogueSnapshot,
    ) -> CatalogueResult<Arc<TableDefinition>> {
        let schema = snapshot.schema(&self.schema);
        let schema = schema.ok_or_else(|| CatalogueError::UndefinedSchema(self.schema.clone()))?;
        check_columns(&self.columns)?;
        let numbered = self.columns.into_iter().zip(1_u32..);
        let columns = numbered.map(|(column, number)| Column { number, ..column }).collect::<Vec<_>>();
        Ok(Arc::new(TableDefinition {
            id: self.id,
            oid: catalogue.allocate_oids(OIDS_PER_TABLE)?,
            schema_oid: schema.oid,
            schema: self.schema,
            name: self.name,
            owner: role_oid(snapshot, &self.owner)?,
            comment: self.comment,
            created_at_us: now_us(),
            options: self.options,
            on_commit: self.on_commit,
            constraints: self.constraints,
            revision: 0,
            next_column: u32::try_from(columns.len()).unwrap_or(u32::MAX) + 1,
            arrow_schema: arrow_schema(&columns),
            columns,
        }))
    }
}

impl Catalogue {
    /// Creates a schema: its OID.
    ///
    /// # Errors
    /// [`CatalogueError::DuplicateSchema`], [`CatalogueError::ReservedName`], [`CatalogueError::UndefinedRole`].
    pub fn create_schema(&self, name: &str, owner: &str) -> CatalogueResult<u32> {
        let oid = self.allocate_oids(1)?;
        let owner = role_oid(&self.snapshot(), owner)?;
        self.commit(vec![Change::CreateSchema(Schema { oid, name: name.to_owned(), owner, comment: None })])?;
        Ok(oid)
    }

    /// Creates a table without rows: its definition.
    ///
    /// # Errors
    /// [`CatalogueError::DuplicateTable`], [`CatalogueError::UndefinedSchema`], and those of its columns.
    pub fn create_table(&self, table: NewTable) -> CatalogueResult<Arc<TableDefinition>> {
        let definition = table.define(self, &self.snapshot())?;
        self.commit(vec![Change::CreateTable(Arc::clone(&definition))])?;
        Ok(definition)
    }
}

pub(super) fn role_oid(current: &CatalogueSnapshot, name: &str) -> CatalogueResult<u32> {
    let role = current.role(name).ok_or_else(|| CatalogueError::UndefinedRole(name.to_owned()))?;
    Ok(role.oid)
}

/// Whether a table can have these columns together.
///
/// # Errors
/// [`CatalogueError::TooManyColumns`], [`CatalogueError::DuplicateColumn`], [`CatalogueError::ReservedName`].
pub fn check_columns(columns: &[Column]) -> CatalogueResult<()> {
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

/// Microseconds since 1970.
fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, pg_type: &str) -> Column {
        Column::new(name, PgType::parse(pg_type).unwrap())
    }

    fn new_table(catalogue: &Catalogue, name: &str) -> NewTable {
        NewTable {
            id: catalogue.allocate_table_id().unwrap(),
            schema: "public".into(),
            name: name.into(),
            owner: "quickdb".into(),
            columns: vec![column("id", "bigint"), column("price", "numeric(8,2)")],
            constraints: Vec::new(),
            options: TableOptions { distribute_by: Some("hash(id)".into()), ..TableOptions::default() },
            on_commit: OnCommit::default(),
            comment: None,
        }
    }

    #[test]
    fn a_table_comes_back_as_it_was_created_and_keeps_its_oid() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue");
        let catalogue = Catalogue::open(&path).unwrap();
        let table = catalogue.create_table(new_table(&catalogue, "sales")).unwrap();
        let altered = table.altered(|table| {
            table.comment = Some("what was sold".into());
            table.columns[1].comment = Some("in euros".into());
        });
        catalogue.commit(vec![Change::AlterTable(altered)]).unwrap();
        drop(catalogue);

        let catalogue = Catalogue::open(&path).unwrap();
        let snapshot = catalogue.snapshot();
        let read = snapshot.table_by_oid(table.oid).unwrap();
        assert_eq!((read.full_name(), read.id), ("public.sales".into(), table.id));
        assert_eq!(read.comment.as_deref(), Some("what was sold"));
        assert_eq!(read.options.distribute_by.as_deref(), Some("hash(id)"));
        assert_eq!(read.columns[1].pg_type.to_string(), "numeric(8,2)");
        assert_eq!(read.columns[1].comment.as_deref(), Some("in euros"));
        assert_eq!(read.arrow_schema().field(1).data_type().to_string(), "Decimal128(8, 2)");
        assert_eq!(snapshot.table_in_path(["nowhere", "public"], "sales").unwrap().oid, table.oid);
        let later = catalogue.create_table(new_table(&catalogue, "more")).unwrap();
        assert!(later.oid >= table.oid + OIDS_PER_TABLE && later.id > table.id);
    }

    #[test]
    fn oids_are_not_used_again_and_readers_keep_their_snapshot() {
        let catalogue = Catalogue::in_memory().unwrap();
        let first = catalogue.create_table(new_table(&catalogue, "a")).unwrap();
        let before = catalogue.snapshot();
        catalogue.commit(vec![Change::DropTable { table: first.id }]).unwrap();
        let second = catalogue.create_table(new_table(&catalogue, "a")).unwrap();
        assert_eq!(second.oid, first.oid + OIDS_PER_TABLE);
        assert_eq!(before.table("public", "a").unwrap().oid, first.oid);
        assert_eq!(catalogue.snapshot().table("public", "a").unwrap().oid, second.oid);
        assert!(before.version < catalogue.snapshot().version);
    }

    #[test]
    fn mistakes_are_named_and_change_nothing() {
        let catalogue = Catalogue::in_memory().unwrap();
        let table = new_table(&catalogue, "a");
        catalogue.create_table(table.clone()).unwrap();
        let version = catalogue.snapshot().version;
        let refused = |change: fn(&mut NewTable)| {
            let mut table = NewTable { name: "b".into(), id: TableId(99), ..table.clone() };
            change(&mut table);
            catalogue.create_table(table).unwrap_err().to_string()
        };
        assert_eq!(refused(|table| table.name = "a".into()), "relation \"a\" already exists");
        assert_eq!(refused(|table| table.schema = "s".into()), "schema \"s\" does not exist");
        assert_eq!(refused(|table| table.owner = "joe".into()), "role \"joe\" does not exist");
        assert_eq!(
            refused(|table| table.columns[1].name = "id".into()),
            "column \"id\" specified more than once"
        );
        assert!(matches!(catalogue.create_schema("pg_x", "quickdb"), Err(CatalogueError::ReservedName(_))));
        let public = catalogue.snapshot().schema("public").unwrap().oid;
        assert!(matches!(
            catalogue.commit(vec![Change::DropSchema { oid: public }]),
            Err(CatalogueError::SchemaNotEmpty(_))
        ));
        assert!(matches!(
            catalogue.create_schema("public", "quickdb"),
            Err(CatalogueError::DuplicateSchema(_))
        ));
        assert_eq!(catalogue.snapshot().version, version);
    }
}
