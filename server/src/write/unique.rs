//! Unique keys: what is written must not be there yet.
//!
//! ```text
//!  new rows ─▶ among themselves ─▶ the log ─▶ shards whose bounds say that they may have one of the keys: a query
//! ```
//!
//! Nothing here has an index. Keys that grow, as those of sequences do, lie beyond the bounds of every shard and cost a
//! look at the log; others cost a scan of the key's columns that is pruned by zone maps. Two sessions that write the same
//! key at once are told apart when they commit (`catalogue::keys`).

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int16Type, Int32Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, lit};
use quickdb_executor::functions::text_of::text_of;
use quickdb_storage::{Bound, ShardId, ZoneMap};

use super::returning::quoted;
use crate::catalogue::{Change, ConstraintKind, Table, TableDefinition};
use crate::error::{PgError, SqlState};
use crate::session::Session;

/// A unique key of a table.
#[derive(Debug, Clone)]
pub(crate) struct UniqueKey {
    /// The constraint or index.
    pub(crate) name: String,
    /// Positions of its columns.
    pub(crate) columns: Vec<usize>,
}

/// Rows that a statement has put into a table.
#[derive(Debug, Default)]
pub(crate) enum Fresh {
    #[default]
    None,
    /// These.
    Few(Vec<RecordBatch>),
    /// More than are held; by key, whether its values only grew.
    Many(Vec<bool>),
}

/// The unique keys of a table.
pub(crate) fn keys_of(table: &TableDefinition) -> Vec<UniqueKey> {
    let unique = table.constraints.iter().filter(|known| match known.kind {
        ConstraintKind::PrimaryKey | ConstraintKind::Unique => true,
        // One over expressions, or over some of the rows, is kept and shown only.
        ConstraintKind::UniqueIndex => !known.definition.contains(NOT_ENFORCED),
        _ => false,
    });
    let position = |number: &u32| table.columns.iter().position(|column| column.number == *number);
    let keys = unique.filter_map(|known| {
        let columns = known.columns.iter().map(position).collect::<Option<Vec<_>>>()?;
        (!columns.is_empty()).then(|| UniqueKey { name: known.name.clone(), columns })
    });
    keys.collect()
}

/// What follows the method of an index that is not enforced.
pub(crate) const NOT_ENFORCED: &str = " not enforced";

/// Whether rows that come in order have keys that only grow, so that none comes twice.
#[derive(Debug, Clone)]
pub(crate) struct Growing {
    column: usize,
    last: Option<i64>,
    holds: bool,
}

impl Growing {
    /// Nothing seen yet of a key. Only one of one whole number is looked at.
    pub(crate) fn of(key: &UniqueKey, table: &TableDefinition) -> Self {
        let column = match key.columns.as_slice() {
            [column] => Some(*column),
            _ => None,
        };
        let whole = |column: &usize| {
            let data_type = table.columns.get(*column).map(|column| column.pg_type.data_type());
            matches!(data_type, Some(DataType::Int16 | DataType::Int32 | DataType::Int64))
        };
        let column = column.filter(whole);
        Self { column: column.unwrap_or_default(), last: None, holds: column.is_some() }
    }

    pub(crate) fn see(&mut self, batch: &RecordBatch) {
        if !self.holds {
            return;
        }
        let values = batch.column(self.column);
        self.holds = values.null_count() == 0
            && match values.data_type() {
                DataType::Int16 => {
                    self.grows(values.as_primitive::<Int16Type>().values().iter().map(|v| i64::from(*v)))
                }
                DataType::Int32 => {
                    self.grows(values.as_primitive::<Int32Type>().values().iter().map(|v| i64::from(*v)))
                }
                DataType::Int64 => self.grows(values.as_primitive::<Int64Type>().values().iter().copied()),
                _ => false,
            };
    }

    fn grows(&mut self, values: impl Iterator<Item = i64>) -> bool {
        for value in values {
            if self.last.is_some_and(|last| last >= value) {
                return false;
            }
            self.last = Some(value);
        }
        true
    }

    pub(crate) fn holds(&self) -> bool {
        self.holds
    }
}

