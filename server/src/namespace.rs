//! The schemas of the one database, as DataFusion asks for them.
//!
//! Which schema an unqualified name belongs to is decided when a statement is planned (`sql::provider`), by the
//! session's search path; nothing is looked up here without its schema.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider};

/// The one database, as plans call it.
pub(crate) const CATALOG: &str = "quickdb";

/// The schema that plans take for names without one.
pub(crate) const DEFAULT_SCHEMA: &str = "public";

/// The schema in which tables, by OID, have two more columns that name their rows: what UPDATE and DELETE select from.
pub(crate) const ROWS_SCHEMA: &str = "quickdb rows";

/// The schema of the rows that an INSERT was to write, by the OID of their table: `excluded`.
pub(crate) const EXCLUDED_SCHEMA: &str = "quickdb excluded";

/// Schemas by name, in no particular order.
pub(crate) type Schemas = Vec<(String, Arc<dyn SchemaProvider>)>;

/// The catalogue list of one session.
pub(crate) fn catalog_list(schemas: Schemas) -> Arc<dyn CatalogProviderList> {
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(Database { schemas }));
    Arc::new(list)
}

#[derive(Debug)]
struct Database {
    schemas: Schemas,
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.iter().map(|(name, _)| name.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.schemas.iter().find(|(schema, _)| schema == name).map(|(_, schema)| Arc::clone(schema))
    }
}
