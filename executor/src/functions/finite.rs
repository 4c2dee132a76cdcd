//! Measured values, which may be no numbers.
//!
//! | function | gives |
//! |---|---|
//! | `isnan(x)` | whether `x` is NaN |
//! | `flux2mag(x)` | the AB magnitude of a flux in nanojansky, `-2.5 log10(x * 1e-9 / 3631)`: infinite for none, NaN for a negative one |
//! | `finite_or_null(x)` | `x`, or NULL where it is infinite or NaN |
//! | `extremes_record(min, max)` | the result of `minmax`: a record of both, NULL where both are |

use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StructArray};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Fields, Float32Type, Float64Type};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use crate::functions::arithmetic::is_number;
use crate::functions::function::{Function, arg, internal, is_float, over_arrays};

/// A flux of magnitude zero, in jansky.
const ZERO_POINT_JANSKY: f64 = 3631.0;

/// One nanojansky in jansky.
const NANO: f64 = 1e-9;

static FINITE_OR_NULL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new(
        "finite_or_null",
        |types| match types {
            [data_type] if is_float(data_type) => Some(types.to_vec()),
            _ => None,
        },
        |types, _| types.first().cloned().ok_or_else(|| internal("a finite nothing")),
        |args| over_arrays(args, |arrays| finite_or_null(arg(arrays, 0)?)),
    )
    .nullable()
    .same_type()
    .udf()
});

static EXTREMES_RECORD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::new(
        "extremes_record",
        |types| match types {
            [least, greatest] if least == greatest => Some(types.to_vec()),
            _ => None,
        },
        |types, _| {
            let value = types.first().ok_or_else(|| internal("extremes of nothing"))?;
            Ok(DataType::Struct(extremes_fields(value)))
        },
        |args| {
            over_arrays(args, |arrays| {
                let (least, greatest) = (arg(arrays, 0)?, arg(arrays, 1)?);
                let valid =
                    NullBuffer::union(least.logical_nulls().as_ref(), greatest.logical_nulls().as_ref());
                let fields = extremes_fields(least.data_type());
                let columns = vec![Arc::clone(least), Arc::clone(greatest)];
                Ok(Arc::new(StructArray::try_new(fields, columns, valid)?))
            })
        },
    )
    .nullable()
    .udf()
});

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        Function::new(
            "isnan",
            one_double,
            |_, _| Ok(DataType::Boolean),
            |args| {
                over_arrays(args, |arrays| {
                    let values = doubles(arg(arrays, 0)?)?;
                    let values = values.as_primitive::<Float64Type>();
                    let flags = BooleanBuffer::from_iter(values.values().iter().map(|value| value.is_nan()));
                    Ok(Arc::new(BooleanArray::new(flags, values.nulls().cloned())))
                })
            },
        )
        .udf(),
        Function::new(
            "flux2mag",
            one_double,
            |_, _| Ok(DataType::Float64),
            |args| {
                over_arrays(args, |arrays| {
                    let fluxes = doubles(arg(arrays, 0)?)?;
                    let fluxes = fluxes.as_primitive::<Float64Type>();
                    Ok(Arc::new(fluxes.unary::<_, Float64Type>(magnitude)))
                })
            },
        )
        .udf(),
        finite_or_null_udf(),
        extremes_record_udf(),
    ]
}

/// The function that leaves out what is not finite.
pub fn finite_or_null_udf() -> Arc<ScalarUDF> {
    Arc::clone(&FINITE_OR_NULL)
}

/// The function that makes a record of two extremes.
pub fn extremes_record_udf() -> Arc<ScalarUDF> {
    Arc::clone(&EXTREMES_RECORD)
}

/// The fields of `minmax` over values of a type.
pub fn extremes_fields(value: &DataType) -> Fields {
    Fields::from(vec![Field::new("min", value.clone(), true), Field::new("max", value.clone(), true)])
}

fn magnitude(flux: f64) -> f64 {
    -2.5 * (flux * NANO / ZERO_POINT_JANSKY).log10()
}

fn one_double(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        // A `real` is widened where it is read.
        [DataType::Float32] => Some(vec![DataType::Float32]),
        [data_type] if is_number(data_type) || matches!(data_type, DataType::Utf8 | DataType::Null) => {
            Some(vec![DataType::Float64])
        }
        _ => None,
    }
}

fn doubles(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(cast(values, &DataType::Float64)?)
}

fn finite_or_null(values: &ArrayRef) -> Result<ArrayRef> {
    fn run<T: ArrowPrimitiveType>(values: &ArrayRef, is_finite: impl Fn(T::Native) -> bool) -> ArrayRef {
        let values = values.as_primitive::<T>();
        let finite = BooleanBuffer::from_iter(values.values().iter().map(|&value| is_finite(value)));
        let valid = NullBuffer::union(values.nulls(), Some(&NullBuffer::new(finite)));
        // What stands under a NULL is 0: kernels add it without asking.
        let zeroed =
            values.unary::<_, T>(|value| if is_finite(value) { value } else { T::Native::default() });
        Arc::new(PrimitiveArray::<T>::new(
            zeroed.values().clone(),
            valid.filter(|nulls| nulls.null_count() > 0),
        ))
    }
    match values.data_type() {
        DataType::Float32 => Ok(run::<Float32Type>(values, f32::is_finite)),
        DataType::Float64 => Ok(run::<Float64Type>(values, f64::is_finite)),
        other => Err(internal(format!("{other} is no float"))),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    fn check(name: &str, argument: ScalarValue, expected: ScalarValue) {
        assert_eq!(call_named(name, &[argument]).unwrap(), expected);
    }

    #[test]
    fn magnitudes_of_fluxes() {
        check("flux2mag", ScalarValue::Float64(Some(3631e9)), ScalarValue::Float64(Some(-0.0)));
        check("flux2mag", ScalarValue::Int32(Some(0)), ScalarValue::Float64(Some(f64::INFINITY)));
        check("flux2mag", ScalarValue::Float32(None), ScalarValue::Float64(None));
        let negative = call_named("flux2mag", &[ScalarValue::Float64(Some(-1.0))]).unwrap();
        assert!(matches!(negative, ScalarValue::Float64(Some(value)) if value.is_nan()));
    }

    #[test]
    fn what_is_no_number() {
        check("isnan", ScalarValue::Float32(Some(f32::NAN)), ScalarValue::Boolean(Some(true)));
        check("isnan", ScalarValue::Float64(Some(1.0)), ScalarValue::Boolean(Some(false)));
        check("isnan", ScalarValue::Float64(None), ScalarValue::Boolean(None));
        check("finite_or_null", ScalarValue::Float32(Some(f32::INFINITY)), ScalarValue::Float32(None));
        check("finite_or_null", ScalarValue::Float64(Some(2.5)), ScalarValue::Float64(Some(2.5)));
    }
}
