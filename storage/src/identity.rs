//! Who a shard is: its own number and the table that it belongs to.

use std::fmt;

/// Number of a table, given out by the catalogue and never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u64);

/// Number of a shard, given out by the catalogue and never used twice.
///
/// It is shown as 16 hexadecimal digits, as in the name of the shard's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u64);

/// What every shard file says about itself, so that a lost catalogue can be rebuilt from the shards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShardIdentity {
    /// The shard.
    pub shard: ShardId,
    /// The table that the shard is a part of.
    pub table: TableId,
    /// `schema.table` at the time of writing. Renaming the table does not rewrite its shards, so that [`Self::table`]
    /// is what counts.
    pub table_name: String,
}

impl fmt::Display for TableId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_ids_show_as_their_file_name() {
        assert_eq!(ShardId(255).to_string(), "00000000000000ff");
        assert_eq!(TableId(255).to_string(), "255");
    }
}
