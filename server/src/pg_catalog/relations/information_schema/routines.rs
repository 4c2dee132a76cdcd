//! Functions and their parameters.

use super::types::{describe, namespace_of};
use super::{database, yes_or_no};
use crate::pg_catalog::builtin::{self, BuiltinFunction};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

fn specific_name(function: &BuiltinFunction) -> Datum {
    format!("{}_{}", function.name, function.oid).into()
}

fn routine_schema(view: &SessionView, function: &BuiltinFunction) -> Datum {
    view.schema_name(function.namespace).map(str::to_owned).into()
}

pub(super) fn routines(view: &SessionView, rows: &mut Rows) {
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

pub(super) fn parameters(view: &SessionView, rows: &mut Rows) {
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
