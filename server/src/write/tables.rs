//! CREATE TABLE, DROP TABLE and TRUNCATE.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    self, CascadeOption, CreateTable, CreateTableOptions, Expr, Ident, IndexColumn, SqlOption,
    TableConstraint, Truncate, Value,
};
use quickdb_executor::error::ErrorKind;

use super::columns::column_of;
use super::expressions::validate_all;
use super::like;
use super::names::{RelationName, SearchPath, fold};
use super::schemas::notice;
use super::sequences;
use crate::catalogue::{
    Change, Column, Constraint, ConstraintKind, NewTable, OnCommit, PgType, Schema, SequenceValue,
    TEMPORARY_SCHEMA, TableDefinition, TableOptions, check_columns, is_temporary_schema,
};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::ParsedStatement;

/// CREATE TABLE without a query.
///
/// # Errors
/// 42P07 for a name that is taken, 42704 for a type that there is not, 0A000 for what tables here do not have.
pub(crate) async fn create(
    session: &mut Session,
    statement: &ParsedStatement,
    create: &CreateTable,
) -> Result<Outcome, PgError> {
    let Some(defined) = define(session, create, Vec::new())? else {
        return Ok(skipped(create, "CREATE TABLE"));
    };
    validate_all(session, statement, create, &defined.table).await?;
    session.change(defined.changes())?;
    Ok(Outcome::done("CREATE TABLE"))
}

/// A table that is to be, with the sequences of its columns.
pub(crate) struct Defined {
    pub(crate) table: Arc<TableDefinition>,
    sequences: Vec<Change>,
}

impl Defined {
    /// What makes it.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let table = Change::CreateTable(Arc::clone(&self.table));
        std::iter::once(table).chain(self.sequences.iter().cloned()).collect()
    }
}

/// The outcome of `IF NOT EXISTS` where there is one.
pub(crate) fn skipped(create: &CreateTable, tag: &str) -> Outcome {
    let name = create.name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    let told = notice(SqlState("42P07"), format!("relation \"{name}\" already exists, skipping"));
    Outcome::Done { tag: tag.into(), notices: vec![told] }
}

/// The definition of a table that is to be created, with columns of a query before those that it lists; `None` where
/// `IF NOT EXISTS` finds one.
///
/// # Errors
/// See [`create`].
pub(crate) fn define(
    session: &mut Session,
    create: &CreateTable,
    of_query: Vec<Column>,
) -> Result<Option<Defined>, PgError> {
    refuse_what_is_not_built(create)?;
    let name = RelationName::of(&create.name, &session.database)?;
    let schema = schema_for(session, &name, create.temporary)?;
    let on_commit = on_commit(create, &schema)?;
    let snapshot = session.snapshot();
    if snapshot.relation(&schema.name, &name.name).is_some() {
        if create.if_not_exists {
            return Ok(None);
        }
        return Err(PgError::with_state(
            SqlState("42P07"),
            format!("relation \"{}\" already exists", name.name),
        ));
    }
    let mut columns = of_query;
    let mut wanted = Vec::new();
    let mut sequences = Vec::new();
    for column in &create.columns {
        if let Some((source, options)) = like::of(column) {
            let copied = like::copied(session, &source, options)?;
            columns.extend(copied.columns);
            wanted.extend(copied.constraints);
            sequences.extend(copied.sequences);
            continue;
        }
        let parts = column_of(session, column)?;
        columns.push(parts.column);
        wanted.extend(parts.constraints);
        sequences.extend(parts.sequence);
    }
    check_columns(&columns)?;
    for constraint in &create.constraints {
        wanted.push(table_constraint(constraint, &columns)?);
    }
    let options = options(&create.table_options, &columns)?;
    let mut new = NewTable {
        id: session.engine.catalogue.allocate_table_id()?,
        schema: schema.name,
        name: name.name,
        owner: session.user.clone(),
        columns,
        constraints: Vec::new(),
        options,
        on_commit,
        comment: None,
    };
    name_constraints(session, &mut new, wanted)?;
    let table = new.define(&session.engine.catalogue, &snapshot)?;
    let (table, sequences) = sequences::give(session, &table, sequences)?;
    Ok(Some(Defined { table, sequences }))
}

