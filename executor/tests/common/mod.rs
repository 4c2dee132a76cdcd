//! A cluster in this process: real workers on loopback behind mutual TLS, real shards on disk, and the same
//! rows in memory to compare with.

mod changed;
mod junk;

use std::collections::HashMap;
use std::sync::Arc;

pub use changed::changed_tables;
use junk::mix;

use arrow::array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use quickdb_executor::cluster::{Cluster, WorkerEndpoint};
use quickdb_executor::fused::FuseAggregates;
use quickdb_executor::pinning::{self, QueryPlacement};
use quickdb_executor::shards::ShardHost;
use quickdb_executor::table::{DeletionRef, ShardPlacement, ShardTable, Tail, WorkerId};
use quickdb_executor::tls::ClusterTls;
use quickdb_executor::worker::{WorkerConfig, WorkerServer};
use quickdb_storage::{RoaringBitmap, ShardId, ShardIdentity, TableId};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// An authority of its own, and one node certificate of it.
pub fn certificates() -> ClusterTls {
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(DnType::CommonName, "quickdb test authority");
    authority.key_usages.push(KeyUsagePurpose::KeyCertSign);
    let authority_key = KeyPair::generate().unwrap();
    let ca_pem = authority.self_signed(&authority_key).unwrap().pem().into_bytes();
    let issuer = Issuer::new(authority, authority_key);
    let mut node = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    node.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let cert_pem = node.signed_by(&key, &issuer).unwrap().pem().into_bytes();
    ClusterTls { ca_pem, cert_pem, key_pem: key.serialize_pem().into_bytes() }
}

pub const STARS: i64 = 6000;
pub const VISITS: i64 = 1500;

/// The sharded tables by name, each as one batch.
pub fn sharded() -> Vec<(&'static str, RecordBatch)> {
    let ids = 0..STARS;
    let star = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("band", DataType::Int32, false),
        Field::new("key", DataType::Int64, false),
        Field::new("flux", DataType::Float64, true),
        Field::new("n", DataType::Int64, true),
        Field::new("name", DataType::Utf8View, false),
    ]);
    let flux = |i: i64| (i % 97 != 0).then(|| (mix(i as u64 + 7) % 10_000) as f64 / 100.0);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(Int32Array::from_iter_values(ids.clone().map(|i| (i % 16) as i32))),
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|i| (mix(i as u64) >> 1) as i64))),
        Arc::new(Float64Array::from_iter(ids.clone().map(flux))),
        Arc::new(Int64Array::from_iter(ids.clone().map(|i| (i % 13 != 0).then_some(i % 1000)))),
        Arc::new(StringViewArray::from_iter_values(ids.map(|i| format!("name-{}", i % 1000)))),
    ];
    let star = RecordBatch::try_new(Arc::new(star), columns).unwrap();
    let ids = 0..VISITS;
    let visit = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("star_id", DataType::Int64, false),
        Field::new("weight", DataType::Float64, false),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(Int64Array::from_iter_values(
            ids.clone().map(|i| (mix(i as u64 + 99) % STARS as u64) as i64),
        )),
        Arc::new(Float64Array::from_iter_values(ids.map(|i| i as f64 * 0.5))),
    ];
    vec![("star", star), ("visit", RecordBatch::try_new(Arc::new(visit), columns).unwrap())]
}

fn label() -> Arc<MemTable> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("band", DataType::Int32, false),
        Field::new("text", DataType::Utf8View, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(0..16)),
        Arc::new(StringViewArray::from_iter_values((0..16).map(|i| format!("band {i}")))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    Arc::new(MemTable::try_new(schema, vec![vec![batch]]).unwrap())
}

/// A table as a test makes it.
pub struct TestTable {
    pub name: &'static str,
    /// Its present columns, with the metadata that scans need.
    pub schema: SchemaRef,
    /// What is written into each shard, the rows that are deleted from it, and the columns of the writer's report that
    /// are the table's present ones.
    pub shards: Vec<(RecordBatch, RoaringBitmap, Vec<Option<usize>>)>,
    pub tail: Option<RecordBatch>,
    /// Its rows in the end.
    pub rows: RecordBatch,
}

