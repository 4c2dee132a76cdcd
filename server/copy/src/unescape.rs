//! Fields with escapes, as PostgreSQL's `CopyReadAttributesText` and `CopyReadAttributesCSV` resolve them.

use crate::fault::LineFault;

/// Appends a text field without its backslashes.
///
/// # Errors
/// [`LineFault::InvalidUtf8`] for octal or hexadecimal escapes that make no UTF-8.
pub(crate) fn text(field: &str, side: &mut String) -> Result<(), LineFault> {
    let Some(first) = memchr::memchr(b'\\', field.as_bytes()) else {
        side.push_str(field);
        return Ok(());
    };
    let mut out = Vec::with_capacity(field.len());
    let (plain, mut rest) = field.as_bytes().split_at_checked(first).unwrap_or_default();
    out.extend_from_slice(plain);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        // A backslash at the very end stands for nothing.
        let Some((letter, after)) = rest.split_first() else { break };
        rest = after;
        match letter {
            b'0'..=b'7' => {
                let mut value = u32::from(letter - b'0');
                for _ in 0..2 {
                    let Some((digit @ b'0'..=b'7', after)) = rest.split_first() else { break };
                    value = value << 3 | u32::from(digit - b'0');
                    rest = after;
                }
                out.push(low_byte(value));
            }
            b'x' => {
                let mut value = None;
                for _ in 0..2 {
                    let digit = rest.first().and_then(|digit| char::from(*digit).to_digit(16));
                    let Some(digit) = digit else { break };
                    value = Some(value.unwrap_or(0) << 4 | digit);
                    rest = rest.get(1..).unwrap_or_default();
                }
                out.push(value.map_or(b'x', low_byte));
            }
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(0x0b),
            other => out.push(*other),
        }
    }
    side.push_str(checked(&out)?);
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "PostgreSQL keeps the low byte of \\777")]
fn low_byte(value: u32) -> u8 {
    (value & 0xff) as u8
}

/// Text without zero bytes.
///
/// # Errors
/// [`LineFault::InvalidUtf8`] with the bytes of the first wrong character.
pub(crate) fn checked(bytes: &[u8]) -> Result<&str, LineFault> {
    let zero = memchr::memchr(0, bytes);
    let text = std::str::from_utf8(bytes);
    let valid = text.as_ref().map_or_else(std::str::Utf8Error::valid_up_to, |text| text.len());
    match zero {
        Some(zero) if zero < valid => Err(LineFault::InvalidUtf8(vec![0])),
        _ => {
            text.map_err(|_| LineFault::InvalidUtf8(wrong_character(bytes.get(valid..).unwrap_or_default())))
        }
    }
}

/// The bytes that the first of a wrong sequence announces.
pub(crate) fn wrong_character(sequence: &[u8]) -> Vec<u8> {
    let announced = match sequence.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    sequence.iter().take(announced).copied().collect()
}

/// Appends a CSV field without its quotes and escapes; gives whether it had quotes.
///
/// # Errors
/// [`LineFault::Unterminated`].
pub(crate) fn csv(field: &str, quote: u8, escape: u8, side: &mut String) -> Result<bool, LineFault> {
    let bytes = field.as_bytes();
    let mut quoted = false;
    let mut at = 0;
    loop {
        // Outside of quotes.
        let Some(opening) = memchr::memchr(quote, bytes.get(at..).unwrap_or_default()) else {
            side.push_str(field.get(at..).unwrap_or_default());
            return Ok(quoted);
        };
        side.push_str(field.get(at..at + opening).unwrap_or_default());
        quoted = true;
        at += opening + 1;
        // Inside.
        loop {
            let found = memchr::memchr2(quote, escape, bytes.get(at..).unwrap_or_default());
            let found = at + found.ok_or(LineFault::Unterminated)?;
            side.push_str(field.get(at..found).unwrap_or_default());
            let byte = bytes.get(found).copied().unwrap_or(quote);
            let next = bytes.get(found + 1).copied();
            at = found + 1;
            if byte == escape && next.is_some_and(|next| next == escape || next == quote) {
                side.push(char::from(next.unwrap_or(quote)));
                at += 1;
            } else if byte == quote {
                break;
            } else {
                side.push(char::from(byte));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backslashes_mean_what_postgresql_says() {
        let unescaped = |field| {
            let mut side = String::new();
            text(field, &mut side).map(|()| side)
        };
        assert_eq!(unescaped(r"a\b\f\n\r\t\v\\\.\q").unwrap(), "a\u{8}\u{c}\n\r\t\u{b}\\.q");
        assert_eq!(unescaped(r"\101\1018\x41\x4\xg\x\777").map_err(|_| ()), Err(()));
        assert_eq!(unescaped(r"\101\1018\x41\x4g\xg\x").unwrap(), "AA8A\u{4}gxgx");
        assert_eq!(unescaped(r"\303\251\xc3\xa9é\").unwrap(), "ééé");
        assert_eq!(unescaped(r"\0"), Err(LineFault::InvalidUtf8(vec![0])));
        assert_eq!(unescaped(r"\xe9a"), Err(LineFault::InvalidUtf8(vec![0xe9, b'a'])));
    }

    #[test]
    fn quotes_mean_what_postgresql_says() {
        let unquoted = |field, escape| {
            let mut side = String::new();
            csv(field, b'"', escape, &mut side).map(|quoted| (side, quoted))
        };
        assert_eq!(unquoted("a\"b\"\"c\"d", b'"'), Ok(("ab\"cd".into(), true)));
        assert_eq!(unquoted("\"a\\\"b\\\\c\\d\"", b'\\'), Ok(("a\"b\\c\\d".into(), true)));
        assert_eq!(unquoted("\"a\"\"", b'"'), Err(LineFault::Unterminated));
        assert_eq!(unquoted("\"\"", b'"'), Ok((String::new(), true)));
        assert_eq!(unquoted("", b'"'), Ok((String::new(), false)));
    }
}
