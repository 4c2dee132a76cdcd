//! How arrays and their elements compare: NULL after everything else, shorter arrays before longer ones.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, DynComparator, Int32Array, make_comparator};
use datafusion::arrow::compute::SortOptions;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::shape::is_multi;
use super::types::two_arrays;
use crate::functions::function::{Function, arg, over_arrays};

/// `array_order(a, b)`: less than 0, 0, or more than 0, as `a` comes before, with or after `b`.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "array_order",
            |types| match types {
                [left, right] => {
                    let (left, right) = two_arrays(left, right)?;
                    let wider = if is_multi(&left) { &left } else { &right };
                    Some(vec![wider.clone(), wider.clone()])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Int32),
            |args| over_arrays(args, |arrays| compared(arg(arrays, 0)?, arg(arrays, 1)?)),
        )
        .udf(),
    ]
}

/// Compares places of two arrays of one type, NULLs last.
pub(super) fn comparator(left: &dyn Array, right: &dyn Array) -> Result<DynComparator> {
    Ok(make_comparator(left, right, SortOptions { descending: false, nulls_first: false })?)
}

fn compared(left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
    let compare = comparator(left.as_ref(), right.as_ref())?;
    let orders = (0..left.len()).map(|row| {
        if left.is_null(row) || right.is_null(row) {
            return None;
        }
        Some(match compare(row, row) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })
    });
    Ok(Arc::new(orders.collect::<Int32Array>()))
}
