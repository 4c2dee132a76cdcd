//! Shards after they were written: compacted, copied, verified, described, and read where another copy is damaged.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringViewArray};
use datafusion::common::DataFusionError;
use futures::StreamExt;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::{ShardPlacement, ShardRef, ShardTable, WorkerId};
use quickdb_storage::{ColumnSummary, ShardId, ShardIdentity, TableId};

use crate::common::{TestCluster, changed_tables, local, rows, statements};

fn kind(error: &DataFusionError) -> (ErrorKind, Option<String>) {
    let error = ExecError::find(error).unwrap_or_else(|| panic!("no kind in {error}"));
    (error.kind, error.worker)
}

fn file(cluster: &TestCluster, worker: usize, shard: ShardId) -> PathBuf {
    cluster.workers[worker].store().directory().path().join(format!("{shard}.qdb"))
}

/// Changes one byte of a file in place.
fn damage(path: &PathBuf, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compacted_shards_have_the_rows_that_were_left() {
    let mut cluster = TestCluster::with_tables(2, changed_tables(7)).await;
    let local = local(&changed_tables(7));
    let mut owners = HashMap::new();
    for table in cluster.tables.clone() {
        let name = table.name.trim_start_matches("public.").to_owned();
        let mut compacted = vec![];
        for worker in 0..2 {
            let id = cluster.cluster.workers()[worker].id;
            let held = table.shards.iter().filter(|shard| shard.workers == [id]);
            let inputs: Vec<ShardRef> = held.clone().map(ShardPlacement::shard_ref).collect();
            let expected: u64 = held.map(ShardPlacement::live_rows).sum();
            let shard = ShardId(1000 + table.table.0 * 10 + worker as u64);
            let identity = ShardIdentity { shard, table: table.table, table_name: table.name.clone() };
            // The first worker is called from its own process, the other one over the network.
            let host = match worker {
                0 => ShardHost::Embedded(Arc::clone(cluster.workers[0].store())),
                _ => cluster.host(worker),
            };
            let sort_by = if worker == 0 { vec![] } else { vec![2, 0] };
            let report = host.compact(inputs, identity, Arc::clone(&table.schema), sort_by).await.unwrap();
            assert_eq!(report.rows, expected, "{name}");
            owners.insert(shard, vec![id]);
            compacted.push(ShardPlacement {
                shard,
                workers: vec![id],
                rows: report.rows,
                bytes: report.bytes,
                columns: report.columns.into_iter().map(Some).collect(),
                deletions: None,
            });
        }
        cluster.replace(&name, ShardTable { shards: Arc::new(compacted), ..table });
    }
    cluster.owners = Arc::new(owners);
    for (_, sql) in statements(include_str!("../changes.sql")) {
        let expected = local.sql(&sql).await.unwrap().collect().await.unwrap();
        let found = cluster.query(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(rows(&found), rows(&expected), "{sql}");
    }
    let missing = ShardRef { shard: ShardId(99), deletions: None };
    let table = &cluster.tables[0];
    let identity = ShardIdentity { shard: ShardId(2000), table: table.table, table_name: table.name.clone() };
    let error = cluster.host(1).compact(vec![missing], identity, Arc::clone(&table.schema), vec![]).await;
    assert_eq!(kind(&error.unwrap_err()), (ErrorKind::ShardMissing, Some("worker-2".to_owned())));
    assert!(!cluster.host(1).list().await.unwrap().shards.contains(&ShardId(2000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_sorted_where_it_is_written() {
    let cluster = TestCluster::start(1, 1).await;
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter((0..200_000).map(|row| match row % 10 {
        0 => None,
        _ => Some((row * 7919) % 1009),
    })));
    let words: ArrayRef =
        Arc::new((0..200_000).map(|row| Some(format!("{}", row % 13))).collect::<StringViewArray>());
    let batch =
        RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("w", words, false)]).unwrap();
    let pieces = (0..20).map(|piece| Ok(batch.slice(piece * 10_000, 10_000)));
    let pieces: Vec<datafusion::common::Result<RecordBatch>> = pieces.collect();
    let identity =
        ShardIdentity { shard: ShardId(50), table: TableId(9), table_name: "public.sorted".to_owned() };
    let stream = futures::stream::iter(pieces).boxed();
    let report = cluster.host(0).put_sorted(identity, batch.schema(), vec![0, 1], stream).await.unwrap();
    assert_eq!((report.rows, report.columns[0].null_count), (200_000, 20_000));
    let shard = cluster.workers[0].store().shard(ShardId(50)).unwrap();
    let summaries: Vec<&ColumnSummary> = shard.summaries().iter().collect();
    assert_eq!(summaries.len(), 2);
    for row_group in 1..shard.row_group_count() {
        let (before, after) = (shard.zone_map(row_group - 1, 0), shard.zone_map(row_group, 0));
        if let (Some(greatest), Some(least)) = (&before.max, &after.min) {
            assert!(greatest <= least, "row group {row_group}");
        }
        assert!(before.null_count == 0 || after.min.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_describes_itself() {
    let cluster = TestCluster::with_tables(2, changed_tables(4)).await;
    let table = &cluster.tables[0];
    let old = &table.shards[0];
    let embedded = ShardHost::Embedded(Arc::clone(cluster.workers[0].store()));
    let description = cluster.host(0).describe(old.shard).await.unwrap();
    assert_eq!(description, embedded.describe(old.shard).await.unwrap());
    assert_eq!((description.identity.shard, description.identity.table), (old.shard, table.table));
    assert_eq!((description.rows, description.bytes), (old.rows, old.bytes));
    assert_eq!(description.schema.field(0).name(), "old_name");
    assert_eq!(description.schema.field(0).metadata()["quickdb.column"], "5");
    let bytes: u64 = description.columns.iter().map(|column| column.bytes).sum();
    assert!(bytes > 0 && bytes < old.bytes);
    assert!(description.columns.iter().all(|column| !column.encodings.is_empty()));
    let error = cluster.host(0).describe(ShardId(999)).await.unwrap_err();
    assert_eq!(kind(&error), (ErrorKind::ShardMissing, Some("worker-1".to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damages_are_found_and_named() {
    let cluster = TestCluster::with_tables(2, changed_tables(4)).await;
    let deleted = cluster.tables[0].shards[0].shard_ref();
    assert!(deleted.deletions.is_some());
    let embedded = ShardHost::Embedded(Arc::clone(cluster.workers[0].store()));
    for host in [cluster.host(0), embedded.clone()] {
        assert_eq!(host.verify(deleted).await.unwrap(), []);
        let other = ShardRef { deletions: Some(77), ..deleted };
        let found = host.verify(other).await.unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("deletion vector 77"), "{found:?}");
        let found = host.verify(ShardRef { shard: ShardId(999), deletions: None }).await.unwrap();
        assert!(found[0].what.contains("does not exist"), "{found:?}");
    }
    // The first segment is that of some column.
    damage(&file(&cluster, 0, deleted.shard), 64);
    for host in [cluster.host(0), embedded] {
        let found = host.verify(deleted).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].column.is_some() && found[0].what.contains("checksum"), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_take_the_place_of_damaged_and_lost_ones() {
    let mut cluster = TestCluster::with_tables(3, changed_tables(7)).await;
    let local = local(&changed_tables(7));
    let mut owners: HashMap<ShardId, Vec<WorkerId>> = HashMap::new();
    for shard in cluster.tables.iter().flat_map(|table| table.shards.iter()) {
        let worker = cluster.cluster.index_of(shard.workers[0]).unwrap();
        let next = (worker + 1) % 3;
        let (source, target) = (cluster.host(worker), cluster.host(next));
        let report = target.copy_from(&source, shard.shard_ref()).await.unwrap();
        assert_eq!(report.bytes, shard.bytes);
        let [from, to] =
            [worker, next].map(|worker| std::fs::read(file(&cluster, worker, shard.shard)).unwrap());
        assert!(from == to);
        assert_eq!(target.verify(shard.shard_ref()).await.unwrap(), []);
        owners.insert(shard.shard, vec![shard.workers[0], cluster.cluster.workers()[next].id]);
    }
    cluster.owners = Arc::new(owners);
    let again = cluster.tables[0].shards[0].shard_ref();
    let (first, second, third) = (cluster.host(0), cluster.host(1), cluster.host(2));
    assert!(second.copy_from(&first, again).await.is_err());
    let missing = ShardRef { shard: ShardId(999), deletions: None };
    let error = second.copy_from(&first, missing).await.unwrap_err();
    assert_eq!(kind(&error).0, ErrorKind::ShardMissing);
    let embedded = ShardHost::Embedded(Arc::clone(cluster.workers[0].store()));
    assert_eq!(kind(&third.copy_from(&embedded, again).await.unwrap_err()).0, ErrorKind::Unsupported);

    let sqls = [
        "select count(id), sum(n), min(name) from star",
        "select band, count(*), avg(flux) from star group by band",
        "select key, count(*) from star group by key",
        "select id, added, later from star where band = 3",
        "select count(*), sum(visit.weight) from star join visit on star.id = visit.star_id",
        "select count(*), sum(weight) from fresh",
        "select 1 from star, label where star.id < 10",
    ];
    let ids: Vec<WorkerId> = cluster.cluster.workers().iter().map(|worker| worker.id).collect();
    let check = async |cluster: &TestCluster, avoided: &[WorkerId]| {
        for sql in sqls {
            let expected = local.sql(sql).await.unwrap().collect().await.unwrap();
            let found =
                cluster.query_avoiding(sql, avoided).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
            assert_eq!(rows(&found), rows(&expected), "{sql}");
        }
    };
    check(&cluster, &[]).await;
    for id in &ids {
        check(&cluster, &[*id]).await;
    }

    // Damage that no reader has seen yet: a shard is opened anew when its file is another one.
    let victim = cluster.tables[0].shards[1].shard;
    let store = Arc::clone(cluster.workers[1].store());
    let bytes = std::fs::read(file(&cluster, 1, victim)).unwrap();
    store.directory().remove(victim).unwrap();
    std::fs::write(file(&cluster, 1, victim), bytes).unwrap();
    damage(&file(&cluster, 1, victim), 64);
    let error = cluster.query("select * from star").await.unwrap_err();
    assert_eq!(kind(&error), (ErrorKind::Corrupt, Some("worker-2".to_owned())));
    assert!(error.to_string().contains(&victim.to_string()), "{error}");
    check(&cluster, &[ids[1]]).await;
    // A damaged shard is not copied.
    let damaged = ShardRef { shard: victim, deletions: None };
    let error = cluster.host(0).copy_from(&cluster.host(1), damaged).await.unwrap_err();
    assert_eq!(kind(&error).0, ErrorKind::Corrupt);
    assert!(!file(&cluster, 0, victim).exists());

    cluster.workers.remove(1).shutdown().await;
    check(&cluster, &[ids[1]]).await;
    let error = cluster.query_avoiding("select sum(flux) from star", &[ids[2], ids[1]]).await.unwrap_err();
    assert_eq!(kind(&error), (ErrorKind::WorkerLost, Some("worker-2".to_owned())));
}
