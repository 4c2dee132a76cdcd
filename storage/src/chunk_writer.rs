//! Picks the encoding of the values of a chunk and writes them.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    ArrowNativeType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, IntervalMonthDayNanoType, Time64MicrosecondType, TimestampMicrosecondType, ToByteSlice,
};
use arrow::error::ArrowError;

use crate::layout::{ChunkMeta, LIST_ELEMENTS_MAX, Layout, UNSTORED_ROWS_MAX};
use crate::packed::{PackPlan, PackedInt};
use crate::physical::nulled;
use crate::scaled::{DecimalFloat, ScaledFloats};
use crate::segment::{SegmentLocation, SegmentWriter};
use crate::string_writer::write_strings;
use crate::{Result, ShardId, StorageError, ZoneMap};

/// Where chunks are written, and what their errors name.
pub(crate) struct ChunkWriter<'a> {
    pub(crate) shard: ShardId,
    pub(crate) column: &'a str,
    pub(crate) file: &'a mut SegmentWriter,
}

/// Percent of the plain bytes that packed integers may have; unpacking is as fast as a copy, but not for nothing.
const PACKED_PERCENT_MAX: usize = 95;

impl ChunkWriter<'_> {
    /// Writes `values`, anything but codes. Of a structure that is a `column` only which rows are NULL is written.
    pub(crate) fn write(&mut self, values: &ArrayRef, is_column: bool) -> Result<ChunkMeta> {
        let zone_map = ZoneMap::gather(values);
        let rows = values.len();
        if values.null_count() == rows && rows > 0 && rows <= UNSTORED_ROWS_MAX {
            return Ok(ChunkMeta { layout: Layout::AllNull, validity: None, zone_map });
        }
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        let layout = match values.data_type() {
            DataType::Boolean => self.write_bits(values.as_boolean().values(), nulls)?,
            DataType::Int16 => self.write_ints::<Int16Type>(values.as_primitive())?,
            DataType::Int32 => self.write_ints::<Int32Type>(values.as_primitive())?,
            DataType::Date32 => self.write_ints::<Date32Type>(values.as_primitive())?,
            DataType::Int64 => self.write_ints::<Int64Type>(values.as_primitive())?,
            DataType::Time64(_) => self.write_ints::<Time64MicrosecondType>(values.as_primitive())?,
            DataType::Timestamp(_, _) => {
                self.write_ints::<TimestampMicrosecondType>(values.as_primitive())?
            }
            DataType::Decimal128(_, _) => self.write_decimals(values.as_primitive())?,
            DataType::Float32 => self.write_floats::<Float32Type>(values.as_primitive())?,
            DataType::Float64 => self.write_floats::<Float64Type>(values.as_primitive())?,
            DataType::Interval(_) => {
                let dense = dense::<IntervalMonthDayNanoType>(values.as_primitive());
                match self.write_repeated(&dense)? {
                    Some(layout) => layout,
                    None => self.write_plain::<IntervalMonthDayNanoType>(values.as_primitive())?,
                }
            }
            DataType::Utf8View => {
                let texts = values.as_string_view();
                Layout::Strings(write_strings(
                    || texts.iter().map(|text| text.unwrap_or_default().as_bytes()),
                    self,
                )?)
            }
            DataType::BinaryView => {
                let binaries = values.as_binary_view();
                Layout::Strings(write_strings(|| binaries.iter().map(Option::unwrap_or_default), self)?)
            }
            DataType::List(_) => self.write_lists(values)?,
            DataType::Struct(_) => {
                let mut children = Vec::new();
                let structure = values.as_struct();
                for child in structure.columns().iter().filter(|_| !is_column) {
                    let child =
                        nulled(child, structure.nulls()).map_err(|source| self.convert_error(source))?;
                    children.push(self.write(&child, false)?);
                }
                Layout::Struct { children }
            }
            data_type => {
                return Err(StorageError::UnsupportedType {
                    column: self.column.to_owned(),
                    data_type: data_type.clone(),
                });
            }
        };
        Ok(ChunkMeta { layout, validity: self.write_validity(nulls)?, zone_map })
    }

    /// Writes a bit per row, set where it is not NULL, if some rows are.
    pub(crate) fn write_validity(&mut self, nulls: Option<&NullBuffer>) -> Result<Option<SegmentLocation>> {
        nulls.map(|nulls| self.file.write(&packed_bits(nulls.inner()))).transpose()
    }

    fn write_bits(&mut self, bits: &BooleanBuffer, nulls: Option<&NullBuffer>) -> Result<Layout> {
        let bits = match nulls {
            Some(nulls) => &(bits & nulls.inner()),
            None => bits,
        };
        let set = bits.count_set_bits();
        let valid = bits.len() - nulls.map_or(0, NullBuffer::null_count);
        if (set == 0 || set == valid) && (1..=UNSTORED_ROWS_MAX).contains(&bits.len()) {
            return Ok(Layout::Constant { value: self.file.write(&[u8::from(set > 0)])? });
        }
        Ok(Layout::Bits { values: self.file.write(&packed_bits(bits))? })
    }

    fn write_ints<T>(&mut self, values: &PrimitiveArray<T>) -> Result<Layout>
    where
        T: ArrowPrimitiveType,
        T::Native: PackedInt,
    {
        let dense = dense(values);
        if let Some(layout) = self.write_repeated(&dense)? {
            return Ok(layout);
        }
        match self.write_packed(&dense, size_of_val(&*dense))? {
            Some(layout) => Ok(layout),
            None => self.write_plain(values),
        }
    }

    fn write_decimals(&mut self, values: &PrimitiveArray<Decimal128Type>) -> Result<Layout> {
        let dense = dense(values);
        if let Some(layout) = self.write_repeated(&dense)? {
            return Ok(layout);
        }
        let narrow: Result<Vec<i64>, _> = dense.iter().map(|value| i64::try_from(*value)).collect();
        let packed = match narrow {
            Ok(narrow) => self.write_packed(&narrow, size_of_val(&*dense))?,
            Err(_) => None,
        };
        match packed {
            Some(layout) => Ok(layout),
            None => self.write_plain(values),
        }
    }

    /// Packs integers if that is smaller than `plain_bytes`.
    fn write_packed<I: PackedInt>(&mut self, values: &[I], plain_bytes: usize) -> Result<Option<Layout>> {
        let plan = PackPlan::new(values);
        if values.is_empty() || plan.bytes() * 100 > plain_bytes * PACKED_PERCENT_MAX {
            return Ok(None);
        }
        Ok(Some(Layout::Packed { scale: plan.scale(), values: self.file.write(&plan.pack(values))? }))
    }

    fn write_floats<T>(&mut self, values: &PrimitiveArray<T>) -> Result<Layout>
    where
        T: ArrowPrimitiveType,
        T::Native: DecimalFloat,
    {
        let dense = dense(values);
        if let Some(layout) = self.write_repeated(&dense)? {
            return Ok(layout);
        }
        let Some(scaled) = ScaledFloats::of(&dense, |row| values.is_valid(row)) else {
            return self.write_plain(values);
        };
        let packed = self.file.write(&scaled.plan.pack(&scaled.numerators))?;
        let exceptions = if scaled.exceptions.is_empty() {
            None
        } else {
            let (rows, floats): (Vec<u32>, Vec<T::Native>) = scaled.exceptions.into_iter().unzip();
            let pieces = [floats.as_slice().to_byte_slice(), rows.as_slice().to_byte_slice()];
            Some(self.file.write_pieces(pieces.into_iter())?)
        };
        Ok(Layout::Scaled {
            exponent: scaled.exponent,
            scale: scaled.plan.scale(),
            values: packed,
            exceptions,
        })
    }

    /// Writes values of which there are at most two different ones, by their bytes.
    fn write_repeated<T: ArrowNativeType>(&mut self, values: &[T]) -> Result<Option<Layout>> {
        let width = size_of::<T>();
        let bytes = values.to_byte_slice();
        let Some(first) = bytes.get(..width) else { return Ok(None) };
        let is_first = |value: &[u8]| value == first;
        let Some(second) = bytes.chunks_exact(width).find(|value| !is_first(value)) else {
            if values.len() > UNSTORED_ROWS_MAX {
                return Ok(None);
            }
            return Ok(Some(Layout::Constant { value: self.file.write(first)? }));
        };
        if !bytes.chunks_exact(width).all(|value| is_first(value) || value == second) {
            return Ok(None);
        }
        let bits = BooleanBuffer::collect_bool(values.len(), |row| {
            bytes.get(row * width..(row + 1) * width).is_some_and(|value| value == second)
        });
        // A few rows are shorter as they are.
        if 2 * width + values.len().div_ceil(8) >= bytes.len() {
            return Ok(None);
        }
        let values = self.file.write_pieces([first, second].into_iter())?;
        Ok(Some(Layout::TwoValues { values, bits: self.file.write(&packed_bits(&bits))? }))
    }

    /// Writes values as they are, 0 where NULL.
    fn write_plain<T: ArrowPrimitiveType>(&mut self, values: &PrimitiveArray<T>) -> Result<Layout> {
        let Some(nulls) = values.nulls().filter(|nulls| nulls.null_count() > 0) else {
            return Ok(Layout::Plain { values: self.file.write(values.values().to_byte_slice())? });
        };
        let mut zeroed = values.values().to_vec();
        for (value, is_valid) in zeroed.iter_mut().zip(nulls.iter()) {
            if !is_valid {
                *value = T::Native::default();
            }
        }
        Ok(Layout::Plain { values: self.file.write(zeroed.as_slice().to_byte_slice())? })
    }

    fn write_lists(&mut self, values: &ArrayRef) -> Result<Layout> {
        let lists = values.as_list::<i32>();
        let is_valid = |row: usize| lists.is_valid(row);
        let lengths: Vec<u32> = (0..lists.len())
            .map(|row| if is_valid(row) { u32::try_from(lists.value_length(row)).unwrap_or(0) } else { 0 })
            .collect();
        let elements: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
        if elements > LIST_ELEMENTS_MAX {
            let what = format!("the arrays of column \"{}\" have {elements} elements", self.column);
            return Err(StorageError::LimitExceeded { shard: self.shard, what });
        }
        let offsets = lists.value_offsets();
        let start = offsets.first().map_or(0, |offset| offset.as_usize());
        let end = offsets.last().map_or(0, |offset| offset.as_usize());
        let child = if (end - start) as u64 == elements {
            lists.values().slice(start, end - start)
        } else {
            // What lies under NULL is left out.
            let kept = (0..lists.len()).filter(|row| is_valid(*row)).flat_map(|row| {
                let start = offsets.get(row).map_or(0, |offset| *offset);
                start..start + lists.value_length(row)
            });
            let indices: PrimitiveArray<Int32Type> = kept.collect();
            take(lists.values(), &indices, None).map_err(|source| self.convert_error(source))?
        };
        let lengths = self.write_u32(&lengths)?;
        let child = Box::new(self.write(&child, false)?);
        Ok(Layout::List { elements, lengths, child })
    }

    /// Writes codes or lengths, packed whether that is shorter or not.
    pub(crate) fn write_u32(&mut self, values: &[u32]) -> Result<SegmentLocation> {
        self.file.write(&PackPlan::new(values).pack(values))
    }

    pub(crate) fn convert_error(&self, source: ArrowError) -> StorageError {
        StorageError::Convert { column: self.column.to_owned(), source }
    }
}

