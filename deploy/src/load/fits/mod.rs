//! FITS binary tables (FITS standard 4.0, section 7.3), row block by row block.
//!
//! ```text
//!  header ─▶ units are skipped up to the table ─▶ FitsColumn of TFORM, TNULL, TZERO, ... ─┐
//!  rows, big-endian ─▶ a block of whole rows ─▶ per column: pieces ─▶ values ─▶ Arrow array ─┴▶ batch
//!                       variable arrays: pieces of the heap behind the rows
//! ```

mod format;
mod header;
mod values;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;

use format::{Descriptor, FitsColumn};
use header::{BLOCK_BYTES, Header, read_full};
use values::Pieces;

/// How a FITS file begins.
pub(super) const MAGIC: &[u8] = b"SIMPLE  =";
/// Rows of a batch, where they are not too wide.
const BATCH_ROWS: usize = 32 * 1024;
/// Bytes of rows that are read at once.
const BATCH_BYTES: usize = 16 << 20;
/// Bytes of the heap that one batch may refer to.
const HEAP_BYTES_MAX: u64 = 256 << 20;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum FitsError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no FITS file, or a damaged one.
    #[error("damaged: {0}")]
    Damaged(String),
    /// It has no such table.
    #[error("{0}")]
    NoTable(String),
    /// A column that is not understood.
    #[error("column {column}: {message}")]
    Column {
        /// TTYPE.
        column: String,
        /// What is wrong.
        message: String,
    },
    /// Variable arrays in a stream.
    #[error("column {0} has arrays of variable length, which need the uncompressed file")]
    NeedsHeap(String),
    /// Arrays too large for a batch.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
}

/// A binary table whose rows come next.
pub(super) struct FitsTable {
    input: Box<dyn Read + Send>,
    columns: Vec<FitsColumn>,
    schema: SchemaRef,
    row_bytes: usize,
    rows_left: u64,
    rows_done: u64,
    /// The file itself and where the heap lies in it, where variable arrays can be read.
    heap: Option<(File, u64, u64)>,
    nan_is_null: bool,
    buffer: Vec<u8>,
}

impl FitsTable {
    /// Finds the table: the first one, that of the number `hdu` (0 is the first unit of the file), or that of the
    /// EXTNAME `hdu`. `file` is the file that `input` reads from its start, where it is not compressed.
    ///
    /// # Errors
    /// [`FitsError`].
    pub(super) fn open(
        mut input: Box<dyn Read + Send>,
        file: Option<File>,
        hdu: Option<&str>,
        nan_is_null: bool,
    ) -> Result<Self, FitsError> {
        let mut at = 0_u64;
        for unit in 0_u32.. {
            let Some(header) = Header::read(counted(&mut input, &mut at).as_mut())? else { break };
            let is_table = header.text("XTENSION").as_deref() == Some("BINTABLE");
            let name = header.text("EXTNAME").unwrap_or_default();
            let wanted = match hdu {
                None => is_table,
                Some(hdu) => hdu == unit.to_string() || hdu.eq_ignore_ascii_case(&name),
            };
            if wanted && !is_table {
                return Err(FitsError::NoTable(format!("unit {unit} is no binary table")));
            }
            if wanted {
                return Self::of(&header, input, file, at, nan_is_null);
            }
            skip(&mut input, &mut at, header.data_bytes()?.next_multiple_of(BLOCK_BYTES))?;
        }
        Err(FitsError::NoTable(match hdu {
            Some(hdu) => format!("there is no unit {hdu:?}"),
            None => "there is no binary table".to_owned(),
        }))
    }

