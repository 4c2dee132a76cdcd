//! Rows of small writes, which are durable in the catalogue and lie in no shard yet.
//!
//! ```text
//!  insert ─▶ entry, one row of SQLite ─▶ open: up to 128 entries ─▶ sealed: chunks of many entries, one batch each
//!                                                   └── all together are the table's tail in a scan ──┘
//! ```
//!
//! A log is immutable like the snapshot it belongs to; adding to one makes another that shares its chunks.
//!
//! **Invariant:** an entry's rows only ever become fewer, so that its number and its count say which rows it has.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use quickdb_executor::table::Tail;
use roaring::RoaringBitmap;

use super::error::{CatalogueError, CatalogueResult};
use super::evolve::in_schema;

/// Entries that are kept one by one; more are put together.
const OPEN_MAX: usize = 128;

/// The rows of one small write.
#[derive(Debug, Clone)]
pub struct LogEntry {
    /// Its number, unique in the catalogue.
    pub seq: u64,
    /// Its rows in the schema of the table's revision.
    pub rows: RecordBatch,
    /// The rows as SQLite keeps them.
    pub bytes: Arc<[u8]>,
}

impl LogEntry {
    /// An entry of these rows.
    ///
    /// # Errors
    /// The rows cannot be encoded.
    pub fn new(seq: u64, rows: RecordBatch) -> CatalogueResult<Self> {
        let bytes = encode(&rows)?;
        Ok(Self { seq, rows, bytes })
    }
}

/// Entries put together.
#[derive(Debug)]
struct Chunk {
    /// Number and rows of each entry.
    entries: Vec<(u64, usize)>,
    rows: RecordBatch,
}

/// Rows of one entry, for their removal.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedRows {
    /// The entry.
    pub seq: u64,
    /// How many rows it has before.
    pub count: usize,
    /// Which of them, counted from 0 in the entry; `None` for all.
    pub rows: Option<RoaringBitmap>,
}

/// The rows of one table that lie in no shard yet.
#[derive(Debug, Clone, Default)]
pub struct Log {
    sealed: Arc<Vec<Arc<Chunk>>>,
    open: Arc<Vec<Arc<LogEntry>>>,
    rows: u64,
    bytes: u64,
    tail: Arc<OnceLock<Arc<Tail>>>,
}

/// What SQLite has to do so that it holds another log.
#[derive(Debug, Default)]
pub(super) struct LogDifference {
    /// Numbers of the entries that go.
    pub(super) removed: Vec<u64>,
    /// Entries that are new or have other rows.
    pub(super) written: Vec<LogEntry>,
}

impl Log {
    /// Rows in the log.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// About how many bytes they take.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows in order.
    pub fn batches(&self) -> Vec<RecordBatch> {
        let sealed = self.sealed.iter().map(|chunk| chunk.rows.clone());
        sealed.chain(self.open.iter().map(|entry| entry.rows.clone())).collect()
    }

    /// The rows as a scan takes them; made once for each log.
    ///
    /// # Errors
    /// They cannot be encoded as a shard.
    pub fn tail(&self, schema: &SchemaRef) -> CatalogueResult<Option<Arc<Tail>>> {
        if self.is_empty() {
            return Ok(None);
        }
        if let Some(tail) = self.tail.get() {
            return Ok(Some(Arc::clone(tail)));
        }
        let tail = Tail::new(Arc::clone(schema), self.batches());
        let tail = Arc::new(tail.map_err(|error| CatalogueError::Rows(error.to_string()))?);
        Ok(Some(Arc::clone(self.tail.get_or_init(|| tail))))
    }

