//! Grouping when the groups are many.
//!
//! One table of millions of groups misses the cache at every row, and tables of several ranges that hold mostly the
//! same groups must be merged. So rows are taken in waves, and each wave in two steps:
//!
//! ```text
//!  row group ──▶ keys, arguments ──▶ sorted by the hash of the key ─┐      (every row group by itself)
//!                                                                  ▼
//!                         partition p of every row group ──▶ table p      (every partition by itself)
//! ```
//!
//! A group lies in one partition, so the tables need no merging. Each takes in its rows in the order of the shards:
//! the results do not depend on the threads. The memory beyond the tables is that of one wave.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::internal_err;
use datafusion::error::Result;
use futures::future::try_join_all;
use quickdb_kernels::{KeyTable, gather, key_table};

use super::chunk::ChunkRows;
use super::driver::Shared;
use super::group_keys::KeySpace;
use super::program::Program;
use super::table::{PackedKeys, PartialTable, out_of_memory};
use crate::cpu;
use crate::row_group::RowGroup;
use crate::selection::{CHUNK_ROWS, Selection};
use crate::view::ShardView;

/// Partitions: the table of one for 4 million groups is then half a megabyte and fits the second-level cache, and a row
/// group's share of a partition is still 256 rows, enough to pay for its calls.
const PARTITIONS: usize = 256;

const _: () = assert!(PARTITIONS.is_power_of_two());

/// Row groups of one wave: 2 million rows, 32 MB for a key and an argument.
const WAVE_ROW_GROUPS: usize = 32;

/// Fewer rows than this are grouped in less time than it takes to find out how.
const ROWS_MIN: usize = 2 * WAVE_ROW_GROUPS * 1024;

/// Selected rows that are looked at to tell whether the groups are many.
const SAMPLE_ROWS: usize = 16_384;

/// Groups are many when at least one row in this many of the sample has a key of its own.
const SAMPLE_ROWS_PER_GROUP: usize = 2;

/// The selected rows of one row group, sorted by partition.
struct Sorted {
    keys: SortedKeys,
    arguments: Vec<Option<ArrayRef>>,
    /// Where each partition starts, and the end of the last.
    starts: Vec<usize>,
    bytes: usize,
}

enum SortedKeys {
    Coded(Vec<u64>),
    General(Vec<ArrayRef>),
}

/// Whether a query over `row_groups` has many groups, by its first rows.
pub(super) fn is_worthwhile(shared: &Shared, row_groups: &[(Arc<ShardView>, usize)]) -> Result<bool> {
    let program = &shared.program;
    let hashed = match &program.keys {
        KeySpace::One => false,
        KeySpace::Coded(coded) => !coded.direct,
        KeySpace::General(_) => true,
    };
    let rows: usize = row_groups.iter().map(|(shard, index)| shard.row_group_rows(*index)).sum();
    if !hashed || !program.filters.is_empty() || rows < ROWS_MIN {
        return Ok(false);
    }
    let Some((shard, index)) = row_groups.first() else { return Ok(false) };
    let row_group = RowGroup::sample(Arc::clone(&shared.store), Arc::clone(shard), *index);
    let mut selection = select(program, &row_group)?;
    selection.keep_first(SAMPLE_ROWS);
    let kept = selection.kept();
    if kept == 0 {
        return Ok(false);
    }
    let rows = ChunkRows::new(&row_group, 0, selection, &program.shared);
    let (_, hashes) = keys(program, &rows)?;
    let (mut table, mut ids) = (KeyTable::new(), vec![]);
    table.ids(&hashes, &mut ids);
    Ok(table.len() * SAMPLE_ROWS_PER_GROUP >= kept)
}

