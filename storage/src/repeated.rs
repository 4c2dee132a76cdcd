//! Chunks with one or two different values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::ArrowNativeType;

use crate::chunk::{decoded_array, sliced_nulls, words_of};

/// One value for all rows that are not NULL.
#[derive(Clone, Debug)]
pub struct ConstantChunk {
    /// One row.
    value: ArrayRef,
    rows: usize,
    nulls: Option<NullBuffer>,
}

/// One of two values for all rows that are not NULL.
#[derive(Clone, Debug)]
pub struct TwoValuesChunk {
    /// Two rows.
    values: ArrayRef,
    /// Set where a row has the second.
    bits: BooleanBuffer,
    nulls: Option<NullBuffer>,
}

impl ConstantChunk {
    /// `value` has one row, which is not NULL, of fixed width or Boolean.
    pub(crate) fn new(value: ArrayRef, rows: usize, nulls: Option<NullBuffer>) -> Self {
        Self { value, rows, nulls }
    }

    /// The value: an array of one row, which is not NULL.
    pub fn value(&self) -> &ArrayRef {
        &self.value
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Which rows are NULL; `None` when none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    pub(crate) fn slice(&self, start: usize, rows: usize) -> ArrayRef {
        let nulls = sliced_nulls(self.nulls.as_ref(), start, rows);
        let valid =
            || nulls.as_ref().map_or_else(|| BooleanBuffer::new_set(rows), |nulls| nulls.inner().clone());
        if let Some(value) = self.value.as_boolean_opt() {
            let bits = if value.values().value(0) { valid() } else { BooleanBuffer::new_unset(rows) };
            return Arc::new(BooleanArray::new(bits, nulls));
        }
        repeat(&self.value, [None, Some(&valid())], rows, nulls)
    }
}

impl TwoValuesChunk {
    /// `values` has two rows, which are not NULL, of fixed width.
    pub(crate) fn new(values: ArrayRef, bits: BooleanBuffer, nulls: Option<NullBuffer>) -> Self {
        Self { values, bits, nulls }
    }

    /// The values: an array of two rows, which are not NULL.
    pub fn values(&self) -> &ArrayRef {
        &self.values
    }

    /// A bit per row, set where it has the second value. It says nothing where the row is NULL.
    pub fn bits(&self) -> &BooleanBuffer {
        &self.bits
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.bits.len()
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Which rows are NULL; `None` when none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    pub(crate) fn slice(&self, start: usize, rows: usize) -> ArrayRef {
        let nulls = sliced_nulls(self.nulls.as_ref(), start, rows);
        let bits = self.bits.slice(start, rows);
        let valid =
            nulls.as_ref().map_or_else(|| BooleanBuffer::new_set(rows), |nulls| nulls.inner().clone());
        // Neither is chosen where the row is NULL, which leaves 0.
        let (first, second) = (&valid & &!&bits, &valid & &bits);
        repeat(&self.values, [Some(&first), Some(&second)], rows, nulls)
    }
}

/// An array of `rows` values: row `i` of `values` where the bit of `chosen[i]` is set, the last ones first, 0 where none
/// is.
fn repeat(
    values: &ArrayRef,
    chosen: [Option<&BooleanBuffer>; 2],
    rows: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let data_type = values.data_type();
    let data = values.to_data();
    let Some(values) = data.buffers().first() else {
        return decoded_array(data_type, Buffer::default(), rows, nulls);
    };
    let chosen: Vec<(Vec<u64>, usize)> =
        chosen.into_iter().flatten().enumerate().map(|(index, bits)| (words_of(bits), index)).collect();
    let buffer = match data_type.primitive_width() {
        Some(2) => select(values.typed_data::<u16>(), &chosen, rows, |bit| (bit as u16).wrapping_neg()),
        Some(4) => select(values.typed_data::<u32>(), &chosen, rows, |bit| (bit as u32).wrapping_neg()),
        Some(8) => select(values.typed_data::<u64>(), &chosen, rows, u64::wrapping_neg),
        _ => select(values.typed_data::<i128>(), &chosen, rows, |bit| -i128::from(bit)),
    };
    decoded_array(data_type, buffer, rows, nulls)
}

/// `mask` makes all ones of 1 and zeros of 0.
fn select<T>(values: &[T], chosen: &[(Vec<u64>, usize)], rows: usize, mask: impl Fn(u64) -> T) -> Buffer
where
    T: ArrowNativeType + std::ops::BitAnd<Output = T> + std::ops::BitOr<Output = T>,
{
    let mut out = vec![T::default(); rows];
    for (words, index) in chosen {
        let Some(&value) = values.get(*index) else { continue };
        for (out, &word) in out.chunks_mut(64).zip(words) {
            for (row, out) in out.iter_mut().enumerate() {
                *out = *out | (value & mask(word >> row & 1));
            }
        }
    }
    Buffer::from_vec(out)
}
