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
use quickdb_storage::{
    CatalogueCopy, CatalogueRun, DeletionsId, RoaringBitmap, ShardId, ShardIdentity, ShardReport,
};
use tonic::Status;
use tonic::transport::Channel;
use url::Url;

use crate::cluster::{Cluster, status_cause, worker_lost};
use crate::compaction::compact;
use crate::error::{ErrorKind, ExecError};
use crate::scan::ShardRef;
use crate::shard_description::{Damage, ShardDescription};
use crate::shard_messages::{CompactShards, CopyShard, DamageEntry, Description, ShardName};
use crate::shard_protocol::{
    COMPACT_SHARDS, COPY_SHARD, CatalogueEntry, DESCRIBE_SHARD, DeletionVector, GET_CATALOGUE, GET_DELETIONS,
    LIST_SHARDS, PUT_CATALOGUE, PUT_DELETIONS, PutShard, REMOVE_DELETIONS, REMOVE_SHARD, RemoveShard,
    ShardEntry, ShardReceipt, VERIFY_SHARD,
};
use crate::shard_writing::{blocking, write_shard};
use crate::store::ShardStore;

/// What lies on a worker, whether the catalogue knows of it or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Its shards.
    pub shards: Vec<ShardId>,
    /// Its deletion vectors, also those of shards that are not there.
    pub deletions: Vec<DeletionsId>,
}

/// One worker, as whoever places shards sees it.
#[derive(Clone)]
pub enum ShardHost {
    /// The worker in this process.
    Embedded(Arc<ShardStore>),
    /// A worker behind mutual TLS.
    Remote {
        /// The worker's name, for errors.
        worker: String,
        /// Where other workers find it.
        url: Url,
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
        Ok(Self::Remote { worker, url: cluster.url_of_task(index), channel: cluster.channel(index)? })
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
        self.put_sorted(identity, schema, vec![], batches).await
    }

