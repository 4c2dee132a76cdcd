//! Damaged files are errors, never wrong values.

use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use quickdb_storage::{ROW_GROUP_ROWS, ShardDirectory, ShardId, StorageError};

use crate::generate::{Nulls, Random, every_type, read, write};

/// Length of the header.
const HEADER_BYTES: usize = 64;

/// A shard as bytes, with what is in it.
fn shard_bytes(rows: usize) -> (RecordBatch, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(11, rows, Nulls::Some);
    write(&directory, 1, &batch, 11);
    let bytes = fs::read(directory.shard(ShardId(1)).unwrap().path()).unwrap();
    (batch, bytes)
}

fn expect_corrupt(error: &StorageError) {
    assert!(matches!(error, StorageError::Corrupt { shard: ShardId(1), .. }), "{error}");
}

/// Puts bytes in the place of shard 1. Removing the file first is faster: ext4 flushes files that are overwritten.
fn replace(folder: &Path, bytes: &[u8]) {
    let path = folder.join("0000000000000001.qdb");
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    fs::write(path, bytes).unwrap();
}

/// Opens damaged bytes. Whatever can be read must be right, and `verify` must notice.
fn check(folder: &Path, bytes: &[u8], batch: &RecordBatch, damage: &str) {
    replace(folder, bytes);
    let directory = ShardDirectory::open(folder).unwrap();
    let shard = match directory.shard(ShardId(1)) {
        Ok(shard) => shard,
        Err(error) => return expect_corrupt(&error),
    };
    for (column, expected) in batch.columns().iter().enumerate() {
        match read(&shard, column) {
            Ok(chunks) => {
                for (row_group, chunk) in chunks.iter().enumerate() {
                    let expected = expected.slice(row_group * ROW_GROUP_ROWS, chunk.len());
                    assert_eq!(chunk, &expected, "{damage}, column {column}");
                }
            }
            Err(error) => {
                expect_corrupt(&error);
                let name = batch.schema().field(column).name().clone();
                // The column or one of its fields.
                let is_named = ["\"", "."]
                    .iter()
                    .any(|end| error.to_string().contains(&format!("column \"{name}{end}")));
                assert!(is_named, "{error}");
            }
        }
    }
    match shard.verify() {
        Ok(()) => panic!("{damage} was not noticed"),
        Err(error) => expect_corrupt(&error),
    }
}

#[test]
fn every_flipped_byte_of_a_small_shard_is_noticed() {
    let (batch, mut bytes) = shard_bytes(50);
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(1);
    // Every byte of header, footer and trailer, and every third between them.
    let footer =
        usize::try_from(u64::from_le_bytes(*bytes.last_chunk::<32>().unwrap().first_chunk().unwrap()));
    let segments = HEADER_BYTES..footer.unwrap();
    for position in (0..bytes.len()).filter(|position| !segments.contains(position) || position % 3 == 0) {
        let mask = 1 << random.below(8);
        bytes[position] ^= mask;
        check(folder.path(), &bytes, &batch, &format!("bit {mask} of byte {position}"));
        bytes[position] ^= mask;
    }
}

#[test]
fn flipped_bytes_of_a_large_shard_are_noticed() {
    let (batch, mut bytes) = shard_bytes(ROW_GROUP_ROWS + 500);
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    for _ in 0..60 {
        let position = random.below(bytes.len());
        bytes[position] ^= 0x10;
        check(folder.path(), &bytes, &batch, &format!("byte {position}"));
        bytes[position] ^= 0x10;
    }
}

/// Any number of bits anywhere: what is read is right, or an error. `PROPTEST_CASES=100000` runs longer.
#[test]
fn random_damage_is_noticed() {
    let (batch, bytes) = shard_bytes(3000);
    let folder = tempfile::tempdir().unwrap();
    proptest!(ProptestConfig { cases: cases(40), ..ProptestConfig::default() }, |(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 1..6),
    )| {
        let mut damaged = bytes.clone();
        for (position, bit) in &flips {
            damaged[position.index(bytes.len())] ^= 1 << bit;
        }
        // Two flips may undo each other.
        if damaged != bytes {
            check(folder.path(), &damaged, &batch, &format!("flips {flips:?}"));
        }
    });
}

/// Cases of a property that reads whole shards: fewer than usual, unless more are asked for.
fn cases(usual: u32) -> u32 {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    asked.unwrap_or(usual)
}

#[test]
fn files_of_another_length_do_not_open() {
    let (_, bytes) = shard_bytes(20);
    let folder = tempfile::tempdir().unwrap();
    let open = |bytes: &[u8]| {
        replace(folder.path(), bytes);
        ShardDirectory::open(folder.path()).unwrap().shard(ShardId(1)).map(|_| ())
    };
    open(&bytes).unwrap();
    for length in 0..bytes.len() {
        expect_corrupt(&open(&bytes[..length]).unwrap_err());
    }
    for more in [1, 32, 64, 4096] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        expect_corrupt(&open(&longer).unwrap_err());
    }
    // Two shards in one file.
    expect_corrupt(&open(&[bytes.as_slice(), bytes.as_slice()].concat()).unwrap_err());
}

#[test]
fn a_shard_under_the_name_of_another_does_not_open() {
    let (_, bytes) = shard_bytes(20);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0000000000000002.qdb"), bytes).unwrap();
    let error = ShardDirectory::open(folder.path()).unwrap().shard(ShardId(2)).unwrap_err();
    assert!(matches!(error, StorageError::Corrupt { shard: ShardId(2), .. }), "{error}");
}
