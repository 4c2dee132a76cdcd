//! Functions about names: types, `reg...` values, quoting, visibility.

use super::Kind::{Int, Text};
use super::{CatalogueFunction, argument, lenient, oid, strict, text};
use crate::pg_catalog::builtin::{self, PG_CATALOG_OID};
use crate::pg_catalog::error::{FunctionError, FunctionResult, Mistake};
use crate::pg_catalog::identifier;
use crate::pg_catalog::relation::RELATIONS;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    lenient("format_type", &[&[Int, Int]], "text", format_type),
    // From a name to an OID: what a cast of a text to a `reg...` type means.
    strict("regclassin", &[&[Text], &[Int]], "regclass", |view, arguments| {
        by_name(arguments, |name| view.existing_relation_oid(name))
    }),
    strict("regtypein", &[&[Text], &[Int]], "regtype", |view, arguments| {
        by_name(arguments, |name| view.existing_type_oid(name))
    }),
    strict("regprocin", &[&[Text], &[Int]], "regproc", |view, arguments| {
        by_name(arguments, |name| view.function_oid(name)?.ok_or_else(|| no_function(name)))
    }),
    strict("regprocedurein", &[&[Text], &[Int]], "regprocedure", |view, arguments| {
        by_name(arguments, |name| view.procedure_oid(name)?.ok_or_else(|| no_function(name)))
    }),
    strict("regoperin", &[&[Text], &[Int]], "regoper", |_, arguments| by_name(arguments, operator_oid)),
    strict("regoperatorin", &[&[Text], &[Int]], "regoperator", |view, arguments| {
        by_name(arguments, |text| typed_operator_oid(view, text))
    }),
    strict("regrolein", &[&[Text], &[Int]], "regrole", |view, arguments| {
        by_name(arguments, |name| view.existing_role_oid(&one_part(name)?))
    }),
    strict("regnamespacein", &[&[Text], &[Int]], "regnamespace", |view, arguments| {
        by_name(arguments, |name| view.existing_schema_oid(&one_part(name)?))
    }),
    strict("regcollationin", &[&[Text], &[Int]], "regcollation", |_, arguments| {
        by_name(arguments, |name| {
            let parts = identifier::split_qualified(name)?;
            let found = parts.last().and_then(|name| collation_oid(name));
            let message = format!("collation \"{name}\" for encoding \"UTF8\" does not exist");
            found.ok_or_else(|| FunctionError::new(Mistake::UndefinedObject, message))
        })
    }),
    // From an OID to a name: what a `reg...` value prints as.
    strict("pg_regclass", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regclass", oid))
    }),
    strict("pg_regtype", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regtype", oid))
    }),
    strict("pg_regproc", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regproc", oid))
    }),
    strict("pg_regprocedure", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regprocedure", oid))
    }),
    strict("pg_regoper", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regoper", oid))
    }),
    strict("pg_regoperator", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regoperator", oid))
    }),
    strict("pg_regrole", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regrole", oid))
    }),
    strict("pg_regnamespace", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regnamespace", oid))
    }),
    strict("pg_regcollation", &[&[Int], &[Text]], "text", |view, arguments| {
        by_oid(arguments, |oid| reg_text(view, "regcollation", oid))
    }),
    // The same from a name, but NULL where there is nothing of that name.
    strict("to_regclass", &[&[Text]], "regclass", |view, arguments| {
        Ok(view.relation_oid(text(arguments, 0))?.into())
    }),
    strict("to_regtype", &[&[Text]], "regtype", |view, arguments| {
        Ok(view.type_oid(text(arguments, 0))?.into())
    }),
    strict("to_regproc", &[&[Text]], "regproc", |view, arguments| {
        // A name that means several functions means none here.
        Ok(view.function_oid(text(arguments, 0)).ok().flatten().into())
    }),
    strict("to_regprocedure", &[&[Text]], "regprocedure", |view, arguments| {
        Ok(view.procedure_oid(text(arguments, 0)).ok().flatten().into())
    }),
    strict("to_regrole", &[&[Text]], "regrole", |view, arguments| {
        Ok(view.existing_role_oid(&one_part(text(arguments, 0))?).ok().into())
    }),
    strict("to_regnamespace", &[&[Text]], "regnamespace", |view, arguments| {
        Ok(view.schema_oid(&one_part(text(arguments, 0))?).into())
    }),
    strict("to_regcollation", &[&[Text]], "regcollation", |_, arguments| {
        let parts = identifier::split_qualified(text(arguments, 0))?;
        Ok(parts.last().and_then(|name| collation_oid(name)).into())
    }),
    strict("parse_ident", &[&[Text], &[Text, super::Kind::Bool]], "_text", |_, arguments| {
        Ok(Datum::list(parse_ident(text(arguments, 0))?))
    }),
    // Whether the search path finds an object by its bare name.
    strict("pg_table_is_visible", &[&[Int]], "bool", |view, arguments| {
        Ok(view.relation_is_visible(oid(arguments, 0)).into())
    }),
    strict("pg_type_is_visible", &[&[Int]], "bool", |view, arguments| {
        Ok(type_is_visible(view, oid(arguments, 0)).into())
    }),
    strict("pg_function_is_visible", &[&[Int]], "bool", |view, arguments| {
        let function = view.functions.by_oid(oid(arguments, 0));
        Ok(function.map(|function| function.namespace == PG_CATALOG_OID).into())
    }),
    strict("pg_operator_is_visible", &[&[Int]], "bool", |_, arguments| {
        Ok(visible(builtin::OPERATORS.iter().any(|found| found.oid == oid(arguments, 0))))
    }),
    strict("pg_opclass_is_visible", &[&[Int]], "bool", |_, arguments| {
        Ok(visible(builtin::OPERATOR_CLASSES.iter().any(|found| found.oid == oid(arguments, 0))))
    }),
    strict("pg_opfamily_is_visible", &[&[Int]], "bool", |_, arguments| {
        Ok(visible(builtin::OPERATOR_FAMILIES.iter().any(|found| found.oid == oid(arguments, 0))))
    }),
    strict("pg_collation_is_visible", &[&[Int]], "bool", |_, arguments| {
        Ok(visible(COLLATIONS.iter().any(|(known, _)| *known == oid(arguments, 0))))
    }),
    // Of these there are none, so that no OID is one of them.
    strict("pg_conversion_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
    strict("pg_statistics_obj_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
    strict("pg_ts_config_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
    strict("pg_ts_dict_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
    strict("pg_ts_parser_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
    strict("pg_ts_template_is_visible", &[&[Int]], "bool", |_, _| Ok(Datum::Null)),
];

/// The collations, by OID.
const COLLATIONS: [(u32, &str); 5] =
    [(100, "default"), (950, "C"), (951, "POSIX"), (12_340, "ucs_basic"), (12_341, "C.utf8")];

fn collation_oid(name: &str) -> Option<u32> {
    COLLATIONS.iter().find(|(_, known)| *known == name).map(|(oid, _)| *oid)
}

fn visible(is_there: bool) -> Datum {
    if is_there { true.into() } else { Datum::Null }
}

fn no_function(name: &str) -> FunctionError {
    FunctionError::new(Mistake::UndefinedFunction, format!("function \"{name}\" does not exist"))
}

fn format_type(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let Datum::Int(number) = argument(arguments, 0) else { return Ok(Datum::Null) };
    let typmod = argument(arguments, 1).as_int().and_then(|typmod| i32::try_from(typmod).ok());
    Ok(match u32::try_from(*number) {
        Ok(0) => "-".into(),
        Ok(oid) => view.format_type(oid, typmod).unwrap_or_else(|| "???".into()).into(),
        Err(_) => "???".into(),
    })
}

/// A `reg...` value from its text: a name, a number, or `-` for none. A number stays what it is.
fn by_name(arguments: &[Datum], find: impl FnOnce(&str) -> FunctionResult<u32>) -> FunctionResult<Datum> {
    let Some(name) = argument(arguments, 0).as_str() else { return Ok(argument(arguments, 0).clone()) };
    if name == "-" {
        return Ok(Datum::Int(0));
    }
    match name.parse::<u32>() {
        Ok(number) => Ok(number.into()),
        Err(_) => find(name).map(Datum::from),
    }
}

/// The text of a `reg...` value: a name, `-` for none, the number of what is not there. A text stays what it is.
fn by_oid(arguments: &[Datum], find: impl FnOnce(u32) -> Option<String>) -> FunctionResult<Datum> {
    let Some(number) = argument(arguments, 0).as_int() else { return Ok(argument(arguments, 0).clone()) };
    Ok(match u32::try_from(number) {
        Ok(0) => "-".into(),
        Ok(oid) => find(oid).unwrap_or_else(|| number.to_string()).into(),
        Err(_) => number.to_string().into(),
    })
}

/// What an OID prints as when it is a value of that type; `None` where there is no such object.
pub(in crate::pg_catalog) fn reg_text(view: &SessionView, reg: &str, oid: u32) -> Option<String> {
    match reg {
        "regclass" => view.format_relation(oid),
        "regtype" => view.format_type(oid, None),
        "regproc" => {
            let function = view.functions.by_oid(oid)?;
            let name = identifier::quote(&function.name);
            // A name that several functions have is no longer one function's without its schema.
            let is_one = view.functions.by_name(&function.name).count() < 2;
            let is_visible = function.namespace == PG_CATALOG_OID && is_one;
            let schema = view.schema_name(function.namespace).unwrap_or("pg_catalog");
            Some(if is_visible { name } else { format!("{}.{name}", identifier::quote(schema)) })
        }
        "regprocedure" => {
            let function = view.functions.by_oid(oid)?;
            let types = function.arguments.iter().map(|oid| view.format_type(*oid, None).unwrap_or_default());
            Some(format!("{}({})", identifier::quote(&function.name), types.collect::<Vec<_>>().join(",")))
        }
        "regoper" => {
            let operator = builtin::OPERATORS.iter().find(|found| found.oid == oid)?;
            let is_one = builtin::OPERATORS.iter().filter(|found| found.name == operator.name).count() < 2;
            Some(if is_one { operator.name.to_owned() } else { format!("pg_catalog.{}", operator.name) })
        }
        "regoperator" => {
            let operator = builtin::OPERATORS.iter().find(|found| found.oid == oid)?;
            let operand = |oid: u32| match oid {
                0 => "NONE".to_owned(),
                oid => view.format_type(oid, None).unwrap_or_else(|| oid.to_string()),
            };
            Some(format!("{}({},{})", operator.name, operand(operator.left), operand(operator.right)))
        }
        "regrole" => view.role_name(oid).map(identifier::quote),
        "regnamespace" => view.schema_name(oid).map(identifier::quote),
        "regcollation" => {
            COLLATIONS.iter().find(|(known, _)| *known == oid).map(|(_, name)| identifier::quote(name))
        }
        _ => None,
    }
}

/// The OID of the one operator of that name.
fn operator_oid(name: &str) -> FunctionResult<u32> {
    let bare = name.trim().trim_start_matches("pg_catalog.");
    let mut found = builtin::OPERATORS.iter().filter(|operator| operator.name == bare);
    match (found.next(), found.next()) {
        (Some(operator), None) => Ok(operator.oid),
        (None, _) => {
            let message = format!("operator does not exist: {name}");
            Err(FunctionError::new(Mistake::UndefinedFunction, message))
        }
        (Some(_), Some(_)) => {
            let message = format!("more than one operator named {name}");
            Err(FunctionError::new(Mistake::AmbiguousFunction, message))
        }
    }
}

/// The OID of the operator with those operands: `=(integer,integer)`.
fn typed_operator_oid(view: &SessionView, text: &str) -> FunctionResult<u32> {
    let missing = || {
        let message = format!("operator does not exist: {text}");
        FunctionError::new(Mistake::UndefinedFunction, message)
    };
    let invalid = || FunctionError::new(Mistake::InvalidName, "expected a left parenthesis");
    let (name, operands) =
        text.trim().strip_suffix(')').and_then(|text| text.split_once('(')).ok_or_else(invalid)?;
    let name = name.trim().trim_start_matches("pg_catalog.");
    let operand = |text: &str| match text.trim() {
        none if none.eq_ignore_ascii_case("none") => Ok(0),
        name => view.existing_type_oid(name),
    };
    let (left, right) = operands.split_once(',').ok_or_else(missing)?;
    let (left, right) = (operand(left)?, operand(right)?);
    let mut operators = builtin::OPERATORS.iter();
    let found = operators.find(|found| found.name == name && found.left == left && found.right == right);
    found.map(|operator| operator.oid).ok_or_else(missing)
}

/// The only part of a name that cannot have a schema.
fn one_part(name: &str) -> FunctionResult<String> {
    let mut parts = identifier::split_qualified(name)?;
    match (parts.pop(), parts.is_empty()) {
        (Some(part), true) => Ok(part),
        _ => Err(FunctionError::new(Mistake::InvalidName, "invalid name syntax")),
    }
}

fn parse_ident(text: &str) -> FunctionResult<Vec<String>> {
    identifier::split_qualified(text).map_err(|_| {
        let message = format!("string is not a valid identifier: \"{text}\"");
        FunctionError::new(Mistake::InvalidParameter, message)
    })
}

fn type_is_visible(view: &SessionView, oid: u32) -> Option<bool> {
    if let Some(found) = builtin::type_by_oid(oid) {
        let path = view.search_path(true);
        let in_path = || path.iter().any(|schema| schema == "information_schema");
        return Some(found.namespace == PG_CATALOG_OID || in_path());
    }
    let of_system = RELATIONS.iter().find(|found| found.row_type == oid || found.array_type == oid);
    let relation = of_system.map(|found| found.oid).or_else(|| {
        let table =
            view.tables().find(|table| table.row_type_oid() == oid || table.array_type_oid() == oid)?;
        Some(table.oid)
    })?;
    view.relation_is_visible(relation)
}
