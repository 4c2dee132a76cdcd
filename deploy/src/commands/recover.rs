//! `quickdb recover`: a lost catalogue made anew from the workers.

use std::path::PathBuf;

use quickdb_server::{Findings, Recovery, Source};
use quickdb_storage::DiskLimits;

use super::{Surroundings, cluster_identity};
use crate::cli::RecoverArgs;
use crate::config::{self, MasterConfig, WorkerEntry};
use crate::console;
use crate::directory::{DataDirectory, Role};
use crate::error::Error;
use crate::roles::{CATALOGUE_FILE, WorkerAddress, WorkersOf, recover};

const LOG_LEVEL_DEFAULT: &str = "warn";

/// Recovers, or with `--dry-run` says what would be recovered.
///
/// # Errors
/// Whatever keeps it from recovering.
pub(crate) async fn run(args: RecoverArgs, around: Surroundings) -> Result<(), Error> {
    around.start_log(LOG_LEVEL_DEFAULT);
    // The directory stays locked until the end, so that no server starts in between.
    let (directory, workers) = match (args.data_dir, args.config) {
        (Some(path), _) => {
            let directory = DataDirectory::open_existing(&path, Role::Server)?;
            let shards = directory.path().join("shards");
            (directory, WorkersOf::Embedded(shards, DiskLimits::default()))
        }
        (None, Some(file)) => {
            let config: MasterConfig = config::load(&file)?;
            let identity = cluster_identity(&config.cluster)?;
            let address = |WorkerEntry { name, address }: &WorkerEntry| WorkerAddress {
                name: name.clone(),
                address: address.clone(),
            };
            let workers = config.workers.iter().map(address).collect();
            (DataDirectory::open(&config.data_dir, Role::Master)?, WorkersOf::Remote(workers, identity))
        }
        (None, None) => {
            return Err(Error::Recover { message: "neither --data-dir nor --config is given".to_owned() });
        }
    };
    let catalogue = directory.path().join(CATALOGUE_FILE);
    let recovery = Recovery {
        catalogue: catalogue.clone(),
        workers: workers.into_workers(),
        from_shards: args.from_shards,
        dry_run: args.dry_run,
    };
    let findings = recover(&recovery).await?;
    show(&findings);
    console::print(&done(&findings, args.dry_run, catalogue));
    Ok(())
}

fn show(findings: &Findings) {
    let Findings { source, tables, views, roles, left_out, leftovers, problems } = findings;
    match source {
        Source::Copy { worker, commit } => console::print(&format!(
            "the copy of the catalogue on worker \"{worker}\" has all up to commit {commit}"
        )),
        Source::Shards => {
            console::print("no copy of the catalogue is left: these are the tables of the shards")
        }
    }
    for table in tables {
        let logged = match table.logged_rows {
            0 => String::new(),
            rows => format!(" ({rows} of them from small writes)"),
        };
        let copies = match table.copies {
            0 | 1 => String::new(),
            copies => format!(", {copies} copies of each"),
        };
        console::print(&format!(
            "table {}: {} rows{logged} in {} shards{copies}",
            table.name, table.rows, table.shards
        ));
    }
    console::print(&match source {
        Source::Copy { .. } => format!(
            "{views} views and {roles} roles with their passwords, comments and settings; rows that INSERT put into \
             the catalogue within its last second may be missing; no deleted row comes back"
        ),
        Source::Shards => "lost: views, comments, defaults, keys, roles, settings, and rows of small INSERTs; tables that were \
             dropped and rows that were not committed are among the above if their files were still there"
            .to_owned(),
    });
    if *leftovers > 0 {
        console::print(&format!(
            "{leftovers} files belong to no table (replaced, dropped or never committed): the next start removes them"
        ));
    }
    for line in left_out {
        console::print(&format!("lost: {line}"));
    }
    for problem in problems {
        console::print(&format!("problem: {problem}"));
    }
}

fn done(findings: &Findings, dry_run: bool, catalogue: PathBuf) -> String {
    let (tables, path) = (findings.tables.len(), catalogue.display());
    if dry_run {
        format!("{tables} tables would be recovered into {path}; nothing has been changed")
    } else {
        format!("{tables} tables are recovered into {path}")
    }
}
