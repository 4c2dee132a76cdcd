//! The data of `COPY ... FROM STDIN` to record batches: text, CSV, binary and Arrow IPC.
//!
//! ```text
//!  CopyData ─▶ decoder: text, CSV, binary ─▶ quickdb_copy ─ values in unusual forms ─▶ columns: wire::params
//!                       Arrow ─▶ arrow_stream ─▶ conversion to the columns' types
//!                                                                                  ─▶ batches, or PostgreSQL's error
//! ```
//!
//! Decoding is computing, a batch at a time: it belongs on a thread that may compute.

mod arrow_stream;
mod columns;
mod faults;
pub(crate) mod length;
#[cfg(test)]
mod recorded;

pub use arrow_stream::fit;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use quickdb_copy::{Batch, Decoder, Header, Layout};

use crate::catalogue::PgType;
use crate::error::{PgError, SqlState};
use crate::wire::copy_options::{CopyEncoding, CopyFromFormat, CopyFromOptions};
use crate::wire::params::InputContext;
use faults::Site;

/// A column that COPY fills.
#[derive(Debug, Clone)]
pub struct CopyColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub pg_type: PgType,
    /// Whether it takes no NULL.
    pub not_null: bool,
}

/// Decodes the data of one COPY statement.
pub trait CopyDecoder: Send {
    /// Takes the bytes of one message, which may be cut anywhere; gives the batches that are full.
    ///
    /// # Errors
    /// PostgreSQL's, with the line in the context. The decoder is of no use after one.
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, PgError>;

    /// The client has sent everything; gives what is left.
    ///
    /// # Errors
    /// As [`Self::feed`], and for data that ends too early.
    fn finish(&mut self) -> Result<Vec<RecordBatch>, PgError>;
}

/// The decoder for data of the format in `options`, whose batches have the given columns; `relation` is the table's
/// name in messages.
///
/// # Errors
/// 42P10 for a forced column that is not among the columns, 0A000 for a type that cannot be read.
pub(crate) fn decoder(
    options: &CopyFromOptions,
    relation: &str,
    columns: Vec<CopyColumn>,
    context: &InputContext,
) -> Result<Box<dyn CopyDecoder>, PgError> {
    let force_not_null = forced("FORCE_NOT_NULL", &options.force_not_null, &columns)?;
    let force_null = forced("FORCE_NULL", &options.force_null, &columns)?;
    let fields: Vec<_> =
        columns.iter().map(|column| column.pg_type.field(&column.name, !column.not_null)).collect();
    let schema = Arc::new(Schema::new(fields));
    let site = Site::new(relation, &columns, context);
    if options.format == CopyFromFormat::Arrow {
        return Ok(Box::new(arrow_stream::ArrowDecoder::new(schema, columns, site)));
    }
    let binary = options.format == CopyFromFormat::Binary;
    let readers = columns
        .iter()
        .map(|column| columns::column(column.pg_type, binary, context))
        .collect::<Result<Vec<_>, _>>()?;
    let not_null = columns.iter().map(|column| column.not_null).collect();
    let decoder = if binary {
        Decoder::binary(readers, not_null)
    } else {
        let layout = Layout {
            csv: options.format == CopyFromFormat::Csv,
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone(),
            header: options.header,
            force_not_null,
            force_null,
        };
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Decoder::text(layout, names, readers, not_null, options.encoding == CopyEncoding::Latin1)
    };
    Ok(Box::new(FieldDecoder { decoder, schema, site }))
}

/// A decoder of CSV whose batches have the given columns; a header line is skipped. In the context of errors the data is
/// `file`. Dates and times are read as in a session that has set nothing.
///
/// # Errors
/// 0A000 for a type that cannot be read.
pub fn csv_decoder(
    columns: Vec<CopyColumn>,
    delimiter: u8,
    null: &str,
    header: bool,
    latin1: bool,
) -> Result<Box<dyn CopyDecoder>, PgError> {
    let options = CopyFromOptions {
        format: CopyFromFormat::Csv,
        delimiter,
        null: null.to_owned(),
        header: if header { Header::Skip } else { Header::No },
        quote: b'"',
        escape: b'"',
        force_not_null: Vec::new(),
        force_null: Vec::new(),
        encoding: if latin1 { CopyEncoding::Latin1 } else { CopyEncoding::Utf8 },
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now_micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let context = InputContext { settings: Arc::default(), now_micros };
    decoder(&options, "file", columns, &context)
}

fn forced(option: &str, names: &[String], columns: &[CopyColumn]) -> Result<Vec<bool>, PgError> {
    if let Some(missing) = names.iter().find(|name| !columns.iter().any(|column| column.name == **name)) {
        let message = format!("{option} column \"{missing}\" not referenced by COPY");
        return Err(PgError::with_state(SqlState("42P10"), message));
    }
    Ok(columns.iter().map(|column| names.contains(&column.name)).collect())
}

/// The formats whose rows are cut into fields.
struct FieldDecoder {
    decoder: Decoder,
    schema: SchemaRef,
    site: Site,
}

impl FieldDecoder {
    fn batches(&self, batches: Vec<Batch>) -> Result<Vec<RecordBatch>, PgError> {
        batches.into_iter().map(|batch| record_batch(&self.schema, batch)).collect()
    }
}

impl CopyDecoder for FieldDecoder {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, PgError> {
        let batches = self.decoder.feed(bytes).map_err(|fault| self.site.error(fault))?;
        self.batches(batches)
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>, PgError> {
        let batches = self.decoder.finish().map_err(|fault| self.site.error(fault))?;
        self.batches(batches)
    }
}

fn record_batch(schema: &SchemaRef, batch: Batch) -> Result<RecordBatch, PgError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns, &options)
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}
