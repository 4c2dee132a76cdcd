//! A file that is to be loaded: what is in it, and its rows.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::{FileReader, StreamReader};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use quickdb_server::catalogue::PgType;
use quickdb_server::copy_in::fit;

use super::LoadError;
use super::csv::{self, CsvBatches};
use super::fits::FitsTable;
use super::format::{self, Counted, Format, Kind};
use super::sniff::{CsvOptions, Sniffed};

/// Rows that are read from Parquet at once.
const BATCH_ROWS: usize = 32 * 1024;

/// How files are read where their content leaves it open.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileOptions {
    /// CSV.
    pub(crate) csv: CsvOptions,
    /// The unit of FITS files: its number or EXTNAME.
    pub(crate) hdu: Option<String>,
    /// Floats of FITS that are NaN are NULL.
    pub(crate) nan_is_null: bool,
}

/// A column of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FileColumn {
    /// Its name there.
    pub(crate) name: String,
    /// The type of its values.
    pub(crate) pg_type: PgType,
    /// What else the file says of it.
    pub(crate) comment: Option<String>,
}

/// A file whose columns are known.
#[derive(Debug)]
pub(crate) struct LoadFile {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// Its length.
    pub(crate) bytes: u64,
    /// Its rows, where the file says so.
    pub(crate) rows: Option<u64>,
    pub(crate) columns: Vec<FileColumn>,
    sniffed: Option<Sniffed>,
    options: FileOptions,
    read: Arc<AtomicU64>,
}

/// Rows of a file, with the table's types.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch, LoadError>> + Send>;

/// A part of a file that one thread reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Some row groups of a Parquet file.
    RowGroups(std::ops::Range<usize>),
}