/// The sharded tables as they were loaded, each in `pieces` shards.
pub fn loaded_tables(pieces: usize) -> Vec<TestTable> {
    let table = |(name, batch): (&'static str, RecordBatch)| {
        let columns: Vec<Option<usize>> = (0..batch.num_columns()).map(Some).collect();
        let shards = cut(&batch, pieces).into_iter();
        let shards = shards.map(|rows| (rows, RoaringBitmap::new(), columns.clone())).collect();
        TestTable { name, schema: batch.schema(), shards, tail: None, rows: batch }
    };
    sharded().into_iter().map(table).collect()
}

/// Rows in order, in `pieces` runs of about equal length.
pub fn cut(batch: &RecordBatch, pieces: usize) -> Vec<RecordBatch> {
    (0..pieces)
        .map(|piece| {
            let (from, to) = (batch.num_rows() * piece / pieces, batch.num_rows() * (piece + 1) / pieces);
            batch.slice(from, to - from)
        })
        .collect()
}

/// Workers with their shards, and a session that plans for them.
pub struct TestCluster {
    pub workers: Vec<WorkerServer>,
    pub cluster: Arc<Cluster>,
    pub owners: Arc<HashMap<ShardId, Vec<WorkerId>>>,
    pub tls: ClusterTls,
    pub context: SessionContext,
    /// The sharded tables as they were registered.
    pub tables: Vec<ShardTable>,
    _directory: tempfile::TempDir,
}

impl TestCluster {
    /// `count` workers, each with `per_worker` shards of every sharded table.
    pub async fn start(count: usize, per_worker: usize) -> Self {
        Self::with_tables(count, loaded_tables(count * per_worker)).await
    }

    /// `count` workers; the shards of each table go to them in turn.
    pub async fn with_tables(count: usize, tables: Vec<TestTable>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let tls = certificates();
        let mut workers = Vec::new();
        let mut endpoints = Vec::new();
        for index in 0..count {
            let name = format!("worker-{}", index + 1);
            let home = directory.path().join(&name);
            let config = WorkerConfig {
                name: name.clone(),
                listen: "127.0.0.1:0".parse().unwrap(),
                shards_dir: home.join("shards"),
                disk_limits: quickdb_storage::DiskLimits::default(),
                spill_dir: home.join("spill"),
                tls: tls.clone(),
                memory_limit_bytes: 1 << 30,
            };
            let worker = WorkerServer::start(config).await.unwrap();
            let id = WorkerId(u32::try_from(index).unwrap() + 1);
            endpoints.push(WorkerEndpoint { id, name, address: worker.local_addr().to_string() });
            workers.push(worker);
        }
        let cluster = Arc::new(Cluster::new(endpoints, &tls).unwrap());
        let context = SessionContext::new_with_state(state(Some(&cluster)));
        context.register_table("label", label()).unwrap();
        let mut owners = HashMap::new();
        let mut next_shard = 1;
        let mut registered = vec![];
        for (index, made) in tables.into_iter().enumerate() {
            let TestTable { name, schema, shards, tail, .. } = made;
            let table = TableId(index as u64 + 1);
            let mut placements = Vec::new();
            for (piece, (rows, deleted, columns)) in shards.into_iter().enumerate() {
                let worker = piece % count;
                let shard = ShardId(next_shard);
                let identity = ShardIdentity { shard, table, table_name: format!("public.{name}") };
                next_shard += 1;
                let host = ShardHost::remote(&cluster, worker).unwrap();
                let written = rows.schema();
                let stream = futures::stream::iter([Ok(rows)]).boxed();
                let report = host.put(identity, written, stream).await.unwrap();
                let mut deletions = None;
                if !deleted.is_empty() {
                    let version = 5;
                    host.put_deletions(shard, version, &deleted).await.unwrap();
                    deletions = Some(DeletionRef { version, rows: deleted.len() });
                }
                let id = cluster.workers()[worker].id;
                owners.insert(shard, vec![id]);
                placements.push(ShardPlacement {
                    shard,
                    workers: vec![id],
                    rows: report.rows,
                    bytes: report.bytes,
                    columns: columns.into_iter().map(|column| report.columns.get(column?).cloned()).collect(),
                    deletions,
                });
            }
            let provider = ShardTable {
                name: format!("public.{name}"),
                table,
                tail: tail.map(|rows| Arc::new(Tail::new(Arc::clone(&schema), vec![rows]).unwrap())),
                row_ids: false,
                schema,
                shards: Arc::new(placements),
                partitions: 2,
            };
            registered.push(provider.clone());
            let with_ids = ShardTable { row_ids: true, ..provider.clone() };
            context.register_table(format!("{name}_ids"), Arc::new(with_ids)).unwrap();
            context.register_table(name, Arc::new(provider)).unwrap();
        }
        Self {
            workers,
            cluster,
            owners: Arc::new(owners),
            tls,
            context,
            tables: registered,
            _directory: directory,
        }
    }

