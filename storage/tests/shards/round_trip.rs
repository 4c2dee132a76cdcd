//! What was written is what is read, and what zone maps say about it is true.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, DictionaryArray, Int8Array, Int64Array,
    LargeStringArray, ListArray, RecordBatch, RecordBatchOptions, StringArray, StringViewArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, UInt8Type,
};
use proptest::prelude::*;
use quickdb_storage::{
    Bound, ColumnChunk, ColumnSummary, Encoding, ROW_GROUP_ROWS, ShardDirectory, ShardId, ShardReport,
    ShardWriter, StorageError, ZoneMap,
};

use crate::generate::{NULLS, Nulls, every_type, identity, read, write};

/// Zone map, one value after the other. Text bounds are those without a limit of length.
fn naive_zone_map(array: &dyn Array) -> ZoneMap {
    fn ints<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Vec<Bound> {
        array.as_primitive::<T>().iter().flatten().map(|value| Bound::Int(value.into())).collect()
    }
    fn floats<T: ArrowPrimitiveType<Native: Into<f64>>>(array: &dyn Array) -> Vec<Bound> {
        array.as_primitive::<T>().iter().flatten().map(|value| Bound::Float(value.into())).collect()
    }
    let mut values = match array.data_type() {
        DataType::Boolean => array.as_boolean().iter().flatten().map(Bound::Bool).collect(),
        DataType::Int16 => ints::<Int16Type>(array),
        DataType::Int32 => ints::<Int32Type>(array),
        DataType::Int64 => ints::<Int64Type>(array),
        DataType::Date32 => ints::<Date32Type>(array),
        DataType::Time64(_) => ints::<Time64MicrosecondType>(array),
        DataType::Timestamp(_, _) => ints::<TimestampMicrosecondType>(array),
        DataType::Float32 => floats::<Float32Type>(array),
        DataType::Float64 => floats::<Float64Type>(array),
        DataType::Decimal128(_, _) => {
            array.as_primitive::<Decimal128Type>().iter().flatten().map(Bound::Decimal).collect()
        }
        DataType::Utf8View => {
            array.as_string_view().iter().flatten().map(|text| Bound::Text(text.to_owned())).collect()
        }
        _ => Vec::new(),
    };
    let count = values.len();
    values.retain(|value| !matches!(value, Bound::Float(value) if value.is_nan()));
    values.sort();
    ZoneMap {
        row_count: array.len() as u64,
        null_count: array.null_count() as u64,
        nan_count: (count - values.len()) as u64,
        min: values.first().cloned(),
        max: values.last().cloned(),
    }
}

fn check_zone_map(found: &ZoneMap, array: &dyn Array) {
    let expected = naive_zone_map(array);
    let counts = |zone_map: &ZoneMap| (zone_map.row_count, zone_map.null_count, zone_map.nan_count);
    assert_eq!(counts(found), counts(&expected));
    match (&expected.min, &expected.max) {
        (Some(Bound::Text(min)), Some(Bound::Text(max))) if max.len() > 64 || min.len() > 64 => {
            let (Some(Bound::Text(low)), Some(Bound::Text(high))) = (&found.min, &found.max) else {
                panic!("{found:?}");
            };
            assert!(low <= min && max <= high, "{found:?} does not enclose {expected:?}");
            assert!(low.len() <= 64 && high.len() <= 64);
        }
        _ => assert_eq!(found, &expected),
    }
}

/// Values of NULL slots as bytes, which must be 0.
fn check_null_slots(chunk: &ColumnChunk) {
    match chunk {
        ColumnChunk::Dictionary { codes, dictionary } => {
            assert!(!dictionary.is_empty());
            let codes = codes.slice(0, codes.len());
            for row in (0..codes.len()).filter(|row| codes.is_null(*row)) {
                assert_eq!(codes.values()[row], 0);
            }
        }
        chunk => {
            let array = chunk.slice(0, chunk.len());
            let Some(width) = array.data_type().primitive_width() else {
                return;
            };
            let data = array.to_data();
            let bytes = &data.buffers()[0].as_slice()[data.offset() * width..];
            for row in (0..array.len()).filter(|row| array.is_null(*row)) {
                assert!(bytes[row * width..][..width].iter().all(|byte| *byte == 0));
            }
        }
    }
}

