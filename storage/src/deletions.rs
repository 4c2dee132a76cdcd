//! Deletion vectors: which rows of a shard are deleted.

use std::fmt;

use roaring::RoaringBitmap;

use crate::decoder::{Decoder, malformed};
use crate::{ROW_GROUP_ROWS, Result, ShardId, StorageError};

const MAGIC: &[u8; 8] = b"QDBDELET";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const WORD_ROWS: usize = 64;

const _: () = assert!(ROW_GROUP_ROWS.is_multiple_of(WORD_ROWS));

/// Which deletion vector: a shard may have several, each for the snapshots of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeletionsId {
    /// The shard whose rows are deleted.
    pub shard: ShardId,
    /// Given out by the catalogue and never used twice for the same shard.
    pub version: u64,
}

/// It is shown as in the name of its file.
impl fmt::Display for DeletionsId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{:016x}", self.shard, self.version)
    }
}

/// An open deletion vector, as readers need it: a bit per row for each row group that has deleted rows.
#[derive(Debug)]
pub struct Deletions {
    id: DeletionsId,
    rows: u64,
    /// By row group, up to the last one with a deleted row.
    row_groups: Vec<Option<Live>>,
}

/// The rows of a row group that are not deleted.
#[derive(Debug)]
struct Live {
    /// Row i in bit i mod 64 (lowest first) of word i div 64; all words of a full row group.
    words: Box<[u64]>,
    deleted: usize,
}

impl Deletions {
    pub(crate) fn new(id: DeletionsId, bitmap: &RoaringBitmap) -> Self {
        let mut row_groups: Vec<Option<Live>> = vec![];
        for row in bitmap {
            let row = row as usize;
            let (row_group, row) = (row / ROW_GROUP_ROWS, row % ROW_GROUP_ROWS);
            if row_groups.len() <= row_group {
                row_groups.resize_with(row_group + 1, || None);
            }
            let Some(live) = row_groups.get_mut(row_group) else { continue };
            let live = live.get_or_insert_with(|| Live {
                words: vec![u64::MAX; ROW_GROUP_ROWS / WORD_ROWS].into_boxed_slice(),
                deleted: 0,
            });
            if let Some(word) = live.words.get_mut(row / WORD_ROWS) {
                *word &= !(1 << (row % WORD_ROWS));
                live.deleted += 1;
            }
        }
        Self { id, rows: bitmap.len(), row_groups }
    }

    /// Which one it is.
    pub fn id(&self) -> DeletionsId {
        self.id
    }

    /// How many rows are deleted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows of a row group are deleted.
    pub fn deleted_rows(&self, row_group: usize) -> usize {
        self.row_group(row_group).map_or(0, |live| live.deleted)
    }

    /// The rows of a row group that are not deleted: row i in bit i mod 64 (lowest first) of word i div 64, in as many
    /// words as a full row group has. Bits beyond the row group's last row are set. `None` where no row is deleted.
    pub fn live_words(&self, row_group: usize) -> Option<&[u64]> {
        self.row_group(row_group).map(|live| &*live.words)
    }

    fn row_group(&self, row_group: usize) -> Option<&Live> {
        self.row_groups.get(row_group)?.as_ref()
    }
}

