//! Text and CSV to rows of fields, by the rules of PostgreSQL's `CopyReadLineText`.
//!
//! Two ways give the same rows: [`Splitter::quick`] jumps from one special character to the next, where lines end with
//! a bare newline and nothing unusual is met; [`Splitter::careful`] takes every record.

use memchr::{memchr, memchr2};

use crate::fault::LineFault;
use crate::layout::{Header, Layout};
use crate::rows::{FIELD_BYTES_MAX, Rows, Span};
use crate::scanner::Scanner;
use crate::unescape;

/// How the first line ended, which all others have to do too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Unknown,
    Newline,
    Return,
    ReturnNewline,
}

/// Where a record ends.
enum Step {
    /// The content's end and the next record's start.
    Record { end: usize, next: usize },
    /// `\.` follows the content.
    Marker { end: usize },
    /// The chunk ends inside of it.
    More,
    /// There is none.
    Nothing,
}

/// What a splitter did with a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// There are as many rows as were asked for.
    Full,
    /// The chunk has no further whole record.
    More,
    /// The data is at its end: what follows is not looked at.
    End,
}

/// A line that is wrong; `text` is its place in the chunk, where its end is known.
#[derive(Debug)]
pub(crate) struct BadLine {
    pub(crate) number: u64,
    pub(crate) text: Option<Span>,
    pub(crate) fault: LineFault,
}

/// Cuts chunks into rows; a record that one chunk has only a part of is read again with the next.
#[derive(Debug)]
pub(crate) struct Splitter {
    layout: Layout,
    names: Vec<String>,
    line_end: LineEnd,
    header_due: bool,
    /// Lines that are done with.
    lines: u64,
}

impl Splitter {
    /// A splitter for columns of these names.
    pub(crate) fn new(layout: Layout, names: Vec<String>) -> Self {
        let header_due = layout.header != Header::No;
        Self { layout, names, line_end: LineEnd::Unknown, header_due, lines: 0 }
    }

    /// The number of the line that comes next.
    pub(crate) fn next_line(&self) -> u64 {
        self.lines + 1
    }

    /// Cuts up to `rows_max` rows out of `chunk` from `at` on, which moves behind them. `at_end` says that no data
    /// follows the chunk.
    pub(crate) fn split(
        &mut self,
        chunk: &str,
        at: &mut usize,
        at_end: bool,
        rows_max: usize,
        rows: &mut Rows,
    ) -> Result<Stop, BadLine> {
        // Lines with carriage returns, and escapes that are not doubled quotes, are for the careful way.
        let simple = memchr(b'\r', chunk.as_bytes().get(*at..).unwrap_or_default()).is_none()
            && (!self.layout.csv || self.layout.quote == self.layout.escape);
        while rows.len() < rows_max {
            if simple && self.line_end == LineEnd::Newline && !self.header_due {
                self.quick(chunk, at, rows_max, rows)?;
                if rows.len() >= rows_max {
                    break;
                }
            }
            match self.careful(chunk, at, at_end, rows)? {
                Stop::Full => {}
                stop => return Ok(stop),
            }
        }
        Ok(Stop::Full)
    }

