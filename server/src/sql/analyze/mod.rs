//! Analyzer rules: what needs the types of a whole plan.
//!
//! ```text
//! LiteralTypes ─▶ DataFusion's rules (grouping, type coercion) ─▶ LowerAggregates ─▶ RegCasts ─▶ PgCasts ─▶ DecorrelateSubqueries
//! ```

mod casts;
mod decorrelate;
mod literal_types;
mod lower_aggregates;
mod reg_casts;

use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::optimizer::Analyzer;
use datafusion::optimizer::AnalyzerRule;

pub use casts::PgCasts;
pub use decorrelate::DecorrelateSubqueries;
pub use literal_types::LiteralTypes;
pub use lower_aggregates::LowerAggregates;
pub use reg_casts::RegCasts;

/// All rules in order, DataFusion's among them; `state` has the functions that look at the catalogue.
pub fn rules(state: &SessionState) -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(LiteralTypes)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(LowerAggregates));
    rules.push(Arc::new(RegCasts::new(state)));
    rules.push(Arc::new(PgCasts));
    rules.push(Arc::new(DecorrelateSubqueries));
    rules
}
