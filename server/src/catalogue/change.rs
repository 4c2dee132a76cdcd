//! What a commit can change, and what it makes of a snapshot.
//!
//! ```text
//!  statements of a transaction ─▶ [Change] ─┬─ apply to the session's view, so that it sees its own writes
//!                                           └─ at COMMIT: apply to the newest snapshot, then `persist` into SQLite
//! ```
//!
//! A change says what it expects of the snapshot (a table's revision, a shard's deletions, the rows of a log's entry); where that
//! is not so any more, somebody else has committed first, and it is a [`CatalogueError::Conflict`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use quickdb_executor::table::DeletionRef;
use quickdb_storage::{ShardId, ShardReport, TableId};

use super::WorkerId;
use super::error::{CatalogueError, CatalogueResult};
use super::keys::{AddedKeys, KeyLog};
use super::log::{Log, LogEntry, LoggedRows};
use super::sequences::Sequence;
use super::snapshot::{CatalogueSnapshot, Schema, Shard, Table, TableDefinition, View, arrow_schema};

/// One change of the catalogue.
#[derive(Debug, Clone)]
pub enum Change {
    /// A schema that is new.
    CreateSchema(Schema),
    /// A schema becomes another of the same OID.
    AlterSchema(Schema),
    /// A schema that goes; it must be empty by then.
    DropSchema {
        /// Its OID.
        oid: u32,
    },
    /// A table that is new, without rows.
    CreateTable(Arc<TableDefinition>),
    /// A table that goes with all its rows.
    DropTable {
        /// The table.
        table: TableId,
    },
    /// A table becomes another of the same id; its rows stay. The definition's revision is one more than the one it
    /// was made from.
    AlterTable(Arc<TableDefinition>),
    /// A view that is new.
    CreateView(Arc<View>),
    /// A view becomes another of the same OID.
    AlterView(Arc<View>),
    /// A view that goes.
    DropView {
        /// Its OID.
        oid: u32,
    },
    /// A sequence that is new.
    CreateSequence(Arc<Sequence>),
    /// A sequence becomes another of the same OID; where it stands stays.
    AlterSequence(Arc<Sequence>),
    /// A sequence that goes.
    DropSequence {
        /// Its OID.
        oid: u32,
    },
    /// Rows that lie in new shards.
    AddShards {
        /// The table.
        table: TableId,
        /// The shards.
        shards: Vec<Shard>,
    },
    /// Shards that go with all their rows.
    RemoveShards {
        /// The table.
        table: TableId,
        /// The shards, each with what was deleted of it.
        shards: Vec<(ShardId, Option<DeletionRef>)>,
    },
    /// Other rows of a shard are deleted than before.
    SetDeletions {
        /// The table.
        table: TableId,
        /// The shard.
        shard: ShardId,
        /// What was deleted before.
        before: Option<DeletionRef>,
        /// What is deleted now.
        after: DeletionRef,
    },
    /// A shard lies on other workers.
    Place {
        /// The table.
        table: TableId,
        /// The shard.
        shard: ShardId,
        /// The workers, the preferred one first.
        workers: Vec<WorkerId>,
    },
    /// Rows for the log of a table.
    Append {
        /// The table.
        table: TableId,
        /// The revision that the rows were made for.
        revision: u64,
        /// The rows.
        entry: LogEntry,
    },
    /// Unique keys of rows that are added.
    AddKeys {
        /// The table.
        table: TableId,
        /// The keys.
        keys: AddedKeys,
    },
    /// Rows that go from the log: they are deleted, or lie in shards now.
    RemoveLogged {
        /// The table.
        table: TableId,
        /// The rows.
        rows: Vec<LoggedRows>,
    },
    /// Another comment on a database, a schema or a role; those of tables and views are part of them.
    Comment {
        /// Which of the three.
        on: CommentOn,
        /// The comment.
        comment: Option<String>,
    },
}

/// What can have a comment and is no relation; by OID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentOn {
    /// A database.
    Database(u32),
    /// A schema.
    Schema(u32),
    /// A role.
    Role(u32),
}

impl Change {
    /// Whether it only adds rows to a log.
    pub(crate) fn appends(&self) -> bool {
        matches!(self, Self::Append { .. })
    }

    /// Whether it changes more than rows.
    pub(crate) fn defines(&self) -> bool {
        !matches!(
            self,
            Self::AddShards { .. }
                | Self::RemoveShards { .. }
                | Self::SetDeletions { .. }
                | Self::Place { .. }
                | Self::Append { .. }
                | Self::RemoveLogged { .. }
                | Self::AddKeys { .. }
        )
    }
}

