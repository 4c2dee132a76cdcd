//! The SQL types that a column can have, by PostgreSQL's names, and the Arrow types that hold them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use quickdb_executor::functions::arrays::shape::{is_multi, multi_item, multi_of};

use super::error::{CatalogueError, CatalogueResult};

/// The field metadata key with the PostgreSQL type's name, where the Arrow type alone does not say it.
pub const PG_TYPE_KEY: &str = "pg_type";

/// The field metadata key with the type modifier, where it is not -1 and the Arrow type does not say it.
pub const PG_TYPMOD_KEY: &str = "pg_typmod";

/// The decimal digits and the scale of `numeric` without a modifier: the widest that 128 bits hold, split so
/// that both amounts of money and small ratios fit.
const NUMERIC_PRECISION: u8 = 38;
const NUMERIC_SCALE: i8 = 10;

/// What a type modifier counts from: PostgreSQL's `VARHDRSZ`.
const TYPMOD_OFFSET: i32 = 4;

/// A column's type: PostgreSQL's OID and type modifier (-1 for none).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PgType {
    /// The OID in `pg_type`.
    pub oid: u32,
    /// The type modifier as in `pg_attribute.atttypmod`.
    pub typmod: i32,
    /// The pairs of brackets of an array type: PostgreSQL takes arrays of any shape whatever their number; here those
    /// with one pair take one dimension.
    pub dimensions: u8,
}

/// One row of the table of storable types.
struct Storable {
    oid: u32,
    array_oid: u32,
    /// The name in `pg_type`.
    name: &'static str,
    /// SQL's name where it differs, as `format_type` prints it.
    sql_name: &'static str,
    /// Other spellings that the grammar takes.
    aliases: &'static [&'static str],
}

const fn storable(
    oid: u32,
    array_oid: u32,
    name: &'static str,
    sql_name: &'static str,
    aliases: &'static [&'static str],
) -> Storable {
    Storable { oid, array_oid, name, sql_name, aliases }
}

#[rustfmt::skip]
const STORABLE: &[Storable] = &[
    storable(16,   1000, "bool", "boolean", &[]),
    storable(17,   1001, "bytea", "bytea", &[]),
    storable(18,   1002, "char", "\"char\"", &[]),
    storable(19,   1003, "name", "name", &[]),
    storable(20,   1016, "int8", "bigint", &["bigserial", "serial8"]),
    storable(21,   1005, "int2", "smallint", &["smallserial", "serial2"]),
    storable(23,   1007, "int4", "integer", &["int", "serial", "serial4"]),
    storable(25,   1009, "text", "text", &["string"]),
    storable(26,   1028, "oid", "oid", &[]),
    storable(114,   199, "json", "json", &[]),
    storable(700,  1021, "float4", "real", &[]),
    storable(701,  1022, "float8", "double precision", &["float"]),
    storable(1042, 1014, "bpchar", "character", &["char"]),
    storable(1043, 1015, "varchar", "character varying", &["char varying"]),
    storable(1082, 1182, "date", "date", &[]),
    storable(1083, 1183, "time", "time without time zone", &["time"]),
    storable(1114, 1115, "timestamp", "timestamp without time zone", &["timestamp", "datetime"]),
    storable(1184, 1185, "timestamptz", "timestamp with time zone", &[]),
    storable(1186, 1187, "interval", "interval", &[]),
    storable(1700, 1231, "numeric", "numeric", &["decimal", "dec"]),
    storable(2950, 2951, "uuid", "uuid", &[]),
    storable(3802, 3807, "jsonb", "jsonb", &[]),
];

impl PgType {
    /// The type with this OID and no modifier.
    pub const fn new(oid: u32) -> Self {
        Self::with_typmod(oid, -1)
    }

    /// The type with this OID and modifier; one dimension where it is an array.
    pub const fn with_typmod(oid: u32, typmod: i32) -> Self {
        Self { oid, typmod, dimensions: 1 }
    }

