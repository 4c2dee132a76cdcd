//! MERGE: one query says for each row of the source what is to be done, and with which values.
//!
//! ```text
//!  MERGE INTO t USING s ON c WHEN MATCHED AND p THEN UPDATE .. WHEN NOT MATCHED THEN INSERT ..
//!    ─▶ SELECT t.shard, t.row, CASE WHEN t.row IS NOT NULL AND p THEN 1 WHEN t.row IS NULL THEN 2 ELSE 0 END,
//!              CASE the same THEN the values of each column END, ..
//!       FROM s LEFT JOIN t ON c
//! ```

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    CaseWhen, Expr, Ident, Merge, MergeAction, MergeClauseKind, MergeInsertKind, SelectItem, SetExpr,
    Statement as Ast, TableFactor, Value, With,
};
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::table::{ROW_COLUMN, SHARD_COLUMN};

use super::checks::Checks;
use super::defaults::{default_of, parse_expression};
use super::insert::{PreparedWrite, adopt, is_default, not_yours, parse_query};
use super::modify::{Doomed, PLACE_COLUMNS, assigned, cast_items, doom, present, remove};
use super::names::{RelationName, SearchPath, fold};
use super::returning::quoted;
use super::rows::typed;
use super::sink::RowSink;
use super::tables::positions;
use crate::catalogue::{Generation, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::namespace::ROWS_SCHEMA;
use crate::session::{Outcome, Session};
use crate::sql::{NOTHING_COLUMN, ParsedStatement, PlannedQuery};

/// Columns of the query before those of the table: place and action.
const LEADING: usize = PLACE_COLUMNS + 1;

/// A MERGE that is ready to be run with parameters.
#[derive(Debug)]
pub(crate) struct MergePlan {
    table: Arc<TableDefinition>,
    rows: PlannedQuery,
    /// By the number of the action, from 1.
    actions: Vec<Kind>,
    checks: Checks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Insert,
    Update,
    Delete,
}

/// A clause: when, what, and the values of the table's columns.
struct Clause {
    condition: Expr,
    kind: Kind,
    values: Vec<Expr>,
}

/// Analyses a MERGE.
///
/// # Errors
/// What PostgreSQL raises when it analyses one; 0A000 for what is not built.
pub(crate) async fn prepare(
    session: &mut Session,
    statement: &ParsedStatement,
    merge: &Merge,
    with: Option<&With>,
    declared: &[Option<Type>],
) -> Result<PreparedWrite<MergePlan>, PgError> {
    let TableFactor::Table { name, alias, .. } = &merge.table else {
        return Err(PgError::with_state(SqlState("42601"), "syntax error: the target is no table"));
    };
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let table = Arc::clone(table.definition());
    let alias = alias.as_ref().map(|alias| alias.name.clone());
    let alias = alias.unwrap_or_else(|| Ident::with_quote('"', &table.name));
    let mut clauses = Vec::with_capacity(merge.clauses.len());
    for written in &merge.clauses {
        let matched = match written.clause_kind {
            MergeClauseKind::Matched => true,
            MergeClauseKind::NotMatched => false,
            _ => return Err(PgError::with_state(SqlState("42601"), "syntax error at or near \"BY\"")),
        };
        let (kind, values) = action(&table, &alias, &written.action)?;
        let test = format!("{alias}.{ROW_COLUMN} IS {}NULL", if matched { "NOT " } else { "" });
        let mut condition = parse_expression(&test)?;
        if let Some(predicate) = &written.predicate {
            condition = Expr::BinaryOp {
                left: Box::new(condition),
                op: datafusion::sql::sqlparser::ast::BinaryOperator::And,
                right: Box::new(Expr::Nested(Box::new(predicate.clone()))),
            };
        }
        clauses.push(Clause { condition, kind, values });
    }
    let inserts = clauses.iter().any(|clause| clause.kind == Kind::Insert);
    let join = if inserts { "LEFT JOIN" } else { "JOIN" };
    let text = format!(
        "SELECT {alias}.{SHARD_COLUMN}, {alias}.{ROW_COLUMN} FROM source_of_merge {join} {}.\"{}\" AS {alias} ON true",
        quoted(ROWS_SCHEMA),
        table.oid
    );
    let mut query = parse_query(&text)?;
    query.with = with.cloned();
    if let SetExpr::Select(select) = query.body.as_mut() {
        if let Some(from) = select.from.first_mut() {
            from.relation = merge.source.clone();
            for join in &mut from.joins {
                on(&mut join.join_operator, &merge.on);
            }
        }
        let number = |number: usize| Expr::Value(Value::Number(number.to_string(), false).into());
        let conditions = || clauses.iter().map(|clause| clause.condition.clone());
        let numbered =
            conditions().zip(1..).map(|(condition, at)| CaseWhen { condition, result: number(at) });
        select.projection.push(SelectItem::UnnamedExpr(case(numbered.collect(), Some(number(0)))));
        for position in 0..table.columns.len() {
            let branches = clauses.iter().filter_map(|clause| {
                let result = clause.values.get(position)?.clone();
                Some(CaseWhen { condition: clause.condition.clone(), result })
            });
            // A clause without values gives none: its rows are not looked at.
            let branches: Vec<CaseWhen> = branches.collect();
            let mut item = Expr::Value(Value::Null.into());
            if !branches.is_empty() {
                item = case(branches, None);
            } else if let Some(column) = table.columns.get(position) {
                adopt(&mut item, column, false)?;
            }
            select.projection.push(SelectItem::UnnamedExpr(item));
        }
    }
    let own = ParsedStatement { ast: Ast::Query(Box::new(query.clone())), ..statement.clone() };
    let mut rows = session.plan(&own, declared).await?;
    if cast_items(&mut query, &rows, &table, LEADING)? {
        let own = ParsedStatement { ast: Ast::Query(Box::new(query)), ..statement.clone() };
        rows = session.plan(&own, declared).await?;
    }
    let parameters = rows.parameter_types(declared);
    let checks = Checks::of(session, &table).await?;
    let actions = clauses.iter().map(|clause| clause.kind).collect();
    Ok(PreparedWrite { plan: MergePlan { table, rows, actions, checks }, parameters, returning: None })
}

fn on(operator: &mut datafusion::sql::sqlparser::ast::JoinOperator, condition: &Expr) {
    use datafusion::sql::sqlparser::ast::{JoinConstraint, JoinOperator};
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => *constraint = JoinConstraint::On(condition.clone()),
        _ => {}
    }
}