/// The values, with the last one before it in the place of each NULL (the first one of all where there is none): so
/// NULLs neither widen a range nor add a value.
fn dense<T: ArrowPrimitiveType>(values: &PrimitiveArray<T>) -> std::borrow::Cow<'_, [T::Native]> {
    let plain: &[T::Native] = values.values();
    let Some(nulls) = values.nulls().filter(|nulls| nulls.null_count() > 0) else {
        return plain.into();
    };
    let first = nulls.valid_indices().next().and_then(|row| plain.get(row).copied());
    let mut last = first.unwrap_or_default();
    let fill = |(value, is_valid): (&T::Native, bool)| {
        last = if is_valid { *value } else { last };
        last
    };
    plain.iter().zip(nulls.iter()).map(fill).collect()
}

/// Bits from the lowest of the first byte on, 0 after the last.
pub(crate) fn packed_bits(bits: &BooleanBuffer) -> Vec<u8> {
    let mut bytes = bits.sliced().to_vec();
    bytes.truncate(bits.len().div_ceil(8));
    let used = bits.len() % 8;
    if used > 0
        && let Some(last) = bytes.last_mut()
    {
        *last &= (1 << used) - 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_packed_from_any_offset_and_end_in_zeros() {
        let bits = BooleanBuffer::from(vec![true; 40]);
        for offset in 0..20 {
            assert_eq!(packed_bits(&bits.slice(offset, 11)), [0xff, 0b111]);
        }
        assert_eq!(packed_bits(&bits.slice(3, 16)), [0xff, 0xff]);
        assert!(packed_bits(&bits.slice(3, 0)).is_empty());
    }

    #[test]
    fn nulls_take_the_value_before_them() {
        let values = PrimitiveArray::<Int32Type>::from(vec![None, Some(5), None, Some(-1), None]);
        assert_eq!(*dense(&values), [5, 5, 5, -1, -1]);
    }
}
