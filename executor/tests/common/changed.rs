//! The sharded tables after many changes, with the rows that they would have without.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, RecordBatch, StringViewArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use quickdb_executor::table::{COLUMN_KEY, MISSING_KEY, missing_value};
use quickdb_storage::RoaringBitmap;

use super::junk::{mix, with_deleted_rows};
use super::{TestTable, cut, sharded};

/// What `added` is in shards that lack it.
const DEFAULT: i32 = 7;

/// The rows of every table are spread over `pieces` shards and a tail. In every second shard other rows were deleted
/// from between them. Every third one was written when the table had its columns in another order, under other names
/// and one more, and had not yet `added` (with a default) and `later` (without). The table `fresh` has a tail only, and
/// `emptied` one shard whose rows are all deleted.
pub fn changed_tables(pieces: usize) -> Vec<TestTable> {
    let mut tables: Vec<TestTable> =
        sharded().into_iter().map(|(name, batch)| changed(name, &batch, pieces)).collect();
    let whole = |name: &'static str, batch: RecordBatch| TestTable {
        name,
        schema: batch.schema(),
        shards: vec![],
        tail: None,
        rows: batch,
    };
    let (_, visits) = sharded().remove(1);
    let fresh = whole("fresh", visits.slice(0, 100));
    tables.push(TestTable { tail: Some(fresh.rows.clone()), ..fresh });
    let emptied = whole("emptied", visits.slice(0, 0));
    let all: RoaringBitmap = (0..100).collect();
    let columns = (0..visits.num_columns()).map(Some).collect();
    tables.push(TestTable { shards: vec![(visits.slice(0, 100), all, columns)], ..emptied });
    tables
}

fn changed(name: &'static str, batch: &RecordBatch, pieces: usize) -> TestTable {
    let numbered = |field: &Field, number: usize| {
        let metadata = HashMap::from([(COLUMN_KEY.to_owned(), number.to_string())]);
        field.clone().with_metadata(metadata)
    };
    let old_fields: Vec<Field> =
        batch.schema().fields().iter().enumerate().map(|(number, field)| numbered(field, number)).collect();
    let count = old_fields.len();
    let mut fields = old_fields.clone();
    let mut added = numbered(&Field::new("added", DataType::Int32, false), count + 1);
    let default = missing_value(&ScalarValue::Int32(Some(DEFAULT))).unwrap();
    added.set_metadata(
        added.metadata().clone().into_iter().chain([(MISSING_KEY.to_owned(), default)]).collect(),
    );
    fields.push(added);
    fields.push(numbered(&Field::new("later", DataType::Utf8View, true), count + 2));
    let schema = Arc::new(Schema::new(fields));

    // What was a column and is none: its number is that of no column now, its name is.
    let gone = numbered(&Field::new("later", DataType::Int32, true), count);
    let renamed = |field: &Field| field.clone().with_name(format!("old_{}", field.name()));
    let old_schema =
        Arc::new(Schema::new(old_fields.iter().rev().map(renamed).chain([gone]).collect::<Vec<_>>()));

    let tail_rows = batch.num_rows() / 20;
    let in_shards = batch.num_rows() - tail_rows;
    let mut parts = cut(&batch.slice(0, in_shards), pieces);
    parts.push(batch.slice(in_shards, tail_rows));
    let (mut shards, mut columns_now) = (vec![], vec![vec![]; count + 2]);
    let mut tail = None;
    for (piece, part) in parts.into_iter().enumerate() {
        let rows = part.num_rows();
        let is_tail = piece == pieces;
        let is_old = piece % 3 == 0 && !is_tail;
        let number = |row: usize| i32::try_from(mix((piece * 1_000_003 + row) as u64) % 20).unwrap();
        let added: ArrayRef = if is_old {
            Arc::new(Int32Array::from(vec![DEFAULT; rows]))
        } else {
            Arc::new(Int32Array::from_iter_values((0..rows).map(number)))
        };
        let text =
            |row: usize| (!is_old && number(row) % 4 > 0).then(|| format!("later {}", number(row) % 3));
        let later: ArrayRef = Arc::new((0..rows).map(text).collect::<StringViewArray>());
        let now: Vec<ArrayRef> = part.columns().iter().cloned().chain([added, later]).collect();
        for (all, column) in columns_now.iter_mut().zip(&now) {
            all.push(Arc::clone(column));
        }
        let now = RecordBatch::try_new(Arc::clone(&schema), now).unwrap();
        if is_tail {
            tail = Some(now);
            continue;
        }
        let (written, columns) = if is_old {
            let junk: ArrayRef = Arc::new(Int32Array::from_iter_values((0..rows).map(number)));
            let columns = part.columns().iter().rev().cloned().chain([junk]).collect();
            let present = (0..count).rev().map(Some).chain([None, None]).collect();
            (RecordBatch::try_new(Arc::clone(&old_schema), columns).unwrap(), present)
        } else {
            (now, (0..count + 2).map(Some).collect())
        };
        shards.push(if piece % 2 == 0 && rows > 0 {
            let (written, deleted) = with_deleted_rows(&written, 4);
            (written, deleted, columns)
        } else {
            (written, RoaringBitmap::new(), columns)
        });
    }
    let plain = schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new()));
    let plain = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
    let whole = columns_now.iter().map(|parts| {
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        concat(&parts).unwrap()
    });
    let rows = RecordBatch::try_new(plain, whole.collect()).unwrap();
    TestTable { name, schema, shards, tail, rows }
}
