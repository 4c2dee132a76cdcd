//! A shard of format version 1, as it was once written, must be readable for good.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::types::IntervalMonthDayNano;
use arrow::array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, RecordBatch, StringViewArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Field, Schema};
use quickdb_storage::{Bound, Encoding, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

/// Rows of the fixture: every type, NULLs, the ends of the ranges, NaN, infinities, empty and long strings.
fn rows() -> RecordBatch {
    const LONG: &str =
        "a text that is longer than the twelve bytes of a view and, what is more, than a bound";
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        (
            "bool",
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)])),
            true,
        ),
        (
            "int2",
            Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX), Some(0), Some(7)])),
            true,
        ),
        ("int4", Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX, -1, 0, 1])), false),
        (
            "int8",
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None, Some(0), Some(1)])),
            true,
        ),
        (
            "float4",
            Arc::new(Float32Array::from(vec![
                Some(-0.0),
                Some(f32::NAN),
                None,
                Some(1.5),
                Some(f32::INFINITY),
            ])),
            true,
        ),
        (
            "float8",
            Arc::new(Float64Array::from(vec![
                Some(f64::NEG_INFINITY),
                Some(f64::NAN),
                None,
                Some(0.1),
                Some(f64::MAX),
            ])),
            true,
        ),
        (
            "numeric",
            Arc::new(
                Decimal128Array::from(vec![Some(-12_345), None, Some(10_i128.pow(29)), Some(0), Some(1)])
                    .with_precision_and_scale(30, 2)
                    .unwrap(),
            ),
            true,
        ),
        (
            "dictionary",
            Arc::new(StringViewArray::from(
                vec![Some("carrier UA"); 4].into_iter().chain([None]).collect::<Vec<_>>(),
            )),
            true,
        ),
        (
            "text",
            Arc::new(StringViewArray::from(vec![
                Some(""),
                None,
                Some(LONG),
                Some("\u{e4}\u{1f30c}"),
                Some("z"),
            ])),
            true,
        ),
        (
            "bytea",
            Arc::new(BinaryViewArray::from(vec![
                Some(&b""[..]),
                None,
                Some(b"\xff\x00"),
                Some(&[7; 100]),
                Some(b"x"),
            ])),
            true,
        ),
        (
            "date",
            Arc::new(Date32Array::from(vec![Some(0), None, Some(-719_162), Some(20_000), Some(1)])),
            true,
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some(0),
                None,
                Some(86_399_999_999),
                Some(1),
                Some(2),
            ])),
            true,
        ),
        (
            "timestamp",
            Arc::new(TimestampMicrosecondArray::from(vec![Some(0), None, Some(-1), Some(1 << 50), Some(1)])),
            true,
        ),
        (
            "timestamptz",
            Arc::new(
                TimestampMicrosecondArray::from(vec![Some(0), None, Some(-1), Some(1 << 50), Some(1)])
                    .with_timezone("UTC"),
            ),
            true,
        ),
        (
            "interval",
            Arc::new(IntervalMonthDayNanoArray::from(vec![
                Some(IntervalMonthDayNano::new(-1, 2, 3_000)),
                None,
                Some(IntervalMonthDayNano::new(i32::MAX, i32::MIN, i64::MAX)),
                Some(IntervalMonthDayNano::new(0, 0, 0)),
                Some(IntervalMonthDayNano::new(0, 0, 1)),
            ])),
            true,
        ),
        ("nothing", Arc::new(Int32Array::from(vec![None; 5])), true),
    ];
    let metadata = |key: &str, value: &str| HashMap::from([(key.to_owned(), value.to_owned())]);
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array, nullable)| {
            Field::new(*name, array.data_type().clone(), *nullable).with_metadata(metadata("pg_type", name))
        })
        .collect();
    let schema = Schema::new_with_metadata(fields, metadata("comment", "format version 1"));
    RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, array, _)| array).collect()).unwrap()
}

fn identity() -> ShardIdentity {
    ShardIdentity { shard: ShardId(0x5a), table: TableId(3), table_name: "public.fixture".to_owned() }
}

fn written(directory: &ShardDirectory) {
    let rows = rows();
    let mut writer = ShardWriter::create(directory, identity(), rows.schema()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
}

/// Compares a shard with the rows, and what the footer says with what was known when the fixture was made.
fn check(directory: &ShardDirectory) {
    let shard = directory.shard(ShardId(0x5a)).unwrap();
    shard.verify().unwrap();
    let rows = rows();
    assert_eq!(shard.identity(), &identity());
    assert_eq!(shard.schema(), &rows.schema());
    assert_eq!((shard.row_count(), shard.row_group_count(), shard.row_group_rows(0)), (5, 1, 5));
    for (column, expected) in rows.columns().iter().enumerate() {
        assert_eq!(&shard.column(0, column).unwrap().into_array(), expected);
    }
    let index = |name: &str| rows.schema().index_of(name).unwrap();
    for (name, encoding) in [
        ("bool", Encoding::Bits),
        ("int4", Encoding::Plain),
        ("dictionary", Encoding::Dictionary),
        ("text", Encoding::Strings),
        ("nothing", Encoding::AllNull),
    ] {
        assert_eq!(shard.encoding(0, index(name)), encoding, "{name}");
    }
    let float8 = shard.zone_map(0, index("float8"));
    assert_eq!((float8.null_count, float8.nan_count), (1, 1));
    assert_eq!(float8.min, Some(Bound::Float(f64::NEG_INFINITY)));
    assert_eq!(float8.max, Some(Bound::Float(f64::MAX)));
    let text = shard.summary(index("text"));
    assert_eq!(text.min, Some(Bound::Text(String::new())));
    assert_eq!(text.max, Some(Bound::Text("\u{e4}\u{1f30c}".to_owned())));
    assert_eq!(shard.summary(index("dictionary")).distinct, Some(1));
    assert_eq!(shard.summary(index("interval")).min, None);
}

#[test]
fn version_1_stays_readable() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1.qdb");
    let folder = tempfile::tempdir().unwrap();
    if !fixture.exists() {
        // How the fixture is made: delete it and run this test. A released one is never replaced.
        let directory = ShardDirectory::open(folder.path()).unwrap();
        written(&directory);
        fs::copy(directory.shard(ShardId(0x5a)).unwrap().path(), &fixture).unwrap();
        panic!("made a new fixture, look at it and commit it");
    }
    fs::copy(fixture, folder.path().join("000000000000005a.qdb")).unwrap();
    check(&ShardDirectory::open(folder.path()).unwrap());
}

#[test]
fn todays_writer_means_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    written(&directory);
    check(&directory);
}
