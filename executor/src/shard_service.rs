//! The worker's end of the shard protocol: an Arrow Flight service over its [`ShardStore`].

use std::pin::Pin;
use std::sync::Arc;

use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket,
};
use bytes::Bytes;
use datafusion::common::DataFusionError;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use quickdb_storage::ShardId;
use tonic::{Request, Response, Status, Streaming};

use crate::cluster::WorkerChannels;
use crate::compaction::compact;
use crate::error::{ErrorKind, ExecError};
use crate::scan::ShardRef;
use crate::shard_copy;
use crate::shard_messages::{CompactShards, CopyShard, DamageEntry, Description, ShardName, schema_of};
use crate::shard_protocol::{
    COMPACT_SHARDS, COPY_SHARD, CatalogueEntry, DESCRIBE_SHARD, DeletionVector, GET_CATALOGUE, GET_DELETIONS,
    LIST_SHARDS, PUT_CATALOGUE, PUT_DELETIONS, PutShard, REMOVE_DELETIONS, REMOVE_SHARD, RemoveShard,
    ShardEntry, ShardReceipt, VERIFY_SHARD,
};
use crate::shard_writing::{blocking, write_shard};
use crate::store::ShardStore;

/// Serves the shards of one worker to the masters of its cluster.
pub(crate) struct ShardService {
    store: Arc<ShardStore>,
    /// To the other workers, for copies.
    channels: WorkerChannels,
}

impl ShardService {
    pub(crate) fn new(store: Arc<ShardStore>, channels: WorkerChannels) -> Self {
        Self { store, channels }
    }

    /// Actions that take long: they end when whoever asked for them goes away.
    async fn act_long(&self, action: &Action) -> Option<Result<Vec<u8>, Status>> {
        let body = action.body.clone();
        Some(match action.r#type.as_str() {
            COMPACT_SHARDS => self.compact(body).await,
            COPY_SHARD => self.copy(body).await,
            _ => return None,
        })
    }

    async fn compact(&self, body: Bytes) -> Result<Vec<u8>, Status> {
        let CompactShards { inputs, output, schema } = CompactShards::decode(body).map_err(malformed)?;
        let schema = schema_of(schema.as_ref()).ok_or_else(|| malformed("no schema"))?;
        let output = output.ok_or_else(|| malformed("no name for the new shard"))?;
        let sort_by = output.sort_by().ok_or_else(|| malformed("column out of range"))?;
        let inputs = inputs.into_iter().map(ShardRef::from).collect();
        let report = compact(&self.store, inputs, output.into(), schema, sort_by).await.map_err(status)?;
        Ok(ShardReceipt::from(&report).encode_to_vec())
    }

    async fn copy(&self, body: Bytes) -> Result<Vec<u8>, Status> {
        let CopyShard { shard, source, source_name } = CopyShard::decode(body).map_err(malformed)?;
        let url = source.parse().map_err(malformed)?;
        let channel = self.channels.channel(&url).map_err(status)?;
        let copied = shard_copy::receive(&self.store, ShardId(shard), &source_name, channel).await;
        Ok(ShardReceipt::from(&copied.map_err(status)?).encode_to_vec())
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The error as the other end finds it again: its text carries the kind.
fn status(error: DataFusionError) -> Status {
    let error =
        ExecError::find(&error).unwrap_or_else(|| ExecError::new(ErrorKind::Internal, error.to_string()));
    Status::internal(error.to_string())
}

fn malformed(what: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("malformed request: {what}"))
}

