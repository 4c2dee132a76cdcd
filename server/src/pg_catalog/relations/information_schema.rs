//! `information_schema`: the SQL standard's view of the catalogue.

use super::super::acl::{PREDEFINED_ROLES, SYSTEM_OWNER};
use super::super::builtin::{self, BuiltinFunction, BuiltinType, INFORMATION_SCHEMA_OID, PG_CATALOG_OID, TYPES};
use super::super::relation::{RELATIONS, RowSource};
use super::super::rows::{Datum, Rows};
use super::super::session::SessionView;
use super::super::type_name;

const SCHEMA: &str = "information_schema";

/// What a table's owner may do with it, in the order of the standard's views.
const TABLE_PRIVILEGES: [&str; 7] = ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

/// What can be granted on one column.
const COLUMN_PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

/// The longest text: what PostgreSQL gives as the octets of a text without a limit.
const TEXT_BYTES_MAX: i64 = 1 << 30;

/// The bytes of the longest character in UTF-8.
const CHARACTER_BYTES_MAX: i64 = 4;

pub(crate) const SOURCES: &[((&str, &str), RowSource)] = &[
    ((SCHEMA, "information_schema_catalog_name"), |view, rows| {
        rows.push([("catalog_name", (&view.facts.database).into())]);
    }),
    ((SCHEMA, "schemata"), schemata),
    ((SCHEMA, "tables"), tables),
    ((SCHEMA, "columns"), columns),
    ((SCHEMA, "column_udt_usage"), column_types),
    ((SCHEMA, "element_types"), element_types),
    ((SCHEMA, "data_type_privileges"), data_type_privileges),
    ((SCHEMA, "views"), views),
    ((SCHEMA, "table_privileges"), table_privileges),
    ((SCHEMA, "role_table_grants"), table_privileges),
    ((SCHEMA, "column_privileges"), column_privileges),
    ((SCHEMA, "role_column_grants"), column_privileges),
    ((SCHEMA, "routines"), routines),
    ((SCHEMA, "parameters"), parameters),
    ((SCHEMA, "domains"), domains),
    ((SCHEMA, "character_sets"), character_sets),
    ((SCHEMA, "collations"), collations),
    ((SCHEMA, "collation_character_set_applicability"), collation_character_sets),
    ((SCHEMA, "enabled_roles"), enabled_roles),
    ((SCHEMA, "applicable_roles"), applicable_roles),
];

/// A relation as the standard's views see it, the user's and the system's alike.
struct Listed<'a> {
    oid: u32,
    schema: &'a str,
    name: &'a str,
    owner: u32,
    is_view: bool,
    columns: Vec<ListedColumn<'a>>,
}

struct ListedColumn<'a> {
    name: &'a str,
    of: &'static BuiltinType,
    typmod: i32,
    not_null: bool,
    collation: u32,
}

/// The relations that the user may see: those with any privilege on them.
fn listed(view: &SessionView) -> Vec<Listed<'_>> {
    let system = RELATIONS.iter().map(|relation| Listed {
        oid: relation.oid,
        schema: relation.schema,
        name: relation.name,
        owner: SYSTEM_OWNER,
        is_view: relation.kind == "v",
        columns: relation
            .columns
            .iter()
            .map(|column| ListedColumn {
                name: column.name,
                of: column.column_type,
                typmod: -1,
                not_null: column.not_null,
                collation: column.collation,
            })
            .collect(),
    });
    let users = view.tables().map(|table| Listed {
        oid: table.oid,
        schema: &table.schema,
        name: &table.name,
        owner: table.owner,
        is_view: false,
        columns: table
            .columns
            .iter()
            .filter_map(|column| {
                let of = builtin::type_by_oid(column.pg_type.oid)?;
                Some(ListedColumn {
                    name: &column.name,
                    of,
                    typmod: column.pg_type.typmod,
                    not_null: column.not_null,
                    collation: of.collation,
                })
            })
            .collect(),
    });
    let user = view.current_user();
    let visible = |relation: &Listed<'_>| {
        let object = view.securable_relation(relation.oid);
        object.is_some_and(|object| TABLE_PRIVILEGES.iter().any(|privilege| user.may(object, privilege, false)))
    };
    system.chain(users).filter(visible).collect()
}

