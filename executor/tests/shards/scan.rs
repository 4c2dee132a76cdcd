//! Scans: projection, filters, limits, pruning, statistics, cancellation.

use std::time::{Duration, Instant};

use datafusion::physical_plan::{collect, displayable};
use futures::StreamExt;
use quickdb_executor::error::ErrorKind;
use quickdb_storage::ShardId;

use crate::data;
use crate::harness::Harness;

fn harness() -> Harness {
    Harness::new(
        data::schema(),
        vec![data::rows(0, 150_000), data::rows(150_000, 70_000), data::rows(220_000, 1)],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_equal_the_rows_in_memory() {
    let harness = harness();
    for sql in [
        "select * from t",
        "select name, id from t where id between 1000 and 1010",
        "select id from t where small < -45 and nflag",
        "select id from t where not nflag and nword is null",
        "select id from t where nword = 'abc' and real > 200.0",
        "select id from t where nword like '%b%' or nlarge is null",
        "select id from t where nword <> 'ab' and ndouble >= 100.5 and ndouble <= 200",
        "select id from t where name like '%00012%'",
        "select id from t where real > 249.9 or small > 49.5",
        "select id from t where real >= 249.9 and medium < 10.25 and nlarge <> 5e15",
        "select id from t where 49.5 < small and -10.5 <= real",
        "select id from t where price > 9990.00",
        "select id from t where price between -10.00 and 10.00",
        "select id from t where day = date '2019-05-01'",
        "select id from t where nmoment < timestamp '2020-09-13T13:00:00'",
        "select id from t where instant >= timestamp '2042-01-01T00:00:00Z'",
        "select id from t where hour < arrow_cast('00:00:20', 'Time64(Microsecond)')",
        "select id from t where wild > 60",
        "select id from t where wild = 0",
        "select id from t where wild < -60 or wild is null",
        "select id, small * 2 from t where small % 7 = 0 and medium / (small + 51) > 100 and small <> 0",
        "select id from t where nflag is not null and nlarge is not null and small = 3",
        "select id from t where coalesce(nword, 'none') = 'none'",
        "select id from t where small > 1000",
        "select count(*) from t where 50 > small and medium in (1, 2, 3)",
        "select max(id) from (select id from t order by real, id limit 1000)",
        "select a.id from t a join t b on a.id = b.clock where b.nword = 'zebra' and b.small = 4",
        "select id from t where id in (select clock from t where small = 5 and nflag)",
        "select id, sum(small) over (partition by nword order by id) from t where id < 2000",
        "select id from t order by ndouble desc nulls last, id limit 20",
        "select id from t order by clock desc, id limit 20",
        "select 1 from t where id = 5 union all select id from t where id = 6",
    ] {
        harness.same(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_greater_than_every_number() {
    let harness = harness();
    let (rows, _) = harness.rows("select count(*) from t where wild > 1e300 and wild = 'NaN'").await;
    let (nan, _) = harness.rows("select count(*) from t where isnan(wild)").await;
    assert_eq!(rows, nan);
    assert_ne!(nan, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_evaluated_by_the_scan_and_prune_row_groups() {
    let harness = harness();
    let sql = "select id from t where clock = 17000";
    let plan = harness.plan(sql).await;
    let display = displayable(plan.as_ref()).indent(false).to_string();
    assert!(!display.contains("FilterExec"), "{display}");
    assert!(
        display.contains("ShardScanExec: public.t shards=[1, 2, 3] projection=[id] filter="),
        "{display}"
    );
    let batches = collect(plan, harness.sharded.task_ctx()).await.unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
    let reads = harness.store.reads();
    assert_eq!(reads.keys().copied().collect::<Vec<_>>(), [ShardId(2)]);
    assert_eq!(reads[&ShardId(2)].row_groups, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_group_is_read_once() {
    let harness = harness();
    harness.same("select id, name from t").await;
    let row_groups: u64 = harness.store.reads().values().map(|reads| reads.row_groups).sum();
    let rows: u64 = harness.store.reads().values().map(|reads| reads.rows).sum();
    assert_eq!((row_groups, rows), (3 + 2 + 1, 220_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_answer_what_they_know() {
    let harness = harness();
    for sql in
        ["select count(*) from t", "select min(id), max(id), min(day), max(price), count(nlarge) from t"]
    {
        let plan = harness.same(sql).await;
        assert!(!plan.contains("Shard"), "{plan}");
    }
    // Bounds leave NaN out, and those of text may be shortened.
    for sql in ["select max(wild) from t where wild > 0", "select max(name) from t"] {
        let (_, plan) = harness.rows(sql).await;
        assert!(plan.contains("ShardAggregateExec"), "{plan}");
    }
    assert_eq!(harness.rows("select max(wild) from t").await.0, ["NaN"]);
    assert!(harness.store.reads().values().all(|reads| reads.rows > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_ends_reading_early() {
    let harness = harness();
    let (rows, plan) = harness.rows("select id from t limit 5").await;
    assert_eq!(rows.len(), 5);
    assert!(plan.contains("limit=5"), "{plan}");
    let (rows, _) = harness.rows("select id from t where small = 7 limit 3").await;
    assert_eq!(rows.len(), 3);
    let (rows, _) = harness.rows("select count(*) from (select 1 from t limit 100000)").await;
    assert_eq!(rows, ["100000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_scans_to_nothing() {
    for harness in
        [Harness::new(data::schema(), vec![]), Harness::new(data::schema(), vec![data::rows(0, 0)])]
    {
        harness.same("select * from t").await;
        harness.same("select count(*) from t").await;
        harness.same("select id from t where id > 4 limit 3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_shard_is_told() {
    let harness = harness();
    harness.store.directory().remove(ShardId(2)).unwrap();
    let error = harness.error("select * from t").await;
    assert_eq!(error.kind, ErrorKind::ShardMissing);
    assert!(error.message.contains("w1"), "{error}");
    assert_eq!(harness.error("select small, avg(id) from t group by 1").await.kind, ErrorKind::ShardMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_stream_stops_its_work() {
    let harness = harness();
    let plan = harness.plan("select sqrt(id + 1), name from t").await;
    let mut stream = plan.execute(0, harness.sharded.task_ctx()).unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let plan = harness.plan("select name, median(id) from t group by name").await;
    let stream = datafusion::physical_plan::execute_stream(plan, harness.sharded.task_ctx()).unwrap();
    let task = tokio::spawn(async move { stream.collect::<Vec<_>>().await });
    tokio::task::yield_now().await;
    task.abort();
    let _ = task.await;
    let stopped = Instant::now();
    let mut last = harness.store.reads();
    // Row groups that were being read are finished; no new one is started.
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = harness.store.reads();
        if now == last {
            break;
        }
        last = now;
        assert!(stopped.elapsed() < Duration::from_secs(2), "work goes on after its stream was dropped");
    }
}
