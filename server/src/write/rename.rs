//! ALTER of names, schemas and owners of anything, and COMMENT ON what belongs to a table.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName};

use super::alter::views_still_work;
use super::names::{RelationKind, RelationName, SearchPath, fold};
use super::schemas::notice;
use crate::catalogue::{CatalogueSnapshot, Change, Schema, Sequence, Table, View};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};
use crate::sql::own::{Action, ObjectKind};

fn upper(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Table => "TABLE",
        ObjectKind::View => "VIEW",
        ObjectKind::Sequence => "SEQUENCE",
        ObjectKind::Index => "INDEX",
        ObjectKind::Schema => "SCHEMA",
    }
}

/// What an action makes of an object.
struct Renamed {
    name: String,
    schema: Schema,
    owner: u32,
}

/// ALTER ... RENAME TO, SET SCHEMA, OWNER TO.
///
/// # Errors
/// 42P01 and its kin for what is not there, 42P07 for a name that is taken, 2BP01 where a view would not find a table.
pub(crate) async fn alter(
    session: &mut Session,
    kind: ObjectKind,
    if_exists: bool,
    name: &ObjectName,
    action: &Action,
) -> Result<Outcome, PgError> {
    let tag = format!("ALTER {}", upper(kind));
    session.may_write(&tag)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    if kind == ObjectKind::Schema {
        alter_schema(session, &snapshot, name, action)?;
        return Ok(Outcome::done(tag));
    }
    let name = RelationName::of(name, &session.database)?;
    if kind == ObjectKind::Index || kind == ObjectKind::Table && lookup.relation(&name).is_none() {
        if let Some((table, index)) = index_of(&lookup, &name)
            && let Action::RenameTo(new) = action
        {
            let new = fold(new);
            is_free(&snapshot, &table.schema, &new)?;
            let altered = table.altered(|table| {
                for known in table.constraints.iter_mut().filter(|known| known.oid == index) {
                    known.name.clone_from(&new);
                }
            });
            session.change(vec![Change::AlterTable(altered)])?;
            return Ok(Outcome::done(tag));
        }
    }
    let Some((oid, found)) = lookup.relation(&name) else {
        let error = lookup.table(&name).err();
        let error = error.unwrap_or_else(|| PgError::with_state(SqlState("42P01"), "no such relation"));
        if if_exists && error.sqlstate == SqlState("42P01") {
            let message = format!("relation \"{}\" does not exist, skipping", name.name);
            return Ok(Outcome::Done { tag, notices: vec![notice(SqlState("00000"), message)] });
        }
        return Err(error);
    };
    let fits = match kind {
        ObjectKind::Table => true,
        ObjectKind::View => found == RelationKind::View,
        ObjectKind::Sequence => found == RelationKind::Sequence,
        ObjectKind::Index | ObjectKind::Schema => false,
    };
    if !fits {
        let message = format!("\"{}\" is not {} {}", name.name, article(kind), upper(kind).to_lowercase());
        return Err(PgError::with_state(SqlState("42809"), message));
    }
    if let Some(table) = snapshot.table_by_oid(oid) {
        alter_table(session, &snapshot, table, action).await?;
    } else if let Some(view) = snapshot.view_by_oid(oid) {
        alter_view(session, &snapshot, view, action)?;
    } else if let Some(sequence) = snapshot.sequence_by_oid(oid) {
        let now = renamed(session, &snapshot, (&sequence.schema, &sequence.name, sequence.owner), action)?;
        let altered = Sequence {
            name: now.name,
            schema_oid: now.schema.oid,
            schema: now.schema.name,
            owner: now.owner,
            ..sequence.as_ref().clone()
        };
        session.change(vec![Change::AlterSequence(Arc::new(altered))])?;
    }
    Ok(Outcome::done(tag))
}

fn article(kind: ObjectKind) -> &'static str {
    if kind == ObjectKind::Index { "an" } else { "a" }
}

