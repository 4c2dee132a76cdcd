//! Shards in memory: the same bytes as in a file.

use arrow::array::RecordBatch;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::SchemaRef;

use crate::{Result, Shard, ShardIdentity, ShardReport, ShardWriter};

/// The bytes of a shard that lies in memory, be it that it is small and will soon be part of a larger one, or that it
/// came over a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardImage(Buffer);

impl ShardImage {
    /// Writes `batches` as a shard; they fit `schema` as [`ShardWriter::write`] asks.
    ///
    /// # Errors
    /// Those of the writer, but none of a disk.
    pub fn write<'a>(
        identity: ShardIdentity,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = &'a RecordBatch>,
    ) -> Result<(ShardReport, Self)> {
        let mut writer = ShardWriter::in_memory(identity, schema)?;
        batches.into_iter().try_for_each(|batch| writer.write(batch))?;
        let (report, image) = writer.seal()?;
        Ok((report, Self(image.unwrap_or_default())))
    }

    /// Copies bytes that another process made an image of; [`Self::open`] checks them.
    pub fn copy_of(bytes: &[u8]) -> Self {
        // The alignment that segments count on.
        let mut aligned = MutableBuffer::new(bytes.len());
        aligned.extend_from_slice(bytes);
        Self(aligned.into())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Opens the shard; it shares the bytes.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`](crate::StorageError::Corrupt) or
    /// [`StorageError::Malformed`](crate::StorageError::Malformed) when header or footer is damaged.
    pub fn open(&self) -> Result<Shard> {
        Shard::of_image(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringViewArray};

    use super::*;
    use crate::{ShardDirectory, ShardId, TableId};

    fn identity() -> ShardIdentity {
        ShardIdentity { shard: ShardId(3), table: TableId(2), table_name: "public.t".to_owned() }
    }

    fn batch() -> RecordBatch {
        let numbers: ArrayRef =
            Arc::new((0..70_000).map(|row| (row % 7 > 0).then_some(row)).collect::<Int32Array>());
        let words: ArrayRef =
            Arc::new((0..70_000).map(|row| Some(["a", "b\u{e4}"][row % 2])).collect::<StringViewArray>());
        RecordBatch::try_from_iter([("number", numbers), ("word", words)]).unwrap()
    }

    #[test]
    fn an_image_is_the_file_that_would_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let mut writer = ShardWriter::create(&directory, identity(), batch().schema()).unwrap();
        writer.write(&batch()).unwrap();
        let on_disk = writer.finish().unwrap();
        let (report, image) = ShardImage::write(identity(), &batch().schema(), &[batch()]).unwrap();
        assert_eq!(report, on_disk);
        let file = std::fs::read(directory.shard_path(ShardId(3))).unwrap();
        assert_eq!(image.bytes(), file);
        let copy = ShardImage::copy_of(&file);
        for shard in [image.open().unwrap(), copy.open().unwrap()] {
            shard.verify().unwrap();
            assert_eq!(shard.identity(), &identity());
            let rows: usize =
                (0..2).map(|row_group| shard.column(row_group, 0).unwrap().into_array().len()).sum();
            assert_eq!(rows, 70_000);
        }
    }

    #[test]
    fn damaged_images_are_refused() {
        let (_, image) = ShardImage::write(identity(), &batch().schema(), &[batch()]).unwrap();
        let bytes = image.bytes();
        for length in [0, 63, 64, 1000, bytes.len() - 1] {
            assert!(ShardImage::copy_of(&bytes[..length]).open().is_err(), "{length} bytes");
        }
        let mut changed = bytes.to_vec();
        changed[64] ^= 1;
        let shard = ShardImage::copy_of(&changed).open().unwrap();
        assert!(shard.verify().is_err());
    }
}
