//! Encodes the values of one column, row group by row group.

use std::iter;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::dictionary::{Coded, DictionaryBuilder};
use crate::footer::{ChunkMeta, DictionaryMeta, Layout};
use crate::mmap::STRING_BYTES_MAX;
use crate::segment::{SegmentLocation, SegmentWriter};
use crate::{Bound, ROW_GROUP_ROWS, Result, ShardId, StorageError, ZoneMap};

/// Writes one column.
///
/// Fixed-width values, binary and text without dictionary are written at the end of each row group. Text begins with a
/// dictionary, whose codes (4 bytes per row) and values stay in memory until the end, since they are sorted then; when
/// there turn out to be too many values, what is there is written as plain strings and the rest likewise.
pub(crate) struct ColumnWriter {
    shard: ShardId,
    name: String,
    /// Values of the row group that is being collected.
    pending: Vec<ArrayRef>,
    /// Row groups that have ended, with or without a chunk as yet.
    row_groups: usize,
    chunks: Vec<ChunkMeta>,
    dictionary: Option<DictionaryBuilder>,
}

impl ColumnWriter {
    pub(crate) fn new(shard: ShardId, name: String, data_type: &DataType) -> Self {
        let dictionary = (*data_type == DataType::Utf8View).then(DictionaryBuilder::new);
        Self { shard, name, pending: Vec::new(), row_groups: 0, chunks: Vec::new(), dictionary }
    }

    /// Appends values of the column's type, which do not go beyond the end of the row group.
    pub(crate) fn push(&mut self, values: ArrayRef, file: &mut SegmentWriter) -> Result<()> {
        let Some(dictionary) = &mut self.dictionary else {
            self.pending.push(values);
            return Ok(());
        };
        let appended = dictionary.append(values.as_string_view());
        if appended < values.len() {
            self.give_up_dictionary(file)?;
            self.pending.push(values.slice(appended, values.len() - appended));
        }
        Ok(())
    }

    /// Ends the row group.
    pub(crate) fn end_row_group(&mut self, file: &mut SegmentWriter) -> Result<()> {
        self.row_groups += 1;
        if self.dictionary.is_none() {
            let pending = std::mem::take(&mut self.pending);
            let chunk = match pending.as_slice() {
                [values] => self.write_chunk(values, file)?,
                several => {
                    let several: Vec<&dyn Array> = several.iter().map(AsRef::as_ref).collect();
                    let values = concat(&several).map_err(|source| self.convert_error(source))?;
                    self.write_chunk(&values, file)?
                }
            };
            self.chunks.push(chunk);
        }
        Ok(())
    }

    /// Ends the column after the end of its last row group. Returns its chunks in order.
    pub(crate) fn finish(
        mut self,
        file: &mut SegmentWriter,
    ) -> Result<(Option<DictionaryMeta>, Vec<ChunkMeta>)> {
        if let Some(dictionary) = self.dictionary.take_if(|dictionary| dictionary.pays()) {
            let (dictionary, chunks) = write_coded(dictionary, file)?;
            return Ok((Some(dictionary), chunks));
        }
        self.give_up_dictionary(file)?;
        Ok((None, self.chunks))
    }

    /// Writes the row groups that have ended as plain strings and leaves the rest for the end of theirs.
    fn give_up_dictionary(&mut self, file: &mut SegmentWriter) -> Result<()> {
        let Some(dictionary) = self.dictionary.take() else {
            return Ok(());
        };
        let Coded { codes, values } = dictionary.finish();
        let values = StringViewArray::from(&values);
        let texts = |start: usize, end: usize| take(&values, &codes.slice(start, end - start), None);
        let rows = codes.len();
        let ended = (self.row_groups * ROW_GROUP_ROWS).min(rows);
        for start in (0..ended).step_by(ROW_GROUP_ROWS) {
            let end = (start + ROW_GROUP_ROWS).min(ended);
            let texts = texts(start, end).map_err(|source| self.convert_error(source))?;
            let chunk = self.write_chunk(&texts, file)?;
            self.chunks.push(chunk);
        }
        if ended < rows {
            self.pending.push(texts(ended, rows).map_err(|source| self.convert_error(source))?);
        }
        Ok(())
    }

    /// Writes the values of a row group, anything but codes.
    fn write_chunk(&self, values: &dyn Array, file: &mut SegmentWriter) -> Result<ChunkMeta> {
        let zone_map = ZoneMap::gather(values);
        if values.null_count() == values.len() {
            return Ok(ChunkMeta { layout: Layout::AllNull, validity: None, zone_map });
        }
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        let layout = match values.data_type() {
            DataType::Boolean => {
                let bits = values.as_boolean().values();
                let bits = match nulls {
                    Some(nulls) => &(bits & nulls.inner()),
                    None => bits,
                };
                Layout::Bits { values: file.write(&packed_bits(bits))? }
            }
            DataType::Utf8View => {
                let texts: &StringViewArray = values.as_string_view();
                self.write_strings(|| texts.iter().map(|text| text.unwrap_or_default().as_bytes()), file)?
            }
            DataType::BinaryView => {
                let binaries: &BinaryViewArray = values.as_binary_view();
                self.write_strings(|| binaries.iter().map(Option::unwrap_or_default), file)?
            }
            data_type => {
                let width = data_type.primitive_width().ok_or_else(|| StorageError::UnsupportedType {
                    column: self.name.clone(),
                    data_type: data_type.clone(),
                })?;
                Layout::Plain { values: write_fixed_width(values, width, nulls, file)? }
            }
        };
        Ok(ChunkMeta { layout, validity: write_validity(nulls, file)?, zone_map })
    }

