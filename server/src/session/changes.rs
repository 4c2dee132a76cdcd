//! What a session changes in tables: its work, from the first statement that writes to the commit.

use std::sync::Arc;

use quickdb_storage::TableId;

use super::{Session, Transaction};
use crate::catalogue::{AddedKeys, CatalogueSnapshot, Change, Role, TEMPORARY_SCHEMA, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::upkeep::{self, Claim};
use crate::write::sink::Written;
use crate::write::unique;
use crate::write::work::Work;

impl Session {
    /// The catalogue as this session sees it: what is committed, and its own changes.
    pub(crate) fn snapshot(&self) -> Arc<CatalogueSnapshot> {
        match &self.work {
            Some(work) => Arc::clone(work.view()),
            None => self.overlay.committed(),
        }
    }

    /// The schemas where bare names are sought: the session's own first, unless the setting has it elsewhere.
    pub(crate) fn search_path(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let path = self.settings.search_path(&self.user);
        let named = path.iter().any(|schema| schema == TEMPORARY_SCHEMA);
        let own = snapshot.temporary_schema().filter(|_| !named).map(|schema| schema.name.clone());
        own.into_iter().chain(path.iter().map(|schema| snapshot.schema_called(schema).to_owned())).collect()
    }

    /// Gives the session a schema of its own for temporary relations, where it has none: its name.
    ///
    /// # Errors
    /// Those of the catalogue.
    pub(crate) fn temporary_schema(&mut self) -> Result<String, PgError> {
        self.begin_work();
        let snapshot = self.snapshot();
        if let Some(schema) = snapshot.temporary_schema() {
            return Ok(schema.name.clone());
        }
        let owner = snapshot.role(Role::FIRST).map_or(0, |role| role.oid);
        if let Some(work) = &mut self.work {
            work.begin_temporary(self.pid, owner)?;
        }
        let snapshot = self.snapshot();
        let schema = snapshot.temporary_schema();
        schema.map(|schema| schema.name.clone()).ok_or_else(|| {
            PgError::new(quickdb_executor::error::ErrorKind::Internal, "the session has no schema of its own")
        })
    }

    /// Begins work that lasts until COMMIT, and sees the catalogue as it is now.
    pub(crate) fn begin_work(&mut self) {
        let overlay = Arc::clone(&self.overlay);
        self.work.get_or_insert_with(|| Work::new(&overlay));
    }

    /// Changes made and not committed.
    pub(crate) fn work_len(&self) -> usize {
        self.work.as_ref().map_or(0, Work::len)
    }

    /// Undoes all but the first `len` changes.
    pub(crate) fn go_back_to(&mut self, len: usize) {
        if let Some(work) = &mut self.work {
            work.go_back_to(len);
        }
    }

    /// Makes changes part of the session's work.
    ///
    /// # Errors
    /// What makes one impossible.
    pub(crate) fn change(&mut self, changes: Vec<Change>) -> Result<(), PgError> {
        self.change_with(changes, Vec::new())
    }

    /// The same with the claims of the files that the changes name.
    ///
    /// # Errors
    /// What makes one impossible.
    pub(crate) fn change_with(&mut self, changes: Vec<Change>, claims: Vec<Claim>) -> Result<(), PgError> {
        self.begin_work();
        match &mut self.work {
            Some(work) => Ok(work.add(changes, claims)?),
            None => Ok(()),
        }
    }

    /// Makes new rows of a table part of the session's work, with other changes before them.
    ///
    /// # Errors
    /// 23505 for a key that is there already, and what makes the changes impossible; nothing has changed then.
    pub(crate) async fn add_rows(
        &mut self,
        table: &TableDefinition,
        before: (Vec<Change>, Vec<Claim>),
        written: Written,
    ) -> Result<(), PgError> {
        let start = self.work_len();
        let (mut changes, mut claims) = before;
        changes.extend(written.changes.iter().cloned());
        claims.extend(written.claims);
        self.change_with(changes, claims)?;
        let enforced = Box::pin(unique::enforce(self, table, &written.changes, &written.fresh)).await;
        if enforced.is_err() {
            self.go_back_to(start);
        }
        enforced
    }

    /// Says which unique keys the session has added to a table, by their hashes; `None` for any.
    ///
    /// # Errors
    /// What makes that impossible.
    pub(crate) fn note_keys(&mut self, table: TableId, hashes: Option<Vec<u64>>) -> Result<(), PgError> {
        let Some(work) = &self.work else { return Ok(()) };
        let keys = AddedKeys { seen: work.additions(table), by: work.number(), hashes: hashes.map(Arc::new) };
        self.change(vec![Change::AddKeys { table, keys }])
    }

    /// Makes the rows of a COPY part of the session's work: its tag.
    ///
    /// # Errors
    /// See [`Session::add_rows`].
    pub(crate) async fn take_copied(
        &mut self,
        table: &TableDefinition,
        written: Written,
    ) -> Result<String, PgError> {
        let tag = format!("COPY {}", written.rows);
        self.add_rows(table, (Vec::new(), Vec::new()), written).await?;
        Ok(tag)
    }

    /// Whether the session's transaction takes changes.
    ///
    /// # Errors
    /// 25006 in a read-only one.
    pub(crate) fn may_write(&self, command: &str) -> Result<(), PgError> {
        if self.settings.value("transaction_read_only") == "on" {
            let message = format!("cannot execute {command} in a read-only transaction");
            return Err(PgError::with_state(SqlState("25006"), message));
        }
        Ok(())
    }

    /// Makes the session's changes durable and visible.
    ///
    /// # Errors
    /// 40001 when another session's came first; nothing has changed then.
    pub(crate) async fn commit_work(&mut self) -> Result<(), PgError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        work.commit().await?;
        self.settle_temporary().await
    }

    /// Puts the rows of temporary tables' logs that have become long into shards, as the upkeep does for the others.
    async fn settle_temporary(&self) -> Result<(), PgError> {
        for table in self.overlay.tables().iter().filter(|table| upkeep::is_long(&table.log)) {
            let written = upkeep::into_shards(&self.engine, table).await?;
            let mut work = Work::new(&self.overlay);
            work.add(written.changes, written.claims)?;
            work.commit().await?;
        }
        Ok(())
    }

    /// Undoes the session's changes.
    pub(crate) fn roll_back_work(&mut self) {
        self.work = None;
    }

    /// Commits what was changed outside of a transaction block.
    ///
    /// # Errors
    /// See [`Session::commit_work`].
    pub(crate) async fn commit_unless_in_block(&mut self) -> Result<(), PgError> {
        match self.transaction {
            Transaction::Idle => self.commit_work().await,
            _ => Ok(()),
        }
    }

    /// Undoes what was changed outside of a transaction block.
    pub(crate) fn roll_back_unless_in_block(&mut self) {
        if matches!(self.transaction, Transaction::Idle) {
            self.work = None;
        }
    }

    /// Takes in what others have committed, where the isolation level says that a statement sees it.
    pub(super) fn refresh(&mut self) -> Result<(), PgError> {
        let committed = self.settings.value("transaction_isolation");
        let committed = committed == "read committed" || committed == "read uncommitted";
        match &mut self.work {
            Some(work) if committed => Ok(work.refresh()?),
            _ => Ok(()),
        }
    }
}
