//! Windows over columns: what a window is partitioned by is computed before it.
//!
//! ```text
//! Window: sum(a) OVER (PARTITION BY b <> 8)      Projection: a, b, "sum(a) OVER (..)"
//!   input                                   ─▶     Window: sum(a) OVER (PARTITION BY __partition_0)
//!                                                    Projection: a, b, b <> 8 AS __partition_0
//!                                                      input
//! ```
//!
//! DataFusion sorts by an equal column where a join has made one, and then does not find the expression again that it
//! partitions by.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, Projection, Window, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;
use quickdb_executor::error::{ErrorKind, ExecError};

/// Gives windows columns for keys; runs when the keys are what they stay.
#[derive(Debug)]
pub struct WindowKeys;

impl AnalyzerRule for WindowKeys {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Window(window) => keyed(window),
            other => Ok(Transformed::no(other)),
        })
        .map(|rewritten| rewritten.data)
    }

    fn name(&self) -> &'static str {
        "window_keys"
    }
}

fn is_plain(key: &Expr) -> bool {
    matches!(key, Expr::Column(_) | Expr::Literal(..))
}

fn keyed(window: Window) -> Result<Transformed<LogicalPlan>> {
    for expr in &window.window_expr {
        let input = window.input.schema();
        expr.apply(|expr| {
            if let Expr::WindowFunction(call) = expr {
                check_default(call, input)?;
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
    }
    let mut keys: Vec<Expr> = Vec::new();
    let mut place = |key: Expr| {
        if is_plain(&key) {
            return key;
        }
        let index = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            keys.push(key);
            keys.len() - 1
        });
        Expr::Column(Column::from_name(name_of(index)))
    };
    let rewritten: Vec<Expr> = window
        .window_expr
        .iter()
        .cloned()
        .map(|expr| {
            expr.transform_up(|expr| {
                let Expr::WindowFunction(call) = expr else { return Ok(Transformed::no(expr)) };
                let WindowFunction { fun, params } = *call;
                let partition_by = params.partition_by.into_iter().map(&mut place).collect();
                let params = WindowFunctionParams { partition_by, ..params };
                Ok(Transformed::yes(Expr::WindowFunction(Box::new(WindowFunction { fun, params }))))
            })
            .map(|rewritten| rewritten.data)
        })
        .collect::<Result<_>>()?;
    if keys.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let Window { input, schema, .. } = window;
    let kept = input.schema().fields().len();
    let mut items: Vec<Expr> = input.schema().iter().map(Expr::from).collect();
    items.extend(keys.into_iter().enumerate().map(|(index, key)| key.alias(name_of(index))));
    let input = LogicalPlan::Projection(Projection::try_new(items, input)?);
    let results: Vec<Expr> = rewritten
        .iter()
        .zip(schema.iter().skip(kept))
        .map(|(expr, (qualifier, field))| {
            let column = Expr::Column(Column::from_name(expr.schema_name().to_string()));
            column.alias_qualified(qualifier.cloned(), field.name().clone())
        })
        .collect();
    let columns = schema.iter().take(kept).map(Expr::from);
    let items = columns.chain(results).collect();
    let plan = LogicalPlan::Window(Window::try_new(rewritten, Arc::new(input))?);
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(items, Arc::new(plan))?)))
}

fn name_of(index: usize) -> String {
    format!("__partition_{index}")
}

/// The default of `lead` and `lag` becomes a value of the first argument's type; one that would lose digits is refused.
fn check_default(call: &WindowFunction, schema: &DFSchema) -> Result<()> {
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else { return Ok(()) };
    let [value, _, default] = call.params.args.as_slice() else { return Ok(()) };
    let literal = match default {
        Expr::Literal(literal, _) => literal,
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(literal, _) => literal,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    if !matches!(function.name(), "lead" | "lag") || !literal.data_type().is_numeric() {
        return Ok(());
    }
    let wanted = value.get_type(schema)?;
    let kept = literal.cast_to(&wanted).and_then(|kept| kept.cast_to(&literal.data_type()));
    if kept.is_ok_and(|kept| kept == *literal) {
        return Ok(());
    }
    let name = function.name();
    Err(ExecError::new(
        ErrorKind::Unsupported,
        format!("a default of {name} with more digits than its values is not supported"),
    )
    .with_hint("Cast the values to a type with as many digits.")
    .into())
}
