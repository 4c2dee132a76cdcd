//! Rows of a chunk, cut into fields.

/// Fields and lines are shorter than this: as long as PostgreSQL's longest.
pub(crate) const FIELD_BYTES_MAX: usize = (1 << 30) - 1;

const KIND_SHIFT: u32 = 30;
const LEN_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// Where a field's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the chunk.
    Chunk,
    /// Unescaped, in the side buffer.
    Side,
    /// Nowhere: it is NULL.
    Null,
    /// Nowhere: the line has no such field.
    Missing,
}

/// One field: a start, and a length whose two upper bits say in which buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

impl Span {
    pub(crate) const NULL: Self = Self { start: 0, len: 2 << KIND_SHIFT };
    pub(crate) const MISSING: Self = Self { start: 0, len: 3 << KIND_SHIFT };

    /// A field of the chunk; offsets of a chunk fit 32 bits, lengths of fields 30.
    #[expect(clippy::cast_possible_truncation, reason = "the decoder refuses longer records")]
    #[inline]
    pub(crate) fn chunk(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: (end.wrapping_sub(start)) as u32 & LEN_MASK }
    }

    #[inline]
    pub(crate) fn side(start: usize, end: usize) -> Self {
        let Self { start, len } = Self::chunk(start, end);
        Self { start, len: len | 1 << KIND_SHIFT }
    }

    #[inline]
    pub(crate) fn place(self) -> Place {
        match self.len >> KIND_SHIFT {
            0 => Place::Chunk,
            1 => Place::Side,
            2 => Place::Null,
            _ => Place::Missing,
        }
    }

    #[inline]
    pub(crate) fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + (self.len & LEN_MASK) as usize
    }
}

/// The rows that were cut from one chunk.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Row by row, a span per column.
    pub(crate) spans: Vec<Span>,
    /// The whole line of each row, in the chunk.
    pub(crate) lines: Vec<Span>,
    /// The number of each row's last line, from 1.
    pub(crate) numbers: Vec<u64>,
    /// Fields whose escapes were resolved.
    pub(crate) side: String,
}

impl Rows {
    pub(crate) fn clear(&mut self) {
        self.spans.clear();
        self.lines.clear();
        self.numbers.clear();
        self.side.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }
}

/// The fields of one column, for its builder.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    /// The chunk, where it is text.
    pub(crate) text: &'a str,
    /// The chunk.
    pub(crate) bytes: &'a [u8],
    /// See [`Rows::side`].
    pub(crate) side: &'a str,
    /// From the column's first span on.
    pub(crate) spans: &'a [Span],
    /// Columns of a row.
    pub(crate) stride: usize,
}

/// One field's value.
pub(crate) enum Cell<T> {
    Value(T),
    Null,
    Missing,
}

impl<'a> Fields<'a> {
    /// The fields as bytes, row by row.
    #[inline]
    pub(crate) fn bytes(self, rows: usize) -> impl Iterator<Item = Cell<&'a [u8]>> {
        let (chunk, side) = (self.bytes, self.side.as_bytes());
        self.spans.iter().step_by(self.stride).take(rows).map(move |span| match span.place() {
            Place::Chunk => Cell::Value(chunk.get(span.range()).unwrap_or_default()),
            Place::Side => Cell::Value(side.get(span.range()).unwrap_or_default()),
            Place::Null => Cell::Null,
            Place::Missing => Cell::Missing,
        })
    }

    /// The fields as text, row by row; of a chunk that is text.
    #[inline]
    pub(crate) fn texts(self, rows: usize) -> impl Iterator<Item = Cell<&'a str>> {
        let (chunk, side) = (self.text, self.side);
        self.spans.iter().step_by(self.stride).take(rows).map(move |span| match span.place() {
            Place::Chunk => Cell::Value(chunk.get(span.range()).unwrap_or_default()),
            Place::Side => Cell::Value(side.get(span.range()).unwrap_or_default()),
            Place::Null => Cell::Null,
            Place::Missing => Cell::Missing,
        })
    }
}
