//! An open shard.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::types::StringViewType;
use arrow::array::{ArrayRef, StringViewArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;

use crate::checked_set::CheckedSet;
use crate::chunk_reader::{Segments, read_chunk, read_strings};
use crate::footer::{DictionaryMeta, ShardFooter};
use crate::format::{HEADER_BYTES, parse_header, parse_trailer};
use crate::layout::{ChunkMeta, Layout};
use crate::mmap::{MappedStrings, map_file};
use crate::physical::{PhysicalColumn, assemble};
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
    /// One per column of the file.
    dictionaries: Box<[OnceLock<Arc<StringViewArray>>]>,
}

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
        let (_, shard, _) = parse_header(&image)?;
        Self::parse(image, Path::new("memory"), shard).map_err(|error| corrupt(shard, None, error))
    }

    /// All bytes of the file, unchecked.
    pub fn file_bytes(&self) -> &[u8] {
        &self.file
    }

    /// Reads header and footer of the mapped `file`; malformed ones are not yet said to be corrupt.
    fn parse(file: Buffer, path: &Path, shard: ShardId) -> Result<Self> {
        let (version, header_shard, header_table) = parse_header(&file)?;
        let bytes = parse_trailer(&file)?;
        if bytes.version != version {
            let what =
                format!("the header is of version {version:?}, the footer of version {:?}", bytes.version);
            return Err(StorageError::Malformed { what });
        }
        let footer = ShardFooter::parse(bytes.bytes, bytes.offset, version)?;
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

    /// What is known about a chunk without reading it; of a structure only how many rows are NULL.
    ///
    /// # Panics
    /// When the row group or the column does not exist.
    pub fn zone_map(&self, row_group: usize, column: usize) -> &ZoneMap {
        &self.chunk(row_group, self.footer.physical.root(column)).1.zone_map
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
        self.chunk(row_group, self.footer.physical.root(column)).1.layout.encoding()
    }

    /// Bytes of a column in the file, with its dictionary and, if it is a structure, its fields.
    ///
    /// # Panics
    /// When the column does not exist.
    pub fn column_bytes(&self, column: usize) -> u64 {
        let physical = self.footer.physical.root(column);
        let fields = physical..self.physical_column(physical).end;
        let mut segments = Vec::new();
        for physical in fields {
            let dictionary = self.footer.dictionaries.get(physical).and_then(Option::as_ref);
            segments.extend(dictionary.into_iter().flat_map(|meta| meta.strings.segments()));
            for row_group in 0..self.row_group_count() {
                self.chunk(row_group, physical).1.segments(&mut segments);
            }
        }
        segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Size of the file.
    pub fn bytes(&self) -> u64 {
        self.file.len() as u64
    }

    /// Checksum of the footer, which holds the checksums of all else: equal in copies of the same shard.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads a chunk: all rows of the row group. Plain values are not copied, and packed ones are not decoded yet;
    /// strings without a dictionary get 16 new bytes per row, besides their bytes where these are compressed. All fields
    /// of a structure are read.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the bytes on disk are not what was written.
    ///
    /// # Panics
    /// When the row group or the column does not exist.
    pub fn column(&self, row_group: usize, column: usize) -> Result<ColumnChunk> {
        self.read_column(row_group, self.footer.physical.root(column), Check::Once)
    }

    /// Reads one field of a structure, and no other: `path` says at each step which field of the structure. An empty
    /// path is the column itself. The field is NULL also where a structure around it is.
    ///
    /// `None` when the path leads nowhere.
    ///
    /// # Errors
    /// As [`column`](Self::column).
    ///
    /// # Panics
    /// When the row group does not exist.
    pub fn leaf(&self, row_group: usize, column: usize, path: &[usize]) -> Result<Option<ColumnChunk>> {
        let physical = self.footer.physical.leaf(column, path);
        physical.map(|physical| self.read_column(row_group, physical, Check::Once)).transpose()
    }

    /// What is known about one field of a structure without reading it; `None` when the path leads nowhere.
    ///
    /// # Panics
    /// When the row group does not exist.
    pub fn leaf_zone_map(&self, row_group: usize, column: usize, path: &[usize]) -> Option<&ZoneMap> {
        let physical = self.footer.physical.leaf(column, path)?;
        Some(&self.chunk(row_group, physical).1.zone_map)
    }

    /// The dictionary of a column: its different values without NULL, sorted by their bytes; `None` when the column has
    /// none.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the bytes on disk are not what was written.
    ///
    /// # Panics
    /// When the column does not exist.
    pub fn dictionary(&self, column: usize) -> Result<Option<Arc<StringViewArray>>> {
        self.physical_dictionary(self.footer.physical.root(column))
    }

    #[expect(clippy::indexing_slicing, reason = "columns of the file are numbered by the footer")]
    fn physical_dictionary(&self, physical: usize) -> Result<Option<Arc<StringViewArray>>> {
        let Some(meta) = &self.footer.dictionaries[physical] else {
            return Ok(None);
        };
        let cell = &self.dictionaries[physical];
        if let Some(dictionary) = cell.get() {
            return Ok(Some(Arc::clone(dictionary)));
        }
        let dictionary = self.read_dictionary(meta).map_err(|error| self.corrupt_column(physical, error))?;
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
        let columns = columns.filter_map(|column| self.verify_physical(column).err());
        let roots = self.footer.physical.roots().iter().filter_map(|root| self.verify_root(*root).err());
        std::iter::once_with(|| self.verify_frame().err()).flatten().chain(columns).chain(roots)
    }

    fn verify_frame(&self) -> Result<()> {
        parse_header(&self.file)
            .and_then(|_| parse_trailer(&self.file).map(|_| ()))
            .and_then(|()| self.check_gaps())
            .map_err(|error| corrupt(self.identity().shard, None, error))
    }

    /// Checks a column of the file.
    fn verify_physical(&self, physical: usize) -> Result<()> {
        if let Some(Some(meta)) = self.footer.dictionaries.get(physical) {
            self.read_dictionary(meta).map_err(|error| self.corrupt_column(physical, error))?;
        }
        for row_group in 0..self.row_group_count() {
            let chunk = self.read(row_group, physical, Check::Always)?;
            let found = crate::verify::zone_map_of(&chunk);
            let what = if found != self.chunk(row_group, physical).1.zone_map {
                "zone map does not match the values"
            } else if !crate::verify::nulls_are_zero(&chunk) {
                "a value under NULL is not zero"
            } else {
                continue;
            };
            let what = format!("row group {row_group}: {what}");
            return Err(self.corrupt_column(physical, StorageError::Malformed { what }));
        }
        Ok(())
    }

    /// Checks that the parts of a column fit together.
    fn verify_root(&self, root: usize) -> Result<()> {
        (0..self.row_group_count())
            .try_for_each(|row_group| self.read_column(row_group, root, Check::Once).map(|_| ()))
    }

    /// Number of a chunk and the chunk, of a column of the file.
    #[expect(clippy::indexing_slicing, reason = "callers are documented to panic, as indexing does")]
    fn chunk(&self, row_group: usize, physical: usize) -> (usize, &ChunkMeta) {
        let number = row_group * self.footer.physical.len() + physical;
        (number, &self.footer.chunks[number])
    }

    #[expect(clippy::indexing_slicing, reason = "columns of the file are numbered by the footer")]
    fn physical_column(&self, physical: usize) -> &PhysicalColumn {
        &self.footer.physical.columns()[physical]
    }

    /// Reads a column of the file, with the fields that follow it if it is a structure.
    fn read_column(&self, row_group: usize, physical: usize, check: Check) -> Result<ColumnChunk> {
        let data_type = self.physical_column(physical).field.data_type();
        if !matches!(data_type, DataType::Struct(_)) {
            return self.read(row_group, physical, check);
        }
        let mut next = physical;
        let mut read = || -> Result<ArrayRef, AssemblyError> {
            let array = self.read(row_group, next, check).map_err(AssemblyError::Storage)?.into_array();
            next += 1;
            Ok(array)
        };
        match assemble(data_type, &mut read) {
            Ok(array) => Ok(ColumnChunk::Array(array)),
            Err(AssemblyError::Storage(error)) => Err(error),
            Err(AssemblyError::Arrow(error)) => {
                let what = format!("row group {row_group}: {error}");
                Err(self.corrupt_column(physical, StorageError::Malformed { what }))
            }
        }
    }

    /// Reads a column of the file; of a structure one without fields.
    fn read(&self, row_group: usize, physical: usize, check: Check) -> Result<ColumnChunk> {
        let (number, chunk) = self.chunk(row_group, physical);
        // The dictionary names its own errors.
        let dictionary = match chunk.layout {
            Layout::Dictionary { .. } | Layout::PackedDictionary { .. } => {
                self.physical_dictionary(physical)?
            }
            _ => None,
        };
        let is_checked = check == Check::Once && self.checked.contains(number);
        let rows = self.row_group_rows(row_group);
        let segments = ShardSegments { shard: self, is_checked };
        let data_type = self.physical_column(physical).field.data_type();
        let read = read_chunk(&segments, chunk, dictionary, rows, data_type).map_err(|what| {
            let what = format!("row group {row_group}: {what}");
            self.corrupt_column(physical, StorageError::Malformed { what })
        })?;
        if !is_checked {
            self.checked.insert(number);
        }
        Ok(read)
    }

    fn read_dictionary(&self, meta: &DictionaryMeta) -> Result<StringViewArray> {
        let malformed = |what| StorageError::Malformed { what: format!("dictionary: {what}") };
        let segments = ShardSegments { shard: self, is_checked: false };
        let strings: MappedStrings<StringViewType> =
            read_strings(&segments, &meta.strings, meta.entries as usize).map_err(malformed)?;
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

    fn corrupt_column(&self, physical: usize, error: StorageError) -> StorageError {
        let name = self.footer.physical.columns().get(physical).map(|column| column.path.clone());
        corrupt(self.identity().shard, name, error)
    }
}

/// The segments of one chunk or dictionary.
struct ShardSegments<'a> {
    shard: &'a Shard,
    is_checked: bool,
}

impl Segments for ShardSegments<'_> {
    fn segment(&self, location: SegmentLocation, what: &str) -> Result<Buffer, String> {
        self.shard.segment(location, what, self.is_checked)
    }

    fn is_checked(&self) -> bool {
        self.is_checked
    }
}

/// Why the columns of a structure do not make one.
enum AssemblyError {
    Storage(StorageError),
    Arrow(ArrowError),
}

impl From<ArrowError> for AssemblyError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
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
