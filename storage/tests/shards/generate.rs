//! Columns of every type with any share of NULLs, from a seed.

use std::sync::Arc;

use arrow::array::types::IntervalMonthDayNano;
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use quickdb_storage::{
    ROW_GROUP_ROWS, Shard, ShardDirectory, ShardId, ShardIdentity, ShardReport, ShardWriter, TableId,
};

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

/// How NULLs lie in a column.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Nulls {
    None,
    Some,
    All,
    /// Every other row group, whole.
    RowGroups,
}

pub(crate) const NULLS: [Nulls; 4] = [Nulls::None, Nulls::Some, Nulls::All, Nulls::RowGroups];

/// One value per row, or none.
fn column<T>(
    random: &mut Random,
    rows: usize,
    nulls: Nulls,
    value: impl Fn(&mut Random) -> T,
) -> Vec<Option<T>> {
    (0..rows)
        .map(|row| {
            let is_null = match nulls {
                Nulls::None => false,
                Nulls::Some => random.below(3) == 0,
                Nulls::All => true,
                Nulls::RowGroups => (row / ROW_GROUP_ROWS).is_multiple_of(2),
            };
            (!is_null).then(|| value(random))
        })
        .collect()
}

fn float(random: &mut Random) -> f64 {
    match random.below(12) {
        0 => f64::NAN,
        1 => -f64::NAN,
        2 => f64::INFINITY,
        3 => f64::NEG_INFINITY,
        4 => -0.0,
        5 => 0.0,
        6 => f64::MIN_POSITIVE / 2.0,
        _ => (random.next() as i64) as f64 / 1e9,
    }
}

/// A text out of about `distinct` different ones: empty, short, long, not ASCII.
fn text(random: &mut Random, distinct: usize) -> String {
    let number = random.below(distinct);
    match number % 5 {
        0 if number == 0 => String::new(),
        0 => format!("{number}"),
        1 => format!("{number} is longer than twelve bytes"),
        2 => format!("\u{e4}\u{f6}\u{fc} {number} \u{1f30c}"),
        3 => format!("{}{number}", "same long beginning of many texts, beyond any bound ".repeat(2)),
        _ => format!("t{number}"),
    }
}

/// A batch with a column of every type. Row counts, NULLs and texts with few and with many different values all occur.
pub(crate) fn every_type(seed: u64, rows: usize, nulls: Nulls) -> RecordBatch {
    let mut random = Random(seed);
    let r = &mut random;
    let utc: Arc<str> = "UTC".into();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("bool", Arc::new(BooleanArray::from(column(r, rows, nulls, |r| r.below(2) == 1)))),
        ("int2", Arc::new(Int16Array::from(column(r, rows, nulls, |r| r.next() as i16)))),
        ("int4", Arc::new(Int32Array::from(column(r, rows, nulls, |r| r.next() as i32)))),
        ("int8", Arc::new(Int64Array::from(column(r, rows, nulls, |r| r.next() as i64)))),
        ("float4", Arc::new(Float32Array::from(column(r, rows, nulls, |r| float(r) as f32)))),
        ("float8", Arc::new(Float64Array::from(column(r, rows, nulls, float)))),
        (
            "numeric",
            Arc::new(
                Decimal128Array::from(column(r, rows, nulls, |r| {
                    i128::from(r.next() as i64) * i128::from(r.next() as u32)
                }))
                .with_precision_and_scale(38, 10)
                .unwrap(),
            ),
        ),
        ("few", Arc::new(StringViewArray::from_iter(column(r, rows, nulls, |r| text(r, 40))))),
        ("many", Arc::new(StringViewArray::from_iter(column(r, rows, nulls, |r| text(r, 1 << 40))))),
        (
            "bytea",
            Arc::new(BinaryViewArray::from_iter(column(r, rows, nulls, |r| {
                r.next().to_le_bytes().repeat(r.below(4))
            }))),
        ),
        ("date", Arc::new(Date32Array::from(column(r, rows, nulls, |r| r.next() as i32)))),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(column(r, rows, nulls, |r| {
                r.below(86_400_000_000) as i64
            }))),
        ),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(column(r, rows, nulls, |r| r.next() as i64)))),
        (
            "timestamptz",
            Arc::new(
                TimestampMicrosecondArray::from(column(r, rows, nulls, |r| r.next() as i64))
                    .with_timezone(utc),
            ),
        ),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(column(r, rows, nulls, |r| {
                IntervalMonthDayNano::new(r.next() as i32, r.next() as i32, r.next() as i64)
            }))),
        ),
        ("constant", Arc::new(Int32Array::from(column(r, rows, nulls, |_| 42)))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| {
            Field::new(*name, array.data_type().clone(), true)
                .with_metadata([("pg_type".to_owned(), (*name).to_owned())].into())
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, [("k".to_owned(), "v".to_owned())].into());
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(schema), arrays).unwrap()
}

pub(crate) fn identity(shard: u64) -> ShardIdentity {
    ShardIdentity { shard: ShardId(shard), table: TableId(7), table_name: "public.every type".to_owned() }
}

/// Writes a batch in pieces of random sizes.
pub(crate) fn write(directory: &ShardDirectory, shard: u64, batch: &RecordBatch, seed: u64) -> ShardReport {
    let mut random = Random(seed);
    let mut writer = ShardWriter::create(directory, identity(shard), batch.schema()).unwrap();
    let mut start = 0;
    while start < batch.num_rows() {
        let rows = (1 + random.below(100_000)).min(batch.num_rows() - start);
        writer.write(&batch.slice(start, rows)).unwrap();
        start += rows;
    }
    writer.finish().unwrap()
}

/// All rows of a column, chunk by chunk.
pub(crate) fn read(shard: &Shard, column: usize) -> quickdb_storage::Result<Vec<ArrayRef>> {
    (0..shard.row_group_count()).map(|row_group| Ok(shard.column(row_group, column)?.into_array())).collect()
}
