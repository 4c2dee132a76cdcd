//! Everything that can go wrong between a shard and its disk.

use std::io;
use std::path::{Path, PathBuf};

use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::ShardId;

/// Shorthand for results of this crate.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Why a shard could not be written, found or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The bytes of a shard are not what its writer wrote. Nothing of the chunk in question is handed out.
    #[error("shard {shard} is corrupt: {}{what}", column.as_ref().map(|name| format!("column \"{name}\": ")).unwrap_or_default())]
    Corrupt {
        /// The shard.
        shard: ShardId,
        /// The column, where the damage lies in the data of one.
        column: Option<String>,
        /// What was expected and found, for people.
        what: String,
    },
    /// The operating system refused.
    #[error("could not access \"{}\": {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its answer.
        #[source]
        source: io::Error,
    },
    /// No space is left on the device, or the quota is used up.
    #[error("could not write file \"{}\": No space left on device", path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The shards of the folder may not take more of the disk.
    #[error("could not write to \"{}\": the disk limit is reached, {what}", path.display())]
    DiskLimit {
        /// The folder.
        path: PathBuf,
        /// The limit, for people.
        what: String,
    },
    /// Shards have no representation for values of this type.
    #[error("column \"{column}\" has type {data_type}, which cannot be stored")]
    UnsupportedType {
        /// The column.
        column: String,
        /// Its Arrow type.
        data_type: DataType,
    },
    /// A batch does not fit the schema that its shard was created with.
    #[error("batch does not match the schema of shard {shard}: {what}")]
    SchemaMismatch {
        /// The shard being written.
        shard: ShardId,
        /// The difference, for people.
        what: String,
    },
    /// There is no such shard in the directory.
    #[error("shard {shard} does not exist")]
    NotFound {
        /// The shard asked for.
        shard: ShardId,
    },
    /// There is no such deletion vector in the directory.
    #[error("deletion vector {version} of shard {shard} does not exist")]
    DeletionsNotFound {
        /// The shard that it is of.
        shard: ShardId,
        /// The version asked for.
        version: u64,
    },
    /// A deletion vector of this version exists or is being written; it is immutable, so that it stays.
    #[error("deletion vector {version} of shard {shard} already exists")]
    DeletionsExist {
        /// The shard that it is of.
        shard: ShardId,
        /// The version that was to be created.
        version: u64,
    },
    /// A shard of this number exists or is being written; shards are immutable, so that it stays.
    #[error("shard {shard} already exists")]
    AlreadyExists {
        /// The shard that was to be created.
        shard: ShardId,
    },
    /// The data goes beyond a limit of the format.
    #[error("shard {shard} cannot hold the data: {what}")]
    LimitExceeded {
        /// The shard being written.
        shard: ShardId,
        /// The limit, for people.
        what: String,
    },
    /// An earlier error has put an end to the shard that was being written.
    #[error("writing shard {shard} failed before")]
    WriteFailed {
        /// The shard that was being written.
        shard: ShardId,
    },
    /// The copy of the catalogue that lies beside the shards cannot be read.
    #[error("the copy of the catalogue cannot be read: {what}")]
    CatalogueCopy {
        /// What is wrong with it.
        what: String,
    },
    /// The copy of the catalogue that lies beside the shards is of another run, or of a later commit.
    #[error("the shards belong to {of}")]
    CatalogueCopyStays {
        /// What they belong to, for people.
        of: String,
    },
    /// Bytes that should be an encoded [`Bound`](crate::Bound) or summary are not.
    #[error("malformed encoding: {what}")]
    Malformed {
        /// What is wrong with them.
        what: String,
    },
    /// A cast or copy of Arrow data failed.
    #[error("could not convert values of column \"{column}\": {source}")]
    Convert {
        /// The column.
        column: String,
        /// Arrow's answer.
        #[source]
        source: ArrowError,
    },
}

impl StorageError {
    /// Wraps an error of the operating system; a full disk has a variant of its own.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_path_buf() }
            }
            _ => Self::Io { path: path.to_path_buf(), source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corruption_names_shard_and_column() {
        let error = StorageError::Corrupt {
            shard: ShardId(7),
            column: Some("i_mag".to_owned()),
            what: "values of row group 3: checksum does not match".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "shard 0000000000000007 is corrupt: column \"i_mag\": values of row group 3: checksum does not match"
        );
    }

    #[test]
    fn a_full_disk_is_its_own_kind() {
        let error = StorageError::io(Path::new("/x"), io::Error::from_raw_os_error(28));
        assert!(matches!(error, StorageError::DiskFull { .. }), "{error}");
        let error = StorageError::io(Path::new("/x"), io::Error::from_raw_os_error(5));
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
    }
}
