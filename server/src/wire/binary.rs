//! PostgreSQL's binary form of dates, times and intervals: big-endian, counted from 2000-01-01.
//!
//! Integers, floats and bytes are their own big-endian bytes; `numeric` is in `numeric_text`.

use bytes::{BufMut, BytesMut};
use quickdb_executor::datetime::Interval;
use quickdb_executor::datetime::calendar::{
    DATE_INFINITY, DATE_MINUS_INFINITY, PG_EPOCH_DAYS, PG_EPOCH_MICROS, TIMESTAMP_INFINITY,
    TIMESTAMP_MINUS_INFINITY,
};

pub use super::numeric_text::{write_decimal128_binary, write_decimal256_binary};

/// The first byte of a `jsonb` in binary: the version of its form.
pub const JSONB_VERSION: u8 = 1;

/// Appends a `date` given in days since 1970-01-01.
pub fn write_date_binary(days: i32, out: &mut BytesMut) {
    out.put_i32(match days {
        DATE_INFINITY | DATE_MINUS_INFINITY => days,
        days => days.saturating_sub(PG_EPOCH_DAYS),
    });
}

/// A `date` from its binary form, in days since 1970-01-01; `None` beyond what 32 bits hold.
pub fn date_from_binary(days: i32) -> Option<i32> {
    match days {
        DATE_INFINITY | DATE_MINUS_INFINITY => Some(days),
        days => days.checked_add(PG_EPOCH_DAYS),
    }
}

/// Appends a `timestamp` or `timestamptz` given in microseconds since 1970-01-01.
pub fn write_timestamp_binary(micros: i64, out: &mut BytesMut) {
    out.put_i64(match micros {
        TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY => micros,
        micros => micros.saturating_sub(PG_EPOCH_MICROS),
    });
}

/// A timestamp from its binary form, in microseconds since 1970-01-01; `None` beyond what 64 bits hold.
pub fn timestamp_from_binary(micros: i64) -> Option<i64> {
    match micros {
        TIMESTAMP_INFINITY | TIMESTAMP_MINUS_INFINITY => Some(micros),
        micros => micros.checked_add(PG_EPOCH_MICROS),
    }
}

/// Appends an `interval`: microseconds, days, months.
pub fn write_interval_binary(interval: Interval, out: &mut BytesMut) {
    out.put_i64(interval.micros);
    out.put_i32(interval.days);
    out.put_i32(interval.months);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_keep_their_extreme_counts() {
        let mut out = BytesMut::new();
        write_timestamp_binary(i64::MAX, &mut out);
        write_date_binary(i32::MIN, &mut out);
        write_date_binary(PG_EPOCH_DAYS + 1, &mut out);
        assert_eq!(&out[..], b"\x7f\xff\xff\xff\xff\xff\xff\xff\x80\0\0\0\0\0\0\x01");
        assert_eq!(timestamp_from_binary(i64::MIN), Some(i64::MIN));
        assert_eq!(timestamp_from_binary(i64::MAX - 1), None);
        assert_eq!(date_from_binary(0), Some(PG_EPOCH_DAYS));
    }
}
