//! Analyzer rules: what needs the types of a whole plan.
//!
//! ```text
//! ParameterTypes ─▶ LiteralTypes, before parameters without a type become text; then all of:
//! CountedSetOperations ─▶ LiteralTypes ─▶ IntervalOrder ─▶ DataFusion's rules (grouping, type coercion)
//!   ─▶ ArrayOrder ─▶ LowerAggregates ─▶ TypeNames ─▶ WindowExclusions ─▶ FloatEquality
//!   ─▶ RegCasts ─▶ PgCasts ─▶ IntervalOrder ─▶ WindowKeys ─▶ DecorrelateSubqueries ─▶ UnnestSubqueries
//! ```

mod array_order;
mod casts;
mod decorrelate;
mod exclusions;
mod floats;
#[cfg(test)]
mod harness;
mod intervals;
mod literal_types;
mod lower_aggregates;
mod parameter_types;
mod reg_casts;
mod set_operations;
mod traversal;
mod type_names;
mod unnest;
mod window_keys;

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::optimizer::Analyzer;
use datafusion::optimizer::AnalyzerRule;

pub use array_order::ArrayOrder;
pub use casts::{PgCasts, READING};
pub use decorrelate::DecorrelateSubqueries;
pub use exclusions::WindowExclusions;
pub use floats::FloatEquality;
pub use intervals::IntervalOrder;
pub use literal_types::LiteralTypes;
pub use lower_aggregates::LowerAggregates;
pub use parameter_types::ParameterTypes;
pub use reg_casts::RegCasts;
pub use set_operations::CountedSetOperations;
pub use type_names::TypeNames;
pub use unnest::UnnestSubqueries;
pub use window_keys::WindowKeys;

/// All rules in order, DataFusion's among them; `state` has the functions that look at the catalogue.
pub fn rules(state: &SessionState) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> =
        vec![Arc::new(CountedSetOperations), Arc::new(LiteralTypes), Arc::new(IntervalOrder)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(ArrayOrder));
    rules.push(Arc::new(LowerAggregates));
    rules.push(Arc::new(TypeNames));
    rules.push(Arc::new(WindowExclusions));
    rules.push(Arc::new(FloatEquality));
    rules.push(Arc::new(RegCasts::new(state)));
    rules.push(Arc::new(PgCasts));
    rules.push(Arc::new(IntervalOrder));
    rules.push(Arc::new(WindowKeys));
    rules.push(Arc::new(DecorrelateSubqueries));
    rules.push(Arc::new(UnnestSubqueries));
    rules
}
