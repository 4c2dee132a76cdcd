//! Relations about types: base types, arrays, row types, ranges, casts, collations, encodings.

use crate::pg_catalog::acl::SYSTEM_OWNER;
use crate::pg_catalog::builtin::{self, PG_CATALOG_OID, TYPES};
use crate::pg_catalog::relation::{RELATIONS, RowSource};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// The functions of PostgreSQL that read and write arrays: subscript handler, input, output, receive, send, analyze.
const ARRAY_FUNCTIONS: [u32; 6] = [6_179, 750, 751, 2_400, 2_401, 3_816];

/// The functions of PostgreSQL that read and write rows: input, output, receive, send.
const RECORD_FUNCTIONS: [u32; 4] = [2_290, 2_291, 2_402, 2_403];

/// The encoding UTF8, by PostgreSQL's number.
const UTF8: i64 = 6;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_type"), types),
    (("pg_catalog", "pg_range"), ranges),
    (("pg_catalog", "pg_cast"), casts),
    (("pg_catalog", "pg_collation"), collations),
];

fn types(view: &SessionView, rows: &mut Rows) {
    for found in TYPES.iter() {
        let [input, output, receive, send, modifier_in, modifier_out, analyze] = found.functions;
        rows.push([
            ("oid", found.oid.into()),
            ("typname", found.name.into()),
            ("typnamespace", found.namespace.into()),
            ("typowner", SYSTEM_OWNER.into()),
            ("typlen", found.length.into()),
            ("typbyval", found.by_value.into()),
            ("typtype", found.kind.into()),
            ("typcategory", found.category.into()),
            ("typispreferred", found.preferred.into()),
            ("typisdefined", true.into()),
            ("typdelim", found.delimiter.into()),
            ("typsubscript", found.subscript.into()),
            ("typelem", found.element.into()),
            ("typarray", found.array.into()),
            ("typinput", input.into()),
            ("typoutput", output.into()),
            ("typreceive", receive.into()),
            ("typsend", send.into()),
            ("typmodin", modifier_in.into()),
            ("typmodout", modifier_out.into()),
            ("typanalyze", analyze.into()),
            ("typalign", found.align.into()),
            ("typstorage", found.storage.into()),
            ("typbasetype", found.base.into()),
            ("typtypmod", found.typmod.into()),
            ("typcollation", found.collation.into()),
        ]);
    }
    for relation in RELATIONS.iter() {
        row_type(
            relation.name,
            relation.namespace(),
            SYSTEM_OWNER,
            [relation.oid, relation.row_type, relation.array_type],
            rows,
        );
    }
    for table in view.tables() {
        let oids = [table.oid, table.row_type_oid(), table.array_type_oid()];
        row_type(&table.name, table.schema_oid, table.owner, oids, rows);
    }
    for found in view.snapshot.views.iter() {
        let oids = [found.oid, found.oid.saturating_add(2), found.oid.saturating_add(1)];
        row_type(&found.name, found.schema_oid, found.owner, oids, rows);
    }
}

/// The row type of a relation, and the array type over it.
fn row_type(name: &str, namespace: u32, owner: u32, oids: [u32; 3], rows: &mut Rows) {
    let [relation, row_type, array_type] = oids;
    let [input, output, receive, send] = RECORD_FUNCTIONS;
    rows.push([
        ("oid", row_type.into()),
        ("typname", name.to_owned().into()),
        ("typnamespace", namespace.into()),
        ("typowner", owner.into()),
        ("typlen", Datum::Int(-1)),
        ("typtype", "c".into()),
        ("typcategory", "C".into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typrelid", relation.into()),
        ("typarray", array_type.into()),
        ("typinput", input.into()),
        ("typoutput", output.into()),
        ("typreceive", receive.into()),
        ("typsend", send.into()),
        ("typalign", "d".into()),
        ("typstorage", "x".into()),
        ("typtypmod", Datum::Int(-1)),
    ]);
    if array_type == 0 {
        return;
    }
    let [subscript, input, output, receive, send, analyze] = ARRAY_FUNCTIONS;
    rows.push([
        ("oid", array_type.into()),
        ("typname", format!("_{name}").into()),
        ("typnamespace", namespace.into()),
        ("typowner", owner.into()),
        ("typlen", Datum::Int(-1)),
        ("typtype", "b".into()),
        ("typcategory", "A".into()),
        ("typisdefined", true.into()),
        ("typdelim", ",".into()),
        ("typsubscript", subscript.into()),
        ("typelem", row_type.into()),
        ("typinput", input.into()),
        ("typoutput", output.into()),
        ("typreceive", receive.into()),
        ("typsend", send.into()),
        ("typanalyze", analyze.into()),
        ("typalign", "d".into()),
        ("typstorage", "x".into()),
        ("typtypmod", Datum::Int(-1)),
    ]);
}

fn ranges(_: &SessionView, rows: &mut Rows) {
    // Range, subtype, multirange, collation, operator class, canonical function, difference function.
    for [range, subtype, multirange, class, canonical, difference] in [
        [3_904, 23, 4_451, 1_978, 3_914, 3_922],
        [3_906, 1_700, 4_532, 3_125, 0, 3_924],
        [3_908, 1_114, 4_533, 3_128, 0, 3_929],
        [3_910, 1_184, 4_534, 3_127, 0, 3_930],
        [3_912, 1_082, 4_535, 3_122, 3_915, 3_925],
        [3_926, 20, 4_536, 3_124, 3_928, 3_923],
    ] {
        rows.push([
            ("rngtypid", Datum::Int(range)),
            ("rngsubtype", Datum::Int(subtype)),
            ("rngmultitypid", Datum::Int(multirange)),
            ("rngsubopc", Datum::Int(class)),
            ("rngcanonical", Datum::Int(canonical)),
            ("rngsubdiff", Datum::Int(difference)),
        ]);
    }
}

fn casts(_: &SessionView, rows: &mut Rows) {
    for cast in builtin::CASTS.iter() {
        rows.push([
            ("oid", cast.oid.into()),
            ("castsource", cast.source.into()),
            ("casttarget", cast.target.into()),
            ("castfunc", cast.function.into()),
            ("castcontext", cast.context.into()),
            ("castmethod", cast.method.into()),
        ]);
    }
}

fn collations(_: &SessionView, rows: &mut Rows) {
    for (oid, name, provider, encoding, locale) in [
        (100_u32, "default", "d", -1, None),
        (950, "C", "c", -1, Some("C")),
        (951, "POSIX", "c", -1, Some("POSIX")),
        (12_340, "ucs_basic", "c", UTF8, Some("C")),
        (12_341, "C.utf8", "c", UTF8, Some("C.utf8")),
    ] {
        rows.push([
            ("oid", oid.into()),
            ("collname", name.into()),
            ("collnamespace", PG_CATALOG_OID.into()),
            ("collowner", SYSTEM_OWNER.into()),
            ("collprovider", provider.into()),
            ("collisdeterministic", true.into()),
            ("collencoding", Datum::Int(encoding)),
            ("collcollate", locale.into()),
            ("collctype", locale.into()),
        ]);
    }
}
