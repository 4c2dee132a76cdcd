//! Casts between texts and the `reg...` types, which arrow knows as plain numbers: functions that look at the catalogue.
//!
//! | cast | becomes |
//! |---|---|
//! | a text to `regclass` | `regclassin(text)` |
//! | a `regclass` to a text | `pg_regclass(oid)` |
//! | a `regclass` as an argument of a function that prints its arguments | likewise |
//! | any type that arrow does not know by itself to one that it does | the cast, without the old type's name |

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::functions::type_names::PG_TYPE_KEY;

use super::casts::input_schema;
use crate::sql::types::REG_TYPES;

/// Functions that print their arguments, of whatever type they are.
const PRINTING: [&str; 8] = [
    "concat",
    "concat_ws",
    "format",
    "json_build_array",
    "json_build_object",
    "quote_literal",
    "quote_nullable",
    "to_json",
];

/// Replaces casts from and to the `reg...` types; runs after type coercion.
pub struct RegCasts {
    functions: HashMap<String, Arc<ScalarUDF>>,
}

impl fmt::Debug for RegCasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegCasts").finish_non_exhaustive()
    }
}

impl RegCasts {
    /// The rule with the functions of a session; without them it changes nothing.
    pub fn new(state: &SessionState) -> Self {
        let names = REG_TYPES.iter().flat_map(|reg| [format!("{reg}in"), format!("pg_{reg}")]);
        let functions = names.filter_map(|name| state.udf(&name).ok().map(|function| (name, function)));
        Self { functions: functions.collect() }
    }

    fn call(&self, name: &str, argument: Expr) -> Option<Expr> {
        let function = self.functions.get(name)?;
        Some(Expr::ScalarFunction(ScalarFunction::new_udf(Arc::clone(function), vec![argument])))
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::Cast(Cast { expr: inner, field }) => {
                let (_, from) = inner.to_field(schema)?;
                let to_reg = reg_of(field.metadata());
                let called = match (to_reg, reg_of(from.metadata())) {
                    (Some(reg), _) if from.data_type().is_string() => {
                        self.call(&format!("{reg}in"), as_text(inner.as_ref().clone(), from.data_type()))
                    }
                    (None, Some(reg)) if field.data_type().is_string() => {
                        self.call(&format!("pg_{reg}"), inner.as_ref().clone())
                    }
                    _ => None,
                };
                Ok(match called {
                    // A cast of one type to itself keeps what arrow does not tell apart.
                    Some(called) if to_reg.is_none() => {
                        Transformed::yes(Expr::Cast(Cast { expr: Box::new(called), field }))
                    }
                    Some(called) => Transformed::yes(called),
                    // A cast that names no more than an arrow type would hand the old name on.
                    None if field.metadata().is_empty() && from.metadata().contains_key(PG_TYPE_KEY) => {
                        let nullable = from.is_nullable();
                        let field = Arc::new(Field::new("cast", field.data_type().clone(), nullable));
                        Transformed::yes(Expr::Cast(Cast { expr: inner, field }))
                    }
                    None => Transformed::no(Expr::Cast(Cast { expr: inner, field })),
                })
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if PRINTING.contains(&func.name()) => {
                let mut changed = false;
                let args = args.into_iter().map(|argument| {
                    let (_, from) = argument.to_field(schema)?;
                    let called = reg_of(from.metadata())
                        .and_then(|reg| self.call(&format!("pg_{reg}"), argument.clone()));
                    changed |= called.is_some();
                    Ok(called.unwrap_or(argument))
                });
                let args = args.collect::<Result<Vec<_>>>()?;
                let call = Expr::ScalarFunction(ScalarFunction { func, args });
                Ok(if changed { Transformed::yes(call) } else { Transformed::no(call) })
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

impl AnalyzerRule for RegCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_up_with_subqueries(|plan| {
            let schema = input_schema(&plan);
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(|expr| self.rewrite(expr, &schema))?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })
        })?;
        if !rewritten.transformed {
            return Ok(rewritten.data);
        }
        // What columns are called changes on the way up to the output.
        let typed =
            rewritten.data.transform_up_with_subqueries(|plan| plan.recompute_schema().map(Transformed::yes));
        typed.map(|typed| typed.data)
    }

    fn name(&self) -> &'static str {
        "reg_casts"
    }
}

fn reg_of(metadata: &HashMap<String, String>) -> Option<&'static str> {
    let name = metadata.get(PG_TYPE_KEY)?;
    REG_TYPES.into_iter().find(|reg| reg == name)
}

fn as_text(expr: Expr, from: &DataType) -> Expr {
    if *from == DataType::Utf8View { expr } else { Expr::Cast(Cast::new(Box::new(expr), DataType::Utf8View)) }
}
