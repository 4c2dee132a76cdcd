//! The folder with the shards of one worker.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;

use crate::catalogue_copy::{CatalogueCopy, CatalogueRun};
use crate::deletions::{encode, parse};
use crate::space::{Space, Taken};
use crate::writer::UnfinishedFile;
use crate::{Deletions, DeletionsId, DiskLimits, Result, Shard, ShardId, StorageError};

/// What finished shards are called after their number.
const SHARD_EXTENSION: &str = "qdb";

/// What deletion vectors are called after number and version.
const DELETIONS_EXTENSION: &str = "del";

/// What files are called that a writer has not finished.
const UNFINISHED_EXTENSION: &str = "tmp";

/// What the copy of the catalogue is called.
const CATALOGUE_COPY: &str = "catalogue.copy";

/// The folder with the shards of one worker. It opens each shard once and shares it between all readers.
///
/// One process at a time may use a folder; keeping others out is up to the caller.
#[derive(Debug)]
pub struct ShardDirectory {
    path: PathBuf,
    open: Mutex<Open>,
    space: Arc<Space>,
    /// Held while the copy of the catalogue is written.
    copying: Mutex<()>,
}

/// What readers share.
#[derive(Debug, Default)]
struct Open {
    shards: HashMap<ShardId, Arc<Shard>>,
    deletions: HashMap<DeletionsId, Arc<Deletions>>,
}

