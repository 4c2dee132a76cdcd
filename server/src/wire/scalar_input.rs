//! Booleans, numbers, bytes and names from text.

use super::input_error::InputError;
use std::str::FromStr;

fn trim(text: &str) -> &str {
    // What isspace() takes in the C locale.
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

/// A `boolean`: prefixes of true, false, yes and no; on, off, 1, 0.
pub(super) fn parse_bool(text: &str) -> Result<bool, InputError> {
    let word = trim(text).to_ascii_lowercase();
    let is_prefix = |of: &str| !word.is_empty() && of.starts_with(&word);
    if is_prefix("true") || is_prefix("yes") || word == "on" || word == "1" {
        Ok(true)
    } else if is_prefix("false") || is_prefix("no") || word == "off" || word == "of" || word == "0" {
        Ok(false)
    } else {
        Err(InputError::syntax("boolean", text))
    }
}

/// An integer with blanks around it and a sign.
pub(super) fn parse_integer<I: FromStr>(text: &str, type_name: &str) -> Result<I, InputError> {
    let trimmed = trim(text);
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InputError::syntax(type_name, text));
    }
    trimmed.parse().map_err(|_| InputError::out_of_range(type_name, text))
}

/// The float types.
pub(super) trait Float: FromStr + Copy {
    fn is_infinite_or_zero(self) -> bool;
}

impl Float for f32 {
    fn is_infinite_or_zero(self) -> bool {
        self.is_infinite() || self == 0.0
    }
}

impl Float for f64 {
    fn is_infinite_or_zero(self) -> bool {
        self.is_infinite() || self == 0.0
    }
}

/// A float: decimal with exponent, `NaN`, `Infinity`.
pub(super) fn parse_float<F: Float>(text: &str, type_name: &str) -> Result<F, InputError> {
    let trimmed = trim(text);
    let value: F = trimmed.parse().map_err(|_| InputError::syntax(type_name, text))?;
    if value.is_infinite_or_zero() {
        let mantissa = trimmed.split(['e', 'E']).next().unwrap_or_default();
        // Digits other than 0 that came out as 0 or infinity do not fit.
        if mantissa.bytes().any(|byte| (b'1'..=b'9').contains(&byte)) {
            return Err(InputError::new(
                "22003",
                format!("\"{trimmed}\" is out of range for type {type_name}"),
            ));
        }
    }
    Ok(value)
}

/// A `name`, cut to 63 bytes.
pub(super) fn parse_name(text: &str) -> &str {
    const NAME_BYTES_MAX: usize = 63;
    let end = (0..=text.len().min(NAME_BYTES_MAX)).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// A `"char"`: the first character, or a byte as `\ooo`.
pub(super) fn parse_char(text: &str) -> String {
    if let Some(octal) = text.strip_prefix('\\').filter(|digits| digits.len() == 3)
        && let Ok(byte) = u8::from_str_radix(octal, 8)
    {
        return if byte == 0 { String::new() } else { char::from(byte).to_string() };
    }
    text.chars().next().map(String::from).unwrap_or_default()
}

/// A `bytea`: `\x` and hex digits, or text with `\\` and `\ooo`.
pub(super) fn parse_bytea(text: &str) -> Result<Vec<u8>, InputError> {
    let Some(hex) = text.strip_prefix("\\x") else { return parse_escaped(text) };
    let mut bytes = Vec::with_capacity(hex.len() / 2);
    let mut high = None;
    for character in hex.chars() {
        let Some(nibble) = character.to_digit(16).and_then(|nibble| u8::try_from(nibble).ok()) else {
            // Blanks may stand between the bytes.
            if high.is_none() && matches!(character, ' ' | '\n' | '\t' | '\r') {
                continue;
            }
            return Err(InputError::new("22023", format!("invalid hexadecimal digit: \"{character}\"")));
        };
        match high.take() {
            None => high = Some(nibble),
            Some(high) => bytes.push(high << 4 | nibble),
        }
    }
    if high.is_some() {
        return Err(InputError::new("22023", "invalid hexadecimal data: odd number of digits"));
    }
    Ok(bytes)
}

fn parse_escaped(text: &str) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        match after {
            [b'\\', after @ ..] => {
                bytes.push(b'\\');
                rest = after;
            }
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => return Err(InputError::new("22P02", "invalid input syntax for type bytea")),
        }
    }
    Ok(bytes)
}

/// A `uuid`: 32 hex digits, hyphens after any four, braces around the whole or not.
///
/// # Errors
/// 22P02.
pub fn parse_uuid(text: &str) -> Result<[u8; 16], InputError> {
    let invalid = || InputError::syntax("uuid", text);
    let body = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}').ok_or_else(invalid)?,
        None => text,
    };
    let mut uuid = [0_u8; 16];
    let mut rest = body.as_bytes();
    for (byte_idx, slot) in uuid.iter_mut().enumerate() {
        let (high, low, after) = match rest {
            [high, low, after @ ..] => (*high, *low, after),
            _ => return Err(invalid()),
        };
        let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
        *slot = nibble(high).ok_or_else(invalid)? << 4 | nibble(low).ok_or_else(invalid)?;
        rest = after;
        if byte_idx % 2 == 1 && byte_idx < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    if rest.is_empty() { Ok(uuid) } else { Err(invalid()) }
}