fn check(directory: &ShardDirectory, report: &ShardReport, batch: &RecordBatch) {
    let shard = directory.shard(report.identity.shard).unwrap();
    let rows = batch.num_rows();
    assert_eq!(shard.identity(), &report.identity);
    assert_eq!(shard.schema(), &batch.schema());
    assert_eq!((shard.row_count(), report.rows), (rows as u64, rows as u64));
    assert_eq!(shard.row_group_count(), rows.div_ceil(ROW_GROUP_ROWS));
    assert_eq!((shard.bytes(), shard.checksum()), (report.bytes, report.checksum));
    assert_eq!(shard.bytes(), std::fs::metadata(shard.path()).unwrap().len());
    assert_eq!(shard.summaries(), report.columns);
    for (column, expected) in batch.columns().iter().enumerate() {
        for row_group in 0..shard.row_group_count() {
            let expected = expected.slice(row_group * ROW_GROUP_ROWS, shard.row_group_rows(row_group));
            let chunk = shard.column(row_group, column).unwrap();
            check_null_slots(&chunk);
            check_zone_map(shard.zone_map(row_group, column), &expected);
            if let ColumnChunk::Array(array) = &chunk
                && shard.encoding(row_group, column) == Encoding::Plain
            {
                assert_eq!(array.to_data().buffers()[0].as_ptr() as usize % 64, 0, "aligned in the map");
            }
            for start in [0, 1, 1024, 8192, 60_000] {
                let rows = expected.len().saturating_sub(start).min(8192);
                if rows > 0 {
                    assert_eq!(
                        &chunk.slice(start, rows),
                        &expected.slice(start, rows),
                        "column {column} from {start}"
                    );
                }
            }
            assert_eq!(&chunk.into_array(), &expected, "row group {row_group}, column {column}");
        }
        check_summary(shard.summary(column), expected);
    }
    shard.verify().unwrap();
}

fn check_summary(summary: &ColumnSummary, array: &ArrayRef) {
    let zone_map = ZoneMap {
        row_count: array.len() as u64,
        null_count: summary.null_count,
        nan_count: summary.nan_count,
        min: summary.min.clone(),
        max: summary.max.clone(),
    };
    check_zone_map(&zone_map, array);
    if let Some(distinct) = summary.distinct
        && *array.data_type() == DataType::Utf8View
    {
        let mut values: Vec<_> = array.as_string_view().iter().flatten().collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(distinct, values.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_type_comes_back(
        seed in any::<u64>(),
        rows in prop_oneof![
            0_usize..200,
            Just(ROW_GROUP_ROWS - 1),
            Just(ROW_GROUP_ROWS),
            Just(ROW_GROUP_ROWS + 1),
            Just(2 * ROW_GROUP_ROWS),
            (2 * ROW_GROUP_ROWS)..(3 * ROW_GROUP_ROWS),
        ],
        nulls in prop::sample::select(&NULLS[..]),
    ) {
        let folder = tempfile::tempdir()?;
        let directory = ShardDirectory::open(folder.path())?;
        let batch = every_type(seed, rows, nulls);
        let report = write(&directory, 3, &batch, seed);
        check(&directory, &report, &batch);
    }
}

fn write_column(directory: &ShardDirectory, shard: u64, values: ArrayRef) -> ShardReport {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", values, true)]).unwrap();
    let report = write(directory, shard, &batch, shard);
    let stored = directory.shard(ShardId(shard)).unwrap().schema().field(0).data_type().clone();
    let expected = cast(batch.column(0), &stored).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable([("c", expected, true)]).unwrap();
    check(directory, &report, &batch);
    report
}

#[test]
fn encodings_follow_the_values() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(1, 3 * ROW_GROUP_ROWS, Nulls::RowGroups);
    write(&directory, 1, &batch, 1);
    let shard = directory.shard(ShardId(1)).unwrap();
    let encoding = |row_group, name: &str| shard.encoding(row_group, batch.schema().index_of(name).unwrap());
    for name in ["int4", "few", "many", "bytea"] {
        assert_eq!(encoding(0, name), Encoding::AllNull);
    }
    assert_eq!(encoding(1, "bool"), Encoding::Bits);
    for name in ["int8", "float8", "numeric", "interval"] {
        assert_eq!(encoding(1, name), Encoding::Plain, "{name}");
    }
    for name in ["constant", "yes"] {
        assert_eq!(encoding(1, name), Encoding::Constant, "{name}");
    }
    for name in ["two values", "two intervals"] {
        assert_eq!(encoding(1, name), Encoding::TwoValues, "{name}");
    }
    for name in ["small", "short", "code", "seconds", "price", "time"] {
        assert_eq!(encoding(1, name), Encoding::Packed, "{name}");
    }
    for name in ["cents", "tenths"] {
        assert_eq!(encoding(1, name), Encoding::Scaled, "{name}");
    }
    assert_eq!(encoding(1, "matrix"), Encoding::List);
    assert_eq!(encoding(1, "forced"), Encoding::Struct);
    assert_eq!(encoding(1, "few"), Encoding::Dictionary);
    assert_eq!(encoding(1, "many"), Encoding::Strings);
    assert_eq!(encoding(1, "bytea"), Encoding::Strings);
    let few = batch.schema().index_of("few").unwrap();
    let dictionary = shard.dictionary(few).unwrap().unwrap();
    assert!(dictionary.iter().is_sorted());
    assert_eq!(shard.summary(few).distinct, Some(dictionary.len() as u64));
    let ColumnChunk::Dictionary { dictionary: same, .. } = shard.column(1, few).unwrap() else {
        panic!("few texts have a dictionary");
    };
    assert!(Arc::ptr_eq(&dictionary, &same));
    assert_eq!(shard.summary(batch.schema().index_of("constant").unwrap()).distinct, Some(1));
}

#[test]
fn a_dictionary_that_grows_too_large_becomes_plain_strings() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    // More different values than a dictionary may have, reached in the middle of a row group.
    let rows = 1_048_576 + 3 * ROW_GROUP_ROWS / 2;
    let values: StringViewArray =
        (0..rows).map(|row| (row % 1000 != 0).then(|| format!("value {row}"))).collect();
    let report = write_column(&directory, 1, Arc::new(values));
    assert_eq!(report.columns[0].distinct, None);
    assert_eq!(directory.shard(ShardId(1)).unwrap().encoding(0, 0), Encoding::Strings);
}

