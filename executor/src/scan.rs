//! The leaf that reads shards as rows.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Statistics, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::{collect_columns, conjunction};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, SchedulingType, apply_expression_roots,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use quickdb_storage::{ShardId, TableId};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::columns::without_private;
use crate::cpu;
use crate::live_filter::{LiveFilter, fixed_part};
use crate::prune::Pruner;
use crate::row_group::RowGroup;
use crate::selection::{CHUNK_ROWS, Selection};
use crate::store::ShardStore;
use crate::tail::Tail;
use crate::view::ShardView;

pub use crate::table::{ShardPlacement, ShardTable, WorkerId};

/// A plan's leaf advertises at least this many partitions: the distributed planner takes a leaf with one for data
/// that any single task may read.
pub const PARTITIONS_MIN: usize = 2;

/// Row groups of one partition that are read ahead of the consumer.
const READ_AHEAD: usize = 2;

/// A shard as a snapshot of the catalogue names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRef {
    /// The shard.
    pub shard: ShardId,
    /// The version of its deletion vector; `None` when no row is deleted.
    pub deletions: Option<u64>,
}

/// The part of a table's rows that one task reads.
#[derive(Debug, Clone, Default)]
pub struct ScanPart {
    /// Its shards, in the order in which their rows are taken.
    pub shards: Vec<ShardRef>,
    /// The rows after those of the shards, where this task is the one that reads them.
    pub tail: Option<Arc<Tail>>,
    /// Name of the worker that reads them, for people, where that is decided.
    pub worker: Option<String>,
}

/// Which shards of which table are read, and in how many partitions.
#[derive(Debug, Clone)]
pub struct ScanTarget {
    /// The table's number.
    pub table: TableId,
    /// `schema.table`, for people.
    pub table_name: String,
    /// All columns of the table, with the metadata by which they are found in shards.
    pub table_schema: SchemaRef,
    /// The shards, in the order in which their rows are taken.
    pub shards: Vec<ShardRef>,
    /// The rows after those of the shards.
    pub tail: Option<Arc<Tail>>,
    /// Name of the worker that reads them, for people, where that is decided.
    pub worker: Option<String>,
    /// Output partitions.
    pub partitions: usize,
}

impl ScanTarget {
    /// All columns of the table as plans see them.
    pub fn row_schema(&self) -> SchemaRef {
        without_private(&self.table_schema)
    }
}

