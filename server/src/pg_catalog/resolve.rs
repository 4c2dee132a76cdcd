//! Finding relations, functions and roles by the names that users write, and naming them by their OID.

use super::error::{FunctionError, FunctionResult, Mistake};
use super::identifier;
use super::relation;
use super::session::SessionView;

impl SessionView {
    /// The OID of the relation that `name` means; `None` when there is none.
    ///
    /// # Errors
    /// [`Mistake::InvalidName`] for what cannot be a name, [`Mistake::Unsupported`] for another database's.
    pub(super) fn relation_oid(&self, name: &str) -> FunctionResult<Option<u32>> {
        // A number is an OID, of whatever it may be.
        if let Ok(oid) = name.parse() {
            return Ok(Some(oid));
        }
        let parts = identifier::split_qualified(name)?;
        Ok(match parts.as_slice() {
            [name] => self.relation_named(None, name),
            [schema, name] => self.relation_in(schema, name),
            [database, schema, name] if *database == self.facts.database => self.relation_in(schema, name),
            [_, _, _] => {
                let message = format!("cross-database references are not implemented: {}", parts.join("."));
                return Err(FunctionError::new(Mistake::Unsupported, message));
            }
            _ => {
                let message = format!("improper relation name (too many dotted names): {}", parts.join("."));
                return Err(FunctionError::new(Mistake::InvalidName, message));
            }
        })
    }

    /// The OID of the relation of that name, in the schema or, without one, the first of the search path that has it.
    pub(super) fn relation_named(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        match schema {
            Some(schema) => self.relation_in(schema, name),
            None => self.search_path(true).iter().find_map(|schema| self.relation_in(schema, name)),
        }
    }

    /// As [`relation_oid`](Self::relation_oid), for a relation that must be there.
    pub(super) fn existing_relation_oid(&self, name: &str) -> FunctionResult<u32> {
        if let Some(oid) = self.relation_oid(name)? {
            return Ok(oid);
        }
        let shown = identifier::split_qualified(name)?.join(".");
        Err(FunctionError::new(Mistake::UndefinedTable, format!("relation \"{shown}\" does not exist")))
    }

    fn relation_in(&self, schema: &str, name: &str) -> Option<u32> {
        let schema = self.snapshot.schema_called(schema);
        let system = relation::by_name(schema, name).map(|relation| relation.oid);
        system
            .or_else(|| self.snapshot.table(schema, name).map(|table| table.oid))
            .or_else(|| self.snapshot.view(schema, name).map(|view| view.oid))
            .or_else(|| self.snapshot.sequence(schema, name).map(|sequence| sequence.oid))
            .or_else(|| self.index_in(schema, name))
    }

    /// The schema and the name of a relation.
    pub(super) fn relation_name(&self, oid: u32) -> Option<(&str, &str)> {
        if let Some(table) = self.snapshot.table_by_oid(oid) {
            return Some((&table.schema, &table.name));
        }
        if let Some(view) = self.snapshot.views.iter().find(|view| view.oid == oid) {
            return Some((&view.schema, &view.name));
        }
        if let Some(sequence) = self.snapshot.sequence_by_oid(oid) {
            return Some((&sequence.schema, &sequence.name));
        }
        if let Some(index) = self.index_by_oid(oid) {
            return Some((&index.table.schema, &index.constraint.name));
        }
        relation::by_oid(oid).map(|relation| (relation.schema, relation.name))
    }

    /// Whether the relation is what its bare name means.
    pub(super) fn relation_is_visible(&self, oid: u32) -> Option<bool> {
        let (_, name) = self.relation_name(oid)?;
        let first = self.search_path(true).iter().find_map(|schema| self.relation_in(schema, name));
        Some(first == Some(oid))
    }

