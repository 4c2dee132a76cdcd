//! Writes a shard.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::column_writer::ColumnWriter;
use crate::decoder::malformed;
use crate::directory::sync_directory;
use crate::footer::{ShardFooter, row_group_count};
use crate::format::{SHARD_ROWS_MAX, Version, encode_header, encode_trailer};
use crate::physical::{PhysicalColumn, PhysicalColumns, flatten};
use crate::segment::SegmentWriter;
use crate::space::Taken;
use crate::{
    ColumnSummary, ROW_GROUP_ROWS, Result, ShardDirectory, ShardIdentity, StorageError, stored_type,
};

/// Writes one shard file.
///
/// The shard exists from the moment that [`finish`](Self::finish) returns, whole and durable. Dropping the writer
/// before, or an error, leaves nothing behind; after a crash [`ShardDirectory::open`] cleans up.
///
/// In memory are the row group that is being collected and, per text column, the dictionary (at most 64 MiB of values)
/// and 4 bytes per row.
pub struct ShardWriter {
    identity: ShardIdentity,
    schema: SchemaRef,
    physical: PhysicalColumns,
    /// One per column of the file.
    columns: Vec<ColumnWriter>,
    row_count: u64,
    file: SegmentWriter,
    /// Absent where the shard is written to memory.
    place: Option<Place>,
    has_failed: bool,
}

/// What the writer tells about the finished shard.
#[derive(Clone, Debug, PartialEq)]
pub struct ShardReport {
    /// Which shard of which table was written.
    pub identity: ShardIdentity,
    /// Rows written.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Checksum of the footer, which holds the checksums of all else: equal in copies of the same shard.
    pub checksum: u32,
    /// One per column.
    pub columns: Vec<ColumnSummary>,
}

/// Where a shard is written and what it is called then.
struct Place {
    unfinished: UnfinishedFile,
    path: PathBuf,
    directory: PathBuf,
}

/// A file that is removed when it is dropped, unless it has been renamed.
pub(crate) struct UnfinishedFile {
    path: PathBuf,
    exists: bool,
    taken: Option<Arc<Taken>>,
}