async fn alter_table(
    session: &mut Session,
    snapshot: &CatalogueSnapshot,
    table: &Table,
    action: &Action,
) -> Result<(), PgError> {
    let start = session.work_len();
    let now = renamed(session, snapshot, (&table.schema, &table.name, table.owner), action)?;
    let mut changes = Vec::new();
    // Sequences of columns move with their table.
    for sequence in snapshot.sequences_of(table.oid).filter(|sequence| sequence.schema_oid != now.schema.oid)
    {
        is_free(snapshot, &now.schema.name, &sequence.name)?;
        changes.push(Change::AlterSequence(Arc::new(Sequence {
            schema_oid: now.schema.oid,
            schema: now.schema.name.clone(),
            ..sequence.as_ref().clone()
        })));
    }
    changes.push(Change::AlterTable(table.altered(|table| {
        table.name = now.name;
        table.schema_oid = now.schema.oid;
        table.schema = now.schema.name;
        table.owner = now.owner;
    })));
    session.change(changes)?;
    if let Err(error) = views_still_work(session, table).await {
        session.go_back_to(start);
        return Err(error);
    }
    Ok(())
}

fn alter_view(
    session: &mut Session,
    snapshot: &CatalogueSnapshot,
    view: &View,
    action: &Action,
) -> Result<(), PgError> {
    let mut altered = view.clone();
    if let Action::RenameColumn(old, new) = action {
        let (old, new) = (fold(old), fold(new));
        if altered.columns.iter().any(|(name, _)| *name == new) {
            let message = format!("column \"{new}\" of relation \"{}\" already exists", view.name);
            return Err(PgError::with_state(SqlState("42701"), message));
        }
        let column = altered.columns.iter_mut().find(|(name, _)| *name == old).ok_or_else(|| {
            PgError::with_state(SqlState("42703"), format!("column \"{old}\" does not exist"))
        })?;
        column.0 = new;
    } else {
        let now = renamed(session, snapshot, (&view.schema, &view.name, view.owner), action)?;
        (altered.name, altered.owner) = (now.name, now.owner);
        (altered.schema_oid, altered.schema) = (now.schema.oid, now.schema.name);
    }
    session.change(vec![Change::AlterView(Arc::new(altered))])
}

/// What becomes of a relation's schema, name and owner.
fn renamed(
    session: &Session,
    snapshot: &CatalogueSnapshot,
    (schema, name, owner): (&str, &str, u32),
    action: &Action,
) -> Result<Renamed, PgError> {
    let existing = |schema: &str| {
        snapshot.schema(snapshot.schema_called(schema)).cloned().ok_or_else(|| {
            PgError::with_state(SqlState("3F000"), format!("schema \"{schema}\" does not exist"))
        })
    };
    let mut now = Renamed { name: name.to_owned(), schema: existing(schema)?, owner };
    match action {
        Action::RenameTo(new) => now.name = fold(new),
        Action::SetSchema(new) => now.schema = existing(&fold(new))?,
        Action::OwnerTo(role) => now.owner = role_of(session, role)?,
        Action::RenameColumn(..) => return Err(PgError::unsupported("RENAME COLUMN of this relation")),
    }
    if now.schema.name != schema && crate::catalogue::is_temporary_schema(&now.schema.name) {
        let message = "cannot move objects into or out of temporary schemas";
        return Err(PgError::with_state(SqlState("0A000"), message));
    }
    if (now.schema.name.as_str(), now.name.as_str()) != (schema, name) {
        is_free(snapshot, &now.schema.name, &now.name)?;
    }
    Ok(now)
}

fn role_of(session: &Session, role: &Ident) -> Result<u32, PgError> {
    let name = match (role.quote_style, role.value.to_lowercase().as_str()) {
        (None, "current_user" | "session_user" | "current_role") => session.user.clone(),
        _ => fold(role),
    };
    let snapshot = session.snapshot();
    snapshot
        .role(&name)
        .map(|role| role.oid)
        .ok_or_else(|| PgError::with_state(SqlState("42704"), format!("role \"{name}\" does not exist")))
}

fn is_free(snapshot: &CatalogueSnapshot, schema: &str, name: &str) -> Result<(), PgError> {
    if snapshot.relation(schema, name).is_some() {
        let message = format!("relation \"{name}\" already exists");
        return Err(PgError::with_state(SqlState("42P07"), message));
    }
    Ok(())
}

