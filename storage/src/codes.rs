//! The codes of a text column.

use arrow::array::{Array, UInt32Array};
use arrow::buffer::NullBuffer;
use quickdb_kernels::packing::BLOCK_VALUES;

use crate::chunk::{sliced_nulls, words_of};
use crate::packed::PackedSegment;

/// A code per row of a chunk; rows that are NULL have code 0.
#[derive(Clone, Debug)]
pub struct Codes {
    values: CodeValues,
    nulls: Option<NullBuffer>,
}

#[derive(Clone, Debug)]
enum CodeValues {
    Plain(UInt32Array),
    Packed(PackedSegment<u32>),
}

impl From<UInt32Array> for Codes {
    /// Codes that are an array already; those that are NULL hold 0.
    fn from(codes: UInt32Array) -> Self {
        Self { nulls: codes.nulls().cloned(), values: CodeValues::Plain(codes) }
    }
}

impl Codes {
    pub(crate) fn packed(segment: PackedSegment<u32>, nulls: Option<NullBuffer>) -> Self {
        Self { values: CodeValues::Packed(segment), nulls }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            CodeValues::Plain(codes) => codes.len(),
            CodeValues::Packed(segment) => segment.len(),
        }
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which rows are NULL; `None` when none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// The codes of `rows` rows from `start` on.
    ///
    /// # Panics
    /// When the rows do not exist.
    pub fn slice(&self, start: usize, rows: usize) -> UInt32Array {
        match &self.values {
            CodeValues::Plain(codes) => codes.slice(start, rows),
            CodeValues::Packed(segment) => {
                let mut codes = segment.values(start, rows);
                let nulls = sliced_nulls(self.nulls.as_ref(), start, rows);
                if let Some(nulls) = &nulls {
                    quickdb_kernels::packing::zero_invalid(&mut codes, &words_of(nulls.inner()));
                }
                UInt32Array::new(codes.into(), nulls)
            }
        }
    }

    /// The one code that all rows of `rows` rows from `start` on have that are not NULL, where that can be told without
    /// reading them.
    pub fn common(&self, start: usize, rows: usize) -> Option<u32> {
        let CodeValues::Packed(segment) = &self.values else { return None };
        let end = start.checked_add(rows)?;
        let mut blocks = (start / BLOCK_VALUES..end.div_ceil(BLOCK_VALUES)).map(|block| segment.frame(block));
        let (code, 0) = blocks.next()?? else { return None };
        blocks.all(|frame| frame == Some((code, 0))).then_some(code)
    }

    /// Whether all codes lie below `limit`.
    pub(crate) fn are_below(&self, limit: usize) -> bool {
        let is_below = |code: u32| (code as usize) < limit;
        match &self.values {
            CodeValues::Plain(codes) => codes.values().iter().all(|code| is_below(*code)),
            CodeValues::Packed(segment) => (0..segment.len().div_ceil(BLOCK_VALUES)).all(|block| {
                let start = block * BLOCK_VALUES;
                let rows = BLOCK_VALUES.min(segment.len() - start);
                segment.values(start, rows).into_iter().all(is_below)
            }),
        }
    }

    /// Bytes of the codes.
    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            CodeValues::Plain(codes) => codes.len() * size_of::<u32>(),
            CodeValues::Packed(segment) => segment.bytes(),
        }
    }
}