impl Shard {
    /// A shard as its writer reported it, of a table of that definition.
    ///
    /// # Errors
    /// [`CatalogueError::ForeignShard`], [`CatalogueError::InvalidShard`] when it cannot be it.
    pub fn of_report(
        report: &ShardReport,
        table: &TableDefinition,
        workers: Vec<WorkerId>,
    ) -> CatalogueResult<Self> {
        let shard = report.identity.shard;
        if report.identity.table != table.id {
            let found = report.identity.table_name.clone();
            return Err(CatalogueError::ForeignShard { shard, found, expected: table.full_name() });
        }
        if report.columns.len() != table.columns.len() {
            let (found, expected) = (report.columns.len(), table.columns.len());
            let what = format!("{found} column summaries for {expected} columns");
            return Err(CatalogueError::InvalidShard { shard, what });
        }
        if workers.is_empty() {
            return Err(CatalogueError::InvalidShard { shard, what: "no worker holds it".into() });
        }
        let numbers = table.columns.iter().map(|column| column.number);
        Ok(Self {
            id: shard,
            rows: report.rows,
            bytes: report.bytes,
            checksum: report.checksum,
            columns: Arc::new(numbers.zip(report.columns.iter().cloned()).collect()),
            deletions: None,
            workers,
        })
    }
}

impl CatalogueSnapshot {
    /// The snapshot after `changes`, under a version of its own.
    ///
    /// # Errors
    /// What makes a change impossible, or [`CatalogueError::Conflict`].
    pub fn with(&self, changes: &[Change], version: u64) -> CatalogueResult<Self> {
        let mut next = self.clone();
        for change in changes {
            next.apply(change)?;
        }
        next.version = version;
        if changes.iter().any(Change::defines) {
            next.definitions = version;
        }
        Ok(next)
    }

    fn apply(&mut self, change: &Change) -> CatalogueResult<()> {
        match change {
            Change::CreateSchema(schema) => self.create_schema(schema),
            Change::AlterSchema(schema) => self.alter_schema(schema),
            Change::DropSchema { oid } => self.drop_schema(*oid),
            Change::CreateTable(definition) => self.create_table(definition),
            Change::DropTable { table } => {
                self.existing(*table)?;
                let tables = self.tables.iter().filter(|found| found.id != *table).cloned().collect();
                self.set_tables(tables);
                Ok(())
            }
            Change::AlterTable(definition) => self.alter_table(definition),
            Change::CreateView(view) => {
                self.name_is_free(&view.schema, &view.name)?;
                self.existing_schema(view.schema_oid, &view.schema)?;
                Arc::make_mut(&mut self.views).push(Arc::clone(view));
                Ok(())
            }
            Change::AlterView(view) => {
                let slot = Arc::make_mut(&mut self.views).iter_mut().find(|found| found.oid == view.oid);
                *slot.ok_or_else(|| CatalogueError::UndefinedTable(view.name.clone()))? = Arc::clone(view);
                Ok(())
            }
            Change::DropView { oid } => {
                let views = Arc::make_mut(&mut self.views);
                let before = views.len();
                views.retain(|view| view.oid != *oid);
                if views.len() == before { Err(gone()) } else { Ok(()) }
            }
            Change::CreateSequence(sequence) => {
                self.name_is_free(&sequence.schema, &sequence.name)?;
                self.existing_schema(sequence.schema_oid, &sequence.schema)?;
                Arc::make_mut(&mut self.sequences).push(Arc::clone(sequence));
                Ok(())
            }
            Change::AlterSequence(sequence) => {
                let sequences = Arc::make_mut(&mut self.sequences);
                let slot = sequences.iter_mut().find(|found| found.oid == sequence.oid);
                *slot.ok_or_else(gone)? = Arc::clone(sequence);
                Ok(())
            }
            Change::DropSequence { oid } => {
                let sequences = Arc::make_mut(&mut self.sequences);
                let before = sequences.len();
                sequences.retain(|sequence| sequence.oid != *oid);
                if sequences.len() == before { Err(gone()) } else { Ok(()) }
            }
            Change::Comment { on, comment } => self.comment(*on, comment.as_deref()),
            Change::AddShards { table, shards } => self.with_table(*table, |table| add_shards(table, shards)),
            Change::RemoveShards { table, shards } => self.with_table(*table, |table| {
                let gone: HashMap<_, _> = shards.iter().copied().collect();
                let goes = |shard: &&Shard| gone.get(&shard.id) == Some(&shard.deletions);
                let kept: Vec<_> = table.shards.iter().filter(|shard| !goes(shard)).cloned().collect();
                if kept.len() + gone.len() != table.shards.len() {
                    return Err(conflict(table));
                }
                table.shards = Arc::new(kept);
                Ok(())
            }),
            Change::SetDeletions { table, shard, before, after } => self.with_table(*table, |table| {
                let conflict = conflict(table);
                let found = shard_mut(table, *shard).filter(|shard| shard.deletions == *before);
                found.ok_or(conflict)?.deletions = Some(*after);
                Ok(())
            }),
            Change::Place { table, shard, workers } => self.with_table(*table, |table| {
                if workers.is_empty() {
                    let what = "no worker holds it".into();
                    return Err(CatalogueError::InvalidShard { shard: *shard, what });
                }
                let found = shard_mut(table, *shard).ok_or(CatalogueError::UndefinedShard(*shard));
                found?.workers.clone_from(workers);
                Ok(())
            }),
            Change::Append { table, revision, entry } => self.with_table(*table, |table| {
                if table.revision != *revision {
                    return Err(conflict(table));
                }
                table.log = table.log.with(entry.clone())?;
                Ok(())
            }),
            Change::AddKeys { table, keys } => self.with_table(*table, |table| {
                table.keys = table.keys.with(keys).ok_or_else(|| conflict(table))?;
                Ok(())
            }),
            Change::RemoveLogged { table, rows } => self.with_table(*table, |table| {
                table.log = table.log.without(rows)?.ok_or_else(|| conflict(table))?;
                Ok(())
            }),
        }
    }