    /// Reads a type as SQL writes it: `numeric(10,2)`, `timestamp(3) with time zone`, `text[]`, `int4`.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedType`] when no column can have that type.
    pub fn parse(text: &str) -> CatalogueResult<Self> {
        let undefined = || CatalogueError::UndefinedType(text.trim().to_owned());
        let mut element = text.trim();
        let mut array = false;
        let mut dimensions = 0_u8;
        while let Some(rest) = element.strip_suffix(']') {
            element = rest.rsplit_once('[').ok_or_else(undefined)?.0.trim_end();
            array = true;
            dimensions = dimensions.saturating_add(1);
        }
        let (name, modifiers) = split_modifiers(element).ok_or_else(undefined)?;
        let name = name.strip_prefix("pg_catalog.").map_or(name.as_str(), str::trim_start);
        let found = by_name(name).or_else(|| {
            let of_array = STORABLE.iter().find(|found| name.strip_prefix('_') == Some(found.name))?;
            array = true;
            Some(of_array)
        });
        let found = found.ok_or_else(undefined)?;
        let typmod = typmod(found.oid, name, &modifiers).ok_or_else(undefined)?;
        Ok(Self {
            oid: if array { found.array_oid } else { found.oid },
            typmod,
            dimensions: dimensions.max(1),
        })
    }

