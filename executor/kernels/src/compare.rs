//! Comparisons of a column with a constant, as bitmaps.

use crate::bitmap::{WORD_ROWS, clear_tail, words_for};
use crate::number::Number;

/// What a value is compared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `value = constant`
    Equal,
    /// `value <> constant`
    NotEqual,
    /// `value < constant`
    Less,
    /// `value <= constant`
    LessOrEqual,
    /// `value > constant`
    Greater,
    /// `value >= constant`
    GreaterOrEqual,
}

/// Sets bit `i` of `words` when `values[i]` compares with `constant` as asked, and clears the other bits.
///
/// NaN in `values` is greater than every constant; a NaN constant is compared by the same order.
///
/// # Panics
/// When `words` is not `words_for(values.len())` long.
pub fn compare<T: Number>(values: &[T], comparison: Comparison, constant: T, words: &mut [u64]) {
    match comparison {
        Comparison::Equal => equal(values, constant, words),
        Comparison::NotEqual => not_equal(values, constant, words),
        Comparison::Less => less(values, constant, words),
        Comparison::LessOrEqual => less_or_equal(values, constant, words),
        Comparison::Greater => greater(values, constant, words),
        Comparison::GreaterOrEqual => greater_or_equal(values, constant, words),
    }
}

/// As [`compare`], of `values` widened to `f64`: a `real` or an integer against a `double precision` constant.
///
/// # Panics
/// When `words` is not `words_for(values.len())` long.
pub fn compare_widened<T: Number>(values: &[T], comparison: Comparison, constant: f64, words: &mut [u64]) {
    match comparison {
        Comparison::Equal => widened_equal(values, constant, words),
        Comparison::NotEqual => {
            widened_equal(values, constant, words);
            invert(words, values.len());
        }
        Comparison::Less => widened_less(values, constant, words),
        Comparison::GreaterOrEqual => {
            widened_less(values, constant, words);
            invert(words, values.len());
        }
        Comparison::Greater => widened_greater(values, constant, words),
        Comparison::LessOrEqual => {
            widened_greater(values, constant, words);
            invert(words, values.len());
        }
    }
}

/// The order is total, so that a comparison is the inverse of its opposite.
fn invert(words: &mut [u64], rows: usize) {
    words.iter_mut().for_each(|word| *word = !*word);
    clear_tail(words, rows);
}

/// Fills `words` by asking `keep` of every value. The verdicts of 64 rows are shifted to their places and OR-ed as
/// one reduction, which the compiler turns into vector shifts.
#[inline(always)]
fn fill<T: Number>(values: &[T], words: &mut [u64], keep: impl Fn(T) -> bool) {
    assert_eq!(words.len(), words_for(values.len()));
    let (whole, tail) = values.as_chunks::<WORD_ROWS>();
    for (word, values) in words.iter_mut().zip(whole) {
        let mut bits = 0u64;
        for row in 0..WORD_ROWS {
            bits |= u64::from(keep(values[row])) << row;
        }
        *word = bits;
    }
    if !tail.is_empty() {
        words[whole.len()] =
            (0..).zip(tail).fold(0, |bits, (row, &value)| bits | u64::from(keep(value)) << row);
    }
}

dispatched! {
    /// `value = constant` as bits; see [`compare`].
    pub fn equal<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| value.same(constant));
    }
}

dispatched! {
    /// `value <> constant` as bits; see [`compare`].
    pub fn not_equal<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| !value.same(constant));
    }
}

dispatched! {
    /// `value < constant` as bits; see [`compare`].
    pub fn less<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| value.before(constant));
    }
}

dispatched! {
    /// `value <= constant` as bits; see [`compare`].
    pub fn less_or_equal<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| !constant.before(value));
    }
}

dispatched! {
    /// `value > constant` as bits; see [`compare`].
    pub fn greater<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| constant.before(value));
    }
}

dispatched! {
    /// `value >= constant` as bits; see [`compare`].
    pub fn greater_or_equal<T: Number>(values: &[T], constant: T, words: &mut [u64]) {
        fill(values, words, |value| !value.before(constant));
    }
}

dispatched! {
    /// `f64(value) = constant` as bits; see [`compare_widened`].
    pub fn widened_equal<T: Number>(values: &[T], constant: f64, words: &mut [u64]) {
        fill(values, words, |value| value.to_f64().same(constant));
    }
}

dispatched! {
    /// `f64(value) < constant` as bits; see [`compare_widened`].
    pub fn widened_less<T: Number>(values: &[T], constant: f64, words: &mut [u64]) {
        fill(values, words, |value| value.to_f64().before(constant));
    }
}

