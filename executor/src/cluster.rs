//! The workers of a cluster and the connections to them.
//!
//! ```text
//!  Cluster ── WorkerEndpoint 0..n ── WorkerChannels ── one HTTP/2 channel over mutual TLS per worker
//!                                        │
//!                                        └─ NamedChannel: errors of the transport name the worker
//! ```
//!
//! A channel connects when it is first used, reconnects by itself after a failure and is watched by HTTP/2
//! keepalive, so that a worker that hangs is noticed as one that died is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion_distributed::{
    ChannelResolver, CoordinatorToWorkerMsg, ExecuteTaskRequest, GetWorkerInfoRequest, GetWorkerInfoResponse,
    SetPlanRequest, WorkerChannel, WorkerResolver, WorkerToCoordinatorMsg, grpc,
};
use futures::StreamExt;
use futures::stream::BoxStream;
use http::HeaderMap;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use crate::error::{ErrorKind, ExecError};
use crate::table::WorkerId;
use crate::tls::{ClusterTls, TlsError};

/// A worker that does not accept a connection within this time counts as lost.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// Silence after which a worker is asked whether it lives, and how long it has to answer. Together they
/// bound how long a query waits for a worker that hangs.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Flow-control windows: large enough that a shuffle is bound by the network, not by round trips.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 16 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;

/// A worker as the master knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerEndpoint {
    /// Number of the worker in the catalogue.
    pub id: WorkerId,
    /// Name of the worker, as users and errors call it.
    pub name: String,
    /// `host:port` of the worker's cluster port.
    pub address: String,
}

/// The workers that hold the data, in a fixed order: task *i* of a stage over shards runs on worker *i*.
#[derive(Debug)]
pub struct Cluster {
    workers: Vec<WorkerEndpoint>,
    urls: Vec<Url>,
    channels: WorkerChannels,
}

/// A cluster that cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// An address is not `host:port`.
    #[error("worker \"{name}\": \"{address}\" is not an address of the form host:port")]
    Address {
        /// The worker's name.
        name: String,
        /// What was given.
        address: String,
    },
    /// No worker at all.
    #[error("a cluster needs at least one worker")]
    NoWorkers,
    /// The certificates do not serve.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Cluster {
    /// Sets up the connections without opening any.
    pub fn new(workers: Vec<WorkerEndpoint>, tls: &ClusterTls) -> Result<Self, ClusterError> {
        if workers.is_empty() {
            return Err(ClusterError::NoWorkers);
        }
        let mut urls = Vec::with_capacity(workers.len());
        let mut names = HashMap::new();
        for worker in &workers {
            let url = worker_url(&worker.address).ok_or_else(|| ClusterError::Address {
                name: worker.name.clone(),
                address: worker.address.clone(),
            })?;
            names.insert(url.clone(), worker.name.clone());
            urls.push(url);
        }
        let channels = WorkerChannels::new(tls.client_config()?, names);
        Ok(Self { workers, urls, channels })
    }

    /// The workers in task order.
    pub fn workers(&self) -> &[WorkerEndpoint] {
        &self.workers
    }

    /// Index of a worker in task order.
    pub fn index_of(&self, id: WorkerId) -> Option<usize> {
        self.workers.iter().position(|worker| worker.id == id)
    }

    /// Tasks of a stage over shards: one for each worker, and at least two. With one, datafusion-distributed
    /// would elide the boundary and run the stage on the master, where there are no shards.
    pub fn task_count(&self) -> usize {
        self.workers.len().max(2)
    }

    /// Where task `task` runs. A spare task (there is one where the cluster has a single worker) goes to a
    /// worker too.
    pub(crate) fn url_of_task(&self, task: usize) -> Url {
        self.urls[task % self.urls.len()].clone()
    }

    /// Name of the worker that runs task `task`, if the task is not a spare one.
    pub(crate) fn worker_of_task(&self, task: usize) -> Option<&WorkerEndpoint> {
        self.workers.get(task)
    }

    /// The connections to the workers.
    pub fn channels(&self) -> &WorkerChannels {
        &self.channels
    }

    /// The channel to one worker, for the shard protocol.
    pub(crate) fn channel(&self, index: usize) -> Result<Channel> {
        match self.urls.get(index) {
            Some(url) => self.channels.channel(url),
            None => {
                Err(ExecError::new(ErrorKind::Internal, format!("there is no worker {index}"))
                    .into_datafusion())
            }
        }
    }
}

impl WorkerResolver for Cluster {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.urls.clone())
    }
}

/// `host:port` as the URL that stands for the worker everywhere in a plan. TLS is a matter of the
/// connector, so the scheme stays `http`.
pub(crate) fn worker_url(address: &str) -> Option<Url> {
    let url = Url::parse(&format!("http://{address}")).ok()?;
    (url.port().is_some() && url.path() == "/" && url.host_str().is_some_and(|host| !host.is_empty()))
        .then_some(url)
}

/// Channels over mutual TLS, one for each worker, made when first asked for and kept.
#[derive(Clone, Debug)]
pub struct WorkerChannels {
    tls: Arc<ClientConfig>,
    names: Arc<HashMap<Url, String>>,
    open: Arc<Mutex<HashMap<Url, Channel>>>,
}

impl WorkerChannels {
    /// Channels that present the certificate of `tls`. `names` are the workers' names where they are known
    /// (on the master); elsewhere a worker is called by its address.
    pub(crate) fn new(tls: Arc<ClientConfig>, names: HashMap<Url, String>) -> Self {
        Self { tls, names: Arc::new(names), open: Arc::default() }
    }

