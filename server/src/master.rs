//! The master as a server: opens the catalogue, listens, lets clients in, loads tables.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::DataFusionError;
use futures::StreamExt;
use futures::stream::BoxStream;
use pgwire::tokio::server::negotiate_tls;
use quickdb_executor::cluster::{Cluster, ClusterError, WorkerEndpoint};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::store::ShardStore;
use quickdb_executor::table::WorkerId;
use quickdb_executor::tls::ClusterTls;
use quickdb_storage::{DiskLimits, ShardDirectory, ShardIdentity, ShardReport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::auth::channel_binding::ChannelBinding;
use crate::auth::scram::Verifier;
use crate::catalogue::{Catalogue, CatalogueError, Change, NewTable, RoleOptions, Shard};
use crate::copies;
use crate::engine::{Backend, Engine};
use crate::error::{PgError, Severity, SqlState};
use crate::wire::socket::{Socket, error_info};
use crate::wire::startup::{self, Auth, Door};

/// A client that has not logged in by then is dropped.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(60);

/// A worker that does not say within this time what it holds is looked at when the master serves.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the worker in the master's process.
const EMBEDDED: &str = "embedded";

/// The role that a catalogue starts with.
const SUPERUSER: &str = "quickdb";

/// The certificate that clients see, as PEM texts.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Certificate chain, leaf first.
    pub cert_pem: Vec<u8>,
    /// Private key.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

/// Where the data lies.
#[derive(Debug, Clone)]
pub enum Workers {
    /// In this process, in the shards of a directory.
    Embedded {
        /// Directory of the shards.
        shards_dir: PathBuf,
        /// What they may take of their disk.
        disk_limits: DiskLimits,
    },
    /// On other servers.
    Remote {
        /// Name and cluster address of each, in the order that tasks take.
        workers: Vec<(String, String)>,
        /// Certificates of this node.
        tls: ClusterTls,
    },
}

/// What a master needs to know.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// Address for clients; port 0 picks a free one.
    pub listen: SocketAddr,
    /// File of the catalogue.
    pub catalogue: PathBuf,
    /// Directory for what does not fit in memory.
    pub spill_dir: PathBuf,
    /// The certificate to offer; without one there is no TLS.
    pub tls: Option<TlsIdentity>,
    /// Refuse clients that do not use TLS.
    pub require_tls: bool,
    /// How clients prove who they are.
    pub auth: Auth,
    /// The superuser's password, where there is one.
    pub password: Option<String>,
    /// `statement_timeout` of new sessions in milliseconds; 0 is never.
    pub statement_timeout_ms: u64,
    /// Where the data lies.
    pub workers: Workers,
    /// Clients at once.
    pub max_connections: usize,
    /// Memory for all queries together, in bytes.
    pub memory_limit_bytes: usize,
    /// Threads that compute.
    pub threads: usize,
}

/// A table to be loaded whole.
#[derive(Debug)]
pub struct TableLoad {
    /// Name in schema `public`.
    pub name: String,
    /// Comment on the table.
    pub comment: Option<String>,
    /// Columns; field metadata may name PostgreSQL's type.
    pub schema: SchemaRef,
    /// Rows.
    pub batches: Vec<RecordBatch>,
    /// Shards that they are cut into, spread over the workers in turn.
    pub shard_count: usize,
}

/// Why a master does not start or a table is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port is taken or not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The clients' certificate cannot be used.
    #[error("the server certificate cannot be used: {0}")]
    Tls(String),
    /// The catalogue cannot be opened or changed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The workers cannot be set up as configured.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A worker's shards are not those of the catalogue.
    #[error(
        "worker \"{worker}\" {refusal}; if the catalogue was lost, move it away and run quickdb recover, \
         which makes it anew from the workers"
    )]
    OtherShards {
        /// The worker.
        worker: String,
        /// What it has.
        refusal: String,
    },
    /// The shard directory cannot be used.
    #[error(transparent)]
    Storage(#[from] quickdb_storage::StorageError),
    /// Anything below: memory pool, spill directory, a worker.
    #[error("{}", .0.message)]
    Execution(PgError),
}

