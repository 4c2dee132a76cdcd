//! Where rows lie: placement over workers, replicas, logs into shards, small shards together, files that nobody needs.

use std::path::Path;
use std::time::{Duration, Instant};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::server::Server;
use quickdb_sql_tests::session::{Answer, Session};

const COLLECT_TIMEOUT: Duration = Duration::from_secs(20);

async fn rows(session: &Session, sql: &str) -> Outcome<Vec<Vec<String>>> {
    match session.ask(sql).await? {
        Answer::Rows { rows, .. } => Ok(rows),
        Answer::Done(_) => Err(format!("{sql} gave no rows").into()),
    }
}

async fn number(session: &Session, sql: &str) -> Outcome<i64> {
    Ok(session.value(sql).await?.parse()?)
}

/// Runs statements, one after the other.
async fn all(session: &Session, statements: &[&str]) -> Outcome<()> {
    for statement in statements {
        session.simple(statement).await.map_err(|error| format!("{statement}: {error}"))?;
    }
    Ok(())
}

/// Shard files below a directory.
fn shard_files(directory: &Path) -> Outcome<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            count += shard_files(&entry.path())?;
        } else if entry.path().extension().is_some_and(|end| end == "qdb") {
            count += 1;
        }
    }
    Ok(count)
}

#[tokio::test]
async fn rows_go_where_their_table_says() -> Outcome<()> {
    let server = Server::demo(3)?;
    let session = Session::connect(server.dsn()).await?;
    let fill = "SELECT i AS a, i % 100 AS b, (i % 360)::double precision AS ra, (i % 170 - 85)::double precision AS dec
                FROM generate_series(1, 60000) i";
    for (table, options) in [
        ("by_turn", "distribute_by = 'round_robin'"),
        ("by_hash", "distribute_by = 'hash(b)', sort_by = 'a'"),
        ("by_sky", "distribute_by = 'sky(ra, dec)'"),
        ("everywhere", "distribute_by = 'all'"),
        ("twice", "replicas = 2"),
    ] {
        let columns = "a int, b int, ra double precision, dec double precision";
        let create = format!("CREATE TABLE {table} ({columns}) WITH ({options})");
        let insert = format!("INSERT INTO {table} {fill}");
        all(&session, &[&create, &insert]).await?;
        let sums = format!("SELECT count(*), sum(a), sum(b), count(DISTINCT b) FROM {table}");
        assert_eq!(rows(&session, &sums).await?, [["60000", "1800030000", "2970000", "100"]], "{table}");
    }
    let copies = |table: &str| {
        format!(
            "SELECT count(DISTINCT worker), count(*), count(DISTINCT shard) FROM quickdb.shards WHERE table_name = '{table}'"
        )
    };
    for table in ["by_hash", "by_sky"] {
        assert_eq!(rows(&session, &copies(table)).await?, [["3", "3", "3"]], "{table}");
    }
    assert_eq!(rows(&session, &copies("everywhere")).await?, [["3", "3", "1"]]);
    let encodings = "SELECT DISTINCT encodings FROM quickdb.shards WHERE table_name = 'everywhere'";
    assert_eq!(rows(&session, encodings).await?, [["a: packed; b: packed; ra: scaled; dec: scaled"]]);
    let [twice] = rows(&session, &copies("twice")).await?.try_into().map_err(|_| "not one row")?;
    assert_eq!(twice[1].parse::<i64>()?, 2 * twice[2].parse::<i64>()?);
    assert_eq!(
        number(&session, "SELECT sum(row_count) FROM quickdb.shards WHERE table_name = 'by_hash'").await?,
        60_000
    );
    for table in ["by_turn", "everywhere", "twice"] {
        assert_eq!(rows(&session, &format!("CHECK TABLE {table}")).await?, Vec::<Vec<String>>::new());
    }
    // Deleted rows are left out everywhere, whichever copy is read.
    for table in ["everywhere", "twice", "by_hash"] {
        all(&session, &[&format!("DELETE FROM {table} WHERE a % 3 = 0")]).await?;
        assert_eq!(number(&session, &format!("SELECT count(*) FROM {table}")).await?, 40_000);
        all(&session, &[&format!("VACUUM {table}")]).await?;
        assert_eq!(
            rows(&session, &format!("SELECT count(*), sum(a) FROM {table}")).await?,
            [["40000", "1200000000"]]
        );
        let deleted = format!("SELECT sum(deleted_rows) FROM quickdb.shards WHERE table_name = '{table}'");
        assert_eq!(number(&session, &deleted).await?, 0, "{table}");
    }
    for (options, code) in [
        ("distribute_by = 'nothing'", "22023"),
        ("distribute_by = 'hash(c)'", "42703"),
        ("replicas = 0", "22023"),
        ("something = 1", "22023"),
    ] {
        let error = session.simple(&format!("CREATE TABLE wrong (a int) WITH ({options})")).await;
        assert_eq!(
            error.err().and_then(|error| error.code().map(str::to_owned)).as_deref(),
            Some(code),
            "{options}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn logs_become_shards_and_files_that_nobody_needs_go() -> Outcome<()> {
    let server = Server::demo(0)?;
    let session = Session::connect(server.dsn()).await?;
    all(&session, &["CREATE TABLE t (a int, b text)"]).await?;
    for i in 0..300 {
        session.simple(&format!("INSERT INTO t VALUES ({i}, 'row {i}')")).await?;
    }
    let facts = "SELECT row_count, shards, logged_rows FROM quickdb.tables WHERE table_name = 't'";
    assert_eq!(rows(&session, facts).await?, [["300", "0", "300"]]);
    all(&session, &["DELETE FROM t WHERE a < 100", "VACUUM t"]).await?;
    assert_eq!(rows(&session, facts).await?, [["200", "1", "0"]]);
    for round in 0..10 {
        let bulk =
            format!("INSERT INTO t SELECT i, 'bulk' FROM generate_series(1, 6000) i WHERE {round} >= 0");
        all(&session, &[&bulk]).await?;
    }
    all(&session, &["VACUUM t"]).await?;
    assert_eq!(rows(&session, facts).await?, [["60200", "1", "0"]]);
    assert_eq!(rows(&session, "SELECT count(*), sum(a) FROM t").await?, [["60200", "180069900"]]);
    assert_eq!(rows(&session, "CHECK TABLE t").await?, Vec::<Vec<String>>::new());
    // A transaction that is rolled back, and a table that is dropped, leave nothing on the disk.
    all(&session, &["BEGIN", "INSERT INTO t SELECT i, 'gone' FROM generate_series(1, 20000) i", "ROLLBACK"])
        .await?;
    all(&session, &["DROP TABLE t"]).await?;
    let started = Instant::now();
    // The demo's own tables are put in order meanwhile.
    while i64::try_from(shard_files(server.directory())?)?
        != number(&session, "SELECT count(*) FROM quickdb.shards").await?
    {
        assert!(started.elapsed() < COLLECT_TIMEOUT, "files stay behind");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::test]
async fn sessions_that_wait_for_their_clients_keep_no_files() -> Outcome<()> {
    let server = Server::demo(0)?;
    let before = shard_files(server.directory())?;
    let waiting = Session::connect(server.dsn()).await?;
    let session = Session::connect(server.dsn()).await?;
    let fill = "CREATE TABLE gone AS SELECT i FROM generate_series(1, 100000) i";
    all(&session, &[fill]).await?;
    assert!(shard_files(server.directory())? > before);
    assert_eq!(number(&waiting, "SELECT count(*) FROM gone").await?, 100_000);
    all(&session, &["DROP TABLE gone"]).await?;
    let started = Instant::now();
    while shard_files(server.directory())? > before {
        if started.elapsed() > COLLECT_TIMEOUT {
            return Err("a dropped table's files are still there".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(number(&waiting, "SELECT 1").await?, 1);
    Ok(())
}

#[tokio::test]
async fn writers_that_meet_are_told() -> Outcome<()> {
    let server = Server::demo(0)?;
    let (first, second) = (Session::connect(server.dsn()).await?, Session::connect(server.dsn()).await?);
    all(
        &first,
        &["CREATE TABLE t (a int, b int)", "INSERT INTO t SELECT i, 0 FROM generate_series(1, 10000) i"],
    )
    .await?;
    all(&first, &["BEGIN ISOLATION LEVEL REPEATABLE READ", "UPDATE t SET b = 1 WHERE a = 5"]).await?;
    all(&second, &["UPDATE t SET b = 2 WHERE a = 5"]).await?;
    // The first does not see what the second has committed, and cannot overwrite it.
    assert_eq!(number(&first, "SELECT b FROM t WHERE a = 5").await?, 1);
    let error = first.simple("COMMIT").await.err().and_then(|error| error.code().map(str::to_owned));
    assert_eq!(error.as_deref(), Some("40001"));
    assert_eq!(number(&first, "SELECT b FROM t WHERE a = 5").await?, 2);
    // Those that only add rows never meet.
    all(&first, &["BEGIN", "INSERT INTO t VALUES (-1, 0)"]).await?;
    all(&second, &["BEGIN", "INSERT INTO t VALUES (-2, 0)", "COMMIT"]).await?;
    all(&first, &["COMMIT"]).await?;
    assert_eq!(number(&second, "SELECT count(*) FROM t WHERE a < 0").await?, 2);
    Ok(())
}