    fn of(
        header: &Header,
        input: Box<dyn Read + Send>,
        file: Option<File>,
        data_at: u64,
        nan_is_null: bool,
    ) -> Result<Self, FitsError> {
        let row_bytes = usize::try_from(header.size("NAXIS1")?).unwrap_or(usize::MAX);
        let rows = header.size("NAXIS2")?;
        let columns = FitsColumn::all(header, row_bytes)?;
        if columns.is_empty() {
            return Err(FitsError::NoTable("the table has no columns".into()));
        }
        let rows_bytes = rows.checked_mul(row_bytes as u64);
        let rows_bytes = rows_bytes.ok_or_else(|| FitsError::Damaged("sizes that cannot be".into()))?;
        let heap = match (columns.iter().find(|column| column.heap.is_some()), file) {
            (None, _) => None,
            (Some(column), None) => return Err(FitsError::NeedsHeap(column.name.clone())),
            (Some(_), Some(file)) => {
                let theap =
                    header.integer("THEAP").and_then(|at| u64::try_from(at).ok()).unwrap_or(rows_bytes);
                let bytes = (rows_bytes + header.size("PCOUNT")?).saturating_sub(theap);
                Some((file, data_at + theap, bytes))
            }
        };
        let schema = Arc::new(Schema::new(columns.iter().map(FitsColumn::field).collect::<Vec<_>>()));
        Ok(Self {
            input,
            columns,
            schema,
            row_bytes,
            rows_left: rows,
            rows_done: 0,
            heap,
            nan_is_null,
            buffer: Vec::new(),
        })
    }

    /// The columns, in Arrow's types.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What is known of each column besides its type: its unit.
    pub(super) fn comments(&self) -> Vec<Option<String>> {
        self.columns.iter().map(|column| column.comment.clone()).collect()
    }

    /// All rows of the table, read or not.
    pub(super) fn rows(&self) -> u64 {
        self.rows_done + self.rows_left
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, FitsError> {
        if self.rows_left == 0 {
            return Ok(None);
        }
        let fitting = (BATCH_BYTES / self.row_bytes.max(1)).clamp(1, BATCH_ROWS);
        let rows = usize::try_from(self.rows_left).unwrap_or(usize::MAX).min(fitting);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(rows * self.row_bytes, 0);
        let read = read_full(self.input.as_mut(), &mut buffer)?;
        if read < buffer.len() {
            let row = self.rows_done + (read / self.row_bytes.max(1)) as u64 + 1;
            return Err(FitsError::Damaged(format!("the file ends inside of row {row}")));
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let pieces = Pieces::of_rows(&buffer, self.row_bytes, column);
            arrays.push(match (&column.heap, &self.heap) {
                (Some(descriptor), Some(heap)) => {
                    let variable = Variable::read(*descriptor, column, &pieces, heap, self.rows_done)?;
                    values::array(column, &variable.pieces(), self.nan_is_null)?
                }
                _ => values::array(column, &pieces, self.nan_is_null)?,
            });
        }
        self.buffer = buffer;
        self.rows_left -= rows as u64;
        self.rows_done += rows as u64;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(Some(RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)?))
    }
}

impl Iterator for FitsTable {
    type Item = Result<RecordBatch, FitsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch().transpose();
        if matches!(next, Some(Err(_))) {
            self.rows_left = 0;
        }
        next
    }
}

/// The arrays of one column that lie in the heap.
struct Variable {
    bytes: Vec<u8>,
    /// Bytes and elements of each row.
    lengths: Vec<(usize, usize)>,
}

impl Variable {
    fn read(
        descriptor: Descriptor,
        column: &FitsColumn,
        rows: &Pieces<'_>,
        (file, heap_at, heap_bytes): &(File, u64, u64),
        rows_done: u64,
    ) -> Result<Self, FitsError> {
        let mut variable = Self { bytes: Vec::new(), lengths: Vec::with_capacity(rows.pieces.len()) };
        for (row, piece) in rows.pieces.iter().enumerate() {
            let (count, at) = match descriptor {
                Descriptor::P => match piece.as_chunks::<4>().0 {
                    [count, at] => {
                        (u64::from(u32::from_be_bytes(*count)), u64::from(u32::from_be_bytes(*at)))
                    }
                    _ => (0, 0),
                },
                Descriptor::Q => match piece.as_chunks::<8>().0 {
                    [count, at] => (u64::from_be_bytes(*count), u64::from_be_bytes(*at)),
                    _ => (0, 0),
                },
            };
            let beyond = || {
                let row = rows_done + row as u64 + 1;
                FitsError::Damaged(format!(
                    "the array of column {} in row {row} lies beyond the heap",
                    column.name
                ))
            };
            let count = usize::try_from(count).ok().filter(|count| *count as u64 <= heap_bytes * 8);
            let count = count.ok_or_else(beyond)?;
            let length = column.element.bytes(count);
            if at.checked_add(length as u64).is_none_or(|end| end > *heap_bytes) {
                return Err(beyond());
            }
            let start = variable.bytes.len();
            if (start + length) as u64 > HEAP_BYTES_MAX {
                let message = "the arrays of a block of rows are too large".to_owned();
                return Err(FitsError::Column { column: column.name.clone(), message });
            }
            variable.bytes.resize(start + length, 0);
            file.read_exact_at(variable.bytes.get_mut(start..).unwrap_or_default(), heap_at + at)?;
            variable.lengths.push((length, count));
        }
        Ok(variable)
    }

