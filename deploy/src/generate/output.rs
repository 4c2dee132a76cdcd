//! Batches to a file, which has its name only when it is whole.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::FileFormat;
use crate::error::Error;

/// Rows of a Parquet row group.
const GROUP_ROWS: usize = 1 << 20;
const WRITE_BYTES: usize = 1 << 20;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A file that is being written.
pub(super) struct TableWriter {
    path: PathBuf,
    partial: PathBuf,
    rows: u64,
    sink: Sink,
}

enum Sink {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Csv(BufWriter<File>),
    Tbl(BufWriter<File>),
}

impl TableWriter {
    /// Begins the file of a table.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn create(
        name: &str,
        schema: &SchemaRef,
        out: &Path,
        format: FileFormat,
    ) -> Result<Self, Error> {
        let path = out.join(format!("{name}.{format}"));
        let partial = out.join(format!("{name}.{format}.tmp"));
        let failed = |source: Cause| Error::Generate { path: path.clone(), source };
        let file = File::create(&partial).map_err(|error| failed(error.into()))?;
        let mut file = BufWriter::with_capacity(WRITE_BYTES, file);
        let sink = match format {
            FileFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .build();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties));
                Sink::Parquet(Box::new(writer.map_err(|error| failed(error.into()))?))
            }
            FileFormat::Csv => {
                let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                writeln!(file, "{}", names.join(",")).map_err(|error| failed(error.into()))?;
                Sink::Csv(file)
            }
            FileFormat::Tbl => Sink::Tbl(file),
        };
        Ok(Self { path, partial, rows: 0, sink })
    }

    /// The failure to write the file.
    pub(super) fn failed(&self, source: Cause) -> Error {
        Error::Generate { path: self.path.clone(), source }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        self.rows += batch.num_rows() as u64;
        let written: Result<(), Cause> = match &mut self.sink {
            Sink::Parquet(writer) => writer.write(batch).map_err(Into::into),
            Sink::Csv(file) => write_rows(batch, file, b',', false),
            Sink::Tbl(file) => write_rows(batch, file, b'|', true),
        };
        written.map_err(|error| self.failed(error))
    }

    /// Ends the file; gives a line about it.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn finish(self) -> Result<String, Error> {
        let Self { path, partial, rows, sink } = self;
        let finish = || -> Result<(), Cause> {
            let file = match sink {
                Sink::Parquet(writer) => writer.into_inner()?,
                Sink::Csv(file) | Sink::Tbl(file) => file,
            };
            file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
            Ok(std::fs::rename(&partial, &path)?)
        };
        finish().map_err(|source| Error::Generate { path: path.clone(), source })?;
        Ok(format!("{}: {rows} rows", path.display()))
    }
}

fn write_rows(batch: &RecordBatch, out: &mut dyn Write, delimiter: u8, trailing: bool) -> Result<(), Cause> {
    let options = FormatOptions::default()
        .with_null("")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_date_format(Some("%Y-%m-%d"));
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect::<Result<Vec<_>, _>>()?;
    let mut line = String::new();
    for row in 0..batch.num_rows() {
        line.clear();
        for (at, (column, array)) in columns.iter().zip(batch.columns()).enumerate() {
            if at > 0 {
                line.push(char::from(delimiter));
            }
            let start = line.len();
            write!(line, "{}", column.value(row))?;
            let text = line.get(start..).unwrap_or_default();
            let empty = text.is_empty() && array.is_valid(row);
            // An empty text in quotes is none that is NULL.
            if empty || text.contains([char::from(delimiter), '"', '\n', '\r']) {
                let quoted = format!("\"{}\"", text.replace('"', "\"\""));
                line.truncate(start);
                line.push_str(&quoted);
            }
        }
        if trailing {
            line.push(char::from(delimiter));
        }
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}
