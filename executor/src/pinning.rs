//! Everything that datafusion-distributed must be told because the data lies where it lies.
//!
//! The crate plans as if any task could read any data. Here task *i* of a stage over shards is worker *i*'s,
//! reads worker *i*'s shards and runs on worker *i*:
//!
//! ```text
//!  desired_tasks   shard leaf: one task per worker       anything else in memory: one task
//!  scale_up        shard leaf: one variant per worker    anything else: [leaf, empty, empty, ...]
//!  route           stage over shards: task i on worker i other stages: tasks over the workers in order
//! ```
//!
//! The planner may still settle on another task count for a stage, because of a neighbour that allows one
//! task only. The count is never trusted: [`scale_up`] refuses it and [`check`] looks at the finished plan
//! once more. A refused plan is made again with [`GatherShards`], which brings each scan to the consumer
//! first: slower, and right for nearly every shape. What is refused even then, or has nodes that cannot travel, runs
//! on the master over [`gathered`] shards. A one-partition leaf gave silently wrong rows in such plans,
//! so leaves advertise two partitions at least; the nodes themselves see to that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExt, DistributedLeafExec,
    DistributedMetricsFormat, NetworkBoundaryExt, RouteTasksEvent, RouteTasksEventResponse,
    ScaleUpLeafNodeEvent, ScaleUpLeafNodeEventResponse, SessionStateBuilderExt,
};
use quickdb_storage::{ShardId, TableId};

use crate::cluster::Cluster;
use crate::codec::QuickdbCodec;
use crate::error::{ErrorKind, ExecError};
use crate::fused::ShardAggregateExec;
use crate::gathered;
use crate::scan::{ScanPart, ScanTarget, ShardScanExec};
use crate::session::SessionOptions;
use crate::table::WorkerId;

/// Marks the error of a plan that has to be made again with [`GatherShards`].
const NOT_PINNED: &str = "quickdb: a stage over shards does not have one task per worker";

/// Where the shards of one query lie: a session-configuration extension on the master.
#[derive(Debug)]
pub struct QueryPlacement {
    cluster: Arc<Cluster>,
    /// Workers of each shard; the first one that is a member of the cluster and not avoided reads it.
    owners: Arc<HashMap<ShardId, Vec<WorkerId>>>,
    /// Workers that are asked only for what no other one holds.
    avoided: Vec<WorkerId>,
    /// Tasks of avoided workers that read shards all the same.
    needed: Mutex<HashSet<usize>>,
}

impl QueryPlacement {
    /// The placement of a catalogue snapshot on a cluster.
    pub fn new(cluster: Arc<Cluster>, owners: Arc<HashMap<ShardId, Vec<WorkerId>>>) -> Self {
        Self { cluster, owners, avoided: vec![], needed: Mutex::default() }
    }

    /// The same for another try, after `workers` have failed: their shards are read from other copies where there are
    /// any, and what else they would do is done by others.
    #[must_use]
    pub fn avoiding(self, workers: &[WorkerId]) -> Self {
        Self { avoided: workers.to_vec(), ..self }
    }

    fn avoids(&self, task: usize) -> bool {
        self.cluster.worker_of_task(task).is_some_and(|worker| self.avoided.contains(&worker.id))
    }

    /// The task that reads a shard with copies on `owners`.
    fn reader(&self, owners: &[WorkerId]) -> Option<usize> {
        let mut tasks = owners.iter().filter_map(|owner| self.cluster.index_of(*owner));
        let first = tasks.clone().next();
        let reader = tasks.find(|task| !self.avoids(*task)).or(first)?;
        if self.avoids(reader) {
            self.needed.lock().unwrap_or_else(PoisonError::into_inner).insert(reader);
        }
        Some(reader)
    }

