//! SQL text to a logical plan, in PostgreSQL's meaning.
//!
//! ```text
//! text ─ parse ─▶ syntax tree ─ rewrite ─▶ tree for DataFusion ─ SqlToRel with our names, types, operators ─▶ plan
//!      ─ analyze ─▶ typed plan ─▶ PlannedQuery: the plan, its output columns, its parameters
//! ```
//!
//! Nothing here executes. Every error comes out as a [`PgError`] with PostgreSQL's code, words and position.

pub mod aggregates;
pub mod analyze;
pub mod bind;
mod copy_tokens;
mod definition_tokens;
pub mod diagnose;
pub mod joins;
mod json_operators;
pub mod operators;
pub mod parse;
pub mod patterns;
pub mod position;
pub mod provider;
pub mod rewrite;
mod spellings;
pub mod types;

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{Analyzer, AnalyzerRule};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::Statement;
use quickdb_executor::error::ErrorKind;

use crate::error::PgError;
pub use bind::{constants, declared_type, parameter_type, table_query};
pub(crate) use copy_tokens::MATCHING_HEADER;
pub(crate) use definition_tokens::LIKE_COLUMN;
pub use parse::{ParsedStatement, parse};
use provider::Relations;
use rewrite::Uniqueness;
use rewrite::names::shown;

/// What a session answers about itself in SQL.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    /// `current_user`
    pub user: String,
    /// `session_user`
    pub session_user: String,
    /// `current_database()`
    pub database: String,
    /// Schemas where bare names are sought, after `pg_catalog`; the first is `current_schema`.
    pub search_path: Vec<String>,
    /// The schema of the session's temporary relations, which come before all others.
    pub temporary_schema: Option<String>,
    /// `version()`
    pub version: String,
}

impl SessionFacts {
    /// A session of `user` in `database` with the default search path.
    pub fn new(user: impl Into<String>, database: impl Into<String>) -> Self {
        let user = user.into();
        let version = format!("PostgreSQL 15.0 (quickdb {})", env!("CARGO_PKG_VERSION"));
        Self {
            session_user: user.clone(),
            user,
            database: database.into(),
            search_path: vec!["public".to_owned()],
            temporary_schema: None,
            version,
        }
    }
}

/// A query that is ready to be optimized and run.
#[derive(Debug, Clone)]
pub struct PlannedQuery {
    /// The analyzed plan. Its field names may carry a mark that tells repeated names apart.
    pub plan: LogicalPlan,
    /// The columns as clients see them: PostgreSQL's names, repeated ones too.
    pub output: Vec<FieldRef>,
    /// The types of `$1`, `$2`, ... in order; text where nothing tells.
    pub parameters: Vec<DataType>,
}

impl PlannedQuery {
    /// The output columns' names.
    pub fn output_names(&self) -> Vec<String> {
        self.output.iter().map(|field| field.name().clone()).collect()
    }
}

/// Functions and settings that a session needs for plans of [`plan_query`].
#[must_use]
pub fn configure(mut builder: SessionStateBuilder) -> SessionStateBuilder {
    let config = builder.config().get_or_insert_default();
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.collect_spans = true;
    options.sql_parser.default_null_ordering = "nulls_max".to_owned();
    options.sql_parser.map_string_types_to_utf8view = true;
    // Outer joins make columns nullable that the logical plan took for more; values are as they are.
    options.execution.skip_physical_aggregate_schema_check = true;
    // No table has records, and what the catalogue has of them loses its qualifiers when it is moved about.
    options.optimizer.enable_leaf_expression_pushdown = false;
    builder = quickdb_executor::functions::add_to(builder);
    // Known by name to the planner, and here to the catalogue of functions.
    builder.aggregate_functions().get_or_insert_default().push(aggregates::Typed::Extremes.function());
    builder
}

/// Plans a query; `parameters` are the types that the client declared for `$1`, `$2`, ...
///
/// # Errors
/// Everything that PostgreSQL's parser and analysis would say, and 0A000 for what is not built.
pub async fn plan_query(
    state: &SessionState,
    facts: &SessionFacts,
    statement: &ParsedStatement,
    parameters: &[Option<DataType>],
) -> Result<PlannedQuery, PgError> {
    let first = plan_with(state, facts, statement, parameters, Uniqueness::AmongItems).await;
    let planned = match first {
        Err(Failure::RepeatedName(_)) => {
            plan_with(state, facts, statement, parameters, Uniqueness::BesideWildcards).await
        }
        other => other,
    };
    planned.map_err(|failure| match failure {
        Failure::Told(error) => *error,
        Failure::RepeatedName(error) | Failure::Planning(error) => diagnose::explain(*error, statement),
    })
}

enum Failure {
    Told(Box<PgError>),
    RepeatedName(Box<DataFusionError>),
    Planning(Box<DataFusionError>),
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        let repeated = error.strip_backtrace();
        if repeated.contains("require unique expression names") || repeated.contains("would be ambiguous") {
            return Failure::RepeatedName(Box::new(error));
        }
        Failure::Planning(Box::new(error))
    }
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Failure::Told(Box::new(error))
    }
}

