//! `avg` of integers and numerics: an exact sum divided by a count.
//!
//! The server turns `avg(x)` into `average(sum(x), count(x), scale)`, so that workers only ever see DataFusion's own
//! `sum` and `count`, which the fused partial aggregate knows, and so that no average loses digits of its sum.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, Decimal128Array};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use crate::functions::decimal::{as_decimal, divide};
use crate::functions::function::{Function, arg, internal, over_arrays};
use crate::functions::numeric_display::{NUMERIC_DISPLAY_KEY, QUOTIENT};

/// Digits before the point that every average of the input type has room for decide the digits after it.
pub fn average_scale(input: &DataType) -> i8 {
    match input {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => 20,
        DataType::Decimal128(precision, scale) if i16::from(*precision) - i16::from(*scale) <= 16 => {
            (*scale).max(20)
        }
        DataType::Decimal128(_, scale) => (*scale).max(16),
        _ => 16,
    }
}

/// `average(sum numeric, count bigint, scale)`; NULL where the count is zero.
pub fn average_udf() -> Arc<ScalarUDF> {
    Function::new(
        "average",
        |types| match types {
            [sum, _, _] => Some(vec![as_decimal(sum)?, DataType::Int64, DataType::Int64]),
            _ => None,
        },
        |_, literals| match literals {
            [_, _, Some(ScalarValue::Int64(Some(scale)))] => {
                Ok(DataType::Decimal128(38, i8::try_from(*scale).map_err(|_| internal("a scale beyond 38"))?))
            }
            _ => Err(internal("average needs a literal scale")),
        },
        |args| {
            over_arrays(args, |arrays| {
                let DataType::Decimal128(precision, scale) = *args.return_type() else {
                    return Err(internal("an average is numeric"));
                };
                let DataType::Decimal128(_, sum_scale) = *arg(arrays, 0)?.data_type() else {
                    return Err(internal("an average needs a numeric sum"));
                };
                let sums = arg(arrays, 0)?.as_primitive::<Decimal128Type>();
                let counts = arg(arrays, 1)?.as_primitive::<Int64Type>();
                let averages: Decimal128Array = sums
                    .iter()
                    .zip(counts.iter())
                    .map(|pair| match pair {
                        (Some(sum), Some(count)) if count != 0 => {
                            divide(sum, sum_scale, i128::from(count), 0, scale).map(Some)
                        }
                        _ => Ok(None),
                    })
                    .collect::<Result<_>>()?;
                Ok(Arc::new(averages.with_precision_and_scale(precision, scale)?))
            })
        },
    )
    .nullable()
    .describe(|_, _| Some((NUMERIC_DISPLAY_KEY, QUOTIENT.to_owned())))
    .udf()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::testing::call_named;

    #[test]
    fn no_values_have_no_average() {
        let scale = ScalarValue::Int64(Some(16));
        let args = [ScalarValue::Decimal128(None, 20, 0), ScalarValue::Int64(Some(0)), scale.clone()];
        assert_eq!(call_named("average", &args).unwrap(), ScalarValue::Decimal128(None, 38, 16));
        let args = [ScalarValue::Decimal128(Some(10), 20, 0), ScalarValue::Int64(Some(4)), scale];
        assert_eq!(
            call_named("average", &args).unwrap(),
            ScalarValue::Decimal128(Some(25_000_000_000_000_000), 38, 16)
        );
    }
}
