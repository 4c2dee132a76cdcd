//! `quickdb worker`: a worker of a cluster.

use std::time::Duration;

use tokio::time::timeout;
use tracing::{info, warn};

use super::{Surroundings, cluster_identity};
use crate::cli::WorkerArgs;
use crate::config::{self, DiskSize, WorkerConfig};
use crate::console;
use crate::directory::{DataDirectory, Role};
use crate::error::Error;
use crate::listen;
use crate::roles::{RunningWorker, WorkerSettings};
use crate::worker_fleet::READY_PREFIX;

/// Runs until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn run(args: WorkerArgs, around: Surroundings) -> Result<(), Error> {
    if args.exit_with_parent {
        around.shutdown.also_with_parent();
    }
    let config: WorkerConfig = config::load(&args.config)?;
    around.start_log(&config.log_level);
    let tls = cluster_identity(&config.tls)?;
    listen::probe(config.listen, "listen")?;
    let directory = DataDirectory::open(&config.data_dir, Role::Worker)?;
    let worker = RunningWorker::start(WorkerSettings {
        name: config.name.clone(),
        listen: config.listen,
        shards_dir: directory.path().join("shards"),
        disk_limits: DiskSize::limits(config.max_disk, config.min_free_disk),
        tls,
        memory_limit_bytes: config.memory_limit.bytes(&around.machine),
        threads: around.threads(config.threads),
    })
    .await?;
    let address = worker.local_addr();
    info!(worker = config.name, %address, "accepting tasks");
    console::print(&format!("{READY_PREFIX}{} on {address}", config.name));
    around.shutdown.requested().await;
    info!(worker = config.name, "stopping");
    if timeout(Duration::from_secs(config.drain_timeout_s), worker.shutdown()).await.is_err() {
        warn!(worker = config.name, "tasks were still running when the time to finish was over");
    }
    Ok(())
}
