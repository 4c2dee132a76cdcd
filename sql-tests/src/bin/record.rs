//! Fills or verifies the expected answers against a PostgreSQL 15 with the demo's tables.
//!
//! `record [--check] DSN [FILE...]`: without files, all of them. `reference.py` makes the server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use quickdb_sql_tests::session::Session;
use quickdb_sql_tests::slt::Engine;
use quickdb_sql_tests::{Outcome, corpus, slt, statement};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|argument| argument == "--check");
    arguments.retain(|argument| argument != "--check");
    let Some((dsn, files)) = arguments.split_first() else {
        eprintln!("usage: record [--check] DSN [FILE...]");
        return ExitCode::from(2);
    };
    match work(check, dsn, files).await {
        Ok(report) => {
            eprintln!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn work(check: bool, dsn: &str, files: &[String]) -> Outcome<String> {
    let session = Session::connect(dsn).await?;
    let version = session.value("SELECT version()").await?;
    if !version.starts_with("PostgreSQL 15") || version.contains("quickdb") {
        return Err(format!("answers come from PostgreSQL 15 only, this is {version}").into());
    }
    if check {
        return corpus::run_all(dsn, Engine::Postgres, &corpus::Gaps::none()).await;
    }
    let mut paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = corpus::slt_files()?;
        paths.extend(corpus::statement_files()?);
    }
    let mut report = String::new();
    for path in paths {
        let changed = record(dsn, &path).await.map_err(|error| format!("{}: {error}", path.display()))?;
        if changed > 0 {
            report.push_str(&format!("{}: {changed} changed\n", path.display()));
        }
    }
    Ok(report + "recorded")
}

async fn record(dsn: &str, path: &Path) -> Outcome<usize> {
    if path.extension().is_some_and(|end| end == "slt") {
        slt::record_file(dsn, path).await
    } else {
        statement::record_file(dsn, path).await
    }
}
