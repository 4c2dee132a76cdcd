//! Shards on their way from one worker to another, as bytes.
//!
//! ```text
//!  master ── copy_shard(shard, source) ──▶ target ── DoGet ──▶ source
//!                                            │ ◀── 1 MB after another, from the map
//!                                            └── verify, fsync, rename
//! ```

use std::sync::Arc;

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, Ticket};
use datafusion::error::{DataFusionError, Result};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use prost::Message;
use quickdb_storage::{Shard, ShardId, ShardReceiver, ShardReport};
use tonic::transport::Channel;

use crate::shard_protocol::RemoveShard as ShardName;
use crate::shard_writing::blocking;
use crate::shards::remote_error;
use crate::store::ShardStore;

/// Bytes of a message: a fraction of what may be under way on a stream.
const MESSAGE_BYTES: usize = 1 << 20;

/// The bytes of a shard that this worker holds. They are read from the disk as they are asked for.
pub(crate) fn send(shard: Arc<Shard>) -> BoxStream<'static, Result<FlightData>> {
    let starts = stream::iter((0..shard.file_bytes().len()).step_by(MESSAGE_BYTES));
    let message = move |start: usize| {
        let shard = Arc::clone(&shard);
        blocking(move || {
            let bytes = shard.file_bytes();
            let end = bytes.len().min(start.saturating_add(MESSAGE_BYTES));
            let body = bytes.get(start..end).unwrap_or_default().to_vec();
            Ok(FlightData::new().with_data_body(body))
        })
    };
    starts.then(message).boxed()
}

/// Copies a shard from the worker at the other end of `channel`, which errors call `source`.
pub(crate) async fn receive(
    store: &Arc<ShardStore>,
    shard: ShardId,
    source: &str,
    channel: Channel,
) -> Result<ShardReport> {
    let explain = |store: &Arc<ShardStore>| {
        let store = Arc::clone(store);
        move |error| store.explain(error)
    };
    let ticket = Ticket { ticket: ShardName { shard: shard.0 }.encode_to_vec().into() };
    let mut client = FlightServiceClient::new(channel).max_decoding_message_size(usize::MAX);
    let lost = |status| -> DataFusionError { remote_error(source, status) };
    let mut messages = client.do_get(ticket).await.map_err(lost)?.into_inner();
    let (creating, fail) = (Arc::clone(store), explain(store));
    let mut receiver =
        blocking(move || ShardReceiver::create(creating.directory(), shard).map_err(fail)).await?;
    while let Some(message) = messages.message().await.map_err(lost)? {
        let fail = explain(store);
        receiver = blocking(move || {
            receiver.write(&message.data_body).map_err(fail)?;
            Ok(receiver)
        })
        .await?;
    }
    let fail = explain(store);
    blocking(move || receiver.finish().map_err(fail)).await
}