/// Keys of rows in a form that compares and hashes; rows with a NULL in the key have none.
pub(crate) struct Encoder {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Encoder {
    pub(crate) fn new(key: &UniqueKey, table: &TableDefinition) -> Result<Self, PgError> {
        let schema = table.arrow_schema();
        let fields =
            key.columns.iter().map(|column| SortField::new(schema.field(*column).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(wrong)?;
        Ok(Self { converter, columns: key.columns.clone() })
    }

    /// One for each row.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<Vec<Option<Box<[u8]>>>, PgError> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| Arc::clone(batch.column(*column))).collect();
        let rows = self.converter.convert_columns(&columns).map_err(wrong)?;
        let keys = (0..batch.num_rows()).map(|row| {
            let is_null = columns.iter().any(|column| column.is_null(row));
            (!is_null).then(|| Box::from(rows.row(row).as_ref()))
        });
        Ok(keys.collect())
    }
}

fn wrong(error: arrow::error::ArrowError) -> PgError {
    PgError::from_datafusion(error.into(), None)
}

/// 23505 for the row of a batch.
pub(crate) fn duplicate(
    table: &TableDefinition,
    key: &UniqueKey,
    batch: &RecordBatch,
    row: usize,
) -> Result<PgError, PgError> {
    let columns: Vec<&ArrayRef> = key.columns.iter().map(|column| batch.column(*column)).collect();
    let detail = format!("{} already exists.", shown(table, key, &columns, row)?);
    let message = format!("duplicate key value violates unique constraint \"{}\"", key.name);
    let mut error = PgError::with_state(SqlState("23505"), message).detail(detail);
    error.schema = Some(table.schema.clone());
    error.table = Some(table.name.clone());
    Ok(error)
}

/// `Key (a, b)=(1, x)` as PostgreSQL says it.
fn shown(
    table: &TableDefinition,
    key: &UniqueKey,
    columns: &[&ArrayRef],
    row: usize,
) -> Result<String, PgError> {
    let names = key.columns.iter().filter_map(|column| table.columns.get(*column));
    let names: Vec<&str> = names.map(|column| column.name.as_str()).collect();
    let values = columns.iter().map(|column| {
        let text = text_of(column, row).map_err(|error| PgError::from_datafusion(error, None));
        text.map(Option::unwrap_or_default)
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    Ok(format!("Key ({})=({})", names.join(", "), values.join(", ")))
}

/// Refuses rows that have a key twice, once the session's view has them.
///
/// # Errors
/// 23505 with the first key that is there twice.
pub(crate) async fn enforce(
    session: &mut Session,
    definition: &TableDefinition,
    changes: &[Change],
    fresh: &Fresh,
) -> Result<(), PgError> {
    let keys = keys_of(definition);
    if keys.is_empty() || matches!(fresh, Fresh::None) {
        return Ok(());
    }
    let table = session.snapshot().table_by_id(definition.id).cloned();
    let Some(table) = table else { return Ok(()) };
    let new_shards = changes.iter().flat_map(|change| match change {
        Change::AddShards { shards, .. } => shards.iter().map(|shard| shard.id).collect(),
        _ => Vec::new(),
    });
    let new_shards: Vec<ShardId> = new_shards.collect();
    let mut hashes = Some(Vec::new());
    for (place, key) in keys.iter().enumerate() {
        match fresh {
            Fresh::None => {}
            Fresh::Few(batches) => {
                let found = few(session, &table, key, batches, &new_shards).await?;
                if let Some(hashes) = &mut hashes {
                    hashes.extend(found);
                }
            }
            Fresh::Many(growing) => {
                hashes = None;
                let grows = growing.get(place).copied().unwrap_or(false);
                many(session, &table, key, grows, &new_shards).await?;
            }
        }
    }
    session.note_keys(definition.id, hashes)
}

/// Checks some rows; gives the hashes of their keys.
async fn few(
    session: &mut Session,
    table: &Table,
    key: &UniqueKey,
    batches: &[RecordBatch],
    new_shards: &[ShardId],
) -> Result<Vec<u64>, PgError> {
    let encoder = Encoder::new(key, table)?;
    let mut counts: HashMap<Box<[u8]>, u32> = HashMap::new();
    let mut hashes = Vec::new();
    for batch in batches {
        for (row, bytes) in encoder.keys(batch)?.into_iter().enumerate() {
            let Some(bytes) = bytes else { continue };
            let mut hasher = DefaultHasher::new();
            (&key.name, &bytes).hash(&mut hasher);
            hashes.push(hasher.finish());
            if counts.insert(bytes, 0).is_some() {
                return Err(duplicate(table, key, batch, row)?);
            }
        }
    }
    if counts.is_empty() {
        return Ok(hashes);
    }
    // The new rows are in the log themselves, unless they went into shards.
    let own = u32::from(new_shards.is_empty());
    for batch in table.log.batches() {
        for (row, bytes) in encoder.keys(&batch)?.into_iter().enumerate() {
            let Some(count) = bytes.and_then(|bytes| counts.get_mut(&bytes)) else { continue };
            *count += 1;
            if *count > own {
                return Err(duplicate(table, key, &batch, row)?);
            }
        }
    }
    let bounds = bounds_of(key, batches)?;
    if overlaps(table, key, &bounds, new_shards) {
        let filter = values_filter(key, batches)?;
        repeated(session, table, key, filter).await?;
    }
    Ok(hashes)
}

async fn many(
    session: &mut Session,
    table: &Table,
    key: &UniqueKey,
    grows: bool,
    new_shards: &[ShardId],
) -> Result<(), PgError> {
    let new = table.shards.iter().filter(|shard| new_shards.contains(&shard.id));
    let bounds = key.columns.iter().map(|column| {
        merged(new.clone().map(|shard| {
            let summary = table.columns.get(*column).and_then(|column| shard.summary(column))?;
            let whole = summary.nan_count == 0 && (summary.min.is_some() || summary.null_count == shard.rows);
            whole.then(|| (summary.min.clone(), summary.max.clone()))
        }))
    });
    let bounds: Bounds = bounds.collect();
    let mut beyond = grows && !overlaps(table, key, &bounds, new_shards);
    for batch in &table.log.batches() {
        if !beyond {
            break;
        }
        let logged = bounds_of(key, std::slice::from_ref(batch))?;
        beyond = bounds.iter().zip(&logged).any(|(a, b)| apart(a, b));
    }
    if beyond {
        return Ok(());
    }
    let filter = match (bounds.first(), key.columns.first()) {
        (Some((Some(Bound::Int(min)), Some(Bound::Int(max)))), Some(column)) => {
            let data_type = table.columns.get(*column).map(|column| column.pg_type.data_type());
            data_type.and_then(|data_type| {
                let bound = |value: i64| ScalarValue::Int64(Some(value)).cast_to(&data_type).ok();
                let whole = matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64);
                whole.then_some(())?;
                Some(vec![Filter::Between(bound(*min)?, bound(*max)?)])
            })
        }
        _ => None,
    };
    repeated(session, table, key, filter.unwrap_or_default()).await
}

type Bounds = Vec<(Option<Bound>, Option<Bound>)>;

fn bounds_of(key: &UniqueKey, batches: &[RecordBatch]) -> Result<Bounds, PgError> {
    let bounds = key.columns.iter().map(|column| {
        let maps = batches.iter().map(|batch| ZoneMap::gather(batch.column(*column).as_ref()));
        merged(maps.map(|map| {
            let whole = map.nan_count == 0 && (map.min.is_some() || map.null_count == map.row_count);
            whole.then_some((map.min, map.max))
        }))
    });
    Ok(bounds.collect())
}

/// The range around ranges; one that is not known makes it unknown.
fn merged(
    ranges: impl Iterator<Item = Option<(Option<Bound>, Option<Bound>)>>,
) -> (Option<Bound>, Option<Bound>) {
    let (mut min, mut max) = (None, None);
    for range in ranges {
        let Some((low, high)) = range else { return (None, None) };
        min = [min, low].into_iter().flatten().min();
        max = [max, high].into_iter().flatten().max();
    }
    (min, max)
}

/// Whether no value lies in both ranges. A range without bounds may have anything.
fn apart(a: &(Option<Bound>, Option<Bound>), b: &(Option<Bound>, Option<Bound>)) -> bool {
    let below = |high: &Option<Bound>, low: &Option<Bound>| match (high, low) {
        (Some(high), Some(low)) => high < low,
        _ => false,
    };
    below(&a.1, &b.0) || below(&b.1, &a.0)
}

/// Whether shards that were there may have rows with such keys.
fn overlaps(table: &Table, key: &UniqueKey, bounds: &Bounds, new_shards: &[ShardId]) -> bool {
    let old = table.shards.iter().filter(|shard| !new_shards.contains(&shard.id) && shard.live_rows() > 0);
    let mut old = old.map(|shard| {
        key.columns.iter().zip(bounds).all(|(column, bounds)| {
            let summary = table.columns.get(*column).and_then(|column| shard.summary(column));
            match summary {
                Some(summary) => !apart(bounds, &(summary.min.clone(), summary.max.clone())),
                None => true,
            }
        })
    });
    old.any(|overlaps| overlaps)
}

/// What a column of a key is to be.
enum Filter {
    In(Vec<ScalarValue>),
    Between(ScalarValue, ScalarValue),
}

fn values_filter(key: &UniqueKey, batches: &[RecordBatch]) -> Result<Vec<Filter>, PgError> {
    key.columns
        .iter()
        .map(|column| {
            let mut values = std::collections::HashSet::new();
            for batch in batches {
                let column = batch.column(*column);
                for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
                    let value = ScalarValue::try_from_array(column, row);
                    values.insert(value.map_err(|error| PgError::from_datafusion(error, None))?);
                }
            }
            Ok(Filter::In(values.into_iter().collect()))
        })
        .collect()
}

/// Looks for a key that is there twice, among the rows that the filters leave.
async fn repeated(
    session: &mut Session,
    table: &Table,
    key: &UniqueKey,
    filters: Vec<Filter>,
) -> Result<(), PgError> {
    match first_repeated(session, table, key, filters).await? {
        None => Ok(()),
        Some(columns) => {
            let columns: Vec<&ArrayRef> = columns.iter().collect();
            let detail = format!("{} already exists.", shown(table, key, &columns, 0)?);
            let message = format!("duplicate key value violates unique constraint \"{}\"", key.name);
            let mut error = PgError::with_state(SqlState("23505"), message).detail(detail);
            error.schema = Some(table.schema.clone());
            error.table = Some(table.name.clone());
            Err(error)
        }
    }
}

/// Whether a key that is to be is there twice already.
///
/// # Errors
/// 23505.
pub(crate) async fn verify_new(session: &mut Session, table: &Table, key: &UniqueKey) -> Result<(), PgError> {
    match first_repeated(session, table, key, Vec::new()).await? {
        None => Ok(()),
        Some(columns) => {
            let columns: Vec<&ArrayRef> = columns.iter().collect();
            let detail = format!("{} is duplicated.", shown(table, key, &columns, 0)?);
            let message = format!("could not create unique index \"{}\"", key.name);
            let mut error = PgError::with_state(SqlState("23505"), message).detail(detail);
            error.schema = Some(table.schema.clone());
            error.table = Some(table.name.clone());
            Err(error)
        }
    }
}

/// The values of a key that is there twice.
async fn first_repeated(
    session: &mut Session,
    table: &Table,
    key: &UniqueKey,
    filters: Vec<Filter>,
) -> Result<Option<Vec<ArrayRef>>, PgError> {
    let wrong = |error| PgError::from_datafusion(error, None);
    let names = key.columns.iter().filter_map(|column| table.columns.get(*column));
    let names: Vec<String> = names.map(|column| quoted(&column.name)).collect();
    let text = format!("SELECT {} FROM {}.{}", names.join(", "), quoted(&table.schema), quoted(&table.name));
    let planned = session.plan_text(&text).await?;
    let columns: Vec<Expr> = planned.plan.schema().columns().into_iter().map(Expr::Column).collect();
    let count = session.context().state.aggregate_functions().get("count").cloned();
    let count = count.ok_or_else(|| PgError::with_state(SqlState("XX000"), "there is no count"))?;
    let mut plan = LogicalPlanBuilder::from(planned.plan);
    for (column, filter) in columns.iter().zip(filters) {
        let condition = match filter {
            Filter::In(values) => {
                let values = values.into_iter().map(|value| Expr::Literal(value, None)).collect();
                column.clone().in_list(values, false)
            }
            Filter::Between(low, high) => {
                column.clone().between(Expr::Literal(low, None), Expr::Literal(high, None))
            }
        };
        plan = plan.filter(condition).map_err(wrong)?;
    }
    // NULLs are no values that could be the same.
    for column in &columns {
        plan = plan.filter(column.clone().is_not_null()).map_err(wrong)?;
    }
    let counted = count.call(vec![lit(1_i64)]).alias("quickdb_count");
    let plan = plan.aggregate(columns, vec![counted]).map_err(wrong)?;
    let count = plan.schema().columns().into_iter().last();
    let count =
        count.ok_or_else(|| PgError::with_state(SqlState("XX000"), "an aggregate without columns"))?;
    let plan = plan.filter(Expr::Column(count).gt(lit(1_i64))).and_then(|plan| plan.limit(0, Some(1)));
    let plan = plan.and_then(LogicalPlanBuilder::build).map_err(wrong)?;
    let mut rows = session.start_plan(&plan, None).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(wrong)?;
        if batch.num_rows() > 0 {
            let kept = batch.columns().iter().take(key.columns.len()).cloned().collect();
            return Ok(Some(kept));
        }
    }
    Ok(None)
}
