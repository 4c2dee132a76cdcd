//! Runs of the catalogue: each time that a master opens it is one, with a random number. The copies of the catalogue on
//! the workers carry the number, so that a catalogue that is not theirs is told from the right one: one that was made
//! anew, one of another cluster, one that was put back from an older backup.

use std::sync::OnceLock;

use quickdb_storage::{CatalogueCopy, CatalogueRun};
use ring::rand::{SecureRandom as _, SystemRandom};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::Catalogue;
use super::error::{CatalogueError, CatalogueResult};
use super::load::stored;

/// Made where it is missing: catalogues from before there were runs had none.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS runs (
    ordinal      INTEGER PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    last_commit  INTEGER NOT NULL
) STRICT";

/// What a copy of a catalogue is to this catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A copy of it as it was at some time.
    Own,
    /// A copy of it, but of a commit that it does not have: this is an older state of the catalogue.
    Newer,
    /// A copy of another one, or of runs that this one knows nothing of because it is an older state.
    Foreign,
}

/// The run that is under way.
#[derive(Debug, Default)]
pub(super) struct Run {
    id: OnceLock<CatalogueRun>,
}

impl Run {
    /// Counts a commit of more than small writes; only a catalogue that a master runs does.
    pub(super) fn count_commit(&self, transaction: &Transaction<'_>) -> CatalogueResult<()> {
        if let Some(run) = self.id.get() {
            let mut count =
                transaction.prepare("UPDATE runs SET last_commit = last_commit + 1 WHERE id = ?1")?;
            count.execute([run.0.as_slice()])?;
        }
        Ok(())
    }
}

impl Catalogue {
    /// Begins the run of a master; commits are counted from here on.
    ///
    /// # Errors
    /// [`CatalogueError::Sqlite`]; [`CatalogueError::Corrupt`] where the system gives no random bytes, or at the second
    /// call.
    pub fn begin_run(&self) -> CatalogueResult<()> {
        let mut id = [0; 16];
        SystemRandom::new()
            .fill(&mut id)
            .map_err(|_| CatalogueError::Corrupt("the system gives no random bytes".into()))?;
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(TABLE, [])?;
        transaction.execute(
            "INSERT INTO runs (id, last_commit) SELECT ?1, 1 + coalesce(max(last_commit), 0) FROM runs",
            [id.as_slice()],
        )?;
        transaction.commit()?;
        let begun = self.run.id.set(CatalogueRun(id));
        begun.map_err(|_| CatalogueError::Corrupt("a second run was to begin".into()))
    }

    /// What a copy is to this catalogue.
    ///
    /// # Errors
    /// [`CatalogueError::Sqlite`].
    pub fn standing_of(&self, copy: &CatalogueCopy) -> CatalogueResult<Standing> {
        let connection = self.lock();
        if !exists(&connection)? {
            return Ok(Standing::Foreign);
        }
        let last: Option<i64> = connection
            .query_row("SELECT last_commit FROM runs WHERE id = ?1", [copy.run.0.as_slice()], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(match last {
            None => Standing::Foreign,
            Some(last) if stored(copy.commit)? > last => Standing::Newer,
            Some(_) => Standing::Own,
        })
    }
}

/// The present run and its last commit; `None` before the first.
pub(super) fn present(connection: &Connection) -> CatalogueResult<Option<(CatalogueRun, u64)>> {
    if !exists(connection)? {
        return Ok(None);
    }
    let newest = connection
        .query_row("SELECT id, last_commit FROM runs ORDER BY ordinal DESC LIMIT 1", params![], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((id, last)) = newest else { return Ok(None) };
    let corrupt = || CatalogueError::Corrupt("a run of the catalogue".into());
    let id = id.try_into().map_err(|_| corrupt())?;
    Ok(Some((CatalogueRun(id), u64::try_from(last).map_err(|_| corrupt())?)))
}

fn exists(connection: &Connection) -> CatalogueResult<bool> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'runs'";
    Ok(connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_knows_its_copies_and_not_those_of_its_future() {
        let folder = tempfile::tempdir().unwrap();
        let (path, older) = (folder.path().join("catalogue.sqlite"), folder.path().join("older.sqlite"));
        let catalogue = Catalogue::open(&path).unwrap();
        catalogue.begin_run().unwrap();
        catalogue.create_schema("a", "quickdb").unwrap();
        let first = catalogue.copy().unwrap().0;
        drop(catalogue);
        std::fs::copy(&path, &older).unwrap();

        let catalogue = Catalogue::open(&path).unwrap();
        assert_eq!(catalogue.standing_of(&first).unwrap(), Standing::Own);
        let ahead = CatalogueCopy { commit: first.commit + 1, ..first.clone() };
        assert_eq!(catalogue.standing_of(&ahead).unwrap(), Standing::Newer);
        catalogue.begin_run().unwrap();
        catalogue.create_schema("b", "quickdb").unwrap();
        let second = catalogue.copy().unwrap().0;
        assert!(second.commit > first.commit && second.run != first.run);
        assert_eq!(catalogue.standing_of(&second).unwrap(), Standing::Own);

        let restored = Catalogue::open(&older).unwrap();
        restored.begin_run().unwrap();
        assert_eq!(restored.standing_of(&first).unwrap(), Standing::Own);
        assert_eq!(restored.standing_of(&second).unwrap(), Standing::Foreign);
        assert_eq!(Catalogue::in_memory().unwrap().standing_of(&first).unwrap(), Standing::Foreign);
    }
}