async fn plan_with(
    state: &SessionState,
    facts: &SessionFacts,
    statement: &ParsedStatement,
    parameters: &[Option<DataType>],
    uniqueness: Uniqueness,
) -> Result<PlannedQuery, Failure> {
    let mut ast = statement.ast.clone();
    rewrite::rewrite(&mut ast, &statement.source, facts, uniqueness)?;
    let wrapped = DfStatement::Statement(Box::new(ast));
    let (names, _ctes): (Vec<TableReference>, Vec<TableReference>) =
        resolve_table_references(&wrapped, true)?;
    let DfStatement::Statement(ast) = wrapped else {
        return Err(PgError::new(ErrorKind::Internal, "a statement changed its kind").into());
    };
    let Statement::Query(query) = *ast else {
        return Err(PgError::unsupported("this kind of statement here").into());
    };
    let relations = Relations::look_up(state, &names, facts).await?;
    let declared: Vec<Option<FieldRef>> = parameters
        .iter()
        .enumerate()
        .map(|(index, data_type)| {
            data_type
                .clone()
                .map(|data_type| Arc::new(Field::new(format!("${}", index + 1), data_type, true)))
        })
        .collect();
    let mut context = PlannerContext::new().with_prepare_param_data_types(declared);
    let planner = SqlToRel::new_with_options(&relations, parser_options());
    let plan = planner.sql_statement_to_plan_with_context(Statement::Query(query), &mut context)?;
    let plan = analyze::LiteralTypes.analyze(plan, state.config_options())?;
    let plan = with_typed_parameters(plan)?;
    let plan = analyzer(state).execute_and_check(plan, state.config_options(), |_, _| {})?;
    let parameters = parameter_types(&plan, parameters)?;
    let output = plan
        .schema()
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_name(shown(field.name()))))
        .collect();
    Ok(PlannedQuery { plan, output, parameters })
}

fn analyzer(state: &SessionState) -> Analyzer {
    Analyzer::with_rules(analyze::rules(state))
}

fn parser_options() -> ParserOptions {
    ParserOptions {
        parse_float_as_decimal: true,
        enable_ident_normalization: true,
        support_varchar_with_length: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: true,
        default_null_ordering: NullOrdering::NullsMax,
    }
}

/// Gives types to parameters that have none: the type that the same parameter has elsewhere, `bigint` in LIMIT and
/// OFFSET, the target of a cast, and text where nothing tells.
fn with_typed_parameters(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let mut known: HashMap<String, FieldRef> = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        let in_limit = matches!(plan, LogicalPlan::Limit(_));
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(Placeholder { id, field: Some(field) }) => {
                        known.entry(id.clone()).or_insert_with(|| Arc::clone(field));
                    }
                    Expr::Placeholder(Placeholder { id, field: None }) if in_limit => {
                        let field = Arc::new(Field::new(id.clone(), DataType::Int64, true));
                        known.entry(id.clone()).or_insert(field);
                    }
                    Expr::Cast(Cast { expr, field }) => {
                        if let Expr::Placeholder(Placeholder { id, field: None }) = expr.as_ref() {
                            let field = Arc::new(field.as_ref().clone().with_name(id.clone()));
                            known.entry(id.clone()).or_insert(field);
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    plan.transform_up_with_subqueries(|plan| {
        let rewritten = plan.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::Placeholder(Placeholder { id, field: None }) => {
                    let text = || Arc::new(Field::new(id.clone(), DataType::Utf8View, true));
                    let field = known.get(&id).map_or_else(text, Arc::clone);
                    Ok(Transformed::yes(Expr::Placeholder(Placeholder::new_with_field(id, Some(field)))))
                }
                other => Ok(Transformed::no(other)),
            })
        })?;
        // Only what computes columns has a schema that a parameter can change.
        let computes = matches!(
            rewritten.data,
            LogicalPlan::Projection(_)
                | LogicalPlan::Aggregate(_)
                | LogicalPlan::Window(_)
                | LogicalPlan::Values(_)
        );
        if rewritten.transformed && computes {
            rewritten.map_data(LogicalPlan::recompute_schema)
        } else {
            Ok(rewritten)
        }
    })
    .map(|rewritten| rewritten.data)
}

/// The types of a plan's parameters, in order; a declared one that the plan does not use keeps its declaration.
fn parameter_types(
    plan: &LogicalPlan,
    declared: &[Option<DataType>],
) -> Result<Vec<DataType>, DataFusionError> {
    let mut types: Vec<Option<DataType>> = declared.to_vec();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(Placeholder { id, field: Some(field) }) = expr
                    && let Some(index) = id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok())
                    && let Some(index) = index.checked_sub(1)
                    && index < usize::from(u16::MAX)
                {
                    if types.len() <= index {
                        types.resize(index + 1, None);
                    }
                    if let Some(slot) = types.get_mut(index) {
                        slot.get_or_insert_with(|| field.data_type().clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(types.into_iter().map(|data_type| data_type.unwrap_or(DataType::Utf8View)).collect())
}

#[cfg(test)]
mod tests;
