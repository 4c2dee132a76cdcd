//! Fused aggregates: every kind of query, against DataFusion without the rule.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, collect};
use quickdb_executor::error::ErrorKind;
use quickdb_executor::fused::ShardAggregateExec;
use quickdb_executor::scan::{ScanPart, ShardRef, ShardScanExec};
use quickdb_storage::ShardId;

use crate::data;
use crate::harness::{Harness, limited, text_of};

fn harness() -> Harness {
    Harness::new(
        data::schema(),
        vec![data::rows(0, 150_000), data::rows(150_000, 70_000), data::rows(220_000, 1)],
    )
}

async fn all_fused(harness: &Harness, queries: &[&str]) {
    for sql in queries {
        harness.fused(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_group_of_every_type() {
    let harness = harness();
    all_fused(&harness, &[
        "select count(*), count(nlarge), count(nword), count(nflag) from t where small < 0",
        "select sum(small), sum(medium), sum(id), sum(real), sum(ndouble), sum(price) from t",
        "select avg(small), avg(medium), avg(id), avg(real), avg(ndouble), avg(price) from t",
        "select min(small), max(small), min(medium), max(medium), min(nlarge), max(nlarge) from t where id > 10",
        "select min(real), max(real), min(ndouble), max(ndouble), min(price), max(price) from t where id > 10",
        "select min(nflag), max(nflag), min(nword), max(nword), min(name), max(name) from t where id > 10",
        "select min(day), max(day), min(hour), max(hour), min(nmoment), max(nmoment), max(instant) from t where id > 9",
        "select sum(ndouble), min(ndouble), count(ndouble) from t where nflag and nword = 'zebra'",
        "select sum(small) from t where small > 1000",
        "select count(*), sum(price), min(name), avg(ndouble), max(nflag) from t where id < 0",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_every_type() {
    let harness = harness();
    for key in
        ["small", "nflag", "nword", "day", "medium", "clock", "nmoment", "hour", "real", "price", "instant"]
    {
        let sql = format!(
            "select {key}, count(*), count(ndouble), sum(id), sum(ndouble), avg(real), min(nlarge), max(price), \
             min(nword), max(nflag), max(name) from t group by {key}"
        );
        harness.fused(&sql).await;
        harness
            .fused(&format!("select {key}, max(ndouble) from t where small > 40 and nflag group by 1"))
            .await;
        harness.fused(&format!("select distinct {key} from t")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys() {
    let harness = harness();
    all_fused(&harness, &[
        "select nword, nflag, count(*), sum(medium) from t group by nword, nflag",
        "select nword, small, day, avg(ndouble) from t group by nword, small, day",
        "select clock, nword, count(*) from t group by clock, nword",
        "select many, medium, count(*), max(hour) from t where id < 60000 group by many, medium",
        "select name, nflag, sum(small) from t where id % 10 = 1 group by name, nflag",
        "select nword, real, count(*) from t group by nword, real",
        "select id, many, medium, small, clock, nlarge, count(*) from t where id < 3000 group by 1, 2, 3, 4, 5, 6",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_fall_back_alone() {
    let harness = harness();
    all_fused(&harness, &[
        "select small % 7, count(*), sum(medium * 2), avg(ndouble + real) from t group by small % 7",
        "select real < 0, count(*), avg(ndouble) from t group by real < 0",
        "select ndouble >= 10.5, nlarge < 7, nword, count(*) from t where small <> 3 group by 1, 2, 3",
        "select floor(ndouble / 100), count(*) from t where ndouble > -3000 group by 1",
        "select date_trunc('hour', nmoment), count(*), max(id) from t group by 1",
        "select upper(nword), length(name), count(*) from t group by 1, 2",
        "select coalesce(nword, 'none') as w, sum(case when nflag then 1 else 0 end) from t group by 1",
        "select sum(x) from (select small * medium as x, nflag from t where small <> 0) where x > 100",
        "select nword, sum(medium / small) from t where small <> 0 group by nword",
        "select max(y), count(*) from (select x + 1 as y from (select medium + small as x from t)) where y % 2 = 0",
        "select nword, count(*) from t where length(name) > 3 and substr(name, 6, 2) = '01' group by nword",
        "select 5, count(*) from t group by 1",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_having_and_other_aggregates() {
    let harness = harness();
    all_fused(&harness, &[
        "select count(*) filter (where small > 0), sum(ndouble) filter (where nflag), count(*) from t",
        "select nword, count(*) filter (where small > 0), avg(real) filter (where nflag and medium < 0), \
         max(id) filter (where id < 0) from t where real > -100 group by nword",
        "select many, count(*) filter (where nflag), min(nword) filter (where small = 3) from t group by many",
        "select small, count(*) from t group by small having count(*) > 2200",
        "select nword, round(var_pop(ndouble), 3), round(stddev(real), 4) from t group by nword",
        "select small, median(medium), bool_and(nflag), bit_xor(id) from t group by small",
        "select median(medium), round(stddev(ndouble), 6), bool_or(nflag), round(corr(id, small), 9) from t where small = 1",
        "select nword, approx_distinct(small), count(*), median(small) filter (where nflag) from t group by nword",
        "select median(small), count(*) from t where id < 0",
        "select day, string_agg(nword, ',') from t where id < 20 group by day",
        "select * from (select nword, count(*) as n from t group by nword) a \
         join (select nword, max(small) as m from t group by nword) b on a.nword = b.nword",
        "select nword, count(*), rank() over (order by count(*)) from t group by nword",
        "select nword, count(*) from t group by nword order by 2 desc, 1 limit 3",
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_groups_fuse_below() {
    let harness = harness();
    for sql in [
        "select count(distinct small) from t",
        "select count(distinct name) + sum(0) from t where nflag",
        "select nword, count(distinct small) from t group by nword",
        "select max(c) from (select clock, count(*) as c from t group by clock)",
    ] {
        let plan = harness.same(sql).await;
        assert!(plan.contains("ShardAggregateExec: public.t"), "{plan}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_groups() {
    let harness = harness();
    let plan = harness.fused("select many, count(*), sum(ndouble), min(id) from t group by many").await;
    assert!(plan.contains("FinalPartitioned"), "{plan}");
    harness.fused("select name, count(*), avg(id) from t group by name").await;
    harness.fused("select id, max(nword) from t group by id").await;
    harness.fused("select ndouble, nlarge, count(*) from t group by ndouble, nlarge").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn few_groups_are_finished_in_one_place() {
    let harness = harness();
    for sql in [
        "select nword, count(*) from t group by nword",
        "select nword, small, sum(id) from t group by nword, small order by 1, 2 limit 7",
        "select max(n) from (select small, count(*) as n from t group by small)",
    ] {
        let plan = harness.same(sql).await;
        assert!(plan.contains("mode=Final,") && !plan.contains("Hash"), "{plan}");
    }
    // A join on the key takes the partitions as they were shuffled.
    harness
        .fused(
            "select a.small, n, m from (select small, count(*) as n from t group by small) a \
             full join (select small, max(id) as m from t where id > 70 group by small) b on a.small = b.small",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_order_or_distinctness_is_left_alone() {
    let harness = harness();
    for sql in [
        "select count(distinct small), count(distinct medium) from t",
        "select nword, small, count(*) from t group by rollup(nword, small)",
        "select count(*) from (select id from t limit 1000)",
        "select sum(small) from (select small from t order by id limit 1000)",
    ] {
        harness.same(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_tables_give_one_row_without_keys_and_none_with() {
    for harness in
        [Harness::new(data::schema(), vec![]), Harness::new(data::schema(), vec![data::rows(0, 0)])]
    {
        for sql in [
            "select count(*), sum(small), avg(ndouble), min(nword), median(medium) from t where id > 3",
            "select nword, count(*), sum(small) from t group by nword",
            "select name, many, median(small) from t group by name, many",
            "select day, count(*) filter (where nflag) from t group by day",
        ] {
            harness.same(sql).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_is_the_maximum_and_groups_as_one_value() {
    let harness = harness();
    let sql = "select min(wild), max(wild) from t where not isnan(wild)";
    harness.fused(sql).await;
    assert_eq!(harness.rows("select max(wild), min(wild) from t where id > 5").await.0, ["NaN | -62.0"]);
    assert_eq!(harness.rows("select min(wild) from t where isnan(wild)").await.0, ["NaN"]);
    assert_eq!(
        harness.rows("select nflag, max(wild) from t where not nflag group by 1").await.0,
        ["false | NaN"]
    );
    harness.fused("select wild, count(*) from t where wild <> 0 group by wild").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_repeat_bit_by_bit() {
    let harness = harness();
    let sql = "select nword, sum(ndouble / 3.7), avg(real * 0.1), stddev(ndouble) from t group by nword";
    let (first, _) = harness.rows(sql).await;
    for _ in 0..5 {
        assert_eq!(harness.rows(sql).await.0, first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_that_do_not_fit_are_errors() {
    let harness = harness();
    for sql in [
        "select sum(9000000000000000000 + id) from t",
        "select small, sum(9000000000000000 * 1000 + id) from t group by 1",
    ] {
        assert_eq!(harness.error(sql).await.kind, ErrorKind::NumericOutOfRange, "{sql}");
    }
    // The sum of the first rows is beyond 64 bits, that of all is not.
    let (rows, _) = harness
        .rows("select sum(case when id < 10 then 9000000000000000000 when id < 20 then -9000000000000000000 else 1 end) from t")
        .await;
    assert_eq!(rows, ["219981"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_groups_for_the_memory_are_an_error() {
    let rows = vec![data::rows(0, 150_000), data::rows(150_000, 70_000)];
    let harness = Harness::with_runtime(data::schema(), rows, limited(1 << 20));
    let error = harness.error("select name, many, count(*) from t group by name, many").await;
    assert_eq!(error.kind, ErrorKind::OutOfMemory);
    let plan = harness.plan("select nword, count(*) from t group by nword").await;
    let batches = datafusion::physical_plan::collect(plan, harness.sharded.task_ctx()).await.unwrap();
    assert_eq!(text_of(&batches).len(), 8);
    assert_eq!(harness.sharded.runtime_env().memory_pool.reserved(), 0);
}

/// The plan with every leaf cut in two: the first shard, and the others.
fn for_two_workers(plan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let part = |shards: &[u64]| ScanPart {
        shards: shards.iter().map(|shard| ShardRef { shard: ShardId(*shard), deletions: None }).collect(),
        ..ScanPart::default()
    };
    let parts = [part(&[1]), part(&[2, 3])];
    plan.transform_up(|node| {
        let variants: Vec<Arc<dyn ExecutionPlan>> = if let Some(scan) = node.downcast_ref::<ShardScanExec>() {
            parts.iter().map(|part| Arc::new(scan.with_part(part.clone())) as _).collect()
        } else if let Some(aggregate) = node.downcast_ref::<ShardAggregateExec>() {
            parts.iter().map(|part| Arc::new(aggregate.with_part(part.clone())) as _).collect()
        } else {
            return Ok(Transformed::no(node));
        };
        for variant in &variants {
            assert_eq!(variant.schema(), node.schema());
            assert_eq!(
                variant.properties().partitioning.partition_count(),
                node.properties().partitioning.partition_count()
            );
        }
        Ok(Transformed::yes(UnionExec::try_new(variants)?))
    })
    .data()
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_several_workers_add_up() {
    let harness = harness();
    // NaN and -infinity lie in one worker's shards, numbers in the other's, and the final aggregate sees both orders.
    for (sql, expected) in [
        ("select max(case when id < 9 then 'NaN'::double else wild end) from t where nflag", "NaN"),
        ("select max(case when id > 200000 then 'NaN'::double else wild end) from t where nflag", "NaN"),
        (
            "select nflag, max(case when id < 9 then 'NaN'::double else real end) from t where nflag group by 1",
            "true | NaN",
        ),
        (
            "select nflag, max(case when id > 200000 then 'NaN'::double else real end) from t where nflag group by 1",
            "true | NaN",
        ),
        (
            "select nflag, min(case when id < 200000 then 'NaN'::double else real end) from t where nflag group by 1",
            "true | -250.0",
        ),
        ("select nflag, max('-Infinity'::double + real) from t where nflag group by 1", "true | -inf"),
    ] {
        let plan = for_two_workers(harness.plan(sql).await);
        assert_eq!(text_of(&collect(plan, harness.sharded.task_ctx()).await.unwrap()), [expected], "{sql}");
    }
    for sql in [
        "select id, nword from t where small = 4",
        "select count(*), sum(price), avg(ndouble), min(nword), max(name), median(small) from t where id > 3",
        "select nword, nflag, count(*), avg(real), min(name), max(day) from t group by nword, nflag",
        "select many, count(*), sum(ndouble) from t group by many",
        "select name, real, count(*) from t where small > 30 group by name, real",
        "select small, median(medium), round(stddev(ndouble), 6) from t group by small",
        "select count(*), max(real) from t where id >= 220000",
    ] {
        let plan = for_two_workers(harness.plan(sql).await);
        let found = text_of(&collect(plan, harness.sharded.task_ctx()).await.unwrap());
        assert_eq!(found, text_of(&harness.memory.sql(sql).await.unwrap().collect().await.unwrap()), "{sql}");
    }
}
