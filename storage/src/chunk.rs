//! One column of one row group, as it is handed to the executor.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringViewArray, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::ROW_GROUP_ROWS;
use crate::codes::Codes;
use crate::packed_chunk::PackedChunk;
use crate::repeated::{ConstantChunk, TwoValuesChunk};

/// How the values of a column chunk are laid out on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Values of fixed width, one after the other, 0 where NULL.
    Plain,
    /// One bit per Boolean, 0 where NULL.
    Bits,
    /// A code per row that points into the column's dictionary, 0 where NULL.
    Dictionary,
    /// Lengths and the bytes of all strings, which may be compressed.
    Strings,
    /// Every row is NULL and nothing is stored.
    AllNull,
    /// One value for all rows that are not NULL.
    Constant,
    /// Two values and a bit per row.
    TwoValues,
    /// Integers, each block of 1,024 in the bits that its range needs.
    Packed,
    /// Floats as packed integers that are divided by a power of ten, and exceptions.
    Scaled,
    /// Lengths and the elements of all lists.
    List,
    /// Nothing but NULLs: the fields are chunks of their own.
    Struct,
}

/// One column of one row group, checked. What is not an array yet becomes one piece by piece with
/// [`slice`](Self::slice), so that a reader who skips rows does not pay for them.
#[derive(Clone, Debug)]
pub enum ColumnChunk {
    /// An array of the column's type. Slots that are NULL hold 0 (an empty string or list).
    Array(ArrayRef),
    /// One value for all rows that are not NULL.
    Constant(ConstantChunk),
    /// One of two values for all rows that are not NULL.
    TwoValues(TwoValuesChunk),
    /// Packed integers, decimals or floats.
    Packed(PackedChunk),
    /// Text as codes. Either every chunk of a column that is not all NULL is of this kind, or none is.
    Dictionary {
        /// Index into `dictionary` per row, always in range; slots that are NULL hold 0.
        codes: Codes,
        /// The different values of the column in the whole shard, without NULL, sorted by their bytes and never empty:
        /// codes of one shard compare as the strings do.
        dictionary: Arc<StringViewArray>,
    },
}

impl ColumnChunk {
    /// The chunk as an array of the column's type.
    ///
    /// # Panics
    /// As [`slice`](Self::slice).
    pub fn into_array(self) -> ArrayRef {
        match self {
            Self::Array(array) => array,
            other => other.slice(0, other.len()),
        }
    }

    /// `rows` rows from `start` on, as an array of the column's type: arrays are sliced, all else is decoded.
    /// Dictionary codes become a Utf8View array that shares the bytes of the dictionary.
    ///
    /// # Panics
    /// When the rows do not exist, or codes are out of range, which they are not in a chunk that was read from a shard.
    pub fn slice(&self, start: usize, rows: usize) -> ArrayRef {
        match self {
            Self::Array(array) => array.slice(start, rows),
            Self::Constant(constant) => constant.slice(start, rows),
            Self::TwoValues(values) => values.slice(start, rows),
            Self::Packed(packed) => packed.slice(start, rows),
            #[expect(
                clippy::expect_used,
                reason = "codes are compared with the dictionary when they are read"
            )]
            Self::Dictionary { codes, dictionary } => take(&**dictionary, &codes.slice(start, rows), None)
                .expect("codes point into their dictionary"),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Array(array) => array.len(),
            Self::Constant(constant) => constant.len(),
            Self::TwoValues(values) => values.len(),
            Self::Packed(packed) => packed.len(),
            Self::Dictionary { codes, .. } => codes.len(),
        }
    }

    /// True when there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which rows are NULL; `None` when none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::Array(array) => array.nulls(),
            Self::Constant(constant) => constant.nulls(),
            Self::TwoValues(values) => values.nulls(),
            Self::Packed(packed) => packed.nulls(),
            Self::Dictionary { codes, .. } => codes.nulls(),
        }
    }

    /// Bytes that the chunk has in memory or in the map, about.
    pub fn bytes(&self) -> usize {
        let validity = || self.nulls().map_or(0, |nulls| nulls.len().div_ceil(8));
        match self {
            Self::Array(array) => array.to_data().get_slice_memory_size().unwrap_or(0),
            Self::Constant(_) => validity(),
            Self::TwoValues(values) => values.len().div_ceil(8) + validity(),
            Self::Packed(packed) => packed.bytes() + validity(),
            Self::Dictionary { codes, .. } => codes.bytes() + validity(),
        }
    }
}

/// Zeros for the values of any chunk that is all NULL: 1 MiB that all such chunks share.
static ZEROS: LazyLock<Buffer> = LazyLock::new(|| MutableBuffer::from_len_zeroed(ROW_GROUP_ROWS * 16).into());

