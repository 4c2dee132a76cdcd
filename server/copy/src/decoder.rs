//! From messages to batches.

use arrow::array::{Array, ArrayRef};

use crate::binary::{BadTuple, TupleSplitter};
use crate::column::{BadField, Column};
use crate::fault::{Fault, LineFault};
use crate::layout::Layout;
use crate::rows::{FIELD_BYTES_MAX, Fields, Place, Rows, Span};
use crate::split::{BadLine, Splitter, Stop};
use crate::unescape;

/// Rows of a batch, the last one of the data aside.
pub const BATCH_ROWS: usize = 32 * 1024;
/// A batch ends early when it was read from so many bytes.
const BATCH_BYTES: usize = 32 << 20;
/// Bytes that are gathered before they are looked at.
const CHUNK_BYTES: usize = 256 * 1024;
/// Rows between the splitting and the reading of columns: their fields stay in the cache in between.
const STEP_ROWS: usize = 1024;

/// The columns of some rows.
#[derive(Debug, Clone)]
pub struct Batch {
    /// One array per column, all of them as long.
    pub columns: Vec<ArrayRef>,
    /// Rows.
    pub rows: usize,
}

enum Source {
    Text(Splitter),
    Binary(TupleSplitter),
}

/// Decodes the data of one `COPY ... FROM STDIN`.
pub struct Decoder {
    source: Source,
    columns: Vec<Column>,
    not_null: Vec<bool>,
    /// Bytes that are not part of a row yet.
    pending: Vec<u8>,
    /// How many of them make the next attempt worth it.
    wanted: usize,
    latin1: bool,
    ended: bool,
    rows: Rows,
    /// In the columns' builders.
    batch_rows: usize,
    batch_bytes: usize,
    total_rows: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("rows", &self.total_rows).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder of text or CSV. `names` are the columns' names, which a header line may have to match; `not_null`
    /// says which columns take no NULL; `latin1` that the bytes are ISO 8859-1 and not UTF-8.
    pub fn text(
        layout: Layout,
        names: Vec<String>,
        columns: Vec<Column>,
        not_null: Vec<bool>,
        latin1: bool,
    ) -> Self {
        Self::new(Source::Text(Splitter::new(layout, names)), columns, not_null, latin1)
    }

    /// A decoder of the binary format, whose columns were made for it.
    pub fn binary(columns: Vec<Column>, not_null: Vec<bool>) -> Self {
        Self::new(Source::Binary(TupleSplitter::new(columns.len())), columns, not_null, false)
    }

    fn new(source: Source, columns: Vec<Column>, not_null: Vec<bool>, latin1: bool) -> Self {
        Self {
            source,
            columns,
            not_null,
            pending: Vec::new(),
            wanted: CHUNK_BYTES,
            latin1,
            ended: false,
            rows: Rows::default(),
            batch_rows: 0,
            batch_bytes: 0,
            total_rows: 0,
        }
    }

    /// Rows that were read.
    pub fn rows(&self) -> u64 {
        self.total_rows
    }

