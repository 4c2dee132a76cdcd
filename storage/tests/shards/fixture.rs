//! A shard of each format version, as it was once written, must be readable for good.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::types::IntervalMonthDayNano;
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray, ListArray, RecordBatch, StringViewArray,
    StructArray, Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Schema};
use quickdb_storage::{Bound, Encoding, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

/// Rows of the fixture of version 1: every type, NULLs, the ends of the ranges, NaN, infinities, empty and long strings.
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

/// Rows of the fixture of version 2: every encoding that version 1 lacks, with NULLs, in more than one block.
fn packed_rows() -> RecordBatch {
    const ROWS: i32 = 2500;
    fn column<T>(value: impl Fn(i32) -> T) -> Vec<Option<T>> {
        (0..ROWS).map(|row| (row % 7 > 0).then(|| value(row))).collect()
    }
    let element = |data_type: DataType| Arc::new(Field::new_list_field(data_type, true));
    let lengths = |rows: i32| OffsetBuffer::from_lengths((0..rows).map(|row| usize::from(row % 3 == 1) * 2));
    let valid = |rows: i32| Some(NullBuffer::from_iter((0..rows).map(|row| row % 5 > 0)));
    let ends = |offsets: &OffsetBuffer<i32>| *offsets.last().unwrap();
    let (outer, inner) = (lengths(ROWS), lengths(ends(&lengths(ROWS))));
    let numbers = Int64Array::from_iter((0..ends(&inner)).map(|row| (row % 4 > 0).then_some(i64::from(row))));
    let lists = ListArray::new(element(DataType::Int64), inner, Arc::new(numbers), valid(ends(&outer)));
    let matrix = ListArray::new(element(lists.data_type().clone()), outer, Arc::new(lists), valid(ROWS));
    let texts: StringViewArray =
        (0..ends(&lengths(ROWS))).map(|row| Some(format!("element {row}"))).collect();
    let texts = ListArray::new(element(DataType::Utf8View), lengths(ROWS), Arc::new(texts), None);
    let flux = Float32Array::from_iter_values((0..ROWS).map(|row| (row as f32).sqrt()));
    let band: StringViewArray = (0..ROWS).map(|row| Some(["g", "r", "i"][row as usize % 3])).collect();
    let fields =
        vec![Field::new("flux", DataType::Float32, false), Field::new("band", DataType::Utf8View, true)];
    let forced = StructArray::new(fields.into(), vec![Arc::new(flux), Arc::new(band)], valid(ROWS));
    let large = |row: i32| i128::from(row) * i128::from(i64::MAX);
    let decimals = |values: Vec<Option<i128>>, precision, scale| {
        Decimal128Array::from(values).with_precision_and_scale(precision, scale).unwrap()
    };
    let second = 1_000_000;
    let columns: Vec<(&str, ArrayRef, Encoding)> = vec![
        ("yes", Arc::new(BooleanArray::from(column(|_| true))), Encoding::Constant),
        ("constant", Arc::new(Float64Array::from(column(|_| f64::NAN))), Encoding::Constant),
        (
            "two",
            Arc::new(Float32Array::from(column(|row| [0.5, -0.0][row as usize % 2]))),
            Encoding::TwoValues,
        ),
        ("int2", Arc::new(Int16Array::from(column(|row| row as i16 - 300))), Encoding::Packed),
        ("int4", Arc::new(Int32Array::from(column(|row| row * 1000 - 5_000_000))), Encoding::Packed),
        ("int8", Arc::new(Int64Array::from(column(|row| i64::from(row % 90) + (1 << 60)))), Encoding::Packed),
        ("date", Arc::new(Date32Array::from(column(|row| 20_000 - row))), Encoding::Packed),
        (
            "seconds",
            Arc::new(TimestampMicrosecondArray::from(column(|row| i64::from(row * row) * second))),
            Encoding::Packed,
        ),
        (
            "time",
            Arc::new(Time64MicrosecondArray::from(column(|row| i64::from(row) * 3 * second))),
            Encoding::Packed,
        ),
        ("price", Arc::new(decimals(column(|row| i128::from(row * 100) - 7), 15, 2)), Encoding::Packed),
        ("large", Arc::new(decimals(column(large), 38, 0)), Encoding::Plain),
        (
            "cents",
            Arc::new(Float64Array::from(column(|row| match row % 1000 {
                10 => f64::INFINITY,
                11 => 1.0 / 3.0,
                _ => f64::from(row) / 100.0,
            }))),
            Encoding::Scaled,
        ),
        (
            "tenths",
            Arc::new(Float32Array::from(column(
                |row| if row % 1000 == 10 { -0.0 } else { row as f32 / 10.0 },
            ))),
            Encoding::Scaled,
        ),
        (
            "dictionary",
            Arc::new(StringViewArray::from_iter(column(|row| format!("value {}", row % 300)))),
            Encoding::Dictionary,
        ),
        (
            "comment",
            Arc::new(StringViewArray::from_iter(column(|row| {
                format!("carefully final deposits {row} sleep")
            }))),
            Encoding::Strings,
        ),
        (
            "bytea",
            Arc::new(BinaryViewArray::from_iter(column(|row| vec![row as u8; row as usize % 40]))),
            Encoding::Strings,
        ),
        ("texts", Arc::new(texts), Encoding::List),
        ("matrix", Arc::new(matrix), Encoding::List),
        ("forced", Arc::new(forced), Encoding::Struct),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array, encoding)| {
            let encoding = HashMap::from([("encoding".to_owned(), format!("{encoding:?}"))]);
            Field::new(*name, array.data_type().clone(), true).with_metadata(encoding)
        })
        .collect();
    let arrays = columns.into_iter().map(|(_, array, _)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn identity() -> ShardIdentity {
    ShardIdentity { shard: ShardId(0x5a), table: TableId(3), table_name: "public.fixture".to_owned() }
}

fn written(directory: &ShardDirectory, rows: &RecordBatch) {
    let mut writer = ShardWriter::create(directory, identity(), rows.schema()).unwrap();
    writer.write(rows).unwrap();
    writer.finish().unwrap();
}

/// Compares a shard with rows whose fields say how they are encoded.
fn check_packed(directory: &ShardDirectory) {
    let shard = directory.shard(ShardId(0x5a)).unwrap();
    shard.verify().unwrap();
    let rows = packed_rows();
    assert_eq!(shard.identity(), &identity());
    assert_eq!(shard.schema(), &rows.schema());
    for (column, expected) in rows.columns().iter().enumerate() {
        let name = rows.schema().field(column).name().clone();
        assert_eq!(&shard.column(0, column).unwrap().into_array(), expected, "{name}");
        let encoding = rows.schema().field(column).metadata()["encoding"].clone();
        assert_eq!(format!("{:?}", shard.encoding(0, column)), encoding, "{name}");
    }
    let index = |name: &str| rows.schema().index_of(name).unwrap();
    let cents = shard.zone_map(0, index("cents"));
    assert_eq!((cents.null_count, &cents.max), (358, &Some(Bound::Float(f64::INFINITY))));
    let constant = shard.zone_map(0, index("constant"));
    assert_eq!((constant.nan_count, &constant.min), (2142, &None));
    let price = shard.summary(index("price"));
    assert_eq!((&price.min, &price.max), (&Some(Bound::Decimal(93)), &Some(Bound::Decimal(249_793))));
    assert_eq!(shard.summary(index("dictionary")).distinct, Some(300));
    let flux = shard.leaf_zone_map(0, index("forced"), &[0]).unwrap();
    assert_eq!((flux.null_count, &flux.min), (500, &Some(Bound::Float(1.0))));
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

/// The directory with a copy of a fixture, which is made of `rows` where it does not exist.
fn fixture(folder: &Path, name: &str, rows: &RecordBatch) -> ShardDirectory {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    if !fixture.exists() {
        // How a fixture is made: delete it and run its test. A released one is never replaced.
        let directory = ShardDirectory::open(folder).unwrap();
        written(&directory, rows);
        fs::copy(directory.shard(ShardId(0x5a)).unwrap().path(), &fixture).unwrap();
        panic!("made a new fixture, look at it and commit it");
    }
    fs::copy(fixture, folder.join("000000000000005a.qdb")).unwrap();
    ShardDirectory::open(folder).unwrap()
}

#[test]
fn version_1_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    check(&fixture(folder.path(), "v1.qdb", &rows()));
}

#[test]
fn version_2_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    check_packed(&fixture(folder.path(), "v2.qdb", &packed_rows()));
}

#[test]
fn todays_writer_means_the_same() {
    for (rows, check) in [(rows(), check as fn(&ShardDirectory)), (packed_rows(), check_packed)] {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        written(&directory, &rows);
        check(&directory);
    }
}
