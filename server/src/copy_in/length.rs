//! What a type modifier does to a value that is stored.

use quickdb_executor::datetime::calendar::PG_EPOCH_MICROS;
use quickdb_executor::functions::input::parse_numeric;

use crate::catalogue::PgType;
use crate::error::{PgError, SqlState};

/// What a length modifier counts from.
const TYPMOD_OFFSET: i32 = 4;
/// The interval modifier of all digits.
const INTERVAL_DIGITS_ALL: i32 = 0xffff;
/// Digits of a second that are stored.
const MICRO_DIGITS: i32 = 6;

/// Characters that `character(n)` and `character varying(n)` hold.
pub(super) fn characters_max(pg_type: PgType) -> Option<usize> {
    matches!(pg_type.oid, 1042 | 1043).then(|| usize::try_from(pg_type.typmod - TYPMOD_OFFSET).ok()).flatten()
}

/// A text of the type: blanks beyond its length are cut off, and those at the end of a `character(n)`, which mean
/// nothing there.
///
/// # Errors
/// 22001 for a text that is too long.
pub(super) fn fit_text(text: &str, pg_type: PgType) -> Result<&str, PgError> {
    let Some(limit) = characters_max(pg_type) else { return Ok(text) };
    let kept = if pg_type.oid == 1042 { text.trim_end_matches(' ') } else { text };
    match kept.char_indices().nth(limit) {
        None => Ok(kept),
        Some((end, _)) if kept.get(end..).is_some_and(|rest| rest.trim_end_matches(' ').is_empty()) => {
            Ok(kept.get(..end).unwrap_or_default())
        }
        Some(_) => Err(PgError::with_state(SqlState("22001"), format!("value too long for type {pg_type}"))),
    }
}

/// A number as the unscaled integer of `precision` digits of which `scale` stand behind the point, rounded half away
/// from zero; `declared` where the column's type says how many they are.
///
/// # Errors
/// 22P02 for text that is no number, 22003 for one of more digits.
pub(super) fn fit_numeric(text: &str, precision: u8, scale: i8, declared: bool) -> Result<i128, PgError> {
    let value = parse_numeric(text, scale).map_err(|error| PgError::from_datafusion(error, None))?;
    let limit = 10_i128.checked_pow(u32::from(precision));
    if limit.is_none_or(|limit| value.unsigned_abs() < limit.unsigned_abs()) {
        return Ok(value);
    }
    let overflow = SqlState("22003");
    if !declared {
        return Err(PgError::with_state(overflow, "value overflows numeric format"));
    }
    let whole = i16::from(precision) - i16::from(scale);
    let bound = if whole == 0 { "1".to_owned() } else { format!("10^{whole}") };
    Err(PgError::with_state(overflow, "numeric field overflow").detail(format!(
        "A field with precision {precision}, scale {scale} must round to an absolute value less than {bound}."
    )))
}

/// The digits of a second that a time type keeps, where they are fewer than all.
pub(crate) fn second_digits(pg_type: PgType) -> Option<u32> {
    let digits = match pg_type.oid {
        1186 if pg_type.typmod & INTERVAL_DIGITS_ALL == INTERVAL_DIGITS_ALL => return None,
        1186 => pg_type.typmod & INTERVAL_DIGITS_ALL,
        _ => pg_type.typmod,
    };
    u32::try_from(digits).ok().filter(|_| pg_type.typmod >= 0 && digits < MICRO_DIGITS)
}

/// Microseconds rounded to `digits` digits of a second, halves away from zero; the infinities stay.
pub(crate) fn round_micros(micros: i64, digits: Option<u32>) -> i64 {
    let Some(digits) = digits else { return micros };
    let unit = 10_i64.pow(6_u32.saturating_sub(digits));
    if matches!(micros, i64::MIN | i64::MAX) {
        return micros;
    }
    let half = if micros < 0 { -unit / 2 } else { unit / 2 };
    micros.checked_add(half).map_or(micros, |sum| sum / unit * unit)
}

/// A moment rounded likewise; it is counted from 2000, as PostgreSQL counts.
pub(crate) fn round_moment(micros: i64, digits: Option<u32>) -> i64 {
    if matches!(micros, i64::MIN | i64::MAX) {
        return micros;
    }
    let since = micros.checked_sub(PG_EPOCH_MICROS).map(|since| round_micros(since, digits));
    since.and_then(|since| since.checked_add(PG_EPOCH_MICROS)).unwrap_or(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> PgType {
        PgType::parse(name).unwrap()
    }

    #[test]
    fn texts_fit_their_length() {
        assert_eq!(fit_text("äbc  ", of("varchar(3)")), Ok("äbc"));
        assert_eq!(fit_text("a  ", of("varchar(3)")), Ok("a  "));
        assert_eq!(fit_text("a  ", of("char(3)")), Ok("a"));
        assert_eq!(fit_text("abcd", of("text")), Ok("abcd"));
        let error = fit_text("abcd", of("varchar(3)")).unwrap_err();
        assert_eq!(error.message, "value too long for type character varying(3)");
        let error = fit_text("abcd", of("char(3)")).unwrap_err();
        assert_eq!(
            (error.sqlstate.0, error.message.as_str()),
            ("22001", "value too long for type character(3)")
        );
    }

    #[test]
    fn numbers_fit_their_precision() {
        assert_eq!(fit_numeric("99.994", 4, 2, true), Ok(9_999));
        let error = fit_numeric("99.995", 4, 2, true).unwrap_err();
        assert_eq!(error.message, "numeric field overflow");
        assert_eq!(
            error.detail.as_deref(),
            Some("A field with precision 4, scale 2 must round to an absolute value less than 10^2.")
        );
        assert_eq!(fit_numeric("x", 4, 2, true).unwrap_err().sqlstate.0, "22P02");
    }

    #[test]
    fn seconds_are_rounded() {
        assert_eq!(round_micros(1_500, second_digits(of("timestamp(3)"))), 2_000);
        assert_eq!(round_micros(-1_500, second_digits(of("timestamp(3)"))), -2_000);
        assert_eq!(round_micros(i64::MAX, second_digits(of("timestamp(0)"))), i64::MAX);
        assert_eq!(second_digits(of("timestamp")), None);
        assert_eq!(second_digits(of("timestamp(6)")), None);
        assert_eq!(second_digits(of("interval(2)")), Some(2));
        assert_eq!(second_digits(of("interval")), None);
    }
}