    /// A relation as `regclass` prints it: with its schema only where the search path does not find it.
    pub(super) fn format_relation(&self, oid: u32) -> Option<String> {
        let (schema, name) = self.relation_name(oid)?;
        let name = identifier::quote(name);
        Some(match self.relation_is_visible(oid) {
            Some(true) => name,
            _ => format!("{}.{name}", identifier::quote(schema)),
        })
    }

    /// The column's number in its relation, from 1.
    pub(super) fn column_number(&self, relation_oid: u32, column: &str) -> Option<i64> {
        if let Some(table) = self.snapshot.table_by_oid(relation_oid) {
            let found = table.columns.iter().find(|found| found.name == column);
            return found.map(|found| found.number.into());
        }
        let position = match self.snapshot.views.iter().find(|view| view.oid == relation_oid) {
            Some(view) => view.columns.iter().position(|(name, _)| name == column),
            None => relation::by_oid(relation_oid)?.columns.iter().position(|found| found.name == column),
        };
        position.and_then(|position| i64::try_from(position + 1).ok())
    }

    /// How many columns a relation has.
    pub(super) fn column_count(&self, relation_oid: u32) -> Option<usize> {
        let of_table = self.snapshot.table_by_oid(relation_oid).map(|table| table.columns.len());
        let of_view = || self.snapshot.views.iter().find(|view| view.oid == relation_oid);
        of_table
            .or_else(|| of_view().map(|view| view.columns.len()))
            .or_else(|| relation::by_oid(relation_oid).map(|relation| relation.columns.len()))
    }

    /// The OID of the role of that name.
    pub(super) fn existing_role_oid(&self, name: &str) -> FunctionResult<u32> {
        let missing =
            || FunctionError::new(Mistake::UndefinedObject, format!("role \"{name}\" does not exist"));
        self.grantee(name).filter(|_| name != "public").map(|role| role.oid).ok_or_else(missing)
    }

    /// The OID of the schema of that name.
    pub(super) fn existing_schema_oid(&self, name: &str) -> FunctionResult<u32> {
        let missing =
            || FunctionError::new(Mistake::UndefinedSchema, format!("schema \"{name}\" does not exist"));
        self.schema_oid(name).ok_or_else(missing)
    }

    /// The OID of the one function of that name; `None` when there is none.
    ///
    /// # Errors
    /// [`Mistake::AmbiguousFunction`] when more than one has it.
    pub(super) fn function_oid(&self, name: &str) -> FunctionResult<Option<u32>> {
        let parts = identifier::split_qualified(name)?;
        let Some(last) = parts.last() else { return Ok(None) };
        let schema = (parts.len() > 1).then(|| parts.get(parts.len() - 2)).flatten();
        let mut found = self.functions.by_name(last).filter(|function| {
            schema.is_none_or(|schema| self.schema_name(function.namespace) == Some(schema.as_str()))
        });
        match (found.next(), found.next()) {
            (None, _) => Ok(None),
            (Some(function), None) => Ok(Some(function.oid)),
            (Some(_), Some(_)) => Err(FunctionError::new(
                Mistake::AmbiguousFunction,
                format!("more than one function named \"{name}\""),
            )),
        }
    }

    /// The OID of the function with that name and those argument types: `lower(text)`.
    pub(super) fn procedure_oid(&self, text: &str) -> FunctionResult<Option<u32>> {
        let Some((name, arguments)) = text.trim().strip_suffix(')').and_then(|text| text.split_once('('))
        else {
            return Err(FunctionError::new(Mistake::InvalidName, "expected a left parenthesis"));
        };
        let arguments = match arguments.trim() {
            "" => Vec::new(),
            arguments => arguments
                .split(',')
                .map(|argument| self.existing_type_oid(argument))
                .collect::<FunctionResult<Vec<_>>>()?,
        };
        let parts = identifier::split_qualified(name)?;
        let Some(name) = parts.last() else { return Ok(None) };
        Ok(self.functions.by_name(name).find(|found| found.arguments == arguments).map(|found| found.oid))
    }
}
