//! Tables that change: deleted rows, rows in a tail, columns that came, went and were renamed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringViewArray, new_null_array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use quickdb_executor::error::ErrorKind;
use quickdb_executor::float_extremes;
use quickdb_executor::fused::FuseAggregates;
use quickdb_executor::store::ShardStore;
use quickdb_executor::table::{
    COLUMN_KEY, DeletionRef, MISSING_KEY, ShardPlacement, ShardTable, Tail, WorkerId, missing_value,
};
use quickdb_storage::{DeletionsId, ShardDirectory, ShardId, ShardIdentity, ShardWriter, TableId};

use crate::data;
use crate::harness::Harness;
use crate::junk::with_deleted_rows;

const TABLE: TableId = TableId(7);

/// What a table is made of: shards with the rows that were deleted from them, and a tail.
struct Parts {
    /// The columns now.
    schema: SchemaRef,
    /// The rows of each shard as they were written, how densely junk lies between them, and the same rows now.
    shards: Vec<(RecordBatch, Option<u64>, RecordBatch)>,
    tail: Option<Vec<RecordBatch>>,
}

impl Parts {
    fn harness(self) -> (Harness, ShardTable) {
        let folder = tempfile::TempDir::new().unwrap();
        let directory = ShardDirectory::open(folder.path()).unwrap();
        let (mut placements, mut now) = (vec![], vec![]);
        for (number, (written, every, live)) in (1..).zip(self.shards) {
            let shard = ShardId(number);
            let identity = ShardIdentity { shard, table: TABLE, table_name: "public.t".to_owned() };
            let mut writer = ShardWriter::create(&directory, identity, written.schema()).unwrap();
            let (rows, deleted) = match every {
                Some(every) => with_deleted_rows(&written, every),
                None => (written.clone(), Default::default()),
            };
            writer.write(&rows).unwrap();
            let report = writer.finish().unwrap();
            let deletions = every.map(|_| {
                let version = number * 10;
                directory.put_deletions(DeletionsId { shard, version }, &deleted).unwrap();
                DeletionRef { version, rows: deleted.len() }
            });
            let summary = |field: &Arc<Field>| {
                let number = field.metadata().get(COLUMN_KEY);
                let written = written.schema();
                let mut fields = written.fields().iter();
                let column = fields.position(|other| match number {
                    Some(number) => other.metadata().get(COLUMN_KEY) == Some(number),
                    None => other.name() == field.name(),
                })?;
                report.columns.get(column).cloned()
            };
            placements.push(ShardPlacement {
                shard,
                workers: vec![WorkerId(1)],
                rows: report.rows,
                bytes: report.bytes,
                columns: self.schema.fields().iter().map(summary).collect(),
                deletions,
            });
            now.push(live);
        }
        now.extend(self.tail.iter().flatten().cloned());
        let tail = self.tail.map(|batches| Arc::new(Tail::new(Arc::clone(&self.schema), batches).unwrap()));
        let table = ShardTable {
            name: "public.t".to_owned(),
            table: TABLE,
            schema: Arc::clone(&self.schema),
            shards: Arc::new(placements),
            tail,
            row_ids: false,
            partitions: 3,
        };
        let store = Arc::new(ShardStore::new("w1", directory));
        let config = SessionConfig::new().with_target_partitions(3);
        let state = SessionStateBuilder::new()
            .with_config(config.clone().with_extension(Arc::clone(&store)))
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(FuseAggregates::default()))
            .build();
        let sharded = SessionContext::new_with_state(state);
        for function in float_extremes::functions() {
            sharded.register_udaf(function.as_ref().clone());
        }
        sharded.register_table("t", Arc::new(table.clone())).unwrap();
        let with_ids = ShardTable { row_ids: true, ..table.clone() };
        sharded.register_table("t_ids", Arc::new(with_ids)).unwrap();
        let memory = SessionContext::new_with_config(config);
        let fields: Vec<_> = self
            .schema
            .fields()
            .iter()
            .map(|field| field.as_ref().clone().with_metadata(Default::default()))
            .collect();
        let plain = Arc::new(Schema::new(fields));
        let now: Vec<_> = now
            .into_iter()
            .map(|batch| RecordBatch::try_new(Arc::clone(&plain), batch.columns().to_vec()).unwrap())
            .collect();
        memory.register_table("t", Arc::new(MemTable::try_new(plain, vec![now]).unwrap())).unwrap();
        (Harness { sharded, memory, store, _directory: folder }, table)
    }
}

