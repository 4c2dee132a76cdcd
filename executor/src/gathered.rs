//! The last resort of a cluster's planner: everything runs on the master, over shards that the workers send.
//!
//! ```text
//! RecursiveQueryExec                     RecursiveQueryExec
//!   HashJoinExec                           HashJoinExec
//!     WorkTableExec              ─▶          WorkTableExec
//!     ShardScanExec                          RepartitionExec
//!                                              CachedExec
//!                                                DistributedExec: ShardScanExec, one task per worker
//! ```
//!
//! A recursive query's nodes have no form in which they could travel, and neither has a series of which no column is
//! used. Each leaf over shards becomes a distributed query of its own, filters and columns as they were pushed into it.
//! What runs again and again keeps its rows in memory, under the master's limit.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::datasource::{TableType, provider_as_source};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion_distributed::NetworkBoundaryExt;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use crate::pinning::{is_shard_leaf, plan_locally};

/// Whether a distributed plan has a node at a worker that cannot travel there, or a recursion around a worker's.
pub(crate) fn cannot_travel(plan: &Arc<dyn ExecutionPlan>) -> bool {
    is_stuck(plan, false)
}

fn is_stuck(plan: &Arc<dyn ExecutionPlan>, remote: bool) -> bool {
    let recursive = plan.name() == "RecursiveQueryExec";
    let empty_series = plan.name() == "LazyMemoryExec" && plan.schema().fields().is_empty();
    if remote && (recursive || plan.name() == "WorkTableExec" || empty_series) {
        return true;
    }
    if recursive && plan.exists(|node| Ok(node.as_network_boundary().is_some())).unwrap_or(true) {
        return true;
    }
    if let Some(boundary) = plan.as_network_boundary() {
        return boundary.input_stage().local_plan().is_some_and(|input| is_stuck(input, true));
    }
    if let Some(leaf) = plan.downcast_ref::<datafusion_distributed::DistributedLeafExec>() {
        return is_stuck(leaf.original(), remote);
    }
    plan.children().into_iter().any(|child| is_stuck(child, remote))
}

/// The plan of a query on the master, with each of its leaves over shards gathered from the workers.
///
/// # Errors
/// Those of planning.
pub(crate) async fn plan_on_master(
    state: &SessionState,
    logical: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let local = plan_locally(state, logical).await?;
    let mut leaves = Vec::new();
    local.apply(|node| {
        if is_shard_leaf(node) {
            leaves.push(Arc::clone(node));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut gathered = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let rows = distributed(state, &leaf).await?;
        gathered.push((leaf, rows));
    }
    place(local, &gathered, false)
}

/// The leaf as a query of its own.
async fn distributed(state: &SessionState, leaf: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let provider = provider_as_source(Arc::new(Planned { leaf: Arc::clone(leaf) }));
    let logical = LogicalPlanBuilder::scan("shards", provider, None)?.build()?;
    // There is nothing to optimize about it.
    let plan = state.query_planner().create_physical_plan(&logical, state).await?;
    if plan.output_partitioning().partition_count() == 1 {
        return Ok(plan);
    }
    plan_err!(
        "the rows of a leaf over shards come in {} streams",
        plan.output_partitioning().partition_count()
    )
}

/// Puts the gathered rows where the leaves were.
fn place(
    plan: Arc<dyn ExecutionPlan>,
    gathered: &[(Arc<dyn ExecutionPlan>, Arc<dyn ExecutionPlan>)],
    repeated: bool,
) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some((leaf, rows)) = gathered.iter().find(|(leaf, _)| Arc::ptr_eq(leaf, &plan)) {
        let partitions = leaf.output_partitioning().partition_count();
        let rows = if repeated { Arc::new(CachedExec::new(Arc::clone(rows))) as _ } else { Arc::clone(rows) };
        return Ok(Arc::new(RepartitionExec::try_new(rows, Partitioning::RoundRobinBatch(partitions))?));
    }
    let repeated = repeated || plan.name() == "RecursiveQueryExec";
    plan.map_children(|child| place(child, gathered, repeated).map(Transformed::yes)).data()
}

/// A relation whose plan is there already.
#[derive(Debug)]
struct Planned {
    leaf: Arc<dyn ExecutionPlan>,
}

#[async_trait]
impl TableProvider for Planned {
    fn schema(&self) -> SchemaRef {
        self.leaf.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::clone(&self.leaf))
    }
}

/// One stream that is read once and given out as often as it is asked for.
struct CachedExec {
    input: Arc<dyn ExecutionPlan>,
    rows: Arc<OnceCell<Rows>>,
}

struct Rows {
    batches: Vec<RecordBatch>,
    /// Given back with the rows.
    _memory: MemoryReservation,
}

impl CachedExec {
    fn new(input: Arc<dyn ExecutionPlan>) -> Self {
        Self { input, rows: Arc::default() }
    }
}

impl fmt::Debug for CachedExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for CachedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedExec")
    }
}

impl ExecutionPlan for CachedExec {
    fn name(&self) -> &'static str {
        "CachedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// A recursion makes its nodes anew for every round; the rows stay.
    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match <[_; 1]>::try_from(children) {
            Ok([input]) => Ok(Arc::new(Self { input, rows: Arc::clone(&self.rows) })),
            Err(children) => plan_err!("CachedExec has one child, not {}", children.len()),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, input) = (Arc::clone(&self.rows), Arc::clone(&self.input));
        let read = async move {
            rows.get_or_try_init(|| read(input, partition, context)).await?;
            let batches = rows.get().map(|rows| rows.batches.clone()).unwrap_or_default();
            Ok::<_, DataFusionError>(futures::stream::iter(batches.into_iter().map(Ok)))
        };
        let stream = futures::stream::once(read).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

async fn read(input: Arc<dyn ExecutionPlan>, partition: usize, context: Arc<TaskContext>) -> Result<Rows> {
    let memory = MemoryConsumer::new("CachedExec").register(context.memory_pool());
    let mut stream = input.execute(partition, context)?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        memory.try_grow(batch.get_array_memory_size())?;
        batches.push(batch);
    }
    Ok(Rows { batches, _memory: memory })
}
