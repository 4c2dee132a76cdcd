//! Minimum and maximum of one group: whole slices, or the rows of a bitmap.

use crate::bitmap::{WORD_ROWS, words_for};
use crate::number::Number;

/// The lesser of two values; NaN is greater than every number.
#[inline(always)]
pub fn lesser<T: Number>(a: T, b: T) -> T {
    if (b < a) | a.is_nan() { b } else { a }
}

/// The greater of two values; NaN is greater than every number.
#[inline(always)]
pub fn greater<T: Number>(a: T, b: T) -> T {
    if (b > a) | b.is_nan() { b } else { a }
}

/// Independent accumulators; extremes do not depend on their order.
const EXTREME_LANES: usize = 16;

#[inline(always)]
fn fold<T: Number>(values: &[T], start: T, pick: impl Fn(T, T) -> T) -> T {
    let (whole, tail) = values.as_chunks::<EXTREME_LANES>();
    let mut lanes = [start; EXTREME_LANES];
    for values in whole {
        for lane in 0..EXTREME_LANES {
            lanes[lane] = pick(lanes[lane], values[lane]);
        }
    }
    let lanes = lanes.into_iter().fold(start, &pick);
    tail.iter().fold(lanes, |found, &value| pick(found, value))
}

#[inline(always)]
fn fold_selected<T: Number>(values: &[T], words: &[u64], start: T, pick: impl Fn(T, T) -> T) -> T {
    assert_eq!(words.len(), words_for(values.len()));
    let (whole, tail) = values.as_chunks::<WORD_ROWS>();
    let mut lanes = [start; EXTREME_LANES];
    for (values, &word) in whole.iter().zip(words) {
        if word == 0 {
            continue;
        }
        let (rows, _) = values.as_chunks::<EXTREME_LANES>();
        for (at, values) in rows.iter().enumerate() {
            for lane in 0..EXTREME_LANES {
                let keep = ((word >> (at * EXTREME_LANES + lane)) & 1).wrapping_neg();
                // A row that is left out stands for the start, which changes nothing.
                lanes[lane] = pick(lanes[lane], T::select(keep, values[lane], start));
            }
        }
    }
    let mut found = lanes.into_iter().fold(start, &pick);
    for (row, &value) in tail.iter().enumerate() {
        if (words[whole.len()] >> row) & 1 == 1 {
            found = pick(found, value);
        }
    }
    found
}

dispatched! {
    /// The minimum, or [`Number::GREATEST`] of no rows.
    pub fn minimum<T: Number>(values: &[T]) -> T {
        fold(values, T::GREATEST, lesser)
    }
}

dispatched! {
    /// The maximum, or [`Number::LEAST`] of no rows.
    pub fn maximum<T: Number>(values: &[T]) -> T {
        fold(values, T::LEAST, greater)
    }
}

dispatched! {
    /// The minimum of the rows whose bit is set, or [`Number::GREATEST`] of no rows.
    ///
    /// # Panics
    /// When `words` is not `words_for(values.len())` long.
    pub fn minimum_selected<T: Number>(values: &[T], words: &[u64]) -> T {
        fold_selected(values, words, T::GREATEST, lesser)
    }
}

dispatched! {
    /// The maximum of the rows whose bit is set, or [`Number::LEAST`] of no rows.
    ///
    /// # Panics
    /// When `words` is not `words_for(values.len())` long.
    pub fn maximum_selected<T: Number>(values: &[T], words: &[u64]) -> T {
        fold_selected(values, words, T::LEAST, greater)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), -3.0..3.0]
    }

    fn key(value: f64) -> (bool, f64) {
        (value.is_nan(), if value.is_nan() { 0.0 } else { value })
    }

    proptest! {
        #[test]
        fn extremes_equal_a_naive_loop(rows in prop::collection::vec((float(), any::<bool>()), 0..200)) {
            let values: Vec<f64> = rows.iter().map(|row| row.0).collect();
            let mut words = vec![0u64; words_for(rows.len())];
            for (at, row) in rows.iter().enumerate() {
                words[at / 64] |= u64::from(row.1) << (at % 64);
            }
            let naive = |rows: Vec<f64>, least: bool| {
                rows.into_iter().reduce(|a, b| if (key(b) < key(a)) == least && key(a) != key(b) { b } else { a })
            };
            let kept: Vec<f64> = rows.iter().filter(|row| row.1).map(|row| row.0).collect();
            let expected = |found: Option<f64>, start: f64| key(found.unwrap_or(start));
            prop_assert_eq!(key(minimum(&values)), expected(naive(values.clone(), true), f64::NAN));
            prop_assert_eq!(key(maximum(&values)), expected(naive(values.clone(), false), f64::NEG_INFINITY));
            prop_assert_eq!(key(minimum_selected(&values, &words)), expected(naive(kept.clone(), true), f64::NAN));
            prop_assert_eq!(key(maximum_selected(&values, &words)), expected(naive(kept, false), f64::NEG_INFINITY));
        }

        #[test]
        fn integer_extremes_equal_the_iterator(values in prop::collection::vec(any::<i16>(), 1..200)) {
            prop_assert_eq!(Some(minimum(&values)), values.iter().copied().min());
            prop_assert_eq!(Some(maximum(&values)), values.iter().copied().max());
        }
    }
}
