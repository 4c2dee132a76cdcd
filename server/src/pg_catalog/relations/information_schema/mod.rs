//! `information_schema`: the SQL standard's view of the catalogue.

mod constraints;
mod privileges;
mod routines;
mod tables;
mod types;

use std::sync::Arc;

use crate::catalogue::{Generation, Sequence};
use crate::pg_catalog::acl::SYSTEM_OWNER;
use crate::pg_catalog::builtin::{self, BuiltinType};
use crate::pg_catalog::relation::{RELATIONS, RowSource};
use crate::pg_catalog::relations::classes::view_definition;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

const SCHEMA: &str = "information_schema";

/// What a table's owner may do with it, in the order of the standard's views.
const TABLE_PRIVILEGES: [&str; 7] =
    ["INSERT", "SELECT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    ((SCHEMA, "information_schema_catalog_name"), |view, rows| {
        rows.push([("catalog_name", (&view.facts.database).into())]);
    }),
    ((SCHEMA, "schemata"), tables::schemata),
    ((SCHEMA, "tables"), tables::tables),
    ((SCHEMA, "columns"), tables::columns),
    ((SCHEMA, "column_udt_usage"), tables::column_types),
    ((SCHEMA, "element_types"), tables::element_types),
    ((SCHEMA, "data_type_privileges"), privileges::data_type_privileges),
    ((SCHEMA, "views"), tables::views),
    ((SCHEMA, "table_constraints"), constraints::table_constraints),
    ((SCHEMA, "key_column_usage"), constraints::key_columns),
    ((SCHEMA, "constraint_column_usage"), constraints::constrained_columns),
    ((SCHEMA, "referential_constraints"), constraints::foreign_keys),
    ((SCHEMA, "check_constraints"), constraints::checks),
    ((SCHEMA, "table_privileges"), privileges::table_privileges),
    ((SCHEMA, "role_table_grants"), privileges::table_privileges),
    ((SCHEMA, "column_privileges"), privileges::column_privileges),
    ((SCHEMA, "role_column_grants"), privileges::column_privileges),
    ((SCHEMA, "routines"), routines::routines),
    ((SCHEMA, "parameters"), routines::parameters),
    ((SCHEMA, "domains"), types::domains),
    ((SCHEMA, "character_sets"), types::character_sets),
    ((SCHEMA, "collations"), types::collations),
    ((SCHEMA, "collation_character_set_applicability"), types::collation_character_sets),
    ((SCHEMA, "enabled_roles"), privileges::enabled_roles),
    ((SCHEMA, "applicable_roles"), privileges::applicable_roles),
];

/// A relation as the standard's views see it, the user's and the system's alike.
struct Listed<'a> {
    oid: u32,
    schema: &'a str,
    name: &'a str,
    owner: u32,
    is_view: bool,
    /// A view's query.
    definition: Option<String>,
    columns: Vec<ListedColumn<'a>>,
}

struct ListedColumn<'a> {
    name: &'a str,
    of: &'static BuiltinType,
    typmod: i32,
    not_null: bool,
    default: Option<String>,
    generation: Generation,
    identity: Option<&'a Arc<Sequence>>,
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
        definition: None,
        columns: relation
            .columns
            .iter()
            .map(|column| ListedColumn {
                name: column.name,
                of: column.column_type,
                typmod: -1,
                not_null: column.not_null,
                default: None,
                generation: Generation::None,
                identity: None,
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
        definition: None,
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
                    default: view.shown_default(column),
                    generation: column.generation,
                    identity: column
                        .generation
                        .is_identity()
                        .then(|| view.sequence_of(table.oid, column.number))
                        .flatten(),
                    collation: of.collation,
                })
            })
            .collect(),
    });
    let views = view.snapshot.views.iter().map(|found| Listed {
        oid: found.oid,
        schema: &found.schema,
        name: &found.name,
        owner: found.owner,
        is_view: true,
        definition: Some(view_definition(found)),
        columns: found
            .columns
            .iter()
            .filter_map(|(name, pg_type)| {
                let of = builtin::type_by_oid(pg_type.oid)?;
                let (typmod, collation) = (pg_type.typmod, of.collation);
                Some(ListedColumn {
                    name,
                    of,
                    typmod,
                    not_null: false,
                    default: None,
                    generation: Generation::None,
                    identity: None,
                    collation,
                })
            })
            .collect(),
    });
    let user = view.current_user();
    let visible = |relation: &Listed<'_>| {
        let object = view.securable_relation(relation.oid);
        object
            .is_some_and(|object| TABLE_PRIVILEGES.iter().any(|privilege| user.may(object, privilege, false)))
    };
    system.chain(users).chain(views).filter(visible).collect()
}

fn yes_or_no(flag: bool) -> Datum {
    if flag { "YES".into() } else { "NO".into() }
}

fn database(view: &SessionView) -> Datum {
    (&view.facts.database).into()
}
