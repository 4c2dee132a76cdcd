//! INSERT ... ON CONFLICT: rows whose key is there already are left out, or change the row that has it.
//!
//! ```text
//!  source ─▶ rows, complete ─▶ SELECT place, number, condition, SET ... FROM t JOIN excluded ON key = key
//!                               ├── no match: into the sink
//!                               └── match: left out, or the old row out and the new one into the sink
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session as DataFusionSession, TableProvider};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column as PlanColumn, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Expr as PlanExpr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::sql::sqlparser::ast::{
    ConflictTarget, Expr, Ident, OnConflict, OnConflictAction, SelectItem, SetExpr, Statement as Ast,
};
use pgwire::api::Type;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::table::{ROW_COLUMN, SHARD_COLUMN};

use super::insert::parse_query;
use super::modify::{Doomed, PLACE_COLUMNS, assigned, cast_items, doom};
use super::names::fold;
use super::returning::{quoted, table_of};
use super::unique::{Encoder, UniqueKey, keys_of};
use crate::catalogue::TableDefinition;
use crate::error::{PgError, SqlState};
use crate::namespace::{EXCLUDED_SCHEMA, ROWS_SCHEMA};
use crate::session::Session;
use crate::sql::{ParsedStatement, PlannedQuery};

/// The column of `excluded` that numbers its rows.
pub(crate) const NUMBER_COLUMN: &str = "quickdb_number";

/// Columns of the query before those of the table: place, number, condition.
const LEADING: usize = PLACE_COLUMNS + 2;

/// What an INSERT does about keys that are there.
#[derive(Debug)]
pub(crate) struct Conflict {
    /// The keys that it is about, each with the query that finds the rows.
    keys: Vec<(UniqueKey, PlannedQuery)>,
    updates: bool,
}

/// Reads ON CONFLICT.
///
/// # Errors
/// 42P10 for columns that are no key, 42704 for a constraint that there is not, 42601 for DO UPDATE without a target.
pub(crate) async fn prepare(
    session: &mut Session,
    statement: &ParsedStatement,
    on: &OnConflict,
    table: &Arc<TableDefinition>,
    alias: Option<&Ident>,
    declared: &[Option<Type>],
) -> Result<Conflict, PgError> {
    let keys = targets(on, table)?;
    let alias = alias.cloned().unwrap_or_else(|| Ident::with_quote('"', &table.name));
    let mut found = Vec::with_capacity(keys.len());
    let (items, condition) = match &on.action {
        OnConflictAction::DoNothing => (Vec::new(), None),
        OnConflictAction::DoUpdate(update) => {
            if on.conflict_target.is_none() {
                let message = "ON CONFLICT DO UPDATE requires inference specification or constraint name";
                return Err(PgError::with_state(SqlState("42601"), message)
                    .hint("For example, ON CONFLICT (column_name)."));
            }
            let (items, _) = assigned(table, &alias, &update.assignments)?;
            (items, update.selection.clone())
        }
    };
    for key in keys {
        let planned =
            matching(session, statement, table, &alias, &key, &items, condition.as_ref(), declared).await?;
        found.push((key, planned));
    }
    Ok(Conflict { keys: found, updates: matches!(on.action, OnConflictAction::DoUpdate(_)) })
}

fn targets(on: &OnConflict, table: &TableDefinition) -> Result<Vec<UniqueKey>, PgError> {
    let keys = keys_of(table);
    match &on.conflict_target {
        None => Ok(keys),
        Some(ConflictTarget::Columns(columns)) => {
            let mut wanted = Vec::with_capacity(columns.len());
            for column in columns {
                let name = fold(column);
                let position = table.columns.iter().position(|known| known.name == name);
                wanted.push(position.ok_or_else(|| {
                    PgError::new(ErrorKind::UndefinedColumn, format!("column \"{name}\" does not exist"))
                })?);
            }
            wanted.sort_unstable();
            wanted.dedup();
            let fits = |key: &UniqueKey| {
                let mut columns = key.columns.clone();
                columns.sort_unstable();
                columns == wanted
            };
            let found: Vec<UniqueKey> = keys.into_iter().filter(fits).collect();
            if found.is_empty() {
                let message =
                    "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(PgError::with_state(SqlState("42P10"), message));
            }
            Ok(found.into_iter().take(1).collect())
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
            let found: Vec<UniqueKey> = keys.into_iter().filter(|key| key.name == name).collect();
            if found.is_empty() {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
                return Err(PgError::with_state(SqlState("42704"), message));
            }
            Ok(found)
        }
    }
}

