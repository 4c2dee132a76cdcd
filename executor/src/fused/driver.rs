//! Ranges of rows on rayon, merged along a fixed tree.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join};
use quickdb_storage::Shard;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::exec::ShardAggregateExec;
use super::group_keys::KeySpace;
use super::program::{Program, ProgramMetrics};
use super::states;
use super::table::PartialTable;
use crate::cpu;
use crate::error::{ErrorKind, ExecError};
use crate::live_filter::fixed_part;
use crate::scan::surviving_row_groups;
use crate::store::ShardStore;

/// Ranges that the rows of a query are cut into at most, where tables are small: enough to keep the threads of one
/// machine busy to the end, few enough that merging them is nothing.
const RANGES_MAX: usize = 64;

/// The same where groups are found by hashing: each range may hold most of the groups, and every level of the tree
/// hashes them again.
const RANGES_MAX_HASHED: usize = 16;

/// Rows that a range has at least for each slot of a directly indexed table, so that clearing and merging the tables
/// stays a fraction of filling them.
const RANGE_ROWS_PER_SLOT: u64 = 4;

/// Row groups that one table takes in, in order.
type Range = Vec<(Arc<Shard>, usize)>;

/// What all ranges of one query share.
struct Shared {
    store: Arc<ShardStore>,
    program: Program,
    pool: Arc<dyn MemoryPool>,
    cancel: CancellationToken,
    /// Bounds the ranges that are queued or being read.
    turns: Semaphore,
}

/// Runs a fused aggregate and returns its partial states with the memory that they are accounted for. Dropping the
/// future cancels the work.
pub(super) async fn run(
    node: ShardAggregateExec,
    context: Arc<TaskContext>,
    metrics: ProgramMetrics,
) -> Result<(Vec<RecordBatch>, MemoryReservation)> {
    let store = ShardStore::of(&context)?;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let pool = Arc::clone(context.memory_pool());
    let token = cancel.clone();
    let (shared, ranges) = cpu::run(&cancel, move || prepare(&node, store, pool, token, metrics)).await?;
    let shared = Arc::new(shared);
    let table = reduce(Arc::clone(&shared), ranges).await?;
    cpu::run(&cancel, move || {
        let _timer = shared.program.metrics.elapsed.timer();
        let finished = table.finish(&shared.program)?;
        states::batches(&shared.program, finished)
    })
    .await
}

/// Prunes row groups, compiles the aggregate for the rest and cuts them into ranges.
fn prepare(
    node: &ShardAggregateExec,
    store: Arc<ShardStore>,
    pool: Arc<dyn MemoryPool>,
    cancel: CancellationToken,
    metrics: ProgramMetrics,
) -> Result<(Shared, Vec<Range>)> {
    let _timer = metrics.elapsed.timer();
    let scan = node.scan();
    let fixed = fixed_part(scan.filter.as_ref());
    let (row_groups, pruned) = surviving_row_groups(&store, &scan.target, fixed.as_ref(), &cancel)?;
    metrics.row_groups_pruned.add(pruned);
    let program = Program::new(
        node.aggregate(),
        node.output_schema(),
        &scan.target.table_schema,
        scan.filter.as_ref(),
        (&store, &row_groups),
        metrics.clone(),
    )?;
    let ranges = cut(&program, row_groups);
    let turns = Semaphore::new(cpu::queue_length());
    Ok((Shared { store, program, pool, cancel, turns }, ranges))
}

/// Cuts row groups into ranges of equal length; how many depends on the data and the query alone.
fn cut(program: &Program, row_groups: Range) -> Vec<Range> {
    let rows: u64 = row_groups.iter().map(|(shard, index)| shard.row_group_rows(*index) as u64).sum();
    let ranges_max = match &program.keys {
        KeySpace::One => RANGES_MAX,
        KeySpace::Coded(coded) if coded.direct => {
            let fed = rows / coded.keys_max.saturating_mul(RANGE_ROWS_PER_SLOT).max(1);
            usize::try_from(fed).unwrap_or(RANGES_MAX).clamp(RANGES_MAX_HASHED, RANGES_MAX)
        }
        _ => RANGES_MAX_HASHED,
    };
    let length = row_groups.len().div_ceil(ranges_max).max(1);
    let ranges: Vec<Range> = row_groups.chunks(length).map(<[_]>::to_vec).collect();
    if ranges.is_empty() { vec![vec![]] } else { ranges }
}

/// The table of all ranges. The tree halves them, so its shape depends on their number alone.
fn reduce(shared: Arc<Shared>, mut ranges: Vec<Range>) -> BoxFuture<'static, Result<PartialTable>> {
    async move {
        if ranges.len() <= 1 {
            let range = ranges.pop().unwrap_or_default();
            return read(shared, range).await;
        }
        let right = ranges.split_off(ranges.len().div_ceil(2));
        let (mut left, right) =
            try_join(reduce(Arc::clone(&shared), ranges), reduce(Arc::clone(&shared), right)).await?;
        let cancel = shared.cancel.clone();
        cpu::run(&cancel, move || {
            let _timer = shared.program.metrics.elapsed.timer();
            left.merge(right)?;
            Ok(left)
        })
        .await
    }
    .boxed()
}

/// The table of one range.
async fn read(shared: Arc<Shared>, range: Range) -> Result<PartialTable> {
    let owner = Arc::clone(&shared);
    let _turn = owner
        .turns
        .acquire()
        .await
        .map_err(|_| ExecError::new(ErrorKind::Cancelled, "query was cancelled").into_datafusion())?;
    cpu::run(&owner.cancel, move || {
        let _timer = shared.program.metrics.elapsed.timer();
        let mut table = PartialTable::new(&shared.program, shared.reservation())?;
        let row_groups =
            range.into_iter().map(|(shard, row_group)| (Arc::clone(&shared.store), shard, row_group));
        table.read(&shared.program, row_groups, &shared.cancel)?;
        Ok(table)
    })
    .await
}

impl Shared {
    fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new("ShardAggregateExec").register(&self.pool)
    }
}
