//! One-process servers and their directories: TLS and passwords, starting again, and what keeps them from
//! starting.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::programs::{openssl, psql, psql_rows};
use quickdb_sql_tests::server::{Server, Signal, quickdb};
use quickdb_sql_tests::session::{Session, SessionError};
use tempfile::TempDir;

/// A URL for the superuser with a password and further parameters, over the name that certificates have.
fn url(server: &Server, password: &str, parameters: &str) -> Outcome<String> {
    Ok(format!("postgresql://quickdb:{password}@localhost:{}/quickdb?{parameters}", server.port()?))
}

#[tokio::test]
async fn a_server_asks_for_the_password_that_it_made_up() -> Outcome<()> {
    let home = TempDir::new()?;
    let directory = home.path().join("data");
    let server = Server::start_in(&directory)?;

    let file = directory.join("password");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&file)?.trim().to_owned();
    assert!(password.len() >= 16, "a password of {} characters", password.len());
    assert!(!server.log().contains(&password), "the password is in the log");

    let session = Session::connect(&url(&server, &password, "")?).await?;
    assert_eq!(session.value("SELECT current_user").await?, "quickdb");

    for wrong in ["wrong", &password.to_uppercase(), password.get(1..).unwrap_or_default()] {
        match Session::connect(&url(&server, wrong, "")?).await {
            Err(SessionError::Server { code, message, .. }) => {
                assert_eq!(code, "28P01");
                assert_eq!(message, "password authentication failed for user \"quickdb\"");
            }
            other => return Err(format!("{wrong}: {:?}", other.err()).into()),
        }
    }
    // No such role sounds the same, so that nobody learns which roles there are.
    let nobody = format!("postgresql://nobody:{password}@localhost:{}/quickdb", server.port()?);
    match Session::connect(&nobody).await {
        Err(SessionError::Server { code, message, .. }) => {
            assert_eq!(code, "28P01");
            assert_eq!(message, "password authentication failed for user \"nobody\"");
        }
        other => return Err(format!("nobody: {:?}", other.err()).into()),
    }
    Ok(())
}

#[test]
fn psql_checks_the_certificate_and_the_password() -> Outcome<()> {
    let home = TempDir::new()?;
    let directory = home.path().join("data");
    let password_file = home.path().join("secret");
    std::fs::write(&password_file, "correct horse\n")?;
    let given = password_file.to_string_lossy();
    let server = Server::launch(&["start", "--password-file", &given], &directory)?;
    let authority = directory.join("tls").join("ca.pem");
    let verified = format!("sslmode=verify-full&sslrootcert={}", authority.display());

    let dsn = url(&server, "correct%20horse", &verified)?;
    let text = psql(&dsn, &["-c", "\\conninfo", "-Atc", "SELECT 1"])?.success()?;
    assert!(text.contains("SSL connection (protocol: TLSv1.3"), "{text}");

    // The password proves the server too: SCRAM bound to the TLS channel.
    let bound = format!("{verified}&channel_binding=require");
    psql(&url(&server, "correct%20horse", &bound)?, &["-Atc", "SELECT 1"])?.success()?;

    let refused = psql(&url(&server, "wrong", &verified)?, &["-c", "SELECT 1"])?;
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("password authentication failed for user \"quickdb\""),
        "{}",
        refused.stderr
    );

    // A client that knows another authority does not speak to this server.
    let other = home.path().join("other.pem");
    let key = home.path().join("other.key");
    let (other, key) = (other.to_string_lossy(), key.to_string_lossy());
    let made = openssl(
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=other",
            "-keyout",
            &key,
            "-out",
            &other,
        ],
        b"",
    )?;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let misled = url(&server, "correct%20horse", &format!("sslmode=verify-full&sslrootcert={other}"))?;
    let refused = psql(&misled, &["-c", "SELECT 1"])?;
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("certificate verify failed"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn a_server_keeps_its_password_and_certificate() -> Outcome<()> {
    let home = TempDir::new()?;
    let directory = home.path().join("data");
    let kept = |directory: &Path| -> Outcome<(String, String)> {
        let read = |name: &str| std::fs::read_to_string(directory.join(name));
        Ok((read("password")?, read("tls/ca.pem")?))
    };
    let mut first = Server::start_in(&directory)?;
    let before = kept(&directory)?;
    assert_eq!(first.stop(Signal::Terminate)?.code(), Some(0));
    let _second = Server::start_in(&directory)?;
    assert_eq!(kept(&directory)?, before);
    Ok(())
}

#[test]
fn the_demo_offers_tls_and_needs_no_password() -> Outcome<()> {
    let server = Server::demo(0)?;
    assert_eq!(psql_rows(server.dsn(), "SELECT count(*) FROM airlines")?, ["16"]);
    let encrypted = format!("{}?sslmode=require", server.dsn());
    assert_eq!(psql_rows(&encrypted, "SELECT count(*) FROM airlines")?, ["16"]);
    let plain = format!("{}?sslmode=disable", server.dsn());
    assert_eq!(psql_rows(&plain, "SELECT count(*) FROM airlines")?, ["16"]);
    Ok(())
}

/// Path, inode, length and time of every file below a directory that is large enough to hold data.
fn data_files(directory: &Path) -> Outcome<BTreeMap<PathBuf, (u64, u64, SystemTime)>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = std::fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            found.extend(data_files(&path)?);
        } else if metadata.len() > 100_000
            && path.extension().is_none_or(|end| !end.to_string_lossy().contains("sqlite"))
        {
            found.insert(path, (metadata.ino(), metadata.len(), metadata.modified()?));
        }
    }
    Ok(found)
}

