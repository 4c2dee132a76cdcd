//! The schemas of one session: the users' tables of a snapshot, and the system's relations.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;

use crate::catalogue::CatalogueSnapshot;
use crate::engine::Engine;
use crate::namespace::Schemas;
use crate::pg_catalog::PgCatalog;

/// Every schema by name. Nothing is made before a name is looked up.
pub(crate) fn schemas(
    engine: &Arc<Engine>,
    snapshot: &Arc<CatalogueSnapshot>,
    system: &PgCatalog,
) -> Schemas {
    let mut schemas: Schemas = snapshot
        .schemas
        .iter()
        .map(|schema| {
            let tables = UserSchema {
                name: schema.name.clone(),
                snapshot: Arc::clone(snapshot),
                engine: Arc::clone(engine),
            };
            (schema.name.clone(), Arc::new(tables) as Arc<dyn SchemaProvider>)
        })
        .collect();
    for name in ["pg_catalog", "information_schema"] {
        schemas.retain(|(schema, _)| schema != name);
        schemas.push((name.to_owned(), system.system_schema(name)));
    }
    schemas
}

#[derive(Debug)]
struct UserSchema {
    name: String,
    snapshot: Arc<CatalogueSnapshot>,
    engine: Arc<Engine>,
}

#[async_trait]
impl SchemaProvider for UserSchema {
    fn table_names(&self) -> Vec<String> {
        let tables = self.snapshot.tables().iter().filter(|table| table.schema == self.name);
        tables.map(|table| table.name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = self.snapshot.table(&self.name, name);
        Ok(table.map(|table| self.engine.table_provider(table) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.table(&self.name, name).is_some()
    }
}
