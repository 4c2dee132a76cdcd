//! CREATE TABLE ... AS and SELECT ... INTO.

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::helpers::stmt_create_table::CreateTableBuilder;
use datafusion::sql::sqlparser::ast::{CreateTable, Query, SetExpr, Statement as Ast};
use pgwire::api::Type;
use quickdb_executor::functions::arrays::shape::is_multi;

use super::sink::RowSink;
use super::tables::{define, skipped};
use crate::catalogue::{Column, PgType};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::{ParsedStatement, PlannedQuery};
use crate::wire::types::column_type;

/// A table that takes the rows of a query.
#[derive(Debug)]
pub(crate) struct CreateAs {
    create: CreateTable,
    planned: PlannedQuery,
    /// Which statement it was, for the tag.
    into: bool,
}

impl CreateAs {
    /// The query, for its parameters.
    pub(crate) fn parameters(&self, declared: &[Option<Type>]) -> Vec<Type> {
        self.planned.parameter_types(declared)
    }
}

/// A CREATE TABLE ... AS or SELECT ... INTO, in one form.
pub(crate) struct Parts {
    create: CreateTable,
    query: Query,
    into: bool,
}

/// The parts of a statement that is one of the two.
pub(crate) fn of(statement: &Ast) -> Option<Parts> {
    match statement {
        Ast::CreateTable(create) => {
            let query = create.query.as_deref()?.clone();
            Some(Parts { create: create.clone(), query, into: false })
        }
        Ast::Query(query) => {
            let SetExpr::Select(select) = query.body.as_ref() else { return None };
            let into = select.into.as_ref()?;
            let create = CreateTableBuilder::new(into.name.clone()).temporary(into.temporary).build();
            let mut query = query.as_ref().clone();
            if let SetExpr::Select(select) = query.body.as_mut() {
                select.into = None;
            }
            Some(Parts { create, query, into: true })
        }
        _ => None,
    }
}

/// Analyses the statement.
///
/// # Errors
/// The query's.
pub(crate) async fn prepare(
    session: &mut Session,
    statement: &ParsedStatement,
    parts: Parts,
    declared: &[Option<Type>],
) -> Result<CreateAs, PgError> {
    let own = ParsedStatement { ast: Ast::Query(Box::new(parts.query)), ..statement.clone() };
    let planned = session.plan(&own, declared).await?;
    Ok(CreateAs { create: parts.create, planned, into: parts.into })
}

/// Makes the table and fills it.
///
/// # Errors
/// Those of CREATE TABLE and of the query.
pub(crate) async fn run(
    session: &mut Session,
    plan: &CreateAs,
    values: &[ScalarValue],
    text: Option<&str>,
) -> Result<Outcome, PgError> {
    let command = if plan.into { "SELECT INTO" } else { "CREATE TABLE AS" };
    session.may_write(command)?;
    let mut columns =
        plan.planned.output.iter().map(|field| column_of(field)).collect::<Result<Vec<_>, _>>()?;
    let mut create = plan.create.clone();
    // A column list gives names, not types.
    let names = std::mem::take(&mut create.columns);
    if names.len() > columns.len() {
        return Err(PgError::with_state(SqlState("42601"), "too many column names were specified"));
    }
    if names.iter().any(|name| !name.options.is_empty()) {
        let message = "a column of CREATE TABLE AS has a name alone";
        return Err(PgError::with_state(SqlState("42601"), message));
    }
    for (column, name) in columns.iter_mut().zip(&names) {
        column.name = super::names::fold(&name.name);
    }
    let Some(defined) = define(session, &create, columns)? else {
        return Ok(skipped(&plan.create, command));
    };
    session.change(defined.changes())?;
    let definition = defined.table;
    // WITH NO DATA: see `sql::definition_tokens`.
    if plan.create.strict {
        return Ok(Outcome::done(command));
    }
    let mut sink = RowSink::new(&session.engine, definition);
    let mut rows = session.start(&plan.planned, values, text).await?;
    while let Some(batch) = rows.next().await {
        sink.push(batch.map_err(|error| PgError::from_datafusion(error, text))?).await?;
    }
    drop(rows);
    let written = sink.finish().await?;
    let rows = written.rows;
    session.change_with(written.changes, written.claims)?;
    Ok(Outcome::done(format!("SELECT {rows}")))
}

/// The column that takes a query's.
///
/// # Errors
/// 42P16 for a type that no column can have.
pub(crate) fn column_of(field: &Field) -> Result<Column, PgError> {
    let pseudo = || {
        let message = format!("column \"{}\" has pseudo-type {}", field.name(), field.data_type());
        PgError::with_state(SqlState("42P16"), message)
    };
    if field.data_type() == &DataType::Null {
        return Ok(Column::new(field.name(), PgType::new(25)));
    }
    let found = column_type(field).ok_or_else(pseudo)?;
    let mut pg_type = PgType::with_typmod(if found.oid == 705 { 25 } else { found.oid }, found.typmod);
    if is_multi(field.data_type()) {
        pg_type.dimensions = 2;
    }
    if let DataType::Decimal128(precision, scale) = field.data_type()
        && pg_type.data_type() != *field.data_type()
    {
        // As many digits as the query gives; `numeric` without a modifier has another number of them.
        pg_type.typmod = ((i32::from(*precision) << 16) | (i32::from(*scale) & 0x7ff)) + 4;
    }
    if PgType::parse(&pg_type.to_string()).is_err() {
        return Err(pseudo());
    }
    Ok(Column::new(field.name(), pg_type))
}
