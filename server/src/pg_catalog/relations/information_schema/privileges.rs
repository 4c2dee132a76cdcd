//! Who may do what with tables and columns, and which roles there are.

use super::{Listed, TABLE_PRIVILEGES, database, listed, yes_or_no};
use crate::pg_catalog::acl::PREDEFINED_ROLES;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// What can be granted on one column.
const COLUMN_PRIVILEGES: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

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

pub(super) fn table_privileges(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn column_privileges(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn data_type_privileges(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn enabled_roles(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    let users = view.snapshot.roles.iter().map(|role| (role.oid, role.name.clone()));
    let predefined = PREDEFINED_ROLES.into_iter().map(|(oid, name)| (oid, name.to_owned()));
    for (oid, name) in users.chain(predefined) {
        if user.superuser || user.is(oid) {
            rows.push([("role_name", name.into())]);
        }
    }
}

pub(super) fn applicable_roles(view: &SessionView, rows: &mut Rows) {
    let user = view.current_user();
    if user.superuser {
        for role in ["pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"] {
            rows.push([
                ("grantee", "pg_monitor".into()),
                ("role_name", role.into()),
                ("is_grantable", "NO".into()),
            ]);
        }
    }
}
