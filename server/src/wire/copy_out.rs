//! Record batches to the data of `COPY ... TO STDOUT`, many rows to a message.

use super::column::{BoxedWriter, EncodeError, RegNames, WriterContext, column_writer};
use super::copy_options::{CopyEncoding, CopyError, CopyFormat, CopyOptions};
use super::settings::OutputSettings;
use super::types::column_type;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::{BufMut, Bytes, BytesMut};
use pgwire::api::results::FieldFormat;
use std::sync::Arc;

/// Signature, flags and the length of the (absent) header extension.
const BINARY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// A field count of -1.
const BINARY_TRAILER: &[u8] = b"\xff\xff";

/// Why COPY cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CopyOutError {
    /// The rows cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The options are refused, or the encoding lacks a character.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl CopyOutError {
    /// PostgreSQL's code for the error.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Encode(error) => error.sqlstate(),
            Self::Copy(error) => error.sqlstate,
        }
    }
}

/// Writes record batches of one query as COPY data.
#[derive(Debug)]
pub struct CopyEncoder {
    fields: Vec<Arc<Field>>,
    names: Vec<String>,
    forced: Vec<bool>,
    options: CopyOptions,
    context: WriterContext,
}

impl CopyEncoder {
    /// An encoder for batches of `schema`, whose field names are the names in the header line.
    ///
    /// # Errors
    /// A column without a PostgreSQL type, or a FORCE_QUOTE column that does not exist.
    pub fn new(
        schema: &Schema,
        options: CopyOptions,
        settings: Arc<OutputSettings>,
    ) -> Result<Self, CopyOutError> {
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        Self::with_names(schema, names, options, settings)
    }

    /// An encoder whose columns have other names than the fields, one per column.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_names(
        schema: &Schema,
        names: Vec<String>,
        options: CopyOptions,
        settings: Arc<OutputSettings>,
    ) -> Result<Self, CopyOutError> {
        if names.len() != schema.fields().len() {
            let (expected, found) = (schema.fields().len(), names.len());
            return Err(EncodeError::ColumnCount { expected, found }.into());
        }
        for field in schema.fields() {
            if column_type(field).is_none() {
                let (column, data_type) = (field.name().clone(), field.data_type().clone());
                return Err(EncodeError::UnsupportedType { column, data_type }.into());
            }
        }
        let forced = options.forced_columns(&names)?;
        let context = WriterContext { settings, names: None };
        Ok(Self { fields: schema.fields().to_vec(), names, forced, options, context })
    }

    /// Prints `regclass` and its like by their names.
    #[must_use]
    pub fn printing_by(mut self, names: Arc<dyn RegNames>) -> Self {
        self.context.names = Some(names);
        self
    }

    /// Number of columns, for `CopyOutResponse`.
    pub fn column_count(&self) -> usize {
        self.fields.len()
    }

    /// The format of the whole and of every column in `CopyOutResponse`: 1 for binary.
    pub fn format_code(&self) -> i8 {
        i8::from(self.options.format == CopyFormat::Binary)
    }

    /// What goes before the first row: the header line or the binary header.
    ///
    /// # Errors
    /// A column name that the encoding lacks characters for.
    pub fn header(&self) -> Result<Option<Bytes>, CopyOutError> {
        if self.options.format == CopyFormat::Binary {
            return Ok(Some(Bytes::from_static(BINARY_HEADER)));
        }
        if !self.options.header {
            return Ok(None);
        }
        let mut out = BytesMut::new();
        for (column_idx, name) in self.names.iter().enumerate() {
            if column_idx > 0 {
                out.put_u8(self.options.delimiter);
            }
            let start = out.len();
            out.extend_from_slice(name.as_bytes());
            self.finish_value(start, false, &mut out);
        }
        out.put_u8(b'\n');
        Ok(Some(self.encoded(out)?))
    }

    /// The rows of a batch, written into one buffer and cut from it.
    ///
    /// # Errors
    /// [`CopyOutError`] for a batch that does not fit the schema or a character that the encoding lacks.
    pub fn encode_batch(&mut self, batch: &RecordBatch) -> Result<CopyRows, CopyOutError> {
        if batch.num_columns() != self.fields.len() {
            let (expected, found) = (self.fields.len(), batch.num_columns());
            return Err(EncodeError::ColumnCount { expected, found }.into());
        }
        let binary = self.options.format == CopyFormat::Binary;
        let format = if binary { FieldFormat::Binary } else { FieldFormat::Text };
        let writers = self
            .fields
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| column_writer(field, array, format, &self.context))
            .collect::<Result<Vec<_>, _>>()?;
        let mut out = BytesMut::with_capacity(batch.num_rows() * (8 * writers.len() + 1));
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row_idx in 0..batch.num_rows() {
            let start = out.len();
            if binary {
                out.put_i16(i16::try_from(writers.len()).unwrap_or(i16::MAX));
                writers.iter().for_each(|writer| writer.write_field(row_idx, &mut out));
            } else {
                self.write_row(&writers, row_idx, &mut out);
            }
            let row_bytes = out.len() - start;
            if row_bytes > super::column::ROW_BYTES_MAX {
                return Err(EncodeError::RowTooLong { row_bytes }.into());
            }
            if !binary && self.options.encoding == CopyEncoding::Latin1 {
                let row = to_latin1(out.get(start..).unwrap_or_default())?;
                out.truncate(start);
                out.extend_from_slice(&row);
            }
            ends.push(out.len());
        }
        Ok(CopyRows { data: out.freeze(), ends: ends.into_iter(), start: 0 })
    }

    /// What goes after the last row: the binary trailer.
    pub fn trailer(&self) -> Option<Bytes> {
        (self.options.format == CopyFormat::Binary).then(|| Bytes::from_static(BINARY_TRAILER))
    }

    fn write_row(&self, writers: &[BoxedWriter], row_idx: usize, out: &mut BytesMut) {
        for (column_idx, (writer, forced)) in writers.iter().zip(&self.forced).enumerate() {
            if column_idx > 0 {
                out.put_u8(self.options.delimiter);
            }
            if writer.is_null(row_idx) {
                out.extend_from_slice(self.options.null.as_bytes());
                continue;
            }
            let start = out.len();
            writer.write(row_idx, out);
            self.finish_value(start, *forced, out);
        }
        out.put_u8(b'\n');
    }

    /// Escapes or quotes the value that was appended from `start` on.
    fn finish_value(&self, start: usize, forced: bool, out: &mut BytesMut) {
        if self.options.format == CopyFormat::Csv {
            let text = out.get(start..).unwrap_or_default();
            let (delimiter, quote, escape) =
                (self.options.delimiter, self.options.quote, self.options.escape);
            let special = |byte: &u8| *byte == delimiter || *byte == quote || matches!(byte, b'\n' | b'\r');
            let needs_quotes = forced
                || text == self.options.null.as_bytes()
                // Alone on a line this would end the data.
                || self.fields.len() == 1 && text == b"\\."
                || text.iter().any(special);
            if needs_quotes {
                csv_quote(start, quote, escape, out);
            }
        } else {
            text_escape(start, self.options.delimiter, out);
        }
    }

    fn encoded(&self, out: BytesMut) -> Result<Bytes, CopyOutError> {
        match self.options.encoding {
            CopyEncoding::Utf8 => Ok(out.freeze()),
            CopyEncoding::Latin1 => Ok(to_latin1(&out)?),
        }
    }
}

