//! Text to values, by the rules of PostgreSQL's input functions.
//!
//! Dates, times and intervals are in [`datetime`](crate::datetime).

use datafusion::common::Result;
use datafusion::error::DataFusionError;

use crate::error::ErrorKind;
use crate::functions::decimal::rescale;
use crate::functions::function::error;

/// 22P02 for text that is no value of a type.
pub(crate) fn invalid(type_name: &str, text: &str) -> DataFusionError {
    error(ErrorKind::InvalidText, format!("invalid input syntax for type {type_name}: \"{text}\""))
}

fn value_range(type_name: &str, text: &str) -> DataFusionError {
    error(ErrorKind::NumericOutOfRange, format!("value \"{text}\" is out of range for type {type_name}"))
}

/// A whole number between `min` and `max`, with optional sign and surrounding white space.
pub fn parse_int(text: &str, type_name: &str, min: i64, max: i64) -> Result<i64> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid(type_name, text));
    }
    match trimmed.parse::<i64>() {
        Ok(value) if (min..=max).contains(&value) => Ok(value),
        _ => Err(value_range(type_name, text)),
    }
}

/// A float: decimal notation, `NaN`, `Infinity`, `inf` with sign, in any case.
pub fn parse_float(text: &str) -> Result<f64> {
    float(text, "double precision", |t| t.parse::<f64>().ok(), f64::is_infinite, |v| v == 0.0)
}

/// A `real`, by the same rules.
pub fn parse_real(text: &str) -> Result<f32> {
    float(text, "real", |t| t.parse::<f32>().ok(), f32::is_infinite, |v| v == 0.0)
}

fn float<T: Copy>(
    text: &str,
    type_name: &str,
    parse: impl Fn(&str) -> Option<T>,
    is_infinite: impl Fn(T) -> bool,
    is_zero: impl Fn(T) -> bool,
) -> Result<T> {
    let trimmed = trim(text);
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let special = ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let value = parse(trimmed).filter(|_| special || numeric).ok_or_else(|| invalid(type_name, text))?;
    let mantissa = unsigned.split(['e', 'E']).next().unwrap_or_default();
    let underflowed = is_zero(value) && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'));
    if !special && (is_infinite(value) || underflowed) {
        return Err(error(
            ErrorKind::NumericOutOfRange,
            format!("\"{trimmed}\" is out of range for type {type_name}"),
        ));
    }
    Ok(value)
}

/// A boolean: any unambiguous beginning of true, false, yes, no, on, off, or 1 and 0.
pub fn parse_bool(text: &str) -> Result<bool> {
    let word = trim(text).to_ascii_lowercase();
    let begins = |full: &str, min: usize| word.len() >= min && full.starts_with(&word);
    match word.as_str() {
        "1" | "on" => Ok(true),
        "0" => Ok(false),
        _ if begins("true", 1) || begins("yes", 1) => Ok(true),
        _ if begins("false", 1) || begins("no", 1) || begins("off", 2) => Ok(false),
        _ => Err(invalid("boolean", text)),
    }
}

/// The digits of a number and how many of them stand after the point.
struct Digits {
    negative: bool,
    digits: String,
    scale: i32,
}

fn split_numeric(text: &str) -> Option<Digits> {
    let trimmed = trim(text);
    let negative = trimmed.starts_with('-');
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let scale = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    Some(Digits { negative, digits, scale })
}

