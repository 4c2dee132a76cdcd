//! A column compared with a constant, as kernels do it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
    Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use quickdb_kernels::packing::BLOCK_VALUES;
use quickdb_kernels::{Comparison, bitmap, compare};
use quickdb_storage::ColumnChunk;

use crate::row_group::RowGroup;

/// A comparison of a column of the table with a constant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ColumnTest {
    column: usize,
    comparison: Comparison,
    constant: Constant,
}

/// A constant in the native type of the column that it is compared with.
#[derive(Debug, Clone, Copy)]
enum Constant {
    Int16(i16),
    Int32(i32),
    Date32(i32),
    Int64(i64),
    Time64(i64),
    Timestamp(i64),
    Float32(f32),
    Float64(f64),
    Decimal(i128),
    /// Compared with the column's values widened to `f64`.
    Widened(f64),
}

impl ColumnTest {
    /// The column, as a position in the table's schema.
    pub(crate) fn column(&self) -> usize {
        self.column
    }

    /// Sets the bits of the rows of `array`, some rows of the column, that pass; what is set for NULL means nothing.
    pub(crate) fn run(&self, array: &ArrayRef, words: &mut [u64]) {
        self.constant.compare(array, self.comparison, words);
    }

    /// Sets the bits of those of `rows` rows of `row_group` from `start` on that pass; what is set for NULL means nothing.
    ///
    /// A column of one or two values is compared once or twice. Of packed integers the blocks of 1,024 rows that lie on
    /// one side of the constant are not unpacked.
    pub(crate) fn select(
        &self,
        row_group: &RowGroup,
        start: usize,
        rows: usize,
        words: &mut [u64],
    ) -> Result<()> {
        match row_group.chunk(self.column)? {
            ColumnChunk::Constant(constant) => {
                words.fill(if self.verdicts(constant.value()) == 0 { 0 } else { !0 });
                bitmap::clear_tail(words, rows);
            }
            ColumnChunk::TwoValues(values) => {
                let verdicts = self.verdicts(values.values());
                let bits = values.bits().slice(start, rows);
                bitmap::copy_from_bytes(words, bits.values(), bits.offset(), rows);
                let (first, second) = (mask(verdicts & 1), mask(verdicts >> 1 & 1));
                words.iter_mut().for_each(|word| *word = (*word & second) | (!*word & first));
                bitmap::clear_tail(words, rows);
            }
            chunk @ ColumnChunk::Packed(packed) if start.is_multiple_of(BLOCK_VALUES) => {
                let verdict = |block: usize| {
                    let (least, greatest) = packed.block_bounds(block)?;
                    self.constant.verdict(self.comparison, least, greatest)
                };
                let first = start / BLOCK_VALUES;
                let verdicts: Vec<Option<bool>> =
                    (first..(start + rows).div_ceil(BLOCK_VALUES)).map(verdict).collect();
                if verdicts.iter().all(Option::is_none) {
                    self.run(&row_group.slice(self.column, start, rows)?, words);
                    return Ok(());
                }
                let blocks = words.chunks_mut(BLOCK_VALUES / bitmap::WORD_ROWS).zip(verdicts);
                for (block, (words, verdict)) in blocks.enumerate() {
                    let skipped = block * BLOCK_VALUES;
                    let rows = BLOCK_VALUES.min(rows - skipped);
                    match verdict {
                        Some(verdict) => {
                            words.fill(mask(u64::from(verdict)));
                            bitmap::clear_tail(words, rows);
                        }
                        None => self.run(&chunk.slice(start + skipped, rows), words),
                    }
                }
            }
            _ => self.run(&row_group.slice(self.column, start, rows)?, words),
        }
        Ok(())
    }

    /// A bit for each of a few values.
    fn verdicts(&self, values: &ArrayRef) -> u64 {
        let mut word = [0];
        self.run(values, &mut word);
        word[0]
    }

