//! Relations about relations: schemas, tables, columns, comments, dependencies.

use std::sync::Arc;

use crate::catalogue::{ConstraintKind, Generation, PgType, Table, View, is_temporary_schema};
use crate::pg_catalog::acl::{DATABASE_OWNER, SYSTEM_OWNER};
use crate::pg_catalog::builtin::{
    self, INFORMATION_SCHEMA_OID, PG_CATALOG_OID, PG_TOAST_OID, QUICKDB_SCHEMA_OID,
};
use crate::pg_catalog::relation::{self, RELATIONS, RowSource};
use crate::pg_catalog::relations::constraints::Constrained;
use crate::pg_catalog::relations::sequences::COLUMNS;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// The OID of the access method `heap`, which PostgreSQL's tables have.
const HEAP: u32 = 2;

/// PostgreSQL's pages, in which planners of other databases count.
const PAGE_BYTES: u64 = 8_192;

/// The columns that every table has beside its own: name, type, length, number.
const SYSTEM_COLUMNS: [(&str, u32, i64, i64); 6] = [
    ("tableoid", 26, 4, -6),
    ("cmax", 29, 4, -5),
    ("xmax", 28, 4, -4),
    ("cmin", 29, 4, -3),
    ("xmin", 28, 4, -2),
    ("ctid", 27, 6, -1),
];

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_namespace"), namespaces),
    (("pg_catalog", "pg_class"), classes),
    (("pg_catalog", "pg_attribute"), attributes),
    (("pg_catalog", "pg_description"), descriptions),
    (("pg_catalog", "pg_depend"), dependencies),
    (("pg_catalog", "pg_tables"), tables),
    (("pg_catalog", "pg_views"), views),
];

fn namespaces(view: &SessionView, rows: &mut Rows) {
    let user = view.role_name(SYSTEM_OWNER).unwrap_or_default();
    let system_acl = || Datum::list([format!("{user}=UC/{user}"), format!("=U/{user}")]);
    for (oid, name, acl) in [
        (PG_TOAST_OID, "pg_toast", Datum::Null),
        (PG_CATALOG_OID, "pg_catalog", system_acl()),
        (INFORMATION_SCHEMA_OID, "information_schema", system_acl()),
        (QUICKDB_SCHEMA_OID, "quickdb", system_acl()),
    ] {
        rows.push([
            ("oid", oid.into()),
            ("nspname", name.into()),
            ("nspowner", SYSTEM_OWNER.into()),
            ("nspacl", acl),
        ]);
    }
    for schema in view.snapshot.schemas.iter() {
        let acl = if schema.name == "public" && schema.owner == DATABASE_OWNER {
            Datum::list(["pg_database_owner=UC/pg_database_owner", "=U/pg_database_owner"])
        } else {
            Datum::Null
        };
        rows.push([
            ("oid", schema.oid.into()),
            ("nspname", (&schema.name).into()),
            ("nspowner", schema.owner.into()),
            ("nspacl", acl),
        ]);
    }
}

/// A table's `WITH` options as `pg_class.reloptions` has them.
fn options(table: &Table) -> Datum {
    let mut options = Vec::new();
    if let Some(distribute_by) = &table.options.distribute_by {
        options.push(format!("distribute_by={distribute_by}"));
    }
    if let Some(sort_by) = &table.options.sort_by {
        options.push(format!("sort_by={sort_by}"));
    }
    if table.options.replicas > 1 {
        options.push(format!("replicas={}", table.options.replicas));
    }
    if options.is_empty() { Datum::Null } else { Datum::list(options) }
}