    /// The type of a column that comes as an Arrow field; the field's metadata is heeded.
    ///
    /// # Errors
    /// [`CatalogueError::UnsupportedType`] when no SQL type stands for it.
    pub fn of_field(field: &Field) -> CatalogueResult<Self> {
        if let Some(name) = field.metadata().get(PG_TYPE_KEY) {
            let mut named = Self::parse(name)?;
            if let Some(typmod) = field.metadata().get(PG_TYPMOD_KEY).and_then(|text| text.parse().ok()) {
                named.typmod = typmod;
            }
            named.dimensions = if is_multi(field.data_type()) { 2 } else { 1 };
            return Ok(named);
        }
        let unsupported = || CatalogueError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().to_string(),
        };
        Self::of_arrow(field.data_type()).ok_or_else(unsupported)
    }

    fn of_arrow(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::new(16),
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => Self::new(21),
            DataType::UInt16 | DataType::Int32 => Self::new(23),
            DataType::UInt32 | DataType::Int64 => Self::new(20),
            DataType::UInt64 => Self::with_typmod(1700, numeric_typmod(20, 0)),
            DataType::Float16 | DataType::Float32 => Self::new(700),
            DataType::Float64 => Self::new(701),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => {
                Self::with_typmod(1700, numeric_typmod(i32::from(*precision), i32::from(*scale)))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::new(25),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::new(17),
            DataType::Date32 | DataType::Date64 => Self::new(1082),
            DataType::Time32(_) | DataType::Time64(_) => Self::new(1083),
            DataType::Timestamp(_, None) => Self::new(1114),
            DataType::Timestamp(_, Some(_)) => Self::new(1184),
            DataType::Interval(_) | DataType::Duration(_) => Self::new(1186),
            DataType::Dictionary(_, values) => Self::of_arrow(values)?,
            DataType::RunEndEncoded(_, values) => Self::of_arrow(values.data_type())?,
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::ListView(element)
            | DataType::FixedSizeList(element, _) => {
                let mut element = element.data_type();
                // PostgreSQL's array types do not say how many dimensions they have.
                while let DataType::List(inner)
                | DataType::LargeList(inner)
                | DataType::FixedSizeList(inner, _) = element
                {
                    element = inner.data_type();
                }
                let element = Self::of_arrow(element)?;
                Self::with_typmod(by_oid(element.oid)?.array_oid, element.typmod)
            }
            DataType::Struct(_) if let Some(item) = multi_item(data_type) => {
                let element = Self::of_arrow(item.data_type())?;
                Self { oid: by_oid(element.oid)?.array_oid, typmod: element.typmod, dimensions: 2 }
            }
            _ => return None,
        })
    }

    /// The Arrow type that holds values of this type inside quickdb.
    pub fn data_type(self) -> DataType {
        let Some(element) = self.element() else {
            return self.scalar_data_type();
        };
        if self.dimensions > 1 {
            return multi_of(element.scalar_data_type());
        }
        DataType::List(Arc::new(Field::new_list_field(element.scalar_data_type(), true)))
    }

    fn scalar_data_type(self) -> DataType {
        match self.oid {
            16 => DataType::Boolean,
            17 => DataType::BinaryView,
            20 | 26 => DataType::Int64,
            21 => DataType::Int16,
            23 => DataType::Int32,
            700 => DataType::Float32,
            701 => DataType::Float64,
            1082 => DataType::Date32,
            1083 => DataType::Time64(TimeUnit::Microsecond),
            1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
            1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            1186 => DataType::Interval(IntervalUnit::MonthDayNano),
            1700 => match self.numeric_digits() {
                Some((precision, scale)) => DataType::Decimal128(precision, scale),
                None => DataType::Decimal128(NUMERIC_PRECISION, NUMERIC_SCALE),
            },
            _ => DataType::Utf8View,
        }
    }

    /// The Arrow field of a column of this type, with the metadata that says what the Arrow type does not.
    pub fn field(self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.data_type(), nullable);
        let mut metadata = HashMap::new();
        let base = self.element().unwrap_or(self);
        if let Some(found) = by_oid(base.oid)
            && (Self::of_arrow(&base.scalar_data_type()).map(|of_arrow| of_arrow.oid) != Some(base.oid)
                || (base.oid == 1700 && self.typmod == -1))
        {
            let suffix = if self.element().is_some() { "[]" } else { "" };
            // The catalogue's own "char" needs its quotes, or it would read as SQL's character.
            let name = if found.oid == 18 { found.sql_name } else { found.name };
            metadata.insert(PG_TYPE_KEY.to_owned(), format!("{name}{suffix}"));
        }
        if self.typmod != -1 && base.oid != 1700 {
            metadata.insert(PG_TYPMOD_KEY.to_owned(), self.typmod.to_string());
        }
        field.with_metadata(metadata)
    }

    /// The element's type of an array type.
    pub fn element(self) -> Option<Self> {
        let found = STORABLE.iter().find(|found| found.array_oid == self.oid)?;
        Some(Self::with_typmod(found.oid, self.typmod))
    }

    /// The type as SQL declares it: with as many pairs of brackets as it was declared with, which `format_type` does not
    /// show.
    pub fn declaration(self) -> String {
        let further =
            if self.element().is_some() { usize::from(self.dimensions).saturating_sub(1) } else { 0 };
        format!("{self}{}", "[]".repeat(further))
    }

    /// The digits and the scale of `numeric(p, s)`.
    pub fn numeric_digits(self) -> Option<(u8, i8)> {
        if self.oid != 1700 || self.typmod < TYPMOD_OFFSET {
            return None;
        }
        let packed = self.typmod - TYPMOD_OFFSET;
        let precision = u8::try_from((packed >> 16) & 0xffff).ok()?.min(NUMERIC_PRECISION);
        // The scale is an 11-bit two's complement number.
        let scale = ((packed & 0x7ff) ^ 1024) - 1024;
        Some((precision, i8::try_from(scale).ok()?))
    }
}

/// As `format_type` prints it.
impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.element().unwrap_or(*self);
        match by_oid(base.oid) {
            None => write!(f, "{}", base.oid)?,
            Some(found) => f.write_str(&with_modifier(found.oid, found.sql_name, self.typmod))?,
        }
        if self.element().is_some() { f.write_str("[]") } else { Ok(()) }
    }
}

