//! A lost catalogue made anew from what lies on the workers.
//!
//! ```text
//!  workers ── copies of the catalogue ─▶ the newest ─▶ a new file beside the place of the lost one
//!          ── shards ─▶ compared with it; what only their footers know ─▶ completes it ─▶ rename
//! ```
//!
//! Nothing on the workers changes. The first start of the master finds its shards under the new catalogue, gives the
//! workers new copies and removes what the catalogue does not name.

mod shards_alone;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quickdb_executor::shard_description::ShardDescription;
use quickdb_executor::shards::{Holdings, ShardHost};
use quickdb_executor::table::{COLUMN_KEY, WorkerId};
use quickdb_storage::{CatalogueCopy, ColumnSummary, ShardId};

use crate::catalogue::{
    Catalogue, CatalogueError, CatalogueSnapshot, LeftOut, Shard, Standing, Table, complete, restore,
};
use crate::error::PgError;
use crate::master::{ServerError, Workers, unnumbered_hosts};

/// What is to be recovered.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Where the catalogue was and is to be.
    pub catalogue: PathBuf,
    /// Where the shards are.
    pub workers: Workers,
    /// Where no worker has a copy of the catalogue, make one of the shards alone.
    pub from_shards: bool,
    /// Only look.
    pub dry_run: bool,
}

/// What was found on the workers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What the catalogue is made of.
    pub source: Source,
    /// The tables by name.
    pub tables: Vec<FoundTable>,
    /// Views.
    pub views: usize,
    /// Roles.
    pub roles: usize,
    /// Rows of small writes that the copy does not have.
    pub left_out: Vec<String>,
    /// Files that are part of no table: replaced, dropped, or never committed.
    pub leftovers: usize,
    /// What is missing or damaged.
    pub problems: Vec<String>,
}

/// What a catalogue is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Source {
    /// The newest copy of the lost one.
    Copy {
        /// The worker that has it.
        worker: String,
        /// The last commit that it has.
        commit: u64,
    },
    /// The footers of shards.
    #[default]
    Shards,
}

/// A table that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// Schema and name.
    pub name: String,
    /// Its rows without the deleted ones.
    pub rows: u64,
    /// Rows of these that small writes put into the catalogue itself.
    pub logged_rows: u64,
    /// Its shards.
    pub shards: usize,
    /// The copies of the shard that has the fewest.
    pub copies: usize,
}

/// Why nothing is recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// There is a catalogue that is in use.
    #[error(
        "{} has {tables} tables and views; to recover all the same, move it away first: mv {} {}.old",
        path.display(), path.display(), path.display()
    )]
    Exists {
        /// The file.
        path: PathBuf,
        /// What it has.
        tables: usize,
    },
    /// There is a file that is no catalogue or cannot be read.
    #[error("{what}; to recover a new catalogue, move the file away first: mv {} {}.old", path.display(), path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A worker does not answer, and may have the newest copy.
    #[error("worker \"{worker}\" cannot be asked: {what}; start it, or leave it out of the configuration")]
    Worker {
        /// The worker.
        worker: String,
        /// What is wrong with it.
        what: String,
    },
    /// No worker has a copy of a catalogue.
    #[error(
        "no worker has a copy of the catalogue that can be read; --from-shards makes one of their {shards} shards \
         alone, without views, comments, defaults, keys, roles and the rows of small writes; tables that were dropped \
         and rows that were not committed may come back where their files are still there"
    )]
    NoCopy {
        /// How many shards there are.
        shards: usize,
    },
    /// Two workers belong to different catalogues.
    #[error(
        "the shards of workers \"{one}\" and \"{other}\" are of different catalogues; recover with the workers of one"
    )]
    Disagree {
        /// The one.
        one: String,
        /// The other.
        other: String,
    },
    /// The new catalogue cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The catalogue cannot be made.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The workers cannot be set up as configured.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// A worker and what lies on it.
struct Held {
    name: String,
    host: ShardHost,
    holdings: Holdings,
    copy: Option<CatalogueCopy>,
}

/// Makes the catalogue anew, or with `dry_run` says what there is.
///
/// # Errors
/// See [`RecoveryError`]; nothing has changed then.
pub async fn recover(recovery: &Recovery) -> Result<Findings, RecoveryError> {
    refuse_existing(&recovery.catalogue)?;
    let (held, damaged) = ask(&recovery.workers).await?;
    let shards = held.iter().map(|held| held.holdings.shards.len()).sum();
    let newest = held.iter().filter_map(|held| Some((held, held.copy.as_ref()?)));
    let newest = newest.max_by_key(|(_, copy)| copy.commit);
    if newest.is_none() && !recovery.from_shards {
        return Err(RecoveryError::NoCopy { shards });
    }
    let unfinished = with_suffix(&recovery.catalogue, ".recovering");
    remove_database(&unfinished)?;
    let made = match newest {
        Some((holder, copy)) => make(&unfinished, holder, copy, &held).await,
        None => make_of_shards(&unfinished, &recovery.workers, &held).await,
    };
    let findings = made.and_then(|mut findings| {
        findings.problems.splice(0..0, damaged);
        if !recovery.dry_run {
            put_in_place(&unfinished, &recovery.catalogue)?;
        }
        Ok(findings)
    });
    if findings.is_err() || recovery.dry_run {
        remove_database(&unfinished)?;
    }
    findings
}

