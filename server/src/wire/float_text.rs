//! PostgreSQL's text form of `float4` and `float8`: the shortest digits that read back as the same value
//! (`extra_float_digits` above 0), or C's `%.*g`.
//!
//! PostgreSQL differs from most shortest printers in one point: digits that lie exactly half way between two
//! floats are not taken, even where round-half-even would read them back: `1e23` prints as
//! `9.999999999999999e+22`.

use super::text::write_zeros;
use bytes::BytesMut;
use std::fmt::{LowerExp, Write as _};

/// Digits after which `%g` is exact for every decimal of that many digits: `DBL_DIG`.
const FLOAT8_DIGITS: i32 = 15;
/// `FLT_DIG`.
const FLOAT4_DIGITS: i32 = 6;
/// Significant bits of a normal `f64`.
const FLOAT8_MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS;
/// Significant bits of a normal `f32`.
const FLOAT4_MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS;

/// Appends a `float8` as `float8out` prints it.
pub fn write_float8(value: f64, extra_float_digits: i32, out: &mut BytesMut) {
    if write_special(value, out) {
        return;
    }
    if extra_float_digits <= 0 {
        return write_general(value, FLOAT8_DIGITS + extra_float_digits, out);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::float_cmp,
        reason = "whole numbers below 10^15 convert exactly; others fail the comparison"
    )]
    if value.abs() < 1e15 && value != 0.0 && (value as i64) as f64 == value {
        return super::text::write_int(value as i64, out);
    }
    let mut buffer = ryu::Buffer::new();
    let digits = Digits::parse(buffer.format_finite(value));
    let digits = if digits.is_half_way(FLOAT8_MANTISSA_BITS) {
        digits.longer(value, FLOAT8_MANTISSA_BITS, |text| text.parse::<f64>().is_ok_and(|read| read == value))
    } else {
        digits
    };
    digits.write(FLOAT8_DIGITS, out);
}

/// Appends a `float4` as `float4out` prints it.
pub fn write_float4(value: f32, extra_float_digits: i32, out: &mut BytesMut) {
    if write_special(f64::from(value), out) {
        return;
    }
    if extra_float_digits <= 0 {
        return write_general(f64::from(value), FLOAT4_DIGITS + extra_float_digits, out);
    }
    let mut buffer = ryu::Buffer::new();
    let digits = Digits::parse(buffer.format_finite(value));
    let digits = if digits.is_half_way(FLOAT4_MANTISSA_BITS) {
        digits.longer(value, FLOAT4_MANTISSA_BITS, |text| text.parse::<f32>().is_ok_and(|read| read == value))
    } else {
        digits
    };
    digits.write(FLOAT4_DIGITS, out);
}

fn write_special(value: f64, out: &mut BytesMut) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// C's `%.*g`; a `float4` is widened first, as C does.
fn write_general(value: f64, precision: i32, out: &mut BytesMut) {
    let precision = precision.max(1);
    let mut text = DigitText::default();
    let _ = write!(text, "{value:.*e}", usize::try_from(precision - 1).unwrap_or(0));
    Digits::parse(text.as_str()).write(precision, out);
}

/// The significant decimal digits of a finite float: 0.d1d2d3.. times a power of ten, d1 not 0 except for zero.
#[derive(Debug, Clone, Copy)]
struct Digits {
    negative: bool,
    digits: [u8; Digits::MAX],
    len: usize,
    /// Power of ten of the first digit.
    exponent: i32,
}

impl Digits {
    /// `%.17g` is the longest that is ever asked for: 15 digits and 3 more are below this.
    const MAX: usize = 24;

    /// Reads what ryu and `{:e}` print: `-1.25e-7`, `0.001`, `123.0`, `1e23`.
    fn parse(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once('e') {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
            None => (text, 0),
        };
        let mut found = Self { negative, digits: [b'0'; Self::MAX], len: 0, exponent: exponent - 1 };
        let mut slots = found.digits.iter_mut();
        let mut significant = 0;
        let mut seen_point = false;
        for byte in mantissa.bytes() {
            if byte == b'.' {
                seen_point = true;
                continue;
            }
            if significant == 0 && byte == b'0' {
                found.exponent -= i32::from(seen_point);
                continue;
            }
            found.exponent += i32::from(!seen_point);
            significant += 1;
            if let Some(slot) = slots.next() {
                *slot = byte;
                if byte != b'0' {
                    found.len = significant;
                }
            }
        }
        if significant == 0 {
            found.exponent = 0;
        }
        found
    }

    fn as_slice(&self) -> &[u8] {
        self.digits.get(..self.len.max(1)).unwrap_or_default()
    }

