//! Encodes the values of one column of the file, row group by row group.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat;
use arrow::datatypes::DataType;

use crate::chunk_writer::ChunkWriter;
use crate::dictionary::{Coded, DictionaryBuilder};
use crate::footer::DictionaryMeta;
use crate::layout::{ChunkMeta, Layout};
use crate::segment::SegmentWriter;
use crate::string_writer::write_strings;
use crate::{Bound, ROW_GROUP_ROWS, Result, ShardId, ZoneMap};

/// Writes one column of the file.
///
/// All but text that has a dictionary is written at the end of each row group. Text begins with a dictionary, whose
/// codes (4 bytes per row) and values stay in memory until the end, since they are sorted then; when there turn out to
/// be too many values, what is there is written as plain strings and the rest likewise.
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
            let mut writer = self.writer(file);
            let chunk = match pending.as_slice() {
                [values] => writer.write(values, true)?,
                several => {
                    let several: Vec<&dyn Array> = several.iter().map(AsRef::as_ref).collect();
                    let values = concat(&several).map_err(|source| writer.convert_error(source))?;
                    writer.write(&values, true)?
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
            let (dictionary, chunks) = write_coded(dictionary, &mut self.writer(file))?;
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
        let coded = dictionary.finish();
        let rows = coded.len();
        let ended = (self.row_groups * ROW_GROUP_ROWS).min(rows);
        for start in (0..ended).step_by(ROW_GROUP_ROWS) {
            let texts: ArrayRef = Arc::new(coded.texts(start, ROW_GROUP_ROWS.min(ended - start)));
            let chunk = self.writer(file).write(&texts, true)?;
            self.chunks.push(chunk);
        }
        if ended < rows {
            self.pending.push(Arc::new(coded.texts(ended, rows - ended)));
        }
        Ok(())
    }

    fn writer<'a>(&'a self, file: &'a mut SegmentWriter) -> ChunkWriter<'a> {
        ChunkWriter { shard: self.shard, column: &self.name, file }
    }
}

/// Sorts a dictionary and writes it and all chunks of its column.
fn write_coded(
    dictionary: DictionaryBuilder,
    writer: &mut ChunkWriter<'_>,
) -> Result<(DictionaryMeta, Vec<ChunkMeta>)> {
    let coded: Coded = dictionary.finish();
    let (sorted, ranks) = coded.sorted();
    let strings = write_strings(|| sorted.iter().map(|value| value.as_bytes()), writer)?;
    // A dictionary has at most `DICTIONARY_VALUES_MAX` values.
    let entries = u32::try_from(sorted.len()).unwrap_or(u32::MAX);
    let rows = coded.len();
    let mut chunks = Vec::with_capacity(rows.div_ceil(ROW_GROUP_ROWS));
    for start in (0..rows).step_by(ROW_GROUP_ROWS) {
        let (codes, nulls) = coded.codes(start, ROW_GROUP_ROWS.min(rows - start));
        let null_count = nulls.as_ref().map_or(0, arrow::buffer::NullBuffer::null_count) as u64;
        let row_count = codes.len() as u64;
        if null_count == row_count {
            let zone_map = ZoneMap::new(row_count, null_count, 0, None);
            chunks.push(ChunkMeta { layout: Layout::AllNull, validity: None, zone_map });
            continue;
        }
        let rank = |code: &u32| ranks.get(*code as usize).copied().unwrap_or_default();
        // As numbers do, NULL takes the code before it; the first ones take the first there is.
        let first = nulls.as_ref().and_then(|nulls| nulls.valid_indices().next()).unwrap_or(0);
        let mut last = codes.get(first).map(rank).unwrap_or_default();
        let stored: Vec<u32> = match &nulls {
            None => codes.iter().map(rank).collect(),
            Some(nulls) => codes
                .iter()
                .zip(nulls.iter())
                .map(|(code, is_valid)| {
                    last = if is_valid { rank(code) } else { last };
                    last
                })
                .collect(),
        };
        let text = |rank: Option<&u32>| sorted.get(*rank? as usize).copied();
        let bounds = text(stored.iter().min()).zip(text(stored.iter().max()));
        let bounds = bounds.and_then(|(min, max)| Bound::of_text(min, max));
        chunks.push(ChunkMeta {
            layout: Layout::PackedDictionary { codes: writer.write_u32(&stored)? },
            validity: writer.write_validity(nulls.as_ref())?,
            zone_map: ZoneMap::new(row_count, null_count, 0, bounds),
        });
    }
    Ok((DictionaryMeta { entries, strings }, chunks))
}