    /// One record, whatever it holds.
    fn careful(
        &mut self,
        chunk: &str,
        at: &mut usize,
        at_end: bool,
        rows: &mut Rows,
    ) -> Result<Stop, BadLine> {
        let start = *at;
        let number = self.lines + 1;
        let mut embedded = 0;
        let step = self.find_end(chunk.as_bytes(), start, at_end, &mut embedded);
        let step = step.map_err(|fault| BadLine { number: number + embedded, text: None, fault })?;
        let (end, next, stop) = match step {
            Step::Record { end, next } => (end, next, Stop::Full),
            Step::Marker { end } if end == start => {
                *at = chunk.len();
                return Ok(Stop::End);
            }
            Step::Marker { end } => (end, chunk.len(), Stop::End),
            Step::More => return Ok(Stop::More),
            Step::Nothing => {
                // A header that has to match is missed where there is nothing at all.
                if std::mem::take(&mut self.header_due) {
                    let line = Some(Span::chunk(start, start));
                    let bad = |fault| BadLine { number, text: line, fault };
                    self.check_header("").map_err(bad)?;
                }
                return Ok(Stop::End);
            }
        };
        *at = next;
        self.lines = number + embedded;
        let line = Span::chunk(start, end);
        let bad = |fault| BadLine { number: number + embedded, text: Some(line), fault };
        if end - start > FIELD_BYTES_MAX {
            return Err(BadLine { number, text: None, fault: LineFault::TooLong });
        }
        if std::mem::take(&mut self.header_due) {
            self.check_header(chunk.get(start..end).unwrap_or_default()).map_err(bad)?;
            return Ok(stop);
        }
        let first = rows.spans.len();
        self.fields(chunk, start, end, first, rows).map_err(bad)?;
        rows.spans.resize(first + self.names.len(), Span::MISSING);
        rows.lines.push(line);
        rows.numbers.push(self.lines);
        Ok(stop)
    }

    /// Finds the end of the record that begins at `start`; counts the line ends inside of quotes.
    fn find_end(
        &mut self,
        bytes: &[u8],
        start: usize,
        at_end: bool,
        embedded: &mut u64,
    ) -> Result<Step, LineFault> {
        let Layout { csv, quote, escape, .. } = self.layout;
        // A quote that is its own escape is doubled: it closes and opens again.
        let escape = (escape != quote).then_some(escape);
        let mut at = start;
        let (mut in_quote, mut after_escape) = (false, false);
        while let Some(&byte) = bytes.get(at) {
            let next = bytes.get(at + 1).copied();
            if matches!(byte, b'\\' | b'\r') && next.is_none() && !at_end {
                return Ok(Step::More);
            }
            if csv {
                if in_quote && Some(byte) == escape {
                    after_escape = !after_escape;
                }
                if byte == quote && !after_escape {
                    in_quote = !in_quote;
                }
                if Some(byte) != escape {
                    after_escape = false;
                }
                let counted = if self.line_end == LineEnd::Newline { b'\n' } else { b'\r' };
                *embedded += u64::from(in_quote && byte == counted);
            }
            let outside = !csv || !in_quote;
            match byte {
                b'\r' if outside => match self.line_end {
                    LineEnd::Unknown | LineEnd::ReturnNewline if next == Some(b'\n') => {
                        self.line_end = LineEnd::ReturnNewline;
                        return Ok(Step::Record { end: at, next: at + 2 });
                    }
                    LineEnd::Unknown | LineEnd::Return => {
                        self.line_end = LineEnd::Return;
                        return Ok(Step::Record { end: at, next: at + 1 });
                    }
                    _ => return Err(LineFault::StrayReturn { csv }),
                },
                b'\n' if outside => {
                    if matches!(self.line_end, LineEnd::Return | LineEnd::ReturnNewline) {
                        return Err(LineFault::StrayNewline { csv });
                    }
                    self.line_end = LineEnd::Newline;
                    return Ok(Step::Record { end: at, next: at + 1 });
                }
                b'\\' if !csv || at == start => match next {
                    Some(b'.') => match self.marker(bytes, at, at_end)? {
                        Some(step) => return Ok(step),
                        // A value of CSV that begins like a marker.
                        None => at += 1,
                    },
                    // Whatever follows is data.
                    _ if !csv => at += 2,
                    _ => at += 1,
                },
                _ => at += 1,
            }
        }
        if !at_end {
            return Ok(Step::More);
        }
        let end = bytes.len();
        Ok(if start >= end { Step::Nothing } else { Step::Record { end, next: end } })
    }

