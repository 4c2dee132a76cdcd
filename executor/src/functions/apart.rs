//! `named_apart(x, tag)`: `x` under a name of its own, while a statement is planned.
//!
//! Casts do not show in names, so `sum(x)` and `sum(x::bigint)` would be one column to the planner. The tag tells them
//! apart; the analyzer takes the call off again.

use std::sync::Arc;

use datafusion::logical_expr::{Expr, ScalarUDF};

use crate::functions::function::{Function, arg, internal, over_arrays};
use crate::functions::numeric_display::{NATURAL, NUMERIC_DISPLAY_KEY, QUOTIENT};

const NAME: &str = "named_apart";

/// The function.
pub fn named_apart_udf() -> Arc<ScalarUDF> {
    Function::new(
        NAME,
        |types| (types.len() == 2).then(|| types.to_vec()),
        |types, _| types.first().cloned().ok_or_else(|| internal("nothing to be named apart")),
        |args| over_arrays(args, |arrays| arg(arrays, 0).cloned()),
    )
    .describe(|args, _| {
        let metadata = args.arg_fields.first()?.metadata();
        let display = metadata.get(NUMERIC_DISPLAY_KEY)?;
        Some((NUMERIC_DISPLAY_KEY, if display == QUOTIENT { QUOTIENT } else { NATURAL }.to_owned()))
    })
    .udf()
}

/// What is inside of a call of the function.
pub fn named_apart(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == NAME => call.args.first(),
        _ => None,
    }
}
