//! How many digits of a `numeric` are shown.
//!
//! A value of PostgreSQL's `numeric` carries its own display scale, a column of ours one scale for all. Where the two
//! part, the field says so under [`NUMERIC_DISPLAY_KEY`], and text for clients comes
//! from [`format_numeric_as`]:
//!
//! | metadata | of | shown |
//! |---|---|---|
//! | none | columns, sums, products | the type's scale |
//! | `natural` | casts of floats and texts to `numeric` | no trailing zeros |
//! | `quotient` | quotients and averages | at least 16 significant digits, in groups of four, as `select_div_scale` |

use crate::functions::decimal::rescale;
use crate::functions::output::format_numeric;

/// Field metadata: how a `numeric` is shown.
pub const NUMERIC_DISPLAY_KEY: &str = "pg_numeric_display";
/// Without trailing zeros.
pub const NATURAL: &str = "natural";
/// With as many digits as PostgreSQL gives a quotient.
pub const QUOTIENT: &str = "quotient";

/// Groups of decimal digits that PostgreSQL computes with.
const GROUP_DIGITS: i32 = 4;
/// Significant digits that PostgreSQL aims at in a quotient.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// A `numeric` as its field's metadata wants it shown.
pub fn format_numeric_as(value: i128, scale: i8, display: Option<&str>) -> String {
    match display {
        Some(NATURAL) => {
            let text = format_numeric(value, scale);
            if text.contains('.') {
                text.trim_end_matches('0').trim_end_matches('.').to_owned()
            } else {
                text
            }
        }
        Some(QUOTIENT) => {
            let shown = quotient_scale(value, scale);
            match rescale(value, scale, shown) {
                Ok(value) => format_numeric(value, shown),
                Err(_) => format_numeric(value, scale),
            }
        }
        _ => format_numeric(value, scale),
    }
}

/// The display scale of a quotient: 16 digits after the point below 10,000, four fewer per factor of 10,000 above,
/// four more per factor of 10,000 below one, as far as the type's scale goes.
fn quotient_scale(value: i128, scale: i8) -> i8 {
    if value == 0 {
        return scale.min(i8::try_from(SIGNIFICANT_DIGITS_MIN + GROUP_DIGITS).unwrap_or(scale));
    }
    let digits = i32::try_from(value.unsigned_abs().ilog10()).unwrap_or(0);
    let magnitude = digits - i32::from(scale);
    let weight = magnitude.div_euclid(GROUP_DIGITS);
    let shown = (SIGNIFICANT_DIGITS_MIN - weight * GROUP_DIGITS).clamp(0, i32::from(scale));
    i8::try_from(shown).unwrap_or(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_show_sixteen_significant_digits() {
        let third = 33_333_333_333_333_333_333;
        assert_eq!(format_numeric_as(third, 20, Some("quotient")), "0.33333333333333333333");
        assert_eq!(format_numeric_as(third * 10, 20, Some("quotient")), "3.3333333333333333");
        assert_eq!(
            format_numeric_as(1_234_567_890_123_456_789_012_345, 20, Some("quotient")),
            "12345.678901234568"
        );
    }

    #[test]
    fn natural_numbers_have_no_trailing_zeros() {
        assert_eq!(format_numeric_as(1_500, 3, Some("natural")), "1.5");
        assert_eq!(format_numeric_as(2_000, 3, Some("natural")), "2");
        assert_eq!(format_numeric_as(1_500, 3, None), "1.500");
    }
}