    /// `\.` at `at`: the end of the data, unless CSV has more on the line.
    fn marker(&self, bytes: &[u8], at: usize, at_end: bool) -> Result<Option<Step>, LineFault> {
        let csv = self.layout.csv;
        let returns = self.line_end == LineEnd::ReturnNewline;
        let mut behind = at + 2;
        if behind + usize::from(returns) >= bytes.len() && !at_end {
            return Ok(Some(Step::More));
        }
        let corrupt = |fault| if csv { Ok(None) } else { Err(fault) };
        let byte_at = |at: usize| bytes.get(at).copied().unwrap_or(0);
        if returns {
            match byte_at(behind) {
                b'\n' => return corrupt(LineFault::MarkerStyle),
                b'\r' => behind += 1,
                _ => return corrupt(LineFault::MarkerCorrupt),
            }
        }
        let last = byte_at(behind);
        if !matches!(last, b'\r' | b'\n') {
            return corrupt(LineFault::MarkerCorrupt);
        }
        let expected = match self.line_end {
            LineEnd::Unknown => last,
            LineEnd::Return => b'\r',
            LineEnd::Newline | LineEnd::ReturnNewline => b'\n',
        };
        if last == expected { Ok(Some(Step::Marker { end: at })) } else { Err(LineFault::MarkerStyle) }
    }

    /// The fields of the line from `start` to `end`.
    fn fields(
        &self,
        chunk: &str,
        start: usize,
        end: usize,
        first: usize,
        rows: &mut Rows,
    ) -> Result<(), LineFault> {
        let bytes = chunk.as_bytes().get(..end).unwrap_or_default();
        let Layout { csv, delimiter, quote, escape, .. } = self.layout;
        let mut field_start = start;
        loop {
            let mut at = field_start;
            let mut special = false;
            let field_end = if csv {
                loop {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(found) = memchr2(delimiter, quote, rest) else { break end };
                    at += found;
                    if bytes.get(at) == Some(&delimiter) {
                        break at;
                    }
                    special = true;
                    at = quoted_end(bytes, at + 1, quote, escape).ok_or(LineFault::Unterminated)?;
                }
            } else {
                loop {
                    let rest = bytes.get(at..).unwrap_or_default();
                    let Some(found) = memchr2(delimiter, b'\\', rest) else { break end };
                    at += found;
                    if bytes.get(at) == Some(&delimiter) {
                        break at;
                    }
                    special = true;
                    at = (at + 2).min(end);
                }
            };
            self.push_field(chunk, field_start, field_end, special, first, rows)?;
            if field_end >= end {
                return Ok(());
            }
            field_start = field_end + 1;
        }
    }

    /// Adds a field, resolving its escapes where it has `special` characters.
    #[inline]
    fn push_field(
        &self,
        chunk: &str,
        start: usize,
        end: usize,
        special: bool,
        first: usize,
        rows: &mut Rows,
    ) -> Result<(), LineFault> {
        let column = rows.spans.len() - first;
        if column >= self.names.len() {
            return Err(LineFault::ExtraData);
        }
        if special {
            return self.push_special(chunk, start, end, column, rows);
        }
        let null = self.layout.null.as_bytes();
        let is_null = end - start == null.len() && chunk.as_bytes().get(start..end) == Some(null);
        let span = if is_null && !flag(&self.layout.force_not_null, column) {
            Span::NULL
        } else {
            Span::chunk(start, end)
        };
        rows.spans.push(span);
        Ok(())
    }

    fn push_special(
        &self,
        chunk: &str,
        start: usize,
        end: usize,
        column: usize,
        rows: &mut Rows,
    ) -> Result<(), LineFault> {
        let field = chunk.get(start..end).unwrap_or_default();
        let Layout { csv, quote, escape, null, .. } = &self.layout;
        // The NULL text of the text format is compared before its escapes are resolved, that of CSV has no quotes.
        if !csv && field == null {
            rows.spans.push(Span::NULL);
            return Ok(());
        }
        let side_start = rows.side.len();
        if *csv {
            unescape::csv(field, *quote, *escape, &mut rows.side)?;
        } else {
            unescape::text(field, &mut rows.side)?;
        }
        let forced = *csv
            && flag(&self.layout.force_null, column)
            && rows.side.get(side_start..) == Some(null.as_str());
        rows.spans.push(if forced { Span::NULL } else { Span::side(side_start, rows.side.len()) });
        Ok(())
    }

