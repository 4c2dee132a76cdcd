//! Which relation a name means: the schemas of the catalogue and the session's search path over them.
//!
//! DataFusion looks an unqualified name up in its default schema. That schema is ours: it walks the search
//! path, `pg_catalog` first unless the path names it, as PostgreSQL does.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result;

/// The one database.
pub(crate) const CATALOG: &str = "quickdb";

/// Name of the schema that stands for the search path; no user can write it.
pub(crate) const SEARCH_PATH_SCHEMA: &str = "\u{1}search_path";

/// Schemas by name, in no particular order.
pub(crate) type Schemas = Vec<(String, Arc<dyn SchemaProvider>)>;

/// The catalogue list of one session.
pub(crate) fn catalog_list(schemas: Schemas, search_path: Vec<String>) -> Arc<dyn CatalogProviderList> {
    let mut path = search_path;
    if !path.iter().any(|schema| schema == "pg_catalog") {
        path.insert(0, "pg_catalog".to_owned());
    }
    let searched = path
        .iter()
        .filter_map(|name| schemas.iter().find(|(schema, _)| schema == name))
        .map(|(_, schema)| Arc::clone(schema))
        .collect();
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(
        CATALOG.to_owned(),
        Arc::new(Database { schemas, search_path: Arc::new(SearchPath { schemas: searched }) }),
    );
    Arc::new(list)
}

#[derive(Debug)]
struct Database {
    schemas: Schemas,
    search_path: Arc<SearchPath>,
}

impl CatalogProvider for Database {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.iter().map(|(name, _)| name.clone()).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if name == SEARCH_PATH_SCHEMA {
            return Some(Arc::clone(&self.search_path) as _);
        }
        self.schemas.iter().find(|(schema, _)| schema == name).map(|(_, schema)| Arc::clone(schema))
    }
}

#[derive(Debug)]
struct SearchPath {
    schemas: Vec<Arc<dyn SchemaProvider>>,
}

#[async_trait]
impl SchemaProvider for SearchPath {
    fn table_names(&self) -> Vec<String> {
        self.schemas.iter().flat_map(|schema| schema.table_names()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        for schema in &self.schemas {
            if let Some(table) = schema.table(name).await? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.schemas.iter().any(|schema| schema.table_exist(name))
    }
}
