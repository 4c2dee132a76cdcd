//! PostgreSQL's names of the types that columns and expressions have here.

use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};

use crate::functions::arrays::shape::multi_item;

/// Field metadata: the PostgreSQL type where the arrow type alone does not say it (`oid`, `name`, `"char"`).
pub const PG_TYPE_KEY: &str = "pg_type";

/// The long name as PostgreSQL's messages and `format_type` write it: `integer`, `timestamp without time zone`.
pub fn pg_type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt64 => "bigint".to_owned(),
        DataType::UInt32 => "oid".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "numeric".to_owned(),
        // Only literals that nothing gave a type yet are `Utf8` here: columns and results are `Utf8View`.
        DataType::Utf8 | DataType::Null => "unknown".to_owned(),
        DataType::LargeUtf8 | DataType::Utf8View => "text".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".to_owned()
        }
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time without time zone".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => {
            format!("{}[]", pg_type_name(field.data_type()).trim_end_matches("[]"))
        }
        DataType::Struct(_) if let Some(item) = multi_item(data_type) => {
            format!("{}[]", pg_type_name(item.data_type()))
        }
        DataType::Struct(_) | DataType::Union(..) | DataType::Map(..) => "record".to_owned(),
        DataType::Dictionary(_, value) => pg_type_name(value),
        DataType::RunEndEncoded(_, value) => pg_type_name(value.data_type()),
    }
}

/// The long name of a column's type, which its metadata may say.
pub fn pg_field_type_name(field: &Field) -> String {
    match field.metadata().get(PG_TYPE_KEY) {
        Some(name) => match name.as_str() {
            "varchar" => "character varying".to_owned(),
            "bpchar" => "character".to_owned(),
            "char" => "\"char\"".to_owned(),
            other => other.to_owned(),
        },
        None => pg_type_name(field.data_type()),
    }
}

/// `timestamp without time zone` in the one unit that quickdb stores.
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// `timestamp with time zone`: an instant, always kept in UTC.
pub fn timestamptz() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_postgresqls() {
        assert_eq!(pg_type_name(&DataType::Int32), "integer");
        assert_eq!(pg_type_name(&timestamptz()), "timestamp with time zone");
        let list = DataType::List(Field::new("item", DataType::Utf8View, true).into());
        assert_eq!(pg_type_name(&list), "text[]");
    }
}
