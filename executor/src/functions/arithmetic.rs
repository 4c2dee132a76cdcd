//! `+ - * / %` and unary minus with PostgreSQL's types, range checks and errors.
//!
//! DataFusion's own binary expression wraps integers silently, and the flag that would check them does not travel to a
//! worker. These functions do, by name, and show as `a + b`.
//!
//! | operands | result |
//! |---|---|
//! | two integers | the wider of both; `/` truncates towards zero |
//! | `real` and `real` | `real` |
//! | any other mix with a float | `double precision` |
//! | a `numeric` and an integer or `numeric` | `numeric`, see [`decimal`](super::decimal) |
//! | dates, times, intervals | see [`temporal`](super::temporal) |

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Datum};
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, IntervalUnit};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::datetime::DateTimeSettings;
use crate::error::ErrorKind;
use crate::functions::function::{Function, error, internal, is_float, is_int, is_numeric, is_text};
use crate::functions::nan::positive_nan;
use crate::functions::numeric_display::{NATURAL, NUMERIC_DISPLAY_KEY, QUOTIENT};
use crate::functions::{decimal, temporal};

/// One of the five binary operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

impl Arithmetic {
    /// All five.
    pub const ALL: [Arithmetic; 5] =
        [Arithmetic::Add, Arithmetic::Subtract, Arithmetic::Multiply, Arithmetic::Divide, Arithmetic::Modulo];

    /// The operator's sign.
    pub fn sign(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
        }
    }

    /// The name of the function that computes it, the same on master and workers.
    pub fn function_name(self) -> &'static str {
        match self {
            Arithmetic::Add => "checked_add",
            Arithmetic::Subtract => "checked_sub",
            Arithmetic::Multiply => "checked_mul",
            Arithmetic::Divide => "checked_div",
            Arithmetic::Modulo => "checked_mod",
        }
    }

    /// The function.
    pub fn udf(self) -> Arc<ScalarUDF> {
        let function = match self {
            Arithmetic::Add => Function::new(
                self.function_name(),
                |types| coerce(Arithmetic::Add, types),
                |types, _| returns(Arithmetic::Add, types),
                |args| evaluate(Arithmetic::Add, args),
            ),
            Arithmetic::Subtract => Function::new(
                self.function_name(),
                |types| coerce(Arithmetic::Subtract, types),
                |types, _| returns(Arithmetic::Subtract, types),
                |args| evaluate(Arithmetic::Subtract, args),
            ),
            Arithmetic::Multiply => Function::new(
                self.function_name(),
                |types| coerce(Arithmetic::Multiply, types),
                |types, _| returns(Arithmetic::Multiply, types),
                |args| evaluate(Arithmetic::Multiply, args),
            ),
            Arithmetic::Divide => Function::new(
                self.function_name(),
                |types| coerce(Arithmetic::Divide, types),
                |types, _| returns(Arithmetic::Divide, types),
                |args| evaluate(Arithmetic::Divide, args),
            ),
            Arithmetic::Modulo => Function::new(
                self.function_name(),
                |types| coerce(Arithmetic::Modulo, types),
                |types, _| returns(Arithmetic::Modulo, types),
                |args| evaluate(Arithmetic::Modulo, args),
            ),
        };
        function
            .operator(self.sign())
            .describe(match self {
                Arithmetic::Divide => {
                    |_, data_type| is_numeric(data_type).then(|| (NUMERIC_DISPLAY_KEY, QUOTIENT.to_owned()))
                }
                Arithmetic::Modulo => |_, _| None,
                Arithmetic::Multiply => |args, data_type| inherited_display(args, data_type, 0),
                Arithmetic::Add | Arithmetic::Subtract => {
                    |args, data_type| inherited_display(args, data_type, decimal::QUOTIENT_SCALE_MIN)
                }
            })
            .udf()
    }
}

/// How a numeric result is shown: like its one operand that is not shown with its type's scale, where the other's scale
/// is at most `scale_max` and so decides nothing.
fn inherited_display(
    args: &ReturnFieldArgs,
    data_type: &DataType,
    scale_max: i8,
) -> Option<(&'static str, String)> {
    if !is_numeric(data_type) {
        return None;
    }
    let display = |field: &FieldRef| field.metadata().get(NUMERIC_DISPLAY_KEY).cloned();
    let decides_nothing = |field: &FieldRef| {
        display(field).is_some()
            || matches!(decimal::as_decimal(field.data_type()), Some(DataType::Decimal128(_, scale)) if scale <= scale_max)
    };
    let [left, right] = args.arg_fields else { return None };
    let kept = match (display(left), display(right)) {
        (Some(kept), _) if decides_nothing(right) => kept,
        (_, Some(kept)) if decides_nothing(left) => kept,
        _ => return None,
    };
    Some((NUMERIC_DISPLAY_KEY, if kept == QUOTIENT { QUOTIENT } else { NATURAL }.to_owned()))
}

