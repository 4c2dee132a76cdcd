//! Record batches to `DataRow` messages.
//!
//! ```text
//! RecordBatch ──column writers, once per batch──▶ BatchRows ──per row──▶ DataRow
//! ```
//!
//! Rows are cut from shared 64 KiB buffers, so that a row costs no allocation of its own.

use super::column::{BoxedWriter, EncodeError, ROW_BYTES_MAX, RegNames, WriterContext, column_writer};
use super::settings::OutputSettings;
use super::types::{PgColumnType, column_type};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use bytes::BytesMut;
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;
use std::sync::Arc;

/// Bytes of a buffer that rows are cut from.
const BUFFER_BYTES: usize = 64 * 1024;

/// Writes record batches of one result as `DataRow` messages.
#[derive(Debug)]
pub struct RowEncoder {
    fields: Vec<Arc<Field>>,
    formats: Vec<FieldFormat>,
    context: WriterContext,
}

impl RowEncoder {
    /// An encoder for batches of `schema`, one format per column.
    ///
    /// # Errors
    /// [`EncodeError::UnsupportedType`] for a column without a PostgreSQL type, [`EncodeError::ColumnCount`] when
    /// the formats are not as many as the columns.
    pub fn new(
        schema: &Schema,
        formats: &[FieldFormat],
        settings: Arc<OutputSettings>,
    ) -> Result<Self, EncodeError> {
        if formats.len() != schema.fields().len() {
            return Err(EncodeError::ColumnCount { expected: schema.fields().len(), found: formats.len() });
        }
        schema.fields().iter().try_for_each(|field| described_type(field).map(|_| ()))?;
        let context = WriterContext { settings, names: None };
        Ok(Self { fields: schema.fields().to_vec(), formats: formats.to_vec(), context })
    }

    /// Prints `regclass` and its like by their `names`.
    #[must_use]
    pub fn with_names(mut self, names: Arc<dyn RegNames>) -> Self {
        self.context.names = Some(names);
        self
    }

    /// The batch's rows. The batch may differ from the schema in the layout of a column (views, dictionaries).
    ///
    /// # Errors
    /// [`EncodeError`] for a batch that does not fit the schema or a value that does not fit its type.
    pub fn encode_batch(&mut self, batch: &RecordBatch) -> Result<BatchRows, EncodeError> {
        if batch.num_columns() != self.fields.len() {
            return Err(EncodeError::ColumnCount { expected: self.fields.len(), found: batch.num_columns() });
        }
        let writers = self
            .fields
            .iter()
            .zip(batch.columns())
            .zip(&self.formats)
            .map(|((field, array), format)| column_writer(field, array, *format, &self.context))
            .collect::<Result<Vec<_>, _>>()?;
        let field_count = i16::try_from(writers.len())
            .map_err(|_| EncodeError::ColumnCount { expected: 1_664, found: writers.len() })?;
        Ok(BatchRows {
            writers,
            field_count,
            row_idx: 0,
            row_count: batch.num_rows(),
            buffer: BytesMut::new(),
        })
    }
}

/// The rows of one batch.
pub struct BatchRows {
    writers: Vec<BoxedWriter>,
    field_count: i16,
    row_idx: usize,
    row_count: usize,
    buffer: BytesMut,
}

impl Iterator for BatchRows {
    type Item = Result<DataRow, EncodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.row_idx == self.row_count {
            return None;
        }
        if self.buffer.capacity() < BUFFER_BYTES / 16 {
            self.buffer.reserve(BUFFER_BYTES);
        }
        for writer in &self.writers {
            writer.write_field(self.row_idx, &mut self.buffer);
            if self.buffer.len() > ROW_BYTES_MAX {
                self.row_idx = self.row_count;
                return Some(Err(EncodeError::RowTooLong { row_bytes: self.buffer.len() }));
            }
        }
        self.row_idx += 1;
        Some(Ok(DataRow::new(self.buffer.split(), self.field_count)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.row_count - self.row_idx;
        (left, Some(left))
    }
}

impl ExactSizeIterator for BatchRows {}

/// The column of a relation that a column of a result shows unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnOrigin {
    /// `pg_class.oid` of the relation.
    pub relation_oid: u32,
    /// `pg_attribute.attnum`.
    pub number: i16,
    /// `pg_attribute.atttypmod`.
    pub typmod: i32,
}

/// RowDescription of a result: `output_names` are the column names that the client sees, in the schema's order;
/// a missing name is the field's own. `formats` are one per column, or empty for text.
///
/// # Errors
/// [`EncodeError::UnsupportedType`].
pub fn field_infos(
    schema: &Schema,
    output_names: &[String],
    origins: &[Option<ColumnOrigin>],
    formats: &[FieldFormat],
) -> Result<Vec<FieldInfo>, EncodeError> {
    let describe = |(column_idx, field): (usize, &Arc<Field>)| {
        let pg_type = described_type(field)?;
        let name = output_names.get(column_idx).unwrap_or_else(|| field.name()).clone();
        let format = formats.get(column_idx).copied().unwrap_or(FieldFormat::Text);
        let datatype = Type::from_oid(pg_type.oid).unwrap_or(Type::TEXT);
        let origin = origins.get(column_idx).copied().flatten();
        let relation = origin.and_then(|origin| i32::try_from(origin.relation_oid).ok());
        let typmod = match origin {
            Some(origin) if pg_type.typmod == -1 => origin.typmod,
            _ => pg_type.typmod,
        };
        Ok(FieldInfo::new(name, relation, origin.map(|origin| origin.number), datatype, format)
            .with_type_size(pg_type.typlen)
            .with_type_modifier(typmod))
    };
    schema.fields().iter().enumerate().map(describe).collect()
}

fn described_type(field: &Field) -> Result<PgColumnType, EncodeError> {
    column_type(field).ok_or_else(|| EncodeError::UnsupportedType {
        column: field.name().clone(),
        data_type: field.data_type().clone(),
    })
}
