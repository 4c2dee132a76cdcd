//! The committed catalogue as one session sees it: with its temporary relations.

use std::sync::{Arc, Mutex, PoisonError};

use crate::catalogue::{CatalogueResult, CatalogueSnapshot, Change, Table, Temporary};
use crate::engine::Engine;

/// A session's temporary relations over the engine's catalogue.
pub(crate) struct Overlay {
    engine: Arc<Engine>,
    /// `None` until the session makes the first of them.
    state: Mutex<Option<State>>,
}

struct State {
    temporary: Temporary,
    /// Counts the changes of them, rows included.
    changes: u64,
    /// Those after which there were other relations.
    definitions: u64,
    composed: Option<Composed>,
}

/// A committed snapshot and what the session sees of it.
struct Composed {
    base: Arc<CatalogueSnapshot>,
    /// What it shows of the session.
    changes: u64,
    definitions: u64,
    seen: Arc<CatalogueSnapshot>,
}

impl Overlay {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        Self { engine: Arc::clone(engine), state: Mutex::default() }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<State>) -> T) -> T {
        // Nothing is half-done when something panics: a state is replaced as a whole.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The catalogue as of the last commit, with the session's own relations.
    pub(crate) fn committed(&self) -> Arc<CatalogueSnapshot> {
        let base = self.engine.snapshot();
        self.with(|state| match state {
            Some(state) => self.compose(state, base),
            None => base,
        })
    }

    fn compose(&self, state: &mut State, base: Arc<CatalogueSnapshot>) -> Arc<CatalogueSnapshot> {
        let catalogue = &self.engine.catalogue;
        let known = state.composed.as_ref();
        let current =
            |known: &&Composed| known.base.version == base.version && known.changes == state.changes;
        if let Some(known) = known.filter(current) {
            return Arc::clone(&known.seen);
        }
        let version = catalogue.next_version();
        let same = |known: &&Composed| {
            known.base.definitions == base.definitions && known.definitions == state.definitions
        };
        let definitions = known.filter(same).map_or(version, |known| known.seen.definitions);
        let seen = Arc::new(base.with_temporary(&state.temporary, version, definitions));
        // Files that only this session's relations name are kept as long as somebody holds the snapshot.
        catalogue.watch(&seen);
        let (changes, definitions) = (state.changes, state.definitions);
        state.composed = Some(Composed { base, changes, definitions, seen: Arc::clone(&seen) });
        seen
    }

    /// Gives the session its schema, where it has none: a snapshot without it, with it.
    ///
    /// # Errors
    /// Those of the catalogue's numbers.
    pub(crate) fn begin(
        &self,
        number: i32,
        owner: u32,
        over: &Arc<CatalogueSnapshot>,
    ) -> CatalogueResult<Arc<CatalogueSnapshot>> {
        let oid = self.engine.catalogue.allocate_oids(1)?;
        Ok(self.with(|state| {
            let temporary = Temporary::new(number, oid, owner);
            let fresh = State { temporary, changes: 0, definitions: 0, composed: None };
            let state = state.get_or_insert(fresh);
            self.compose(state, Arc::clone(over))
        }))
    }

    /// Which of the changes are about the session's own relations.
    pub(crate) fn own(&self, changes: &[Change]) -> Vec<bool> {
        self.with(|state| match state {
            Some(state) => state.temporary.own(changes),
            None => vec![false; changes.len()],
        })
    }

    /// Makes the session's relations those of its view, whose changes of them these are.
    pub(crate) fn take(&self, view: &CatalogueSnapshot, own: &[Change]) {
        if own.is_empty() {
            return;
        }
        self.with(|state| {
            let Some(state) = state else { return };
            let before = state.temporary.tables().len();
            state.temporary = state.temporary.committed(view);
            let defines = own.iter().any(Change::defines) || state.temporary.tables().len() != before;
            state.changes += 1;
            if defines {
                state.definitions = state.changes;
            }
            // Before the files' claims are given up.
            self.compose(state, self.engine.snapshot());
        });
        self.engine.claims.collect_soon();
    }

    /// The session's temporary tables.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        self.with(|state| state.as_ref().map(|state| state.temporary.tables().to_vec()).unwrap_or_default())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if !self.tables().is_empty() {
            self.with(Option::take);
            self.engine.claims.collect_soon();
        }
    }
}
