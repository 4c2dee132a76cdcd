//! `quickdb recover`: a catalogue that is lost is made anew from the workers, and a server never runs over shards that
//! its catalogue does not know.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::cluster::{Cluster, lose_catalogue};
use quickdb_sql_tests::programs::{Printed, psql_rows};
use quickdb_sql_tests::server::{Server, Signal, quickdb};
use quickdb_sql_tests::session::Session;
use tempfile::TempDir;

/// Bulk rows, small rows, deleted ones, compacted ones, dropped tables; a table that was altered.
const CHANGES: &[&str] = &[
    "CREATE SCHEMA more",
    "CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'none', f double precision)",
    "COMMENT ON COLUMN t.f IS 'flux'",
    "INSERT INTO t SELECT i, 'row ' || i, i / 7.0 FROM generate_series(1, 30000) i",
    "INSERT INTO t SELECT i, 'row ' || i, i / 7.0 FROM generate_series(30001, 60000) i",
    "DELETE FROM t WHERE id % 3 = 0",
    "UPDATE t SET v = 'changed' WHERE id BETWEEN 100 AND 220",
    "INSERT INTO t VALUES (100001, 'small', 1), (100002, NULL, NULL)",
    "CREATE TABLE more.compacted AS SELECT i, i % 10 AS k FROM generate_series(1, 20000) i",
    "INSERT INTO more.compacted SELECT i, i % 10 FROM generate_series(1, 20000) i",
    "DELETE FROM more.compacted WHERE k = 4",
    "VACUUM more.compacted",
    "DELETE FROM more.compacted WHERE k = 5",
    "CREATE TABLE altered AS SELECT i, 'x' AS gone FROM generate_series(1, 9000) i",
    "ALTER TABLE altered DROP COLUMN gone",
    "ALTER TABLE altered ADD COLUMN extra int DEFAULT 7",
    "CREATE TABLE dropped AS SELECT i FROM generate_series(1, 9000) i",
    "DROP TABLE dropped",
    "CREATE TABLE small (a int)",
    "INSERT INTO small VALUES (1), (2)",
    "DELETE FROM small WHERE a = 1",
    "CREATE VIEW sums AS SELECT count(*) AS n, sum(id) AS ids, sum(f) AS f, count(v) AS vs FROM t",
];

/// What must be the same before and after.
const QUESTIONS: &[&str] = &[
    "SELECT n, ids, round(f::numeric, 3), vs FROM sums",
    "SELECT count(*), sum(i), sum(k) FROM more.compacted",
    "SELECT count(*), sum(i), sum(extra) FROM altered",
    "SELECT a FROM small",
    "SELECT count(*) FROM t WHERE v = 'changed'",
    "SELECT table_schema, table_name, table_type FROM information_schema.tables \
     WHERE table_schema IN ('public', 'more') AND table_name NOT IN \
       ('flights', 'weather', 'airports', 'planes', 'airlines', 'stars', 'deep_sky') ORDER BY 1, 2",
    "SELECT column_name, column_default, col_description('t'::regclass, ordinal_position::int) \
     FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position",
    "SELECT conname, contype FROM pg_constraint WHERE conrelid = 't'::regclass",
];

async fn change(dsn: &str) -> Outcome<()> {
    let session = Session::connect(dsn).await?;
    for statement in CHANGES {
        session.simple(statement).await.map_err(|error| format!("{statement}: {error}"))?;
    }
    Ok(())
}

fn answers(dsn: &str) -> Outcome<Vec<Vec<String>>> {
    QUESTIONS.iter().map(|question| psql_rows(dsn, question)).collect()
}

/// Files in a directory of shards, without the copy of the catalogue.
fn files(shards: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(shards)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end != "copy") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn text(path: &Path) -> Outcome<&str> {
    Ok(path.to_str().ok_or("a path")?)
}

fn recover(arguments: &[&str]) -> Outcome<Printed> {
    quickdb(&[&["recover"], arguments].concat())
}

/// The one line with which the program must fail.
fn refusal(printed: Printed) -> String {
    assert_eq!((printed.code, printed.text().as_str()), (Some(1), ""), "{}", printed.stderr);
    printed.stderr.lines().find(|line| line.starts_with("quickdb: ")).unwrap_or_default().to_owned()
}

fn start(directory: &Path) -> Outcome<Server> {
    let config = directory.with_file_name("start.toml");
    fs::write(&config, "log_level = \"warn\"\n[auth]\nmethod = \"trust\"\n")?;
    Server::launch(&["start", "--config", text(&config)?], directory)
}

