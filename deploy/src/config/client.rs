//! The side that clients see, alike for `quickdb start` and `quickdb master`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{MemoryLimit, resolve_optional};

/// TLS for clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ClientTlsConfig {
    /// The certificate chain in PEM. Absent: a self-signed one is made in the data directory.
    pub(crate) certificate: Option<PathBuf>,
    /// The private key of the certificate in PEM.
    pub(crate) key: Option<PathBuf>,
    /// Further names and addresses for the self-signed certificate.
    pub(crate) names: Vec<String>,
    /// Whether clients without TLS are turned away. Absent: when listening beyond loopback.
    pub(crate) require: Option<bool>,
}

impl ClientTlsConfig {
    /// Whether clients must use TLS on a server that listens on `address`.
    pub(crate) fn is_required(&self, address: SocketAddr) -> bool {
        self.require.unwrap_or(!address.ip().is_loopback())
    }

    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        resolve_optional(folder, &mut self.certificate);
        resolve_optional(folder, &mut self.key);
    }
}

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMethod {
    /// By password, with SCRAM-SHA-256.
    #[default]
    Scram,
    /// Not at all.
    Trust,
}

/// Authentication of clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AuthConfig {
    /// The method.
    pub(crate) method: AuthMethod,
    /// A file with the superuser's password. Absent: the password stays as it is.
    pub(crate) password_file: Option<PathBuf>,
}

impl AuthConfig {
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        resolve_optional(folder, &mut self.password_file);
    }
}

/// What statements and clients may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    /// Client connections at a time; at least 1.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) max_connections: u32,
    /// Milliseconds after which a statement is cancelled; 0 is never.
    pub(crate) statement_timeout_ms: u64,
    /// Memory for all queries together.
    pub(crate) memory_limit: MemoryLimit,
    /// Threads for computing; 0 is one per CPU.
    pub(crate) threads: u32,
    /// Seconds that running statements get to finish when the server is told to stop.
    pub(crate) drain_timeout_s: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_connections: 100,
            statement_timeout_ms: 0,
            memory_limit: MemoryLimit::Auto,
            threads: 0,
            drain_timeout_s: 30,
        }
    }
}

fn at_least_one<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("invalid value 0: at least 1 is needed")),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_required_beyond_loopback_unless_said_otherwise() {
        let mut tls = ClientTlsConfig::default();
        assert!(!tls.is_required("127.0.0.1:5433".parse().unwrap()));
        assert!(!tls.is_required("[::1]:5433".parse().unwrap()));
        assert!(tls.is_required("0.0.0.0:5433".parse().unwrap()));
        assert!(tls.is_required("10.1.2.3:5433".parse().unwrap()));
        tls.require = Some(false);
        assert!(!tls.is_required("0.0.0.0:5433".parse().unwrap()));
    }
}
