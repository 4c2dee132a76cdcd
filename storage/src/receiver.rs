//! Takes in the bytes of a shard that another worker has.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::space::Taken;
use crate::writer::UnfinishedFile;
use crate::{Result, Shard, ShardDirectory, ShardId, ShardReport, StorageError};

/// A copy of a shard while its bytes arrive. Dropping it before [`finish`](Self::finish) leaves nothing behind.
pub struct ShardReceiver {
    shard: ShardId,
    file: File,
    taken: Arc<Taken>,
    unfinished: UnfinishedFile,
    unfinished_path: PathBuf,
    path: PathBuf,
    directory: PathBuf,
}

impl ShardReceiver {
    /// Starts a copy of `shard` in `directory`.
    ///
    /// # Errors
    /// [`StorageError::AlreadyExists`] when the shard is there or somebody writes it, [`StorageError::DiskFull`] or
    /// [`StorageError::Io`] when the file cannot be created.
    pub fn create(directory: &ShardDirectory, shard: ShardId) -> Result<Self> {
        let path = directory.shard_path(shard);
        let unfinished_path = directory.unfinished_path(shard);
        let file = File::options().write(true).create_new(true).open(&unfinished_path);
        let file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => StorageError::AlreadyExists { shard },
            _ => StorageError::io(&unfinished_path, source),
        })?;
        let taken = directory.space();
        let unfinished = UnfinishedFile::of_space(unfinished_path.clone(), &taken);
        if path.try_exists().map_err(|source| StorageError::io(&path, source))? {
            return Err(StorageError::AlreadyExists { shard });
        }
        let directory = directory.path().to_path_buf();
        Ok(Self { shard, file, taken, unfinished, unfinished_path, path, directory })
    }

    /// Appends bytes of the file.
    ///
    /// # Errors
    /// [`StorageError::DiskFull`] or [`StorageError::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.taken.grow(bytes.len())?;
        self.file.write_all(bytes).map_err(|source| StorageError::io(&self.unfinished_path, source))
    }

    /// Reads all that has arrived as [`Shard::verify`] does, and gives it its name; on return it is durable.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when the bytes are not those of the shard; [`StorageError::DiskFull`] or
    /// [`StorageError::Io`].
    pub fn finish(self) -> Result<ShardReport> {
        self.file.sync_all().map_err(|source| StorageError::io(&self.unfinished_path, source))?;
        let shard = Shard::open(&self.unfinished_path, self.shard)?;
        shard.verify()?;
        let report = ShardReport {
            identity: shard.identity().clone(),
            rows: shard.row_count(),
            bytes: shard.bytes(),
            checksum: shard.checksum(),
            columns: shard.summaries().to_vec(),
        };
        self.unfinished.rename(&self.path, &self.directory)?;
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, RecordBatch};

    use super::*;
    use crate::{ShardIdentity, ShardWriter, TableId};

    #[test]
    fn a_copy_is_the_same_file_or_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = ShardDirectory::open(from.path()).unwrap();
        let target = ShardDirectory::open(to.path()).unwrap();
        let shard = ShardId(5);
        let identity = ShardIdentity { shard, table: TableId(1), table_name: "public.t".to_owned() };
        let numbers = Arc::new(Int32Array::from_iter_values(0..70_000));
        let batch = RecordBatch::try_from_iter([("n", numbers as _)]).unwrap();
        let mut writer = ShardWriter::create(&source, identity, batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        let report = writer.finish().unwrap();
        let bytes = source.shard(shard).unwrap().file_bytes().to_vec();

        let receive = |bytes: &[u8]| {
            let mut receiver = ShardReceiver::create(&target, shard)?;
            bytes.chunks(1000).try_for_each(|chunk| receiver.write(chunk))?;
            receiver.finish()
        };
        let names = || std::fs::read_dir(to.path()).unwrap().count();
        let mut damaged = bytes.clone();
        damaged[200] ^= 1;
        for wrong in [&bytes[..bytes.len() - 1], &damaged, &[]] {
            assert!(matches!(receive(wrong), Err(StorageError::Corrupt { .. })));
            assert_eq!(names(), 0);
        }
        drop(ShardReceiver::create(&target, shard).unwrap());
        assert_eq!(names(), 0);
        assert_eq!(receive(&bytes).unwrap(), report);
        assert_eq!(std::fs::read(target.shard_path(shard)).unwrap(), bytes);
        assert!(matches!(receive(&bytes), Err(StorageError::AlreadyExists { .. })));
    }
}
