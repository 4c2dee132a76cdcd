//! What each command does.

pub(crate) mod demo;
pub(crate) mod generate;
pub(crate) mod load;
pub(crate) mod master;
pub(crate) mod recover;
pub(crate) mod start;
pub(crate) mod worker;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::{info, warn};

use crate::certificates::{Identity, loopback_names};
use crate::config::{AuthConfig, AuthMethod, ClientTlsConfig, ClusterTlsConfig, LimitsConfig};
use crate::error::Error;
use crate::machine::Machine;
use crate::roles::{CATALOGUE_FILE, ClusterIdentity, MasterSettings, RunningMaster, WorkersOf};
use crate::shutdown::Shutdown;
use crate::{console, listen, password, pem_file, server_certificate};

/// What a command learns from `main`, which alone looks at the process's surroundings.
pub(crate) struct Surroundings {
    /// The machine.
    pub(crate) machine: Machine,
    /// This program's own file, for starting worker processes.
    pub(crate) program: PathBuf,
    /// The wish to stop.
    pub(crate) shutdown: Shutdown,
    /// The password of clients, from the environment.
    pub(crate) password: Option<String>,
    /// Whether standard error is a terminal.
    pub(crate) stderr_is_terminal: bool,
    /// The level of the log on the command line.
    pub(crate) log_level: Option<String>,
}

impl Surroundings {
    /// Starts the log at the level of the command line, else at `level`.
    fn start_log(&self, level: &str) {
        crate::logging::start(self.log_level.as_deref().unwrap_or(level));
    }

    /// The number of threads for a setting where 0 is one per CPU.
    fn threads(&self, setting: u32) -> usize {
        match usize::try_from(setting) {
            Ok(0) | Err(_) => self.machine.cpu_count,
            Ok(threads) => threads,
        }
    }
}

/// The configured side towards clients, and where it keeps its files.
struct ClientSide<'a> {
    listen: SocketAddr,
    listen_setting: &'static str,
    data_dir: &'a Path,
    catalogue_dir: &'a Path,
    tls: &'a ClientTlsConfig,
    auth: &'a AuthConfig,
    limits: &'a LimitsConfig,
}

impl ClientSide<'_> {
    /// The settings of a master with these workers. Makes the certificate and the password where there are none.
    fn settings(&self, workers: WorkersOf, around: &Surroundings) -> Result<MasterSettings, Error> {
        let password = match self.auth.method {
            AuthMethod::Scram => {
                let catalogue_is_new = !self.catalogue_dir.join(CATALOGUE_FILE).exists();
                password::ensure(self.data_dir, self.auth.password_file.as_deref(), catalogue_is_new)?
            }
            AuthMethod::Trust => None,
        };
        Ok(MasterSettings {
            listen: self.listen,
            listen_setting: self.listen_setting,
            catalogue_dir: self.catalogue_dir.to_owned(),
            tls: self.identity(&around.machine)?,
            require_tls: self.tls.is_required(self.listen),
            auth: self.auth.method,
            password,
            workers,
            max_connections: self.limits.max_connections,
            statement_timeout_ms: self.limits.statement_timeout_ms,
            memory_limit_bytes: self.limits.memory_limit.bytes(&around.machine),
            threads: around.threads(self.limits.threads),
        })
    }

    fn identity(&self, machine: &Machine) -> Result<Identity, Error> {
        match (&self.tls.certificate, &self.tls.key) {
            (Some(certificate), Some(key)) => pem_file::read_identity(certificate, key),
            (None, None) => {
                let names = server_names(self.listen, &self.tls.names, machine);
                server_certificate::ensure(self.data_dir, &names, SystemTime::now())
            }
            (Some(path), None) => {
                Err(half_identity(path, "tls.certificate is set without tls.key; set both"))
            }
            (None, Some(path)) => {
                Err(half_identity(path, "tls.key is set without tls.certificate; set both"))
            }
        }
    }
}

fn half_identity(path: &Path, message: &str) -> Error {
    Error::Certificate { path: path.to_owned(), what: "configuration of TLS", message: message.to_owned() }
}

/// Every name that a client may use for a server that listens on `address`.
fn server_names(address: SocketAddr, more: &[String], machine: &Machine) -> Vec<String> {
    let mut names = loopback_names();
    if !address.ip().is_unspecified() {
        names.push(address.ip().to_string());
    }
    // A host name is whatever somebody once set; one that no certificate can hold is left out.
    names
        .extend(machine.host_name.iter().filter(|name| ServerName::try_from(name.as_str()).is_ok()).cloned());
    names.extend(more.iter().cloned());
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Reads the certificates of a node.
fn cluster_identity(tls: &ClusterTlsConfig) -> Result<ClusterIdentity, Error> {
    Ok(ClusterIdentity {
        authority_pem: pem_file::read_authorities(&tls.ca)?,
        identity: pem_file::read_identity(&tls.certificate, &tls.key)?,
    })
}

/// Says that the server accepts connections: the first line on standard output.
fn announce(address: SocketAddr, require_tls: bool) {
    let url = listen::url(address, require_tls);
    info!(%address, require_tls, "accepting connections");
    console::print(&format!("quickdb ready: {url}"));
}

/// Stops a master, waiting for its statements for so long.
async fn stop(master: RunningMaster, drain: Duration) {
    info!(drain_timeout_s = drain.as_secs(), "stopping");
    if timeout(drain, master.shutdown()).await.is_err() {
        warn!("statements were still running when the time to finish was over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_every_name_once_and_no_impossible_one() {
        let machine =
            |name: &str| Machine { cpu_count: 1, memory_bytes: 1, host_name: Some(name.to_owned()) };
        let more = ["db.example.org".to_owned(), "localhost".to_owned()];
        let names = server_names("10.0.0.1:1".parse().unwrap(), &more, &machine("node7"));
        assert_eq!(names, ["localhost", "127.0.0.1", "::1", "10.0.0.1", "node7", "db.example.org"]);
        let names = server_names("0.0.0.0:1".parse().unwrap(), &[], &machine("not a name"));
        assert_eq!(names, ["localhost", "127.0.0.1", "::1"]);
    }
}