fn yes_or_no(flag: bool) -> Datum {
    if flag { "YES".into() } else { "NO".into() }
}

fn database(view: &SessionView) -> Datum {
    (&view.facts.database).into()
}

fn schemata(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    let system = ["pg_toast", "pg_catalog", SCHEMA].map(|name| (name, SYSTEM_OWNER));
    let users = view.snapshot.schemas.iter().map(|schema| (&*schema.name, schema.owner));
    for (name, owner) in system.into_iter().chain(users) {
        // The standard shows only schemas that the user owns.
        if user.superuser || user.is(owner) {
            rows.push([
                ("catalog_name", database(view)),
                ("schema_name", name.to_owned().into()),
                ("schema_owner", view.role_name(owner).map(str::to_owned).into()),
            ]);
        }
    }
}

fn tables(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        rows.push([
            ("table_catalog", database(view)),
            ("table_schema", relation.schema.to_owned().into()),
            ("table_name", relation.name.to_owned().into()),
            ("table_type", if relation.is_view { "VIEW" } else { "BASE TABLE" }.into()),
            ("is_insertable_into", yes_or_no(!relation.is_view)),
            ("is_typed", "NO".into()),
        ]);
    }
}

/// The standard's description of a type: name, lengths, precision.
struct Described {
    data_type: Datum,
    characters: Datum,
    octets: Datum,
    precision: Datum,
    radix: Datum,
    scale: Datum,
    datetime: Datum,
    interval: Datum,
    /// The type that stands behind a domain, or the type itself.
    udt: &'static BuiltinType,
    domain: Option<&'static BuiltinType>,
}

fn describe(of: &'static BuiltinType, typmod: i32) -> Described {
    let (domain, udt, typmod) = match builtin::type_by_oid(of.base) {
        Some(base) => (Some(of), base, of.typmod),
        None => (None, of, typmod),
    };
    let data_type = match () {
        () if udt.element != 0 && udt.length == -1 && udt.name.starts_with('_') => "ARRAY".to_owned(),
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

fn namespace_of(of: &BuiltinType) -> &'static str {
    if of.namespace == INFORMATION_SCHEMA_OID { SCHEMA } else { "pg_catalog" }
}

fn columns(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for (column, number) in relation.columns.iter().zip(1_i64..) {
            let described = describe(column.of, column.typmod);
            let domain = described.domain;
            // The default collation goes without saying.
            let collation = match column.collation {
                950 => Some("C"),
                _ => None,
            };
            rows.push([
                ("table_catalog", database(view)),
                ("table_schema", relation.schema.to_owned().into()),
                ("table_name", relation.name.to_owned().into()),
                ("column_name", column.name.to_owned().into()),
                ("ordinal_position", number.into()),
                ("is_nullable", yes_or_no(!column.not_null)),
                ("data_type", described.data_type),
                ("character_maximum_length", described.characters),
                ("character_octet_length", described.octets),
                ("numeric_precision", described.precision),
                ("numeric_precision_radix", described.radix),
                ("numeric_scale", described.scale),
                ("datetime_precision", described.datetime),
                ("interval_type", described.interval),
                ("collation_catalog", collation.map(|_| view.facts.database.clone()).into()),
                ("collation_schema", collation.map(|_| "pg_catalog").into()),
                ("collation_name", collation.into()),
                ("domain_catalog", domain.map(|_| view.facts.database.clone()).into()),
                ("domain_schema", domain.map(namespace_of).into()),
                ("domain_name", domain.map(|domain| domain.name).into()),
                ("udt_catalog", database(view)),
                ("udt_schema", namespace_of(described.udt).into()),
                ("udt_name", described.udt.name.into()),
                ("dtd_identifier", number.to_string().into()),
                ("is_self_referencing", "NO".into()),
                ("is_identity", "NO".into()),
                ("identity_cycle", "NO".into()),
                ("is_generated", "NEVER".into()),
                ("is_updatable", yes_or_no(!relation.is_view)),
            ]);
        }
    }
}

fn column_types(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    for relation in listed(view) {
        for column in relation.columns.iter().filter(|_| user.superuser) {
            let udt = describe(column.of, column.typmod).udt;
            rows.push([
                ("udt_catalog", database(view)),
                ("udt_schema", namespace_of(udt).into()),
                ("udt_name", udt.name.into()),
                ("table_catalog", database(view)),
                ("table_schema", relation.schema.to_owned().into()),
                ("table_name", relation.name.to_owned().into()),
                ("column_name", column.name.to_owned().into()),
            ]);
        }
    }
}