    /// Records without surprises, until one that has some or that is not whole.
    fn quick(
        &mut self,
        chunk: &str,
        at: &mut usize,
        rows_max: usize,
        rows: &mut Rows,
    ) -> Result<(), BadLine> {
        let Layout { csv, delimiter, quote, .. } = self.layout;
        let third = if csv { quote } else { b'\\' };
        let mut scanner = Scanner::new(chunk.as_bytes(), *at, [delimiter, b'\n', third]);
        while rows.len() < rows_max {
            let first = rows.spans.len();
            let side = rows.side.len();
            let mut embedded = 0;
            let end = self.quick_record(chunk, *at, &mut scanner, first, &mut embedded, rows);
            let Ok(Some(end)) = end else {
                // The careful way reads it again and says what is wrong.
                rows.spans.truncate(first);
                rows.side.truncate(side);
                return Ok(());
            };
            let number = self.lines + 1 + embedded;
            let line = Span::chunk(*at, end);
            if rows.spans.len() - first < self.names.len() {
                rows.spans.resize(first + self.names.len(), Span::MISSING);
            }
            rows.lines.push(line);
            rows.numbers.push(number);
            self.lines = number;
            *at = end + 1;
        }
        Ok(())
    }

    /// The fields of the record at `start`; its end, or `None` where the careful way has to read it.
    #[inline]
    fn quick_record(
        &self,
        chunk: &str,
        start: usize,
        scanner: &mut Scanner<'_>,
        first: usize,
        embedded: &mut u64,
        rows: &mut Rows,
    ) -> Result<Option<usize>, LineFault> {
        let bytes = chunk.as_bytes();
        let Layout { csv, delimiter, quote, .. } = self.layout;
        if csv && bytes.get(start) == Some(&b'\\') {
            return Ok(None);
        }
        let mut field_start = start;
        let mut special = false;
        loop {
            let Some(at) = scanner.next() else { return Ok(None) };
            let byte = bytes.get(at).copied().unwrap_or(b'\n');
            if byte == delimiter || byte == b'\n' {
                self.push_field(chunk, field_start, at, special, first, rows)?;
                if byte == b'\n' {
                    return Ok(Some(at));
                }
                field_start = at + 1;
                special = false;
            } else if csv {
                if at > field_start {
                    return Ok(None);
                }
                let Some((end, doubled)) = simple_quotes(bytes, at + 1, quote) else { return Ok(None) };
                let inside = bytes.get(at + 1..end).unwrap_or_default();
                *embedded += memchr::memchr_iter(b'\n', inside).count() as u64;
                let closes = bytes.get(end + 1).copied();
                if closes != Some(delimiter) && closes != Some(b'\n') {
                    return Ok(None);
                }
                let column = rows.spans.len() - first;
                if doubled || flag(&self.layout.force_null, column) {
                    self.push_field(chunk, at, end + 1, true, first, rows)?;
                } else if column >= self.names.len() {
                    return Err(LineFault::ExtraData);
                } else {
                    rows.spans.push(Span::chunk(at + 1, end));
                }
                scanner.skip_to(end + 2);
                if closes == Some(b'\n') {
                    return Ok(Some(end + 1));
                }
                field_start = end + 2;
            } else {
                if bytes.get(at + 1) == Some(&b'.') {
                    return Ok(None);
                }
                special = true;
                scanner.skip_to(at + 2);
            }
        }
    }

    fn check_header(&self, line: &str) -> Result<(), LineFault> {
        if self.layout.header != Header::Match {
            return Ok(());
        }
        // Read as a row of as many columns as there are fields.
        let mut wide = Rows::default();
        let reader = Self {
            layout: Layout { force_null: Vec::new(), force_not_null: Vec::new(), ..self.layout.clone() },
            names: vec![String::new(); line.len() + 1],
            line_end: self.line_end,
            header_due: false,
            lines: 0,
        };
        reader.fields(line, 0, line.len(), 0, &mut wide)?;
        let (got, expected) = (wide.spans.len(), self.names.len());
        if got != expected {
            return Err(LineFault::HeaderCount { got, expected });
        }
        for (field, (span, expected)) in wide.spans.iter().zip(&self.names).enumerate() {
            let got = match span.place() {
                crate::rows::Place::Chunk => line.get(span.range()),
                crate::rows::Place::Side => wide.side.get(span.range()),
                _ => None,
            };
            if got != Some(expected.as_str()) {
                let (got, expected) = (got.map(str::to_owned), expected.clone());
                let null = self.layout.null.clone();
                return Err(LineFault::HeaderName { field, got, null, expected });
            }
        }
        Ok(())
    }
}

