//! Casts of single values.

use super::*;
use crate::error::ExecError;
use crate::functions::testing::call;

fn check(to: &DataType, from: ScalarValue) -> std::result::Result<ScalarValue, String> {
    call(&cast_function(to).unwrap(), &[from]).map_err(|e| ExecError::find(&e).unwrap().message)
}

#[test]
fn floats_round_half_to_even_and_numerics_away_from_zero() {
    assert_eq!(check(&DataType::Int32, ScalarValue::Float64(Some(2.5))), Ok(ScalarValue::Int32(Some(2))));
    assert_eq!(check(&DataType::Int32, ScalarValue::Float64(Some(-1.5))), Ok(ScalarValue::Int32(Some(-2))));
    assert_eq!(
        check(&DataType::Int32, ScalarValue::Decimal128(Some(25), 2, 1)),
        Ok(ScalarValue::Int32(Some(3)))
    );
    assert_eq!(
        check(&DataType::Int32, ScalarValue::Float64(Some(1e10))),
        Err("integer out of range".to_owned())
    );
    assert_eq!(
        check(&DataType::Int64, ScalarValue::Float64(Some(f64::NAN))),
        Err("bigint out of range".to_owned())
    );
    assert_eq!(
        check(&DataType::Int16, ScalarValue::Int32(Some(40_000))),
        Err("smallint out of range".to_owned())
    );
}

#[test]
fn text_is_read_by_the_types_input_function() {
    let text = |text: &str| ScalarValue::Utf8View(Some(text.to_owned()));
    assert_eq!(check(&DataType::Boolean, text("yes")), Ok(ScalarValue::Boolean(Some(true))));
    assert_eq!(check(&DataType::Date32, text("1970-01-02")), Ok(ScalarValue::Date32(Some(1))));
    assert_eq!(
        check(&DataType::Int32, text("x")),
        Err("invalid input syntax for type integer: \"x\"".to_owned())
    );
}

#[test]
fn values_are_written_by_the_types_output_function() {
    let text = |text: &str| Ok(ScalarValue::Utf8View(Some(text.to_owned())));
    assert_eq!(check(&DataType::Utf8View, ScalarValue::Float64(Some(1.0))), text("1"));
    assert_eq!(check(&DataType::Utf8View, ScalarValue::Boolean(Some(true))), text("true"));
    assert_eq!(check(&DataType::Utf8View, ScalarValue::Decimal128(Some(150), 5, 2)), text("1.50"));
}

#[test]
fn no_cast_is_said_in_postgresqls_words() {
    assert_eq!(
        check(&DataType::Int32, ScalarValue::Date32(Some(1))),
        Err("cannot cast type date to integer".to_owned())
    );
}
