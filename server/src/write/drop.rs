//! DROP TABLE, DROP VIEW and their kin, with what depends on what goes.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast::ObjectName;

use super::names::{RelationKind, RelationName, SearchPath};
use super::schemas::notice;
use super::sequences;
use crate::catalogue::{CatalogueSnapshot, Change};
use crate::error::{PgError, SqlState};
use crate::session::{Outcome, Session};

/// Objects that an error or a notice lists; PostgreSQL tells clients of no more either.
const LISTED_MAX: usize = 100;

/// DROP of relations of one kind.
///
/// # Errors
/// 42P01 for one that does not exist, 42809 for a relation of another kind, 2BP01 for one that others depend on,
/// unless `cascade` takes them too.
pub(crate) fn drop(
    session: &mut Session,
    names: &[ObjectName],
    kind: RelationKind,
    if_exists: bool,
    cascade: bool,
) -> Result<Outcome, PgError> {
    let tag = format!("DROP {}", kind.upper());
    session.may_write(&tag)?;
    let mut notices = Vec::new();
    let mut oids = Vec::new();
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    for name in names {
        let name = RelationName::of(name, &session.database)?;
        match lookup.relation(&name) {
            Some((oid, found)) if found == kind => oids.push(oid),
            Some((_, found)) => {
                let message = format!("\"{}\" is not {}", name.name, kind.with_article());
                let hint = format!("Use DROP {} to remove {}.", found.upper(), found.with_article());
                return Err(PgError::with_state(SqlState("42809"), message).hint(hint));
            }
            None => {
                let missing = name.schema.as_ref().filter(|schema| lookup.has_no_schema(schema));
                let (state, message) = match missing {
                    Some(schema) => ("3F000", format!("schema \"{schema}\" does not exist")),
                    None if if_exists => {
                        ("42P01", format!("{} \"{}\" does not exist", kind.lower(), name.name))
                    }
                    None => ("42P01", format!("{} \"{name}\" does not exist", kind.lower())),
                };
                if !if_exists {
                    return Err(PgError::with_state(SqlState(state), message));
                }
                notices.push(notice(SqlState("00000"), format!("{message}, skipping")));
            }
        }
    }
    let mut lines = Vec::new();
    for oid in oids.iter().filter(|_| kind == RelationKind::Sequence) {
        let Some(sequence) = snapshot.sequence_by_oid(*oid) else { continue };
        let (named, changes) = sequences::dependents(session, sequence, cascade)?;
        lines.extend(named);
        session.change(changes)?;
    }
    notices.extend(cascaded(lines));
    let own = oids.first().and_then(|oid| described(&snapshot, &path, *oid)).unwrap_or_default();
    let own = if oids.len() > 1 { "desired object(s)".to_owned() } else { own };
    notices.extend(drop_relations(session, &oids, &own, cascade)?);
    Ok(Outcome::Done { tag, notices })
}

/// What is to go: an object, and the one that it depends on where it was not named itself.
struct Going {
    oid: u32,
    because_of: Option<u32>,
}

/// The objects with all that depends on them, what is depended on first.
fn with_dependents(snapshot: &CatalogueSnapshot, oids: &[u32]) -> Vec<Going> {
    fn visit(snapshot: &CatalogueSnapshot, going: Going, seen: &mut HashSet<u32>, found: &mut Vec<Going>) {
        if !seen.insert(going.oid) {
            return;
        }
        // The newest first, so that the list, turned about, has the oldest first.
        let mut readers: Vec<u32> = snapshot.dependents(going.oid);
        readers.sort_unstable_by(|a, b| b.cmp(a));
        for reader in readers {
            visit(snapshot, Going { oid: reader, because_of: Some(going.oid) }, seen, found);
        }
        found.push(going);
    }
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for oid in oids {
        visit(snapshot, Going { oid: *oid, because_of: None }, &mut seen, &mut found);
    }
    found.reverse();
    found
}

