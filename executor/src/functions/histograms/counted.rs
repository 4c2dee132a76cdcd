//! Histograms whose range is known: the state is the counts.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use quickdb_kernels::{grouped, histogram};

use super::binning::{Bins, lists, number};
use crate::error::ErrorKind;
use crate::functions::function::{arg, error, internal};
use crate::selection::words_of;

/// The counts of all groups. Behind those of a group lies one more, of the rows that are in no bin.
#[derive(Debug)]
pub(crate) struct BinTable {
    bins: Arc<Bins>,
    counts: Vec<i64>,
}

impl BinTable {
    /// A table without groups.
    pub(crate) fn new(bins: Arc<Bins>) -> Self {
        Self { bins, counts: vec![] }
    }

    fn per_group(&self) -> usize {
        self.bins.cells() + 1
    }

    /// Bytes that so many groups take.
    pub(crate) fn bytes_for(&self, groups: usize) -> usize {
        groups.saturating_mul(self.per_group()).saturating_mul(size_of::<i64>())
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }

    /// Makes room for `groups` groups; the memory must have been asked for.
    pub(crate) fn resize(&mut self, groups: usize) {
        self.counts.resize(groups.saturating_mul(self.per_group()), 0);
    }

    fn groups(&self) -> usize {
        self.counts.len() / self.per_group()
    }

    /// Counts rows that lie in the cells `cells`, each for its group, or all for the first where no groups are given.
    ///
    /// # Errors
    /// `OutOfMemory` when there are more counts than 32 bits can number.
    pub(crate) fn count(&mut self, mut cells: Vec<u32>, groups: Option<&[u32]>) -> Result<()> {
        if let Some(groups) = groups {
            if u32::try_from(self.counts.len()).is_err() {
                return Err(too_many());
            }
            histogram::counters(&mut cells, groups, number(self.per_group()));
        }
        grouped::count(&cells, &mut self.counts);
        Ok(())
    }

    /// Adds the counts of `other`: its group `g` is our group `map[g]`.
    pub(crate) fn merge(&mut self, other: &Self, map: &[u32]) {
        let per_group = self.per_group();
        for (counts, &group) in other.counts.chunks(per_group).zip(map) {
            self.add(group as usize, counts);
        }
    }

    fn add(&mut self, group: usize, counts: &[i64]) {
        let from = group.saturating_mul(self.per_group());
        let into = self.counts.get_mut(from..).unwrap_or_default();
        into.iter_mut().zip(counts).for_each(|(into, count)| *into += count);
    }

    /// The counts of all cells of groups, one after the other.
    fn picked(&self, groups: impl Iterator<Item = usize>) -> Vec<i64> {
        let (cells, per_group) = (self.bins.cells(), self.per_group());
        let of = |group: usize| {
            let from = group.saturating_mul(per_group);
            self.counts.get(from..from.saturating_add(cells)).unwrap_or_default()
        };
        groups.flat_map(of).copied().collect()
    }

    /// The partial states of the chosen groups, or of all.
    ///
    /// # Errors
    /// `LimitExceeded` when they are more than one array holds.
    pub(crate) fn states(&self, chosen: Option<&[u32]>) -> Result<ListArray> {
        let (counts, groups) = match chosen {
            Some(chosen) => (self.picked(chosen.iter().map(|&group| group as usize)), chosen.len()),
            None => (self.picked(0..self.groups()), self.groups()),
        };
        lists(Arc::new(Int64Array::from(counts)), self.bins.cells(), groups)
    }
}

fn too_many() -> datafusion::error::DataFusionError {
    error(ErrorKind::OutOfMemory, "out of memory while counting values in bins")
}

/// The accumulator of one group or of many.
#[derive(Debug)]
pub(super) struct Counted {
    table: BinTable,
}

impl Counted {
    /// An accumulator without groups.
    pub(super) fn new(bins: Arc<Bins>) -> Self {
        Self { table: BinTable::new(bins) }
    }

    /// The accumulator of one group.
    pub(super) fn one_group(bins: Arc<Bins>) -> Self {
        let mut counted = Self::new(bins);
        counted.table.resize(1);
        counted
    }

    fn take(&mut self, emit_to: EmitTo) -> Result<(Vec<i64>, usize)> {
        let groups = match emit_to {
            EmitTo::All => self.table.groups(),
            EmitTo::First(groups) => groups,
        };
        let counts = self.table.picked(0..groups);
        let taken = groups.saturating_mul(self.table.per_group()).min(self.table.counts.len());
        self.table.counts.drain(..taken);
        Ok((counts, groups))
    }

    fn make_room(&mut self, groups: usize) -> Result<()> {
        if u32::try_from(groups.saturating_mul(self.table.per_group())).is_err() {
            return Err(too_many());
        }
        self.table.resize(groups);
        Ok(())
    }
}

fn numbers(groups: &[usize]) -> Vec<u32> {
    groups.iter().map(|&group| number(group)).collect()
}

fn merge_lists(table: &mut BinTable, states: &[ArrayRef], group: impl Fn(usize) -> usize) -> Result<()> {
    let states = arg(states, 0)?.as_list::<i32>();
    let counts = states.values().as_primitive::<Int64Type>().values();
    for (row, window) in states.value_offsets().windows(2).enumerate() {
        let [start, end] = window else { return Err(internal("offsets come in pairs")) };
        let (start, end) = (usize::try_from(*start).unwrap_or(0), usize::try_from(*end).unwrap_or(0));
        table.add(group(row), counts.get(start..end).unwrap_or_default());
    }
    Ok(())
}

impl GroupsAccumulator for Counted {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.make_room(total_num_groups)?;
        let mut cells = self.table.bins.of_rows(values)?;
        if let Some(filter) = opt_filter {
            let mut words = vec![];
            words_of(filter, &mut words);
            histogram::leave_out(&mut cells, &words, number(self.table.bins.cells()));
        }
        self.table.count(cells, Some(&numbers(group_indices)))
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (counts, groups) = self.take(emit_to)?;
        Ok(Arc::new(self.table.bins.records(counts, groups)?))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (counts, groups) = self.take(emit_to)?;
        let states = lists(Arc::new(Int64Array::from(counts)), self.table.bins.cells(), groups)?;
        Ok(vec![Arc::new(states)])
    }

    fn merge_batch(
        &mut self,
        states: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.make_room(total_num_groups)?;
        merge_lists(&mut self.table, states, |row| group_indices.get(row).copied().unwrap_or(usize::MAX))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = arg(values, 0)?.len();
        let mut each = Self::new(Arc::clone(&self.table.bins));
        GroupsAccumulator::update_batch(&mut each, values, &(0..rows).collect::<Vec<_>>(), opt_filter, rows)?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.table.heap_bytes()
    }
}

impl Accumulator for Counted {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let cells = self.table.bins.of_rows(values)?;
        self.table.count(cells, None)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let counts = self.table.picked(0..1);
        Ok(ScalarValue::Struct(Arc::new(self.table.bins.records(counts, 1)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.table.heap_bytes()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::List(Arc::new(self.table.states(None)?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        merge_lists(&mut self.table, states, |_| 0)
    }
}