#[test]
fn strings_of_megabytes_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let large = ["x".repeat(5 << 20), "\u{e4}".repeat(3 << 20)];
    let values = [Some(large[0].as_str()), None, Some(""), Some(large[1].as_str()), Some("short")];
    write_column(&directory, 1, Arc::new(StringViewArray::from(values.to_vec())));
    write_column(&directory, 2, Arc::new(StringViewArray::from(values.repeat(20))));
    // More than a dictionary may have in bytes.
    let many: Vec<_> = (0..20).map(|row| format!("{row}{}", large[0])).collect();
    write_column(&directory, 3, Arc::new(StringViewArray::from_iter_values(many.iter().chain(&many))));
}

#[test]
fn rows_without_columns_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(100_000));
    let batch = RecordBatch::try_new_with_options(schema, vec![], &options).unwrap();
    let report = write(&directory, 1, &batch, 1);
    check(&directory, &report, &batch);
    assert_eq!(directory.shard(ShardId(1)).unwrap().row_group_count(), 2);
}

#[test]
fn other_layouts_of_the_same_values_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let texts = vec![Some("a"), None, Some("longer than twelve bytes")];
    let coded: DictionaryArray<UInt8Type> = texts.iter().copied().collect();
    let columns: [(ArrayRef, DataType); 7] = [
        (Arc::new(StringArray::from(texts.clone())), DataType::Utf8View),
        (Arc::new(LargeStringArray::from(texts)), DataType::Utf8View),
        (Arc::new(coded), DataType::Utf8View),
        (Arc::new(BinaryArray::from(vec![Some(&b"\xff"[..]), None])), DataType::BinaryView),
        (Arc::new(Int8Array::from(vec![Some(-1), None])), DataType::Int16),
        (Arc::new(UInt32Array::from(vec![Some(u32::MAX), None])), DataType::Int64),
        (
            Arc::new(TimestampMillisecondArray::from(vec![Some(1), None])),
            DataType::Timestamp(TimeUnit::Microsecond, None),
        ),
    ];
    for (shard, (values, stored)) in (1..).zip(columns) {
        write_column(&directory, shard, values);
        assert_eq!(directory.shard(ShardId(shard)).unwrap().schema().field(0).data_type(), &stored);
    }
}

