//! `abs`, `sign`, `round`, `trunc`, `ceil` and `floor` with PostgreSQL's result types.
//!
//! Over `numeric` they stay `numeric`, over floats `double precision` (`round` half to even); integers go to
//! `double precision` but for `abs` and `sign`-less arithmetic, and `round(x, n)` and `trunc(x, n)` exist for `numeric`
//! only. A literal `n` is the scale of the result's type.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, PrimitiveArray};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::functions::arithmetic::{is_number, out_of_range, signed};
use crate::functions::decimal::{as_decimal, rescale};
use crate::functions::function::{Function, arg, internal, is_numeric, over_arrays};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("abs", same_number, first_type, |args| {
            over_arrays(args, |arrays| abs(arg(arrays, 0)?))
        })
        .udf(),
        unary("sign", |args| whole(args, sign, |value, scale| Ok(value.signum() * one(scale)?)))
            .aliases(&["signum"])
            .udf(),
        unary("ceil", |args| whole(args, f64::ceil, |value, scale| toward(value, scale, 1)))
            .aliases(&["ceiling"])
            .udf(),
        unary("floor", |args| whole(args, f64::floor, |value, scale| toward(value, scale, -1))).udf(),
        with_digits("round", |args| digits(args, f64::round_ties_even, rescale)).udf(),
        with_digits("trunc", |args| digits(args, f64::trunc, truncate)).udf(),
    ]
}

fn same_number(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [DataType::Null | DataType::Utf8] => Some(vec![DataType::Float64]),
        [number] if is_number(number) => Some(vec![signed(number)]),
        _ => None,
    }
}

fn first_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    types.first().cloned().ok_or_else(|| internal("a function of one argument got none"))
}

/// Numeric for numeric, `double precision` for every other number.
fn numeric_or_double(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [number] if is_numeric(number) => Some(vec![signed(number)]),
        [number] if is_number(number) => Some(vec![DataType::Float64]),
        [DataType::Null | DataType::Utf8] => Some(vec![DataType::Float64]),
        _ => None,
    }
}

/// The type of a `numeric` rounded to `digits` after the point.
fn rounded_type(precision: u8, scale: i8, digits: i8) -> DataType {
    let whole = i16::from(precision) - i16::from(scale) + 1;
    let digits = digits.clamp(0, 37);
    let precision = (whole + i16::from(digits)).clamp(1, 38);
    DataType::Decimal128(u8::try_from(precision).unwrap_or(38), digits)
}

fn whole_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match types {
        [DataType::Decimal128(precision, scale)] => Ok(rounded_type(*precision, *scale, 0)),
        _ => Ok(DataType::Float64),
    }
}

fn unary(name: &'static str, evaluate: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>) -> Function {
    Function::new(name, numeric_or_double, whole_type, evaluate)
}

/// A function of one number; `exact` gives the unscaled result before it loses the digits after the point.
fn whole(
    args: &ScalarFunctionArgs,
    float: impl Fn(f64) -> f64,
    exact: impl Fn(i128, i8) -> Result<i128>,
) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| whole_array(arg(arrays, 0)?, args.return_type(), &float, &exact))
}

fn whole_array(
    array: &ArrayRef,
    result_type: &DataType,
    float: impl Fn(f64) -> f64,
    exact: impl Fn(i128, i8) -> Result<i128>,
) -> Result<ArrayRef> {
    let DataType::Decimal128(_, scale) = array.data_type() else {
        let result: PrimitiveArray<Float64Type> = array.as_primitive::<Float64Type>().unary(float);
        return Ok(Arc::new(result));
    };
    let result: Decimal128Array = array
        .as_primitive::<Decimal128Type>()
        .iter()
        .map(|value| value.map(|value| rescale(exact(value, *scale)?, *scale, 0)).transpose())
        .collect::<Result<_>>()?;
    typed(result, result_type)
}

fn typed(array: Decimal128Array, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = data_type else {
        return Err(internal(format!("a numeric result of type {data_type}")));
    };
    Ok(Arc::new(array.with_precision_and_scale(*precision, *scale)?))
}

/// One, unscaled.
fn one(scale: i8) -> Result<i128> {
    10_i128.checked_pow(u32::try_from(scale).unwrap_or(0)).ok_or_else(|| internal("a scale beyond 38"))
}

fn sign(value: f64) -> f64 {
    if value > 0.0 {
        1.0
    } else if value < 0.0 {
        -1.0
    } else {
        // NaN too.
        0.0
    }
}

/// The nearest multiple of one that is not below (`direction` 1) or not above (-1) the value.
fn toward(value: i128, scale: i8, direction: i128) -> Result<i128> {
    let one = one(scale)?;
    let rest = value.rem_euclid(one);
    let down = value - rest;
    Ok(if rest != 0 && direction > 0 { down + one } else { down })
}

fn truncate(value: i128, scale: i8, digits: i8) -> Result<i128> {
    if digits >= scale {
        return rescale(value, scale, digits);
    }
    let dropped = u32::try_from(i32::from(scale) - i32::from(digits)).unwrap_or(0);
    Ok(10_i128.checked_pow(dropped).map_or(0, |factor| value / factor))
}