    /// The distributed plan of a query, and the session it runs in.
    pub async fn plan(&self, sql: &str, metrics: bool) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
        self.plan_avoiding(sql, metrics, &[]).await
    }

    async fn plan_avoiding(
        &self,
        sql: &str,
        metrics: bool,
        avoided: &[WorkerId],
    ) -> Result<(SessionState, Arc<dyn ExecutionPlan>)> {
        let mut state = self.context.state();
        let logical = state.create_logical_plan(sql).await?;
        let placement =
            QueryPlacement::new(Arc::clone(&self.cluster), Arc::clone(&self.owners)).avoiding(avoided);
        pinning::with_placement(&mut state, placement, metrics)?;
        let plan = pinning::plan(&state, &logical).await?;
        Ok((state, plan))
    }

    /// The rows of a query.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.query_avoiding(sql, &[]).await
    }

    /// The rows of a query that leaves out some workers where it can.
    pub async fn query_avoiding(&self, sql: &str, avoided: &[WorkerId]) -> Result<Vec<RecordBatch>> {
        let (state, plan) = self.plan_avoiding(sql, false, avoided).await?;
        collect(plan, state.task_ctx()).await
    }

    /// The handle of a worker.
    pub fn host(&self, worker: usize) -> ShardHost {
        ShardHost::remote(&self.cluster, worker).unwrap()
    }

    /// Puts `table` in the place of the one of its name.
    pub fn replace(&self, name: &str, table: ShardTable) {
        self.context.deregister_table(name).unwrap();
        self.context.register_table(name, Arc::new(table)).unwrap();
    }
}

fn state(cluster: Option<&Arc<Cluster>>) -> SessionState {
    let config = SessionConfig::new().with_target_partitions(2);
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let builder = quickdb_executor::functions::add_to(builder);
    match cluster {
        None => builder.build(),
        Some(cluster) => {
            let builder = builder
                .with_physical_optimizer_rule(Arc::new(FuseAggregates::default()))
                .with_physical_optimizer_rule(Arc::new(quickdb_executor::yielding::YieldingJoins));
            pinning::configure(builder, cluster).unwrap().build()
        }
    }
}

/// The same tables in memory, planned by plain DataFusion.
pub fn local(tables: &[TestTable]) -> SessionContext {
    let context = SessionContext::new_with_state(state(None));
    context.register_table("label", label()).unwrap();
    for table in tables {
        let schema: SchemaRef = table.rows.schema();
        let rows = vec![vec![table.rows.clone()]];
        context.register_table(table.name, Arc::new(MemTable::try_new(schema, rows).unwrap())).unwrap();
    }
    context
}

/// Rows as sorted text; floats to nine digits, since sums of parts round differently.
pub fn rows(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<String> = columns
                .iter()
                .zip(batch.columns())
                .map(|(formatter, column)| match column.as_any().downcast_ref::<Float64Array>() {
                    Some(floats) if floats.is_valid(row) => format!("{:.9e}", floats.value(row)),
                    _ => formatter.value(row).to_string(),
                })
                .collect();
            rows.push(cells.join("|"));
        }
    }
    rows.sort();
    rows
}

/// The statements of a file, each with the number of its line.
pub fn statements(file: &str) -> Vec<(usize, String)> {
    let mut statements = Vec::new();
    for (index, line) in file.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with("--") {
            statements.push((index + 1, line.trim_end_matches(';').to_owned()));
        }
    }
    statements
}
