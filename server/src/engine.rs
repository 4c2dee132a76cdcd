//! The master without its sockets: catalogue, workers, planning and running.
//!
//! ```text
//!  LogicalPlan ─┬─ reads shards of a cluster ─▶ pinning::plan ─▶ stages on workers, head here
//!               └─ anything else ────────────▶ DataFusion ────▶ here, embedded shards included
//! ```

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::datasource::provider_as_source;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;
use quickdb_executor::cluster::Cluster;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::fused::FuseAggregates;
use quickdb_executor::pinning::{self, QueryPlacement};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::store::ShardStore;
use quickdb_executor::table::{ShardPlacement, ShardTable, WorkerId};
use quickdb_executor::yielding::YieldingJoins;
use quickdb_storage::ShardId;

use crate::catalogue::{Catalogue, CatalogueResult, CatalogueSnapshot, Change, Table};
use crate::copies::Copies;
use crate::error::PgError;
use crate::execution::{PlanRuntime, RowStream};
use crate::layouts::Layouts;
use crate::pg_catalog::FunctionList;
use crate::replicas;
use crate::upkeep::Claims;
use crate::write::returning::table_of;

/// Where the shards are.
pub(crate) enum Backend {
    /// In this process.
    Embedded {
        /// Its number in the catalogue.
        worker: WorkerId,
        /// Its shards.
        store: Arc<ShardStore>,
    },
    /// On the workers of a cluster.
    Cluster(Arc<Cluster>),
}

/// A worker that turns out to be lost later than this has been waited for long enough.
const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// Everything that sessions share.
pub(crate) struct Engine {
    pub(crate) catalogue: Catalogue,
    pub(crate) backend: Backend,
    pub(crate) plans: PlanRuntime,
    /// Files that are being written.
    pub(crate) claims: Arc<Claims>,
    /// Copies of the catalogue on the workers.
    pub(crate) copies: Copies,
    /// How shards are encoded.
    pub(crate) layouts: Layouts,
    /// Functions, rules and memory of every session; sessions add their tables and settings.
    base: SessionState,
    functions: Arc<FunctionList>,
    partitions: usize,
    /// Microseconds since 1970.
    pub(crate) started_at_us: i64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Puts the parts together. `threads` bounds the partitions of a plan and the threads that poll it.
    pub(crate) fn new(
        catalogue: Catalogue,
        backend: Backend,
        runtime: Arc<RuntimeEnv>,
        threads: usize,
    ) -> Result<Self> {
        // A leaf with one partition gives wrong rows in a distributed plan.
        let partitions = threads.max(2);
        let mut config = SessionConfig::from(ConfigOptions::default())
            .with_target_partitions(partitions)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(crate::namespace::CATALOG, crate::namespace::DEFAULT_SCHEMA);
        if let Backend::Embedded { store, .. } = &backend {
            config.set_extension(Arc::clone(store));
        }
        let builder =
            SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features();
        let builder = crate::sql::configure(builder);
        let builder = builder
            .with_physical_optimizer_rules(quickdb_executor::fences::physical_rules())
            .with_physical_optimizer_rule(Arc::new(FuseAggregates {
                one_process: matches!(backend, Backend::Embedded { .. }),
            }))
            .with_physical_optimizer_rule(Arc::new(YieldingJoins));
        let builder = match &backend {
            Backend::Embedded { .. } => builder,
            Backend::Cluster(cluster) => pinning::configure(builder, cluster)?,
        };
        let plans = PlanRuntime::new(threads)?;
        let base = builder.build();
        let functions = Arc::new(FunctionList::of(&base));
        let started_at_us = chrono::Utc::now().timestamp_micros();
        Ok(Self {
            catalogue,
            backend,
            plans,
            claims: Arc::default(),
            copies: Copies::default(),
            layouts: Layouts::default(),
            base,
            functions,
            partitions,
            started_at_us,
        })
    }

