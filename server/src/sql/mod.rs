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
pub mod origin;
pub(crate) mod own;
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

use crate::catalogue::CatalogueSnapshot;
use crate::error::PgError;
pub use bind::{constants, declared_type, parameter_type, table_query};
pub(crate) use copy_tokens::MATCHING_HEADER;
pub(crate) use definition_tokens::{
    LIKE_COLUMN, NOTHING_COLUMN, OVERRIDING_SYSTEM_VALUE, OVERRIDING_USER_VALUE,
};
use origin::Origin;
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
    /// The users' tables, for their primary keys.
    pub catalogue: Option<Arc<CatalogueSnapshot>>,
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
            catalogue: None,
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
    /// The relations' columns that the output shows, by output column.
    pub origins: Vec<Option<Origin>>,
    /// The types of `$1`, `$2`, ... in order, under PostgreSQL's names; text where nothing tells.
    pub parameters: Vec<FieldRef>,
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
    parameters: &[Option<FieldRef>],
) -> Result<PlannedQuery, PgError> {
    let plan_as = |uniqueness, keys| plan_with(state, facts, statement, parameters, uniqueness, keys);
    let mut uniqueness = Uniqueness::AmongItems;
    let mut planned = plan_as(uniqueness, false).await;
    if let Err(Failure::RepeatedName(_)) = planned {
        uniqueness = Uniqueness::BesideWildcards;
        planned = plan_as(uniqueness, false).await;
    }
    // A column that is not grouped by may depend on a primary key that is.
    if let Err(Failure::Planning(error)) = &planned
        && is_ungrouped(error)
        && let Ok(with_keys) = plan_as(uniqueness, true).await
    {
        planned = Ok(with_keys);
    }
    planned.map_err(|failure| match failure {
        Failure::Told(error) => *error,
        Failure::RepeatedName(error) | Failure::Planning(error) => diagnose::explain(*error, statement),
    })
}

/// Whether a plan gives other values each time that it is run.
pub(crate) fn is_volatile(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let searched = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    });
    found || searched.is_err()
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
    parameters: &[Option<FieldRef>],
    uniqueness: Uniqueness,
    with_keys: bool,
) -> Result<PlannedQuery, Failure> {
    let mut ast = statement.ast.clone();
    bind::drop_void_arguments(&mut ast, parameters);
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
    let relations = Relations::look_up(state, &names, facts, with_keys).await?;
    let mut declared = parameters.to_vec();
    bind::take_casts(&statement.ast, &mut declared)?;
    let mut context = PlannerContext::new().with_prepare_param_data_types(declared.clone());
    let planner = SqlToRel::new_with_options(&relations, parser_options());
    let plan = planner.sql_statement_to_plan_with_context(Statement::Query(query), &mut context)?;
    let plan = if with_keys { provider::without_keys(plan)? } else { plan };
    let plan = analyze::ParameterTypes.analyze(plan, state.config_options())?;
    let plan = analyze::LiteralTypes.analyze(plan, state.config_options())?;
    let plan = with_typed_parameters(plan, &declared)?;
    let plan = analyzer(state).execute_and_check(plan, state.config_options(), |_, _| {})?;
    let parameters = parameter_types(&plan, declared)?;
    let origins = origin::origins(&plan);
    let output = plan
        .schema()
        .fields()
        .iter()
        .map(|field| Arc::new(field.as_ref().clone().with_name(shown(field.name()))))
        .collect();
    Ok(PlannedQuery { plan, output, origins, parameters })
}

/// Whether an error is about a column that is neither grouped by nor in an aggregate.
fn is_ungrouped(error: &DataFusionError) -> bool {
    let text = error.strip_backtrace();
    text.contains("GROUP BY clause") || text.contains("HAVING clause references")
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
///
/// A parameter that the planner typed after a `varchar` beside it is text, as the operators are.
fn with_typed_parameters(
    plan: LogicalPlan,
    declared: &[Option<FieldRef>],
) -> Result<LogicalPlan, DataFusionError> {
    let is_declared = |id: &str| {
        let number = id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
        let declared = number.and_then(|number| declared.get(number.checked_sub(1)?));
        declared.is_some_and(Option::is_some)
    };
    let mut known: HashMap<String, FieldRef> = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        let in_limit = matches!(plan, LogicalPlan::Limit(_));
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Placeholder(Placeholder { id, field: Some(field) }) => {
                        let field = if is_declared(id) {
                            Arc::clone(field)
                        } else {
                            Arc::new(operators::parameter_beside(field, id))
                        };
                        known.entry(id.clone()).or_insert(field);
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
                Expr::Placeholder(Placeholder { id, field: Some(_) }) if is_declared(&id) => {
                    let field = known.get(&id).map(Arc::clone);
                    Ok(Transformed::no(Expr::Placeholder(Placeholder::new_with_field(id, field))))
                }
                Expr::Placeholder(Placeholder { id, .. }) => {
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
    mut types: Vec<Option<FieldRef>>,
) -> Result<Vec<FieldRef>, DataFusionError> {
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
                        slot.get_or_insert_with(|| Arc::clone(field));
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let text = || Arc::new(Field::new("", DataType::Utf8View, true));
    Ok(types.into_iter().map(|field| field.unwrap_or_else(text)).collect())
}

#[cfg(test)]
mod tests;
