//! Relations of one session alone: never in the file, never in another session's snapshot.
//!
//! ```text
//!  committed snapshot ─┐
//!                      ├─▶ composed: what the session sees, with the schema `pg_temp_N`
//!  Temporary ──────────┘
//! ```
//!
//! Their rows lie in shards and logs like those of any table. Nothing of them is durable: a server that starts again
//! finds their files named by nobody, and removes them.

use std::collections::HashSet;
use std::sync::Arc;

use quickdb_storage::TableId;

use super::change::Change;
use super::log::Log;
use super::sequences::Sequence;
use super::snapshot::{CatalogueSnapshot, OnCommit, Schema, Table, View};

/// What the names of the schemas begin with.
const PREFIX: &str = "pg_temp_";

/// What a session's own schema is called by everybody.
pub const TEMPORARY_SCHEMA: &str = "pg_temp";

/// Whether a schema is one of a session's own.
pub fn is_temporary_schema(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The temporary relations of one session.
#[derive(Debug, Clone)]
pub struct Temporary {
    schema: Schema,
    tables: Vec<Arc<Table>>,
    views: Vec<Arc<View>>,
    sequences: Vec<Arc<Sequence>>,
}

impl Temporary {
    /// None yet, in the schema of that number and OID.
    pub fn new(number: i32, oid: u32, owner: u32) -> Self {
        let schema = Schema { oid, name: format!("{PREFIX}{number}"), owner, comment: None };
        Self { schema, tables: Vec::new(), views: Vec::new(), sequences: Vec::new() }
    }

    /// The tables.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// Which of the changes are about these relations; the others are for everybody.
    pub fn own(&self, changes: &[Change]) -> Vec<bool> {
        let mut tables: HashSet<TableId> = self.tables.iter().map(|table| table.id).collect();
        let mut views: HashSet<u32> = self.views.iter().map(|view| view.oid).collect();
        let mut sequences: HashSet<u32> = self.sequences.iter().map(|sequence| sequence.oid).collect();
        let own = changes.iter().map(|change| match change {
            Change::CreateTable(table) => {
                let own = table.schema_oid == self.schema.oid;
                own && { tables.insert(table.id) || own }
            }
            Change::AlterTable(table) => tables.contains(&table.id),
            Change::CreateView(view) => {
                let own = view.schema_oid == self.schema.oid;
                own && { views.insert(view.oid) || own }
            }
            Change::AlterView(view) => views.contains(&view.oid),
            Change::DropView { oid } => views.contains(oid),
            Change::CreateSequence(sequence) => {
                let own = sequence.schema_oid == self.schema.oid;
                own && { sequences.insert(sequence.oid) || own }
            }
            Change::AlterSequence(sequence) => sequences.contains(&sequence.oid),
            Change::DropSequence { oid } => sequences.contains(oid),
            Change::DropTable { table }
            | Change::AddShards { table, .. }
            | Change::RemoveShards { table, .. }
            | Change::SetDeletions { table, .. }
            | Change::Place { table, .. }
            | Change::Append { table, .. }
            | Change::AddKeys { table, .. }
            | Change::RemoveLogged { table, .. } => tables.contains(table),
            Change::CreateSchema(_)
            | Change::AlterSchema(_)
            | Change::DropSchema { .. }
            | Change::Comment { .. } => false,
        });
        own.collect()
    }

    /// The relations as a session's view has them, after what `ON COMMIT` says.
    pub fn committed(&self, view: &CatalogueSnapshot) -> Self {
        let own = view.tables().iter().filter(|table| table.schema_oid == self.schema.oid);
        let going: HashSet<u32> =
            own.clone().filter(|table| table.on_commit == OnCommit::Drop).map(|table| table.oid).collect();
        let tables = own.filter(|table| !going.contains(&table.oid)).map(|table| {
            if table.on_commit == OnCommit::Delete && table.row_count() > 0 {
                let definition = Arc::clone(table.definition());
                let (shards, log, keys) = (Arc::default(), Log::default(), table.keys.clone());
                return Arc::new(Table { definition, shards, log, keys });
            }
            Arc::clone(table)
        });
        let tables = tables.collect();
        let own = view.views.iter().filter(|view| view.schema_oid == self.schema.oid);
        let mut views: Vec<Arc<View>> = own.cloned().collect();
        // Views over what goes go with it, and those over them.
        let mut going = going;
        loop {
            let before = views.len();
            views.retain(|view| {
                let stays = !view.reads.iter().any(|read| going.contains(read));
                if !stays {
                    going.insert(view.oid);
                }
                stays
            });
            if views.len() == before {
                break;
            }
        }
        let own = view.sequences.iter().filter(|sequence| sequence.schema_oid == self.schema.oid);
        let goes =
            |sequence: &&Arc<Sequence>| sequence.owned_by.is_some_and(|owner| going.contains(&owner.table));
        let sequences = own.filter(|sequence| !goes(sequence)).cloned().collect();
        Self { schema: self.schema.clone(), tables, views, sequences }
    }
}

impl CatalogueSnapshot {
    /// The snapshot as the session with these relations sees it.
    #[must_use]
    pub fn with_temporary(&self, temporary: &Temporary, version: u64, definitions: u64) -> Self {
        let mut seen = self.clone();
        Arc::make_mut(&mut seen.schemas).push(temporary.schema.clone());
        if !temporary.views.is_empty() {
            Arc::make_mut(&mut seen.views).extend(temporary.views.iter().cloned());
        }
        if !temporary.sequences.is_empty() {
            Arc::make_mut(&mut seen.sequences).extend(temporary.sequences.iter().cloned());
        }
        if !temporary.tables.is_empty() {
            let mut tables = seen.tables.clone();
            tables.extend(temporary.tables.iter().cloned());
            tables.sort_by_key(|table| table.id);
            seen.set_tables(tables);
        }
        seen.version = version;
        seen.definitions = definitions;
        seen
    }

    /// The session's own schema, where it has one.
    pub fn temporary_schema(&self) -> Option<&Schema> {
        self.schemas.iter().find(|schema| is_temporary_schema(&schema.name))
    }

    /// A schema's name, which may be [`TEMPORARY_SCHEMA`], as the catalogue has it.
    pub fn schema_called<'a>(&'a self, name: &'a str) -> &'a str {
        match self.temporary_schema() {
            Some(own) if name == TEMPORARY_SCHEMA => &own.name,
            _ => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{Catalogue, Column, NewTable, PgType, TableOptions};

    #[test]
    fn they_are_in_the_sessions_snapshot_alone_and_end_as_they_are_told() {
        let catalogue = Catalogue::in_memory().unwrap();
        let committed = catalogue.snapshot();
        let temporary = Temporary::new(7, catalogue.allocate_oids(1).unwrap(), 10);
        let seen = committed.with_temporary(&temporary, 100, 100);
        assert_eq!(seen.schema_called("pg_temp"), "pg_temp_7");
        let create = |name: &str, on_commit| {
            let table = NewTable {
                id: catalogue.allocate_table_id().unwrap(),
                schema: "pg_temp_7".into(),
                name: name.into(),
                owner: "quickdb".into(),
                columns: vec![Column::new("a", PgType::new(23))],
                constraints: Vec::new(),
                options: TableOptions::default(),
                on_commit,
                comment: None,
            };
            Change::CreateTable(table.define(&catalogue, &seen).unwrap())
        };
        let changes = vec![create("kept", OnCommit::Preserve), create("gone", OnCommit::Drop)];
        assert_eq!(temporary.own(&changes), [true, true]);
        let view = seen.with(&changes, 101).unwrap();
        assert!(view.table("pg_temp_7", "gone").is_some() && committed.table("pg_temp_7", "gone").is_none());
        let after = temporary.committed(&view);
        let names: Vec<&str> = after.tables().iter().map(|table| &*table.name).collect();
        assert_eq!(names, ["kept"]);
        let drop = Change::DropTable { table: after.tables()[0].id };
        assert_eq!(after.own(&[drop, Change::DropSchema { oid: 1 }]), [true, false]);
    }
}
