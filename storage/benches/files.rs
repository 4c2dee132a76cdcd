//! Size on disk and speed of shards made of given tables.
//!
//! `cargo bench -p quickdb-storage --bench files -- TABLE.arrow ...` reads Arrow IPC files (uncompressed, as `feather`
//! files of version 2 are) and prints for each the bytes per row of its shard, how fast it was written, and for each
//! column its bytes per row, its encodings and how fast it is read: for the first time, and decoded again. The file is
//! in the page cache: disks are not measured.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement may fail, and prints rounded numbers"
)]

use std::collections::BTreeSet;
use std::fs::File;
use std::hint::black_box;
use std::time::Instant;

use arrow::array::{Array, RecordBatch};
use arrow::ipc::reader::FileReader;
use quickdb_storage::{Shard, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

/// Runs of which the fastest counts.
const RUNS: usize = 3;

/// Rows that are decoded at once, as the executor does.
const CHUNK_ROWS: usize = 8192;

/// Milliseconds of a run.
fn time<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = black_box(run());
    (start.elapsed().as_secs_f64() * 1e3, result)
}

fn decode(shard: &Shard, column: usize) {
    for row_group in 0..shard.row_group_count() {
        let chunk = shard.column(row_group, column).unwrap();
        for start in (0..chunk.len()).step_by(CHUNK_ROWS) {
            black_box(chunk.slice(start, CHUNK_ROWS.min(chunk.len() - start)));
        }
    }
}

fn measure(path: &str) {
    let reader = FileReader::try_new(File::open(path).unwrap(), None).unwrap();
    let schema = reader.schema();
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    // Batches of one message share a buffer, which would be counted once for each column.
    let columns = batches.iter().flat_map(RecordBatch::columns);
    let memory: usize = columns.map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum();
    let folder = tempfile::tempdir().unwrap();
    let mut written_ms = f64::INFINITY;
    let mut bytes = 0;
    for run in 0..RUNS {
        let directory = ShardDirectory::open(&folder.path().join(run.to_string())).unwrap();
        let identity =
            ShardIdentity { shard: ShardId(1), table: TableId(1), table_name: "public.bench".to_owned() };
        let (ms, report) = time(|| {
            let mut writer = ShardWriter::create(&directory, identity, schema.clone()).unwrap();
            for batch in &batches {
                writer.write(batch).unwrap();
            }
            writer.finish().unwrap()
        });
        written_ms = written_ms.min(ms);
        bytes = report.bytes;
    }
    println!(
        "{path}: {rows} rows, {:.2} bytes per row ({:.1} MB of {:.1} MB in memory), written in {written_ms:.0} ms, \
         {:.0} MB of memory per second",
        bytes as f64 / rows as f64,
        bytes as f64 / 1e6,
        memory as f64 / 1e6,
        memory as f64 / 1e3 / written_ms,
    );
    let directory = ShardDirectory::open(&folder.path().join("0")).unwrap();
    let shard = directory.shard(ShardId(1)).unwrap();
    for (column, field) in schema.fields().iter().enumerate() {
        let (first_ms, ()) = time(|| decode(&shard, column));
        let again_ms = (0..RUNS).map(|_| time(|| decode(&shard, column)).0).fold(f64::INFINITY, f64::min);
        let encodings: BTreeSet<String> = (0..shard.row_group_count())
            .map(|row_group| format!("{:?}", shard.encoding(row_group, column)))
            .collect();
        println!(
            "    {:20} {:7.2} bytes {:20} first {first_ms:8.2} ms, again {again_ms:8.2} ms, {:6.0} million rows/s",
            field.name(),
            shard.column_bytes(column) as f64 / rows as f64,
            encodings.into_iter().collect::<Vec<_>>().join(", "),
            rows as f64 / 1e3 / again_ms,
        );
    }
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if paths.is_empty() {
        println!("give it Arrow IPC files: cargo bench -p quickdb-storage --bench files -- TABLE.arrow");
    }
    paths.iter().for_each(|path| measure(path));
}