    /// How the worker at `url` is called in errors.
    pub(crate) fn name(&self, url: &Url) -> String {
        self.names.get(url).cloned().unwrap_or_else(|| url.authority().to_owned())
    }

    /// The channel to the worker at `url`.
    pub(crate) fn channel(&self, url: &Url) -> Result<Channel> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = open.get(url) {
            return Ok(channel.clone());
        }
        let lost = |error: &dyn std::fmt::Display| worker_lost(&self.name(url), &error.to_string());
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let server_name = ServerName::try_from(host.clone()).map_err(|error| lost(&error))?;
        let port = url.port().unwrap_or_default();
        let endpoint = Endpoint::from_shared(url.to_string())
            .map_err(|error| lost(&error))?
            .connect_timeout(CONNECT_TIMEOUT)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true);
        let tls = Arc::clone(&self.tls);
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
            let (tls, host, server_name) = (Arc::clone(&tls), host.clone(), server_name.clone());
            async move {
                let socket = TcpStream::connect((host.as_str(), port)).await?;
                socket.set_nodelay(true)?;
                let stream = TlsConnector::from(tls).connect(server_name, socket).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        }));
        open.insert(url.clone(), channel.clone());
        Ok(channel)
    }
}

#[async_trait]
impl ChannelResolver for WorkerChannels {
    async fn get_worker_client_for_url(&self, url: &Url) -> Result<Box<dyn WorkerChannel>> {
        let client = grpc::create_worker_client(grpc::BoxCloneSyncChannel::new(self.channel(url)?));
        Ok(Box::new(NamedChannel { worker: self.name(url), client }))
    }
}

/// A worker that cannot be reached, as every part of the cluster reports it.
pub(crate) fn worker_lost(worker: &str, cause: &str) -> DataFusionError {
    let mut error = ExecError::new(ErrorKind::WorkerLost, format!("worker \"{worker}\" is not reachable"));
    error.detail = Some(cause.to_owned());
    error.hint = Some("Its shards can be queried again once it is back.".to_owned());
    error.worker = Some(worker.to_owned());
    error.into_datafusion()
}

/// Names the worker in what goes wrong between here and there; what goes wrong inside the worker's plan
/// keeps its own kind and gets the worker's name beside it.
pub(crate) fn name_worker(worker: &str, error: DataFusionError) -> DataFusionError {
    if let Some(mut exec) = ExecError::find(&error) {
        if exec.worker.is_none() {
            exec.worker = Some(worker.to_owned());
        }
        return exec.into_datafusion();
    }
    match transport_failure(&error) {
        Some(cause) => worker_lost(worker, &cause),
        None => error,
    }
}

/// The cause, when an error comes from the connection and not from the plan at its other end.
fn transport_failure(error: &DataFusionError) -> Option<String> {
    let DataFusionError::External(external) = error else {
        return match error {
            DataFusionError::Context(_, inner) => transport_failure(inner),
            DataFusionError::Shared(inner) => transport_failure(inner),
            _ => None,
        };
    };
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(external.as_ref());
    while let Some(current) = source {
        if let Some(status) = current.downcast_ref::<tonic::Status>() {
            return Some(status_cause(status));
        }
        if current.is::<tonic::transport::Error>() || current.is::<std::io::Error>() {
            return Some(innermost(current));
        }
        source = current.source();
    }
    None
}

/// A status in words: its message, or what lies under it, without tonic's wrapping.
pub(crate) fn status_cause(status: &tonic::Status) -> String {
    let cause = std::error::Error::source(status).map(innermost);
    cause.unwrap_or_else(|| format!("{}: {}", status.code().description().to_lowercase(), status.message()))
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut current = error;
    while let Some(source) = current.source() {
        current = source;
    }
    current.to_string()
}

/// A worker's client whose errors name the worker.
struct NamedChannel {
    worker: String,
    client: Box<dyn WorkerChannel>,
}

impl NamedChannel {
    fn named<T: Send + 'static>(
        &self,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let worker = self.worker.clone();
        stream.map(move |item| item.map_err(|error| name_worker(&worker, error))).boxed()
    }
}

#[async_trait]
impl WorkerChannel for NamedChannel {
    async fn coordinator_channel(
        &mut self,
        headers: HeaderMap,
        set_plan_request: SetPlanRequest,
        to_worker: BoxStream<'static, CoordinatorToWorkerMsg>,
        metrics: ExecutionPlanMetricsSet,
        task_ctx: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<WorkerToCoordinatorMsg>>> {
        let stream =
            self.client.coordinator_channel(headers, set_plan_request, to_worker, metrics, task_ctx).await;
        stream.map(|stream| self.named(stream)).map_err(|error| name_worker(&self.worker, error))
    }

    async fn execute_task(
        &mut self,
        headers: HeaderMap,
        request: ExecuteTaskRequest,
        metrics: ExecutionPlanMetricsSet,
        task_ctx: &Arc<TaskContext>,
    ) -> Result<Vec<BoxStream<'static, Result<RecordBatch>>>> {
        let streams = self.client.execute_task(headers, request, metrics, task_ctx).await;
        streams
            .map(|streams| streams.into_iter().map(|stream| self.named(stream)).collect())
            .map_err(|error| name_worker(&self.worker, error))
    }

    async fn get_worker_info(&mut self, request: GetWorkerInfoRequest) -> Result<GetWorkerInfoResponse> {
        self.client.get_worker_info(request).await.map_err(|error| name_worker(&self.worker, error))
    }
}
