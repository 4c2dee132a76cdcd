//! `quickdb demo`: real data, served within seconds.
//!
//! ```text
//! DIR/embedded/               the data where the worker is inside the server's process
//! DIR/workers-N/              the data on N worker processes: the catalogue, and per worker
//! DIR/workers-N/worker-I/     worker.toml, the certificates of this run, and data/ with the shards
//! DIR/tls/                    the certificate for clients
//! DIR/password                the password, where the demo listens beyond loopback
//! ```

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use quickdb_storage::DiskLimits;

use super::{ClientSide, Surroundings, announce, stop};
use crate::atomic_file::{self, Access};
use crate::certificates::{Authority, Identity, Purpose, loopback_names};
use crate::cli::{DemoArgs, WORKER_PORT_DEFAULT};
use crate::config::{
    AuthConfig, AuthMethod, ClientTlsConfig, ClusterTlsConfig, LimitsConfig, MemoryLimit, WorkerConfig,
};
use crate::console;
use crate::dataset::TABLES;
use crate::demo_queries::QUERIES;
use crate::directory::{DataDirectory, Role};
use crate::error::Error;
use crate::listen;
use crate::machine::Machine;
use crate::password;
use crate::roles::{ClusterIdentity, MasterSettings, RunningMaster, WorkerAddress, WorkersOf};
use crate::worker_fleet::{WorkerFleet, WorkerPlan};

/// The demo's statements are short: nobody waits longer than this for Ctrl-C.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const LOG_LEVEL_DEFAULT: &str = "warn";
/// What a process of the demo gets at least, on however small a machine.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// Runs until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn run(args: DemoArgs, around: Surroundings) -> Result<(), Error> {
    around.start_log(LOG_LEVEL_DEFAULT);
    listen::probe(args.listen, "--listen")?;
    let directory = DataDirectory::open(&args.data_dir, Role::Demo)?;
    if args.workers == 0 {
        let layout = directory.path().join("embedded");
        atomic_file::create_private_folder(&layout)?;
        let workers = WorkersOf::Embedded(layout.join("shards"), DiskLimits::default());
        let settings = settings(&args, &around, &directory, &layout, workers)?;
        return serve(settings, &args, &around).await;
    }
    let layout = directory.path().join(format!("workers-{}", args.workers));
    let authority = Authority::generate("quickdb demo, for one run", SystemTime::now())?;
    let plans = plan_workers(&layout, args.workers, &authority, &around)?;
    let fleet = tokio::select! {
        fleet = WorkerFleet::start(&around.program, &plans, WORKER_PORT_DEFAULT) => fleet?,
        () = around.shutdown.requested() => return Ok(()),
    };
    let served = match remote_workers(&plans, fleet.ports(), &authority)
        .and_then(|workers| settings(&args, &around, &directory, &layout, workers))
    {
        Ok(settings) => serve(settings, &args, &around).await,
        Err(error) => Err(error),
    };
    fleet.stop().await;
    served
}

/// The settings of the demo's server, whose catalogue is in `layout`.
fn settings(
    args: &DemoArgs,
    around: &Surroundings,
    directory: &DataDirectory,
    layout: &Path,
    workers: WorkersOf,
) -> Result<MasterSettings, Error> {
    let method = if args.listen.ip().is_loopback() { AuthMethod::Trust } else { AuthMethod::Scram };
    let limits = LimitsConfig {
        memory_limit: MemoryLimit::Bytes(memory_share_bytes(&around.machine, args.workers)),
        ..LimitsConfig::default()
    };
    let client_side = ClientSide {
        listen: args.listen,
        listen_setting: "--listen",
        data_dir: directory.path(),
        catalogue_dir: layout,
        tls: &ClientTlsConfig::default(),
        auth: &AuthConfig { method, password_file: None },
        limits: &limits,
    };
    client_side.settings(workers, around)
}

/// Starts the server, loads what is missing, and serves until it is told to stop.
async fn serve(settings: MasterSettings, args: &DemoArgs, around: &Surroundings) -> Result<(), Error> {
    let require_tls = settings.require_tls;
    let has_password = settings.auth == AuthMethod::Scram;
    let master = RunningMaster::start(settings).await?;
    let loaded = tokio::select! {
        loaded = load(&master, args.workers) => loaded,
        () = around.shutdown.requested() => {
            stop(master, DRAIN_TIMEOUT).await;
            return Ok(());
        }
    };
    if loaded.is_ok() {
        announce(master.local_addr(), require_tls);
        print_guide(&listen::url(master.local_addr(), require_tls), args, has_password);
        around.shutdown.requested().await;
    }
    stop(master, DRAIN_TIMEOUT).await;
    loaded
}

/// Loads the tables that the catalogue does not have, with a line for each.
async fn load(master: &RunningMaster, worker_count: u16) -> Result<(), Error> {
    // A shard of every table for every worker, small tables too, so that all of them have work in every query.
    let shard_count = usize::from(worker_count.max(1));
    for table in &TABLES {
        if master.has_table(table) {
            continue;
        }
        let begin = Instant::now();
        let row_count = master.load_table(table, shard_count).await?;
        if row_count != table.row_count {
            return Err(Error::RowCount { table: table.name, found: row_count, expected: table.row_count });
        }
        console::note(&format!(
            "loaded {:<9} {row_count:>7} rows in {:.2} s",
            table.name,
            begin.elapsed().as_secs_f64()
        ));
    }
    Ok(())
}