fn a_second_start_loads_nothing(workers: usize) -> Outcome<()> {
    let home = TempDir::new()?;
    let directory = home.path().join("data");
    let mut first = Server::demo_in(&directory, workers)?;
    assert!(first.log().contains("loaded flights"), "the first start does not say that it loads");
    assert_eq!(first.stop(Signal::Interrupt)?.code(), Some(0));
    let before = data_files(&directory)?;
    assert!(before.len() >= 3, "{before:?}");

    let second = Server::demo_in(&directory, workers)?;
    assert!(!second.log().contains("loaded"), "it loaded again");
    assert_eq!(data_files(&directory)?, before);
    let counts = "SELECT (SELECT count(*) FROM flights), (SELECT count(*) FROM stars), (SELECT count(*) FROM airlines)";
    assert_eq!(psql_rows(second.dsn(), counts)?, ["336776|118216|16"]);
    Ok(())
}

#[test]
fn a_second_start_of_the_embedded_demo_loads_nothing() -> Outcome<()> {
    a_second_start_loads_nothing(0)
}

#[test]
fn a_second_start_with_three_workers_loads_nothing() -> Outcome<()> {
    a_second_start_loads_nothing(3)
}

/// Runs a demo that must fail with exit code 1 and one line, and gives that line.
fn refusal(arguments: &[&str]) -> Outcome<String> {
    let printed = quickdb(&[&["demo"], arguments].concat())?;
    assert_eq!(printed.code, Some(1), "{arguments:?}: {}", printed.stderr);
    assert_eq!(printed.text(), "", "{arguments:?}");
    assert_eq!(printed.stderr.lines().count(), 1, "{}", printed.stderr);
    Ok(printed.stderr)
}

#[test]
fn a_demo_that_cannot_start_says_why_in_one_line() -> Outcome<()> {
    let home = TempDir::new()?;
    let at = |name: &str| home.path().join(name).to_string_lossy().into_owned();

    let other = TcpListener::bind("127.0.0.1:0")?;
    let address = other.local_addr()?.to_string();
    let line = refusal(&["--listen", &address, "--data-dir", &at("a")])?;
    assert!(line.contains(&address) && line.contains("in use"), "{line}");

    // Nobody can make a directory there, not even root.
    let line = refusal(&["--listen", "127.0.0.1:0", "--data-dir", "/proc/quickdb-demo"])?;
    assert!(line.contains("/proc/quickdb-demo"), "{line}");

    std::fs::write(home.path().join("file"), "text")?;
    let line = refusal(&["--listen", "127.0.0.1:0", "--data-dir", &at("file")])?;
    assert!(line.contains("not a directory"), "{line}");

    let photos = home.path().join("photos");
    std::fs::create_dir(&photos)?;
    std::fs::write(photos.join("cat.jpg"), "meow")?;
    let line = refusal(&["--listen", "127.0.0.1:0", "--data-dir", &at("photos")])?;
    assert!(line.contains("photos"), "{line}");
    let names: Vec<_> =
        std::fs::read_dir(&photos)?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    assert_eq!(names, ["cat.jpg"], "it left something in a directory of somebody else");
    Ok(())
}

#[test]
fn two_servers_do_not_share_a_directory() -> Outcome<()> {
    let server = Server::demo(0)?;
    let directory = server.directory().to_string_lossy().into_owned();
    let line = refusal(&["--listen", "127.0.0.1:0", "--data-dir", &directory])?;
    assert!(line.contains("in use") && line.contains(&server.pid().to_string()), "{line}");
    assert_eq!(psql_rows(server.dsn(), "SELECT count(*) FROM airlines")?, ["16"]);
    Ok(())
}

#[test]
fn wrong_usage_is_exit_code_two() -> Outcome<()> {
    for arguments in
        [&["frobnicate"] as &[&str], &["demo", "--workers", "many"], &["start"], &["demo", "--nothing"]]
    {
        let printed = quickdb(arguments)?;
        assert_eq!(printed.code, Some(2), "{arguments:?}");
        assert!(printed.stderr.contains("--help"), "{}", printed.stderr);
    }
    let help = quickdb(&["--help"])?.success()?;
    for command in ["demo", "start", "master", "worker"] {
        assert!(help.contains(command), "--help does not name {command}");
        quickdb(&[command, "--help"])?.success()?;
    }
    Ok(())
}
