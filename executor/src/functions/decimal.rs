//! Arithmetic of `numeric` over 128-bit decimals.
//!
//! PostgreSQL's numeric carries its scale with each value; a column of ours has one scale. Addition, subtraction and
//! modulo keep the larger scale, multiplication adds the scales up to [`PRODUCT_SCALE_MAX`], division gives
//! [`QUOTIENT_SCALE_MIN`] digits or the larger scale. Results round half away from zero as PostgreSQL's do, and what does
//! not fit 38 digits is an error, never a wrapped value.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum, Decimal128Array};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, i256};
use datafusion::common::Result;

use crate::error::ErrorKind;
use crate::functions::arithmetic::{Arithmetic, arithmetic_error, out_of_range};
use crate::functions::function::{error, internal};

/// Digits after the point of a quotient, as many as PostgreSQL shows of one between 1 and 10,000.
pub const QUOTIENT_SCALE_MIN: i8 = 16;
/// A product has no more digits after the point than this unless an operand had: 18 digits are left before it.
pub const PRODUCT_SCALE_MAX: i8 = 20;

/// The decimal type that holds every value of a number type, or `None` for floats.
pub(crate) fn as_decimal(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int8 | DataType::UInt8 => Some(DataType::Decimal128(3, 0)),
        DataType::Int16 | DataType::UInt16 => Some(DataType::Decimal128(5, 0)),
        DataType::Int32 | DataType::UInt32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 | DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        DataType::Decimal128(..) => Some(data_type.clone()),
        _ => None,
    }
}

/// Precision and scale of a result.
pub(crate) fn result_type(op: Arithmetic, (p1, s1): (u8, i8), (p2, s2): (u8, i8)) -> (u8, i8) {
    let integer_digits = |p: u8, s: i8| i16::from(p) - i16::from(s);
    let precision = |digits: i16| u8::try_from(digits.clamp(1, 38)).unwrap_or(DECIMAL128_MAX_PRECISION);
    match op {
        Arithmetic::Add | Arithmetic::Subtract => {
            let scale = s1.max(s2);
            (precision(integer_digits(p1, s1).max(integer_digits(p2, s2)) + i16::from(scale) + 1), scale)
        }
        Arithmetic::Multiply => {
            let scale = s1.saturating_add(s2).min(PRODUCT_SCALE_MAX.max(s1).max(s2));
            (precision(i16::from(p1) + i16::from(p2) + 1), scale)
        }
        Arithmetic::Divide => (DECIMAL128_MAX_PRECISION, QUOTIENT_SCALE_MIN.max(s1).max(s2)),
        Arithmetic::Modulo => {
            let scale = s1.max(s2);
            (precision(integer_digits(p1, s1).min(integer_digits(p2, s2)) + i16::from(scale)), scale)
        }
    }
}

/// Computes `left op right`; both are decimals, the result has the type `result`.
pub(crate) fn evaluate(
    op: Arithmetic,
    left: &dyn Datum,
    right: &dyn Datum,
    result: &DataType,
) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = result else {
        return Err(internal(format!("decimals gave the type {result}")));
    };
    let array = match op {
        Arithmetic::Add => numeric::add(left, right).map_err(|e| arithmetic_error(&e, result))?,
        Arithmetic::Subtract => numeric::sub(left, right).map_err(|e| arithmetic_error(&e, result))?,
        Arithmetic::Modulo => numeric::rem(left, right).map_err(|e| arithmetic_error(&e, result))?,
        Arithmetic::Multiply => pairwise(left, right, |a, s1, b, s2| multiply(a, s1, b, s2, *scale))?,
        Arithmetic::Divide => pairwise(left, right, |a, s1, b, s2| divide(a, s1, b, s2, *scale))?,
    };
    let array = array.as_primitive::<Decimal128Type>().clone();
    Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
}

