//! The two halves of a client's connection after startup.
//!
//! A task of its own reads messages, so that the end of the connection is noticed while a statement runs and
//! pipelined messages wait in memory within bounds.

use std::sync::Arc;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use pgwire::error::{ErrorInfo, PgWireError};
use pgwire::messages::response::{
    CommandComplete, ErrorResponse, NoticeResponse, ReadyForQuery, TransactionStatus,
};
use pgwire::messages::startup::ParameterStatus;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use pgwire::tokio::server::{MaybeTls, PgWireMessageServerCodec};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::codec::Framed;

use super::interrupt::Interrupts;
use crate::error::PgError;

/// A negotiated connection, plain or TLS.
pub(crate) type Socket = Framed<MaybeTls, PgWireMessageServerCodec<()>>;

/// Messages of a pipelining client that are read ahead.
const MESSAGES_AHEAD: usize = 256;

/// Bytes gathered before they are written to the socket.
pub(crate) const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// The sending half.
pub(crate) struct Client {
    sink: SplitSink<Socket, PgWireBackendMessage>,
}

/// The receiving half: what the reading task has read.
pub(crate) struct Messages {
    queue: mpsc::Receiver<Result<PgWireFrontendMessage, PgWireError>>,
    reading: JoinHandle<()>,
}

/// Splits a connection; `interrupts.gone` is cancelled when the client's end closes.
pub(crate) fn split(mut socket: Socket, interrupts: Arc<Interrupts>) -> (Client, Messages) {
    socket.set_backpressure_boundary(WRITE_BUFFER_BYTES);
    let (sink, stream) = socket.split();
    let (sender, queue) = mpsc::channel(MESSAGES_AHEAD);
    let reading = tokio::spawn(read(stream, sender, interrupts));
    (Client { sink }, Messages { queue, reading })
}

async fn read(
    mut stream: SplitStream<Socket>,
    queue: mpsc::Sender<Result<PgWireFrontendMessage, PgWireError>>,
    interrupts: Arc<Interrupts>,
) {
    while let Some(message) = stream.next().await {
        let last = message.is_err() || matches!(message, Ok(PgWireFrontendMessage::Terminate(_)));
        if queue.send(message).await.is_err() {
            return;
        }
        if last {
            break;
        }
    }
    interrupts.gone.cancel();
}

impl Messages {
    /// The next message; `None` when the client is gone.
    pub(crate) async fn next(&mut self) -> Option<Result<PgWireFrontendMessage, PgWireError>> {
        self.queue.recv().await
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The connection cannot be written to any more.
#[derive(Debug, thiserror::Error)]
#[error("connection to client lost: {0}")]
pub(crate) struct ClientGone(#[from] std::io::Error);

impl From<ClientGone> for PgError {
    fn from(gone: ClientGone) -> Self {
        PgError::with_state(crate::error::SqlState::CONNECTION_FAILURE, gone.to_string())
    }
}

impl Client {
    /// Queues a message; it is written when enough have gathered or at the next flush.
    pub(crate) async fn feed(&mut self, message: PgWireBackendMessage) -> Result<(), ClientGone> {
        Ok(self.sink.feed(message).await?)
    }

    /// Writes what has gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), ClientGone> {
        Ok(self.sink.flush().await?)
    }

    /// Tells of an error.
    pub(crate) async fn error(&mut self, error: PgError) -> Result<(), ClientGone> {
        self.feed(PgWireBackendMessage::ErrorResponse(ErrorResponse::from(error_info(error)))).await
    }

    /// Tells of something that is worth knowing and no error.
    pub(crate) async fn notice(&mut self, notice: PgError) -> Result<(), ClientGone> {
        self.feed(PgWireBackendMessage::NoticeResponse(NoticeResponse::from(error_info(notice)))).await
    }

    /// Ends a statement.
    pub(crate) async fn complete(&mut self, tag: String) -> Result<(), ClientGone> {
        self.feed(PgWireBackendMessage::CommandComplete(CommandComplete::new(tag))).await
    }

    /// Tells the value of a setting.
    pub(crate) async fn parameter(&mut self, name: &str, value: &str) -> Result<(), ClientGone> {
        let status = ParameterStatus::new(name.to_owned(), value.to_owned());
        self.feed(PgWireBackendMessage::ParameterStatus(status)).await
    }

    /// Asks for the next message.
    pub(crate) async fn ready(&mut self, status: TransactionStatus) -> Result<(), ClientGone> {
        self.feed(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?;
        self.flush().await
    }
}

/// The fields of an error as the protocol names them.
pub(crate) fn error_info(error: PgError) -> ErrorInfo {
    let severity = error.severity.to_string();
    let mut info = ErrorInfo::new(severity.clone(), error.sqlstate.0.to_owned(), error.message);
    info.severity_nonlocalized = Some(severity);
    info.detail = error.detail;
    info.hint = error.hint;
    info.where_context = error.context;
    info.position = error.position.map(|position| position.to_string());
    info
}
