//! What psql's backslash commands ask the catalogue, and what they print from its answers.
//!
//! `psql/commands.txt` lists commands that must succeed; `psql/outputs.txt` has the whole output of some. With
//! `QUICKDB_RECORD_PSQL=1` a run writes the outputs instead of comparing them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use quickdb_sql_tests::Outcome;
use quickdb_sql_tests::programs::{self, CLIENTS_SWITCH, psql, psql_types};
use quickdb_sql_tests::server::Server;

/// What a command begins with in `psql/outputs.txt`.
const MARK: &str = "=== ";

fn left_out() -> bool {
    let off = programs::clients_are_off();
    if off {
        eprintln!("left out, because {CLIENTS_SWITCH}=off");
    }
    off
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("psql").join(name)
}

#[test]
fn commands_that_describe_objects_succeed() -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(0)?;
    let text = std::fs::read_to_string(file("commands.txt"))?;
    let commands: Vec<&str> = text.lines().filter(|line| line.starts_with('\\')).collect();
    assert!(commands.len() > 200, "{} commands", commands.len());
    // One session for all, which says on standard error what comes before it comes.
    let mut typed = "\\set ON_ERROR_STOP off\n".to_owned();
    for command in &commands {
        // The backslashes are psql's own where nothing quotes them.
        writeln!(typed, "\\warn '{MARK}{}'\n{command}", command.replace('\\', "\\\\"))?;
    }
    let printed = psql_types(server.dsn(), &typed)?;
    let said: Vec<&str> = printed.stderr.split(MARK).skip(1).collect();
    assert_eq!(said.len(), commands.len(), "{}", printed.stderr);
    let failed = said.iter().filter(|said| said.contains("ERROR") || said.contains("invalid"));
    let failed: Vec<&str> = failed.copied().collect();
    assert!(failed.is_empty(), "{} commands fail:\n{}", failed.len(), failed.concat());
    Ok(())
}

#[test]
fn descriptions_print_as_from_postgresql() -> Outcome<()> {
    if left_out() {
        return Ok(());
    }
    let server = Server::demo(0)?;
    let path = file("outputs.txt");
    let expected = std::fs::read_to_string(&path)?;
    let mut recorded = String::new();
    let (comment, _) = expected.split_once(MARK).ok_or("no command in psql/outputs.txt")?;
    recorded.push_str(comment);
    for command in expected.lines().filter_map(|line| line.strip_prefix(MARK)) {
        let printed = psql(server.dsn(), &["-c", command])?;
        write!(recorded, "{MARK}{command}\n{}{}", printed.text(), printed.stderr)?;
    }
    if std::env::var("QUICKDB_RECORD_PSQL").is_ok_and(|value| value == "1") {
        std::fs::write(&path, recorded)?;
        return Ok(());
    }
    for (printed, wanted) in recorded.split(MARK).zip(expected.split(MARK)) {
        assert_eq!(printed, wanted);
    }
    assert_eq!(recorded, expected);
    Ok(())
}
