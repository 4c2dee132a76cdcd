//! UPDATE and DELETE: a query finds the rows, deletion vectors take them out, a sink takes the new ones.
//!
//! ```text
//!  UPDATE t SET a = e FROM u WHERE p
//!    ─▶ SELECT t.quickdb_shard, t.quickdb_row, CAST(e AS type), t.b, ... FROM t, u WHERE p
//!         └── rows of shards: another deletion vector         └── new rows: log or shards
//!             rows of the log: removed from their entries
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, Expr, FromTable, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, Query, SelectItem, SetExpr, Statement as Ast, TableFactor, TableWithJoins, Update,
    UpdateTableFromKind, With,
};
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::table::{DeletionRef, ROW_COLUMN, SHARD_COLUMN, TAIL_SHARD};
use quickdb_storage::{ShardId, TableId};
use roaring::RoaringBitmap;

use super::checks::Checks;
use super::insert::{
    PreparedWrite, adopt, assignment_type, check_assignable, is_default, not_yours, parse_query,
};
use super::names::{RelationName, SearchPath, fold};
use super::returning::{Returning, quoted};
use super::sink::RowSink;
use super::tables::empty;
use super::unique::{Fresh, keys_of};
use crate::catalogue::{Change, Generation, Shard, Table, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::namespace::ROWS_SCHEMA;
use crate::session::{Outcome, Session};
use crate::sql::{ParsedStatement, PlannedQuery};
use crate::upkeep::Claim;
use crate::wire::types::column_type;

/// Columns of the query before those of the table: where a row is.
pub(crate) const PLACE_COLUMNS: usize = 2;

/// An UPDATE or DELETE that is ready to be run with parameters.
#[derive(Debug)]
pub(crate) struct ModifyPlan {
    kind: Kind,
    table: Arc<TableDefinition>,
    /// `None` where all rows go, whatever they are.
    rows: Option<PlannedQuery>,
    /// Whether rows may get another unique key.
    changed_keys: bool,
    checks: Checks,
    returning: Option<Returning>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Update,
    Delete,
}

/// A statement's parts in the form that both have.
struct Parts<'a> {
    kind: Kind,
    target: &'a TableWithJoins,
    others: Vec<TableWithJoins>,
    selection: Option<&'a Expr>,
    returning: Option<&'a [SelectItem]>,
    with: Option<&'a With>,
}

/// Analyses an UPDATE.
///
/// # Errors
/// What PostgreSQL raises when it analyses one; 0A000 for what is not built.
pub(crate) async fn prepare_update(
    session: &mut Session,
    statement: &ParsedStatement,
    update: &Update,
    with: Option<&With>,
    declared: &[Option<Type>],
) -> Result<PreparedWrite<ModifyPlan>, PgError> {
    let others = match &update.from {
        Some(UpdateTableFromKind::AfterSet(from)) => from.clone(),
        Some(UpdateTableFromKind::BeforeSet(_)) => return Err(PgError::unsupported("FROM before SET")),
        None => Vec::new(),
    };
    let parts = Parts {
        kind: Kind::Update,
        target: &update.table,
        others,
        selection: update.selection.as_ref(),
        returning: update.returning.as_deref(),
        with,
    };
    let (table, alias) = target(session, &parts)?;
    let (items, changed) = assigned(&table, &alias, &update.assignments)?;
    plan(session, statement, parts, table, alias, (items, changed), declared).await
}

/// The values of all columns of a table after assignments, and which of them were assigned.
///
/// # Errors
/// 42703, 42601 and 428C9 for what cannot be assigned.
pub(crate) fn assigned(
    table: &TableDefinition,
    alias: &Ident,
    assignments: &[Assignment],
) -> Result<(Vec<Expr>, Vec<bool>), PgError> {
    let mut new: Vec<Option<Expr>> = vec![None; table.columns.len()];
    for assignment in assignments {
        let pairs: Vec<(&datafusion::sql::sqlparser::ast::ObjectName, Expr)> = match &assignment.target {
            AssignmentTarget::ColumnName(name) => vec![(name, assignment.value.clone())],
            AssignmentTarget::Tuple(names) => match &assignment.value {
                value => {
                    let values = several(value)?;
                    if values.len() != names.len() {
                        let message = "number of columns does not match number of values";
                        return Err(PgError::with_state(SqlState("42601"), message));
                    }
                    names.iter().zip(values).collect()
                }
            },
        };
        for (name, mut value) in pairs {
            let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
            let position = table.columns.iter().position(|column| column.name == name);
            let position = position.ok_or_else(|| {
                let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
                PgError::new(ErrorKind::UndefinedColumn, message)
            })?;
            if let (Some(column), Some(slot)) = (table.columns.get(position), new.get_mut(position)) {
                if matches!(column.generation, Generation::Stored | Generation::Always) && !is_default(&value)
                {
                    let message = format!("column \"{name}\" can only be updated to DEFAULT");
                    return Err(not_yours(&message, &name, column.generation));
                }
                adopt(&mut value, column, true)?;
                if slot.replace(value).is_some() {
                    let message = format!("multiple assignments to same column \"{name}\"");
                    return Err(PgError::with_state(SqlState("42601"), message));
                }
            }
        }
    }
    let changed = new.iter().map(Option::is_some).collect();
    let items = table.columns.iter().zip(new).map(|(column, new)| match new {
        Some(value) => value,
        None => Expr::CompoundIdentifier(vec![alias.clone(), Ident::with_quote('"', &column.name)]),
    });
    Ok((items.collect(), changed))
}

