//! Variances and standard deviations of exact numbers, out of their sums.
//!
//! ```text
//! var_pop  = (n * sum(x^2) - sum(x)^2) / n^2
//! var_samp = (n * sum(x^2) - sum(x)^2) / (n * (n - 1))
//! ```
//!
//! Everything before the quotient is exact. PostgreSQL computes them so too, and gives `numeric`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, i256};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use crate::functions::arithmetic::out_of_range;
use crate::functions::by_row::{Row, numerics};
use crate::functions::decimal::as_decimal;
use crate::functions::function::{Function, internal};
use crate::functions::numeric_display::{NUMERIC_DISPLAY_KEY, QUOTIENT};

/// Digits after the point of a variance: of a whole number below ten thousand PostgreSQL shows sixteen, of one below
/// one twenty.
pub const VARIANCE_SCALE: i8 = 20;

/// Which of the four is meant, as `exact_variance` is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variance {
    /// Of a sample: divided by one less than the count, NULL for a single value.
    Sample,
    /// Of a population: divided by the count.
    Population,
    /// The square root of the first.
    SampleDeviation,
    /// The square root of the second.
    PopulationDeviation,
}

impl Variance {
    /// The number that stands for it in calls.
    pub fn number(self) -> i64 {
        match self {
            Variance::Sample => 0,
            Variance::Population => 1,
            Variance::SampleDeviation => 2,
            Variance::PopulationDeviation => 3,
        }
    }
}

/// `exact_variance(sum numeric, sum of squares numeric, count bigint, which)`.
pub fn exact_variance_udf() -> Arc<ScalarUDF> {
    Function::new(
        "exact_variance",
        |types| match types {
            [sum, squares, _, _] => {
                Some(vec![as_decimal(sum)?, as_decimal(squares)?, DataType::Int64, DataType::Int64])
            }
            _ => None,
        },
        |_: &[DataType], _: &[Option<&ScalarValue>]| Ok(DataType::Decimal128(38, VARIANCE_SCALE)),
        |args| numerics(args, variance),
    )
    .nullable()
    .describe(|_, _| Some((NUMERIC_DISPLAY_KEY, QUOTIENT.to_owned())))
    .udf()
}

fn variance(row: &Row<'_>) -> Result<Option<i128>> {
    let overflow = || out_of_range(&DataType::Decimal128(38, 0));
    let ((sum, sum_scale), (squares, square_scale)) = (row.numeric(0)?, row.numeric(1)?);
    let (count, which) = (row.long(2)?, row.long(3)?);
    let (sample, deviation) = (which % 2 == 0, which >= 2);
    if count < 1 || sample && count < 2 {
        return Ok(None);
    }
    // The squares' scale is twice that of the values.
    if i16::from(square_scale) != 2 * i16::from(sum_scale) {
        return Err(internal("sums of squares have twice the scale of sums"));
    }
    let wide = i256::from_i128;
    let n = wide(i128::from(count));
    let product = n.checked_mul(wide(squares)).ok_or_else(overflow)?;
    let numerator =
        product.checked_sub(wide(sum).checked_mul(wide(sum)).ok_or_else(overflow)?).ok_or_else(overflow)?;
    if numerator <= i256::ZERO {
        return Ok(Some(0));
    }
    let divisor = n.wrapping_mul(if sample { n.wrapping_sub(i256::ONE) } else { n });
    // PostgreSQL keeps as many digits of the quotient as `select_div_scale` says, before it takes the root.
    let digits = quotient_digits(&numerator.to_string(), square_scale.into(), &divisor.to_string());
    let digits = digits.max(square_scale.into()).min(VARIANCE_SCALE.into());
    let quotient =
        scaled_quotient(numerator, divisor, digits - i32::from(square_scale)).ok_or_else(overflow)?;
    let quotient =
        scaled_quotient(quotient, i256::ONE, i32::from(VARIANCE_SCALE) - digits).ok_or_else(overflow)?;
    let result = if deviation {
        let root = root(quotient).ok_or_else(overflow)?;
        let dropped = i32::from(VARIANCE_SCALE) - digits;
        let rounded = scaled_quotient(root, i256::ONE, -dropped).ok_or_else(overflow)?;
        scaled_quotient(rounded, i256::ONE, dropped).ok_or_else(overflow)?
    } else {
        quotient
    };
    result.to_i128().map(Some).ok_or_else(overflow)
}

