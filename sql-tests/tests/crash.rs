//! Servers, masters and workers that are killed while they write: what was acknowledged is there afterwards, what was
//! not is there as a whole or not at all.
//!
//! ```text
//!  clients ── transactions of INSERT (one row, thousands), UPDATE, DELETE, and what they must have left
//!  loader ─── quickdb load, one batch after the other     vacuum ─── VACUUM of the clients' table
//!             └────────── SIGKILL of the server, or of the master and some of three workers ──────────┘
//! ```
//!
//! `QUICKDB_CRASH_ROUNDS` and `QUICKDB_CRASH_SEED` make it longer or repeat a failure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::cluster::Cluster;
use quickdb_sql_tests::server::{Server, Signal, quickdb};
use quickdb_sql_tests::session::{Session, SessionError};
use tempfile::TempDir;

const ROUNDS: u64 = 12;
const CLUSTER_ROUNDS: u64 = 6;
const CLIENTS: u64 = 3;
const WORKERS: usize = 3;

/// Rows of one batch of the loader.
const BATCH_ROWS: u64 = 20_000;

/// How long a client waits where a worker is gone.
const WORKER_WAIT: Duration = Duration::from_millis(100);

/// A small generator of numbers that look random: xorshift64*.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// What one client has put into its tables: for each of its transactions the rows that are left and their value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    last: u64,
    rows: BTreeMap<u64, (u64, u64)>,
}

impl Model {
    /// Number of the last transaction, rows, and the sums of their transactions' numbers and of their values.
    fn summary(&self) -> [u64; 4] {
        let rows = self.rows.iter();
        let sums =
            rows.fold([self.last, 0, 0, 0], |[last, count, numbers, values], (number, (rows, value))| {
                [last, count + rows, numbers + number * rows, values + value * rows]
            });
        sums
    }

    /// The statements of the client's next transaction, and the model after it.
    fn next(&self, client: u64, random: &mut Random) -> (Vec<String>, Model) {
        let mut after = self.clone();
        let number = self.last + 1;
        after.last = number;
        let mut statements = Vec::new();
        let some = |random: &mut Random| {
            let numbers: Vec<u64> = self.rows.keys().copied().collect();
            let count = numbers.len() as u64;
            (count > 0).then(|| numbers[usize::try_from(random.below(count)).unwrap_or(0)])
        };
        let choice = random.below(10);
        match (choice, some(random)) {
            (0..=1, Some(gone)) => {
                statements.push(format!("DELETE FROM rows WHERE client = {client} AND number = {gone}"));
                after.rows.remove(&gone);
            }
            (2..=4, Some(changed)) => {
                statements.push(format!(
                    "UPDATE rows SET value = value + 3 WHERE client = {client} AND number = {changed}"
                ));
                if let Some((_, value)) = after.rows.get_mut(&changed) {
                    *value += 3;
                }
            }
            (5..=6, _) => {
                let count = 5_000 + random.below(3_000);
                statements.push(format!(
                    "INSERT INTO rows SELECT {client}, {number}, 7, 'bulk ' || i FROM generate_series(1, {count}) i"
                ));
                after.rows.insert(number, (count, 7));
            }
            _ => {
                let value = random.below(100);
                statements.push(format!("INSERT INTO rows VALUES ({client}, {number}, {value}, 'one')"));
                after.rows.insert(number, (1, value));
            }
        }
        statements.push(format!("DELETE FROM done WHERE client = {client}"));
        statements.push(format!("INSERT INTO done VALUES ({client}, {number})"));
        (statements, after)
    }
}

/// A client's models: what was acknowledged, and what the transaction under way would make of it.
struct Client {
    client: u64,
    acknowledged: Model,
    under_way: Option<Model>,
    random: Random,
}

impl Client {
    /// Runs transactions until the server is gone or `stop` says so.
    async fn work(&mut self, dsn: &str, stop: &AtomicBool) {
        let Ok(session) = Session::connect(dsn).await else { return };
        while !stop.load(Ordering::Relaxed) {
            let mut random = self.random.clone();
            let (statements, after) = self.acknowledged.next(self.client, &mut random);
            self.under_way = Some(after.clone());
            match transaction(&session, &statements).await {
                Ok(()) => {
                    self.acknowledged = after;
                    self.random = random;
                    self.under_way = None;
                }
                // Another client came first: the same again.
                Err(Failed { error, .. }) if error.code() == Some("40001") => {
                    self.under_way = None;
                    let _ = session.simple("ROLLBACK").await;
                }
                Err(Failed { error, .. }) if error.loses_session() => return,
                // A worker is gone, and the transaction was not committed without it.
                Err(Failed { error, at_commit: false }) if is_worker_lost(&error) => {
                    self.under_way = None;
                    let _ = session.simple("ROLLBACK").await;
                    tokio::time::sleep(WORKER_WAIT).await;
                }
                Err(Failed { error, .. }) => panic!("client {}: {error} in {statements:?}", self.client),
            }
        }
    }