fn case(conditions: Vec<CaseWhen>, otherwise: Option<Expr>) -> Expr {
    let token = datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken::empty;
    Expr::Case {
        case_token: token(),
        end_token: token(),
        operand: None,
        conditions,
        else_result: otherwise.map(Box::new),
    }
}

/// What a clause does, and the values of the table's columns where it writes a row.
fn action(
    table: &TableDefinition,
    alias: &Ident,
    action: &MergeAction,
) -> Result<(Kind, Vec<Expr>), PgError> {
    match action {
        MergeAction::Delete { .. } => Ok((Kind::Delete, Vec::new())),
        MergeAction::Update(update) => {
            let does_nothing = update.assignments.iter().any(|one| one.to_string().contains(NOTHING_COLUMN));
            if does_nothing {
                return Ok((Kind::Nothing, Vec::new()));
            }
            let (values, _) = assigned(table, alias, &update.assignments)?;
            Ok((Kind::Update, values))
        }
        MergeAction::Insert(insert) => {
            let names: Vec<String> =
                insert.columns.iter().filter_map(|name| Some(fold(name.0.last()?.as_ident()?))).collect();
            if names.iter().any(|name| name == NOTHING_COLUMN) {
                return Ok((Kind::Nothing, Vec::new()));
            }
            let MergeInsertKind::Values(given) = &insert.kind else {
                return Err(PgError::with_state(SqlState("42601"), "syntax error at or near \"ROW\""));
            };
            let [given] = given.rows.as_slice() else {
                return Err(PgError::with_state(SqlState("42601"), "syntax error at or near \",\""));
            };
            let targets = positions(table, &names)?;
            if given.len() > targets.len() {
                let message = "INSERT has more expressions than target columns";
                return Err(PgError::with_state(SqlState("42601"), message));
            }
            if given.len() < targets.len() && !names.is_empty() {
                let message = "INSERT has more target columns than expressions";
                return Err(PgError::with_state(SqlState("42601"), message));
            }
            let mut values = Vec::with_capacity(table.columns.len());
            for (position, column) in table.columns.iter().enumerate() {
                let place = targets.iter().position(|target| *target == position);
                let mut value = match place.and_then(|place| given.get(place)) {
                    Some(value) => value.clone(),
                    None => default_of(column)?.unwrap_or_else(|| Expr::Value(Value::Null.into())),
                };
                let owned = matches!(column.generation, Generation::Stored | Generation::Always);
                if place.is_some_and(|place| place < given.len()) && owned && !is_default(&value) {
                    let message =
                        format!("cannot insert a non-DEFAULT value into column \"{}\"", column.name);
                    return Err(not_yours(&message, &column.name, column.generation));
                }
                adopt(&mut value, column, true)?;
                values.push(value);
            }
            Ok((Kind::Insert, values))
        }
    }
}

