//! Functions that give the SQL which would make an object again.

use super::Kind::{Bool, Int, Text};
use super::{CatalogueFunction, argument, oid, strict, text};
use crate::pg_catalog::builtin::{AGGREGATES, BuiltinFunction};
use crate::pg_catalog::error::{FunctionError, Mistake};
use crate::pg_catalog::identifier;
use crate::pg_catalog::relations::classes::view_definition;
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

/// Objects of these kinds do not exist, so that their definition is NULL for every OID.
const fn undefined(name: &'static str, forms: &'static [&'static [super::Kind]]) -> CatalogueFunction {
    strict(name, forms, "text", |_, _| Ok(Datum::Null))
}

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    // Expressions are kept as the text that they print as.
    strict("pg_get_expr", &[&[Text, Int], &[Text, Int, Bool]], "text", |_, arguments| {
        Ok(argument(arguments, 0).clone())
    }),
    strict("pg_get_indexdef", &[&[Int], &[Int, Int, Bool]], "text", |view, arguments| {
        let Some(index) = view.index_by_oid(oid(arguments, 0)) else { return Ok(Datum::Null) };
        let number = argument(arguments, 1).as_int().unwrap_or(0);
        if number == 0 {
            return Ok(index.index_definition().into());
        }
        // One of its columns; there is nothing where there is no such.
        let name = usize::try_from(number - 1).ok().and_then(|at| index.column_names().get(at).copied());
        Ok(name.map(identifier::quote).unwrap_or_default().into())
    }),
    strict("pg_get_constraintdef", &[&[Int], &[Int, Bool]], "text", |view, arguments| {
        let pretty = argument(arguments, 1).as_bool() == Some(true);
        Ok(view.constraint_by_oid(oid(arguments, 0)).map(|found| found.definition(view, pretty)).into())
    }),
    undefined("pg_get_ruledef", &[&[Int], &[Int, Bool]]),
    undefined("pg_get_triggerdef", &[&[Int], &[Int, Bool]]),
    undefined("pg_get_partkeydef", &[&[Int]]),
    undefined("pg_get_partition_constraintdef", &[&[Int]]),
    undefined("pg_get_statisticsobjdef", &[&[Int]]),
    undefined("pg_get_statisticsobjdef_columns", &[&[Int]]),
    strict(
        "pg_get_viewdef",
        &[&[Int], &[Int, Bool], &[Int, Int], &[Text], &[Text, Bool]],
        "text",
        |view, arguments| {
            let oid = match argument(arguments, 0) {
                Datum::Text(name) => view.existing_relation_oid(name)?,
                _ => oid(arguments, 0),
            };
            let found = view.snapshot.views.iter().find(|found| found.oid == oid);
            Ok(found.map(|found| view_definition(found)).into())
        },
    ),
    undefined("pg_get_function_sqlbody", &[&[Int]]),
    strict("pg_get_serial_sequence", &[&[Text, Text]], "text", |view, arguments| {
        let table = view.existing_relation_oid(text(arguments, 0))?;
        let column = text(arguments, 1);
        let Some(number) = view.column_number(table, column) else {
            let name = view.relation_name(table).map_or("", |(_, name)| name);
            let message = format!("column \"{column}\" of relation \"{name}\" does not exist");
            return Err(FunctionError::new(Mistake::UndefinedColumn, message));
        };
        let sequence = u32::try_from(number).ok().and_then(|number| view.sequence_of(table, number));
        Ok(sequence.and_then(|sequence| view.qualified(sequence.oid)).into())
    }),
    strict("pg_get_userbyid", &[&[Int]], "name", |view, arguments| {
        let oid = oid(arguments, 0);
        Ok(view.role_name(oid).map_or_else(|| format!("unknown (OID={oid})"), str::to_owned).into())
    }),
    strict("pg_get_function_arguments", &[&[Int]], "text", |view, arguments| {
        let function = view.functions.by_oid(oid(arguments, 0));
        Ok(function.map(|function| parameters(view, function, true)).into())
    }),
    strict("pg_get_function_identity_arguments", &[&[Int]], "text", |view, arguments| {
        let function = view.functions.by_oid(oid(arguments, 0));
        Ok(function.map(|function| parameters(view, function, false)).into())
    }),
    strict("pg_get_function_arg_default", &[&[Int, Int]], "text", |view, arguments| {
        let function = view.functions.by_oid(oid(arguments, 0));
        let number = argument(arguments, 1).as_int().and_then(|number| usize::try_from(number - 1).ok());
        let default = function.zip(number).and_then(|(function, position)| default_of(function, position));
        Ok(default.into())
    }),
    strict("pg_get_function_result", &[&[Int]], "text", |view, arguments| {
        let function = view.functions.by_oid(oid(arguments, 0));
        Ok(function.map(|function| result(view, function)).into())
    }),
    strict("pg_get_functiondef", &[&[Int]], "text", |view, arguments| {
        let Some(function) = view.functions.by_oid(oid(arguments, 0)) else { return Ok(Datum::Null) };
        if function.kind == "a" {
            let message = format!("\"{}\" is an aggregate function", function.name);
            return Err(FunctionError::new(Mistake::WrongObjectType, message));
        }
        Ok(definition(view, function).into())
    }),
    strict("pg_relation_is_publishable", &[&[Int], &[Text]], "bool", |view, arguments| {
        let oid = match argument(arguments, 0) {
            Datum::Text(name) => view.existing_relation_oid(name)?,
            _ => oid(arguments, 0),
        };
        Ok(view.relation_name(oid).map(|_| view.snapshot.table_by_oid(oid).is_some()).into())
    }),
    strict("pg_relation_is_updatable", &[&[Int, Bool]], "int4", |view, arguments| {
        // The bits of UPDATE, INSERT and DELETE.
        const ALL: i64 = (1 << 2) | (1 << 3) | (1 << 4);
        let is_table = view.snapshot.table_by_oid(oid(arguments, 0)).is_some();
        Ok(Datum::Int(if is_table { ALL } else { 0 }))
    }),
    strict("pg_column_is_updatable", &[&[Int, Int, Bool]], "bool", |view, arguments| {
        Ok(view.snapshot.table_by_oid(oid(arguments, 0)).is_some().into())
    }),
];

