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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use datafusion::common::DataFusionError;
use futures::future::join_all;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::WorkerId;
use quickdb_storage::{CatalogueCopy, CatalogueRun};
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
#[derive(Debug, Default)]
struct Holder {
    /// The run of the copy that it had when it was first seen; `None` inside when it had none.
    seen: Option<Option<CatalogueRun>>,
    refused: bool,
    has: Copy,
}

/// The copy that a worker has.
#[derive(Debug, Default)]
enum Copy {
    /// Nobody knows.
    #[default]
    Unknown,
    /// None: its disk is too full for one.
    Nothing,
    /// One that has this. The snapshot is kept, since the files that it names must stay.
    Of(Arc<CatalogueSnapshot>),
}

/// The place of a worker, so that none waits for another.
#[derive(Debug, Default)]
struct Place {
    /// The last attempt failed: it is upkeep's to try again, and commits do not wait for it.
    behind: AtomicBool,
    holder: tokio::sync::Mutex<Holder>,
}

/// The copies of one master's catalogue.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    places: Mutex<HashMap<WorkerId, Arc<Place>>>,
}

/// A copy that is made when the first worker needs it, for all of them.
type Made = tokio::sync::OnceCell<Option<(Arc<CatalogueCopy>, Arc<CatalogueSnapshot>)>>;

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
        self.bring_up(engine, of, false).await;
    }

    /// The same for the newest commit, and for workers that could not take their copy before.
    pub(crate) async fn keep_all(&self, engine: &Engine) {
        self.bring_up(engine, &engine.snapshot(), true).await;
    }

    /// Whether it is known what a worker's copy names, so that files that no snapshot names may be removed from it.
    pub(crate) fn are_known(&self, worker: WorkerId) -> bool {
        // One that is just taking a copy has its turn later.
        self.place(worker).holder.try_lock().is_ok_and(|holder| !matches!(holder.has, Copy::Unknown))
    }

    fn place(&self, worker: WorkerId) -> Arc<Place> {
        Arc::clone(self.places.lock().unwrap_or_else(PoisonError::into_inner).entry(worker).or_default())
    }

    async fn bring_up(&self, engine: &Engine, of: &CatalogueSnapshot, with_those_behind: bool) {
        let made = Made::new();
        let puts = engine.hosts().unwrap_or_default().into_iter().map(|(worker, host)| {
            let (place, made) = (self.place(worker), &made);
            async move {
                if with_those_behind || !place.behind.load(Ordering::Relaxed) {
                    place.bring_up(engine, worker, &host, of, made).await;
                }
            }
        });
        join_all(puts).await;
    }
}

impl Place {
    async fn bring_up(
        &self,
        engine: &Engine,
        worker: WorkerId,
        host: &ShardHost,
        of: &CatalogueSnapshot,
        made: &Made,
    ) {
        // Those that come while a copy is under way find it done, or make one for all of them.
        let mut holder = self.holder.lock().await;
        if holder.refused || matches!(&holder.has, Copy::Of(has) if has.version >= of.version) {
            return;
        }
        let made = made.get_or_init(|| async { make(engine) }).await;
        let Some((copy, snapshot)) = made else { return };
        let (has, failed) = match timeout(PUT_TIMEOUT, holder.take(engine, host, copy)).await {
            Ok(Ok(())) if holder.refused => (Copy::Unknown, None),
            Ok(Ok(())) => (Copy::Of(Arc::clone(snapshot)), None),
            Ok(Err(error)) if has_kind(&error, ErrorKind::DiskFull) => {
                (Copy::Nothing, Some(error.to_string()))
            }
            Ok(Err(error)) => (Copy::Unknown, Some(error.to_string())),
            Err(_) => (Copy::Unknown, Some("it does not answer".to_owned())),
        };
        let was_behind = self.behind.swap(failed.is_some(), Ordering::Relaxed);
        holder.has = has;
        if let Some(error) = failed.filter(|_| !was_behind) {
            warn!(?worker, error, "a worker has no present copy of the catalogue");
        }
    }
}

fn make(engine: &Engine) -> Option<(Arc<CatalogueCopy>, Arc<CatalogueSnapshot>)> {
    match engine.catalogue.copy() {
        Ok((copy, snapshot)) => Some((Arc::new(copy), snapshot)),
        Err(error) => {
            error!(%error, "the catalogue cannot be copied");
            None
        }
    }
}

impl Holder {
    /// Puts a copy on the worker, which is looked at before the first one.
    async fn take(
        &mut self,
        engine: &Engine,
        host: &ShardHost,
        copy: &Arc<CatalogueCopy>,
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
