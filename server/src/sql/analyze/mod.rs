//! Analyzer rules: what needs the types of a whole plan.
//!
//! ```text
//! LiteralTypes ─▶ DataFusion's rules (grouping, type coercion) ─▶ LowerAggregates ─▶ PgCasts ─▶ DecorrelateScalars
//! ```

mod casts;
mod decorrelate;
mod literal_types;
mod lower_aggregates;

use std::sync::Arc;

use datafusion::optimizer::Analyzer;
use datafusion::optimizer::AnalyzerRule;

pub use casts::PgCasts;
pub use decorrelate::DecorrelateScalars;
pub use literal_types::LiteralTypes;
pub use lower_aggregates::LowerAggregates;

/// All rules in order, DataFusion's among them.
pub fn rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(LiteralTypes)];
    rules.extend(Analyzer::new().rules);
    rules.push(Arc::new(LowerAggregates));
    rules.push(Arc::new(PgCasts));
    rules.push(Arc::new(DecorrelateScalars));
    rules
}