/// The expression of a parameter's default. The last parameters that take input have one.
fn default_of(function: &BuiltinFunction, position: usize) -> Option<String> {
    let defaults = split_defaults(function.defaults?);
    let inputs = function.arguments.len();
    let is_input = |at: usize| {
        function
            .modes
            .and_then(|modes| modes.chars().nth(at))
            .is_none_or(|mode| matches!(mode, 'i' | 'b' | 'v'))
    };
    if !is_input(position) {
        return None;
    }
    let input = (0..position).filter(|at| is_input(*at)).count();
    let first = inputs.checked_sub(defaults.len())?;
    defaults.get(input.checked_sub(first)?).cloned()
}

/// A list of expressions at its commas outside of parentheses and quotes.
fn split_defaults(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quoted) = (0_u32, false);
    for letter in text.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth = depth.saturating_sub(1),
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => (),
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).collect()
}

fn type_name(view: &SessionView, oid: u32) -> String {
    view.format_type(oid, None).unwrap_or_else(|| oid.to_string())
}

/// The parameters as `CREATE FUNCTION` writes them; columns of a returned table are not parameters.
fn parameters(view: &SessionView, function: &BuiltinFunction, with_defaults: bool) -> String {
    let types = function.all_arguments.as_ref().unwrap_or(&function.arguments);
    let mut parts = Vec::new();
    for (position, oid) in types.iter().enumerate() {
        let mode = function.modes.and_then(|modes| modes.chars().nth(position)).unwrap_or('i');
        let mode = match mode {
            'i' => "",
            'o' if with_defaults => "OUT ",
            'b' => "INOUT ",
            'v' => "VARIADIC ",
            _ => continue,
        };
        let name =
            function.names.as_ref().and_then(|names| names.get(position)).filter(|name| !name.is_empty());
        let name = name.map(|name| format!("{} ", identifier::quote(name))).unwrap_or_default();
        let default = default_of(function, position).filter(|_| with_defaults);
        let default = default.map(|default| format!(" DEFAULT {default}")).unwrap_or_default();
        parts.push(format!("{mode}{name}{}{default}", type_name(view, *oid)));
    }
    match ordered_set(function) {
        None => parts.join(", "),
        Some((direct, is_hypothetical)) => {
            let direct = direct.min(parts.len());
            let (before, after) = parts.split_at(direct);
            // The arguments of a hypothetical-set aggregate are those of its ORDER BY once more.
            let after = if is_hypothetical && after.is_empty() { before } else { after };
            format!("{} ORDER BY {}", before.join(", "), after.join(", ")).trim_start().to_owned()
        }
    }
}

