//! Flipped bits in the files of a server: the right answer, from another copy where there is one, or XX001. Never a wrong
//! answer, never the end of the server.
//!
//! `QUICKDB_DAMAGE_ROUNDS` and `QUICKDB_DAMAGE_SEED` make it longer or repeat a failure.

use std::fs;
use std::path::{Path, PathBuf};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::cluster::Cluster;
use quickdb_sql_tests::server::{Server, Signal};
use quickdb_sql_tests::session::Session;
use tempfile::TempDir;

const ROUNDS: u64 = 2;
const TABLES: usize = 24;

/// Header and trailer of a shard are so long.
const HEADER_BYTES: u64 = 64;
const TRAILER_BYTES: u64 = 32;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A table with a column of most encodings, some rows of it deleted.
async fn make(session: &Session, table: &str, options: &str) -> Outcome<()> {
    let create = format!(
        "CREATE TABLE {table} WITH ({options}) AS SELECT i, i % 3 = 0 AS b, i / 8.0 AS f, 'word ' || i % 50 AS coded,
         'text of row ' || i || ' and more' AS plain, i * 123456789::bigint AS wide, 7 AS same,
         nullif(i % 5, 0) AS holes, timestamp '2020-01-01' + i * interval '1 minute' AS at
         FROM generate_series(1, 9000) i"
    );
    session.simple(&create).await?;
    session.simple(&format!("DELETE FROM {table} WHERE i % 100 = 1")).await?;
    Ok(())
}

/// Reads every value of a table.
fn question(table: &str) -> String {
    format!(
        "SELECT concat_ws(' ', count(*), sum(i), count(*) FILTER (WHERE b), sum(f), count(DISTINCT coded), \
         sum(length(coded)), count(DISTINCT plain), sum(length(plain)), sum(wide), sum(same), sum(holes), max(at), \
         min(at), count(DISTINCT at)) FROM {table}"
    )
}

/// The shards and deletion vectors of a directory.
fn files(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "qdb" || end == "del") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Flips one bit of a file, in a part of it that is chosen first: header, data, footer or trailer of a shard.
fn flip(path: &Path, random: &mut Random) -> Outcome<String> {
    let mut bytes = fs::read(path)?;
    let length = bytes.len() as u64;
    let position = if path.extension().is_some_and(|end| end == "qdb") {
        let trailer = length - TRAILER_BYTES;
        let offset = bytes.get(usize::try_from(trailer)?..).and_then(|bytes| bytes.first_chunk::<8>());
        let footer = u64::from_le_bytes(*offset.ok_or("no trailer")?);
        let parts = [0..HEADER_BYTES, HEADER_BYTES..footer, footer..trailer, trailer..length];
        let part = &parts[usize::try_from(random.below(6))?.min(3)];
        // The data are most of the file, and half of the flips.
        let part = if random.below(2) == 0 { &parts[1] } else { part };
        part.start + random.below(part.end - part.start)
    } else {
        random.below(length)
    };
    let bit = random.below(8);
    bytes[usize::try_from(position)?] ^= 1 << bit;
    // A new file in its place, as a disk would show it after a restart.
    fs::remove_file(path)?;
    fs::write(path, bytes)?;
    Ok(format!("bit {bit} of byte {position} in {}", path.display()))
}

async fn answers(dsn: &str) -> Outcome<Vec<Result<String, String>>> {
    let session = Session::connect(dsn).await?;
    let mut answers = Vec::new();
    for table in 0..TABLES {
        answers.push(match session.value(&question(&format!("t{table}"))).await {
            Ok(answer) => Ok(answer),
            Err(error) if error.code() == Some("XX001") => Err(error.to_string()),
            Err(error) => return Err(format!("t{table}: {error}").into()),
        });
    }
    Ok(answers)
}

async fn fill(dsn: &str, options: &str) -> Outcome<String> {
    let session = Session::connect(dsn).await?;
    for table in 0..TABLES {
        make(&session, &format!("t{table}"), options).await?;
    }
    Ok(session.value(&question("t0")).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_gives_the_right_answer_or_an_error() -> Outcome<()> {
    let seed = number("QUICKDB_DAMAGE_SEED", 1);
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let home = TempDir::with_prefix("quickdb-damage-")?;
    let directory = home.path().join("data");
    let config = home.path().join("start.toml");
    fs::write(&config, "log_level = \"warn\"\n[auth]\nmethod = \"trust\"\n")?;
    let start = || Server::launch(&["start", "--config", config.to_str().unwrap_or_default()], &directory);
    let mut server = start()?;
    let right = fill(server.dsn(), "replicas = 1").await?;
    let mut noticed = 0;
    for round in 0..number("QUICKDB_DAMAGE_ROUNDS", ROUNDS) {
        server.stop(Signal::Terminate)?;
        drop(server);
        let files = files(&directory.join("shards"))?;
        let whole = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
        let flips = files.iter().map(|file| flip(file, &mut random)).collect::<Outcome<Vec<_>>>()?;
        server = start()?;
        for (table, answer) in answers(server.dsn()).await?.into_iter().enumerate() {
            match answer {
                Ok(answer) => assert_eq!(answer, right, "seed {seed}, round {round}, t{table} of {flips:#?}"),
                Err(error) => {
                    assert!(error.contains("corrupt") && error.contains("embedded"), "{error}");
                    noticed += 1;
                }
            }
        }
        server.stop(Signal::Terminate)?;
        for (file, bytes) in files.iter().zip(whole) {
            fs::write(file, bytes)?;
        }
        drop(server);
        server = start()?;
    }
    assert!(noticed > TABLES, "{noticed} flips were noticed: the test tests nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_one_copy_is_read_from_the_other() -> Outcome<()> {
    let seed = number("QUICKDB_DAMAGE_SEED", 1);
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut cluster = Cluster::start(3, "")?;
    let right = fill(cluster.dsn()?, "replicas = 2").await?;
    for round in 0..number("QUICKDB_DAMAGE_ROUNDS", ROUNDS) {
        let worker = usize::try_from(1 + random.below(3))?;
        cluster.stop_worker(worker, Signal::Terminate)?;
        let files = files(&cluster.shards(worker)?)?;
        let whole = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
        let flips = files.iter().map(|file| flip(file, &mut random)).collect::<Outcome<Vec<_>>>()?;
        cluster.start_worker(worker)?;
        for (table, answer) in answers(cluster.dsn()?).await?.into_iter().enumerate() {
            assert_eq!(answer.as_ref(), Ok(&right), "seed {seed}, round {round}, t{table} of {flips:#?}");
        }
        cluster.stop_worker(worker, Signal::Terminate)?;
        for (file, bytes) in files.iter().zip(whole) {
            fs::write(file, bytes)?;
        }
        cluster.start_worker(worker)?;
    }
    Ok(())
}