impl LoadFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// A file that cannot be read, or has a column that no SQL type stands for.
    pub(crate) fn inspect(path: &Path, options: &FileOptions) -> Result<Self, LoadError> {
        let unreadable = |error: std::io::Error| LoadError::file(path, error);
        let kind = Kind::of(path)?;
        let mut file = Self {
            path: path.to_owned(),
            kind,
            bytes: std::fs::metadata(path).map_err(unreadable)?.len(),
            rows: None,
            columns: Vec::new(),
            sniffed: None,
            options: options.clone(),
            read: Arc::default(),
        };
        match kind.format {
            Format::Parquet => {
                let metadata = file.parquet()?;
                file.columns = file.of_schema(metadata.schema(), &[])?;
                file.rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).ok();
            }
            Format::ArrowFile => {
                let reader = file.arrow_file()?;
                file.columns = file.of_schema(&reader.schema(), &[])?;
            }
            Format::ArrowStream => {
                let input = format::open(path, kind.compression, Arc::default()).map_err(unreadable)?;
                let reader =
                    StreamReader::try_new(input, None).map_err(|error| LoadError::file(path, error))?;
                file.columns = file.of_schema(&reader.schema(), &[])?;
            }
            Format::Fits => {
                let table = file.fits(Arc::default())?;
                file.columns = file.of_schema(&table.schema(), &table.comments())?;
                file.rows = Some(table.rows());
            }
            Format::Csv => {
                let mut input = format::open(path, kind.compression, Arc::default()).map_err(unreadable)?;
                let sniffed = csv::inspect(path, input.as_mut(), &options.csv)?;
                file.sniffed = Some(sniffed);
                file.columns = file.sniffed_columns()?;
            }
        }
        Ok(file)
    }

    fn of_schema(&self, schema: &Schema, comments: &[Option<String>]) -> Result<Vec<FileColumn>, LoadError> {
        let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let pg_type = PgType::of_field(field).map_err(|_| {
                let message = format!(
                    "column {}: no SQL type stands for values of type {}",
                    field.name(),
                    field.data_type()
                );
                LoadError::file(&self.path, message)
            })?;
            let comment = comments.get(at).cloned().flatten();
            Ok(FileColumn { name: field.name().clone(), pg_type, comment })
        };
        schema.fields().iter().enumerate().map(column).collect()
    }

    fn sniffed_columns(&self) -> Result<Vec<FileColumn>, LoadError> {
        let Some(sniffed) = &self.sniffed else { return Ok(Vec::new()) };
        let column = |(name, of_column): (&String, &&str)| {
            let pg_type = PgType::parse(of_column).map_err(|error| LoadError::file(&self.path, error))?;
            Ok(FileColumn { name: name.clone(), pg_type, comment: None })
        };
        sniffed.names.iter().zip(&sniffed.types).map(column).collect()
    }

    /// Whether the names of the columns are our own, because the file has none.
    pub(crate) fn is_nameless(&self) -> bool {
        self.sniffed.as_ref().is_some_and(|sniffed| !sniffed.header)
    }

    /// Whether the types were guessed from a part of the values.
    pub(crate) fn is_guessed(&self) -> bool {
        self.sniffed.is_some()
    }

    /// Bytes that were read so far, for formats that are read from front to end.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Parts for so many threads.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub(crate) fn parts(&self, threads: usize) -> Result<Vec<Part>, LoadError> {
        if self.kind.format != Format::Parquet {
            return Ok(vec![Part::Whole]);
        }
        let groups = self.parquet()?.metadata().num_row_groups();
        let each = groups.div_ceil(threads.max(1)).max(1);
        Ok((0..groups)
            .step_by(each)
            .map(|first| Part::RowGroups(first..(first + each).min(groups)))
            .collect())
    }

    /// The rows of a part: of the columns at `places`, in the types of `schema`, `types` being the same in SQL.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub(crate) fn batches(
        &self,
        part: &Part,
        places: &[usize],
        types: &[PgType],
        schema: &SchemaRef,
    ) -> Result<Batches, LoadError> {
        let path = self.path.clone();
        let wrong = {
            let path = path.clone();
            move |error: &dyn std::fmt::Display| LoadError::file(&path, error)
        };
        let batches: Batches = match self.kind.format {
            Format::Parquet => {
                let file = File::open(&self.path).map_err(|error| wrong(&error))?;
                let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.parquet()?)
                    .with_batch_size(BATCH_ROWS);
                if let Part::RowGroups(groups) = part {
                    builder = builder.with_row_groups(groups.clone().collect());
                }
                let reader = builder.build().map_err(|error| wrong(&error))?;
                Box::new(reader.map(move |batch| batch.map_err(|error| wrong(&error))))
            }
            Format::ArrowFile => {
                Box::new(self.arrow_file()?.map(move |batch| batch.map_err(|error| wrong(&error))))
            }
            Format::ArrowStream => {
                let input = format::open(&self.path, self.kind.compression, Arc::clone(&self.read))
                    .map_err(|error| wrong(&error))?;
                let reader = StreamReader::try_new(input, None).map_err(|error| wrong(&error))?;
                Box::new(reader.map(move |batch| batch.map_err(|error| wrong(&error))))
            }
            Format::Fits => {
                let table = self.fits(Arc::clone(&self.read))?;
                Box::new(table.map(move |batch| batch.map_err(|error| wrong(&error))))
            }
            Format::Csv => {
                let input = format::open(&self.path, self.kind.compression, Arc::clone(&self.read))
                    .map_err(|error| wrong(&error))?;
                let sniffed = self.sniffed.clone().unwrap_or_else(|| Sniffed {
                    delimiter: b',',
                    header: false,
                    trailing: false,
                    names: Vec::new(),
                    types: Vec::new(),
                });
                // A column that is not wanted is read as text.
                let of_file = (0..self.columns.len()).map(|at| {
                    let wanted = places.iter().position(|place| *place == at);
                    wanted.and_then(|wanted| types.get(wanted).copied()).unwrap_or(PgType::new(25))
                });
                let of_file: Vec<PgType> = of_file.collect();
                Box::new(CsvBatches::new(&self.path, input, &sniffed, &self.options.csv, &of_file)?)
            }
        };
        let shape = Shape {
            path,
            names: self.columns.iter().map(|column| column.name.clone()).collect(),
            places: places.to_vec(),
            types: types.to_vec(),
            schema: Arc::clone(schema),
            // Parts of a Parquet file do not know where they begin.
            rows: (*part == Part::Whole).then_some(0),
        };
        Ok(Box::new(Shaped { batches, shape }))
    }

    fn parquet(&self) -> Result<ArrowReaderMetadata, LoadError> {
        let file = File::open(&self.path).map_err(|error| LoadError::file(&self.path, error))?;
        ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
            .map_err(|error| LoadError::file(&self.path, error))
    }

    fn arrow_file(&self) -> Result<FileReader<BufReader<Counted>>, LoadError> {
        let file = File::open(&self.path).map_err(|error| LoadError::file(&self.path, error))?;
        let file = BufReader::with_capacity(1 << 20, Counted { file, read: Arc::clone(&self.read) });
        FileReader::try_new(file, None).map_err(|error| LoadError::file(&self.path, error))
    }

    fn fits(&self, read: Arc<AtomicU64>) -> Result<FitsTable, LoadError> {
        let unreadable = |error: std::io::Error| LoadError::file(&self.path, error);
        let input = format::open(&self.path, self.kind.compression, read).map_err(unreadable)?;
        let plain = self.kind.compression == format::Compression::None;
        let heap = if plain { Some(File::open(&self.path).map_err(unreadable)?) } else { None };
        let (hdu, nan_is_null) = (self.options.hdu.as_deref(), self.options.nan_is_null);
        FitsTable::open(input, heap, hdu, nan_is_null).map_err(|error| LoadError::file(&self.path, error))
    }
}

