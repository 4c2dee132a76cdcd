//! How the columns of shards are encoded, asked of the workers when `quickdb.shards` is read. A shard never changes, so
//! that each is asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::{COLUMN_KEY, WorkerId};
use quickdb_storage::ShardId;
use tracing::debug;

use crate::catalogue::{CatalogueSnapshot, Shard};
use crate::engine::Engine;

/// Shards that are asked for at once.
const QUESTIONS_MAX: usize = 16;

/// The encodings of a shard's columns, by their numbers in the table.
pub(crate) type Layout = HashMap<u32, Vec<String>>;

/// Layouts by shard; those of workers that cannot be reached are missing.
pub(crate) type LayoutsByShard = HashMap<ShardId, Arc<Layout>>;

/// The layouts that are known.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    known: Mutex<LayoutsByShard>,
}

impl Layouts {
    /// The layouts of all shards of a snapshot.
    pub(crate) async fn of(&self, engine: &Engine, snapshot: &CatalogueSnapshot) -> LayoutsByShard {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let hosts: HashMap<WorkerId, ShardHost> = engine.hosts().unwrap_or_default().into_iter().collect();
        let shards = snapshot.tables().iter().flat_map(|table| table.shards.iter());
        let asked = shards.map(|shard| async {
            let layout = match known.get(&shard.id) {
                Some(layout) => Some(Arc::clone(layout)),
                None => ask(&hosts, shard).await.map(Arc::new),
            };
            layout.map(|layout| (shard.id, layout))
        });
        let asked = futures::stream::iter(asked).buffer_unordered(QUESTIONS_MAX);
        let found: LayoutsByShard = asked.filter_map(futures::future::ready).collect().await;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        found
    }
}

/// Asks the workers of a shard in turn.
async fn ask(hosts: &HashMap<WorkerId, ShardHost>, shard: &Shard) -> Option<Layout> {
    for host in shard.workers.iter().filter_map(|worker| hosts.get(worker)) {
        let described = match host.describe(shard.id).await {
            Ok(described) => described,
            Err(error) => {
                debug!(%error, "a shard does not say how it is laid out");
                continue;
            }
        };
        let numbers = described.schema.fields().iter().zip(1..).map(|(field, position)| {
            let number = field.metadata().get(COLUMN_KEY).and_then(|number| number.parse().ok());
            number.unwrap_or(position)
        });
        return Some(numbers.zip(described.columns.into_iter().map(|column| column.encodings)).collect());
    }
    None
}
