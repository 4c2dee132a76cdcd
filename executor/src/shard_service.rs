//! The worker's end of the shard protocol: an Arrow Flight service over its [`ShardStore`].

use std::pin::Pin;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, Result as ActionResult, SchemaResult, Ticket,
};
use datafusion::common::DataFusionError;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use prost::Message;
use quickdb_storage::{ShardId, ShardIdentity, ShardReport, ShardWriter, StorageError};
use tonic::{Request, Response, Status, Streaming};

use crate::error::{ErrorKind, ExecError};
use crate::shard_protocol::{
    DeletionVector, GET_DELETIONS, LIST_SHARDS, PUT_DELETIONS, PutShard, REMOVE_DELETIONS, REMOVE_SHARD,
    RemoveShard, ShardEntry, ShardReceipt,
};
use crate::store::ShardStore;

/// Batches that may wait between the socket and the disk.
const BATCHES_IN_FLIGHT: usize = 8;

/// Writes one shard from a stream of batches with the writer on a thread of its own. A failure on either
/// side leaves no shard and no file behind.
pub(crate) async fn write_shard<S, E>(
    store: &Arc<ShardStore>,
    identity: ShardIdentity,
    schema: arrow::datatypes::SchemaRef,
    mut batches: S,
) -> Result<ShardReport, DataFusionError>
where
    S: Stream<Item = Result<RecordBatch, E>> + Unpin,
    E: Into<DataFusionError>,
{
    let (to_writer, mut from_socket) = tokio::sync::mpsc::channel::<RecordBatch>(BATCHES_IN_FLIGHT);
    let (complete, is_complete) = tokio::sync::oneshot::channel::<()>();
    let (store, writing_store) = (Arc::clone(store), Arc::clone(store));
    let writing = tokio::task::spawn_blocking(move || -> Result<Option<ShardReport>, StorageError> {
        let mut writer = ShardWriter::create(writing_store.directory(), identity, schema)?;
        while let Some(batch) = from_socket.blocking_recv() {
            writer.write(&batch)?;
        }
        // Without this word the sender gave up half-way: dropping the writer removes its file.
        if is_complete.blocking_recv().is_err() {
            return Ok(None);
        }
        writer.finish().map(Some)
    });
    let mut failure = None;
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => {
                // A writer that has stopped listening has failed: its own error says why.
                if to_writer.send(batch).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                failure = Some(error.into());
                break;
            }
        }
    }
    if failure.is_none() {
        let _ = complete.send(());
    } else {
        drop(complete);
    }
    drop(to_writer);
    let written = writing.await.map_err(|error| {
        ExecError::new(ErrorKind::Internal, format!("writing a shard stopped: {error}")).into_datafusion()
    })?;
    match (written, failure) {
        (Err(error), _) => Err(store.explain(error)),
        (Ok(_), Some(failure)) => Err(failure),
        (Ok(Some(report)), None) => Ok(report),
        (Ok(None), None) => {
            Err(ExecError::new(ErrorKind::Internal, "a shard was given up half-way").into_datafusion())
        }
    }
}

/// Serves the shards of one worker to the masters of its cluster.
pub(crate) struct ShardService {
    store: Arc<ShardStore>,
}

impl ShardService {
    pub(crate) fn new(store: Arc<ShardStore>) -> Self {
        Self { store }
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
        let report = write_shard(&self.store, put.into(), schema, Box::pin(batches)).await.map_err(status)?;
        let receipt = PutResult { app_metadata: ShardReceipt::from(&report).encode_to_vec().into() };
        Ok(Response::new(stream::iter([Ok(receipt)]).boxed()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let action = request.into_inner();
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
            (PUT_DELETIONS, "write a deletion vector"),
            (GET_DELETIONS, "read a deletion vector"),
            (REMOVE_DELETIONS, "forget a deletion vector"),
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

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(Status::unimplemented("shards are queried by plans"))
    }
}
