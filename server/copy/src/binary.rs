//! PostgreSQL's binary COPY format to rows of fields.

use crate::fault::LineFault;
use crate::rows::{Rows, Span};
use crate::split::Stop;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Rows of the time when tables could have OIDs.
const FLAG_OIDS: u32 = 1 << 16;
/// Flags that change what follows.
const FLAGS_CRITICAL: u32 = 0xffff_0000;

/// What is wrong, in which row; a column where it is a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadRow {
    pub(crate) number: u64,
    pub(crate) fault: BadTuple,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadTuple {
    Line(LineFault),
    Field { column: usize, truncated: bool },
}

/// Cuts chunks into rows.
#[derive(Debug)]
pub(crate) struct TupleSplitter {
    columns: usize,
    header_done: bool,
    trailer_seen: bool,
    /// Rows that are done with.
    tuples: u64,
}

impl TupleSplitter {
    pub(crate) fn new(columns: usize) -> Self {
        Self { columns, header_done: false, trailer_seen: false, tuples: 0 }
    }

    /// As [`crate::split::Splitter::split`].
    pub(crate) fn split(
        &mut self,
        chunk: &[u8],
        at: &mut usize,
        at_end: bool,
        rows_max: usize,
        rows: &mut Rows,
    ) -> Result<Stop, BadRow> {
        if !self.header_done {
            let header = header(chunk.get(*at..).unwrap_or_default(), at_end);
            let header = header.map_err(|fault| BadRow { number: 0, fault: BadTuple::Line(fault) })?;
            let Some(length) = header else { return Ok(Stop::More) };
            *at += length;
            self.header_done = true;
        }
        while rows.len() < rows_max {
            let number = self.tuples + 1;
            if self.trailer_seen {
                if *at < chunk.len() {
                    return Err(BadRow { number, fault: BadTuple::Line(LineFault::AfterTrailer) });
                }
                return Ok(if at_end { Stop::End } else { Stop::More });
            }
            let first = rows.spans.len();
            match self.tuple(chunk, *at, at_end, rows) {
                Ok(Some(end)) if !self.trailer_seen => {
                    rows.lines.push(Span::chunk(*at, end));
                    rows.numbers.push(number);
                    self.tuples = number;
                    *at = end;
                }
                Ok(Some(end)) => *at = end,
                Ok(None) => {
                    rows.spans.truncate(first);
                    return Ok(if at_end { Stop::End } else { Stop::More });
                }
                Err(fault) => {
                    rows.spans.truncate(first);
                    return Err(BadRow { number, fault });
                }
            }
        }
        Ok(Stop::Full)
    }

    /// The fields of the row at `start`; its end, or `None` where the chunk ends before.
    fn tuple(
        &mut self,
        chunk: &[u8],
        start: usize,
        at_end: bool,
        rows: &mut Rows,
    ) -> Result<Option<usize>, BadTuple> {
        // Data without trailer ends where a row would begin.
        let Some(count) = read::<2>(chunk, start).map(i16::from_be_bytes) else { return Ok(None) };
        let mut at = start + 2;
        if count == -1 {
            self.trailer_seen = true;
            return Ok(Some(at));
        }
        if usize::try_from(count).ok() != Some(self.columns) {
            return Err(BadTuple::Line(LineFault::FieldCount { got: count, expected: self.columns }));
        }
        for column in 0..self.columns {
            let ends = || if at_end { Err(BadTuple::Field { column, truncated: true }) } else { Ok(None) };
            let Some(length) = read::<4>(chunk, at).map(i32::from_be_bytes) else { return ends() };
            at += 4;
            if length == -1 {
                rows.spans.push(Span::NULL);
                continue;
            }
            let length = usize::try_from(length);
            let length = length.map_err(|_| BadTuple::Field { column, truncated: false })?;
            if length > crate::rows::FIELD_BYTES_MAX {
                return Err(BadTuple::Line(LineFault::TooLong));
            }
            if chunk.len() - at < length {
                return ends();
            }
            rows.spans.push(Span::chunk(at, at + length));
            at += length;
        }
        Ok(Some(at))
    }
}

