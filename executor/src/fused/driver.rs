//! Ranges of rows on rayon, merged along a fixed tree.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::FutureExt;
use futures::future::{BoxFuture, try_join, try_join_all};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::exec::ShardAggregateExec;
use super::group_keys::KeySpace;
use super::partitioned;
use super::program::{Program, ProgramMetrics};
use super::table::PartialTable;
use super::{results, states};
use crate::cpu;
use crate::error::{ErrorKind, ExecError};
use crate::live_filter::fixed_part;
use crate::scan::surviving_row_groups;
use crate::store::ShardStore;
use crate::view::ShardView;

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
type Range = Vec<(Arc<ShardView>, usize)>;

/// Ranges that one piece of work reads, one after the other, are chosen so that there are this many pieces for every
/// thread: few, since each costs a hand-over between the pools, and more than one, so that threads end together. The
/// tree of merges does not depend on it.
const PIECES_PER_THREAD: usize = 4;

/// Tables of up to this size are merged and written out on the spot: handing them to another thread takes longer.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What all ranges of one query share.
pub(super) struct Shared {
    pub(super) store: Arc<ShardStore>,
    pub(super) program: Program,
    pub(super) cancel: CancellationToken,
    pool: Arc<dyn MemoryPool>,
    /// Bounds the pieces of work that are queued or running.
    turns: Semaphore,
    /// Ranges of one piece of work.
    piece_ranges: usize,
}

/// How the rows of a query are taken in.
enum Course {
    /// Range by range, and the ranges' tables are merged.
    Ranges(Vec<Range>),
    /// Partition by partition.
    Partitions(Range),
}

/// Batches of partial states with the memory that they are accounted for.
pub(super) type States = Vec<(Vec<RecordBatch>, MemoryReservation)>;

/// Runs a fused aggregate and returns its partial states. Dropping the future cancels the work.
pub(super) async fn run(
    node: ShardAggregateExec,
    context: Arc<TaskContext>,
    metrics: ProgramMetrics,
) -> Result<States> {
    let store = ShardStore::of(&context)?;
    let cancel = CancellationToken::new();
    let _guard = cancel.clone().drop_guard();
    let pool = Arc::clone(context.memory_pool());
    let token = cancel.clone();
    let results = node.result_schema().map(|schema| (Arc::clone(node.aggregate()), Arc::clone(schema)));
    let (shared, course) = cpu::run(&cancel, move || prepare(&node, store, pool, token, metrics)).await?;
    let shared = Arc::new(shared);
    let tables = match course {
        Course::Ranges(ranges) => vec![reduce(Arc::clone(&shared), ranges).await?],
        Course::Partitions(row_groups) => partitioned::run(Arc::clone(&shared), row_groups).await?,
    };
    let share = tables.len().div_ceil(cpu::queue_length()).max(1);
    let mut finishing = vec![];
    let mut tables = tables.into_iter().peekable();
    while tables.peek().is_some() {
        let part: Vec<PartialTable> = tables.by_ref().take(share).collect();
        let bytes: usize = part.iter().map(PartialTable::heap_bytes).sum();
        let shared = Arc::clone(&shared);
        let cancel = cancel.clone();
        let results = results.clone();
        let finish = move || -> Result<States> {
            let _timer = shared.program.metrics.elapsed.timer();
            let finished = part.into_iter().map(|table| {
                let (mut batch, reservation) =
                    states::batch(&shared.program, table.finish(&shared.program)?)?;
                if let Some((aggregate, schema)) = &results {
                    batch = results::of_states(aggregate, schema, &batch)?;
                }
                Ok((states::cut(&batch), reservation))
            });
            finished.collect()
        };
        finishing.push(async move {
            if bytes <= INLINE_BYTES_MAX { finish() } else { cpu::run(&cancel, finish).await }
        });
    }
    Ok(try_join_all(finishing).await?.into_iter().flatten().collect())
}

