//! Copies of the catalogue on the workers, beside the shards, from which `quickdb recover` makes it anew.
//!
//! ```text
//!  commit ─▶ SQLite ─┬─ rows of small writes alone ─▶ acknowledged; copied within a second (upkeep)
//!                    └─ anything else ─▶ copied to every worker that can be reached ─▶ acknowledged
//! ```
//!
//! **Invariant:** a copy is a state that the catalogue has had, and has all that was acknowledged until then but for
//! small writes of the last second: rows that were deleted do not come back from it.
//! **Invariant:** a worker whose shards are another catalogue's gets no copy, and no file of it is removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::common::DataFusionError;
use futures::future::join_all;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::WorkerId;
use quickdb_storage::CatalogueRun;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use crate::catalogue::{Catalogue, CatalogueResult, CatalogueSnapshot, Standing};
use crate::engine::Engine;

/// A worker that does not take a copy within this time does without for now.
const PUT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a worker's shards are not touched, as the end of a sentence that begins with the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There are shards that this catalogue has not written.
    Unknown {
        /// How many.
        shards: usize,
    },
    /// They are of another catalogue, or this one is an older state of theirs.
    Foreign,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown { shards } => write!(f, "holds {shards} shards that this catalogue did not write"),
            Self::Foreign => {
                write!(f, "holds shards of another catalogue, or of a later state of this one")
            }
        }
    }
}

/// What is known of a worker's copy.
#[derive(Debug, Clone, Default)]
struct Holder {
    /// The run of the copy that it had when it was first seen; `None` inside when it had none.
    seen: Option<Option<CatalogueRun>>,
    refused: bool,
    /// The catalogue as its copy has it. Kept, since the files that it names must stay.
    has: Option<Arc<CatalogueSnapshot>>,
    /// The last attempt failed: it is upkeep's to try again.
    behind: bool,
}

/// The copies of one master's catalogue.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    holders: Mutex<HashMap<WorkerId, Holder>>,
}

/// Whether a worker's shards are this catalogue's: the run of the copy that it has.
///
/// # Errors
/// The worker's; that of the catalogue. A [`Refusal`] inside when they are not.
pub(crate) async fn examine(
    catalogue: &Catalogue,
    host: &ShardHost,
) -> datafusion::common::Result<Result<Option<CatalogueRun>, Refusal>> {
    let copy = match host.catalogue_copy().await {
        Ok(copy) => copy,
        // Then it is known by its shards; the next copy replaces it.
        Err(error) if has_kind(&error, ErrorKind::Corrupt) => {
            warn!(%error, "the copy of the catalogue on a worker is damaged");
            None
        }
        Err(error) => return Err(error),
    };
    let run = match &copy {
        None => None,
        Some(copy) => match standing(catalogue.standing_of(copy))? {
            Standing::Own => Some(copy.run),
            Standing::Newer | Standing::Foreign => return Ok(Err(Refusal::Foreign)),
        },
    };
    if run.is_none() {
        let unknown = host.list().await?.shards.into_iter().filter(|shard| !catalogue.has_allocated(*shard));
        let shards = unknown.count();
        if shards > 0 {
            return Ok(Err(Refusal::Unknown { shards }));
        }
    }
    Ok(Ok(run))
}

fn standing(standing: CatalogueResult<Standing>) -> datafusion::common::Result<Standing> {
    standing.map_err(|error| crate::error::PgError::from(error).into())
}

fn has_kind(error: &DataFusionError, kind: ErrorKind) -> bool {
    ExecError::find(error).is_some_and(|error| error.kind == kind)
}

impl Copies {
    /// Has every worker that can be reached keep a copy that has at least the commits of `of`.
    pub(crate) async fn keep(&self, engine: &Engine, of: &CatalogueSnapshot) {
        self.bring_up(engine, |holder| {
            !holder.behind && holder.has.as_ref().is_none_or(|has| has.version < of.version)
        })
        .await;
    }

    /// The same for the newest commit, and for workers that could not take their copy before.
    pub(crate) async fn keep_all(&self, engine: &Engine) {
        let now = engine.snapshot();
        self.bring_up(engine, |holder| holder.has.as_ref().is_none_or(|has| has.version < now.version)).await;
    }

    /// Whether a worker's copy is of this master's run, so that files that no snapshot names may be removed from it.
    pub(crate) async fn has_copy(&self, worker: WorkerId) -> bool {
        self.holders.lock().await.get(&worker).is_some_and(|holder| holder.has.is_some())
    }

    async fn bring_up(&self, engine: &Engine, is_due: impl Fn(&Holder) -> bool) {
        let Ok(hosts) = engine.hosts() else { return };
        // Those that come while a copy is under way find it done, or make one for all of them.
        let mut holders = self.holders.lock().await;
        let is_due = |holder: &Holder| !holder.refused && is_due(holder);
        let due = hosts.into_iter().filter(|(worker, _)| holders.get(worker).is_none_or(&is_due));
        let due: Vec<(WorkerId, ShardHost)> = due.collect();
        if due.is_empty() {
            return;
        }
        let (copy, snapshot) = match engine.catalogue.copy() {
            Ok((copy, snapshot)) => (Arc::new(copy), snapshot),
            Err(error) => {
                error!(%error, "the catalogue cannot be copied");
                return;
            }
        };
        let puts = due.into_iter().map(|(worker, host)| {
            let mut holder = holders.get(&worker).cloned().unwrap_or_default();
            let copy = &copy;
            async move {
                let put = timeout(PUT_TIMEOUT, holder.take(engine, &host, copy));
                let failed = match put.await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(error.to_string()),
                    Err(_) => Some("it does not answer".to_owned()),
                };
                (worker, holder, failed)
            }
        });
        for (worker, mut holder, failed) in join_all(puts).await {
            match failed {
                None if holder.refused => {}
                None => {
                    holder.has = Some(Arc::clone(&snapshot));
                    holder.behind = false;
                }
                Some(error) => {
                    if !holder.behind {
                        warn!(?worker, error, "a worker has no present copy of the catalogue");
                    }
                    holder.has = None;
                    holder.behind = true;
                }
            }
            holders.insert(worker, holder);
        }
    }
}

impl Holder {
    /// Puts a copy on the worker, which is looked at before the first one.
    async fn take(
        &mut self,
        engine: &Engine,
        host: &ShardHost,
        copy: &Arc<quickdb_storage::CatalogueCopy>,
    ) -> datafusion::common::Result<()> {
        let seen = match self.seen {
            Some(seen) => seen,
            None => match examine(&engine.catalogue, host).await? {
                Ok(seen) => {
                    self.seen = Some(seen);
                    seen
                }
                Err(refusal) => {
                    error!(%refusal, "a worker's shards are left alone; see quickdb recover");
                    self.refused = true;
                    return Ok(());
                }
            },
        };
        match host.put_catalogue_copy(copy, seen).await {
            Err(error) if has_kind(&error, ErrorKind::OtherCatalogue) => {
                debug!(%error, "a worker is looked at again");
                self.seen = None;
                Err(error)
            }
            put => put,
        }
    }
}