/// The rows of one batch, each of which is a message of its own: clients take each message for one row.
#[derive(Debug)]
pub struct CopyRows {
    data: Bytes,
    ends: std::vec::IntoIter<usize>,
    start: usize,
}

impl Iterator for CopyRows {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let end = self.ends.next()?;
        let row = self.data.slice(self.start..end);
        self.start = end;
        Some(row)
    }
}

/// Quotes the bytes from `start` on.
fn csv_quote(start: usize, quote: u8, escape: u8, out: &mut BytesMut) {
    let plain = out.get(start..).unwrap_or_default().to_vec();
    out.truncate(start);
    out.put_u8(quote);
    for byte in plain {
        if byte == quote || byte == escape {
            out.put_u8(escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(quote);
}

/// Puts backslashes into the bytes from `start` on.
fn text_escape(start: usize, delimiter: u8, out: &mut BytesMut) {
    let text = out.get(start..).unwrap_or_default();
    let special = |byte: &u8| matches!(byte, b'\\' | 0x08..=0x0d) || *byte == delimiter;
    let Some(first) = text.iter().position(special) else { return };
    let plain = text.get(first..).unwrap_or_default().to_vec();
    out.truncate(start + first);
    for byte in plain {
        let letter = match byte {
            0x08 => b'b',
            0x09 => b't',
            0x0a => b'n',
            0x0b => b'v',
            0x0c => b'f',
            0x0d => b'r',
            byte if byte == b'\\' || byte == delimiter => byte,
            byte => {
                out.put_u8(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', letter]);
    }
}

fn to_latin1(text: &[u8]) -> Result<Bytes, CopyError> {
    if text.is_ascii() {
        return Ok(Bytes::copy_from_slice(text));
    }
    String::from_utf8_lossy(text)
        .chars()
        .map(|character| {
            u8::try_from(character).map_err(|_| {
                let mut buffer = [0; 4];
                let bytes: Vec<String> =
                    character.encode_utf8(&mut buffer).bytes().map(|byte| format!("0x{byte:02x}")).collect();
                let bytes = bytes.join(" ");
                let message = format!(
                    "character with byte sequence {bytes} in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\""
                );
                CopyError::new("22P05", message)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::copy_options::ForceQuote;
    use arrow::array::{ArrayRef, Int32Array, StringViewArray};

    fn copy(columns: &[(&str, &[Option<&str>])], options: CopyOptions) -> String {
        let columns: Vec<(&str, ArrayRef)> = columns
            .iter()
            .map(|(name, values)| (*name, Arc::new(StringViewArray::from(values.to_vec())) as ArrayRef))
            .collect();
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut encoder =
            CopyEncoder::new(&batch.schema(), options, Arc::new(OutputSettings::default())).unwrap();
        let mut all = encoder.header().unwrap().unwrap_or_default().to_vec();
        all.extend(encoder.encode_batch(&batch).unwrap().flatten());
        all.extend_from_slice(&encoder.trailer().unwrap_or_default());
        String::from_utf8(all).unwrap()
    }

    fn csv() -> CopyOptions {
        CopyOptions {
            format: CopyFormat::Csv,
            delimiter: b',',
            null: String::new(),
            ..CopyOptions::default()
        }
    }

    #[test]
    fn text_recorded_from_postgresql() {
        let options = CopyOptions { header: true, ..CopyOptions::default() };
        let columns: &[(&str, &[Option<&str>])] =
            &[("a\tb", &[Some("1"), None]), ("c\\d", &[Some("\x08\x0c\n\r\t\x0b\\|\x01\x7f"), Some("\\N")])];
        assert_eq!(copy(columns, options), "a\\tb\tc\\\\d\n1\t\\b\\f\\n\\r\\t\\v\\\\|\x01\x7f\n\\N\t\\\\N\n");
        let options = CopyOptions { delimiter: b'|', null: "NULL".into(), ..CopyOptions::default() };
        assert_eq!(copy(&[("a", &[Some("x|y\té"), None])], options), "x\\|y\\té\nNULL\n");
    }

    #[test]
    fn csv_recorded_from_postgresql() {
        let options = CopyOptions { header: true, ..csv() };
        assert_eq!(
            copy(&[("a,b", &[Some("1")]), ("c\"d", &[Some("2")])], options),
            "\"a,b\",\"c\"\"d\"\n1,2\n"
        );
        let options = CopyOptions { header: true, ..csv() };
        assert_eq!(copy(&[("\\.", &[Some("\\.")])], options.clone()), "\"\\.\"\n\"\\.\"\n");
        assert_eq!(copy(&[("\\.", &[Some("\\.")]), ("x", &[Some("")])], options), "\\.,x\n\\.,\"\"\n");
        let row: &[(&str, &[Option<&str>])] = &[
            ("a", &[Some("")]),
            ("b", &[None]),
            ("c", &[Some("x\ry")]),
            ("d", &[Some("\"")]),
            ("e", &[Some("a\\b")]),
            ("f", &[Some(" ")]),
        ];
        let options = CopyOptions { escape: b'\\', force_quote: ForceQuote::All, ..csv() };
        assert_eq!(copy(row, options), "\"\",,\"x\ry\",\"\\\"\",\"a\\\\b\",\" \"\n");
        assert_eq!(copy(row, csv()), "\"\",,\"x\ry\",\"\"\"\",a\\b, \n");
        let options = CopyOptions { null: "NULL".into(), ..csv() };
        assert_eq!(copy(&[("a", &[Some("NULL"), None])], options), "\"NULL\"\nNULL\n");
    }

    #[test]
    fn binary_has_header_fields_and_trailer() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(7), None]));
        let batch = RecordBatch::try_from_iter_with_nullable([("a", values, true)]).unwrap();
        let options = CopyOptions { format: CopyFormat::Binary, ..CopyOptions::default() };
        let mut encoder =
            CopyEncoder::new(&batch.schema(), options, Arc::new(OutputSettings::default())).unwrap();
        assert_eq!(encoder.format_code(), 1);
        assert_eq!(encoder.header().unwrap().unwrap().len(), 19);
        let rows: Vec<Bytes> = encoder.encode_batch(&batch).unwrap().collect();
        assert_eq!(rows, [&b"\0\x01\0\0\0\x04\0\0\0\x07"[..], b"\0\x01\xff\xff\xff\xff"]);
        assert_eq!(encoder.trailer().unwrap(), &b"\xff\xff"[..]);
    }

    #[test]
    fn latin1_refuses_what_it_lacks() {
        let options = CopyOptions { encoding: CopyEncoding::Latin1, ..CopyOptions::default() };
        let batch = |text: &str| {
            let values: ArrayRef = Arc::new(StringViewArray::from(vec![text]));
            RecordBatch::try_from_iter([("a", values)]).unwrap()
        };
        let good = batch("é");
        let mut encoder =
            CopyEncoder::new(&good.schema(), options, Arc::new(OutputSettings::default())).unwrap();
        assert_eq!(encoder.encode_batch(&good).unwrap().collect::<Vec<_>>(), [&b"\xe9\n"[..]]);
        let error = encoder.encode_batch(&batch("€")).unwrap_err();
        assert_eq!(error.sqlstate(), "22P05");
        assert_eq!(
            error.to_string(),
            "character with byte sequence 0xe2 0x82 0xac in encoding \"UTF8\" has no equivalent in encoding \"LATIN1\""
        );
    }
}