    /// The table with that id.
    pub(super) fn existing(&self, id: TableId) -> CatalogueResult<&Arc<Table>> {
        self.table_by_id(id).ok_or_else(gone)
    }

    fn with_table(
        &mut self,
        id: TableId,
        change: impl FnOnce(&mut Table) -> CatalogueResult<()>,
    ) -> CatalogueResult<()> {
        let mut table = Table::clone(self.existing(id)?);
        change(&mut table)?;
        self.set_rows(table);
        Ok(())
    }

    fn name_is_free(&self, schema: &str, name: &str) -> CatalogueResult<()> {
        if self.table(schema, name).is_some()
            || self.view(schema, name).is_some()
            || self.sequence(schema, name).is_some()
        {
            return Err(CatalogueError::DuplicateTable(name.to_owned()));
        }
        Ok(())
    }

    fn existing_schema(&self, oid: u32, name: &str) -> CatalogueResult<()> {
        if self.schemas.iter().any(|schema| schema.oid == oid) {
            return Ok(());
        }
        Err(CatalogueError::UndefinedSchema(name.to_owned()))
    }

    fn create_schema(&mut self, schema: &Schema) -> CatalogueResult<()> {
        let reserved = ["information_schema", "quickdb", ""].contains(&schema.name.as_str());
        if reserved || schema.name.starts_with("pg_") {
            return Err(CatalogueError::ReservedName(schema.name.clone()));
        }
        if self.schema(&schema.name).is_some() {
            return Err(CatalogueError::DuplicateSchema(schema.name.clone()));
        }
        Arc::make_mut(&mut self.schemas).push(schema.clone());
        Ok(())
    }

    fn alter_schema(&mut self, schema: &Schema) -> CatalogueResult<()> {
        let taken = self.schemas.iter().any(|known| known.name == schema.name && known.oid != schema.oid);
        if taken {
            return Err(CatalogueError::DuplicateSchema(schema.name.clone()));
        }
        let slot = Arc::make_mut(&mut self.schemas).iter_mut().find(|known| known.oid == schema.oid);
        let slot = slot.ok_or_else(gone)?;
        let renamed = slot.name != schema.name;
        *slot = schema.clone();
        if !renamed {
            return Ok(());
        }
        // What is in it carries its name.
        for view in Arc::make_mut(&mut self.views).iter_mut().filter(|view| view.schema_oid == schema.oid) {
            Arc::make_mut(view).schema.clone_from(&schema.name);
        }
        let sequences = Arc::make_mut(&mut self.sequences).iter_mut();
        for sequence in sequences.filter(|sequence| sequence.schema_oid == schema.oid) {
            Arc::make_mut(sequence).schema.clone_from(&schema.name);
        }
        let mut tables = self.tables.clone();
        for table in tables.iter_mut().filter(|table| table.schema_oid == schema.oid) {
            let table = Arc::make_mut(table);
            Arc::make_mut(&mut table.definition).schema.clone_from(&schema.name);
        }
        self.set_tables(tables);
        Ok(())
    }

