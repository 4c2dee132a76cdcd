//! INSERT.
//!
//! ```text
//!  VALUES of literals and parameters ─▶ cells ─▶ one batch            (no planning: the way of single rows)
//!  anything else ─▶ SELECT CAST(q.c0 AS type), default, ... FROM (source) q ─▶ batches
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    Expr, Insert, OnInsert, Query, SelectItem, SetExpr, Statement as Ast, TableFactor, TableObject, Value,
    Values, With,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;

use super::cells::{Cell, assign, cell, null};
use super::checks::Checks;
use super::conflict::{self, Conflict};
use super::defaults::default_of;
use super::modify;
use super::names::{RelationName, SearchPath, fold};
use super::returning::Returning;
use super::sequences::called_by;
use super::sink::RowSink;
use super::tables::positions;
use crate::catalogue::{Column, Generation, PgType, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::{OVERRIDING_SYSTEM_VALUE, OVERRIDING_USER_VALUE, ParsedStatement, PlannedQuery};
use crate::wire::types::column_type;

/// An INSERT that is ready to be run with parameters.
#[derive(Debug)]
pub(crate) struct InsertPlan {
    table: Arc<TableDefinition>,
    source: Source,
    conflict: Option<Conflict>,
    checks: Checks,
    returning: Option<Returning>,
}

#[derive(Debug)]
enum Source {
    /// Rows of one cell per column of the table.
    Cells(Vec<Vec<Cell>>),
    /// A query of the table's columns.
    Query(PlannedQuery),
}

/// A statement that writes, with what a client can ask of it before it runs.
pub(crate) struct PreparedWrite<P> {
    pub(crate) plan: P,
    pub(crate) parameters: Vec<Type>,
    pub(crate) returning: Option<crate::cursor::Description>,
}

/// Analyses an INSERT.
///
/// # Errors
/// What PostgreSQL raises when it analyses one; 0A000 for what is not built.
pub(crate) async fn prepare(
    session: &mut Session,
    statement: &ParsedStatement,
    insert: &Insert,
    with: Option<&With>,
    declared: &[Option<Type>],
) -> Result<PreparedWrite<InsertPlan>, PgError> {
    let attached;
    let insert = match (with, &insert.source) {
        (Some(with), Some(source)) if source.with.is_none() => {
            let source = Query { with: Some(with.clone()), ..source.as_ref().clone() };
            attached = Insert { source: Some(Box::new(source)), ..insert.clone() };
            &attached
        }
        _ => insert,
    };
    let bare;
    let insert = match &insert.source {
        Some(source) if matches!(source.body.as_ref(), SetExpr::Query(_)) => {
            bare = Insert { source: Some(Box::new(without_parentheses(source))), ..insert.clone() };
            &bare
        }
        _ => insert,
    };
    let TableObject::TableName(name) = &insert.table else {
        return Err(PgError::unsupported("INSERT into a function"));
    };
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let table = Arc::clone(table.definition());
    let names: Vec<String> =
        insert.columns.iter().filter_map(|name| Some(fold(name.0.last()?.as_ident()?))).collect();
    let targets = positions(&table, &names)?;
    let given = Given::of(insert, &table, &targets)?;
    let targets = given.targets;
    let mut parameters = Vec::new();
    let source = match cells(session, insert, &table, &targets, !names.is_empty(), &mut parameters)? {
        Some(rows) => {
            let declared = declared.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            let inferred = parameters.iter().zip(declared);
            parameters = inferred.map(|(inferred, declared)| declared.unwrap_or(inferred).clone()).collect();
            Source::Cells(rows)
        }
        None => {
            let planned = query(session, statement, insert, &table, &targets, declared).await?;
            parameters = planned.parameter_types(declared);
            Source::Query(planned)
        }
    };
    let returning = match &insert.returning {
        Some(items) => {
            let alias = insert.table_alias.as_ref().map(|alias| alias.alias.clone());
            Some(Returning::plan(session, statement, &table, alias, items, declared).await?)
        }
        None => None,
    };
    if let Some(returning) = &returning {
        parameters = returning.with_parameters(parameters, declared);
    }
    let conflict = match &insert.on {
        None => None,
        Some(OnInsert::OnConflict(on)) => {
            let alias = insert.table_alias.as_ref().map(|alias| &alias.alias);
            let conflict =
                Box::pin(conflict::prepare(session, statement, on, &table, alias, declared)).await?;
            let more = conflict.parameters(declared);
            parameters.extend(more.into_iter().skip(parameters.len()));
            Some(conflict)
        }
        Some(_) => return Err(PgError::unsupported("ON DUPLICATE KEY UPDATE")),
    };
    let description = returning.as_ref().map(|returning| returning.description(session));
    let checks = Checks::of(session, &table).await?;
    let plan = InsertPlan { table, source, conflict, checks, returning };
    Ok(PreparedWrite { plan, parameters, returning: description })
}

/// A query of which nothing is outside of the parentheses around it, without them.
fn without_parentheses(query: &Query) -> Query {
    let outside = query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
    match query.body.as_ref() {
        SetExpr::Query(inner) if !outside && (query.with.is_none() || inner.with.is_none()) => {
            let with = query.with.clone().or_else(|| inner.with.clone());
            without_parentheses(&Query { with, ..inner.as_ref().clone() })
        }
        _ => query.clone(),
    }
}

/// The rows of a VALUES list that needs no computing; `None` where something does.
fn cells(
    session: &Session,
    insert: &Insert,
    table: &TableDefinition,
    targets: &[usize],
    listed: bool,
    parameters: &mut Vec<Type>,
) -> Result<Option<Vec<Vec<Cell>>>, PgError> {
    let input = session.input_context();
    let mut defaults = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let sequence = column.default.as_deref().and_then(called_by);
        if let Some(sequence) = sequence {
            defaults.push(Some(Cell::Next(sequence)));
            continue;
        }
        let default = match default_of(column)? {
            None => Some(Cell::Value(null(&column.pg_type.data_type())?)),
            Some(expr) => cell(&expr, column.pg_type, &input)?,
        };
        defaults.push(default);
    }
    let Some(source) = &insert.source else {
        // DEFAULT VALUES
        return Ok(defaults.into_iter().collect::<Option<Vec<_>>>().map(|row| vec![row]));
    };
    let SetExpr::Values(Values { rows, .. }) = source.body.as_ref() else { return Ok(None) };
    if source.with.is_some() || source.order_by.is_some() || source.limit_clause.is_some() {
        return Ok(None);
    }
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        check_width(row.len(), rows.first().map_or(0, |first| first.len()), targets.len(), listed)?;
        let mut full: Vec<Option<Cell>> = vec![None; table.columns.len()];
        for (expr, target) in row.iter().zip(targets) {
            let (Some(column), Some(slot)) = (table.columns.get(*target), full.get_mut(*target)) else {
                continue;
            };
            match cell(expr, column.pg_type, &input)? {
                None => return Ok(None),
                Some(Cell::Default) => {}
                Some(Cell::Parameter(number)) => {
                    if number >= usize::from(u16::MAX) {
                        return Ok(None);
                    }
                    if parameters.len() <= number {
                        parameters.resize(number + 1, Type::TEXT);
                    }
                    if let Some(parameter) = parameters.get_mut(number) {
                        *parameter = Type::from_oid(column.pg_type.oid).unwrap_or(Type::TEXT);
                    }
                    *slot = Some(Cell::Parameter(number));
                }
                found => *slot = found,
            }
        }
        let filled = full.into_iter().zip(&defaults).map(|(cell, default)| cell.or_else(|| default.clone()));
        match filled.collect::<Option<Vec<_>>>() {
            Some(row) => found.push(row),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Which columns an INSERT gives values, once those that nobody may give are seen to.
struct Given {
    /// Positions in the table, in the order of the values; one that the table lacks for a value that is not wanted.
    targets: Vec<usize>,
}

impl Given {
    /// # Errors
    /// 428C9 for a value of a column that is generated.
    fn of(insert: &Insert, table: &TableDefinition, targets: &[usize]) -> Result<Self, PgError> {
        let system = insert.or == Some(OVERRIDING_SYSTEM_VALUE);
        let user = insert.or == Some(OVERRIDING_USER_VALUE);
        let source = insert.source.as_deref().map(|source| source.body.as_ref());
        let width = match source {
            Some(SetExpr::Values(values)) => values.rows.first().map_or(0, |row| row.len()),
            Some(_) => targets.len(),
            None => 0,
        };
        // Whether a place has nothing but DEFAULT.
        let only_defaults = |place: usize| match source {
            Some(SetExpr::Values(values)) => {
                values.rows.iter().all(|row| row.get(place).is_none_or(is_default))
            }
            _ => false,
        };
        let mut kept = Vec::with_capacity(targets.len());
        for (place, target) in targets.iter().enumerate() {
            let column = table.columns.get(*target);
            let generation = column.map_or(Generation::None, |column| column.generation);
            let unwanted = user && generation.is_identity();
            let given = place < width && !only_defaults(place);
            let refused = generation == Generation::Stored || generation == Generation::Always && !system;
            if given && refused && !unwanted && (insert.columns.len() > place || source_is_values(source)) {
                let name = column.map_or("", |column| column.name.as_str());
                return Err(not_yours(
                    &format!("cannot insert a non-DEFAULT value into column \"{name}\""),
                    name,
                    generation,
                ));
            }
            kept.push(if unwanted { usize::MAX } else { *target });
        }
        Ok(Self { targets: kept })
    }
}

fn source_is_values(source: Option<&SetExpr>) -> bool {
    matches!(source, Some(SetExpr::Values(_)))
}

/// 428C9: a value for a column that nobody gives values.
pub(crate) fn not_yours(message: &str, column: &str, generation: Generation) -> PgError {
    let error = PgError::with_state(SqlState("428C9"), message);
    match generation {
        Generation::Stored => error.detail(format!("Column \"{column}\" is a generated column.")),
        _ => {
            let error = error
                .detail(format!("Column \"{column}\" is an identity column defined as GENERATED ALWAYS."));
            if message.starts_with("cannot insert") {
                return error.hint("Use OVERRIDING SYSTEM VALUE to override.");
            }
            error
        }
    }
}

/// Whether an expression is the word DEFAULT.
pub(crate) fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

fn check_width(width: usize, first: usize, targets: usize, listed: bool) -> Result<(), PgError> {
    let syntax = |message: &str| Err(PgError::with_state(SqlState("42601"), message));
    if width != first {
        return syntax("VALUES lists must all be the same length");
    }
    if width > targets {
        return syntax("INSERT has more expressions than target columns");
    }
    if width < targets && listed {
        return syntax("INSERT has more target columns than expressions");
    }
    Ok(())
}

/// The source as a query of all columns of the table in order.
async fn query(
    session: &mut Session,
    statement: &ParsedStatement,
    insert: &Insert,
    table: &TableDefinition,
    targets: &[usize],
    declared: &[Option<Type>],
) -> Result<PlannedQuery, PgError> {
    let listed = !insert.columns.is_empty();
    let mut source = match &insert.source {
        Some(source) => source.as_ref().clone(),
        // DEFAULT VALUES: one row, of which no column is used.
        None => parse_query("SELECT 1")?,
    };
    let targets = if insert.source.is_some() { targets } else { &[] };
    // A value that is not wanted stands in a place of its own.
    let unwanted = Column::new("", PgType::new(25));
    let columns: Vec<&Column> =
        targets.iter().map(|target| table.columns.get(*target).unwrap_or(&unwanted)).collect();
    adopt_literals(&mut source.body, &columns)?;
    let own = ParsedStatement { ast: Ast::Query(Box::new(source.clone())), ..statement.clone() };
    let planned = session.plan(&own, declared).await?;
    let width = planned.output.len();
    if insert.source.is_some() {
        check_width(width, width, columns.len(), listed)?;
    }
    let system = insert.or == Some(OVERRIDING_SYSTEM_VALUE);
    let computed = insert.source.as_deref().filter(|source| !source_is_values(Some(source.body.as_ref())));
    for column in columns.iter().take(width).filter(|_| computed.is_some()) {
        let generation = column.generation;
        if generation == Generation::Stored || generation == Generation::Always && !system {
            let name = &column.name;
            let message = format!("cannot insert a non-DEFAULT value into column \"{name}\"");
            return Err(not_yours(&message, name, generation));
        }
    }
    for (field, column) in planned.output.iter().zip(&columns) {
        if let Some(found) = column_type(field) {
            check_assignable(found.oid, found.name, column)?;
        }
    }
    let mut items = Vec::with_capacity(table.columns.len());
    for (position, column) in table.columns.iter().enumerate() {
        let place = targets.iter().position(|target| *target == position).filter(|place| *place < width);
        items.push(match place {
            Some(place) => format!("CAST(q.c{place} AS {})", assignment_type(column.pg_type)),
            None => match column.default.as_ref().filter(|_| column.generation != Generation::Stored) {
                Some(default) => format!("CAST({default} AS {})", assignment_type(column.pg_type)),
                None => format!("CAST(NULL AS {})", assignment_type(column.pg_type)),
            },
        });
    }
    let names: Vec<String> = (0..width).map(|place| format!("c{place}")).collect();
    let named = if width == 0 { String::new() } else { format!("({})", names.join(", ")) };
    let wrapped = wrap(&format!("SELECT {} FROM (SELECT 1) AS q{named}", items.join(", ")), source)?;
    let own = ParsedStatement { ast: Ast::Query(Box::new(wrapped)), ..statement.clone() };
    session.plan(&own, declared).await
}

/// Gives literals without a type, parameters and DEFAULT the type, or the value, of the column that they are for.
fn adopt_literals(body: &mut SetExpr, columns: &[&Column]) -> Result<(), PgError> {
    match body {
        SetExpr::Values(values) => {
            for row in &mut values.rows {
                for (expr, column) in row.content.iter_mut().zip(columns) {
                    adopt(expr, column, true)?;
                }
            }
        }
        SetExpr::Select(select) if select.distinct.is_none() => {
            for (item, column) in select.projection.iter_mut().zip(columns) {
                match item {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                        adopt(expr, column, false)?;
                    }
                    // What follows a wildcard is for another column.
                    _ => break,
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Gives an expression the type of the column that it is for, where it has none of its own; with `defaults`, DEFAULT
/// becomes the column's.
///
/// # Errors
/// XX000 for a stored default that does not parse.
pub(crate) fn adopt(expr: &mut Expr, column: &Column, defaults: bool) -> Result<(), PgError> {
    if defaults && is_default(expr) {
        *expr = default_of(column)?.unwrap_or_else(|| Expr::Value(Value::Null.into()));
        if !matches!(expr, Expr::Value(_)) {
            return Ok(());
        }
    }
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Null
            | Value::Placeholder(_)
            | Value::SingleQuotedString(_)
            | Value::EscapedStringLiteral(_)
            | Value::DollarQuotedString(_) => {
                let cast = super::defaults::parse_expression(&format!(
                    "CAST(NULL AS {})",
                    assignment_type(column.pg_type)
                ))?;
                if let Expr::Cast { kind, data_type, array, format, .. } = cast {
                    let inner = Box::new(expr.clone());
                    *expr = Expr::Cast { kind, expr: inner, data_type, array, format };
                }
                Ok(())
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The type that a value is cast to before its length is checked: a cast would cut a text off, an assignment must not.
pub(crate) fn assignment_type(pg_type: PgType) -> String {
    let element = pg_type.element().unwrap_or(pg_type);
    match element.oid {
        1042 | 1043 => PgType { typmod: -1, ..pg_type }.declaration(),
        _ => pg_type.declaration(),
    }
}

/// OIDs of the types that are assigned to one another.
const NUMBERS: [u32; 7] = [20, 21, 23, 26, 700, 701, 1700];
const TEXTS: [u32; 6] = [18, 19, 25, 705, 1042, 1043];
const TIMES: [u32; 3] = [1082, 1114, 1184];

/// Whether a value of a type may be assigned to a column.
///
/// # Errors
/// 42804.
pub(crate) fn check_assignable(found: u32, found_name: &str, column: &Column) -> Result<(), PgError> {
    let wanted = column.pg_type.oid;
    let both = |kinds: &[u32]| kinds.contains(&found) && kinds.contains(&wanted);
    let array = |oid: u32| PgType::new(oid).element().is_some();
    let fits = found == wanted
        || both(&NUMBERS)
        || both(&TIMES)
        || TEXTS.contains(&wanted)
        || found == 705
        || (found == 1114 || found == 1184 || found == 1186) && wanted == 1083
        || found == 1083 && wanted == 1186
        || [114, 3802].contains(&found) && [114, 3802].contains(&wanted)
        || array(found) && array(wanted);
    if fits {
        return Ok(());
    }
    let shown = PgType::new(found).to_string();
    let shown = if shown.bytes().all(|byte| byte.is_ascii_digit()) { found_name.to_owned() } else { shown };
    let message = format!(
        "column \"{}\" is of type {} but expression is of type {shown}",
        column.name,
        PgType::new(wanted)
    );
    Err(PgError::with_state(SqlState("42804"), message)
        .hint("You will need to rewrite or cast the expression."))
}

/// A query text as a syntax tree.
///
/// # Errors
/// XX000: the text is made here.
pub(crate) fn parse_query(text: &str) -> Result<Query, PgError> {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).map(|mut statements| statements.pop());
    match parsed {
        Ok(Some(Ast::Query(query))) => Ok(*query),
        Ok(_) => Err(PgError::new(ErrorKind::Internal, "a query of our own is none")),
        Err(error) => {
            Err(PgError::new(ErrorKind::Internal, format!("a query of our own does not parse: {error}")))
        }
    }
}

/// The query `text` with `inner` in the place of its first derived table.
///
/// # Errors
/// See [`parse_query`].
pub(crate) fn wrap(text: &str, inner: Query) -> Result<Query, PgError> {
    let mut query = parse_query(text)?;
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(TableFactor::Derived { subquery, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
    {
        **subquery = inner;
    }
    Ok(query)
}

/// Runs an INSERT.
///
/// # Errors
/// The rows', a constraint's, a worker's.
pub(crate) async fn run(
    session: &mut Session,
    plan: &InsertPlan,
    values: &[ScalarValue],
    text: Option<&str>,
) -> Result<Outcome, PgError> {
    session.may_write("INSERT")?;
    let mut sink = RowSink::new(&session.engine, Arc::clone(&plan.table)).with_checks(&plan.checks);
    let mut returned = Vec::new();
    if let Some(conflict) = &plan.conflict {
        return Box::pin(run_with_conflict(session, plan, conflict, sink, values, text)).await;
    }
    let mut take = async |batch: RecordBatch| {
        if plan.returning.is_some() {
            returned.push(sink.push_returning(batch).await?);
            return Ok::<(), PgError>(());
        }
        sink.push(batch).await
    };
    match &plan.source {
        Source::Cells(rows) => take(batch_of(session, &plan.table, rows, values)?).await?,
        Source::Query(planned) => {
            let mut rows = session.start(planned, values, text).await?;
            while let Some(batch) = rows.next().await {
                take(batch.map_err(|error| PgError::from_datafusion(error, text))?).await?;
            }
        }
    }
    let written = sink.finish().await?;
    let rows = written.rows;
    session.add_rows(&plan.table, (Vec::new(), Vec::new()), written).await?;
    match &plan.returning {
        None => Ok(Outcome::done(format!("INSERT 0 {rows}"))),
        Some(returning) => returning.run(session, returned, values, "INSERT 0", text).await,
    }
}

async fn run_with_conflict(
    session: &mut Session,
    plan: &InsertPlan,
    conflict: &Conflict,
    mut sink: RowSink,
    values: &[ScalarValue],
    text: Option<&str>,
) -> Result<Outcome, PgError> {
    let mut batches = Vec::new();
    match &plan.source {
        Source::Cells(rows) => batches.push(sink.conformed(batch_of(session, &plan.table, rows, values)?)?),
        Source::Query(planned) => {
            let mut rows = session.start(planned, values, text).await?;
            while let Some(batch) = rows.next().await {
                batches.push(sink.conformed(batch.map_err(|error| PgError::from_datafusion(error, text))?)?);
            }
        }
    }
    let resolved = conflict.resolve(session, &plan.table, &batches, values, text).await?;
    let table = modify::present(session, plan.table.id)?;
    let removed = modify::remove(session, &table, resolved.doomed).await?;
    let returned = sink.push_returning(resolved.rows).await?;
    let written = sink.finish().await?;
    let rows = written.rows;
    session.add_rows(&plan.table, removed, written).await?;
    match &plan.returning {
        None => Ok(Outcome::done(format!("INSERT 0 {rows}"))),
        Some(returning) => returning.run(session, vec![returned], values, "INSERT 0", text).await,
    }
}

/// Rows of cells as one batch of the table's columns.
fn batch_of(
    session: &Session,
    table: &TableDefinition,
    rows: &[Vec<Cell>],
    values: &[ScalarValue],
) -> Result<RecordBatch, PgError> {
    let columns = table.columns.iter().enumerate().map(|(position, column)| {
        let cells = rows.iter().map(|row| match row.get(position) {
            Some(Cell::Value(value)) => Ok(value.clone()),
            Some(Cell::Parameter(number)) => {
                let value = values.get(*number).cloned();
                let value = value.ok_or_else(|| {
                    let message = format!("there is no parameter ${}", number + 1);
                    PgError::with_state(SqlState("42P02"), message)
                })?;
                assign(value, column.pg_type)
            }
            Some(Cell::Next(sequence)) => {
                assign(ScalarValue::Int64(Some(session.next_value(*sequence)?)), column.pg_type)
            }
            Some(Cell::Default) | None => null(&column.pg_type.data_type()),
        });
        let cells = cells.collect::<Result<Vec<_>, PgError>>()?;
        ScalarValue::iter_to_array(cells).map_err(|error| PgError::from_datafusion(error, None))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, PgError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(super::rows::nullable(table), columns, &options)
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}
