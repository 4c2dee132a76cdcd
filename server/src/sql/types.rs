//! SQL type names to arrow types, as quickdb stores and computes them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, ObjectName, TimezoneInfo,
};
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::functions::arrays::shape::{item_of, list_of, multi_of};
use quickdb_executor::functions::type_names::{PG_TYPE_KEY, timestamp, timestamptz};

use super::rewrite::folded;

/// Types whose values are OIDs and print as the names of what they identify.
pub const REG_TYPES: [&str; 9] = [
    "regclass",
    "regtype",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regrole",
    "regnamespace",
    "regcollation",
];

/// Plans type names.
#[derive(Debug)]
pub struct PgTypes;

impl TypePlanner for PgTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        plan(sql_type)
    }
}

fn plan(sql_type: &SqlType) -> Result<Option<FieldRef>> {
    let plain = |data_type: DataType| Ok(Some(Arc::new(Field::new("", data_type, true))));
    match sql_type {
        SqlType::SmallInt(_) | SqlType::Int2(_) => plain(DataType::Int16),
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) => plain(DataType::Int32),
        SqlType::BigInt(_) | SqlType::Int8(_) => plain(DataType::Int64),
        SqlType::Real | SqlType::Float4 => plain(DataType::Float32),
        SqlType::Float(ExactNumberInfo::Precision(precision)) if *precision <= 24 => plain(DataType::Float32),
        SqlType::Float(_) | SqlType::Float8 | SqlType::DoublePrecision | SqlType::Double(_) => {
            plain(DataType::Float64)
        }
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => plain(decimal(info)?),
        SqlType::Boolean | SqlType::Bool => plain(DataType::Boolean),
        SqlType::Text | SqlType::String(_) => plain(DataType::Utf8View),
        SqlType::Varchar(_) | SqlType::CharacterVarying(_) | SqlType::CharVarying(_) => {
            named("varchar", DataType::Utf8View)
        }
        SqlType::Char(_) | SqlType::Character(_) => named("bpchar", DataType::Utf8View),
        SqlType::Date => plain(DataType::Date32),
        SqlType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            plain(DataType::Time64(TimeUnit::Microsecond))
        }
        SqlType::Timestamp(_, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => plain(timestamptz()),
        SqlType::Timestamp(..) => plain(timestamp()),
        SqlType::Interval { .. } => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        SqlType::Bytea => plain(DataType::BinaryView),
        SqlType::JSON => named("json", DataType::Utf8View),
        SqlType::JSONB => named("jsonb", DataType::Utf8View),
        SqlType::Uuid => named("uuid", DataType::Utf8View),
        SqlType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => {
            let Some(element) = plan(element)? else { return Ok(None) };
            // Two pairs of brackets and more take arrays of every shape.
            let array = match item_of(element.data_type()) {
                Some(item) => multi_of(item.clone()),
                None => list_of(element.data_type().clone()),
            };
            match element.metadata().get(PG_TYPE_KEY) {
                Some(name) => named(&format!("{}[]", name.trim_end_matches("[]")), array),
                None => plain(array),
            }
        }
        SqlType::Regclass => named("regclass", DataType::Int64),
        SqlType::Custom(name, _) => custom(&custom_name(name)),
        _ => Ok(None),
    }
}

fn named(name: &str, data_type: DataType) -> Result<Option<FieldRef>> {
    let metadata = HashMap::from([(PG_TYPE_KEY.to_owned(), name.to_owned())]);
    Ok(Some(Arc::new(Field::new("", data_type, true).with_metadata(metadata))))
}

fn decimal(info: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match *info {
        ExactNumberInfo::None => (38, 16),
        ExactNumberInfo::Precision(precision) => (precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (precision, scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(ExecError::new(
            ErrorKind::InvalidParameter,
            format!("NUMERIC precision {precision} must be between 1 and 1000"),
        )
        .into());
    }
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ ..=38), Ok(scale)) if i16::from(scale) <= i16::from(precision) && scale >= 0 => {
            Ok(DataType::Decimal128(precision, scale))
        }
        _ => Err(ExecError::new(
            ErrorKind::Unsupported,
            format!("numeric({precision},{scale}) is not supported"),
        )
        .with_hint("Numerics of up to 38 digits, and no more of them after the point, are.")
        .into()),
    }
}

/// The last part of a type's name, in lower case; `"char"`, which is not `char`, keeps its name.
pub fn custom_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default()
}

fn custom(name: &str) -> Result<Option<FieldRef>> {
    let plain = |data_type: DataType| Ok(Some(Arc::new(Field::new("", data_type, true))));
    match name {
        "int2" | "smallint" => plain(DataType::Int16),
        "int4" | "int" | "integer" => plain(DataType::Int32),
        "int8" | "bigint" => plain(DataType::Int64),
        "float4" => plain(DataType::Float32),
        "float8" => plain(DataType::Float64),
        "bool" | "boolean" => plain(DataType::Boolean),
        "text" | "citext" => plain(DataType::Utf8View),
        "date" => plain(DataType::Date32),
        "time" => plain(DataType::Time64(TimeUnit::Microsecond)),
        "timestamp" => plain(timestamp()),
        "timestamptz" => plain(timestamptz()),
        "interval" => plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        "bytea" => plain(DataType::BinaryView),
        "numeric" => plain(DataType::Decimal128(38, 16)),
        "oid" | "xid" | "cid" => named(name, DataType::Int64),
        reg if REG_TYPES.contains(&reg) => named(reg, DataType::Int64),
        "name" | "char" | "varchar" | "bpchar" | "json" | "jsonb" | "uuid" | "cstring" | "aclitem"
        | "int2vector" | "oidvector" | "unknown" | "pg_node_tree" | "xid8" | "pg_lsn" => {
            named(name, DataType::Utf8View)
        }
        _ => Ok(None),
    }
}

/// Whether a name that the parser has no keyword for is a type here.
pub fn is_known_custom(name: &ObjectName) -> bool {
    custom(&custom_name(name)).is_ok_and(|field| field.is_some())
}

/// Whether PostgreSQL has a type of the name that quickdb has not.
pub fn is_refused_custom(name: &ObjectName) -> bool {
    [
        "box",
        "cidr",
        "circle",
        "hstore",
        "inet",
        "int4range",
        "int8range",
        "daterange",
        "line",
        "lseg",
        "macaddr",
        "money",
        "numrange",
        "path",
        "point",
        "polygon",
        "timetz",
        "tsquery",
        "tsrange",
        "tstzrange",
        "tsvector",
        "varbit",
        "xml",
        "bit",
        "jsonpath",
        "refcursor",
        "tid",
        "txid_snapshot",
    ]
    .contains(&custom_name(name).as_str())
}