/// The file of a deletion vector for a shard of `shard_rows` rows.
///
/// # Errors
/// [`StorageError::LimitExceeded`] when a row is deleted that the shard does not have.
pub(crate) fn encode(id: DeletionsId, shard_rows: u64, bitmap: &RoaringBitmap) -> Result<Vec<u8>> {
    if let Some(row) = bitmap.max().filter(|row| u64::from(*row) >= shard_rows) {
        let what = format!("row {row} of {shard_rows} cannot be deleted");
        return Err(StorageError::LimitExceeded { shard: id.shard, what });
    }
    let bytes = bitmap.serialized_size();
    let mut out = Vec::with_capacity(HEADER_BYTES + bytes + size_of::<u32>());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    for number in [id.shard.0, id.version, shard_rows, bitmap.len(), bytes as u64] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.resize(HEADER_BYTES - size_of::<u32>(), 0);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    bitmap.serialize_into(&mut out).map_err(|error| malformed(format!("bitmap: {error}")))?;
    let checksum = crc32fast::hash(out.get(HEADER_BYTES..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
    Ok(out)
}

/// Reads the file of the deletion vector `id`.
///
/// # Errors
/// [`StorageError::Corrupt`] when the bytes are not what was written for it.
pub(crate) fn parse(bytes: &[u8], id: DeletionsId) -> Result<RoaringBitmap> {
    parse_file(bytes, id).map_err(|error| match error {
        StorageError::Malformed { what } => StorageError::Corrupt {
            shard: id.shard,
            column: None,
            what: format!("deletion vector {}: {what}", id.version),
        },
        other => other,
    })
}

fn parse_file(bytes: &[u8], id: DeletionsId) -> Result<RoaringBitmap> {
    let mut decoder = Decoder::new(bytes);
    let header = Decoder::new(bytes).bytes(HEADER_BYTES - size_of::<u32>())?;
    if decoder.bytes(MAGIC.len())? != MAGIC {
        return Err(malformed("it does not begin with QDBDELET"));
    }
    let version = decoder.u32()?;
    if version != FORMAT_VERSION {
        return Err(malformed(format!("its format has version {version}, not {FORMAT_VERSION}")));
    }
    let found = DeletionsId { shard: ShardId(decoder.u64()?), version: decoder.u64()? };
    let (shard_rows, count, length) = (decoder.u64()?, decoder.u64()?, decoder.u64()?);
    decoder.bytes(HEADER_BYTES - size_of::<u32>() - 52)?;
    if decoder.u32()? != crc32fast::hash(header) {
        return Err(malformed("checksum of the header does not match"));
    }
    if found != id {
        return Err(malformed(format!("it is {found}, not {id}")));
    }
    let bitmap = decoder.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
    if decoder.u32()? != crc32fast::hash(bitmap) {
        return Err(malformed("checksum of the bitmap does not match"));
    }
    decoder.end()?;
    let bitmap =
        RoaringBitmap::deserialize_from(bitmap).map_err(|error| malformed(format!("bitmap: {error}")))?;
    if bitmap.len() != count || bitmap.max().is_some_and(|row| u64::from(row) >= shard_rows) {
        return Err(malformed(format!("{} rows of {shard_rows} are deleted, not {count}", bitmap.len())));
    }
    Ok(bitmap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: DeletionsId = DeletionsId { shard: ShardId(7), version: 300 };

    #[test]
    fn ids_show_as_their_file_name() {
        assert_eq!(ID.to_string(), "0000000000000007.000000000000012c");
    }

    #[test]
    fn row_groups_without_deleted_rows_have_no_words() {
        let last = u32::try_from(ROW_GROUP_ROWS).unwrap();
        let deletions = Deletions::new(ID, &[last, last + 65].into_iter().collect());
        assert!(deletions.live_words(0).is_none());
        assert!(deletions.live_words(2).is_none());
        let words = deletions.live_words(1).unwrap();
        assert_eq!(words[..2], [!1, !2]);
        assert!(words[2..].iter().all(|word| *word == u64::MAX));
        assert_eq!((deletions.rows(), deletions.deleted_rows(0), deletions.deleted_rows(1)), (2, 0, 2));
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_found() {
        let bitmap: RoaringBitmap = [0, 5, 70_000].into_iter().collect();
        let bytes = encode(ID, 70_001, &bitmap).unwrap();
        assert_eq!(parse(&bytes, ID).unwrap(), bitmap);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(matches!(parse(&changed, ID), Err(StorageError::Corrupt { .. })), "byte {at}");
            assert!(matches!(parse(&bytes[..at], ID), Err(StorageError::Corrupt { .. })), "{at} bytes");
        }
        let other = DeletionsId { version: 301, ..ID };
        assert!(matches!(parse(&bytes, other), Err(StorageError::Corrupt { .. })));
        assert!(matches!(encode(ID, 70_000, &bitmap), Err(StorageError::LimitExceeded { .. })));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in prop::collection::btree_set(0_u32..200_000, 0..500)) {
            let bitmap: RoaringBitmap = rows.iter().copied().collect();
            let read = parse(&encode(ID, 200_000, &bitmap).unwrap(), ID).unwrap();
            prop_assert_eq!(&read, &bitmap);
            let deletions = Deletions::new(ID, &read);
            for row in 0..200_000_usize {
                let words = deletions.live_words(row / ROW_GROUP_ROWS);
                let row_in_group = row % ROW_GROUP_ROWS;
                let live = words.is_none_or(|words| words[row_in_group / 64] >> (row_in_group % 64) & 1 == 1);
                prop_assert_eq!(live, !rows.contains(&u32::try_from(row).unwrap()));
            }
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(&bytes, ID).is_err());
        }
    }
}