impl From<DataFusionError> for ServerError {
    fn from(error: DataFusionError) -> Self {
        Self::Execution(PgError::from_datafusion(error, None))
    }
}

/// A master that serves. Dropping it stops it at once.
#[derive(Debug)]
pub struct Master {
    engine: Arc<Engine>,
    local_addr: SocketAddr,
    stop: CancellationToken,
    accepting: tokio::task::JoinHandle<()>,
    upkeep: tokio::task::JoinHandle<()>,
}

impl Master {
    /// Opens the catalogue, gets the workers ready and listens. Clients are let in at once.
    ///
    /// # Errors
    /// See [`ServerError`].
    pub async fn start(config: MasterConfig) -> Result<Self, ServerError> {
        let tls = config.tls.as_ref().map(server_tls).transpose()?;
        let catalogue = Catalogue::open(&config.catalogue)?;
        // Before anything is written: a catalogue that is not that of the shards stays as it is.
        refuse_others(&catalogue, &config.workers).await?;
        catalogue.begin_run()?;
        if let Some(password) = &config.password {
            let verifier =
                Verifier::generate(password).map_err(|error| ServerError::Tls(error.to_string()))?;
            let options = RoleOptions { verifier: Some(Some(verifier)), ..RoleOptions::default() };
            catalogue.alter_role(SUPERUSER, &options)?;
        }
        let backend = match &config.workers {
            Workers::Embedded { shards_dir, disk_limits } => {
                let worker = catalogue.register_worker(EMBEDDED, "in the master's process")?;
                let directory = ShardDirectory::open_within(shards_dir, *disk_limits)?;
                let store = Arc::new(ShardStore::new(EMBEDDED, directory));
                Backend::Embedded { worker, store }
            }
            Workers::Remote { workers, tls } => {
                Backend::Cluster(Arc::new(cluster(&catalogue, workers, tls)?))
            }
        };
        let runtime = crate::engine::runtime_env(config.memory_limit_bytes, &config.spill_dir)?;
        let engine = Arc::new(Engine::new(catalogue, backend, runtime, config.threads)?);
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| ServerError::Listen { address: config.listen, source })?;
        let local_addr =
            listener.local_addr().map_err(|source| ServerError::Listen { address: config.listen, source })?;
        let (acceptor, certificate) = tls.unzip();
        let mock_secret = engine.catalogue.mock_secret()?;
        let door = Arc::new(Door {
            engine: Arc::clone(&engine),
            connections: Arc::default(),
            auth: config.auth,
            require_tls: config.require_tls,
            binding: certificate.as_deref().and_then(ChannelBinding::of_certificate),
            mock_secret,
            statement_timeout_ms: config.statement_timeout_ms,
        });
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(crate::upkeep::run(Arc::clone(&engine), stop.clone()));
        let accepting = tokio::spawn(accept(listener, acceptor, door, config.max_connections, stop.clone()));
        info!(address = %local_addr, "master serves");
        Ok(Self { engine, local_addr, stop, accepting, upkeep })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Lets nobody in any more, lets statements finish and tells clients to go. It waits for that; dropping the
    /// future ends what still runs.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // The task ends by itself; it cannot panic.
        let _ = (&mut self.accepting).await;
        let _ = (&mut self.upkeep).await;
    }

    /// Whether the catalogue has a table.
    pub fn has_table(&self, schema: &str, name: &str) -> bool {
        self.engine.snapshot().table(schema, name).is_some()
    }

    /// Loads a table: its rows are spread over the workers in `shards` shards of about equal size, written,
    /// and committed together. No client sees a part of them.
    ///
    /// # Errors
    /// The rows', a worker's or the catalogue's; then the table does not exist and its shards are removed.
    pub async fn load_table(&self, load: TableLoad) -> Result<u64, ServerError> {
        let TableLoad { name, comment, schema, batches, shard_count } = load;
        let catalogue = &self.engine.catalogue;
        let hosts = self.engine.hosts()?;
        let pieces = split(&batches, shard_count.max(1));
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let first = catalogue.allocate_shard_ids(count)?;
        let claims: Vec<_> = first.iter().map(|shard| self.engine.claims.claim(shard.0)).collect();
        let table_id = catalogue.allocate_table_id()?;
        let table = NewTable { comment, ..NewTable::of_arrow(table_id, "public", &name, &schema)? };
        let table = table.define(catalogue, &self.engine.snapshot())?;
        let table_name = table.full_name();
        let mut written: Vec<(ShardReport, Vec<WorkerId>)> = Vec::with_capacity(pieces.len());
        let mut failure = None;
        for (index, (piece, shard)) in pieces.into_iter().zip(first).enumerate() {
            let Some((worker, host)) = hosts.get(index % hosts.len().max(1)) else { break };
            let identity = ShardIdentity { shard, table: table_id, table_name: table_name.clone() };
            let rows: BoxStream<'static, _> = futures::stream::iter(piece.into_iter().map(Ok)).boxed();
            match host.put(identity, Arc::clone(table.arrow_schema()), rows).await {
                Ok(report) => written.push((report, vec![*worker])),
                Err(error) => {
                    failure = Some(ServerError::from(error));
                    break;
                }
            }
        }
        let row_count = written.iter().map(|(report, _)| report.rows).sum();
        let committed = match failure {
            Some(failure) => Err(failure),
            None => {
                let shards = written.iter().map(|(report, on)| Shard::of_report(report, &table, on.clone()));
                let shards = shards.collect::<Result<Vec<_>, _>>();
                shards.map_err(ServerError::from).and_then(|shards| {
                    let rows = Change::AddShards { table: table_id, shards };
                    let changes = vec![Change::CreateTable(Arc::clone(&table)), rows];
                    Ok(tokio::task::block_in_place(|| self.engine.commit(changes))?)
                })
            }
        };
        // What did not become part of the table is collected.
        drop(claims);
        committed?;
        Ok(row_count)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.stop.cancel();
        self.accepting.abort();
        self.upkeep.abort();
    }
}

