//! Schemata, tables, columns, views.

use super::types::{describe, namespace_of};
use super::{SCHEMA, database, listed, yes_or_no};
use crate::catalogue::{Generation, is_temporary_schema};
use crate::pg_catalog::acl::SYSTEM_OWNER;
use crate::pg_catalog::builtin;
use crate::pg_catalog::rows::Rows;
use crate::pg_catalog::session::SessionView;

pub(super) fn schemata(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn tables(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        let is_temporary = is_temporary_schema(relation.schema);
        let kind = if is_temporary {
            "LOCAL TEMPORARY"
        } else if relation.is_view {
            "VIEW"
        } else {
            "BASE TABLE"
        };
        rows.push([
            ("table_catalog", database(view)),
            ("table_schema", relation.schema.to_owned().into()),
            ("table_name", relation.name.to_owned().into()),
            ("table_type", kind.into()),
            ("is_insertable_into", yes_or_no(!relation.is_view)),
            ("is_typed", "NO".into()),
            ("commit_action", is_temporary.then_some("PRESERVE").into()),
        ]);
    }
}

pub(super) fn columns(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view) {
        for (column, number) in relation.columns.iter().zip(1_i64..) {
            let described = describe(column.of, column.typmod);
            let domain = described.domain;
            let is_generated = column.generation == Generation::Stored;
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
                ("column_default", column.default.clone().filter(|_| !is_generated).into()),
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
                ("is_identity", yes_or_no(column.identity.is_some())),
                (
                    "identity_generation",
                    column
                        .identity
                        .map(
                            |_| if column.generation == Generation::Always { "ALWAYS" } else { "BY DEFAULT" },
                        )
                        .into(),
                ),
                ("identity_start", column.identity.map(|own| own.start.to_string()).into()),
                ("identity_increment", column.identity.map(|own| own.increment.to_string()).into()),
                ("identity_maximum", column.identity.map(|own| own.max.to_string()).into()),
                ("identity_minimum", column.identity.map(|own| own.min.to_string()).into()),
                ("identity_cycle", yes_or_no(column.identity.is_some_and(|own| own.cycle))),
                ("is_generated", if is_generated { "ALWAYS" } else { "NEVER" }.into()),
                ("generation_expression", column.default.clone().filter(|_| is_generated).into()),
                ("is_updatable", yes_or_no(!relation.is_view)),
            ]);
        }
    }
}

pub(super) fn column_types(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn element_types(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn views(view: &SessionView, rows: &mut Rows) {
    for relation in listed(view).into_iter().filter(|relation| relation.is_view) {
        rows.push([
            ("table_catalog", database(view)),
            ("table_schema", relation.schema.to_owned().into()),
            ("table_name", relation.name.to_owned().into()),
            ("view_definition", relation.definition.into()),
            ("check_option", "NONE".into()),
            ("is_updatable", "NO".into()),
            ("is_insertable_into", "NO".into()),
            ("is_trigger_updatable", "NO".into()),
            ("is_trigger_deletable", "NO".into()),
            ("is_trigger_insertable_into", "NO".into()),
        ]);
    }
}