    /// The task that reads the tail of a table. The tail is in the plan, so that any worker could; tables differ in
    /// which.
    fn tail_reader(&self, table: TableId) -> usize {
        let workers = self.cluster.workers().len().max(1);
        let first = usize::try_from(table.0 % workers as u64).unwrap_or(0);
        let mut tasks = (first..first + workers).map(|task| task % workers);
        tasks.find(|task| !self.avoids(*task)).unwrap_or(first)
    }

    /// Where a task runs: on its worker, or on another one where that has failed and the task reads nothing there.
    fn url_of_task(&self, task: usize) -> url::Url {
        let is_needed = self.needed.lock().unwrap_or_else(PoisonError::into_inner).contains(&task);
        if is_needed || !self.avoids(task) {
            return self.cluster.url_of_task(task);
        }
        let workers = self.cluster.workers().len();
        let mut others = (task + 1..task + workers).map(|other| other % workers);
        self.cluster.url_of_task(others.find(|other| !self.avoids(*other)).unwrap_or(task))
    }

    /// Cuts a leaf's rows into one part per task.
    ///
    /// # Errors
    /// A shard that no worker of the cluster holds.
    fn split(&self, target: &ScanTarget) -> Result<Vec<ScanPart>> {
        let part = |task| ScanPart {
            worker: self.cluster.worker_of_task(task).map(|worker| worker.name.clone()),
            ..ScanPart::default()
        };
        let mut tasks: Vec<ScanPart> = (0..self.cluster.task_count()).map(part).collect();
        for shard_ref in &target.shards {
            let shard = &shard_ref.shard;
            let owners = self.owners.get(shard).map(Vec::as_slice).unwrap_or_default();
            let Some(task) = self.reader(owners) else {
                let message = format!("no worker of this cluster holds shard {shard}");
                return Err(ExecError::new(ErrorKind::ShardMissing, message).into_datafusion());
            };
            if let Some(part) = tasks.get_mut(task) {
                part.shards.push(*shard_ref);
            }
        }
        if let Some(part) = tasks.get_mut(self.tail_reader(target.table)) {
            part.tail = target.tail.clone();
        }
        Ok(tasks)
    }
}

/// Teaches a session to plan for a cluster. The session's configuration must later be given a
/// [`QueryPlacement`] (see [`with_placement`]).
///
/// # Errors
/// The builder refuses a setting.
pub fn configure(builder: SessionStateBuilder, cluster: &Arc<Cluster>) -> Result<SessionStateBuilder> {
    let builder = builder
        .with_distributed_worker_resolver(ClusterResolver(Arc::clone(cluster)))
        .with_distributed_planner()
        .with_distributed_user_codec(QuickdbCodec)
        .with_distributed_option_extension(SessionOptions::default())
        .with_distributed_channel_resolver(cluster.channels().clone())
        .with_distributed_desired_task_count_handler(desired_tasks)
        .with_distributed_scale_up_leaf_node_handler(scale_up)
        .with_distributed_route_tasks_handler(route)
        .with_distributed_max_tasks_per_stage(cluster.task_count())?
        // On by default; it lets a union's children run in some of the tasks only, wherever their data is.
        .with_distributed_children_isolator_unions(false)?
        // Metrics cost each query up to half a millisecond; EXPLAIN ANALYZE turns them on.
        .with_distributed_metrics_collection(false)?
        // Partial states and rows cross one switch: compressing them costs more than sending them.
        .with_distributed_compression(None)?;
    Ok(builder)
}

/// The same session for one query: with where its shards lie, and metrics where they are asked for.
///
/// # Errors
/// The session was not made by [`configure`].
pub fn with_placement(state: &mut SessionState, placement: QueryPlacement, metrics: bool) -> Result<()> {
    let config = state.config_mut();
    config.set_extension(Arc::new(placement));
    config.set_distributed_metrics_collection(metrics)
}

