//! Windows whose frames exclude rows.
//!
//! | written | parsed as | becomes |
//! |---|---|---|
//! | `f(x) OVER (ORDER BY y ROWS .. EXCLUDE TIES)` | `f(x) OVER (PARTITION BY frame_excludes('ties') ORDER BY y ROWS ..)` | `excluding(x) OVER (ORDER BY y ROWS ..)` |
//!
//! Ranks and neighbours have no frame, so nothing is excluded from it.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition, WindowUDF};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::excluding::{Excluding, Exclusion, MARK};

/// Takes the marks out of windows; runs when aggregates are what is computed in the end.
#[derive(Debug)]
pub struct WindowExclusions;

impl AnalyzerRule for WindowExclusions {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let LogicalPlan::Window(window) = &plan else { return Ok(Transformed::no(plan)) };
            if !window.window_expr.iter().any(is_marked) {
                return Ok(Transformed::no(plan));
            }
            let names = NamePreserver::new_for_projection();
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let rewritten = expr.transform_up(rewrite)?;
                Ok(rewritten.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "window_exclusions"
    }
}

/// What a key of a partition marks.
fn mark(expr: &Expr) -> Option<Exclusion> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    let text = |value: &ScalarValue| value.try_as_str().flatten().map(str::to_owned);
    let words = match args.first()? {
        Expr::Literal(value, _) => text(value)?,
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, _) => text(value)?,
            _ => return None,
        },
        _ => return None,
    };
    Exclusion::named(&words).filter(|_| func.name() == MARK)
}

fn is_marked(expr: &Expr) -> bool {
    let found = expr.exists(|expr| {
        let Expr::WindowFunction(call) = expr else { return Ok(false) };
        Ok(call.params.partition_by.iter().any(|key| mark(key).is_some()))
    });
    found.unwrap_or(false)
}

fn rewrite(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::WindowFunction(call) = expr else { return Ok(Transformed::no(expr)) };
    let WindowFunction { fun, params } = *call;
    let Some(exclusion) = params.partition_by.iter().find_map(mark) else {
        return Ok(Transformed::no(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))));
    };
    let WindowFunctionParams { mut args, mut partition_by, filter, distinct, .. } = params.clone();
    partition_by.retain(|key| mark(key).is_none());
    let has_filter = filter.is_some();
    let excluding = match &fun {
        WindowFunctionDefinition::AggregateUDF(_) if distinct => {
            let message = "DISTINCT is not implemented for window functions";
            return Err(ExecError::new(ErrorKind::Unsupported, message).into());
        }
        WindowFunctionDefinition::AggregateUDF(function) => {
            Some(Excluding::of_aggregate(Arc::clone(function), exclusion, args.len(), has_filter))
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            Excluding::of(function.name(), exclusion, args.len(), has_filter).filter(|_| !has_filter)
        }
    };
    let (fun, filter) = match excluding {
        Some(excluding) => {
            args.extend(filter.map(|filter| *filter));
            (WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::from(excluding))), None)
        }
        None => (fun, filter),
    };
    let params = WindowFunctionParams { args, partition_by, filter, ..params };
    Ok(Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))))
}
