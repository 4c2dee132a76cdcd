//! The outline of a shard file: constants, header and trailer. `FORMAT.md` is the specification.

use crate::decoder::{Decoder, malformed};
use crate::{Result, ShardId, TableId};

/// First and last bytes of a shard file.
pub(crate) const MAGIC: [u8; 8] = *b"QDBSHARD";

/// Version of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// Values, codes and offsets as they are; no lists and structures.
    One,
    /// What this crate writes.
    Two,
}

impl Version {
    /// The one that is written.
    pub(crate) const WRITTEN: Self = Self::Two;

    const fn number(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    fn parse(number: u32) -> Result<Self> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(malformed(format!("its format version is {number}, not 1 or 2"))),
        }
    }
}

/// Segments begin at multiples of this: a cache line, and as wide as the widest vector register (AVX-512).
pub(crate) const SEGMENT_ALIGNMENT_BYTES: u64 = 64;

/// Length of the header, so that the first segment is aligned.
pub(crate) const HEADER_BYTES: usize = 64;

/// Length of the trailer.
pub(crate) const TRAILER_BYTES: usize = 32;

/// Rows of a shard at most, so that a u32 can number them.
pub(crate) const SHARD_ROWS_MAX: u64 = u32::MAX as u64;

const _: () = assert!((HEADER_BYTES as u64).is_multiple_of(SEGMENT_ALIGNMENT_BYTES));
const _: () =
    assert!(cfg!(target_endian = "little"), "segments are used as they lie in the file, little-endian");
const _: () = assert!(size_of::<usize>() == 8, "shards are mapped whole");

/// Bytes of the header that its checksum covers.
const HEADER_CHECKED_BYTES: usize = HEADER_BYTES - 4;

/// Bytes of the trailer that the footer's checksum covers.
const TRAILER_CHECKED_BYTES: usize = 20;

/// The first bytes of a shard file.
pub(crate) fn encode_header(shard: ShardId, table: TableId) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&Version::WRITTEN.number().to_le_bytes());
    out.extend_from_slice(&shard.0.to_le_bytes());
    out.extend_from_slice(&table.0.to_le_bytes());
    out.resize(HEADER_CHECKED_BYTES, 0);
    let crc32 = crc32fast::hash(&out);
    out.extend_from_slice(&crc32.to_le_bytes());
    out
}

/// Checks the header at the front of `file` and returns its version and whose it is.
pub(crate) fn parse_header(file: &[u8]) -> Result<(Version, ShardId, TableId)> {
    let header = Decoder::new(file).bytes(HEADER_BYTES)?;
    let mut decoder = Decoder::new(header);
    if decoder.bytes(MAGIC.len())? != MAGIC {
        return Err(malformed("it does not begin like a shard"));
    }
    let version = decoder.u32()?;
    let shard = ShardId(decoder.u64()?);
    let table = TableId(decoder.u64()?);
    let checked = Decoder::new(header).bytes(HEADER_CHECKED_BYTES)?;
    let mut crc32 = Decoder::new(header);
    crc32.bytes(HEADER_CHECKED_BYTES)?;
    if crc32.u32()? != crc32fast::hash(checked) {
        return Err(malformed("checksum of the header does not match"));
    }
    Ok((Version::parse(version)?, shard, table))
}

/// The footer of a file whose trailer has been checked.
pub(crate) struct FooterBytes<'a> {
    /// Its version.
    pub(crate) version: Version,
    /// Where the footer begins, which is where the segments end.
    pub(crate) offset: u64,
    /// The encoded footer.
    pub(crate) bytes: &'a [u8],
    /// Its checksum, which matches.
    pub(crate) crc32: u32,
}

/// The last bytes of a shard file, and the checksum that they hold.
pub(crate) fn encode_trailer(footer: &[u8], footer_offset: u64) -> (Vec<u8>, u32) {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    out.extend_from_slice(&footer_offset.to_le_bytes());
    out.extend_from_slice(&(footer.len() as u64).to_le_bytes());
    out.extend_from_slice(&Version::WRITTEN.number().to_le_bytes());
    let crc32 = footer_crc32(footer, &out);
    out.extend_from_slice(&crc32.to_le_bytes());
    out.extend_from_slice(&MAGIC);
    (out, crc32)
}

/// Checks the trailer at the end of `file` and the checksum of the footer before it.
pub(crate) fn parse_trailer(file: &[u8]) -> Result<FooterBytes<'_>> {
    let trailer_offset =
        file.len().checked_sub(TRAILER_BYTES).ok_or_else(|| malformed("it is shorter than a trailer"))?;
    let (before, trailer) = file.split_at(trailer_offset);
    let mut decoder = Decoder::new(trailer);
    let offset = decoder.u64()?;
    let bytes = decoder.u64()?;
    let version = decoder.u32()?;
    let crc32 = decoder.u32()?;
    if decoder.rest() != MAGIC {
        return Err(malformed("it does not end like a shard"));
    }
    if offset.checked_add(bytes) != Some(before.len() as u64) || offset < HEADER_BYTES as u64 {
        return Err(malformed(format!(
            "a footer of {bytes} bytes at {offset} does not fit its {} bytes",
            file.len()
        )));
    }
    let footer = usize::try_from(offset).ok().and_then(|offset| before.get(offset..)).unwrap_or_default();
    let checked = Decoder::new(trailer).bytes(TRAILER_CHECKED_BYTES)?;
    if crc32 != footer_crc32(footer, checked) {
        return Err(malformed("checksum of the footer does not match"));
    }
    Ok(FooterBytes { version: Version::parse(version)?, offset, bytes: footer, crc32 })
}

fn footer_crc32(footer: &[u8], trailer: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(footer);
    hasher.update(trailer);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_header_and_trailer_is_seen() {
        let mut file = encode_header(ShardId(1), TableId(2));
        let footer = b"any footer";
        let offset = file.len() as u64;
        file.extend_from_slice(footer);
        file.extend(encode_trailer(footer, offset).0);
        let is_right = |file: &[u8]| {
            parse_header(file).is_ok_and(|ids| ids == (Version::WRITTEN, ShardId(1), TableId(2)))
                && parse_trailer(file).is_ok_and(|found| found.bytes == footer && found.offset == offset)
        };
        assert!(is_right(&file));
        for bit in 0..file.len() * 8 {
            file[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_right(&file), "bit {bit}");
            file[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..file.len() {
            assert!(!is_right(&file[..cut]), "{cut} bytes");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut header = encode_header(ShardId(1), TableId(2));
        header[8] = 9;
        let crc32 = crc32fast::hash(&header[..HEADER_CHECKED_BYTES]);
        header[HEADER_CHECKED_BYTES..].copy_from_slice(&crc32.to_le_bytes());
        let error = parse_header(&header).unwrap_err().to_string();
        assert!(error.contains("version is 9"), "{error}");
    }
}
