//! Packed integers, decimals and floats of a chunk.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use quickdb_kernels::packing::{self, BLOCK_VALUES, PackWord};

use crate::chunk::{decoded_array, sliced_nulls, words_of};
use crate::packed::{PackedSegment, Rescale};

/// Packed integers, decimals or floats; rows that are NULL read as 0.
#[derive(Clone, Debug)]
pub struct PackedChunk {
    data_type: DataType,
    values: PackedValues,
    nulls: Option<NullBuffer>,
}

/// What is packed, by the width of the values.
#[derive(Clone, Debug)]
pub(crate) enum PackedValues {
    Short(PackedSegment<u16>),
    Int(PackedSegment<u32>),
    Long {
        segment: PackedSegment<u64>,
        scale: u64,
    },
    /// 64-bit integers that become 128-bit ones.
    Wide {
        segment: PackedSegment<u64>,
        scale: u64,
    },
    Single {
        segment: PackedSegment<u32>,
        divisor: f32,
        exceptions: Exceptions<f32>,
    },
    Double {
        segment: PackedSegment<u64>,
        divisor: f64,
        scale: u64,
        exceptions: Exceptions<f64>,
    },
}

/// Values that are not what the packed integer says, by ascending row.
#[derive(Clone, Debug)]
pub(crate) struct Exceptions<F: arrow::datatypes::ArrowNativeType> {
    rows: Arc<[u32]>,
    values: ScalarBuffer<F>,
}

impl<F: arrow::datatypes::ArrowNativeType> Exceptions<F> {
    pub(crate) fn none() -> Self {
        Self { rows: Arc::default(), values: Vec::new().into() }
    }

    /// Checks a segment of values and then rows, which ascend and lie below `row_count`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(segment: &Buffer, row_count: usize) -> Result<Self, String> {
        let count = segment.len() / (size_of::<F>() + size_of::<u32>());
        let rows: Arc<[u32]> = segment
            .get(count * size_of::<F>()..)
            .unwrap_or_default()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|row| u32::from_le_bytes(*row))
            .collect();
        let ascend = rows.array_windows().all(|[row, next]| row < next);
        if rows.len() != count || !ascend || rows.last().is_some_and(|last| *last as usize >= row_count) {
            return Err("exceptions are not in order".to_owned());
        }
        Ok(Self { rows, values: ScalarBuffer::new(segment.clone(), 0, count) })
    }

    fn apply(&self, start: usize, out: &mut [F]) {
        let first = self.rows.partition_point(|row| (*row as usize) < start);
        let exceptions = self.rows.iter().zip(self.values.iter()).skip(first);
        for (row, value) in exceptions {
            match out.get_mut(*row as usize - start) {
                Some(slot) => *slot = *value,
                None => break,
            }
        }
    }

    fn bytes(&self) -> usize {
        self.rows.len() * (size_of::<F>() + size_of::<u32>())
    }
}

impl PackedChunk {
    /// `values` are packed for `data_type`, and `nulls` as many.
    pub(crate) fn new(data_type: DataType, values: PackedValues, nulls: Option<NullBuffer>) -> Self {
        Self { data_type, values, nulls }
    }

    /// The type of the values.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.values {
            PackedValues::Short(segment) => segment.len(),
            PackedValues::Int(segment) | PackedValues::Single { segment, .. } => segment.len(),
            PackedValues::Long { segment, .. }
            | PackedValues::Wide { segment, .. }
            | PackedValues::Double { segment, .. } => segment.len(),
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

    /// Bytes of the packed values.
    pub(crate) fn bytes(&self) -> usize {
        match &self.values {
            PackedValues::Short(segment) => segment.bytes(),
            PackedValues::Int(segment) => segment.bytes(),
            PackedValues::Single { segment, exceptions, .. } => segment.bytes() + exceptions.bytes(),
            PackedValues::Long { segment, .. } | PackedValues::Wide { segment, .. } => segment.bytes(),
            PackedValues::Double { segment, exceptions, .. } => segment.bytes() + exceptions.bytes(),
        }
    }

