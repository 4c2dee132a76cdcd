//! The bytes of one column of many rows to an Arrow array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, Decimal128Array, ListArray, PrimitiveArray, StringViewBuilder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::format::{Element, FitsColumn, Scaling};

/// The elements of a column, one piece of bytes for each row.
pub(super) struct Pieces<'a> {
    pub(super) pieces: Vec<&'a [u8]>,
    /// Elements of each piece.
    pub(super) counts: Vec<usize>,
}

impl<'a> Pieces<'a> {
    /// The pieces of rows of `row_bytes` bytes that lie one behind the other.
    pub(super) fn of_rows(rows: &'a [u8], row_bytes: usize, column: &FitsColumn) -> Self {
        let cut = |row: &'a [u8]| row.get(column.offset..column.offset + column.width).unwrap_or_default();
        let pieces: Vec<&[u8]> = rows.chunks_exact(row_bytes.max(1)).map(cut).collect();
        let count = column.repeat * column.strings.unwrap_or(1);
        Self { counts: vec![count; pieces.len()], pieces }
    }
}

/// The array of a column.
///
/// # Errors
/// More elements than an Arrow array holds.
pub(super) fn array(
    column: &FitsColumn,
    pieces: &Pieces<'_>,
    nan_is_null: bool,
) -> Result<ArrayRef, ArrowError> {
    let (values, lengths) = elements(column, pieces, nan_is_null)?;
    if !column.is_array() {
        return Ok(values);
    }
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths(lengths), values, None)?))
}

fn elements(
    column: &FitsColumn,
    pieces: &Pieces<'_>,
    nan_is_null: bool,
) -> Result<(ArrayRef, Vec<usize>), ArrowError> {
    let lengths = || pieces.counts.clone();
    let doubled = || pieces.counts.iter().map(|count| count * 2).collect();
    Ok(match column.element {
        Element::Logical => {
            let values = pieces.pieces.iter().flat_map(|piece| piece.iter()).map(|byte| match byte {
                b'T' => Some(true),
                b'F' => Some(false),
                _ => None,
            });
            (Arc::new(values.collect::<BooleanArray>()), lengths())
        }
        Element::Bit => {
            let values = pieces.pieces.iter().zip(&pieces.counts).flat_map(|(piece, count)| {
                let bit = |at: usize| piece.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
                (0..*count).map(move |at| Some(bit(at)))
            });
            (Arc::new(values.collect::<BooleanArray>()), lengths())
        }
        Element::Byte => {
            let read = |[byte]: [u8; 1]| i64::from(byte);
            (integers::<1, Int16Type>(column, pieces, read)?, lengths())
        }
        Element::Int16 => {
            let read = |bytes| i64::from(i16::from_be_bytes(bytes));
            let values = match column.scaling {
                Scaling::Offset(_) => integers::<2, Int32Type>(column, pieces, read)?,
                _ => integers::<2, Int16Type>(column, pieces, read)?,
            };
            (values, lengths())
        }
        Element::Int32 => {
            let read = |bytes| i64::from(i32::from_be_bytes(bytes));
            let values = match column.scaling {
                Scaling::Offset(_) => integers::<4, Int64Type>(column, pieces, read)?,
                _ => integers::<4, Int32Type>(column, pieces, read)?,
            };
            (values, lengths())
        }
        Element::Int64 => (integers::<8, Int64Type>(column, pieces, i64::from_be_bytes)?, lengths()),
        Element::Character => strings(column, pieces),
        Element::Float32 => match column.scaling {
            Scaling::Linear { scale, zero } => {
                let read = |bytes| f64::from(f32::from_be_bytes(bytes)) * scale + zero;
                (floats::<4, Float64Type>(pieces, read, f64::is_nan, nan_is_null), lengths())
            }
            _ => (floats::<4, Float32Type>(pieces, f32::from_be_bytes, f32::is_nan, nan_is_null), lengths()),
        },
        Element::Float64 => {
            let (scale, zero) = match column.scaling {
                Scaling::Linear { scale, zero } => (scale, zero),
                _ => (1.0, 0.0),
            };
            let read = |bytes| match column.scaling {
                Scaling::Linear { .. } => f64::from_be_bytes(bytes) * scale + zero,
                _ => f64::from_be_bytes(bytes),
            };
            (floats::<8, Float64Type>(pieces, read, f64::is_nan, nan_is_null), lengths())
        }
        Element::Complex64 => {
            (floats::<4, Float32Type>(pieces, f32::from_be_bytes, f32::is_nan, nan_is_null), doubled())
        }
        Element::Complex128 => {
            (floats::<8, Float64Type>(pieces, f64::from_be_bytes, f64::is_nan, nan_is_null), doubled())
        }
    })
}