/// The schema that a new relation goes to: the session's own for one that is `temporary`.
///
/// # Errors
/// 42P16 for a temporary relation in a schema of everybody's, 3F000 for a schema that there is not.
pub(crate) fn schema_for(
    session: &mut Session,
    name: &RelationName,
    temporary: bool,
) -> Result<Schema, PgError> {
    let own = match name.schema.as_deref() {
        None => temporary,
        Some(schema) => {
            let own = schema == TEMPORARY_SCHEMA || is_temporary_schema(schema);
            if temporary && !own {
                let message = "cannot create temporary relation in non-temporary schema";
                return Err(PgError::with_state(SqlState("42P16"), message));
            }
            own
        }
    };
    if own {
        session.temporary_schema()?;
    }
    let (snapshot, path) = (session.snapshot(), session.search_path());
    if own && let Some(schema) = snapshot.temporary_schema() {
        return Ok(schema.clone());
    }
    SearchPath { snapshot: &snapshot, schemas: &path }.schema_for(name)
}

fn on_commit(create: &CreateTable, schema: &Schema) -> Result<OnCommit, PgError> {
    let written = match create.on_commit {
        None => return Ok(OnCommit::Preserve),
        Some(ast::OnCommit::PreserveRows) => OnCommit::Preserve,
        Some(ast::OnCommit::DeleteRows) => OnCommit::Delete,
        Some(ast::OnCommit::Drop) => OnCommit::Drop,
    };
    if !is_temporary_schema(&schema.name) {
        let message = "ON COMMIT can only be used on temporary tables";
        return Err(PgError::with_state(SqlState("42P16"), message));
    }
    Ok(written)
}

fn refuse_what_is_not_built(create: &CreateTable) -> Result<(), PgError> {
    let refused = [
        (create.partition_by.is_some() || create.partition_of.is_some(), "PARTITION BY"),
        (create.inherits.is_some(), "INHERITS"),
        (create.external, "CREATE EXTERNAL TABLE"),
        (create.like.is_some(), "CREATE TABLE ... LIKE without parentheses"),
        (create.strict && create.query.is_none(), "CREATE TABLE ... STRICT"),
    ];
    match refused.into_iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(PgError::unsupported(what)),
        None => Ok(()),
    }
}

/// A constraint before it has a name.
pub(crate) struct Wanted {
    pub(crate) name: Option<String>,
    pub(crate) kind: ConstraintKind,
    /// Names of its columns.
    pub(crate) columns: Vec<String>,
    pub(crate) definition: String,
}

impl Wanted {
    /// An index: `method` is what follows USING.
    pub(crate) fn index(
        name: Option<String>,
        kind: ConstraintKind,
        columns: Vec<String>,
        method: String,
    ) -> Self {
        Self { name, kind, columns, definition: method }
    }
}

/// A type that a column can have.
///
/// # Errors
/// 42704.
pub(crate) fn column_type(name: &str) -> Result<PgType, PgError> {
    let lower = name.to_lowercase();
    PgType::parse(&lower)
        .map_err(|_| PgError::with_state(SqlState("42704"), format!("type \"{lower}\" does not exist")))
}

pub(crate) fn references(key: &datafusion::sql::sqlparser::ast::ForeignKeyConstraint) -> String {
    let mut text = key.foreign_table.to_string();
    if !key.referred_columns.is_empty() {
        let columns = key.referred_columns.iter().map(ToString::to_string).collect::<Vec<_>>();
        text.push_str(&format!("({})", columns.join(", ")));
    }
    if let Some(action) = &key.on_update {
        text.push_str(&format!(" ON UPDATE {action}"));
    }
    if let Some(action) = &key.on_delete {
        text.push_str(&format!(" ON DELETE {action}"));
    }
    text
}

/// A constraint of a table.
///
/// # Errors
/// 42703 for a column that the table does not have.
pub(crate) fn table_constraint(constraint: &TableConstraint, columns: &[Column]) -> Result<Wanted, PgError> {
    let known = |names: Vec<String>| {
        let missing = names.iter().find(|name| !columns.iter().any(|column| column.name == **name));
        match missing {
            Some(name) => {
                let message = format!("column \"{name}\" named in key does not exist");
                Err(PgError::with_state(SqlState("42703"), message))
            }
            None => Ok(names),
        }
    };
    let of_index = |columns: &[IndexColumn]| {
        columns.iter().map(|column| expression_name(&column.column.expr)).collect::<Vec<_>>()
    };
    Ok(match constraint {
        TableConstraint::PrimaryKey(key) => Wanted {
            name: key.name.as_ref().map(fold),
            kind: ConstraintKind::PrimaryKey,
            columns: known(of_index(&key.columns))?,
            definition: String::new(),
        },
        TableConstraint::Unique(key) => Wanted {
            name: key.name.as_ref().map(fold),
            kind: ConstraintKind::Unique,
            columns: known(of_index(&key.columns))?,
            definition: String::new(),
        },
        TableConstraint::Check(check) => Wanted {
            name: check.name.as_ref().map(fold),
            kind: ConstraintKind::Check,
            columns: Vec::new(),
            definition: check.expr.to_string(),
        },
        TableConstraint::ForeignKey(key) => Wanted {
            name: key.name.as_ref().map(fold),
            kind: ConstraintKind::ForeignKey,
            columns: known(key.columns.iter().map(fold).collect())?,
            definition: references(key),
        },
        other => return Err(PgError::unsupported(format!("constraint {other}"))),
    })
}

