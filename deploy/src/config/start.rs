//! The configuration of `quickdb start`.

use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

use super::{AuthConfig, ClientTlsConfig, Config, DiskSize, LOG_LEVEL_DEFAULT, LimitsConfig};
use crate::cli;

/// A one-process server. `deploy/start.toml` documents every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StartConfig {
    /// Where clients connect.
    pub(crate) listen: SocketAddr,
    /// What is logged.
    #[serde(deserialize_with = "crate::logging::deserialize_level")]
    pub(crate) log_level: String,
    /// Bytes that the shards may have.
    pub(crate) max_disk: DiskSize,
    /// Bytes of the disk that stay free.
    pub(crate) min_free_disk: DiskSize,
    /// TLS for clients.
    pub(crate) tls: ClientTlsConfig,
    /// Authentication of clients.
    pub(crate) auth: AuthConfig,
    /// What statements and clients may take.
    pub(crate) limits: LimitsConfig,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self {
            listen: cli::CLIENT_ADDRESS_DEFAULT,
            log_level: LOG_LEVEL_DEFAULT.to_owned(),
            max_disk: DiskSize::default(),
            min_free_disk: DiskSize::free_min_default(),
            tls: ClientTlsConfig::default(),
            auth: AuthConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl Config for StartConfig {
    fn resolve_paths(&mut self, folder: &Path) {
        self.tls.resolve_paths(folder);
        self.auth.resolve_paths(folder);
    }
}