    /// Takes more bytes, cut anywhere; gives the batches that are full.
    ///
    /// # Errors
    /// [`Fault`]: the first error of the data; the decoder is of no use after it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Batch>, Fault> {
        let mut batches = Vec::new();
        if self.ended && matches!(self.source, Source::Text(_)) {
            return Ok(batches);
        }
        if self.pending.is_empty() && bytes.len() >= self.wanted && !self.latin1 {
            let mut at = 0;
            self.process(bytes, &mut at, false, &mut batches)?;
            self.pending.extend_from_slice(bytes.get(at..).unwrap_or_default());
            return Ok(batches);
        }
        if self.latin1 {
            let mut text = String::with_capacity(bytes.len());
            text.extend(bytes.iter().map(|byte| char::from(*byte)));
            self.pending.extend_from_slice(text.as_bytes());
        } else {
            self.pending.extend_from_slice(bytes);
        }
        if self.pending.len() >= self.wanted {
            self.process_pending(false, &mut batches)?;
        }
        Ok(batches)
    }

    /// No more bytes come; gives what is left.
    ///
    /// # Errors
    /// [`Fault`], also for data that ends too early.
    pub fn finish(&mut self) -> Result<Vec<Batch>, Fault> {
        let mut batches = Vec::new();
        self.process_pending(true, &mut batches)?;
        if self.batch_rows > 0 {
            batches.push(self.take_batch()?);
        }
        Ok(batches)
    }

    fn process_pending(&mut self, at_end: bool, batches: &mut Vec<Batch>) -> Result<(), Fault> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut at = 0;
        self.process(&pending, &mut at, at_end, batches)?;
        pending.drain(..at.min(pending.len()));
        self.pending = pending;
        Ok(())
    }

    /// Reads the whole rows of a chunk; `at` moves behind them.
    fn process(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        at_end: bool,
        batches: &mut Vec<Batch>,
    ) -> Result<(), Fault> {
        match &self.source {
            Source::Text(_) if self.ended => {}
            Source::Text(_) => self.process_text(chunk, at, at_end, batches)?,
            Source::Binary(_) => {
                self.steps("", chunk, at, at_end, batches)?;
            }
        }
        let left = chunk.len().saturating_sub(*at);
        // A record that is longer than the chunk is read from its start each time: wait for twice as much.
        self.wanted = (left * 2).max(CHUNK_BYTES);
        if left > FIELD_BYTES_MAX {
            let line = match &self.source {
                Source::Text(splitter) => splitter.next_line(),
                Source::Binary(_) => self.total_rows + 1,
            };
            return Err(Fault::Line { line, text: None, fault: LineFault::TooLong });
        }
        Ok(())
    }

    fn process_text(
        &mut self,
        pending: &[u8],
        at: &mut usize,
        at_end: bool,
        batches: &mut Vec<Batch>,
    ) -> Result<(), Fault> {
        let (text, wrong) = match (std::str::from_utf8(pending), memchr::memchr(0, pending)) {
            (Ok(text), None) => (text, None),
            (checked, zero) => {
                let valid = checked.map_or_else(|error| error.valid_up_to(), str::len);
                let end = zero.map_or(valid, |zero| zero.min(valid));
                let wrong = pending.get(end..).unwrap_or_default();
                // A character that the next message completes.
                let cut = !at_end
                    && zero.is_none_or(|zero| zero > end)
                    && std::str::from_utf8(wrong).is_err_and(|error| error.error_len().is_none());
                let text = pending.get(..end).and_then(|valid| std::str::from_utf8(valid).ok());
                (text.unwrap_or_default(), (!cut).then_some(wrong))
            }
        };
        let whole = text.len() == pending.len();
        let stop = self.steps(text, text.as_bytes(), at, at_end && whole, batches)?;
        let (Some(wrong), false) = (wrong, stop == Stop::End) else { return Ok(()) };
        let line = match &self.source {
            Source::Text(splitter) => splitter.next_line(),
            Source::Binary(_) => 0,
        };
        let fault = LineFault::InvalidUtf8(unescape::wrong_character(wrong));
        Err(Fault::Line { line, text: None, fault })
    }

    /// Splits and reads as long as there are whole rows.
    fn steps(
        &mut self,
        text: &str,
        chunk: &[u8],
        at: &mut usize,
        at_end: bool,
        batches: &mut Vec<Batch>,
    ) -> Result<Stop, Fault> {
        loop {
            let before = *at;
            let mut rows = std::mem::take(&mut self.rows);
            rows.clear();
            let split = match &mut self.source {
                Source::Text(splitter) => {
                    let split = splitter.split(text, at, at_end, STEP_ROWS, &mut rows);
                    split.map_err(|bad| line_fault(bad, text))
                }
                Source::Binary(splitter) => {
                    let split = splitter.split(chunk, at, at_end, STEP_ROWS, &mut rows);
                    split.map_err(|bad| match bad.fault {
                        BadTuple::Line(fault) => Fault::Line { line: bad.number, text: None, fault },
                        BadTuple::Field { column, truncated } => {
                            Fault::Field { line: bad.number, column, truncated }
                        }
                    })
                }
            };
            let read = self.read_rows(text, chunk, &rows);
            self.total_rows += rows.len() as u64;
            self.batch_rows += rows.len();
            self.batch_bytes += at.saturating_sub(before);
            self.rows = rows;
            read?;
            let stop = split?;
            if self.batch_rows >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
                batches.push(self.take_batch()?);
            }
            match stop {
                Stop::Full => {}
                Stop::End => {
                    self.ended = true;
                    return Ok(stop);
                }
                Stop::More => return Ok(stop),
            }
        }
    }

    /// Every column's fields of the rows.
    fn read_rows(&mut self, text: &str, chunk: &[u8], rows: &Rows) -> Result<(), Fault> {
        let stride = self.columns.len();
        let is_text = matches!(self.source, Source::Text(_));
        let line_text = |row: usize| {
            let line: &Span = rows.lines.get(row).filter(|_| is_text)?;
            text.get(line.range()).map(str::to_owned)
        };
        let number = |row: usize| rows.numbers.get(row).copied().unwrap_or(0);
        let mut limit = rows.len();
        let mut worst: Option<(usize, BadField)> = None;
        let mut has_null = Vec::new();
        for (column, (builder, not_null)) in self.columns.iter_mut().zip(&self.not_null).enumerate() {
            let spans = rows.spans.get(column..).unwrap_or_default();
            let fields = Fields { text, bytes: chunk, side: &rows.side, spans, stride };
            match builder.append(fields, limit) {
                Ok(nulls) => {
                    if nulls > 0 && *not_null {
                        has_null.push(column);
                    }
                }
                Err(bad) => {
                    if *not_null {
                        has_null.push(column);
                    }
                    limit = bad.row;
                    worst = Some((column, bad));
                }
            }
        }
        let first_null = |column: &usize| {
            let spans = rows.spans.iter().skip(*column).step_by(stride).take(limit);
            spans.enumerate().find(|(_, span)| span.place() == Place::Null).map(|(row, _)| (row, *column))
        };
        if let Some((row, column)) = has_null.iter().filter_map(first_null).min() {
            let (line, text) = (number(row), line_text(row));
            let whole = self.take_columns()?;
            let row = whole.iter().map(|array| array.slice((self.batch_rows + row).min(array.len()), 1));
            let row = Batch { columns: row.collect(), rows: 1 };
            return Err(Fault::Null { line, column, text, row });
        }
        let Some((column, bad)) = worst else { return Ok(()) };
        let line = number(bad.row);
        Err(match bad.refusal {
            None => Fault::Line { line, text: line_text(bad.row), fault: LineFault::MissingData(column) },
            Some(refusal) => {
                let span = rows.spans.get(bad.row * stride + column).filter(|_| is_text);
                let value = span.and_then(|span| match span.place() {
                    Place::Chunk => text.get(span.range()),
                    Place::Side => rows.side.get(span.range()),
                    _ => None,
                });
                Fault::Value { line, column, text: value.map(str::to_owned), refusal }
            }
        })
    }

    fn take_columns(&mut self) -> Result<Vec<ArrayRef>, Fault> {
        Ok(self.columns.iter_mut().map(Column::finish).collect::<Result<_, _>>()?)
    }

    fn take_batch(&mut self) -> Result<Batch, Fault> {
        let rows = std::mem::take(&mut self.batch_rows);
        self.batch_bytes = 0;
        Ok(Batch { columns: self.take_columns()?, rows })
    }
}

