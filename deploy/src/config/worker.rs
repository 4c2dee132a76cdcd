//! The configuration of `quickdb worker`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Config, DiskSize, LOG_LEVEL_DEFAULT, MemoryLimit, resolve};
use crate::cli;

/// A worker of a cluster. `deploy/worker.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WorkerConfig {
    /// The name in messages; the certificate must have it.
    pub(crate) name: String,
    /// Where the master and the other workers connect, with client certificates only.
    pub(crate) listen: SocketAddr,
    /// The directory of the shards.
    pub(crate) data_dir: PathBuf,
    /// Threads for computing; 0 is one per CPU.
    pub(crate) threads: u32,
    /// Memory for all queries together.
    pub(crate) memory_limit: MemoryLimit,
    /// Bytes that the shards may have.
    pub(crate) max_disk: DiskSize,
    /// Bytes of the disk that stay free.
    pub(crate) min_free_disk: DiskSize,
    /// Seconds that running tasks get to finish when the worker is told to stop.
    pub(crate) drain_timeout_s: u64,
    /// What is logged.
    #[serde(deserialize_with = "crate::logging::deserialize_level")]
    pub(crate) log_level: String,
    /// The worker's certificate towards the master and the other workers.
    pub(crate) tls: ClusterTlsConfig,
}

/// Mutual TLS inside a cluster: all three are PEM files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClusterTlsConfig {
    /// The authority that signed every node's certificate.
    pub(crate) ca: PathBuf,
    /// This node's certificate, good for client and server.
    pub(crate) certificate: PathBuf,
    /// The private key of the certificate.
    pub(crate) key: PathBuf,
}

impl ClusterTlsConfig {
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key] {
            resolve(folder, path);
        }
    }
}

impl Default for ClusterTlsConfig {
    fn default() -> Self {
        Self {
            ca: PathBuf::from("/etc/quickdb/tls/ca.pem"),
            certificate: PathBuf::from("/etc/quickdb/tls/node.pem"),
            key: PathBuf::from("/etc/quickdb/tls/node.key"),
        }
    }
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            name: "worker-1".to_owned(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), cli::WORKER_PORT_DEFAULT),
            data_dir: PathBuf::from("/var/lib/quickdb/worker"),
            threads: 0,
            memory_limit: MemoryLimit::Auto,
            max_disk: DiskSize::default(),
            min_free_disk: DiskSize::free_min_default(),
            drain_timeout_s: 30,
            log_level: LOG_LEVEL_DEFAULT.to_owned(),
            tls: ClusterTlsConfig::default(),
        }
    }
}

impl Config for WorkerConfig {
    fn resolve_paths(&mut self, folder: &Path) {
        resolve(folder, &mut self.data_dir);
        self.tls.resolve_paths(folder);
    }
}