fn flag(flags: &[bool], column: usize) -> bool {
    flags.get(column).copied().unwrap_or(false)
}

/// Behind the quote that closes what begins at `at`.
fn quoted_end(bytes: &[u8], mut at: usize, quote: u8, escape: u8) -> Option<usize> {
    loop {
        at += memchr2(quote, escape, bytes.get(at..)?)?;
        let (byte, next) = (bytes.get(at).copied()?, bytes.get(at + 1).copied());
        if byte == escape && next.is_some_and(|next| next == escape || next == quote) {
            at += 2;
        } else if byte == quote {
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
}

/// The closing quote of what begins at `at`, where quotes inside are doubled, and whether there are any.
fn simple_quotes(bytes: &[u8], mut at: usize, quote: u8) -> Option<(usize, bool)> {
    let mut doubled = false;
    loop {
        at += memchr(quote, bytes.get(at..)?)?;
        if bytes.get(at + 1) != Some(&quote) {
            return Some((at, doubled));
        }
        doubled = true;
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Place;
    use proptest::prelude::*;

    type Row = Vec<Option<String>>;

    /// All rows, with the number of each one's last line, and the fault if there is one.
    fn split(
        layout: &Layout,
        columns: usize,
        data: &str,
        quick: bool,
    ) -> (Vec<(u64, Row)>, Option<(u64, LineFault)>) {
        let names = (0..columns).map(|column| format!("c{column}")).collect();
        let mut splitter = Splitter::new(layout.clone(), names);
        let mut rows = Rows::default();
        let mut at = 0;
        let result = if quick {
            splitter.split(data, &mut at, true, usize::MAX, &mut rows).map(|_| ())
        } else {
            loop {
                match splitter.careful(data, &mut at, true, &mut rows) {
                    Ok(Stop::Full) => {}
                    Ok(_) => break Ok(()),
                    Err(bad) => break Err(bad),
                }
            }
        };
        let text = |span: &Span| match span.place() {
            Place::Chunk => Some(data[span.range()].to_owned()),
            Place::Side => Some(rows.side[span.range()].to_owned()),
            Place::Null => None,
            Place::Missing => Some("<missing>".to_owned()),
        };
        let found = rows
            .spans
            .chunks(columns)
            .zip(&rows.numbers)
            .map(|(spans, number)| (*number, spans.iter().map(text).collect()));
        (found.collect(), result.err().map(|bad| (bad.number, bad.fault)))
    }

    fn rows(layout: &Layout, columns: usize, data: &str) -> Vec<Row> {
        let (rows, fault) = split(layout, columns, data, true);
        assert_eq!(fault, None);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn fault(layout: &Layout, data: &str) -> (u64, LineFault) {
        split(layout, 2, data, true).1.unwrap()
    }

    fn row(fields: &[Option<&str>]) -> Row {
        fields.iter().map(|field| field.map(str::to_owned)).collect()
    }

    #[test]
    fn text_lines() {
        let text = Layout::text();
        assert_eq!(
            rows(&text, 2, "a\tb\n\\N\t\n\\\\N\tx\\\ny\nz"),
            [
                row(&[Some("a"), Some("b")]),
                row(&[None, Some("")]),
                row(&[Some("\\N"), Some("x\ny")]),
                row(&[Some("z"), Some("<missing>")]),
            ]
        );
        assert_eq!(rows(&text, 1, "a\r\nb\r\n\\.\r\nrest"), [row(&[Some("a")]), row(&[Some("b")])]);
        assert_eq!(rows(&text, 1, "a\rb\r"), [row(&[Some("a")]), row(&[Some("b")])]);
        assert_eq!(rows(&text, 1, "a\nb\\.\nc"), [row(&[Some("a")]), row(&[Some("b")])]);
        assert_eq!(rows(&text, 1, ""), [] as [Row; 0]);
    }

    #[test]
    fn text_faults() {
        let text = Layout::text();
        assert_eq!(fault(&text, "1\t2\n1\t2\t3\n"), (2, LineFault::ExtraData));
        assert_eq!(fault(&text, "1\t2\n1\t2\r\n"), (2, LineFault::StrayReturn { csv: false }));
        assert_eq!(fault(&text, "1\t2\r\n1\t2\n"), (2, LineFault::StrayNewline { csv: false }));
        assert_eq!(fault(&text, "1\t2\n\\.x\n"), (2, LineFault::MarkerCorrupt));
        assert_eq!(fault(&text, "1\t2\n\\.\r\n"), (2, LineFault::MarkerStyle));
        assert_eq!(fault(&text, "1\t2\n\\."), (2, LineFault::MarkerCorrupt));
    }

    #[test]
    fn csv_lines() {
        let csv = Layout::csv();
        assert_eq!(
            rows(&csv, 2, "a,\"b,\n\"\"\"\n,\"\"\n\\.x,y\n\\.\nz"),
            [row(&[Some("a"), Some("b,\n\"")]), row(&[None, Some("")]), row(&[Some("\\.x"), Some("y")])]
        );
        assert_eq!(fault(&csv, "a,\"b\nc\n"), (1, LineFault::Unterminated));
        assert_eq!(fault(&csv, "a,b\na,\"b\nc\n"), (4, LineFault::Unterminated));
        let forced = Layout { force_null: vec![true, false], force_not_null: vec![false, true], ..csv };
        assert_eq!(rows(&forced, 2, "\"\",\n,\"\"\n"), [row(&[None, Some("")]), row(&[None, Some("")])]);
    }

    #[test]
    fn headers() {
        let skip = Layout { header: Header::Skip, ..Layout::csv() };
        assert_eq!(rows(&skip, 1, "\"a\nb\"\nc\n"), [row(&[Some("c")])]);
        let matching = Layout { header: Header::Match, ..Layout::csv() };
        assert_eq!(rows(&matching, 2, "c0,\"c1\"\n1,2\n").len(), 1);
        assert_eq!(fault(&matching, "c0\n"), (1, LineFault::HeaderCount { got: 1, expected: 2 }));
        let mismatch =
            LineFault::HeaderName { field: 1, got: None, null: String::new(), expected: "c1".into() };
        assert_eq!(fault(&matching, "c0,\n"), (1, mismatch));
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same_rows(
            data in "[ab,\"\\\\\nN.\t]{0,40}",
            csv in any::<bool>(),
            columns in 1_usize..4,
        ) {
            let layout = if csv { Layout::csv() } else { Layout::text() };
            prop_assert_eq!(split(&layout, columns, &data, true), split(&layout, columns, &data, false));
        }

        #[test]
        fn chunks_may_be_cut_anywhere(data in "[ab,\"\\\\\r\nN.\t]{0,30}", csv in any::<bool>(), cut in 0_usize..30) {
            let layout = if csv { Layout::csv() } else { Layout::text() };
            let (whole, fault) = split(&layout, 2, &data, true);
            let mut splitter = Splitter::new(layout, vec!["c0".into(), "c1".into()]);
            let cut = cut.min(data.len());
            let mut rows = Rows::default();
            let mut at = 0;
            let first = splitter.split(&data[..cut], &mut at, false, usize::MAX, &mut rows);
            let result = match first {
                Ok(Stop::End) => Ok(Stop::End),
                Ok(_) => splitter.split(&data, &mut at, true, usize::MAX, &mut rows),
                Err(bad) => Err(bad),
            };
            prop_assert_eq!(rows.numbers.clone(), whole.iter().map(|(number, _)| *number).collect::<Vec<_>>());
            prop_assert_eq!(result.err().map(|bad| (bad.number, bad.fault)), fault);
        }
    }
}