/// Precision and scale that hold the number exactly, where 38 digits do: the type of a `numeric` literal.
pub fn numeric_literal_type(text: &str) -> Option<(u8, i8)> {
    let number = split_numeric(text)?;
    let significant = number.digits.trim_start_matches('0');
    let scale = number.scale.max(0);
    let whole = i32::try_from(significant.len()).ok()? - number.scale;
    let precision = (whole.max(0) + scale).max(1);
    if precision > 38 {
        return None;
    }
    Some((u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
}

/// A `numeric` as an unscaled integer of `scale` digits after the point, rounded half away from zero.
///
/// # Errors
/// 22P02 for text that is no number, 22003 for one of more than 38 digits.
pub fn parse_numeric(text: &str, scale: i8) -> Result<i128> {
    let number = split_numeric(text).ok_or_else(|| {
        let word = trim(text).trim_start_matches(['+', '-']);
        if ["nan", "infinity", "inf"].iter().any(|special| word.eq_ignore_ascii_case(special)) {
            error(ErrorKind::Unsupported, "numeric values that are not finite are not supported")
        } else {
            invalid("numeric", text)
        }
    })?;
    let overflow = || error(ErrorKind::NumericOutOfRange, "value overflows numeric format");
    let significant = number.digits.trim_start_matches('0');
    // Digits beyond the 38th after the point cannot change the result but for its rounding.
    let excess = (number.scale - i32::from(scale) - 2).max(0);
    let kept = significant.len().saturating_sub(usize::try_from(excess).unwrap_or(0));
    let (head, own_scale) = if excess > 0 {
        (significant.get(..kept).unwrap_or(""), number.scale - excess)
    } else {
        (significant, number.scale)
    };
    let unscaled: i128 = if head.is_empty() { 0 } else { head.parse().map_err(|_| overflow())? };
    let value = if own_scale < 0 {
        let factor = u32::try_from(-own_scale).ok().and_then(|e| 10_i128.checked_pow(e));
        match (unscaled, factor) {
            (0, _) => 0,
            (_, Some(factor)) => rescale(unscaled.checked_mul(factor).ok_or_else(overflow)?, 0, scale)?,
            _ => return Err(overflow()),
        }
    } else {
        rescale(unscaled, i8::try_from(own_scale).map_err(|_| overflow())?, scale)?
    };
    Ok(if number.negative { -value } else { value })
}

/// `bytea` in hex (`\x41`) or escape (`\101`, `\\`) notation.
pub fn parse_bytea(text: &str) -> Result<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Vec<u8> = hex.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        if digits.len() % 2 == 1 {
            return Err(error(ErrorKind::InvalidParameter, "invalid hexadecimal data: odd number of digits"));
        }
        return digits
            .chunks(2)
            .map(|pair| {
                std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or_else(
                    || {
                        let bad = pair.iter().find(|b| !b.is_ascii_hexdigit()).copied().unwrap_or(b'?');
                        error(
                            ErrorKind::InvalidParameter,
                            format!("invalid hexadecimal digit: \"{}\"", char::from(bad)),
                        )
                    },
                )
            })
            .collect();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [b'\\', tail @ ..]) => {
                bytes.push(b'\\');
                rest = tail;
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = tail;
            }
            (b'\\', _) => return Err(invalid("bytea", text)),
            (byte, tail) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    Ok(bytes)
}

/// White space as C's `isspace` has it.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ExecError;

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        ExecError::find(&result.unwrap_err()).unwrap().message
    }

    #[test]
    fn integers() {
        assert_eq!(parse_int(" -12 ", "integer", -100, 100).unwrap(), -12);
        assert_eq!(
            message(parse_int("1.5", "integer", -100, 100)),
            "invalid input syntax for type integer: \"1.5\""
        );
        assert_eq!(
            message(parse_int("101", "integer", -100, 100)),
            "value \"101\" is out of range for type integer"
        );
        assert_eq!(
            message(parse_int("", "integer", -100, 100)),
            "invalid input syntax for type integer: \"\""
        );
    }

    #[test]
    fn floats() {
        assert!(parse_float("NaN").unwrap().is_nan());
        assert!(parse_float("-infinity").unwrap().is_infinite());
        assert_eq!(message(parse_float("1e400")), "\"1e400\" is out of range for type double precision");
        assert_eq!(message(parse_float("abc")), "invalid input syntax for type double precision: \"abc\"");
    }

    #[test]
    fn booleans() {
        assert!(parse_bool(" T ").unwrap());
        assert!(!parse_bool("of").unwrap());
        assert_eq!(message(parse_bool("o")), "invalid input syntax for type boolean: \"o\"");
    }

    #[test]
    fn numerics_round_to_their_scale() {
        assert_eq!(parse_numeric("1.255", 2).unwrap(), 126);
        assert_eq!(parse_numeric("-1.5e2", 1).unwrap(), -1500);
        assert_eq!(parse_numeric("0.000000000000000000000000000000000000000000001", 2).unwrap(), 0);
        assert_eq!(message(parse_numeric("12a", 0)), "invalid input syntax for type numeric: \"12a\"");
        assert_eq!(numeric_literal_type("1.50"), Some((3, 2)));
        assert_eq!(numeric_literal_type("1e3"), Some((4, 0)));
    }

    #[test]
    fn bytes() {
        assert_eq!(parse_bytea("\\x4142").unwrap(), b"AB");
        assert_eq!(parse_bytea("a\\101\\\\").unwrap(), b"aA\\");
        assert_eq!(message(parse_bytea("\\x4")), "invalid hexadecimal data: odd number of digits");
    }
}
