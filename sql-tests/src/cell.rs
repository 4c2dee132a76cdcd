//! One value of a result, as text: how it is written in a file and when two are the same.

use sqllogictest::ColumnType;
use tokio_postgres::types::{Kind, Type};

/// Two `double precision` values are the same answer when they differ by at most this part of the
/// larger one. Float addition is not associative, so a sum over three shards rounds differently from
/// a sum over one table; 1e-9 is a million times what rounding 336,776 terms can add, and a thousand
/// times less than a wrong row would change.
pub const FLOAT_TOLERANCE: f64 = 1e-9;

/// Differences below this are rounding around zero, where a relative bound means nothing.
pub const FLOAT_TOLERANCE_AT_ZERO: f64 = 1e-12;

/// The type of a result column, as the letter in a `query` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letter {
    /// `s` smallint
    Int2,
    /// `i` integer
    Int4,
    /// `I` bigint
    Int8,
    /// `f` real
    Float4,
    /// `R` double precision
    Float8,
    /// `N` numeric
    Numeric,
    /// `T` text, varchar, char, name
    Text,
    /// `B` boolean
    Bool,
    /// `d` date
    Date,
    /// `t` time
    Time,
    /// `p` timestamp
    Timestamp,
    /// `z` timestamptz
    TimestampTz,
    /// `v` interval
    Interval,
    /// `y` bytea
    Bytea,
    /// `A` an array of anything
    Array,
    /// `o` any other type
    Other,
    /// `?` not recorded yet; equal to nothing, so that the recorder replaces it
    Unknown,
}

const LETTERS: [(char, Letter); 17] = [
    ('s', Letter::Int2),
    ('i', Letter::Int4),
    ('I', Letter::Int8),
    ('f', Letter::Float4),
    ('R', Letter::Float8),
    ('N', Letter::Numeric),
    ('T', Letter::Text),
    ('B', Letter::Bool),
    ('d', Letter::Date),
    ('t', Letter::Time),
    ('p', Letter::Timestamp),
    ('z', Letter::TimestampTz),
    ('v', Letter::Interval),
    ('y', Letter::Bytea),
    ('A', Letter::Array),
    ('o', Letter::Other),
    ('?', Letter::Unknown),
];

impl ColumnType for Letter {
    fn from_char(value: char) -> Option<Self> {
        LETTERS.iter().find(|(letter, _)| *letter == value).map(|(_, kind)| *kind)
    }

    fn to_char(&self) -> char {
        LETTERS.iter().find(|(_, kind)| kind == self).map_or('?', |(letter, _)| *letter)
    }
}

impl Letter {
    /// The letter of a type that the server describes.
    pub fn of(kind: &Type) -> Self {
        match *kind {
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR => Self::Text,
            Type::BOOL => Self::Bool,
            Type::DATE => Self::Date,
            Type::TIME => Self::Time,
            Type::TIMESTAMP => Self::Timestamp,
            Type::TIMESTAMPTZ => Self::TimestampTz,
            Type::INTERVAL => Self::Interval,
            Type::BYTEA => Self::Bytea,
            _ if matches!(kind.kind(), Kind::Array(_)) => Self::Array,
            _ => Self::Other,
        }
    }

    /// Whether values of this type are compared with [`FLOAT_TOLERANCE`].
    pub fn is_float(self) -> bool {
        matches!(self, Self::Float4 | Self::Float8)
    }
}

/// Writes a value so that it fits in one cell of a line of tab-separated cells.
pub fn write_cell(value: Option<&str>) -> String {
    match value {
        None => "NULL".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(text) => text.replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"),
    }
}

/// Whether two written cells of a column are the same answer.
pub fn same_cell(letter: Letter, expected: &str, actual: &str) -> bool {
    if expected == actual {
        return true;
    }
    if !letter.is_float() {
        return false;
    }
    match (expected.parse::<f64>(), actual.parse::<f64>()) {
        (Ok(a), Ok(b)) => {
            let bound = FLOAT_TOLERANCE * a.abs().max(b.abs()) + FLOAT_TOLERANCE_AT_ZERO;
            a.is_finite() && b.is_finite() && (a - b).abs() <= bound
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_their_own_inverse() {
        for (letter, kind) in LETTERS {
            assert_eq!(Letter::from_char(letter), Some(kind));
            assert_eq!(kind.to_char(), letter);
        }
        assert_eq!(Letter::from_char('x'), None);
    }

    #[test]
    fn only_floats_are_compared_with_a_tolerance() {
        assert!(same_cell(Letter::Float8, "39.0200000000001", "39.0200000000002"));
        assert!(same_cell(Letter::Float8, "0", "-0"));
        assert!(!same_cell(Letter::Float8, "39.02", "39.0200002"));
        assert!(!same_cell(Letter::Float8, "NULL", "0"));
        assert!(!same_cell(Letter::Float8, "Infinity", "1e308"));
        assert!(!same_cell(Letter::Numeric, "39.0200000000001", "39.0200000000002"));
        assert!(!same_cell(Letter::Text, "1.0", "1.00"));
    }

    #[test]
    fn a_cell_is_one_line_without_tabs() {
        assert_eq!(write_cell(None), "NULL");
        assert_eq!(write_cell(Some("")), "(empty)");
        assert_eq!(write_cell(Some("a\tb\nc")), "a\\tb\\nc");
    }
}
