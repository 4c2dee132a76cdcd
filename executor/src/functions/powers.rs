//! Powers, roots, exponentials and logarithms: `double precision`, or `numeric` where an argument is `numeric`.
//!
//! A `numeric` result is computed in double precision and has [`NATURAL_SCALE`] digits after the point: about 15 of them
//! are significant.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Decimal128Array, PrimitiveArray};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF};

use crate::error::ErrorKind;
use crate::functions::arithmetic::{is_number, signed};
use crate::functions::cast::NATURAL_SCALE;
use crate::functions::function::{Function, arg, error, is_numeric, over_arrays};
use crate::functions::input::parse_numeric;

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new("sqrt", numbers, result_type, |args| one(args, sqrt)).udf(),
        Function::new("exp", numbers, result_type, |args| one(args, |x| finite(x.exp(), x))).udf(),
        Function::new("ln", numbers, result_type, |args| one(args, |x| logarithm(x).map(f64::ln))).udf(),
        Function::new("log10", numbers, result_type, |args| one(args, |x| logarithm(x).map(f64::log10)))
            .udf(),
        Function::new("log", logarithm_arguments, result_type, |args| match args.args.len() {
            1 => one(args, |x| logarithm(x).map(f64::log10)),
            _ => two(args, |base, x| {
                let (base, x) = (logarithm(base)?, logarithm(x)?);
                if base == 1.0 {
                    return Err(error(ErrorKind::DivisionByZero, "division by zero"));
                }
                Ok(x.ln() / base.ln())
            }),
        })
        .udf(),
        Function::new("power", numbers, result_type, |args| two(args, power)).aliases(&["pow"]).udf(),
        Function::new("cbrt", doubles, |_, _| Ok(DataType::Float64), |args| one(args, |x| Ok(x.cbrt())))
            .udf(),
    ]
}

/// Doubles, or numerics as they are where one is numeric and none is a float.
fn numbers(types: &[DataType]) -> Option<Vec<DataType>> {
    let fits = |t: &DataType| is_number(t) || matches!(t, DataType::Null | DataType::Utf8);
    if !matches!(types.len(), 1 | 2) || !types.iter().all(fits) {
        return None;
    }
    let exact = types.iter().any(is_numeric) && !types.iter().any(crate::functions::function::is_float);
    let choose = |t: &DataType| match t {
        t if exact && is_number(t) => signed(t),
        _ if exact => DataType::Decimal128(38, NATURAL_SCALE),
        _ => DataType::Float64,
    };
    Some(types.iter().map(choose).collect())
}

/// The logarithm to a base exists for `numeric` only.
fn logarithm_arguments(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [_] => numbers(types),
        [_, _] if types.iter().any(crate::functions::function::is_float) => None,
        [base, x] if is_number(base) && is_number(x) => {
            let numeric = |t: &DataType| crate::functions::decimal::as_decimal(&signed(t));
            Some(vec![numeric(base)?, numeric(x)?])
        }
        _ => None,
    }
}

fn doubles(types: &[DataType]) -> Option<Vec<DataType>> {
    numbers(types).map(|types| vec![DataType::Float64; types.len()])
}

fn result_type(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(if types.iter().any(is_numeric) { DataType::Decimal128(38, NATURAL_SCALE) } else { DataType::Float64 })
}

fn one(args: &ScalarFunctionArgs, compute: impl Fn(f64) -> Result<f64>) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let x = arrow_cast(arg(arrays, 0)?, &DataType::Float64)?;
        let values = x.as_primitive::<Float64Type>().iter();
        results(values.map(|x| x.map(&compute).transpose()), args.return_type())
    })
}

fn two(args: &ScalarFunctionArgs, compute: impl Fn(f64, f64) -> Result<f64>) -> Result<ColumnarValue> {
    over_arrays(args, |arrays| {
        let x = arrow_cast(arg(arrays, 0)?, &DataType::Float64)?;
        let y = arrow_cast(arg(arrays, 1)?, &DataType::Float64)?;
        let pairs = x.as_primitive::<Float64Type>().iter().zip(y.as_primitive::<Float64Type>().iter());
        results(pairs.map(|(x, y)| x.zip(y).map(|(x, y)| compute(x, y)).transpose()), args.return_type())
    })
}

fn results(values: impl Iterator<Item = Result<Option<f64>>>, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = data_type else {
        return Ok(Arc::new(values.collect::<Result<PrimitiveArray<Float64Type>>>()?));
    };
    let numerics: Decimal128Array = values
        .map(|value| {
            value?
                .map(|value| parse_numeric(&format!("{value:.*}", usize::from(scale.unsigned_abs())), *scale))
                .transpose()
        })
        .collect::<Result<_>>()?;
    Ok(Arc::new(numerics.with_precision_and_scale(*precision, *scale)?))
}

/// Refuses an infinity that came of finite arguments.
fn finite(result: f64, argument: f64) -> Result<f64> {
    if result.is_infinite() && argument.is_finite() {
        return Err(error(ErrorKind::NumericOutOfRange, "value out of range: overflow"));
    }
    if result == 0.0 && argument.is_finite() {
        return Err(error(ErrorKind::NumericOutOfRange, "value out of range: underflow"));
    }
    Ok(result)
}

fn sqrt(x: f64) -> Result<f64> {
    if x < 0.0 {
        return Err(error(ErrorKind::InvalidPowerArgument, "cannot take square root of a negative number"));
    }
    Ok(x.sqrt())
}

fn logarithm(x: f64) -> Result<f64> {
    if x == 0.0 {
        return Err(error(ErrorKind::InvalidLogArgument, "cannot take logarithm of zero"));
    }
    if x < 0.0 {
        return Err(error(ErrorKind::InvalidLogArgument, "cannot take logarithm of a negative number"));
    }
    Ok(x)
}

fn power(x: f64, y: f64) -> Result<f64> {
    if x == 0.0 && y < 0.0 {
        return Err(error(ErrorKind::InvalidPowerArgument, "zero raised to a negative power is undefined"));
    }
    if x < 0.0 && x.is_finite() && y.is_finite() && y.fract() != 0.0 {
        return Err(error(
            ErrorKind::InvalidPowerArgument,
            "a negative number raised to a non-integer power yields a complex result",
        ));
    }
    let result = x.powf(y);
    if result.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(error(ErrorKind::NumericOutOfRange, "value out of range: overflow"));
    }
    if result == 0.0 && x != 0.0 && x.is_finite() && y.is_finite() {
        return Err(error(ErrorKind::NumericOutOfRange, "value out of range: underflow"));
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExecError;
    use crate::functions::testing::call_named;

    #[test]
    fn refusals() {
        let message = |name: &str, args: &[f64]| {
            let args: Vec<ScalarValue> = args.iter().map(|v| ScalarValue::Float64(Some(*v))).collect();
            ExecError::find(&call_named(name, &args).unwrap_err()).unwrap().message
        };
        assert_eq!(message("sqrt", &[-1.0]), "cannot take square root of a negative number");
        assert_eq!(message("ln", &[0.0]), "cannot take logarithm of zero");
        assert_eq!(message("power", &[0.0, -1.0]), "zero raised to a negative power is undefined");
        assert_eq!(message("exp", &[1000.0]), "value out of range: overflow");
    }

    #[test]
    fn numerics_stay_numeric() {
        let two = ScalarValue::Decimal128(Some(2), 1, 0);
        let root = call_named("sqrt", &[two]).unwrap();
        assert_eq!(root.data_type(), DataType::Decimal128(38, NATURAL_SCALE));
    }
}