/// The query for the rows of the table that have the key of a new row.
#[expect(clippy::too_many_arguments, reason = "the parts of one query")]
async fn matching(
    session: &mut Session,
    statement: &ParsedStatement,
    table: &TableDefinition,
    alias: &Ident,
    key: &UniqueKey,
    items: &[Expr],
    condition: Option<&Expr>,
    declared: &[Option<Type>],
) -> Result<PlannedQuery, PgError> {
    let names = key.columns.iter().filter_map(|column| table.columns.get(*column));
    let on = names.map(|column| format!("{alias}.{0} = excluded.{0}", quoted(&column.name)));
    let text = format!(
        "SELECT {alias}.{SHARD_COLUMN}, {alias}.{ROW_COLUMN}, excluded.{NUMBER_COLUMN}, true \
         FROM {}.\"{}\" AS {alias} JOIN {}.\"{}\" AS excluded ON {}",
        quoted(ROWS_SCHEMA),
        table.oid,
        quoted(EXCLUDED_SCHEMA),
        table.oid,
        on.collect::<Vec<_>>().join(" AND "),
    );
    let mut query = parse_query(&text)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let (Some(condition), Some(item)) = (condition, select.projection.last_mut()) {
            *item = SelectItem::UnnamedExpr(condition.clone());
        }
        select.projection.extend(items.iter().cloned().map(SelectItem::UnnamedExpr));
    }
    let own = ParsedStatement { ast: Ast::Query(Box::new(query.clone())), ..statement.clone() };
    let planned = session.plan(&own, declared).await?;
    if items.is_empty() || !cast_items(&mut query, &planned, table, LEADING)? {
        return Ok(planned);
    }
    let own = ParsedStatement { ast: Ast::Query(Box::new(query)), ..statement.clone() };
    session.plan(&own, declared).await
}

/// What becomes of the rows of an INSERT.
pub(crate) struct Resolved {
    /// Rows that are to be written: those that are new, and those that take the place of others.
    pub(crate) rows: RecordBatch,
    /// The places of the others.
    pub(crate) doomed: Doomed,
}

impl Conflict {
    /// The types of parameters that the queries have.
    pub(crate) fn parameters(&self, declared: &[Option<Type>]) -> Vec<Type> {
        let all = self.keys.iter().map(|(_, planned)| planned.parameter_types(declared));
        all.max_by_key(Vec::len).unwrap_or_default()
    }

    /// Sorts the rows of an INSERT into those that are new and those whose key is there.
    ///
    /// # Errors
    /// 21000 when two of them are to change the same row; the query's.
    pub(crate) async fn resolve(
        &self,
        session: &mut Session,
        table: &TableDefinition,
        batches: &[RecordBatch],
        values: &[ScalarValue],
        text: Option<&str>,
    ) -> Result<Resolved, PgError> {
        let wrong = |error: arrow::error::ArrowError| PgError::from_datafusion(error.into(), None);
        let all = concat_batches(table.arrow_schema(), batches).map_err(wrong)?;
        let mut stays = vec![true; all.num_rows()];
        // Those with the key of one before them.
        for (key, _) in &self.keys {
            let mut seen = HashSet::new();
            let keys = Encoder::new(key, table)?.keys(&all)?;
            for (bytes, stays) in keys.into_iter().zip(&mut stays) {
                let Some(bytes) = bytes.filter(|_| *stays) else { continue };
                if seen.insert(bytes) {
                    continue;
                }
                if self.updates {
                    let message = "ON CONFLICT DO UPDATE command cannot affect row a second time";
                    return Err(PgError::with_state(SqlState("21000"), message).hint(
                        "Ensure that no rows proposed for insertion within the same command have duplicate \
                         constrained values.",
                    ));
                }
                *stays = false;
            }
        }
        let mut doomed = Doomed::new();
        // Rows that take the place of others, by the number of the row that was to be inserted.
        let mut replacing: Vec<(usize, RecordBatch)> = Vec::new();
        for (key, planned) in &self.keys {
            let plan = over_new_rows(planned.bind(values)?, table, key, &all)?;
            let mut stream = session.start_plan(&plan, text).await?;
            while let Some(batch) = stream.next().await {
                let batch = batch.map_err(|error| PgError::from_datafusion(error, text))?;
                let missing = || PgError::new(ErrorKind::Internal, "row numbers are missing");
                let numbers =
                    batch.column(PLACE_COLUMNS).as_primitive_opt::<Int64Type>().ok_or_else(missing)?;
                let condition = batch.column(PLACE_COLUMNS + 1).as_boolean_opt().ok_or_else(missing)?;
                for number in numbers.values() {
                    if let Some(stays) = usize::try_from(*number).ok().and_then(|row| stays.get_mut(row)) {
                        *stays = false;
                    }
                }
                if !self.updates {
                    continue;
                }
                let holds: BooleanArray =
                    condition.iter().map(|holds| Some(holds.unwrap_or(false))).collect();
                let changed = filter_record_batch(&batch, &holds).map_err(wrong)?;
                let numbers = changed.column(PLACE_COLUMNS).as_primitive::<Int64Type>().clone();
                let rows = doom(&mut doomed, &changed)?;
                let columns: Vec<usize> = (2..rows.num_columns()).collect();
                let rows = rows.project(&columns).map_err(wrong)?;
                let rows = super::rows::typed(&rows, table)?;
                for (row, number) in numbers.values().iter().enumerate() {
                    let number = usize::try_from(*number).map_err(|_| missing())?;
                    replacing.push((number, rows.slice(row, 1)));
                }
            }
        }
        let rows = in_order(table, &all, &stays, replacing)?;
        Ok(Resolved { rows, doomed })
    }
}