/// Rows in order, cut into `pieces` runs of about equal length.
fn split(batches: &[RecordBatch], pieces: usize) -> Vec<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut cut = Vec::with_capacity(pieces);
    let mut batches = batches.iter().cloned().collect::<std::collections::VecDeque<_>>();
    for piece in 0..pieces {
        let mut wanted = rows * (piece + 1) / pieces - rows * piece / pieces;
        let mut own = Vec::new();
        while wanted > 0 {
            let Some(batch) = batches.pop_front() else { break };
            if batch.num_rows() > wanted {
                batches.push_front(batch.slice(wanted, batch.num_rows() - wanted));
                own.push(batch.slice(0, wanted));
                wanted = 0;
            } else {
                wanted -= batch.num_rows();
                own.push(batch);
            }
        }
        cut.push(own);
    }
    cut
}

/// Looks at the shards of all workers that can be reached; those of the others are looked at when they come.
///
/// # Errors
/// [`ServerError::OtherShards`] when some are not the catalogue's.
async fn refuse_others(catalogue: &Catalogue, workers: &Workers) -> Result<(), ServerError> {
    let hosts = unnumbered_hosts(workers)?;
    let looks = hosts.iter().map(|(name, host)| async move {
        match tokio::time::timeout(LOOK_TIMEOUT, copies::examine(catalogue, host)).await {
            Ok(Ok(Err(refusal))) => {
                Err(ServerError::OtherShards { worker: name.clone(), refusal: refusal.to_string() })
            }
            Ok(Err(error)) => {
                debug!(worker = name, %error, "the worker is looked at later");
                Ok(())
            }
            Ok(Ok(Ok(_))) | Err(_) => Ok(()),
        }
    });
    futures::future::try_join_all(looks).await.map(|_| ())
}

/// Names and handles of workers that may have no number in a catalogue yet.
///
/// # Errors
/// [`ServerError::Cluster`], [`ServerError::Storage`].
pub(crate) fn unnumbered_hosts(workers: &Workers) -> Result<Vec<(String, ShardHost)>, ServerError> {
    match workers {
        Workers::Embedded { shards_dir, .. } => {
            let store = ShardStore::new(EMBEDDED, ShardDirectory::open(shards_dir)?);
            Ok(vec![(EMBEDDED.to_owned(), ShardHost::Embedded(Arc::new(store)))])
        }
        Workers::Remote { workers, tls } => {
            let endpoints = workers.iter().zip(0..).map(|((name, address), number)| WorkerEndpoint {
                id: WorkerId(number),
                name: name.clone(),
                address: address.clone(),
            });
            let cluster = Cluster::new(endpoints.collect(), tls)?;
            let host = |(index, (name, _)): (usize, &(String, String))| {
                Ok((name.clone(), ShardHost::remote(&cluster, index)?))
            };
            workers.iter().enumerate().map(host).collect()
        }
    }
}

