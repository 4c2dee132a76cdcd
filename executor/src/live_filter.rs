//! Filters that other operators tighten while the query runs: the bound of a top-k, the keys of a join's build side.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::utils::{conjunction, split_conjunction};
use datafusion::physical_expr_common::physical_expr::{snapshot_generation, snapshot_physical_expr};

use crate::predicate::Predicate;
use crate::prune::Pruner;

/// A filter in two parts: what stays as it is, and what may change between two row groups.
///
/// Rows that any past state of the changing part refused are not needed, so that each row group may be read with
/// whatever state is found when its turn comes.
#[derive(Debug)]
pub(crate) struct LiveFilter {
    /// The part that stays as it is.
    pub(crate) fixed: Predicate,
    changing: Option<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
    known: Mutex<Option<(u64, Arc<Snapshot>)>>,
}

/// The changing part as it was at some time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) predicate: Predicate,
    pub(crate) pruner: Pruner,
}

impl LiveFilter {
    /// A filter over the table's `schema`; none keeps everything.
    pub(crate) fn new(filter: Option<&Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Result<Self> {
        let (fixed, changing) = split(filter);
        Ok(Self {
            fixed: Predicate::new(fixed.as_ref(), schema)?,
            changing,
            schema: Arc::clone(schema),
            known: Mutex::default(),
        })
    }

    /// The changing part as it is now; `None` where there is none.
    pub(crate) fn snapshot(&self) -> Result<Option<Arc<Snapshot>>> {
        let Some(changing) = &self.changing else { return Ok(None) };
        let generation = snapshot_generation(changing);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, snapshot)) = known.as_ref()
            && *seen == generation
        {
            return Ok(Some(Arc::clone(snapshot)));
        }
        let now = snapshot_physical_expr(Arc::clone(changing))?;
        let snapshot = Arc::new(Snapshot {
            predicate: Predicate::new(Some(&now), &self.schema)?,
            pruner: Pruner::new(Some(&now), &self.schema),
        });
        *known = Some((generation, Arc::clone(&snapshot)));
        Ok(Some(snapshot))
    }
}

/// The conjuncts of `filter` that stay as they are.
pub(crate) fn fixed_part(filter: Option<&Arc<dyn PhysicalExpr>>) -> Option<Arc<dyn PhysicalExpr>> {
    split(filter).0
}

type Part = Option<Arc<dyn PhysicalExpr>>;

fn split(filter: Option<&Arc<dyn PhysicalExpr>>) -> (Part, Part) {
    let conjuncts = filter.map(|filter| split_conjunction(filter)).unwrap_or_default();
    let (changing, fixed): (Vec<_>, Vec<_>) = conjuncts
        .into_iter()
        .cloned()
        .partition(|expr| DynamicFilterTracking::classify(expr).contains_dynamic_filter());
    let part = |conjuncts: Vec<_>| (!conjuncts.is_empty()).then(|| conjunction(conjuncts));
    (part(fixed), part(changing))
}
