//! The relations that writing statements name.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::catalogue::{CatalogueSnapshot, Schema, Sequence, Table, View, is_temporary_schema};
use crate::error::{PgError, SqlState};

/// A name as PostgreSQL reads it: in lower case unless quoted.
pub(crate) fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        None => ident.value.to_lowercase(),
        Some(_) => ident.value.clone(),
    }
}

/// A relation's name with the schema that was written before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RelationName {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

impl std::fmt::Display for RelationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl RelationName {
    /// Reads `name`, `schema.name` or `database.schema.name`.
    ///
    /// # Errors
    /// 42601 for anything else, 0A000 for another database.
    pub(crate) fn of(name: &ObjectName, database: &str) -> Result<Self, PgError> {
        let parts = name.0.iter().map(|part| part.as_ident().map(fold)).collect::<Option<Vec<_>>>();
        match parts.as_deref() {
            Some([name]) => Ok(Self { schema: None, name: name.clone() }),
            Some([schema, name]) => Ok(Self { schema: Some(schema.clone()), name: name.clone() }),
            Some([catalog, schema, name]) if catalog == database => {
                Ok(Self { schema: Some(schema.clone()), name: name.clone() })
            }
            Some([_, _, _]) => {
                let message = format!("cross-database references are not implemented: \"{name}\"");
                Err(PgError::with_state(SqlState("0A000"), message))
            }
            _ => {
                let message = format!("improper relation name (too many dotted names): {name}");
                Err(PgError::with_state(SqlState("42601"), message))
            }
        }
    }
}

/// A name that stands in a text.
///
/// # Errors
/// 42602 for what is none, and those of [`RelationName::of`].
pub(crate) fn parse_name(text: &str, database: &str) -> Result<RelationName, PgError> {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(text).and_then(|mut parser| {
        let name = parser.parse_object_name(false)?;
        parser.expect_token(&Token::EOF)?;
        Ok(name)
    });
    let name = parsed.map_err(|_| PgError::with_state(SqlState("42602"), "invalid name syntax"))?;
    RelationName::of(&name, database)
}

/// What a relation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RelationKind {
    Table,
    View,
    Sequence,
}

impl RelationKind {
    /// As messages call it.
    pub(crate) fn lower(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
            Self::Sequence => "sequence",
        }
    }

    /// As statements call it.
    pub(crate) fn upper(self) -> String {
        self.lower().to_uppercase()
    }

    /// As messages call one.
    pub(crate) fn with_article(self) -> String {
        format!("a {}", self.lower())
    }
}

impl CatalogueSnapshot {
    /// The relation of that schema and name, whatever it is: its OID.
    pub(crate) fn relation(&self, schema: &str, name: &str) -> Option<(u32, RelationKind)> {
        if let Some(table) = self.table(schema, name) {
            return Some((table.oid, RelationKind::Table));
        }
        if let Some(view) = self.view(schema, name) {
            return Some((view.oid, RelationKind::View));
        }
        self.sequence(schema, name).map(|sequence| (sequence.oid, RelationKind::Sequence))
    }

    /// What a relation is, its schema and its name.
    pub(crate) fn relation_by_oid(&self, oid: u32) -> Option<(RelationKind, &str, &str)> {
        if let Some(table) = self.table_by_oid(oid) {
            return Some((RelationKind::Table, &table.schema, &table.name));
        }
        if let Some(view) = self.view_by_oid(oid) {
            return Some((RelationKind::View, &view.schema, &view.name));
        }
        self.sequence_by_oid(oid).map(|found| (RelationKind::Sequence, &*found.schema, &*found.name))
    }

    /// The relations that cannot be without that one.
    pub(crate) fn dependents(&self, oid: u32) -> Vec<u32> {
        let readers = self.views.iter().filter(|view| view.reads.contains(&oid));
        readers.map(|view| view.oid).collect()
    }
}

/// Where a session's bare names are sought: the schemas of its search path that exist, first to last.
pub(crate) struct SearchPath<'a> {
    pub(crate) snapshot: &'a CatalogueSnapshot,
    pub(crate) schemas: &'a [String],
}