/// How many arguments of an ordered-set aggregate stand before its ORDER BY, and whether it is a hypothetical-set one.
fn ordered_set(function: &BuiltinFunction) -> Option<(usize, bool)> {
    let aggregate = AGGREGATES.iter().find(|aggregate| aggregate.function == function.oid)?;
    if aggregate.kind == "n" {
        return None;
    }
    Some((usize::try_from(aggregate.direct_arguments).unwrap_or(0), aggregate.kind == "h"))
}

fn result(view: &SessionView, function: &BuiltinFunction) -> String {
    if let (Some(modes), Some(types)) = (function.modes, &function.all_arguments)
        && modes.contains('t')
    {
        let columns = modes.chars().zip(types).enumerate().filter(|(_, (mode, _))| *mode == 't');
        let columns = columns.map(|(position, (_, oid))| {
            let name = function.names.as_ref().and_then(|names| names.get(position)).copied().unwrap_or("");
            format!("{} {}", identifier::quote(name), type_name(view, *oid))
        });
        return format!("TABLE({})", columns.collect::<Vec<_>>().join(", "));
    }
    let name = type_name(view, function.returns);
    if function.returns_set { format!("SETOF {name}") } else { name }
}

fn definition(view: &SessionView, function: &BuiltinFunction) -> String {
    let schema = identifier::quote(view.schema_name(function.namespace).unwrap_or("pg_catalog"));
    let name = identifier::quote(&function.name);
    let arguments = parameters(view, function, true);
    let language = match function.language {
        "s" => "sql",
        "c" => "c",
        _ => "internal",
    };
    let mut attributes = Vec::new();
    if function.kind == "w" {
        attributes.push("WINDOW");
    }
    match function.volatility {
        "i" => attributes.push("IMMUTABLE"),
        "s" => attributes.push("STABLE"),
        _ => (),
    }
    match function.parallel {
        "s" => attributes.push("PARALLEL SAFE"),
        "r" => attributes.push("PARALLEL RESTRICTED"),
        _ => (),
    }
    if function.strict {
        attributes.push("STRICT");
    }
    let attributes = match attributes.as_slice() {
        [] => String::new(),
        attributes => format!("\n {}", attributes.join(" ")),
    };
    format!(
        "CREATE OR REPLACE FUNCTION {schema}.{name}({arguments})\n RETURNS {}\n LANGUAGE {language}{attributes}\n\
         AS $function${}$function$\n",
        result(view, function),
        function.name,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_split_at_the_commas_between_them() {
        assert_eq!(split_defaults("'a,b'::text, f(1, 2), true"), ["'a,b'::text", "f(1, 2)", "true"]);
        assert_eq!(split_defaults("1"), ["1"]);
    }
}
