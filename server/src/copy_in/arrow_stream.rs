//! COPY of our own format: an Arrow IPC stream in the messages, its columns in the order of the column list.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringViewArray,
};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Decimal128Type, SchemaRef, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
};
use arrow::ipc::reader::StreamDecoder;
use quickdb_copy::Batch;
use quickdb_executor::functions::arrays::shape::{Arrays, is_array, is_multi};

use super::faults::Site;
use super::length::{characters_max, fit_text, round_moment, second_digits};
use super::{CopyColumn, CopyDecoder};
use crate::catalogue::PgType;
use crate::error::{PgError, SqlState};
use crate::wire::params;
use crate::wire::types::oid;

const BAD_COPY_FILE_FORMAT: SqlState = SqlState("22P04");
const DATATYPE_MISMATCH: SqlState = SqlState("42804");

/// Decodes a stream; its columns are converted where nothing is lost by it, or checked.
pub(super) struct ArrowDecoder {
    decoder: StreamDecoder,
    schema: SchemaRef,
    columns: Vec<CopyColumn>,
    site: Site,
    /// Whether the stream's schema has been seen, and fits.
    checked: bool,
    rows: u64,
}

impl ArrowDecoder {
    pub(super) fn new(schema: SchemaRef, columns: Vec<CopyColumn>, site: Site) -> Self {
        Self { decoder: StreamDecoder::new(), schema, columns, site, checked: false, rows: 0 }
    }

    fn check_schema(&mut self) -> Result<(), PgError> {
        let Some(schema) = self.decoder.schema().filter(|_| !self.checked) else { return Ok(()) };
        let (got, expected) = (schema.fields().len(), self.columns.len());
        if got != expected {
            let message = format!("the Arrow stream has {got} columns, expected {expected}");
            return Err(PgError::with_state(BAD_COPY_FILE_FORMAT, message));
        }
        for (field, column) in schema.fields().iter().zip(&self.columns) {
            if !fits(field.data_type(), &column.pg_type.data_type()) {
                let (name, pg_type, found) = (&column.name, column.pg_type, field.data_type());
                let message = format!(
                    "column \"{name}\" is of type {pg_type} but the Arrow stream has values of type {found}"
                );
                return Err(PgError::with_state(DATATYPE_MISMATCH, message)
                    .hint("Convert the column before it is sent."));
            }
        }
        self.checked = true;
        Ok(())
    }

    fn convert(&mut self, batch: &RecordBatch) -> Result<RecordBatch, PgError> {
        let first_row = self.rows + 1;
        self.rows += batch.num_rows() as u64;
        let mut converted = Vec::with_capacity(self.columns.len());
        for (column, array) in self.columns.iter().zip(batch.columns()) {
            let context = || {
                format!(
                    "COPY {}, rows {first_row} to {}, column {}",
                    self.site.relation(),
                    self.rows,
                    column.name
                )
            };
            converted.push(fit(array, column.pg_type).map_err(|error| error.context(context()))?);
        }
        let null =
            self.columns.iter().zip(&converted).enumerate().filter_map(|(column_idx, (column, array))| {
                let nulls = array.nulls().filter(|nulls| column.not_null && nulls.null_count() > 0)?;
                nulls.iter().position(|valid| !valid).map(|row| (row, column_idx))
            });
        if let Some((row, column_idx)) = null.min() {
            let line = first_row + row as u64;
            let row = Batch { columns: converted.iter().map(|array| array.slice(row, 1)).collect(), rows: 1 };
            let context = format!("COPY {}, row {line}", self.site.relation());
            return Err(self.site.null_error(column_idx, &row).context(context));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), converted, &options)
            .map_err(|error| PgError::from_datafusion(error.into(), None))
    }
}

fn damaged(error: impl std::fmt::Display) -> PgError {
    PgError::with_state(BAD_COPY_FILE_FORMAT, "invalid Arrow stream").detail(error.to_string())
}

