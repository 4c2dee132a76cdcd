//! The configuration of `quickdb master`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{
    AuthConfig, ClientTlsConfig, ClusterTlsConfig, Config, LOG_LEVEL_DEFAULT, LimitsConfig, resolve,
};
use crate::cli;

/// The master of a cluster. `deploy/master.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MasterConfig {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// The directory of the catalogue.
    pub(crate) data_dir: PathBuf,
    /// What is logged.
    #[serde(deserialize_with = "crate::logging::deserialize_level")]
    pub(crate) log_level: String,
    /// TLS for clients.
    pub(crate) tls: ClientTlsConfig,
    /// Authentication of clients.
    pub(crate) auth: AuthConfig,
    /// What statements and clients may take.
    pub(crate) limits: LimitsConfig,
    /// The master's certificate towards the workers.
    pub(crate) cluster: ClusterTlsConfig,
    /// The workers.
    #[serde(deserialize_with = "distinct_workers")]
    pub(crate) workers: Vec<WorkerEntry>,
}

/// One worker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkerEntry {
    /// The name in messages and in the worker's certificate, by which the catalogue knows its shards: it never changes.
    pub(crate) name: String,
    /// `HOST:PORT`.
    #[serde(deserialize_with = "host_and_port")]
    pub(crate) address: String,
}

impl Default for MasterConfig {
    fn default() -> Self {
        Self {
            listen: cli::CLIENT_ADDRESS_DEFAULT,
            data_dir: PathBuf::from("/var/lib/quickdb/master"),
            log_level: LOG_LEVEL_DEFAULT.to_owned(),
            tls: ClientTlsConfig::default(),
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
            cluster: ClusterTlsConfig::default(),
            workers: Vec::new(),
        }
    }
}

impl Config for MasterConfig {
    fn resolve_paths(&mut self, folder: &Path) {
        resolve(folder, &mut self.data_dir);
        self.tls.resolve_paths(folder);
        self.auth.resolve_paths(folder);
        self.cluster.resolve_paths(folder);
    }
}

fn distinct_workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WorkerEntry>, D::Error> {
    let workers = Vec::<WorkerEntry>::deserialize(deserializer)?;
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for worker in &workers {
        let twice = if !names.insert(&worker.name) {
            format!("name {:?}", worker.name)
        } else if !addresses.insert(&worker.address) {
            format!("address {:?}", worker.address)
        } else {
            continue;
        };
        return Err(serde::de::Error::custom(format!("two workers have the {twice}")));
    }
    Ok(workers)
}

fn host_and_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => Ok(text),
        _ => Err(serde::de::Error::custom(format!(
            "invalid address {text:?}: expected HOST:PORT, for example \"10.0.0.11:2935\""
        ))),
    }
}
