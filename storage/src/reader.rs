//! An open shard.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::types::{BinaryViewType, ByteViewType, StringViewType};
use arrow::array::{Array, ArrayRef, GenericByteViewArray, StringViewArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, SchemaRef};

use crate::checked_set::CheckedSet;
use crate::chunk::{fixed_width_array, null_array};
use crate::footer::{ChunkMeta, DictionaryMeta, Layout, ShardFooter};
use crate::format::{HEADER_BYTES, parse_header, parse_trailer};
use crate::mmap::{MappedStrings, map_file};
use crate::segment::SegmentLocation;
use crate::{ColumnChunk, ColumnSummary, Encoding, Result, ShardId, ShardIdentity, StorageError, ZoneMap};

/// An open, immutable, memory-mapped shard file. Any number of threads may read it at once.
///
/// Opening checks header and footer. A chunk is checked when it is read for the first time: the checksums of its
/// segments, and what checksums do not promise (codes inside the dictionary, offsets in order, UTF-8). Whatever is
/// damaged is an error, never a wrong value.
pub struct Shard {
    file: Buffer,
    path: PathBuf,
    footer: ShardFooter,
    footer_range: Range<usize>,
    checksum: u32,
    summaries: Vec<ColumnSummary>,
    checked: CheckedSet,
    /// One per column.
    dictionaries: Box<[OnceLock<Arc<StringViewArray>>]>,
    /// One per chunk, as the footer orders them.
    texts: Box<[CheckedStrings<StringViewType>]>,
    /// One per chunk, as the footer orders them.
    binaries: Box<[CheckedStrings<BinaryViewType>]>,
}

/// Strings of a chunk from its first reading on.
type CheckedStrings<T> = OnceLock<Box<MappedStrings<T>>>;

/// Whether chunks that were checked before are checked again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Once,
    Always,
}

