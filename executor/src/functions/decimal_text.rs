//! Decimal numbers as text: of any number of digits, compared and written without exponents.

use std::cmp::Ordering;

/// Digits that are written out at most; PostgreSQL's `numeric` has no more.
const DIGITS_MAX: i64 = 131_072 + 16_383;

/// A number without its exponent: `1.50e1` is `15.0`, `-0` is `0`.
pub(crate) fn canonical(text: &str) -> String {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = body.split_once(['e', 'E']).unwrap_or((body, "0"));
    let exponent = exponent.parse::<i64>().unwrap_or(0).clamp(-DIGITS_MAX, DIGITS_MAX);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).unwrap_or(0) + exponent;
    let length = i64::try_from(digits.len()).unwrap_or(0);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let split = usize::try_from(point.clamp(0, length)).unwrap_or(0);
    let (head, tail) = digits.split_at_checked(split).unwrap_or((&digits, ""));
    let whole = format!("{head}{}", zeros(point - length));
    let fraction = format!("{}{tail}", zeros(-point));
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let zero = whole == "0" && fraction.bytes().all(|digit| digit == b'0');
    let sign = if negative && !zero { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Compares two numbers as [`canonical`] writes them.
pub(crate) fn compare_decimals(a: &str, b: &str) -> Ordering {
    let negative = |text: &str| text.starts_with('-');
    let magnitude = |a: &str, b: &str| {
        let split = |text: &str| {
            let text = text.trim_start_matches('-');
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            (whole.to_owned(), fraction.trim_end_matches('0').to_owned())
        };
        let ((a_whole, a_fraction), (b_whole, b_fraction)) = (split(a), split(b));
        a_whole
            .len()
            .cmp(&b_whole.len())
            .then_with(|| a_whole.cmp(&b_whole))
            .then_with(|| a_fraction.cmp(&b_fraction))
    };
    match (negative(a), negative(b)) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitude(a, b),
        (true, true) => magnitude(b, a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_written_out() {
        for (text, expected) in [
            ("1.50e1", "15.0"),
            ("1e3", "1000"),
            ("-12.5E-3", "-0.0125"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("100", "100"),
            ("0.10", "0.10"),
        ] {
            assert_eq!(canonical(text), expected);
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        for (a, b, order) in [
            ("1.0", "1.00", Ordering::Equal),
            ("-1", "1", Ordering::Less),
            ("-2", "-10", Ordering::Greater),
            ("9.5", "10", Ordering::Less),
            ("0.25", "0.3", Ordering::Less),
        ] {
            assert_eq!(compare_decimals(a, b), order, "{a} {b}");
        }
    }
}
