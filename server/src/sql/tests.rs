//! Statements with the answers that PostgreSQL 15 gave, recorded by `tests/record.py`, run on plain tables.
//!
//! A statement whose answer is known to differ stands in `tests/differences.txt` with the reason, and must still differ.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use quickdb_executor::functions::numeric_display::{NUMERIC_DISPLAY_KEY, format_numeric_as};
use quickdb_executor::functions::text_of::text_of;
use quickdb_executor::functions::type_names::pg_field_type_name;

use super::*;
use crate::catalogue::PgType;

fn column<A: datafusion::arrow::array::Array + 'static>(name: &str, array: A) -> (String, ArrayRef) {
    (name.to_owned(), Arc::new(array))
}

fn register(context: &SessionContext, name: &str, columns: Vec<(String, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap();
    context.register_table(name, Arc::new(table)).unwrap();
}

pub(super) fn empty_context() -> SessionContext {
    let config =
        SessionConfig::new().with_default_catalog_and_schema("quickdb", "public").with_target_partitions(2);
    let state = configure(SessionStateBuilder::new_with_default_features().with_config(config)).build();
    SessionContext::new_with_state(state)
}

fn context() -> SessionContext {
    let context = empty_context();
    let decimals = Decimal128Array::from(vec![Some(1025), Some(2050), None, Some(-575), Some(1)]);
    let timestamps =
        [1_358_245_800_000_000, 1_362_095_999_500_000, 0, 1_388_448_000_000_000, 951_825_600_000_000];
    let timestamps = timestamps.map(|micros| (micros != 0).then_some(micros));
    register(
        &context,
        "t",
        vec![
            column("id", Int32Array::from(vec![1, 2, 3, 4, 5])),
            column("k", Int32Array::from(vec![Some(10), Some(20), Some(10), Some(30), None])),
            column("g", StringViewArray::from(vec![Some("a"), Some("a"), Some("b"), Some("b"), None])),
            column("x", Float64Array::from(vec![Some(1.5), Some(2.5), None, Some(-3.5), Some(100.0)])),
            column("n", decimals.with_precision_and_scale(10, 2).unwrap()),
            column("b", Int64Array::from(vec![9_000_000_000, i64::MAX, 3, -4, 5])),
            column("s", Int16Array::from(vec![Some(1), Some(2), None, Some(-32_768), Some(32_767)])),
            column(
                "d",
                Date32Array::from(vec![Some(15_720), Some(15_764), None, Some(16_070), Some(11_016)]),
            ),
            column("ts", TimestampMicrosecondArray::from(timestamps.to_vec())),
            column("f", BooleanArray::from(vec![Some(true), Some(false), None, Some(true), Some(false)])),
            column("r", Float32Array::from(vec![Some(0.5), Some(1.25), None, Some(-2.0), Some(3.75)])),
        ],
    );
    register(
        &context,
        "u",
        vec![
            column("uid", Int32Array::from(vec![1, 2, 3, 4])),
            column("k", Int32Array::from(vec![10, 20, 20, 40])),
            column("label", StringViewArray::from(vec!["ten", "twenty", "zwanzig", "forty"])),
        ],
    );
    register(
        &context,
        "e",
        vec![
            column("a", Int32Array::from(Vec::<i32>::new())),
            column("b", StringViewArray::from(Vec::<&str>::new())),
        ],
    );
    context
}

async fn run(context: &SessionContext, sql: &str) -> Result<String, PgError> {
    let state = context.state();
    let facts = SessionFacts::new("postgres", "postgres");
    let statement = parse(sql)?.remove(0);
    let planned = plan_query(&state, &facts, &statement, &[]).await?;
    let executed = async {
        let physical = state.create_physical_plan(&planned.plan).await?;
        datafusion::physical_plan::collect(physical, state.task_ctx()).await
    };
    let batches = executed.await.map_err(|error| PgError::from_datafusion(error, None))?;
    let mut out = format!("names\t{}\n", planned.output_names().join("\t"));
    let types: Vec<String> = planned
        .output
        .iter()
        .map(|field| match pg_field_type_name(field).as_str() {
            "unknown" => "text".to_owned(),
            name => name.to_owned(),
        })
        .collect();
    writeln!(out, "types\t{}", types.join("\t")).unwrap();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            out.push_str("row");
            for (array, field) in batch.columns().iter().zip(&planned.output) {
                let display = field.metadata().get(NUMERIC_DISPLAY_KEY).map(String::as_str);
                let text = match array.data_type() {
                    DataType::Decimal128(_, scale) if array.is_valid(row) => {
                        use datafusion::arrow::array::AsArray;
                        let values = array.as_primitive::<datafusion::arrow::datatypes::Decimal128Type>();
                        Some(format_numeric_as(values.value(row), *scale, display))
                    }
                    DataType::Boolean if array.is_valid(row) => {
                        text_of(array.as_ref(), row).unwrap().map(|text| text[..1].to_owned())
                    }
                    _ => text_of(array.as_ref(), row).unwrap(),
                };
                let text =
                    text.map(|text| text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t"));
                write!(out, "\t{}", text.as_deref().unwrap_or("\\N")).unwrap();
            }
            out.push('\n');
        }
    }
    Ok(out)
}