    /// Whether the digits are exactly half way between two neighbouring floats of so many significant bits.
    ///
    /// Such a number is odd * 2^n where the odd part has one bit more than a float holds, so its digits times
    /// the power of ten need not be computed for large powers: 5^k alone has more bits than that, and for small
    /// ones the digits would need too many.
    fn is_half_way(&self, mantissa_bits: u32) -> bool {
        let power = self.exponent + 1 - i32::try_from(self.len).unwrap_or(0);
        if !(-1..=23).contains(&power) || self.len == 0 {
            return false;
        }
        let digits = self.as_slice().iter().fold(0_u128, |sum, digit| sum * 10 + u128::from(digit - b'0'));
        let scaled = if power < 0 {
            if digits % 5 != 0 {
                return false;
            }
            digits / 5
        } else {
            digits * 5_u128.pow(power.unsigned_abs())
        };
        let odd = scaled >> scaled.trailing_zeros();
        u128::BITS - odd.leading_zeros() == mantissa_bits + 1
    }

    /// The shortest digits that read back and are not half way.
    fn longer<F: LowerExp>(self, value: F, mantissa_bits: u32, reads_back: impl Fn(&str) -> bool) -> Self {
        for decimals in self.len.saturating_sub(1)..Self::MAX - 1 {
            let mut text = DigitText::default();
            if write!(text, "{value:.decimals$e}").is_err() {
                break;
            }
            let digits = Self::parse(text.as_str());
            if reads_back(text.as_str()) && !digits.is_half_way(mantissa_bits) {
                return digits;
            }
        }
        self
    }

    /// Appends the digits as `%g` lays them out: with an exponent below 10^-4 and from 10^`precision`.
    fn write(&self, precision: i32, out: &mut BytesMut) {
        let digits = self.as_slice();
        if self.negative {
            out.extend_from_slice(b"-");
        }
        if self.exponent < -4 || self.exponent >= precision {
            let (first, rest) = digits.split_at_checked(1).unwrap_or((digits, &[]));
            out.extend_from_slice(first);
            if !rest.is_empty() {
                out.extend_from_slice(b".");
                out.extend_from_slice(rest);
            }
            out.extend_from_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
            super::text::write_padded(self.exponent.unsigned_abs(), 2, out);
        } else if self.exponent < 0 {
            out.extend_from_slice(b"0.");
            write_zeros(usize::try_from(-self.exponent - 1).unwrap_or(0), out);
            out.extend_from_slice(digits);
        } else {
            let whole = usize::try_from(self.exponent + 1).unwrap_or(1);
            match digits.split_at_checked(whole) {
                Some((whole, [])) => out.extend_from_slice(whole),
                Some((whole, fraction)) => {
                    out.extend_from_slice(whole);
                    out.extend_from_slice(b".");
                    out.extend_from_slice(fraction);
                }
                None => {
                    out.extend_from_slice(digits);
                    write_zeros(whole - digits.len(), out);
                }
            }
        }
    }
}

/// A string on the stack that holds `{:.23e}` of any float.
#[derive(Default)]
struct DigitText {
    bytes: [u8; 32],
    len: usize,
}

impl DigitText {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl std::fmt::Write for DigitText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float8(value: f64, extra_float_digits: i32) -> String {
        let mut out = BytesMut::new();
        write_float8(value, extra_float_digits, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn float4(value: f32, extra_float_digits: i32) -> String {
        let mut out = BytesMut::new();
        write_float4(value, extra_float_digits, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn float8_text_recorded_from_postgresql() {
        for line in include_str!("testdata/float8.tsv").lines() {
            let mut columns = line.split('\t');
            let bits = u64::from_str_radix(columns.next().unwrap(), 16).unwrap();
            let value = f64::from_bits(bits);
            for (extra_float_digits, expected) in [1, 0, -5, -15].into_iter().zip(columns) {
                assert_eq!(
                    float8(value, extra_float_digits),
                    expected,
                    "{bits:016x} at {extra_float_digits}"
                );
            }
        }
    }

    #[test]
    fn float4_text_recorded_from_postgresql() {
        for line in include_str!("testdata/float4.tsv").lines() {
            let mut columns = line.split('\t');
            let bits = u32::from_str_radix(columns.next().unwrap(), 16).unwrap();
            let value = f32::from_bits(bits);
            for (extra_float_digits, expected) in [1, 0, -5, -15].into_iter().zip(columns) {
                assert_eq!(float4(value, extra_float_digits), expected, "{bits:08x} at {extra_float_digits}");
            }
        }
    }

    #[test]
    fn text_reads_back_as_the_same_float() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(state);
            if value.is_finite() {
                assert_eq!(float8(value, 1).parse::<f64>().unwrap().to_bits(), state);
            }
            let bits = u32::try_from(state >> 32).unwrap();
            let value = f32::from_bits(bits);
            if value.is_finite() {
                assert_eq!(float4(value, 3).parse::<f32>().unwrap().to_bits(), bits);
            }
        }
    }
}
