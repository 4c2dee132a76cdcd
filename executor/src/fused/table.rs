//! The groups and states of one range of rows, and how two such tables become one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use datafusion::common::internal_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use quickdb_kernels::{KeyTable, bitmap, gather};
use tokio_util::sync::CancellationToken;

use super::accumulators::{Accumulator, Operation, without_nulls};
use super::arguments::no_values;
use super::binned;
use super::chunk::ChunkRows;
use super::group_keys::KeySpace;
use super::lane::{Lane, Values, nulls_of};
use super::program::{Program, Slot};
use crate::cpu;
use crate::error::{ErrorKind, ExecError};
use crate::predicate::Predicate;
use crate::row_group::RowGroup;
use crate::selection::{CHUNK_ROWS, Selection};
use crate::store::ShardStore;
use crate::view::ShardView;

/// Groups of one range of rows.
enum Groups {
    /// The one group of a query without keys.
    One,
    /// Every possible key is a group, and those without rows are left out in the end. One more takes in rows that no
    /// group wants.
    Slots(usize),
    /// Ids in order of first sight, found by looking the key up.
    Dense { lookup: Vec<u32>, keys: Vec<u64> },
    /// Ids in order of first sight, found by hashing the key.
    Hashed(KeyTable),
    /// Ids that DataFusion gives.
    General(Box<dyn GroupValues>),
}

/// Keys of rows that were computed before.
pub(super) enum PackedKeys<'a> {
    /// Numbers in a mixed radix.
    Coded(&'a [u64]),
    /// Columns as group values see them.
    General(Vec<ArrayRef>),
}

/// An argument of a chunk's rows, in the forms that accumulators took it in so far.
#[derive(Default)]
struct Known {
    /// Its values, and whether they are those of the selected rows only.
    resolved: Option<(ArrayRef, bool)>,
    /// Without those that are NULL.
    valid: Option<Values>,
    /// With those that are NULL, which are 0.
    summed: Option<Values>,
}

impl Known {
    fn update(
        &mut self,
        operation: &Operation,
        accumulator: &mut Accumulator,
        zeroed: bool,
        lane: &Lane<'_>,
        grouped: bool,
    ) -> Result<()> {
        let Some((array, packed)) = &self.resolved else { return Ok(()) };
        let packed = *packed;
        let sums = matches!(operation, Operation::SumFloat | Operation::SumInteger | Operation::SumWide);
        if let Operation::CountNulls = operation {
            nulls_of(array, packed, lane, grouped, |group| accumulator.count_one(group));
            return Ok(());
        }
        if let Operation::Extreme(end, _) = operation
            && lane.spare.is_some()
            && !packed
            && let Some(array) = without_nulls(array, *end)
        {
            return accumulator.update(&Values::with_nulls(array, packed, lane, grouped, false));
        }
        let values = if sums && zeroed {
            // Sums of decimals may be refused for rows that nobody selected.
            let exact = matches!(array.data_type(), DataType::Decimal128(..));
            self.summed
                .get_or_insert_with(|| Values::with_nulls(Arc::clone(array), packed, lane, grouped, exact))
        } else {
            self.valid.get_or_insert_with(|| Values::new(Arc::clone(array), packed, lane, grouped))
        };
        accumulator.update(values)
    }
}

/// No id yet, in a lookup table.
const UNSEEN: u32 = u32::MAX;

/// The partial states of one range of rows.
pub(super) struct PartialTable {
    groups: Groups,
    accumulators: Vec<Accumulator>,
    reservation: MemoryReservation,
}

/// Groups and their states, ready to be written out.
pub(super) struct Finished {
    /// How many groups there are.
    pub(super) groups: usize,
    /// One array per key.
    pub(super) keys: Vec<ArrayRef>,
    /// Which ids of the accumulators they are, in order; `None` for all.
    pub(super) chosen: Option<Vec<u32>>,
    /// The states.
    pub(super) accumulators: Vec<Accumulator>,
    /// Held until the states are written out.
    pub(super) reservation: MemoryReservation,
}

/// What is needed over and over while rows are taken in.
#[derive(Default)]
struct Scratch {
    keys: Vec<u64>,
    ids: Vec<usize>,
}

