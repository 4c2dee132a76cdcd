//! Distributed plans against plain DataFusion: the same rows for every shape of query, whatever the number
//! of workers, with each shard read once and by the worker that holds it.

mod common;
#[path = "upkeep/mod.rs"]
mod upkeep;

use common::{TestCluster, TestTable, changed_tables, loaded_tables, local, rows, statements};
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::pinning;

/// Runs every shape on clusters of one size; reports all that differ.
async fn compare(workers: usize, shards_per_worker: usize) {
    let tables = || loaded_tables(workers * shards_per_worker);
    compare_over(workers, tables(), tables(), statements(include_str!("shapes.sql"))).await;
}

/// The same over tables that have changed.
async fn compare_changed(workers: usize, shards: usize) {
    let shapes = statements(include_str!("shapes.sql"));
    let shapes = shapes.into_iter().chain(statements(include_str!("changes.sql"))).collect();
    compare_over(workers, changed_tables(shards), changed_tables(shards), shapes).await;
}

async fn compare_over(
    workers: usize,
    tables: Vec<TestTable>,
    same: Vec<TestTable>,
    shapes: Vec<(usize, String)>,
) {
    let cluster = TestCluster::with_tables(workers, tables).await;
    let local = local(&same);
    let mut wrong = Vec::new();
    for (line, sql) in shapes {
        let expected = match local.sql(&sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        let expected = expected.unwrap_or_else(|error| panic!("shapes.sql:{line}: {sql}\nplain: {error}"));
        match cluster.query(&sql).await {
            Err(error) => wrong.push(format!("shapes.sql:{line}: {sql}\n  {error}")),
            Ok(actual) => {
                // A LIMIT without an order may pick any rows, but as many.
                let (expected, actual) = (rows(&expected), rows(&actual));
                if expected != actual {
                    let difference = expected.iter().zip(&actual).find(|(a, b)| a != b);
                    wrong.push(format!(
                        "shapes.sql:{line}: {sql}\n  {} rows expected, {} came; first difference {difference:?}",
                        expected.len(),
                        actual.len()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} shapes differ on {workers} workers:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_is_right_on_one_worker() {
    compare(1, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_is_right_on_two_workers() {
    compare(2, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_is_right_on_three_workers() {
    compare(3, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_is_right_on_five_workers() {
    compare(5, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_over_changed_tables_is_right_on_one_worker() {
    compare_changed(1, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_over_changed_tables_is_right_on_two_workers() {
    compare_changed(2, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_over_changed_tables_is_right_on_three_workers() {
    compare_changed(3, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_over_changed_tables_is_right_on_five_workers() {
    compare_changed(5, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_found_by_their_numbers_on_every_worker() {
    let cluster = TestCluster::with_tables(3, changed_tables(7)).await;
    let text = |sql: &'static str| async { rows(&cluster.query(sql).await.unwrap()) };
    let all = text("select id, quickdb_shard, quickdb_row from star_ids").await;
    let different: std::collections::BTreeSet<&str> =
        all.iter().filter_map(|row| Some(row.split_once('|')?.1)).collect();
    assert_eq!((all.len(), different.len()), (6000, 6000));
    let shards = text("select quickdb_shard, count(*) from star_ids group by 1").await;
    assert_eq!(shards.len(), 8);
    assert!(shards.contains(&"0|300".to_owned()), "{shards:?}");
    for row in all.iter().step_by(997) {
        let numbers: Vec<&str> = row.split('|').collect();
        let sql = format!(
            "select id from star_ids where quickdb_shard = {} and quickdb_row = {}",
            numbers[1], numbers[2]
        );
        assert_eq!(rows(&cluster.query(&sql).await.unwrap()), [numbers[0]], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_vectors_are_written_listed_read_and_removed() {
    use quickdb_executor::shards::ShardHost;
    use quickdb_executor::table::RoaringBitmap;
    use quickdb_storage::{DeletionsId, ShardId};

    let cluster = TestCluster::start(2, 1).await;
    let embedded = ShardHost::Embedded(cluster.workers[0].store().clone());
    for host in [ShardHost::remote(&cluster.cluster, 0).unwrap(), embedded] {
        let shard = ShardId(1);
        let rows: RoaringBitmap = (0..3000).filter(|row| row % 3 > 0).collect();
        let before = host.list().await.unwrap();
        assert_eq!((before.shards.len(), before.deletions.len()), (2, 0));
        host.put_deletions(shard, 4, &rows).await.unwrap();
        let held = host.list().await.unwrap();
        assert_eq!(held.shards, before.shards);
        assert_eq!(held.deletions, [DeletionsId { shard, version: 4 }]);
        assert_eq!(host.get_deletions(shard, 4).await.unwrap(), rows);
        let error = host.get_deletions(shard, 5).await.unwrap_err();
        let error = ExecError::find(&error).unwrap();
        assert_eq!((error.kind, error.worker.as_deref()), (ErrorKind::ShardMissing, Some("worker-1")));
        let error = host.put_deletions(ShardId(99), 1, &rows).await.unwrap_err();
        assert_eq!(ExecError::find(&error).unwrap().kind, ErrorKind::ShardMissing);
        assert!(host.put_deletions(shard, 4, &rows).await.is_err());
        host.remove_deletions(shard, 4).await.unwrap();
        assert_eq!(host.list().await.unwrap(), before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_of_many_megabytes_reaches_its_worker() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
    use std::sync::Arc;

    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..64_000));
    let texts = (0..64_000).map(|row| Some(format!("{row:0900}")));
    let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
    let rows_now = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    let table = TestTable {
        name: "long",
        schema: rows_now.schema(),
        shards: vec![],
        tail: Some(rows_now.clone()),
        rows: rows_now,
    };
    let cluster = TestCluster::with_tables(2, vec![table]).await;
    let batches = cluster.query("select count(text), max(length(text)), sum(id) from long").await.unwrap();
    assert_eq!(rows(&batches), ["64000|900|2047968000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_shard_is_read_once_and_by_its_own_worker() {
    let cluster = TestCluster::start(3, 2).await;
    for sql in [
        "select band, count(*), sum(flux) from star group by band",
        "select key, sum(flux) from star group by key",
        "select id, flux from star where flux > 20",
    ] {
        let before: Vec<_> = cluster.workers.iter().map(|worker| worker.store().reads()).collect();
        cluster.query(sql).await.unwrap();
        let mut read = Vec::new();
        for ((worker, before), endpoint) in cluster.workers.iter().zip(before).zip(cluster.cluster.workers())
        {
            for (shard, reads) in worker.store().reads() {
                let rows = reads.rows - before.get(&shard).map_or(0, |before| before.rows);
                if rows == 0 {
                    continue;
                }
                let held = worker.store().shard(shard).unwrap().row_count();
                assert_eq!(rows, held, "{sql}: shard {shard} on {}", endpoint.name);
                assert_eq!(
                    cluster.owners[&shard],
                    [endpoint.id],
                    "{sql}: shard {shard} on {}",
                    endpoint.name
                );
                read.push(shard);
            }
        }
        read.sort();
        // The shards of the first table come first.
        let expected: Vec<_> = (1..=6).map(quickdb_storage::ShardId).collect();
        assert_eq!(read, expected, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_by_is_one_fused_task_per_worker_and_one_final_aggregate() {
    let cluster = TestCluster::start(3, 1).await;
    let (_, plan) =
        cluster.plan("select band, count(*), avg(flux) from star group by band", false).await.unwrap();
    insta::assert_snapshot!(pinning::explain(&plan));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_common_shapes() {
    let cluster = TestCluster::start(2, 1).await;
    let mut text = String::new();
    for sql in [
        "select sum(n) from star where flux > 10",
        "select key, count(*) from star group by key",
        "select id, flux from star order by flux desc limit 5",
        "select label.text, count(*) from star join label using (band) group by 1",
        "select count(*) from star join visit on star.id = visit.star_id",
        "select id from star where id < 5 union all select count(*) from visit",
    ] {
        let (_, plan) = cluster.plan(sql, false).await.unwrap();
        text.push_str(&format!("{sql}\n{}\n", pinning::explain(&plan)));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_gone_is_named_within_seconds() {
    let mut cluster = TestCluster::start(3, 1).await;
    cluster.query("select sum(flux) from star").await.unwrap();
    cluster.workers.remove(1).shutdown().await;
    let started = std::time::Instant::now();
    let error = cluster.query("select band, sum(flux) from star group by band").await.unwrap_err();
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
    let error = ExecError::find(&error).unwrap_or_else(|| panic!("no kind in {error}"));
    assert_eq!(error.kind, ErrorKind::WorkerLost);
    assert_eq!(error.worker.as_deref(), Some("worker-2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_inside_a_worker_keeps_its_kind() {
    let cluster = TestCluster::start(2, 1).await;
    let owner = cluster.workers.first().unwrap();
    let shard = owner.store().directory().list().unwrap()[0];
    owner.store().directory().remove(shard).unwrap();
    let error = cluster.query("select sum(flux) from star").await.unwrap_err();
    let error = ExecError::find(&error).unwrap_or_else(|| panic!("no kind in {error}"));
    assert_eq!(error.kind, ErrorKind::ShardMissing);
    assert_eq!(error.worker.as_deref(), Some("worker-1"));
}

#[tokio::test]
async fn a_client_without_the_clusters_certificate_is_refused() {
    use datafusion_distributed::{ChannelResolver, GetWorkerInfoRequest};
    use quickdb_executor::cluster::{Cluster, WorkerEndpoint};

    let cluster = TestCluster::start(1, 1).await;
    let address = cluster.workers[0].local_addr();
    let url = url::Url::parse(&format!("http://{address}")).unwrap();
    let info = |cluster: &Cluster| {
        let channels = cluster.channels().clone();
        let url = url.clone();
        async move {
            channels.get_worker_client_for_url(&url).await?.get_worker_info(GetWorkerInfoRequest {}).await
        }
    };
    assert!(info(&cluster.cluster).await.is_ok());
    let stranger = common::certificates();
    let endpoint = WorkerEndpoint { address: address.to_string(), ..cluster.cluster.workers()[0].clone() };
    // The stranger trusts whatever the worker shows, so only the worker can be the one to refuse.
    let mut tls = stranger.clone();
    tls.ca_pem = cluster.tls.ca_pem.clone();
    let refused = info(&Cluster::new(vec![endpoint], &tls).unwrap()).await;
    assert!(refused.is_err());
}