fn pairwise(
    left: &dyn Datum,
    right: &dyn Datum,
    compute: impl Fn(i128, i8, i128, i8) -> Result<i128>,
) -> Result<ArrayRef> {
    let ((left, left_constant), (right, right_constant)) = (left.get(), right.get());
    let (s1, s2) = (scale_of(left)?, scale_of(right)?);
    let (a, b) = (left.as_primitive::<Decimal128Type>(), right.as_primitive::<Decimal128Type>());
    let rows = if left_constant { b.len() } else { a.len() };
    let values: Decimal128Array = (0..rows)
        .map(|row| {
            let left_row = if left_constant { 0 } else { row };
            let right_row = if right_constant { 0 } else { row };
            if a.is_null(left_row) || b.is_null(right_row) {
                return Ok(None);
            }
            compute(a.value(left_row), s1, b.value(right_row), s2).map(Some)
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(values))
}

fn scale_of(array: &dyn Array) -> Result<i8> {
    match array.data_type() {
        DataType::Decimal128(_, scale) => Ok(*scale),
        other => Err(internal(format!("decimal arithmetic over {other}"))),
    }
}

fn multiply(a: i128, s1: i8, b: i128, s2: i8, scale: i8) -> Result<i128> {
    let dropped = i32::from(s1) + i32::from(s2) - i32::from(scale);
    if dropped <= 0 {
        return a.checked_mul(b).ok_or_else(overflow);
    }
    let product = i256::from_i128(a).wrapping_mul(i256::from_i128(b));
    divide_rounded(product, power_of_ten(dropped)?).and_then(narrow)
}

/// `a / 10^s1` divided by `b / 10^s2`, at `scale` digits.
pub(crate) fn divide(a: i128, s1: i8, b: i128, s2: i8, scale: i8) -> Result<i128> {
    if b == 0 {
        return Err(error(ErrorKind::DivisionByZero, "division by zero"));
    }
    let shift = i32::from(scale) + i32::from(s2) - i32::from(s1);
    let (dividend, divisor) = if shift >= 0 {
        let scaled = i256::from_i128(a).checked_mul(power_of_ten(shift)?).ok_or_else(overflow)?;
        (scaled, i256::from_i128(b))
    } else {
        let scaled = i256::from_i128(b).checked_mul(power_of_ten(-shift)?).ok_or_else(overflow)?;
        (i256::from_i128(a), scaled)
    };
    divide_rounded(dividend, divisor).and_then(narrow)
}

/// Rounds half away from zero.
fn divide_rounded(dividend: i256, divisor: i256) -> Result<i256> {
    let quotient = dividend.checked_div(divisor).ok_or_else(overflow)?;
    let rest = dividend.checked_rem(divisor).ok_or_else(overflow)?;
    let twice = rest.wrapping_abs().wrapping_mul(i256::from_i128(2));
    if twice < divisor.wrapping_abs() {
        return Ok(quotient);
    }
    let negative = (dividend < i256::ZERO) != (divisor < i256::ZERO);
    Ok(if negative { quotient.wrapping_sub(i256::ONE) } else { quotient.wrapping_add(i256::ONE) })
}

fn power_of_ten(exponent: i32) -> Result<i256> {
    let exponent = u32::try_from(exponent).map_err(|_| overflow())?;
    let mut power = i256::ONE;
    for _ in 0..exponent {
        power = power.checked_mul(i256::from_i128(10)).ok_or_else(overflow)?;
    }
    Ok(power)
}

fn narrow(value: i256) -> Result<i128> {
    value.to_i128().ok_or_else(overflow)
}

fn overflow() -> datafusion::error::DataFusionError {
    out_of_range(&DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0))
}

/// A decimal with `digits` digits after the point instead of `scale`: rounded half away from zero, or padded.
///
/// # Errors
/// 22003 when the value does not fit 128 bits.
pub(crate) fn rescale(value: i128, scale: i8, digits: i8) -> Result<i128> {
    let shift = i32::from(digits) - i32::from(scale);
    if shift >= 0 {
        let factor = 10_i128.checked_pow(u32::try_from(shift).unwrap_or(u32::MAX)).ok_or_else(overflow);
        return match (value, factor) {
            (0, _) => Ok(0),
            (value, factor) => value.checked_mul(factor?).ok_or_else(overflow),
        };
    }
    if -shift > 38 {
        return Ok(0);
    }
    divide_rounded(i256::from_i128(value), power_of_ten(-shift)?).and_then(narrow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_round_half_away_from_zero() {
        assert_eq!(divide(1, 0, 3, 0, 4).unwrap(), 3333);
        assert_eq!(divide(2, 0, 3, 0, 4).unwrap(), 6667);
        assert_eq!(divide(-1, 0, 2, 0, 0).unwrap(), -1);
        assert_eq!(divide(150, 2, 3, 1, 2).unwrap(), 500);
    }

    #[test]
    fn products_keep_their_digits_up_to_the_limit() {
        assert_eq!(multiply(15, 1, 25, 1, 2).unwrap(), 375);
        assert_eq!(result_type(Arithmetic::Multiply, (38, 16), (38, 16)), (38, 20));
        assert_eq!(multiply(15, 1, 5, 1, 1).unwrap(), 8);
    }

    #[test]
    fn rescaling_rounds_half_away_from_zero() {
        assert_eq!(rescale(125, 2, 1).unwrap(), 13);
        assert_eq!(rescale(-125, 2, 1).unwrap(), -13);
        assert_eq!(rescale(12, 0, 2).unwrap(), 1200);
        assert!(rescale(i128::MAX, 0, 1).is_err());
    }
}
