//! Relations about what can be called: functions, aggregates, operators, languages, access methods.

use crate::pg_catalog::acl::SYSTEM_OWNER;
use crate::pg_catalog::builtin::{self, BuiltinFunction, PG_CATALOG_OID};
use crate::pg_catalog::relation::RowSource;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_proc"), functions),
    (("pg_catalog", "pg_aggregate"), aggregates),
    (("pg_catalog", "pg_operator"), operators),
    (("pg_catalog", "pg_opclass"), operator_classes),
    (("pg_catalog", "pg_opfamily"), operator_families),
    (("pg_catalog", "pg_language"), languages),
    (("pg_catalog", "pg_am"), access_methods),
];

/// The OID of a function's language.
fn language(function: &BuiltinFunction) -> u32 {
    match function.language {
        "s" => 14,
        "c" => 13,
        _ => 12,
    }
}

fn functions(view: &SessionView, rows: &mut Rows) {
    for function in view.functions.iter() {
        let letters = |modes: &str| Datum::list(modes.chars().map(|mode| mode.to_string()));
        rows.push([
            ("oid", function.oid.into()),
            ("proname", function.name.to_string().into()),
            ("pronamespace", function.namespace.into()),
            ("proowner", SYSTEM_OWNER.into()),
            ("prolang", language(function).into()),
            ("procost", Datum::Float(1.0)),
            ("prorows", Datum::Float(if function.returns_set { 1_000.0 } else { 0.0 })),
            ("provariadic", function.variadic.into()),
            ("prokind", function.kind.into()),
            ("proisstrict", function.strict.into()),
            ("proretset", function.returns_set.into()),
            ("provolatile", function.volatility.into()),
            ("proparallel", function.parallel.into()),
            ("pronargs", function.arguments.len().into()),
            ("pronargdefaults", function.default_count.into()),
            ("prorettype", function.returns.into()),
            ("proargtypes", Datum::list(function.arguments.iter().copied())),
            (
                "proallargtypes",
                function.all_arguments.as_ref().map(|all| Datum::list(all.iter().copied())).into(),
            ),
            ("proargmodes", function.modes.map(letters).into()),
            ("proargnames", function.names.as_ref().map(|names| Datum::list(names.iter().copied())).into()),
            ("proargdefaults", function.defaults.into()),
            ("prosrc", function.name.to_string().into()),
        ]);
    }
}

fn aggregates(view: &SessionView, rows: &mut Rows) {
    for aggregate in builtin::AGGREGATES.iter() {
        if !view.functions.iter().any(|function| function.oid == aggregate.function) {
            continue;
        }
        rows.push([
            ("aggfnoid", aggregate.function.into()),
            ("aggkind", aggregate.kind.into()),
            ("aggnumdirectargs", aggregate.direct_arguments.into()),
            ("aggtransfn", aggregate.transition.into()),
            ("aggfinalfn", aggregate.finish.into()),
            ("aggcombinefn", aggregate.combine.into()),
            ("aggfinalextra", aggregate.finish_extra.into()),
            ("aggfinalmodify", aggregate.finish_modifies.into()),
            ("aggmfinalmodify", "r".into()),
            ("aggsortop", aggregate.sort_operator.into()),
            ("aggtranstype", aggregate.state.into()),
            ("aggtransspace", aggregate.state_bytes.into()),
            ("agginitval", aggregate.initial.into()),
        ]);
    }
}

fn operators(_: &SessionView, rows: &mut Rows) {
    for operator in builtin::OPERATORS.iter() {
        rows.push([
            ("oid", operator.oid.into()),
            ("oprname", operator.name.into()),
            ("oprnamespace", PG_CATALOG_OID.into()),
            ("oprowner", SYSTEM_OWNER.into()),
            ("oprkind", operator.kind.into()),
            ("oprcanmerge", operator.can_merge.into()),
            ("oprcanhash", operator.can_hash.into()),
            ("oprleft", operator.left.into()),
            ("oprright", operator.right.into()),
            ("oprresult", operator.result.into()),
            ("oprcom", operator.commutator.into()),
            ("oprnegate", operator.negator.into()),
            ("oprcode", operator.code.into()),
            ("oprrest", operator.restrict.into()),
            ("oprjoin", operator.join.into()),
        ]);
    }
}

fn operator_classes(_: &SessionView, rows: &mut Rows) {
    for class in builtin::OPERATOR_CLASSES.iter() {
        rows.push([
            ("oid", class.oid.into()),
            ("opcmethod", class.method.into()),
            ("opcname", class.name.into()),
            ("opcnamespace", PG_CATALOG_OID.into()),
            ("opcowner", SYSTEM_OWNER.into()),
            ("opcfamily", class.family.into()),
            ("opcintype", class.input.into()),
            ("opcdefault", class.default.into()),
            ("opckeytype", class.key.into()),
        ]);
    }
}

fn operator_families(_: &SessionView, rows: &mut Rows) {
    for family in builtin::OPERATOR_FAMILIES.iter() {
        rows.push([
            ("oid", family.oid.into()),
            ("opfmethod", family.method.into()),
            ("opfname", family.name.into()),
            ("opfnamespace", PG_CATALOG_OID.into()),
            ("opfowner", SYSTEM_OWNER.into()),
        ]);
    }
}

fn languages(_: &SessionView, rows: &mut Rows) {
    for (oid, name, trusted, validator) in
        [(12_u32, "internal", false, 2_246_u32), (13, "c", false, 2_247), (14, "sql", true, 2_248)]
    {
        rows.push([
            ("oid", oid.into()),
            ("lanname", name.into()),
            ("lanowner", SYSTEM_OWNER.into()),
            ("lanpltrusted", trusted.into()),
            ("lanvalidator", validator.into()),
        ]);
    }
}

/// The access methods that clients look up: what tables say they are, and the two of the listed operator classes.
fn access_methods(_: &SessionView, rows: &mut Rows) {
    for (oid, name, handler, kind) in
        [(2_u32, "heap", 3_u32, "t"), (403, "btree", 330, "i"), (405, "hash", 331, "i")]
    {
        rows.push([
            ("oid", oid.into()),
            ("amname", name.into()),
            ("amhandler", handler.into()),
            ("amtype", kind.into()),
        ]);
    }
}
