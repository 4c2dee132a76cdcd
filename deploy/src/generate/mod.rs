//! `quickdb gen`: data of documented schemas, the same for the same number of rows on every machine.
//!
//! ```text
//!  rows 0..N in chunks ─▶ threads: sky, hits (a value is a hash of seed, column and row) ─▶ batches, in order ─▶ file
//!                         tpch (the library tpchgen, whose rows are those of the official generator)
//! ```

mod hits;
mod output;
mod random;
mod sky;
mod tpch;
mod words;

use std::fmt;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Error;
use output::TableWriter;

/// Rows that one thread makes at a time.
const CHUNK_ROWS: u64 = 64 * 1024;

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dataset {
    /// A catalogue of sky objects
    Sky,
    /// TPC-H's eight tables
    Tpch,
    /// Page views with the columns of ClickBench's hits
    Hits,
}

/// How files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileFormat {
    /// Parquet with zstd
    Parquet,
    /// CSV with a header line
    Csv,
    /// Fields with a bar after each, as TPC-H's own generator writes them
    Tbl,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Tbl => "tbl",
        })
    }
}

/// A table whose rows can be made in any order.
trait Rows: Sync {
    /// The columns.
    fn schema(&self) -> SchemaRef;

    /// Some of the rows.
    fn batch(&self, rows: std::ops::Range<u64>) -> Result<RecordBatch, arrow::error::ArrowError>;
}

/// Writes the files; gives their paths and rows.
///
/// # Errors
/// [`Error::Generate`] for a file that cannot be written.
pub(crate) fn generate(
    dataset: Dataset,
    rows: u64,
    out: &Path,
    format: FileFormat,
    threads: usize,
    say: fn(&str),
) -> Result<(), Error> {
    std::fs::create_dir_all(out).map_err(|source| Error::Write { path: out.to_owned(), source })?;
    match dataset {
        Dataset::Sky => table("sky", &sky::Sky::new(rows), rows, out, format, threads, say),
        Dataset::Hits => table("hits", &hits::Hits::new(rows), rows, out, format, threads, say),
        Dataset::Tpch => tpch::generate(rows, out, format, threads, say),
    }
}

fn table(
    name: &str,
    source: &dyn Rows,
    rows: u64,
    out: &Path,
    format: FileFormat,
    threads: usize,
    say: fn(&str),
) -> Result<(), Error> {
    let mut writer = TableWriter::create(name, &source.schema(), out, format)?;
    let mut at = 0;
    while at < rows {
        // As many chunks at once as there are threads, written in their order.
        let starts: Vec<u64> =
            (0..threads as u64).map(|i| at + i * CHUNK_ROWS).filter(|start| *start < rows).collect();
        let batches = std::thread::scope(|scope| {
            let running: Vec<_> = starts
                .iter()
                .map(|start| scope.spawn(move || source.batch(*start..(start + CHUNK_ROWS).min(rows))))
                .collect();
            running.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        for batch in batches {
            let batch = batch.map_err(|_| writer.failed("a thread stopped".into()))?;
            let batch = batch.map_err(|error| writer.failed(error.into()))?;
            at += batch.num_rows() as u64;
            writer.write(&batch)?;
        }
    }
    say(&writer.finish()?);
    Ok(())
}
