//! The messages by which the master puts, lists and removes shards on a worker: Arrow Flight carries them,
//! so that a shard travels as the record batches it is made of.
//!
//! | call | request | answer |
//! |---|---|---|
//! | `DoPut` | descriptor command [`PutShard`], then the batches | one [`ShardReceipt`] when the shard is durable |
//! | `DoGet` | ticket [`RemoveShard`], the name of a shard | its file, in pieces, as the bodies of messages |
//! | `DoAction` `compact_shards` | [`CompactShards`](crate::shard_messages::CompactShards) | one [`ShardReceipt`] when the new shard is durable |
//! | `DoAction` `copy_shard` | [`CopyShard`](crate::shard_messages::CopyShard) | one [`ShardReceipt`] when the copy is durable |
//! | `DoAction` `verify_shard` | [`ShardName`](crate::shard_messages::ShardName) | one [`DamageEntry`](crate::shard_messages::DamageEntry) for each damage |
//! | `DoAction` `describe_shard` | the same | one [`Description`](crate::shard_messages::Description) |
//! | `DoAction` `list_shards` | nothing | one [`ShardEntry`] per shard and per deletion vector |
//! | `DoAction` `remove_shard` | [`RemoveShard`] | nothing |
//! | `DoAction` `put_deletions` | [`DeletionVector`] | nothing, when the vector is durable |
//! | `DoAction` `get_deletions` | [`DeletionVector`] without rows | the same with rows |
//! | `DoAction` `remove_deletions` | [`DeletionVector`] without rows | nothing |
//! | `DoAction` `put_catalogue` | [`CatalogueEntry`] | nothing, when the copy of the catalogue is durable |
//! | `DoAction` `get_catalogue` | nothing | one [`CatalogueEntry`] if there is a copy |

use prost::Message;
use quickdb_storage::{
    Bound, CatalogueCopy, CatalogueRun, ColumnSummary, DeletionsId, RoaringBitmap, ShardId, ShardIdentity,
    ShardReport, TableId,
};

/// Action type: every shard on the worker.
pub(crate) const LIST_SHARDS: &str = "list_shards";
/// Action type: forget one shard and delete its file.
pub(crate) const REMOVE_SHARD: &str = "remove_shard";
/// Action type: write a shard of what is left of others.
pub(crate) const COMPACT_SHARDS: &str = "compact_shards";
/// Action type: copy a shard from another worker.
pub(crate) const COPY_SHARD: &str = "copy_shard";
/// Action type: read a whole shard.
pub(crate) const VERIFY_SHARD: &str = "verify_shard";
/// Action type: tell what a shard is.
pub(crate) const DESCRIBE_SHARD: &str = "describe_shard";

/// Action type: write a deletion vector.
pub(crate) const PUT_DELETIONS: &str = "put_deletions";
/// Action type: read a deletion vector.
pub(crate) const GET_DELETIONS: &str = "get_deletions";
/// Action type: delete a deletion vector.
pub(crate) const REMOVE_DELETIONS: &str = "remove_deletions";

/// Action type: keep a copy of the master's catalogue.
pub(crate) const PUT_CATALOGUE: &str = "put_catalogue";
/// Action type: read it.
pub(crate) const GET_CATALOGUE: &str = "get_catalogue";

/// Names the shard that the following batches make up.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PutShard {
    #[prost(uint64, tag = "1")]
    pub(crate) shard: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) table: u64,
    #[prost(string, tag = "3")]
    pub(crate) table_name: String,
    /// Positions of the columns by which the rows are sorted.
    #[prost(uint64, repeated, tag = "4")]
    pub(crate) sort_by: Vec<u64>,
}

/// Names the shard to delete.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RemoveShard {
    #[prost(uint64, tag = "1")]
    pub(crate) shard: u64,
}

/// One shard on a worker, or one deletion vector.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ShardEntry {
    #[prost(uint64, tag = "1")]
    pub(crate) shard: u64,
    /// The version of the deletion vector; absent for the shard itself.
    #[prost(uint64, optional, tag = "2")]
    pub(crate) deletions: Option<u64>,
}

