//! Committing, replacing and moving shards.

use std::collections::HashSet;

use quickdb_storage::{ShardId, ShardReport, TableId};
use rusqlite::{Connection, params};

use super::error::{CatalogueError, CatalogueResult};
use super::file;
use super::load::{Touched, stored};
use super::snapshot::Table;
use super::tables::{check_allocated, existing, insert_table};
use super::{Catalogue, NewTable, WorkerId, no_tables, summary_codec};

/// Where a load goes.
#[derive(Debug, Clone)]
pub enum LoadTarget {
    /// A table that is created in the same commit.
    New(Box<NewTable>),
    /// A table that exists and keeps its rows.
    Append(TableId),
    /// A table that exists and whose rows are replaced.
    Replace(TableId),
}

impl Catalogue {
    /// Reserves `count` shard ids, which follow one another.
    pub fn allocate_shard_ids(&self, count: u32) -> CatalogueResult<Vec<ShardId>> {
        self.commit(|transaction, _| {
            let first = file::take(transaction, "shard", u64::from(count))?;
            Ok(no_tables((first..first + u64::from(count)).map(ShardId).collect()))
        })
    }

    /// Makes written shards part of a table, all in one commit; for a new table the commit creates it too. Each shard
    /// comes with the workers that hold it. The answer is the shards that are no longer part of the table.
    ///
    /// # Errors
    /// Those of creating the table; [`CatalogueError::ForeignShard`], [`CatalogueError::DuplicateShard`],
    /// [`CatalogueError::InvalidShard`], [`CatalogueError::UndefinedWorker`] for shards that cannot be it. Nothing has
    /// changed then.
    pub fn commit_load(
        &self,
        target: &LoadTarget,
        shards: &[(ShardReport, Vec<WorkerId>)],
    ) -> CatalogueResult<Vec<(ShardId, Vec<WorkerId>)>> {
        self.commit(|transaction, current| {
            let (id, name, column_count, removed) = match target {
                LoadTarget::New(table) => {
                    insert_table(transaction, current, table)?;
                    (table.id, format!("{}.{}", table.schema, table.name), table.columns.len(), Vec::new())
                }
                LoadTarget::Append(id) => {
                    let table = existing(current, *id)?;
                    (*id, table.full_name(), table.columns.len(), Vec::new())
                }
                LoadTarget::Replace(id) => {
                    let table = existing(current, *id)?;
                    transaction.execute("DELETE FROM shards WHERE table_id = ?1", [stored(id.0)?])?;
                    (*id, table.full_name(), table.columns.len(), placements(table, |_| true))
                }
            };
            for (report, workers) in shards {
                if report.identity.table != id {
                    return Err(CatalogueError::ForeignShard {
                        shard: report.identity.shard,
                        found: report.identity.table_name.clone(),
                        expected: name,
                    });
                }
                insert_shard(transaction, report, workers, column_count)?;
            }
            Ok((removed, Touched::Tables(vec![id])))
        })
    }

    /// Puts `added` in the place of `removed` in one commit, as a compaction or a deletion does. The answer is where
    /// the removed shards were.
    ///
    /// # Errors
    /// As [`Catalogue::commit_load`]; [`CatalogueError::UndefinedShard`] when a removed one is not part of the table
    /// (any more).
    pub fn replace_shards(
        &self,
        table: TableId,
        removed: &[ShardId],
        added: &[(ShardReport, Vec<WorkerId>)],
    ) -> CatalogueResult<Vec<(ShardId, Vec<WorkerId>)>> {
        self.commit(|transaction, current| {
            let existing = existing(current, table)?;
            for shard in removed {
                let gone = transaction.execute(
                    "DELETE FROM shards WHERE id = ?1 AND table_id = ?2",
                    params![stored(shard.0)?, stored(table.0)?],
                )?;
                if gone == 0 {
                    return Err(CatalogueError::UndefinedShard(*shard));
                }
            }
            for (report, workers) in added {
                insert_shard(transaction, report, workers, existing.columns.len())?;
            }
            let gone = removed.iter().copied().collect::<HashSet<_>>();
            let gone = placements(existing, |shard| gone.contains(&shard));
            Ok((gone, Touched::Tables(vec![table])))
        })
    }