/// The tables of all partitions.
pub(super) async fn run(
    shared: Arc<Shared>,
    row_groups: Vec<(Arc<ShardView>, usize)>,
) -> Result<Vec<PartialTable>> {
    let mut tables = vec![];
    for _ in 0..PARTITIONS {
        tables.push(PartialTable::new(&shared.program, shared.reservation())?);
    }
    let buffered = shared.reservation();
    for wave in row_groups.chunks(WAVE_ROW_GROUPS) {
        let sorting = wave.iter().map(|(shard, index)| {
            let (shared, shard, index) = (Arc::clone(&shared), Arc::clone(shard), *index);
            let cancel = shared.cancel.clone();
            async move { cpu::run(&cancel, move || sort(&shared, shard, index)).await }
        });
        let sorted: Vec<Sorted> = try_join_all(sorting).await?.into_iter().flatten().collect();
        buffered.try_resize(sorted.iter().map(|sorted| sorted.bytes).sum()).map_err(out_of_memory)?;
        let sorted = Arc::new(sorted);
        let share = PARTITIONS.div_ceil(cpu::queue_length()).max(1);
        let mut filling = vec![];
        let mut first = 0;
        while !tables.is_empty() {
            let rest = tables.split_off(share.min(tables.len()));
            let part = std::mem::replace(&mut tables, rest);
            let taken = part.len();
            let (shared, sorted) = (Arc::clone(&shared), Arc::clone(&sorted));
            let cancel = shared.cancel.clone();
            filling.push(async move { cpu::run(&cancel, move || fill(&shared, &sorted, first, part)).await });
            first += taken;
        }
        tables = try_join_all(filling).await?.into_iter().flatten().collect();
    }
    Ok(tables)
}

/// The rows of a row group that pass the filter.
fn select(program: &Program, row_group: &RowGroup) -> Result<Selection> {
    let changing = program.filter.snapshot()?;
    let mut whole = Selection::default();
    for start in (0..row_group.rows()).step_by(CHUNK_ROWS) {
        let mut chunk = row_group.live(start);
        program.filter.fixed.select(row_group, start, &mut chunk)?;
        if let Some(changing) = &changing {
            changing.predicate.select(row_group, start, &mut chunk)?;
        }
        whole.append(&chunk);
    }
    Ok(whole)
}

/// The keys of selected rows, and a hash of each.
fn keys(program: &Program, rows: &ChunkRows<'_>) -> Result<(SortedKeys, Vec<u64>)> {
    match &program.keys {
        KeySpace::Coded(coded) => {
            let mut indices = vec![];
            if !rows.selection.is_all() {
                quickdb_kernels::bitmap::indices(rows.selection.words(), &mut indices);
            }
            let mut keys = vec![];
            coded.keys(rows, (!rows.selection.is_all()).then_some(indices.as_slice()), &mut keys)?;
            let hashes = keys.iter().map(|&key| key_table::hash(key)).collect();
            Ok((SortedKeys::Coded(keys), hashes))
        }
        KeySpace::General(general) => {
            let columns = general.columns(rows)?;
            let mut hashes = vec![0; rows.selection.kept()];
            // A fixed seed of our own: a row must lie in the same partition in every run, and the tables of the
            // partitions must not see hashes that are alike.
            create_hashes(&columns, &RandomState::with_seed(0x71c6_db5e), &mut hashes)?;
            Ok((SortedKeys::General(columns), hashes))
        }
        KeySpace::One => internal_err!("one group is not partitioned"),
    }
}

