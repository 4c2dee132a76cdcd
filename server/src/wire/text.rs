//! PostgreSQL's text form of booleans, integers and bytes; the other types have files of their own.
//!
//! Every function appends to the row buffer and allocates nothing besides.

use super::settings::ByteaOutput;
use bytes::BytesMut;

pub use super::float_text::{write_float4, write_float8};
pub use super::numeric_text::{write_decimal128, write_decimal256};
pub use quickdb_executor::datetime::text::{write_date, write_time, write_timestamp, write_timestamptz};
pub use quickdb_executor::datetime::write_interval;

/// Appends `t` or `f`.
#[inline]
pub fn write_bool(value: bool, out: &mut BytesMut) {
    out.extend_from_slice(if value { b"t" } else { b"f" });
}

/// Appends an integer in decimal.
#[inline]
pub fn write_int<I: itoa::Integer>(value: I, out: &mut BytesMut) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an integer in decimal with zeros in front up to `width` digits.
#[inline]
pub fn write_padded(value: u32, width: usize, out: &mut BytesMut) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    write_zeros(width.saturating_sub(digits.len()), out);
    out.extend_from_slice(digits.as_bytes());
}

/// Appends `count` zeros.
pub fn write_zeros(count: usize, out: &mut BytesMut) {
    out.resize(out.len() + count, b'0');
}

/// Appends a bytea as `\x` and hex digits, or escaped, as `bytea_output` says.
pub fn write_bytea(value: &[u8], output: ByteaOutput, out: &mut BytesMut) {
    match output {
        ByteaOutput::Hex => {
            out.reserve(2 + 2 * value.len());
            out.extend_from_slice(b"\\x");
            write_hex(value, out);
        }
        ByteaOutput::Escape => {
            for &byte in value {
                match byte {
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    0x20..=0x7e => out.extend_from_slice(&[byte]),
                    _ => out.extend_from_slice(&[
                        b'\\',
                        b'0' + (byte >> 6),
                        b'0' + (byte >> 3 & 7),
                        b'0' + (byte & 7),
                    ]),
                }
            }
        }
    }
}

/// Appends a UUID in its 8-4-4-4-12 form.
pub fn write_uuid(value: [u8; 16], out: &mut BytesMut) {
    for (byte_idx, byte) in value.into_iter().enumerate() {
        if matches!(byte_idx, 4 | 6 | 8 | 10) {
            out.extend_from_slice(b"-");
        }
        write_hex(&[byte], out);
    }
}

/// Appends two lower-case hex digits per byte.
pub fn write_hex(value: &[u8], out: &mut BytesMut) {
    for &byte in value {
        out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn integers_and_padding() {
        assert_eq!(text(|out| write_int(i64::MIN, out)), "-9223372036854775808");
        assert_eq!(text(|out| write_padded(7, 4, out)), "0007");
        assert_eq!(text(|out| write_padded(12_345, 4, out)), "12345");
    }

    #[test]
    fn bytea_in_both_outputs() {
        let bytes = b"a\\\x00\xff~\x7f ";
        assert_eq!(text(|out| write_bytea(bytes, ByteaOutput::Hex, out)), "\\x615c00ff7e7f20");
        assert_eq!(text(|out| write_bytea(bytes, ByteaOutput::Escape, out)), "a\\\\\\000\\377~\\177 ");
    }
}