/// A type's SQL name with its modifier written where SQL wants it.
pub(crate) fn with_modifier(oid: u32, sql_name: &str, typmod: i32) -> String {
    let plain = || sql_name.to_owned();
    match oid {
        // SQL's `character` without a length would mean one of length 1.
        1042 if typmod < 0 => "bpchar".into(),
        _ if typmod < 0 => plain(),
        1042 | 1043 if typmod >= TYPMOD_OFFSET => format!("{sql_name}({})", typmod - TYPMOD_OFFSET),
        1700 if typmod >= TYPMOD_OFFSET => {
            let packed = typmod - TYPMOD_OFFSET;
            format!("numeric({},{})", (packed >> 16) & 0xffff, ((packed & 0x7ff) ^ 1024) - 1024)
        }
        1083 | 1114 | 1184 | 1266 => {
            let (first, rest) = sql_name.split_once(' ').unwrap_or((sql_name, ""));
            format!("{first}({typmod}) {rest}")
        }
        1186 => interval_modifier(typmod),
        1560 => format!("bit({typmod})"),
        1562 => format!("bit varying({typmod})"),
        _ => plain(),
    }
}

/// PostgreSQL keeps the fields of an interval as a mask in the upper half, the digits in the lower one.
fn interval_modifier(typmod: i32) -> String {
    let (fields, digits) = ((typmod >> 16) & 0x7fff, typmod & 0xffff);
    let fields = match fields {
        0x0004 => " year",
        0x0002 => " month",
        0x0008 => " day",
        0x0400 => " hour",
        0x0800 => " minute",
        0x1000 => " second",
        0x0006 => " year to month",
        0x0408 => " day to hour",
        0x0c08 => " day to minute",
        0x1c08 => " day to second",
        0x0c00 => " hour to minute",
        0x1c00 => " hour to second",
        0x1800 => " minute to second",
        _ => "",
    };
    if digits == 0xffff { format!("interval{fields}") } else { format!("interval{fields}({digits})") }
}

fn by_oid(oid: u32) -> Option<&'static Storable> {
    STORABLE.iter().find(|found| found.oid == oid)
}

fn by_name(name: &str) -> Option<&'static Storable> {
    // SQL's name comes first: `char` is SQL's character, `"char"` the catalogue's own type.
    STORABLE
        .iter()
        .find(|found| found.sql_name == name || found.aliases.contains(&name))
        .or_else(|| STORABLE.iter().find(|found| found.name == name))
}

/// `timestamp(3) with time zone` as (`timestamp with time zone`, `[3]`), in lower case and single spaces.
fn split_modifiers(text: &str) -> Option<(String, Vec<i32>)> {
    let (before, after, modifiers) = match text.split_once('(') {
        None => (text, "", Vec::new()),
        Some((before, rest)) => {
            let (inside, after) = rest.split_once(')')?;
            let modifiers = inside.split(',').map(|part| part.trim().parse().ok()).collect::<Option<_>>()?;
            (before, after, modifiers)
        }
    };
    let words = before.split_whitespace().chain(after.split_whitespace());
    let name = words.map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    Some((name, modifiers))
}

fn typmod(oid: u32, name: &str, modifiers: &[i32]) -> Option<i32> {
    match (oid, modifiers) {
        // `char` without a length is `char(1)`; `bpchar` has none.
        (1042, []) if name != "bpchar" => Some(1 + TYPMOD_OFFSET),
        (1042 | 1043, [length]) if (1..=10_485_760).contains(length) => Some(length + TYPMOD_OFFSET),
        (1700, [precision]) if (1..=1_000).contains(precision) => Some(numeric_typmod(*precision, 0)),
        (1700, [precision, scale]) if (1..=1_000).contains(precision) && (-1_000..=1_000).contains(scale) => {
            Some(numeric_typmod(*precision, *scale))
        }
        (1083 | 1114 | 1184, [digits]) if (0..=6).contains(digits) => Some(*digits),
        (1186, [digits]) if (0..=6).contains(digits) => Some((0x7fff << 16) | digits),
        // float(1) to float(24) is real; the precision is not kept.
        (701, [digits]) if (1..=53).contains(digits) => Some(-1),
        (_, []) => Some(-1),
        _ => None,
    }
}