fn element_types(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for (column, number) in relation.columns.iter().zip(1_i64..) {
            let element = builtin::type_by_oid(column.of.element);
            let Some(element) = element.filter(|_| column.of.name.starts_with('_')) else { continue };
            rows.push([
                ("object_catalog", database(view)),
                ("object_schema", relation.schema.to_owned().into()),
                ("object_name", relation.name.to_owned().into()),
                ("object_type", if relation.is_view { "VIEW" } else { "TABLE" }.into()),
                ("collection_type_identifier", number.to_string().into()),
                ("data_type", describe(element, -1).data_type),
                ("udt_catalog", database(view)),
                ("udt_schema", namespace_of(element).into()),
                ("udt_name", element.name.into()),
                ("dtd_identifier", format!("a{number}").into()),
            ]);
        }
    }
}

fn data_type_privileges(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for number in 1..=relation.columns.len() {
            rows.push([
                ("object_catalog", database(view)),
                ("object_schema", relation.schema.to_owned().into()),
                ("object_name", relation.name.to_owned().into()),
                ("object_type", if relation.is_view { "VIEW" } else { "TABLE" }.into()),
                ("dtd_identifier", number.to_string().into()),
            ]);
        }
    }
}

fn views(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view).into_iter().filter(|relation| relation.is_view) {
        rows.push([
            ("table_catalog", database(view)),
            ("table_schema", relation.schema.to_owned().into()),
            ("table_name", relation.name.to_owned().into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}

/// Who was given what by whom: the owner everything, everybody the reading of the system's relations.
fn grants<'a>(
    view: &'a SessionView,
    relation: &Listed<'_>,
    privileges: &'a [&'static str],
) -> impl Iterator<Item = (Datum, Datum, &'static str, bool)> + use<'a> {
    let owner = view.role_name(relation.owner).unwrap_or_default().to_owned();
    let user = view.current_user();
    let of_owner = user.superuser || user.is(relation.owner);
    let public = view.securable_relation(relation.oid).map_or(&[][..], |object| object.public);
    let own = privileges.iter().filter(move |_| of_owner).map({
        let owner = owner.clone();
        move |privilege| (owner.clone().into(), owner.clone().into(), *privilege, true)
    });
    let everybody = public.iter().filter(|privilege| privileges.contains(privilege));
    own.chain(everybody.map(move |privilege| (owner.clone().into(), "PUBLIC".into(), *privilege, false)))
}

fn table_privileges(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for (grantor, grantee, privilege, grantable) in grants(view, &relation, &TABLE_PRIVILEGES) {
            rows.push([
                ("grantor", grantor),
                ("grantee", grantee),
                ("table_catalog", database(view)),
                ("table_schema", relation.schema.to_owned().into()),
                ("table_name", relation.name.to_owned().into()),
                ("privilege_type", privilege.into()),
                ("is_grantable", yes_or_no(grantable)),
                ("with_hierarchy", yes_or_no(privilege == "SELECT")),
            ]);
        }
    }
}

fn column_privileges(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for (grantor, grantee, privilege, grantable) in grants(view, &relation, &COLUMN_PRIVILEGES) {
            for column in &relation.columns {
                rows.push([
                    ("grantor", grantor.clone()),
                    ("grantee", grantee.clone()),
                    ("table_catalog", database(view)),
                    ("table_schema", relation.schema.to_owned().into()),
                    ("table_name", relation.name.to_owned().into()),
                    ("column_name", column.name.to_owned().into()),
                    ("privilege_type", privilege.into()),
                    ("is_grantable", yes_or_no(grantable)),
                ]);
            }
        }
    }
}

fn specific_name(function: &BuiltinFunction) -> Datum {
    format!("{}_{}", function.name, function.oid).into()
}

fn routine_schema(view: &SessionView, function: &BuiltinFunction) -> Datum {
    view.schema_name(function.namespace).map(str::to_owned).into()
}