fn classes(view: &SessionView, rows: &mut Rows) {
    for relation in RELATIONS.iter() {
        let is_table = relation.kind == "r";
        rows.push([
            ("oid", relation.oid.into()),
            ("relname", relation.name.into()),
            ("relnamespace", relation.namespace().into()),
            ("reltype", relation.row_type.into()),
            ("relowner", SYSTEM_OWNER.into()),
            ("relam", if is_table { HEAP } else { 0 }.into()),
            ("relfilenode", if is_table { relation.oid } else { 0 }.into()),
            ("reltablespace", if relation.shared { 1_664 } else { 0 }.into()),
            ("reltuples", Datum::Float(-1.0)),
            ("relisshared", relation.shared.into()),
            ("relpersistence", "p".into()),
            ("relkind", relation.kind.into()),
            ("relnatts", relation.columns.len().into()),
            ("relhasrules", (!is_table).into()),
            ("relispopulated", true.into()),
            // PostgreSQL sets only `pg_catalog`'s own tables to nothing.
            ("relreplident", if is_table && relation.schema != "pg_catalog" { "d" } else { "n" }.into()),
        ]);
    }
    for table in view.tables() {
        // Row counts of this size are exact in a float4 or near enough for a planner.
        let row_count: f64 = table.row_count().to_string().parse().unwrap_or(f64::MAX);
        let pages = table.bytes().div_ceil(PAGE_BYTES).min(i32::MAX.unsigned_abs().into());
        rows.push([
            ("oid", table.oid.into()),
            ("relname", (&table.name).into()),
            ("relnamespace", table.schema_oid.into()),
            ("reltype", table.row_type_oid().into()),
            ("relowner", table.owner.into()),
            ("relam", HEAP.into()),
            ("relfilenode", table.oid.into()),
            ("relpages", pages.into()),
            ("reltuples", row_count.into()),
            ("relallvisible", pages.into()),
            ("relpersistence", persistence(&table.schema).into()),
            ("relkind", "r".into()),
            ("relnatts", table.columns.len().into()),
            ("relhasindex", of_table(table).any(|found| found.index_oid().is_some()).into()),
            ("relchecks", of_kind(table, ConstraintKind::Check).into()),
            ("relispopulated", true.into()),
            ("relreplident", "d".into()),
            ("reloptions", options(table)),
        ]);
    }
    for found in view.constrained() {
        let Some(oid) = found.index_oid() else { continue };
        rows.push([
            ("oid", oid.into()),
            ("relname", (&found.constraint.name).into()),
            ("relnamespace", found.table.schema_oid.into()),
            ("relowner", found.table.owner.into()),
            ("relam", found.method().into()),
            ("relfilenode", oid.into()),
            ("relpersistence", persistence(&found.table.schema).into()),
            ("relkind", "i".into()),
            ("relnatts", found.constraint.columns.len().into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
    for found in view.snapshot.sequences.iter() {
        rows.push([
            ("oid", found.oid.into()),
            ("relname", (&found.name).into()),
            ("relnamespace", found.schema_oid.into()),
            ("relowner", found.owner.into()),
            ("relfilenode", found.oid.into()),
            ("relpages", 1_i64.into()),
            ("reltuples", Datum::Float(1.0)),
            ("relpersistence", persistence(&found.schema).into()),
            ("relkind", "S".into()),
            ("relnatts", COLUMNS.len().into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
    for found in view.snapshot.views.iter() {
        rows.push([
            ("oid", found.oid.into()),
            ("relname", (&found.name).into()),
            ("relnamespace", found.schema_oid.into()),
            ("reltype", found.oid.saturating_add(2).into()),
            ("relowner", found.owner.into()),
            ("reltuples", Datum::Float(-1.0)),
            ("relpersistence", persistence(&found.schema).into()),
            ("relkind", "v".into()),
            ("relnatts", found.columns.len().into()),
            ("relhasrules", true.into()),
            ("relispopulated", true.into()),
            ("relreplident", "n".into()),
        ]);
    }
}

/// How long a relation of a schema lasts: `t` as long as its session.
fn persistence(schema: &str) -> &'static str {
    if is_temporary_schema(schema) { "t" } else { "p" }
}

fn of_table(table: &Arc<Table>) -> impl Iterator<Item = Constrained<'_>> {
    table.constraints.iter().map(move |constraint| Constrained { table, constraint })
}

fn of_kind(table: &Table, kind: ConstraintKind) -> usize {
    table.constraints.iter().filter(|constraint| constraint.kind == kind).count()
}

fn attributes(view: &SessionView, rows: &mut Rows) {
    for relation in RELATIONS.iter() {
        for (column, number) in relation.columns.iter().zip(1_i64..) {
            let of = column.column_type;
            rows.push([
                ("attrelid", relation.oid.into()),
                ("attname", column.name.into()),
                ("atttypid", of.oid.into()),
                ("attstattarget", Datum::Int(-1)),
                ("attlen", of.length.into()),
                ("attnum", number.into()),
                // Columns of views come from expressions, whose dimensions PostgreSQL does not keep.
                ("attndims", i64::from(of.category == "A" && relation.kind == "r").into()),
                ("attcacheoff", Datum::Int(-1)),
                ("atttypmod", Datum::Int(-1)),
                ("attbyval", of.by_value.into()),
                ("attalign", of.align.into()),
                ("attstorage", of.storage.into()),
                ("attnotnull", column.not_null.into()),
                ("attislocal", true.into()),
                ("attcollation", column.collation.into()),
            ]);
        }
        if relation.kind == "r" {
            system_attributes(relation.oid, rows);
        }
    }
    for table in view.tables() {
        for column in &table.columns {
            let number = i64::from(column.number);
            let Some(of) = builtin::type_by_oid(column.pg_type.oid) else { continue };
            rows.push([
                ("attrelid", table.oid.into()),
                ("attname", (&column.name).into()),
                ("atttypid", of.oid.into()),
                ("attstattarget", Datum::Int(-1)),
                ("attlen", of.length.into()),
                ("attnum", number.into()),
                (
                    "attndims",
                    i64::from(if column.pg_type.element().is_some() { column.pg_type.dimensions } else { 0 })
                        .into(),
                ),
                ("attcacheoff", Datum::Int(-1)),
                ("atttypmod", column.pg_type.typmod.into()),
                ("attbyval", of.by_value.into()),
                ("attalign", of.align.into()),
                ("attstorage", of.storage.into()),
                ("attnotnull", column.not_null.into()),
                ("atthasdef", (column.default.is_some() && !column.generation.is_identity()).into()),
                (
                    "attidentity",
                    match column.generation {
                        Generation::Always => "a",
                        Generation::ByDefault => "d",
                        Generation::None | Generation::Stored => "",
                    }
                    .into(),
                ),
                ("attgenerated", if column.generation == Generation::Stored { "s" } else { "" }.into()),
                ("attislocal", true.into()),
                ("attcollation", of.collation.into()),
            ]);
        }
        system_attributes(table.oid, rows);
    }
    let column = |rows: &mut Rows, relation: u32, name: &str, pg_type: PgType, number: i64| {
        let Some(of) = builtin::type_by_oid(pg_type.oid) else { return };
        rows.push([
            ("attrelid", relation.into()),
            ("attname", name.to_owned().into()),
            ("atttypid", of.oid.into()),
            ("attstattarget", Datum::Int(-1)),
            ("attlen", of.length.into()),
            ("attnum", number.into()),
            ("attcacheoff", Datum::Int(-1)),
            ("atttypmod", pg_type.typmod.into()),
            ("attbyval", of.by_value.into()),
            ("attalign", of.align.into()),
            ("attstorage", of.storage.into()),
            ("attislocal", true.into()),
            ("attcollation", of.collation.into()),
        ]);
    };
    for found in view.snapshot.views.iter() {
        for ((name, pg_type), number) in found.columns.iter().zip(1_i64..) {
            column(&mut *rows, found.oid, name, *pg_type, number);
        }
    }
    for found in view.snapshot.sequences.iter() {
        for ((name, type_oid), number) in COLUMNS.into_iter().zip(1_i64..) {
            column(&mut *rows, found.oid, name, PgType::new(type_oid), number);
        }
    }
    for found in view.constrained() {
        let Some(oid) = found.index_oid() else { continue };
        for (on, number) in found.constraint.columns.iter().zip(1_i64..) {
            if let Some(of) = found.table.columns.iter().find(|column| column.number == *on) {
                column(&mut *rows, oid, &of.name, of.pg_type, number);
            }
        }
    }
}

fn system_attributes(table: u32, rows: &mut Rows) {
    for (name, type_oid, length, number) in SYSTEM_COLUMNS {
        rows.push([
            ("attrelid", table.into()),
            ("attname", name.into()),
            ("atttypid", type_oid.into()),
            ("attlen", length.into()),
            ("attnum", number.into()),
            ("attcacheoff", Datum::Int(-1)),
            ("atttypmod", Datum::Int(-1)),
            ("attbyval", (type_oid != 27).into()),
            ("attalign", if type_oid == 27 { "s" } else { "i" }.into()),
            ("attstorage", "p".into()),
            ("attnotnull", true.into()),
            ("attislocal", true.into()),
        ]);
    }
}

fn descriptions(view: &SessionView, rows: &mut Rows) {
    let [class, namespace] = ["pg_class", "pg_namespace"]
        .map(|name| relation::by_name("pg_catalog", name).map_or(0, |relation| relation.oid));
    let mut push = |object: u32, class: u32, column: i64, comment: &Option<String>| {
        if let Some(comment) = comment {
            rows.push([
                ("objoid", object.into()),
                ("classoid", class.into()),
                ("objsubid", column.into()),
                ("description", comment.into()),
            ]);
        }
    };
    for schema in view.snapshot.schemas.iter() {
        push(schema.oid, namespace, 0, &schema.comment);
    }
    for table in view.tables() {
        push(table.oid, class, 0, &table.comment);
        for column in &table.columns {
            push(table.oid, class, column.number.into(), &column.comment);
        }
    }
    for found in view.snapshot.views.iter() {
        push(found.oid, class, 0, &found.comment);
    }
    for found in view.snapshot.sequences.iter() {
        push(found.oid, class, 0, &found.comment);
    }
    let constraint = relation::by_name("pg_catalog", "pg_constraint").map_or(0, |relation| relation.oid);
    for found in view.constrained() {
        // What has no constraint is the index itself.
        match found.index_oid() {
            Some(index) if !found.is_constraint() => push(index, class, 0, &found.constraint.comment),
            _ => push(found.constraint.oid, constraint, 0, &found.constraint.comment),
        }
    }
}

/// A table depends on its schema, its row type on the table, the array type on the row type.
fn dependencies(view: &SessionView, rows: &mut Rows) {
    let [class, namespace, types] = ["pg_class", "pg_namespace", "pg_type"]
        .map(|name| relation::by_name("pg_catalog", name).map_or(0, |relation| relation.oid));
    sequence_dependencies(view, class, namespace, rows);
    for table in view.tables() {
        for (of_class, object, on_class, on, kind) in [
            (class, table.oid, namespace, table.schema_oid, "n"),
            (types, table.row_type_oid(), class, table.oid, "i"),
            (types, table.array_type_oid(), types, table.row_type_oid(), "i"),
        ] {
            rows.push([
                ("classid", of_class.into()),
                ("objid", object.into()),
                ("refclassid", on_class.into()),
                ("refobjid", on.into()),
                ("deptype", kind.into()),
            ]);
        }
    }
}

/// A sequence depends on its schema and on its column.
fn sequence_dependencies(view: &SessionView, class: u32, namespace: u32, rows: &mut Rows) {
    for sequence in view.snapshot.sequences.iter() {
        rows.push([
            ("classid", class.into()),
            ("objid", sequence.oid.into()),
            ("refclassid", namespace.into()),
            ("refobjid", sequence.schema_oid.into()),
            ("deptype", "n".into()),
        ]);
        let Some(owner) = sequence.owned_by else { continue };
        rows.push([
            ("classid", class.into()),
            ("objid", sequence.oid.into()),
            ("refclassid", class.into()),
            ("refobjid", owner.table.into()),
            ("refobjsubid", owner.column.into()),
            ("deptype", if owner.identity { "i" } else { "a" }.into()),
        ]);
    }
}

fn tables(view: &SessionView, rows: &mut Rows) {
    let system_owner = view.role_name(SYSTEM_OWNER).unwrap_or_default().to_owned();
    for relation in RELATIONS.iter().filter(|relation| relation.kind == "r") {
        rows.push([
            ("schemaname", relation.schema.into()),
            ("tablename", relation.name.into()),
            ("tableowner", (&system_owner).into()),
            ("tablespace", relation.shared.then_some("pg_global").into()),
            ("hasindexes", false.into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
    for table in view.tables() {
        rows.push([
            ("schemaname", (&table.schema).into()),
            ("tablename", (&table.name).into()),
            ("tableowner", view.role_name(table.owner).map(str::to_owned).into()),
            ("hasindexes", of_table(table).any(|found| found.index_oid().is_some()).into()),
            ("hasrules", false.into()),
            ("hastriggers", false.into()),
            ("rowsecurity", false.into()),
        ]);
    }
}

fn views(view: &SessionView, rows: &mut Rows) {
    let system_owner = view.role_name(SYSTEM_OWNER).unwrap_or_default().to_owned();
    for relation in RELATIONS.iter().filter(|relation| relation.kind == "v") {
        rows.push([
            ("schemaname", relation.schema.into()),
            ("viewname", relation.name.into()),
            ("viewowner", (&system_owner).into()),
        ]);
    }
    for found in view.snapshot.views.iter() {
        rows.push([
            ("schemaname", (&found.schema).into()),
            ("viewname", (&found.name).into()),
            ("viewowner", view.role_name(found.owner).map(str::to_owned).into()),
            ("definition", view_definition(found).into()),
        ]);
    }
}

/// A view's query as `pg_get_viewdef` gives it: as it was written.
pub(in crate::pg_catalog) fn view_definition(view: &View) -> String {
    format!(" {};", view.query)
}
