//! `has_..._privilege` and `pg_has_role`, in all their forms.

use super::Kind::{Int, Text};
use super::{CatalogueFunction, Kind, argument, strict, text};
use crate::pg_catalog::acl::{Grantee, SYSTEM_OWNER, Securable};
use crate::pg_catalog::builtin;
use crate::pg_catalog::error::{FunctionError, FunctionResult, Mistake};
use crate::pg_catalog::relations::cluster::TABLESPACES;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

/// A user by name or by OID or the current one; an object by name or by OID; a list of privileges.
const FORMS: &[&[Kind]] = &[
    &[Text, Text],
    &[Int, Text],
    &[Text, Text, Text],
    &[Text, Int, Text],
    &[Int, Text, Text],
    &[Int, Int, Text],
];

/// The same with a column, by name or by number.
const COLUMN_FORMS: &[&[Kind]] = &[
    &[Text, Text, Text],
    &[Text, Int, Text],
    &[Int, Text, Text],
    &[Int, Int, Text],
    &[Text, Text, Text, Text],
    &[Text, Text, Int, Text],
    &[Text, Int, Text, Text],
    &[Text, Int, Int, Text],
    &[Int, Text, Text, Text],
    &[Int, Text, Int, Text],
    &[Int, Int, Text, Text],
    &[Int, Int, Int, Text],
];

const TABLE: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"];
const COLUMN: &[&str] = &["SELECT", "INSERT", "UPDATE", "REFERENCES"];

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict("has_table_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            TABLE,
            |object| by_name(object, |name| view.existing_relation_oid(name)),
            |oid| view.securable_relation(oid),
        )
    }),
    strict("has_any_column_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            COLUMN,
            |object| by_name(object, |name| view.existing_relation_oid(name)),
            |oid| view.securable_relation(oid),
        )
    }),
    strict("has_sequence_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["USAGE", "SELECT", "UPDATE"],
            |object| {
                by_name(object, |name| {
                    view.existing_relation_oid(name)?;
                    // There are no sequences: what is there is something else.
                    let message = format!("\"{name}\" is not a sequence");
                    Err(FunctionError::new(Mistake::WrongObjectType, message))
                })
            },
            |_| None,
        )
    }),
    strict("has_column_privilege", COLUMN_FORMS, "bool", column),
    strict("has_schema_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["CREATE", "USAGE"],
            |object| by_name(object, |name| view.existing_schema_oid(name)),
            |oid| view.securable_schema(oid),
        )
    }),
    strict("has_database_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["CREATE", "CONNECT", "TEMPORARY", "TEMP"],
            |object| {
                by_name(object, |name| {
                    let found = view.snapshot.databases.iter().find(|database| database.name == name);
                    let missing = || {
                        let message = format!("database \"{name}\" does not exist");
                        FunctionError::new(Mistake::UndefinedDatabase, message)
                    };
                    found.map(|database| database.oid).ok_or_else(missing)
                })
            },
            |oid| view.securable_database(oid),
        )
    }),
    strict("has_function_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["EXECUTE"],
            |object| {
                by_name(object, |name| {
                    let missing = || {
                        let message = format!("function \"{name}\" does not exist");
                        FunctionError::new(Mistake::UndefinedFunction, message)
                    };
                    view.procedure_oid(name)?.ok_or_else(missing)
                })
            },
            |oid| view.functions.by_oid(oid).map(|_| of_system(&["EXECUTE"])),
        )
    }),
    strict("has_type_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["USAGE"],
            |object| by_name(object, |name| view.existing_type_oid(name)),
            |oid| view.format_type(oid, None).map(|_| of_system(&["USAGE"])),
        )
    }),
    strict("has_language_privilege", FORMS, "bool", |view, arguments| {
        const LANGUAGES: [(u32, &str, bool); 3] =
            [(12, "internal", false), (13, "c", false), (14, "sql", true)];
        asked(
            view,
            arguments,
            &["USAGE"],
            |object| {
                by_name(object, |name| {
                    let found = LANGUAGES.into_iter().find(|(_, known, _)| *known == name);
                    found.map(|(oid, ..)| oid).ok_or_else(|| missing("language", name))
                })
            },
            |oid| {
                let (.., trusted) = LANGUAGES.into_iter().find(|(known, ..)| *known == oid)?;
                Some(of_system(if trusted { &["USAGE"] } else { &[] }))
            },
        )
    }),
    strict("has_tablespace_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["CREATE"],
            |object| {
                by_name(object, |name| {
                    let found = TABLESPACES.into_iter().find(|(_, known)| *known == name);
                    found.map(|(oid, _)| oid).ok_or_else(|| missing("tablespace", name))
                })
            },
            |oid| TABLESPACES.into_iter().find(|(known, _)| *known == oid).map(|_| of_system(&[])),
        )
    }),
    strict("has_server_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["USAGE"],
            |object| by_name(object, |name| Err(missing("server", name))),
            |_| None,
        )
    }),
    strict("has_foreign_data_wrapper_privilege", FORMS, "bool", |view, arguments| {
        asked(
            view,
            arguments,
            &["USAGE"],
            |object| by_name(object, |name| Err(missing("foreign-data wrapper", name))),
            |_| None,
        )
    }),
    strict(
        "has_parameter_privilege",
        &[&[Text, Text], &[Text, Text, Text], &[Int, Text, Text]],
        "bool",
        |view, arguments| {
            let (user, rest) = split_user(view, arguments, 2)?;
            privileges(text(rest, 1), &["SET", "ALTER SYSTEM"])?;
            let is_open = builtin::setting(text(rest, 0)).is_some_and(|setting| setting.context == "user");
            Ok((user.superuser || is_open).into())
        },
    ),
    strict("pg_has_role", FORMS, "bool", |view, arguments| {
        let (user, rest) = split_user(view, arguments, 2)?;
        let role = by_name(argument(rest, 0), |name| view.existing_role_oid(name))?;
        // Being a member and inheriting from it are the same here.
        privileges(text(rest, 1), &["USAGE", "MEMBER"])?;
        Ok(match view.role_name(role) {
            None => Datum::Null,
            Some(_) => (user.superuser || user.is(role)).into(),
        })
    }),
    strict("row_security_active", &[&[Text], &[Int]], "bool", |view, arguments| {
        by_name(argument(arguments, 0), |name| view.existing_relation_oid(name))?;
        Ok(false.into())
    }),
];

