//! The rows of one chunk that a predicate keeps.

use arrow::array::{Array, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer};
use quickdb_kernels::bitmap;

/// Rows that are worked on at once: a few columns of them fit the second-level cache, and it is DataFusion's batch
/// size. A multiple of 64, so that chunks start at whole words of a row group's bitmap.
pub(crate) const CHUNK_ROWS: usize = 8192;

const _: () = assert!(CHUNK_ROWS.is_multiple_of(bitmap::WORD_ROWS));

/// Packing a row, and looking it up again by its index, costs about as much as working on four.
const DENSE_ROWS_PER_KEPT: usize = 4;

/// A bit per row of a run of rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    words: Vec<u64>,
    rows: usize,
    kept: usize,
}

impl Selection {
    /// All of `rows` rows.
    pub(crate) fn all(rows: usize) -> Self {
        let mut selection = Self::default();
        selection.reset(rows);
        selection
    }

    /// Makes this a selection of all of `rows` rows.
    pub(crate) fn reset(&mut self, rows: usize) {
        self.words.resize(bitmap::words_for(rows), 0);
        bitmap::fill(&mut self.words, rows);
        self.rows = rows;
        self.kept = rows;
    }

    /// Rows it is about.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Rows it keeps.
    pub(crate) fn kept(&self) -> usize {
        self.kept
    }

    /// Whether it keeps all rows.
    pub(crate) fn is_all(&self) -> bool {
        self.kept == self.rows
    }

    /// Whether it keeps so many rows that work on all of them is cheaper than packing the kept ones first.
    pub(crate) fn is_dense(&self) -> bool {
        self.kept.saturating_mul(DENSE_ROWS_PER_KEPT) >= self.rows
    }

    /// The bits.
    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Keeps of these rows only those whose bit in `words` is set.
    pub(crate) fn and(&mut self, words: &[u64]) {
        bitmap::and(&mut self.words, words);
        self.kept = bitmap::count_ones(&self.words);
    }

    /// Keeps of these rows only those for which `verdicts`, one for each row kept so far, is true and not NULL.
    pub(crate) fn narrow(&mut self, verdicts: &BooleanArray) {
        let mut words = Vec::new();
        words_of(verdicts, &mut words);
        if self.is_all() {
            self.and(&words);
        } else {
            bitmap::scatter(&mut self.words, &words);
            self.kept = bitmap::count_ones(&self.words);
        }
    }

    /// Keeps of the kept rows only those among the first `rows`.
    pub(crate) fn keep_first(&mut self, rows: usize) {
        for (number, word) in self.words.iter_mut().enumerate() {
            let first = number * bitmap::WORD_ROWS;
            if first >= rows {
                *word = 0;
            } else if rows - first < bitmap::WORD_ROWS {
                *word &= (1 << (rows - first)) - 1;
            }
        }
        self.kept = bitmap::count_ones(&self.words);
    }

    /// Appends the rows of `next` after these; these must be whole words.
    pub(crate) fn append(&mut self, next: &Self) {
        debug_assert!(self.rows.is_multiple_of(bitmap::WORD_ROWS));
        self.words.extend_from_slice(&next.words);
        self.rows += next.rows;
        self.kept += next.kept;
    }

    /// The selection as an Arrow mask.
    pub(crate) fn to_mask(&self) -> BooleanArray {
        let buffer = Buffer::from_vec(self.words.clone());
        BooleanArray::new(BooleanBuffer::new(buffer, 0, self.rows), None)
    }
}

/// Writes bit `i` of `words` for every row that is true and not NULL.
pub(crate) fn words_of(array: &BooleanArray, words: &mut Vec<u64>) {
    let rows = array.values().len();
    words.clear();
    words.resize(bitmap::words_for(rows), 0);
    bitmap::copy_from_bytes(words, array.values().values(), array.values().offset(), rows);
    if let Some(nulls) = array.nulls() {
        let mut valid = vec![0; words.len()];
        bitmap::copy_from_bytes(&mut valid, nulls.validity(), nulls.offset(), rows);
        bitmap::and(words, &valid);
    }
}
