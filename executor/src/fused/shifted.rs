//! Integer columns to which a constant is added: their sum is that of the column, and the constant for every value.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use super::group_keys::integer_bounds;
use crate::functions::arithmetic::Arithmetic;
use crate::view::ShardView;

/// `column + shift`, where no row of the query makes it overflow.
#[derive(Debug)]
pub(super) struct Shifted {
    /// The column, as it is or widened.
    pub(super) column: Arc<dyn PhysicalExpr>,
    /// The constant.
    pub(super) shift: i64,
}

impl Shifted {
    /// The shifted column that `expr` is, under casts to wider integers.
    pub(super) fn of(
        expr: &Arc<dyn PhysicalExpr>,
        schema: &Schema,
        row_groups: &[(Arc<ShardView>, usize)],
    ) -> Option<Self> {
        if let Some(cast) = expr.downcast_ref::<CastExpr>() {
            let widens = match (cast.expr().data_type(schema).ok()?, cast.cast_type()) {
                (DataType::Int16 | DataType::Int32, DataType::Int64) => true,
                (from, DataType::Decimal128(precision, 0)) => *precision >= digits(&from)?,
                _ => false,
            };
            return if widens { Self::of(cast.expr(), schema, row_groups) } else { None };
        }
        let call = expr.downcast_ref::<ScalarFunctionExpr>()?;
        let [left, right] = call.args() else { return None };
        let (column, shift) = if call.name() == Arithmetic::Add.function_name() {
            match constant(right) {
                Some(shift) => (left, shift),
                None => (right, constant(left)?),
            }
        } else if call.name() == Arithmetic::Subtract.function_name() {
            (left, constant(right)?.checked_neg()?)
        } else {
            return None;
        };
        let plain = match column.downcast_ref::<CastExpr>() {
            Some(cast) => cast.expr(),
            None => column,
        };
        let index = plain.downcast_ref::<Column>()?.index();
        let stored = schema.fields().get(index)?.data_type();
        digits(stored)?;
        let (least, greatest) = integer_bounds(row_groups, index)?;
        let (low, high) = match expr.data_type(schema).ok()? {
            DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            DataType::Int64 => (i64::MIN, i64::MAX),
            _ => return None,
        };
        let fits = |end: i64| end.checked_add(shift).is_some_and(|end| (low..=high).contains(&end));
        (fits(least) && fits(greatest)).then(|| Self { column: Arc::clone(plain), shift })
    }
}

/// Decimal digits that hold every value of an integer type.
fn digits(data_type: &DataType) -> Option<u8> {
    match data_type {
        DataType::Int16 => Some(5),
        DataType::Int32 => Some(10),
        DataType::Int64 => Some(19),
        _ => None,
    }
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
        ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Some(*value),
        _ => None,
    }
}