fn of_system(public: &'static [&'static str]) -> Securable {
    Securable { owner: SYSTEM_OWNER, public }
}

fn missing(kind: &str, name: &str) -> FunctionError {
    FunctionError::new(Mistake::UndefinedObject, format!("{kind} \"{name}\" does not exist"))
}

fn by_name(object: &Datum, find: impl FnOnce(&str) -> FunctionResult<u32>) -> FunctionResult<u32> {
    match object {
        Datum::Text(name) => find(name),
        number => Ok(number.as_oid().unwrap_or_default()),
    }
}

/// Whether the user has any of the privileges on the object; NULL for an OID that is none.
fn asked(
    view: &SessionView,
    arguments: &[Datum],
    known: &[&'static str],
    find: impl FnOnce(&Datum) -> FunctionResult<u32>,
    securable: impl FnOnce(u32) -> Option<Securable>,
) -> FunctionResult<Datum> {
    let (user, rest) = split_user(view, arguments, 2)?;
    let object = find(argument(rest, 0))?;
    let privileges = privileges(text(rest, 1), known)?;
    let Some(securable) = securable(object) else { return Ok(Datum::Null) };
    Ok(privileges.into_iter().any(|(privilege, grantable)| user.may(securable, privilege, grantable)).into())
}

fn column(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let (user, rest) = split_user(view, arguments, 3)?;
    let relation = by_name(argument(rest, 0), |name| view.existing_relation_oid(name))?;
    let Some(securable) = view.securable_relation(relation) else { return Ok(Datum::Null) };
    match argument(rest, 1) {
        Datum::Text(column) if view.column_number(relation, column).is_none() => {
            let name = view.relation_name(relation).map_or("", |(_, name)| name);
            let message = format!("column \"{column}\" of relation \"{name}\" does not exist");
            return Err(FunctionError::new(Mistake::UndefinedColumn, message));
        }
        Datum::Int(number) => {
            let count = view.column_count(relation).unwrap_or_default();
            // Columns with a negative number are the system's, as of any table.
            let is_there =
                *number < 0 || usize::try_from(*number).is_ok_and(|number| (1..=count).contains(&number));
            if !is_there {
                return Ok(Datum::Null);
            }
        }
        _ => (),
    }
    let privileges = privileges(text(rest, 2), COLUMN)?;
    Ok(privileges.into_iter().any(|(privilege, grantable)| user.may(securable, privilege, grantable)).into())
}

/// The user that a call asks about, and the arguments after it. `count` of them remain.
fn split_user<'a>(
    view: &SessionView,
    arguments: &'a [Datum],
    count: usize,
) -> FunctionResult<(Grantee, &'a [Datum])> {
    if arguments.len() <= count {
        return Ok((view.current_user(), arguments));
    }
    let (user, rest) = arguments.split_first().unwrap_or((&Datum::Null, &[]));
    let grantee = match user {
        Datum::Text(name) => {
            let missing =
                || FunctionError::new(Mistake::UndefinedObject, format!("role \"{name}\" does not exist"));
            view.grantee(name).ok_or_else(missing)?
        }
        number => {
            let oid = number.as_oid().unwrap_or_default();
            let missing = || {
                FunctionError::new(Mistake::UndefinedObject, format!("role with OID {oid} does not exist"))
            };
            if oid == 0 { Grantee::NOBODY } else { view.grantee_by_oid(oid).ok_or_else(missing)? }
        }
    };
    Ok((grantee, rest))
}

/// A list of privileges such as `SELECT, UPDATE WITH GRANT OPTION`, each with whether it asks for the grant option.
fn privileges(text: &str, known: &[&'static str]) -> FunctionResult<Vec<(&'static str, bool)>> {
    let one = |part: &str| {
        let part = part.trim();
        let upper = part.to_uppercase();
        let plain =
            upper.strip_suffix(" WITH GRANT OPTION").or_else(|| upper.strip_suffix(" WITH ADMIN OPTION"));
        let (name, grantable) = plain.map_or((upper.as_str(), false), |plain| (plain, true));
        let found = known.iter().find(|known| **known == name).map(|known| (*known, grantable));
        found.ok_or_else(|| {
            FunctionError::new(Mistake::InvalidParameter, format!("unrecognized privilege type: \"{part}\""))
        })
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_privileges_are_read_as_postgresql_reads_them() {
        assert_eq!(
            privileges("select, Update with grant option", TABLE).unwrap(),
            [("SELECT", false), ("UPDATE", true)]
        );
        let error = privileges("READ", TABLE).unwrap_err();
        assert_eq!(error.message, "unrecognized privilege type: \"READ\"");
    }
}