fn with_digits(name: &'static str, evaluate: fn(&ScalarFunctionArgs) -> Result<ColumnarValue>) -> Function {
    Function::new(
        name,
        |types| match types {
            [_] => numeric_or_double(types),
            [number, places] if places.is_integer() || matches!(places, DataType::Null | DataType::Utf8) => {
                match number {
                    DataType::Null | DataType::Utf8 => {
                        Some(vec![DataType::Decimal128(38, 16), DataType::Int64])
                    }
                    other => as_decimal(&signed(other)).map(|number| vec![number, DataType::Int64]),
                }
            }
            _ => None,
        },
        |types, literals| match types {
            [DataType::Decimal128(precision, scale), _] => {
                let digits = match literals {
                    [_, Some(ScalarValue::Int64(Some(digits)))] => {
                        i8::try_from((*digits).clamp(0, 37)).unwrap_or(0)
                    }
                    _ => *scale,
                };
                Ok(rounded_type(*precision, *scale, digits))
            }
            _ => whole_type(types, literals),
        },
        evaluate,
    )
}

fn digits(
    args: &ScalarFunctionArgs,
    float: impl Fn(f64) -> f64,
    exact: impl Fn(i128, i8, i8) -> Result<i128>,
) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let numbers = arg(arrays, 0)?;
        let DataType::Decimal128(_, scale) = *numbers.data_type() else {
            let result: PrimitiveArray<Float64Type> = numbers.as_primitive::<Float64Type>().unary(&float);
            return Ok(Arc::new(result) as ArrayRef);
        };
        let DataType::Decimal128(_, shown) = *args.return_type() else {
            return Err(internal("numeric expected"));
        };
        let places = arrays.get(1).map(|places| arrow_cast(places, &DataType::Int64)).transpose()?;
        let places = places.as_ref().map(|places| places.as_primitive::<Int64Type>());
        let values = numbers.as_primitive::<Decimal128Type>();
        let result: Decimal128Array = (0..values.len())
            .map(|row| {
                let null = values.is_null(row) || places.is_some_and(|places| places.is_null(row));
                if null {
                    return Ok(None);
                }
                let places = places.map_or(0, |places| places.value(row)).clamp(-38, 37);
                let places = i8::try_from(places).unwrap_or(0);
                let rounded = exact(values.value(row), scale, places)?;
                rescale(rounded, places, shown).map(Some)
            })
            .collect::<Result<_>>()?;
        typed(result, args.return_type())
    })
}

fn abs(array: &ArrayRef) -> Result<ArrayRef> {
    fn int<T: ArrowPrimitiveType>(
        array: &ArrayRef,
        abs: impl Fn(T::Native) -> Option<T::Native>,
    ) -> Result<ArrayRef> {
        let result: PrimitiveArray<T> = array
            .as_primitive::<T>()
            .iter()
            .map(|value| value.map(|value| abs(value).ok_or_else(|| out_of_range(&T::DATA_TYPE))).transpose())
            .collect::<Result<_>>()?;
        Ok(Arc::new(result))
    }
    match array.data_type() {
        DataType::Int16 => int::<Int16Type>(array, i16::checked_abs),
        DataType::Int32 => int::<Int32Type>(array, i32::checked_abs),
        DataType::Int64 => int::<Int64Type>(array, i64::checked_abs),
        DataType::Float32 => {
            Ok(Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float32Type>(f32::abs)))
        }
        DataType::Float64 => {
            Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::abs)))
        }
        data_type @ DataType::Decimal128(..) => {
            typed(array.as_primitive::<Decimal128Type>().unary(i128::abs), data_type)
        }
        other => Err(internal(format!("abs of {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::testing::call_named;

    fn decimal(value: i128, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal128(Some(value), precision, scale)
    }

    #[test]
    fn numerics_round_half_away_and_floats_half_even() {
        let two = ScalarValue::Int64(Some(2));
        assert_eq!(call_named("round", &[decimal(12_345, 5, 3), two]).unwrap(), decimal(1_235, 5, 2));
        assert_eq!(call_named("round", &[decimal(25, 2, 1)]).unwrap(), decimal(3, 2, 0));
        assert_eq!(
            call_named("round", &[ScalarValue::Float64(Some(2.5))]).unwrap(),
            ScalarValue::Float64(Some(2.0))
        );
        let minus_two = ScalarValue::Int64(Some(-2));
        assert_eq!(call_named("round", &[decimal(1_250, 4, 0), minus_two]).unwrap(), decimal(1_300, 5, 0));
    }

    #[test]
    fn integers_go_to_double() {
        assert_eq!(
            call_named("ceil", &[ScalarValue::Int32(Some(5))]).unwrap(),
            ScalarValue::Float64(Some(5.0))
        );
        assert_eq!(call_named("ceil", &[decimal(-15, 2, 1)]).unwrap(), decimal(-1, 2, 0));
        assert_eq!(call_named("floor", &[decimal(-15, 2, 1)]).unwrap(), decimal(-2, 2, 0));
        assert_eq!(call_named("trunc", &[decimal(-15, 2, 1)]).unwrap(), decimal(-1, 2, 0));
    }

    #[test]
    fn magnitudes_are_range_checked() {
        assert!(call_named("abs", &[ScalarValue::Int32(Some(i32::MIN))]).is_err());
        assert!(
            call_named("round", &[ScalarValue::Float64(Some(1.0)), ScalarValue::Int64(Some(1))]).is_err()
        );
    }
}
