//! Values to text, digit for digit as PostgreSQL's output functions write them.

use std::fmt::Write;

/// A `double precision`: the shortest digits that read back as the same value.
pub fn format_float(value: f64) -> String {
    special(value).unwrap_or_else(|| layout(&format!("{value:e}"), 15))
}

/// A `real`, likewise.
pub fn format_real(value: f32) -> String {
    special(f64::from(value)).unwrap_or_else(|| layout(&format!("{value:e}"), 6))
}

fn special(value: f64) -> Option<String> {
    let word = match value {
        v if v.is_nan() => "NaN",
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Lays `d.ddde<exponent>` out as C's `%g` does: an exponent below -4 or from `digits_max` on stays one.
fn layout(scientific: &str, digits_max: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if exponent < -4 || exponent >= digits_max {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = usize::try_from(exponent + 1).unwrap_or(1);
    match digits.get(whole..) {
        Some("") | None => format!("{sign}{digits:0<whole$}"),
        Some(fraction) => format!("{sign}{}.{fraction}", digits.get(..whole).unwrap_or_default()),
    }
}

/// A `numeric` of `scale` digits after the point.
pub fn format_numeric(value: i128, scale: i8) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = value.unsigned_abs().to_string();
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{sign}{digits}{}", "0".repeat(usize::from(scale.unsigned_abs())));
    };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

/// `bytea` in hex notation.
pub fn format_bytea(bytes: &[u8]) -> String {
    bytes.iter().fold("\\x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_shortest_and_switch_to_exponents_like_postgresql() {
        let cases = [
            (1.0, "1"),
            (0.1, "0.1"),
            (-123.456, "-123.456"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-0.0, "-0"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(format_float(value), text);
        }
        assert_eq!(format_real(1e6), "1e+06");
        assert_eq!(format_real(0.1), "0.1");
    }

    #[test]
    fn numerics_keep_their_scale() {
        assert_eq!(format_numeric(-5, 2), "-0.05");
        assert_eq!(format_numeric(12345, 2), "123.45");
        assert_eq!(format_numeric(12, 0), "12");
    }
}