/// The table of an index, and the OID of the constraint or index in it.
fn index_of(lookup: &SearchPath<'_>, name: &RelationName) -> Option<(Arc<Table>, u32)> {
    let in_path = |table: &&Arc<Table>| match &name.schema {
        Some(schema) => table.schema == lookup.snapshot.schema_called(schema),
        None => lookup.schemas.contains(&table.schema),
    };
    lookup.snapshot.tables().iter().filter(in_path).find_map(|table| {
        let index = table.constraints.iter().find(|known| known.name == name.name && known.has_index())?;
        Some((Arc::clone(table), index.oid))
    })
}

fn alter_schema(
    session: &mut Session,
    snapshot: &CatalogueSnapshot,
    name: &ObjectName,
    action: &Action,
) -> Result<(), PgError> {
    let name = RelationName::of(name, &session.database)?.name;
    let missing = || PgError::with_state(SqlState("3F000"), format!("schema \"{name}\" does not exist"));
    let schema = snapshot.schema(&name).ok_or_else(missing)?;
    let mut altered = schema.clone();
    match action {
        Action::RenameTo(new) => {
            altered.name = fold(new);
            if altered.name.starts_with("pg_") {
                let message = format!("unacceptable schema name \"{}\"", altered.name);
                return Err(PgError::with_state(SqlState("42939"), message)
                    .detail("The prefix \"pg_\" is reserved for system schemas."));
            }
            if snapshot.schema(&altered.name).is_some() {
                let message = format!("schema \"{}\" already exists", altered.name);
                return Err(PgError::with_state(SqlState("42P06"), message));
            }
        }
        Action::OwnerTo(role) => altered.owner = role_of(session, role)?,
        _ => return Err(PgError::unsupported("this ALTER SCHEMA")),
    }
    session.change(vec![Change::AlterSchema(altered)])
}

/// COMMENT ON CONSTRAINT.
///
/// # Errors
/// 42704 for one that the table does not have.
pub(crate) fn comment_on_constraint(
    session: &mut Session,
    constraint: &Ident,
    table: &ObjectName,
    comment: Option<&str>,
) -> Result<Outcome, PgError> {
    session.may_write("COMMENT")?;
    let name = RelationName::of(table, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let table = SearchPath { snapshot: &snapshot, schemas: &path }.table(&name)?;
    let constraint = fold(constraint);
    let oid = table.constraints.iter().find(|known| known.name == constraint).map(|known| known.oid);
    let oid = oid.ok_or_else(|| {
        let message = format!("constraint \"{constraint}\" for table \"{}\" does not exist", table.name);
        PgError::with_state(SqlState("42704"), message)
    })?;
    set_comment(session, &table, oid, comment)
}

fn set_comment(
    session: &mut Session,
    table: &Table,
    constraint: u32,
    comment: Option<&str>,
) -> Result<Outcome, PgError> {
    let comment = comment.filter(|comment| !comment.is_empty()).map(str::to_owned);
    let altered = table.altered(|table| {
        for known in table.constraints.iter_mut().filter(|known| known.oid == constraint) {
            known.comment.clone_from(&comment);
        }
    });
    session.change(vec![Change::AlterTable(altered)])?;
    Ok(Outcome::done("COMMENT"))
}

/// COMMENT ON INDEX and SEQUENCE.
///
/// # Errors
/// 42P01, 42809.
pub(crate) fn comment_on_relation(
    session: &mut Session,
    kind: ObjectKind,
    name: &ObjectName,
    comment: Option<&str>,
) -> Result<Outcome, PgError> {
    session.may_write("COMMENT")?;
    let name = RelationName::of(name, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    if kind == ObjectKind::Sequence {
        let sequence = lookup.sequence(&name)?;
        let comment = comment.filter(|comment| !comment.is_empty()).map(str::to_owned);
        let altered = Sequence { comment, ..sequence.as_ref().clone() };
        session.change(vec![Change::AlterSequence(Arc::new(altered))])?;
        return Ok(Outcome::done("COMMENT"));
    }
    let Some((table, index)) = index_of(&lookup, &name) else {
        if lookup.relation(&name).is_some() {
            let message = format!("\"{}\" is not an index", name.name);
            return Err(PgError::with_state(SqlState("42809"), message));
        }
        let message = format!("relation \"{name}\" does not exist");
        return Err(PgError::with_state(SqlState("42P01"), message));
    };
    set_comment(session, &table, index, comment)
}