impl ShardDirectory {
    /// Opens the folder, creating it if need be, and removes what unfinished writers left behind: every file
    /// `*.tmp`. Files with other names than the crate's own are left alone.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the folder cannot be created, read or cleaned.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_within(path, DiskLimits::default())
    }

    /// The same; shards that would go beyond `limits` are not written.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: &Path, limits: DiskLimits) -> Result<Self> {
        fs::create_dir_all(path).map_err(|source| StorageError::io(path, source))?;
        let mut directory = Self {
            path: path.to_path_buf(),
            open: Mutex::default(),
            space: Space::new(path, limits, 0),
            copying: Mutex::default(),
        };
        let mut used = 0;
        for (name, path) in directory.files()? {
            if Path::new(&name).extension().is_some_and(|extension| extension == UNFINISHED_EXTENSION) {
                fs::remove_file(&path).map_err(|source| StorageError::io(&path, source))?;
            } else if shard_of(&name, SHARD_EXTENSION).is_some() {
                used += fs::metadata(&path).map_err(|source| StorageError::io(&path, source))?.len();
            }
        }
        directory.space = Space::new(path, limits, used);
        Ok(directory)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shards of the folder in ascending order, whether they can be read or not.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the folder cannot be read.
    pub fn list(&self) -> Result<Vec<ShardId>> {
        let files = self.files()?;
        let mut shards: Vec<_> =
            files.iter().filter_map(|(name, _)| shard_of(name, SHARD_EXTENSION)).collect();
        shards.sort_unstable();
        Ok(shards)
    }

    /// The deletion vectors of the folder in ascending order, whether they and their shards can be read or not.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the folder cannot be read.
    pub fn list_deletions(&self) -> Result<Vec<DeletionsId>> {
        let files = self.files()?;
        let mut deletions: Vec<_> = files.iter().filter_map(|(name, _)| deletions_of(name)).collect();
        deletions.sort_unstable();
        Ok(deletions)
    }

    /// An open shard: the same one until it is [removed](Self::remove).
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is none, [`StorageError::Corrupt`] when its header or footer is damaged,
    /// [`StorageError::Io`] when it cannot be mapped.
    pub fn shard(&self, shard: ShardId) -> Result<Arc<Shard>> {
        // Opening reads little more than the footer, so that other readers may wait for it.
        let mut open = self.lock();
        if let Some(found) = open.shards.get(&shard) {
            return Ok(Arc::clone(found));
        }
        let opened = Arc::new(Shard::open(&self.shard_path(shard), shard)?);
        open.shards.insert(shard, Arc::clone(&opened));
        Ok(opened)
    }

    /// Writes a deletion vector of a shard of this folder; on return it is durable.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when the shard is not there, [`StorageError::LimitExceeded`] when it has fewer rows,
    /// [`StorageError::DeletionsExist`], [`StorageError::DiskFull`], [`StorageError::Io`]. Nothing is left behind then.
    pub fn put_deletions(&self, id: DeletionsId, bitmap: &RoaringBitmap) -> Result<()> {
        let bytes = encode(id, self.shard(id.shard)?.row_count(), bitmap)?;
        let path = self.deletions_path(id);
        let unfinished = self.path.join(format!("{id}.{UNFINISHED_EXTENSION}"));
        let file = File::options().write(true).create_new(true).open(&unfinished);
        let mut file = file.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => {
                StorageError::DeletionsExist { shard: id.shard, version: id.version }
            }
            _ => StorageError::io(&unfinished, source),
        })?;
        let written = UnfinishedFile::new(unfinished.clone());
        if path.try_exists().map_err(|source| StorageError::io(&path, source))? {
            return Err(StorageError::DeletionsExist { shard: id.shard, version: id.version });
        }
        file.write_all(&bytes)
            .and_then(|()| file.sync_all())
            .map_err(|source| StorageError::io(&unfinished, source))?;
        written.rename(&path, &self.path)
    }

    /// A deletion vector, ready for readers: the same one until it is removed.
    ///
    /// # Errors
    /// [`StorageError::DeletionsNotFound`] when there is none, [`StorageError::Corrupt`] when it is damaged,
    /// [`StorageError::Io`] when it cannot be read.
    pub fn deletions(&self, id: DeletionsId) -> Result<Arc<Deletions>> {
        if let Some(found) = self.lock().deletions.get(&id) {
            return Ok(Arc::clone(found));
        }
        // Others may read it too in the meantime; one of the copies stays.
        let opened = Arc::new(Deletions::new(id, &self.read_deletions(id)?));
        Ok(Arc::clone(self.lock().deletions.entry(id).or_insert(opened)))
    }

    /// The rows that a deletion vector names, read from its file.
    ///
    /// # Errors
    /// As [`Self::deletions`].
    pub fn read_deletions(&self, id: DeletionsId) -> Result<RoaringBitmap> {
        let path = self.deletions_path(id);
        let bytes = fs::read(&path).map_err(|source| missing_deletions(id, &path, source))?;
        parse(&bytes, id)
    }

    /// Deletes a deletion vector. Readers that have it open keep it until they let go.
    ///
    /// # Errors
    /// [`StorageError::DeletionsNotFound`] when there is none, [`StorageError::Io`] when it cannot be deleted.
    pub fn remove_deletions(&self, id: DeletionsId) -> Result<()> {
        let path = self.deletions_path(id);
        let mut open = self.lock();
        fs::remove_file(&path).map_err(|source| missing_deletions(id, &path, source))?;
        open.deletions.remove(&id);
        sync_directory(&self.path)
    }

    /// Deletes a shard, and not its deletion vectors. Readers that have it open keep it until they let go.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is none, [`StorageError::Io`] when it cannot be deleted.
    pub fn remove(&self, shard: ShardId) -> Result<()> {
        let path = self.shard_path(shard);
        let mut open = self.lock();
        let bytes = fs::metadata(&path).map(|file| file.len()).unwrap_or_default();
        fs::remove_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StorageError::NotFound { shard },
            _ => StorageError::io(&path, source),
        })?;
        self.space.give_back(bytes);
        open.shards.remove(&shard);
        sync_directory(&self.path)
    }

    /// The copy of the master's catalogue, if there is one.
    ///
    /// # Errors
    /// [`StorageError::CatalogueCopy`] when it is damaged, [`StorageError::Io`] when it cannot be read.
    pub fn catalogue_copy(&self) -> Result<Option<CatalogueCopy>> {
        let path = self.path.join(CATALOGUE_COPY);
        match fs::read(&path) {
            Ok(bytes) => CatalogueCopy::parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StorageError::io(&path, source)),
        }
    }

    /// Puts a copy of the master's catalogue in the place of the one that is there; on return it is durable. One of
    /// another run is replaced only where that is the run `after`; one that cannot be read always.
    ///
    /// # Errors
    /// [`StorageError::CatalogueCopyStays`] when the one that is there is of another run or of a later commit,
    /// [`StorageError::Io`]: the one that is there stays then. [`StorageError::DiskFull`]: there is none any more.
    pub fn put_catalogue_copy(&self, copy: &CatalogueCopy, after: Option<CatalogueRun>) -> Result<()> {
        let _copying = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        match self.catalogue_copy() {
            Ok(Some(present)) => {
                let is_before = if present.run == copy.run {
                    present.commit <= copy.commit
                } else {
                    Some(present.run) == after
                };
                if !is_before {
                    let CatalogueCopy { run, commit, .. } = present;
                    let of = format!("run {run} of a catalogue, as of commit {commit}");
                    return Err(StorageError::CatalogueCopyStays { of });
                }
            }
            Ok(None) | Err(StorageError::CatalogueCopy { .. }) => {}
            Err(error) => return Err(error),
        }
        match self.write_catalogue_copy(copy) {
            // What is there may be all that a full disk has room for, and what names no longer needed files keeps them.
            Err(StorageError::DiskFull { .. }) => {
                let path = self.path.join(CATALOGUE_COPY);
                if path.try_exists().unwrap_or(true) {
                    fs::remove_file(&path).map_err(|source| StorageError::io(&path, source))?;
                    sync_directory(&self.path)?;
                }
                self.write_catalogue_copy(copy)
            }
            written => written,
        }
    }

    fn write_catalogue_copy(&self, copy: &CatalogueCopy) -> Result<()> {
        let unfinished = self.path.join(format!("{CATALOGUE_COPY}.{UNFINISHED_EXTENSION}"));
        let failed = |source| StorageError::io(&unfinished, source);
        // It holds what passwords are checked against.
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&unfinished).map_err(failed)?;
        let written = UnfinishedFile::new(unfinished.clone());
        file.write_all(&copy.encode()).and_then(|()| file.sync_data()).map_err(failed)?;
        written.replace(&self.path.join(CATALOGUE_COPY), &self.path)
    }

    /// Bytes that may still be written to the folder's file system.
    ///
    /// # Errors
    /// [`StorageError::Io`] when the file system does not say.
    pub fn bytes_free(&self) -> Result<u64> {
        self.space.bytes_free()
    }

    /// The space of a file that is to be written.
    pub(crate) fn space(&self) -> Arc<Taken> {
        Taken::nothing(&self.space)
    }

    /// Where a shard lies when it is finished.
    pub(crate) fn shard_path(&self, shard: ShardId) -> PathBuf {
        self.path.join(format!("{shard}.{SHARD_EXTENSION}"))
    }

    /// Where a shard is written.
    pub(crate) fn unfinished_path(&self, shard: ShardId) -> PathBuf {
        self.path.join(format!("{shard}.{UNFINISHED_EXTENSION}"))
    }

    fn deletions_path(&self, id: DeletionsId) -> PathBuf {
        self.path.join(format!("{id}.{DELETIONS_EXTENSION}"))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Each map is whole between any two statements that change it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name and path of every regular file whose name is UTF-8, as those of the crate are.
    fn files(&self) -> Result<Vec<(String, PathBuf)>> {
        let fail = |source| StorageError::io(&self.path, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let is_file = entry.file_type().map_err(fail)?.is_file();
            if is_file && let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.path()));
            }
        }
        Ok(files)
    }
}