    fn write_strings<'a, I: Iterator<Item = &'a [u8]>>(
        &self,
        strings: impl Fn() -> I,
        file: &mut SegmentWriter,
    ) -> Result<Layout> {
        if let Some(string) = strings().find(|string| string.len() > STRING_BYTES_MAX) {
            return Err(StorageError::LimitExceeded {
                shard: self.shard,
                what: format!(
                    "a value of column \"{}\" has {} bytes, more than {STRING_BYTES_MAX}",
                    self.name,
                    string.len()
                ),
            });
        }
        let (offsets, bytes) = write_strings(strings, file)?;
        Ok(Layout::Strings { offsets, bytes })
    }

    fn convert_error(&self, source: ArrowError) -> StorageError {
        StorageError::Convert { column: self.name.clone(), source }
    }
}

/// Sorts a dictionary and writes it and all chunks of its column.
fn write_coded(
    dictionary: DictionaryBuilder,
    file: &mut SegmentWriter,
) -> Result<(DictionaryMeta, Vec<ChunkMeta>)> {
    let coded = dictionary.finish();
    let (sorted, ranks) = coded.sorted();
    let (offsets, bytes) = write_strings(|| sorted.iter().map(|value| value.as_bytes()), file)?;
    // A dictionary has at most `DICTIONARY_VALUES_MAX` values.
    let entries = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let rows = coded.codes.len();
    let mut chunks = Vec::with_capacity(rows.div_ceil(ROW_GROUP_ROWS));
    for start in (0..rows).step_by(ROW_GROUP_ROWS) {
        let chunk = coded.codes.slice(start, ROW_GROUP_ROWS.min(rows - start));
        let (row_count, null_count) = (chunk.len() as u64, chunk.null_count() as u64);
        if null_count == row_count {
            let zone_map = ZoneMap::new(row_count, null_count, 0, None);
            chunks.push(ChunkMeta { layout: Layout::AllNull, validity: None, zone_map });
            continue;
        }
        let rank = |code: u32| ranks.get(code as usize).copied().unwrap_or_default();
        let stored: Vec<u32> = chunk.iter().map(|code| code.map_or(0, rank)).collect();
        let text = |rank: Option<u32>| sorted.get(rank? as usize).copied();
        let min = text(chunk.iter().flatten().map(rank).min());
        let max = text(chunk.iter().flatten().map(rank).max());
        let bounds = min.zip(max).and_then(|(min, max)| Bound::of_text(min, max));
        let nulls = chunk.nulls().filter(|nulls| nulls.null_count() > 0);
        chunks.push(ChunkMeta {
            layout: Layout::Dictionary { codes: file.write(&Buffer::from(stored))? },
            validity: write_validity(nulls, file)?,
            zone_map: ZoneMap::new(row_count, null_count, 0, bounds),
        });
    }
    Ok((DictionaryMeta { entries, offsets, bytes }, chunks))
}

/// Writes the offsets of strings, of 4 bytes each where that is enough and of 8 otherwise, and their bytes.
fn write_strings<'a, I: Iterator<Item = &'a [u8]>>(
    strings: impl Fn() -> I,
    file: &mut SegmentWriter,
) -> Result<(SegmentLocation, SegmentLocation)> {
    let ends = strings().scan(0_u64, |end, string| {
        *end += string.len() as u64;
        Some(*end)
    });
    let wide: Vec<u64> = iter::once(0).chain(ends).collect();
    // All fit when the last one does.
    let narrow: Result<Vec<u32>, _> = wide.iter().map(|offset| u32::try_from(*offset)).collect();
    let offsets = match narrow {
        Ok(narrow) => file.write(&Buffer::from(narrow))?,
        Err(_) => file.write(&Buffer::from(wide))?,
    };
    Ok((offsets, file.write_pieces(strings())?))
}

/// Writes values of `width` bytes, 0 where NULL.
fn write_fixed_width(
    values: &dyn Array,
    width: usize,
    nulls: Option<&NullBuffer>,
    file: &mut SegmentWriter,
) -> Result<SegmentLocation> {
    let data = values.to_data();
    let start = data.offset() * width;
    let bytes = data.buffers().first().and_then(|buffer| buffer.get(start..start + data.len() * width));
    let bytes = bytes.unwrap_or_default();
    let Some(nulls) = nulls else {
        return file.write(bytes);
    };
    let mut zeroed = bytes.to_vec();
    for (value, is_valid) in zeroed.chunks_exact_mut(width).zip(nulls.iter()) {
        if !is_valid {
            value.fill(0);
        }
    }
    file.write(&zeroed)
}

fn write_validity(nulls: Option<&NullBuffer>, file: &mut SegmentWriter) -> Result<Option<SegmentLocation>> {
    nulls.map(|nulls| file.write(&packed_bits(nulls.inner()))).transpose()
}

/// Bits from the lowest of the first byte on, 0 after the last.
fn packed_bits(bits: &BooleanBuffer) -> Vec<u8> {
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
}
