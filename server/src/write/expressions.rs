//! Expressions of a table's definition: conditions of CHECK, defaults, generated columns.

use std::ops::ControlFlow;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{
    ColumnOption, CreateTable, Expr, Query, SelectItem, SetExpr, Spanned, Statement as Ast, TableConstraint,
    Visit, Visitor,
};
use quickdb_executor::error::ErrorKind;

use super::insert::{assignment_type, check_assignable, parse_query};
use super::names::fold;
use super::returning::quoted;
use crate::catalogue::{Column, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::session::Session;
use crate::sql::position::char_position;
use crate::sql::rewrite::subqueries::is_aggregate;
use crate::sql::{ParsedStatement, is_volatile};
use crate::wire::types::column_type;

/// What an expression is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Check,
    Default,
    Generation,
    Using,
}

impl Purpose {
    /// What PostgreSQL calls it where it refuses a subquery.
    fn singular(self) -> &'static str {
        match self {
            Self::Check => "check constraint",
            Self::Default => "DEFAULT expression",
            Self::Generation => "column generation expression",
            Self::Using => "transform expression",
        }
    }

    fn plural(self) -> String {
        format!("{}s", self.singular())
    }
}

/// Checks every expression of a CREATE TABLE.
///
/// # Errors
/// 42803, 42P20 and 0A000 for what cannot be in such an expression, 42703 for a column that the table does not have,
/// 42804 for one of another type.
pub(crate) async fn validate_all(
    session: &mut Session,
    statement: &ParsedStatement,
    create: &CreateTable,
    table: &TableDefinition,
) -> Result<(), PgError> {
    for written in &create.columns {
        let Some(column) = table.column(&fold(&written.name)) else { continue };
        for option in &written.options {
            validate_option(session, statement, &option.option, column, table).await?;
        }
    }
    for constraint in &create.constraints {
        if let TableConstraint::Check(check) = constraint {
            validate(session, statement, &check.expr, Purpose::Check, None, table).await?;
        }
    }
    Ok(())
}

/// Checks the expression of a column's option, where it has one.
///
/// # Errors
/// See [`validate_all`].
pub(crate) async fn validate_option(
    session: &mut Session,
    statement: &ParsedStatement,
    option: &ColumnOption,
    column: &Column,
    table: &TableDefinition,
) -> Result<(), PgError> {
    match option {
        ColumnOption::Check(check) => {
            validate(session, statement, &check.expr, Purpose::Check, None, table).await
        }
        ColumnOption::Default(expr) => {
            validate(session, statement, expr, Purpose::Default, Some(column), table).await
        }
        ColumnOption::Generated { generation_expr: Some(expr), .. } => {
            validate(session, statement, expr, Purpose::Generation, Some(column), table).await
        }
        _ => Ok(()),
    }
}