impl UnfinishedFile {
    /// The file at `path`, which exists.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, exists: true, taken: None }
    }

    /// The same for a file that has its space from `taken`.
    pub(crate) fn of_space(path: PathBuf, taken: &Arc<Taken>) -> Self {
        Self { path, exists: true, taken: Some(Arc::clone(taken)) }
    }

    /// Gives the file, which is durable, the name of one that it takes the place of; on return that is durable too.
    pub(crate) fn replace(mut self, path: &Path, directory: &Path) -> Result<()> {
        fs::rename(&self.path, path).map_err(|source| StorageError::io(path, source))?;
        self.exists = false;
        sync_directory(directory)
    }

    /// Gives the file, which is durable, its final name in `directory`; on return that is durable too.
    pub(crate) fn rename(mut self, path: &Path, directory: &Path) -> Result<()> {
        fs::rename(&self.path, path).map_err(|source| StorageError::io(path, source))?;
        self.exists = false;
        let synced = sync_directory(directory);
        if synced.is_err() {
            // Whether the name would survive a crash is unknown, and the caller takes the file for unwritten.
            let _ = fs::remove_file(path);
        } else if let Some(taken) = &self.taken {
            taken.keep();
        }
        synced
    }

    fn remove(&mut self) {
        if std::mem::take(&mut self.exists) {
            // What cannot be removed now is removed when the directory is opened the next time.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl ShardWriter {
    /// Starts a shard. The columns of `schema` are stored in the types that [`stored_type`] gives, the fields of structures
    /// as columns of their own; names, nullability and metadata stay.
    ///
    /// # Errors
    /// [`StorageError::UnsupportedType`], [`StorageError::AlreadyExists`] when the shard is there or another writer is
    /// at it, [`StorageError::DiskFull`] or [`StorageError::Io`] when the file cannot be created.
    pub fn create(directory: &ShardDirectory, identity: ShardIdentity, schema: SchemaRef) -> Result<Self> {
        let schema = stored_schema(&schema)?;
        let shard = identity.shard;
        let path = directory.shard_path(shard);
        let unfinished_path = directory.unfinished_path(shard);
        let file = File::options().write(true).create_new(true).open(&unfinished_path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StorageError::AlreadyExists { shard },
            _ => StorageError::io(&unfinished_path, source),
        })?;
        let taken = directory.space();
        let unfinished = UnfinishedFile::of_space(unfinished_path, &taken);
        // From here on no other writer of this shard gets as far as its rename.
        if path.try_exists().map_err(|source| StorageError::io(&path, source))? {
            return Err(StorageError::AlreadyExists { shard });
        }
        let file = SegmentWriter::new(file, unfinished.path.clone(), Some(taken));
        let place = Place { unfinished, path, directory: directory.path().to_path_buf() };
        Self::start(file, Some(place), identity, schema)
    }

    /// Starts a shard in memory; see [`crate::ShardImage`].
    pub(crate) fn in_memory(identity: ShardIdentity, schema: &SchemaRef) -> Result<Self> {
        Self::start(SegmentWriter::in_memory(), None, identity, stored_schema(schema)?)
    }

    fn start(
        mut file: SegmentWriter,
        place: Option<Place>,
        identity: ShardIdentity,
        schema: SchemaRef,
    ) -> Result<Self> {
        file.write_raw(&encode_header(identity.shard, identity.table))?;
        let physical = PhysicalColumns::new(&schema);
        let column = |column: &PhysicalColumn| {
            ColumnWriter::new(identity.shard, column.path.clone(), column.field.data_type())
        };
        let columns = physical.columns().iter().map(column).collect();
        Ok(Self { identity, schema, physical, columns, row_count: 0, file, place, has_failed: false })
    }

    /// The schema as it is stored.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows written so far.
    pub fn row_count(&self) -> u64 {
        self.row_count
    }

    /// Appends the rows of a batch of any size. Its columns belong to those of the schema by position, whatever they
    /// are called, and have their types or types that are stored as these; a column of type Null fits any.
    ///
    /// # Errors
    /// [`StorageError::SchemaMismatch`] and [`StorageError::Convert`] leave the shard as it was. After
    /// [`StorageError::DiskFull`] and all others its file is gone, and every further call fails.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.check_usable()?;
        let columns = self.stored_columns(batch)?;
        let appended = self.append(&columns, batch.num_rows());
        if appended.is_err() {
            self.has_failed = true;
            self.place = None;
        }
        appended
    }

    /// Writes what is left, makes the shard durable and gives it its name.
    ///
    /// # Errors
    /// [`StorageError::DiskFull`] and [`StorageError::Io`]; nothing is left of the shard then.
    pub fn finish(self) -> Result<ShardReport> {
        self.seal().map(|(report, _)| report)
    }

    /// The same; for a shard in memory with its bytes.
    pub(crate) fn seal(mut self) -> Result<(ShardReport, Option<Buffer>)> {
        self.check_usable()?;
        if !self.row_count.is_multiple_of(ROW_GROUP_ROWS as u64) {
            self.end_row_group()?;
        }
        let Self { identity, schema, physical, columns, row_count, mut file, place, .. } = self;
        let mut dictionaries = Vec::with_capacity(columns.len());
        let mut columns_chunks = Vec::with_capacity(columns.len());
        for column in columns {
            let (dictionary, chunks) = column.finish(&mut file)?;
            dictionaries.push(dictionary);
            columns_chunks.push(chunks.into_iter());
        }
        let mut chunks = Vec::new();
        for _ in 0..row_group_count(row_count) {
            chunks.extend(columns_chunks.iter_mut().filter_map(Iterator::next));
        }
        let footer = ShardFooter { identity, schema, physical, row_count, dictionaries, chunks };
        let footer_offset = file.position();
        let footer_bytes = footer.encode()?;
        // Readers must accept it, better tell now than when the data is needed.
        if ShardFooter::parse(&footer_bytes, footer_offset, Version::WRITTEN)? != footer {
            return Err(malformed("the footer does not survive its encoding"));
        }
        let (trailer, checksum) = encode_trailer(&footer_bytes, footer_offset);
        file.write_raw(&footer_bytes)?;
        file.write_raw(&trailer)?;
        let bytes = file.position();
        let image = file.finish()?;
        if let Some(Place { unfinished, path, directory }) = place {
            unfinished.rename(&path, &directory)?;
        }
        let columns = footer.summaries();
        Ok((ShardReport { identity: footer.identity, rows: row_count, bytes, checksum, columns }, image))
    }

    fn check_usable(&self) -> Result<()> {
        if self.has_failed { Err(StorageError::WriteFailed { shard: self.identity.shard }) } else { Ok(()) }
    }

    /// The columns of a batch in the types of the schema, with the fields of structures behind them.
    fn stored_columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let mismatch = |what| StorageError::SchemaMismatch { shard: self.identity.shard, what };
        let (expected, found) = (self.schema.fields.len(), batch.num_columns());
        if expected != found {
            return Err(mismatch(format!("it has {found} columns, not {expected}")));
        }
        let rows = self.row_count.saturating_add(batch.num_rows() as u64);
        if rows > SHARD_ROWS_MAX {
            let what = format!("{rows} rows are more than {SHARD_ROWS_MAX}");
            return Err(StorageError::LimitExceeded { shard: self.identity.shard, what });
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for (field, values) in self.schema.fields.iter().zip(batch.columns()) {
            if !is_stored_as(values.data_type(), field.data_type()) {
                let (name, expected, found) = (field.name(), field.data_type(), values.data_type());
                return Err(mismatch(format!("column \"{name}\" has type {found}, not {expected}")));
            }
            let values = convert(values, field)?;
            if values.null_count() > 0 && !field.is_nullable() {
                return Err(mismatch(format!("column \"{}\" has NULLs", field.name())));
            }
            check_elements(&values, field.data_type(), field.name()).map_err(mismatch)?;
            flatten(&values, &mut columns)
                .map_err(|source| StorageError::Convert { column: field.name().clone(), source })?;
        }
        Ok(columns)
    }

    fn append(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let mut start = 0;
        while start < rows {
            let in_row_group = usize::try_from(self.row_count % ROW_GROUP_ROWS as u64).unwrap_or_default();
            let taken = (ROW_GROUP_ROWS - in_row_group).min(rows - start);
            for (column, values) in self.columns.iter_mut().zip(columns) {
                column.push(values.slice(start, taken), &mut self.file)?;
            }
            self.row_count += taken as u64;
            start += taken;
            if in_row_group + taken == ROW_GROUP_ROWS {
                self.end_row_group()?;
            }
        }
        Ok(())
    }

    fn end_row_group(&mut self) -> Result<()> {
        self.columns.iter_mut().try_for_each(|column| column.end_row_group(&mut self.file))
    }
}