impl CopyDecoder for ArrowDecoder {
    fn feed(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, PgError> {
        let mut buffer = Buffer::from(bytes);
        let mut batches = Vec::new();
        while !buffer.is_empty() {
            let decoded = self.decoder.decode(&mut buffer).map_err(damaged)?;
            self.check_schema()?;
            if let Some(batch) = decoded {
                batches.push(self.convert(&batch)?);
            }
        }
        Ok(batches)
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>, PgError> {
        self.decoder.finish().map_err(damaged)?;
        if !self.checked {
            return Err(damaged("The stream has no schema."));
        }
        Ok(Vec::new())
    }
}

/// Whether values of an Arrow type can be taken into a column: as they are, or checked one by one.
fn fits(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (DataType::Null, _) => true,
        (DataType::Dictionary(_, values), to) => fits(values, to),
        (DataType::RunEndEncoded(_, values), to) => fits(values.data_type(), to),
        (
            DataType::List(from)
            | DataType::LargeList(from)
            | DataType::ListView(from)
            | DataType::LargeListView(from)
            | DataType::FixedSizeList(from, _),
            DataType::List(to),
        ) => fits(from.data_type(), to.data_type()),
        (from, DataType::Decimal128(..)) => from.is_integer() || from.is_decimal(),
        (from, DataType::Int16 | DataType::Int32 | DataType::Int64) => from.is_integer(),
        (from, DataType::Float32) => matches!(from, DataType::Float16 | DataType::Float32),
        (from, DataType::Float64) => from.is_floating() || from.is_integer(),
        (from, DataType::Utf8View) => from.is_string(),
        (from, DataType::BinaryView) => from.is_binary(),
        (from, DataType::Date32) => matches!(from, DataType::Date32 | DataType::Date64),
        (from, DataType::Time64(_)) => matches!(from, DataType::Time32(_) | DataType::Time64(_)),
        (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (from, DataType::Interval(_)) => matches!(from, DataType::Interval(_) | DataType::Duration(_)),
        (from, to) => from == to,
    }
}

/// The values in the type's Arrow type, checked against its modifier.
///
/// # Errors
/// 22003 for a number out of range, 22001 for a text too long, 22P02 for text that is no value of the type.
pub fn fit(array: &ArrayRef, pg_type: PgType) -> Result<ArrayRef, PgError> {
    let wanted = pg_type.data_type();
    if let Some(element) = pg_type.element()
        && (is_multi(&wanted) && is_array(array.data_type()) || is_multi(array.data_type()))
    {
        let wrong = |error| PgError::from_datafusion(error, None);
        let arrays = Arrays::of(array).map_err(wrong)?;
        let elements = fit(arrays.elements(), element)?;
        return arrays.over(&elements, &wanted).map_err(wrong);
    }
    if let (Some(element), DataType::List(field)) = (pg_type.element(), &wanted) {
        let list = cast(array, &DataType::List(Arc::new(element_field(array.data_type(), field))), pg_type)?;
        let list = list.as_list::<i32>();
        let values = fit(list.values(), element)?;
        let list =
            ListArray::try_new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned());
        return Ok(Arc::new(list.map_err(|error| PgError::from_datafusion(error.into(), None))?));
    }
    let array = match array.data_type() {
        // Arrow rounds toward zero, which is later before 1970.
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let micros: PrimitiveArray<TimestampMicrosecondType> =
                array.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos.div_euclid(1_000));
            cast(&(Arc::new(micros) as ArrayRef), &wanted, pg_type)?
        }
        _ => cast(array, &wanted, pg_type)?,
    };
    match &wanted {
        DataType::Utf8View => fit_texts(array, pg_type),
        DataType::Decimal128(precision, scale) => {
            array.as_primitive::<Decimal128Type>().validate_decimal_precision(*precision).map_err(|_| {
                PgError::with_state(SqlState("22003"), "numeric field overflow").detail(format!(
                    "A field with precision {precision}, scale {scale} cannot hold a value of the Arrow stream."
                ))
            })?;
            Ok(array)
        }
        DataType::Timestamp(_, zone) if second_digits(pg_type).is_some() => {
            let digits = second_digits(pg_type);
            let rounded: PrimitiveArray<TimestampMicrosecondType> =
                array.as_primitive::<TimestampMicrosecondType>().unary(|micros| round_moment(micros, digits));
            Ok(Arc::new(rounded.with_timezone_opt(zone.clone())))
        }
        _ => Ok(array),
    }
}

/// The list's element field with the type that the values have now.
fn element_field(list: &DataType, field: &arrow::datatypes::Field) -> arrow::datatypes::Field {
    let found = match list {
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::ListView(element)
        | DataType::LargeListView(element)
        | DataType::FixedSizeList(element, _) => element.data_type().clone(),
        _ => field.data_type().clone(),
    };
    field.clone().with_data_type(found)
}

fn cast(array: &ArrayRef, wanted: &DataType, pg_type: PgType) -> Result<ArrayRef, PgError> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    if !fits(array.data_type(), wanted) {
        let message = format!("values of Arrow type {} are none of type {pg_type}", array.data_type());
        return Err(PgError::with_state(DATATYPE_MISMATCH, message));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options)
        .map_err(|_| PgError::with_state(SqlState("22003"), format!("value out of range for type {pg_type}")))
}

fn fit_texts(array: ArrayRef, pg_type: PgType) -> Result<ArrayRef, PgError> {
    let texts = array.as_string_view();
    if characters_max(pg_type).is_some() {
        let fitted = texts.iter().map(|text| text.map(|text| fit_text(text, pg_type)).transpose());
        let fitted: StringViewArray = fitted.collect::<Result<_, _>>()?;
        return Ok(Arc::new(fitted));
    }
    if pg_type.oid == oid::UUID {
        // A uuid is stored in the form that it is printed in.
        let printed = texts.iter().map(|text| text.map(params::canonical_uuid).transpose());
        let printed: StringViewArray = printed.collect::<Result<_, _>>().map_err(PgError::from)?;
        return Ok(Arc::new(printed));
    }
    if pg_type.oid == oid::JSONB {
        let normal = texts.iter().map(|text| text.map(params::normal_json).transpose());
        let normal: StringViewArray = normal.collect::<Result<_, _>>().map_err(PgError::from)?;
        return Ok(Arc::new(normal));
    }
    for text in texts.iter().flatten() {
        params::utf8(text.as_bytes()).map_err(PgError::from)?;
        if pg_type.oid == oid::JSON {
            params::check_json(text).map_err(PgError::from)?;
        }
    }
    Ok(array)
}
