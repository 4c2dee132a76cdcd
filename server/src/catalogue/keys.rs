//! Unique keys that commits have added of late, so that two sessions do not add the same one at once.
//!
//! A session checks its rows against the tables that it sees; what others commit meanwhile it does not see. So each
//! commit of rows with unique keys says which keys they are and after which commit it has looked; one that comes after
//! another with the same key is a conflict.

use std::sync::Arc;

/// Additions that are remembered. A session that looked before the first of them has to look again.
const REMEMBERED_MAX: usize = 1_024;

/// Keys of one statement's rows.
#[derive(Debug, Clone)]
pub struct AddedKeys {
    /// How many additions the table had when its rows were looked at.
    pub seen: u64,
    /// Whose they are: those of one transaction do not disturb each other.
    pub by: u64,
    /// Hashes of the keys; `None` for any.
    pub hashes: Option<Arc<Vec<u64>>>,
}

/// The last additions of a table.
#[derive(Debug, Clone, Default)]
pub struct KeyLog {
    additions: u64,
    recent: Arc<Vec<Arc<AddedKeys>>>,
}

impl KeyLog {
    /// How many additions there were.
    pub fn additions(&self) -> u64 {
        self.additions
    }

    /// The log with one more; `None` when another one may have the same key.
    pub(super) fn with(&self, added: &AddedKeys) -> Option<Self> {
        let first = self.additions - self.recent.len() as u64;
        let unseen = self.recent.iter().zip(first..).filter(|(_, number)| *number >= added.seen);
        let others: Vec<_> = unseen.map(|(known, _)| known).filter(|known| known.by != added.by).collect();
        if added.seen < first && self.recent.iter().any(|known| known.by != added.by) {
            return None;
        }
        let meets = |known: &Arc<AddedKeys>| match (&known.hashes, &added.hashes) {
            (Some(known), Some(new)) => known.iter().any(|hash| new.contains(hash)),
            _ => true,
        };
        if others.into_iter().any(meets) {
            return None;
        }
        let mut recent = Vec::with_capacity(self.recent.len() + 1);
        let skipped = (self.recent.len() + 1).saturating_sub(REMEMBERED_MAX);
        // Half of them at once, so that the list is not copied for nothing each time.
        let skipped = if skipped > 0 { REMEMBERED_MAX / 2 } else { 0 };
        recent.extend(self.recent.iter().skip(skipped).cloned());
        recent.push(Arc::new(added.clone()));
        Some(Self { additions: self.additions + 1, recent: Arc::new(recent) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(seen: u64, by: u64, hashes: &[u64]) -> AddedKeys {
        AddedKeys { seen, by, hashes: Some(Arc::new(hashes.to_vec())) }
    }

    #[test]
    fn the_same_key_of_another_session_is_a_conflict_unless_it_was_seen() {
        let log = KeyLog::default().with(&added(0, 1, &[1, 2])).unwrap();
        assert!(log.with(&added(0, 2, &[2, 3])).is_none());
        assert!(log.with(&added(1, 2, &[2, 3])).is_some());
        assert!(log.with(&added(0, 2, &[3])).is_some());
        assert!(log.with(&added(0, 1, &[1])).is_some());
        assert!(log.with(&AddedKeys { seen: 0, by: 2, hashes: None }).is_none());
    }
}
