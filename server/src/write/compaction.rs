//! Small shards together, and shards of which much is deleted written anew.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::{ShardRef, WorkerId};
use quickdb_storage::{ShardId, ShardIdentity};

use super::sink::{SHARD_ROWS, sort_columns};
use crate::catalogue::{Change, Shard, Table};
use crate::engine::Engine;
use crate::error::PgError;
use crate::upkeep::Claim;

/// Metadata of a shard's schema: the numbers of the shards whose rows it has, in decimal and separated by commas. Only
/// whoever recovers a catalogue from shards alone reads it.
pub(crate) const REPLACES_KEY: &str = "quickdb.replaces";

/// A shard of fewer rows is small.
const SMALL_ROWS: u64 = 256 << 10;

/// A shard of which a larger part is deleted is written anew.
const DELETED_PART: f64 = 0.3;

/// What a compaction makes of some shards of a table.
pub(crate) struct Compacted {
    pub(crate) changes: Vec<Change>,
    pub(crate) claim: Option<Claim>,
    /// Shards that were read.
    pub(crate) inputs: usize,
}

/// The shards of a table that belong together best; none when the table is in order.
fn candidates(table: &Table, small_min: usize) -> Vec<&Shard> {
    // Shards with the same workers, in the same order, stay where their placement put them.
    let mut by_workers: BTreeMap<&[WorkerId], Vec<&Shard>> = BTreeMap::new();
    for shard in table.shards.iter() {
        if worn(shard) || shard.live_rows() < SMALL_ROWS {
            by_workers.entry(&shard.workers).or_default().push(shard);
        }
    }
    for shards in by_workers.into_values() {
        if shards.len() < small_min && !shards.iter().any(|shard| worn(shard)) {
            continue;
        }
        let mut rows = 0;
        let chosen = shards.into_iter().take_while(|shard| {
            rows += shard.live_rows();
            rows <= SHARD_ROWS
        });
        let chosen: Vec<&Shard> = chosen.collect();
        // One small shard alone would only be copied.
        if chosen.len() > 1 || chosen.iter().any(|shard| worn(shard)) {
            return chosen;
        }
    }
    Vec::new()
}

fn worn(shard: &Shard) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    let part = (shard.rows - shard.live_rows()) as f64 / (shard.rows.max(1)) as f64;
    part > DELETED_PART
}

/// Writes some shards of a table anew as one, where `small_min` small ones lie on the same workers or much of one is
/// deleted; `None` when the table is in order.
///
/// # Errors
/// A worker's.
pub(crate) async fn compact(
    engine: &Arc<Engine>,
    table: &Table,
    small_min: usize,
) -> Result<Option<Compacted>, PgError> {
    let chosen = candidates(table, small_min);
    let Some(first) = chosen.first() else { return Ok(None) };
    let removed = chosen.iter().map(|shard| (shard.id, shard.deletions)).collect();
    let mut changes = vec![Change::RemoveShards { table: table.id, shards: removed }];
    let inputs = chosen.len();
    if chosen.iter().all(|shard| shard.live_rows() == 0) {
        return Ok(Some(Compacted { changes, claim: None, inputs }));
    }
    let wrong = |error| PgError::from_datafusion(error, None);
    let hosts = engine.hosts().map_err(wrong)?;
    let holders: Vec<&(WorkerId, ShardHost)> =
        first.workers.iter().filter_map(|worker| hosts.iter().find(|(id, _)| id == worker)).collect();
    let [(worker, host), others @ ..] = holders.as_slice() else { return Ok(None) };
    let Some(id) = engine.catalogue.allocate_shard_ids(1)?.pop() else { return Ok(None) };
    let claim = engine.claims.claim(id.0);
    let identity = ShardIdentity { shard: id, table: table.id, table_name: table.full_name() };
    let sources = chosen.iter().map(|shard| ShardRef {
        shard: shard.id,
        deletions: shard.deletions.map(|deletions| deletions.version),
    });
    let inputs_text = chosen.iter().map(|shard| shard.id.0.to_string()).collect::<Vec<_>>().join(",");
    let metadata = HashMap::from([(REPLACES_KEY.to_owned(), inputs_text)]);
    let schema = Arc::new(table.arrow_schema().as_ref().clone().with_metadata(metadata));
    let report = host.compact(sources.collect(), identity, schema, sort_columns(table.definition())).await;
    let report = report.map_err(wrong)?;
    let mut workers = vec![*worker];
    for (other, copy) in others {
        copy.copy_from(host, ShardRef { shard: ShardId(id.0), deletions: None }).await.map_err(wrong)?;
        workers.push(*other);
    }
    let shard = Shard::of_report(&report, table.definition(), workers)?;
    changes.push(Change::AddShards { table: table.id, shards: vec![shard] });
    Ok(Some(Compacted { changes, claim: Some(claim), inputs }))
}
