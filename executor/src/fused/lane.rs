//! The rows that an accumulator takes in: of one chunk, those that pass the query's filter and the aggregate's own.

use std::cell::OnceCell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use quickdb_kernels::{bitmap, gather, histogram};

use super::chunk::ChunkRows;

/// The selected rows of a chunk and the group of each.
pub(super) struct Lane<'a> {
    /// Which rows of the chunk.
    pub(super) rows: ChunkRows<'a>,
    /// Their positions in the chunk; empty where all rows are selected or nothing is grouped, and in a whole lane.
    pub(super) indices: Arc<Vec<u32>>,
    /// The group of each selected row, or of each row of a whole lane; empty where nothing is grouped.
    pub(super) groups: Arc<Vec<u32>>,
    /// In a whole lane every row of the chunk has a group: those that are not selected have this one, whose states
    /// nobody reads.
    pub(super) spare: Option<u32>,
    packed: OnceCell<Packed>,
}

/// Positions and groups of the selected rows of a whole lane.
struct Packed {
    indices: Arc<Vec<u32>>,
    groups: Arc<Vec<u32>>,
}

/// Values for an accumulator: which rows of `array` count, and for which groups.
#[derive(Debug, Clone)]
pub(super) struct Values {
    /// The values; either of all rows of the chunk or of the selected ones.
    pub(super) array: ArrayRef,
    /// Which rows of `array` count.
    pub(super) rows: Rows,
}

/// Which rows of an array count.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// All of them, for the one group there is.
    All,
    /// Those with a bit, for the one group there is.
    Masked(Arc<Vec<u64>>),
    /// Each for its group: row `indices[i]`, or `i` where there are no indices, for group `groups[i]`.
    Grouped { indices: Option<Arc<Vec<u32>>>, groups: Arc<Vec<u32>> },
}

impl<'a> Lane<'a> {
    /// The selected rows of a chunk, at `indices`, and their groups.
    pub(super) fn new(rows: ChunkRows<'a>, indices: Vec<u32>, groups: Vec<u32>) -> Self {
        Self {
            rows,
            indices: Arc::new(indices),
            groups: Arc::new(groups),
            spare: None,
            packed: OnceCell::new(),
        }
    }

    /// All rows of a chunk, of which those that are not selected are in the group `spare`.
    pub(super) fn whole(rows: ChunkRows<'a>, mut groups: Vec<u32>, spare: u32) -> Self {
        if !rows.selection.is_all() {
            histogram::leave_out(&mut groups, rows.selection.words(), spare);
        }
        Self { spare: Some(spare), ..Self::new(rows, vec![], groups) }
    }

    fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| {
            if self.spare.is_none() || self.rows.selection.is_all() {
                return Packed { indices: Arc::clone(&self.indices), groups: Arc::clone(&self.groups) };
            }
            let (mut indices, mut groups) = (vec![], vec![]);
            bitmap::indices(self.rows.selection.words(), &mut indices);
            gather::gather(&self.groups, &indices, &mut groups);
            Packed { indices: Arc::new(indices), groups: Arc::new(groups) }
        })
    }

    /// The group of each selected row.
    pub(super) fn packed_groups(&self) -> &Arc<Vec<u32>> {
        &self.packed().groups
    }

    /// The positions of the selected rows; nothing where all are selected or nothing is grouped.
    pub(super) fn packed_indices(&self) -> &Arc<Vec<u32>> {
        &self.packed().indices
    }
}

/// A bit for each row of an array that is not NULL; `None` where none is NULL.
pub(super) fn valid_words(array: &ArrayRef) -> Option<Vec<u64>> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    let mut words = vec![0; bitmap::words_for(array.len())];
    bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), array.len());
    Some(words)
}

