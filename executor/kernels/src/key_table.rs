//! A hash table from 64-bit keys to group ids that count up from zero.

/// Slots that a new table has.
const SLOTS_MIN: usize = 1024;

/// No group: an empty slot.
const EMPTY: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    id: u32,
}

/// Open addressing with linear probing, at most half full; the key lies in the slot, so that a hit touches one
/// cache line. Ids are given in order of first sight.
#[derive(Debug, Clone)]
pub struct KeyTable {
    slots: Vec<Slot>,
    keys: Vec<u64>,
    /// `64 - log2(slots.len())`: the top bits of the hash are the slot.
    shift: u32,
}

impl Default for KeyTable {
    fn default() -> Self {
        Self::new()
    }
}

/// The hash of a key. Its top bits choose the slot in a table; the bottom bits are free to choose among tables.
///
/// The top half of a widening product is folded on the bottom half, so that every bit of the key reaches both ends.
#[inline(always)]
pub fn hash(key: u64) -> u64 {
    // 2^64 divided by the golden ratio, made odd.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(key ^ (key >> 32)) * u128::from(GOLDEN);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    let (low, high) = (product as u64, (product >> 64) as u64);
    (low ^ high).wrapping_mul(GOLDEN)
}

impl KeyTable {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            slots: vec![Slot { key: 0, id: EMPTY }; SLOTS_MIN],
            keys: Vec::new(),
            shift: 64 - SLOTS_MIN.trailing_zeros(),
        }
    }

    /// The keys in the order of their ids.
    pub fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// How many different keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key was ever added.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.keys.capacity() * size_of::<u64>()
    }

    /// Replaces `ids` by the id of every key, giving new ids to keys not seen before.
    ///
    /// # Panics
    /// When there would be `u32::MAX` different keys or more.
    pub fn ids(&mut self, keys: &[u64], ids: &mut Vec<u32>) {
        ids.clear();
        ids.reserve(keys.len());
        for &key in keys {
            ids.push(self.id(key));
        }
    }

    /// The id of one key, new or known.
    ///
    /// # Panics
    /// When there would be `u32::MAX` different keys or more.
    #[inline]
    pub fn id(&mut self, key: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut at = (hash(key) >> self.shift) as usize;
        loop {
            let slot = self.slots[at & mask];
            if slot.id == EMPTY {
                return self.add(key, at & mask);
            }
            if slot.key == key {
                return slot.id;
            }
            at += 1;
        }
    }

    #[cold]
    fn add(&mut self, key: u64, at: usize) -> u32 {
        let id = u32::try_from(self.keys.len()).unwrap_or(EMPTY);
        assert!(id < EMPTY, "too many groups for 32-bit ids");
        self.keys.push(key);
        self.slots[at] = Slot { key, id };
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        id
    }

    fn grow(&mut self) {
        let size = self.slots.len() * 4;
        let mask = size - 1;
        self.shift = 64 - size.trailing_zeros();
        self.slots = vec![Slot { key: 0, id: EMPTY }; size];
        for (id, &key) in (0u32..).zip(&self.keys) {
            let mut at = (hash(key) >> self.shift) as usize;
            while self.slots[at & mask].id != EMPTY {
                at += 1;
            }
            self.slots[at & mask] = Slot { key, id };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn ids_count_up_in_order_of_first_sight(keys in prop::collection::vec(0u64..5000, 0..6000)) {
            let (mut table, mut ids) = (KeyTable::new(), vec![]);
            table.ids(&keys, &mut ids);
            let mut seen = HashMap::new();
            for (&key, &id) in keys.iter().zip(&ids) {
                let next = seen.len() as u32;
                prop_assert_eq!(id, *seen.entry(key).or_insert(next));
                prop_assert_eq!(table.keys()[id as usize], key);
            }
            prop_assert_eq!(table.len(), seen.len());
        }
    }

    #[test]
    fn keys_that_differ_only_in_high_bits_stay_apart() {
        let mut table = KeyTable::new();
        let ids: Vec<u32> = (0..64).map(|bit| table.id(1 << bit)).collect();
        assert_eq!(ids, (0..64).collect::<Vec<u32>>());
        assert_eq!(table.id(1 << 63), 63);
    }
}