impl PartialTable {
    /// A table without rows.
    pub(super) fn new(program: &Program, reservation: MemoryReservation) -> Result<Self> {
        let groups = match &program.keys {
            KeySpace::One => Groups::One,
            KeySpace::Coded(coded) if coded.direct => {
                let slots = usize::try_from(coded.keys_max).unwrap_or(usize::MAX);
                if program.sparse_states {
                    Groups::Slots(slots)
                } else {
                    Groups::Dense { lookup: vec![UNSEEN; slots], keys: vec![] }
                }
            }
            KeySpace::Coded(_) => Groups::Hashed(KeyTable::new()),
            KeySpace::General(general) => {
                Groups::General(new_group_values(Arc::clone(&general.schema), &GroupOrdering::None)?)
            }
        };
        let grouped = !matches!(groups, Groups::One);
        let accumulators = program
            .slots
            .iter()
            .map(|slot| Accumulator::new(&slot.operation, grouped))
            .collect::<Result<_>>()?;
        let mut table = Self { groups, accumulators, reservation };
        table.make_room()?;
        if matches!(table.groups, Groups::One) {
            // The one group exists without rows: let the accumulators of others know.
            for (slot, accumulator) in program.slots.iter().zip(&mut table.accumulators) {
                if let Operation::Foreign(_) = slot.operation {
                    let types =
                        slot.arguments.iter().filter_map(|&argument| program.argument_types.get(argument));
                    accumulator.update_foreign(&types.map(no_values).collect::<Vec<_>>(), &[])?;
                }
            }
        }
        table.account()?;
        Ok(table)
    }

    /// Takes in the row groups of one range, in order.
    pub(super) fn read(
        &mut self,
        program: &Program,
        row_groups: impl Iterator<Item = (Arc<ShardStore>, Arc<ShardView>, usize)>,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let mut scratch = Scratch::default();
        for (store, shard, row_group) in row_groups {
            cpu::check(cancel)?;
            let changing = program.filter.snapshot()?;
            if let Some(changing) = &changing
                && !changing.pruner.keeps(&shard, row_group)?
            {
                program.metrics.row_groups_pruned.add(1);
                continue;
            }
            let row_group = RowGroup::new(store, shard, row_group);
            for start in (0..row_group.rows()).step_by(CHUNK_ROWS) {
                // Expressions without a kernel can take a second for a row group.
                cpu::check(cancel)?;
                let mut selection = row_group.live(start);
                program.filter.fixed.select(&row_group, start, &mut selection)?;
                if let Some(changing) = &changing {
                    changing.predicate.select(&row_group, start, &mut selection)?;
                }
                if selection.kept() > 0 {
                    self.read_chunk(program, &row_group, start, selection, &mut scratch)?;
                }
            }
            program.metrics.bytes_read.add(row_group.bytes());
            program.metrics.row_groups_read.add(1);
            self.account()?;
        }
        Ok(())
    }

    fn read_chunk(
        &mut self,
        program: &Program,
        row_group: &RowGroup,
        start: usize,
        selection: Selection,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let grouped = !matches!(self.groups, Groups::One);
        let rows = ChunkRows::new(row_group, start, selection, &program.shared);
        let lane = if grouped {
            self.grouped_lane(program, rows, scratch)?
        } else {
            Lane::new(rows, vec![], vec![])
        };
        self.make_room()?;
        let mut lanes = vec![lane];
        for filter in &program.filters {
            let lane = filtered_lane(program, filter, lanes.first(), grouped)?;
            lanes.push(lane);
        }
        let mut known: Vec<Known> = vec![];
        known.resize_with(program.argument_types.len() * lanes.len(), Known::default);
        for (slot, accumulator) in program.slots.iter().zip(&mut self.accumulators) {
            let Some(lane) = lanes.get(slot.lane) else {
                return internal_err!("aggregate without its filter");
            };
            let operation = &slot.operation;
            match operation {
                Operation::CountRows => {
                    accumulator.count_rows(lane.rows.selection.kept(), &lane.groups, grouped);
                }
                Operation::Foreign(_) => {
                    update_foreign(program, slot, accumulator, lane, scratch)?;
                }
                Operation::Bins(bins) => {
                    let arguments = slot.arguments.iter().map(|&argument| program.argument(argument));
                    let arguments = arguments.collect::<Result<Vec<_>>>()?;
                    let cells = binned::cells(bins, &arguments, lane, grouped)?;
                    let groups = if cells.packed { lane.packed_groups() } else { &lane.groups };
                    accumulator.count_cells(cells.numbers, grouped.then_some(groups.as_slice()))?;
                }
                _ if lane.rows.selection.kept() == 0 => {}
                _ => {
                    let &[argument] = slot.arguments.as_slice() else {
                        return internal_err!("an aggregate with a kernel has one argument");
                    };
                    let Some(cell) = known.get_mut(slot.lane * program.argument_types.len() + argument)
                    else {
                        return internal_err!("aggregate without its argument");
                    };
                    let argument = program.argument(argument)?;
                    if cell.resolved.is_none() {
                        cell.resolved = Some(argument.resolve(&lane.rows)?);
                    }
                    let packed = cell.resolved.as_ref().is_some_and(|(_, packed)| *packed);
                    cell.update(operation, accumulator, argument.zeroed(packed), lane, grouped)?;
                }
            }
        }
        Ok(())
    }