/// The values that are assigned to several columns at once.
fn several(value: &Expr) -> Result<Vec<Expr>, PgError> {
    match value {
        Expr::Tuple(values) => Ok(values.clone()),
        Expr::Nested(inner) => several(inner),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => {
            let FunctionArguments::List(list) = &function.args else { return Ok(Vec::new()) };
            let values = list.args.iter().filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
                _ => None,
            });
            Ok(values.collect())
        }
        // A subquery for each of its columns.
        Expr::Subquery(query) => {
            let SetExpr::Select(select) = query.body.as_ref() else {
                return Err(PgError::unsupported("UPDATE of several columns from this subquery"));
            };
            let wildcard = select
                .projection
                .iter()
                .any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
            if wildcard || select.distinct.is_some() {
                return Err(PgError::unsupported("UPDATE of several columns from this subquery"));
            }
            let one = |item: &SelectItem| {
                let mut query = query.as_ref().clone();
                if let SetExpr::Select(select) = query.body.as_mut() {
                    select.projection = vec![item.clone()];
                }
                Expr::Subquery(Box::new(query))
            };
            Ok(select.projection.iter().map(one).collect())
        }
        _ => Err(PgError::with_state(
            SqlState("0A000"),
            "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression",
        )),
    }
}

/// Analyses a DELETE.
///
/// # Errors
/// See [`prepare_update`].
pub(crate) async fn prepare_delete(
    session: &mut Session,
    statement: &ParsedStatement,
    delete: &Delete,
    with: Option<&With>,
    declared: &[Option<Type>],
) -> Result<PreparedWrite<ModifyPlan>, PgError> {
    let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
    let [target_table] = from.as_slice() else {
        return Err(PgError::unsupported("DELETE from several tables"));
    };
    let parts = Parts {
        kind: Kind::Delete,
        target: target_table,
        others: delete.using.clone().unwrap_or_default(),
        selection: delete.selection.as_ref(),
        returning: delete.returning.as_deref(),
        with,
    };
    let (table, alias) = target(session, &parts)?;
    if parts.selection.is_none() && parts.others.is_empty() && parts.returning.is_none() {
        let plan = ModifyPlan {
            kind: Kind::Delete,
            table,
            rows: None,
            changed_keys: false,
            checks: Checks::default(),
            returning: None,
        };
        return Ok(PreparedWrite { plan, parameters: Vec::new(), returning: None });
    }
    let of_table = |column: &crate::catalogue::Column| {
        Expr::CompoundIdentifier(vec![alias.clone(), Ident::with_quote('"', &column.name)])
    };
    let items = match parts.returning {
        Some(_) => table.columns.iter().map(of_table).collect(),
        None => Vec::new(),
    };
    plan(session, statement, parts, Arc::clone(&table), alias.clone(), (items, Vec::new()), declared).await
}

/// The table that a statement changes, and what the statement calls it.
fn target(session: &Session, parts: &Parts<'_>) -> Result<(Arc<TableDefinition>, Ident), PgError> {
    let TableFactor::Table { name, alias, .. } = &parts.target.relation else {
        return Err(PgError::with_state(SqlState("42601"), "syntax error: the target is no table"));
    };
    if !parts.target.joins.is_empty() {
        return Err(PgError::unsupported("a join as the target of UPDATE or DELETE"));
    }
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let alias = alias.as_ref().map(|alias| alias.name.clone());
    let alias = alias.unwrap_or_else(|| Ident::with_quote('"', &table.name));
    Ok((Arc::clone(table.definition()), alias))
}