/// A deletion vector.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DeletionVector {
    #[prost(uint64, tag = "1")]
    shard: u64,
    #[prost(uint64, tag = "2")]
    version: u64,
    /// A Roaring bitmap in its portable format.
    #[prost(bytes = "vec", tag = "3")]
    rows: Vec<u8>,
}

impl DeletionVector {
    /// The vector `id`; without rows it is a name only.
    pub(crate) fn new(id: DeletionsId, rows: Option<&RoaringBitmap>) -> std::io::Result<Self> {
        let mut bytes = vec![];
        rows.map(|rows| rows.serialize_into(&mut bytes)).transpose()?;
        Ok(Self { shard: id.shard.0, version: id.version, rows: bytes })
    }

    pub(crate) fn id(&self) -> DeletionsId {
        DeletionsId { shard: ShardId(self.shard), version: self.version }
    }

    pub(crate) fn rows(&self) -> std::io::Result<RoaringBitmap> {
        RoaringBitmap::deserialize_from(self.rows.as_slice())
    }
}

/// A copy of the master's catalogue.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CatalogueEntry {
    #[prost(bytes = "vec", tag = "1")]
    run: Vec<u8>,
    #[prost(uint64, tag = "2")]
    commit: u64,
    #[prost(bytes = "vec", tag = "3")]
    content: Vec<u8>,
    /// The run whose copy it may take the place of.
    #[prost(bytes = "vec", optional, tag = "4")]
    after: Option<Vec<u8>>,
}

impl CatalogueEntry {
    pub(crate) fn new(copy: &CatalogueCopy, after: Option<CatalogueRun>) -> Self {
        Self {
            run: copy.run.0.to_vec(),
            commit: copy.commit,
            content: copy.content.clone(),
            after: after.map(|run| run.0.to_vec()),
        }
    }

    /// The copy and what it may replace; `None` when a run's number has another length.
    pub(crate) fn into_copy(self) -> Option<(CatalogueCopy, Option<CatalogueRun>)> {
        let id = |bytes: Vec<u8>| bytes.try_into().ok().map(CatalogueRun);
        let after = self.after.map(id).transpose()?;
        let copy = CatalogueCopy { run: id(self.run)?, commit: self.commit, content: self.content };
        Some((copy, after))
    }
}

/// What the worker wrote.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ShardReceipt {
    #[prost(message, optional, tag = "1")]
    identity: Option<PutShard>,
    #[prost(uint64, tag = "2")]
    rows: u64,
    #[prost(uint64, tag = "3")]
    bytes: u64,
    #[prost(uint32, tag = "4")]
    checksum: u32,
    #[prost(message, repeated, tag = "5")]
    columns: Vec<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(uint64, tag = "1")]
    null_count: u64,
    #[prost(uint64, tag = "2")]
    nan_count: u64,
    #[prost(message, optional, tag = "3")]
    min: Option<Limit>,
    #[prost(message, optional, tag = "4")]
    max: Option<Limit>,
    #[prost(uint64, optional, tag = "5")]
    distinct: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Limit {
    #[prost(oneof = "limit::Value", tags = "1, 2, 3, 4, 5")]
    value: Option<limit::Value>,
}

mod limit {
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Value {
        #[prost(bool, tag = "1")]
        Bool(bool),
        #[prost(sint64, tag = "2")]
        Int(i64),
        #[prost(double, tag = "3")]
        Float(f64),
        /// Big-endian two's complement, 16 bytes.
        #[prost(bytes, tag = "4")]
        Decimal(Vec<u8>),
        #[prost(string, tag = "5")]
        Text(String),
    }
}

impl From<&ShardIdentity> for PutShard {
    fn from(identity: &ShardIdentity) -> Self {
        Self {
            shard: identity.shard.0,
            table: identity.table.0,
            table_name: identity.table_name.clone(),
            sort_by: vec![],
        }
    }
}

impl PutShard {
    /// The positions of the columns by which the rows are sorted; `None` when one is out of range.
    pub(crate) fn sort_by(&self) -> Option<Vec<usize>> {
        self.sort_by.iter().map(|&column| usize::try_from(column).ok()).collect()
    }
}

impl From<PutShard> for ShardIdentity {
    fn from(put: PutShard) -> Self {
        Self { shard: ShardId(put.shard), table: TableId(put.table), table_name: put.table_name }
    }
}