    /// The selected rows of a chunk and their groups; new groups are made.
    fn grouped_lane<'a>(
        &mut self,
        program: &Program,
        rows: ChunkRows<'a>,
        scratch: &mut Scratch,
    ) -> Result<Lane<'a>> {
        if let (Groups::Slots(slots), KeySpace::Coded(coded)) = (&self.groups, &program.keys)
            && rows.selection.is_dense()
        {
            let mut groups = vec![];
            if coded.slots(&rows, &mut groups)? {
                return Ok(Lane::whole(rows, groups, u32::try_from(*slots).unwrap_or(u32::MAX)));
            }
        }
        let all = rows.selection.is_all();
        let mut indices = vec![];
        if !all {
            bitmap::indices(rows.selection.words(), &mut indices);
        }
        let groups = self.find_groups(program, &rows, (!all).then_some(indices.as_slice()), scratch)?;
        Ok(Lane::new(rows, indices, groups))
    }

    /// Takes in rows whose keys and arguments are at hand; `arguments` are by number, those that no slot needs absent.
    pub(super) fn read_packed(
        &mut self,
        program: &Program,
        keys: PackedKeys<'_>,
        arguments: &[Option<ArrayRef>],
        rows: usize,
    ) -> Result<()> {
        let mut ids = vec![];
        let mut groups: Vec<u32> = vec![];
        match (&mut self.groups, keys) {
            (Groups::Hashed(table), PackedKeys::Coded(keys)) => table.ids(keys, &mut groups),
            (Groups::General(values), PackedKeys::General(columns)) => {
                values.intern(&columns, &mut ids)?;
                groups.extend(ids.iter().map(|&id| u32::try_from(id).unwrap_or(u32::MAX)));
            }
            _ => return internal_err!("keys without their table"),
        }
        self.make_room()?;
        let groups = Arc::new(groups);
        let mut known: Vec<Option<Values>> = vec![None; arguments.len()];
        let of = |argument: usize| match arguments.get(argument) {
            Some(Some(array)) => Ok(Arc::clone(array)),
            _ => internal_err!("aggregate without its argument"),
        };
        for (slot, accumulator) in program.slots.iter().zip(&mut self.accumulators) {
            match (&slot.operation, slot.arguments.as_slice()) {
                (Operation::CountRows, _) => accumulator.count_rows(rows, &groups, true),
                (Operation::Foreign(_), numbers) => {
                    if ids.is_empty() {
                        ids.extend(groups.iter().map(|&group| group as usize));
                    }
                    let arrays = numbers.iter().map(|&argument| of(argument)).collect::<Result<Vec<_>>>()?;
                    accumulator.update_foreign(&arrays, &ids)?;
                }
                (Operation::Bins(bins), numbers) => {
                    let arrays = numbers.iter().map(|&argument| of(argument)).collect::<Result<Vec<_>>>()?;
                    accumulator.count_cells(bins.of_rows(&arrays)?, Some(&groups))?;
                }
                (_, &[argument]) => {
                    let Some(cell) = known.get_mut(argument) else {
                        return internal_err!("aggregate without its argument");
                    };
                    if let Operation::CountNulls = &slot.operation {
                        let array = of(argument)?;
                        if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
                            for (&group, _) in groups.iter().zip(nulls).filter(|(_, valid)| !valid) {
                                accumulator.count_one(group);
                            }
                        }
                        continue;
                    }
                    if cell.is_none() {
                        *cell = Some(Values::grouped(of(argument)?, &groups));
                    }
                    if let Some(values) = cell {
                        accumulator.update(values)?;
                    }
                }
                _ => return internal_err!("an aggregate with a kernel has one argument"),
            }
        }
        Ok(())
    }

    /// The group of every selected row; new ones are made.
    fn find_groups(
        &mut self,
        program: &Program,
        rows: &ChunkRows<'_>,
        positions: Option<&[u32]>,
        scratch: &mut Scratch,
    ) -> Result<Vec<u32>> {
        let mut groups = Vec::with_capacity(rows.selection.kept());
        match (&program.keys, &mut self.groups) {
            (KeySpace::Coded(coded), found) => {
                coded.keys(rows, positions, &mut scratch.keys)?;
                match found {
                    #[expect(clippy::cast_possible_truncation, reason = "there are at most a million slots")]
                    Groups::Slots(_) => groups.extend(scratch.keys.iter().map(|&key| key as u32)),
                    Groups::Dense { lookup, keys } => {
                        groups.extend(scratch.keys.iter().map(|&key| dense_id(lookup, keys, key)));
                    }
                    Groups::Hashed(table) => table.ids(&scratch.keys, &mut groups),
                    _ => return internal_err!("coded keys without their table"),
                }
            }
            (KeySpace::General(general), Groups::General(values)) => {
                values.intern(&general.columns(rows)?, &mut scratch.ids)?;
                groups.extend(scratch.ids.iter().map(|&id| u32::try_from(id).unwrap_or(u32::MAX)));
            }
            _ => return internal_err!("keys without their table"),
        }
        Ok(groups)
    }

    /// How many group ids are in use.
    fn group_count(&self) -> usize {
        match &self.groups {
            Groups::One => 1,
            Groups::Slots(slots) => *slots + 1,
            Groups::Dense { keys, .. } => keys.len(),
            Groups::Hashed(table) => table.len(),
            Groups::General(values) => values.len(),
        }
    }

    fn make_room(&mut self) -> Result<()> {
        let groups = self.group_count();
        // A few groups of many bins are more than what is accounted for afterwards.
        let large: usize = self.accumulators.iter().map(|accumulator| accumulator.bytes_for(groups)).sum();
        if large > self.reservation.size() {
            self.reservation.try_resize(large).map_err(out_of_memory)?;
        }
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.resize(groups));
        Ok(())
    }

    /// Tells the memory pool how much this table takes.
    ///
    /// # Errors
    /// `OutOfMemory` when that is more than there is.
    pub(super) fn account(&mut self) -> Result<()> {
        self.reservation.try_resize(self.heap_bytes()).map_err(out_of_memory)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let groups = match &self.groups {
            Groups::One | Groups::Slots(_) => 0,
            Groups::Dense { lookup, keys } => {
                lookup.capacity() * size_of::<u32>() + keys.capacity() * size_of::<u64>()
            }
            Groups::Hashed(table) => table.heap_bytes(),
            Groups::General(values) => values.size(),
        };
        let states: usize = self.accumulators.iter().map(Accumulator::heap_bytes).sum();
        groups + states
    }

    /// Adds the groups and states of `other`, whose rows come after these.
    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        let others = other.group_count();
        let identity = || (0..u32::try_from(others).unwrap_or(u32::MAX)).collect::<Vec<u32>>();
        let map = match (&mut self.groups, other.groups) {
            (Groups::One, Groups::One) | (Groups::Slots(_), Groups::Slots(_)) => identity(),
            (Groups::Dense { lookup, keys }, Groups::Dense { keys: others, .. }) => {
                others.iter().map(|&key| dense_id(lookup, keys, key)).collect()
            }
            (Groups::Hashed(table), Groups::Hashed(others)) => {
                let mut map = vec![];
                table.ids(others.keys(), &mut map);
                map
            }
            (Groups::General(values), Groups::General(mut others)) => {
                let mut ids = vec![];
                values.intern(&others.emit(EmitTo::All)?, &mut ids)?;
                ids.into_iter().map(|id| u32::try_from(id).unwrap_or(u32::MAX)).collect()
            }
            _ => return internal_err!("tables of different kinds cannot be merged"),
        };
        self.make_room()?;
        for (accumulator, other) in self.accumulators.iter_mut().zip(other.accumulators) {
            accumulator.merge(other, &map)?;
        }
        drop(other.reservation);
        self.account()
    }

    /// Takes the table apart.
    pub(super) fn finish(self, program: &Program) -> Result<Finished> {
        let Self { groups, accumulators, reservation } = self;
        let (chosen, keys) = match (&program.keys, groups) {
            (KeySpace::Coded(coded), Groups::Slots(slots)) => {
                // A slot is a group when it has rows; the first accumulator of such a program counts them.
                let Some(Accumulator::Count(counts)) = accumulators.first() else {
                    return internal_err!("slots without a count of their rows");
                };
                let chosen: Vec<u32> = (0u32..)
                    .zip(counts.iter().take(slots))
                    .filter(|(_, count)| **count > 0)
                    .map(|(slot, _)| slot)
                    .collect();
                let keys = coded.decode(chosen.iter().map(|&slot| u64::from(slot)).collect())?;
                (Some(chosen), keys)
            }
            (KeySpace::Coded(coded), Groups::Dense { keys, .. }) => (None, coded.decode(keys)?),
            (KeySpace::Coded(coded), Groups::Hashed(table)) => (None, coded.decode(table.keys().to_vec())?),
            (KeySpace::General(general), Groups::General(mut values)) => {
                let columns = if values.is_empty() { vec![] } else { values.emit(EmitTo::All)? };
                (None, general.decode(columns)?)
            }
            (KeySpace::One, Groups::One) => (None, vec![]),
            _ => return internal_err!("keys without their table"),
        };
        let groups = match &program.keys {
            KeySpace::One => 1,
            _ => keys.first().map_or(0, |key| key.len()),
        };
        Ok(Finished { groups, keys, chosen, accumulators, reservation })
    }
}