#[tonic::async_trait]
impl FlightService for ShardService {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<ActionResult>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(|| malformed("no schema"))?;
        let descriptor = first.flight_descriptor.clone().ok_or_else(|| malformed("no descriptor"))?;
        let put = PutShard::decode(descriptor.cmd).map_err(malformed)?;
        let messages = stream::iter([Ok(first)]).chain(messages);
        let mut batches = FlightRecordBatchStream::new_from_flight_data(
            messages.map_err(|error| FlightError::Tonic(Box::new(error))),
        );
        // The schema comes before the first batch; a table without rows has the schema alone.
        let first = batches.next().await.transpose().map_err(malformed)?;
        let schema = batches.schema().cloned().ok_or_else(|| malformed("no schema"))?;
        let batches = stream::iter(first.map(Ok))
            .chain(batches)
            .map_err(|error: FlightError| DataFusionError::External(Box::new(error)));
        let sort_by = put.sort_by().ok_or_else(|| malformed("column out of range"))?;
        let written = write_shard(&self.store, put.into(), schema, sort_by, Box::pin(batches)).await;
        let report = written.map_err(status)?;
        let receipt = PutResult { app_metadata: ShardReceipt::from(&report).encode_to_vec().into() };
        Ok(Response::new(stream::iter([Ok(receipt)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let action = request.into_inner();
        if let Some(answer) = self.act_long(&action).await {
            let answer = ActionResult { body: answer?.into() };
            return Ok(Response::new(stream::iter([Ok(answer)]).boxed()));
        }
        let store = Arc::clone(&self.store);
        let answer = |message: Vec<u8>| Ok(ActionResult { body: message.into() });
        let deletions = |body| DeletionVector::decode(body).map_err(malformed);
        let answers = tokio::task::spawn_blocking(move || {
            let fail = |error| status(store.explain(error));
            match action.r#type.as_str() {
                LIST_SHARDS => {
                    let directory = store.directory();
                    let shards = directory.list().map_err(fail)?.into_iter();
                    let vectors = directory.list_deletions().map_err(fail)?.into_iter();
                    let shards = shards.map(|shard| ShardEntry { shard: shard.0, deletions: None });
                    let vectors =
                        vectors.map(|id| ShardEntry { shard: id.shard.0, deletions: Some(id.version) });
                    Ok(shards.chain(vectors).map(|entry| answer(entry.encode_to_vec())).collect())
                }
                VERIFY_SHARD => {
                    let shard = ShardName::decode(action.body).map_err(malformed)?;
                    let damages = store.verify(shard.into()).map_err(status)?.into_iter();
                    Ok(damages.map(|damage| answer(DamageEntry::from(damage).encode_to_vec())).collect())
                }
                DESCRIBE_SHARD => {
                    let shard = ShardRef::from(ShardName::decode(action.body).map_err(malformed)?);
                    let description = store.describe(shard.shard).and_then(Description::new);
                    Ok(vec![answer(description.map_err(status)?.encode_to_vec())])
                }
                PUT_DELETIONS => {
                    let vector = deletions(action.body)?;
                    let rows = vector.rows().map_err(malformed)?;
                    store.directory().put_deletions(vector.id(), &rows).map_err(fail)?;
                    Ok(Vec::new())
                }
                GET_DELETIONS => {
                    let id = deletions(action.body)?.id();
                    let rows = store.directory().read_deletions(id).map_err(fail)?;
                    let vector = DeletionVector::new(id, Some(&rows)).map_err(malformed)?;
                    Ok(vec![answer(vector.encode_to_vec())])
                }
                REMOVE_DELETIONS => {
                    store.directory().remove_deletions(deletions(action.body)?.id()).map_err(fail)?;
                    Ok(Vec::new())
                }
                PUT_CATALOGUE => {
                    let entry = CatalogueEntry::decode(action.body).map_err(malformed)?;
                    let (copy, after) = entry.into_copy().ok_or_else(|| malformed("no catalogue"))?;
                    store.directory().put_catalogue_copy(&copy, after).map_err(fail)?;
                    Ok(Vec::new())
                }
                GET_CATALOGUE => {
                    let copy = store.directory().catalogue_copy().map_err(fail)?;
                    let entries = copy.iter().map(|copy| CatalogueEntry::new(copy, None).encode_to_vec());
                    Ok(entries.map(answer).collect())
                }
                REMOVE_SHARD => {
                    let remove = RemoveShard::decode(action.body).map_err(malformed)?;
                    store.directory().remove(ShardId(remove.shard)).map_err(fail)?;
                    Ok(Vec::new())
                }
                other => Err(Status::unimplemented(format!("there is no action \"{other}\""))),
            }
        })
        .await
        .map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(stream::iter(answers).boxed()))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let actions = [
            (LIST_SHARDS, "every shard and deletion vector on the worker"),
            (REMOVE_SHARD, "forget one shard"),
            (COMPACT_SHARDS, "write a shard of what is left of others"),
            (COPY_SHARD, "copy a shard from another worker"),
            (VERIFY_SHARD, "read a whole shard and tell its damages"),
            (DESCRIBE_SHARD, "tell what a shard is"),
            (PUT_DELETIONS, "write a deletion vector"),
            (GET_DELETIONS, "read a deletion vector"),
            (REMOVE_DELETIONS, "forget a deletion vector"),
            (PUT_CATALOGUE, "keep a copy of the catalogue"),
            (GET_CATALOGUE, "the copy of the catalogue"),
        ];
        let actions = actions.map(|(name, description)| {
            Ok(ActionType { r#type: name.into(), description: description.into() })
        });
        Ok(Response::new(stream::iter(actions).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(Status::unimplemented("certificates identify the peers"))
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }

    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        let name = RemoveShard::decode(request.into_inner().ticket).map_err(malformed)?;
        let store = Arc::clone(&self.store);
        let shard = blocking(move || store.shard(ShardId(name.shard))).await.map_err(status)?;
        Ok(Response::new(shard_copy::send(shard).map_err(status).boxed()))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }
}
