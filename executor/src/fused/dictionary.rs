//! One numbering for the values of a text column in all shards of a query.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, StringViewArray};
use datafusion::common::hash_utils::RandomState;
use datafusion::error::Result;
use quickdb_storage::{Encoding, ShardId};
use rayon::slice::ParallelSliceMut;

use crate::store::ShardStore;
use crate::view::ShardView;

/// Dictionaries of several shards are put together while they have at most this many entries in all: one thread does
/// it before the first row is read, so that beyond some size grouping by the strings themselves is ahead.
const ENTRIES_MAX: usize = 4 << 20;

/// The values of a text column in all shards of a query, sorted by their bytes, so that ids compare as the strings.
#[derive(Debug)]
pub(super) struct GlobalDictionary {
    values: Arc<StringViewArray>,
    /// For each shard the id of every code of its own dictionary; absent where the code is the id.
    ids: HashMap<ShardId, Vec<u32>>,
}

impl GlobalDictionary {
    /// The dictionary of `column` over all chunks that a query reads; `None` when a chunk has none or they are too
    /// large to be put together.
    pub(super) fn build(
        store: &ShardStore,
        row_groups: &[(Arc<ShardView>, usize)],
        column: usize,
    ) -> Result<Option<Self>> {
        let Some(parts) = shard_dictionaries(store, row_groups, column)? else { return Ok(None) };
        if let [(_, only)] = parts.as_slice() {
            return Ok(Some(Self { values: Arc::clone(only), ids: HashMap::new() }));
        }
        let entries_count: usize = parts.iter().map(|(_, dictionary)| dictionary.len()).sum();
        if entries_count > ENTRIES_MAX {
            return Ok(None);
        }
        // Equal values are found by hashing, and only the different ones are sorted: shards mostly share theirs.
        let mut numbers: HashMap<&str, u32, RandomState> = HashMap::with_hasher(RandomState::default());
        let mut found: Vec<(&str, u32)> = vec![];
        let mut ids: Vec<Vec<u32>> = Vec::with_capacity(parts.len());
        for (_, dictionary) in &parts {
            let part = (0..dictionary.len()).map(|code| {
                let value = dictionary.value(code);
                *numbers.entry(value).or_insert_with(|| {
                    let number = u32::try_from(found.len()).unwrap_or(u32::MAX);
                    found.push((value, number));
                    number
                })
            });
            ids.push(part.collect());
        }
        found.par_sort_unstable();
        let mut ranks = vec![0u32; found.len()];
        for (rank, (_, number)) in (0u32..).zip(&found) {
            if let Some(slot) = ranks.get_mut(*number as usize) {
                *slot = rank;
            }
        }
        for id in ids.iter_mut().flatten() {
            *id = ranks.get(*id as usize).copied().unwrap_or(0);
        }
        let values = found.iter().map(|(value, _)| *value);
        let values = Arc::new(StringViewArray::from_iter_values(values));
        // Shards that have all values number them alike.
        let differs = |ids: &Vec<u32>| (0..).zip(ids).any(|(code, id)| code != *id);
        let ids = parts.iter().map(|(shard, _)| *shard).zip(ids).filter(|(_, ids)| differs(ids)).collect();
        Ok(Some(Self { values, ids }))
    }

    /// How many different values there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The values by id.
    pub(super) fn values(&self) -> &Arc<StringViewArray> {
        &self.values
    }

    /// The id of each code of a shard's dictionary; `None` when they are the same.
    pub(super) fn ids(&self, shard: ShardId) -> Option<&[u32]> {
        self.ids.get(&shard).map(Vec::as_slice)
    }
}

type ShardDictionaries = Vec<(ShardId, Arc<StringViewArray>)>;

/// The dictionary of each shard that has one; `None` when a chunk holds its strings in another way. A shard of which
/// every chunk is NULL has none and needs none.
fn shard_dictionaries(
    store: &ShardStore,
    row_groups: &[(Arc<ShardView>, usize)],
    column: usize,
) -> Result<Option<ShardDictionaries>> {
    let mut parts: ShardDictionaries = vec![];
    for (shard, row_group) in row_groups {
        match shard.encoding(*row_group, column) {
            Encoding::AllNull => continue,
            Encoding::Dictionary => {}
            _ => return Ok(None),
        }
        let id = shard.identity().shard;
        if parts.last().is_some_and(|(last, _)| *last == id) {
            continue;
        }
        match shard.dictionary(column).map_err(|error| store.explain(error))? {
            Some(dictionary) => parts.push((id, dictionary)),
            None => return Ok(None),
        }
    }
    Ok(Some(parts))
}
