//! What chooses among values keeps PostgreSQL's name for their type, where arrow's type does not say it: CASE and the
//! functions whose arguments share one type. Plans above what got a name learn it too.

use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::functions::type_names::PG_TYPE_KEY;

use super::literal_types::ONE_TYPE;
use super::traversal::with_expressions;

/// Hands the names of types on; runs when all types are known.
#[derive(Debug)]
pub struct TypeNames;

impl AnalyzerRule for TypeNames {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let rewritten = with_expressions(plan, named)?;
            rewritten.data.recompute_schema().map(Transformed::yes)
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "type_names"
    }
}

fn named(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let name = match &expr {
        Expr::Case(case) => {
            let results = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            common_name(results.chain(case.else_expr.as_deref()), schema)?
        }
        Expr::ScalarFunction(call) if ONE_TYPE.contains(&call.func.name()) => {
            let name = common_name(call.args.iter(), schema)?;
            if call.func.name() == "make_array" { name.map(|name| format!("{name}[]")) } else { name }
        }
        _ => None,
    };
    match name {
        Some(name) => described(expr, name, schema).map(Transformed::yes),
        None => Ok(Transformed::no(expr)),
    }
}

/// PostgreSQL's name of the type that all results have which are not NULL, where arrow's type does not say it.
fn common_name<'a>(results: impl Iterator<Item = &'a Expr>, schema: &DFSchema) -> Result<Option<String>> {
    let mut common = None;
    for result in results.filter(|result| !is_null(result)) {
        let name = name_of(result, schema)?;
        match &common {
            None => common = Some(name),
            Some(known) if *known == name => {}
            Some(_) => return Ok(None),
        }
    }
    Ok(common.flatten())
}

/// PostgreSQL's name for the type of an expression, where arrow's type does not say it. A cast is of the type that it
/// casts to, whatever it is applied to.
pub(super) fn name_of(expr: &Expr, schema: &DFSchema) -> Result<Option<String>> {
    let field = match expr {
        Expr::Cast(Cast { field, .. }) => Arc::clone(field),
        expr => expr.to_field(schema)?.1,
    };
    Ok(field.metadata().get(PG_TYPE_KEY).cloned())
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(Cast { expr, .. }) => is_null(expr),
        _ => false,
    }
}

/// An expression under PostgreSQL's name for its type.
fn described(expr: Expr, name: String, schema: &DFSchema) -> Result<Expr> {
    let field = expr.to_field(schema)?.1;
    if field.metadata().get(PG_TYPE_KEY) == Some(&name) {
        return Ok(expr);
    }
    let described = Field::new("", field.data_type().clone(), true);
    let described = described.with_metadata([(PG_TYPE_KEY.to_owned(), name)].into());
    Ok(Expr::Cast(Cast { expr: Box::new(expr), field: Arc::new(described) }))
}
