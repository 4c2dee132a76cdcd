//! The rows that an accumulator takes in: of one chunk, those that pass the query's filter and the aggregate's own.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use quickdb_kernels::{bitmap, gather};

use super::chunk::ChunkRows;

/// The selected rows of a chunk and the group of each.
pub(super) struct Lane<'a> {
    /// Which rows of the chunk.
    pub(super) rows: ChunkRows<'a>,
    /// Their positions in the chunk; empty where all rows are selected or nothing is grouped.
    pub(super) indices: Arc<Vec<u32>>,
    /// The group of each selected row; empty where nothing is grouped.
    pub(super) groups: Arc<Vec<u32>>,
}

/// Values for an accumulator: which rows of `array` count, and for which groups.
#[derive(Debug, Clone)]
pub(super) struct Values {
    /// The values; either of all rows of the chunk or of the selected ones.
    pub(super) array: ArrayRef,
    /// Which rows of `array` count.
    pub(super) rows: Rows,
}

/// Which rows of an array count. NULL never does.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// All of them, for the one group there is.
    All,
    /// Those with a bit, for the one group there is.
    Masked(Arc<Vec<u64>>),
    /// Each for its group: row `indices[i]`, or `i` where there are no indices, for group `groups[i]`.
    Grouped { indices: Option<Arc<Vec<u32>>>, groups: Arc<Vec<u32>> },
}

impl Values {
    /// The rows of `array` that are selected by `lane` and not NULL. `packed` says that `array` holds the selected
    /// rows only.
    pub(super) fn new(array: ArrayRef, packed: bool, lane: &Lane<'_>, grouped: bool) -> Self {
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let valid = nulls.map(|nulls| {
            let mut words = vec![0; bitmap::words_for(array.len())];
            bitmap::copy_from_bytes(&mut words, nulls.validity(), nulls.offset(), array.len());
            words
        });
        let whole = packed || lane.rows.selection.is_all();
        let rows = match (grouped, whole, valid) {
            (false, true, None) => Rows::All,
            (false, true, Some(valid)) => Rows::Masked(Arc::new(valid)),
            (false, false, None) => Rows::Masked(Arc::new(lane.rows.selection.words().to_vec())),
            (false, false, Some(mut valid)) => {
                bitmap::and(&mut valid, lane.rows.selection.words());
                Rows::Masked(Arc::new(valid))
            }
            (true, true, _) => return Self::grouped(array, &lane.groups),
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

    /// All rows of `array` that are not NULL, each for its group.
    pub(super) fn grouped(array: ArrayRef, groups: &Arc<Vec<u32>>) -> Self {
        let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return Self { array, rows: Rows::Grouped { indices: None, groups: Arc::clone(groups) } };
        };
        let mut valid = vec![0; bitmap::words_for(array.len())];
        bitmap::copy_from_bytes(&mut valid, nulls.validity(), nulls.offset(), array.len());
        let (mut indices, mut kept) = (vec![], vec![]);
        bitmap::indices(&valid, &mut indices);
        gather::gather(groups, &indices, &mut kept);
        Self { array, rows: Rows::Grouped { indices: Some(Arc::new(indices)), groups: Arc::new(kept) } }
    }

    /// How many rows count.
    pub(super) fn count(&self) -> usize {
        match &self.rows {
            Rows::All => self.array.len(),
            Rows::Masked(words) => bitmap::count_ones(words),
            Rows::Grouped { groups, .. } => groups.len(),
        }
    }
}