fn dense_id(lookup: &mut [u32], keys: &mut Vec<u64>, key: u64) -> u32 {
    let Some(id) = usize::try_from(key).ok().and_then(|key| lookup.get_mut(key)) else { return UNSEEN };
    if *id == UNSEEN {
        *id = u32::try_from(keys.len()).unwrap_or(UNSEEN);
        keys.push(key);
    }
    *id
}

/// The rows of the chunk that pass an aggregate's own filter too.
fn filtered_lane<'a>(
    program: &'a Program,
    filter: &Predicate,
    base: Option<&Lane<'a>>,
    grouped: bool,
) -> Result<Lane<'a>> {
    let Some(base) = base else { return internal_err!("chunk without rows") };
    let ChunkRows { row_group, start, selection: all, .. } = &base.rows;
    let mut selection = all.clone();
    filter.select(row_group, *start, &mut selection)?;
    if let Some(spare) = base.spare
        && selection.is_dense()
    {
        let rows = ChunkRows::new(row_group, *start, selection, &program.shared);
        return Ok(Lane::whole(rows, base.groups.to_vec(), spare));
    }
    let (mut indices, mut groups) = (vec![], vec![]);
    if grouped {
        bitmap::indices(selection.words(), &mut indices);
        if all.is_all() || base.spare.is_some() {
            gather::gather(&base.groups, &indices, &mut groups);
        } else {
            let mut positions = vec![];
            gather::positions_kept(&base.indices, selection.words(), &mut positions);
            gather::gather(&base.groups, &positions, &mut groups);
        }
    }
    let rows = ChunkRows::new(row_group, *start, selection, &program.shared);
    Ok(Lane::new(rows, indices, groups))
}

/// Hands a foreign aggregate its arguments; also without rows, so that it learns how many groups there are.
fn update_foreign(
    program: &Program,
    slot: &Slot,
    accumulator: &mut Accumulator,
    lane: &Lane<'_>,
    scratch: &mut Scratch,
) -> Result<()> {
    let mut arrays = vec![];
    for &argument in &slot.arguments {
        arrays.push(program.argument(argument)?.packed(&lane.rows)?);
    }
    scratch.ids.clear();
    if lane.groups.is_empty() {
        scratch.ids.resize(lane.rows.selection.kept(), 0);
    } else {
        scratch.ids.extend(lane.groups.iter().map(|&group| group as usize));
    }
    accumulator.update_foreign(&arrays, &scratch.ids)
}

/// What the memory pool says, as an error of ours.
pub(super) fn out_of_memory(error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::ResourcesExhausted(why) => {
            let message = "out of memory while grouping rows";
            ExecError::new(ErrorKind::OutOfMemory, message).with_detail(why).into_datafusion()
        }
        other => other,
    }
}