impl Shard {
    /// Maps the file of a shard and checks header and footer.
    pub(crate) fn open(path: &Path, shard: ShardId) -> Result<Self> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => StorageError::NotFound { shard },
            _ => StorageError::io(path, source),
        };
        let file = File::open(path).map_err(fail)?;
        // An empty file has no map.
        let is_empty = file.metadata().map_err(fail)?.len() == 0;
        let file = if is_empty { Buffer::default() } else { map_file(&file).map_err(fail)? };
        Self::parse(file, path, shard).map_err(|error| corrupt(shard, None, error))
    }

    /// A shard whose bytes are in memory; their start is aligned as Arrow's own buffers are.
    pub(crate) fn of_image(image: Buffer) -> Result<Self> {
        let shard = parse_header(&image)?.0;
        Self::parse(image, Path::new("memory"), shard).map_err(|error| corrupt(shard, None, error))
    }

    /// All bytes of the file, unchecked.
    pub fn file_bytes(&self) -> &[u8] {
        &self.file
    }

    /// Reads header and footer of the mapped `file`; malformed ones are not yet said to be corrupt.
    fn parse(file: Buffer, path: &Path, shard: ShardId) -> Result<Self> {
        let (header_shard, header_table) = parse_header(&file)?;
        let bytes = parse_trailer(&file)?;
        let footer = ShardFooter::parse(bytes.bytes, bytes.offset)?;
        let identity = &footer.identity;
        if (header_shard, header_table) != (identity.shard, identity.table) || shard != identity.shard {
            return Err(StorageError::Malformed {
                what: format!(
                    "the header is of shard {header_shard} of table {header_table}, the footer of shard {} of table {}",
                    identity.shard, identity.table
                ),
            });
        }
        let footer_start = usize::try_from(bytes.offset).unwrap_or(usize::MAX);
        let footer_range = footer_start..footer_start.saturating_add(bytes.bytes.len());
        let checksum = bytes.crc32;
        Ok(Self {
            footer_range,
            checksum,
            path: path.to_path_buf(),
            summaries: footer.summaries(),
            checked: CheckedSet::new(footer.chunks.len()),
            dictionaries: footer.dictionaries.iter().map(|_| OnceLock::new()).collect(),
            texts: footer.chunks.iter().map(|_| OnceLock::new()).collect(),
            binaries: footer.chunks.iter().map(|_| OnceLock::new()).collect(),
            footer,
            file,
        })
    }

    /// Which shard of which table this is.
    pub fn identity(&self) -> &ShardIdentity {
        &self.footer.identity
    }

    /// The columns, with the metadata of schema and fields.
    pub fn schema(&self) -> &SchemaRef {
        &self.footer.schema
    }

    /// Rows of the shard, at most `u32::MAX`.
    pub fn row_count(&self) -> u64 {
        self.footer.row_count
    }

    /// Row groups of the shard. All but the last have [`ROW_GROUP_ROWS`](crate::ROW_GROUP_ROWS) rows, and none is empty.
    pub fn row_group_count(&self) -> usize {
        self.footer.row_group_count()
    }

    /// Rows of a row group; 0 for those that do not exist.
    pub fn row_group_rows(&self, row_group: usize) -> usize {
        self.footer.row_group_rows(row_group)
    }

    /// What is known about a chunk without reading it.
    ///
    /// # Panics
    /// When the row group or the column does not exist.
    pub fn zone_map(&self, row_group: usize, column: usize) -> &ZoneMap {
        &self.chunk(row_group, column).1.zone_map
    }

    /// What is known about a column without reading it.
    ///
    /// # Panics
    /// When the column does not exist.
    #[expect(clippy::indexing_slicing, reason = "documented to panic, as indexing does")]
    pub fn summary(&self, column: usize) -> &ColumnSummary {
        &self.summaries[column]
    }

    /// What is known about each column without reading it.
    pub fn summaries(&self) -> &[ColumnSummary] {
        &self.summaries
    }

    /// How a chunk is laid out.
    ///
    /// # Panics
    /// When the row group or the column does not exist.
    pub fn encoding(&self, row_group: usize, column: usize) -> Encoding {
        self.chunk(row_group, column).1.layout.encoding()
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Bytes of a column's segments, its dictionary among them.
    pub fn column_bytes(&self, column: usize) -> u64 {
        let dictionary = self.footer.dictionaries.get(column).and_then(Option::as_ref);
        let dictionary = dictionary.map_or(0, |meta| meta.offsets.bytes + meta.bytes.bytes);
        let columns = self.footer.dictionaries.len().max(1);
        let chunks = self.footer.chunks.iter().skip(column).step_by(columns);
        dictionary + chunks.map(ChunkMeta::bytes).sum::<u64>()
    }

    /// Checksum of the footer, which holds the checksums of all else: equal in copies of the same shard.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a chunk: all rows of the row group. Nothing of fixed width is copied; strings without a dictionary get 16
    /// new bytes per row.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the bytes on disk are not what was written.
    ///
    /// # Panics
    /// When the row group or the column does not exist.
    pub fn column(&self, row_group: usize, column: usize) -> Result<ColumnChunk> {
        self.read(row_group, column, Check::Once)
    }

    /// The dictionary of a column: its different values without NULL, sorted by their bytes; `None` when the column has
    /// none.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the bytes on disk are not what was written.
    ///
    /// # Panics
    /// When the column does not exist.
    #[expect(clippy::indexing_slicing, reason = "documented to panic, as indexing does")]
    pub fn dictionary(&self, column: usize) -> Result<Option<Arc<StringViewArray>>> {
        let Some(meta) = &self.footer.dictionaries[column] else {
            return Ok(None);
        };
        let cell = &self.dictionaries[column];
        if let Some(dictionary) = cell.get() {
            return Ok(Some(Arc::clone(dictionary)));
        }
        let dictionary = self.read_dictionary(meta).map_err(|error| self.corrupt_column(column, error))?;
        Ok(Some(Arc::clone(cell.get_or_init(|| Arc::new(dictionary)))))
    }

    /// Checks the whole file, whatever was checked before: all checksums, every chunk as when it is first read, zone
    /// maps and zeros under NULLs against the values, and that the gaps between segments are zero.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] for the first damage found.
    pub fn verify(&self) -> Result<()> {
        self.damages().next().map_or(Ok(()), Err)
    }

    /// As [`Self::verify`], but tells the first damage outside of the columns and the first one in each.
    pub fn damages(&self) -> impl Iterator<Item = StorageError> {
        let columns = 0..self.footer.dictionaries.len();
        let columns = columns.filter_map(|column| self.verify_column(column).err());
        std::iter::once_with(|| self.verify_frame().err()).flatten().chain(columns)
    }

    fn verify_frame(&self) -> Result<()> {
        parse_header(&self.file)
            .and_then(|_| parse_trailer(&self.file).map(|_| ()))
            .and_then(|()| self.check_gaps())
            .map_err(|error| corrupt(self.identity().shard, None, error))
    }

    fn verify_column(&self, column: usize) -> Result<()> {
        if let Some(Some(meta)) = self.footer.dictionaries.get(column) {
            self.read_dictionary(meta).map_err(|error| self.corrupt_column(column, error))?;
        }
        for row_group in 0..self.row_group_count() {
            let chunk = self.read(row_group, column, Check::Always)?;
            let found = crate::verify::zone_map_of(&chunk);
            let what = if found != *self.zone_map(row_group, column) {
                "zone map does not match the values"
            } else if !crate::verify::nulls_are_zero(&chunk) {
                "a value under NULL is not zero"
            } else {
                continue;
            };
            let what = format!("row group {row_group}: {what}");
            return Err(self.corrupt_column(column, StorageError::Malformed { what }));
        }
        Ok(())
    }

    /// Number of a chunk and the chunk.
    #[expect(clippy::indexing_slicing, reason = "callers are documented to panic, as indexing does")]
    fn chunk(&self, row_group: usize, column: usize) -> (usize, &ChunkMeta) {
        let columns = self.footer.dictionaries.len();
        assert!(column < columns, "column {column} of {columns}");
        let number = row_group * columns + column;
        (number, &self.footer.chunks[number])
    }

    fn read(&self, row_group: usize, column: usize, check: Check) -> Result<ColumnChunk> {
        let (number, chunk) = self.chunk(row_group, column);
        // The dictionary names its own errors.
        let dictionary = match chunk.layout {
            Layout::Dictionary { .. } => self.dictionary(column)?,
            _ => None,
        };
        let is_checked = check == Check::Once && self.checked.contains(number);
        let rows = self.row_group_rows(row_group);
        let data_type = self.footer.schema.field(column).data_type();
        let read =
            self.read_chunk(number, chunk, dictionary, rows, data_type, is_checked).map_err(|what| {
                let what = format!("row group {row_group}: {what}");
                self.corrupt_column(column, StorageError::Malformed { what })
            })?;
        if !is_checked {
            self.checked.insert(number);
        }
        Ok(read)
    }

    fn read_chunk(
        &self,
        number: usize,
        chunk: &ChunkMeta,
        dictionary: Option<Arc<StringViewArray>>,
        rows: usize,
        data_type: &DataType,
        is_checked: bool,
    ) -> Result<ColumnChunk, String> {
        let segment = |location, what| self.segment(location, what, is_checked);
        let nulls = match chunk.validity {
            Some(location) => {
                let nulls = NullBuffer::new(BooleanBuffer::new(segment(location, "null bitmap")?, 0, rows));
                if nulls.null_count() as u64 != chunk.zone_map.null_count {
                    return Err(format!("{} rows are NULL", nulls.null_count()));
                }
                Some(nulls)
            }
            None => None,
        };
        let unexpected = || format!("values of type {data_type}");
        let array: ArrayRef = match &chunk.layout {
            Layout::AllNull => null_array(data_type, rows).ok_or_else(unexpected)?,
            Layout::Plain { values } | Layout::Bits { values } => {
                let values = segment(*values, "values")?;
                fixed_width_array(data_type, values, rows, nulls).ok_or_else(unexpected)?
            }
            Layout::Dictionary { codes } => {
                let codes = ScalarBuffer::<u32>::new(segment(*codes, "codes")?, 0, rows);
                let dictionary = dictionary.ok_or_else(|| "codes have no dictionary".to_owned())?;
                let entries = dictionary.len();
                if !is_checked && codes.iter().any(|code| *code as usize >= entries) {
                    return Err(format!("a code is beyond the {entries} values of the dictionary"));
                }
                return Ok(ColumnChunk::Dictionary { codes: UInt32Array::new(codes, nulls), dictionary });
            }
            Layout::Strings { offsets, bytes } => {
                let locations = [*offsets, *bytes];
                if *data_type == DataType::Utf8View {
                    Arc::new(self.strings(self.texts.get(number), locations, rows, nulls, is_checked)?)
                } else {
                    Arc::new(self.strings(self.binaries.get(number), locations, rows, nulls, is_checked)?)
                }
            }
        };
        Ok(ColumnChunk::Array(array))
    }

    /// Strings of a chunk, checked unless `cell` has them already.
    fn strings<T: ByteViewType>(
        &self,
        cell: Option<&CheckedStrings<T>>,
        locations: [SegmentLocation; 2],
        rows: usize,
        nulls: Option<NullBuffer>,
        is_checked: bool,
    ) -> Result<GenericByteViewArray<T>, String> {
        if is_checked && let Some(strings) = cell.and_then(OnceLock::get) {
            return Ok(strings.array(nulls));
        }
        let strings = self.check_strings(locations, rows)?;
        let array = strings.array(nulls);
        if let Some(cell) = cell {
            cell.get_or_init(|| Box::new(strings));
        }
        Ok(array)
    }

    fn check_strings<T: ByteViewType>(
        &self,
        [offsets, bytes]: [SegmentLocation; 2],
        count: usize,
    ) -> Result<MappedStrings<T>, String> {
        let offsets = self.segment(offsets, "offsets", false)?;
        let bytes = self.segment(bytes, "strings", false)?;
        MappedStrings::check(offsets, bytes, count)
    }

    fn read_dictionary(&self, meta: &DictionaryMeta) -> Result<StringViewArray> {
        let malformed = |what| StorageError::Malformed { what: format!("dictionary: {what}") };
        let strings = self
            .check_strings::<StringViewType>([meta.offsets, meta.bytes], meta.entries as usize)
            .map_err(malformed)?;
        let dictionary = strings.array(None);
        if dictionary.iter().zip(dictionary.iter().skip(1)).any(|(value, next)| value >= next) {
            return Err(malformed("values are not sorted".to_owned()));
        }
        Ok(dictionary)
    }

    /// The bytes of a segment, compared with their checksum unless that has been done.
    fn segment(&self, location: SegmentLocation, what: &str, is_checked: bool) -> Result<Buffer, String> {
        let slice = usize::try_from(location.offset).ok().zip(usize::try_from(location.bytes).ok());
        let (offset, bytes) = slice
            .filter(|(offset, bytes)| offset.checked_add(*bytes).is_some_and(|end| end <= self.file.len()))
            .ok_or_else(|| format!("{what} at {} lie outside the file", location.offset))?;
        let segment = self.file.slice_with_length(offset, bytes);
        if !is_checked && crc32fast::hash(&segment) != location.crc32 {
            return Err(format!("checksum of the {what} at {offset} does not match"));
        }
        Ok(segment)
    }

    /// Checks that there is nothing but zeros between header, segments and footer.
    fn check_gaps(&self) -> Result<()> {
        let data_end = self.footer_range.start as u64;
        let mut gap_start = HEADER_BYTES as u64;
        let segments = self.footer.segments().into_iter().map(|segment| (segment.offset, segment.end()));
        for (gap_end, next_start) in segments.chain([(data_end, data_end)]) {
            let gap = usize::try_from(gap_start).ok().zip(usize::try_from(gap_end).ok());
            let gap = gap.and_then(|(start, end)| self.file.get(start..end)).unwrap_or_default();
            if gap.iter().any(|byte| *byte != 0) {
                let what = format!("bytes between segments at {gap_start} are not zero");
                return Err(StorageError::Malformed { what });
            }
            gap_start = next_start;
        }
        Ok(())
    }

    fn corrupt_column(&self, column: usize, error: StorageError) -> StorageError {
        let name = self.footer.schema.fields.get(column).map(|field| field.name().clone());
        corrupt(self.identity().shard, name, error)
    }
}

/// Malformed bytes in a file are corruption; other errors stay what they are.
fn corrupt(shard: ShardId, column: Option<String>, error: StorageError) -> StorageError {
    match error {
        StorageError::Malformed { what } => StorageError::Corrupt { shard, column, what },
        other => other,
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Shard")
            .field("identity", self.identity())
            .field("row_count", &self.row_count())
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
