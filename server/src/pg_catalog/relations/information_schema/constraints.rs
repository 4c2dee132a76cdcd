//! Constraints and the columns they are on.

use super::{database, yes_or_no};
use crate::catalogue::{Constraint, ConstraintKind, Table};
use crate::pg_catalog::relations::constraints::{Constrained, action_name, names_of};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// The constraints of tables that the user may see.
fn seen(view: &SessionView) -> Vec<Constrained<'_>> {
    let user = view.current_user();
    let owned = |found: &Constrained<'_>| user.superuser || user.is(found.table.owner);
    view.constrained().filter(|found| found.is_constraint() && owned(found)).collect()
}

pub(super) fn table_constraints(view: &SessionView, rows: &mut Rows) {
    let mut push = |table: &Table, name: String, kind: &'static str| {
        let nulls_distinct = (kind == "UNIQUE").then(|| yes_or_no(true));
        rows.push([
            ("constraint_catalog", database(view)),
            ("constraint_schema", (&table.schema).into()),
            ("constraint_name", name.into()),
            ("table_catalog", database(view)),
            ("table_schema", (&table.schema).into()),
            ("table_name", (&table.name).into()),
            ("constraint_type", kind.into()),
            ("is_deferrable", "NO".into()),
            ("initially_deferred", "NO".into()),
            ("enforced", "YES".into()),
            ("nulls_distinct", nulls_distinct.unwrap_or(Datum::Null)),
        ]);
    };
    for Constrained { table, constraint } in seen(view) {
        let kind = match constraint.kind {
            ConstraintKind::PrimaryKey => "PRIMARY KEY",
            ConstraintKind::Check => "CHECK",
            ConstraintKind::ForeignKey => "FOREIGN KEY",
            _ => "UNIQUE",
        };
        push(table, constraint.name.clone(), kind);
    }
    for_not_null(view, |table, name, _| push(table, name, "CHECK"));
}

/// The standard counts NOT NULL among the checks, under names that say where it is.
fn for_not_null(view: &SessionView, mut each: impl FnMut(&Table, String, &str)) {
    let user = view.current_user();
    for table in view.tables().filter(|table| user.superuser || user.is(table.owner)) {
        for column in table.columns.iter().filter(|column| column.not_null) {
            let name = format!("{}_{}_{}_not_null", table.schema_oid, table.oid, column.number);
            each(table, name, &column.name);
        }
    }
}

pub(super) fn key_columns(view: &SessionView, rows: &mut Rows) {
    for found in seen(view).iter().filter(|found| found.constraint.kind != ConstraintKind::Check) {
        let Constrained { table, constraint } = found;
        let is_foreign = constraint.kind == ConstraintKind::ForeignKey;
        for (column, number) in found.column_names().into_iter().zip(1_i64..) {
            rows.push([
                ("constraint_catalog", database(view)),
                ("constraint_schema", (&table.schema).into()),
                ("constraint_name", (&constraint.name).into()),
                ("table_catalog", database(view)),
                ("table_schema", (&table.schema).into()),
                ("table_name", (&table.name).into()),
                ("column_name", column.to_owned().into()),
                ("ordinal_position", number.into()),
                ("position_in_unique_constraint", is_foreign.then_some(number).into()),
            ]);
        }
    }
}

pub(super) fn constrained_columns(view: &SessionView, rows: &mut Rows) {
    for found in seen(view) {
        let constraint = found.constraint;
        // Of a foreign key the columns that it refers to.
        let (table, columns) = match constraint.kind {
            ConstraintKind::ForeignKey => match view.references(constraint) {
                Some(to) => (to.table, names_of(to.table, &to.columns)),
                None => continue,
            },
            _ => (found.table, found.column_names()),
        };
        for column in columns {
            rows.push([
                ("table_catalog", database(view)),
                ("table_schema", (&table.schema).into()),
                ("table_name", (&table.name).into()),
                ("column_name", column.to_owned().into()),
                ("constraint_catalog", database(view)),
                ("constraint_schema", (&found.table.schema).into()),
                ("constraint_name", (&constraint.name).into()),
            ]);
        }
    }
}

pub(super) fn foreign_keys(view: &SessionView, rows: &mut Rows) {
    for found in seen(view).iter().filter(|found| found.constraint.kind == ConstraintKind::ForeignKey) {
        let Some(to) = view.references(found.constraint) else { continue };
        let is_key = |key: &&Constraint| {
            matches!(key.kind, ConstraintKind::PrimaryKey | ConstraintKind::Unique)
                && key.columns == to.columns
        };
        let key = to.table.constraints.iter().find(is_key);
        rows.push([
            ("constraint_catalog", database(view)),
            ("constraint_schema", (&found.table.schema).into()),
            ("constraint_name", (&found.constraint.name).into()),
            ("unique_constraint_catalog", key.map(|_| view.facts.database.clone()).into()),
            ("unique_constraint_schema", key.map(|_| to.table.schema.clone()).into()),
            ("unique_constraint_name", key.map(|key| key.name.clone()).into()),
            ("match_option", "NONE".into()),
            ("update_rule", action_name(to.on_update).into()),
            ("delete_rule", action_name(to.on_delete).into()),
        ]);
    }
}

pub(super) fn checks(view: &SessionView, rows: &mut Rows) {
    let mut push = |schema: &String, name: Datum, clause: String| {
        rows.push([
            ("constraint_catalog", database(view)),
            ("constraint_schema", schema.into()),
            ("constraint_name", name),
            ("check_clause", clause.into()),
        ]);
    };
    for found in seen(view).iter().filter(|found| found.constraint.kind == ConstraintKind::Check) {
        let clause = format!("({})", found.constraint.definition);
        push(&found.table.schema, (&found.constraint.name).into(), clause);
    }
    for_not_null(view, |table, name, column| {
        push(&table.schema, name.into(), format!("{column} IS NOT NULL"))
    });
}