    /// Compares what the server has with the models.
    async fn check(&mut self, session: &Session) -> Outcome<()> {
        let client = self.client;
        let found = session
            .ask(&format!(
                "SELECT coalesce(max(d.number), 0), count(r.number), coalesce(sum(r.number), 0), coalesce(sum(r.value), 0)
                 FROM (SELECT {client} AS client) c LEFT JOIN done d ON d.client = c.client
                 LEFT JOIN rows r ON r.client = c.client"
            ))
            .await?;
        let quickdb_sql_tests::session::Answer::Rows { rows, .. } = found else {
            return Err("no rows".into());
        };
        let found = rows.concat().iter().map(|cell| cell.parse()).collect::<Result<Vec<u64>, _>>()?;
        let candidates = [Some(&self.acknowledged), self.under_way.as_ref()];
        let fitting =
            candidates.into_iter().flatten().find(|model| model.summary().as_slice() == found.as_slice());
        match fitting {
            Some(model) => {
                if Some(model) == self.under_way.as_ref() {
                    // The next transaction is another one, whatever the generator would have said.
                    self.random.below(2);
                }
                self.acknowledged = model.clone();
                self.under_way = None;
                Ok(())
            }
            None => Err(format!(
                "client {client} has {found:?}, acknowledged {:?}, under way {:?}",
                self.acknowledged.summary(),
                self.under_way.as_ref().map(Model::summary)
            )
            .into()),
        }
    }
}

/// Why a transaction failed, and whether that was at its end.
struct Failed {
    error: SessionError,
    at_commit: bool,
}

async fn transaction(session: &Session, statements: &[String]) -> Result<(), Failed> {
    let before = |error| Failed { error, at_commit: false };
    session.simple("BEGIN").await.map_err(before)?;
    for statement in statements {
        session.simple(statement).await.map_err(before)?;
    }
    session.simple("COMMIT").await.map_err(|error| Failed { error, at_commit: true })?;
    Ok(())
}

/// What statements get that need a worker which was killed.
fn is_worker_lost(error: &SessionError) -> bool {
    matches!(error.code(), Some("57P01" | "58030"))
}

/// What was loaded by `quickdb load`.
#[derive(Default)]
struct Loader {
    file: PathBuf,
    /// Batches that were acknowledged.
    loaded: Vec<u64>,
    next: u64,
    under_way: Option<u64>,
}