fn numbers<'a, const N: usize>(pieces: &'a Pieces<'_>) -> impl Iterator<Item = [u8; N]> + 'a {
    pieces.pieces.iter().flat_map(|piece| piece.as_chunks::<N>().0.iter().copied())
}

/// Integers in the column's type: as they are, moved by an offset, or scaled.
fn integers<const N: usize, T: ArrowPrimitiveType>(
    column: &FitsColumn,
    pieces: &Pieces<'_>,
    read: impl Fn([u8; N]) -> i64,
) -> Result<ArrayRef, ArrowError>
where
    T::Native: TryFrom<i64> + Default,
{
    // TNULL is compared with the number in the file.
    let nulls = column.null.map(|null| {
        NullBuffer::from(numbers::<N>(pieces).map(|bytes| read(bytes) != null).collect::<Vec<bool>>())
    });
    Ok(match column.scaling {
        Scaling::Linear { scale, zero } => {
            #[expect(clippy::cast_precision_loss, reason = "the file asks for doubles")]
            let values: ScalarBuffer<f64> =
                numbers(pieces).map(|bytes| read(bytes) as f64 * scale + zero).collect();
            Arc::new(PrimitiveArray::<Float64Type>::try_new(values, nulls)?)
        }
        Scaling::Offset(offset) if N == 8 => {
            let values: ScalarBuffer<i128> =
                numbers(pieces).map(|bytes| i128::from(read(bytes)) + offset).collect();
            Arc::new(Decimal128Array::try_new(values, nulls)?.with_data_type(DataType::Decimal128(20, 0)))
        }
        scaling => {
            let offset = match scaling {
                Scaling::Offset(offset) => i64::try_from(offset).unwrap_or(0),
                _ => 0,
            };
            let values: ScalarBuffer<T::Native> = numbers(pieces)
                .map(|bytes| T::Native::try_from(read(bytes) + offset).unwrap_or_default())
                .collect();
            Arc::new(PrimitiveArray::<T>::try_new(values, nulls)?)
        }
    })
}

fn floats<const N: usize, T: ArrowPrimitiveType>(
    pieces: &Pieces<'_>,
    read: impl Fn([u8; N]) -> T::Native,
    is_nan: impl Fn(T::Native) -> bool,
    nan_is_null: bool,
) -> ArrayRef {
    let values: ScalarBuffer<T::Native> = numbers(pieces).map(read).collect();
    let nulls = nan_is_null
        .then(|| values.iter().map(|value| !is_nan(*value)).collect::<Vec<bool>>())
        .map(NullBuffer::from);
    Arc::new(PrimitiveArray::<T>::new(values, nulls))
}

/// Texts end at a zero byte, and blanks at their end mean nothing; one that begins with a zero byte is NULL.
fn strings(column: &FitsColumn, pieces: &Pieces<'_>) -> (ArrayRef, Vec<usize>) {
    let mut builder = StringViewBuilder::new();
    let mut lengths = Vec::with_capacity(pieces.pieces.len());
    for piece in &pieces.pieces {
        let length = if column.strings.is_some() { column.repeat } else { piece.len() };
        let mut texts = piece.chunks(length.max(1)).peekable();
        if texts.peek().is_none() {
            builder.append_value("");
            lengths.push(1);
            continue;
        }
        let before = lengths.len();
        let mut count = 0;
        for text in texts {
            let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
            let text = text.get(..end).unwrap_or_default().trim_ascii_end();
            if end == 0 {
                builder.append_null();
            } else {
                match std::str::from_utf8(text) {
                    Ok(text) => builder.append_value(text),
                    Err(_) => {
                        builder.append_value(text.iter().map(|byte| char::from(*byte)).collect::<String>())
                    }
                }
            }
            count += 1;
        }
        debug_assert_eq!(lengths.len(), before);
        lengths.push(count);
    }
    (Arc::new(builder.finish()), lengths)
}
