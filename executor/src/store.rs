//! The shards of this worker, as plan nodes find them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::Schema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use quickdb_storage::{DeletionsId, Shard, ShardDirectory, ShardId, StorageError};

use crate::error::{ErrorKind, ExecError};
use crate::scan::ShardRef;
use crate::view::ShardView;

/// What was read of one shard since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardReads {
    /// Row groups handed to a plan node.
    pub row_groups: u64,
    /// Rows in them.
    pub rows: u64,
}

/// The shards of one worker: an extension of the session configuration under which plan nodes run.
pub struct ShardStore {
    worker: String,
    directory: ShardDirectory,
    reads: Mutex<BTreeMap<ShardId, ShardReads>>,
}

impl ShardStore {
    /// A store over `directory`, for the worker that messages call `worker`.
    pub fn new(worker: impl Into<String>, directory: ShardDirectory) -> Self {
        Self { worker: worker.into(), directory, reads: Mutex::default() }
    }

    /// The worker's name in messages.
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// The directory with the shards.
    pub fn directory(&self) -> &ShardDirectory {
        &self.directory
    }

    /// What was read of every shard since the start.
    pub fn reads(&self) -> BTreeMap<ShardId, ShardReads> {
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An open shard.
    ///
    /// # Errors
    /// `ShardMissing` when this worker does not hold it, else the kind of the storage error.
    pub fn shard(&self, shard: ShardId) -> Result<Arc<Shard>> {
        self.directory.shard(shard).map_err(|error| self.explain(error))
    }

    /// A shard as a query over a table with the columns `schema` sees it.
    ///
    /// # Errors
    /// As [`Self::shard`], for its deletion vector too; `Internal` when the columns do not fit.
    pub(crate) fn view(&self, shard: ShardRef, schema: &Schema) -> Result<ShardView> {
        let ShardRef { shard, deletions } = shard;
        let deletions = deletions.map(|version| {
            let opened = self.directory.deletions(DeletionsId { shard, version });
            opened.map_err(|error| self.explain(error))
        });
        ShardView::new(self.shard(shard)?, deletions.transpose()?, schema).map_err(|error| {
            let message = ExecError::find(&error).map_or_else(|| error.to_string(), |error| error.message);
            let message = format!("shard {shard} does not fit its table: {message}");
            ExecError::new(ErrorKind::Internal, message).on_worker(self.worker.clone()).into_datafusion()
        })
    }

    /// The store of the session that runs a plan node.
    ///
    /// # Errors
    /// `ShardMissing` when the session has none: the node was sent to a process that is no worker.
    pub fn of(context: &TaskContext) -> Result<Arc<Self>> {
        context.session_config().get_extension::<Self>().ok_or_else(|| {
            ExecError::new(ErrorKind::ShardMissing, "this process holds no shards").into_datafusion()
        })
    }

    pub(crate) fn count_read(&self, shard: ShardId, rows: usize) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let reads = reads.entry(shard).or_default();
        reads.row_groups += 1;
        reads.rows += rows as u64;
    }

    /// A storage error as one of ours, naming this worker.
    pub(crate) fn explain(&self, error: StorageError) -> DataFusionError {
        let kind = match &error {
            StorageError::NotFound { .. } | StorageError::DeletionsNotFound { .. } => ErrorKind::ShardMissing,
            StorageError::Corrupt { .. } | StorageError::Malformed { .. } => ErrorKind::Corrupt,
            StorageError::CatalogueCopy { .. } => ErrorKind::Corrupt,
            StorageError::CatalogueCopyStays { .. } => ErrorKind::OtherCatalogue,
            StorageError::DiskFull { .. } | StorageError::DiskLimit { .. } => ErrorKind::DiskFull,
            StorageError::Io { .. } => ErrorKind::Io,
            _ => ErrorKind::Internal,
        };
        let message = format!("{error} on worker \"{}\"", self.worker);
        let mut explained = ExecError::new(kind, message);
        if kind == ErrorKind::DiskFull {
            explained = explained.with_hint(match &error {
                StorageError::DiskLimit { .. } => {
                    "Drop tables or delete rows, or change max_disk or min_free_disk of the worker."
                }
                _ => "Check free disk space.",
            });
        }
        explained.on_worker(self.worker.clone()).into_datafusion()
    }
}

impl fmt::Debug for ShardStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardStore").field("worker", &self.worker).finish_non_exhaustive()
    }
}