/// Prunes row groups, compiles the aggregate for the rest and decides how they are taken in.
fn prepare(
    node: &ShardAggregateExec,
    store: Arc<ShardStore>,
    pool: Arc<dyn MemoryPool>,
    cancel: CancellationToken,
    metrics: ProgramMetrics,
) -> Result<(Shared, Course)> {
    let _timer = metrics.elapsed.timer();
    let scan = node.scan();
    let fixed = fixed_part(scan.filter.as_ref());
    let (row_groups, pruned) = surviving_row_groups(&store, &scan.target, fixed.as_ref(), &cancel)?;
    metrics.row_groups_pruned.add(pruned);
    let program = Program::new(
        node.aggregate(),
        node.state_schema(),
        &scan.target.table_schema,
        scan.filter.as_ref(),
        (&store, &row_groups),
        metrics.clone(),
    )?;
    node.ran(program.describe());
    let turns = Semaphore::new(cpu::queue_length());
    let mut shared = Shared { store, program, pool, cancel, turns, piece_ranges: 1 };
    if partitioned::is_worthwhile(&shared, &row_groups)? {
        return Ok((shared, Course::Partitions(row_groups)));
    }
    let ranges = cut(&shared.program, row_groups);
    shared.piece_ranges = ranges.len().div_ceil(rayon::current_num_threads() * PIECES_PER_THREAD).max(1);
    Ok((shared, Course::Ranges(ranges)))
}

/// Cuts row groups into ranges of equal length; how many depends on the data and the query alone.
fn cut(program: &Program, row_groups: Range) -> Vec<Range> {
    let rows: u64 = row_groups.iter().map(|(shard, index)| shard.row_group_rows(*index) as u64).sum();
    let ranges_max = match &program.keys {
        KeySpace::One => ranges_fed(rows, program.group_width),
        KeySpace::Coded(coded) if coded.direct => {
            ranges_fed(rows, coded.keys_max.saturating_mul(program.group_width))
        }
        _ => RANGES_MAX_HASHED,
    };
    let length = row_groups.len().div_ceil(ranges_max).max(1);
    let ranges: Vec<Range> = row_groups.chunks(length).map(<[_]>::to_vec).collect();
    if ranges.is_empty() { vec![vec![]] } else { ranges }
}

/// How many ranges feed a table of so many counters well.
fn ranges_fed(rows: u64, counters: u64) -> usize {
    if counters == 1 {
        return RANGES_MAX;
    }
    let fed = rows / counters.saturating_mul(RANGE_ROWS_PER_SLOT).max(1);
    usize::try_from(fed).unwrap_or(RANGES_MAX).clamp(RANGES_MAX_HASHED, RANGES_MAX)
}

/// The table of all ranges. The tree halves them, so its shape depends on their number alone, not on how its parts
/// are spread over threads.
fn reduce(shared: Arc<Shared>, mut ranges: Vec<Range>) -> BoxFuture<'static, Result<PartialTable>> {
    async move {
        if ranges.len() <= shared.piece_ranges {
            return read(shared, ranges).await;
        }
        let right = ranges.split_off(ranges.len().div_ceil(2));
        let (mut left, right) =
            try_join(reduce(Arc::clone(&shared), ranges), reduce(Arc::clone(&shared), right)).await?;
        let bytes = left.heap_bytes() + right.heap_bytes();
        let cancel = shared.cancel.clone();
        let merge = move || {
            let _timer = shared.program.metrics.elapsed.timer();
            left.merge(right)?;
            Ok(left)
        };
        if bytes <= INLINE_BYTES_MAX { merge() } else { cpu::run(&cancel, merge).await }
    }
    .boxed()
}

/// The table of neighbouring ranges, on one thread.
async fn read(shared: Arc<Shared>, ranges: Vec<Range>) -> Result<PartialTable> {
    let owner = Arc::clone(&shared);
    let _turn = owner
        .turns
        .acquire()
        .await
        .map_err(|_| ExecError::new(ErrorKind::Cancelled, "query was cancelled").into_datafusion())?;
    cpu::run(&owner.cancel, move || {
        let _timer = shared.program.metrics.elapsed.timer();
        read_ranges(&shared, ranges)
    })
    .await
}

/// The same tree as that of [`reduce`], branch by branch.
fn read_ranges(shared: &Shared, mut ranges: Vec<Range>) -> Result<PartialTable> {
    if ranges.len() > 1 {
        let right = ranges.split_off(ranges.len().div_ceil(2));
        let mut left = read_ranges(shared, ranges)?;
        left.merge(read_ranges(shared, right)?)?;
        return Ok(left);
    }
    let mut table = PartialTable::new(&shared.program, shared.reservation())?;
    let row_groups = ranges.into_iter().flatten();
    let row_groups = row_groups.map(|(shard, row_group)| (Arc::clone(&shared.store), shard, row_group));
    table.read(&shared.program, row_groups, &shared.cancel)?;
    Ok(table)
}

impl Shared {
    /// An empty reservation in the memory pool of the query.
    pub(super) fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new("ShardAggregateExec").register(&self.pool)
    }
}