/// Reads shards as rows: columns are projected, rows filtered, row groups that cannot match are not read.
///
/// Partition `p` of `P` reads the row groups whose number, counted over all shards after pruning, is `p` modulo `P`.
/// The order of rows within a partition is that of the shards.
#[derive(Debug, Clone)]
pub struct ShardScanExec {
    /// What is read.
    pub target: ScanTarget,
    /// Output columns, as positions in the table's schema.
    pub projection: Vec<usize>,
    /// Only rows for which this is true are output; over the table's schema.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// At most this many rows are output in each partition.
    pub limit: Option<usize>,
    table_statistics: Option<Arc<Statistics>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShardScanExec {
    /// A scan of `target`; see the fields for the arguments.
    ///
    /// # Errors
    /// When the projection or the filter names a column that the table does not have.
    pub fn try_new(
        mut target: ScanTarget,
        projection: Vec<usize>,
        filter: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> Result<Self> {
        target.partitions = target.partitions.max(PARTITIONS_MIN);
        let columns = target.table_schema.fields().len();
        if filter.iter().flat_map(|filter| collect_columns(filter)).any(|column| column.index() >= columns) {
            return plan_err!(
                "filter of table \"{}\" names a column that it does not have",
                target.table_name
            );
        }
        let schema = Arc::new(target.row_schema().project(&projection)?);
        let properties = leaf_properties(schema, target.partitions, EmissionType::Incremental);
        Ok(Self {
            target,
            projection,
            filter,
            limit,
            table_statistics: None,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same scan of a part of the rows, for one worker: schema and partition count stay.
    #[must_use]
    pub fn with_part(&self, part: ScanPart) -> Self {
        let ScanPart { shards, tail, worker } = part;
        Self {
            target: ScanTarget { shards, tail, worker, ..self.target.clone() },
            metrics: ExecutionPlanMetricsSet::new(),
            ..self.clone()
        }
    }

    /// The same scan with what is known of the whole table, for the planner; it is not sent to workers.
    #[must_use]
    pub fn with_table_statistics(self, statistics: Arc<Statistics>) -> Self {
        Self { table_statistics: Some(statistics), ..self }
    }

    /// What is known of the whole table, where this node was planned in this process.
    pub fn table_statistics(&self) -> Option<&Arc<Statistics>> {
        self.table_statistics.as_ref()
    }

    /// The names of the output columns.
    fn column_names(&self) -> Vec<&str> {
        let fields = self.target.table_schema.fields();
        self.projection.iter().filter_map(|&column| Some(fields.get(column)?.name().as_str())).collect()
    }

    /// The filter over the table that `filter` over this node's output means; `None` when it names other columns.
    fn over_table(&self, filter: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        if collect_columns(filter).iter().any(|column| column.index() >= self.projection.len()) {
            return Ok(None);
        }
        let rewritten = Arc::clone(filter).transform_down(|node| {
            let column = node.downcast_ref::<Column>().and_then(|column| {
                let index = *self.projection.get(column.index())?;
                Some(Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>)
            });
            Ok(match column {
                Some(column) => Transformed::new(column, true, TreeNodeRecursion::Jump),
                None => Transformed::no(node),
            })
        });
        rewritten.data().map(Some)
    }
}

/// `schema.table on worker shards=[1, 2, 3] tail=4`, the latter in rows; a long list of shards is counted from some point on.
impl fmt::Display for ScanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 8;
        f.write_str(&self.table_name)?;
        if let Some(worker) = &self.worker {
            write!(f, " on {worker}")?;
        }
        write!(f, " shards=[")?;
        for (position, shard) in self.shards.iter().take(SHOWN_MAX).enumerate() {
            write!(f, "{}{}", if position == 0 { "" } else { ", " }, shard.shard.0)?;
        }
        match self.shards.len().checked_sub(SHOWN_MAX) {
            Some(more @ 1..) => write!(f, ", and {more} more]")?,
            _ => write!(f, "]")?,
        }
        match &self.tail {
            Some(tail) => write!(f, " tail={}", tail.rows),
            None => Ok(()),
        }
    }
}

/// The properties of a leaf over shards, which yields to others by itself.
pub(crate) fn leaf_properties(
    schema: SchemaRef,
    partitions: usize,
    emission: EmissionType,
) -> Arc<PlanProperties> {
    let properties = PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        emission,
        Boundedness::Bounded,
    );
    Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative))
}

impl DisplayAs for ShardScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardScanExec: {}", self.target)?;
        write!(f, " projection=[{}]", self.column_names().join(", "))?;
        if let Some(filter) = &self.filter {
            write!(f, " filter={filter}")?;
        }
        if let Some(limit) = self.limit {
            write!(f, " limit={limit}")?;
        }
        Ok(())
    }
}