/// The rows that are written, in the order of the rows that were to be inserted.
fn in_order(
    table: &TableDefinition,
    all: &RecordBatch,
    stays: &[bool],
    replacing: Vec<(usize, RecordBatch)>,
) -> Result<RecordBatch, PgError> {
    let wrong = |error: arrow::error::ArrowError| PgError::from_datafusion(error.into(), None);
    let schema = super::rows::nullable(table);
    let under = |batch: &RecordBatch| super::rows::under(batch, &schema);
    if replacing.is_empty() {
        let kept = filter_record_batch(all, &BooleanArray::from(stays.to_vec())).map_err(wrong)?;
        return under(&kept);
    }
    let first = all.num_rows();
    let mut place: HashMap<usize, usize> = HashMap::new();
    let mut batches = vec![under(all)?];
    for (at, (number, row)) in replacing.into_iter().enumerate() {
        place.insert(number, first + at);
        batches.push(under(&row)?);
    }
    let together = concat_batches(&schema, &batches).map_err(wrong)?;
    let rows = (0..first).filter_map(|row| match place.get(&row) {
        Some(other) => Some(*other),
        None => stays.get(row).copied().unwrap_or(false).then_some(row),
    });
    let rows = rows.map(|row| u32::try_from(row).ok()).collect::<Vec<_>>();
    take_record_batch(&together, &UInt32Array::from(rows)).map_err(wrong)
}

/// The plan over the new rows, and over those of the table alone that may have one of their keys.
fn over_new_rows(
    plan: LogicalPlan,
    table: &TableDefinition,
    key: &UniqueKey,
    rows: &RecordBatch,
) -> Result<LogicalPlan, PgError> {
    let wrong = |error| PgError::from_datafusion(error, None);
    let schema = excluded_schema(table);
    let count = i64::try_from(rows.num_rows()).unwrap_or(i64::MAX);
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef);
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| wrong(error.into()))?;
    let mut wanted: Vec<(String, Vec<PlanExpr>)> = Vec::new();
    for column in &key.columns {
        let values = rows.column(*column);
        let mut literals = HashSet::new();
        for row in (0..values.len()).filter(|row| values.is_valid(*row)) {
            literals.insert(ScalarValue::try_from_array(values, row).map_err(wrong)?);
        }
        let name = table.columns.get(*column).map(|column| column.name.clone()).unwrap_or_default();
        wanted.push((name, literals.into_iter().map(|value| PlanExpr::Literal(value, None)).collect()));
    }
    let excluded = provider_as_source(Arc::new(MemTable::try_new(schema, vec![vec![rows]]).map_err(wrong)?));
    let id = table.id;
    let replaced = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let is_excluded = source_as_provider(&scan.source).is_ok_and(|provider| provider.is::<Excluded>());
        if is_excluded {
            scan.source = Arc::clone(&excluded);
            return Ok(Transformed::yes(LogicalPlan::TableScan(scan)));
        }
        if !table_of(&scan).is_some_and(|table| table.table == id && table.row_ids) {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        }
        let qualifier = scan.table_name.clone();
        let mut filtered = LogicalPlanBuilder::from(LogicalPlan::TableScan(scan));
        for (name, values) in &wanted {
            let column = PlanExpr::Column(PlanColumn::new(Some(qualifier.clone()), name));
            filtered = filtered.filter(column.in_list(values.clone(), false))?;
        }
        Ok(Transformed::yes(filtered.build()?))
    });
    Ok(replaced.map_err(wrong)?.data)
}

/// The columns of `excluded`: the table's, and a number.
fn excluded_schema(table: &TableDefinition) -> SchemaRef {
    let schema = super::rows::nullable(table);
    let mut fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.push(Field::new(NUMBER_COLUMN, DataType::Int64, false));
    Arc::new(Schema::new(fields))
}

/// The rows of an INSERT before they are known.
#[derive(Debug)]
pub(crate) struct Excluded {
    schema: SchemaRef,
}

impl Excluded {
    pub(crate) fn of(table: &TableDefinition) -> Self {
        Self { schema: excluded_schema(table) }
    }
}

#[async_trait]
impl TableProvider for Excluded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn DataFusionSession,
        _: Option<&Vec<usize>>,
        _: &[PlanExpr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        Err(ExecError::new(ErrorKind::Internal, "excluded was planned without its rows").into())
    }
}
