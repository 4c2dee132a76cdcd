//! Our plan nodes as bytes, for the way to a worker.
//!
//! A node carries all that it needs: the columns of its table, its shards, its expressions. The worker that decodes
//! it needs no catalogue.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::WindowUDF;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;
use quickdb_storage::{ShardId, TableId};

use crate::functions::excluding::Excluding;
use crate::fused::{ShardAggregateExec, as_aggregate};
use crate::scan::{ScanTarget, ShardRef, ShardScanExec};
use crate::tail::Tail;

/// Encodes and decodes [`ShardScanExec`] and [`ShardAggregateExec`].
#[derive(Debug, Default, Clone, Copy)]
pub struct QuickdbCodec;

/// A scan on the wire.
#[derive(Clone, PartialEq, Message)]
struct ScanMessage {
    #[prost(uint64, tag = "1")]
    table: u64,
    #[prost(string, tag = "2")]
    table_name: String,
    #[prost(message, optional, tag = "3")]
    table_schema: Option<protobuf::Schema>,
    #[prost(message, repeated, tag = "4")]
    shards: Vec<ShardMessage>,
    #[prost(uint64, tag = "5")]
    partitions: u64,
    #[prost(uint64, repeated, tag = "6")]
    projection: Vec<u64>,
    #[prost(message, optional, tag = "7")]
    filter: Option<protobuf::PhysicalExprNode>,
    #[prost(uint64, optional, tag = "8")]
    limit: Option<u64>,
    /// The image of the tail.
    #[prost(bytes = "vec", optional, tag = "9")]
    tail: Option<Vec<u8>>,
}

/// A shard on the wire.
#[derive(Clone, PartialEq, Message)]
struct ShardMessage {
    #[prost(uint64, tag = "1")]
    shard: u64,
    #[prost(uint64, optional, tag = "2")]
    deletions: Option<u64>,
}

/// A fused aggregate on the wire.
#[derive(Clone, PartialEq, Message)]
struct AggregateMessage {
    #[prost(message, optional, tag = "1")]
    scan: Option<ScanMessage>,
    /// The aggregate over a scan of nothing.
    #[prost(message, optional, tag = "2")]
    aggregate: Option<protobuf::PhysicalPlanNode>,
    #[prost(message, optional, tag = "3")]
    schema: Option<protobuf::Schema>,
}

/// Any node of ours on the wire.
#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(oneof = "Node", tags = "1, 2")]
    node: Option<Node>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Node {
    #[prost(message, tag = "1")]
    Scan(ScanMessage),
    #[prost(message, tag = "2")]
    Aggregate(Box<AggregateMessage>),
}

impl PhysicalExtensionCodec for QuickdbCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        _inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let message = NodeMessage::decode(buf).map_err(|error| malformed(&error.to_string()))?;
        match message.node {
            Some(Node::Scan(scan)) => Ok(Arc::new(self.decode_scan(scan, ctx, converter)?)),
            Some(Node::Aggregate(aggregate)) => {
                let scan = aggregate.scan.ok_or_else(|| malformed("aggregate without scan"))?;
                let scan = self.decode_scan(scan, ctx, converter)?;
                let plan = aggregate.aggregate.ok_or_else(|| malformed("aggregate without expressions"))?;
                let context = PhysicalPlanDecodeContext::new(ctx, self);
                let plan = as_aggregate(converter.proto_to_execution_plan(&plan, &context)?)?;
                let schema = decode_schema(aggregate.schema.as_ref())?;
                Ok(Arc::new(ShardAggregateExec::try_new(scan, plan, schema)?))
            }
            None => Err(malformed("no node")),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let node = if let Some(scan) = node.downcast_ref::<ShardScanExec>() {
            Node::Scan(self.encode_scan(scan, converter)?)
        } else if let Some(aggregate) = node.downcast_ref::<ShardAggregateExec>() {
            let plan: Arc<dyn ExecutionPlan> = Arc::clone(aggregate.aggregate()) as _;
            Node::Aggregate(Box::new(AggregateMessage {
                scan: Some(self.encode_scan(aggregate.scan(), converter)?),
                aggregate: Some(converter.execution_plan_to_proto(&plan, self)?),
                schema: Some(aggregate.schema().as_ref().try_into()?),
            }))
        } else {
            return internal_err!("{} is no plan node of quickdb", node.name());
        };
        NodeMessage { node: Some(node) }.encode(buf).map_err(|error| malformed(&error.to_string()))
    }

    fn try_encode_udwf(&self, function: &WindowUDF, buf: &mut Vec<u8>) -> Result<()> {
        if let Some(excluding) = function.inner().downcast_ref::<Excluding>() {
            buf.extend(excluding.encode());
        }
        Ok(())
    }

    fn try_decode_udwf(&self, name: &str, buf: &[u8]) -> Result<Arc<WindowUDF>> {
        Excluding::decode(name, buf).ok_or_else(|| malformed("an unknown window function"))
    }
}

impl QuickdbCodec {
    fn encode_scan(
        &self,
        scan: &ShardScanExec,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<ScanMessage> {
        let encode = |expr: &Arc<dyn PhysicalExpr>| converter.physical_expr_to_proto(expr, self);
        let target = &scan.target;
        Ok(ScanMessage {
            table: target.table.0,
            table_name: target.table_name.clone(),
            table_schema: Some(target.table_schema.as_ref().try_into()?),
            shards: target
                .shards
                .iter()
                .map(|shard| ShardMessage { shard: shard.shard.0, deletions: shard.deletions })
                .collect(),
            partitions: target.partitions as u64,
            projection: scan.projection.iter().map(|&column| column as u64).collect(),
            filter: scan.filter.as_ref().map(encode).transpose()?,
            limit: scan.limit.map(|limit| limit as u64),
            tail: match &target.tail {
                Some(tail) => Some(tail.image()?.image.bytes().to_vec()),
                None => None,
            },
        })
    }

    fn decode_scan(
        &self,
        message: ScanMessage,
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<ShardScanExec> {
        let table_schema = decode_schema(message.table_schema.as_ref())?;
        let context = PhysicalPlanDecodeContext::new(ctx, self);
        let filter = message
            .filter
            .as_ref()
            .map(|filter| converter.proto_to_physical_expr(filter, &table_schema, &context))
            .transpose()?;
        let target = ScanTarget {
            table: TableId(message.table),
            table_name: message.table_name,
            table_schema,
            shards: message
                .shards
                .into_iter()
                .map(|shard| ShardRef { shard: ShardId(shard.shard), deletions: shard.deletions })
                .collect(),
            tail: message.tail.map(|bytes| Tail::of_bytes(&bytes).map(Arc::new)).transpose()?,
            worker: None,
            partitions: size(message.partitions)?,
        };
        let projection = message.projection.into_iter().map(size).collect::<Result<_>>()?;
        ShardScanExec::try_new(target, projection, filter, message.limit.map(size).transpose()?)
    }
}

fn decode_schema(schema: Option<&protobuf::Schema>) -> Result<SchemaRef> {
    let schema = schema.ok_or_else(|| malformed("no schema"))?;
    Ok(Arc::new(Schema::try_from(schema)?))
}

fn size(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| malformed("number out of range"))
}

fn malformed(what: &str) -> DataFusionError {
    internal_datafusion_err!("malformed plan node: {what}")
}
