//! Functions of whole and exact numbers that DataFusion lacks or types differently.
//!
//! | function | gives |
//! |---|---|
//! | `gcd(a, b)`, `lcm(a, b)` | `integer` or `bigint`, as the arguments |
//! | `factorial(n)` | `numeric` |
//! | `div(a, b)` | the whole part of a quotient of numerics |
//! | `scale(x)`, `min_scale(x)`, `trim_scale(x)` | digits after the point, those that are needed, `x` without the others |
//! | `width_bucket(x, low, high, n)` | which of `n` equal parts of the range holds `x` |

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{ScalarFunctionArgs, ScalarUDF};

use crate::error::ErrorKind;
use crate::functions::arithmetic::{is_number, out_of_range, signed};
use crate::functions::by_row::{Row, numerics, values};
use crate::functions::decimal::{as_decimal, rescale};
use crate::functions::function::{Function, error, internal, is_float, is_int, is_numeric};
use crate::functions::numeric_display::{NATURAL, NUMERIC_DISPLAY_KEY, QUOTIENT, format_numeric_as};

/// All of them.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![
        integers("gcd", |args| {
            of_integers(args, |a, b| i128::try_from(gcd(a.unsigned_abs(), b.unsigned_abs())).ok())
        }),
        integers("lcm", |args| of_integers(args, lcm)),
        Function::new(
            "factorial",
            |types| match types {
                [n] if is_int(n) || n.is_null() => Some(vec![DataType::Int64]),
                _ => None,
            },
            |_, _| Ok(DataType::Decimal128(38, 0)),
            |args| {
                numerics(args, |row| {
                    let n = row.long(0)?;
                    if n < 0 {
                        let message = "factorial of a negative number is undefined";
                        return Err(error(ErrorKind::NumericOutOfRange, message));
                    }
                    let product = (1..=i128::from(n)).try_fold(1_i128, |product, n| {
                        product.checked_mul(n).filter(|product| *product < 10_i128.pow(38))
                    });
                    product.map(Some).ok_or_else(overflow)
                })
            },
        )
        .udf(),
        Function::new(
            "div",
            |types| match types {
                [a, b] if is_exact(a) && is_exact(b) => {
                    Some(vec![as_decimal(&signed(a))?, as_decimal(&signed(b))?])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Decimal128(38, 0)),
            |args| {
                numerics(args, |row| {
                    let ((a, a_scale), (b, b_scale)) = (row.numeric(0)?, row.numeric(1)?);
                    let scale = a_scale.max(b_scale);
                    let (a, b) = (rescale(a, a_scale, scale)?, rescale(b, b_scale, scale)?);
                    match a.checked_div(b) {
                        Some(quotient) => Ok(Some(quotient)),
                        None => Err(error(ErrorKind::DivisionByZero, "division by zero")),
                    }
                })
            },
        )
        .udf(),
        Function::new(
            "scale",
            one_numeric,
            |_, _| Ok(DataType::Int32),
            |args| {
                let display = display_of(args);
                values::<Int32Type>(args, |row| {
                    let (value, scale) = row.numeric(0)?;
                    Ok(Some(digits_after_point(&format_numeric_as(value, scale, display))))
                })
            },
        )
        .udf(),
        Function::new(
            "min_scale",
            one_numeric,
            |_, _| Ok(DataType::Int32),
            |args| {
                values::<Int32Type>(args, |row| {
                    let (value, scale) = row.numeric(0)?;
                    Ok(Some(digits_after_point(&format_numeric_as(value, scale, Some(NATURAL)))))
                })
            },
        )
        .udf(),
        Function::new(
            "trim_scale",
            one_numeric,
            |types, _| types.first().cloned().ok_or_else(|| internal("trim_scale of nothing")),
            |args| numerics(args, |row| Ok(Some(row.numeric(0)?.0))),
        )
        .describe(|_, _| Some((NUMERIC_DISPLAY_KEY, NATURAL.to_owned())))
        .udf(),
        Function::new(
            "width_bucket",
            |types| match types {
                [x, low, high, count]
                    if is_bucket_number(x) && is_bucket_number(low) && is_bucket_number(high) =>
                {
                    let count_fits = is_int(count) && *count != DataType::Int64 || count.is_null();
                    let floats = [x, low, high].iter().any(|t| is_float(t));
                    let bound = |t: &DataType| match t {
                        _ if floats => Some(DataType::Float64),
                        t if t.is_null() || *t == DataType::Utf8 => Some(DataType::Decimal128(38, 16)),
                        t => as_decimal(&signed(t)),
                    };
                    count_fits.then_some(())?;
                    Some(vec![bound(x)?, bound(low)?, bound(high)?, DataType::Int32])
                }
                _ => None,
            },
            |_, _| Ok(DataType::Int32),
            |args| values::<Int32Type>(args, |row| bucket(args, row).map(Some)),
        )
        .udf(),
    ]
}

fn is_exact(data_type: &DataType) -> bool {
    is_int(data_type) || is_numeric(data_type) || data_type.is_null()
}

fn is_bucket_number(data_type: &DataType) -> bool {
    is_number(data_type) || matches!(data_type, DataType::Null | DataType::Utf8)
}

fn one_numeric(types: &[DataType]) -> Option<Vec<DataType>> {
    match types {
        [x] if is_exact(x) && !x.is_null() => Some(vec![as_decimal(&signed(x))?]),
        [DataType::Null | DataType::Utf8] => Some(vec![DataType::Decimal128(38, 16)]),
        _ => None,
    }
}

