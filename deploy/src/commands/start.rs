//! `quickdb start`: a server in one process.

use std::time::Duration;

use super::{ClientSide, Surroundings, announce, stop};
use crate::cli::StartArgs;
use crate::config::{self, AuthMethod, DiskSize, StartConfig};
use crate::console;
use crate::directory::{DataDirectory, Role};
use crate::error::Error;
use crate::listen;
use crate::password;
use crate::roles::{RunningMaster, WorkersOf};

/// Runs until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn run(args: StartArgs, around: Surroundings) -> Result<(), Error> {
    let mut config: StartConfig = args.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
    around.start_log(&config.log_level);
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if args.password_file.is_some() {
        config.auth.password_file = args.password_file;
    }
    listen::probe(config.listen, "--listen")?;
    let directory = DataDirectory::open(&args.data_dir, Role::Server)?;
    let client_side = ClientSide {
        listen: config.listen,
        listen_setting: "--listen",
        data_dir: directory.path(),
        catalogue_dir: directory.path(),
        tls: &config.tls,
        auth: &config.auth,
        limits: &config.limits,
    };
    let disk_limits = DiskSize::limits(config.max_disk, config.min_free_disk);
    let workers = WorkersOf::Embedded(directory.path().join("shards"), disk_limits);
    let settings = client_side.settings(workers, &around)?;
    let require_tls = settings.require_tls;
    let master = RunningMaster::start(settings).await?;
    announce(master.local_addr(), require_tls);
    if config.auth.method == AuthMethod::Scram {
        console::note(&format!(
            "the password of quickdb is in {}",
            directory.path().join(password::FILE).display()
        ));
    }
    around.shutdown.requested().await;
    stop(master, Duration::from_secs(config.limits.drain_timeout_s)).await;
    Ok(())
}