    /// Sets the workers that hold a shard, the preferred one first.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedShard`], [`CatalogueError::InvalidShard`], [`CatalogueError::UndefinedWorker`].
    pub fn place_shard(&self, shard: ShardId, workers: &[WorkerId]) -> CatalogueResult<()> {
        self.commit(|transaction, current| {
            let holds = |table: &&std::sync::Arc<Table>| table.shards.iter().any(|found| found.id == shard);
            let table = current.tables().iter().find(holds);
            let table = table.ok_or(CatalogueError::UndefinedShard(shard))?.id;
            transaction.execute("DELETE FROM shard_replicas WHERE shard = ?1", [stored(shard.0)?])?;
            insert_replicas(transaction, shard, workers)?;
            Ok(((), Touched::Tables(vec![table])))
        })
    }
}

fn placements(table: &Table, wanted: impl Fn(ShardId) -> bool) -> Vec<(ShardId, Vec<WorkerId>)> {
    let shards = table.shards.iter().filter(|shard| wanted(shard.id));
    shards.map(|shard| (shard.id, shard.workers.clone())).collect()
}

fn insert_shard(
    connection: &Connection,
    report: &ShardReport,
    workers: &[WorkerId],
    column_count: usize,
) -> CatalogueResult<()> {
    let shard = report.identity.shard;
    check_allocated(connection, "shard", shard.0)?;
    if report.columns.len() != column_count {
        let what = format!("{} column summaries for {column_count} columns", report.columns.len());
        return Err(CatalogueError::InvalidShard { shard, what });
    }
    let inserted = connection
        .prepare(
            "INSERT INTO shards (id, table_id, rows, bytes, checksum, summaries) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            stored(shard.0)?,
            stored(report.identity.table.0)?,
            stored(report.rows)?,
            stored(report.bytes)?,
            report.checksum,
            summary_codec::encode(&report.columns),
        ])?;
    if inserted == 0 {
        return Err(CatalogueError::DuplicateShard(shard));
    }
    insert_replicas(connection, shard, workers)
}

