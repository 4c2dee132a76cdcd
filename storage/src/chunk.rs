//! One column of one row group, as it is handed to the executor.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, UInt32Array};

/// How the values of a column chunk are laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Values of fixed width, one after the other, 0 where NULL.
    Plain,
    /// One bit per Boolean, 0 where NULL.
    Bits,
    /// A u32 per row that points into the column's dictionary, 0 where NULL.
    Dictionary,
    /// Offsets and the bytes of all strings, one after the other.
    Strings,
    /// Every row is NULL and nothing is stored.
    AllNull,
}

/// One column of one row group. Fixed-width values, codes, bitmaps and string bytes lie in the memory map; the arrays
/// keep it alive.
#[derive(Clone, Debug)]
pub enum ColumnChunk {
    /// An array of the column's type. Slots that are NULL hold 0 (an empty string).
    Array(ArrayRef),
    /// Text as codes.
    Dictionary {
        /// Index into `dictionary` per row, always in range; slots that are NULL hold 0.
        codes: UInt32Array,
        /// The different values of the column in the whole shard, without NULL, sorted by their bytes and never empty:
        /// codes of one shard compare as the strings do.
        dictionary: Arc<StringViewArray>,
    },
}

impl ColumnChunk {
    /// The chunk as an array of the column's type; dictionary codes become a Utf8View array that shares the bytes.
    pub fn into_array(self) -> ArrayRef {
        todo!()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
