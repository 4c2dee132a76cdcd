//! What is known about the values of a chunk or a column without reading them.

use crate::Bound;

/// What is known about one column of one row group.
///
/// The bounds ignore NULL and NaN. They are both there or both absent: absent when nothing but NULL and NaN is left,
/// when the type has no order (binary, intervals), or when no short upper bound exists. **Absent bounds therefore say
/// nothing**; that no value can match follows from `null_count + nan_count == row_count` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ZoneMap {
    /// Rows of the row group, NULLs included.
    pub row_count: u64,
    /// Rows that are NULL.
    pub null_count: u64,
    /// Rows that are NaN; 0 for every type but floats. PostgreSQL sorts NaN above every other value.
    pub nan_count: u64,
    /// No value but NULL and NaN lies below.
    pub min: Option<Bound>,
    /// No value but NULL and NaN lies above.
    pub max: Option<Bound>,
}

/// What is known about one column of a whole shard. The bounds mean what they mean in [`ZoneMap`].
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Rows that are NULL.
    pub null_count: u64,
    /// Rows that are NaN.
    pub nan_count: u64,
    /// No value but NULL and NaN lies below.
    pub min: Option<Bound>,
    /// No value but NULL and NaN lies above.
    pub max: Option<Bound>,
    /// How many different values there are, NULL not counted: known where the column has a dictionary, is constant or
    /// is all NULL.
    pub distinct: Option<u64>,
}
