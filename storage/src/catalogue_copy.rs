//! The copy of the master's catalogue that lies beside a worker's shards, in case the catalogue is lost.

use std::fmt;

use crate::decoder::{Decoder, malformed};
use crate::{Result, StorageError};

const MAGIC: &[u8; 8] = b"QDBCATLG";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;

/// Which run of which catalogue: a random number for each time that a master opens one. A catalogue remembers its runs,
/// so that its shards are told from another's, and from those that it has forgotten since an older copy of it was put
/// back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CatalogueRun(pub [u8; 16]);

impl fmt::Display for CatalogueRun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A copy of a catalogue as of one of its commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueCopy {
    /// The run of the catalogue in which it was made.
    pub run: CatalogueRun,
    /// The last commit that the copy has; commits count up.
    pub commit: u64,
    /// What the catalogue is made of, in the master's words.
    pub content: Vec<u8>,
}

impl CatalogueCopy {
    /// The file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES + self.content.len() + size_of::<u32>());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.run.0);
        for number in [self.commit, self.content.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(HEADER_BYTES - size_of::<u32>(), 0);
        out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
        out.extend_from_slice(&self.content);
        out.extend_from_slice(&crc32fast::hash(&self.content).to_le_bytes());
        out
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`StorageError::CatalogueCopy`] for anything else.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        Self::parse_file(bytes).map_err(|error| match error {
            StorageError::Malformed { what } => StorageError::CatalogueCopy { what },
            other => other,
        })
    }

    fn parse_file(bytes: &[u8]) -> Result<Self> {
        let (header, rest) =
            bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| malformed("it is cut off"))?;
        let (checked, checksum) = header.split_at(HEADER_BYTES - size_of::<u32>());
        if crc32fast::hash(checked).to_le_bytes() != *checksum {
            return Err(malformed("the checksum of its header does not match"));
        }
        let mut decoder = Decoder::new(checked);
        if decoder.bytes(MAGIC.len())? != MAGIC {
            return Err(malformed("it is no copy of a catalogue"));
        }
        let version = decoder.u32()?;
        if version != FORMAT_VERSION {
            return Err(malformed(format!("its version is {version}, known is {FORMAT_VERSION}")));
        }
        let id: [u8; 16] = decoder.bytes(16)?.try_into().map_err(|_| malformed("it is cut off"))?;
        let (commit, length) = (decoder.u64()?, decoder.u64()?);
        let (content, checksum) = rest
            .split_last_chunk::<4>()
            .filter(|(content, _)| content.len() as u64 == length)
            .ok_or_else(|| malformed("its length does not match"))?;
        if crc32fast::hash(content).to_le_bytes() != *checksum {
            return Err(malformed("its checksum does not match"));
        }
        Ok(Self { run: CatalogueRun(id), commit, content: content.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_undoes_encoding_and_every_flipped_bit_is_noticed() {
        let copy = CatalogueCopy { run: CatalogueRun([7; 16]), commit: 1 << 40, content: b"tables".to_vec() };
        let bytes = copy.encode();
        assert_eq!(CatalogueCopy::parse(&bytes).unwrap(), copy);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                matches!(CatalogueCopy::parse(&flipped), Err(StorageError::CatalogueCopy { .. })),
                "bit {bit}"
            );
        }
        for cut in 0..bytes.len() {
            assert!(CatalogueCopy::parse(&bytes[..cut]).is_err(), "{cut} bytes");
        }
    }
}
