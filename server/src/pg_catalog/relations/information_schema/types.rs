//! What the standard says of types; domains, character sets, collations.

use super::{SCHEMA, database};
use crate::pg_catalog::builtin::{self, BuiltinType, INFORMATION_SCHEMA_OID, PG_CATALOG_OID, TYPES};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;
use crate::pg_catalog::type_name;

/// The longest text: what PostgreSQL gives as the octets of a text without a limit.
const TEXT_BYTES_MAX: i64 = 1 << 30;

/// The bytes of the longest character in UTF-8.
const CHARACTER_BYTES_MAX: i64 = 4;

/// The standard's description of a type: name, lengths, precision.
pub(super) struct Described {
    pub(super) data_type: Datum,
    pub(super) characters: Datum,
    pub(super) octets: Datum,
    pub(super) precision: Datum,
    pub(super) radix: Datum,
    pub(super) scale: Datum,
    pub(super) datetime: Datum,
    pub(super) interval: Datum,
    /// The type that stands behind a domain, or the type itself.
    pub(super) udt: &'static BuiltinType,
    pub(super) domain: Option<&'static BuiltinType>,
}

pub(super) fn describe(of: &'static BuiltinType, typmod: i32) -> Described {
    let (domain, udt, typmod) = match builtin::type_by_oid(of.base) {
        Some(base) => (Some(of), base, of.typmod),
        None => (None, of, typmod),
    };
    let data_type = match () {
        () if udt.element != 0 && udt.length == -1 => "ARRAY".to_owned(),
        () if udt.namespace == PG_CATALOG_OID => type_name::format_builtin(udt, None),
        () => "USER-DEFINED".to_owned(),
    };
    let limit = i64::from(typmod) - 4;
    let is_text = matches!(udt.name, "text" | "varchar" | "bpchar");
    let characters = (matches!(udt.name, "varchar" | "bpchar") && typmod != -1).then_some(limit);
    let octets = match (is_text, typmod) {
        (false, _) => None,
        (true, -1) => Some(TEXT_BYTES_MAX),
        (true, _) => Some(limit * CHARACTER_BYTES_MAX),
    };
    let (precision, radix, scale) = match udt.name {
        "int2" => (Some(16), Some(2), Some(0)),
        "int4" => (Some(32), Some(2), Some(0)),
        "int8" => (Some(64), Some(2), Some(0)),
        "float4" => (Some(24), Some(2), None),
        "float8" => (Some(53), Some(2), None),
        "numeric" if typmod == -1 => (None, Some(10), None),
        "numeric" => (Some((limit >> 16) & 0xffff), Some(10), Some(((limit & 0x7ff) ^ 1024) - 1024)),
        _ => (None, None, None),
    };
    let datetime = match udt.name {
        "date" => Some(0),
        "time" | "timetz" | "timestamp" | "timestamptz" if typmod < 0 => Some(6),
        "time" | "timetz" | "timestamp" | "timestamptz" => Some(i64::from(typmod)),
        "interval" if typmod < 0 || typmod & 0xffff == 0xffff => Some(6),
        "interval" => Some(i64::from(typmod & 0xffff)),
        _ => None,
    };
    Described {
        data_type: data_type.into(),
        characters: characters.into(),
        octets: octets.into(),
        precision: precision.into(),
        radix: radix.into(),
        scale: scale.into(),
        datetime: datetime.into(),
        interval: Datum::Null,
        udt,
        domain,
    }
}

pub(super) fn namespace_of(of: &BuiltinType) -> &'static str {
    if of.namespace == INFORMATION_SCHEMA_OID { SCHEMA } else { "pg_catalog" }
}

pub(super) fn domains(view: &SessionView, rows: &mut Rows) {
    for domain in TYPES.iter().filter(|found| found.kind == "d") {
        let described = describe(domain, domain.typmod);
        rows.push([
            ("domain_catalog", database(view)),
            ("domain_schema", namespace_of(domain).into()),
            ("domain_name", domain.name.into()),
            ("data_type", described.data_type),
            ("character_maximum_length", described.characters),
            ("character_octet_length", described.octets),
            ("numeric_precision", described.precision),
            ("numeric_precision_radix", described.radix),
            ("numeric_scale", described.scale),
            ("datetime_precision", described.datetime),
            ("udt_catalog", database(view)),
            ("udt_schema", namespace_of(described.udt).into()),
            ("udt_name", described.udt.name.into()),
            ("dtd_identifier", "1".into()),
        ]);
    }
}

pub(super) fn character_sets(view: &SessionView, rows: &mut Rows) {
    rows.push([
        ("character_set_name", "UTF8".into()),
        ("character_repertoire", "UCS".into()),
        ("form_of_use", "UTF8".into()),
        ("default_collate_catalog", database(view)),
        ("default_collate_schema", "pg_catalog".into()),
        ("default_collate_name", "C".into()),
    ]);
}

const COLLATIONS: [&str; 5] = ["default", "C", "POSIX", "ucs_basic", "C.utf8"];

pub(super) fn collations(view: &SessionView, rows: &mut Rows) {
    for name in COLLATIONS {
        rows.push([
            ("collation_catalog", database(view)),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("pad_attribute", "NO PAD".into()),
        ]);
    }
}

pub(super) fn collation_character_sets(view: &SessionView, rows: &mut Rows) {
    for name in COLLATIONS {
        rows.push([
            ("collation_catalog", database(view)),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("character_set_name", "UTF8".into()),
        ]);
    }
}