/// Checks an expression over the columns of a table, for a column where it is to become its value.
///
/// # Errors
/// See [`validate_all`].
pub(crate) async fn validate(
    session: &mut Session,
    statement: &ParsedStatement,
    expr: &Expr,
    purpose: Purpose,
    column: Option<&Column>,
    table: &TableDefinition,
) -> Result<(), PgError> {
    refuse_what_cannot_be(expr, purpose, statement)?;
    let columns = table.columns.iter().map(|column| {
        format!("CAST(NULL AS {}) AS {}", assignment_type(column.pg_type), quoted(&column.name))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let from = match purpose {
        Purpose::Default => String::new(),
        _ if columns.is_empty() => format!("FROM (SELECT 1) AS {}", quoted(&table.name)),
        _ => format!("FROM (SELECT {columns}) AS {}", quoted(&table.name)),
    };
    let mut query = parse_query(&format!("SELECT 1 {from}"))?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        let mut expr = expr.clone();
        if let Some(column) = column {
            super::insert::adopt(&mut expr, column, false)?;
        }
        select.projection = vec![SelectItem::UnnamedExpr(expr)];
    }
    let own = ParsedStatement { ast: Ast::Query(Box::new(query)), ..statement.clone() };
    let planned = match session.plan(&own, &[]).await {
        Err(error) if purpose == Purpose::Default && error.sqlstate.0 == "42703" => {
            return Err(PgError::with_state(
                SqlState("0A000"),
                "cannot use column reference in DEFAULT expression",
            )
            .at(error.position));
        }
        planned => planned?,
    };
    let Some(field) = planned.output.first() else { return Ok(()) };
    match (purpose, column) {
        (Purpose::Check, _) => {
            if !matches!(field.data_type(), DataType::Boolean | DataType::Null) {
                let found = column_type(field).map_or("unknown", |found| found.name);
                let shown = crate::catalogue::PgType::new(column_type(field).map_or(0, |found| found.oid));
                let shown = shown.to_string();
                let shown = if shown.bytes().all(|byte| byte.is_ascii_digit()) { found } else { &shown };
                let message = format!("argument of CHECK must be type boolean, not type {shown}");
                return Err(PgError::with_state(SqlState("42804"), message).at(place_of(expr, statement)));
            }
        }
        (_, Some(column)) => {
            if let Some(found) = column_type(field) {
                check_assignable(found.oid, found.name, column).map_err(|mut error| {
                    if purpose != Purpose::Using {
                        error.message = error.message.replace("but expression", "but default expression");
                    }
                    error
                })?;
            }
        }
        _ => {}
    }
    if purpose == Purpose::Generation {
        if is_volatile(&planned.plan) {
            return Err(PgError::with_state(SqlState("42P17"), "generation expression is not immutable"));
        }
        for name in names_in(expr) {
            let generated =
                table.column(&name).filter(|known| known.generation == crate::catalogue::Generation::Stored);
            if generated.is_some() {
                let message =
                    format!("cannot use generated column \"{name}\" in column generation expression");
                return Err(PgError::with_state(SqlState("42P17"), message)
                    .detail("A generated column cannot reference another generated column.")
                    .at(place_of(expr, statement)));
            }
        }
    }
    Ok(())
}

/// Names of the columns that an expression mentions.
pub(crate) fn names_in(expr: &Expr) -> Vec<String> {
    struct Names(Vec<String>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Identifier(name) => self.0.push(fold(name)),
                Expr::CompoundIdentifier(names) => self.0.extend(names.last().map(fold)),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = expr.visit(&mut names);
    names.0
}

/// Where an expression begins in the statement.
fn place_of(expr: &Expr, statement: &ParsedStatement) -> Option<usize> {
    let start = expr.span().start;
    char_position(&statement.source, start.line, start.column)
}

fn refuse_what_cannot_be(expr: &Expr, purpose: Purpose, statement: &ParsedStatement) -> Result<(), PgError> {
    struct Search<'a> {
        purpose: Purpose,
        statement: &'a ParsedStatement,
    }
    impl Search<'_> {
        fn refuse(&self, state: &'static str, message: String, expr: &Expr) -> ControlFlow<PgError> {
            let error = PgError::with_state(SqlState(state), message);
            ControlFlow::Break(error.at(place_of(expr, self.statement)))
        }
    }
    impl Visitor for Search<'_> {
        type Break = PgError;

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<PgError> {
            let message = format!("cannot use subquery in {}", self.purpose.singular());
            ControlFlow::Break(PgError::new(ErrorKind::Unsupported, message))
        }

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<PgError> {
            match expr {
                Expr::Function(function) if function.over.is_some() => self.refuse(
                    "42P20",
                    format!("window functions are not allowed in {}", self.purpose.plural()),
                    expr,
                ),
                Expr::Function(function) if is_aggregate(function) => self.refuse(
                    "42803",
                    format!("aggregate functions are not allowed in {}", self.purpose.plural()),
                    expr,
                ),
                Expr::Subquery(query) => {
                    let message = format!("cannot use subquery in {}", self.purpose.singular());
                    let start = query.span().start;
                    // The parenthesis before it.
                    let place = char_position(&self.statement.source, start.line, start.column);
                    let error = PgError::new(ErrorKind::Unsupported, message);
                    ControlFlow::Break(error.at(place.map(|place| place.saturating_sub(1))))
                }
                Expr::Exists { .. } | Expr::InSubquery { .. } => {
                    self.refuse("0A000", format!("cannot use subquery in {}", self.purpose.singular()), expr)
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match expr.visit(&mut Search { purpose, statement }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}