/// The name of a column where an expression is one, else the expression.
pub(crate) fn expression_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => fold(name),
        other => other.to_string(),
    }
}

/// Gives constraints the names that PostgreSQL would, and makes columns of the primary key NOT NULL.
fn name_constraints(session: &Session, table: &mut NewTable, wanted: Vec<Wanted>) -> Result<(), PgError> {
    let mut primary = false;
    for wanted in wanted {
        if wanted.kind == ConstraintKind::PrimaryKey {
            if primary {
                let message = format!("multiple primary keys for table \"{}\" are not allowed", table.name);
                return Err(PgError::with_state(SqlState("42P16"), message));
            }
            primary = true;
            for column in &mut table.columns {
                column.not_null |= wanted.columns.contains(&column.name);
            }
        }
        let taken = |name: &str| table.constraints.iter().any(|known| known.name == name);
        let name = constraint_name(&wanted, &table.name, taken)?;
        // Two OIDs: the constraint's and its index's.
        let oid = session.engine.catalogue.allocate_oids(2)?;
        let numbers = (1_u32..).zip(&table.columns);
        let number_of = |name: &String| {
            numbers.clone().find(|(_, column)| column.name == *name).map(|(number, _)| number)
        };
        let columns = wanted.columns.iter().filter_map(number_of).collect();
        let (kind, definition) = (wanted.kind, wanted.definition);
        table.constraints.push(Constraint { oid, name, kind, columns, definition, comment: None });
    }
    Ok(())
}

/// The name of a constraint: its own, or the one that PostgreSQL makes up.
///
/// # Errors
/// 42710 for a name of its own that is taken.
pub(crate) fn constraint_name(
    wanted: &Wanted,
    table: &str,
    taken: impl Fn(&str) -> bool,
) -> Result<String, PgError> {
    if let Some(name) = &wanted.name {
        if taken(name) {
            let message = format!("constraint \"{name}\" for relation \"{table}\" already exists");
            return Err(PgError::with_state(SqlState("42710"), message));
        }
        return Ok(name.clone());
    }
    let columns = wanted.columns.join("_");
    let base = match wanted.kind {
        ConstraintKind::PrimaryKey => format!("{table}_pkey"),
        ConstraintKind::Unique => format!("{table}_{columns}_key"),
        ConstraintKind::ForeignKey => format!("{table}_{columns}_fkey"),
        ConstraintKind::Check if columns.is_empty() => format!("{table}_check"),
        ConstraintKind::Check => format!("{table}_{columns}_check"),
        ConstraintKind::Index | ConstraintKind::UniqueIndex => format!("{table}_{columns}_idx"),
    };
    let numbered = (1_u32..).map(|number| format!("{base}{number}"));
    let name = std::iter::once(base.clone()).chain(numbered).find(|name| !taken(name));
    Ok(name.unwrap_or(base))
}