    fn pieces(&self) -> Pieces<'_> {
        let mut rest = self.bytes.as_slice();
        let pieces = self.lengths.iter().map(|(length, _)| {
            let (piece, after) = rest.split_at_checked(*length).unwrap_or_default();
            rest = after;
            piece
        });
        Pieces { pieces: pieces.collect(), counts: self.lengths.iter().map(|(_, count)| *count).collect() }
    }
}

/// A reader that counts.
fn counted<'a>(input: &'a mut (dyn Read + Send), at: &'a mut u64) -> Box<dyn Read + 'a> {
    struct Counted<'a>(&'a mut (dyn Read + Send), &'a mut u64);
    impl Read for Counted<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            *self.1 += count as u64;
            Ok(count)
        }
    }
    Box::new(Counted(input, at))
}

fn skip(input: &mut (dyn Read + Send), at: &mut u64, bytes: u64) -> Result<(), FitsError> {
    let skipped = io::copy(&mut input.take(bytes), &mut io::sink())?;
    *at += skipped;
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_columns;

    use super::header::tests::header;
    use super::*;

    fn blocks(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.resize(bytes.len().next_multiple_of(2_880), 0);
        bytes
    }

    /// A file with an image unit, and a table of one column with these bytes in two rows.
    fn file(form: &str, more: &[&str], rows: &[&[u8]], heap: &[u8]) -> Vec<u8> {
        let mut bytes = header(&["SIMPLE = T", "BITPIX = 16", "NAXIS = 1", "NAXIS1 = 3"]);
        bytes.extend(blocks(vec![1; 6]));
        let width = rows.first().map_or(0, |row| row.len());
        let form = format!("TFORM1 = '{form}'");
        let (naxis1, naxis2) = (format!("NAXIS1 = {width}"), format!("NAXIS2 = {}", rows.len()));
        let pcount = format!("PCOUNT = {}", heap.len());
        let mut cards = vec![
            "XTENSION = 'BINTABLE'",
            "BITPIX = 8",
            "NAXIS = 2",
            &naxis1,
            &naxis2,
            &pcount,
            "GCOUNT = 1",
            "TFIELDS = 1",
            "EXTNAME = 'SOURCES'",
            "TTYPE1 = 'x'",
            &form,
        ];
        cards.extend(more);
        bytes.extend(header(&cards));
        let mut data: Vec<u8> = rows.concat();
        data.extend_from_slice(heap);
        bytes.extend(blocks(data));
        bytes
    }

    fn open(bytes: &[u8], hdu: Option<&str>) -> Result<FitsTable, FitsError> {
        use std::io::Write;
        let mut on_disk = tempfile::tempfile().unwrap();
        on_disk.write_all(bytes).unwrap();
        FitsTable::open(Box::new(io::Cursor::new(bytes.to_vec())), Some(on_disk), hdu, false)
    }

    fn values(form: &str, more: &[&str], rows: &[&[u8]], heap: &[u8]) -> String {
        let mut table = open(&file(form, more, rows, heap), None).unwrap();
        let batch = table.next().unwrap().unwrap();
        assert!(table.next().is_none());
        let shown = pretty_format_columns("x", &[Arc::clone(batch.column(0))]).unwrap().to_string();
        let lines = shown.lines().skip(3).filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        let shown = lines.map(str::trim).collect::<Vec<_>>().join(" ; ");
        shown.trim_end().to_owned()
    }

    #[test]
    fn every_format_gives_its_values() {
        assert_eq!(values("L", &[], &[b"T", b"\0"], b""), "true ;");
        assert_eq!(
            values("3X", &[], &[&[0b1010_0000], &[0]], b""),
            "[true, false, true] ; [false, false, false]"
        );
        assert_eq!(values("B", &["TNULL1 = 255"], &[&[7], &[255]], b""), "7 ;");
        assert_eq!(values("B", &["TZERO1 = -128"], &[&[0], &[255]], b""), "-128 ; 127");
        assert_eq!(values("I", &[], &[&[0xff, 0xfe], &[0, 5]], b""), "-2 ; 5");
        assert_eq!(values("I", &["TZERO1 = 32768"], &[&[0x80, 0], &[0x7f, 0xff]], b""), "0 ; 65535");
        assert_eq!(values("J", &["TZERO1 = 2147483648"], &[&[0x7f, 255, 255, 255]], b""), "4294967295");
        assert_eq!(
            values("K", &["TZERO1 = 9223372036854775808"], &[&i64::MAX.to_be_bytes()], b""),
            "18446744073709551615"
        );
        assert_eq!(
            values("I", &["TSCAL1 = 0.5", "TZERO1 = 1", "TNULL1 = -1"], &[&[0, 3], &[255, 255]], b""),
            "2.5 ;"
        );
        assert_eq!(values("E", &[], &[&1.5_f32.to_be_bytes(), &f32::NAN.to_be_bytes()], b""), "1.5 ; NaN");
        assert_eq!(
            values("2D", &[], &[&[1.0_f64.to_be_bytes(), 2.0_f64.to_be_bytes()].concat()], b""),
            "[1.0, 2.0]"
        );
        assert_eq!(
            values("C", &[], &[&[1.0_f32.to_be_bytes(), 2.0_f32.to_be_bytes()].concat()], b""),
            "[1.0, 2.0]"
        );
        assert_eq!(values("4A", &[], &[b"ab  ", b"\0   "], b""), "ab ;");
        assert_eq!(values("6A3", &[], &[b"ab cde"], b""), "[ab, cde]");
        assert_eq!(values("3A", &[], &[b"\xe9a\0"], b""), "éa");
    }

    #[test]
    fn variable_arrays_come_from_the_heap() {
        let rows: [&[u8]; 2] = [&[0, 0, 0, 2, 0, 0, 0, 2], &[0; 8]];
        assert_eq!(values("1PI(2)", &[], &rows, &[9, 9, 0, 1, 0, 2]), "[1, 2] ; []");
        let rows: [&[u8]; 1] = [&[0, 0, 0, 3, 0, 0, 0, 0]];
        assert_eq!(values("PA(3)", &[], &rows, b"abc"), "abc");
        let mut beyond = open(&file("PI(2)", &[], &rows, b"abc"), None).unwrap();
        assert!(beyond.next().unwrap().unwrap_err().to_string().contains("beyond the heap"));
        assert!(beyond.next().is_none());
    }

    #[test]
    fn tables_are_found_by_number_and_name() {
        let bytes = file("J", &["TUNIT1 = 'deg'"], &[&[0; 4]], b"");
        assert_eq!(open(&bytes, Some("sources")).unwrap().rows(), 1);
        assert_eq!(open(&bytes, Some("1")).unwrap().comments(), [Some("deg".to_owned())]);
        assert!(matches!(open(&bytes, Some("0")), Err(FitsError::NoTable(_))));
        assert!(matches!(open(&bytes, Some("7")), Err(FitsError::NoTable(_))));
    }

    #[test]
    fn files_that_end_early_are_refused() {
        let bytes = file("J", &[], &[&[0_u8; 4] as &[u8]; 2_000], b"");
        let mut table = open(bytes.get(..2_880 * 4 + 9).unwrap(), None).unwrap();
        let message = table.next().unwrap().unwrap_err().to_string();
        assert!(message.contains("ends inside of row"), "{message}");
        assert!(open(b"SIMPLE  =", None).is_err());
    }
}
