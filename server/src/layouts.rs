//! How the columns of shards are encoded, asked of the workers when `quickdb.shards` is read. A shard never changes, so
//! that each is asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::{COLUMN_KEY, WorkerId};
use quickdb_storage::ShardId;
use tracing::debug;

use crate::catalogue::CatalogueSnapshot;
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
        let hosts = Arc::new(hosts);
        let mut questions = Vec::new();
        for shard in snapshot.tables().iter().flat_map(|table| table.shards.iter()) {
            let (id, workers, layout) = (shard.id, shard.workers.clone(), known.get(&shard.id).cloned());
            questions.push(answer(Arc::clone(&hosts), id, workers, layout));
        }
        let answers: Vec<_> =
            futures::stream::iter(questions).buffer_unordered(QUESTIONS_MAX).collect().await;
        let found: LayoutsByShard = answers.into_iter().flatten().collect();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&found);
        found
    }
}

/// The layout of a shard, asked for unless it is known.
async fn answer(
    hosts: Arc<HashMap<WorkerId, ShardHost>>,
    shard: ShardId,
    workers: Vec<WorkerId>,
    known: Option<Arc<Layout>>,
) -> Option<(ShardId, Arc<Layout>)> {
    match known {
        Some(layout) => Some((shard, layout)),
        None => ask(&hosts, shard, &workers).await.map(|layout| (shard, Arc::new(layout))),
    }
}

/// Asks the workers of a shard in turn.
async fn ask(hosts: &HashMap<WorkerId, ShardHost>, shard: ShardId, workers: &[WorkerId]) -> Option<Layout> {
    for host in workers.iter().filter_map(|worker| hosts.get(worker)) {
        let described = match host.describe(shard).await {
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
