//! A worker as a server: the plans of datafusion-distributed and the shard protocol on one port, behind
//! mutual TLS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion_distributed::{DistributedExt, Worker, WorkerQueryContext};
use quickdb_storage::{DiskLimits, ShardDirectory};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tracing::{error, info};

use crate::cluster::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, WorkerChannels};
use crate::codec::QuickdbCodec;
use crate::datetime::TimeZone;
use crate::session::SessionOptions;
use crate::shard_service::ShardService;
use crate::store::ShardStore;
use crate::tls::{ClusterTls, TlsError, accept};

/// Consumers that an out-of-memory error lists, largest first.
const TOP_CONSUMERS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(5).unwrap();

/// What a worker needs to know.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// The worker's name, as errors and plans call it.
    pub name: String,
    /// Address of the cluster port; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Directory of the shards; created if absent.
    pub shards_dir: PathBuf,
    /// What the shards may take of their disk.
    pub disk_limits: DiskLimits,
    /// Directory for what does not fit in memory; created if absent.
    pub spill_dir: PathBuf,
    /// Certificates of this node.
    pub tls: ClusterTls,
    /// Memory that all queries of the worker may take together, in bytes.
    pub memory_limit_bytes: usize,
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The port is taken or not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The certificates do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The shard directory cannot be used.
    #[error(transparent)]
    Storage(#[from] quickdb_storage::StorageError),
    /// The memory pool or the spill directory cannot be set up.
    #[error("cannot set up the execution environment: {0}")]
    Environment(#[from] DataFusionError),
}

/// A worker that serves. Dropping it stops it at once; [`WorkerServer::shutdown`] lets tasks finish.
pub struct WorkerServer {
    local_addr: SocketAddr,
    store: Arc<ShardStore>,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl WorkerServer {
    /// Opens the shards, listens and serves until told to stop.
    pub async fn start(config: WorkerConfig) -> Result<Self, WorkerError> {
        let server_tls = config.tls.server_config()?;
        let channels = WorkerChannels::new(config.tls.client_config()?, std::collections::HashMap::new());
        let directory = ShardDirectory::open_within(&config.shards_dir, config.disk_limits)?;
        let store = Arc::new(ShardStore::new(config.name.clone(), directory));
        let runtime = runtime_env(config.memory_limit_bytes, &config.spill_dir)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| WorkerError::Listen { address: config.listen, source })?;
        let local_addr =
            listener.local_addr().map_err(|source| WorkerError::Listen { address: config.listen, source })?;

        let sessions = Arc::clone(&store);
        let others = channels.clone();
        let worker = Worker::from_session_builder(move |query: WorkerQueryContext| {
            let (store, channels) = (Arc::clone(&sessions), channels.clone());
            async move { worker_session(query, store, channels) }
        })
        .with_runtime_env(runtime)
        .with_version(env!("CARGO_PKG_VERSION"));
        let shards = FlightServiceServer::new(ShardService::new(Arc::clone(&store), others))
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);

        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(
            Server::builder()
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .http2_keepalive_interval(Some(Duration::from_secs(5)))
                .http2_keepalive_timeout(Some(Duration::from_secs(10)))
                .add_service(worker.into_worker_server())
                .add_service(shards)
                .serve_with_incoming_shutdown(accept(listener, server_tls), stopped),
        );
        info!(worker = config.name, address = %local_addr, "worker serves");
        Ok(Self { local_addr, store, stop, serving })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The shards it serves.
    pub fn store(&self) -> &Arc<ShardStore> {
        &self.store
    }

    /// Accepts nothing more and waits for what runs; dropping the future ends that.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        match (&mut self.serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "worker stopped with an error"),
            Err(error) => error!(%error, "worker stopped with a panic"),
        }
    }
}

impl Drop for WorkerServer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
    }
}

/// The session in which a task of this worker runs.
fn worker_session(
    query: WorkerQueryContext,
    store: Arc<ShardStore>,
    channels: WorkerChannels,
) -> Result<SessionState> {
    let mut builder = query
        .builder
        .with_distributed_channel_resolver(channels)
        .with_distributed_user_codec(QuickdbCodec)
        .with_distributed_option_extension_from_headers::<SessionOptions>(&query.headers)?;
    let config = builder.config().get_or_insert_default();
    config.set_extension(store);
    let options = config.options_mut();
    options.execution.time_zone = options
        .extensions
        .get::<SessionOptions>()
        .and_then(|session| TimeZone::parse(&session.time_zone))
        .map(|zone| zone.arrow_name());
    let builder = crate::functions::add_to(builder);
    Ok(builder.build())
}

/// Memory pool and spill directory that all queries of one process share.
///
/// # Errors
/// The spill directory cannot be created.
pub fn runtime_env(memory_limit_bytes: usize, spill_dir: &std::path::Path) -> Result<Arc<RuntimeEnv>> {
    std::fs::create_dir_all(spill_dir)?;
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_limit_bytes), TOP_CONSUMERS);
    let disk =
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![spill_dir.to_path_buf()]));
    RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).with_disk_manager_builder(disk).build_arc()
}
