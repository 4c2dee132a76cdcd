//! `numeric`: decimal digits with a scale, to and from PostgreSQL's text and binary forms.
//!
//! The binary form is a sign, a display scale and digits of base 10,000, the first of weight 10,000^`weight`
//! (`numeric_send`). `NaN` and the infinities exist in both forms, though no arrow decimal holds them; they
//! occur in columns that carry `numeric` as text.

use super::text::write_zeros;
use arrow::datatypes::i256;
use bytes::{Buf, BufMut, BytesMut};

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_MINUS_INFINITY: u16 = 0xF000;
/// Decimal digits in a digit of base 10,000.
const DIGITS_PER_WORD: i64 = 4;
/// PostgreSQL's `NUMERIC_DSCALE_MAX`.
const DISPLAY_SCALE_MAX: i64 = 0x3FFF;
/// Exponents are refused beyond this, long before anything is stored: PostgreSQL holds 131,072 digits in front
/// of the point.
const DIGITS_MAX: i64 = 131_072;

/// Appends a decimal as text: `-1.50` for -150 with scale 2, `1200` for 12 with scale -2.
pub fn write_decimal128(value: i128, scale: i8, out: &mut BytesMut) {
    if value < 0 {
        out.extend_from_slice(b"-");
    }
    let mut buffer = itoa::Buffer::new();
    // Most decimals fit 64 bits, whose digits come much faster.
    let digits = match u64::try_from(value.unsigned_abs()) {
        Ok(small) => buffer.format(small),
        Err(_) => buffer.format(value.unsigned_abs()),
    };
    write_scaled(digits.as_bytes(), i64::from(scale), out);
}

/// Appends a 256-bit decimal as text.
pub fn write_decimal256(value: i256, scale: i8, out: &mut BytesMut) {
    if let Some(small) = value.to_i128() {
        return write_decimal128(small, scale, out);
    }
    let text = value.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.len() < text.len() {
        out.extend_from_slice(b"-");
    }
    write_scaled(digits.as_bytes(), i64::from(scale), out);
}

fn write_scaled(digits: &[u8], scale: i64, out: &mut BytesMut) {
    if scale <= 0 {
        out.extend_from_slice(digits);
        if digits != b"0" {
            write_zeros(usize::try_from(-scale).unwrap_or(0), out);
        }
        return;
    }
    let scale = usize::try_from(scale).unwrap_or(0);
    if let Some((whole, fraction)) = digits
        .len()
        .checked_sub(scale)
        .filter(|whole| *whole > 0)
        .and_then(|whole| digits.split_at_checked(whole))
    {
        out.extend_from_slice(whole);
        out.extend_from_slice(b".");
        out.extend_from_slice(fraction);
    } else {
        out.extend_from_slice(b"0.");
        write_zeros(scale - digits.len(), out);
        out.extend_from_slice(digits);
    }
}

/// Appends the binary form of a decimal.
pub fn write_decimal128_binary(value: i128, scale: i8, out: &mut BytesMut) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs());
    write_binary(value < 0, digits.as_bytes(), i64::from(scale), out);
}

/// Appends the binary form of a 256-bit decimal.
pub fn write_decimal256_binary(value: i256, scale: i8, out: &mut BytesMut) {
    let text = value.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    write_binary(digits.len() < text.len(), digits.as_bytes(), i64::from(scale), out);
}

/// Appends the binary form of ASCII digits whose last one has the weight 10^-scale.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "digit counts are bounded by DIGITS_MAX and scales by DISPLAY_SCALE_MAX"
)]
fn write_binary(negative: bool, digits: &[u8], scale: i64, out: &mut BytesMut) {
    let leading_zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = digits.get(leading_zeros..).unwrap_or_default();
    let display_scale = scale.clamp(0, DISPLAY_SCALE_MAX) as u16;
    let header = out.len();
    out.put_u16(0);
    out.put_i16(0);
    out.put_u16(if negative && !digits.is_empty() { SIGN_NEGATIVE } else { SIGN_POSITIVE });
    out.put_u16(display_scale);
    if digits.is_empty() {
        return;
    }
    // Power of ten of the first digit; words are aligned to the decimal point.
    let first_power = digits.len() as i64 - 1 - scale;
    let weight = first_power.div_euclid(DIGITS_PER_WORD);
    let mut missing = first_power.rem_euclid(DIGITS_PER_WORD) + 1;
    let mut word = 0_u16;
    let mut words = 0_u16;
    let mut words_to_keep = 0_u16;
    let last_words = out.len();
    let mut end_of_kept = last_words;
    let mut finish = |word: u16, out: &mut BytesMut| {
        out.put_u16(word);
        words += 1;
        if word != 0 {
            words_to_keep = words;
            end_of_kept = out.len();
        }
    };
    for digit in digits {
        word = word * 10 + u16::from(digit - b'0');
        missing -= 1;
        if missing == 0 {
            finish(word, out);
            word = 0;
            missing = DIGITS_PER_WORD;
        }
    }
    if missing < DIGITS_PER_WORD {
        finish(word * 10_u16.pow(missing as u32), out);
    }
    // Trailing zero words are not sent.
    out.truncate(end_of_kept);
    if let Some(head) = out.get_mut(header..) {
        let mut head: &mut [u8] = head;
        head.put_u16(words_to_keep);
        head.put_i16(weight as i16);
    }
}