    /// The log with one more entry.
    pub(super) fn with(&self, entry: LogEntry) -> CatalogueResult<Self> {
        let (rows, bytes) = (self.rows + entry.rows.num_rows() as u64, self.bytes + entry.bytes.len() as u64);
        let mut open = Vec::with_capacity(self.open.len() + 1);
        open.extend(self.open.iter().map(Arc::clone));
        open.push(Arc::new(entry));
        let mut sealed = Arc::clone(&self.sealed);
        if open.len() >= OPEN_MAX {
            let chunk = Arc::new(Chunk::of(&open)?);
            Arc::make_mut(&mut sealed).push(chunk);
            open.clear();
        }
        Ok(Self { sealed, open: Arc::new(open), rows, bytes, tail: Arc::default() })
    }

    /// Number and rows of each entry in order.
    fn entries(&self) -> impl Iterator<Item = (u64, usize)> {
        let sealed = self.sealed.iter().flat_map(|chunk| chunk.entries.iter().copied());
        sealed.chain(self.open.iter().map(|entry| (entry.seq, entry.rows.num_rows())))
    }

    /// All rows, for their removal.
    pub fn all(&self) -> Vec<LoggedRows> {
        self.entries().map(|(seq, count)| LoggedRows { seq, count, rows: None }).collect()
    }

    /// The rows of these numbers, counted from 0 over the whole log, for their removal.
    pub fn locate(&self, numbers: &RoaringBitmap) -> Vec<LoggedRows> {
        let mut found = Vec::new();
        let mut first = 0_u32;
        for (seq, count) in self.entries() {
            let end = first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            let rows: RoaringBitmap = numbers.range(first..end).map(|number| number - first).collect();
            if !rows.is_empty() {
                found.push(LoggedRows { seq, count, rows: Some(rows) });
            }
            first = end;
        }
        found
    }

    /// The log without these rows; `None` when it does not have them (any more).
    pub(super) fn without(&self, removed: &[LoggedRows]) -> CatalogueResult<Option<Self>> {
        let by_entry: HashMap<u64, &LoggedRows> = removed.iter().map(|rows| (rows.seq, rows)).collect();
        let mut sealed = Vec::new();
        let mut found = 0;
        let open = (!self.open.is_empty()).then(|| Chunk::of(&self.open).map(Arc::new)).transpose()?;
        for chunk in self.sealed.iter().chain(&open) {
            let touched = chunk.entries.iter().filter_map(|(seq, count)| Some((by_entry.get(seq)?, *count)));
            let touched = touched.collect::<Vec<_>>();
            if touched.iter().any(|(rows, count)| rows.count != *count) {
                return Ok(None);
            }
            found += touched.len();
            if touched.is_empty() {
                sealed.push(Arc::clone(chunk));
            } else if let Some(kept) = chunk.without(&by_entry)? {
                sealed.push(Arc::new(kept));
            }
        }
        if found != by_entry.len() {
            return Ok(None);
        }
        let rows = sealed.iter().map(|chunk| chunk.rows.num_rows() as u64).sum::<u64>();
        // In proportion: what an entry weighed is not kept.
        let bytes = if self.rows == 0 { 0 } else { self.bytes * rows / self.rows };
        let log = Self { sealed: Arc::new(sealed), open: Arc::default(), rows, bytes, tail: Arc::default() };
        Ok(Some(log))
    }

    /// The same rows in another schema of the table. What SQLite has of them stays: it is read in the schema that it
    /// was written in.
    pub(super) fn in_schema(&self, schema: &SchemaRef) -> CatalogueResult<Self> {
        let evolved = |rows: &RecordBatch| {
            in_schema(rows, schema).map_err(|error| CatalogueError::Rows(error.to_string()))
        };
        let sealed = self
            .sealed
            .iter()
            .map(|chunk| Ok(Arc::new(Chunk { entries: chunk.entries.clone(), rows: evolved(&chunk.rows)? })));
        let open = self.open.iter().map(|entry| {
            let entry = LogEntry { rows: evolved(&entry.rows)?, ..LogEntry::clone(entry) };
            Ok(Arc::new(entry))
        });
        Ok(Self {
            sealed: Arc::new(sealed.collect::<CatalogueResult<_>>()?),
            open: Arc::new(open.collect::<CatalogueResult<_>>()?),
            tail: Arc::default(),
            ..self.clone()
        })
    }

