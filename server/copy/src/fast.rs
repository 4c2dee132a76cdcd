//! The forms that nearly all values have. `None` is for the column's reader, which knows the others and the errors.

use arrow::datatypes::IntervalMonthDayNano;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Digits that 64 bits hold in any case.
const DIGITS_MAX: usize = 18;
/// 10^0 to 10^22: the powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// 10^0 to 10^18.
const SCALES: [u64; 19] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
];

#[inline]
fn digit(byte: u8) -> Option<u64> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(u64::from(digit))
}

#[inline]
fn unsigned(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| Some(value * 10 + digit(*byte)?))
}

#[inline]
fn sign(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    }
}

#[inline]
pub(crate) fn int64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = sign(bytes);
    let value = unsigned(digits)?.cast_signed();
    Some(if negative { -value } else { value })
}

#[inline]
pub(crate) fn int32(bytes: &[u8]) -> Option<i32> {
    i32::try_from(int64(bytes)?).ok()
}

#[inline]
pub(crate) fn int16(bytes: &[u8]) -> Option<i16> {
    i16::try_from(int64(bytes)?).ok()
}

/// Digits with or without a point, as their number and how many of them stand behind the point.
#[inline]
fn fixed_point(digits: &[u8]) -> Option<(u64, usize)> {
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return None;
    }
    let mut value = 0_u64;
    let mut point = None;
    for (at, byte) in digits.iter().enumerate() {
        match digit(*byte) {
            Some(digit) => value = value * 10 + digit,
            None if *byte == b'.' && point.is_none() => point = Some(at),
            None => return None,
        }
    }
    let behind = point.map_or(0, |point| digits.len() - 1 - point);
    (digits.len() > usize::from(point.is_some())).then_some((value, behind))
}

/// A decimal of `scale` digits behind the point that is below `limit` in its amount.
#[inline]
pub(crate) fn decimal(bytes: &[u8], scale: u32, limit: i128) -> Option<i128> {
    let (negative, digits) = sign(bytes);
    let (value, behind) = fixed_point(digits)?;
    // More digits than the column keeps are rounded by the reader.
    let missing = scale.checked_sub(u32::try_from(behind).ok()?)?;
    // Both are below 10^18.
    let value = i128::from(value) * i128::from(*SCALES.get(missing as usize)?);
    (value < limit).then_some(if negative { -value } else { value })
}

/// Exact where the digits and the power of ten are doubles themselves: one correctly rounded division.
#[inline]
pub(crate) fn float64(bytes: &[u8]) -> Option<f64> {
    let (negative, digits) = sign(bytes);
    let (value, behind) = fixed_point(digits)?;
    if value >= 1 << 53 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let value = value as f64 / POWERS.get(behind)?;
    Some(if negative { -value } else { value })
}

#[inline]
pub(crate) fn float32(bytes: &[u8]) -> Option<f32> {
    let (negative, digits) = sign(bytes);
    let (value, behind) = fixed_point(digits)?;
    if value >= 1 << 24 || behind > 10 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "exact: see above")]
    let value = value as f32 / *POWERS.get(behind)? as f32;
    Some(if negative { -value } else { value })
}

pub(crate) fn boolean(bytes: &[u8]) -> Option<bool> {
    match bytes {
        b"t" | b"true" => Some(true),
        b"f" | b"false" => Some(false),
        _ => None,
    }
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    Some((digit(tens)? * 10 + digit(ones)?).cast_signed())
}

