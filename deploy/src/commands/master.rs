//! `quickdb master`: the master of a cluster.

use std::time::Duration;

use super::{ClientSide, Surroundings, announce, cluster_identity, stop};
use crate::cli::MasterArgs;
use crate::config::{self, MasterConfig, WorkerEntry};
use crate::directory::{DataDirectory, Role};
use crate::error::Error;
use crate::listen;
use crate::roles::{RunningMaster, WorkerAddress, WorkersOf};

/// Runs until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn run(args: MasterArgs, around: Surroundings) -> Result<(), Error> {
    let config: MasterConfig = config::load(&args.config)?;
    around.start_log(&config.log_level);
    if config.workers.is_empty() {
        return Err(Error::Config {
            file: args.config,
            line: None,
            message: "no workers are configured; add a [[workers]] table with name and address for each"
                .to_owned(),
        });
    }
    let identity = cluster_identity(&config.cluster)?;
    listen::probe(config.listen, "listen")?;
    let directory = DataDirectory::open(&config.data_dir, Role::Master)?;
    let workers = config
        .workers
        .iter()
        .map(|WorkerEntry { name, address }| WorkerAddress { name: name.clone(), address: address.clone() })
        .collect();
    let client_side = ClientSide {
        listen: config.listen,
        listen_setting: "listen",
        data_dir: directory.path(),
        catalogue_dir: directory.path(),
        tls: &config.tls,
        auth: &config.auth,
        limits: &config.limits,
    };
    let settings = client_side.settings(WorkersOf::Remote(workers, identity), &around)?;
    let require_tls = settings.require_tls;
    let master = RunningMaster::start(settings).await?;
    announce(master.local_addr(), require_tls);
    around.shutdown.requested().await;
    stop(master, Duration::from_secs(config.limits.drain_timeout_s)).await;
    Ok(())
}