fn display_of(args: &ScalarFunctionArgs) -> Option<&'static str> {
    let display = args.arg_fields.first().and_then(|field| field.metadata().get(NUMERIC_DISPLAY_KEY));
    display.map(|display| if display == QUOTIENT { QUOTIENT } else { NATURAL })
}

fn digits_after_point(text: &str) -> i32 {
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    i32::try_from(digits).unwrap_or(i32::MAX)
}

fn overflow() -> datafusion::error::DataFusionError {
    error(ErrorKind::NumericOutOfRange, "value overflows numeric format")
}

/// A function of two integers of one type.
fn integers(
    name: &'static str,
    evaluate: fn(&ScalarFunctionArgs) -> Result<datafusion::logical_expr::ColumnarValue>,
) -> Arc<ScalarUDF> {
    Function::new(
        name,
        |types| match types {
            [a, b] if types.iter().all(|t| is_int(t) || t.is_null() || *t == DataType::Utf8) => {
                let wide = [a, b].iter().any(|t| matches!(signed(t), DataType::Int64));
                Some(vec![if wide { DataType::Int64 } else { DataType::Int32 }; 2])
            }
            _ => None,
        },
        |types, _| types.first().cloned().ok_or_else(|| internal("a function of two integers got none")),
        evaluate,
    )
    .udf()
}

fn lcm(a: i128, b: i128) -> Option<i128> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    let step = i128::try_from(gcd(a.unsigned_abs(), b.unsigned_abs())).ok()?;
    (a / step).checked_mul(b)?.checked_abs()
}

fn of_integers(
    args: &ScalarFunctionArgs,
    compute: impl Fn(i128, i128) -> Option<i128>,
) -> Result<datafusion::logical_expr::ColumnarValue> {
    let beyond = || out_of_range(args.return_type());
    if *args.return_type() == DataType::Int64 {
        return values::<Int64Type>(args, |row| {
            let result = compute(row.long(0)?.into(), row.long(1)?.into());
            result.and_then(|result| i64::try_from(result).ok()).map(Some).ok_or_else(beyond)
        });
    }
    values::<Int32Type>(args, |row| {
        let result = compute(row.int(0)?.into(), row.int(1)?.into());
        result.and_then(|result| i32::try_from(result).ok()).map(Some).ok_or_else(beyond)
    })
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// The part of a range that holds a value: 0 before the first, `count + 1` after the last; ranges may fall.
fn bucket(args: &ScalarFunctionArgs, row: &Row<'_>) -> Result<i32> {
    let count = row.int(3)?;
    let invalid = |message: &str| error(ErrorKind::InvalidWidthBucket, message);
    if count <= 0 {
        return Err(invalid("count must be greater than zero"));
    }
    let beyond = count.checked_add(1).ok_or_else(|| out_of_range(&DataType::Int32));
    let floats = args.arg_fields.first().is_some_and(|field| is_float(field.data_type()));
    if floats {
        let (x, low, high) = (row.float(0)?, row.float(1)?, row.float(2)?);
        if x.is_nan() || low.is_nan() || high.is_nan() {
            return Err(invalid("operand, lower bound, and upper bound cannot be NaN"));
        }
        if low.is_infinite() || high.is_infinite() {
            return Err(invalid("lower and upper bounds must be finite"));
        }
        if low == high {
            return Err(invalid("lower bound cannot equal upper bound"));
        }
        let (below, above) = if low < high { (x < low, x >= high) } else { (x > low, x <= high) };
        if below {
            return Ok(0);
        }
        if above {
            return beyond;
        }
        let part = (x - low) / (high - low) * f64::from(count);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "x lies in the range, so the part is below the count"
        )]
        return Ok((part.floor() as i32).min(count - 1) + 1);
    }
    let (x, low, high) = (row.numeric(0)?, row.numeric(1)?, row.numeric(2)?);
    let scale = x.1.max(low.1).max(high.1);
    let (x, low, high) =
        (rescale(x.0, x.1, scale)?, rescale(low.0, low.1, scale)?, rescale(high.0, high.1, scale)?);
    if low == high {
        return Err(invalid("lower bound cannot equal upper bound"));
    }
    let (below, above) = if low < high { (x < low, x >= high) } else { (x > low, x <= high) };
    if below {
        return Ok(0);
    }
    if above {
        return beyond;
    }
    let part = (x - low).checked_mul(i128::from(count)).ok_or_else(overflow)? / (high - low);
    i32::try_from(part).map(|part| part + 1).map_err(|_| out_of_range(&DataType::Int32))
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;

    use crate::functions::testing::call_named;

    #[test]
    fn buckets_have_ends() {
        let int = |value: i32| ScalarValue::Int32(Some(value));
        for (x, expected) in [(-1, 0), (0, 1), (24, 1), (25, 2), (99, 4), (100, 5)] {
            assert_eq!(
                call_named("width_bucket", &[int(x), int(0), int(100), int(4)]).unwrap(),
                int(expected)
            );
        }
        assert_eq!(call_named("width_bucket", &[int(10), int(100), int(0), int(4)]).unwrap(), int(4));
        assert!(call_named("width_bucket", &[int(10), int(1), int(1), int(4)]).is_err());
    }

    #[test]
    fn greatest_and_least_common() {
        let int = |value: i32| ScalarValue::Int32(Some(value));
        assert_eq!(call_named("gcd", &[int(-12), int(18)]).unwrap(), int(6));
        assert_eq!(call_named("lcm", &[int(4), int(-6)]).unwrap(), int(12));
        assert_eq!(call_named("lcm", &[int(0), int(6)]).unwrap(), int(0));
        assert!(call_named("gcd", &[int(i32::MIN), int(0)]).is_err());
    }
}