/// Unary minus, `checked_neg`.
pub fn negate_udf() -> Arc<ScalarUDF> {
    Function::new(
        "checked_neg",
        |types| match types {
            [operand] if is_text(operand) && *operand != DataType::Utf8View => Some(vec![DataType::Float64]),
            [DataType::Null] => Some(vec![DataType::Int32]),
            [DataType::Interval(_)] => Some(vec![DataType::Interval(IntervalUnit::MonthDayNano)]),
            [operand] if is_number(operand) => Some(vec![signed(operand)]),
            _ => None,
        },
        |types, _| Ok(types.first().cloned().unwrap_or(DataType::Null)),
        |args| {
            crate::functions::function::over_arrays(args, |arrays| {
                let operand = crate::functions::function::arg(arrays, 0)?;
                match operand.data_type() {
                    DataType::Interval(_) => temporal::negate_interval(operand),
                    data_type => numeric::neg(operand).map_err(|e| arithmetic_error(&e, data_type)),
                }
            })
        },
    )
    .operator("-")
    .udf()
}

/// `mod(a, b)`, the same as `a % b`.
fn mod_udf() -> Arc<ScalarUDF> {
    Function::new(
        "mod",
        |types| coerce(Arithmetic::Modulo, types).filter(|types| types.iter().all(is_number)),
        |types, _| returns(Arithmetic::Modulo, types),
        |args| evaluate(Arithmetic::Modulo, args),
    )
    .udf()
}

/// All arithmetic functions.
pub(crate) fn functions() -> Vec<Arc<ScalarUDF>> {
    Arithmetic::ALL.into_iter().map(Arithmetic::udf).chain([negate_udf(), mod_udf()]).collect()
}

/// Whether values of the type can be added up.
pub(crate) fn is_number(data_type: &DataType) -> bool {
    is_int(data_type) || is_float(data_type) || is_numeric(data_type)
}

/// The signed integer that holds every value of the type; other numbers as they are.
pub(crate) fn signed(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::Decimal256(_, s) => DataType::Decimal128(38, (*s).min(38)),
        other => other.clone(),
    }
}

/// The types that two numbers are cast to before they meet.
pub fn common_number_types(left: &DataType, right: &DataType) -> Option<(DataType, DataType)> {
    if !is_number(left) || !is_number(right) {
        return None;
    }
    let (left, right) = (signed(left), signed(right));
    if is_float(&left) || is_float(&right) {
        let both_real = left == DataType::Float32 && right == DataType::Float32;
        let common = if both_real { DataType::Float32 } else { DataType::Float64 };
        return Some((common.clone(), common));
    }
    if is_numeric(&left) || is_numeric(&right) {
        return Some((decimal::as_decimal(&left)?, decimal::as_decimal(&right)?));
    }
    let common = if rank(&left) >= rank(&right) { left } else { right };
    Some((common.clone(), common))
}

fn rank(data_type: &DataType) -> u8 {
    match data_type {
        DataType::Int16 => 1,
        DataType::Int32 => 2,
        _ => 3,
    }
}

/// The types that the operands of `op` are cast to; `None` where PostgreSQL has no such operator.
pub fn coerce(op: Arithmetic, types: &[DataType]) -> Option<Vec<DataType>> {
    let [left, right] = types else { return None };
    let (left, right) = match (left, right) {
        (DataType::Null | DataType::Utf8, DataType::Null | DataType::Utf8) => {
            (DataType::Int32, DataType::Int32)
        }
        (DataType::Null | DataType::Utf8, other) => (temporal::partner_of(op, other), other.clone()),
        (other, DataType::Null | DataType::Utf8) => (other.clone(), temporal::partner_of(op, other)),
        (left, right) => (left.clone(), right.clone()),
    };
    if let Some((left, right)) = common_number_types(&left, &right) {
        if op == Arithmetic::Modulo && is_float(&left) {
            return None;
        }
        return Some(vec![left, right]);
    }
    temporal::coerce(op, &left, &right).map(|(left, right)| vec![left, right])
}

/// The type of the result for operands that [`coerce`] has chosen.
pub fn returns(op: Arithmetic, types: &[DataType]) -> Result<DataType> {
    let [left, right] = types else { return Err(internal("an operator of two operands got another number")) };
    if let (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) = (left, right) {
        let (precision, scale) = decimal::result_type(op, (*p1, *s1), (*p2, *s2));
        return Ok(DataType::Decimal128(precision, scale));
    }
    if left == right && is_number(left) {
        return Ok(left.clone());
    }
    temporal::returns(op, left, right)
        .ok_or_else(|| internal(format!("no result type for {left} {} {right}", op.sign())))
}

