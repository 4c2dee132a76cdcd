//! A cluster as an operator sets it up: a master and workers with configuration files of their own, which are stopped,
//! killed and started one by one.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tempfile::TempDir;

use crate::Outcome;
use crate::server::{READY, Server, Signal, command};

/// What a worker prints when it serves.
const WORKER_READY: &str = "quickdb worker ready: ";

/// One process of a cluster, or its place.
struct Node {
    name: String,
    folder: PathBuf,
    running: Option<Server>,
}

/// A master and its workers.
pub struct Cluster {
    workers: Vec<Node>,
    master: Node,
    // Dropped last.
    _home: TempDir,
}

impl Cluster {
    /// Starts a cluster of so many workers; `worker_settings` are further lines of each worker's configuration.
    pub fn start(workers: usize, worker_settings: &str) -> Outcome<Self> {
        let home = TempDir::with_prefix("quickdb-cluster-")?;
        let mut of_authority = CertificateParams::new(Vec::new())?;
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(of_authority, KeyPair::generate()?)?;
        let node = |name: &str| -> Outcome<Node> {
            let folder = home.path().join(name);
            fs::create_dir(&folder)?;
            let names = [name, "localhost", "127.0.0.1"].map(str::to_owned);
            let mut of_node = CertificateParams::new(names)?;
            of_node.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate()?;
            fs::write(folder.join("node.pem"), of_node.signed_by(&key, &authority)?.pem())?;
            fs::write(folder.join("node.key"), key.serialize_pem())?;
            fs::write(folder.join("ca.pem"), authority.pem())?;
            Ok(Node { name: name.to_owned(), folder, running: None })
        };
        let tls = "ca = \"ca.pem\"\ncertificate = \"node.pem\"\nkey = \"node.key\"\n";
        let master = node("master")?;
        let mut config = format!(
            "listen = \"127.0.0.1:{}\"\ndata_dir = \"data\"\nlog_level = \"warn\"\n[auth]\nmethod = \"trust\"\n[cluster]\n{tls}",
            free_port()?
        );
        let mut nodes = Vec::new();
        for number in 1..=workers {
            let worker = node(&format!("worker-{number}"))?;
            let (name, port) = (&worker.name, free_port()?);
            let text = format!(
                "name = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"data\"\nlog_level = \"warn\"\n{worker_settings}\n[tls]\n{tls}"
            );
            fs::write(worker.folder.join("worker.toml"), text)?;
            config.push_str(&format!("[[workers]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\n"));
            nodes.push(worker);
        }
        fs::write(master.folder.join("master.toml"), config)?;
        let mut cluster = Self { workers: nodes, master, _home: home };
        for number in 1..=workers {
            cluster.start_worker(number)?;
        }
        cluster.start_master()?;
        Ok(cluster)
    }

    /// Starts the worker of a number, from 1.
    pub fn start_worker(&mut self, number: usize) -> Outcome<()> {
        let node = self.workers.get_mut(number - 1).ok_or("no such worker")?;
        node.start("worker", "worker.toml", WORKER_READY)
    }

    /// Starts the master, which must not run.
    pub fn start_master(&mut self) -> Outcome<()> {
        self.master.start("master", "master.toml", READY)
    }

    /// Ends a worker with a signal.
    pub fn stop_worker(&mut self, number: usize, with: Signal) -> Outcome<()> {
        self.workers.get_mut(number - 1).ok_or("no such worker")?.stop(with)
    }

    /// Ends the master with a signal.
    pub fn stop_master(&mut self, with: Signal) -> Outcome<()> {
        self.master.stop(with)
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Where clients connect; that of a master that does not run is an error.
    pub fn dsn(&self) -> Outcome<&str> {
        Ok(self.master.running.as_ref().ok_or("the master does not run")?.dsn())
    }

    /// The master's configuration.
    pub fn master_config(&self) -> PathBuf {
        self.master.folder.join("master.toml")
    }

    /// The master's data directory.
    pub fn master_directory(&self) -> PathBuf {
        self.master.folder.join("data")
    }

    /// The directory of a worker's shards.
    pub fn shards(&self, number: usize) -> Outcome<PathBuf> {
        Ok(self.workers.get(number - 1).ok_or("no such worker")?.folder.join("data/shards"))
    }
}

impl Node {
    fn start(&mut self, role: &str, config: &str, ready: &str) -> Outcome<()> {
        // One that is still there holds its directory until it is gone.
        self.running = None;
        let mut command = command()?;
        command.arg(role).arg("--config").arg(self.folder.join(config));
        self.running = Some(Server::run(command, &self.folder, ready)?);
        Ok(())
    }

    fn stop(&mut self, with: Signal) -> Outcome<()> {
        if let Some(mut running) = self.running.take() {
            running.stop(with)?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The master first, which otherwise complains about each worker.
        self.master.running = None;
    }
}

/// A port that nobody listens on now.
fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Moves a catalogue and what SQLite keeps beside it away.
pub fn lose_catalogue(directory: &Path) -> Outcome<()> {
    for name in ["catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm"] {
        let path = directory.join(name);
        if path.exists() {
            fs::rename(&path, directory.join(format!("{name}.lost")))?;
        }
    }
    Ok(())
}
