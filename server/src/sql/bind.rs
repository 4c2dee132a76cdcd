//! Small pieces between statements and plans: parameters, constants, a table as a query.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DFSchema, ParamValues, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    self, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query,
    SelectItem, Statement, TableFactor, Value, VisitMut, VisitorMut, visit_expressions,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use pgwire::api::Type;
use quickdb_executor::error::ErrorKind;
use quickdb_executor::functions::arrays::shape::{is_array, is_multi, reshaped};

use super::{ParsedStatement, PlannedQuery, SessionFacts, plan_query, types};
use crate::error::PgError;
use crate::wire::types::{PG_TYPE_KEY, PgColumnType, arrow_type, column_type, oid};

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
        let values =
            values.iter().zip(&self.parameters).map(|(value, field)| bound(value, field.data_type()));
        let values = values.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        self.plan.clone().replace_params_with_values(&ParamValues::from(values)).map_err(wrong)
    }

    /// The types of the parameters as clients know them; what they declared themselves stays.
    pub fn parameter_types(&self, declared: &[Option<Type>]) -> Vec<Type> {
        let own = |field: &FieldRef| {
            column_type(field).and_then(|column| Type::from_oid(column.oid)).unwrap_or(Type::TEXT)
        };
        let declared = declared.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        self.parameters
            .iter()
            .zip(declared)
            .map(|(field, declared)| declared.cloned().unwrap_or_else(|| own(field)))
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
pub fn declared_type(declared: &Option<Type>) -> Option<FieldRef> {
    let type_oid = declared.as_ref()?.oid();
    let data_type = if type_oid == oid::VOID { DataType::Utf8View } else { arrow_type(type_oid)? };
    let field = Field::new("", data_type, true);
    let name = PgColumnType::of_oid(type_oid)?.name.to_owned();
    Some(Arc::new(field.with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), name)]))))
}

/// Whether a client declares a parameter as `void`: it is the place of a result, as drivers for stored procedures have
/// it, and no argument of the function that it stands in.
fn is_void(declared: &[Option<FieldRef>], parameter: &Expr) -> bool {
    let declared = parameter_index(parameter).and_then(|index| declared.get(index)).and_then(Option::as_ref);
    declared.is_some_and(|field| field.metadata().get(PG_TYPE_KEY).is_some_and(|name| name == "void"))
}

/// Takes parameters that are declared as `void` out of the arguments of functions.
pub fn drop_void_arguments(statement: &mut Statement, declared: &[Option<FieldRef>]) {
    struct Drop<'a>(&'a [Option<FieldRef>]);
    impl Drop<'_> {
        fn from(&self, args: &mut Vec<FunctionArg>) {
            args.retain(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => !is_void(self.0, expr),
                _ => true,
            });
        }
    }
    impl VisitorMut for Drop<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
            if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expr {
                self.from(&mut list.args);
            }
            ControlFlow::Continue(())
        }

        fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
            match factor {
                TableFactor::Table { args: Some(list), .. } => self.from(&mut list.args),
                TableFactor::Function { args, .. } => self.from(args),
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let _ = VisitMut::visit(statement, &mut Drop(declared));
}

/// Gives parameters that the client left open the type that a cast gives them: `$1::uuid`.
///
/// # Errors
/// A type that cannot be.
pub fn take_casts(statement: &Statement, declared: &mut Vec<Option<FieldRef>>) -> Result<(), PgError> {
    let mut wrong = None;
    let _ = visit_expressions(statement, |expr| {
        let Expr::Cast { expr, data_type, .. } = expr else { return ControlFlow::Continue(()) };
        let Some(index) = parameter_index(expr) else { return ControlFlow::Continue(()) };
        match types::PgTypes.plan_type_field(data_type) {
            // The names of objects are read where the catalogue is: they stay text until then.
            Ok(Some(field)) if !is_reg_type(&field) => {
                if declared.len() <= index {
                    declared.resize(index + 1, None);
                }
                if let Some(slot) = declared.get_mut(index) {
                    slot.get_or_insert(field);
                }
                ControlFlow::Continue(())
            }
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                wrong = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    wrong.map_or(Ok(()), |error| Err(PgError::from_datafusion(error, None)))
}

fn is_reg_type(field: &Field) -> bool {
    field
        .metadata()
        .get(PG_TYPE_KEY)
        .is_some_and(|name| types::REG_TYPES.contains(&name.trim_end_matches("[]")))
}

/// The number of a parameter from 0, if the expression is one.
fn parameter_index(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => parameter_index(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(name) => {
                let number: u16 = name.strip_prefix('$')?.parse().ok()?;
                usize::from(number).checked_sub(1)
            }
            _ => None,
        },
        _ => None,
    }
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