pub(super) async fn answer(context: &SessionContext, sql: &str) -> String {
    match run(context, sql).await {
        Ok(answer) => answer,
        Err(error) => {
            format!("error\t{}\t{}\t{}\n", error.sqlstate, error.position.unwrap_or(0), error.message)
        }
    }
}

/// The recorded answers of a file, in its order.
fn recorded(text: &str) -> Vec<(String, String)> {
    let mut cases: Vec<(String, String)> = Vec::new();
    let mut in_answer = false;
    for line in text.lines() {
        match line {
            "" => in_answer = false,
            comment if comment.starts_with("--") && !in_answer => {}
            line if in_answer => {
                let (_, answer) = cases.last_mut().unwrap();
                answer.push_str(line);
                answer.push('\n');
            }
            statement => {
                cases.push((statement.to_owned(), String::new()));
                in_answer = true;
            }
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_postgresqls() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql/tests");
    let differences = std::fs::read_to_string(folder.join("differences.txt")).unwrap();
    let known: HashMap<&str, ()> = differences
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .map(|line| (line, ()))
        .collect();
    let context = context();
    let mut report = String::new();
    let mut passed = 0;
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "expected"))
    {
        for (sql, expected) in recorded(&std::fs::read_to_string(file).unwrap()) {
            let got = answer(&context, &sql).await;
            match (got == expected, known.contains_key(sql.as_str())) {
                (true, false) | (false, true) => passed += 1,
                (true, true) => writeln!(report, "no longer differs: {sql}\n").unwrap(),
                (false, false) => writeln!(report, "{sql}\n--- expected\n{expected}--- got\n{got}").unwrap(),
            }
        }
    }
    assert!(report.is_empty(), "{passed} passed\n{report}");
}

async fn parameters(sql: &str) -> Vec<String> {
    let context = context();
    let statement = parse(sql).unwrap().remove(0);
    let facts = SessionFacts::new("postgres", "postgres");
    let planned = plan_query(&context.state(), &facts, &statement, &[]).await.unwrap();
    planned.parameter_types(&[]).iter().map(|found| PgType::new(found.oid()).to_string()).collect()
}

#[tokio::test]
async fn parameters_take_the_types_of_their_context() {
    assert_eq!(
        parameters("select $1::uuid, $2::numeric, $3::varchar, $4::oid[]").await,
        ["uuid", "numeric", "character varying", "oid[]"]
    );
    assert_eq!(
        parameters("select abs($1), round($2, 2), length($3), mod($4, 3), power($5, 2)").await,
        ["double precision", "numeric", "text", "integer", "double precision"]
    );
    assert_eq!(parameters("select 1 union all select $1").await, ["integer"]);
    assert_eq!(parameters("select * from t where id = $1 and g = $2").await, ["integer", "text"]);
    assert_eq!(
        parameters("select * from t where id in ($1, $2) limit $3").await,
        ["integer", "integer", "bigint"]
    );
    assert_eq!(parameters("select $1::int, $2").await, ["integer", "text"]);
    assert_eq!(
        parameters("select x + $1, d - $2, $3 || g from t").await,
        ["double precision", "date", "text"]
    );
    assert_eq!(
        parameters("select coalesce(k, $1), case when f then id else $2 end from t").await,
        ["integer", "integer"]
    );
    assert_eq!(
        parameters("select id from t where k between $1 and $2 or $1 is null").await,
        ["integer", "integer"]
    );
}
