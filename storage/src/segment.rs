//! Segments: aligned runs of encoded bytes, each with its checksum.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::buffer::{Buffer, MutableBuffer};

use crate::decoder::{Decoder, malformed};
use crate::format::{HEADER_BYTES, SEGMENT_ALIGNMENT_BYTES};
use crate::space::Taken;
use crate::{Result, StorageError};

/// Where a segment lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentLocation {
    /// A multiple of [`SEGMENT_ALIGNMENT_BYTES`].
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// CRC-32 (IEEE 802.3) of the bytes.
    pub(crate) crc32: u32,
}

impl SegmentLocation {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&self.crc32.to_le_bytes());
    }

    /// Reads a location that is aligned and lies between the header and `data_end`.
    pub(crate) fn decode(decoder: &mut Decoder<'_>, data_end: u64) -> Result<Self> {
        let location = Self { offset: decoder.u64()?, bytes: decoder.u64()?, crc32: decoder.u32()? };
        let end = location.offset.checked_add(location.bytes);
        if !location.offset.is_multiple_of(SEGMENT_ALIGNMENT_BYTES)
            || location.offset < HEADER_BYTES as u64
            || end.is_none_or(|end| end > data_end)
        {
            let Self { offset, bytes, .. } = location;
            return Err(malformed(format!("a segment of {bytes} bytes cannot lie at {offset}")));
        }
        Ok(location)
    }

    /// Where the next byte after the segment is. Does not overflow in a location that was decoded or written.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes
    }
}

/// Collects small writes; larger ones pass by.
const WRITE_BUFFER_BYTES: usize = 1 << 18;

/// What segments are appended to.
enum Sink {
    File(BufWriter<File>),
    /// Aligned as a map is, so that it can be read as one.
    Memory(MutableBuffer),
}

/// Appends segments to a file, or to memory that stands for one.
pub(crate) struct SegmentWriter {
    sink: Sink,
    path: PathBuf,
    position: u64,
    /// What the file has of the disk.
    taken: Option<Arc<Taken>>,
}

impl SegmentWriter {
    /// `path` is that of `file`, for messages.
    pub(crate) fn new(file: File, path: PathBuf, taken: Option<Arc<Taken>>) -> Self {
        let sink = Sink::File(BufWriter::with_capacity(WRITE_BUFFER_BYTES, file));
        Self { sink, path, position: 0, taken }
    }

    /// A file in memory.
    pub(crate) fn in_memory() -> Self {
        let sink = Sink::Memory(MutableBuffer::new(0));
        Self { sink, path: PathBuf::from("memory"), position: 0, taken: None }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Appends bytes that are no segment.
    pub(crate) fn write_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.taken.as_ref().map_or(Ok(()), |taken| taken.grow(bytes.len()))?;
        match &mut self.sink {
            Sink::File(file) => {
                file.write_all(bytes).map_err(|source| StorageError::io(&self.path, source))?;
            }
            Sink::Memory(buffer) => buffer.extend_from_slice(bytes),
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Appends a segment.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<SegmentLocation> {
        self.write_pieces(std::iter::once(bytes))
    }

    /// Appends a segment of several pieces, without a gap between them.
    pub(crate) fn write_pieces<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Result<SegmentLocation> {
        while !self.position.is_multiple_of(SEGMENT_ALIGNMENT_BYTES) {
            self.write_raw(&[0])?;
        }
        let offset = self.position;
        let mut hasher = crc32fast::Hasher::new();
        for piece in pieces {
            hasher.update(piece);
            self.write_raw(piece)?;
        }
        Ok(SegmentLocation { offset, bytes: self.position - offset, crc32: hasher.finalize() })
    }

    /// Makes all that was written to a file durable; gives the bytes that were written to memory.
    pub(crate) fn finish(self) -> Result<Option<Buffer>> {
        match self.sink {
            Sink::File(mut file) => {
                let synced = file.flush().and_then(|()| file.get_ref().sync_all());
                synced.map_err(|source| StorageError::io(&self.path, source))?;
                Ok(None)
            }
            Sink::Memory(buffer) => Ok(Some(buffer.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_aligned_and_gaps_are_zero() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = SegmentWriter::new(file.reopen().unwrap(), file.path().to_path_buf(), None);
        writer.write_raw(&[7; HEADER_BYTES]).unwrap();
        let first = writer.write(b"abc").unwrap();
        let empty = writer.write(b"").unwrap();
        let second = writer.write_pieces([&b"de"[..], b"", b"f"].into_iter()).unwrap();
        assert_eq!((first.offset, first.bytes, first.end()), (64, 3, 67));
        assert_eq!((empty.offset, empty.bytes), (128, 0));
        assert_eq!((second.offset, second.bytes), (128, 3));
        assert_eq!(second.crc32, crc32fast::hash(b"def"));
        assert_eq!(writer.position(), 131);
        assert!(writer.finish().unwrap().is_none());
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(&bytes[64..67], b"abc");
        assert!(bytes[67..128].iter().all(|byte| *byte == 0));
        assert_eq!(&bytes[128..], b"def");
    }

    #[test]
    fn a_full_device_is_told() {
        let path = PathBuf::from("/dev/full");
        let file = File::options().write(true).open(&path).unwrap();
        let mut writer = SegmentWriter::new(file, path, None);
        let error = writer.write(&vec![1; 2 * WRITE_BUFFER_BYTES]).unwrap_err();
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
    }

    #[test]
    fn impossible_locations_are_refused() {
        let decode = |offset, bytes| {
            let mut encoded = Vec::new();
            SegmentLocation { offset, bytes, crc32: 0 }.encode(&mut encoded);
            SegmentLocation::decode(&mut Decoder::new(&encoded), 1000)
        };
        assert!(decode(64, 936).is_ok());
        assert!(decode(64, 937).is_err());
        assert!(decode(0, 1).is_err());
        assert!(decode(65, 1).is_err());
        assert!(decode(u64::MAX - 63, 64).is_err());
        assert!(decode(64, u64::MAX).is_err());
    }
}
