//! Queries over shards against DataFusion over the same rows in memory, as ratios:
//! `cargo bench -p quickdb-executor --bench aggregates [-- ROWS [q1 q2 ..]]`.
#![allow(missing_docs, reason = "a program")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use quickdb_executor::fused::FuseAggregates;
use quickdb_executor::scan::{ShardPlacement, ShardTable, WorkerId};
use quickdb_executor::store::ShardStore;
use quickdb_storage::{ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

const QUERIES: [&str; 14] = [
    "select count(*) from t where isprimary and mag < 24.5",
    "select sum(flux), avg(flux), min(flux), max(flux) from t where extendedness < 0.5",
    "select extendedness < 0.5, count(*), avg(mag) from t group by 1",
    "select tract, count(*), sum(flux), max(flux) from t group by tract",
    "select parent, count(*) from t group by parent order by 2 desc limit 10",
    "select cast(floor(mag * 10) as int), count(*) from t where isprimary group by 1",
    "select patch, count(*), avg(mag) from t group by patch",
    "select count(distinct parent) from t",
    "select count(*) from t where ra between 10.0 and 10.5 and dec between 1.0 and 2.0",
    "select id from t order by flux desc limit 10",
    "select count(*) from t where comment like '%17%'",
    "select comment, count(*), avg(mag) from t group by comment",
    "select patch, tract, sum(flux), min(mag) from t where mag > 20 group by patch, tract",
    "select sum(flux * mag), sum(flux * mag * 2), avg(flux * mag) from t",
];

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("isprimary", DataType::Boolean, false),
        Field::new("mag", DataType::Float32, false),
        Field::new("flux", DataType::Float64, false),
        Field::new("extendedness", DataType::Float32, true),
        Field::new("tract", DataType::Int32, false),
        Field::new("parent", DataType::Int64, false),
        Field::new("patch", DataType::Utf8View, false),
        Field::new("ra", DataType::Float64, false),
        Field::new("dec", DataType::Float64, false),
        Field::new("comment", DataType::Utf8View, true),
    ]))
}

fn rows(first: u64, count: usize, total: usize) -> Result<RecordBatch> {
    let mut state = first.wrapping_add(99);
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let number = |row: usize| first as usize + row;
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..count).map(|row| Some(number(row) as i64)).collect::<Int64Array>()),
        Arc::new((0..count).map(|_| Some(!next().is_multiple_of(3))).collect::<BooleanArray>()),
        Arc::new((0..count).map(|_| Some(15.0 + (next() % 120_000) as f32 / 1e4)).collect::<Float32Array>()),
        Arc::new((0..count).map(|_| Some((next() % 1_000_000) as f64 / 7.0)).collect::<Float64Array>()),
        Arc::new(
            (0..count).map(|_| [Some(0.0), Some(1.0), None][(next() % 3) as usize]).collect::<Float32Array>(),
        ),
        Arc::new((0..count).map(|row| Some((number(row) * 1_000 / total) as i32)).collect::<Int32Array>()),
        Arc::new((0..count).map(|_| Some((next() % (total as u64 / 5 + 1)) as i64)).collect::<Int64Array>()),
        Arc::new(
            (0..count)
                .map(|_| Some(format!("patch {},{}", next() % 9, next() % 9)))
                .collect::<StringViewArray>(),
        ),
        Arc::new(
            (0..count).map(|row| Some(number(row) as f64 * 360.0 / total as f64)).collect::<Float64Array>(),
        ),
        Arc::new((0..count).map(|_| Some((next() % 18_000) as f64 / 100.0 - 90.0)).collect::<Float64Array>()),
        Arc::new(
            (0..count)
                .map(|_| Some(format!("a comment, number {:07}", next() % 100_000)))
                .collect::<StringViewArray>(),
        ),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

async fn least(context: &SessionContext, sql: &str) -> Result<(Duration, usize)> {
    let (mut least, mut found) = (Duration::MAX, 0);
    for _ in 0..5 {
        let start = Instant::now();
        let batches = context.sql(sql).await?.collect().await?;
        least = least.min(start.elapsed());
        found = batches.iter().map(RecordBatch::num_rows).sum();
    }
    Ok((least, found))
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let total: usize = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(4_000_000);
    let shard_rows = 1 << 20;
    let folder = tempfile::tempdir()?;
    let directory = ShardDirectory::open(folder.path())?;
    let (mut placements, mut batches) = (vec![], vec![]);
    for (number, first) in (1..).zip((0..total).step_by(shard_rows)) {
        let batch = rows(first as u64, shard_rows.min(total - first), total)?;
        let identity =
            ShardIdentity { shard: ShardId(number), table: TableId(1), table_name: "public.t".to_owned() };
        let mut writer = ShardWriter::create(&directory, identity, schema())?;
        writer.write(&batch)?;
        let report = writer.finish()?;
        placements.push(ShardPlacement {
            shard: ShardId(number),
            workers: vec![WorkerId(1)],
            rows: report.rows,
            bytes: report.bytes,
            columns: report.columns.into_iter().map(Some).collect(),
            deletions: None,
        });
        batches.extend(
            (0..batch.num_rows()).step_by(8192).map(|row| batch.slice(row, 8192.min(batch.num_rows() - row))),
        );
    }
    let threads = std::thread::available_parallelism()?.get();
    let config = SessionConfig::new().with_target_partitions(threads.max(2));
    let state = SessionStateBuilder::new()
        .with_config(config.clone().with_extension(Arc::new(ShardStore::new("bench", directory))))
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(FuseAggregates::default()))
        .build();
    let ours = SessionContext::new_with_state(state);
    let table = ShardTable {
        name: "public.t".to_owned(),
        table: TableId(1),
        schema: schema(),
        shards: Arc::new(placements),
        tail: None,
        row_ids: false,
        partitions: threads.max(2),
    };
    ours.register_table("t", Arc::new(table))?;
    let theirs = SessionContext::new_with_config(config);
    let mut partitions = vec![vec![]; threads.max(2)];
    let slots = partitions.len();
    for (number, batch) in batches.into_iter().enumerate() {
        if let Some(partition) = partitions.get_mut(number % slots) {
            partition.push(batch);
        }
    }
    theirs.register_table("t", Arc::new(MemTable::try_new(schema(), partitions)?))?;
    println!("{total} rows, {threads} threads");
    let only: Vec<usize> = std::env::args().filter_map(|arg| arg.strip_prefix('q')?.parse().ok()).collect();
    for (_, sql) in (1..).zip(QUERIES).filter(|(number, _)| only.is_empty() || only.contains(number)) {
        let (our_time, our_rows) = least(&ours, sql).await?;
        let (their_time, their_rows) = least(&theirs, sql).await?;
        assert_eq!(our_rows, their_rows, "{sql}");
        println!(
            "{:8.2} ms, {:6.1} times as fast as DataFusion in memory: {sql}",
            our_time.as_secs_f64() * 1e3,
            their_time.as_secs_f64() / our_time.as_secs_f64()
        );
    }
    Ok(())
}
