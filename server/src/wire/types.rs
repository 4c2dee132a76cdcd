//! PostgreSQL's view of arrow types: which OID, length and modifier a column has on the wire.
//!
//! ```text
//! arrow Field ──column_type──▶ PgColumnType { oid, typlen, typmod, name }   (RowDescription)
//! parameter OID ──arrow_type──▶ arrow DataType                              (Bind)
//! ```
//!
//! The arrow type says it alone for most columns; where it does not, the field's metadata
//! [`PG_TYPE_KEY`] names the PostgreSQL type. OIDs and lengths are those of `pg_type.dat`.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, IntervalUnit, TimeUnit};
use quickdb_executor::functions::arrays::shape::multi_item;
use std::sync::Arc;

/// Field metadata key whose value is the PostgreSQL type name, where the arrow type alone does not say it.
pub const PG_TYPE_KEY: &str = "pg_type";

/// Field metadata key whose value is the type modifier (`pg_attribute.atttypmod`) in decimal.
pub const PG_TYPMOD_KEY: &str = "pg_typmod";

/// OIDs of the types that this crate treats by name.
#[expect(missing_docs, reason = "each constant is the OID of the type it is named after")]
pub mod oid {
    pub const BOOL: u32 = 16;
    pub const BYTEA: u32 = 17;
    pub const CHAR: u32 = 18;
    pub const NAME: u32 = 19;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT2VECTOR: u32 = 22;
    pub const INT4: u32 = 23;
    pub const REGPROC: u32 = 24;
    pub const TEXT: u32 = 25;
    pub const OID: u32 = 26;
    pub const XID: u32 = 28;
    pub const CID: u32 = 29;
    pub const OIDVECTOR: u32 = 30;
    pub const JSON: u32 = 114;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const UNKNOWN: u32 = 705;
    pub const ACLITEM: u32 = 1033;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const DATE: u32 = 1082;
    pub const TIME: u32 = 1083;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const INTERVAL: u32 = 1186;
    pub const NUMERIC: u32 = 1700;
    pub const REGPROCEDURE: u32 = 2202;
    pub const REGOPER: u32 = 2203;
    pub const REGOPERATOR: u32 = 2204;
    pub const REGCLASS: u32 = 2205;
    pub const REGTYPE: u32 = 2206;
    pub const RECORD: u32 = 2249;
    pub const CSTRING: u32 = 2275;
    pub const VOID: u32 = 2278;
    pub const RECORD_ARRAY: u32 = 2287;
    pub const UUID: u32 = 2950;
    pub const JSONB: u32 = 3802;
    pub const REGNAMESPACE: u32 = 4089;
    pub const REGROLE: u32 = 4096;
    pub const XID8: u32 = 5069;
}