/// `2013-01-31` in days since 1970-01-01; years 1 to 9999.
#[inline]
pub(crate) fn date(bytes: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *bytes else { return None };
    let year = two(y1, y2)? * 100 + two(y3, y4)?;
    let (month, day) = (two(m1, m2)?, two(d1, d2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Years from March on, eras of 400 years.
    let shifted = year - i64::from(month <= 2);
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// `23:59:59.999999` in microseconds, with none to six digits of a second.
#[inline]
pub(crate) fn time(bytes: &[u8]) -> Option<i64> {
    let (clock, fraction) = bytes.split_at_checked(8)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *clock else { return None };
    let (hours, minutes, seconds) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = match fraction {
        [] => 0,
        [b'.', digits @ ..] if digits.len() <= 6 => {
            let missing = u32::try_from(6 - digits.len()).ok()?;
            unsigned(digits)?.cast_signed() * 10_i64.pow(missing)
        }
        _ => return None,
    };
    Some(((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros)
}

/// `2013-01-31 23:59:59.5`, with a `T` or without a time too, in microseconds since 1970-01-01.
#[inline]
pub(crate) fn timestamp(bytes: &[u8]) -> Option<i64> {
    let (day, rest) = bytes.split_at_checked(10)?;
    let micros = match rest {
        [] => 0,
        [b' ' | b'T', clock @ ..] => time(clock)?,
        _ => return None,
    };
    Some(i64::from(date(day)?) * MICROS_PER_DAY + micros)
}

/// The same with `Z`, `+01` or `+01:00` behind it, in microseconds since 1970-01-01 UTC.
#[inline]
pub(crate) fn timestamptz(bytes: &[u8]) -> Option<i64> {
    if let [local @ .., b'Z'] = bytes {
        // A date needs its time for this.
        return if local.len() > 10 { timestamp(local) } else { None };
    }
    let (local, sign, hours, minutes) = match bytes {
        [local @ .., sign @ (b'+' | b'-'), h1, h2] => (local, sign, two(*h1, *h2)?, 0),
        [local @ .., sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            (local, sign, two(*h1, *h2)?, two(*m1, *m2)?)
        }
        _ => return None,
    };
    if local.len() <= 10 || hours > 14 || minutes > 59 {
        return None;
    }
    let offset = (hours * 60 + minutes) * 60 * MICROS_PER_SECOND;
    Some(timestamp(local)? - if *sign == b'-' { -offset } else { offset })
}

/// Lower-case hexadecimal digits with hyphens where a `uuid` is printed with them.
pub(crate) fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// `\x` and pairs of hexadecimal digits.
pub(crate) fn bytea(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    let digits = text.strip_prefix(b"\\x")?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    for [high, low] in pairs {
        out.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Some(())
}

/// The binary forms of fixed length.
pub(crate) mod wire {
    use super::{IntervalMonthDayNano, MICROS_PER_DAY};

    /// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
    const EPOCH_DAYS: i32 = 10_957;

    #[inline]
    fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
        bytes.try_into().ok()
    }

    pub(crate) fn boolean(bytes: &[u8]) -> Option<bool> {
        fixed::<1>(bytes).map(|[byte]| byte != 0)
    }

    pub(crate) fn int16(bytes: &[u8]) -> Option<i16> {
        fixed(bytes).map(i16::from_be_bytes)
    }

    pub(crate) fn int32(bytes: &[u8]) -> Option<i32> {
        fixed(bytes).map(i32::from_be_bytes)
    }

    pub(crate) fn int64(bytes: &[u8]) -> Option<i64> {
        fixed(bytes).map(i64::from_be_bytes)
    }

    pub(crate) fn float32(bytes: &[u8]) -> Option<f32> {
        fixed(bytes).map(f32::from_be_bytes)
    }

    pub(crate) fn float64(bytes: &[u8]) -> Option<f64> {
        fixed(bytes).map(f64::from_be_bytes)
    }

    /// Years 0 to 4000; the infinities are beyond.
    pub(crate) fn date(bytes: &[u8]) -> Option<i32> {
        let days = int32(bytes)?;
        (-730_000..730_000).contains(&days).then(|| days + EPOCH_DAYS)
    }

    /// As [`date`].
    pub(crate) fn timestamp(bytes: &[u8]) -> Option<i64> {
        let micros = int64(bytes)?;
        let near = (-730_000 * MICROS_PER_DAY..730_000 * MICROS_PER_DAY).contains(&micros);
        near.then(|| micros + i64::from(EPOCH_DAYS) * MICROS_PER_DAY)
    }

    pub(crate) fn time(bytes: &[u8]) -> Option<i64> {
        int64(bytes).filter(|micros| (0..=MICROS_PER_DAY).contains(micros))
    }

    pub(crate) fn interval(bytes: &[u8]) -> Option<IntervalMonthDayNano> {
        let bytes = fixed::<16>(bytes)?;
        let (micros, rest) = bytes.split_first_chunk::<8>()?;
        let (days, months) = rest.split_first_chunk::<4>()?;
        let nanos = i64::from_be_bytes(*micros).checked_mul(1_000)?;
        Some(IntervalMonthDayNano::new(int32(months)?, i32::from_be_bytes(*days), nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn usual_forms_are_read_and_others_left() {
        assert_eq!(int64(b"-120"), Some(-120));
        assert_eq!(int32(b"2147483648"), None);
        assert_eq!(int16(b"-32768"), Some(-32768));
        for left in [&b""[..], b"-", b"+1", b" 1", b"1e3", b"1_0", b"12345678901234567890"] {
            assert_eq!(int64(left), None);
        }
        assert_eq!(decimal(b"-1.5", 2, 1_000), Some(-150));
        assert_eq!(decimal(b".5", 2, 1_000), Some(50));
        assert_eq!(decimal(b"5.", 2, 1_000), Some(500));
        assert_eq!(decimal(b"10", 2, 1_000), None);
        for left in [&b"."[..], b"1.555", b"1.2.3", b"NaN", b""] {
            assert_eq!(decimal(left, 2, 1_000), None);
        }
        assert_eq!(float64(b"-0"), Some(-0.0));
        assert!(float64(b"-0").unwrap().is_sign_negative());
        assert_eq!(float64(b"9007199254740993"), None);
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2000-02-29"), Some(11_016));
        assert_eq!(date(b"0001-01-01"), Some(-719_162));
        for left in [&b"1900-02-29"[..], b"2001-04-31", b"0000-01-01", b"2001-13-01", b"2001-1-1"] {
            assert_eq!(date(left), None);
        }
        assert_eq!(timestamp(b"1970-01-02T00:00:00.5"), Some(86_400_500_000));
        assert_eq!(timestamp(b"1970-01-02"), Some(86_400_000_000));
        assert_eq!(timestamp(b"1970-01-02 24:00:00"), None);
        assert_eq!(timestamptz(b"1970-01-01 01:00:00+01"), Some(0));
        assert_eq!(timestamptz(b"1970-01-01 00:30:00-00:30"), Some(3_600_000_000));
        assert_eq!(timestamptz(b"1970-01-01T00:00:00Z"), Some(0));
        for left in [&b"1970-01-01 00:00:00"[..], b"1970-01-01", b"1970-01-01Z", b"1970-01-01+01"] {
            assert_eq!(timestamptz(left), None);
        }
        assert_eq!(time(b"23:59:59.000001"), Some(86_399_000_001));
        assert_eq!(time(b"24:00:00"), None);
        let mut bytes = Vec::new();
        assert_eq!(bytea(b"\\x00fF", &mut bytes), Some(()));
        assert_eq!(bytes, [0, 255]);
        assert!(is_canonical_uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
        assert!(!is_canonical_uuid("A0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"));
    }

    proptest! {
        #[test]
        fn floats_are_those_of_the_standard_library(text in "-?[0-9]{1,10}(\\.[0-9]{0,12})?") {
            if let Some(value) = float64(text.as_bytes()) {
                prop_assert_eq!(value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            }
            if let Some(value) = float32(text.as_bytes()) {
                prop_assert_eq!(value.to_bits(), text.parse::<f32>().unwrap().to_bits());
            }
        }

        #[test]
        fn numbers_print_as_they_were(value in any::<i64>()) {
            let text = value.to_string();
            if let Some(read) = int64(text.as_bytes()) {
                prop_assert_eq!(read, value);
            }
        }
    }
}
