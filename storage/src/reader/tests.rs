//! Shards that are damaged on purpose, with checksums that match.

use super::*;
use crate::format::{encode_trailer, parse_trailer};
use crate::{ShardDirectory, ShardWriter, TableId};
use arrow::array::{BooleanArray, Int32Array, RecordBatch};
use proptest::prelude::*;

const SHARD: ShardId = ShardId(1);

/// Damage to a footer or to the data before it.
type Change = fn(&mut ShardFooter, &mut Vec<u8>);

/// A shard of 20 rows in memory: text with and without dictionary, integers and Booleans with NULLs.
fn example() -> Vec<u8> {
    let coded: StringViewArray = (0..20).map(|row| Some(["\u{e4}", "b"][row % 2])).collect();
    let plain: StringViewArray = (0..20).map(|row| Some(format!("{row} \u{e4}"))).collect();
    let ints: Int32Array = (0..20).map(|row| (row % 3 > 0).then_some(row)).collect();
    let bools: BooleanArray = (0..20).map(|row| (row % 3 > 0).then_some(row % 2 == 0)).collect();
    let batch = RecordBatch::try_from_iter([
        ("coded", Arc::new(coded) as ArrayRef),
        ("plain", Arc::new(plain)),
        ("ints", Arc::new(ints)),
        ("bools", Arc::new(bools)),
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
    let mut footer = ShardFooter::parse(found.bytes, data_end).unwrap();
    bytes.truncate(usize::try_from(data_end).unwrap());
    change(&mut footer, &mut bytes);
    let seal = |segment: &mut SegmentLocation| {
        segment.crc32 = crc32fast::hash(&bytes[range(*segment)]);
    };
    for dictionary in footer.dictionaries.iter_mut().flatten() {
        seal(&mut dictionary.offsets);
        seal(&mut dictionary.bytes);
    }
    for chunk in &mut footer.chunks {
        chunk.validity.iter_mut().for_each(seal);
        match &mut chunk.layout {
            Layout::AllNull => {}
            Layout::Plain { values } | Layout::Bits { values } => seal(values),
            Layout::Dictionary { codes } => seal(codes),
            Layout::Strings { offsets, bytes } => {
                seal(offsets);
                seal(bytes);
            }
        }
    }
    let footer = footer.encode().unwrap();
    bytes.extend_from_slice(&footer);
    bytes.extend(encode_trailer(&footer, data_end).0);
    parse(&bytes).unwrap()
}

fn range(segment: SegmentLocation) -> Range<usize> {
    usize::try_from(segment.offset).unwrap()..usize::try_from(segment.end()).unwrap()
}

fn read_all(shard: &Shard) -> Result<()> {
    (0..shard.schema().fields.len()).try_for_each(|column| shard.column(0, column).map(|_| ()))
}

#[test]
fn what_checksums_do_not_promise_is_checked() {
    let cases: [(&str, Change); 6] = [
        ("column \"coded\": row group 0: a code is beyond the 2 values", |footer, bytes| {
            let Layout::Dictionary { codes } = footer.chunks[0].layout else { panic!() };
            bytes[range(codes)][4] = 2;
        }),
        ("column \"coded\": dictionary: text is not UTF-8", |footer, bytes| {
            let dictionary = footer.dictionaries[0].as_ref().unwrap();
            bytes[range(dictionary.bytes)][0] = 0xff;
        }),
        ("column \"coded\": dictionary: values are not sorted", |footer, bytes| {
            let dictionary = footer.dictionaries[0].as_ref().unwrap();
            // "b" and "\u{e4}" become "z" and "e" with an end that is no letter.
            bytes[range(dictionary.bytes)].copy_from_slice(b"ze!");
        }),
        ("column \"plain\": row group 0: offset", |footer, bytes| {
            let Layout::Strings { offsets, .. } = footer.chunks[1].layout else { panic!() };
            bytes[range(offsets)][4] = 200;
        }),
        ("column \"plain\": row group 0: text is not UTF-8", |footer, bytes| {
            let Layout::Strings { bytes: strings, .. } = footer.chunks[1].layout else { panic!() };
            bytes[range(strings)][2] = b'x';
        }),
        ("column \"ints\": row group 0: 6 rows are NULL", |footer, bytes| {
            bytes[range(footer.chunks[2].validity.unwrap())][0] |= 1;
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
    let cases: [(&str, Change); 3] = [
        ("zone map does not match", |footer, _| {
            footer.chunks[2].zone_map.max = Some(crate::Bound::Int(20));
        }),
        ("a value under NULL is not zero", |footer, bytes| {
            let Layout::Plain { values } = footer.chunks[2].layout else { panic!() };
            bytes[range(values)][0] = 1;
        }),
        ("bytes between segments", |footer, bytes| {
            let Layout::Dictionary { codes } = footer.chunks[0].layout else { panic!() };
            bytes[usize::try_from(codes.end()).unwrap()] = 1;
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
    #[test]
    fn hostile_shards_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        footer_changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = example();
        let offset = parse_trailer(&bytes).unwrap().offset;
        let (data, footer) = bytes.split_at(usize::try_from(offset).unwrap());
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
        bytes = [data.as_slice(), &footer, &encode_trailer(&footer, offset).0].concat();
        if let Ok(shard) = parse(&bytes) {
            let _ = shard.verify();
            let _ = read_all(&shard);
        }
    }
}
