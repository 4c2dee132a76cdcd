//! Strings one after the other: packed lengths, and bytes that are compressed where that saves much.

use crate::chunk_writer::ChunkWriter;
use crate::layout::{COMPRESSION_RATIO_MAX, StringSegments};
use crate::mmap::STRING_BYTES_MAX;
use crate::{Result, StorageError};

/// Zstandard's fastest level with entropy coding: on TPC-H's comments higher ones save a few percent more and take a
/// multiple of the time (`benches/chunks.rs`).
const COMPRESSION_LEVEL: i32 = 1;

/// Percent of the bytes that compressed ones may have: taking them apart costs time at every reading.
const COMPRESSED_PERCENT_MAX: usize = 75;

/// Strings of fewer bytes stay as they are.
const COMPRESSED_FROM_BYTES: usize = 1024;

/// Strings of more bytes stay as they are: a reader holds all of them in memory at once.
const COMPRESSED_TO_BYTES: usize = 1 << 28;

/// Writes strings, which `strings` gives in order any number of times.
///
/// # Errors
/// [`StorageError::LimitExceeded`] for a string that readers could not hold, else those of the file.
pub(crate) fn write_strings<'a, I: Iterator<Item = &'a [u8]>>(
    strings: impl Fn() -> I,
    writer: &mut ChunkWriter<'_>,
) -> Result<StringSegments> {
    if let Some(string) = strings().find(|string| string.len() > STRING_BYTES_MAX) {
        let (column, bytes) = (writer.column, string.len());
        let what = format!("a value of column \"{column}\" has {bytes} bytes, more than {STRING_BYTES_MAX}");
        return Err(StorageError::LimitExceeded { shard: writer.shard, what });
    }
    // All are short enough.
    let lengths: Vec<u32> = strings().map(|string| u32::try_from(string.len()).unwrap_or(0)).collect();
    let total: usize = lengths.iter().map(|length| *length as usize).sum();
    let lengths = writer.write_u32(&lengths)?;
    if (COMPRESSED_FROM_BYTES..=COMPRESSED_TO_BYTES).contains(&total) {
        let mut bytes = Vec::with_capacity(total);
        strings().for_each(|string| bytes.extend_from_slice(string));
        if let Some(compressed) = compress(&bytes) {
            let raw_bytes = Some(total as u64);
            return Ok(StringSegments::Lengths {
                lengths,
                bytes: writer.file.write(&compressed)?,
                raw_bytes,
            });
        }
        let bytes = writer.file.write(&bytes)?;
        return Ok(StringSegments::Lengths { lengths, bytes, raw_bytes: None });
    }
    let bytes = writer.file.write_pieces(strings())?;
    Ok(StringSegments::Lengths { lengths, bytes, raw_bytes: None })
}

/// The bytes compressed, `None` where that saves too little or so much that readers would not believe it.
fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let compressed = zstd::bulk::compress(bytes, COMPRESSION_LEVEL).ok()?;
    let is_smaller = compressed.len() * 100 <= bytes.len() * COMPRESSED_PERCENT_MAX;
    let is_believed = bytes.len() as u64 <= compressed.len() as u64 * COMPRESSION_RATIO_MAX;
    (is_smaller && is_believed).then_some(compressed)
}

/// Undoes the compression of `raw_bytes` bytes.
///
/// # Errors
/// What is wrong with them, for people.
pub(crate) fn decompress(bytes: &[u8], raw_bytes: u64) -> Result<Vec<u8>, String> {
    let capacity = usize::try_from(raw_bytes).map_err(|_| format!("{raw_bytes} bytes do not fit memory"))?;
    let raw = zstd::bulk::decompress(bytes, capacity).map_err(|error| format!("strings: {error}"))?;
    if raw.len() == capacity {
        Ok(raw)
    } else {
        Err(format!("strings have {} bytes, not {capacity}", raw.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_undone_and_damage_seen() {
        let text = "the quick deposits sleep above the packages ".repeat(40);
        let compressed = compress(text.as_bytes()).unwrap();
        let raw_bytes = text.len() as u64;
        assert_eq!(decompress(&compressed, raw_bytes).unwrap(), text.as_bytes());
        assert!(decompress(&compressed, raw_bytes - 1).is_err());
        assert!(decompress(&compressed, raw_bytes + 1).is_err());
        assert!(decompress(&compressed[1..], raw_bytes).is_err());
        assert!(decompress(&[], 5).is_err());
    }
}
