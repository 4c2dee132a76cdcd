//! CREATE VIEW.

use std::sync::Arc;

use datafusion::common::TableReference;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{CreateView, Statement as Ast};

use super::create_as::column_of;
use super::insert::parse_query;
use super::names::{RelationName, fold};
use super::schemas::notice;
use super::tables::schema_for;
use crate::catalogue::{CatalogueSnapshot, Change, PgType, View, is_temporary_schema};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::ParsedStatement;

/// OIDs of a view: itself, its array type, its row type.
const OIDS_PER_VIEW: u32 = 3;

/// CREATE [OR REPLACE] VIEW.
///
/// # Errors
/// 42P07 for a name that is taken, 42P16 for a replacement with other columns, and the query's.
pub(crate) async fn create(
    session: &mut Session,
    statement: &ParsedStatement,
    create: &CreateView,
) -> Result<Outcome, PgError> {
    if create.materialized {
        return Err(PgError::unsupported("CREATE MATERIALIZED VIEW")
            .hint("Use CREATE TABLE ... AS, and make it again when the data changes."));
    }
    session.may_write("CREATE VIEW")?;
    let own = ParsedStatement { ast: Ast::Query(create.query.clone()), ..statement.clone() };
    let planned = session.plan(&own, &[]).await?;
    if !planned.parameters.is_empty() {
        return Err(PgError::with_state(SqlState("42P02"), "there is no parameter $1"));
    }
    let mut columns: Vec<(String, PgType)> = Vec::new();
    for field in &planned.output {
        let column = column_of(field)?;
        columns.push((column.name, column.pg_type));
    }
    if create.columns.len() > columns.len() {
        return Err(PgError::with_state(
            SqlState("42601"),
            "CREATE VIEW specifies more column names than columns",
        ));
    }
    for (column, named) in columns.iter_mut().zip(&create.columns) {
        column.0 = fold(&named.name);
    }
    let mut seen = std::collections::HashSet::new();
    if let Some((name, _)) = columns.iter().find(|(name, _)| !seen.insert(name.clone())) {
        let message = format!("column \"{name}\" specified more than once");
        return Err(PgError::with_state(SqlState("42701"), message));
    }
    let query = create.query.to_string();
    if parse_query(&query).is_err() {
        return Err(PgError::unsupported("a view over this query"));
    }
    let name = RelationName::of(&create.name, &session.database)?;
    let (snapshot, mut path) = (session.snapshot(), session.search_path());
    let reads = relations_of(&snapshot, &path, &create.query)?;
    let mut notices = Vec::new();
    // What reads the session's own relations is its own too.
    let reads_own = reads
        .iter()
        .any(|oid| snapshot.relation_by_oid(*oid).is_some_and(|(_, schema, _)| is_temporary_schema(schema)));
    let schema = schema_for(session, &name, create.temporary || reads_own && name.schema.is_none())?;
    let temporary = is_temporary_schema(&schema.name);
    if reads_own && !temporary {
        let message = "cannot create temporary relation in non-temporary schema";
        return Err(PgError::with_state(SqlState("42P16"), message));
    }
    if temporary && !create.temporary {
        let message = format!("view \"{}\" will be a temporary view", name.name);
        notices.push(notice(SqlState("00000"), message));
    }
    path.retain(|schema| !is_temporary_schema(schema));
    let snapshot = session.snapshot();
    let existing = snapshot.view(&schema.name, &name.name).cloned();
    let taken =
        || PgError::with_state(SqlState("42P07"), format!("relation \"{}\" already exists", name.name));
    if snapshot.table(&schema.name, &name.name).is_some() {
        if create.or_replace {
            return Err(PgError::with_state(SqlState("42809"), format!("\"{}\" is not a view", name.name)));
        }
        return Err(taken());
    }
    let change = match existing {
        Some(_) if !create.or_replace => return Err(taken()),
        Some(before) => {
            check_replacement(&before, &columns)?;
            if reads.contains(&before.oid) {
                let message = format!("infinite recursion detected in rules for relation \"{}\"", name.name);
                return Err(PgError::with_state(SqlState("42P17"), message));
            }
            let view = View { query, search_path: path, columns, reads, ..before.as_ref().clone() };
            Change::AlterView(Arc::new(view))
        }
        None => {
            let role = snapshot.role(&session.user);
            Change::CreateView(Arc::new(View {
                oid: session.engine.catalogue.allocate_oids(OIDS_PER_VIEW)?,
                schema_oid: schema.oid,
                schema: schema.name,
                name: name.name,
                owner: role.map_or(10, |role| role.oid),
                comment: create.comment.clone(),
                query,
                search_path: path,
                columns,
                reads,
            }))
        }
    };
    session.change(vec![change])?;
    Ok(Outcome::Done { tag: "CREATE VIEW".into(), notices })
}

/// A view keeps the columns that it had; it may get more.
fn check_replacement(before: &View, columns: &[(String, PgType)]) -> Result<(), PgError> {
    let invalid = |message: String| Err(PgError::with_state(SqlState("42P16"), message));
    if columns.len() < before.columns.len() {
        return invalid("cannot drop columns from view".to_owned());
    }
    for ((old, old_type), (new, new_type)) in before.columns.iter().zip(columns) {
        if old != new {
            return invalid(format!("cannot change name of view column \"{old}\" to \"{new}\""));
        }
        if old_type != new_type {
            return invalid(format!(
                "cannot change data type of view column \"{old}\" from {old_type} to {new_type}"
            ));
        }
    }
    Ok(())
}

/// OIDs of the users' tables and views that a query names.
fn relations_of(
    snapshot: &CatalogueSnapshot,
    path: &[String],
    query: &datafusion::sql::sqlparser::ast::Query,
) -> Result<Vec<u32>, PgError> {
    let wrapped = DfStatement::Statement(Box::new(Ast::Query(Box::new(query.clone()))));
    let (names, _) =
        resolve_table_references(&wrapped, true).map_err(|error| PgError::from_datafusion(error, None))?;
    let mut found: Vec<u32> = Vec::new();
    for name in names {
        let schemas: Vec<&str> = match &name {
            TableReference::Bare { .. } => path.iter().map(String::as_str).collect(),
            TableReference::Partial { schema, .. } | TableReference::Full { schema, .. } => {
                vec![snapshot.schema_called(schema)]
            }
        };
        let table =
            schemas.iter().find_map(|schema| snapshot.table(schema, name.table())).map(|table| table.oid);
        let view =
            || schemas.iter().find_map(|schema| snapshot.view(schema, name.table())).map(|view| view.oid);
        found.extend(table.or_else(view));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}