/// A catalogue without tables, as the first start of a server makes it, may be replaced; nothing else.
fn refuse_existing(path: &Path) -> Result<(), RecoveryError> {
    if !path.exists() {
        return Ok(());
    }
    let unusable =
        |error: CatalogueError| RecoveryError::Unusable { path: path.to_path_buf(), what: error.to_string() };
    let snapshot = Catalogue::open(path).map_err(unusable)?.snapshot();
    match snapshot.tables().len() + snapshot.views.len() {
        0 => Ok(()),
        tables => Err(RecoveryError::Exists { path: path.to_path_buf(), tables }),
    }
}

/// What lies on each worker, and what is wrong with copies that cannot be read.
async fn ask(workers: &Workers) -> Result<(Vec<Held>, Vec<String>), RecoveryError> {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    for (name, host) in unnumbered_hosts(workers)? {
        let failed = |error| RecoveryError::Worker { worker: name.clone(), what: line(error) };
        let holdings = host.list().await.map_err(failed)?;
        let copy = match host.catalogue_copy().await {
            Ok(copy) => copy,
            Err(error) => {
                damaged.push(line(error));
                None
            }
        };
        all.push(Held { name, host, holdings, copy });
    }
    Ok((all, damaged))
}

fn line(error: datafusion::common::DataFusionError) -> String {
    PgError::from_datafusion(error, None).message
}

/// Writes the catalogue of a copy, completed by what the shards say.
async fn make(
    path: &Path,
    holder: &Held,
    copy: &CatalogueCopy,
    all: &[Held],
) -> Result<Findings, RecoveryError> {
    let left_out = restore(&copy.content, path)?;
    let catalogue = Catalogue::open(path)?;
    for other in all {
        let Some(others) = &other.copy else { continue };
        if catalogue.standing_of(others)? != Standing::Own {
            let (one, other) = (holder.name.clone(), other.name.clone());
            return Err(RecoveryError::Disagree { one, other });
        }
    }
    let snapshot = catalogue.snapshot();
    drop(catalogue);
    let mut seen = Inventory::new(&snapshot, all);
    for table in snapshot.tables() {
        for shard in table.shards.iter() {
            seen.look_at(table, shard).await;
        }
    }
    finish(path, seen, Source::Copy { worker: holder.name.clone(), commit: copy.commit }, &left_out)
}

/// The same from shards alone.
async fn make_of_shards(path: &Path, workers: &Workers, held: &[Held]) -> Result<Findings, RecoveryError> {
    let problems = shards_alone::make(path, workers, held).await?;
    let snapshot = Catalogue::open(path)?.snapshot();
    let mut seen = Inventory::new(&snapshot, held);
    seen.problems = problems;
    for table in snapshot.tables() {
        for shard in table.shards.iter() {
            seen.look_at(table, shard).await;
        }
    }
    finish(path, seen, Source::Shards, &[])
}

/// Completes a catalogue, and says what it has.
fn finish(
    path: &Path,
    seen: Inventory<'_>,
    source: Source,
    left_out: &[LeftOut],
) -> Result<Findings, RecoveryError> {
    complete(path, &seen.summaries, seen.end())?;
    // Opened once more, so that nothing is left in its log when the file gets its name.
    let completed = Catalogue::open(path)?.snapshot();
    let found = |table: &Arc<Table>| FoundTable {
        name: table.full_name(),
        rows: table.shards.iter().map(Shard::live_rows).sum::<u64>() + table.log.rows(),
        logged_rows: table.log.rows(),
        shards: table.shards.len(),
        copies: table.shards.iter().map(|shard| shard.workers.len()).min().unwrap_or_default(),
    };
    let mut tables: Vec<FoundTable> = completed.tables().iter().map(found).collect();
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Findings {
        source,
        tables,
        views: completed.views.len(),
        roles: completed.roles.len(),
        left_out: left_out.iter().map(|left| left_out_line(&completed, left)).collect(),
        leftovers: seen.leftovers(),
        problems: seen.problems,
    })
}

fn left_out_line(snapshot: &CatalogueSnapshot, left: &LeftOut) -> String {
    let table = snapshot.tables().iter().find(|table| table.id.0 == left.table);
    let name = table.map_or_else(|| format!("table {}", left.table), |table| table.full_name());
    format!("{name}: the rows of {} small writes ({} bytes)", left.writes, left.bytes)
}

/// The files of all workers, compared with a catalogue.
struct Inventory<'a> {
    workers: HashMap<WorkerId, Option<&'a Held>>,
    names: HashMap<WorkerId, &'a str>,
    all: &'a [Held],
    /// Files that belong to a table, by the name of their worker.
    named: HashSet<(&'a str, ShardId, Option<u64>)>,
    summaries: Vec<(ShardId, Vec<(u32, ColumnSummary)>)>,
    problems: Vec<String>,
}

