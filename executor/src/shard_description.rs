//! What a shard says of itself, and what is wrong with it.

use arrow::datatypes::SchemaRef;
use quickdb_storage::{ColumnSummary, DeletionsId, Encoding, ShardIdentity, StorageError};

use crate::scan::ShardRef;
use crate::store::ShardStore;

/// What a shard file says of itself: enough to tell what it is a part of when the catalogue is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardDescription {
    /// Which shard of which table.
    pub identity: ShardIdentity,
    /// The columns as they were written, with their metadata.
    pub schema: SchemaRef,
    /// Its rows, deleted ones included.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Equal in copies of the same shard.
    pub checksum: u32,
    /// One for each column.
    pub columns: Vec<ColumnDescription>,
}

/// A column of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnDescription {
    /// Counts and bounds over the whole shard.
    pub summary: ColumnSummary,
    /// How its row groups are laid out, each way once, in alphabetical order.
    pub encodings: Vec<String>,
    /// Bytes of its data, dictionary and validity.
    pub bytes: u64,
}

/// A place where a shard or its deletion vector is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The column, where the damage lies in the data of one.
    pub column: Option<String>,
    /// What is wrong, for people.
    pub what: String,
}

impl ShardStore {
    /// Describes a shard.
    pub(crate) fn describe(
        &self,
        shard: quickdb_storage::ShardId,
    ) -> datafusion::error::Result<ShardDescription> {
        let shard = self.shard(shard)?;
        let columns = shard.summaries().iter().enumerate().map(|(column, summary)| {
            let layouts = (0..shard.row_group_count()).map(|row_group| shard.encoding(row_group, column));
            let mut encodings: Vec<String> = layouts.map(encoding_name).collect();
            encodings.sort_unstable();
            encodings.dedup();
            ColumnDescription { summary: summary.clone(), encodings, bytes: shard.column_bytes(column) }
        });
        Ok(ShardDescription {
            identity: shard.identity().clone(),
            schema: shard.schema().clone(),
            rows: shard.row_count(),
            bytes: shard.bytes(),
            checksum: shard.checksum(),
            columns: columns.collect(),
        })
    }

    /// Reads a whole shard and its deletion vector, and says what is wrong with them: nothing, mostly. That one of them
    /// is not there is damage too.
    ///
    /// # Errors
    /// `Io` when the disk cannot be read.
    pub(crate) fn verify(&self, shard: ShardRef) -> datafusion::error::Result<Vec<Damage>> {
        let mut found = match self.directory().shard(shard.shard) {
            Ok(shard) => shard.damages().collect(),
            Err(error) => vec![error],
        };
        if let Some(version) = shard.deletions {
            let id = DeletionsId { shard: shard.shard, version };
            found.extend(self.directory().read_deletions(id).err());
        }
        let damage = |error| match error {
            StorageError::Corrupt { column, what, .. } => Ok(Damage { column, what }),
            error @ (StorageError::NotFound { .. } | StorageError::DeletionsNotFound { .. }) => {
                Ok(Damage { column: None, what: error.to_string() })
            }
            error => Err(self.explain(error)),
        };
        found.into_iter().map(damage).collect()
    }
}

/// An encoding in words: its name in the format, in lower case.
fn encoding_name(encoding: Encoding) -> String {
    let mut name = String::new();
    for (at, c) in format!("{encoding:?}").char_indices() {
        if c.is_uppercase() && at > 0 {
            name.push(' ');
        }
        name.extend(c.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_have_names() {
        assert_eq!(encoding_name(Encoding::AllNull), "all null");
        assert_eq!(encoding_name(Encoding::Dictionary), "dictionary");
    }
}