fn cluster(
    catalogue: &Catalogue,
    workers: &[(String, String)],
    tls: &ClusterTls,
) -> Result<Cluster, ServerError> {
    let endpoints = workers
        .iter()
        .map(|(name, address)| {
            let id = catalogue.register_worker(name, address)?;
            Ok(WorkerEndpoint { id, name: name.clone(), address: address.clone() })
        })
        .collect::<Result<Vec<_>, CatalogueError>>()?;
    Ok(Cluster::new(endpoints, tls)?)
}

/// The acceptor, and the certificate that channel binding speaks of.
fn server_tls(identity: &TlsIdentity) -> Result<(TlsAcceptor, Vec<u8>), ServerError> {
    let wrong = |error: &dyn std::fmt::Display| ServerError::Tls(error.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&identity.cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    let leaf = chain.first().ok_or_else(|| wrong(&"there is no certificate in the file"))?.to_vec();
    let key = PrivateKeyDer::from_pem_slice(&identity.key_pem).map_err(|error| wrong(&error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok((TlsAcceptor::from(Arc::new(config)), leaf))
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    door: Arc<Door>,
    connections_max: usize,
    stop: CancellationToken,
) {
    let free = Arc::new(Semaphore::new(connections_max));
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        let socket = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be closed.
                    debug!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let (door, acceptor, stop, free) =
            (Arc::clone(&door), acceptor.clone(), stop.clone(), Arc::clone(&free));
        clients.spawn(async move { client(socket, acceptor, &door, stop, free).await });
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

async fn client(
    socket: TcpStream,
    acceptor: Option<TlsAcceptor>,
    door: &Door,
    stop: CancellationToken,
    free: Arc<Semaphore>,
) {
    let starting = async {
        let socket: Socket = negotiate_tls(socket, acceptor).await.ok().flatten()?;
        match free.try_acquire_owned() {
            Ok(permit) => startup::start(socket, door).await.map(|connection| (connection, permit)),
            Err(_) => {
                too_many(socket).await;
                None
            }
        }
    };
    let started = tokio::select! {
        () = stop.cancelled() => None,
        started = tokio::time::timeout(STARTUP_TIMEOUT, starting) => started.ok().flatten(),
    };
    if let Some((connection, _permit)) = started {
        connection.serve(stop).await;
    }
}

async fn too_many(mut socket: Socket) {
    use futures::SinkExt;
    use pgwire::messages::PgWireBackendMessage;
    use pgwire::messages::response::ErrorResponse;
    let mut error = PgError::with_state(SqlState::TOO_MANY_CONNECTIONS, "sorry, too many clients already");
    error.severity = Severity::Fatal;
    // The client may be gone; there is nobody else to tell.
    let _ = socket.send(PgWireBackendMessage::ErrorResponse(ErrorResponse::from(error_info(error)))).await;
    let _ = socket.close().await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn split_keeps_every_row_in_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, false)]));
        let batch = |range: std::ops::Range<i64>| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from_iter_values(range))])
                .unwrap()
        };
        let batches = [batch(0..10), batch(10..11), batch(11..30)];
        for pieces in 1..40 {
            let cut = split(&batches, pieces);
            assert_eq!(cut.len(), pieces);
            let sizes: Vec<usize> =
                cut.iter().map(|own| own.iter().map(RecordBatch::num_rows).sum()).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let values: Vec<i64> = cut
                .iter()
                .flatten()
                .flat_map(|batch| {
                    batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
                })
                .collect();
            assert_eq!(values, (0..30).collect::<Vec<_>>());
        }
        assert_eq!(split(&[], 3).len(), 3);
    }
}
