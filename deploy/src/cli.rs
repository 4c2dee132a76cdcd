//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{listen, logging};

/// Where clients connect unless told otherwise.
pub(crate) const CLIENT_ADDRESS_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5433);
/// The port of a worker unless told otherwise.
pub(crate) const WORKER_PORT_DEFAULT: u16 = 2935;
/// Worker processes that the demo starts at most: more than that prove nothing on one machine.
pub(crate) const DEMO_WORKERS_MAX: u16 = 16;

const AFTER_HELP: &str = "\
Examples:
  quickdb demo                        try it: real data, no setup, no password
  quickdb demo --workers 3            the same on three worker processes
  quickdb start --data-dir ./mydata   a server that keeps its data

Ctrl-C or SIGTERM lets running statements finish and exits with 0; a second Ctrl-C ends at once.
Exit codes: 0 done, 1 failed (one line on standard error says why), 2 wrong usage.";

const DEMO_AFTER_HELP: &str = "\
The directory keeps the loaded tables: a second start finds them and does not load again. Every number of workers
has its own copy of the data in it (DIR/embedded, DIR/workers-N). Delete the directory to start afresh.

On a loopback address the demo needs no password and offers TLS. On any other it requires TLS and the password
that it writes to DIR/password.

Examples:
  quickdb demo
  quickdb demo --workers 3 --data-dir /tmp/quickdb-demo
  quickdb demo --listen 127.0.0.1:15433
  psql postgresql://quickdb@127.0.0.1:5433/quickdb -c 'SELECT count(*) FROM flights'";

const START_AFTER_HELP: &str = "\
The first start makes the directory:
  DIR/quickdb.toml        marks it as a data directory of quickdb
  DIR/catalogue.sqlite    tables, columns, shards
  DIR/shards/             the data
  DIR/tls/                an authority (ca.pem: sslrootcert of clients) and the server's certificate
  DIR/password            the first password of the superuser \"quickdb\", readable by the owner alone

A server that listens beyond loopback requires TLS. The configuration can say otherwise, name another
certificate, and set limits: deploy/start.toml in the source shows every setting with its default.

Examples:
  quickdb start --data-dir /var/lib/quickdb
  quickdb start --data-dir ./mydata --listen 0.0.0.0:5433 --password-file ./password
  PGPASSWORD=$(cat ./mydata/password) psql postgresql://quickdb@127.0.0.1:5433/quickdb";

const MASTER_AFTER_HELP: &str = "\
The configuration names the address for clients, the directory of the catalogue, the workers, and the certificates
for mutual TLS with them: deploy/master.toml in the source shows every setting with its default.

Example:
  quickdb master --config /etc/quickdb/master.toml";

const WORKER_AFTER_HELP: &str = "\
The configuration names the address, the directory of the shards, and the certificates for mutual TLS:
deploy/worker.toml in the source shows every setting with its default. A worker lets in only those who have
a certificate of the cluster's authority. It prints \"quickdb worker ready: NAME on ADDRESS\" when it accepts tasks.

Example:
  quickdb worker --config /etc/quickdb/worker.toml";

/// An analytical database over columnar shards that speaks PostgreSQL's protocol.
#[derive(Debug, Parser)]
#[command(name = "quickdb", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What is logged to standard error: off, error, warn, info, debug, trace, or a list such as
    /// warn,quickdb_executor=debug [default: warn for the demo, else the configuration's log_level]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = logging::parse_level)]
    pub(crate) log_level: Option<String>,

    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load real data (flights, weather, stars, deep-sky objects) and serve it, with queries to try
    Demo(DemoArgs),
    /// Serve a persistent data directory from one process
    Start(StartArgs),
    /// Run the master of a cluster
    Master(MasterArgs),
    /// Run a worker of a cluster
    Worker(WorkerArgs),
}

/// `quickdb demo`.
#[derive(Debug, Args)]
#[command(after_help = DEMO_AFTER_HELP)]
pub(crate) struct DemoArgs {
    /// Where clients connect, as IP:PORT
    #[arg(long, value_name = "ADDR", default_value_t = CLIENT_ADDRESS_DEFAULT, value_parser = listen::parse)]
    pub(crate) listen: SocketAddr,

    /// Worker processes on this machine, over mutual TLS with throwaway certificates; 0 runs the worker inside the
    /// server's process
    #[arg(long, value_name = "N", default_value_t = 0,
          value_parser = clap::value_parser!(u16).range(0..=i64::from(DEMO_WORKERS_MAX)))]
    pub(crate) workers: u16,

    /// The directory of the demo; absent or empty, or that of an earlier demo
    #[arg(long, value_name = "DIR", default_value = "./quickdb-demo")]
    pub(crate) data_dir: PathBuf,
}

/// `quickdb start`.
#[derive(Debug, Args)]
#[command(after_help = START_AFTER_HELP)]
pub(crate) struct StartArgs {
    /// The data directory; absent or empty, or that of an earlier start
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// Where clients connect, as IP:PORT [default: the configuration's, else 127.0.0.1:5433]
    #[arg(long, value_name = "ADDR", value_parser = listen::parse)]
    pub(crate) listen: Option<SocketAddr>,

    /// A file with a new password for the superuser "quickdb" on its only line; it is kept in DIR/password [default: the
    /// one that is set; the first start makes one up]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,

    /// A configuration file in TOML [default: none, every setting at its default]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// `quickdb master`.
#[derive(Debug, Args)]
#[command(after_help = MASTER_AFTER_HELP)]
pub(crate) struct MasterArgs {
    /// The configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

/// `quickdb worker`.
#[derive(Debug, Args)]
#[command(after_help = WORKER_AFTER_HELP)]
pub(crate) struct WorkerArgs {
    /// The configuration file, in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Stop when standard input ends, for a worker that another program starts through a pipe: it ends with that
    /// program, however that ends
    #[arg(long)]
    pub(crate) exit_with_parent: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let Command::Demo(args) = Cli::try_parse_from(["quickdb", "demo"]).unwrap().command else {
            panic!("not a demo");
        };
        assert_eq!(args.listen.to_string(), "127.0.0.1:5433");
        assert_eq!(args.workers, 0);
    }

    #[test]
    fn wrong_usage_is_refused() {
        let refuse = |arguments: &[&str]| {
            let error = Cli::try_parse_from(std::iter::once(&"quickdb").chain(arguments)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        };
        refuse(&[]);
        refuse(&["serve"]);
        refuse(&["demo", "--workers", "17"]);
        refuse(&["demo", "--workers", "-1"]);
        refuse(&["demo", "--listen", "5433"]);
        refuse(&["demo", "--log-level", "loud"]);
        refuse(&["start"]);
        refuse(&["worker"]);
    }
}
