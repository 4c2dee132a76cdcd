//! Servers that are killed while they write: what was acknowledged is there afterwards, what was not is there as a
//! whole or not at all.
//!
//! `QUICKDB_CRASH_ROUNDS` and `QUICKDB_CRASH_SEED` make it longer or repeat a failure.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::server::{Server, Signal};
use quickdb_sql_tests::session::{Session, SessionError};
use tempfile::TempDir;

const ROUNDS: u64 = 12;
const CLIENTS: u64 = 3;

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
    /// Runs transactions until the server is gone.
    async fn work(&mut self, dsn: &str) {
        let Ok(session) = Session::connect(dsn).await else { return };
        loop {
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
                Err(error) if error.code() == Some("40001") => {
                    self.under_way = None;
                    let _ = session.simple("ROLLBACK").await;
                }
                Err(error) if error.loses_session() => return,
                Err(error) => panic!("client {}: {error} in {statements:?}", self.client),
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

async fn transaction(session: &Session, statements: &[String]) -> Result<(), SessionError> {
    session.simple("BEGIN").await?;
    for statement in statements {
        session.simple(statement).await?;
    }
    session.simple("COMMIT").await?;
    Ok(())
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
    let session = Session::connect(server.dsn()).await?;
    session.simple("CREATE TABLE rows (client int, number int, value int, note text)").await?;
    session.simple("CREATE TABLE done (client int, number int)").await?;
    drop(session);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|client| Client {
            client,
            acknowledged: Model::default(),
            under_way: None,
            random: Random::of(seed * 31 + client),
        })
        .collect();
    let mut committed = 0;
    for round in 0..number("QUICKDB_CRASH_ROUNDS", ROUNDS) {
        let dsn = server.dsn().to_owned();
        let working = clients.into_iter().map(|mut client| {
            let dsn = dsn.clone();
            tokio::spawn(async move {
                client.work(&dsn).await;
                client
            })
        });
        let working: Vec<_> = working.collect();
        tokio::time::sleep(Duration::from_millis(30 + random.below(700))).await;
        server.stop(Signal::Kill)?;
        clients = Vec::new();
        for client in working {
            clients.push(client.await?);
        }
        // Whatever names the directory is killed with it, so that the next one starts afterwards.
        drop(server);
        server = start(&directory)?;
        let session = Session::connect(server.dsn()).await?;
        for client in &mut clients {
            client.check(&session).await.map_err(|error| format!("seed {seed}, round {round}: {error}"))?;
        }
        committed = clients.iter().map(|client| client.acknowledged.last).sum();
    }
    eprintln!("seed {seed}: {committed} transactions outlived their server");
    assert!(committed > 0, "nothing was committed: the test tests nothing");
    Ok(())
}