/// The distributed physical plan of a logical plan; [`configure`] and [`with_placement`] come first.
///
/// # Errors
/// Those of planning.
pub async fn plan(state: &SessionState, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let is_refused = |planned: &Result<Arc<dyn ExecutionPlan>>| match planned {
        Err(error) => error.to_string().contains(NOT_PINNED),
        Ok(_) => false,
    };
    let mut planned = state.create_physical_plan(logical).await.and_then(check);
    if is_refused(&planned) {
        let gathering = SessionStateBuilder::new_from_existing(state.clone())
            .with_physical_optimizer_rule(Arc::new(GatherShards))
            .build();
        planned = gathering.create_physical_plan(logical).await.and_then(check);
    }
    let stuck = is_refused(&planned) || planned.as_ref().is_ok_and(gathered::cannot_travel);
    if stuck { gathered::plan_on_master(state, logical).await } else { planned }
}

/// The plan of a query that calls what exists on the master alone: there, over shards that the workers send.
///
/// # Errors
/// Those of planning.
pub async fn plan_gathered(state: &SessionState, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    gathered::plan_on_master(state, logical).await
}

/// The workers' addresses, as the distributed planner asks for them.
struct ClusterResolver(Arc<Cluster>);

impl datafusion_distributed::WorkerResolver for ClusterResolver {
    fn get_urls(&self) -> Result<Vec<url::Url>> {
        self.0.get_urls()
    }
}

/// Whether a node reads shards.
pub(crate) fn is_shard_leaf(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ShardScanExec>() || plan.is::<ShardAggregateExec>()
}

fn target_of(plan: &Arc<dyn ExecutionPlan>) -> Option<&ScanTarget> {
    let scan = plan.downcast_ref::<ShardScanExec>();
    let scan = scan.or_else(|| plan.downcast_ref::<ShardAggregateExec>().map(ShardAggregateExec::scan));
    scan.map(|scan| &scan.target)
}

/// A leaf whose rows are in the plan or made by it, and so exist once: VALUES, series, the master's tables.
fn is_other_leaf(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.children().is_empty()
        && !is_shard_leaf(plan)
        && !plan.is::<DistributedLeafExec>()
        // The working table of a recursive query belongs to the task that runs the recursion.
        && plan.name() != "WorkTableExec"
}

fn desired_tasks(event: DesiredTaskCountEvent<'_>) -> Option<Result<DesiredTaskCountEventResponse>> {
    if is_other_leaf(event.plan) {
        // Without an answer the planner takes one task as the most for the whole stage.
        return Some(Ok(DesiredTaskCountEventResponse::desired(1)));
    }
    if !is_shard_leaf(event.plan) {
        return None;
    }
    let placement = event.session_config.get_extension::<QueryPlacement>()?;
    Some(Ok(DesiredTaskCountEventResponse::desired(placement.cluster.task_count())))
}

fn scale_up(event: ScaleUpLeafNodeEvent<'_>) -> Option<Result<ScaleUpLeafNodeEventResponse>> {
    if is_other_leaf(event.plan) {
        return (event.task_count > 1).then(|| once(event.plan, event.task_count));
    }
    let target = target_of(event.plan)?;
    let placement = event.session_config.get_extension::<QueryPlacement>()?;
    if event.task_count != placement.cluster.task_count() {
        return Some(plan_err!("{NOT_PINNED}"));
    }
    Some(one_variant_per_worker(event.plan, target, &placement))
}

fn one_variant_per_worker(
    plan: &Arc<dyn ExecutionPlan>,
    target: &ScanTarget,
    placement: &QueryPlacement,
) -> Result<ScaleUpLeafNodeEventResponse> {
    let mut variants: Vec<Arc<dyn ExecutionPlan>> = Vec::with_capacity(placement.cluster.task_count());
    for part in placement.split(target)? {
        variants.push(if let Some(scan) = plan.downcast_ref::<ShardScanExec>() {
            Arc::new(scan.with_part(part))
        } else if let Some(aggregate) = plan.downcast_ref::<ShardAggregateExec>() {
            Arc::new(aggregate.with_part(part))
        } else {
            return plan_err!("{} does not read shards", plan.name());
        });
    }
    DistributedLeafExec::try_new(Arc::clone(plan), variants)
        .map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf)))
}

