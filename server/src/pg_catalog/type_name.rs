//! Names of types: from an OID to SQL's name and back.

use super::builtin::{self, BuiltinType, PG_CATALOG_OID};
use super::error::{FunctionError, FunctionResult, Mistake};
use super::identifier;
use super::relation::RELATIONS;
use super::session::SessionView;
use crate::catalogue::{PgType, with_modifier};

/// SQL's names of the types that have another one in `pg_type`.
const SQL_NAMES: [(u32, &str); 17] = [
    (16, "boolean"),
    (18, "\"char\""),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (700, "real"),
    (701, "double precision"),
    (1042, "character"),
    (1043, "character varying"),
    (1083, "time without time zone"),
    (1114, "timestamp without time zone"),
    (1184, "timestamp with time zone"),
    (1186, "interval"),
    (1266, "time with time zone"),
    (1560, "bit"),
    (1562, "bit varying"),
    (1700, "numeric"),
];

/// A built-in type as `format_type` prints it; `None` stands for no modifier asked for.
pub(super) fn format_builtin(of: &BuiltinType, typmod: Option<i32>) -> String {
    if of.element != 0
        && of.length == -1
        && of.name.starts_with('_')
        && let Some(element) = builtin::type_by_oid(of.element)
    {
        return format!("{}[]", format_builtin(element, typmod));
    }
    let sql_name = SQL_NAMES.iter().find(|(oid, _)| *oid == of.oid).map(|(_, name)| (*name).to_owned());
    let Some(sql_name) = sql_name else {
        let name = identifier::quote(of.name);
        let name = if of.namespace == PG_CATALOG_OID { name } else { format!("information_schema.{name}") };
        // Types without modifiers of their own print the bare number.
        return match typmod {
            Some(typmod) if typmod >= 0 => format!("{name}({typmod})"),
            _ => name,
        };
    };
    match typmod {
        // SQL's `character` and `bit` without a length mean a length of 1, so that the plain type needs its own name.
        Some(-1) if of.oid == 1560 => "\"bit\"".to_owned(),
        Some(typmod) => with_modifier(of.oid, &sql_name, typmod),
        None => sql_name,
    }
}

impl SessionView {
    /// A type as `format_type` prints it, with its schema where the search path does not find it.
    pub(super) fn format_type(&self, oid: u32, typmod: Option<i32>) -> Option<String> {
        if let Some(of) = builtin::type_by_oid(oid) {
            return Some(format_builtin(of, typmod));
        }
        let qualified = |schema: &str, name: &str| {
            let name = identifier::quote(name);
            if self.search_path(true).iter().any(|visible| visible == schema) {
                name
            } else {
                format!("{}.{name}", identifier::quote(schema))
            }
        };
        for relation in RELATIONS.iter() {
            if relation.row_type == oid {
                return Some(qualified(relation.schema, relation.name));
            }
            if relation.array_type == oid && oid != 0 {
                return Some(format!("{}[]", qualified(relation.schema, relation.name)));
            }
        }
        self.tables().find_map(|table| {
            let name = || qualified(&table.schema, &table.name);
            if table.row_type_oid() == oid {
                Some(name())
            } else if table.array_type_oid() == oid {
                Some(format!("{}[]", name()))
            } else {
                None
            }
        })
    }

    /// The OID of a type by its name in SQL or in `pg_type`; `None` when there is none.
    ///
    /// # Errors
    /// [`Mistake::InvalidName`] for what cannot be a name.
    pub(super) fn type_oid(&self, text: &str) -> FunctionResult<Option<u32>> {
        if let Ok(found) = PgType::parse(text) {
            return Ok(Some(found.oid));
        }
        let (element, is_array) = match text.trim().strip_suffix("[]") {
            Some(element) => (element.trim_end(), true),
            None => (text.trim(), false),
        };
        // A modifier does not change which type it is.
        let name = element.split_once('(').map_or(element, |(name, _)| name.trim_end());
        let sql_name = name.to_lowercase();
        let by_sql_name = SQL_NAMES.iter().find(|(_, known)| *known == sql_name).map(|(oid, _)| *oid);
        let scalar = match by_sql_name {
            Some(oid) => Some(oid),
            None => self.named_type(&identifier::split_qualified(name)?),
        };
        Ok(match (scalar, is_array) {
            (Some(oid), true) => self.array_type(oid),
            (scalar, _) => scalar,
        })
    }

    fn named_type(&self, parts: &[String]) -> Option<u32> {
        let (schema, name) = match parts {
            [name] => (None, name),
            [schema, name] | [_, schema, name] => (Some(schema.as_str()), name),
            _ => return None,
        };
        let path = self.search_path(true);
        let in_path = |found: &str| {
            schema.map_or_else(|| path.iter().any(|part| part == found), |wanted| wanted == found)
        };
        if let Some(found) = builtin::type_by_name(name) {
            let of = if found.namespace == PG_CATALOG_OID { "pg_catalog" } else { "information_schema" };
            if in_path(of) {
                return Some(found.oid);
            }
        }
        let of_relation = RELATIONS.iter().find(|relation| relation.name == name && in_path(relation.schema));
        of_relation.map(|relation| relation.row_type).or_else(|| {
            let of_table = self.tables().find(|table| table.name == *name && in_path(&table.schema));
            of_table.map(|table| table.row_type_oid())
        })
    }

    fn array_type(&self, element: u32) -> Option<u32> {
        let found = builtin::type_by_oid(element).map(|of| of.array);
        found
            .or_else(|| {
                RELATIONS.iter().find(|found| found.row_type == element).map(|found| found.array_type)
            })
            .or_else(|| {
                let table = self.tables().find(|table| table.row_type_oid() == element)?;
                Some(table.array_type_oid())
            })
            .filter(|oid| *oid != 0)
    }

    /// As [`type_oid`](Self::type_oid), for a type that must be there.
    pub(super) fn existing_type_oid(&self, text: &str) -> FunctionResult<u32> {
        let missing =
            || FunctionError::new(Mistake::UndefinedObject, format!("type \"{text}\" does not exist"));
        self.type_oid(text)?.ok_or_else(missing)
    }
}
