//! Makes the chunk that its segments are.

use std::sync::Arc;

use arrow::array::types::{BinaryViewType, ByteViewType, StringViewType};
use arrow::array::{
    Array, ArrayRef, GenericByteViewArray, ListArray, StringViewArray, StructArray, UInt32Array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};

use crate::ColumnChunk;
use crate::chunk::{fixed_width_array, null_array};
use crate::codes::Codes;
use crate::layout::{ChunkMeta, Layout, StringSegments};
use crate::mmap::MappedStrings;
use crate::packed::PackedSegment;
use crate::packed_chunk::{Exceptions, PackedChunk, PackedValues};
use crate::repeated::{ConstantChunk, TwoValuesChunk};
use crate::scaled::DecimalFloat;
use crate::segment::SegmentLocation;
use crate::string_writer::decompress;

/// Gives the bytes of segments; the text says what they are, for errors.
pub(crate) trait Segments {
    /// The bytes of a segment.
    fn segment(&self, location: SegmentLocation, what: &str) -> Result<Buffer, String>;

    /// Whether the chunk has been checked before.
    fn is_checked(&self) -> bool;
}

/// Reads a chunk of `rows` values. What is wrong with it is said for people.
pub(crate) fn read_chunk(
    segments: &impl Segments,
    chunk: &ChunkMeta,
    dictionary: Option<Arc<StringViewArray>>,
    rows: usize,
    data_type: &DataType,
) -> Result<ColumnChunk, String> {
    let nulls = read_nulls(segments, chunk, rows)?;
    let unexpected = || format!("values of type {data_type}");
    let fixed = |values: Buffer, rows: usize, nulls: Option<NullBuffer>| {
        fixed_width_array(data_type, values, rows, nulls).ok_or_else(unexpected)
    };
    let array: ArrayRef = match &chunk.layout {
        Layout::AllNull => null_array(data_type, rows),
        Layout::Plain { values } | Layout::Bits { values } => {
            fixed(segments.segment(*values, "values")?, rows, nulls)?
        }
        Layout::Constant { value } => {
            let value = fixed(segments.segment(*value, "value")?, 1, None)?;
            return Ok(ColumnChunk::Constant(ConstantChunk::new(value, rows, nulls)));
        }
        Layout::TwoValues { values, bits } => {
            let values = fixed(segments.segment(*values, "values")?, 2, None)?;
            let bits = BooleanBuffer::new(segments.segment(*bits, "bits")?, 0, rows);
            return Ok(ColumnChunk::TwoValues(TwoValuesChunk::new(values, bits, nulls)));
        }
        Layout::Packed { .. } | Layout::Scaled { .. } => {
            let values = read_packed(segments, &chunk.layout, rows, data_type)?.ok_or_else(unexpected)?;
            return Ok(ColumnChunk::Packed(PackedChunk::new(data_type.clone(), values, nulls)));
        }
        Layout::Dictionary { codes } | Layout::PackedDictionary { codes } => {
            let segment = segments.segment(*codes, "codes")?;
            let codes = if matches!(chunk.layout, Layout::Dictionary { .. }) {
                Codes::from(UInt32Array::new(ScalarBuffer::new(segment, 0, rows), nulls))
            } else {
                Codes::packed(PackedSegment::parse(&segment, rows)?, nulls)
            };
            let dictionary = dictionary.ok_or_else(|| "codes have no dictionary".to_owned())?;
            let entries = dictionary.len();
            if !segments.is_checked() && !codes.are_below(entries) {
                return Err(format!("a code is beyond the {entries} values of the dictionary"));
            }
            return Ok(ColumnChunk::Dictionary { codes, dictionary });
        }
        Layout::Strings(strings) if *data_type == DataType::Utf8View => {
            Arc::new(read_strings::<StringViewType>(segments, strings, rows)?.array(nulls))
        }
        Layout::Strings(strings) => {
            let array: GenericByteViewArray<BinaryViewType> =
                read_strings(segments, strings, rows)?.array(nulls);
            Arc::new(array)
        }
        Layout::List { elements, lengths, child } => {
            let DataType::List(field) = data_type else { return Err(unexpected()) };
            let offsets = read_offsets(segments, *lengths, rows, *elements)?;
            let elements = usize::try_from(*elements).map_err(|_| unexpected())?;
            let values = read_chunk(segments, child, None, elements, field.data_type())?.into_array();
            let list = ListArray::try_new(Arc::clone(field), offsets, values, nulls);
            Arc::new(list.map_err(|error| error.to_string())?)
        }
        Layout::Struct { children } => {
            let DataType::Struct(fields) = data_type else { return Err(unexpected()) };
            if children.len() != fields.len() {
                // A column that is a structure: its fields are columns of their own.
                return Ok(ColumnChunk::Array(Arc::new(StructArray::new_empty_fields(rows, nulls))));
            }
            let mut columns = Vec::with_capacity(children.len());
            for (child, field) in children.iter().zip(fields) {
                columns.push(read_chunk(segments, child, None, rows, field.data_type())?.into_array());
            }
            let structure = StructArray::try_new_with_length(fields.clone(), columns, nulls, rows);
            Arc::new(structure.map_err(|error| error.to_string())?)
        }
    };
    Ok(ColumnChunk::Array(array))
}