impl ExecutionPlan for ShardScanExec {
    fn name(&self) -> &'static str {
        "ShardScanExec"
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
        apply_expression_roots(self.filter.iter().collect::<Vec<_>>(), f)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let store = ShardStore::of(&context)?;
        let reader = Arc::new(Reader {
            store,
            schema: self.schema(),
            projection: self.projection.clone(),
            filter: LiveFilter::new(self.filter.as_ref(), &self.target.table_schema)?,
            row_groups_pruned: MetricBuilder::new(&self.metrics).counter("row_groups_pruned", partition),
            row_groups_read: MetricBuilder::new(&self.metrics).counter("row_groups_read", partition),
            bytes_read: MetricBuilder::new(&self.metrics).counter("bytes_read", partition),
            baseline: BaselineMetrics::new(&self.metrics, partition),
            limit: self.limit,
        });
        let cancel = CancellationToken::new();
        let assigned = assigned_row_groups(self.clone(), Arc::clone(&reader), partition, cancel.clone());
        let batches = read_row_groups(Arc::clone(&reader), assigned, cancel.clone());
        let batches = limited(batches, self.limit, cancel.drop_guard());
        let stream = RecordBatchStreamAdapter::new(self.schema(), Box::pin(batches));
        Ok(make_cooperative(Box::pin(stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let Some(table) = &self.table_statistics else {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        };
        let mut statistics = table.as_ref().clone().project(Some(&self.projection));
        if let Some(limit) = self.limit {
            // The limit holds for each partition.
            let rows = limit.saturating_mul(self.target.partitions);
            statistics.num_rows = statistics.num_rows.min(&Precision::Exact(rows)).to_inexact();
        }
        let whole = self.filter.is_none() && self.limit.is_none() && args.partition().is_none();
        if whole {
            return Ok(Arc::new(statistics));
        }
        let mut statistics = statistics.to_inexact();
        if args.partition().is_some() {
            let share = |count: usize| count.div_ceil(self.target.partitions);
            statistics.num_rows = match statistics.num_rows {
                Precision::Exact(rows) | Precision::Inexact(rows) => Precision::Inexact(share(rows)),
                Precision::Absent => Precision::Absent,
            };
        }
        if self.filter.is_some() {
            /// The planner's own guess of what a filter keeps, a fifth, where it knows no better.
            const FILTER_SELECTIVITY: f64 = 0.2;
            statistics.num_rows = statistics.num_rows.with_estimated_selectivity(FILTER_SELECTIVITY);
            statistics.total_byte_size =
                statistics.total_byte_size.with_estimated_selectivity(FILTER_SELECTIVITY);
        }
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        if self.limit.is_some() {
            // Filtering after the limit is not filtering before it.
            return Ok(FilterPushdownPropagation::all_unsupported(child_pushdown_result));
        }
        let mut filters: Vec<Arc<dyn PhysicalExpr>> = self.filter.iter().cloned().collect();
        let mut verdicts = vec![];
        for parent in &child_pushdown_result.parent_filters {
            let rewritten = if is_volatile(&parent.filter) { None } else { self.over_table(&parent.filter)? };
            verdicts.push(if rewritten.is_some() { PushedDown::Yes } else { PushedDown::No });
            filters.extend(rewritten);
        }
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(verdicts);
        if filters.len() == self.filter.iter().len() {
            return Ok(propagation);
        }
        let filtered = Self {
            filter: Some(conjunction(filters)),
            metrics: ExecutionPlanMetricsSet::new(),
            ..self.clone()
        };
        Ok(propagation.with_updated_node(Arc::new(filtered)))
    }
}

/// What all row groups of one partition are read with.
struct Reader {
    store: Arc<ShardStore>,
    schema: SchemaRef,
    projection: Vec<usize>,
    filter: LiveFilter,
    limit: Option<usize>,
    row_groups_read: Count,
    row_groups_pruned: Count,
    bytes_read: Count,
    baseline: BaselineMetrics,
}

/// The row groups of `target` that `filter` may match, in the order of the shards, and how many others there are.
pub(crate) fn surviving_row_groups(
    store: &ShardStore,
    target: &ScanTarget,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    cancel: &CancellationToken,
) -> Result<(Vec<(Arc<ShardView>, usize)>, usize)> {
    let pruner = Pruner::new(filter, &target.table_schema);
    let (mut kept, mut all) = (vec![], 0);
    let shards = target.shards.iter().map(|shard| store.view(*shard, &target.table_schema));
    let tail = target.tail.iter().map(|tail| {
        let shard = Arc::clone(&tail.image()?.shard);
        ShardView::new(shard, None, &target.table_schema)
    });
    for shard in shards.chain(tail) {
        cpu::check(cancel)?;
        let shard = Arc::new(shard?);
        all += shard.row_group_count();
        kept.extend(pruner.keep(&shard)?.into_iter().map(|row_group| (Arc::clone(&shard), row_group)));
    }
    let pruned = all - kept.len();
    Ok((kept, pruned))
}

/// The row groups that `partition` reads.
async fn assigned_row_groups(
    scan: ShardScanExec,
    reader: Arc<Reader>,
    partition: usize,
    cancel: CancellationToken,
) -> Result<Vec<(Arc<ShardView>, usize)>> {
    let token = cancel.clone();
    cpu::run(&cancel, move || {
        let _timer = reader.baseline.elapsed_compute().timer();
        // Filters that change while the query runs would prune differently in each partition, so that a row group
        // could be read twice or not at all: all partitions must count the same ones.
        let fixed = fixed_part(scan.filter.as_ref());
        let (kept, others) = surviving_row_groups(&reader.store, &scan.target, fixed.as_ref(), &token)?;
        if partition == 0 {
            reader.row_groups_pruned.add(others);
        }
        Ok(kept.into_iter().skip(partition).step_by(scan.target.partitions).collect())
    })
    .await
}

fn read_row_groups(
    reader: Arc<Reader>,
    assigned: impl Future<Output = Result<Vec<(Arc<ShardView>, usize)>>>,
    cancel: CancellationToken,
) -> impl Stream<Item = Result<RecordBatch>> {
    stream::once(assigned)
        .map_ok(move |row_groups| {
            let reader = Arc::clone(&reader);
            let cancel = cancel.clone();
            stream::iter(row_groups)
                .map(move |(shard, row_group)| {
                    let (reader, token) = (Arc::clone(&reader), cancel.clone());
                    let cancel = cancel.clone();
                    async move {
                        let work = move || reader.read(shard, row_group, &token);
                        cpu::run(&cancel, work).await.map(|batches| stream::iter(batches.into_iter().map(Ok)))
                    }
                })
                .buffered(READ_AHEAD)
                .try_flatten()
        })
        .try_flatten()
}

/// Ends `batches` after `limit` rows. The guard goes with the stream: dropping it cancels the work.
fn limited(
    batches: impl Stream<Item = Result<RecordBatch>>,
    limit: Option<usize>,
    guard: DropGuard,
) -> impl Stream<Item = Result<RecordBatch>> {
    let left = limit.unwrap_or(usize::MAX);
    stream::try_unfold((Box::pin(batches), left, guard), |(mut batches, left, guard)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(batch) = batches.try_next().await? else { return Ok(None) };
        let batch = if batch.num_rows() > left { batch.slice(0, left) } else { batch };
        let left = left - batch.num_rows();
        Ok(Some((batch, (batches, left, guard))))
    })
}

impl Reader {
    /// The matching rows of one row group, in batches of at most a chunk.
    fn read(
        &self,
        shard: Arc<ShardView>,
        row_group: usize,
        cancel: &CancellationToken,
    ) -> Result<Vec<RecordBatch>> {
        cpu::check(cancel)?;
        let _timer = self.baseline.elapsed_compute().timer();
        let changing = self.filter.snapshot()?;
        if let Some(changing) = &changing
            && !changing.pruner.keeps(&shard, row_group)?
        {
            self.row_groups_pruned.add(1);
            return Ok(vec![]);
        }
        let row_group = RowGroup::new(Arc::clone(&self.store), shard, row_group);
        let mut whole = Selection::default();
        let limit = self.limit.unwrap_or(usize::MAX);
        for start in (0..row_group.rows()).step_by(CHUNK_ROWS) {
            let mut chunk = row_group.live(start);
            self.filter.fixed.select(&row_group, start, &mut chunk)?;
            if let Some(changing) = &changing {
                changing.predicate.select(&row_group, start, &mut chunk)?;
            }
            whole.append(&chunk);
            if whole.kept() >= limit {
                break;
            }
        }
        let batches = if whole.kept() == 0 {
            vec![]
        } else if whole.is_all() {
            let mut batches = vec![];
            for start in (0..whole.rows()).step_by(CHUNK_ROWS) {
                let rows = CHUNK_ROWS.min(whole.rows() - start);
                batches.push(row_group.batch(&self.schema, &self.projection, start, rows)?);
            }
            batches
        } else {
            self.gather(&row_group, &whole)?
        };
        self.row_groups_read.add(1);
        self.bytes_read.add(row_group.bytes());
        self.baseline.record_output(batches.iter().map(RecordBatch::num_rows).sum());
        Ok(batches)
    }

