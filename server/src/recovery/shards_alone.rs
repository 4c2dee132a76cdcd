//! A catalogue made of shards alone, where no copy of it is left.
//!
//! A shard's footer says which table it is of and what the table's columns were; a compacted one also which shards it
//! has replaced. That is less than a catalogue: whether a shard was ever committed, and whether its table was dropped
//! since, no footer says. Whoever recovers so is told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use quickdb_executor::shard_description::ShardDescription;
use quickdb_executor::table::{COLUMN_KEY, DeletionRef, MISSING_KEY, WorkerId};
use quickdb_storage::{ShardId, TableId};

use super::{Held, RecoveryError, line, summaries_of};
use crate::catalogue::{Catalogue, Change, NewTable, Shard, TableDefinition, is_temporary_schema};
use crate::master::Workers;
use crate::write::compaction::REPLACES_KEY;

/// One shard, wherever it lies.
struct Found {
    description: ShardDescription,
    /// Positions of its workers.
    holders: Vec<usize>,
    /// The newest deletion vector of all holders.
    deletions: Option<DeletionRef>,
}

/// Makes a catalogue at `path`; what is wrong with the shards. Files that become no part of it are left out.
pub(super) async fn make(
    path: &Path,
    workers: &Workers,
    held: &[Held],
) -> Result<Vec<String>, RecoveryError> {
    let mut problems = Vec::new();
    let mut shards = find(held, &mut problems).await;
    read_deletions(held, &mut shards, &mut problems).await;
    let replaced = replaced(&shards);
    // Those of temporary tables ended with their sessions.
    let is_temporary = |found: &Found| is_temporary_schema(&found.description.identity.table_name);
    shards.retain(|shard, found| !replaced.contains(shard) && !is_temporary(found));
    let catalogue = Catalogue::open(path)?;
    let addresses = match workers {
        Workers::Embedded { .. } => HashMap::new(),
        Workers::Remote { workers, .. } => workers.iter().cloned().collect(),
    };
    let mut numbers: Vec<WorkerId> = Vec::new();
    for worker in held {
        let address = addresses.get(&worker.name).map_or("in the master's process", String::as_str);
        numbers.push(catalogue.register_worker(&worker.name, address)?);
    }
    let mut tables: BTreeMap<TableId, Vec<Found>> = BTreeMap::new();
    for found in shards.into_values() {
        tables.entry(found.description.identity.table).or_default().push(found);
    }
    for (id, shards) in tables {
        let definition = define(&catalogue, id, &shards)?;
        let shards = shards.into_iter().map(|found| Shard {
            id: found.description.identity.shard,
            rows: found.description.rows,
            bytes: found.description.bytes,
            checksum: found.description.checksum,
            columns: Arc::new(summaries_of(&found.description)),
            deletions: found.deletions,
            workers: found.holders.iter().filter_map(|holder| numbers.get(*holder).copied()).collect(),
        });
        let rows = Change::AddShards { table: id, shards: shards.collect() };
        catalogue.commit(vec![Change::CreateTable(definition), rows])?;
    }
    Ok(problems)
}

/// Every shard that can be read.
async fn find(held: &[Held], problems: &mut Vec<String>) -> BTreeMap<ShardId, Found> {
    let mut shards: BTreeMap<ShardId, Found> = BTreeMap::new();
    for (holder, worker) in held.iter().enumerate() {
        for shard in &worker.holdings.shards {
            let description = match worker.host.describe(*shard).await {
                Ok(description) => description,
                Err(error) => {
                    problems.push(line(error));
                    continue;
                }
            };
            let found = shards.entry(*shard).or_insert_with(|| Found {
                description: description.clone(),
                holders: Vec::new(),
                deletions: None,
            });
            if found.description.checksum == description.checksum {
                found.holders.push(holder);
            } else {
                problems.push(format!(
                    "shard {shard} on worker \"{}\" is another one than on the workers before it; it is left out there",
                    worker.name
                ));
            }
        }
    }
    shards
}

/// Finds the newest deletion vector of each shard; holders that lack it do not count.
async fn read_deletions(held: &[Held], shards: &mut BTreeMap<ShardId, Found>, problems: &mut Vec<String>) {
    for (shard, found) in shards {
        let versions = found.holders.iter().filter_map(|holder| held.get(*holder)).flat_map(|worker| {
            worker.holdings.deletions.iter().filter(|id| id.shard == *shard).map(|id| id.version)
        });
        let Some(version) = versions.max() else { continue };
        let mut having = Vec::new();
        for holder in found.holders.iter().copied() {
            let Some(worker) = held.get(holder) else { continue };
            match worker.host.get_deletions(*shard, version).await {
                Ok(rows) => {
                    found.deletions = Some(DeletionRef { version, rows: rows.len() });
                    having.push(holder);
                }
                Err(error) => problems.push(line(error)),
            }
        }
        if having.is_empty() {
            problems.push(format!(
                "no deletion vector {version} of shard {shard} can be read: deleted rows come back"
            ));
        } else {
            found.holders = having;
        }
    }
}

/// The shards whose rows lie in another one. A compaction is either what its inputs were before it, or was not
/// committed since somebody deleted rows of them meanwhile: then it is the one that goes.
fn replaced(shards: &BTreeMap<ShardId, Found>) -> HashSet<ShardId> {
    let mut replaced = HashSet::new();
    for (output, found) in shards {
        let text = found.description.schema.metadata().get(REPLACES_KEY).map_or("", String::as_str);
        let inputs: Vec<ShardId> = text.split(',').filter_map(|id| id.parse().ok().map(ShardId)).collect();
        let deleted_since = inputs.iter().filter_map(|input| shards.get(input)?.deletions);
        if deleted_since.into_iter().any(|deletions| deletions.version > output.0) {
            replaced.insert(*output);
        } else {
            replaced.extend(inputs);
        }
    }
    replaced
}

/// The table as its newest shard has it.
fn define(
    catalogue: &Catalogue,
    id: TableId,
    shards: &[Found],
) -> Result<Arc<TableDefinition>, RecoveryError> {
    let newest = shards.iter().map(|found| &found.description).max_by_key(|found| found.identity.shard);
    let newest = newest.ok_or(RecoveryError::NoCopy { shards: 0 })?;
    let (schema, name) = newest.identity.table_name.split_once('.').unwrap_or(("public", "recovered"));
    if catalogue.snapshot().schema(schema).is_none() {
        catalogue.create_schema(schema, crate::catalogue::Role::FIRST)?;
    }
    // A table that was dropped and made again has another number and the same name.
    let mut name = name.to_owned();
    while catalogue.snapshot().table(schema, &name).is_some() {
        name.push_str("_older");
    }
    let table = NewTable::of_arrow(id, schema, &name, &newest.schema)?;
    let copies = shards.iter().map(|found| found.holders.len()).min().unwrap_or(1);
    let defined = table.define(catalogue, &catalogue.snapshot())?;
    Ok(defined.altered(|table| {
        table.options.replicas = u32::try_from(copies).unwrap_or(1).max(1);
        for (column, field) in table.columns.iter_mut().zip(newest.schema.fields()) {
            let metadata = field.metadata();
            if let Some(number) = metadata.get(COLUMN_KEY).and_then(|number| number.parse().ok()) {
                column.number = number;
            }
            column.missing = metadata.get(MISSING_KEY).cloned();
        }
        table.next_column = table.columns.iter().map(|column| column.number).max().unwrap_or(0) + 1;
    }))
}
