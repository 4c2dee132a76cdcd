//! One column of one row group, as it is handed to the executor.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryViewArray, BooleanArray, PrimitiveArray, StringViewArray,
    UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, MutableBuffer, NullBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType,
};

use crate::ROW_GROUP_ROWS;

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

/// One column of one row group. Fixed-width values, codes, bitmaps and string bytes lie in the memory map of the shard;
/// the arrays keep it alive.
#[derive(Clone, Debug)]
pub enum ColumnChunk {
    /// An array of the column's type. Slots that are NULL hold 0 (an empty string).
    Array(ArrayRef),
    /// Text as codes. Either every chunk of a column that is not all NULL is of this kind, or none is.
    Dictionary {
        /// Index into `dictionary` per row, always in range; slots that are NULL hold 0.
        codes: UInt32Array,
        /// The different values of the column in the whole shard, without NULL, sorted by their bytes and never empty:
        /// codes of one shard compare as the strings do.
        dictionary: Arc<StringViewArray>,
    },
}

impl ColumnChunk {
    /// The chunk as an array of the column's type; dictionary codes become a Utf8View array that shares the bytes of
    /// the dictionary.
    ///
    /// # Panics
    /// When codes are out of range, which they are not in a chunk that was read from a shard.
    pub fn into_array(self) -> ArrayRef {
        match self {
            Self::Array(array) => array,
            #[expect(
                clippy::expect_used,
                reason = "codes are compared with the dictionary when they are read"
            )]
            Self::Dictionary { codes, dictionary } => {
                take(&*dictionary, &codes, None).expect("codes point into their dictionary")
            }
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Array(array) => array.len(),
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
            Self::Dictionary { codes, .. } => codes.nulls(),
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

fn primitive<T: ArrowPrimitiveType>(
    data_type: &DataType,
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> ArrayRef {
    let values = ScalarBuffer::<T::Native>::new(values, 0, rows);
    Arc::new(PrimitiveArray::<T>::new(values, nulls).with_data_type(data_type.clone()))
}

/// An array of `rows` NULLs whose slots hold 0; `None` for types that are not stored.
pub(crate) fn null_array(data_type: &DataType, rows: usize) -> Option<ArrayRef> {
    match data_type {
        DataType::Utf8View => Some(Arc::new(StringViewArray::new_null(rows))),
        DataType::BinaryView => Some(Arc::new(BinaryViewArray::new_null(rows))),
        _ => {
            // A bitmap needs less than a byte per row.
            let bytes = rows * data_type.primitive_width().unwrap_or(1);
            fixed_width_array(data_type, zeros(bytes), rows, Some(NullBuffer::new_null(rows)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionary_chunks_become_text() {
        let dictionary = Arc::new(StringViewArray::from(vec!["", "a text of more than 12 bytes"]));
        let codes = UInt32Array::from(vec![Some(1), None, Some(0)]);
        let chunk = ColumnChunk::Dictionary { codes, dictionary };
        assert_eq!((chunk.len(), chunk.is_empty()), (3, false));
        let expected = StringViewArray::from(vec![Some("a text of more than 12 bytes"), None, Some("")]);
        assert_eq!(&chunk.into_array(), &(Arc::new(expected) as ArrayRef));
    }

    #[test]
    fn null_arrays_are_shared_zeros() {
        for data_type in [DataType::Boolean, DataType::Decimal128(3, 1), DataType::Utf8View] {
            let array = null_array(&data_type, 100).unwrap();
            assert_eq!((array.data_type(), array.len(), array.null_count()), (&data_type, 100, 100));
        }
        assert!(null_array(&DataType::Null, 1).is_none());
        assert_eq!(zeros(ROW_GROUP_ROWS * 17).len(), ROW_GROUP_ROWS * 17);
    }
}