    /// Copies the selected rows out, and cuts them into batches.
    fn gather(&self, row_group: &RowGroup, selection: &Selection) -> Result<Vec<RecordBatch>> {
        let rows = selection.kept();
        let selected = if self.projection.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), vec![], &options)?
        } else {
            self.filtered(row_group, selection)?
        };
        Ok((0..rows)
            .step_by(CHUNK_ROWS)
            .map(|start| selected.slice(start, CHUNK_ROWS.min(rows - start)))
            .collect())
    }

    /// The selected rows of all chunks that have some: packed columns of the others are not decoded.
    fn filtered(&self, row_group: &RowGroup, selection: &Selection) -> Result<RecordBatch> {
        let mask = selection.to_mask();
        let length = |start: usize| CHUNK_ROWS.min(selection.rows() - start);
        let is_wanted = |start: &usize| mask.slice(*start, length(*start)).true_count() > 0;
        let starts: Vec<usize> = (0..selection.rows()).step_by(CHUNK_ROWS).collect();
        let wanted: Vec<usize> = starts.iter().copied().filter(is_wanted).collect();
        if wanted.len() == starts.len() {
            let all = row_group.batch(&self.schema, &self.projection, 0, selection.rows())?;
            return Ok(filter_record_batch(&all, &mask)?);
        }
        let mut pieces = vec![];
        for start in wanted {
            let all = row_group.batch(&self.schema, &self.projection, start, length(start))?;
            pieces.push(filter_record_batch(&all, &mask.slice(start, length(start)))?);
        }
        Ok(concat_batches(&self.schema, &pieces)?)
    }
}