impl<'a> Inventory<'a> {
    fn new(snapshot: &'a CatalogueSnapshot, all: &'a [Held]) -> Self {
        let held = |name: &str| all.iter().find(|held| held.name == name);
        Self {
            workers: snapshot.workers.iter().map(|worker| (worker.id, held(&worker.name))).collect(),
            names: snapshot.workers.iter().map(|worker| (worker.id, worker.name.as_str())).collect(),
            all,
            named: HashSet::new(),
            summaries: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Compares one shard with its copies.
    async fn look_at(&mut self, table: &Table, shard: &Shard) {
        let mut summaries = None;
        for worker in &shard.workers {
            let name = self.names.get(worker).copied().unwrap_or_default();
            let Some(held) = self.workers.get(worker).copied().flatten() else {
                self.problem(table, shard, format!("worker \"{name}\" is not among the configured ones"));
                continue;
            };
            self.named.insert((&held.name, shard.id, None));
            match held.host.describe(shard.id).await {
                Ok(found) if !is_it(&found, table, shard) => {
                    self.problem(table, shard, format!("worker \"{name}\" has another shard of this number"));
                }
                Ok(found) => summaries = summaries.or_else(|| Some(summaries_of(&found))),
                Err(error) => self.problem(table, shard, line(error)),
            }
            let Some(deletions) = shard.deletions else { continue };
            self.named.insert((&held.name, shard.id, Some(deletions.version)));
            match held.host.get_deletions(shard.id, deletions.version).await {
                Ok(rows) if rows.len() != deletions.rows => {
                    let what = format!("worker \"{name}\" has another deletion vector of this number");
                    self.problem(table, shard, what);
                }
                Ok(_) => {}
                Err(error) => self.problem(table, shard, line(error)),
            }
        }
        match summaries {
            Some(summaries) => self.summaries.push((shard.id, summaries)),
            // Its rows are missed by whoever reads the table, with an error that names the shard.
            None => {
                let what = format!("no copy can be read: {} rows are lost", shard.live_rows());
                self.problem(table, shard, what);
                let unknown = |column: &crate::catalogue::Column| {
                    let summary = ColumnSummary {
                        null_count: shard.rows,
                        nan_count: 0,
                        min: None,
                        max: None,
                        distinct: None,
                    };
                    (column.number, summary)
                };
                self.summaries.push((shard.id, table.columns.iter().map(unknown).collect()));
            }
        }
    }

    fn problem(&mut self, table: &Table, shard: &Shard, what: String) {
        self.problems.push(format!("{}, shard {}: {what}", table.full_name(), shard.id));
    }

    /// Files of no table.
    fn leftovers(&self) -> usize {
        let files = |held: &'a Held| {
            let shards = held.holdings.shards.iter().map(|shard| (*shard, None));
            let vectors = held.holdings.deletions.iter().map(|id| (id.shard, Some(id.version)));
            shards.chain(vectors).map(|(shard, version)| (held.name.as_str(), shard, version))
        };
        self.all.iter().flat_map(files).filter(|file| !self.named.contains(file)).count()
    }

    /// One more than the largest number of a file.
    fn end(&self) -> u64 {
        let numbers = self.all.iter().flat_map(|held| {
            let vectors = held.holdings.deletions.iter().map(|id| id.version);
            held.holdings.shards.iter().map(|shard| shard.0).chain(vectors)
        });
        numbers.max().unwrap_or_default().saturating_add(1)
    }
}

fn is_it(found: &ShardDescription, table: &Table, shard: &Shard) -> bool {
    (found.identity.table, found.rows, found.checksum) == (table.id, shard.rows, shard.checksum)
}

/// The summaries of a shard's columns by their numbers in the table. Shards from before columns had numbers have those
/// that their table was created with.
fn summaries_of(found: &ShardDescription) -> Vec<(u32, ColumnSummary)> {
    let numbers = found.schema.fields().iter().zip(1_u32..).map(|(field, position)| {
        let number = field.metadata().get(COLUMN_KEY).and_then(|number| number.parse().ok());
        number.unwrap_or(position)
    });
    numbers.zip(found.columns.iter().map(|column| column.summary.clone())).collect()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The file of a database and those that SQLite puts beside it.
fn database_files(path: &Path) -> [PathBuf; 4] {
    ["", "-wal", "-shm", "-journal"].map(|suffix| with_suffix(path, suffix))
}

fn remove_database(path: &Path) -> Result<(), RecoveryError> {
    for path in database_files(path) {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(RecoveryError::Write { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives the new catalogue the name of the lost one, durably.
fn put_in_place(unfinished: &Path, path: &Path) -> Result<(), RecoveryError> {
    // The log of a catalogue that is replaced must not be taken for the new one's.
    remove_database(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(unfinished)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(unfinished, path))
        .and_then(|()| fs::File::open(folder))
        .and_then(|folder| folder.sync_all())
        .map_err(|source| RecoveryError::Write { path: path.to_path_buf(), source })
}
