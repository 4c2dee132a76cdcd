//! Directories and open shards between their users.

use std::sync::Arc;
use std::thread;

use quickdb_storage::{
    ColumnChunk, ROW_GROUP_ROWS, Shard, ShardDirectory, ShardId, ShardWriter, StorageError,
};

use crate::generate::{Nulls, every_type, identity, read, write};

#[test]
fn users_may_be_on_any_thread() {
    fn moves<T: Send + 'static>() {}
    fn is_shared<T: Send + Sync + 'static>() {}
    moves::<ShardWriter>();
    is_shared::<Shard>();
    is_shared::<ShardDirectory>();
    is_shared::<StorageError>();
}

#[test]
fn threads_share_one_shard() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(1, 2 * ROW_GROUP_ROWS + 77, Nulls::Some);
    write(&directory, 1, &batch, 1);
    thread::scope(|scope| {
        for first in 0..4 {
            let (directory, batch) = (&directory, &batch);
            scope.spawn(move || {
                let shard = directory.shard(ShardId(1)).unwrap();
                assert!(Arc::ptr_eq(&shard, &directory.shard(ShardId(1)).unwrap()));
                let columns = batch.num_columns();
                for column in (0..columns).map(|column| (column + first * 3) % columns) {
                    let chunks = read(&shard, column).unwrap();
                    for (row_group, chunk) in chunks.iter().enumerate() {
                        let expected = batch.column(column).slice(row_group * ROW_GROUP_ROWS, chunk.len());
                        assert_eq!(chunk, &expected);
                    }
                }
            });
        }
    });
}

#[test]
fn arrays_outlive_shard_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(2, 1000, Nulls::Some);
    write(&directory, 1, &batch, 2);
    let shard = directory.shard(ShardId(1)).unwrap();
    let chunks: Vec<ColumnChunk> =
        (0..batch.num_columns()).map(|column| shard.column(0, column).unwrap()).collect();
    directory.remove(ShardId(1)).unwrap();
    assert!(directory.list().unwrap().is_empty());
    // Removed for those who ask anew, there for those who have it.
    assert!(directory.shard(ShardId(1)).is_err());
    shard.verify().unwrap();
    drop((shard, directory, folder));
    for (chunk, expected) in chunks.into_iter().zip(batch.columns()) {
        assert_eq!(&chunk.into_array(), expected);
    }
}

#[test]
fn a_new_process_finds_what_was_finished_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let directory = ShardDirectory::open(folder.path()).unwrap();
    let batch = every_type(3, 100, Nulls::None);
    for shard in [30, 2, 100] {
        write(&directory, shard, &batch, shard);
    }
    let mut unfinished = ShardWriter::create(&directory, identity(4), batch.schema()).unwrap();
    unfinished.write(&batch).unwrap();
    // As after kill -9: the destructor does not run.
    std::mem::forget(unfinished);
    assert!(folder.path().join("0000000000000004.tmp").exists());
    let reopened = ShardDirectory::open(folder.path()).unwrap();
    assert_eq!(reopened.list().unwrap(), [ShardId(2), ShardId(30), ShardId(100)]);
    assert!(!folder.path().join("0000000000000004.tmp").exists());
    write(&reopened, 4, &batch, 4);
    reopened.shard(ShardId(4)).unwrap().verify().unwrap();
}