fn routines(view: &SessionView, rows: &mut Rows) {
    for function in view.functions.iter() {
        let returned = builtin::type_by_oid(function.returns).map(|of| (describe(of, -1).data_type, of));
        let (data_type, udt) = returned.map_or((Datum::Null, None), |(data_type, of)| (data_type, Some(of)));
        let is_sql = function.language == "s";
        rows.push([
            ("specific_catalog", database(view)),
            ("specific_schema", routine_schema(view, function)),
            ("specific_name", specific_name(function)),
            ("routine_catalog", database(view)),
            ("routine_schema", routine_schema(view, function)),
            ("routine_name", function.name.to_string().into()),
            ("routine_type", matches!(function.kind, "f").then_some("FUNCTION").into()),
            ("data_type", data_type),
            ("type_udt_catalog", database(view)),
            ("type_udt_schema", udt.map(namespace_of).into()),
            ("type_udt_name", udt.map(|udt| udt.name).into()),
            ("dtd_identifier", "0".into()),
            ("routine_body", if is_sql { "SQL" } else { "EXTERNAL" }.into()),
            ("routine_definition", function.name.to_string().into()),
            ("external_language", if is_sql { "SQL" } else { "INTERNAL" }.into()),
            ("parameter_style", "GENERAL".into()),
            ("is_deterministic", yes_or_no(function.volatility == "i")),
            ("sql_data_access", "MODIFIES".into()),
            ("is_null_call", yes_or_no(function.strict)),
            ("schema_level_routine", "YES".into()),
            ("max_dynamic_result_sets", Datum::Int(0)),
            ("security_type", "INVOKER".into()),
            ("as_locator", "NO".into()),
            ("is_udt_dependent", "NO".into()),
        ]);
    }
}

fn parameters(view: &SessionView, rows: &mut Rows) {
    for function in view.functions.iter() {
        let types = function.all_arguments.as_ref().unwrap_or(&function.arguments);
        for ((oid, index), number) in types.iter().zip(0_usize..).zip(1_i64..) {
            let Some(of) = builtin::type_by_oid(*oid) else { continue };
            let mode = function.modes.and_then(|modes| modes.chars().nth(index)).unwrap_or('i');
            let name = function.names.as_ref().and_then(|names| names.get(index)).copied();
            rows.push([
                ("specific_catalog", database(view)),
                ("specific_schema", routine_schema(view, function)),
                ("specific_name", specific_name(function)),
                ("ordinal_position", number.into()),
                (
                    "parameter_mode",
                    match mode {
                        'o' | 't' => "OUT",
                        'b' => "INOUT",
                        _ => "IN",
                    }
                    .into(),
                ),
                ("is_result", "NO".into()),
                ("as_locator", "NO".into()),
                ("parameter_name", name.filter(|name| !name.is_empty()).into()),
                ("data_type", describe(of, -1).data_type),
                ("udt_catalog", database(view)),
                ("udt_schema", namespace_of(of).into()),
                ("udt_name", of.name.into()),
                ("dtd_identifier", number.to_string().into()),
            ]);
        }
    }
}

fn domains(view: &SessionView, rows: &mut Rows) {
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

fn character_sets(view: &SessionView, rows: &mut Rows) {
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

fn collations(view: &SessionView, rows: &mut Rows) {
    for name in COLLATIONS {
        rows.push([
            ("collation_catalog", database(view)),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("pad_attribute", "NO PAD".into()),
        ]);
    }
}

fn collation_character_sets(view: &SessionView, rows: &mut Rows) {
    for name in COLLATIONS {
        rows.push([
            ("collation_catalog", database(view)),
            ("collation_schema", "pg_catalog".into()),
            ("collation_name", name.into()),
            ("character_set_name", "UTF8".into()),
        ]);
    }
}

fn enabled_roles(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    let users = view.snapshot.roles.iter().map(|role| (role.oid, role.name.clone()));
    let predefined = PREDEFINED_ROLES.into_iter().map(|(oid, name)| (oid, name.to_owned()));
    for (oid, name) in users.chain(predefined) {
        if user.superuser || user.is(oid) {
            rows.push([("role_name", name.into())]);
        }
    }
}

fn applicable_roles(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    if user.superuser {
        for role in ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"] {
            rows.push([("grantee", "pg_monitor".into()), ("role_name", role.into()), ("is_grantable", "NO".into())]);
        }
    }
}