/// Runs a MERGE.
///
/// # Errors
/// The query's, a constraint's, a worker's; 21000 when a row would be changed twice.
pub(crate) async fn run(
    session: &mut Session,
    plan: &MergePlan,
    values: &[ScalarValue],
    text: Option<&str>,
) -> Result<Outcome, PgError> {
    session.may_write("MERGE")?;
    let table = present(session, plan.table.id)?;
    let mut doomed = Doomed::new();
    let mut sink = RowSink::new(&session.engine, Arc::clone(&plan.table)).with_checks(&plan.checks);
    let mut count = 0;
    let mut stream = session.start(&plan.rows, values, text).await?;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| PgError::from_datafusion(error, text))?;
        let actions = arrow::compute::cast(batch.column(PLACE_COLUMNS), &arrow::datatypes::DataType::Int64);
        let actions = actions.map_err(|error| PgError::from_datafusion(error.into(), text))?;
        let actions = actions
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| PgError::new(ErrorKind::Internal, "actions are missing"))?;
        for (kind, number) in plan.actions.iter().zip(1_i64..) {
            if *kind == Kind::Nothing {
                continue;
            }
            let chosen: BooleanArray = actions.iter().map(|action| Some(action == Some(number))).collect();
            let rows = filter_record_batch(&batch, &chosen);
            let rows = rows.map_err(|error| PgError::from_datafusion(error.into(), text))?;
            if rows.num_rows() == 0 {
                continue;
            }
            count += rows.num_rows();
            if *kind != Kind::Insert && doom(&mut doomed, &rows)?.num_rows() < rows.num_rows() {
                let message = "MERGE command cannot affect row a second time";
                return Err(PgError::with_state(SqlState("21000"), message)
                    .hint("Ensure that not more than one source row matches any one target row."));
            }
            if *kind != Kind::Delete {
                sink.push(written(&rows, &plan.table)?).await?;
            }
        }
    }
    drop(stream);
    let removed = remove(session, &table, doomed).await?;
    let written = sink.finish().await?;
    session.add_rows(&plan.table, removed, written).await?;
    Ok(Outcome::done(format!("MERGE {count}")))
}

/// The values of the table's columns.
fn written(rows: &RecordBatch, table: &TableDefinition) -> Result<RecordBatch, PgError> {
    let columns: Vec<usize> = (LEADING..rows.num_columns()).collect();
    let rows = rows.project(&columns).map_err(|error| PgError::from_datafusion(error.into(), None))?;
    typed(&rows, table)
}