async fn plan(
    session: &mut Session,
    statement: &ParsedStatement,
    parts: Parts<'_>,
    table: Arc<TableDefinition>,
    alias: Ident,
    (items, changed): (Vec<Expr>, Vec<bool>),
    declared: &[Option<Type>],
) -> Result<PreparedWrite<ModifyPlan>, PgError> {
    let place = format!("{alias}.{SHARD_COLUMN}, {alias}.{ROW_COLUMN}");
    let from = format!("{}.\"{}\" AS {alias}", quoted(ROWS_SCHEMA), table.oid);
    let mut query = parse_query(&format!("SELECT {place} FROM {from}"))?;
    query.with = parts.with.cloned();
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from.extend(parts.others);
        select.selection = parts.selection.cloned();
        select.projection.extend(items.into_iter().map(SelectItem::UnnamedExpr));
    }
    let own = ParsedStatement { ast: Ast::Query(Box::new(query.clone())), ..statement.clone() };
    let mut rows = session.plan(&own, declared).await?;
    if parts.kind == Kind::Update {
        if cast_items(&mut query, &rows, &table, PLACE_COLUMNS)? {
            let own = ParsedStatement { ast: Ast::Query(Box::new(query)), ..statement.clone() };
            rows = session.plan(&own, declared).await?;
        }
    }
    let mut parameters = rows.parameter_types(declared);
    let returning = match parts.returning {
        Some(items) => Some(Returning::plan(session, statement, &table, Some(alias), items, declared).await?),
        None => None,
    };
    if let Some(returning) = &returning {
        parameters = returning.with_parameters(parameters, declared);
    }
    let description = returning.as_ref().map(|returning| returning.description(session));
    let checks = match parts.kind {
        Kind::Update => Checks::of(session, &table).await?,
        Kind::Delete => Checks::default(),
    };
    let changed_keys = keys_of(&table)
        .iter()
        .any(|key| key.columns.iter().any(|column| changed.get(*column).copied().unwrap_or(false)));
    let plan = ModifyPlan { kind: parts.kind, table, rows: Some(rows), changed_keys, checks, returning };
    Ok(PreparedWrite { plan, parameters, returning: description })
}

/// Gives the items of a query behind `leading` ones the types of a table's columns, where they have others: whether any
/// has.
///
/// # Errors
/// 42804 for a type that cannot be assigned.
pub(crate) fn cast_items(
    query: &mut Query,
    planned: &PlannedQuery,
    table: &TableDefinition,
    leading: usize,
) -> Result<bool, PgError> {
    let mut casts = false;
    for (field, column) in planned.output.iter().skip(leading).zip(&table.columns) {
        if let Some(found) = column_type(field) {
            check_assignable(found.oid, found.name, column)?;
        }
        casts |= *field.data_type() != column.pg_type.data_type();
    }
    if let (true, SetExpr::Select(select)) = (casts, query.body.as_mut()) {
        for (item, column) in select.projection.iter_mut().skip(leading).zip(&table.columns) {
            if let SelectItem::UnnamedExpr(expr) = item {
                let text = format!("CAST(NULL AS {})", assignment_type(column.pg_type));
                if let Expr::Cast { kind, data_type, array, format, .. } =
                    super::defaults::parse_expression(&text)?
                {
                    let inner = Box::new(expr.clone());
                    *expr = Expr::Cast { kind, expr: inner, data_type, array, format };
                }
            }
        }
    }
    Ok(casts)
}

/// Rows to be taken out, by shard.
pub(crate) type Doomed = BTreeMap<ShardId, RoaringBitmap>;