fn insert_replicas(connection: &Connection, shard: ShardId, workers: &[WorkerId]) -> CatalogueResult<()> {
    if workers.is_empty() {
        return Err(CatalogueError::InvalidShard { shard, what: "no worker holds it".into() });
    }
    let mut insert = connection.prepare(
        "INSERT INTO shard_replicas (shard, ordinal, worker)
         SELECT ?1, ?2, id FROM workers WHERE id = ?3 ON CONFLICT DO NOTHING",
    )?;
    for (worker, ordinal) in workers.iter().zip(0_i64..) {
        if insert.execute(params![stored(shard.0)?, ordinal, worker.0])? == 0 {
            return Err(CatalogueError::UndefinedWorker(worker.0.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
    use quickdb_storage::{Bound, ColumnSummary, ShardIdentity};

    use super::*;

    fn report(shard: ShardId, table: TableId, rows: u64) -> ShardReport {
        let summary = ColumnSummary {
            null_count: 1,
            nan_count: 0,
            min: Some(Bound::Int(-5)),
            max: Some(Bound::Int(9)),
            distinct: None,
        };
        ShardReport {
            identity: ShardIdentity { shard, table, table_name: "public.t".into() },
            rows,
            bytes: rows * 8,
            checksum: u32::MAX,
            columns: vec![summary],
        }
    }

    fn new_table(catalogue: &Catalogue) -> NewTable {
        let schema = ArrowSchema::new(vec![Field::new("a", DataType::Int32, true)]);
        NewTable::of_arrow(catalogue.allocate_table_id().unwrap(), "public", "t", &schema).unwrap()
    }

    fn loaded(path: &Path) -> (Catalogue, TableId, Vec<ShardId>, Vec<WorkerId>) {
        let catalogue = Catalogue::open(path).unwrap();
        let workers = ["w0", "w1"].map(|name| catalogue.register_worker(name, "localhost:2935").unwrap());
        let table = new_table(&catalogue);
        let id = table.id;
        let shards = catalogue.allocate_shard_ids(2).unwrap();
        let reports = [
            (report(shards[0], id, 10), vec![workers[1], workers[0]]),
            (report(shards[1], id, 5), vec![workers[1]]),
        ];
        catalogue.commit_load(&LoadTarget::New(Box::new(table)), &reports).unwrap();
        (catalogue, id, shards, workers.to_vec())
    }

    #[test]
    fn a_load_makes_its_table_and_all_shards_visible_at_once_and_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue");
        let (catalogue, id, shards, workers) = loaded(&path);
        drop(catalogue);
        let snapshot = Catalogue::open(&path).unwrap().snapshot();
        let table = snapshot.table_by_id(id).unwrap();
        assert_eq!((table.row_count(), table.bytes()), (15, 120));
        assert_eq!(table.shards[0].id, shards[0]);
        assert_eq!(table.shards[0].workers, [workers[1], workers[0]]);
        assert_eq!(table.shards[0].checksum, u32::MAX);
        assert_eq!(table.shards[1].columns[0].max, Some(Bound::Int(9)));
    }

    #[test]
    fn a_load_that_fails_half_way_leaves_nothing() {
        let catalogue = Catalogue::in_memory().unwrap();
        let worker = catalogue.register_worker("w0", "localhost:2935").unwrap();
        let table = new_table(&catalogue);
        let id = table.id;
        let shards = catalogue.allocate_shard_ids(2).unwrap();
        let target = LoadTarget::New(Box::new(table));
        let load = |second: ShardReport, workers: Vec<WorkerId>| {
            let error = catalogue
                .commit_load(&target, &[(report(shards[0], id, 1), vec![worker]), (second, workers)])
                .unwrap_err();
            assert!(catalogue.snapshot().tables().is_empty());
            error
        };
        let second = report(shards[1], id, 1);
        assert!(matches!(load(second.clone(), vec![]), CatalogueError::InvalidShard { .. }));
        assert!(matches!(load(second.clone(), vec![WorkerId(7)]), CatalogueError::UndefinedWorker(_)));
        assert!(matches!(load(report(shards[0], id, 1), vec![worker]), CatalogueError::DuplicateShard(_)));
        let other = report(shards[1], TableId(77), 1);
        assert!(matches!(load(other, vec![worker]), CatalogueError::ForeignShard { .. }));
        let bare = ShardReport { columns: Vec::new(), ..second };
        assert!(matches!(load(bare, vec![worker]), CatalogueError::InvalidShard { .. }));
        assert!(matches!(load(report(ShardId(999), id, 1), vec![worker]), CatalogueError::Corrupt(_)));
    }

    #[test]
    fn shards_are_replaced_moved_and_dropped_with_their_table() {
        let folder = tempfile::tempdir().unwrap();
        let (catalogue, id, shards, workers) = loaded(&folder.path().join("catalogue"));
        let merged = catalogue.allocate_shard_ids(1).unwrap()[0];
        assert!(merged > shards[1]);
        let gone =
            catalogue.replace_shards(id, &shards[..1], &[(report(merged, id, 9), vec![workers[0]])]).unwrap();
        assert_eq!(gone, [(shards[0], vec![workers[1], workers[0]])]);
        assert!(matches!(
            catalogue.replace_shards(id, &shards[..1], &[]),
            Err(CatalogueError::UndefinedShard(_))
        ));
        catalogue.place_shard(merged, &[workers[1]]).unwrap();
        let snapshot = catalogue.snapshot();
        assert_eq!(snapshot.table_by_id(id).unwrap().row_count(), 14);
        assert!(matches!(catalogue.remove_worker("w1"), Err(CatalogueError::WorkerInUse { shards: 2, .. })));

        let last = catalogue.allocate_shard_ids(1).unwrap()[0];
        let gone = catalogue
            .commit_load(&LoadTarget::Replace(id), &[(report(last, id, 3), vec![workers[0]])])
            .unwrap();
        assert_eq!(gone.len(), 2);
        assert_eq!(catalogue.drop_table(id).unwrap(), [(last, vec![workers[0]])]);
        catalogue.remove_worker("w1").unwrap();
        assert_eq!(catalogue.snapshot().workers.len(), 1);
    }
}
