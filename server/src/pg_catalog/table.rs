//! The system relations as tables of DataFusion.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::PgCatalog;
use super::relation::{self, RELATIONS, Relation};
use super::rows::Rows;

/// The column that workers are asked for.
const ENCODINGS: &str = "encodings";

/// A system relation in the catalogue of a session. Its rows are made when it is scanned.
#[derive(Debug)]
pub(super) struct RelationTable {
    relation: &'static Relation,
    catalog: PgCatalog,
}

#[async_trait]
impl TableProvider for RelationTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.relation.arrow_schema)
    }

    fn table_type(&self) -> TableType {
        if self.relation.kind == "v" { TableType::View } else { TableType::Base }
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows::new(self.relation, projection.map(Vec::as_slice))?;
        if let Some(source) = self.relation.rows {
            let view = self.catalog.view();
            if rows.has(ENCODINGS) {
                let layouts = view.facts.live.layouts(&view.snapshot).await;
                source(&view.with_layouts(layouts), &mut rows);
            } else {
                source(&view, &mut rows);
            }
        }
        let batch = rows.finish()?;
        let schema = batch.schema();
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?)
    }
}

/// A system schema of a session.
#[derive(Debug)]
pub(super) struct SystemSchema {
    name: &'static str,
    catalog: PgCatalog,
}

impl SystemSchema {
    pub(super) fn new(name: &'static str, catalog: PgCatalog) -> Self {
        Self { name, catalog }
    }

    fn find(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let relation = relation::by_name(self.name, name)?;
        Some(Arc::new(RelationTable { relation, catalog: self.catalog.clone() }))
    }
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        let relations = RELATIONS.iter().filter(|relation| relation.schema == self.name);
        relations.map(|relation| relation.name.to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.find(name))
    }

    fn table_exist(&self, name: &str) -> bool {
        relation::by_name(self.name, name).is_some()
    }
}

/// A schema of users that also finds the relations of `pg_catalog`, which come first, as an unqualified name does.
#[derive(Debug)]
pub(super) struct WithSystemRelations {
    system: SystemSchema,
    schema: Arc<dyn SchemaProvider>,
}

impl WithSystemRelations {
    pub(super) fn new(schema: Arc<dyn SchemaProvider>, catalog: PgCatalog) -> Self {
        Self { system: SystemSchema::new("pg_catalog", catalog), schema }
    }
}

#[async_trait]
impl SchemaProvider for WithSystemRelations {
    fn table_names(&self) -> Vec<String> {
        self.schema.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.system.find(name) {
            Some(table) => Ok(Some(table)),
            None => self.schema.table(name).await,
        }
    }

    fn register_table(
        &self,
        name: String,
        table: Arc<dyn TableProvider>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        self.schema.register_table(name, table)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.schema.deregister_table(name)
    }

    fn table_exist(&self, name: &str) -> bool {
        self.system.table_exist(name) || self.schema.table_exist(name)
    }
}