    fn drop_schema(&mut self, oid: u32) -> CatalogueResult<()> {
        let schema = self.schemas.iter().find(|schema| schema.oid == oid).ok_or_else(gone)?;
        let used = self.tables.iter().any(|table| table.schema_oid == oid)
            || self.views.iter().any(|view| view.schema_oid == oid)
            || self.sequences.iter().any(|sequence| sequence.schema_oid == oid);
        if used {
            return Err(CatalogueError::SchemaNotEmpty(schema.name.clone()));
        }
        Arc::make_mut(&mut self.schemas).retain(|schema| schema.oid != oid);
        Ok(())
    }

    fn create_table(&mut self, definition: &Arc<TableDefinition>) -> CatalogueResult<()> {
        self.name_is_free(&definition.schema, &definition.name)?;
        self.existing_schema(definition.schema_oid, &definition.schema)?;
        if self.table_by_id(definition.id).is_some() {
            return Err(CatalogueError::DuplicateTable(definition.name.clone()));
        }
        let table = Table {
            definition: Arc::clone(definition),
            shards: Arc::default(),
            log: Log::default(),
            keys: KeyLog::default(),
        };
        let mut tables = self.tables.clone();
        tables.push(Arc::new(table));
        tables.sort_by_key(|table| table.id);
        self.set_tables(tables);
        Ok(())
    }

    fn alter_table(&mut self, definition: &Arc<TableDefinition>) -> CatalogueResult<()> {
        let mut table = Table::clone(self.existing(definition.id)?);
        if table.revision + 1 != definition.revision {
            return Err(conflict(&table));
        }
        if (&table.schema, &table.name) != (&definition.schema, &definition.name) {
            self.name_is_free(&definition.schema, &definition.name)?;
        }
        table.definition = Arc::clone(definition);
        if !table.log.is_empty() {
            table.log = table.log.in_schema(definition.arrow_schema())?;
        }
        let table = Arc::new(table);
        let tables = self.tables.iter();
        let tables = tables.map(|found| if found.id == table.id { &table } else { found }).cloned().collect();
        self.set_tables(tables);
        Ok(())
    }

    fn comment(&mut self, on: CommentOn, comment: Option<&str>) -> CatalogueResult<()> {
        let slot = match on {
            CommentOn::Database(oid) => {
                let databases = Arc::make_mut(&mut self.databases).iter_mut();
                databases.filter(|found| found.oid == oid).map(|found| &mut found.comment).next()
            }
            CommentOn::Schema(oid) => {
                let schemas = Arc::make_mut(&mut self.schemas).iter_mut();
                schemas.filter(|found| found.oid == oid).map(|found| &mut found.comment).next()
            }
            CommentOn::Role(oid) => {
                let roles = Arc::make_mut(&mut self.roles).iter_mut();
                roles.filter(|found| found.oid == oid).map(|found| &mut found.comment).next()
            }
        };
        *slot.ok_or_else(gone)? = comment.map(str::to_owned);
        Ok(())
    }
}

impl TableDefinition {
    /// The same with other columns, as its next revision.
    #[must_use]
    pub fn altered(&self, change: impl FnOnce(&mut TableDefinition)) -> Arc<TableDefinition> {
        let mut next = self.clone();
        change(&mut next);
        next.revision = self.revision + 1;
        next.redefined()
    }

    /// The same whose columns were changed, of the same revision: for a table that is not there yet.
    #[must_use]
    pub fn redefined(mut self) -> Arc<TableDefinition> {
        self.arrow_schema = arrow_schema(&self.columns);
        Arc::new(self)
    }
}

fn add_shards(table: &mut Table, shards: &[Shard]) -> CatalogueResult<()> {
    let known: HashSet<_> = table.columns.iter().map(|column| column.number).collect();
    let mut all = table.shards.as_ref().clone();
    for shard in shards {
        if all.iter().any(|found| found.id == shard.id) {
            return Err(CatalogueError::DuplicateShard(shard.id));
        }
        // A column that came meanwhile reads as missing; one that went is not read.
        let fits = shard.columns.iter().any(|(number, _)| known.contains(number)) || known.is_empty();
        if !fits {
            return Err(conflict(table));
        }
        all.push(shard.clone());
    }
    all.sort_by_key(|shard| shard.id);
    table.shards = Arc::new(all);
    Ok(())
}

fn shard_mut(table: &mut Table, id: ShardId) -> Option<&mut Shard> {
    Arc::make_mut(&mut table.shards).iter_mut().find(|shard| shard.id == id)
}

fn conflict(table: &Table) -> CatalogueError {
    CatalogueError::Conflict(table.full_name())
}

/// What a change is about has been dropped since.
fn gone() -> CatalogueError {
    CatalogueError::Conflict("an object that was dropped".into())
}