impl From<&ShardReport> for ShardReceipt {
    fn from(report: &ShardReport) -> Self {
        Self {
            identity: Some(PutShard::from(&report.identity)),
            rows: report.rows,
            bytes: report.bytes,
            checksum: report.checksum,
            columns: report.columns.iter().map(Summary::from).collect(),
        }
    }
}

impl ShardReceipt {
    /// The report, if the receipt is complete.
    pub(crate) fn into_report(self) -> Option<ShardReport> {
        Some(ShardReport {
            identity: self.identity?.into(),
            rows: self.rows,
            bytes: self.bytes,
            checksum: self.checksum,
            columns: self.columns.into_iter().map(Summary::into_summary).collect::<Option<_>>()?,
        })
    }
}

impl From<&ColumnSummary> for Summary {
    fn from(summary: &ColumnSummary) -> Self {
        Self {
            null_count: summary.null_count,
            nan_count: summary.nan_count,
            min: summary.min.as_ref().map(Limit::from),
            max: summary.max.as_ref().map(Limit::from),
            distinct: summary.distinct,
        }
    }
}

impl Summary {
    fn into_summary(self) -> Option<ColumnSummary> {
        Some(ColumnSummary {
            null_count: self.null_count,
            nan_count: self.nan_count,
            min: self.min.map(Limit::into_bound).transpose()?,
            max: self.max.map(Limit::into_bound).transpose()?,
            distinct: self.distinct,
        })
    }
}

trait Transpose<T> {
    fn transpose(self) -> Option<Option<T>>;
}

impl<T> Transpose<T> for Option<Option<T>> {
    /// An absent value is fine, one that cannot be read is not.
    fn transpose(self) -> Option<Option<T>> {
        match self {
            None => Some(None),
            Some(None) => None,
            Some(Some(value)) => Some(Some(value)),
        }
    }
}

impl From<&Bound> for Limit {
    fn from(bound: &Bound) -> Self {
        let value = match bound {
            Bound::Bool(value) => limit::Value::Bool(*value),
            Bound::Int(value) => limit::Value::Int(*value),
            Bound::Float(value) => limit::Value::Float(*value),
            Bound::Decimal(value) => limit::Value::Decimal(value.to_be_bytes().to_vec()),
            Bound::Text(value) => limit::Value::Text(value.clone()),
        };
        Self { value: Some(value) }
    }
}

impl Limit {
    fn into_bound(self) -> Option<Bound> {
        Some(match self.value? {
            limit::Value::Bool(value) => Bound::Bool(value),
            limit::Value::Int(value) => Bound::Int(value),
            limit::Value::Float(value) => Bound::Float(value),
            limit::Value::Decimal(bytes) => Bound::Decimal(i128::from_be_bytes(bytes.try_into().ok()?)),
            limit::Value::Text(value) => Bound::Text(value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_survives_the_trip() {
        let bounds = [
            Some(Bound::Bool(true)),
            Some(Bound::Int(i64::MIN)),
            Some(Bound::Float(-0.5)),
            Some(Bound::Decimal(i128::MIN)),
            Some(Bound::Text("a\u{fffd}".into())),
            None,
        ];
        let columns = bounds
            .iter()
            .map(|bound| ColumnSummary {
                null_count: 1,
                nan_count: 2,
                min: bound.clone(),
                max: bound.clone(),
                distinct: Some(3),
            })
            .collect();
        let identity = ShardIdentity { shard: ShardId(7), table: TableId(8), table_name: "public.t".into() };
        let report = ShardReport { identity, rows: 4, bytes: 5, checksum: 6, columns };
        let bytes = ShardReceipt::from(&report).encode_to_vec();
        let back = ShardReceipt::decode(bytes.as_slice()).unwrap().into_report().unwrap();
        assert_eq!(format!("{back:?}"), format!("{report:?}"));
    }

    #[test]
    fn a_mutilated_receipt_is_no_report() {
        let limit = Limit { value: Some(limit::Value::Decimal(vec![1, 2])) };
        assert!(limit.into_bound().is_none());
        assert!(ShardReceipt::default().into_report().is_none());
    }
}
