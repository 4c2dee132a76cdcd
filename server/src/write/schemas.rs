//! CREATE SCHEMA and DROP SCHEMA.

use datafusion::sql::sqlparser::ast::{ObjectName, SchemaName};

use super::drop::{self, described, drop_relations, listed};
use super::names::{RelationName, fold};
use crate::catalogue::{Change, Schema};
use crate::error::{PgError, Severity, SqlState};
use crate::session::{Outcome, Session};

/// CREATE SCHEMA.
///
/// # Errors
/// 42P06 for one that exists, 42939 for a reserved name.
pub(crate) fn create(
    session: &mut Session,
    name: &SchemaName,
    if_not_exists: bool,
) -> Result<Outcome, PgError> {
    let owner = session.user.clone();
    let (name, owner) = match name {
        SchemaName::Simple(name) => (single(name)?, owner),
        SchemaName::UnnamedAuthorization(owner) => (fold(owner), fold(owner)),
        SchemaName::NamedAuthorization(name, owner) => (single(name)?, fold(owner)),
    };
    let snapshot = session.snapshot();
    if name.starts_with("pg_") {
        let message = format!("unacceptable schema name \"{name}\"");
        return Err(PgError::with_state(SqlState("42939"), message)
            .detail("The prefix \"pg_\" is reserved for system schemas."));
    }
    if snapshot.schema(&name).is_some() {
        let message = format!("schema \"{name}\" already exists");
        if if_not_exists {
            let notice = notice(SqlState("42P06"), format!("{message}, skipping"));
            return Ok(Outcome::Done { tag: "CREATE SCHEMA".into(), notices: vec![notice] });
        }
        return Err(PgError::with_state(SqlState("42P06"), message));
    }
    let owner = snapshot
        .role(&owner)
        .map(|role| role.oid)
        .ok_or_else(|| PgError::with_state(SqlState("42704"), format!("role \"{owner}\" does not exist")))?;
    let oid = session.engine.catalogue.allocate_oids(1)?;
    session.change(vec![Change::CreateSchema(Schema { oid, name, owner, comment: None })])?;
    Ok(Outcome::done("CREATE SCHEMA"))
}

/// DROP SCHEMA.
///
/// # Errors
/// 3F000 for one that does not exist, 2BP01 for one with relations in it unless `cascade` takes them.
pub(crate) fn drop(
    session: &mut Session,
    names: &[ObjectName],
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, PgError> {
    let mut notices = Vec::new();
    for name in names {
        let name = single(name)?;
        let snapshot = session.snapshot();
        let Some(schema) = snapshot.schema(&name).cloned() else {
            let message = format!("schema \"{name}\" does not exist");
            if !if_exists {
                return Err(PgError::with_state(SqlState("3F000"), message));
            }
            notices.push(notice(SqlState("00000"), format!("{message}, skipping")));
            continue;
        };
        let tables = snapshot.tables().iter().filter(|table| table.schema_oid == schema.oid);
        let views = snapshot.views.iter().filter(|view| view.schema_oid == schema.oid);
        let sequences = snapshot.sequences.iter().filter(|sequence| sequence.schema_oid == schema.oid);
        // Those of columns go without a word.
        let sequences = sequences.filter(|sequence| sequence.owned_by.is_none()).map(|sequence| sequence.oid);
        let inside = tables.map(|table| table.oid).chain(views.map(|view| view.oid));
        let mut inside: Vec<u32> = inside.chain(sequences).collect();
        inside.sort_unstable();
        if !inside.is_empty() && !cascade {
            let message = format!("cannot drop schema {name} because other objects depend on it");
            let path = session.search_path();
            let named = inside.iter().filter_map(|oid| described(&snapshot, &path, *oid));
            let detail = named.map(|what| format!("{what} depends on schema {name}")).collect();
            return Err(PgError::with_state(SqlState("2BP01"), message)
                .detail(listed(detail))
                .hint("Use DROP ... CASCADE to drop the dependent objects too."));
        }
        let objects = drop::dependents_of_schema(session, &inside);
        drop_relations(session, &inside, "", true)?;
        notices.extend(drop::cascaded(objects));
        session.change(vec![Change::DropSchema { oid: schema.oid }])?;
    }
    Ok(Outcome::Done { tag: "DROP SCHEMA".into(), notices })
}

fn single(name: &ObjectName) -> Result<String, PgError> {
    let parsed = RelationName::of(name, "")?;
    match parsed.schema {
        None => Ok(parsed.name),
        Some(_) => Err(PgError::with_state(SqlState("42601"), format!("syntax error at or near \"{name}\""))),
    }
}

/// Something that a client is told beside the result.
pub(crate) fn notice(sqlstate: SqlState, message: impl Into<String>) -> PgError {
    let mut notice = PgError::with_state(sqlstate, message);
    notice.severity = Severity::Notice;
    notice
}