impl Loader {
    /// Loads batches until the server is gone or `stop` says so. It blocks.
    fn work(&mut self, dsn: &str, stop: &AtomicBool) -> Outcome<()> {
        while !stop.load(Ordering::Relaxed) {
            self.next += 1;
            let rows = (0..BATCH_ROWS).map(|row| format!("{},{row},text {}\n", self.next, row % 1_000));
            std::fs::write(&self.file, rows.collect::<String>())?;
            self.under_way = Some(self.next);
            let file = self.file.to_str().ok_or("a path")?;
            let printed = quickdb(&[
                "load",
                "--append",
                "--header",
                "no",
                "--dsn",
                dsn,
                "loads",
                file,
                "--schema",
                "batch int, i int, note text",
            ])?;
            if printed.code == Some(0) {
                self.loaded.push(self.next);
                self.under_way = None;
            } else if printed.stderr.contains("refused the rows") || printed.stderr.contains("cannot connect")
            {
                // Nothing was committed, for want of a worker or of the server.
                std::thread::sleep(WORKER_WAIT);
            } else if self.under_way.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn check(&mut self, session: &Session) -> Outcome<()> {
        let found = session
            .ask("SELECT batch, count(*), count(DISTINCT i), sum(i) FROM loads GROUP BY batch ORDER BY batch")
            .await?;
        let quickdb_sql_tests::session::Answer::Rows { rows, .. } = found else {
            return Err("no rows".into());
        };
        let whole = |batch: u64| {
            [batch, BATCH_ROWS, BATCH_ROWS, BATCH_ROWS * (BATCH_ROWS - 1) / 2]
                .map(|number| number.to_string())
        };
        if let Some(batch) = self.under_way.take()
            && rows.iter().any(|row| row.as_slice() == whole(batch))
        {
            self.loaded.push(batch);
        }
        let expected: Vec<_> = self.loaded.iter().map(|batch| whole(*batch).to_vec()).collect();
        if rows == expected {
            return Ok(());
        }
        Err(format!("batches {rows:?}, loaded {:?}", self.loaded).into())
    }
}

/// Puts the clients' shards together all the time.
async fn vacuum(dsn: &str, stop: &AtomicBool) {
    let Ok(session) = Session::connect(dsn).await else { return };
    while !stop.load(Ordering::Relaxed) {
        match session.simple("VACUUM rows").await {
            Err(error) if error.loses_session() => return,
            Err(error) if error.code() != Some("40001") && !is_worker_lost(&error) => {
                panic!("VACUUM: {error}")
            }
            _ => tokio::time::sleep(WORKER_WAIT).await,
        }
    }
}

/// Everybody who writes.
struct Writers {
    clients: Vec<Client>,
    loader: Loader,
}

impl Writers {
    /// Makes the tables.
    async fn new(dsn: &str, seed: u64, home: &Path) -> Outcome<Self> {
        let session = Session::connect(dsn).await?;
        session.simple("CREATE TABLE rows (client int, number int, value int, note text)").await?;
        session.simple("CREATE TABLE done (client int, number int)").await?;
        session.simple("CREATE TABLE loads (batch int, i int, note text)").await?;
        let clients = (0..CLIENTS).map(|client| Client {
            client,
            acknowledged: Model::default(),
            under_way: None,
            random: Random::of(seed * 31 + client),
        });
        let loader = Loader { file: home.join("batch.csv"), ..Loader::default() };
        Ok(Self { clients: clients.collect(), loader })
    }

    /// All write until `kill` has done its work.
    async fn write_until(&mut self, dsn: &str, kill: impl Future<Output = Outcome<()>>) -> Outcome<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let working = std::mem::take(&mut self.clients).into_iter().map(|mut client| {
            let (dsn, stop) = (dsn.to_owned(), Arc::clone(&stop));
            tokio::spawn(async move {
                client.work(&dsn, &stop).await;
                client
            })
        });
        let working: Vec<_> = working.collect();
        let mut loader = std::mem::take(&mut self.loader);
        let (of_loader, stop_loader) = (dsn.to_owned(), Arc::clone(&stop));
        let loading = tokio::task::spawn_blocking(move || {
            let worked = loader.work(&of_loader, &stop_loader);
            (loader, worked)
        });
        let (of_vacuum, stop_vacuum) = (dsn.to_owned(), Arc::clone(&stop));
        let vacuuming = tokio::spawn(async move { vacuum(&of_vacuum, &stop_vacuum).await });
        let killed = kill.await;
        stop.store(true, Ordering::Relaxed);
        for client in working {
            self.clients.push(client.await?);
        }
        vacuuming.await?;
        let (loader, worked) = loading.await?;
        self.loader = loader;
        worked?;
        killed
    }

    async fn check(&mut self, dsn: &str) -> Outcome<()> {
        let session = Session::connect(dsn).await?;
        for client in &mut self.clients {
            client.check(&session).await?;
        }
        self.loader.check(&session).await
    }

    /// Says what outlived the kills, which must be something.
    fn conclude(&self, seed: u64) {
        let committed: u64 = self.clients.iter().map(|client| client.acknowledged.last).sum();
        let batches = self.loader.loaded.len();
        eprintln!("seed {seed}: {committed} transactions and {batches} loads outlived their servers");
        assert!(committed > 0, "nothing was committed: the test tests nothing");
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn start(directory: &Path) -> Outcome<Server> {
    Server::demo_in(directory, 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_has_what_it_acknowledged() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-crash-")?;
    let directory = home.path().join("data");
    let seed = number("QUICKDB_CRASH_SEED", 1);
    let mut random = Random::of(seed);
    let mut server = start(&directory)?;
    let mut writers = Writers::new(server.dsn(), seed, home.path()).await?;
    for round in 0..number("QUICKDB_CRASH_ROUNDS", ROUNDS) {
        let dsn = server.dsn().to_owned();
        let kill = async {
            tokio::time::sleep(Duration::from_millis(30 + random.below(900))).await;
            server.stop(Signal::Kill).map(|_| ())
        };
        writers.write_until(&dsn, kill).await?;
        // Whatever names the directory is killed with it, so that the next one starts afterwards.
        drop(server);
        server = start(&directory)?;
        let checked = writers.check(server.dsn()).await;
        checked.map_err(|error| format!("seed {seed}, round {round}: {error}"))?;
    }
    writers.conclude(seed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_killed_masters_and_workers_has_what_it_acknowledged() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-crash-")?;
    let seed = number("QUICKDB_CRASH_SEED", 1);
    let mut random = Random::of(seed + 1_000);
    let mut cluster = Cluster::start(WORKERS, "")?;
    let mut writers = Writers::new(cluster.dsn()?, seed, home.path()).await?;
    for round in 0..number("QUICKDB_CRASH_ROUNDS", CLUSTER_ROUNDS) {
        let dsn = cluster.dsn()?.to_owned();
        // Bit 0 is the master's, the others are those of the workers.
        let victims = 1 + random.below((1 << (WORKERS + 1)) - 1);
        let kill = async {
            tokio::time::sleep(Duration::from_millis(300 + random.below(1_500))).await;
            for worker in (1..=WORKERS).filter(|worker| victims >> worker & 1 == 1) {
                cluster.stop_worker(worker, Signal::Kill)?;
                tokio::time::sleep(Duration::from_millis(random.below(100))).await;
            }
            if victims & 1 == 1 {
                cluster.stop_master(Signal::Kill)?;
            }
            tokio::time::sleep(Duration::from_millis(random.below(300))).await;
            Ok(())
        };
        writers.write_until(&dsn, kill).await?;
        for worker in (1..=WORKERS).filter(|worker| victims >> worker & 1 == 1) {
            cluster.start_worker(worker)?;
        }
        if victims & 1 == 1 {
            cluster.start_master()?;
        }
        let checked = writers.check(cluster.dsn()?).await;
        checked.map_err(|error| format!("seed {seed}, round {round}, victims {victims:b}: {error}"))?;
    }
    writers.conclude(seed);
    Ok(())
}
