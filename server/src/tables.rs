//! The schemas of one session: the users' tables of a snapshot, and the system's relations.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use quickdb_executor::table::ShardTable;

use crate::catalogue::CatalogueSnapshot;
use crate::engine::Engine;
use crate::namespace::{ROWS_SCHEMA, Schemas};
use crate::pg_catalog::PgCatalog;
use crate::sql::provider::ViewRelation;

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
    let rows = RowsSchema { snapshot: Arc::clone(snapshot), engine: Arc::clone(engine) };
    schemas.push((ROWS_SCHEMA.to_owned(), Arc::new(rows)));
    for name in crate::pg_catalog::SYSTEM_SCHEMAS {
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
        let views = self.snapshot.views.iter().filter(|view| view.schema == self.name);
        tables.map(|table| table.name.clone()).chain(views.map(|view| view.name.clone())).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = self.snapshot.table(&self.name, name);
        match table {
            Some(table) => Ok(Some(self.engine.table_provider(table)?)),
            None => {
                let view = self.snapshot.view(&self.name, name);
                Ok(view.map(|view| Arc::new(ViewRelation::new(Arc::clone(view))) as Arc<dyn TableProvider>))
            }
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.table(&self.name, name).is_some() || self.snapshot.view(&self.name, name).is_some()
    }
}

/// Tables by OID, with their rows' places.
#[derive(Debug)]
struct RowsSchema {
    snapshot: Arc<CatalogueSnapshot>,
    engine: Arc<Engine>,
}

#[async_trait]
impl SchemaProvider for RowsSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = name.parse().ok().and_then(|oid| self.snapshot.table_by_oid(oid));
        let Some(table) = table else { return Ok(None) };
        let mut provider = ShardTable::clone(&*self.engine.table_provider(table)?);
        provider.row_ids = true;
        Ok(Some(Arc::new(provider)))
    }

    fn table_exist(&self, name: &str) -> bool {
        name.parse().is_ok_and(|oid| self.snapshot.table_by_oid(oid).is_some())
    }
}