fn evaluate(op: Arithmetic, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
    let [left, right] = args.args.as_slice() else {
        return Err(internal("an operator of two operands got another number"));
    };
    let (left_datum, right_datum) = (datum(left)?, datum(right)?);
    let (left_datum, right_datum) = (left_datum.as_ref(), right_datum.as_ref());
    let data_type = left.data_type();
    let result: ArrayRef = match &data_type {
        _ if !is_number(&left.data_type()) || !is_number(&right.data_type()) => {
            let settings = DateTimeSettings::of(&args.config_options);
            temporal::evaluate(op, left_datum, right_datum, &settings.time_zone)?
        }
        DataType::Decimal128(..) => decimal::evaluate(op, left_datum, right_datum, args.return_type())?,
        DataType::Float32 | DataType::Float64 => float(op, left_datum, right_datum)?,
        data_type => integer(op, left_datum, right_datum).map_err(|e| arithmetic_error(&e, data_type))?,
    };
    let constant = matches!((left, right), (ColumnarValue::Scalar(_), ColumnarValue::Scalar(_)));
    if constant {
        Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?))
    } else {
        Ok(ColumnarValue::Array(result))
    }
}

fn datum(value: &ColumnarValue) -> Result<Box<dyn Datum>> {
    Ok(match value {
        ColumnarValue::Array(array) => Box::new(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => Box::new(scalar.to_scalar()?),
    })
}

fn integer(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef, ArrowError> {
    match op {
        Arithmetic::Add => numeric::add(left, right),
        Arithmetic::Subtract => numeric::sub(left, right),
        Arithmetic::Multiply => numeric::mul(left, right),
        Arithmetic::Divide => numeric::div(left, right),
        Arithmetic::Modulo => numeric::rem(left, right),
    }
}

/// PostgreSQL refuses what IEEE 754 answers with an infinity: a zero divisor, and a finite pair whose result is not.
fn float(op: Arithmetic, left: &dyn Datum, right: &dyn Datum) -> Result<ArrayRef> {
    let (divisor, divisor_constant) = right.get();
    let (operand, operand_constant) = left.get();
    if op == Arithmetic::Divide {
        let divides_null = operand_constant && operand.null_count() > 0;
        if !divides_null && any_divided_by_zero(operand, divisor, operand_constant, divisor_constant) {
            return Err(error(ErrorKind::DivisionByZero, "division by zero"));
        }
    }
    let result = match op {
        Arithmetic::Add => numeric::add(left, right)?,
        Arithmetic::Subtract => numeric::sub(left, right)?,
        Arithmetic::Multiply => numeric::mul(left, right)?,
        Arithmetic::Divide => numeric::div(left, right)?,
        Arithmetic::Modulo => numeric::rem(left, right)?,
    };
    let overflowed = any(&result, f32::is_infinite, f64::is_infinite);
    if overflowed {
        for row in 0..result.len() {
            let left_row = if operand_constant { 0 } else { row };
            let right_row = if divisor_constant { 0 } else { row };
            let finite = float_at(operand, left_row).is_finite() && float_at(divisor, right_row).is_finite();
            if result.is_valid(row) && float_at(&result, row).is_infinite() && finite {
                return Err(error(ErrorKind::NumericOutOfRange, "value out of range: overflow"));
            }
        }
    }
    if matches!(op, Arithmetic::Multiply | Arithmetic::Divide) && any(&result, |v| v == 0.0, |v| v == 0.0) {
        for row in 0..result.len() {
            let left_value = float_at(operand, if operand_constant { 0 } else { row });
            let right_value = float_at(divisor, if divisor_constant { 0 } else { row });
            let from_non_zero = left_value != 0.0
                && (op == Arithmetic::Multiply && right_value != 0.0
                    || op == Arithmetic::Divide && right_value.is_finite());
            if result.is_valid(row) && float_at(&result, row) == 0.0 && from_non_zero {
                return Err(error(ErrorKind::NumericOutOfRange, "value out of range: underflow"));
            }
        }
    }
    Ok(positive_nan(&result))
}

fn any_divided_by_zero(
    operand: &dyn Array,
    divisor: &dyn Array,
    operand_constant: bool,
    divisor_constant: bool,
) -> bool {
    if !any(divisor, |v| v == 0.0, |v| v == 0.0) {
        return false;
    }
    let rows = if divisor_constant { operand.len() } else { divisor.len() };
    (0..rows).any(|row| {
        let left_row = if operand_constant { 0 } else { row };
        let right_row = if divisor_constant { 0 } else { row };
        operand.is_valid(left_row)
            && divisor.is_valid(right_row)
            && float_at(divisor, right_row) == 0.0
            && !float_at(operand, left_row).is_nan()
    })
}

/// Whether a valid value of a float array fulfils the condition.
fn any(array: &dyn Array, single: impl Fn(f32) -> bool, double: impl Fn(f64) -> bool) -> bool {
    let hits = match array.data_type() {
        DataType::Float32 => BooleanArray::from_unary(array.as_primitive::<Float32Type>(), single),
        DataType::Float64 => BooleanArray::from_unary(array.as_primitive::<Float64Type>(), double),
        _ => return false,
    };
    hits.true_count() > 0
}

fn float_at(array: &dyn Array, row: usize) -> f64 {
    match array.data_type() {
        DataType::Float32 => f64::from(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
        _ => f64::NAN,
    }
}

/// PostgreSQL's words for an arrow kernel's complaint about values of `data_type`.
pub(crate) fn arithmetic_error(
    kernel_error: &ArrowError,
    data_type: &DataType,
) -> datafusion::error::DataFusionError {
    match kernel_error {
        ArrowError::DivideByZero => error(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => out_of_range(data_type),
        other => internal(other.to_string()),
    }
}

/// 22003 in the words that go with the type.
pub(crate) fn out_of_range(data_type: &DataType) -> datafusion::error::DataFusionError {
    let message = match data_type {
        DataType::Int16 => "smallint out of range",
        DataType::Int32 => "integer out of range",
        DataType::Int64 => "bigint out of range",
        DataType::Decimal128(..) => "value overflows numeric format",
        DataType::Interval(_) => "interval out of range",
        _ => "value out of range",
    };
    error(ErrorKind::NumericOutOfRange, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExecError;
    use crate::functions::testing::call;

    fn check(
        op: Arithmetic,
        left: ScalarValue,
        right: ScalarValue,
    ) -> std::result::Result<ScalarValue, String> {
        call(&op.udf(), &[left, right]).map_err(|e| ExecError::find(&e).unwrap().message)
    }

    #[test]
    fn integers_keep_the_wider_type_and_are_range_checked() {
        let one = ScalarValue::Int32(Some(1));
        assert_eq!(
            check(Arithmetic::Add, one.clone(), ScalarValue::Int64(Some(2))),
            Ok(ScalarValue::Int64(Some(3)))
        );
        assert_eq!(
            check(Arithmetic::Add, ScalarValue::Int32(Some(i32::MAX)), one),
            Err("integer out of range".to_owned())
        );
        assert_eq!(
            check(Arithmetic::Divide, ScalarValue::Int64(Some(i64::MIN)), ScalarValue::Int64(Some(-1))),
            Err("bigint out of range".to_owned())
        );
        assert_eq!(
            check(Arithmetic::Modulo, ScalarValue::Int16(Some(i16::MIN)), ScalarValue::Int16(Some(-1))),
            Ok(ScalarValue::Int16(Some(0)))
        );
    }

    #[test]
    fn zero_divisors_are_refused_for_every_type() {
        let zeros = [
            ScalarValue::Int32(Some(0)),
            ScalarValue::Float64(Some(0.0)),
            ScalarValue::Float32(Some(0.0)),
            ScalarValue::Decimal128(Some(0), 10, 2),
        ];
        for zero in zeros {
            let one = ScalarValue::new_one(&zero.data_type()).unwrap();
            assert_eq!(check(Arithmetic::Divide, one, zero), Err("division by zero".to_owned()));
        }
    }

    #[test]
    fn floats_neither_overflow_nor_underflow_silently() {
        let big = ScalarValue::Float64(Some(1e308));
        let small = ScalarValue::Float64(Some(1e-300));
        assert_eq!(
            check(Arithmetic::Multiply, big.clone(), big.clone()),
            Err("value out of range: overflow".to_owned())
        );
        assert_eq!(
            check(Arithmetic::Multiply, small.clone(), small),
            Err("value out of range: underflow".to_owned())
        );
        let infinite = ScalarValue::Float64(Some(f64::INFINITY));
        assert_eq!(check(Arithmetic::Multiply, big, infinite.clone()), Ok(infinite));
    }

    #[test]
    fn null_operands_give_null() {
        let null = ScalarValue::Float64(None);
        assert_eq!(check(Arithmetic::Divide, null.clone(), ScalarValue::Float64(Some(0.0))), Ok(null));
    }
}