/// Sorts the selected rows of a row group by partition; `None` when none is selected.
fn sort(shared: &Shared, shard: Arc<ShardView>, index: usize) -> Result<Option<Sorted>> {
    cpu::check(&shared.cancel)?;
    let program = &shared.program;
    let _timer = program.metrics.elapsed.timer();
    let row_group = RowGroup::new(Arc::clone(&shared.store), shard, index);
    let selection = select(program, &row_group)?;
    if selection.kept() == 0 {
        return Ok(None);
    }
    let rows = ChunkRows::new(&row_group, 0, selection, &program.shared);
    let (keys, hashes) = keys(program, &rows)?;
    let (starts, order) = order(&hashes);
    let mut bytes = hashes.len() * size_of::<u64>();
    let keys = match keys {
        SortedKeys::Coded(keys) => {
            let mut sorted = vec![];
            gather::gather(&keys, &order, &mut sorted);
            SortedKeys::Coded(sorted)
        }
        SortedKeys::General(columns) => SortedKeys::General(columns),
    };
    let order = UInt32Array::from(order);
    let mut arranged = |array: ArrayRef| -> Result<ArrayRef> {
        let sorted = take(array.as_ref(), &order, None)?;
        bytes += own_bytes(sorted.as_ref());
        Ok(sorted)
    };
    let keys = match keys {
        SortedKeys::General(columns) => {
            SortedKeys::General(columns.into_iter().map(&mut arranged).collect::<Result<_>>()?)
        }
        coded => coded,
    };
    let mut arguments: Vec<Option<ArrayRef>> = vec![None; program.argument_types.len()];
    for (number, sorted) in arguments.iter_mut().enumerate() {
        if program.slots.iter().any(|slot| slot.arguments.contains(&number)) {
            *sorted = Some(arranged(program.argument(number)?.packed(&rows)?)?);
        }
    }
    program.metrics.row_groups_read.add(1);
    program.metrics.bytes_read.add(row_group.bytes());
    Ok(Some(Sorted { keys, arguments, starts, bytes }))
}

/// Bytes of a sorted array that are its own: text shares its characters with the shard.
fn own_bytes(array: &dyn Array) -> usize {
    // A view of text or bytes, and about as much for the rare types that are neither.
    const VIEW_BYTES: usize = 16;
    array.len() * array.data_type().primitive_width().unwrap_or(VIEW_BYTES)
}

/// The rows in the order of their partitions, stable, and where each partition starts.
fn order(hashes: &[u64]) -> (Vec<usize>, Vec<u32>) {
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is small")]
    let partition = |hash: u64| hash as usize % PARTITIONS;
    let mut counts = [0usize; PARTITIONS];
    for &hash in hashes {
        if let Some(count) = counts.get_mut(partition(hash)) {
            *count += 1;
        }
    }
    let mut starts = Vec::with_capacity(PARTITIONS + 1);
    let mut at = 0;
    starts.push(0);
    for count in counts {
        at += count;
        starts.push(at);
    }
    let mut next = starts.clone();
    let mut order = vec![0u32; hashes.len()];
    for (row, &hash) in (0u32..).zip(hashes) {
        if let Some(next) = next.get_mut(partition(hash)) {
            if let Some(place) = order.get_mut(*next) {
                *place = row;
            }
            *next += 1;
        }
    }
    (starts, order)
}

/// Lets the tables of the partitions from `first` on take in their rows of one wave.
fn fill(
    shared: &Shared,
    sorted: &[Sorted],
    first: usize,
    mut tables: Vec<PartialTable>,
) -> Result<Vec<PartialTable>> {
    let _timer = shared.program.metrics.elapsed.timer();
    for (partition, table) in (first..).zip(&mut tables) {
        cpu::check(&shared.cancel)?;
        for Sorted { keys, arguments, starts, .. } in sorted {
            let (Some(&start), Some(&end)) = (starts.get(partition), starts.get(partition + 1)) else {
                return internal_err!("there is no partition {partition}");
            };
            if start == end {
                continue;
            }
            let slice = |array: &ArrayRef| array.slice(start, end - start);
            let keys = match keys {
                SortedKeys::Coded(keys) => PackedKeys::Coded(keys.get(start..end).unwrap_or_default()),
                SortedKeys::General(columns) => PackedKeys::General(columns.iter().map(slice).collect()),
            };
            let arguments: Vec<Option<ArrayRef>> =
                arguments.iter().map(|argument| argument.as_ref().map(slice)).collect();
            table.read_packed(&shared.program, keys, &arguments, end - start)?;
        }
        table.account()?;
    }
    Ok(tables)
}