/// The leaf in the first task, nothing in the others.
fn once(plan: &Arc<dyn ExecutionPlan>, task_count: usize) -> Result<ScaleUpLeafNodeEventResponse> {
    let partitions = plan.output_partitioning().partition_count();
    let empty: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(plan.schema()).with_partitions(partitions));
    let others = std::iter::repeat_n(empty, task_count.saturating_sub(1));
    DistributedLeafExec::try_new(Arc::clone(plan), std::iter::once(Arc::clone(plan)).chain(others))
        .map(|leaf| ScaleUpLeafNodeEventResponse::new(Arc::new(leaf)))
}

fn route(event: RouteTasksEvent<'_>) -> Option<Result<RouteTasksEventResponse>> {
    let placement = event.task_ctx.session_config().get_extension::<QueryPlacement>()?;
    // Stages without shards go to the workers in the same order: any worker will do, the same one each time.
    let urls = (0..event.task_count).map(|task| placement.url_of_task(task)).collect();
    Some(Ok(RouteTasksEventResponse::new(urls)))
}

/// Passes a plan whose every shard leaf has one variant per task of its stage.
fn check(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    check_stage(&plan, 1)?;
    Ok(plan)
}

fn check_stage(plan: &Arc<dyn ExecutionPlan>, task_count: usize) -> Result<()> {
    if is_shard_leaf(plan) {
        return plan_err!("{NOT_PINNED}");
    }
    if let Some(leaf) = plan.downcast_ref::<DistributedLeafExec>() {
        if is_shard_leaf(leaf.original()) && (task_count < 2 || leaf.variants().len() != task_count) {
            return plan_err!("{NOT_PINNED}");
        }
        return Ok(());
    }
    if let Some(boundary) = plan.as_network_boundary() {
        let stage = boundary.input_stage();
        return match stage.local_plan() {
            Some(input) => check_stage(input, stage.task_count()),
            None => Ok(()),
        };
    }
    plan.children().into_iter().try_for_each(|child| check_stage(child, task_count))
}

/// Brings the rows of each shard leaf into one stream before anything else happens to them, so that what is
/// above runs in one task and the leaf in a stage of its own.
#[derive(Debug)]
struct GatherShards;

impl PhysicalOptimizerRule for GatherShards {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|node| {
            if !is_shard_leaf(&node) {
                return Ok(Transformed::no(node));
            }
            let partitions = node.output_partitioning().partition_count();
            let gathered = Arc::new(CoalescePartitionsExec::new(node));
            let spread = RepartitionExec::try_new(gathered, Partitioning::RoundRobinBatch(partitions))?;
            Ok(Transformed::new(Arc::new(spread) as _, true, TreeNodeRecursion::Jump))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "gather_shards"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The plan as text, one node a line; a distributed one by stages, with what each task does and where.
pub fn explain(plan: &Arc<dyn ExecutionPlan>) -> String {
    datafusion_distributed::display_plan_ascii(plan.as_ref(), false)
}

/// The plan after it has run, with rows and times; `per_task` keeps the tasks of a stage apart. It waits for
/// the workers' measurements, so it belongs under a timeout.
///
/// # Errors
/// The measurements do not fit the plan.
pub async fn explain_analyze(plan: Arc<dyn ExecutionPlan>, per_task: bool) -> Result<String> {
    let format =
        if per_task { DistributedMetricsFormat::PerTask } else { DistributedMetricsFormat::Aggregated };
    datafusion_distributed::explain_analyze(plan, format).await
}

/// The plan of a query that reads no shards, in a session that plans for a cluster: it runs on the master.
///
/// # Errors
/// Those of planning.
pub async fn plan_locally(state: &SessionState, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
    let logical = state.optimize(logical)?;
    datafusion::physical_planner::PhysicalPlanner::create_physical_plan(
        &datafusion::physical_planner::DefaultPhysicalPlanner::default(),
        &logical,
        state,
    )
    .await
}
