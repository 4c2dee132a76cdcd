//! How much of its disk a folder of shards may take.
//!
//! ```text
//!  Space ── bytes of the finished shards and of those under way ── limits
//!    └─ Taken: what one file has of it; given back when it is dropped, unless the file gets its name
//! ```
//!
//! Deletion vectors and copies of the catalogue are small and not counted: rows can be deleted where nothing can be added.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{Result, StorageError};

/// Bytes that a file takes at a time: asking the file system costs a microsecond or two.
const STEP_BYTES: u64 = 1 << 20;

/// What shards must leave of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskLimits {
    /// Bytes that all shards together have at most.
    pub bytes_max: Option<u64>,
    /// Bytes that stay free on the file system.
    pub bytes_free_min: u64,
}

/// Bytes that may still be written to the file system of `path`.
///
/// # Errors
/// [`StorageError::Io`] when it does not say.
pub fn bytes_free(path: &Path) -> Result<u64> {
    let status = rustix::fs::statvfs(path).map_err(|error| StorageError::io(path, error.into()))?;
    Ok(status.f_bavail.saturating_mul(status.f_frsize))
}

/// The space of one folder.
#[derive(Debug)]
pub(crate) struct Space {
    path: PathBuf,
    limits: DiskLimits,
    used: AtomicU64,
}

impl Space {
    pub(crate) fn new(path: &Path, limits: DiskLimits, used: u64) -> Arc<Self> {
        Arc::new(Self { path: path.to_path_buf(), limits, used: AtomicU64::new(used) })
    }

    /// Bytes that may still be written to the file system.
    pub(crate) fn bytes_free(&self) -> Result<u64> {
        bytes_free(&self.path)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let DiskLimits { bytes_max, bytes_free_min } = self.limits;
        let full = |what| Err(StorageError::DiskLimit { path: self.path.clone(), what });
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if let Some(max) = bytes_max.filter(|max| used > *max) {
            self.give_back(bytes);
            return full(format!("its shards may take {max} bytes"));
        }
        if bytes_free_min > 0 && self.bytes_free()? < bytes_free_min.saturating_add(bytes) {
            self.give_back(bytes);
            return full(format!("{bytes_free_min} bytes must stay free"));
        }
        Ok(())
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The space of a file that is being written.
#[derive(Debug)]
pub(crate) struct Taken {
    space: Arc<Space>,
    /// Bytes of the file.
    bytes: AtomicU64,
    /// Bytes that it has of the space: the next multiple of the step.
    taken: AtomicU64,
    kept: AtomicBool,
}

impl Taken {
    pub(crate) fn nothing(space: &Arc<Space>) -> Arc<Self> {
        Arc::new(Self {
            space: Arc::clone(space),
            bytes: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            kept: AtomicBool::new(false),
        })
    }

    /// Takes the space for more bytes of the file, which one thread writes.
    ///
    /// # Errors
    /// [`StorageError::DiskLimit`] when they are too many.
    pub(crate) fn grow(&self, bytes: usize) -> Result<()> {
        let bytes = self.bytes.fetch_add(bytes as u64, Ordering::Relaxed).saturating_add(bytes as u64);
        let taken = self.taken.load(Ordering::Relaxed);
        if bytes > taken {
            let more = bytes.next_multiple_of(STEP_BYTES) - taken;
            self.space.take(more)?;
            self.taken.store(taken + more, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The file is finished: what it has not used is given back, the rest when it is removed.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.space.give_back(self.taken.swap(bytes, Ordering::Relaxed).saturating_sub(bytes));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            self.space.give_back(*self.taken.get_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(bytes_max: Option<u64>, bytes_free_min: u64) -> Arc<Space> {
        Space::new(&std::env::temp_dir(), DiskLimits { bytes_max, bytes_free_min }, 0)
    }

    #[test]
    fn files_that_are_given_up_return_their_space() {
        let space = space(Some(4 * STEP_BYTES), 0);
        let first = Taken::nothing(&space);
        first.grow(3 << 20).unwrap();
        let second = Taken::nothing(&space);
        second.grow(1).unwrap();
        let error = second.grow(1 << 20).unwrap_err().to_string();
        assert!(error.contains("may take 4194304 bytes"), "{error}");
        drop(first);
        second.grow(1 << 20).unwrap();
        second.keep();
        drop(second);
        // The refused bytes count as well: whoever was refused gives the file up.
        assert_eq!(space.used.load(Ordering::Relaxed), 1 + (2 << 20));
        space.give_back(1 + (2 << 20));
        Taken::nothing(&space).grow(4 << 20).unwrap();
    }

    #[test]
    fn a_part_of_the_disk_stays_free() {
        assert!(Taken::nothing(&space(None, 1)).grow(1).is_ok());
        let error = Taken::nothing(&space(None, u64::MAX)).grow(1).unwrap_err();
        assert!(matches!(error, StorageError::DiskLimit { .. }), "{error}");
    }
}