/// Three shards with deleted rows between the others, one of which has none deleted, and a tail of two batches.
fn changed() -> (Harness, ShardTable) {
    let shard = |first: u64, rows: usize, every: Option<u64>| {
        let rows = data::rows(first, rows);
        (rows.clone(), every, rows)
    };
    Parts {
        schema: data::schema(),
        shards: vec![shard(0, 150_000, Some(5)), shard(150_000, 70_000, None), shard(220_000, 300, Some(2))],
        tail: Some(vec![data::rows(220_300, 900), data::rows(221_200, 1)]),
    }
    .harness()
}

/// Two small shards, one with deleted rows, and a tail.
pub fn small() -> Harness {
    let shard = |first: u64, every: Option<u64>| {
        let rows = data::rows(first, 1_500);
        (rows.clone(), every, rows)
    };
    let shards = vec![shard(0, Some(5)), shard(1_500, None)];
    Parts { schema: data::schema(), shards, tail: Some(vec![data::rows(3_000, 100)]) }.harness().0
}

const STATEMENTS: &[&str] = &[
    "select count(*) from t",
    "select count(*), count(nlarge), count(nword), count(name) from t",
    "select min(id), max(id), min(nlarge), max(name), min(wild), max(wild), max(price), min(day) from t",
    "select sum(small), avg(price), sum(medium), sum(ndouble) from t",
    "select count(*) from t where nword = 'apple' and small > 10",
    "select count(*), sum(ndouble) from t where nword is null",
    "select nword, count(*), sum(small), min(name), max(instant) from t group by nword",
    "select small, medium, count(*) from t group by small, medium",
    "select many, count(*), sum(price) from t group by many",
    "select name, count(*) from t group by name",
    "select nflag, count(*) filter (where small > 0), max(ndouble) filter (where nword like '%e%') from t group by 1",
    "select day, nword, avg(real + 1) from t where id % 3 = 1 group by 1, 2",
    "select count(distinct many), count(distinct nword) from t",
    "select * from t where clock between 14990 and 15010",
    "select id, name from t where nword like 'a%' and small = 7",
    "select id from t order by ndouble desc nulls last, id limit 20",
    "select id from t where id >= 219990",
    "select max(id) from (select id from t order by real, id limit 1000)",
    "select a.id from t a join t b on a.id = b.clock where b.nword = 'zebra' and b.small = 4",
    "select count(*) from (select 1 from t limit 100000)",
];

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_are_gone_and_the_tail_is_there() {
    let (harness, _) = changed();
    for sql in STATEMENTS {
        harness.same(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_known_and_bounds_are_not_trusted() {
    let (harness, table) = changed();
    let plan = harness.same("select count(*) from t").await;
    assert!(!plan.contains("Shard"), "{plan}");
    let plan = harness.same("select min(id), max(id), count(nlarge) from t").await;
    assert!(plan.contains("ShardAggregateExec"), "{plan}");
    let rows = table.table_statistics().num_rows;
    assert_eq!(rows, datafusion::common::stats::Precision::Exact(221_201));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_have_all_its_rows_in_the_tail_or_none() {
    let tail = Some(vec![data::rows(0, 5_000)]);
    let (harness, _) = Parts { schema: data::schema(), shards: vec![], tail }.harness();
    for sql in STATEMENTS {
        harness.same(sql).await;
    }
    let (harness, _) = Parts { schema: data::schema(), shards: vec![], tail: Some(vec![]) }.harness();
    harness.same("select count(*), max(id), count(nword) from t").await;
    harness.same("select nword, count(*) from t group by 1").await;
    harness.same("select * from t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn row_groups_whose_rows_are_all_deleted_are_not_read() {
    let rows = data::rows(0, 70_000);
    let nothing = rows.slice(0, 0);
    let shards = vec![(rows.clone(), None, nothing)];
    let (harness, mut table) = Parts { schema: data::schema(), shards, tail: None }.harness();
    let id = DeletionsId { shard: ShardId(1), version: 9 };
    let all = (0..70_000).collect();
    harness.store.directory().put_deletions(id, &all).unwrap();
    let shards = Arc::make_mut(&mut table.shards);
    shards[0].deletions = Some(DeletionRef { version: 9, rows: 70_000 });
    harness.sharded.deregister_table("t").unwrap();
    harness.sharded.register_table("t", Arc::new(table)).unwrap();
    for sql in
        ["select count(*), max(id) from t", "select id from t", "select nword, sum(id) from t group by 1"]
    {
        harness.same(sql).await;
    }
    assert!(harness.store.reads().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_have_numbers_that_stay() {
    let (harness, table) = changed();
    let batches = harness
        .sharded
        .sql("select quickdb_shard, quickdb_row, id, name from t_ids")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let mut found: BTreeMap<u64, Vec<(u64, i64, String)>> = BTreeMap::new();
    for batch in &batches {
        let number = |column: usize| batch.column(column).as_primitive::<Int64Type>();
        for row in 0..batch.num_rows() {
            let shard = number(0).value(row).cast_unsigned();
            let name = batch.column(3).as_string_view().value(row).to_owned();
            let row = (number(1).value(row).cast_unsigned(), number(2).value(row), name);
            found.entry(shard).or_default().push(row);
        }
    }
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 3]);
    for placement in table.shards.iter() {
        let shard = harness.store.shard(placement.shard).unwrap();
        let deleted = placement.deletions.map(|deletions| {
            let id = DeletionsId { shard: placement.shard, version: deletions.version };
            harness.store.directory().read_deletions(id).unwrap()
        });
        let rows = &found[&placement.shard.0];
        assert_eq!(rows.len() as u64, placement.live_rows());
        for row_group in 0..shard.row_group_count() {
            let ids = shard.column(row_group, 0).unwrap().into_array();
            let first = row_group as u64 * 65_536;
            let ids = ids.as_primitive::<Int64Type>();
            for (row, id, _) in rows.iter().filter(|(row, ..)| (first..first + 65_536).contains(row)) {
                assert_eq!(ids.value(usize::try_from(row - first).unwrap()), *id);
                let number = u32::try_from(*row).unwrap();
                assert!(deleted.as_ref().is_none_or(|deleted| !deleted.contains(number)));
            }
        }
    }
    let mut tail: Vec<_> = found[&0].iter().map(|(row, id, _)| (*row, *id)).collect();
    tail.sort_unstable();
    assert_eq!(tail, (0..901_u64).map(|row| (row, 220_300 + row.cast_signed())).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn row_numbers_are_columns_like_others() {
    let (harness, _) = changed();
    let (rows, _) = harness.rows("select quickdb_shard, count(*) from t_ids group by 1").await;
    assert_eq!(rows, ["0 | 901", "1 | 150000", "2 | 70000", "3 | 300"]);
    let (rows, _) =
        harness.rows("select id from t_ids where quickdb_shard = 0 and quickdb_row in (0, 900)").await;
    assert_eq!(rows, ["220300", "221200"]);
    let before = harness.store.reads();
    let sql = "select count(distinct (quickdb_shard, quickdb_row)) from t_ids where quickdb_row >= 65536 and quickdb_shard = 2";
    let (rows, _) = harness.rows(sql).await;
    assert_eq!(rows, ["4464"]);
    // Bounds of both columns prune: one row group is read.
    let after = harness.store.reads();
    let read = |shard: u64| {
        let of = |reads: &BTreeMap<ShardId, quickdb_executor::store::ShardReads>| {
            reads.get(&ShardId(shard)).map_or(0, |reads| reads.row_groups)
        };
        of(&after) - of(&before)
    };
    assert_eq!([read(1), read(2), read(3)], [0, 1, 0]);
    let (rows, _) =
        harness.rows("select max(quickdb_row) from t_ids where quickdb_shard = 2 and id = 150007").await;
    assert_eq!(rows, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_vector_that_is_missing_or_damaged_is_an_error() {
    let (harness, table) = changed();
    let version = table.shards[0].deletions.unwrap().version;
    let directory = harness.store.directory();
    let id = DeletionsId { shard: ShardId(1), version };
    directory.remove_deletions(id).unwrap();
    for sql in ["select count(id) from t", "select id from t where small = 1"] {
        let error = harness.error(sql).await;
        assert_eq!(error.kind, ErrorKind::ShardMissing);
        assert_eq!(error.worker.as_deref(), Some("w1"));
        assert!(error.message.contains("0000000000000001"), "{}", error.message);
    }
    std::fs::write(directory.path().join(format!("{id}.del")), b"QDBDELET and nothing more").unwrap();
    let error = harness.error("select sum(small) from t").await;
    assert_eq!((error.kind, error.worker.as_deref()), (ErrorKind::Corrupt, Some("w1")));
    assert!(error.message.contains("0000000000000001") && error.message.contains("deletion vector"));
}

fn numbered(name: &str, data_type: DataType, number: u32, missing: Option<ScalarValue>) -> Field {
    let mut metadata = std::collections::HashMap::from([(COLUMN_KEY.to_owned(), number.to_string())]);
    if let Some(value) = missing {
        metadata.insert(MISSING_KEY.to_owned(), missing_value(&value).unwrap());
    }
    Field::new(name, data_type, true).with_metadata(metadata)
}

/// A table that had the columns `b` (1), `gone` (2) and `c` (3), of which `b` is called `a` now and `gone` is gone, and
/// that got `b` (4), `word` (5), `flag` (6) and `nothing` (7) after its first shard was written.
fn altered() -> Harness {
    let ints = |values: Vec<Option<i32>>| Arc::new(Int32Array::from(values)) as ArrayRef;
    let texts = |values: Vec<Option<&str>>| Arc::new(StringViewArray::from(values)) as ArrayRef;
    let old = Schema::new(vec![
        numbered("b", DataType::Int32, 1, None),
        numbered("gone", DataType::Utf8View, 2, None),
        numbered("c", DataType::Utf8View, 3, None),
    ]);
    let now = Arc::new(Schema::new(vec![
        numbered("c", DataType::Utf8View, 3, None),
        numbered("b", DataType::Int32, 4, Some(ScalarValue::Int32(Some(40)))),
        numbered("a", DataType::Int32, 1, None),
        numbered("word", DataType::Utf8View, 5, Some(ScalarValue::Utf8View(Some("old".to_owned())))),
        numbered("flag", DataType::Boolean, 6, Some(ScalarValue::Boolean(Some(true)))),
        numbered("nothing", DataType::Float64, 7, None),
    ]));
    let rows = 70_000;
    let a = ints((0..rows).map(|row| (row % 9 > 0).then_some(row)).collect());
    let c = texts((0..rows).map(|row| (row % 5 > 0).then_some(["x", "y", "z"][row as usize % 3])).collect());
    let count = usize::try_from(rows).unwrap();
    let constant = |value: ScalarValue| value.to_array_of_size(count).unwrap();
    let first = RecordBatch::try_new(
        Arc::new(old),
        vec![Arc::clone(&a), new_null_array(&DataType::Utf8View, count), Arc::clone(&c)],
    )
    .unwrap();
    let first_now = RecordBatch::try_new(
        Arc::clone(&now),
        vec![
            Arc::clone(&c),
            constant(ScalarValue::Int32(Some(40))),
            Arc::clone(&a),
            constant(ScalarValue::Utf8View(Some("old".to_owned()))),
            constant(ScalarValue::Boolean(Some(true))),
            constant(ScalarValue::Float64(None)),
        ],
    )
    .unwrap();
    let later = |first: i32, rows: i32| {
        let range = || first..first + rows;
        RecordBatch::try_new(
            Arc::clone(&now),
            vec![
                texts(range().map(|row| Some(["w", "x"][row as usize % 2])).collect()),
                ints(range().map(|row| (row % 4 > 0).then_some(row % 50)).collect()),
                ints(range().map(Some).collect()),
                texts(range().map(|row| (row % 3 > 0).then_some(["new", "old"][row as usize % 2])).collect()),
                Arc::new(range().map(|row| Some(row % 2 == 0)).collect::<arrow::array::BooleanArray>()),
                Arc::new(
                    range()
                        .map(|row| (row % 2 == 0).then_some(f64::from(row)))
                        .collect::<arrow::array::Float64Array>(),
                ),
            ],
        )
        .unwrap()
    };
    let shards = vec![(first, Some(7), first_now), (later(70_000, 3_000), Some(4), later(70_000, 3_000))];
    let (harness, _) =
        Parts { schema: Arc::clone(&now), shards, tail: Some(vec![later(73_000, 500)]) }.harness();
    harness
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_a_shard_lacks_have_their_default() {
    let harness = altered();
    for sql in [
        "select * from t",
        "select a, b, c from t where a < 100",
        "select count(*), count(a), count(b), count(word), count(nothing) from t",
        "select sum(a), sum(b), min(b), max(b), min(word), max(word), avg(nothing) from t",
        "select word, count(*), sum(b) from t group by word",
        "select b, word, flag, count(*) from t group by b, word, flag",
        "select b, count(*) from t where word = 'old' group by b",
        "select count(*) from t where b = 40 and flag",
        "select count(*) from t where word <> 'old'",
        "select count(*) from t where nothing is null",
        "select nothing, count(a) from t group by nothing",
        "select c, count(distinct word), count(distinct b) from t group by c",
        "select upper(word), b + 1, count(*) from t group by 1, 2",
        "select a from t order by b desc, a limit 10",
        "select count(*) from t where not flag or b < 0",
    ] {
        harness.same(sql).await;
    }
    for column in ["gone", "\"quickdb_row\""] {
        assert!(harness.sharded.sql(&format!("select {column} from t")).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_prunes_the_shards_that_lack_the_column() {
    let harness = altered();
    harness.same("select count(a) from t where word = 'new'").await;
    harness.same("select count(a) from t where nothing > 0").await;
    harness.same("select count(a) from t where b > 40").await;
    assert!(!harness.store.reads().contains_key(&ShardId(1)), "{:?}", harness.store.reads());
    harness.same("select count(a) from t where b = 40").await;
    assert!(harness.store.reads().contains_key(&ShardId(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_know_the_defaults() {
    let shards = |every| {
        let schema = Schema::new(vec![numbered("a", DataType::Int32, 1, None)]);
        let batch = RecordBatch::try_new(
            Arc::new(schema),
            vec![Arc::new(Int32Array::from(vec![3, 4, 5])) as ArrayRef],
        );
        let now = RecordBatch::try_from_iter([
            ("a", Arc::new(Int32Array::from(vec![3, 4, 5])) as ArrayRef),
            ("b", Arc::new(Int32Array::from(vec![9, 9, 9]))),
        ]);
        vec![(batch.unwrap(), every, now.unwrap())]
    };
    let schema = Arc::new(Schema::new(vec![
        numbered("a", DataType::Int32, 1, None),
        numbered("b", DataType::Int32, 2, Some(ScalarValue::Int32(Some(9)))),
    ]));
    let sql = "select min(a), max(b), count(b) from t";
    let (harness, _) = Parts { schema: Arc::clone(&schema), shards: shards(None), tail: None }.harness();
    let plan = harness.same(sql).await;
    assert!(!plan.contains("Shard"), "{plan}");
    let (harness, _) = Parts { schema, shards: shards(Some(2)), tail: None }.harness();
    let plan = harness.same(sql).await;
    assert!(plan.contains("ShardAggregateExec"), "{plan}");
}