    /// The catalogue as it is now.
    pub(crate) fn snapshot(&self) -> Arc<CatalogueSnapshot> {
        self.catalogue.snapshot()
    }

    /// Makes changes, all or none of them. On return they are durable and visible, and the workers know of them, all
    /// but rows that only go to logs. It blocks on disks and workers: for threads that may.
    ///
    /// # Errors
    /// Those of [`Catalogue::commit`].
    pub(crate) fn commit(&self, changes: Vec<Change>) -> CatalogueResult<()> {
        let only_appends = changes.iter().all(Change::appends);
        let committed = self.catalogue.commit(changes)?;
        if !only_appends {
            tokio::runtime::Handle::current().block_on(self.copies.keep(self, &committed));
        }
        Ok(())
    }

    /// Functions, rules and memory that every session starts from.
    pub(crate) fn base_state(&self) -> &SessionState {
        &self.base
    }

    /// The functions that sessions can call, for `pg_proc`.
    pub(crate) fn function_list(&self) -> Arc<FunctionList> {
        Arc::clone(&self.functions)
    }

    /// A table of a snapshot for the planner.
    ///
    /// # Errors
    /// The rows of its log cannot be encoded.
    pub(crate) fn table_provider(&self, table: &Table) -> Result<Arc<ShardTable>> {
        let shards = table
            .shards
            .iter()
            .map(|shard| ShardPlacement {
                shard: shard.id,
                workers: shard.workers.clone(),
                rows: shard.rows,
                bytes: shard.bytes,
                columns: table.columns.iter().map(|column| shard.summary(column).cloned()).collect(),
                deletions: shard.deletions,
            })
            .collect();
        let schema = Arc::clone(table.arrow_schema());
        let tail = table.log.tail(&schema).map_err(PgError::from)?;
        Ok(Arc::new(ShardTable {
            name: table.full_name(),
            table: table.id,
            schema,
            shards: Arc::new(shards),
            tail,
            row_ids: false,
            partitions: self.partitions,
        }))
    }

    /// Threads that may write shards of one statement on one worker.
    pub(crate) fn writers(&self) -> usize {
        self.partitions
    }

    /// A plan over the rows that its tables have in a snapshot; it may have been made for an earlier one of the same
    /// definitions.
    pub(crate) fn with_present_rows(
        &self,
        plan: LogicalPlan,
        snapshot: &CatalogueSnapshot,
    ) -> Result<LogicalPlan> {
        let present = plan.transform_down_with_subqueries(|node| {
            let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
            let row_ids = table_of(&scan).is_some_and(|table| table.row_ids);
            let Some(table) = table_of(&scan).and_then(|table| snapshot.table_by_id(table.table)) else {
                return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
            };
            let present = ShardTable { row_ids, ..ShardTable::clone(&*self.table_provider(table)?) };
            scan.source = provider_as_source(Arc::new(present));
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        })?;
        Ok(present.data)
    }