/// Digits after the point of a quotient of two positive numbers, the first with `scale` digits after its point: 16
/// significant ones in groups of four, as `select_div_scale` counts them.
fn quotient_digits(dividend: &str, scale: i32, divisor: &str) -> i32 {
    // The group of four that a number begins in, and what is in it.
    let first_group = |digits: &str, scale: i32| {
        let exponent = i32::try_from(digits.len()).unwrap_or(i32::MAX) - 1 - scale;
        let group = exponent.div_euclid(4);
        let length = usize::try_from(exponent - group * 4 + 1).unwrap_or(1);
        let leading: String = digits.chars().chain(std::iter::repeat('0')).take(length).collect();
        (group, leading.parse::<u32>().unwrap_or(0))
    };
    let (group, first) = first_group(dividend, scale);
    let (divisor_group, divisor_first) = first_group(divisor, 0);
    let quotient_group = group - divisor_group - i32::from(first <= divisor_first);
    (16 - quotient_group * 4).max(0)
}

/// `a * 10^shift / b`, half away from zero; both positive.
fn scaled_quotient(a: i256, b: i256, shift: i32) -> Option<i256> {
    let ten = i256::from_i128(10);
    let (mut a, mut b) = (a, b);
    for _ in 0..shift.unsigned_abs() {
        if shift > 0 {
            a = a.checked_mul(ten)?;
        } else {
            b = b.checked_mul(ten)?;
        }
    }
    let quotient = a.checked_div(b)?;
    let rest = a.checked_rem(b)?;
    let up = rest.checked_mul(i256::from_i128(2))? >= b;
    Some(if up { quotient.checked_add(i256::ONE)? } else { quotient })
}

/// The root of a number at [`VARIANCE_SCALE`], at the same scale.
fn root(value: i256) -> Option<i256> {
    let mut scaled = value;
    for _ in 0..VARIANCE_SCALE {
        scaled = scaled.checked_mul(i256::from_i128(10))?;
    }
    // Newton's method from above, over whole numbers.
    let mut estimate = i256::ONE;
    while estimate.checked_mul(estimate)? < scaled {
        estimate = estimate.checked_mul(i256::from_i128(2))?;
    }
    loop {
        let next = estimate.checked_add(scaled.checked_div(estimate)?)?.checked_div(i256::from_i128(2))?;
        if next >= estimate {
            break;
        }
        estimate = next;
    }
    // The digit after the last decides which way it is rounded.
    let rest = scaled.checked_sub(estimate.checked_mul(estimate)?)?;
    Some(if rest > estimate { estimate.checked_add(i256::ONE)? } else { estimate })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::testing::call;

    #[test]
    fn variances_are_exact() {
        let of = |which: Variance, sum: i128, squares: i128, count: i64| {
            let args = [
                ScalarValue::Decimal128(Some(sum), 38, 0),
                ScalarValue::Decimal128(Some(squares), 38, 0),
                ScalarValue::Int64(Some(count)),
                ScalarValue::Int64(Some(which.number())),
            ];
            match call(&exact_variance_udf(), &args).unwrap() {
                ScalarValue::Decimal128(value, 38, VARIANCE_SCALE) => value,
                other => panic!("{other:?}"),
            }
        };
        let one = 10_i128.pow(20);
        // 1, 2, 3, 4
        assert_eq!(of(Variance::Sample, 10, 30, 4), Some(166_666_666_666_666_670_000));
        assert_eq!(of(Variance::Population, 10, 30, 4), Some(one * 5 / 4));
        // 8, its root with sixteen digits
        assert_eq!(of(Variance::PopulationDeviation, 20, 120, 5), Some(282_842_712_474_619_010_000));
        assert_eq!(of(Variance::Sample, 5, 25, 1), None);
        assert_eq!(of(Variance::Population, 5, 25, 1), Some(0));
        assert_eq!(of(Variance::Population, 0, 0, 0), None);
    }
}
