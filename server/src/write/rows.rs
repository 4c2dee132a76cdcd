//! Rows on their way into a table: in its columns, and within its constraints.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef, Time64MicrosecondType, TimestampMicrosecondType};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::catalogue::{PgType, TableDefinition};
use crate::copy_in::length;
use crate::error::{PgError, SqlState};

/// OIDs of the types whose modifier bounds the length in characters: `character(n)` and `character varying(n)`.
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
/// OIDs of the types whose modifier says how many digits of a second they keep.
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
/// What a length modifier counts from.
const TYPMOD_OFFSET: i32 = 4;

/// The same rows under the table's schema.
///
/// # Errors
/// 23502 for a NULL where the table takes none, 22001 for a text that is too long; XX000 when the types are not the
/// table's.
pub(crate) fn conform(batch: &RecordBatch, table: &TableDefinition) -> Result<RecordBatch, PgError> {
    for (column, values) in table.columns.iter().zip(batch.columns()) {
        if column.not_null && values.null_count() > 0 {
            let row = (0..values.len()).find(|row| values.is_null(*row)).unwrap_or_default();
            return Err(null_in(table, &column.name, batch, row));
        }
    }
    let columns = table.arrow_schema().fields().iter().zip(&table.columns).zip(batch.columns());
    let columns = columns.map(|((field, column), values)| {
        let values = as_type(values, field.data_type())?;
        within_length(column.pg_type, &within_digits(column.pg_type, &values))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(table.arrow_schema()), columns, &options)
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}

/// The same rows in the table's types, whatever else the table says of them.
///
/// # Errors
/// See [`as_type`].
pub(crate) fn typed(batch: &RecordBatch, table: &TableDefinition) -> Result<RecordBatch, PgError> {
    let schema = nullable(table);
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, values)| as_type(values, field.data_type()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<Vec<_>, _>>()?, &options)
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}

/// Values in the column's own type, where a query has them in one that holds the same.
fn as_type(values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, PgError> {
    if values.data_type() == data_type {
        return Ok(Arc::clone(values));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(values, data_type, &options).map_err(|error| match data_type {
        DataType::Decimal128(..) => PgError::with_state(SqlState("22003"), "numeric field overflow"),
        _ => PgError::from_datafusion(error.into(), None),
    })
}

/// The same columns under another schema with the same types.
pub(crate) fn under(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, PgError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| PgError::from_datafusion(error.into(), None))
}

fn null_in(table: &TableDefinition, column: &str, batch: &RecordBatch, row: usize) -> PgError {
    let message = format!(
        "null value in column \"{column}\" of relation \"{}\" violates not-null constraint",
        table.name
    );
    let mut error = PgError::with_state(SqlState("23502"), message).detail(failing_row(batch, row));
    error.schema = Some(table.schema.clone());
    error.table = Some(table.name.clone());
    error.column = Some(column.to_owned());
    error
}

/// PostgreSQL's detail of a row that a constraint refuses.
pub(crate) fn failing_row(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default().with_null("null");
    let values = batch.columns().iter().map(|values| {
        let text = ArrayFormatter::try_new(values.as_ref(), &options)
            .map_or_else(|_| "?".to_owned(), |formatter| formatter.value(row).to_string());
        // PostgreSQL cuts long values off at 64 bytes.
        if text.len() > 64 { format!("{}...", text.chars().take(61).collect::<String>()) } else { text }
    });
    format!("Failing row contains ({}).", values.collect::<Vec<_>>().join(", "))
}

/// Texts within the length of their type; blanks beyond it go, as in SQL.
fn within_length(pg_type: PgType, values: &ArrayRef) -> Result<ArrayRef, PgError> {
    let limit = usize::try_from(pg_type.typmod - TYPMOD_OFFSET).ok();
    let (BPCHAR | VARCHAR, Some(limit), Some(texts)) = (pg_type.oid, limit, values.as_string_view_opt())
    else {
        return Ok(Arc::clone(values));
    };
    let is_long = |text: &str| text.len() > limit && text.chars().count() > limit;
    if !texts.iter().flatten().any(is_long) {
        return Ok(Arc::clone(values));
    }
    let cut = texts.iter().map(|text| {
        let Some(text) = text.filter(|text| is_long(text)) else { return Ok(text) };
        let end = text.char_indices().nth(limit).map_or(text.len(), |(end, _)| end);
        let (kept, rest) = text.split_at(end);
        if rest.bytes().all(|byte| byte == b' ') {
            return Ok(Some(kept));
        }
        Err(PgError::with_state(SqlState("22001"), format!("value too long for type {pg_type}")))
    });
    Ok(Arc::new(cut.collect::<Result<StringViewArray, _>>()?))
}

/// Moments with as many digits of a second as their type keeps.
fn within_digits(pg_type: PgType, values: &ArrayRef) -> ArrayRef {
    let digits = length::second_digits(pg_type);
    match (pg_type.oid, digits) {
        (TIMESTAMP | TIMESTAMPTZ, Some(_)) => {
            let Some(moments) = values.as_primitive_opt::<TimestampMicrosecondType>() else {
                return Arc::clone(values);
            };
            let rounded: TimestampMicrosecondArray =
                moments.unary(|micros| length::round_moment(micros, digits));
            Arc::new(rounded.with_data_type(values.data_type().clone()))
        }
        (TIME, Some(_)) => match values.as_primitive_opt::<Time64MicrosecondType>() {
            Some(times) => Arc::new(
                times.unary::<_, Time64MicrosecondType>(|micros| length::round_micros(micros, digits)),
            ),
            None => Arc::clone(values),
        },
        _ => Arc::clone(values),
    }
}

/// The table's schema in which every column takes NULL: whether one may is said with PostgreSQL's words by [`conform`].
pub(crate) fn nullable(table: &TableDefinition) -> SchemaRef {
    let fields = table.arrow_schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}
