//! Queries that go on after a worker has failed, because what it was to read lies elsewhere too.

use datafusion::catalog::default_table_source::DefaultTableSource;
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use quickdb_executor::cluster::WorkerEndpoint;
use quickdb_executor::error::{ErrorKind, ExecError};
use quickdb_executor::table::{ShardPlacement, ShardTable, WorkerId};

/// The worker that `error` comes from, where it may be the worker's alone and the plan `logical` can do without it and
/// without those `avoided` already: each shard that it reads has a copy on one of the other `workers`.
pub(crate) fn replaceable(
    error: &DataFusionError,
    logical: &LogicalPlan,
    workers: &[WorkerEndpoint],
    avoided: &[WorkerId],
) -> Option<WorkerId> {
    let error = ExecError::find(error)?;
    let is_its_own = matches!(
        error.kind,
        ErrorKind::WorkerLost | ErrorKind::Corrupt | ErrorKind::ShardMissing | ErrorKind::Io
    );
    if !is_its_own {
        return None;
    }
    let name = error.worker?;
    let failed = workers.iter().find(|worker| worker.name == name)?.id;
    let has_others = |shard: &ShardPlacement| {
        let is_left = |owner: &WorkerId| {
            *owner != failed && !avoided.contains(owner) && workers.iter().any(|worker| worker.id == *owner)
        };
        !shard.workers.contains(&failed) || shard.workers.iter().any(is_left)
    };
    (!avoided.contains(&failed) && workers.len() > 1 && all_shards(logical, has_others)).then_some(failed)
}

/// Whether `holds` is true of every shard that a plan reads, in subqueries too.
fn all_shards(plan: &LogicalPlan, holds: impl Fn(&ShardPlacement) -> bool) -> bool {
    let mut all = true;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(source) = scan.source.downcast_ref::<DefaultTableSource>()
            && let Some(table) = source.table_provider.downcast_ref::<ShardTable>()
            && !table.shards.iter().all(&holds)
        {
            all = false;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.is_ok() && all
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::provider_as_source;
    use datafusion::logical_expr::LogicalPlanBuilder;
    use quickdb_storage::{ShardId, TableId};

    use super::*;

    /// A plan over one table; each shard has its copies on the workers of one list.
    fn plan(shards: &[&[u32]]) -> LogicalPlan {
        let placement = |(number, workers): (u64, &&[u32])| ShardPlacement {
            shard: ShardId(number),
            workers: workers.iter().map(|worker| WorkerId(*worker)).collect(),
            rows: 1,
            bytes: 1,
            columns: vec![],
            deletions: None,
        };
        let table = ShardTable {
            name: "public.t".to_owned(),
            table: TableId(1),
            schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, true)])),
            shards: Arc::new((1..).zip(shards).map(placement).collect()),
            tail: None,
            row_ids: false,
            partitions: 2,
        };
        LogicalPlanBuilder::scan("t", provider_as_source(Arc::new(table)), None).unwrap().build().unwrap()
    }

    fn check(shards: &[&[u32]], kind: ErrorKind, avoided: &[u32], expected: Option<u32>) {
        let worker = |id: u32| WorkerEndpoint {
            id: WorkerId(id),
            name: format!("worker-{id}"),
            address: format!("127.0.0.1:{id}"),
        };
        let workers = [1, 2, 3].map(worker);
        let error = ExecError::new(kind, "it failed").on_worker("worker-2").into_datafusion();
        let avoided: Vec<WorkerId> = avoided.iter().map(|worker| WorkerId(*worker)).collect();
        let found = replaceable(&error, &plan(shards), &workers, &avoided);
        assert_eq!(found, expected.map(WorkerId), "{shards:?} {kind:?} {avoided:?}");
    }

    #[test]
    fn a_worker_is_left_out_when_all_that_it_holds_lies_elsewhere_too() {
        use ErrorKind::{Corrupt, DivisionByZero, WorkerLost};
        check(&[&[1, 2], &[2, 3], &[1]], Corrupt, &[], Some(2));
        check(&[&[1, 2], &[2, 3], &[1]], WorkerLost, &[], Some(2));
        check(&[&[1, 2], &[2]], Corrupt, &[], None);
        check(&[&[1, 2]], Corrupt, &[1], None);
        check(&[&[1, 2, 3]], Corrupt, &[1], Some(2));
        check(&[&[1, 2]], Corrupt, &[2], None);
        check(&[&[2, 9]], WorkerLost, &[], None);
        check(&[&[1, 2]], DivisionByZero, &[], None);
        check(&[], WorkerLost, &[], Some(2));
    }
}