fn read<const N: usize>(chunk: &[u8], at: usize) -> Option<[u8; N]> {
    chunk.get(at..)?.first_chunk::<N>().copied()
}

/// The length of the header, or `None` where it is not whole yet.
fn header(chunk: &[u8], at_end: bool) -> Result<Option<usize>, LineFault> {
    let known = chunk.len().min(SIGNATURE.len());
    if chunk.get(..known) != SIGNATURE.get(..known) || (known < SIGNATURE.len() && at_end) {
        return Err(LineFault::Signature);
    }
    let missing = |what| if at_end { Err(LineFault::BinaryHeader(what)) } else { Ok(None) };
    let Some(flags) = read::<4>(chunk, SIGNATURE.len()).map(u32::from_be_bytes) else {
        return missing("invalid COPY file header (missing flags)");
    };
    if flags & FLAG_OIDS != 0 {
        return Err(LineFault::BinaryHeader("invalid COPY file header (WITH OIDS)"));
    }
    if flags & FLAGS_CRITICAL != 0 {
        return Err(LineFault::BinaryHeader("unrecognized critical flags in COPY file header"));
    }
    let Some(extension) = read::<4>(chunk, SIGNATURE.len() + 4).map(i32::from_be_bytes) else {
        return missing("invalid COPY file header (missing length)");
    };
    let Ok(extension) = usize::try_from(extension) else {
        return Err(LineFault::BinaryHeader("invalid COPY file header (missing length)"));
    };
    let length = SIGNATURE.len() + 8 + extension;
    if chunk.len() < length {
        return missing("invalid COPY file header (wrong length)");
    }
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(data: &[u8]) -> (usize, Result<Stop, BadRow>) {
        let mut splitter = TupleSplitter::new(2);
        let mut rows = Rows::default();
        let mut at = 0;
        for cut in 0..data.len() {
            let result = splitter.split(&data[..cut], &mut at, false, usize::MAX, &mut rows);
            if result.is_err() {
                return (rows.len(), result);
            }
        }
        let result = splitter.split(data, &mut at, true, usize::MAX, &mut rows);
        (rows.len(), result)
    }

    #[test]
    fn rows_are_found_in_any_cut() {
        let mut data = SIGNATURE.to_vec();
        data.extend_from_slice(b"\0\0\0\0\0\0\0\x02zz");
        assert_eq!(split(&data), (0, Ok(Stop::End)));
        data.extend_from_slice(b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff");
        assert_eq!(split(&data), (1, Ok(Stop::End)));
        let line = |fault| BadTuple::Line(fault);
        let mut more = data.clone();
        more.extend_from_slice(b"\0\x03");
        let fault = line(LineFault::FieldCount { got: 3, expected: 2 });
        assert_eq!(split(&more), (1, Err(BadRow { number: 2, fault })));
        let mut more = data.clone();
        more.extend_from_slice(b"\0\x02\0\0\0\x03ab");
        let fault = BadTuple::Field { column: 0, truncated: true };
        assert_eq!(split(&more), (1, Err(BadRow { number: 2, fault })));
        data.extend_from_slice(b"\xff\xff");
        assert_eq!(split(&data), (1, Ok(Stop::End)));
        data.push(0);
        assert_eq!(split(&data).1, Err(BadRow { number: 2, fault: line(LineFault::AfterTrailer) }));
    }

    #[test]
    fn headers_are_checked() {
        assert_eq!(header(b"PGCOPY\n", true), Err(LineFault::Signature));
        assert_eq!(header(b"PGCOPY\n", false), Ok(None));
        assert_eq!(header(b"1\t2\n", false), Err(LineFault::Signature));
        let of_flags = |flags: u32| [SIGNATURE, &flags.to_be_bytes(), &[0; 4]].concat();
        assert!(header(&of_flags(FLAG_OIDS), true).is_err());
        assert!(header(&of_flags(1 << 20), true).is_err());
        assert_eq!(header(&of_flags(1), true), Ok(Some(19)));
    }
}
