//! Disks that are full: whoever needs more gets 53100, everything else goes on, and what was taken is given back.
//!
//! Limits of a worker are a setting and tested everywhere. A real disk that is full needs a small file system, which
//! this mounts in a namespace of its own, without privileges; where the system does not let it, that test says so and
//! ends.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::SinkExt;
use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::cluster::Cluster;
use quickdb_sql_tests::server::{READY, Server, Signal, binary, quickdb};
use quickdb_sql_tests::session::{Session, SessionError};
use tempfile::TempDir;

/// Space of a statement that failed is given back at once; finished shards of it a moment later.
const RETURN_TIMEOUT: Duration = Duration::from_secs(20);

const MIB: u64 = 1 << 20;

/// Rows of noise that no disk here has room for: half of 65 MB, since a hexadecimal digit is half a byte.
const FULL_ROWS: u64 = 500_000;

/// Rows that no encoding makes short.
const NOISE: &str = "md5('a' || i) || md5('b' || i) || md5('c' || i) || md5('d' || i)";

fn bytes_in(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        // A file that is removed meanwhile has none.
        bytes += entry?.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    }
    Ok(bytes)
}

async fn wait_for_space(directories: &[&Path], below: u64) -> Outcome<()> {
    let started = Instant::now();
    loop {
        let sizes = directories.iter().map(|directory| bytes_in(directory)).collect::<Outcome<Vec<_>>>()?;
        if sizes.iter().all(|bytes| *bytes < below) {
            return Ok(());
        }
        if started.elapsed() > RETURN_TIMEOUT {
            return Err(format!("{sizes:?} bytes are still there").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Writes a table anew as soon as there is room for it: files of dropped tables go a moment later.
async fn vacuum(session: &Session, table: &str) -> Outcome<()> {
    let started = Instant::now();
    loop {
        match session.simple(&format!("VACUUM {table}")).await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() != Some("53100") || started.elapsed() > RETURN_TIMEOUT => {
                return Err(error.into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
}

fn expect_full(error: &SessionError, names: &str) {
    assert_eq!(error.code(), Some("53100"), "{error}");
    assert!(error.to_string().contains(names), "{error}");
}

/// Lines of a number and 128 random hexadecimal digits, 1,000 rows at a time.
fn noise(rows: u64, separator: char) -> impl Iterator<Item = String> {
    let mut random = 88_172_645_463_325_252_u64;
    (0..rows.div_ceil(1_000)).map(move |chunk| {
        let mut text = String::new();
        for row in chunk * 1_000..rows.min(chunk * 1_000 + 1_000) {
            text.push_str(&format!("{row}{separator}"));
            for _ in 0..8 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                text.push_str(&format!("{random:016x}"));
            }
            text.push('\n');
        }
        text
    })
}

/// COPY of so many rows of noise.
async fn copy(session: &Session, table: &str, rows: u64) -> Result<u64, SessionError> {
    let sink = session.client().copy_in::<_, bytes::Bytes>(&format!("COPY {table} FROM STDIN")).await?;
    let mut sink = std::pin::pin!(sink);
    for text in noise(rows, '\t') {
        if sink.send(bytes::Bytes::from(text)).await.is_err() {
            // The server's answer says why.
            break;
        }
    }
    Ok(sink.finish().await?)
}

/// What must hold on a server whose workers are nearly full; `shards` are their directories.
async fn refuses_and_goes_on(dsn: &str, shards: &[&Path], home: &Path, names: &str) -> Outcome<()> {
    let session = Session::connect(dsn).await?;
    session.simple("CREATE TABLE kept (i int, note text)").await?;
    session.simple("INSERT INTO kept SELECT i, 'row ' || i FROM generate_series(1, 20000) i").await?;
    session.simple("CREATE TABLE noise (i int, note text)").await?;
    let before = shards.iter().map(|directory| bytes_in(directory)).collect::<Outcome<Vec<_>>>()?;
    let below = before.iter().max().copied().unwrap_or_default() + MIB;

    let refused = copy(&session, "noise", FULL_ROWS).await.err().ok_or("COPY was not refused")?;
    expect_full(&refused, names);
    let create = format!("CREATE TABLE more AS SELECT i, {NOISE} AS note FROM generate_series(1, 500000) i");
    let refused = session.simple(&create).await.err().ok_or("CREATE TABLE AS was not refused")?;
    expect_full(&refused, names);
    let file = home.join("noise.csv");
    fs::write(&file, noise(FULL_ROWS, ',').collect::<String>())?;
    let load = quickdb(&["load", "--dsn", dsn, "loaded", file.to_str().ok_or("a path")?])?;
    assert_eq!(load.code, Some(1), "{}", load.text());
    assert!(load.stderr.contains(names), "{}", load.stderr);

    // Nothing of all that is left, and small things go on.
    assert_eq!(session.value("SELECT count(*) FROM noise").await?, "0");
    assert_eq!(
        session.value("SELECT to_regclass('more') IS NULL AND to_regclass('loaded') IS NULL").await?,
        "t"
    );
    wait_for_space(shards, below).await?;
    assert_eq!(session.value("SELECT sum(i) FROM kept").await?, "200010000");
    session.simple("DELETE FROM kept WHERE i % 2 = 0").await?;
    session.simple("INSERT INTO kept VALUES (7, 'small')").await?;
    assert_eq!(session.value("SELECT sum(i) FROM kept").await?, "100000007");
    assert_eq!(copy(&session, "noise", 10_000).await?, 10_000);
    assert_eq!(session.value("SELECT count(*) FROM noise").await?, "10000");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_its_disk_limit_refuses_rows_and_goes_on() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-disk-")?;
    let (directory, config) = (home.path().join("data"), home.path().join("start.toml"));
    fs::write(&config, "max_disk = \"8MiB\"\nlog_level = \"warn\"\n[auth]\nmethod = \"trust\"\n")?;
    let server = Server::launch(&["start", "--config", config.to_str().ok_or("a path")?], &directory)?;
    refuses_and_goes_on(server.dsn(), &[&directory.join("shards")], home.path(), "worker \"embedded\"").await
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_at_their_disk_limits_refuse_rows_and_are_named() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-disk-")?;
    let cluster = Cluster::start(3, "max_disk = \"8MiB\"")?;
    let shards = (1..=3).map(|worker| cluster.shards(worker)).collect::<Outcome<Vec<_>>>()?;
    let shards: Vec<&Path> = shards.iter().map(AsRef::as_ref).collect();
    refuses_and_goes_on(cluster.dsn()?, &shards, home.path(), "worker \"worker-").await
}

/// A server whose whole data directory, catalogue included, is on a file system of so many MiB; `None` where the
/// system does not let anybody mount one.
fn start_on_small_disk(home: &Path, mebibytes: u64, settings: &str) -> Outcome<Option<Server>> {
    let mount = home.join("mount");
    fs::create_dir_all(&mount)?;
    let config = home.join("start.toml");
    fs::write(&config, format!("{settings}\nlog_level = \"warn\"\n[auth]\nmethod = \"trust\"\n"))?;
    let enter = |script: String| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        command
    };
    let mounting = format!("mount -t tmpfs -o size={mebibytes}M tmpfs '{}'", mount.display());
    if !enter(mounting.clone()).output().is_ok_and(|output| output.status.success()) {
        return Ok(None);
    }
    let command = enter(format!(
        "{mounting} && exec '{}' start --config '{}' --data-dir '{}' --listen 127.0.0.1:0",
        binary()?.display(),
        config.display(),
        mount.join("data").display()
    ));
    Server::run(command, &mount, READY).map(Some)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_no_acknowledged_row_and_its_space_returns() -> Outcome<()> {
    let home = TempDir::with_prefix("quickdb-disk-")?;
    let Some(mut server) = start_on_small_disk(home.path(), 48, "min_free_disk = \"none\"")? else {
        eprintln!("no file system can be mounted here: disks that are full are not tested");
        return Ok(());
    };
    let session = Session::connect(server.dsn()).await?;
    session.simple("CREATE TABLE noise (i int, note text)").await?;
    session.simple("CREATE TABLE small (i int, note text)").await?;
    session
        .simple(&format!(
            "CREATE TABLE filler AS SELECT i, {NOISE} AS note FROM generate_series(1, 120000) i"
        ))
        .await?;
    let refused = copy(&session, "noise", 2 * FULL_ROWS).await.err().ok_or("COPY was not refused")?;
    expect_full(&refused, "No space left on device");
    assert_eq!(session.value("SELECT count(*) FROM noise").await?, "0");

    let shards = format!("/proc/{}/root{}", server.pid(), server.directory().join("data/shards").display());
    wait_for_space(&[Path::new(&shards)], 12 * MIB).await?;

    // Small rows fill the catalogue's own disk, but for what deleting and dropping needs.
    let note = "n".repeat(200_000);
    let (mut acknowledged, mut refused) = (0_u64, 0);
    while refused < 3 && acknowledged < 5_000 {
        let insert = format!("INSERT INTO small VALUES ({acknowledged}, '{note}' || md5('{acknowledged}'))");
        match session.simple(&insert).await {
            Ok(_) => acknowledged += 1,
            Err(error) => {
                expect_full(&error, "the catalogue");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "{acknowledged} rows fit");
    let count = "SELECT count(*) || ' ' || coalesce(sum(i), 0) FROM small";
    let expected = format!("{acknowledged} {}", acknowledged * acknowledged.saturating_sub(1) / 2);
    assert_eq!(session.value(count).await?, expected);
    // What is dropped makes room again, and more of it than writing the rest of the rows anew takes.
    session.simple("DELETE FROM small WHERE i % 2 = 0").await?;
    session.simple("DROP TABLE filler").await?;
    vacuum(&session, "small").await?;
    assert_eq!(session.value("SELECT count(*) FROM small").await?, (acknowledged / 2).to_string());
    server.stop(Signal::Terminate)?;
    Ok(())
}
