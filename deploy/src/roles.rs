//! The seam to the crates that do the work: everything that `quickdb` starts in its own process is started here.

use std::net::SocketAddr;
use std::path::PathBuf;

use quickdb_executor::worker::{WorkerConfig, WorkerServer};
use quickdb_server::{Auth, Findings, Master, MasterConfig, Recovery, TableLoad, TlsIdentity, Workers};
use quickdb_storage::DiskLimits;

use crate::certificates::Identity;
use crate::config::AuthMethod;
use crate::dataset::BundledTable;
use crate::error::Error;

/// The catalogue in a master's directory.
pub(crate) const CATALOGUE_FILE: &str = "catalogue.sqlite";

/// The certificates of a node inside a cluster, in PEM.
#[derive(Clone)]
pub(crate) struct ClusterIdentity {
    /// The authority of all nodes.
    pub(crate) authority_pem: String,
    /// This node's certificate and key.
    pub(crate) identity: Identity,
}

impl ClusterIdentity {
    fn into_tls(self) -> quickdb_executor::tls::ClusterTls {
        quickdb_executor::tls::ClusterTls {
            ca_pem: self.authority_pem.into_bytes(),
            cert_pem: self.identity.certificate_pem.into_bytes(),
            key_pem: self.identity.key_pem.into_bytes(),
        }
    }
}

/// A worker as the master sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerAddress {
    /// The name in messages and in its certificate, by which the catalogue knows its shards.
    pub(crate) name: String,
    /// `HOST:PORT`.
    pub(crate) address: String,
}

/// Where a master's shards are.
pub(crate) enum WorkersOf {
    /// In this process, in the directory of that path.
    Embedded(PathBuf, DiskLimits),
    /// In worker processes, reached over mutual TLS.
    Remote(Vec<WorkerAddress>, ClusterIdentity),
}

impl WorkersOf {
    /// As the server takes them.
    pub(crate) fn into_workers(self) -> Workers {
        match self {
            Self::Embedded(shards_dir, disk_limits) => Workers::Embedded { shards_dir, disk_limits },
            Self::Remote(addresses, identity) => Workers::Remote {
                workers: addresses.into_iter().map(|worker| (worker.name, worker.address)).collect(),
                tls: identity.into_tls(),
            },
        }
    }
}

/// Makes a lost catalogue anew from the workers.
///
/// # Errors
/// [`Error::Recover`].
pub(crate) async fn recover(recovery: &Recovery) -> Result<Findings, Error> {
    let recovered = quickdb_server::recover(recovery).await;
    recovered.map_err(|error| Error::Recover { message: error.to_string() })
}

/// Everything that a master needs to start.
pub(crate) struct MasterSettings {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// How the user gave that address, for messages.
    pub(crate) listen_setting: &'static str,
    /// The directory of the catalogue.
    pub(crate) catalogue_dir: PathBuf,
    /// The certificate for clients.
    pub(crate) tls: Identity,
    /// Whether clients without TLS are turned away.
    pub(crate) require_tls: bool,
    /// How clients prove who they are.
    pub(crate) auth: AuthMethod,
    /// A password that the superuser gets.
    pub(crate) password: Option<String>,
    /// The workers.
    pub(crate) workers: WorkersOf,
    /// Client connections at a time.
    pub(crate) max_connections: u32,
    /// Milliseconds after which a statement is cancelled; 0 is never.
    pub(crate) statement_timeout_ms: u64,
    /// Memory for all queries together.
    pub(crate) memory_limit_bytes: u64,
    /// Threads for computing.
    pub(crate) threads: usize,
}

/// A master that accepts connections.
pub(crate) struct RunningMaster(Master);

