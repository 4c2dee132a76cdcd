//! Rows of an earlier revision of a table in the columns of a later one.

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use quickdb_executor::table::{COLUMN_KEY, MISSING_KEY, parse_missing_value};

/// The rows in `schema`, whose fields carry the numbers of the columns: a column keeps its values under whatever name it
/// has now, one that `rows` lack has its value for rows from before it.
///
/// # Errors
/// A value for earlier rows that does not read.
pub(crate) fn in_schema(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let columns = schema.fields().iter().map(|field| match position(rows.schema_ref(), field) {
        Some(position) => Ok(std::sync::Arc::clone(rows.column(position))),
        None => match field.metadata().get(MISSING_KEY) {
            Some(missing) => parse_missing_value(missing)?.to_array_of_size(rows.num_rows()),
            None => Ok(new_null_array(field.data_type(), rows.num_rows())),
        },
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
        .map_err(DataFusionError::from)
}

/// Where `schema` has the column of that number.
fn position(schema: &Schema, field: &Field) -> Option<usize> {
    let number = field.metadata().get(COLUMN_KEY)?;
    schema.fields().iter().position(|own| own.metadata().get(COLUMN_KEY) == Some(number))
}
