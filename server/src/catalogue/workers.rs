//! The workers of the cluster.

use rusqlite::{OptionalExtension, params};

use super::error::{CatalogueError, CatalogueResult};
use super::numbers::{self, Counter};
use super::{Catalogue, WorkerId};

impl Catalogue {
    /// Adds a worker, or gives the one of that name another address: its id.
    pub fn register_worker(&self, name: &str, address: &str) -> CatalogueResult<WorkerId> {
        self.commit_roles(|transaction, _| {
            let known: Option<u32> = transaction
                .query_row(
                    "UPDATE workers SET address = ?2 WHERE name = ?1 RETURNING id",
                    params![name, address],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(id) = known {
                return Ok(WorkerId(id));
            }
            let id = u32::try_from(numbers::reserve(transaction, Counter::Worker, 1)?)
                .map_err(|_| CatalogueError::Corrupt("out of worker ids".into()))?;
            transaction.execute(
                "INSERT INTO workers (id, name, address) VALUES (?1, ?2, ?3)",
                params![id, name, address],
            )?;
            Ok(WorkerId(id))
        })
    }

    /// Forgets a worker that holds no shard.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedWorker`], [`CatalogueError::WorkerInUse`].
    pub fn remove_worker(&self, name: &str) -> CatalogueResult<()> {
        self.commit_roles(|transaction, current| {
            let worker = current.workers.iter().find(|worker| worker.name == name);
            let worker = worker.ok_or_else(|| CatalogueError::UndefinedWorker(name.to_owned()))?;
            let shards: i64 = transaction.query_row(
                "SELECT count(*) FROM shard_replicas WHERE worker = ?1",
                [worker.id.0],
                |row| row.get(0),
            )?;
            if shards > 0 {
                let shards = shards.unsigned_abs();
                return Err(CatalogueError::WorkerInUse { worker: name.to_owned(), shards });
            }
            transaction.execute("DELETE FROM workers WHERE id = ?1", [worker.id.0])?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_id_when_it_moves_and_nobody_gets_it_after_it_left() {
        let catalogue = Catalogue::in_memory().unwrap();
        let first = catalogue.register_worker("a", "host1:2935").unwrap();
        assert_eq!(catalogue.register_worker("a", "host2:2935").unwrap(), first);
        assert_eq!(catalogue.snapshot().worker(first).unwrap().address, "host2:2935");
        catalogue.remove_worker("a").unwrap();
        assert_ne!(catalogue.register_worker("a", "host1:2935").unwrap(), first);
        assert!(matches!(catalogue.remove_worker("b"), Err(CatalogueError::UndefinedWorker(_))));
    }
}