/// Small writes are copied within a second.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(2_500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalogue_comes_back_from_the_shards_of_one_process() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-recover-")?;
    let directory = home.path().join("data");
    let mut server = start(&directory)?;
    change(server.dsn()).await?;
    settle().await;
    let before = answers(server.dsn())?;
    server.stop(Signal::Kill)?;
    drop(server);
    let refused = refusal(recover(&["--data-dir", text(&directory)?])?);
    assert!(refused.contains("move it away first: mv "), "{refused}");

    lose_catalogue(&directory)?;
    let shards = directory.join("shards");
    let there = files(&shards)?;
    let started = quickdb(&["start", "--data-dir", text(&directory)?, "--listen", "127.0.0.1:0"])?;
    assert!(
        refusal(started).contains("quickdb recover"),
        "a server starts over shards that it does not know"
    );
    assert_eq!(files(&shards)?, there);

    let shown = recover(&["--data-dir", text(&directory)?, "--dry-run"])?.success()?;
    assert!(
        shown.contains("table public.t: 40002 rows") && shown.contains("nothing has been changed"),
        "{shown}"
    );
    let shown = recover(&["--data-dir", text(&directory)?])?.success()?;
    assert!(!shown.contains("problem") && shown.contains("4 tables are recovered"), "{shown}");
    assert_eq!(files(&shards)?, there);

    let mut server = start(&directory)?;
    assert_eq!(answers(server.dsn())?, before);
    // New shards and deletions get numbers of their own, and files of no table go.
    let session = Session::connect(server.dsn()).await?;
    session.simple("INSERT INTO small SELECT generate_series(10, 9000)").await?;
    session.simple("DELETE FROM t WHERE id % 5 = 0").await?;
    assert_eq!(session.value("SELECT count(*) FROM small").await?, "8992");
    server.stop(Signal::Terminate)?;
    drop(server);

    // The catalogue that was lost turns up: it is not that of the shards any more.
    fs::rename(directory.join("catalogue.sqlite"), directory.join("new.sqlite"))?;
    fs::copy(directory.join("catalogue.sqlite.lost"), directory.join("catalogue.sqlite"))?;
    let there = files(&shards)?;
    let started = quickdb(&["start", "--data-dir", text(&directory)?, "--listen", "127.0.0.1:0"])?;
    assert!(refusal(started).contains("quickdb recover"));
    assert_eq!(files(&shards)?, there);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_back_from_shards_without_a_copy_of_the_catalogue() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-recover-")?;
    let directory = home.path().join("data");
    let mut server = start(&directory)?;
    change(server.dsn()).await?;
    let in_shards = [
        "SELECT count(*), sum(id) FROM t WHERE v <> 'changed' AND id < 100000",
        "SELECT count(*), sum(i), sum(k) FROM more.compacted",
        "SELECT count(*), sum(i) FROM altered",
    ];
    let ask =
        |dsn: &str| in_shards.iter().map(|question| psql_rows(dsn, question)).collect::<Outcome<Vec<_>>>();
    let before = ask(server.dsn())?;
    // Files of what was replaced or dropped go within a minute; here they must be gone.
    let shards = directory.join("shards");
    let session = Session::connect(server.dsn()).await?;
    let named: usize = session
        .value("SELECT count(*) + count(*) FILTER (WHERE deleted_rows > 0) FROM quickdb.shards")
        .await?
        .parse()?;
    let started = Instant::now();
    while files(&shards)?.len() > named {
        assert!(started.elapsed() < Duration::from_secs(20), "{:?} are not {named} files", files(&shards)?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop(Signal::Terminate)?;
    drop((server, session));
    lose_catalogue(&directory)?;
    fs::write(shards.join("catalogue.copy"), "damaged")?;
    let refused = refusal(recover(&["--data-dir", text(&directory)?])?);
    assert!(refused.contains("--from-shards"), "{refused}");
    let shown = recover(&["--data-dir", text(&directory)?, "--from-shards"])?.success()?;
    assert!(shown.contains("lost: views"), "{shown}");
    let server = start(&directory)?;
    // Small writes lay in the catalogue, and so did what came after the shards were written.
    assert_eq!(ask(server.dsn())?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_catalogue_comes_back_from_three_workers() -> Outcome<()> {
    let mut cluster = Cluster::start(3, "")?;
    let dsn = cluster.dsn()?.to_owned();
    change(&dsn).await?;
    let session = Session::connect(&dsn).await?;
    session.simple("CREATE TABLE twice WITH (replicas = 2) AS SELECT generate_series(1, 9000) AS i").await?;
    session.simple("DELETE FROM twice WHERE i > 8000").await?;
    drop(session);
    settle().await;
    let before = answers(&dsn)?;
    cluster.stop_master(Signal::Kill)?;
    lose_catalogue(&cluster.master_directory())?;
    let there = (1..=3).map(|worker| files(&cluster.shards(worker)?)).collect::<Outcome<Vec<_>>>()?;
    let config = cluster.master_config();
    let started = quickdb(&["master", "--config", text(&config)?])?;
    assert!(refusal(started).contains("quickdb recover"));

    cluster.stop_worker(2, Signal::Terminate)?;
    let refused = refusal(recover(&["--config", text(&config)?])?);
    assert!(refused.contains("worker \"worker-2\" cannot be asked"), "{refused}");
    cluster.start_worker(2)?;

    let shown = recover(&["--config", text(&config)?, "--dry-run"])?.success()?;
    assert!(
        shown.contains("table public.twice: 8000 rows in") && shown.contains("2 copies of each"),
        "{shown}"
    );
    let shown = recover(&["--config", text(&config)?])?.success()?;
    assert!(!shown.contains("problem"), "{shown}");
    let now = (1..=3).map(|worker| files(&cluster.shards(worker)?)).collect::<Outcome<Vec<_>>>()?;
    assert_eq!(now, there);
    cluster.start_master()?;
    let dsn = cluster.dsn()?.to_owned();
    assert_eq!(answers(&dsn)?, before);
    assert_eq!(psql_rows(&dsn, "SELECT count(*), sum(i) FROM twice")?, ["8000|32004000"]);
    Ok(())
}