fn stored_schema(schema: &Schema) -> Result<SchemaRef> {
    let stored = |field: &Arc<Field>| match stored_type(field.data_type()) {
        Some(data_type) => Ok(field.as_ref().clone().with_data_type(data_type)),
        None => Err(StorageError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().clone(),
        }),
    };
    let fields: Vec<Field> = schema.fields.iter().map(stored).collect::<Result<_>>()?;
    Ok(Arc::new(Schema::new_with_metadata(fields, schema.metadata.clone())))
}

/// Whether values of type `found` become values of type `stored` without loss.
fn is_stored_as(found: &DataType, stored: &DataType) -> bool {
    match (stored_type(found), stored) {
        // Instants do not depend on the zone in which they are shown.
        (Some(DataType::Timestamp(_, Some(_))), DataType::Timestamp(_, Some(_))) => true,
        // What elements are called does not matter.
        (Some(DataType::List(found)), DataType::List(stored)) => {
            is_stored_as(found.data_type(), stored.data_type())
        }
        (Some(DataType::Struct(found)), DataType::Struct(stored)) => {
            found.len() == stored.len()
                && found.iter().zip(stored).all(|(found, stored)| {
                    found.name() == stored.name() && is_stored_as(found.data_type(), stored.data_type())
                })
        }
        (Some(found), stored) => found == *stored,
        (None, _) => *found == DataType::Null,
    }
}

