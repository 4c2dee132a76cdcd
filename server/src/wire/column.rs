//! Writers of one column's values: chosen once per batch from the arrow type, the PostgreSQL type and the
//! format, so that writing a value is one call without dispatch on types.

use super::nested::{list_writer, multi_writer, struct_writer, vector_writer};
use super::scalar_column::{displayed_numerics, is_text, scalar_writer};
use super::settings::OutputSettings;
use super::types::{self, PgColumnType, column_type, element_type, is_vector, oid};
use arrow::array::{AnyDictionaryArray, Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};
use pgwire::api::results::FieldFormat;
use quickdb_executor::functions::arrays::shape::is_multi;
use quickdb_executor::functions::numeric_display::NUMERIC_DISPLAY_KEY;
use std::fmt;
use std::sync::Arc;

/// The longest row that is sent, as in PostgreSQL: the largest buffer that it allocates.
pub const ROW_BYTES_MAX: usize = 0x3fff_ffff;

/// Why rows cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// A column's arrow type has no PostgreSQL counterpart.
    #[error("column \"{column}\" has a type without a PostgreSQL counterpart: {data_type}")]
    UnsupportedType {
        /// The column's name.
        column: String,
        /// Its arrow type.
        data_type: DataType,
    },
    /// The type is sent as text only.
    #[error("no binary output function available for type {type_name}")]
    NoBinaryOutput {
        /// The PostgreSQL name of the type.
        type_name: &'static str,
    },
    /// The inner arrays of a column that is sent in binary differ in length.
    #[error("multidimensional arrays must have sub-arrays with matching dimensions")]
    RaggedArray,
    /// A row is longer than [`ROW_BYTES_MAX`].
    #[error("out of memory")]
    RowTooLong {
        /// Bytes of the row so far.
        row_bytes: usize,
    },
    /// A batch has another number of columns than the schema, or another number of formats was given.
    #[error("{expected} columns were described, but {found} are sent")]
    ColumnCount {
        /// Columns of the schema.
        expected: usize,
        /// Columns of the batch, or formats.
        found: usize,
    },
    /// A value does not fit the PostgreSQL type that the column is declared as.
    #[error("column \"{column}\" does not fit its declared type: {source}")]
    Convert {
        /// The column's name.
        column: String,
        /// What arrow says.
        source: ArrowError,
    },
}

impl EncodeError {
    /// PostgreSQL's code for the error.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::UnsupportedType { .. } => "0A000",
            Self::NoBinaryOutput { .. } => "42883",
            Self::RaggedArray => "2202E",
            Self::RowTooLong { .. } => "54000",
            Self::ColumnCount { .. } => "XX000",
            Self::Convert { .. } => "22003",
        }
    }
}

/// Finds what the values of `regclass`, `regtype` and their like, which are OIDs, are called in text.
pub trait RegNames: Send + Sync + fmt::Debug {
    /// The name of the object `oid` as a value of the type `reg_type_oid`; `None` where there is no such object.
    fn name_of(&self, reg_type_oid: u32, oid: u32) -> Option<String>;
}

/// What writers need to know besides the column.
#[derive(Debug, Clone)]
pub(super) struct WriterContext {
    pub(super) settings: Arc<OutputSettings>,
    pub(super) names: Option<Arc<dyn RegNames>>,
}

/// Writes the values of one column of one batch.
pub(super) trait ValueWriter: Send {
    /// Whether the value is NULL.
    fn is_null(&self, row_idx: usize) -> bool;

    /// Appends the value, which is not NULL.
    fn write(&self, row_idx: usize, out: &mut BytesMut);

    /// Appends the value with its length in front, -1 for NULL: a field of `DataRow` or of binary COPY.
    fn write_field(&self, row_idx: usize, out: &mut BytesMut) {
        if self.is_null(row_idx) {
            return out.put_i32(-1);
        }
        write_with_length(out, |out| self.write(row_idx, out));
    }
}

/// A writer that owns its arrays.
pub(super) type BoxedWriter = Box<dyn ValueWriter>;

/// Appends what `write` appends, with its length in front as 32 bits.
pub(super) fn write_with_length(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    write(out);
    // A longer value makes a longer row, which is refused as a whole.
    let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&len.to_be_bytes());
    }
}

struct NullWriter;

impl ValueWriter for NullWriter {
    fn is_null(&self, _row_idx: usize) -> bool {
        true
    }

    fn write(&self, _row_idx: usize, _out: &mut BytesMut) {}
}

/// Values behind the keys of a dictionary.
struct DictionaryWriter {
    keys: Vec<usize>,
    array: ArrayRef,
    values: BoxedWriter,
}

impl DictionaryWriter {
    fn key(&self, row_idx: usize) -> usize {
        self.keys.get(row_idx).copied().unwrap_or(0)
    }
}

impl ValueWriter for DictionaryWriter {
    fn is_null(&self, row_idx: usize) -> bool {
        self.array.is_null(row_idx) || self.values.is_null(self.key(row_idx))
    }