    /// The same with the rows sorted by the columns at the positions `sort_by` of `schema`, ascending, NULLs last. The
    /// worker keeps all rows in memory for that, so that whoever calls it bounds the shard.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_sorted(
        &self,
        identity: ShardIdentity,
        schema: SchemaRef,
        sort_by: Vec<usize>,
        batches: BoxStream<'static, Result<RecordBatch>>,
    ) -> Result<ShardReport> {
        match self {
            Self::Embedded(store) => write_shard(store, identity, schema, sort_by, batches).await,
            Self::Remote { worker, channel, .. } => {
                let command = put_command(&identity, &sort_by).encode_to_vec();
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
                report_of(worker, receipt.map(|receipt| receipt.app_metadata))
            }
        }
    }

    /// Writes what is left of `inputs`, shards of this worker with their deletion vectors, as one shard with the
    /// columns `schema`: the rows in order, or sorted as in [`Self::put_sorted`]. The inputs stay. On return the new
    /// shard is durable and can take their place in the catalogue.
    ///
    /// # Errors
    /// `ShardMissing` and `Corrupt` for an input, those of [`Self::put`] for the output.
    pub async fn compact(
        &self,
        inputs: Vec<ShardRef>,
        output: ShardIdentity,
        schema: SchemaRef,
        sort_by: Vec<usize>,
    ) -> Result<ShardReport> {
        match self {
            Self::Embedded(store) => compact(store, inputs, output, schema, sort_by).await,
            Self::Remote { worker, channel, .. } => {
                let request = CompactShards {
                    inputs: inputs.into_iter().map(ShardName::from).collect(),
                    output: Some(put_command(&output, &sort_by)),
                    schema: Some(schema.as_ref().try_into()?),
                };
                let answers = self.act(worker, channel, COMPACT_SHARDS, request.encode_to_vec()).await?;
                report_of(worker, answers.into_iter().next())
            }
        }
    }

    /// Copies a shard of the worker `source` to this one, byte for byte, and the deletion vector that goes with it.
    /// On return both are durable and have been read and found whole.
    ///
    /// # Errors
    /// `ShardMissing` and `Corrupt` for the source, `DiskFull` and others for this worker, that one of them is lost;
    /// `Unsupported` where there are no two workers.
    pub async fn copy_from(&self, source: &ShardHost, shard: ShardRef) -> Result<ShardReport> {
        let (Self::Remote { worker, channel, .. }, Self::Remote { worker: source_name, url, .. }) =
            (self, source)
        else {
            let message = "shards are copied between the workers of a cluster";
            return Err(ExecError::new(ErrorKind::Unsupported, message).into_datafusion());
        };
        // Read first: without it the copy would be of no use.
        let deletions = match shard.deletions {
            Some(version) => Some((version, source.get_deletions(shard.shard, version).await?)),
            None => None,
        };
        let request =
            CopyShard { shard: shard.shard.0, source: url.to_string(), source_name: source_name.clone() };
        let answers = self.act(worker, channel, COPY_SHARD, request.encode_to_vec()).await?;
        let report = report_of(worker, answers.into_iter().next())?;
        if let Some((version, rows)) = deletions {
            self.put_deletions(shard.shard, version, &rows).await?;
        }
        Ok(report)
    }

    /// Reads a whole shard and its deletion vector: what is damaged or missing of them.
    ///
    /// # Errors
    /// The worker's disk cannot be read, or it is lost.
    pub async fn verify(&self, shard: ShardRef) -> Result<Vec<Damage>> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                blocking(move || store.verify(shard)).await
            }
            Self::Remote { worker, channel, .. } => {
                let name = ShardName::from(shard).encode_to_vec();
                let answers = self.act(worker, channel, VERIFY_SHARD, name).await?;
                let damage = |body| DamageEntry::decode(body).map(Damage::from);
                answers
                    .into_iter()
                    .map(damage)
                    .collect::<Result<_, _>>()
                    .map_err(|error| malformed(worker, &error))
            }
        }
    }

    /// What a shard says of itself.
    ///
    /// # Errors
    /// `ShardMissing` when it is not there, `Corrupt` when its header or footer is damaged, or that the worker is lost.
    pub async fn describe(&self, shard: ShardId) -> Result<ShardDescription> {
        match self {
            Self::Embedded(store) => {
                let store = Arc::clone(store);
                blocking(move || store.describe(shard)).await
            }
            Self::Remote { worker, channel, .. } => {
                let name = ShardName::from(ShardRef { shard, deletions: None }).encode_to_vec();
                let answer = self.act(worker, channel, DESCRIBE_SHARD, name).await?.into_iter().next();
                let description = Description::decode(answer.unwrap_or_default()).ok();
                let description = description.and_then(Description::into_description);
                description.ok_or_else(|| malformed(worker, &"no description of a shard"))
            }
        }
    }

    /// Everything on the worker, committed or not.
    ///
    /// # Errors
    /// The worker's, or that it is lost.
    pub async fn list(&self) -> Result<Holdings> {
        match self {
            Self::Embedded(store) => {
                let list = || {
                    let directory = store.directory();
                    Ok(Holdings { shards: directory.list()?, deletions: directory.list_deletions()? })
                };
                list().map_err(|error| store.explain(error))
            }
            Self::Remote { worker, channel, .. } => {
                let mut holdings = Holdings::default();
                for body in self.act(worker, channel, LIST_SHARDS, vec![]).await? {
                    let entry = ShardEntry::decode(body).map_err(|error| malformed(worker, &error))?;
                    let shard = ShardId(entry.shard);
                    match entry.deletions {
                        Some(version) => holdings.deletions.push(DeletionsId { shard, version }),
                        None => holdings.shards.push(shard),
                    }
                }
                Ok(holdings)
            }
        }
    }

    /// Deletes a shard that no snapshot of the catalogue names any more; its deletion vectors stay.
    ///
    /// # Errors
    /// `ShardMissing` when it is not there; the worker's others, or that it is lost.
    pub async fn remove(&self, shard: ShardId) -> Result<()> {
        match self {
            Self::Embedded(store) => store.directory().remove(shard).map_err(|error| store.explain(error)),
            Self::Remote { worker, channel, .. } => {
                let body = RemoveShard { shard: shard.0 }.encode_to_vec();
                self.act(worker, channel, REMOVE_SHARD, body).await.map(|_| ())
            }
        }
    }

    /// Writes a deletion vector of a shard that the worker holds: all rows of it that are deleted, by number. On return
    /// it is durable and can be committed to the catalogue. No version is written twice.
    ///
    /// # Errors
    /// `ShardMissing` when the shard is not there; the worker's others (disk full), or that it is lost.
    pub async fn put_deletions(&self, shard: ShardId, version: u64, rows: &RoaringBitmap) -> Result<()> {
        let id = DeletionsId { shard, version };
        match self {
            Self::Embedded(store) => {
                store.directory().put_deletions(id, rows).map_err(|error| store.explain(error))
            }
            Self::Remote { worker, channel, .. } => {
                let vector =
                    DeletionVector::new(id, Some(rows)).map_err(|error| malformed(worker, &error))?;
                self.act(worker, channel, PUT_DELETIONS, vector.encode_to_vec()).await.map(|_| ())
            }
        }
    }

    /// The rows that a deletion vector names.
    ///
    /// # Errors
    /// `ShardMissing` when it is not there, `Corrupt` when it is damaged; that the worker is lost.
    pub async fn get_deletions(&self, shard: ShardId, version: u64) -> Result<RoaringBitmap> {
        let id = DeletionsId { shard, version };
        match self {
            Self::Embedded(store) => {
                store.directory().read_deletions(id).map_err(|error| store.explain(error))
            }
            Self::Remote { worker, channel, .. } => {
                let name = DeletionVector::new(id, None).map_err(|error| malformed(worker, &error))?;
                let answers = self.act(worker, channel, GET_DELETIONS, name.encode_to_vec()).await?;
                let answer = answers.into_iter().next().unwrap_or_default();
                let vector = DeletionVector::decode(answer).map_err(|error| malformed(worker, &error))?;
                vector.rows().map_err(|error| malformed(worker, &error))
            }
        }
    }

    /// Deletes a deletion vector that no snapshot of the catalogue names any more.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub async fn remove_deletions(&self, shard: ShardId, version: u64) -> Result<()> {
        let id = DeletionsId { shard, version };
        match self {
            Self::Embedded(store) => {
                store.directory().remove_deletions(id).map_err(|error| store.explain(error))
            }
            Self::Remote { worker, channel, .. } => {
                let name = DeletionVector::new(id, None).map_err(|error| malformed(worker, &error))?;
                self.act(worker, channel, REMOVE_DELETIONS, name.encode_to_vec()).await.map(|_| ())
            }
        }
    }

    /// The copy of the master's catalogue that the worker keeps beside its shards, if there is one.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged; the worker's others, or that it is lost.
    pub async fn catalogue_copy(&self) -> Result<Option<CatalogueCopy>> {
        match self {
            Self::Embedded(store) => store.directory().catalogue_copy().map_err(|error| store.explain(error)),
            Self::Remote { worker, channel, .. } => {
                let answers = self.act(worker, channel, GET_CATALOGUE, vec![]).await?;
                let Some(answer) = answers.into_iter().next() else { return Ok(None) };
                let entry = CatalogueEntry::decode(answer).map_err(|error| malformed(worker, &error))?;
                let (copy, _) = entry.into_copy().ok_or_else(|| malformed(worker, &"no catalogue"))?;
                Ok(Some(copy))
            }
        }
    }

    /// Has the worker keep a copy of the master's catalogue; on return it is durable. One of another run is
    /// replaced only if it is of the run `after`.
    ///
    /// # Errors
    /// `OtherCatalogue` when the copy that is there is of another run or of a later commit; the worker's others
    /// (disk full), or that it is lost.
    pub async fn put_catalogue_copy(
        &self,
        copy: &Arc<CatalogueCopy>,
        after: Option<CatalogueRun>,
    ) -> Result<()> {
        match self {
            Self::Embedded(store) => {
                let (store, copy) = (Arc::clone(store), Arc::clone(copy));
                blocking(move || {
                    let put = store.directory().put_catalogue_copy(&copy, after);
                    put.map_err(|error| store.explain(error))
                })
                .await
            }
            Self::Remote { worker, channel, .. } => {
                let entry = CatalogueEntry::new(copy, after).encode_to_vec();
                self.act(worker, channel, PUT_CATALOGUE, entry).await.map(|_| ())
            }
        }
    }

    /// Has the worker do something; its answers.
    async fn act(
        &self,
        worker: &str,
        channel: &Channel,
        action: &str,
        body: Vec<u8>,
    ) -> Result<Vec<bytes::Bytes>> {
        let action = Action { r#type: action.to_owned(), body: body.into() };
        let answers = self.client(channel).do_action(action).await;
        let answers = answers.map_err(|status| remote_error(worker, status))?.into_inner();
        answers
            .map_ok(|answer| answer.body)
            .map_err(|status| remote_error(worker, status))
            .try_collect()
            .await
    }

    fn client(&self, channel: &Channel) -> FlightServiceClient<Channel> {
        FlightServiceClient::new(channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX)
    }
}

fn put_command(identity: &ShardIdentity, sort_by: &[usize]) -> PutShard {
    PutShard { sort_by: sort_by.iter().map(|&column| column as u64).collect(), ..PutShard::from(identity) }
}

fn report_of(worker: &str, receipt: Option<bytes::Bytes>) -> Result<ShardReport> {
    let receipt = receipt.and_then(|receipt| ShardReceipt::decode(receipt).ok());
    receipt.and_then(ShardReceipt::into_report).ok_or_else(|| malformed(worker, &"no receipt for a shard"))
}

/// An answer that is none.
fn malformed(worker: &str, error: &dyn std::fmt::Display) -> DataFusionError {
    ExecError::new(ErrorKind::Internal, format!("worker \"{worker}\" answered what cannot be read: {error}"))
        .into_datafusion()
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
pub(crate) fn remote_error(worker: &str, status: Status) -> DataFusionError {
    match ExecError::from_text(status.message()) {
        Some(mut error) => {
            error.worker = Some(worker.to_owned());
            error.into_datafusion()
        }
        None => worker_lost(worker, &status_cause(&status)),
    }
}