/// Whether elements of lists and fields of structures are NULL only where they may be. The error says where not.
fn check_elements(values: &dyn Array, data_type: &DataType, name: &str) -> Result<(), String> {
    let check = |values: &dyn Array, field: &Field, name: &str| {
        if values.null_count() > 0 && !field.is_nullable() {
            return Err(format!("column \"{name}\" has NULLs"));
        }
        check_elements(values, field.data_type(), name)
    };
    match data_type {
        DataType::List(field) => match values.as_list_opt::<i32>() {
            Some(lists) => check(lists.values(), field, name),
            None => Ok(()),
        },
        DataType::Struct(fields) => {
            let structure = values.as_struct_opt();
            let columns = structure.map(StructArray::columns).unwrap_or_default();
            columns.iter().zip(fields).try_for_each(|(values, field)| {
                let name = format!("{name}.{}", field.name());
                // Arrow has checked fields that are not nullable against the NULLs of their structure.
                check_elements(values, field.data_type(), &name)
            })
        }
        _ => Ok(()),
    }
}

fn convert(values: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if values.data_type() == field.data_type() {
        return Ok(Arc::clone(values));
    }
    // Not the default, which makes NULLs of what overflows.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, field.data_type(), &options)
        .map_err(|source| StorageError::Convert { column: field.name().clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ShardId, TableId};
    use arrow::array::{Int32Array, Int64Array, NullArray};

    fn identity() -> ShardIdentity {
        ShardIdentity { shard: ShardId(1), table: TableId(2), table_name: "public.t".to_owned() }
    }

    fn schema(data_type: DataType, nullable: bool) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", data_type, nullable)]))
    }

    fn batch(values: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("b", values)]).unwrap()
    }

    fn names(directory: &ShardDirectory) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn dropping_the_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let writer = ShardWriter::create(&directory, identity(), schema(DataType::Int64, true)).unwrap();
        assert_eq!(names(&directory), ["0000000000000001.tmp"]);
        let second = ShardWriter::create(&directory, identity(), schema(DataType::Int64, true));
        assert!(matches!(second, Err(StorageError::AlreadyExists { shard: ShardId(1) })));
        drop(writer);
        assert!(names(&directory).is_empty());
    }

    #[test]
    fn a_finished_shard_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let create = || ShardWriter::create(&directory, identity(), schema(DataType::Int64, true));
        create().unwrap().finish().unwrap();
        assert!(matches!(create(), Err(StorageError::AlreadyExists { .. })));
        assert_eq!(names(&directory), ["0000000000000001.qdb"]);
    }

    #[test]
    fn batches_that_do_not_fit_are_refused_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let mut writer = ShardWriter::create(&directory, identity(), schema(DataType::Int64, false)).unwrap();
        let mut refused = |values: ArrayRef| match writer.write(&batch(values)) {
            Err(StorageError::SchemaMismatch { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        assert!(refused(Arc::new(Int32Array::from(vec![1]))).contains("type Int32, not Int64"));
        assert!(refused(Arc::new(Int64Array::from(vec![None]))).contains("has NULLs"));
        assert!(refused(Arc::new(NullArray::new(1))).contains("has NULLs"));
        writer.write(&batch(Arc::new(Int64Array::from(vec![1])))).unwrap();
        assert_eq!(writer.finish().unwrap().rows, 1);
    }

    #[test]
    fn types_without_representation_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let created = ShardWriter::create(&directory, identity(), schema(DataType::Null, true));
        assert!(matches!(created, Err(StorageError::UnsupportedType { column, .. }) if column == "a"));
        assert!(names(&directory).is_empty());
    }

    #[test]
    fn a_full_disk_removes_the_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0000000000000001.tmp");
        fs::write(&path, b"").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let file = SegmentWriter::new(full, path.clone(), None);
        let schema = schema(DataType::Int64, true);
        let target = folder.path().join("0000000000000001.qdb");
        let place = Place {
            unfinished: UnfinishedFile::new(path.clone()),
            path: target,
            directory: folder.path().to_path_buf(),
        };
        let mut writer = ShardWriter::start(file, Some(place), identity(), schema).unwrap();
        // Values that cannot be packed.
        let rows = (0..ROW_GROUP_ROWS as i64).map(|row| row.wrapping_mul(0x1234_5678_9abc_def1));
        let rows = batch(Arc::new(Int64Array::from_iter_values(rows)));
        assert!(matches!(writer.write(&rows), Err(StorageError::DiskFull { .. })));
        assert!(!path.exists());
        assert!(matches!(writer.write(&rows), Err(StorageError::WriteFailed { .. })));
        assert!(matches!(writer.finish(), Err(StorageError::WriteFailed { .. })));
    }
}
