//! The leaf that reads shards as partial states of groups.

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{internal_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{TryStreamExt, stream};

use super::driver;
use super::program::ProgramMetrics;
use crate::scan::{ScanPart, ShardScanExec, leaf_properties};

/// A partial aggregate over the rows that a [`ShardScanExec`] would read.
///
/// The output is that of DataFusion's own partial aggregate: the keys, then the states of every aggregate; or, where
/// this process has all rows, that of its final aggregate. Partition
/// 0 has all of it, since the work is spread over threads inside; the others are empty. Without keys there is one
/// row, also when no row was read.
#[derive(Debug, Clone)]
pub struct ShardAggregateExec {
    scan: ShardScanExec,
    aggregate: Arc<AggregateExec>,
    schema: SchemaRef,
    /// Whether the output is results and not states.
    finished: bool,
    /// How it ran, once it has.
    course: Arc<OnceLock<String>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardAggregateExec {
    /// Fuses `aggregate` with `scan`. The aggregate is a partial one whose expressions are over all columns of the
    /// table (its own input is not looked at); `schema` is that of the partial states.
    ///
    /// # Errors
    /// When the aggregate is of another mode or the scan has a limit.
    pub fn try_new(scan: ShardScanExec, aggregate: Arc<AggregateExec>, schema: SchemaRef) -> Result<Self> {
        if *aggregate.mode() != AggregateMode::Partial || aggregate.group_expr().has_grouping_set() {
            return plan_err!("only a partial aggregate without grouping sets can be fused with a scan");
        }
        if scan.limit.is_some() {
            return plan_err!("a scan with a limit cannot be fused with an aggregate");
        }
        let properties = leaf_properties(Arc::clone(&schema), scan.target.partitions, EmissionType::Final);
        let metrics = ExecutionPlanMetricsSet::new();
        let course = Arc::default();
        Ok(Self { scan, aggregate, schema, finished: false, course, properties, metrics })
    }

    /// The same aggregate that gives the results of its groups instead of their states, in `schema`: for a process that
    /// reads all rows of the table.
    #[must_use]
    pub(super) fn finished(&self, schema: SchemaRef) -> Self {
        let properties =
            leaf_properties(Arc::clone(&schema), self.scan.target.partitions, EmissionType::Final);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { schema, finished: true, course: Arc::default(), properties, metrics, ..self.clone() }
    }

    /// The same aggregate over a part of the rows, for one worker: schema and partition count stay.
    #[must_use]
    pub fn with_part(&self, part: ScanPart) -> Self {
        let scan = self.scan.with_part(part);
        Self { scan, course: Arc::default(), metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }
    }

    /// What is read, and under which filter. Its projection means nothing here.
    pub fn scan(&self) -> &ShardScanExec {
        &self.scan
    }

    /// What is grouped and aggregated, over all columns of the table.
    pub fn aggregate(&self) -> &Arc<AggregateExec> {
        &self.aggregate
    }

    /// Keeps how it ran, for EXPLAIN ANALYZE.
    pub(super) fn ran(&self, course: String) {
        let _ = self.course.set(course);
    }

    /// The schema of keys and states.
    pub(super) fn state_schema(&self) -> SchemaRef {
        if self.finished { self.aggregate.schema() } else { Arc::clone(&self.schema) }
    }

    /// The schema of keys and results, where those are the output.
    pub(super) fn result_schema(&self) -> Option<&SchemaRef> {
        self.finished.then_some(&self.schema)
    }
}

impl DisplayAs for ShardAggregateExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardAggregateExec: {}", self.scan.target)?;
        let groups = self.aggregate.group_expr();
        if !groups.is_empty() {
            let keys: Vec<String> = groups.expr().iter().map(|(expr, _)| expr.to_string()).collect();
            write!(f, " groups=[{}]", keys.join(", "))?;
        }
        let aggregates: Vec<String> = self
            .aggregate
            .aggr_expr()
            .iter()
            .map(|aggregate| aggregate.human_display().unwrap_or(aggregate.name()).to_owned())
            .collect();
        write!(f, " aggregates=[{}]", aggregates.join(", "))?;
        if self.finished {
            write!(f, " finished")?;
        }
        if let Some(filter) = &self.scan.filter {
            write!(f, " filter={filter}")?;
        }
        if let Some(course) = self.course.get() {
            write!(f, " fused: {course}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ShardAggregateExec {
    fn name(&self) -> &'static str {
        "ShardAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        match self.scan.apply_expressions(f)? {
            TreeNodeRecursion::Stop => Ok(TreeNodeRecursion::Stop),
            _ => self.aggregate.apply_expressions(f),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return Ok(Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.schema))));
        }
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let counter = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        let metrics = ProgramMetrics {
            row_groups_read: counter("row_groups_read"),
            row_groups_pruned: counter("row_groups_pruned"),
            bytes_read: counter("bytes_read"),
            elapsed: baseline.elapsed_compute().clone(),
        };
        let batches = driver::run(self.clone(), context, metrics);
        let batches = stream::once(batches)
            .map_ok(move |states| {
                let baseline = baseline.clone();
                let batches = states.into_iter().flat_map(|(batches, reservation)| {
                    // The batches are views of one, whose memory stays accounted for until the last is gone.
                    let reservation = Arc::new(reservation);
                    batches.into_iter().map(move |batch| (batch, Arc::clone(&reservation)))
                });
                stream::iter(batches.map(move |(batch, _reservation)| {
                    baseline.record_output(batch.num_rows());
                    Ok(batch)
                }))
            })
            .try_flatten();
        let stream = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), Box::pin(batches));
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The partial aggregate inside a plan that was sent to this process.
pub(crate) fn as_aggregate(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<AggregateExec>> {
    let aggregate = plan.downcast_ref::<AggregateExec>().cloned().map(Arc::new);
    aggregate
        .ok_or_else(|| internal_datafusion_err!("fused aggregate holds no aggregate but {}", plan.name()))
}
