//! What can be wrong with the data, and where.

use crate::decoder::Batch;

/// A reader's refusal of a value, as its maker made it.
pub type Refusal = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with the form of the data, a value aside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A carriage return where lines end otherwise.
    #[error("stray carriage return")]
    StrayReturn {
        /// In CSV, outside of quotes.
        csv: bool,
    },
    /// A newline where lines end otherwise.
    #[error("stray newline")]
    StrayNewline {
        /// In CSV, outside of quotes.
        csv: bool,
    },
    /// `\.` with something after it.
    #[error("end-of-copy marker corrupt")]
    MarkerCorrupt,
    /// `\.` with another end of line than the lines before.
    #[error("end-of-copy marker does not match previous newline style")]
    MarkerStyle,
    /// More fields than columns.
    #[error("extra data after last expected column")]
    ExtraData,
    /// Fewer fields than columns; the first column that has none.
    #[error("missing data for column {0}")]
    MissingData(usize),
    /// A quote that is not closed.
    #[error("unterminated CSV quoted field")]
    Unterminated,
    /// Bytes that are not UTF-8, or zero.
    #[error("invalid byte sequence")]
    InvalidUtf8(Vec<u8>),
    /// A record longer than can be held.
    #[error("record too long")]
    TooLong,
    /// A header line of another number of fields.
    #[error("wrong number of fields in header line")]
    HeaderCount {
        /// Fields in the line.
        got: usize,
        /// Columns.
        expected: usize,
    },
    /// A header line with another name than the column's.
    #[error("column name mismatch in header line")]
    HeaderName {
        /// The field, from 0.
        field: usize,
        /// What it says; `None` for the NULL text.
        got: Option<String>,
        /// The NULL text.
        null: String,
        /// The column's name.
        expected: String,
    },
    /// Binary: not COPY data.
    #[error("signature not recognized")]
    Signature,
    /// Binary: a header that ends early or says what is not known.
    #[error("invalid header: {0}")]
    BinaryHeader(&'static str),
    /// Binary: a row of another number of fields.
    #[error("row field count")]
    FieldCount {
        /// Fields that the row announces.
        got: i16,
        /// Columns.
        expected: usize,
    },
    /// Binary: data after the trailer.
    #[error("data after the trailer")]
    AfterTrailer,
}

/// The first error of the data.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The form of a line, or of a binary row.
    #[error("line {line}: {fault}")]
    Line {
        /// From 1; 0 for what comes before the first row.
        line: u64,
        /// The line, where it is known.
        text: Option<String>,
        /// What is wrong.
        fault: LineFault,
    },
    /// A value.
    #[error("line {line}, column {column}: {refusal}")]
    Value {
        /// From 1.
        line: u64,
        /// From 0.
        column: usize,
        /// The value as text; `None` for a binary one.
        text: Option<String>,
        /// What the column's reader said.
        refusal: Refusal,
    },
    /// Binary: a field that ends with the data, or has a length that cannot be.
    #[error("line {line}, column {column}: bad field")]
    Field {
        /// From 1.
        line: u64,
        /// From 0.
        column: usize,
        /// The data ends inside of it; its length is negative otherwise.
        truncated: bool,
    },
    /// NULL in a column that has none.
    #[error("line {line}: NULL in column {column}")]
    Null {
        /// From 1.
        line: u64,
        /// From 0.
        column: usize,
        /// The line; `None` for a binary row.
        text: Option<String>,
        /// The whole row: one row of all columns.
        row: Batch,
    },
    /// The columns do not fit together: a defect.
    #[error("{0}")]
    Arrow(#[from] arrow::error::ArrowError),
}
