//! The master's end of the shard protocol: one handle for a worker, in this process or another.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, FlightDescriptor};
use datafusion::common::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use quickdb_storage::{ShardId, ShardIdentity, ShardReport};
use tonic::Status;
use tonic::transport::Channel;

use crate::cluster::{Cluster, status_cause, worker_lost};
use crate::error::{ErrorKind, ExecError};
use crate::shard_protocol::{LIST_SHARDS, PutShard, REMOVE_SHARD, RemoveShard, ShardEntry, ShardReceipt};
use crate::shard_service::write_shard;
use crate::store::ShardStore;

/// One worker, as whoever places shards sees it.
#[derive(Clone)]
pub enum ShardHost {
    /// The worker in this process.
    Embedded(Arc<ShardStore>),
    /// A worker behind mutual TLS.
    Remote {
        /// The worker's name, for errors.
        worker: String,
        /// Its channel.
        channel: Channel,
    },
}

impl ShardHost {
    /// The handle of worker `index` of a cluster, in task order.
    ///
    /// # Errors
    /// There is no such worker, or its name cannot be a server's name.
    pub fn remote(cluster: &Cluster, index: usize) -> Result<Self> {
        let worker = cluster.workers().get(index).map(|worker| worker.name.clone()).unwrap_or_default();
        Ok(Self::Remote { worker, channel: cluster.channel(index)? })
    }

    /// Writes a shard; on return it is durable on the worker and can be committed to the catalogue.
    ///
    /// # Errors
    /// The batches' own, the worker's (disk full, unsupported type), or that the worker is lost. No error
    /// leaves a readable shard behind.
    pub async fn put(
        &self,
        identity: ShardIdentity,
        schema: SchemaRef,
        batches: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<ShardReport> {
        match self {
            Self::Embedded(store) => write_shard(store, identity, schema, batches).await,
            Self::Remote { worker, channel } => {
                let command = PutShard::from(&identity).encode_to_vec();
                let messages = FlightDataEncoderBuilder::new()
                    .with_schema(schema)
                    .with_flight_descriptor(Some(FlightDescriptor::new_cmd(command)))
                    .build(batches.map_err(|error| FlightError::ExternalError(Box::new(error))));
                // The stream of a request cannot fail, so a failure ends it and is kept beside.
                let (failed, mut failure) = tokio::sync::mpsc::channel(1);
                let messages = messages.scan(failed, |failed, message| {
                    let message = message.map_err(|error| failed.try_send(error)).ok();
                    futures::future::ready(message)
                });
                let answer = self.client(channel).do_put(messages).await;
                if let Ok(error) = failure.try_recv() {
                    return Err(source_error(error));
                }
                let mut receipts = answer.map_err(|status| remote_error(worker, status))?.into_inner();
                let receipt = receipts.message().await.map_err(|status| remote_error(worker, status))?;
                receipt
                    .and_then(|receipt| ShardReceipt::decode(receipt.app_metadata).ok())
                    .and_then(ShardReceipt::into_report)
                    .ok_or_else(|| {
                        let message =
                            format!("worker \"{worker}\" gave no receipt for shard {}", identity.shard);
                        ExecError::new(ErrorKind::Internal, message).into_datafusion()
                    })
            }
        }
    }

    /// Every shard on the worker, committed or not.
    pub async fn list(&self) -> Result<Vec<ShardId>> {
        match self {
            Self::Embedded(store) => store.directory().list().map_err(|error| store.explain(error)),
            Self::Remote { worker, channel } => {
                let action = Action { r#type: LIST_SHARDS.to_owned(), body: bytes::Bytes::new() };
                let answers = self.client(channel).do_action(action).await;
                let answers = answers.map_err(|status| remote_error(worker, status))?.into_inner();
                answers
                    .map(|answer| {
                        let answer = answer.map_err(|status| remote_error(worker, status))?;
                        let entry = ShardEntry::decode(answer.body)
                            .map_err(|error| DataFusionError::External(Box::new(error)))?;
                        Ok(ShardId(entry.shard))
                    })
                    .try_collect()
                    .await
            }
        }
    }

    /// Deletes a shard that no snapshot of the catalogue names any more.
    pub async fn remove(&self, shard: ShardId) -> Result<()> {
        match self {
            Self::Embedded(store) => store.directory().remove(shard).map_err(|error| store.explain(error)),
            Self::Remote { worker, channel } => {
                let body = RemoveShard { shard: shard.0 }.encode_to_vec().into();
                let action = Action { r#type: REMOVE_SHARD.to_owned(), body };
                let answers = self.client(channel).do_action(action).await;
                answers.map(|_| ()).map_err(|status| remote_error(worker, status))
            }
        }
    }

    fn client(&self, channel: &Channel) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }
}

/// The error of the stream that was being sent.
fn source_error(error: FlightError) -> DataFusionError {
    match error {
        FlightError::ExternalError(error) => match error.downcast::<DataFusionError>() {
            Ok(error) => *error,
            Err(error) => DataFusionError::External(error),
        },
        error => DataFusionError::External(Box::new(error)),
    }
}

/// What a worker answered: an error of its own, whose text carries the kind, or one of the connection.
fn remote_error(worker: &str, status: Status) -> DataFusionError {
    match ExecError::from_text(status.message()) {
        Some(mut error) => {
            error.worker = Some(worker.to_owned());
            error.into_datafusion()
        }
        None => worker_lost(worker, &status_cause(&status)),
    }
}