/// The `WITH` options of a table; PostgreSQL's own storage options are taken and mean nothing here.
fn options(written: &CreateTableOptions, columns: &[Column]) -> Result<TableOptions, PgError> {
    let mut options = TableOptions::default();
    let CreateTableOptions::With(list) = written else { return Ok(options) };
    for option in list {
        let SqlOption::KeyValue { key, value } = option else {
            return Err(PgError::unsupported(format!("table option {option}")));
        };
        let (key, value) = (fold(key), option_text(value));
        let invalid = |hint: &str| {
            let message = format!("invalid value for table option \"{key}\": {value}");
            PgError::with_state(SqlState("22023"), message).hint(hint.to_owned())
        };
        match key.as_str() {
            "distribute_by" => {
                let names = placement_columns(&value).ok_or_else(|| {
                    invalid("Valid values are \"round_robin\", \"hash(column, ...)\", \"sky(ra, dec)\" and \"all\".")
                })?;
                known_columns(&names, columns)?;
                options.distribute_by = Some(value);
            }
            "sort_by" => {
                let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
                known_columns(&names, columns)?;
                options.sort_by = Some(value);
            }
            "replicas" => {
                options.replicas = value
                    .parse()
                    .ok()
                    .filter(|replicas| (1..=64).contains(replicas))
                    .ok_or_else(|| invalid("It is a number of workers from 1 to 64."))?;
            }
            known if known.starts_with("autovacuum_") || known.starts_with("toast.") => {}
            "fillfactor" | "parallel_workers" | "oids" | "user_catalog_table" => {}
            other => {
                let message = format!("unrecognized parameter \"{other}\"");
                return Err(PgError::with_state(SqlState("22023"), message)
                    .hint("Tables take distribute_by, sort_by and replicas."));
            }
        }
    }
    Ok(options)
}

fn option_text(value: &Expr) -> String {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

/// The columns that a `distribute_by` names; `None` for a value that is none.
pub(crate) fn placement_columns(value: &str) -> Option<Vec<String>> {
    if value == "round_robin" || value == "all" {
        return Some(Vec::new());
    }
    let (kind, rest) = value.split_once('(')?;
    let names = rest.strip_suffix(')')?.split(',').map(|name| name.trim().to_owned()).collect::<Vec<_>>();
    let fits = match kind.trim() {
        "hash" => names.iter().all(|name| !name.is_empty()),
        "sky" => names.len() == 2 && names.iter().all(|name| !name.is_empty()),
        _ => false,
    };
    fits.then_some(names)
}

fn known_columns(names: &[String], columns: &[Column]) -> Result<(), PgError> {
    match names.iter().find(|name| !columns.iter().any(|column| column.name == **name)) {
        Some(name) => {
            Err(PgError::with_state(SqlState("42703"), format!("column \"{name}\" does not exist")))
        }
        None => Ok(()),
    }
}

/// TRUNCATE.
///
/// # Errors
/// 42P01.
pub(crate) fn truncate(session: &mut Session, truncate: &Truncate) -> Result<Outcome, PgError> {
    if truncate.partitions.is_some() {
        return Err(PgError::unsupported("TRUNCATE ... PARTITION"));
    }
    // RESTRICT and CASCADE are about foreign keys, which are not enforced here.
    let _: &Option<CascadeOption> = &truncate.cascade;
    for target in &truncate.table_names {
        let name = RelationName::of(&target.name, &session.database)?;
        let (snapshot, path) = (session.snapshot(), session.search_path());
        let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
        session.change(empty(&table))?;
        if truncate.identity == Some(ast::TruncateIdentityOption::Restart) {
            for sequence in snapshot.sequences_of(table.oid) {
                let value = SequenceValue { last: sequence.start, called: false };
                session.engine.catalogue.set_value(sequence, value)?;
            }
        }
    }
    Ok(Outcome::done("TRUNCATE TABLE"))
}

/// What takes all rows out of a table.
pub(crate) fn empty(table: &crate::catalogue::Table) -> Vec<Change> {
    let mut changes = Vec::new();
    if !table.shards.is_empty() {
        let shards = table.shards.iter().map(|shard| (shard.id, shard.deletions)).collect();
        changes.push(Change::RemoveShards { table: table.id, shards });
    }
    if !table.log.is_empty() {
        changes.push(Change::RemoveLogged { table: table.id, rows: table.log.all() });
    }
    changes
}

/// A column list of a statement as positions in the table.
///
/// # Errors
/// 42703 for a column that the table does not have, 42701 for one that is named twice.
pub(crate) fn positions(table: &TableDefinition, names: &[String]) -> Result<Vec<usize>, PgError> {
    if names.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut found: Vec<usize> = Vec::new();
    for name in names {
        let position = table.columns.iter().position(|column| column.name == *name).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
            PgError::new(ErrorKind::UndefinedColumn, message)
        })?;
        if found.contains(&position) {
            let message = format!("column \"{name}\" specified more than once");
            return Err(PgError::with_state(SqlState("42701"), message));
        }
        found.push(position);
    }
    Ok(found)
}

/// Identifiers of a column list, folded.
pub(crate) fn folded(names: &[Ident]) -> Vec<String> {
    names.iter().map(fold).collect()
}
