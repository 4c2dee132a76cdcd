//! Small pieces between statements and plans: parameters, constants, a table as a query.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Expr, Ident, ObjectName, Query, SelectItem, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::functions::arrays::shape::{is_array, is_multi, reshaped};

use super::{ParsedStatement, PlannedQuery, SessionFacts, plan_query};
use crate::error::PgError;
use crate::wire::types::{arrow_type, column_type};

impl PlannedQuery {
    /// The plan with values in the place of its parameters.
    ///
    /// # Errors
    /// A value that cannot be of its parameter's type.
    pub fn bind(&self, values: &[ScalarValue]) -> Result<LogicalPlan, PgError> {
        if values.is_empty() {
            return Ok(self.plan.clone());
        }
        let wrong = |error| PgError::from_datafusion(error, None);
        let values = values.iter().zip(&self.parameters).map(|(value, data_type)| bound(value, data_type));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        self.plan.clone().replace_params_with_values(&ParamValues::from(values)).map_err(wrong)
    }

    /// The types of the parameters as clients know them; what they declared themselves stays.
    pub fn parameter_types(&self, declared: &[Option<Type>]) -> Vec<Type> {
        let own = |data_type: &DataType| {
            let column = column_type(&Field::new("", data_type.clone(), true));
            column.and_then(|column| Type::from_oid(column.oid)).unwrap_or(Type::TEXT)
        };
        let declared = declared.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        self.parameters
            .iter()
            .zip(declared)
            .map(|(data_type, declared)| declared.cloned().unwrap_or_else(|| own(data_type)))
            .collect()
    }
}

/// A value in its parameter's type.
fn bound(value: &ScalarValue, data_type: &DataType) -> datafusion::common::Result<ScalarValue> {
    let found = value.data_type();
    if is_multi(&found) && is_array(data_type) || is_multi(data_type) && is_array(&found) {
        return ScalarValue::try_from_array(&reshaped(&value.to_array()?, data_type)?, 0);
    }
    value.cast_to(data_type)
}

/// The type of a parameter that a client declares, as plans know it.
pub fn declared_type(declared: &Option<Type>) -> Option<DataType> {
    arrow_type(declared.as_ref()?.oid())
}

/// The parameter type that PREPARE declares.
///
/// # Errors
/// 42704 for a type that there is not.
pub fn parameter_type(data_type: &ast::DataType) -> Result<Type, PgError> {
    let name = data_type.to_string().to_lowercase();
    let plain = name.split('(').next().unwrap_or_default().trim();
    let found =
        crate::catalogue::PgType::parse(&name).ok().or_else(|| crate::catalogue::PgType::parse(plain).ok());
    found
        .and_then(|found| Type::from_oid(found.oid))
        .ok_or_else(|| PgError::new(ErrorKind::UndefinedObject, format!("type \"{name}\" does not exist")))
}

/// `TABLE name`, or `SELECT columns FROM name`, as a query.
///
/// # Errors
/// 42601 for a name that cannot stand in a query.
pub fn table_query(name: &ObjectName, columns: &[Ident]) -> Result<Box<Query>, PgError> {
    let list = if columns.is_empty() {
        "*".to_owned()
    } else {
        columns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let text = format!("SELECT {list} FROM {name}");
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, &text);
    match parsed.ok().and_then(|mut statements| statements.pop()) {
        Some(Statement::Query(query)) => Ok(query),
        _ => Err(PgError::new(ErrorKind::Syntax, format!("syntax error at or near \"{name}\""))),
    }
}

/// The values of expressions without columns, cast to the types given: the arguments of EXECUTE.
///
/// # Errors
/// Those of planning and of computing the expressions.
pub async fn constants(
    state: &SessionState,
    facts: &SessionFacts,
    statement: &ParsedStatement,
    expressions: &[Expr],
    types: &[Type],
) -> Result<Vec<ScalarValue>, PgError> {
    if expressions.is_empty() {
        return Ok(Vec::new());
    }
    let wrong = |error| PgError::from_datafusion(error, Some(&statement.source));
    let Ok(Some(Statement::Query(mut query))) =
        Parser::parse_sql(&PostgreSqlDialect {}, "SELECT 1").map(|mut statements| statements.pop())
    else {
        return Err(PgError::new(ErrorKind::Internal, "a constant query does not parse"));
    };
    if let ast::SetExpr::Select(select) = query.body.as_mut() {
        let named = |(index, expr): (usize, &Expr)| SelectItem::ExprWithAlias {
            expr: expr.clone(),
            alias: Ident::new(format!("c{index}")),
        };
        select.projection = expressions.iter().enumerate().map(named).collect();
    }
    let query = ParsedStatement { ast: Statement::Query(query), ..statement.clone() };
    let planned = plan_query(state, facts, &query, &[]).await?;
    let optimized = state.optimize(&planned.plan).map_err(wrong)?;
    let LogicalPlan::Projection(projection) = &optimized else {
        return Err(PgError::new(ErrorKind::Unsupported, "EXECUTE takes expressions without subqueries"));
    };
    let empty = DFSchema::empty();
    projection
        .expr
        .iter()
        .zip(types)
        .map(|(expr, data_type)| {
            let physical = state.create_physical_expr(expr.clone(), &empty).map_err(wrong)?;
            let row = datafusion::arrow::record_batch::RecordBatch::try_new_with_options(
                Arc::new(datafusion::arrow::datatypes::Schema::empty()),
                Vec::new(),
                &datafusion::arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(1)),
            )
            .map_err(|error| wrong(error.into()))?;
            let array = physical.evaluate(&row).and_then(|value| value.into_array(1)).map_err(wrong)?;
            let value = ScalarValue::try_from_array(&array, 0).map_err(wrong)?;
            match arrow_type(data_type.oid()) {
                Some(target) => value.cast_to(&target).map_err(wrong),
                None => Ok(value),
            }
        })
        .collect()
}