/// Why a text or bytes are no `numeric`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumericError {
    /// Not the form of a number.
    Syntax,
    /// More digits than PostgreSQL or quickdb hold.
    Overflow,
}

/// A `numeric` of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numeric {
    /// Not a number.
    NaN,
    /// Greater than all numbers.
    Infinity,
    /// Less than all numbers.
    MinusInfinity,
    /// Digits and their scale.
    Finite {
        /// Less than zero.
        negative: bool,
        /// ASCII digits without leading zeros; empty for zero.
        digits: Vec<u8>,
        /// Digits behind the decimal point, also those that are zero.
        scale: u16,
    },
}

impl Numeric {
    /// Reads the text form, as `numeric_in` does: blanks around it, a sign, digits with a point, an exponent;
    /// `NaN`, `Infinity`, `inf` in any case.
    ///
    /// # Errors
    /// [`NumericError`].
    pub fn parse(text: &str) -> Result<Self, NumericError> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
        let (sign, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (-1, text.get(1..).unwrap_or_default()),
            Some(b'+') => (1, text.get(1..).unwrap_or_default()),
            _ => (0, text),
        };
        if ["infinity", "inf"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
            return Ok(if sign < 0 { Self::MinusInfinity } else { Self::Infinity });
        }
        if sign == 0 && unsigned.eq_ignore_ascii_case("nan") {
            return Ok(Self::NaN);
        }
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => {
                let (mantissa, exponent) = unsigned.split_at(at);
                (mantissa, parse_exponent(exponent.get(1..).unwrap_or_default())?)
            }
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty()
            || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
        {
            return Err(NumericError::Syntax);
        }
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let scale = i64::try_from(fraction.len()).unwrap_or(i64::MAX).saturating_sub(exponent);
        if scale < 0 && digits.iter().any(|digit| *digit != b'0') {
            let zeros = usize::try_from(-scale).unwrap_or(usize::MAX);
            if zeros > usize::try_from(DIGITS_MAX).unwrap_or(0) {
                return Err(NumericError::Overflow);
            }
            digits.resize(digits.len() + zeros, b'0');
        }
        if scale > DISPLAY_SCALE_MAX {
            return Err(NumericError::Overflow);
        }
        let leading_zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading_zeros);
        let scale = u16::try_from(scale.max(0)).unwrap_or(0);
        if digits.len() > usize::try_from(DIGITS_MAX).unwrap_or(0) + usize::from(scale) {
            return Err(NumericError::Overflow);
        }
        Ok(Self::Finite { negative: sign < 0 && !digits.is_empty(), digits, scale })
    }

    /// Reads the binary form, which has to fill `bytes`.
    ///
    /// # Errors
    /// [`NumericError`]: syntax for bytes that are not the form `numeric_send` writes.
    pub fn from_binary(mut bytes: &[u8]) -> Result<Self, NumericError> {
        let mut word = || bytes.try_get_u16().map_err(|_| NumericError::Syntax);
        let (count, weight, sign, scale) = (word()?, word()?, word()?, word()?);
        let weight = i64::from(weight.cast_signed());
        match sign {
            SIGN_NAN => return Ok(Self::NaN),
            SIGN_INFINITY => return Ok(Self::Infinity),
            SIGN_MINUS_INFINITY => return Ok(Self::MinusInfinity),
            SIGN_POSITIVE | SIGN_NEGATIVE => {}
            _ => return Err(NumericError::Syntax),
        }
        if i64::from(scale) > DISPLAY_SCALE_MAX || bytes.len() != 2 * usize::from(count) {
            return Err(NumericError::Syntax);
        }
        // The power of ten of the last digit sent, and of the last digit that the scale keeps.
        let last_power = (weight - i64::from(count) + 1) * DIGITS_PER_WORD;
        let mut digits = Vec::with_capacity(4 * usize::from(count));
        while bytes.has_remaining() {
            let word = bytes.get_u16();
            if word > 9_999 {
                return Err(NumericError::Syntax);
            }
            for unit in [1000, 100, 10, 1] {
                digits.push(b'0' + u8::try_from(word / unit % 10).unwrap_or(0));
            }
        }
        let missing = last_power + i64::from(scale);
        if missing > 0 && !digits.is_empty() {
            let zeros = usize::try_from(missing).unwrap_or(usize::MAX);
            if zeros > usize::try_from(DIGITS_MAX + DISPLAY_SCALE_MAX).unwrap_or(0) {
                return Err(NumericError::Overflow);
            }
            digits.resize(digits.len() + zeros, b'0');
        } else {
            // Digits beyond the display scale are cut off, as numeric_recv does.
            let extra = usize::try_from(-missing).unwrap_or(0);
            digits.truncate(digits.len().saturating_sub(extra));
        }
        let leading_zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading_zeros);
        Ok(Self::Finite { negative: sign == SIGN_NEGATIVE && !digits.is_empty(), digits, scale })
    }

    /// Appends the text form.
    pub fn write_text(&self, out: &mut BytesMut) {
        match self {
            Self::NaN => out.extend_from_slice(b"NaN"),
            Self::Infinity => out.extend_from_slice(b"Infinity"),
            Self::MinusInfinity => out.extend_from_slice(b"-Infinity"),
            Self::Finite { negative, digits, scale } => {
                if *negative {
                    out.extend_from_slice(b"-");
                }
                let digits: &[u8] = if digits.is_empty() { b"0" } else { digits };
                write_scaled(digits, i64::from(*scale), out);
            }
        }
    }

    /// Appends the binary form.
    pub fn write_binary(&self, out: &mut BytesMut) {
        let sign = match self {
            Self::NaN => SIGN_NAN,
            Self::Infinity => SIGN_INFINITY,
            Self::MinusInfinity => SIGN_MINUS_INFINITY,
            Self::Finite { negative, digits, scale } => {
                return write_binary(*negative, digits, i64::from(*scale), out);
            }
        };
        out.put_u16(0);
        out.put_i16(0);
        out.put_u16(sign);
        out.put_u16(0);
    }

    /// The digits as an unscaled integer with their scale; `None` for `NaN`, the infinities and what 76 digits
    /// do not hold.
    pub fn to_i256(&self) -> Option<(i256, i8)> {
        let Self::Finite { negative, digits, scale } = self else { return None };
        if digits.len() > 76 || *scale > 76 {
            return None;
        }
        let text = std::str::from_utf8(digits).ok()?;
        let value = if text.is_empty() { i256::ZERO } else { text.parse().ok()? };
        let value = if *negative { value.wrapping_neg() } else { value };
        Some((value, i8::try_from(*scale).ok()?))
    }
}

