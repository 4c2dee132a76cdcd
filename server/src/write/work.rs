//! What a session has changed and not committed yet.

use std::sync::Arc;

use quickdb_storage::TableId;

use super::overlay::Overlay;
use crate::catalogue::{CatalogueError, CatalogueResult, CatalogueSnapshot, Change};
use crate::upkeep::Claim;

/// The uncommitted changes of one session, and the catalogue as it sees it through them.
pub(crate) struct Work {
    overlay: Arc<Overlay>,
    /// The committed catalogue under the changes.
    base: Arc<CatalogueSnapshot>,
    changes: Vec<Change>,
    /// Files that the changes name.
    claims: Vec<Claim>,
    view: Arc<CatalogueSnapshot>,
    /// Tells it from others.
    number: u64,
}

impl Work {
    /// Nothing changed yet, on the catalogue as it is now.
    pub(crate) fn new(overlay: &Arc<Overlay>) -> Self {
        let base = overlay.committed();
        Self {
            number: overlay.engine().catalogue.next_version(),
            overlay: Arc::clone(overlay),
            view: Arc::clone(&base),
            base,
            changes: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// The catalogue as the session sees it.
    pub(crate) fn view(&self) -> &Arc<CatalogueSnapshot> {
        &self.view
    }

    /// What tells it from others.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many additions of unique keys to a table were committed when the session looked at it last.
    pub(crate) fn additions(&self, table: TableId) -> u64 {
        self.base.table_by_id(table).map_or(0, |table| table.keys.additions())
    }

    /// How many changes there are, for [`Work::go_back_to`].
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Takes what others have committed since into the view.
    ///
    /// # Errors
    /// [`CatalogueError::Conflict`] when a change of this session cannot be made any more.
    pub(crate) fn refresh(&mut self) -> CatalogueResult<()> {
        let current = self.overlay.committed();
        if current.version == self.base.version {
            return Ok(());
        }
        self.rebase(current)
    }

    fn rebase(&mut self, base: Arc<CatalogueSnapshot>) -> CatalogueResult<()> {
        let view = self.seen_from(&base)?;
        self.base = base;
        self.view = view;
        Ok(())
    }

    /// Gives the session a schema of its own, where it has none; nothing else of the view changes.
    ///
    /// # Errors
    /// Those of the catalogue's numbers.
    pub(crate) fn begin_temporary(&mut self, number: i32, owner: u32) -> CatalogueResult<()> {
        if self.view.temporary_schema().is_some() {
            return Ok(());
        }
        let base = self.overlay.begin(number, owner, &self.base)?;
        self.rebase(base)
    }

    /// Adds changes that were made for the present view; `claims` are of the files that they name.
    ///
    /// # Errors
    /// What makes a change impossible; nothing is added then.
    pub(crate) fn add(&mut self, changes: Vec<Change>, claims: Vec<Claim>) -> CatalogueResult<()> {
        if changes.is_empty() {
            return Ok(());
        }
        self.view = Arc::new(self.view.with(&changes, self.overlay.engine().catalogue.next_version())?);
        self.changes.extend(changes);
        self.claims.extend(claims);
        Ok(())
    }

    /// Undoes all but the first `len` changes.
    pub(crate) fn go_back_to(&mut self, len: usize) {
        if len >= self.changes.len() {
            return;
        }
        self.changes.truncate(len);
        // The first changes were possible with the others after them, so they are without.
        if let Ok(view) = self.seen_from(&Arc::clone(&self.base)) {
            self.view = view;
        }
    }

    /// Makes the changes durable and visible to everybody; those of temporary relations, to the session.
    ///
    /// # Errors
    /// Those of [`crate::catalogue::Catalogue::commit`]; nothing has changed then.
    pub(crate) async fn commit(mut self) -> CatalogueResult<()> {
        let changes = std::mem::take(&mut self.changes);
        if changes.is_empty() {
            return Ok(());
        }
        let claims = std::mem::take(&mut self.claims);
        let (overlay, view) = (Arc::clone(&self.overlay), Arc::clone(&self.view));
        let is_own = overlay.own(&changes);
        let (mut own, mut shared) = (Vec::new(), Vec::new());
        for (change, is_own) in changes.into_iter().zip(is_own) {
            if is_own { own.push(change) } else { shared.push(change) }
        }
        let finish = move || {
            let result = overlay.engine().commit(shared);
            if result.is_ok() {
                overlay.take(&view, &own);
            }
            // What the commit names is safe now; what it did not take is collected.
            drop(claims);
            result
        };
        // The task goes on when a client leaves in between: a commit is never half-way.
        match tokio::task::spawn_blocking(finish).await {
            Ok(result) => result,
            Err(error) => Err(CatalogueError::Corrupt(format!("the commit stopped: {error}"))),
        }
    }

    fn seen_from(&self, base: &Arc<CatalogueSnapshot>) -> CatalogueResult<Arc<CatalogueSnapshot>> {
        if self.changes.is_empty() {
            return Ok(Arc::clone(base));
        }
        base.with(&self.changes, self.overlay.engine().catalogue.next_version()).map(Arc::new)
    }
}
