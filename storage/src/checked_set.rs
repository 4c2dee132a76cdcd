//! Which chunks of a shard have been checked since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

/// A set of chunk numbers that only grows and that any number of threads may use at once.
pub(crate) struct CheckedSet {
    words: Box<[AtomicU64]>,
}

impl CheckedSet {
    /// An empty set of numbers below `len`.
    pub(crate) fn new(len: usize) -> Self {
        Self { words: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// False for numbers out of range. Relaxed, since the checked bytes were there before any thread started: all that
    /// a stale answer costs is a second check.
    pub(crate) fn contains(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }

    pub(crate) fn insert(&self, number: usize) {
        if let Some(word) = self.words.get(number / 64) {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_apart() {
        let set = CheckedSet::new(130);
        for number in [0, 63, 64, 129] {
            assert!(!set.contains(number));
            set.insert(number);
            assert!(set.contains(number));
        }
        assert!(!set.contains(1) && !set.contains(128) && !set.contains(1000));
    }
}