fn line_fault(bad: BadLine, text: &str) -> Fault {
    let line_text = bad.text.and_then(|line| text.get(line.range())).map(str::to_owned);
    Fault::Line { line: bad.number, text: line_text, fault: bad.fault }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    fn integers(layout: Layout) -> Decoder {
        let column = || {
            Column::int32(
                false,
                Box::new(|bytes| Err(format!("no integer: {}", String::from_utf8_lossy(bytes)).into())),
            )
        };
        let names = vec!["a".to_owned(), "b".to_owned()];
        Decoder::text(layout, names, vec![column(), column()], vec![true, false], false)
    }

    fn decode(data: &[u8]) -> (Vec<Batch>, Option<String>) {
        let mut decoder = integers(Layout::text());
        let mut batches = Vec::new();
        let mut run = || {
            for bytes in data.chunks(3) {
                batches.extend(decoder.feed(bytes)?);
            }
            batches.extend(decoder.finish()?);
            Ok::<_, Fault>(())
        };
        let fault = run().err().map(|fault| fault.to_string());
        (batches, fault)
    }

    #[test]
    fn the_first_error_of_the_rows_wins() {
        let fault = |data: &[u8]| decode(data).1.unwrap();
        assert_eq!(fault(b"1\t2\n3\tx\ny\t4\n"), "line 2, column 1: no integer: x");
        assert_eq!(fault(b"1\t2\n3\tx\n\\N\t4\n"), "line 2, column 1: no integer: x");
        assert_eq!(fault(b"1\t2\n\\N\t4\n3\tx\n"), "line 2: NULL in column 0");
        assert_eq!(fault(b"1\tx\n1\t2\t3\n"), "line 1, column 1: no integer: x");
        assert_eq!(fault(b"1\t2\n1\t2\t3\nx\n"), "line 2: extra data after last expected column");
        assert_eq!(fault(b"1\t2\n1\n"), "line 2: missing data for column 1");
        assert_eq!(fault(b"1\t2\nx\n"), "line 2, column 0: no integer: x");
        assert_eq!(fault(b"1\t2\n3\t\xff\n"), "line 2: invalid byte sequence");
        assert_eq!(fault(b"1\tx\n3\t\xff\n"), "line 1, column 1: no integer: x");
    }

    #[test]
    fn rows_of_many_chunks_come_in_batches() {
        let rows: Vec<String> = (0..200_000).map(|i| format!("{i}\t\\N\n")).collect();
        let (batches, fault) = decode(rows.concat().as_bytes());
        assert_eq!(fault, None);
        assert!(batches.iter().all(|batch| batch.rows <= BATCH_ROWS + STEP_ROWS));
        let mut expected = 0..200_000;
        for batch in &batches {
            for value in batch.columns[0].as_primitive::<Int32Type>() {
                assert_eq!(value, expected.next());
            }
            assert_eq!(batch.columns[1].null_count(), batch.rows);
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn what_follows_the_marker_is_not_read() {
        let (batches, fault) = decode(b"1\t2\n\\.\nx\xff\n");
        assert_eq!((batches.len(), fault), (1, None));
    }

    #[test]
    fn latin1_is_taken_as_characters() {
        let reader = Box::new(|text: &str| Ok(text.to_owned()));
        let column = Column::text(false, usize::MAX, reader);
        let mut decoder = Decoder::text(Layout::csv(), vec!["a".into()], vec![column], vec![false], true);
        assert!(decoder.feed(b"\xe9\n").unwrap().is_empty());
        let batches = decoder.finish().unwrap();
        assert_eq!(batches[0].columns[0].as_string_view().value(0), "é");
    }
}
