//! The `quickdb` program: command line, configuration, certificates, the demo.
//!
//! ```text
//!  arguments ─▶ cli ─▶ commands::{demo, start, load, gen, master, worker, recover}
//!                        │   config       TOML files, one typed value per role
//!                        │   directory    the data directory: marker and lock
//!                        │   certificates, server_certificate, pem_file, password
//!                        │   dataset, demo_queries, worker_fleet     the demo
//!                        │   load         files into a table: a client of a running server
//!                        │   generate     files with data of documented schemas
//!                        ▼
//!                      roles ─▶ quickdb_server::Master, quickdb_executor::worker::Worker
//! ```
//!
//! Only this file looks at the process's surroundings (arguments, machine, own path); everything below is told.

mod atomic_file;
mod certificates;
mod cli;
mod commands;
mod config;
mod console;
mod dataset;
mod demo_queries;
mod directory;
mod error;
mod generate;
mod listen;
mod load;
mod logging;
mod machine;
mod password;
mod pem_file;
mod roles;
mod server_certificate;
mod shutdown;
mod worker_fleet;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio_rustls::rustls::crypto;

use cli::{Cli, Command};
use commands::Surroundings;
use error::Error;
use machine::Machine;
use shutdown::Shutdown;

/// Stack of the threads that serve clients; only what is used takes memory.
const THREAD_STACK_BYTES: usize = 16 << 20;

/// Time for tasks of the runtime to notice that it ends.
const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::note(&format!("quickdb: {}", error.line()));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    // One provider of cryptography for the whole program. It is refused only where there is one already.
    let _ = crypto::ring::default_provider().install_default();
    let machine = Machine::detect();
    let program =
        std::env::current_exe().map_err(|source| Error::Setup { what: "the program's own path", source })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // Even on one CPU, something must answer while something else computes.
        .worker_threads(machine.cpu_count.max(2))
        .thread_name("quickdb")
        // Planning recurses with the depth of a statement.
        .thread_stack_size(THREAD_STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|source| Error::Setup { what: "the runtime", source })?;
    let done = runtime.block_on(async {
        let around = Surroundings {
            machine,
            program,
            shutdown: Shutdown::on_signals()?,
            password: std::env::var("PGPASSWORD").ok(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            log_level: cli.log_level,
        };
        match cli.command {
            Command::Demo(args) => commands::demo::run(args, around).await,
            Command::Start(args) => commands::start::run(args, around).await,
            Command::Gen(args) => commands::generate::run(args, around).await,
            Command::Load(args) => commands::load::run(args, around).await,
            Command::Master(args) => commands::master::run(args, around).await,
            Command::Recover(args) => commands::recover::run(args, around).await,
            Command::Worker(args) => commands::worker::run(args, around).await,
        }
    });
    runtime.shutdown_timeout(RUNTIME_STOP_TIMEOUT);
    done
}