fn print_guide(url: &str, args: &DemoArgs, has_password: bool) {
    console::print("");
    console::print(&format!("Connect:  psql '{url}'"));
    if has_password {
        let file = args.data_dir.join(password::FILE);
        console::print(&format!("The password is in {}.", file.display()));
    }
    console::print(
        "Tables:   flights, weather, airports, planes, airlines, stars, deep_sky (\\d+ shows where from)",
    );
    for query in QUERIES {
        console::print("");
        console::print(&format!("-- {}", query.shows));
        console::print(query.sql);
    }
    console::print("");
    console::print(&format!("Stop with Ctrl-C. The data stays in {}.", args.data_dir.display()));
}

/// Prepares the folder and the certificates of each worker.
fn plan_workers(
    layout: &Path,
    worker_count: u16,
    authority: &Authority,
    around: &Surroundings,
) -> Result<Vec<WorkerPlan>, Error> {
    let threads = (around.machine.cpu_count / usize::from(worker_count)).max(1);
    (1..=worker_count)
        .map(|id| {
            let name = format!("worker-{id}");
            let folder = layout.join(&name);
            atomic_file::create_private_folder(&folder)?;
            let identity = node_identity(authority, &name)?;
            let tls = write_identity(&folder, &authority.certificate_pem(), &identity)?;
            let template = WorkerConfig {
                name: name.clone(),
                data_dir: folder.join("data"),
                threads: u32::try_from(threads).unwrap_or(0),
                memory_limit: MemoryLimit::Bytes(memory_share_bytes(&around.machine, worker_count)),
                drain_timeout_s: DRAIN_TIMEOUT.as_secs(),
                log_level: around.log_level.clone().unwrap_or_else(|| LOG_LEVEL_DEFAULT.to_owned()),
                tls,
                ..WorkerConfig::default()
            };
            let config_file = folder.join("worker.toml");
            let write_config = Box::new({
                let config_file = config_file.clone();
                move |port| write_worker_config(&config_file, &template, port)
            });
            Ok(WorkerPlan { name, config_file, write_config })
        })
        .collect()
}

fn write_identity(
    folder: &Path,
    authority_pem: &str,
    identity: &Identity,
) -> Result<ClusterTlsConfig, Error> {
    let write = |name: &str, text: &str, access| -> Result<PathBuf, Error> {
        let path = folder.join(name);
        atomic_file::write(&path, text.as_bytes(), access)?;
        Ok(path)
    };
    Ok(ClusterTlsConfig {
        ca: write("ca.pem", authority_pem, Access::Public)?,
        certificate: write("node.pem", &identity.certificate_pem, Access::Public)?,
        key: write("node.key", &identity.key_pem, Access::Private)?,
    })
}

fn write_worker_config(file: &Path, template: &WorkerConfig, port: u16) -> Result<(), Error> {
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let config = WorkerConfig { listen, ..template.clone() };
    let text = toml::to_string(&config).map_err(|error| Error::Config {
        file: file.to_owned(),
        line: None,
        message: error.to_string(),
    })?;
    let text = format!("# Written by `quickdb demo` at each start.\n{text}");
    atomic_file::write(file, text.as_bytes(), Access::Public)
}

fn remote_workers(plans: &[WorkerPlan], ports: &[u16], authority: &Authority) -> Result<WorkersOf, Error> {
    let addresses = plans
        .iter()
        .zip(ports)
        .map(|(plan, port)| WorkerAddress { name: plan.name.clone(), address: format!("127.0.0.1:{port}") })
        .collect();
    let identity = ClusterIdentity {
        authority_pem: authority.certificate_pem(),
        identity: node_identity(authority, "master")?,
    };
    Ok(WorkersOf::Remote(addresses, identity))
}

fn node_identity(authority: &Authority, name: &str) -> Result<Identity, Error> {
    authority.issue(name, &loopback_names(), Purpose::ClusterNode, SystemTime::now())
}

/// The machine's memory for queries, divided evenly among the server and its worker processes.
fn memory_share_bytes(machine: &Machine, worker_count: u16) -> u64 {
    let share = machine.query_memory_bytes() / (u64::from(worker_count) + 1);
    share.max(MEMORY_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn a_written_worker_configuration_reads_as_it_was_meant() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker.toml");
        let template = WorkerConfig {
            name: "worker-2".to_owned(),
            data_dir: folder.path().join("it's data"),
            memory_limit: MemoryLimit::Bytes(300 << 20),
            ..WorkerConfig::default()
        };
        write_worker_config(&file, &template, 2936).unwrap();
        let read: WorkerConfig = config::load(&file).unwrap();
        assert_eq!(read, WorkerConfig { listen: "127.0.0.1:2936".parse().unwrap(), ..template });
    }

    #[test]
    fn memory_is_divided_but_never_to_nothing() {
        let machine = |gib: u64| Machine { cpu_count: 2, memory_bytes: gib << 30, host_name: None };
        assert_eq!(memory_share_bytes(&machine(16), 0), 8 << 30);
        assert_eq!(memory_share_bytes(&machine(16), 3), 2 << 30);
        assert_eq!(memory_share_bytes(&machine(1), 16), MEMORY_BYTES_MIN);
    }
}