fn read_nulls(
    segments: &impl Segments,
    chunk: &ChunkMeta,
    rows: usize,
) -> Result<Option<NullBuffer>, String> {
    let Some(location) = chunk.validity else { return Ok(None) };
    let bits = BooleanBuffer::new(segments.segment(location, "null bitmap")?, 0, rows);
    let nulls = NullBuffer::new(bits);
    if nulls.null_count() as u64 != chunk.zone_map.null_count {
        return Err(format!("{} rows are NULL", nulls.null_count()));
    }
    Ok(Some(nulls))
}

/// Packed values; `None` for types that have none.
fn read_packed(
    segments: &impl Segments,
    layout: &Layout,
    rows: usize,
    data_type: &DataType,
) -> Result<Option<PackedValues>, String> {
    let segment = |location| segments.segment(location, "values");
    Ok(Some(match (layout, data_type) {
        (Layout::Packed { values, .. }, DataType::Int16) => {
            PackedValues::Short(PackedSegment::parse(&segment(*values)?, rows)?)
        }
        (Layout::Packed { values, .. }, DataType::Int32 | DataType::Date32) => {
            PackedValues::Int(PackedSegment::parse(&segment(*values)?, rows)?)
        }
        (Layout::Packed { values, scale }, DataType::Decimal128(_, _)) => {
            PackedValues::Wide { segment: PackedSegment::parse(&segment(*values)?, rows)?, scale: *scale }
        }
        (Layout::Packed { values, scale }, _) if data_type.primitive_width() == Some(8) => {
            PackedValues::Long { segment: PackedSegment::parse(&segment(*values)?, rows)?, scale: *scale }
        }
        (Layout::Scaled { exponent, values, exceptions, .. }, DataType::Float32) => {
            let Some(&divisor) = f32::DIVISORS.get(usize::from(*exponent)) else { return Ok(None) };
            let exceptions = read_exceptions(segments, *exceptions, rows)?;
            PackedValues::Single {
                segment: PackedSegment::parse(&segment(*values)?, rows)?,
                divisor,
                exceptions,
            }
        }
        (Layout::Scaled { exponent, scale, values, exceptions }, DataType::Float64) => {
            let Some(&divisor) = f64::DIVISORS.get(usize::from(*exponent)) else { return Ok(None) };
            let exceptions = read_exceptions(segments, *exceptions, rows)?;
            let segment = PackedSegment::parse(&segment(*values)?, rows)?;
            PackedValues::Double { segment, divisor, scale: *scale, exceptions }
        }
        _ => return Ok(None),
    }))
}

fn read_exceptions<F: ArrowNativeType>(
    segments: &impl Segments,
    exceptions: Option<SegmentLocation>,
    rows: usize,
) -> Result<Exceptions<F>, String> {
    match exceptions {
        Some(location) => Exceptions::parse(&segments.segment(location, "exceptions")?, rows),
        None => Ok(Exceptions::none()),
    }
}

/// Strings, checked.
pub(crate) fn read_strings<T: ByteViewType>(
    segments: &impl Segments,
    strings: &StringSegments,
    count: usize,
) -> Result<MappedStrings<T>, String> {
    match strings {
        StringSegments::Offsets { offsets, bytes } => {
            let offsets = segments.segment(*offsets, "offsets")?;
            MappedStrings::check(offsets, segments.segment(*bytes, "strings")?, count)
        }
        StringSegments::Lengths { lengths, bytes, raw_bytes } => {
            let lengths = PackedSegment::<u32>::parse(&segments.segment(*lengths, "lengths")?, count)?;
            let bytes = segments.segment(*bytes, "strings")?;
            let lengths = lengths.values(0, count);
            let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
            let expected = raw_bytes.unwrap_or(bytes.len() as u64);
            if total != expected {
                return Err(format!("strings of {total} bytes have {expected}"));
            }
            let bytes = match raw_bytes {
                Some(raw_bytes) => Buffer::from_vec(decompress(&bytes, *raw_bytes)?),
                None => bytes,
            };
            MappedStrings::check(offsets_of(&lengths, total), bytes, count)
        }
    }
}

/// Offsets of strings of some lengths, of the width that their `total` needs.
fn offsets_of(lengths: &[u32], total: u64) -> Buffer {
    if u32::try_from(total).is_ok() {
        let mut end = 0_u32;
        let ends = lengths.iter().map(|length| {
            end += length;
            end
        });
        Buffer::from_vec(std::iter::once(0).chain(ends).collect::<Vec<u32>>())
    } else {
        let mut end = 0_u64;
        let ends = lengths.iter().map(|length| {
            end += u64::from(*length);
            end
        });
        Buffer::from_vec(std::iter::once(0).chain(ends).collect::<Vec<u64>>())
    }
}

/// Offsets of lists with `elements` elements in all.
fn read_offsets(
    segments: &impl Segments,
    lengths: SegmentLocation,
    rows: usize,
    elements: u64,
) -> Result<OffsetBuffer<i32>, String> {
    let lengths = PackedSegment::<u32>::parse(&segments.segment(lengths, "lengths")?, rows)?;
    let mut end = 0_u64;
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for length in lengths.values(0, rows) {
        end += u64::from(length);
        // The sum is compared with `elements`, which fit.
        offsets.push(i32::try_from(end).unwrap_or(i32::MAX));
    }
    if end != elements {
        return Err(format!("lists of {end} elements have {elements}"));
    }
    Ok(OffsetBuffer::new(offsets.into()))
}