const fn numeric_typmod(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + TYPMOD_OFFSET
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts and what PostgreSQL's `format_type` makes of them.
    #[test]
    fn types_read_and_print_as_in_postgresql() {
        for (text, oid, typmod, printed) in [
            ("int", 23, -1, "integer"),
            ("BIGINT", 20, -1, "bigint"),
            ("numeric(10, 2)", 1700, 655_366, "numeric(10,2)"),
            ("decimal", 1700, -1, "numeric"),
            ("numeric(3,-2)", 1700, 198_658, "numeric(3,-2)"),
            ("varchar(20)", 1043, 24, "character varying(20)"),
            ("character varying", 1043, -1, "character varying"),
            ("char", 1042, 5, "character(1)"),
            ("char(7)", 1042, 11, "character(7)"),
            ("bpchar", 1042, -1, "bpchar"),
            ("\"char\"", 18, -1, "\"char\""),
            ("timestamp(3) with time zone", 1184, 3, "timestamp(3) with time zone"),
            ("timestamptz", 1184, -1, "timestamp with time zone"),
            ("timestamp", 1114, -1, "timestamp without time zone"),
            ("time(0)", 1083, 0, "time(0) without time zone"),
            ("interval(2)", 1186, 2_147_418_114, "interval(2)"),
            ("text[]", 1009, -1, "text[]"),
            ("_int4", 1007, -1, "integer[]"),
            ("numeric(4,1)[][]", 1231, 262_149, "numeric(4,1)[]"),
            ("pg_catalog.int8", 20, -1, "bigint"),
        ] {
            let parsed = PgType::parse(text).unwrap();
            assert_eq!(
                (parsed.oid, parsed.typmod, parsed.to_string()),
                (oid, typmod, printed.into()),
                "{text}"
            );
            let again = PgType::parse(printed).unwrap();
            // How many dimensions were declared is not printed.
            assert_eq!((again.oid, again.typmod), (parsed.oid, parsed.typmod), "{printed}");
        }
        for text in ["", "point", "numeric(0)", "varchar(x)", "int4(3)", "text]", "timestamp(9)"] {
            assert!(PgType::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_field_and_its_type_go_both_ways() {
        for text in [
            "boolean",
            "smallint",
            "integer",
            "bigint",
            "real",
            "double precision",
            "numeric(12,3)",
            "numeric",
            "text",
            "character varying(9)",
            "character(3)",
            "bytea",
            "date",
            "time without time zone",
            "timestamp without time zone",
            "timestamp with time zone",
            "interval",
            "uuid",
            "json",
            "jsonb",
            "oid",
            "name",
            "\"char\"",
            "text[]",
            "character varying(9)[]",
            "integer[]",
        ] {
            let pg_type = PgType::parse(text).unwrap();
            let field = pg_type.field("c", true);
            assert_eq!(PgType::of_field(&field).unwrap().to_string(), text, "{field:?}");
        }
        assert!(PgType::of_field(&PgType::parse("text").unwrap().field("c", true)).is_ok());
        assert!(PgType::parse("int4").unwrap().field("c", true).metadata().is_empty());
    }

    #[test]
    fn arrow_types_of_files_find_their_sql_type() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        for (data_type, printed) in [
            (DataType::UInt32, "bigint"),
            (DataType::UInt64, "numeric(20,0)"),
            (dictionary, "text"),
            (
                DataType::Timestamp(TimeUnit::Nanosecond, Some("Europe/Paris".into())),
                "timestamp with time zone",
            ),
            (DataType::new_list(DataType::Float64, true), "double precision[]"),
            (DataType::new_list(DataType::new_list(DataType::Int16, true), true), "smallint[]"),
        ] {
            assert_eq!(PgType::of_field(&Field::new("c", data_type, true)).unwrap().to_string(), printed);
        }
        assert!(PgType::of_field(&Field::new("c", DataType::Null, true)).is_err());
    }
}
