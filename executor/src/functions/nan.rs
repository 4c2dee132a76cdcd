//! One NaN: the result of `Infinity - Infinity` has a sign on many machines, and would sort before everything else.

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::logical_expr::ScalarUDF;

use crate::functions::function::{Function, arg, over_arrays};

/// `positive_nan(x)`: a float with the one NaN that PostgreSQL has.
pub fn positive_nan_udf() -> Arc<ScalarUDF> {
    static ONE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
        Function::new(
            "positive_nan",
            |types| match types {
                [DataType::Float32] => Some(vec![DataType::Float32]),
                [_] => Some(vec![DataType::Float64]),
                _ => None,
            },
            |types, _| Ok(types.first().cloned().unwrap_or(DataType::Float64)),
            |args| over_arrays(args, |arrays| Ok(positive_nan(arg(arrays, 0)?))),
        )
        .udf()
    });
    Arc::clone(&ONE)
}

/// The array with the sign of its NaNs taken off; other types as they are.
pub(crate) fn positive_nan(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            if !values.values().iter().any(|value| value.is_nan() && value.is_sign_negative()) {
                return Arc::clone(array);
            }
            let one = |value: f32| if value.is_nan() { f32::NAN } else { value };
            Arc::new(values.unary::<_, Float32Type>(one) as PrimitiveArray<Float32Type>)
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            if !values.values().iter().any(|value| value.is_nan() && value.is_sign_negative()) {
                return Arc::clone(array);
            }
            let one = |value: f64| if value.is_nan() { f64::NAN } else { value };
            Arc::new(values.unary::<_, Float64Type>(one) as PrimitiveArray<Float64Type>)
        }
        _ => Arc::clone(array),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Float64Array;

    use super::*;

    #[test]
    fn nans_lose_their_sign() {
        let array: ArrayRef = Arc::new(Float64Array::from(vec![-f64::NAN, -1.0]));
        let values = positive_nan(&array);
        let values = values.as_primitive::<Float64Type>();
        assert!(values.value(0).is_nan() && values.value(0).is_sign_positive());
        assert_eq!(values.value(1), -1.0);
    }
}
