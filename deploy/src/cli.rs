//! The command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use quickdb_server::catalogue::PgType;

use crate::generate::{Dataset, FileFormat};
use crate::load::{CsvOptions, TableName, parse_schema};
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
  quickdb load flights *.parquet      files into a table of that server

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

const LOAD_AFTER_HELP: &str = "\
Formats are known by content, whatever the files are called: Parquet, Arrow IPC (files and streams), FITS binary
tables, and CSV (also with tabs, semicolons or bars), the last three also compressed by gzip or zstd.

A table that is not there is created with the columns of the files; their names become lower case, and units of FITS
columns become comments. The types of CSV columns are guessed from the first rows and shown. A table that is there
needs --append; its types win, and files are matched to it by the names of the columns.

All files are loaded in one transaction: either every row is there at the end, or none. Ctrl-C undoes everything.
With --resume each file has a transaction of its own, which also writes its name, length and time of change into the
table quickdb_loaded_files in the same schema: whatever stops the load, the same command goes on with the files that
are not there yet, and run again with more files it loads the new ones. A file that has changed since is refused.

The password is that of the connection string, else that of the environment's PGPASSWORD. sslmode is disable, prefer,
require, or, with sslrootcert=FILE, verify-ca or verify-full.

Examples:
  quickdb load stars gaia/*.parquet
  quickdb load catalogue survey.fits --hdu SOURCES --sort-by 'ra, dec'
  quickdb load trips 2024-*.csv.gz --schema 'vendor text, fare numeric(8,2)' --null NA
  quickdb load trips 2025-01.csv --append --dsn 'postgresql://me@db:5433/quickdb?sslmode=require'
  quickdb load trips 2025-*.csv --resume
  quickdb load lineitem lineitem.tbl --dry-run";

const RECOVER_AFTER_HELP: &str = "\
The catalogue (catalogue.sqlite in the data directory of the server or master) says which tables there are and which
shards they are made of. Every worker keeps a copy of it beside its shards, written before a commit is acknowledged
(rows of small INSERTs: within a second). This command makes the catalogue anew from the newest copy and compares it
with the shards that are there. It changes nothing on the workers.

What comes back: schemas, tables with all they are defined by, views, comments, settings, roles with their passwords,
the shards without their deleted rows, rows of small INSERTs but for the last second's. Tables whose small INSERTs
take more than 4 MiB together are told; these rows are lost if they had not gone into shards.

Shards from before there were copies, or whose copies are damaged, have their tables' names and columns in their
own footers: --from-shards makes tables of these alone, without views, comments, defaults, keys, roles and small
INSERTs. Compacted shards name those that they replaced; but a table that was dropped, or rows whose transaction was
undone, come back if their files were not removed yet, which a running server does within a minute.

It refuses where there is a catalogue with tables; one that is damaged is to be moved away first. A server whose
catalogue does not fit its shards does not start, and names this command.

Examples:
  quickdb recover --data-dir /var/lib/quickdb --dry-run
  quickdb recover --config /etc/quickdb/master.toml";

const GEN_AFTER_HELP: &str = "\
The same number of rows gives the same values on every machine.

  sky   one table: object_id, ra and dec in degrees, flux and magnitude in five bands with 2% NULL, extendedness,
        isprimary, tract, patch, parent_id, obs_time, comment; in the order of 1,000 tracts of 80 patches
  tpch  TPC-H's eight tables as the official generator makes them, at the scale factor N / 6,000,000, so that
        lineitem has about N rows
  hits  one table with the 105 columns of ClickBench's hits; only its shape is that of the real data

Examples:
  quickdb gen sky --rows 10000000 --out /data/sky
  quickdb gen tpch --rows 6000000 --out /data/tpch --format tbl
  quickdb load sky /data/sky/sky.parquet";

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
    /// Load files (Parquet, CSV, FITS, Arrow) into a table of a running server
    Load(LoadArgs),
    /// Write files with generated data of documented schemas
    Gen(GenArgs),
    /// Run the master of a cluster
    Master(MasterArgs),
    /// Run a worker of a cluster
    Worker(WorkerArgs),
    /// Make a lost catalogue anew from the workers' shards
    Recover(RecoverArgs),
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

/// `quickdb recover`.
#[derive(Debug, Args)]
#[command(after_help = RECOVER_AFTER_HELP)]
pub(crate) struct RecoverArgs {
    /// The data directory of a one-process server, which is stopped
    #[arg(long, value_name = "DIR", conflicts_with = "config", required_unless_present = "config")]
    pub(crate) data_dir: Option<PathBuf>,

    /// The configuration of a cluster's master, which is stopped; its workers run
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where no worker has a copy of the catalogue, make tables of the shards alone
    #[arg(long)]
    pub(crate) from_shards: bool,

    /// Only say what would be recovered
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `quickdb load`.
#[derive(Debug, Args)]
#[command(after_help = LOAD_AFTER_HELP)]
pub(crate) struct LoadArgs {
    /// The table: NAME or SCHEMA.NAME, with double quotes where the case matters
    #[arg(value_name = "TABLE", value_parser = TableName::parse)]
    pub(crate) table: TableName,

    /// The files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// The server, as postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=MODE
    #[arg(long, value_name = "URL", default_value = "postgresql://quickdb@127.0.0.1:5433/quickdb")]
    pub(crate) dsn: String,

    /// Add rows to a table that is there
    #[arg(long)]
    pub(crate) append: bool,

    /// Load each file in a transaction of its own, and none that was loaded so before: the same command goes on where
    /// it was interrupted
    #[arg(long, conflicts_with = "append")]
    pub(crate) resume: bool,

    /// How a new table is spread over the workers: round_robin, hash(COLUMN, ...), sky(RA, DEC) or all
    #[arg(long, value_name = "HOW")]
    pub(crate) distribute_by: Option<String>,

    /// The columns that a new table's shards are sorted by
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) sort_by: Option<String>,

    /// Workers that have a copy of each shard of a new table
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) replicas: Option<u32>,

    /// Types of columns that win over those of the files, as 'NAME TYPE, ...'; for CSV without a header these are the
    /// names of all its columns
    #[arg(long, value_name = "COLUMNS", value_parser = SchemaArgument::parse)]
    pub(crate) schema: Option<SchemaArgument>,

    /// The character between the fields of CSV files [default: guessed of comma, tab, semicolon and bar]
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter)]
    pub(crate) delimiter: Option<u8>,

    /// Whether the first line of CSV files has the names of the columns
    #[arg(long, value_name = "WHETHER", default_value = "auto", value_parser = ["auto", "yes", "no"])]
    pub(crate) header: String,

    /// What stands for NULL in CSV files [default: nothing between the delimiters]
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) null: String,

    /// The encoding of CSV files
    #[arg(long, value_name = "ENCODING", default_value = "utf8", value_parser = ["utf8", "latin1"])]
    pub(crate) encoding: String,

    /// The unit of FITS files with the table: its number, 0 being the first of the file, or its EXTNAME [default: the
    /// first binary table]
    #[arg(long, value_name = "UNIT")]
    pub(crate) hdu: Option<String>,

    /// Load NaN of FITS files as NULL
    #[arg(long)]
    pub(crate) nan_as_null: bool,

    /// Show what would be done, without a server
    #[arg(long)]
    pub(crate) dry_run: bool,
}

impl LoadArgs {
    /// What is said about CSV.
    pub(crate) fn csv_options(&self) -> CsvOptions {
        CsvOptions {
            delimiter: self.delimiter,
            header: match self.header.as_str() {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            },
            null: self.null.clone(),
            latin1: self.encoding == "latin1",
        }
    }
}

/// The columns of `--schema`.
#[derive(Debug, Clone, Default)]
pub(crate) struct SchemaArgument(pub(crate) Vec<(String, PgType)>);

impl SchemaArgument {
    fn parse(text: &str) -> Result<Self, String> {
        parse_schema(text).map(Self)
    }
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"') => Ok(*byte),
        _ => Err("one ASCII character, or \\t for a tab".to_owned()),
    }
}

/// `quickdb gen`.
#[derive(Debug, Args)]
#[command(after_help = GEN_AFTER_HELP)]
pub(crate) struct GenArgs {
    /// What to generate
    #[arg(value_enum)]
    pub(crate) dataset: Dataset,

    /// Rows of the table; of tpch, about the rows of lineitem
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(crate) rows: u64,

    /// The folder of the files, which is made where it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// How the files are written
    #[arg(long, value_enum, default_value_t = FileFormat::Parquet)]
    pub(crate) format: FileFormat,
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
        refuse(&["gen", "sky", "--rows", "0", "--out", "d"]);
        refuse(&["gen", "stars", "--rows", "1", "--out", "d"]);
        refuse(&["load", "t"]);
        refuse(&["load", "a.b.c", "f"]);
        refuse(&["load", "t", "f", "--delimiter", "ab"]);
        refuse(&["load", "t", "f", "--schema", "a nonsense"]);
        refuse(&["worker"]);
    }
}
