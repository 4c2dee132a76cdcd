//! Columns of every type with any share of NULLs, from a seed.

use std::sync::Arc;

use arrow::array::types::IntervalMonthDayNano;
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch, StringViewArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
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

/// A text of words that occur again and again, different every time.
fn comment(random: &mut Random) -> String {
    const WORDS: [&str; 8] =
        ["carefully", "final", "deposits", "sleep", "above", "the", "packages", "\u{fc}ber"];
    let words: Vec<_> = (0..1 + random.below(7)).map(|_| WORDS[random.below(8)]).collect();
    format!("{} {}", words.join(" "), random.below(1 << 40))
}

/// Offsets of lists of up to `length_max - 1` elements, and which of them are NULL; these may have elements too.
fn list_offsets(
    random: &mut Random,
    rows: usize,
    nulls: Nulls,
    length_max: usize,
) -> (OffsetBuffer<i32>, NullBuffer) {
    let lengths = column(random, rows, nulls, |random| random.below(length_max));
    let valid = NullBuffer::from_iter(lengths.iter().map(Option::is_some));
    let offsets = OffsetBuffer::from_lengths(lengths.into_iter().map(|length| length.unwrap_or(1)));
    (offsets, valid)
}

fn list_of(values: ArrayRef, nullable: bool, (offsets, valid): (OffsetBuffer<i32>, NullBuffer)) -> ArrayRef {
    let field = Field::new_list_field(values.data_type().clone(), nullable);
    Arc::new(ListArray::new(Arc::new(field), offsets, values, Some(valid)))
}

fn elements(offsets: &(OffsetBuffer<i32>, NullBuffer)) -> usize {
    *offsets.0.last().unwrap() as usize
}

fn lists(random: &mut Random, rows: usize, nulls: Nulls) -> ArrayRef {
    let offsets = list_offsets(random, rows, nulls, 5);
    let values = column(random, elements(&offsets), Nulls::Some, |random| random.below(1000) as i64);
    list_of(Arc::new(Int64Array::from(values)), true, offsets)
}

fn texts(random: &mut Random, rows: usize, nulls: Nulls) -> ArrayRef {
    let offsets = list_offsets(random, rows, nulls, 3);
    let values = column(random, elements(&offsets), Nulls::None, |random| text(random, 100));
    list_of(Arc::new(StringViewArray::from_iter(values)), false, offsets)
}

fn matrices(random: &mut Random, rows: usize, nulls: Nulls) -> ArrayRef {
    let outer = list_offsets(random, rows, nulls, 3);
    let inner = list_offsets(random, elements(&outer), Nulls::Some, 4);
    let values = column(random, elements(&inner), Nulls::Some, float);
    list_of(list_of(Arc::new(Float64Array::from(values)), true, inner), true, outer)
}

/// Structures of structures, with fields that may and such that may not be NULL, and one that holds lists of structures.
fn structures(random: &mut Random, rows: usize, nulls: Nulls) -> ArrayRef {
    let valid = |random: &mut Random, rows, nulls| {
        NullBuffer::from_iter(column(random, rows, nulls, |_| ()).iter().map(Option::is_some))
    };
    let pair = |random: &mut Random, rows: usize, nulls: Nulls| -> ArrayRef {
        let flux = Float32Array::from_iter_values(
            column(random, rows, Nulls::None, |random| float(random) as f32).into_iter().flatten(),
        );
        let band = StringViewArray::from_iter(column(random, rows, Nulls::Some, |random| text(random, 5)));
        let fields = vec![
            Field::new("psfflux_flux", DataType::Float32, false),
            Field::new("band", DataType::Utf8View, true),
        ];
        let columns: Vec<ArrayRef> = vec![Arc::new(flux), Arc::new(band)];
        Arc::new(StructArray::new(fields.into(), columns, Some(valid(random, rows, nulls))))
    };
    let inner = pair(random, rows, Nulls::Some);
    let number = Int32Array::from_iter_values(
        column(random, rows, Nulls::None, |random| random.below(9) as i32).into_iter().flatten(),
    );
    let offsets = list_offsets(random, rows, Nulls::Some, 3);
    let pairs = pair(random, elements(&offsets), Nulls::Some);
    let pairs = list_of(pairs, true, offsets);
    let fields = vec![
        Field::new("i", inner.data_type().clone(), true),
        Field::new("n", DataType::Int32, false),
        Field::new("pairs", pairs.data_type().clone(), true),
    ];
    let columns: Vec<ArrayRef> = vec![inner, Arc::new(number), pairs];
    Arc::new(StructArray::new(fields.into(), columns, Some(valid(random, rows, nulls))))
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
        ("yes", Arc::new(BooleanArray::from(column(r, rows, nulls, |_| true)))),
        ("two values", Arc::new(Float64Array::from(column(r, rows, nulls, |r| [0.5, f64::NAN][r.below(2)])))),
        (
            "two intervals",
            Arc::new(IntervalMonthDayNanoArray::from(column(r, rows, nulls, |r| {
                IntervalMonthDayNano::new(r.below(2) as i32, 1, 2)
            }))),
        ),
        (
            "small",
            Arc::new(Int64Array::from(column(r, rows, nulls, |r| 7_000_000_000 + r.below(3000) as i64))),
        ),
        ("short", Arc::new(Int16Array::from(column(r, rows, nulls, |r| r.below(300) as i16 - 100)))),
        ("code", Arc::new(Int32Array::from(column(r, rows, nulls, |r| -(r.below(100_000) as i32))))),
        (
            "seconds",
            Arc::new(TimestampMicrosecondArray::from(column(r, rows, nulls, |r| {
                1_700_000_000_000_000 + r.below(1 << 20) as i64 * 1_000_000
            }))),
        ),
        (
            "price",
            Arc::new(
                Decimal128Array::from(column(r, rows, nulls, |r| r.below(10_000_000) as i128 - 5_000_000))
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        ),
        (
            "cents",
            Arc::new(Float64Array::from(column(r, rows, nulls, |r| match r.below(1000) {
                0 => float(r),
                _ => r.below(1_000_000) as f64 / 100.0,
            }))),
        ),
        (
            "tenths",
            Arc::new(Float32Array::from(column(r, rows, nulls, |r| match r.below(1000) {
                0 => float(r) as f32,
                _ => (r.below(10_000) as f32 - 5000.0) / 10.0,
            }))),
        ),
        ("comment", Arc::new(StringViewArray::from_iter(column(r, rows, nulls, comment)))),
        ("list", lists(r, rows, nulls)),
        ("texts", texts(r, rows, nulls)),
        ("matrix", matrices(r, rows, nulls)),
        ("forced", structures(r, rows, nulls)),
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