/// Drops relations, with `cascade` what depends on them too: what the client is told. `what` is the object of the
/// statement in a message.
///
/// # Errors
/// 2BP01.
pub(crate) fn drop_relations(
    session: &mut Session,
    oids: &[u32],
    what: &str,
    cascade: bool,
) -> Result<Option<PgError>, PgError> {
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let going = with_dependents(&snapshot, oids);
    let named = |oid: u32| described(&snapshot, &path, oid).unwrap_or_default();
    let dependents = going.iter().filter(|going| !oids.contains(&going.oid));
    let dependents: Vec<(String, String)> =
        dependents.filter_map(|going| Some((named(going.oid), named(going.because_of?)))).collect();
    if !cascade && !dependents.is_empty() {
        let lines = dependents.iter().map(|(object, on)| format!("{object} depends on {on}"));
        let verb = if what == "desired object(s)" { "them" } else { "it" };
        return Err(PgError::with_state(
            SqlState("2BP01"),
            format!("cannot drop {what} because other objects depend on {verb}"),
        )
        .detail(listed(lines.collect()))
        .hint("Use DROP ... CASCADE to drop the dependent objects too."));
    }
    // Readers go before what they read.
    let mut changes = Vec::new();
    let mut sequences = HashSet::new();
    for going in going.iter().rev() {
        if let Some(table) = snapshot.table_by_oid(going.oid) {
            changes.push(Change::DropTable { table: table.id });
            sequences.extend(snapshot.sequences_of(table.oid).map(|sequence| sequence.oid));
        } else if let Some(view) = snapshot.view_by_oid(going.oid) {
            changes.push(Change::DropView { oid: view.oid });
        } else if let Some(sequence) = snapshot.sequence_by_oid(going.oid) {
            sequences.insert(sequence.oid);
        }
    }
    let mut sequences: Vec<u32> = sequences.into_iter().collect();
    sequences.sort_unstable();
    changes.extend(sequences.into_iter().map(|oid| Change::DropSequence { oid }));
    session.change(changes)?;
    Ok(cascaded(dependents.into_iter().map(|(object, _)| object).collect()))
}

/// What a client is told that goes with the relations of a schema: they and all that depends on them.
pub(crate) fn dependents_of_schema(session: &Session, inside: &[u32]) -> Vec<String> {
    let (snapshot, path) = (session.snapshot(), session.search_path());
    // The newest first, as everywhere: the list is turned about.
    let newest_first: Vec<u32> = inside.iter().rev().copied().collect();
    let going = with_dependents(&snapshot, &newest_first);
    going.iter().filter_map(|going| described(&snapshot, &path, going.oid)).collect()
}

/// What a client is told of objects that went with others.
pub(crate) fn cascaded(objects: Vec<String>) -> Option<PgError> {
    match objects.as_slice() {
        [] => None,
        [object] => Some(notice(SqlState("00000"), format!("drop cascades to {object}"))),
        objects => {
            let message = format!("drop cascades to {} other objects", objects.len());
            let lines = objects.iter().map(|object| format!("drop cascades to {object}"));
            Some(notice(SqlState("00000"), message).detail(listed(lines.collect())))
        }
    }
}

/// Lines of a detail, the last of too many only counted.
pub(crate) fn listed(mut lines: Vec<String>) -> String {
    let more = lines.len().saturating_sub(LISTED_MAX);
    lines.truncate(LISTED_MAX);
    if more > 0 {
        let noun = if more == 1 { "object" } else { "objects" };
        lines.push(format!("and {more} other {noun} (see server log for list)"));
    }
    lines.join("\n")
}

/// A relation in a message: `table t`, `view v`, with its schema where the path does not find it.
pub(crate) fn described(snapshot: &CatalogueSnapshot, path: &[String], oid: u32) -> Option<String> {
    let (kind, schema, name) = snapshot.relation_by_oid(oid)?;
    let lookup = SearchPath { snapshot, schemas: path };
    let bare = RelationName { schema: None, name: name.to_owned() };
    let quoted = quickdb_executor::functions::quoting::quote;
    let visible = lookup.relation(&bare).is_some_and(|(found, _)| found == oid);
    let name = if visible { quoted(name) } else { format!("{}.{}", quoted(schema), quoted(name)) };
    Some(format!("{} {name}", kind.lower()))
}
