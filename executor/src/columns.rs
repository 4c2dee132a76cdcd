//! How the columns of a table are found in shards that were written when it had others.
//!
//! ```text
//!  table now                          shard, written before
//!  a   quickdb.column=1  ──────────▶  b   quickdb.column=1      renamed since
//!  c   quickdb.column=3  ──────────▶  nothing: added since; NULL, or quickdb.missing
//!                                     d   quickdb.column=2      dropped since, not read
//! ```
//!
//! The numbers stand in the metadata of the table's fields, and the writer keeps them in the shard. They are for
//! scans alone: plans above a scan see fields without them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use quickdb_storage::{ColumnSummary, ZoneMap};

use crate::error::{ErrorKind, ExecError};

/// Field metadata: the number of a column in its table, which stays when the column is renamed and is not given to
/// another one when it is dropped. In decimal, though any text would do.
pub const COLUMN_KEY: &str = "quickdb.column";

/// Field metadata: the value of the column in shards that lack it, as [`missing_value`] writes it. Without, it is NULL.
pub const MISSING_KEY: &str = "quickdb.missing";

/// The column with the number of each row's shard, as [`crate::table::ShardTable::row_ids`] adds it.
pub const SHARD_COLUMN: &str = "quickdb_shard";

/// The column with the number of each row in its shard, as [`crate::table::ShardTable::row_ids`] adds it.
pub const ROW_COLUMN: &str = "quickdb_row";

/// Field metadata of the two columns above.
const ROW_ID_KEY: &str = "quickdb.row_id";

/// What all metadata that is not for plans begins with.
const PRIVATE_PREFIX: &str = "quickdb.";

/// Where the values of a table's column come from in one shard.
#[derive(Debug, Clone)]
pub(crate) enum ColumnSource {
    /// A column of the shard.
    Stored(usize),
    /// The one value of this array in every row.
    Constant(ArrayRef),
    /// The shard's number.
    ShardNumber,
    /// The number of the row in the shard.
    RowNumber,
}

