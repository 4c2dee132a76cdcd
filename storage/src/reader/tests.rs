//! Shards that are damaged on purpose, with checksums that match.

use super::*;
use crate::format::{Version, encode_trailer, parse_trailer};
use crate::layout::StringSegments;
use crate::{ShardDirectory, ShardWriter, TableId};
use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch};
use arrow::datatypes::Int32Type;
use proptest::prelude::*;

const SHARD: ShardId = ShardId(1);

const ROWS: usize = 2000;

/// Damage to a footer or to the data before it.
type Change = fn(&mut ShardFooter, &mut Vec<u8>);

/// A shard of 2,000 rows in memory, with a column of nearly every encoding.
fn example() -> Vec<u8> {
    let coded: StringViewArray = (0..ROWS).map(|row| Some(["\u{e4}", "b"][row % 2])).collect();
    let plain: StringViewArray = (0..ROWS).map(|row| Some(format!("{row} \u{e4}"))).collect();
    let number = |row: usize| i32::try_from(row).unwrap();
    let ints: Int32Array = (0..ROWS).map(|row| (row % 3 > 0).then(|| number(row))).collect();
    let bools: BooleanArray = (0..ROWS).map(|row| (row % 3 > 0).then_some(row % 2 == 0)).collect();
    let floats: Float64Array =
        (0..ROWS).map(|row| if row % 500 == 7 { f64::NAN } else { f64::from(number(row)) / 100.0 }).collect();
    let random: Int64Array = (0..ROWS)
        .map(|row| (row % 3 > 0).then(|| (row as i64).wrapping_mul(0x1234_5678_9abc_def1)))
        .collect();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..ROWS).map(|row| (row % 3 > 0).then(|| vec![Some(number(row)); row % 4])),
    );
    let batch = RecordBatch::try_from_iter([
        ("coded", Arc::new(coded) as ArrayRef),
        ("plain", Arc::new(plain)),
        ("ints", Arc::new(ints)),
        ("bools", Arc::new(bools)),
        ("floats", Arc::new(floats)),
        ("random", Arc::new(random)),
        ("lists", Arc::new(lists)),
        ("constant", Arc::new(Int32Array::from(vec![7; ROWS]))),
    ])
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let identity = ShardIdentity { shard: SHARD, table: TableId(2), table_name: "public.t".to_owned() };
    let mut writer = ShardWriter::create(&directory, identity, batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    std::fs::read(directory.shard_path(SHARD)).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Shard> {
    // The alignment that a map has.
    let mut aligned = arrow::buffer::MutableBuffer::new(bytes.len());
    aligned.extend_from_slice(bytes);
    Shard::parse(aligned.into(), Path::new("memory"), SHARD)
}

/// Changes the data of a shard, and puts all checksums right again.
fn resealed(change: impl FnOnce(&mut ShardFooter, &mut Vec<u8>)) -> Shard {
    let mut bytes = example();
    let found = parse_trailer(&bytes).unwrap();
    let data_end = found.offset;
    let mut footer = ShardFooter::parse(found.bytes, data_end, found.version).unwrap();
    bytes.truncate(usize::try_from(data_end).unwrap());
    change(&mut footer, &mut bytes);
    for dictionary in footer.dictionaries.iter_mut().flatten() {
        dictionary.strings.segments_mut().into_iter().for_each(|segment| seal(segment, &bytes));
    }
    footer.chunks.iter_mut().for_each(|chunk| seal_chunk(chunk, &bytes));
    let footer = footer.encode().unwrap();
    bytes.extend_from_slice(&footer);
    bytes.extend(encode_trailer(&footer, data_end).0);
    parse(&bytes).unwrap()
}

fn seal(segment: &mut SegmentLocation, bytes: &[u8]) {
    segment.crc32 = crc32fast::hash(&bytes[range(*segment)]);
}

fn seal_chunk(chunk: &mut ChunkMeta, bytes: &[u8]) {
    chunk.validity.iter_mut().for_each(|segment| seal(segment, bytes));
    match &mut chunk.layout {
        Layout::AllNull => {}
        Layout::Plain { values } | Layout::Bits { values } | Layout::Packed { values, .. } => {
            seal(values, bytes)
        }
        Layout::Constant { value } => seal(value, bytes),
        Layout::TwoValues { values, bits } => {
            seal(values, bytes);
            seal(bits, bytes);
        }
        Layout::Scaled { values, exceptions, .. } => {
            seal(values, bytes);
            exceptions.iter_mut().for_each(|segment| seal(segment, bytes));
        }
        Layout::Dictionary { codes } | Layout::PackedDictionary { codes } => seal(codes, bytes),
        Layout::Strings(strings) => {
            strings.segments_mut().into_iter().for_each(|segment| seal(segment, bytes));
        }
        Layout::List { lengths, child, .. } => {
            seal(lengths, bytes);
            seal_chunk(child, bytes);
        }
        Layout::Struct { children } => children.iter_mut().for_each(|child| seal_chunk(child, bytes)),
    }
}

fn range(segment: SegmentLocation) -> Range<usize> {
    usize::try_from(segment.offset).unwrap()..usize::try_from(segment.end()).unwrap()
}

fn read_all(shard: &Shard) -> Result<()> {
    (0..shard.schema().fields.len()).try_for_each(|column| shard.column(0, column).map(|_| ()))
}

#[test]
fn what_checksums_do_not_promise_is_checked() {
    let cases: [(&str, Change); 13] = [
        ("column \"coded\": row group 0: a code is beyond the 2 values", |footer, bytes| {
            let Layout::PackedDictionary { codes } = footer.chunks[0].layout else { panic!() };
            // The base of the first block.
            bytes[range(codes)][0] = 2;
        }),
        ("column \"coded\": dictionary: text is not UTF-8", |footer, bytes| {
            let [_, strings] = footer.dictionaries[0].as_ref().unwrap().strings.segments();
            bytes[range(strings)][0] = 0xff;
        }),
        ("column \"coded\": dictionary: values are not sorted", |footer, bytes| {
            let [_, strings] = footer.dictionaries[0].as_ref().unwrap().strings.segments();
            // "b" and "\u{e4}" become "z" and "e" with an end that is no letter.
            bytes[range(strings)].copy_from_slice(b"ze!");
        }),
        ("column \"plain\": row group 0: strings of", |footer, bytes| {
            let Layout::Strings(strings) = &footer.chunks[1].layout else { panic!() };
            bytes[range(strings.segments()[0])][0] = 200;
        }),
        ("column \"plain\": row group 0: strings", |footer, bytes| {
            let Layout::Strings(strings) = &footer.chunks[1].layout else { panic!() };
            // The number that Zstandard frames begin with.
            bytes[range(strings.segments()[1])][0] ^= 1;
        }),
        ("column \"plain\": row group 0: strings", |footer, _| {
            let Layout::Strings(StringSegments::Lengths { raw_bytes, .. }) = &mut footer.chunks[1].layout
            else {
                panic!()
            };
            *raw_bytes.as_mut().unwrap() += 1;
        }),
        ("column \"ints\": row group 0: 666 rows are NULL", |footer, bytes| {
            bytes[range(footer.chunks[2].validity.unwrap())][0] |= 1;
        }),
        ("column \"ints\": row group 0: a packed block has", |footer, bytes| {
            let Layout::Packed { values, .. } = footer.chunks[2].layout else { panic!() };
            // The width of the first of two blocks.
            bytes[range(values)][16] = 33;
        }),
        ("column \"ints\": row group 0: a packed block has", |footer, bytes| {
            let Layout::Packed { values, .. } = footer.chunks[2].layout else { panic!() };
            // A base of more than 32 bits.
            bytes[range(values)][5] = 1;
        }),
        ("column \"ints\": row group 0: 2000 packed values have", |footer, bytes| {
            let Layout::Packed { values, .. } = footer.chunks[2].layout else { panic!() };
            bytes[range(values)][16] -= 1;
        }),
        ("column \"floats\": row group 0: exceptions are not in order", |footer, bytes| {
            let Layout::Scaled { exceptions, .. } = footer.chunks[4].layout else { panic!() };
            let exceptions = exceptions.unwrap();
            assert_eq!(exceptions.bytes, 4 * 12);
            bytes[range(exceptions)][4 * 8] = 255;
            bytes[range(exceptions)][4 * 8 + 1] = 255;
        }),
        ("column \"lists\": row group 0: lists of", |footer, bytes| {
            let Layout::List { lengths, .. } = footer.chunks[6].layout else { panic!() };
            bytes[range(lengths)][0] = 200;
        }),
        ("column \"lists\": row group 0: lists of", |footer, bytes| {
            let Layout::List { lengths, .. } = footer.chunks[6].layout else { panic!() };
            bytes[range(lengths)][..4].fill(255);
        }),
    ];
    read_all(&resealed(|_, _| ())).unwrap();
    for (expected, change) in cases {
        let shard = resealed(change);
        for _ in 0..2 {
            let error = read_all(&shard).expect_err(expected);
            assert!(matches!(error, StorageError::Corrupt { shard: SHARD, .. }));
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(shard.verify().expect_err(expected).to_string().contains(expected));
    }
}

#[test]
fn verifying_compares_zone_maps_and_zeros() {
    let cases: [(&str, Change); 4] = [
        ("zone map does not match", |footer, _| {
            footer.chunks[2].zone_map.max = Some(crate::Bound::Int(2000));
        }),
        ("zone map does not match", |footer, _| {
            footer.chunks[7].zone_map.min = Some(crate::Bound::Int(6));
        }),
        ("a value under NULL is not zero", |footer, bytes| {
            let Layout::Plain { values } = footer.chunks[5].layout else { panic!() };
            bytes[range(values)][0] = 1;
        }),
        ("bytes between segments", |footer, bytes| {
            let Layout::Constant { value } = footer.chunks[7].layout else { panic!() };
            bytes[usize::try_from(value.end()).unwrap()] = 1;
        }),
    ];
    resealed(|_, _| ()).verify().unwrap();
    for (expected, change) in cases {
        let shard = resealed(change);
        read_all(&shard).unwrap();
        let error = shard.verify().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    // `PROPTEST_CASES=1000000` runs longer, until something is found or it is done.

    #[test]
    fn hostile_shards_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        footer_changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        is_sealed in any::<bool>(),
    ) {
        let original = EXAMPLE.as_slice();
        let offset = parse_trailer(original).unwrap().offset;
        let (data, footer) = original.split_at(usize::try_from(offset).unwrap());
        let mut data = data.to_vec();
        let mut footer = footer[..footer.len() - crate::format::TRAILER_BYTES].to_vec();
        for (position, byte) in &footer_changes {
            let position = position.index(footer.len());
            footer[position] = *byte;
        }
        for (position, byte) in &changes {
            // The header has its own test.
            let position = HEADER_BYTES + position.index(data.len() - HEADER_BYTES);
            data[position] = *byte;
        }
        // With checksums that match, damage gets beyond them.
        if is_sealed && let Ok(mut parsed) = ShardFooter::parse(&footer, offset, Version::WRITTEN) {
            for dictionary in parsed.dictionaries.iter_mut().flatten() {
                dictionary.strings.segments_mut().into_iter().for_each(|segment| seal(segment, &data));
            }
            parsed.chunks.iter_mut().for_each(|chunk| seal_chunk(chunk, &data));
            footer = parsed.encode().unwrap();
        }
        let bytes = [data.as_slice(), &footer, &encode_trailer(&footer, offset).0].concat();
        if let Ok(shard) = parse(&bytes) {
            let _ = shard.verify();
            let _ = read_all(&shard);
        }
    }
}

static EXAMPLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(example);
