//! What `Shard::verify` knows about the values of a chunk beyond its checksums.

use arrow::array::{Array, AsArray, StringViewArray, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use crate::{Bound, ColumnChunk, ZoneMap};

/// The zone map that the values of a chunk have.
pub(crate) fn zone_map_of(chunk: &ColumnChunk) -> ZoneMap {
    match chunk {
        ColumnChunk::Dictionary { codes, dictionary } => {
            let codes = codes.slice(0, codes.len());
            ZoneMap::new(codes.len() as u64, codes.null_count() as u64, 0, code_bounds(&codes, dictionary))
        }
        chunk => ZoneMap::gather(&chunk.slice(0, chunk.len())),
    }
}

/// Bounds of texts by their codes in a sorted dictionary.
fn code_bounds(codes: &UInt32Array, dictionary: &StringViewArray) -> Option<(Bound, Bound)> {
    let min = codes.iter().flatten().min()? as usize;
    let max = codes.iter().flatten().max()? as usize;
    let is_inside = max < dictionary.len();
    is_inside.then(|| Bound::of_text(dictionary.value(min), dictionary.value(max)))?
}

/// Whether the slots that are NULL hold 0, as readers may rely on.
pub(crate) fn nulls_are_zero(chunk: &ColumnChunk) -> bool {
    let Some(nulls) = chunk.nulls() else {
        return true;
    };
    match chunk {
        ColumnChunk::Dictionary { codes, .. } => {
            let codes = codes.slice(0, codes.len());
            zero_where_null(codes.values().iter().map(|code| *code == 0), nulls)
        }
        chunk => array_nulls_are_zero(&chunk.slice(0, chunk.len()), nulls),
    }
}

fn array_nulls_are_zero(array: &dyn Array, nulls: &NullBuffer) -> bool {
    match array.data_type() {
        DataType::Boolean => zero_where_null(array.as_boolean().values().iter().map(|bit| !bit), nulls),
        DataType::Utf8View => {
            zero_where_null(array.as_string_view().views().iter().map(|view| *view == 0), nulls)
        }
        DataType::BinaryView => {
            zero_where_null(array.as_binary_view().views().iter().map(|view| *view == 0), nulls)
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            zero_where_null((0..lists.len()).map(|row| lists.value_length(row) == 0), nulls)
        }
        // The fields of a structure that is NULL are NULL, and checked as such where they are columns.
        DataType::Struct(_) => true,
        data_type => {
            let data = array.to_data();
            let width = data_type.primitive_width().unwrap_or(1);
            let Some(values) = data.buffers().first() else {
                return false;
            };
            zero_where_null(
                values.chunks_exact(width).map(|value| value.iter().all(|byte| *byte == 0)),
                nulls,
            )
        }
    }
}

fn zero_where_null(is_zero: impl Iterator<Item = bool>, nulls: &NullBuffer) -> bool {
    is_zero.zip(nulls.iter()).all(|(is_zero, is_valid)| is_zero || is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Codes;
    use arrow::array::{ArrayRef, Int32Array};
    use std::sync::Arc;

    #[test]
    fn values_under_null_are_seen() {
        let nulls = NullBuffer::from(vec![true, false]);
        let chunk = |values: Vec<i32>| {
            ColumnChunk::Array(Arc::new(Int32Array::new(values.into(), Some(nulls.clone()))) as ArrayRef)
        };
        assert!(nulls_are_zero(&chunk(vec![5, 0])));
        assert!(!nulls_are_zero(&chunk(vec![5, 1])));
        let codes = |values: Vec<u32>| ColumnChunk::Dictionary {
            codes: Codes::from(UInt32Array::new(values.into(), Some(nulls.clone()))),
            dictionary: Arc::new(StringViewArray::from(vec!["a", "b"])),
        };
        assert!(nulls_are_zero(&codes(vec![1, 0])));
        assert!(!nulls_are_zero(&codes(vec![0, 1])));
    }

    #[test]
    fn dictionary_zone_maps_are_those_of_the_texts() {
        let dictionary = Arc::new(StringViewArray::from(vec!["a", "b", "c"]));
        for codes in [vec![Some(1), None, Some(2)], vec![Some(0)], vec![None]] {
            let chunk = ColumnChunk::Dictionary {
                codes: Codes::from(UInt32Array::from(codes)),
                dictionary: Arc::clone(&dictionary),
            };
            assert_eq!(zone_map_of(&chunk), ZoneMap::gather(&chunk.into_array()));
        }
    }
}
