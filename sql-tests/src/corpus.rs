//! The files of expected answers, and running all of them against one server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use futures::StreamExt;

use crate::Outcome;
use crate::slt::{self, Engine};
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

/// Records that a server does not answer as PostgreSQL does yet, in `gaps/NAME.txt`: one a line, as
/// `file: statement`. The list can only shrink: a record that fails and is not in it is a failure, and so is
/// one that passes and is still in it. With `QUICKDB_RECORD_GAPS=1` a run writes the list instead.
#[derive(Debug)]
pub struct Gaps {
    path: PathBuf,
    known: BTreeSet<String>,
}

impl Gaps {
    /// Reads the list of a name; there are none where there is no file.
    pub fn named(name: &str) -> Outcome<Self> {
        let path = folder("gaps").join(format!("{name}.txt"));
        let text = if path.exists() { std::fs::read_to_string(&path)? } else { String::new() };
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self { path, known: lines.map(str::to_owned).collect() })
    }

    /// No gaps: what the reference has.
    pub fn none() -> Self {
        Self { path: PathBuf::new(), known: BTreeSet::new() }
    }

    fn write(&self, failed: &BTreeMap<String, String>) -> Outcome<()> {
        let mut text =
            "# Records of slt/ and statements/ that do not give PostgreSQL's answer yet.\n".to_owned();
        for key in failed.keys() {
            text.push_str(key);
            text.push('\n');
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(&self.path, text)?)
    }
}

/// Runs every file against a server and returns the report, as an error if it is not what `gaps` says.
pub async fn run_all(dsn: &str, engine: Engine, gaps: &Gaps) -> Outcome<String> {
    let started = Instant::now();
    let slt = slt_files()?.into_iter().map(|path| (path, true));
    let statements = statement_files()?.into_iter().map(|path| (path, false));
    let runs = slt.chain(statements).map(|(path, is_slt)| async move {
        let tally = if is_slt {
            slt::run_file(dsn, engine, &path).await
        } else {
            statement::run_file(dsn, &path).await
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, tally)
    });
    let (mut passed, mut failed, mut skipped, mut files) = (BTreeSet::new(), BTreeMap::new(), 0, 0);
    let mut running = futures::stream::iter(runs).buffered(FILES_AT_ONCE);
    while let Some((name, tally)) = running.next().await {
        files += 1;
        match tally {
            Ok(tally) => {
                skipped += tally.skipped;
                passed.extend(tally.passed.into_iter().map(|sql| format!("{name}: {sql}")));
                failed.extend(tally.failed.into_iter().map(|(sql, text)| (format!("{name}: {sql}"), text)));
            }
            Err(error) => {
                failed.insert(format!("{name}: (the whole file)"), format!("{name}: {error}"));
            }
        }
    }
    // A statement that stands in a file twice must pass both times.
    passed.retain(|key| !failed.contains_key(key));
    if std::env::var_os("QUICKDB_RECORD_GAPS").is_some() {
        gaps.write(&failed)?;
        return Ok(format!("{} gaps recorded in {}", failed.len(), gaps.path.display()));
    }
    let mut text = String::new();
    let unknown = failed.iter().filter(|(key, _)| !gaps.known.contains(*key));
    for (_, failure) in unknown.clone().take(SHOWN_FAILURES_MAX) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{failure}\n\n");
    }
    for key in passed.intersection(&gaps.known) {
        let _ = write!(text, "passes now; take it out of {}:\n{key}\n\n", gaps.path.display());
    }
    let report = format!(
        "{files} files: {} records passed, {} failed, {} known gaps, {skipped} skipped, {:.1} s",
        passed.len(),
        unknown.clone().count(),
        failed.len() - unknown.count(),
        started.elapsed().as_secs_f64()
    );
    if text.is_empty() && !passed.is_empty() { Ok(report) } else { Err((text + &report).into()) }
}