#[test]
fn a_time_that_does_not_fit_is_an_error_and_no_null() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let values = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX]));
    let batch = RecordBatch::try_from_iter([("c", values as ArrayRef)]).unwrap();
    let mut writer = ShardWriter::create(&directory, identity(1), batch.schema()).unwrap();
    assert!(matches!(writer.write(&batch), Err(StorageError::Convert { column, .. }) if column == "c"));
    assert_eq!(writer.finish().unwrap().rows, 0);
}

#[test]
fn equal_rows_are_equal_files_however_they_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(5, ROW_GROUP_ROWS + 999, Nulls::Some);
    let checksums = [1, 2].map(|seed| {
        let checksum = write(&directory, 9, &batch, seed).checksum;
        directory.remove(ShardId(9)).unwrap();
        checksum
    });
    assert_eq!(checksums[0], checksums[1]);
}

#[test]
fn every_chunk_can_be_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(6, ROW_GROUP_ROWS + 10, Nulls::Some);
    write(&directory, 1, &batch, 6);
    let shard = directory.shard(ShardId(1)).unwrap();
    // Twice: the second time nothing is checked again.
    for _ in 0..2 {
        for (column, expected) in batch.columns().iter().enumerate() {
            let found = read(&shard, column).unwrap();
            let found: Vec<&dyn Array> = found.iter().map(AsRef::as_ref).collect();
            assert_eq!(&arrow::compute::concat(&found).unwrap(), expected);
        }
    }
}

#[test]
fn fields_of_structures_are_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(7, ROW_GROUP_ROWS + 100, Nulls::Some);
    write(&directory, 1, &batch, 7);
    let shard = directory.shard(ShardId(1)).unwrap();
    let column = batch.schema().index_of("forced").unwrap();
    let forced = batch.column(column).as_struct();
    let inner = forced.column(0).as_struct();
    let flux = inner.column(0);
    for row_group in 0..shard.row_group_count() {
        let found = shard.leaf(row_group, column, &[0, 0]).unwrap().unwrap().into_array();
        let start = row_group * ROW_GROUP_ROWS;
        for row in 0..found.len() {
            let is_null = forced.is_null(start + row) || inner.is_null(start + row);
            assert_eq!(found.is_null(row), is_null);
            if !is_null {
                assert_eq!(&found.slice(row, 1), &flux.slice(start + row, 1));
            }
        }
        let zone_map = shard.leaf_zone_map(row_group, column, &[0, 0]).unwrap();
        assert_eq!(zone_map.null_count, found.null_count() as u64);
        assert!(zone_map.min.is_some());
    }
    let band = shard.leaf(0, column, &[0, 1]).unwrap().unwrap();
    assert!(matches!(band, ColumnChunk::Dictionary { .. }), "texts of fields have dictionaries");
    assert!(shard.leaf(0, column, &[3]).unwrap().is_none());
    assert!(shard.leaf(0, 0, &[0]).unwrap().is_none());
    assert_eq!(
        &shard.column(0, column).unwrap().into_array(),
        &batch.column(column).slice(0, ROW_GROUP_ROWS)
    );
}

#[test]
fn lists_of_many_equal_elements_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    // More elements than a chunk may hold without storing them, all NULL or all the same.
    for (shard, element) in [(1, None), (2, Some(5)), (3, Some(0))] {
        let rows = (0..1000).map(|row| Some(vec![element; if row % 2 == 0 { 200 } else { 0 }]));
        write_column(&directory, shard, Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(rows)));
    }
}

#[test]
fn values_under_null_are_not_stored() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let rows = 5000;
    let nulls = Some(NullBuffer::from_iter((0..rows).map(|row| row % 3 > 0)));
    // What lies under NULL would widen the range.
    let values: Vec<i64> = (0..rows).map(|row| if row % 3 > 0 { 1 << 40 | row } else { row }).collect();
    let report = write_column(&directory, 1, Arc::new(Int64Array::new(values.into(), nulls.clone())));
    assert!(report.bytes < 9000, "{} bytes", report.bytes);
    let texts: Vec<_> = (0..rows).map(|row| format!("value {}", row * row)).collect();
    let (views, buffers, _) = StringViewArray::from_iter_values(texts).into_parts();
    write_column(&directory, 2, Arc::new(StringViewArray::new(views, buffers, nulls)));
}
