//! The files of expected answers, and running all of them against one server.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::StreamExt;

use crate::Outcome;
use crate::slt::{self, Engine, Tally};
use crate::statement;

/// Files that run at the same time, each on its own session: as much concurrency as a test can use on
/// two cores, and enough that sessions meet each other.
const FILES_AT_ONCE: usize = 4;

/// Failures that a report prints in full.
const SHOWN_FAILURES_MAX: usize = 200;

/// The sqllogictest files, in a fixed order.
pub fn slt_files() -> Outcome<Vec<PathBuf>> {
    files(&folder("slt"), "slt")
}

/// The statement files, in a fixed order.
pub fn statement_files() -> Outcome<Vec<PathBuf>> {
    files(&folder("statements"), "txt")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path, extension: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|end| end == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs every file against a server and returns the report, as an error if anything failed.
pub async fn run_all(dsn: &str, engine: Engine) -> Outcome<String> {
    let started = Instant::now();
    let slt = slt_files()?;
    let statements = statement_files()?;
    let files = slt.len() + statements.len();
    let runs =
        slt.into_iter().map(|path| (path, true)).chain(statements.into_iter().map(|path| (path, false))).map(
            |(path, is_slt)| async move {
                let tally = if is_slt {
                    slt::run_file(dsn, engine, &path).await
                } else {
                    statement::run_file(dsn, &path).await
                };
                tally.unwrap_or_else(|error| Tally {
                    failures: vec![format!("{}: {error}", path.display())],
                    ..Tally::default()
                })
            },
        );
    let mut total = Tally::default();
    let mut running = futures::stream::iter(runs).buffered(FILES_AT_ONCE);
    while let Some(tally) = running.next().await {
        total.add(tally);
    }
    let report = format!(
        "{} records in {files} files: {} passed, {} failed, {} skipped, {:.1} s",
        total.passed + total.failures.len() + total.skipped,
        total.passed,
        total.failures.len(),
        total.skipped,
        started.elapsed().as_secs_f64()
    );
    if total.failures.is_empty() && total.passed > 0 {
        return Ok(report);
    }
    let mut text = report.clone();
    for failure in total.failures.iter().take(SHOWN_FAILURES_MAX) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n\n{failure}");
    }
    let _ = write!(text, "\n\n{report}");
    Err(text.into())
}