/// `bytes` zeros, aligned like a segment.
pub(crate) fn zeros(bytes: usize) -> Buffer {
    if bytes <= ZEROS.len() {
        ZEROS.slice_with_length(0, bytes)
    } else {
        MutableBuffer::from_len_zeroed(bytes).into()
    }
}

/// An array of `rows` values of fixed width or bits in `values`, which has their length and is aligned; `None` for
/// other types.
pub(crate) fn fixed_width_array(
    data_type: &DataType,
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new(values, 0, rows), nulls)),
        DataType::Int16 => primitive::<Int16Type>(data_type, values, rows, nulls),
        DataType::Int32 => primitive::<Int32Type>(data_type, values, rows, nulls),
        DataType::Int64 => primitive::<Int64Type>(data_type, values, rows, nulls),
        DataType::Float32 => primitive::<Float32Type>(data_type, values, rows, nulls),
        DataType::Float64 => primitive::<Float64Type>(data_type, values, rows, nulls),
        DataType::Decimal128(_, _) => primitive::<Decimal128Type>(data_type, values, rows, nulls),
        DataType::Date32 => primitive::<Date32Type>(data_type, values, rows, nulls),
        DataType::Time64(_) => primitive::<Time64MicrosecondType>(data_type, values, rows, nulls),
        DataType::Timestamp(_, _) => primitive::<TimestampMicrosecondType>(data_type, values, rows, nulls),
        DataType::Interval(_) => primitive::<IntervalMonthDayNanoType>(data_type, values, rows, nulls),
        _ => return None,
    })
}

/// The same of values whose type is right by construction.
pub(crate) fn decoded_array(
    data_type: &DataType,
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    fixed_width_array(data_type, values, rows, nulls).unwrap_or_else(|| new_null_array(data_type, rows))
}

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let values = ScalarBuffer::<T::Native>::new(values, 0, rows);
    Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
}

/// An array of `rows` NULLs whose slots hold 0.
pub(crate) fn null_array(data_type: &DataType, rows: usize) -> ArrayRef {
    // A bitmap needs less than a byte per row.
    let bytes = rows.saturating_mul(data_type.primitive_width().unwrap_or(1));
    let nulls = Some(NullBuffer::new_null(rows));
    fixed_width_array(data_type, zeros(bytes), rows, nulls).unwrap_or_else(|| new_null_array(data_type, rows))
}

/// The NULLs of `rows` rows from `start` on, `None` when there is none.
pub(crate) fn sliced_nulls(nulls: Option<&NullBuffer>, start: usize, rows: usize) -> Option<NullBuffer> {
    nulls.map(|nulls| nulls.slice(start, rows)).filter(|nulls| nulls.null_count() > 0)
}

/// A bit per row, as kernels want it.
pub(crate) fn words_of(bits: &BooleanBuffer) -> Vec<u64> {
    let mut words = vec![0; quickdb_kernels::bitmap::words_for(bits.len())];
    quickdb_kernels::bitmap::copy_from_bytes(&mut words, bits.values(), bits.offset(), bits.len());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::UInt32Array;

    #[test]
    fn dictionary_chunks_become_text() {
        let dictionary = Arc::new(StringViewArray::from(vec!["", "a text of more than 12 bytes"]));
        let codes = Codes::from(UInt32Array::from(vec![Some(1), None, Some(0)]));
        let chunk = ColumnChunk::Dictionary { codes, dictionary };
        assert_eq!((chunk.len(), chunk.is_empty()), (3, false));
        let expected = StringViewArray::from(vec![Some("a text of more than 12 bytes"), None, Some("")]);
        assert_eq!(&chunk.slice(1, 2), &expected.slice(1, 2).into_data().into_array());
        assert_eq!(&chunk.into_array(), &(Arc::new(expected) as ArrayRef));
    }

    trait IntoArray {
        fn into_array(self) -> ArrayRef;
    }

    impl IntoArray for arrow::array::ArrayData {
        fn into_array(self) -> ArrayRef {
            arrow::array::make_array(self)
        }
    }

    #[test]
    fn null_arrays_are_shared_zeros() {
        let list = DataType::new_list(DataType::Int32, true);
        for data_type in [DataType::Boolean, DataType::Decimal128(3, 1), DataType::Utf8View, list] {
            let array = null_array(&data_type, 100);
            assert_eq!((array.data_type(), array.len(), array.null_count()), (&data_type, 100, 100));
        }
        assert_eq!(zeros(ROW_GROUP_ROWS * 17).len(), ROW_GROUP_ROWS * 17);
    }
}