    /// An integer that no value of block `block` (of 1,024 rows) lies below and one that none lies above, NULL not
    /// counted, of integers and decimals (unscaled); `None` where that would take reading the block.
    pub fn block_bounds(&self, block: usize) -> Option<(i64, i64)> {
        let (base, width, scale, greatest) = match &self.values {
            PackedValues::Short(segment) => {
                let (base, width) = segment.frame(block)?;
                (i64::from(base.cast_signed()), width, 1, i64::from(i16::MAX))
            }
            PackedValues::Int(segment) => {
                let (base, width) = segment.frame(block)?;
                (i64::from(base.cast_signed()), width, 1, i64::from(i32::MAX))
            }
            PackedValues::Long { segment, scale } | PackedValues::Wide { segment, scale } => {
                let (base, width) = segment.frame(block)?;
                (base.cast_signed(), width, *scale, i64::MAX)
            }
            PackedValues::Single { .. } | PackedValues::Double { .. } => return None,
        };
        let range = u128::from(u64::mask(width)) * u128::from(scale);
        let range = i128::try_from(range).unwrap_or(i128::from(i64::MAX));
        let limit = (i128::from(base) + range).min(i128::from(greatest));
        Some((base, i64::try_from(limit).unwrap_or(i64::MAX)))
    }

    /// `rows` rows from `start` on.
    pub(crate) fn slice(&self, start: usize, rows: usize) -> ArrayRef {
        let nulls = sliced_nulls(self.nulls.as_ref(), start, rows);
        let valid = nulls.as_ref().map(|nulls| words_of(nulls.inner()));
        let buffer = match &self.values {
            PackedValues::Short(segment) => finished(segment.values(start, rows), valid.as_deref()),
            PackedValues::Int(segment) => finished(segment.values(start, rows), valid.as_deref()),
            PackedValues::Long { segment, scale } => {
                finished(segment.read(start, rows, *scale, rescale(*scale)), valid.as_deref())
            }
            PackedValues::Wide { segment, scale } => {
                let values = segment.read(start, rows, *scale, rescale(*scale));
                let wide: Vec<i128> =
                    values.into_iter().map(|value| i128::from(value.cast_signed())).collect();
                finished(wide, valid.as_deref())
            }
            PackedValues::Single { segment, divisor, exceptions } => {
                let values = segment.values(start, rows);
                let mut singles = vec![0.0; rows];
                packing::scaled_singles(&values, *divisor, &mut singles);
                exceptions.apply(start, &mut singles);
                finished(singles, valid.as_deref())
            }
            PackedValues::Double { segment, divisor, scale, exceptions } => {
                let mut doubles = vec![0.0; rows];
                let mut at = 0;
                // A block at a time, so that the integers stay in the first-level cache.
                while at < rows {
                    let taken = (BLOCK_VALUES - (start + at) % BLOCK_VALUES).min(rows - at);
                    let values = segment.read(start + at, taken, *scale, rescale(*scale));
                    if let Some(out) = doubles.get_mut(at..at + taken) {
                        packing::scaled_doubles(&values, *divisor, out);
                    }
                    at += taken;
                }
                exceptions.apply(start, &mut doubles);
                finished(doubles, valid.as_deref())
            }
        };
        decoded_array(&self.data_type, buffer, rows, nulls)
    }
}

fn rescale(scale: u64) -> Rescale<u64> {
    if scale == 1 { None } else { Some(packing::rescale) }
}

/// The values as a buffer, 0 where not `valid`.
fn finished<T: arrow::datatypes::ArrowNativeType>(mut values: Vec<T>, valid: Option<&[u64]>) -> Buffer {
    if let Some(valid) = valid {
        packing::zero_invalid(&mut values, valid);
    }
    Buffer::from_vec(values)
}