impl RunningMaster {
    /// Starts a master. It accepts connections when this returns.
    ///
    /// # Errors
    /// [`Error::PortInUse`] and [`Error::Role`].
    pub(crate) async fn start(settings: MasterSettings) -> Result<Self, Error> {
        start_computing(settings.threads)?;
        let MasterSettings { listen, listen_setting, .. } = settings;
        let workers = settings.workers.into_workers();
        let config = MasterConfig {
            listen,
            catalogue: settings.catalogue_dir.join(CATALOGUE_FILE),
            spill_dir: settings.catalogue_dir.join("spill"),
            tls: Some(TlsIdentity {
                cert_pem: settings.tls.certificate_pem.into_bytes(),
                key_pem: settings.tls.key_pem.into_bytes(),
            }),
            require_tls: settings.require_tls,
            auth: match settings.auth {
                AuthMethod::Scram => Auth::Scram,
                AuthMethod::Trust => Auth::Trust,
            },
            password: settings.password,
            statement_timeout_ms: settings.statement_timeout_ms,
            workers,
            max_connections: settings.max_connections as usize,
            memory_limit_bytes: usize::try_from(settings.memory_limit_bytes).unwrap_or(usize::MAX),
            threads: settings.threads,
        };
        let master = Master::start(config)
            .await
            .map_err(|error| Error::from_role("server", listen, listen_setting, Box::new(error)))?;
        Ok(Self(master))
    }

    /// The address it accepts connections on.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Whether the catalogue has a bundled table.
    pub(crate) fn has_table(&self, table: &BundledTable) -> bool {
        self.0.has_table("public", table.name)
    }

    /// Creates a bundled table and loads it into `shard_count` shards, spread evenly over the workers: all of it or,
    /// on an error, nothing. The number of rows.
    ///
    /// # Errors
    /// [`Error::BundledData`] and [`Error::Load`].
    pub(crate) async fn load_table(&self, table: &BundledTable, shard_count: usize) -> Result<u64, Error> {
        let batches = table.open()?;
        let schema = batches.schema();
        let failed = |source| Error::Load { table: table.name, source };
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|error| failed(Box::new(error)))?;
        let load = TableLoad {
            name: table.name.to_owned(),
            comment: Some(table.comment.to_owned()),
            schema,
            batches,
            shard_count,
        };
        self.0.load_table(load).await.map_err(|error| failed(Box::new(error)))
    }

    /// Takes no new connections, lets running statements finish, and stops.
    pub(crate) async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// Everything that a worker needs to start.
pub(crate) struct WorkerSettings {
    /// The name in messages.
    pub(crate) name: String,
    /// Where the master and the other workers connect.
    pub(crate) listen: SocketAddr,
    /// The directory of the shards.
    pub(crate) shards_dir: PathBuf,
    /// What they may take of their disk.
    pub(crate) disk_limits: DiskLimits,
    /// The certificates.
    pub(crate) tls: ClusterIdentity,
    /// Memory for all queries together.
    pub(crate) memory_limit_bytes: u64,
    /// Threads for computing.
    pub(crate) threads: usize,
}

/// A worker that accepts tasks.
pub(crate) struct RunningWorker(WorkerServer);

impl RunningWorker {
    /// Starts a worker. It accepts tasks when this returns.
    ///
    /// # Errors
    /// [`Error::PortInUse`] and [`Error::Role`].
    pub(crate) async fn start(settings: WorkerSettings) -> Result<Self, Error> {
        start_computing(settings.threads)?;
        let listen = settings.listen;
        let config = WorkerConfig {
            name: settings.name,
            listen,
            spill_dir: settings.shards_dir.with_file_name("spill"),
            shards_dir: settings.shards_dir,
            disk_limits: settings.disk_limits,
            tls: settings.tls.into_tls(),
            memory_limit_bytes: usize::try_from(settings.memory_limit_bytes).unwrap_or(usize::MAX),
        };
        let worker = WorkerServer::start(config)
            .await
            .map_err(|error| Error::from_role("worker", listen, "listen", Box::new(error)))?;
        Ok(Self(worker))
    }

    /// The address it accepts tasks on.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    /// Takes no new tasks, lets running ones finish, and stops.
    pub(crate) async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

/// Starts the threads that compute, of which a process has one set.
fn start_computing(threads: usize) -> Result<(), Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|index| format!("quickdb-cpu-{index}"))
        .build_global()
        .map_err(|error| Error::Setup {
            what: "the threads that compute",
            source: std::io::Error::other(error),
        })
}
