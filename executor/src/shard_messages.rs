//! Messages of the shard protocol about shards that exist already: compacting, copying, verifying, describing them.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion_proto::protobuf;
use prost::Message;
use quickdb_storage::{ShardId, ShardReport};

use crate::scan::ShardRef;
use crate::shard_description::{ColumnDescription, Damage, ShardDescription};
use crate::shard_protocol::{PutShard, ShardReceipt};

/// A shard with its deletion vector.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ShardName {
    #[prost(uint64, tag = "1")]
    shard: u64,
    #[prost(uint64, optional, tag = "2")]
    deletions: Option<u64>,
}

/// Which shards are made one, and what the new one is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CompactShards {
    #[prost(message, repeated, tag = "1")]
    pub(crate) inputs: Vec<ShardName>,
    #[prost(message, optional, tag = "2")]
    pub(crate) output: Option<PutShard>,
    #[prost(message, optional, tag = "3")]
    pub(crate) schema: Option<protobuf::Schema>,
}

/// Which shard is copied from where.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CopyShard {
    #[prost(uint64, tag = "1")]
    pub(crate) shard: u64,
    /// URL of the worker that has it.
    #[prost(string, tag = "2")]
    pub(crate) source: String,
    /// What it is called in errors.
    #[prost(string, tag = "3")]
    pub(crate) source_name: String,
}

/// One damage.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct DamageEntry {
    #[prost(string, optional, tag = "1")]
    column: Option<String>,
    #[prost(string, tag = "2")]
    what: String,
}

/// What a shard is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Description {
    /// All but schema and layout, as its writer told.
    #[prost(message, optional, tag = "1")]
    receipt: Option<ShardReceipt>,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "3")]
    columns: Vec<ColumnLayout>,
}

#[derive(Clone, PartialEq, Message)]
struct ColumnLayout {
    #[prost(string, repeated, tag = "1")]
    encodings: Vec<String>,
    #[prost(uint64, tag = "2")]
    bytes: u64,
}

/// A schema out of a message; `None` when it is none.
pub(crate) fn schema_of(schema: Option<&protobuf::Schema>) -> Option<SchemaRef> {
    Some(Arc::new(Schema::try_from(schema?).ok()?))
}

impl From<ShardRef> for ShardName {
    fn from(shard: ShardRef) -> Self {
        Self { shard: shard.shard.0, deletions: shard.deletions }
    }
}

impl From<ShardName> for ShardRef {
    fn from(name: ShardName) -> Self {
        Self { shard: ShardId(name.shard), deletions: name.deletions }
    }
}

impl From<Damage> for DamageEntry {
    fn from(damage: Damage) -> Self {
        Self { column: damage.column, what: damage.what }
    }
}

impl From<DamageEntry> for Damage {
    fn from(entry: DamageEntry) -> Self {
        Self { column: entry.column, what: entry.what }
    }
}

impl Description {
    /// # Errors
    /// The schema has a type that cannot be sent.
    pub(crate) fn new(shard: ShardDescription) -> datafusion::error::Result<Self> {
        let ShardDescription { identity, schema, rows, bytes, checksum, columns } = shard;
        let layouts = columns.iter();
        let layouts =
            layouts.map(|column| ColumnLayout { encodings: column.encodings.clone(), bytes: column.bytes });
        let layouts = layouts.collect();
        let columns = columns.into_iter().map(|column| column.summary).collect();
        let report = ShardReport { identity, rows, bytes, checksum, columns };
        let schema = Some(schema.as_ref().try_into()?);
        Ok(Self { receipt: Some(ShardReceipt::from(&report)), schema, columns: layouts })
    }

    /// The description, if the message is complete.
    pub(crate) fn into_description(self) -> Option<ShardDescription> {
        let ShardReport { identity, rows, bytes, checksum, columns } = self.receipt?.into_report()?;
        let columns = columns.into_iter().zip(self.columns).map(|(summary, layout)| ColumnDescription {
            summary,
            encodings: layout.encodings,
            bytes: layout.bytes,
        });
        let schema = schema_of(self.schema.as_ref())?;
        Some(ShardDescription { identity, schema, rows, bytes, checksum, columns: columns.collect() })
    }
}
