//! Two sessions with the same table `t`: in shards, and in memory.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{SessionConfig, SessionContext};
use quickdb_executor::error::ExecError;
use quickdb_executor::float_extremes;
use quickdb_executor::fused::FuseAggregates;
use quickdb_executor::scan::{ShardPlacement, ShardTable, WorkerId};
use quickdb_executor::store::ShardStore;
use quickdb_storage::{ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};
use tempfile::TempDir;

pub struct Harness {
    pub sharded: SessionContext,
    pub memory: SessionContext,
    pub store: Arc<ShardStore>,
    pub _directory: TempDir,
}

/// A runtime with a limit on its memory.
pub fn limited(bytes: usize) -> Arc<RuntimeEnv> {
    RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc().unwrap()
}

impl Harness {
    /// A table with one shard for every batch.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self::with_runtime(schema, batches, Arc::new(RuntimeEnv::default()))
    }

    pub fn with_runtime(schema: SchemaRef, batches: Vec<RecordBatch>, runtime: Arc<RuntimeEnv>) -> Self {
        let folder = TempDir::new().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let table = TableId(7);
        let mut placements = vec![];
        for (number, batch) in (1..).zip(&batches) {
            let identity = ShardIdentity { shard: ShardId(number), table, table_name: "public.t".to_owned() };
            let mut writer = ShardWriter::create(&directory, identity, Arc::clone(&schema)).unwrap();
            writer.write(batch).unwrap();
            let report = writer.finish().unwrap();
            placements.push(ShardPlacement {
                shard: ShardId(number),
                workers: vec![WorkerId(1)],
                rows: report.rows,
                bytes: report.bytes,
                columns: report.columns.into_iter().map(Some).collect(),
                deletions: None,
            });
        }
        let store = Arc::new(ShardStore::new("w1", directory));
        let table = ShardTable {
            name: "public.t".to_owned(),
            table,
            schema: Arc::clone(&schema),
            shards: Arc::new(placements),
            tail: None,
            row_ids: false,
            partitions: 3,
        };
        let config = SessionConfig::new().with_target_partitions(3);
        let state = SessionStateBuilder::new()
            .with_config(config.clone().with_extension(Arc::clone(&store)))
            .with_default_features()
            .with_runtime_env(runtime)
            .with_physical_optimizer_rule(Arc::new(FuseAggregates::default()))
            .build();
        let sharded = SessionContext::new_with_state(state);
        for function in float_extremes::functions() {
            sharded.register_udaf(function.as_ref().clone());
        }
        sharded.register_table("t", Arc::new(table)).unwrap();
        let memory = SessionContext::new_with_config(config);
        let partitions = if batches.is_empty() { vec![vec![]] } else { vec![batches] };
        memory.register_table("t", Arc::new(MemTable::try_new(schema, partitions).unwrap())).unwrap();
        Self { sharded, memory, store, _directory: folder }
    }

    /// The plan over shards.
    pub async fn plan(&self, sql: &str) -> Arc<dyn ExecutionPlan> {
        self.sharded.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
    }

    /// The rows over shards, as text, sorted, and the plan that gave them.
    pub async fn rows(&self, sql: &str) -> (Vec<String>, String) {
        let plan = self.plan(sql).await;
        let display = displayable(plan.as_ref()).indent(false).to_string();
        let batches =
            collect(plan, self.sharded.task_ctx()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        (text_of(&batches), display)
    }

    /// The error of a query over shards.
    pub async fn error(&self, sql: &str) -> ExecError {
        let plan = self.plan(sql).await;
        let error: DataFusionError = collect(plan, self.sharded.task_ctx()).await.expect_err(sql);
        ExecError::find(&error).unwrap_or_else(|| panic!("{sql}: no kind in {error}"))
    }

    /// Both sessions must give the same rows; returns the plan over shards.
    pub async fn same(&self, sql: &str) -> String {
        let (found, plan) = self.rows(sql).await;
        let expected = text_of(&self.memory.sql(sql).await.unwrap().collect().await.unwrap());
        if found != expected {
            let differ = found.iter().zip(&expected).filter(|(a, b)| a != b).take(5).collect::<Vec<_>>();
            panic!("{sql}\n{} rows, expected {}\n{differ:#?}\n{plan}", found.len(), expected.len());
        }
        plan
    }

    /// The same, and the partial aggregate must have been fused.
    pub async fn fused(&self, sql: &str) -> String {
        let plan = self.same(sql).await;
        assert!(plan.contains("ShardAggregateExec: public.t"), "{sql} did not fuse:\n{plan}");
        assert!(!plan.contains("mode=Partial"), "{sql} kept a partial aggregate:\n{plan}");
        plan
    }
}

/// The rows as text, sorted.
pub fn text_of(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = vec![];
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(cells.join(" | "));
        }
    }
    rows.sort();
    rows
}
