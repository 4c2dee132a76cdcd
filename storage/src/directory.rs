//! The folder with the shards of one worker.

use std::path::Path;
use std::sync::Arc;

use crate::{Result, Shard, ShardId};

/// The folder with the shards of one worker. Opens each shard once.
pub struct ShardDirectory {}

impl ShardDirectory {
    /// Opens the folder, creating it if need be, and removes what unfinished writers left.
    pub fn open(_path: &Path) -> Result<Self> {
        todo!()
    }
    /// The folder.
    pub fn path(&self) -> &Path {
        todo!()
    }
    /// The shards of the folder in ascending order.
    pub fn list(&self) -> Result<Vec<ShardId>> {
        todo!()
    }
    /// An open shard; the same one every time.
    pub fn shard(&self, _shard: ShardId) -> Result<Arc<Shard>> {
        todo!()
    }
    /// Deletes a shard. Readers that have it keep it.
    pub fn remove(&self, _shard: ShardId) -> Result<()> {
        todo!()
    }
    /// Bytes that may still be written to the folder's file system.
    pub fn bytes_free(&self) -> Result<u64> {
        todo!()
    }
}