/// What batches are brought into.
struct Shape {
    path: PathBuf,
    names: Vec<String>,
    places: Vec<usize>,
    types: Vec<PgType>,
    schema: SchemaRef,
    rows: Option<u64>,
}

impl Shape {
    fn shaped(&mut self, batch: &RecordBatch) -> Result<RecordBatch, LoadError> {
        let first = self.rows.map(|rows| rows + 1);
        self.rows = self.rows.map(|rows| rows + batch.num_rows() as u64);
        let column = |(place, pg_type): (&usize, &PgType)| {
            let name = self.names.get(*place).map_or("?", String::as_str);
            let array = batch.columns().get(*place).ok_or_else(|| {
                LoadError::file(&self.path, format!("column {name} is missing in some of the rows"))
            })?;
            fit(array, *pg_type)
                .map(compact)
                .map_err(|error| self.refusal(array, *pg_type, name, first, &csv::said(&error)))
        };
        let columns: Vec<ArrayRef> =
            self.places.iter().zip(&self.types).map(column).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| LoadError::file(&self.path, error))
    }

    /// The refusal of a column, with the row of the first value that is refused on its own.
    fn refusal(
        &self,
        array: &ArrayRef,
        pg_type: PgType,
        name: &str,
        first: Option<u64>,
        message: &str,
    ) -> LoadError {
        let bad = (0..array.len()).find(|row| fit(&array.slice(*row, 1), pg_type).is_err());
        let place = match (first, bad) {
            (Some(first), Some(bad)) => format!("row {}, column {name}", first + bad as u64),
            _ => format!("column {name}"),
        };
        LoadError::file(&self.path, format!("{place}: {message}"))
    }
}

/// The same values in buffers of their own, where they are views of much larger ones: a reader of Parquet hands out
/// views of whole pages, and the buffers of a batch are sent with it.
fn compact(array: ArrayRef) -> ArrayRef {
    fn wasteful(used: u64, buffers: &[arrow::buffer::Buffer]) -> bool {
        const WASTE_BYTES_MAX: u64 = 64 * 1024;
        buffers.iter().map(|buffer| buffer.len() as u64).sum::<u64>() > used * 2 + WASTE_BYTES_MAX
    }
    // The length of a view is its lower half.
    let used = |views: &[u128]| {
        views.iter().map(|view| (view & 0xffff_ffff) as u64).filter(|length| *length > 12).sum::<u64>()
    };
    if let Some(texts) = array.as_string_view_opt() {
        if wasteful(used(texts.views()), texts.data_buffers()) {
            return Arc::new(texts.gc());
        }
    } else if let Some(bytes) = array.as_binary_view_opt()
        && wasteful(used(bytes.views()), bytes.data_buffers())
    {
        return Arc::new(bytes.gc());
    }
    array
}

struct Shaped {
    batches: Batches,
    shape: Shape,
}

impl Iterator for Shaped {
    type Item = Result<RecordBatch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.batches.next()?.and_then(|batch| self.shape.shaped(&batch)))
    }
}
