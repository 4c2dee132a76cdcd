//! The schemas of one session: the users' tables of a snapshot, and the system's relations.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session as DataFusionSession, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use quickdb_executor::table::ShardTable;

use crate::catalogue::{CatalogueSnapshot, Sequence};
use crate::engine::Engine;
use crate::namespace::{EXCLUDED_SCHEMA, ROWS_SCHEMA, Schemas};
use crate::pg_catalog::PgCatalog;
use crate::sql::provider::ViewRelation;
use crate::write::conflict::Excluded;

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
    let excluded = ExcludedSchema { snapshot: Arc::clone(snapshot) };
    schemas.push((EXCLUDED_SCHEMA.to_owned(), Arc::new(excluded)));
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
                let view = view.map(|view| Arc::new(ViewRelation::new(Arc::clone(view))) as _);
                let sequence = || {
                    let sequence = Arc::clone(self.snapshot.sequence(&self.name, name)?);
                    let engine = Arc::clone(&self.engine);
                    Some(Arc::new(SequenceRelation { sequence, engine }) as Arc<dyn TableProvider>)
                };
                Ok(view.or_else(sequence))
            }
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.snapshot.relation(&self.name, name).is_some()
    }
}

/// A sequence as the relation of one row that it is.
#[derive(Debug)]
struct SequenceRelation {
    sequence: Arc<Sequence>,
    engine: Arc<Engine>,
}

#[async_trait]
impl TableProvider for SequenceRelation {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("last_value", DataType::Int64, false),
            Field::new("log_cnt", DataType::Int64, false),
            Field::new("is_called", DataType::Boolean, false),
        ]))
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn DataFusionSession,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let value = self.engine.catalogue.sequence_value(&self.sequence);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![value.last])),
            Arc::new(Int64Array::from(vec![0])),
            Arc::new(BooleanArray::from(vec![value.called])),
        ];
        let row = RecordBatch::try_new(self.schema(), columns)?;
        MemTable::try_new(self.schema(), vec![vec![row]])?.scan(state, projection, filters, limit).await
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

/// Rows that are to be written, by the OID of their table.
#[derive(Debug)]
struct ExcludedSchema {
    snapshot: Arc<CatalogueSnapshot>,
}

#[async_trait]
impl SchemaProvider for ExcludedSchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let table = name.parse().ok().and_then(|oid| self.snapshot.table_by_oid(oid));
        Ok(table.map(|table| Arc::new(Excluded::of(table)) as Arc<dyn TableProvider>))
    }

    fn table_exist(&self, name: &str) -> bool {
        name.parse().is_ok_and(|oid| self.snapshot.table_by_oid(oid).is_some())
    }
}