    /// A log of entries as SQLite has them.
    pub(super) fn of_entries(
        entries: impl IntoIterator<Item = (u64, Vec<u8>)>,
        schema: &SchemaRef,
    ) -> CatalogueResult<Self> {
        let mut log = Self::default();
        for (seq, bytes) in entries {
            let rows = in_schema(&decode(&bytes)?, schema);
            let rows = rows.map_err(|error| CatalogueError::Rows(error.to_string()))?;
            log = log.with(LogEntry { seq, rows, bytes: bytes.into() })?;
        }
        Ok(log)
    }

    /// What turns the stored form of `before` into that of this log.
    pub(super) fn difference(&self, before: &Log) -> CatalogueResult<LogDifference> {
        // A log that only grew within its open entries, as nearly always.
        let grew = self.sealed.len() == before.sealed.len()
            && self.open.len() > before.open.len()
            && self.open.iter().zip(before.open.iter()).all(|(new, old)| Arc::ptr_eq(new, old))
            && self.sealed.iter().zip(before.sealed.iter()).all(|(new, old)| Arc::ptr_eq(new, old));
        if grew {
            let written =
                self.open.iter().skip(before.open.len()).map(|entry| LogEntry::clone(entry)).collect();
            return Ok(LogDifference { written, removed: Vec::new() });
        }
        let mut old = HashMap::new();
        for chunk in before.sealed.iter() {
            old.extend(chunk.entries.iter().map(|(seq, rows)| (*seq, *rows)));
        }
        old.extend(before.open.iter().map(|entry| (entry.seq, entry.rows.num_rows())));
        let mut difference = LogDifference::default();
        for chunk in self.sealed.iter() {
            let mut first = 0;
            for (seq, rows) in &chunk.entries {
                // Rows only ever go from an entry, so that one of the same length is the same.
                if old.remove(seq) != Some(*rows) {
                    difference.written.push(LogEntry::new(*seq, chunk.rows.slice(first, *rows))?);
                }
                first += rows;
            }
        }
        for entry in self.open.iter() {
            if old.remove(&entry.seq).is_none() {
                difference.written.push((**entry).clone());
            }
        }
        difference.removed = old.into_keys().collect();
        Ok(difference)
    }
}

impl Chunk {
    fn of(entries: &[Arc<LogEntry>]) -> CatalogueResult<Self> {
        let Some(first) = entries.first() else {
            return Err(CatalogueError::Rows("a chunk of no entries".into()));
        };
        let rows = concat_batches(&first.rows.schema(), entries.iter().map(|entry| &entry.rows));
        let entries = entries.iter().map(|entry| (entry.seq, entry.rows.num_rows())).collect();
        Ok(Self { entries, rows: rows.map_err(rows_error)? })
    }