impl Values {
    /// The rows of `array` that are selected by `lane` and not NULL. `packed` says that `array` holds the selected
    /// rows only.
    pub(super) fn new(array: ArrayRef, packed: bool, lane: &Lane<'_>, grouped: bool) -> Self {
        let valid = valid_words(&array);
        let all = lane.rows.selection.is_all();
        let rows = match (grouped, packed || all, valid) {
            (false, true, None) => Rows::All,
            (false, true, Some(valid)) => Rows::Masked(Arc::new(valid)),
            (false, false, None) => Rows::Masked(Arc::new(lane.rows.selection.words().to_vec())),
            (false, false, Some(mut valid)) => {
                bitmap::and(&mut valid, lane.rows.selection.words());
                Rows::Masked(Arc::new(valid))
            }
            (true, _, valid) if !packed && lane.spare.is_some() => {
                let groups = match (valid, lane.spare) {
                    (Some(valid), Some(spare)) => {
                        let mut groups = lane.groups.to_vec();
                        histogram::leave_out(&mut groups, &valid, spare);
                        Arc::new(groups)
                    }
                    _ => Arc::clone(&lane.groups),
                };
                Rows::Grouped { indices: None, groups }
            }
            (true, true, _) => return Self::grouped(array, lane.packed_groups()),
            (true, false, None) => {
                Rows::Grouped { indices: Some(Arc::clone(&lane.indices)), groups: Arc::clone(&lane.groups) }
            }
            (true, false, Some(valid)) => {
                let mut positions = vec![];
                gather::positions_kept(&lane.indices, &valid, &mut positions);
                let (mut indices, mut groups) = (vec![], vec![]);
                gather::gather(&lane.indices, &positions, &mut indices);
                gather::gather(&lane.groups, &positions, &mut groups);
                Rows::Grouped { indices: Some(Arc::new(indices)), groups: Arc::new(groups) }
            }
        };
        Self { array, rows }
    }

    /// The rows of `array` that are selected by `lane`, NULL or not: for sums of values that read as 0 where they are
    /// NULL. `exact` says that what stands in rows that are not selected must not be added to anything.
    pub(super) fn with_nulls(
        array: ArrayRef,
        packed: bool,
        lane: &Lane<'_>,
        grouped: bool,
        exact: bool,
    ) -> Self {
        let all = packed || lane.rows.selection.is_all();
        let rows = match (grouped, all) {
            (false, true) => Rows::All,
            (false, false) => Rows::Masked(Arc::new(lane.rows.selection.words().to_vec())),
            (true, true) => Rows::Grouped { indices: None, groups: Arc::clone(lane.packed_groups()) },
            (true, false) if lane.spare.is_some() && !exact => {
                Rows::Grouped { indices: None, groups: Arc::clone(&lane.groups) }
            }
            (true, false) => Rows::Grouped {
                indices: Some(Arc::clone(lane.packed_indices())),
                groups: Arc::clone(lane.packed_groups()),
            },
        };
        Self { array, rows }
    }

    /// All rows of `array` that are not NULL, each for its group.
    pub(super) fn grouped(array: ArrayRef, groups: &Arc<Vec<u32>>) -> Self {
        let Some(valid) = valid_words(&array) else {
            return Self { array, rows: Rows::Grouped { indices: None, groups: Arc::clone(groups) } };
        };
        let (mut indices, mut kept) = (vec![], vec![]);
        bitmap::indices(&valid, &mut indices);
        gather::gather(groups, &indices, &mut kept);
        Self { array, rows: Rows::Grouped { indices: Some(Arc::new(indices)), groups: Arc::new(kept) } }
    }
}

/// Calls `each` with the group of every selected row that is NULL in `array`, or with the first group where there is
/// one only; of a whole lane with the spare group too. `packed` says that `array` holds the selected rows only.
pub(super) fn nulls_of(
    array: &ArrayRef,
    packed: bool,
    lane: &Lane<'_>,
    grouped: bool,
    mut each: impl FnMut(u32),
) {
    let Some(valid) = valid_words(array) else { return };
    let mut absent: Vec<u64> = valid.iter().map(|word| !word).collect();
    bitmap::clear_tail(&mut absent, array.len());
    let all = packed || lane.rows.selection.is_all();
    if !all {
        bitmap::and(&mut absent, lane.rows.selection.words());
    }
    if !grouped {
        (0..bitmap::count_ones(&absent)).for_each(|_| each(0));
        return;
    }
    let mut rows = vec![];
    if all || lane.spare.is_some() {
        let groups = if packed { lane.packed_groups() } else { &lane.groups };
        bitmap::indices(&absent, &mut rows);
        rows.iter().filter_map(|&row| groups.get(row as usize)).for_each(|&group| each(group));
    } else {
        gather::positions_kept(&lane.indices, &absent, &mut rows);
        rows.iter().filter_map(|&row| lane.groups.get(row as usize)).for_each(|&group| each(group));
    }
}