/// A value as text for [`MISSING_KEY`]: an Arrow IPC stream of one row and column, in hexadecimal digits.
///
/// # Errors
/// Types that Arrow cannot write.
pub fn missing_value(value: &ScalarValue) -> Result<String> {
    let values = value.to_array_of_size(1)?;
    let schema = Arc::new(Schema::new(vec![Field::new("missing", values.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values])?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    let bytes = writer.into_inner()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The value that [`missing_value`] made the text of.
///
/// # Errors
/// `Internal` when the text is nothing of the kind.
pub fn parse_missing_value(text: &str) -> Result<ScalarValue> {
    let array = missing_array(text)?;
    ScalarValue::try_from_array(&array, 0)
}

fn missing_array(text: &str) -> Result<ArrayRef> {
    let malformed = || internal(format!("malformed value of {MISSING_KEY}"));
    let digits = text.as_bytes().chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Vec<u8> = digits.collect::<Option<_>>().ok_or_else(malformed)?;
    let mut batches = StreamReader::try_new(bytes.as_slice(), None)?;
    let batch = batches.next().transpose()?.ok_or_else(malformed)?;
    match (batch.num_rows(), batch.columns()) {
        (1, [values]) => Ok(Arc::clone(values)),
        _ => Err(malformed()),
    }
}

/// The schema without the metadata that is for scans alone.
pub(crate) fn without_private(schema: &SchemaRef) -> SchemaRef {
    let is_private = |field: &Field| field.metadata().keys().any(|key| key.starts_with(PRIVATE_PREFIX));
    if !schema.fields().iter().any(|field| is_private(field)) {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().map(|field| {
        if !is_private(field) {
            return Arc::clone(field);
        }
        let metadata = field.metadata().iter().filter(|(key, _)| !key.starts_with(PRIVATE_PREFIX));
        let metadata = metadata.map(|(key, value)| (key.clone(), value.clone())).collect();
        Arc::new(field.as_ref().clone().with_metadata(metadata))
    });
    let fields: Vec<_> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The schema with the two columns that name each row.
pub(crate) fn with_row_ids(schema: &SchemaRef) -> SchemaRef {
    let added = [SHARD_COLUMN, ROW_COLUMN].map(|name| {
        let metadata = [(ROW_ID_KEY.to_owned(), name.to_owned())].into();
        Arc::new(Field::new(name, DataType::Int64, false).with_metadata(metadata))
    });
    let fields: Vec<_> = schema.fields().iter().cloned().chain(added).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// For each column of the table where a shard with the schema `stored` has it. Where both have a number they are
/// matched by it, otherwise by name.
///
/// # Errors
/// `Internal` when a column has another type than in the shard, or is missing there and has no value that it may have.
pub(crate) fn find_columns(stored: &Schema, table: &Schema) -> Result<Vec<ColumnSource>> {
    let find = |(position, field): (usize, &Arc<Field>)| {
        let is_it = |other: &Field| match (field.metadata().get(COLUMN_KEY), other.metadata().get(COLUMN_KEY))
        {
            (Some(number), Some(other)) => number == other,
            _ => field.name() == other.name(),
        };
        match field.metadata().get(ROW_ID_KEY).map(String::as_str) {
            Some(SHARD_COLUMN) => return Ok(ColumnSource::ShardNumber),
            Some(ROW_COLUMN) => return Ok(ColumnSource::RowNumber),
            _ => {}
        }
        // Mostly the columns are the same ones.
        let found = match stored.fields().get(position) {
            Some(other) if is_it(other) => Some(position),
            _ => stored.fields().iter().position(|other| is_it(other)),
        };
        match found.and_then(|found| Some((found, stored.fields().get(found)?))) {
            Some((found, other)) if other.data_type() == field.data_type() => Ok(ColumnSource::Stored(found)),
            Some((_, other)) => Err(internal(format!(
                "column \"{}\" is of type {}, but of type {} in the shard",
                field.name(),
                field.data_type(),
                other.data_type()
            ))),
            None => missing_column(field).map(ColumnSource::Constant),
        }
    };
    table.fields().iter().enumerate().map(find).collect()
}

/// The value of a column in shards that lack it, as an array of one row.
pub(crate) fn missing_column(field: &Field) -> Result<ArrayRef> {
    let value = match field.metadata().get(MISSING_KEY) {
        Some(text) => missing_array(text)?,
        None => arrow::array::new_null_array(field.data_type(), 1),
    };
    if value.data_type() != field.data_type() || (value.is_null(0) && !field.is_nullable()) {
        let (name, data_type) = (field.name(), field.data_type());
        return Err(internal(format!("column \"{name}\" of type {data_type} is missing in a shard")));
    }
    Ok(value)
}

/// What would be known of a column of `rows` rows that all have the value of `field` in shards that lack it.
pub(crate) fn missing_summary(field: &Field, rows: u64) -> Result<ColumnSummary> {
    let zone_map = constant_zone_map(&missing_column(field)?, rows);
    let ZoneMap { null_count, nan_count, min, max, .. } = zone_map;
    Ok(ColumnSummary { null_count, nan_count, min, max, distinct: Some(u64::from(null_count == 0)) })
}

/// The zone map of `rows` rows that have the one value of `value`.
pub(crate) fn constant_zone_map(value: &ArrayRef, rows: u64) -> ZoneMap {
    let one = ZoneMap::gather(value.as_ref());
    ZoneMap { row_count: rows, null_count: one.null_count * rows, nan_count: one.nan_count * rows, ..one }
}

fn internal(message: String) -> DataFusionError {
    ExecError::new(ErrorKind::Internal, message).into_datafusion()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, number: Option<u32>) -> Field {
        let metadata = number.map(|number| (COLUMN_KEY.to_owned(), number.to_string())).into_iter().collect();
        Field::new(name, DataType::Int32, true).with_metadata(metadata)
    }

    fn check(stored: &[(&str, Option<u32>)], table: &[(&str, Option<u32>)], expected: &[Option<usize>]) {
        let schema = |columns: &[(&str, Option<u32>)]| {
            Schema::new(columns.iter().map(|(name, number)| field(name, *number)).collect::<Vec<_>>())
        };
        let found = find_columns(&schema(stored), &schema(table)).unwrap();
        let found: Vec<Option<usize>> = found
            .into_iter()
            .map(|source| match source {
                ColumnSource::Stored(column) => Some(column),
                _ => None,
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn columns_are_found_by_number_and_else_by_name() {
        check(&[("a", Some(1)), ("b", Some(2))], &[("a", Some(1)), ("b", Some(2))], &[Some(0), Some(1)]);
        check(&[("a", Some(1)), ("b", Some(2))], &[("b", Some(1)), ("a", Some(2))], &[Some(0), Some(1)]);
        check(&[("a", Some(1)), ("b", Some(2))], &[("b", Some(2)), ("a", Some(3))], &[Some(1), None]);
        check(&[("a", None), ("b", None)], &[("b", Some(2)), ("c", Some(3))], &[Some(1), None]);
        check(&[], &[("a", None)], &[None]);
    }

    #[test]
    fn values_survive_as_text() {
        for value in [
            ScalarValue::Int32(Some(-5)),
            ScalarValue::Utf8View(Some("a string of more than twelve bytes, \u{e4}".to_owned())),
            ScalarValue::Decimal128(Some(12_345), 10, 2),
            ScalarValue::TimestampMicrosecond(Some(1), Some("UTC".into())),
            ScalarValue::Float64(None),
        ] {
            assert_eq!(parse_missing_value(&missing_value(&value).unwrap()).unwrap(), value);
        }
        for text in ["", "0", "zz", "00ff", "ä0"] {
            assert!(parse_missing_value(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_column_must_have_a_value_that_fits() {
        let required = Field::new("a", DataType::Int32, false);
        assert!(missing_column(&required).is_err());
        let with = |value: &ScalarValue| {
            let metadata = [(MISSING_KEY.to_owned(), missing_value(value).unwrap())].into();
            missing_column(&required.clone().with_metadata(metadata))
        };
        assert!(with(&ScalarValue::Int32(Some(1))).is_ok());
        assert!(with(&ScalarValue::Int32(None)).is_err());
        assert!(with(&ScalarValue::Int64(Some(1))).is_err());
    }

    #[test]
    fn plans_do_not_see_the_numbers() {
        let public = ("pg_type".to_owned(), "25".to_owned());
        let mut metadata = field("a", Some(1)).metadata().clone();
        metadata.insert(public.0.clone(), public.1.clone());
        let schema = Arc::new(Schema::new(vec![field("a", None).with_metadata(metadata), field("b", None)]));
        let seen = without_private(&with_row_ids(&schema));
        assert_eq!(seen.field(0).metadata(), &[public].into());
        assert!(seen.fields().iter().skip(1).all(|field| field.metadata().is_empty()));
        assert_eq!(seen.fields().len(), 4);
    }
}
