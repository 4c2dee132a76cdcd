//! Arrays: how they are held, made, taken apart, searched and compared, by PostgreSQL's rules.
//!
//! ```text
//! literal ─▶ casts, construct ─▶ shape (List or multi) ─▶ access, measure, change, search, order
//! ```
//!
//! Every function here takes both forms of arrays that [`shape`] describes.

mod access;
mod casts;
mod change;
mod construct;
pub mod literal;
mod measure;
mod order;
mod search;
pub mod shape;
pub mod types;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    let mut functions = access::functions();
    functions.extend(casts::functions());
    functions.extend(change::functions());
    functions.extend(construct::functions());
    functions.extend(measure::functions());
    functions.extend(order::functions());
    functions.extend(search::functions());
    functions
}