/// The shard that a file name stands for: 16 lowercase hexadecimal digits, a dot and the extension.
fn shard_of(name: &str, extension: &str) -> Option<ShardId> {
    let number = name.strip_suffix(extension)?.strip_suffix('.')?;
    let shard = ShardId(u64::from_str_radix(number, 16).ok()?);
    // Formatting it again refuses signs, capitals and other lengths.
    (shard.to_string() == number).then_some(shard)
}

/// The deletion vector that a file name stands for: shard and version, each of 16 lowercase hexadecimal digits.
fn deletions_of(name: &str) -> Option<DeletionsId> {
    let (shard, version) = name.strip_suffix(DELETIONS_EXTENSION)?.strip_suffix('.')?.split_once('.')?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let id = DeletionsId { shard: ShardId(number(shard)?), version: number(version)? };
    (id.to_string() == format!("{shard}.{version}")).then_some(id)
}

fn missing_deletions(id: DeletionsId, path: &Path, source: io::Error) -> StorageError {
    match source.kind() {
        io::ErrorKind::NotFound => StorageError::DeletionsNotFound { shard: id.shard, version: id.version },
        _ => StorageError::io(path, source),
    }
}

/// Makes creations, renames and removals in a folder durable.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| StorageError::io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_catalogue_is_replaced_by_later_ones_of_the_same_run_or_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let copy = |catalogue, commit| CatalogueCopy {
            run: CatalogueRun([catalogue; 16]),
            commit,
            content: vec![catalogue; 3],
        };
        assert_eq!(directory.catalogue_copy().unwrap(), None);
        for commit in [1, 1, 2] {
            directory.put_catalogue_copy(&copy(7, commit), None).unwrap();
        }
        for stale in [copy(7, 1), copy(8, 9)] {
            let refused = directory.put_catalogue_copy(&stale, Some(stale.run));
            assert!(matches!(refused, Err(StorageError::CatalogueCopyStays { .. })));
        }
        assert_eq!(directory.catalogue_copy().unwrap(), Some(copy(7, 2)));
        directory.put_catalogue_copy(&copy(8, 3), Some(CatalogueRun([7; 16]))).unwrap();
        assert_eq!(ShardDirectory::open(folder.path()).unwrap().catalogue_copy().unwrap(), Some(copy(8, 3)));

        std::fs::write(folder.path().join(CATALOGUE_COPY), "damaged").unwrap();
        assert!(matches!(directory.catalogue_copy(), Err(StorageError::CatalogueCopy { .. })));
        directory.put_catalogue_copy(&copy(7, 1), None).unwrap();
        assert!(directory.list().unwrap().is_empty());
    }

    #[test]
    fn only_our_own_names_are_shards() {
        assert_eq!(shard_of("00000000000000ff.qdb", "qdb"), Some(ShardId(255)));
        for name in [
            "00000000000000FF.qdb",
            "ff.qdb",
            "+0000000000000ff.qdb",
            "00000000000000ff.qdb.bak",
            "00000000000000ffqdb",
            ".qdb",
            "qdb",
        ] {
            assert_eq!(shard_of(name, "qdb"), None, "{name}");
        }
    }

    #[test]
    fn opening_removes_unfinished_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        ShardDirectory::open(&path).unwrap();
        for name in ["0000000000000001.tmp", "0000000000000002.qdb", "notes.tmp.txt", "README"] {
            fs::write(path.join(name), b"x").unwrap();
        }
        fs::create_dir(path.join("folder.tmp")).unwrap();
        let directory = ShardDirectory::open(&path).unwrap();
        assert!(path.join("folder.tmp").is_dir());
        assert_eq!(directory.list().unwrap(), [ShardId(2)]);
        let mut names: Vec<_> = directory.files().unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["0000000000000002.qdb", "README", "notes.tmp.txt"]);
        assert!(matches!(directory.shard(ShardId(2)), Err(StorageError::Corrupt { .. })));
        assert!(matches!(directory.shard(ShardId(3)), Err(StorageError::NotFound { .. })));
        assert!(matches!(directory.remove(ShardId(3)), Err(StorageError::NotFound { .. })));
        directory.remove(ShardId(2)).unwrap();
        assert!(directory.list().unwrap().is_empty());
        assert!(directory.bytes_free().unwrap() > 0);
    }

    #[test]
    fn deletion_vectors_are_immutable_files_beside_the_shard() {
        use crate::{ShardIdentity, ShardWriter, TableId};
        use arrow::array::{Int32Array, RecordBatch};

        let folder = tempfile::tempdir().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let id = DeletionsId { shard: ShardId(1), version: 4 };
        let rows: RoaringBitmap = [1, 2].into_iter().collect();
        assert!(matches!(directory.put_deletions(id, &rows), Err(StorageError::NotFound { .. })));
        let batch =
            RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1, 2, 3])) as _)]).unwrap();
        let identity =
            ShardIdentity { shard: ShardId(1), table: TableId(1), table_name: "public.t".to_owned() };
        let mut writer = ShardWriter::create(&directory, identity, batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let beyond = [3].into_iter().collect();
        assert!(matches!(directory.put_deletions(id, &beyond), Err(StorageError::LimitExceeded { .. })));
        directory.put_deletions(id, &rows).unwrap();
        let again = directory.put_deletions(id, &rows);
        assert!(matches!(again, Err(StorageError::DeletionsExist { version: 4, .. })));
        assert_eq!(directory.read_deletions(id).unwrap(), rows);
        let open = directory.deletions(id).unwrap();
        assert!(Arc::ptr_eq(&open, &directory.deletions(id).unwrap()));
        assert_eq!(directory.list_deletions().unwrap(), [id]);
        assert_eq!(directory.list().unwrap(), [ShardId(1)]);
        let mut names: Vec<_> = directory.files().unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["0000000000000001.0000000000000004.del", "0000000000000001.qdb"]);
        directory.remove_deletions(id).unwrap();
        assert!(matches!(directory.deletions(id), Err(StorageError::DeletionsNotFound { version: 4, .. })));
        assert!(matches!(directory.remove_deletions(id), Err(StorageError::DeletionsNotFound { .. })));
        assert_eq!(open.rows(), 2);
    }

    #[test]
    fn only_our_own_names_are_deletion_vectors() {
        let id = DeletionsId { shard: ShardId(255), version: 16 };
        assert_eq!(deletions_of("00000000000000ff.0000000000000010.del"), Some(id));
        for name in [
            "00000000000000ff.10.del",
            "00000000000000ff.del",
            "00000000000000FF.0000000000000010.del",
            "00000000000000ff.0000000000000010.tmp",
            "00000000000000ff.+000000000000010.del",
            "00000000000000ff.0000000000000010.00.del",
        ] {
            assert_eq!(deletions_of(name), None, "{name}");
        }
    }
}