impl SearchPath<'_> {
    /// The table of that name.
    ///
    /// # Errors
    /// 42P01 when there is none, 42809 for a view, 42501 for a relation of the system.
    pub(crate) fn table(&self, name: &RelationName) -> Result<Arc<Table>, PgError> {
        if let Some(table) = self.find_table(name) {
            return Ok(table);
        }
        if self.relation(name).is_some() {
            return Err(PgError::with_state(SqlState("42809"), format!("\"{}\" is not a table", name.name)));
        }
        Err(self.missing(name))
    }

    /// The same, `None` when nothing has that name.
    pub(crate) fn find_table(&self, name: &RelationName) -> Option<Arc<Table>> {
        let found = match &name.schema {
            Some(schema) => self.snapshot.table(self.snapshot.schema_called(schema), &name.name),
            None => self.snapshot.table_in_path(self.schemas.iter().map(String::as_str), &name.name),
        };
        found.cloned()
    }

    /// The relation of that name, whatever it is.
    pub(crate) fn relation(&self, name: &RelationName) -> Option<(u32, RelationKind)> {
        match &name.schema {
            Some(schema) => self.snapshot.relation(self.snapshot.schema_called(schema), &name.name),
            None => self.schemas.iter().find_map(|schema| self.snapshot.relation(schema, &name.name)),
        }
    }

    /// The sequence of that name.
    ///
    /// # Errors
    /// 42P01 when there is none, 42809 for another relation.
    pub(crate) fn sequence(&self, name: &RelationName) -> Result<Arc<Sequence>, PgError> {
        let found = self.relation(name);
        match found.and_then(|(oid, _)| self.snapshot.sequence_by_oid(oid)) {
            Some(sequence) => Ok(Arc::clone(sequence)),
            None if found.is_some() => {
                let message = format!("\"{}\" is not a sequence", name.name);
                Err(PgError::with_state(SqlState("42809"), message))
            }
            None => Err(self.missing(name)),
        }
    }

    /// Whether nobody knows a schema of that name.
    pub(crate) fn has_no_schema(&self, schema: &str) -> bool {
        !crate::pg_catalog::SYSTEM_SCHEMAS.contains(&schema)
            && self.snapshot.schema(self.snapshot.schema_called(schema)).is_none()
    }

    /// The view of that name.
    ///
    /// # Errors
    /// 42P01 when there is none, 42809 for a table.
    pub(crate) fn view(&self, name: &RelationName) -> Result<Arc<View>, PgError> {
        let found = match &name.schema {
            Some(schema) => self.snapshot.view(self.snapshot.schema_called(schema), &name.name),
            None => self.schemas.iter().find_map(|schema| self.snapshot.view(schema, &name.name)),
        };
        match found {
            Some(view) => Ok(Arc::clone(view)),
            None if self.relation(name).is_some() => {
                Err(PgError::with_state(SqlState("42809"), format!("\"{}\" is not a view", name.name)))
            }
            None => Err(self.missing(name)),
        }
    }

    /// The error for a relation that there is not, or that no statement may change.
    fn missing(&self, name: &RelationName) -> PgError {
        let system = match &name.schema {
            Some(schema) => schema == "pg_catalog" || schema == "information_schema",
            None => crate::pg_catalog::is_system_relation("pg_catalog", &name.name),
        };
        if system {
            let message = format!("permission denied: \"{}\" is a system catalog", name.name);
            return PgError::with_state(SqlState("42501"), message);
        }
        if let Some(schema) = &name.schema
            && self.snapshot.schema(self.snapshot.schema_called(schema)).is_none()
        {
            return PgError::with_state(SqlState("3F000"), format!("schema \"{schema}\" does not exist"));
        }
        PgError::with_state(SqlState("42P01"), format!("relation \"{name}\" does not exist"))
    }

    /// The schema that a new relation of that name goes to.
    ///
    /// # Errors
    /// 3F000 when it does not exist, or the search path has none.
    pub(crate) fn schema_for(&self, name: &RelationName) -> Result<Schema, PgError> {
        match &name.schema {
            Some(schema) if schema == "pg_catalog" || schema == "information_schema" => {
                let message = format!("permission denied to create \"{name}\"");
                Err(PgError::with_state(SqlState("42501"), message)
                    .detail("System catalog modifications are currently disallowed."))
            }
            Some(schema) => {
                let called = self.snapshot.schema_called(schema);
                self.snapshot.schema(called).cloned().ok_or_else(|| {
                    PgError::with_state(SqlState("3F000"), format!("schema \"{schema}\" does not exist"))
                })
            }
            None => {
                // The session's own is where names are sought first, not where relations go that nobody called so.
                let shared = self.schemas.iter().filter(|schema| !is_temporary_schema(schema));
                shared.filter_map(|schema| self.snapshot.schema(schema).cloned()).next().ok_or_else(|| {
                    PgError::with_state(SqlState("3F000"), "no schema has been selected to create in")
                })
            }
        }
    }
}