fn parse_exponent(text: &str) -> Result<i64, NumericError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NumericError::Syntax);
    }
    let exponent: i64 = text.parse().map_err(|_| NumericError::Overflow)?;
    // PostgreSQL's own limit on exponents is INT_MAX / 2.
    if exponent.abs() >= i64::from(i32::MAX / 2) { Err(NumericError::Overflow) } else { Ok(exponent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(numeric: &Numeric) -> String {
        let mut out = BytesMut::new();
        numeric.write_text(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn decimals_keep_their_scale() {
        let cases = [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (-150, 2, "-1.50"),
            (5, 3, "0.005"),
            (-5, 1, "-0.5"),
            (12, -2, "1200"),
            (0, -2, "0"),
            (i128::MAX, 10, "17014118346046923173168730371.5884105727"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
        ];
        for (value, scale, expected) in cases {
            let mut out = BytesMut::new();
            write_decimal128(value, scale, &mut out);
            assert_eq!(out, expected, "{value} {scale}");
            let mut out = BytesMut::new();
            write_decimal256(i256::from_i128(value), scale, &mut out);
            assert_eq!(out, expected, "{value} {scale}");
        }
    }

    #[test]
    fn hostile_exponents_are_refused_quickly() {
        for text in ["1e1073741823", "1e99999999999999999999", "1e131073", "1e-16384", "1e-999999999"] {
            assert_eq!(Numeric::parse(text), Err(NumericError::Overflow), "{text}");
        }
        for text in ["", " ", "1 2", "1e", "1e+", ".", "-", "+-1", "1.2.3", "-nan", "0x1", "1_0", "١"] {
            assert_eq!(Numeric::parse(text), Err(NumericError::Syntax), "{text}");
        }
    }

    proptest! {
        #[test]
        fn binary_reads_back(value: i128, scale in 0_i8..=38) {
            let (mut expected, mut binary) = (BytesMut::new(), BytesMut::new());
            write_decimal128(value, scale, &mut expected);
            write_decimal128_binary(value, scale, &mut binary);
            let read = Numeric::from_binary(&binary).unwrap();
            prop_assert_eq!(text(&read), std::str::from_utf8(&expected).unwrap());
            prop_assert_eq!(&Numeric::parse(&text(&read)).unwrap(), &read);
            prop_assert_eq!(read.to_i256().unwrap(), (i256::from_i128(value), scale));
        }

        #[test]
        fn hostile_bytes_do_not_panic(bytes: Vec<u8>) {
            if let Ok(numeric) = Numeric::from_binary(&bytes) {
                let mut out = BytesMut::new();
                numeric.write_text(&mut out);
                numeric.write_binary(&mut out);
            }
        }
    }
}
