//! CSV files: the server's own decoder of COPY data, fed from a file.

use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use quickdb_server::catalogue::PgType;
use quickdb_server::copy_in::{CopyColumn, CopyDecoder, csv_decoder};
use quickdb_server::error::PgError;

use super::LoadError;
use super::sniff::{CsvOptions, Sniffed, sniff};

/// What is looked at before anything is read.
const SAMPLE_BYTES: u64 = 1 << 20;
const READ_BYTES: usize = 1 << 20;
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Looks at the beginning of a CSV file.
///
/// # Errors
/// A file that cannot be read, or is no text.
pub(super) fn inspect(path: &Path, input: &mut dyn Read, options: &CsvOptions) -> Result<Sniffed, LoadError> {
    let mut sample = Vec::new();
    input.take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(|error| LoadError::file(path, error))?;
    let whole = (sample.len() as u64) < SAMPLE_BYTES;
    let sample = sample.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&sample);
    let text = if options.latin1 {
        sample.iter().map(|byte| char::from(*byte)).collect()
    } else {
        match std::str::from_utf8(sample) {
            Ok(text) => text.to_owned(),
            // The sample may end inside of a character.
            Err(error) if error.error_len().is_none() && !whole => {
                String::from_utf8_lossy(sample.get(..error.valid_up_to()).unwrap_or_default()).into_owned()
            }
            Err(error) => {
                let line = sample.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
                let message = format!(
                    "line {line} is not UTF-8, and the file is none of Parquet, Arrow and FITS; if it is text in \
                     ISO 8859-1, say --encoding latin1"
                );
                return Err(LoadError::file(path, message));
            }
        }
    };
    if text.contains('\0') {
        return Err(LoadError::file(path, "is no text, and none of Parquet, Arrow and FITS"));
    }
    let sniffed = sniff(&text, whole, options);
    if sniffed.names.is_empty() {
        return Err(LoadError::file(path, "has no columns"));
    }
    Ok(sniffed)
}

/// The rows of a CSV file.
pub(super) struct CsvBatches {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    decoder: Box<dyn CopyDecoder>,
    buffer: Vec<u8>,
    ready: std::collections::VecDeque<RecordBatch>,
    at_start: bool,
    at_end: bool,
    trailing: bool,
}

impl CsvBatches {
    /// Rows in columns of the given types, in the order of the file.
    ///
    /// # Errors
    /// A type that cannot be read from text.
    pub(super) fn new(
        path: &Path,
        input: Box<dyn Read + Send>,
        sniffed: &Sniffed,
        options: &CsvOptions,
        types: &[PgType],
    ) -> Result<Self, LoadError> {
        let mut columns: Vec<CopyColumn> = sniffed
            .names
            .iter()
            .zip(types)
            .map(|(name, pg_type)| CopyColumn { name: name.clone(), pg_type: *pg_type, not_null: false })
            .collect();
        if sniffed.trailing {
            let pg_type = PgType::new(25);
            columns.push(CopyColumn { name: "after the last delimiter".into(), pg_type, not_null: false });
        }
        let decoder = csv_decoder(columns, sniffed.delimiter, &options.null, sniffed.header, options.latin1)
            .map_err(|error| LoadError::file(path, said(&error)))?;
        Ok(Self {
            path: path.to_owned(),
            input,
            decoder,
            buffer: vec![0; READ_BYTES],
            ready: std::collections::VecDeque::new(),
            at_start: true,
            at_end: false,
            trailing: sniffed.trailing,
        })
    }

    fn read(&mut self) -> Result<(), LoadError> {
        let wrong = |error: PgError| LoadError::file(&self.path, said(&error));
        let count = self.input.read(&mut self.buffer).map_err(|error| LoadError::file(&self.path, error))?;
        let bytes = self.buffer.get(..count).unwrap_or_default();
        let bytes = match std::mem::take(&mut self.at_start) {
            true => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes),
            false => bytes,
        };
        let batches = if count == 0 {
            self.at_end = true;
            self.decoder.finish().map_err(wrong)?
        } else {
            self.decoder.feed(bytes).map_err(wrong)?
        };
        for batch in batches {
            let wanted: Vec<usize> = (0..batch.num_columns() - usize::from(self.trailing)).collect();
            self.ready.push_back(batch.project(&wanted).map_err(|error| LoadError::file(&self.path, error))?);
        }
        Ok(())
    }
}

impl Iterator for CsvBatches {
    type Item = Result<RecordBatch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Some(Ok(batch));
            }
            if self.at_end {
                return None;
            }
            if let Err(error) = self.read() {
                self.at_end = true;
                return Some(Err(error));
            }
        }
    }
}

/// An error of the decoder: the place first, as the file's name stands in front of it.
pub(super) fn said(error: &PgError) -> String {
    let place = error.context.as_deref().and_then(|context| context.strip_prefix("COPY file, "));
    let detail = error.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    // The value stands in most messages; the line would make it long.
    let place = place.map(|place| place.split(": ").next().unwrap_or(place));
    match place {
        Some(place) => format!("{place}: {}{detail}", error.message),
        None => format!("{}{detail}", error.message),
    }
}