dispatched! {
    /// `f64(value) > constant` as bits; see [`compare_widened`].
    pub fn widened_greater<T: Number>(values: &[T], constant: f64, words: &mut [u64]) {
        fill(values, words, |value| constant.before(value.to_f64()));
    }
}

dispatched! {
    /// Sets bit `i` when `low <= values[i] <= high`, and clears the other bits.
    ///
    /// # Panics
    /// When `words` is not `words_for(values.len())` long.
    pub fn between<T: Number>(values: &[T], low: T, high: T, words: &mut [u64]) {
        fill(values, words, |value| !value.before(low) & !high.before(value));
    }
}

/// Sets bit `i` when `verdicts[codes[i]]` is not 0, and clears the other bits: a predicate that was evaluated once
/// for every value of a dictionary, looked up row by row.
///
/// # Panics
/// When a code is not below `verdicts.len()`, or `words` is not `words_for(codes.len())` long.
pub fn lookup(codes: &[u32], verdicts: &[u8], words: &mut [u64]) {
    fill(codes, words, |code| verdicts[code as usize] != 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Number + std::fmt::Debug>(
        values: &[T],
        constant: T,
        order: impl Fn(T, T) -> std::cmp::Ordering,
    ) {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for comparison in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
            let mut words = vec![!0; words_for(values.len())];
            compare(values, comparison, constant, &mut words);
            for at in 0..words.len() * 64 {
                let expected = values.get(at).is_some_and(|&value| {
                    let order = order(value, constant);
                    match comparison {
                        Equal => order.is_eq(),
                        NotEqual => order.is_ne(),
                        Less => order.is_lt(),
                        LessOrEqual => order.is_le(),
                        Greater => order.is_gt(),
                        GreaterOrEqual => order.is_ge(),
                    }
                });
                assert_eq!(
                    (words[at / 64] >> (at % 64)) & 1 == 1,
                    expected,
                    "{comparison:?} row {at} of {values:?}"
                );
            }
        }
    }

    fn postgres_order(a: f64, b: f64) -> std::cmp::Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap(),
            (a, b) => a.cmp(&b),
        }
    }

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            Just(f64::NAN),
            Just(0.0),
            Just(-0.0),
            Just(f64::INFINITY),
            Just(f64::NEG_INFINITY),
            -3.0..3.0,
        ]
    }

    proptest! {
        #[test]
        fn integers_compare_like_a_naive_loop(values in prop::collection::vec(-3i32..3, 0..200), constant in -3i32..3) {
            check(&values, constant, |a, b| a.cmp(&b));
        }

        #[test]
        fn widened_values_compare_as_doubles(values in prop::collection::vec(float(), 0..200), constant in float()) {
            use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
            #[expect(clippy::cast_possible_truncation, reason = "the shorter values are the test")]
            let singles: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            let doubles: Vec<f64> = singles.iter().map(|&value| f64::from(value)).collect();
            let (mut found, mut expected) = (vec![!0; words_for(values.len())], vec![0; words_for(values.len())]);
            for comparison in [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual] {
                compare_widened(&singles, comparison, constant, &mut found);
                compare(&doubles, comparison, constant, &mut expected);
                prop_assert_eq!(&found, &expected);
            }
        }

        #[test]
        fn floats_compare_with_nan_greatest(values in prop::collection::vec(float(), 0..200), constant in float()) {
            check(&values, constant, postgres_order);
        }

        #[test]
        fn between_is_two_comparisons(values in prop::collection::vec(float(), 0..200), low in float(), high in float()) {
            let (mut both, mut low_words, mut high_words) =
                (vec![0; words_for(values.len())], vec![0; words_for(values.len())], vec![0; words_for(values.len())]);
            between(&values, low, high, &mut both);
            compare(&values, Comparison::GreaterOrEqual, low, &mut low_words);
            compare(&values, Comparison::LessOrEqual, high, &mut high_words);
            crate::bitmap::and(&mut low_words, &high_words);
            prop_assert_eq!(both, low_words);
        }

        #[test]
        fn lookup_reads_the_verdict_of_each_code(codes in prop::collection::vec(0u32..5, 0..200)) {
            let verdicts = [1, 0, 0, 1, 1];
            let mut words = vec![!0; words_for(codes.len())];
            lookup(&codes, &verdicts, &mut words);
            for (at, &code) in codes.iter().enumerate() {
                prop_assert_eq!((words[at / 64] >> (at % 64)) & 1, u64::from(verdicts[code as usize]));
            }
        }
    }
}