    /// The test that `expr` is, where a kernel knows the type: `column op constant` or `constant op column`.
    pub(crate) fn of(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Option<Self> {
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        let comparison = comparison_of(*binary.op())?;
        let sides = |a: &Arc<dyn PhysicalExpr>, b: &Arc<dyn PhysicalExpr>| {
            let value = b.downcast_ref::<Literal>()?.value();
            if let Some(column) = a.downcast_ref::<Column>().map(Column::index) {
                return Some((column, Constant::new(value, schema.field(column).data_type())?));
            }
            let cast = a.downcast_ref::<CastExpr>()?;
            let column = cast.expr().downcast_ref::<Column>()?.index();
            Some((column, Constant::widened(value, cast.cast_type(), schema.field(column).data_type())?))
        };
        let (column, constant, comparison) = match sides(binary.left(), binary.right()) {
            Some((column, constant)) => (column, constant, comparison),
            None => sides(binary.right(), binary.left())
                .map(|(column, constant)| (column, constant, mirrored(comparison)))?,
        };
        Some(Self { column, comparison, constant })
    }
}

/// All ones for 1, zero for 0.
fn mask(bit: u64) -> u64 {
    bit.wrapping_neg()
}

/// The comparison that an operator is.
pub(crate) fn comparison_of(operator: Operator) -> Option<Comparison> {
    Some(match operator {
        Operator::Eq => Comparison::Equal,
        Operator::NotEq => Comparison::NotEqual,
        Operator::Lt => Comparison::Less,
        Operator::LtEq => Comparison::LessOrEqual,
        Operator::Gt => Comparison::Greater,
        Operator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

/// The comparison with its sides exchanged.
pub(crate) fn mirrored(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Greater => Comparison::Less,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        same => same,
    }
}

impl Constant {
    /// `value`, when it has the type of the column and is not NULL.
    fn new(value: &ScalarValue, data_type: &DataType) -> Option<Self> {
        Some(match (value, data_type) {
            (ScalarValue::Int16(Some(value)), DataType::Int16) => Self::Int16(*value),
            (ScalarValue::Int32(Some(value)), DataType::Int32) => Self::Int32(*value),
            (ScalarValue::Int64(Some(value)), DataType::Int64) => Self::Int64(*value),
            (ScalarValue::Date32(Some(value)), DataType::Date32) => Self::Date32(*value),
            (ScalarValue::Time64Microsecond(Some(value)), DataType::Time64(TimeUnit::Microsecond)) => {
                Self::Time64(*value)
            }
            // Both sides count from the same instant, so the zones do not matter.
            (
                ScalarValue::TimestampMicrosecond(Some(value), zone),
                DataType::Timestamp(TimeUnit::Microsecond, column_zone),
            ) if zone.is_some() == column_zone.is_some() => Self::Timestamp(*value),
            (ScalarValue::Float32(Some(value)), DataType::Float32) => Self::Float32(*value),
            (ScalarValue::Float64(Some(value)), DataType::Float64) => Self::Float64(*value),
            (ScalarValue::Decimal128(Some(value), _, scale), DataType::Decimal128(_, column_scale))
                if scale == column_scale =>
            {
                Self::Decimal(*value)
            }
            _ => return None,
        })
    }

    /// `value`, when it is compared with a cast of the column to `double precision`.
    fn widened(value: &ScalarValue, cast_type: &DataType, data_type: &DataType) -> Option<Self> {
        match (value, cast_type, data_type) {
            (
                ScalarValue::Float64(Some(value)),
                DataType::Float64,
                DataType::Float32 | DataType::Int16 | DataType::Int32 | DataType::Int64,
            ) => Some(Self::Widened(*value)),
            _ => None,
        }
    }

    /// What the comparison says of every integer from `least` to `greatest`; `None` when it differs or the constant is
    /// no integer.
    fn verdict(self, comparison: Comparison, least: i64, greatest: i64) -> Option<bool> {
        let constant = match self {
            Self::Int16(value) => i128::from(value),
            Self::Int32(value) | Self::Date32(value) => i128::from(value),
            Self::Int64(value) | Self::Time64(value) | Self::Timestamp(value) => i128::from(value),
            Self::Decimal(value) => value,
            Self::Float32(_) | Self::Float64(_) | Self::Widened(_) => return None,
        };
        let (least, greatest) = (i128::from(least), i128::from(greatest));
        let (all, none) = match comparison {
            Comparison::Equal => {
                (least == greatest && least == constant, constant < least || constant > greatest)
            }
            Comparison::NotEqual => {
                (constant < least || constant > greatest, least == greatest && least == constant)
            }
            Comparison::Less => (greatest < constant, least >= constant),
            Comparison::LessOrEqual => (greatest <= constant, least > constant),
            Comparison::Greater => (least > constant, greatest <= constant),
            Comparison::GreaterOrEqual => (least >= constant, greatest < constant),
        };
        match (all, none) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Sets the bits of the rows of `array` that compare as asked; what is set for NULL means nothing.
    fn compare(self, array: &ArrayRef, comparison: Comparison, words: &mut [u64]) {
        match self {
            Self::Int16(constant) => {
                compare::compare(array.as_primitive::<Int16Type>().values(), comparison, constant, words);
            }
            Self::Int32(constant) => {
                compare::compare(array.as_primitive::<Int32Type>().values(), comparison, constant, words);
            }
            Self::Date32(constant) => {
                compare::compare(array.as_primitive::<Date32Type>().values(), comparison, constant, words);
            }
            Self::Int64(constant) => {
                compare::compare(array.as_primitive::<Int64Type>().values(), comparison, constant, words);
            }
            Self::Time64(constant) => {
                let array = array.as_primitive::<Time64MicrosecondType>();
                compare::compare(array.values(), comparison, constant, words);
            }
            Self::Timestamp(constant) => {
                let array = array.as_primitive::<TimestampMicrosecondType>();
                compare::compare(array.values(), comparison, constant, words);
            }
            Self::Float32(constant) => {
                compare::compare(array.as_primitive::<Float32Type>().values(), comparison, constant, words);
            }
            Self::Float64(constant) => {
                compare::compare(array.as_primitive::<Float64Type>().values(), comparison, constant, words);
            }
            Self::Widened(constant) => match array.data_type() {
                DataType::Int16 => {
                    let values = array.as_primitive::<Int16Type>().values();
                    compare::compare_widened(values, comparison, constant, words);
                }
                DataType::Int32 => {
                    let values = array.as_primitive::<Int32Type>().values();
                    compare::compare_widened(values, comparison, constant, words);
                }
                DataType::Int64 => {
                    let values = array.as_primitive::<Int64Type>().values();
                    compare::compare_widened(values, comparison, constant, words);
                }
                _ => {
                    let values = array.as_primitive::<Float32Type>().values();
                    compare::compare_widened(values, comparison, constant, words);
                }
            },
            Self::Decimal(constant) => {
                compare::compare(
                    array.as_primitive::<Decimal128Type>().values(),
                    comparison,
                    constant,
                    words,
                );
            }
        }
    }
}
