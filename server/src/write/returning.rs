//! RETURNING: a query over the rows that a statement has written.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Ident, SelectItem, SetExpr, Statement as Ast};
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::table::ShardTable;

use super::insert::parse_query;
use super::rows::under;
use crate::catalogue::TableDefinition;
use crate::cursor::{Cursor, Description};
use crate::error::PgError;
use crate::session::{Outcome, Session};
use crate::sql::{ParsedStatement, PlannedQuery};

/// The list after RETURNING.
#[derive(Debug)]
pub(crate) struct Returning {
    table: Arc<TableDefinition>,
    planned: PlannedQuery,
}

impl Returning {
    /// Plans the list over the table's columns, which `alias` may rename.
    ///
    /// # Errors
    /// As for a select list.
    pub(crate) async fn plan(
        session: &mut Session,
        statement: &ParsedStatement,
        table: &Arc<TableDefinition>,
        alias: Option<Ident>,
        items: &[SelectItem],
        declared: &[Option<Type>],
    ) -> Result<Self, PgError> {
        let alias = alias.unwrap_or_else(|| Ident::with_quote('"', &table.name));
        let from = format!("{}.{}", quoted(&table.schema), quoted(&table.name));
        let mut query = parse_query(&format!("SELECT 1 FROM {from} AS {alias}"))?;
        if let SetExpr::Select(select) = query.body.as_mut() {
            select.projection = items.to_vec();
        }
        let own = ParsedStatement { ast: Ast::Query(Box::new(query)), ..statement.clone() };
        let planned = session.plan(&own, declared).await?;
        Ok(Self { table: Arc::clone(table), planned })
    }

    /// The columns that the client gets.
    pub(crate) fn description(&self, session: &Session) -> Description {
        session.describe(&self.planned)
    }

    /// The statement's parameters: those of its rows and, after them, those that only the list has.
    pub(crate) fn with_parameters(&self, mut rows: Vec<Type>, declared: &[Option<Type>]) -> Vec<Type> {
        rows.extend(self.planned.parameter_types(declared).into_iter().skip(rows.len()));
        rows
    }

    /// Computes the list for the written rows.
    ///
    /// # Errors
    /// As of a query.
    pub(crate) async fn run(
        &self,
        session: &mut Session,
        rows: Vec<RecordBatch>,
        values: &[ScalarValue],
        tag: &'static str,
        text: Option<&str>,
    ) -> Result<Outcome, PgError> {
        let wrong = |error| PgError::from_datafusion(error, text);
        // The schema as scans show it, without what is for them alone.
        let snapshot = session.snapshot();
        let table = snapshot.table_by_id(self.table.id).cloned();
        let table = table.ok_or_else(|| PgError::new(ErrorKind::UndefinedTable, "the table was dropped"))?;
        let schema = session.engine.table_provider(&table).map_err(wrong)?.schema();
        let rows = rows.iter().map(|batch| under(batch, &schema)).collect::<Result<Vec<_>, _>>()?;
        let written = MemTable::try_new(schema, vec![rows]).map_err(wrong)?;
        let written = provider_as_source(Arc::new(written));
        let id = self.table.id;
        let over_rows = |plan: LogicalPlan| {
            plan.transform_down(|node| match node {
                LogicalPlan::TableScan(mut scan)
                    if table_of(&scan).is_some_and(|table| table.table == id) =>
                {
                    scan.source = Arc::clone(&written);
                    Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
                }
                other => Ok(Transformed::no(other)),
            })
        };
        let plan = over_rows(self.planned.bind(values)?).map_err(wrong)?.data;
        let mut stream = session.start_plan(&plan, text).await?;
        let mut batches = Vec::new();
        while let Some(batch) = stream.next().await {
            batches.push(batch.map_err(wrong)?);
        }
        let cursor = Cursor::of_batches(batches);
        Ok(Outcome::Rows { description: self.description(session), cursor, tag, counted: true })
    }
}

/// The sharded table that a scan reads.
pub(crate) fn table_of(scan: &datafusion::logical_expr::TableScan) -> Option<&ShardTable> {
    let source = scan.source.downcast_ref::<DefaultTableSource>()?;
    source.table_provider.downcast_ref::<ShardTable>()
}

/// A name in quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