    fn write(&self, row_idx: usize, out: &mut BytesMut) {
        self.values.write(self.key(row_idx), out);
    }
}

/// Makes the writer of a column.
pub(super) fn column_writer(
    field: &Field,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    let pg_type = column_type(field).ok_or_else(|| EncodeError::UnsupportedType {
        column: field.name().clone(),
        data_type: field.data_type().clone(),
    })?;
    if let (Some(display), FieldFormat::Text, DataType::Decimal128(_, scale)) =
        (field.metadata().get(NUMERIC_DISPLAY_KEY), format, array.data_type())
    {
        if let Some(writer) = displayed_numerics(array, *scale, display.clone()) {
            return Ok(writer);
        }
    }
    value_writer(field.name(), pg_type, array, format, context)
}

/// Appends one value in its text form; gives whether there is one, that is, not NULL.
///
/// # Errors
/// A column without a PostgreSQL type.
pub(crate) fn text_value(
    field: &Field,
    array: &ArrayRef,
    row_idx: usize,
    settings: &Arc<OutputSettings>,
    out: &mut BytesMut,
) -> Result<bool, EncodeError> {
    let context = WriterContext { settings: Arc::clone(settings), names: None };
    let writer = column_writer(field, array, FieldFormat::Text, &context)?;
    if writer.is_null(row_idx) {
        return Ok(false);
    }
    writer.write(row_idx, out);
    Ok(true)
}

/// Makes the writer of values of `pg_type`.
pub(super) fn value_writer(
    column: &str,
    pg_type: PgColumnType,
    array: &ArrayRef,
    format: FieldFormat,
    context: &WriterContext,
) -> Result<BoxedWriter, EncodeError> {
    match array.data_type() {
        DataType::Null => return Ok(Box::new(NullWriter)),
        DataType::Dictionary(..) => {
            let dictionary: &dyn AnyDictionaryArray = array.as_any_dictionary();
            let values = value_writer(column, pg_type, dictionary.values(), format, context)?;
            // An empty dictionary has no first value that NULL keys could point at.
            let keys = if dictionary.values().is_empty() { Vec::new() } else { dictionary.normalized_keys() };
            return Ok(Box::new(DictionaryWriter { keys, array: Arc::clone(array), values }));
        }
        DataType::RunEndEncoded(_, values) => {
            let plain = convert(column, array, values.data_type())?;
            return value_writer(column, pg_type, &plain, format, context);
        }
        DataType::ListView(element) => {
            let plain = convert(column, array, &DataType::List(Arc::clone(element)))?;
            return value_writer(column, pg_type, &plain, format, context);
        }
        DataType::LargeListView(element) => {
            let plain = convert(column, array, &DataType::LargeList(Arc::clone(element)))?;
            return value_writer(column, pg_type, &plain, format, context);
        }
        _ => {}
    }
    let is_list =
        matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..));
    if is_list && is_vector(pg_type.oid) {
        return vector_writer(column, pg_type.oid, array, format, context);
    }
    if is_list && let Some(element) = element_type(pg_type.oid) {
        return list_writer(column, element.oid, array, format, context);
    }
    if is_multi(array.data_type())
        && let Some(element) = element_type(pg_type.oid)
    {
        return multi_writer(column, element.oid, array, format, context);
    }
    if let (DataType::Struct(_), oid::RECORD) = (array.data_type(), pg_type.oid) {
        return struct_writer(array, format, context);
    }
    if let Some(writer) = scalar_writer(pg_type.oid, array, format, context) {
        return Ok(writer);
    }
    // A text column over numbers, dates or lists prints them as their own type does.
    let natural = column_type(&Field::new(column, array.data_type().clone(), true));
    let unsupported =
        || EncodeError::UnsupportedType { column: column.to_owned(), data_type: array.data_type().clone() };
    let natural = natural.ok_or_else(unsupported)?;
    if is_text(pg_type.oid) && natural.oid != pg_type.oid {
        return value_writer(column, natural, array, FieldFormat::Text, context);
    }
    if format == FieldFormat::Binary && natural.oid == oid::TEXT {
        return Err(EncodeError::NoBinaryOutput { type_name: pg_type.name });
    }
    let wanted = types::arrow_type(pg_type.oid).filter(|wanted| wanted != array.data_type());
    let converted = convert(column, array, &wanted.ok_or_else(unsupported)?)?;
    scalar_writer(pg_type.oid, &converted, format, context).ok_or_else(unsupported)
}

fn convert(column: &str, array: &ArrayRef, wanted: &DataType) -> Result<ArrayRef, EncodeError> {
    let options = arrow::compute::CastOptions { safe: false, ..Default::default() };
    arrow::compute::cast_with_options(array, wanted, &options)
        .map_err(|source| EncodeError::Convert { column: column.to_owned(), source })
}