/// Runs an UPDATE or DELETE.
///
/// # Errors
/// The query's, a constraint's, a worker's.
pub(crate) async fn run(
    session: &mut Session,
    plan: &ModifyPlan,
    values: &[ScalarValue],
    text: Option<&str>,
) -> Result<Outcome, PgError> {
    let (command, tag) = match plan.kind {
        Kind::Update => ("UPDATE", "UPDATE"),
        Kind::Delete => ("DELETE", "DELETE"),
    };
    session.may_write(command)?;
    let table = present(session, plan.table.id)?;
    let Some(query) = &plan.rows else {
        session.change(empty(&table))?;
        return Ok(Outcome::done(format!("DELETE {}", table.row_count())));
    };
    let mut doomed = Doomed::new();
    let mut sink = RowSink::new(&session.engine, Arc::clone(&plan.table)).with_checks(&plan.checks);
    let mut returned = Vec::new();
    let mut count = 0;
    let mut stream = session.start(query, values, text).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| PgError::from_datafusion(error, text))?;
        let rows = doom(&mut doomed, &batch)?;
        count += rows.num_rows();
        let rows = if plan.kind == Kind::Update { sink.push_returning(rows).await? } else { rows };
        if plan.returning.is_some() {
            returned.push(rows);
        }
    }
    drop(stream);
    let removed = remove(session, &table, doomed).await?;
    let mut written = sink.finish().await?;
    if !plan.changed_keys {
        written.fresh = Fresh::None;
    }
    session.add_rows(&plan.table, removed, written).await?;
    match &plan.returning {
        None => Ok(Outcome::done(format!("{tag} {count}"))),
        Some(returning) => returning.run(session, returned, values, tag, text).await,
    }
}

pub(crate) fn present(session: &Session, id: TableId) -> Result<Arc<Table>, PgError> {
    let table = session.snapshot().table_by_id(id).cloned();
    table.ok_or_else(|| PgError::with_state(SqlState("42P01"), "the table was dropped"))
}

/// Notes the places of a batch; gives the rest of its columns, of rows that were not noted before: a row that several
/// rows of the other tables match is changed once.
pub(crate) fn doom(doomed: &mut Doomed, batch: &RecordBatch) -> Result<RecordBatch, PgError> {
    let wrong = || PgError::new(ErrorKind::Internal, "row numbers are missing");
    let [shards, numbers, ..] = batch.columns() else { return Err(wrong()) };
    let shards = shards.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let numbers = numbers.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
    let mut fresh = Vec::with_capacity(batch.num_rows());
    for (shard, number) in shards.values().iter().zip(numbers.values()) {
        let shard = ShardId(u64::try_from(*shard).map_err(|_| wrong())?);
        let number = u32::try_from(*number).map_err(|_| wrong())?;
        fresh.push(doomed.entry(shard).or_default().insert(number));
    }
    let rest: Vec<usize> = (PLACE_COLUMNS..batch.num_columns()).collect();
    let rows = batch.project(&rest);
    rows.and_then(|rows| filter_record_batch(&rows, &BooleanArray::from(fresh)))
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}

/// Takes rows out: writes deletion vectors, and says what makes them count.
pub(crate) async fn remove(
    session: &Session,
    table: &Table,
    doomed: Doomed,
) -> Result<(Vec<Change>, Vec<Claim>), PgError> {
    let mut changes = Vec::new();
    let mut claims = Vec::new();
    for (id, rows) in doomed {
        if id == TAIL_SHARD {
            changes.push(Change::RemoveLogged { table: table.id, rows: table.log.locate(&rows) });
            continue;
        }
        let shard = table.shards.iter().find(|shard| shard.id == id);
        let shard =
            shard.ok_or_else(|| PgError::new(ErrorKind::Internal, format!("shard {id} is not there")))?;
        let (after, claim) = delete_in(session, shard, rows).await?;
        claims.push(claim);
        changes.push(Change::SetDeletions { table: table.id, shard: id, before: shard.deletions, after });
    }
    Ok((changes, claims))
}

/// Writes a deletion vector for a shard with more rows than the present one.
async fn delete_in(
    session: &Session,
    shard: &Shard,
    rows: RoaringBitmap,
) -> Result<(DeletionRef, Claim), PgError> {
    let wrong = |error| PgError::from_datafusion(error, None);
    let hosts = session.engine.hosts().map_err(wrong)?;
    let hosts: Vec<_> = hosts.iter().filter(|(worker, _)| shard.workers.contains(worker)).collect();
    let mut all = rows;
    if let Some(before) = shard.deletions {
        let mut earlier =
            Err(PgError::new(ErrorKind::WorkerLost, format!("no worker holds shard {}", shard.id)));
        for (_, host) in &hosts {
            earlier = host.get_deletions(shard.id, before.version).await.map_err(wrong);
            if earlier.is_ok() {
                break;
            }
        }
        all |= earlier?;
    }
    // Numbers of shards and of deletion vectors come from one counter: neither is used twice.
    let version = session.engine.catalogue.allocate_shard_ids(1)?.pop().map_or(0, |number| number.0);
    let claim = session.engine.claims.claim(version);
    for (_, host) in &hosts {
        host.put_deletions(shard.id, version, &all).await.map_err(wrong)?;
    }
    Ok((DeletionRef { version, rows: all.len() }, claim))
}