    /// The chunk without some rows of its entries; `None` when none is left.
    fn without(&self, removed: &HashMap<u64, &LoggedRows>) -> CatalogueResult<Option<Self>> {
        let mut entries = Vec::new();
        let mut keep = Vec::with_capacity(self.rows.num_rows());
        for (seq, count) in &self.entries {
            let kept_before = keep.len();
            match removed.get(seq).map(|rows| &rows.rows) {
                None => keep.extend(std::iter::repeat_n(true, *count)),
                Some(None) => keep.extend(std::iter::repeat_n(false, *count)),
                Some(Some(rows)) => {
                    let numbers = 0..u32::try_from(*count).unwrap_or(u32::MAX);
                    keep.extend(numbers.map(|number| !rows.contains(number)));
                }
            }
            let kept = keep.iter().skip(kept_before).filter(|stays| **stays).count();
            if kept > 0 {
                entries.push((*seq, kept));
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let rows = filter_record_batch(&self.rows, &BooleanArray::from(keep)).map_err(rows_error)?;
        Ok(Some(Self { entries, rows }))
    }
}

fn rows_error(error: ArrowError) -> CatalogueError {
    CatalogueError::Rows(error.to_string())
}

fn encode(rows: &RecordBatch) -> CatalogueResult<Arc<[u8]>> {
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &rows.schema()).map_err(rows_error)?;
    writer.write(rows).map_err(rows_error)?;
    writer.finish().map_err(rows_error)?;
    drop(writer);
    Ok(bytes.into())
}

fn decode(bytes: &[u8]) -> CatalogueResult<RecordBatch> {
    let mut reader = StreamReader::try_new(bytes, None).map_err(rows_error)?;
    let rows = reader.next().ok_or_else(|| CatalogueError::Corrupt("a log entry without rows".into()))?;
    rows.map_err(rows_error)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]))
    }

    fn entry(seq: u64, values: std::ops::Range<i64>) -> LogEntry {
        let rows = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(values))]);
        LogEntry::new(seq, rows.unwrap()).unwrap()
    }

    fn values(log: &Log) -> Vec<i64> {
        let batches = log.batches();
        let columns = batches.iter().flat_map(|batch| {
            batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
        });
        columns.collect()
    }

    /// Does to a map what SQLite would do to its rows.
    fn store(stored: &mut std::collections::BTreeMap<u64, Vec<u8>>, difference: LogDifference) {
        for seq in difference.removed {
            assert!(stored.remove(&seq).is_some());
        }
        for entry in difference.written {
            stored.insert(entry.seq, entry.bytes.to_vec());
        }
    }

    #[test]
    fn what_is_stored_reads_back_as_the_log_whatever_was_done_to_it() {
        let mut log = Log::default();
        let mut stored = std::collections::BTreeMap::new();
        let mut expected: Vec<i64> = Vec::new();
        for seq in 0..400_u64 {
            let first = i64::try_from(seq).unwrap() * 10;
            let range = first..first + i64::try_from(seq % 4).unwrap() + 1;
            expected.extend(range.clone());
            let next = log.with(entry(seq, range)).unwrap();
            store(&mut stored, next.difference(&log).unwrap());
            log = next;
            if seq % 50 == 49 {
                let removed: RoaringBitmap =
                    (0..u32::try_from(log.rows()).unwrap()).filter(|row| row % 7 == 3).collect();
                let mut row = 0;
                expected.retain(|_| {
                    row += 1;
                    !removed.contains(row - 1)
                });
                let next = log.without(&log.locate(&removed)).unwrap().unwrap();
                store(&mut stored, next.difference(&log).unwrap());
                log = next;
            }
            if seq == 333 {
                let first: Vec<_> = log.all().into_iter().take(100).collect();
                let next = log.without(&first).unwrap().unwrap();
                assert!(next.without(&first).unwrap().is_none());
                expected.drain(..first.iter().map(|rows| rows.count).sum::<usize>());
                store(&mut stored, next.difference(&log).unwrap());
                log = next;
            }
        }
        assert_eq!(values(&log), expected);
        assert_eq!(log.rows(), expected.len() as u64);
        let read = Log::of_entries(stored, &schema()).unwrap();
        assert_eq!(values(&read), expected);
    }

    #[test]
    fn an_earlier_log_stays_as_it_was() {
        let first = Log::default().with(entry(1, 0..3)).unwrap();
        let second = first.with(entry(2, 5..6)).unwrap();
        let third = second.without(&second.locate(&RoaringBitmap::from_iter([0, 3]))).unwrap().unwrap();
        // The first entry is not what it was.
        assert!(third.without(&second.all()).unwrap().is_none());
        assert_eq!(
            (values(&first), values(&second), values(&third)),
            (vec![0, 1, 2], vec![0, 1, 2, 5], vec![1, 2])
        );
    }
}
