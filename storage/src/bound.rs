//! A value that limits the values of a chunk from below or above.

/// A smallest or largest value, of any type that has an order.
///
/// Bounds of one column are all of one variant and compare by their natural order; floats by
/// [`f64::total_cmp`], so that -0 lies below 0; text by its bytes (PostgreSQL's collation "C").
#[derive(Clone, Debug)]
pub enum Bound {
    /// Of a Boolean column; false lies below true.
    Bool(bool),
    /// Of Int16, Int32, Int64, Date32 (days), Time64 and Timestamp (microseconds) columns.
    Int(i64),
    /// Of Float32 and Float64 columns. Never NaN.
    Float(f64),
    /// Of a Decimal128 column: the unscaled value.
    Decimal(i128),
    /// Of a text column. At most [`TEXT_BOUND_BYTES_MAX`](crate::TEXT_BOUND_BYTES_MAX) bytes: a longer minimum is cut
    /// off (and so lies below), a longer maximum is cut off and its last character raised (and so lies above). A text
    /// bound therefore need not be a value of the column.
    Text(String),
}