    /// The physical plan of a logical one over a snapshot. `metrics`: for EXPLAIN ANALYZE.
    pub(crate) async fn physical_plan(
        &self,
        state: &SessionState,
        snapshot: &CatalogueSnapshot,
        logical: &LogicalPlan,
        metrics: bool,
    ) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
        self.physical_plan_avoiding(state, snapshot, logical, metrics, &[]).await
    }

    /// The same; shards with several copies are not read on the workers `avoided`.
    async fn physical_plan_avoiding(
        &self,
        state: &SessionState,
        snapshot: &CatalogueSnapshot,
        logical: &LogicalPlan,
        metrics: bool,
        avoided: &[WorkerId],
    ) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
        let mut state = state.clone();
        // From here on `now()` stands still, and functions see the session's settings.
        state.mark_start_execution();
        if let Backend::Cluster(cluster) = &self.backend
            && reads_shards(logical)?
        {
            let placement = QueryPlacement::new(Arc::clone(cluster), owners(snapshot)).avoiding(avoided);
            pinning::with_placement(&mut state, placement, metrics)?;
            let plan = if calls_the_master(logical)? {
                pinning::plan_gathered(&state, logical).await?
            } else {
                pinning::plan(&state, logical).await?
            };
            return Ok((state, plan));
        }
        let plan = match &self.backend {
            Backend::Embedded { .. } => state.create_physical_plan(logical).await?,
            Backend::Cluster(_) => pinning::plan_locally(&state, logical).await?,
        };
        Ok((state, plan))
    }

    /// Runs a query up to its first batch. Where a worker fails before that, by being gone or by its copy of a shard
    /// being damaged, the query is run again without it if there are other copies of all that it was to read. A worker
    /// that turns out to be gone and has the only copy of something gets one more chance: it may have been started
    /// again since the last query.
    pub(crate) async fn run(
        &self,
        state: &SessionState,
        snapshot: &Arc<CatalogueSnapshot>,
        logical: &LogicalPlan,
    ) -> Result<RowStream> {
        let mut retried = false;
        let mut avoided = vec![];
        let started = Instant::now();
        loop {
            let (state, plan) =
                self.physical_plan_avoiding(state, snapshot, logical, false, &avoided).await?;
            let mut rows = self.plans.start(plan, state.task_ctx(), Arc::clone(snapshot));
            match rows.first_error().await {
                None => return Ok(rows),
                Some(error) if let Some(worker) = self.replaceable(&error, logical, &avoided) => {
                    tracing::warn!(worker = worker.0, %error, "query is run again on other copies");
                    avoided.push(worker);
                }
                Some(error) if !retried && lost_worker(&error) && started.elapsed() < RETRY_WITHIN => {
                    retried = true
                }
                Some(error) => return Err(error),
            }
        }
    }

    /// The worker that has failed, where a query can do without it.
    fn replaceable(
        &self,
        error: &DataFusionError,
        logical: &LogicalPlan,
        avoided: &[WorkerId],
    ) -> Option<WorkerId> {
        let Backend::Cluster(cluster) = &self.backend else { return None };
        replicas::replaceable(error, logical, cluster.workers(), avoided)
    }

    /// Handles of the workers that new shards can go to, with their numbers in the catalogue.
    pub(crate) fn hosts(&self) -> Result<Vec<(WorkerId, ShardHost)>> {
        match &self.backend {
            Backend::Embedded { worker, store } => {
                Ok(vec![(*worker, ShardHost::Embedded(Arc::clone(store)))])
            }
            Backend::Cluster(cluster) => (0..cluster.workers().len())
                .zip(cluster.workers())
                .map(|(index, worker)| Ok((worker.id, ShardHost::remote(cluster, index)?)))
                .collect(),
        }
    }
}

/// Memory pool and spill directory of a master's own part of the queries.
pub(crate) fn runtime_env(memory_limit_bytes: usize, spill_dir: &Path) -> Result<Arc<RuntimeEnv>> {
    quickdb_executor::worker::runtime_env(memory_limit_bytes, spill_dir)
}

fn lost_worker(error: &DataFusionError) -> bool {
    ExecError::find(error).is_some_and(|error| error.kind == ErrorKind::WorkerLost)
}

fn owners(snapshot: &CatalogueSnapshot) -> Arc<HashMap<ShardId, Vec<WorkerId>>> {
    let shards = snapshot.tables().iter().flat_map(|table| table.shards.iter());
    Arc::new(shards.map(|shard| (shard.id, shard.workers.clone())).collect())
}

/// Whether a plan calls a function that does something and exists on the master alone, such as `nextval`.
fn calls_the_master(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr {
                    found |= crate::pg_catalog::is_volatile_function(call.func.name());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// Whether any part of a plan, subqueries included, scans a table of shards.
fn reads_shards(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<DefaultTableSource>()
            && source.table_provider.is::<ShardTable>()
        {
            found = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