/// One row of PostgreSQL's `pg_type` as far as the wire needs it.
#[derive(Debug, PartialEq, Eq)]
pub struct PgTypeInfo {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typname`.
    pub name: &'static str,
    /// `pg_type.typlen`: bytes, -1 for variable length, -2 for a C string.
    pub typlen: i16,
    /// OID of the array type over this type; 0 where there is none.
    pub array_oid: u32,
    /// `pg_type.typname` of the array type.
    pub array_name: &'static str,
}

macro_rules! pg_types {
    ($($oid:literal $name:literal $typlen:literal $array_oid:literal;)*) => {
        /// The built-in base types, by OID.
        pub const PG_TYPES: &[PgTypeInfo] = &[
            $(PgTypeInfo { oid: $oid, name: $name, typlen: $typlen, array_oid: $array_oid, array_name: concat!("_", $name) },)*
        ];
    };
}

pg_types! {
    16 "bool" 1 1000;
    17 "bytea" -1 1001;
    18 "char" 1 1002;
    19 "name" 64 1003;
    20 "int8" 8 1016;
    21 "int2" 2 1005;
    22 "int2vector" -1 1006;
    23 "int4" 4 1007;
    24 "regproc" 4 1008;
    25 "text" -1 1009;
    26 "oid" 4 1028;
    27 "tid" 6 1010;
    28 "xid" 4 1011;
    29 "cid" 4 1012;
    30 "oidvector" -1 1013;
    114 "json" -1 199;
    142 "xml" -1 143;
    194 "pg_node_tree" -1 0;
    700 "float4" 4 1021;
    701 "float8" 8 1022;
    705 "unknown" -2 0;
    869 "inet" -1 1041;
    1033 "aclitem" 12 1034;
    1042 "bpchar" -1 1014;
    1043 "varchar" -1 1015;
    1082 "date" 4 1182;
    1083 "time" 8 1183;
    1114 "timestamp" 8 1115;
    1184 "timestamptz" 8 1185;
    1186 "interval" 16 1187;
    1266 "timetz" 12 1270;
    1700 "numeric" -1 1231;
    2202 "regprocedure" 4 2207;
    2203 "regoper" 4 2208;
    2204 "regoperator" 4 2209;
    2205 "regclass" 4 2210;
    2206 "regtype" 4 2211;
    2249 "record" -1 2287;
    2275 "cstring" -2 1263;
    2277 "anyarray" -1 0;
    2278 "void" 4 0;
    2950 "uuid" 16 2951;
    3220 "pg_lsn" 8 3221;
    3361 "pg_ndistinct" -1 0;
    3402 "pg_dependencies" -1 0;
    3734 "regconfig" 4 3735;
    3769 "regdictionary" 4 3770;
    3802 "jsonb" -1 3807;
    4089 "regnamespace" 4 4090;
    4096 "regrole" 4 4097;
    4191 "regcollation" 4 4192;
    5017 "pg_mcv_list" -1 0;
    5069 "xid8" 8 271;
}

/// The base type with this OID.
pub fn base_type(oid: u32) -> Option<&'static PgTypeInfo> {
    PG_TYPES.iter().find(|info| info.oid == oid)
}

/// The element type of an array type's OID.
pub fn element_type(array_oid: u32) -> Option<&'static PgTypeInfo> {
    if array_oid == 0 {
        return None;
    }
    PG_TYPES.iter().find(|info| info.array_oid == array_oid)
}

/// A type by the name clients and SQL use: `int4`, `integer`, `_int4`, `int4[]`, `timestamp with time zone`.
/// The answer is the OID and `typname`.
pub fn type_by_name(name: &str) -> Option<(u32, &'static str)> {
    let name = name.trim();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    if let Some(element) = name.strip_suffix("[]") {
        let (oid, _) = type_by_name(element)?;
        let info = base_type(oid)?;
        return (info.array_oid != 0).then_some((info.array_oid, info.array_name));
    }
    if let Some(info) =
        name.strip_prefix('_').and_then(|element| PG_TYPES.iter().find(|info| info.name == element))
    {
        return (info.array_oid != 0).then_some((info.array_oid, info.array_name));
    }
    let lower = name.to_ascii_lowercase();
    let typname = match lower.as_str() {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" => "bpchar",
        "\"char\"" => "char",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other => other,
    };
    PG_TYPES.iter().find(|info| info.name == typname).map(|info| (info.oid, info.name))
}

/// What RowDescription says about a column besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PgColumnType {
    /// `pg_type.oid`.
    pub oid: u32,
    /// `pg_type.typlen`: bytes, -1 for variable length, -2 for a C string.
    pub typlen: i16,
    /// `pg_attribute.atttypmod`; -1 is none.
    pub typmod: i32,
    /// `pg_type.typname`.
    pub name: &'static str,
}

impl PgColumnType {
    /// The type with this OID and no modifier; `None` for an OID that quickdb does not know.
    pub fn of_oid(oid: u32) -> Option<Self> {
        if let Some(info) = base_type(oid) {
            return Some(Self { oid, typlen: info.typlen, typmod: -1, name: info.name });
        }
        element_type(oid).map(|info| Self { oid, typlen: -1, typmod: -1, name: info.array_name })
    }

    /// The element type's OID of an array; for `int2vector` and `oidvector` this is `None`, as they are no arrays
    /// in their text form.
    pub fn element_oid(&self) -> Option<u32> {
        element_type(self.oid).map(|info| info.oid)
    }

    /// Whether [`Self::oid`] is an array type.
    pub fn is_array(&self) -> bool {
        self.element_oid().is_some()
    }
}

const TEXT: PgColumnType = PgColumnType { oid: oid::TEXT, typlen: -1, typmod: -1, name: "text" };

/// The PostgreSQL type of an arrow field. Metadata wins over the arrow type; arrow types without a
/// counterpart (unions, maps) are `None`.
pub fn column_type(field: &Field) -> Option<PgColumnType> {
    let typmod = field.metadata().get(PG_TYPMOD_KEY).and_then(|text| text.parse().ok()).unwrap_or(-1);
    let declared = field
        .metadata()
        .get(PG_TYPE_KEY)
        .and_then(|name| type_by_name(name))
        .or_else(|| extension_type(field))
        .and_then(|(oid, _)| PgColumnType::of_oid(oid));
    let declared = match declared {
        // The metadata of a list column may name the element: a list of oid is `_oid`.
        Some(element) if is_list(field.data_type()) && !element.is_array() && !is_vector(element.oid) => {
            array_of(element.oid)
        }
        other => other,
    };
    let found = match declared {
        Some(found) => found,
        None => arrow_column_type(field.data_type())?,
    };
    Some(PgColumnType { typmod, ..found })
}

/// The array type over an element type.
pub fn array_of(element_oid: u32) -> Option<PgColumnType> {
    let info = base_type(element_oid).filter(|info| info.array_oid != 0)?;
    Some(PgColumnType { oid: info.array_oid, typlen: -1, typmod: -1, name: info.array_name })
}

/// Whether the type prints as a blank-separated vector: `int2vector` and `oidvector`.
pub fn is_vector(oid: u32) -> bool {
    matches!(oid, oid::INT2VECTOR | oid::OIDVECTOR)
}

fn is_list(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::List(_)
            | DataType::LargeList(_)
            | DataType::FixedSizeList(..)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}

/// Arrow's canonical extension types that have a PostgreSQL counterpart.
fn extension_type(field: &Field) -> Option<(u32, &'static str)> {
    match field.extension_type_name()? {
        "arrow.uuid" => Some((oid::UUID, "uuid")),
        "arrow.json" => Some((oid::JSON, "json")),
        _ => None,
    }
}

fn arrow_column_type(data_type: &DataType) -> Option<PgColumnType> {
    let oid = match data_type {
        DataType::Null => return Some(TEXT),
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => oid::INT2,
        DataType::UInt16 | DataType::Int32 => oid::INT4,
        DataType::UInt32 | DataType::Int64 => oid::INT8,
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => oid::NUMERIC,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => oid::TEXT,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            oid::BYTEA
        }
        DataType::Date32 => oid::DATE,
        DataType::Date64 | DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Duration(_) | DataType::Interval(_) => oid::INTERVAL,
        DataType::Dictionary(_, values) => return arrow_column_type(values),
        DataType::RunEndEncoded(_, values) => return column_type(values),
        DataType::Struct(_) if let Some(item) = multi_item(data_type) => {
            return array_of(column_type(item)?.oid);
        }
        DataType::Struct(_) => oid::RECORD,
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _)
        | DataType::ListView(element)
        | DataType::LargeListView(element) => {
            let element = column_type(element)?;
            // PostgreSQL has one array type for every number of dimensions.
            return if element.is_array() { Some(element) } else { array_of(element.oid) };
        }
        DataType::Union(..) | DataType::Map(..) => return None,
        #[expect(unreachable_patterns, reason = "arrow may grow a type that quickdb has to refuse first")]
        _ => return None,
    };
    PgColumnType::of_oid(oid)
}

/// The arrow type in which a value of a PostgreSQL type is held: the type a parameter of that OID gets.
/// `None` for `unknown`, 0 and types without a form in quickdb.
///
/// `numeric` is `Decimal128(38, 10)` here, as a type needs a scale before the value is seen; a decoded
/// parameter has its own precision and scale.
pub fn arrow_type(type_oid: u32) -> Option<DataType> {
    Some(match type_oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 | oid::OID | oid::XID | oid::CID => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => DataType::Decimal128(DECIMAL128_MAX_PRECISION, 10),
        oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::NAME
        | oid::CHAR
        | oid::CSTRING
        | oid::JSON
        | oid::JSONB
        | oid::UUID
        | oid::ACLITEM
        | oid::REGPROC
        | oid::REGPROCEDURE
        | oid::REGOPER
        | oid::REGOPERATOR
        | oid::REGCLASS
        | oid::REGTYPE
        | oid::REGNAMESPACE
        | oid::REGROLE => DataType::Utf8View,
        oid::BYTEA => DataType::BinaryView,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::INT2VECTOR => DataType::List(list_field(oid::INT2)?),
        oid::OIDVECTOR => DataType::List(list_field(oid::OID)?),
        other => DataType::List(list_field(element_type(other)?.oid)?),
    })
}

/// The field of a list's elements: named `item`, with the metadata that its PostgreSQL type needs.
pub fn list_field(element_oid: u32) -> Option<Arc<Field>> {
    let field = Field::new_list_field(arrow_type(element_oid)?, true);
    Some(Arc::new(with_pg_type(field, element_oid)))
}

/// Adds the [`PG_TYPE_KEY`] metadata where the arrow type alone would be read as another PostgreSQL type.
pub fn with_pg_type(field: Field, type_oid: u32) -> Field {
    if column_type(&field).is_some_and(|found| found.oid == type_oid) {
        return field;
    }
    let Some(pg_type) = PgColumnType::of_oid(type_oid) else { return field };
    let mut metadata = field.metadata().clone();
    metadata.insert(PG_TYPE_KEY.to_owned(), pg_type.name.to_owned());
    field.with_metadata(metadata)
}

/// `atttypmod` of `numeric(precision, scale)`.
pub fn numeric_typmod(precision: u16, scale: i16) -> i32 {
    // The scale takes 11 bits as a two's complement number; 4 is VARHDRSZ.
    ((i32::from(precision) << 16) | (i32::from(scale) & 0x7ff)) + 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn typed(data_type: DataType, pg_type: &str) -> Field {
        Field::new("c", data_type, true)
            .with_metadata(HashMap::from([(PG_TYPE_KEY.to_owned(), pg_type.to_owned())]))
    }

    #[test]
    fn arrow_types_have_postgresql_oids() {
        let cases = [
            (DataType::Null, 25),
            (DataType::Boolean, 16),
            (DataType::Int8, 21),
            (DataType::UInt8, 21),
            (DataType::UInt16, 23),
            (DataType::UInt32, 20),
            (DataType::UInt64, 1700),
            (DataType::Float16, 700),
            (DataType::Date64, 1114),
            (DataType::Duration(TimeUnit::Nanosecond), 1186),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), 25),
            (DataType::Decimal256(50, 3), 1700),
            (DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into()), 2249),
            (DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true))), 1007),
            (
                DataType::List(Arc::new(Field::new_list_field(
                    DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true))),
                    true,
                ))),
                1009,
            ),
        ];
        for (data_type, oid) in cases {
            let found = column_type(&Field::new("c", data_type.clone(), true)).unwrap();
            assert_eq!(found.oid, oid, "{data_type}");
        }
    }

    #[test]
    fn metadata_names_the_type() {
        assert_eq!(column_type(&typed(DataType::Int64, "oid")).unwrap().oid, 26);
        assert_eq!(column_type(&typed(DataType::Utf8View, "\"char\"")).unwrap().oid, 18);
        assert_eq!(column_type(&typed(DataType::Utf8View, "name")).unwrap().typlen, 64);
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        assert_eq!(column_type(&typed(list.clone(), "oid")).unwrap().oid, 1028);
        assert_eq!(column_type(&typed(list.clone(), "oid[]")).unwrap().oid, 1028);
        assert_eq!(column_type(&typed(list.clone(), "oidvector")).unwrap().oid, 30);
        let nested = DataType::List(Arc::new(typed(list, "_oid")));
        assert_eq!(column_type(&Field::new("c", nested, true)).unwrap().oid, 1028);
    }

    #[test]
    fn typmod_is_read_and_built_as_postgresql_does() {
        let field = Field::new("c", DataType::Decimal128(10, 2), true)
            .with_metadata(HashMap::from([(PG_TYPMOD_KEY.to_owned(), "655366".to_owned())]));
        assert_eq!(column_type(&field).unwrap().typmod, 655_366);
        assert_eq!(numeric_typmod(10, 2), 655_366);
        assert_eq!(numeric_typmod(3, -2), 198_658);
        assert_eq!(column_type(&Field::new("c", DataType::Decimal128(10, 2), true)).unwrap().typmod, -1);
    }

    #[test]
    fn parameter_types_go_both_ways() {
        for info in PG_TYPES {
            for oid in [info.oid, info.array_oid] {
                let Some(data_type) = arrow_type(oid) else { continue };
                let field = with_pg_type(Field::new("p", data_type, true), oid);
                assert_eq!(column_type(&field).unwrap().oid, oid, "{}", info.name);
            }
        }
        assert_eq!(arrow_type(0), None);
        assert_eq!(arrow_type(705), None);
    }
}
