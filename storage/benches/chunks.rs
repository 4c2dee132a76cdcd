//! What writing a shard, reading it for the first time and reading it again cost.
//!
//! `cargo bench -p quickdb-storage` prints milliseconds (the least of five runs for reading) and GB/s. The file is in the
//! page cache: disks are not measured.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement may fail, and prints rounded numbers"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use quickdb_storage::{ColumnChunk, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

/// A usual shard.
const ROWS: u64 = 4_000_000;

const BATCH_ROWS: u64 = 8_192;

/// Runs of which the fastest counts.
const RUNS: usize = 5;

/// SplitMix64 (Steele, Lea and Flood 2014) of a row number.
fn random(row: u64) -> u64 {
    let mut z = row.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn column(name: &str, rows: std::ops::Range<u64>) -> ArrayRef {
    match name {
        "int8" => Arc::new(Int64Array::from_iter_values(rows.map(|row| random(row).cast_signed()))),
        "float8" => Arc::new(Float64Array::from_iter_values(rows.map(|row| random(row) as f64))),
        "float8 with nulls" => Arc::new(
            rows.map(|row| (!random(row).is_multiple_of(10)).then(|| random(row) as f64))
                .collect::<Float64Array>(),
        ),
        "text, 20 values" => Arc::new(StringViewArray::from_iter_values(
            rows.map(|row| format!("carrier {}", random(row) % 20)),
        )),
        "text, 100,000 values" => Arc::new(StringViewArray::from_iter_values(
            rows.map(|row| format!("some comment {}", random(row) % 100_000)),
        )),
        _ => Arc::new(StringViewArray::from_iter_values(
            rows.map(|row| format!("https://example.org/{:x}", random(row))),
        )),
    }
}

/// Milliseconds of a run.
fn time<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = black_box(run());
    (start.elapsed().as_secs_f64() * 1e3, result)
}

fn main() {
    println!("{ROWS} rows");
    println!(
        "{:22} {:>9} {:>8} {:>7} {:>11} {:>11} {:>11}",
        "column", "MB", "write", "GB/s", "first read", "read again", "as array"
    );
    let names = [
        "int8",
        "float8",
        "float8 with nulls",
        "text, 20 values",
        "text, 100,000 values",
        "text, all different",
    ];
    for name in names {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let batches: Vec<RecordBatch> = (0..ROWS)
            .step_by(usize::try_from(BATCH_ROWS).unwrap())
            .map(|start| {
                let values = column(name, start..(start + BATCH_ROWS).min(ROWS));
                RecordBatch::try_from_iter_with_nullable([(name, values, true)]).unwrap()
            })
            .collect();
        let identity =
            ShardIdentity { shard: ShardId(1), table: TableId(1), table_name: "public.bench".to_owned() };
        let (write_ms, report) = time(|| {
            let mut writer = ShardWriter::create(&directory, identity, batches[0].schema()).unwrap();
            for batch in &batches {
                writer.write(batch).unwrap();
            }
            writer.finish().unwrap()
        });
        let mut first_ms = f64::INFINITY;
        let mut again_ms = f64::INFINITY;
        let mut array_ms = f64::INFINITY;
        for _ in 0..RUNS {
            let directory = ShardDirectory::open(folder.path()).unwrap();
            let shard = directory.shard(ShardId(1)).unwrap();
            let read = || -> Vec<ColumnChunk> {
                (0..shard.row_group_count()).map(|row_group| shard.column(row_group, 0).unwrap()).collect()
            };
            first_ms = first_ms.min(time(read).0);
            again_ms = again_ms.min(time(read).0);
            let into_arrays = || read().into_iter().map(ColumnChunk::into_array).collect::<Vec<_>>();
            array_ms = array_ms.min(time(into_arrays).0);
        }
        let mb = report.bytes as f64 / 1e6;
        println!(
            "{name:22} {mb:9.1} {write_ms:8.0} {:7.2} {first_ms:11.2} {again_ms:11.3} {array_ms:11.2}",
            mb / write_ms,
        );
        if name.ends_with("different") {
            compare_constructors(folder.path());
        }
    }
}

/// What checking views on every read would add to making them: Arrow's safe constructor over the parts of the array.
fn compare_constructors(path: &std::path::Path) {
    let shard = ShardDirectory::open(path).unwrap().shard(ShardId(1)).unwrap();
    let chunks: Vec<ArrayRef> = (0..shard.row_group_count())
        .map(|row_group| shard.column(row_group, 0).unwrap().into_array())
        .collect();
    let mut safe_ms = f64::INFINITY;
    for _ in 0..RUNS {
        let check = || {
            for chunk in &chunks {
                let (views, buffers, nulls) = chunk.as_string_view().clone().into_parts();
                black_box(StringViewArray::try_new(views, buffers, nulls).unwrap().len());
            }
        };
        safe_ms = safe_ms.min(time(check).0);
    }
    println!("  checking its views again on every read would add {safe_ms:.1} ms");
}
