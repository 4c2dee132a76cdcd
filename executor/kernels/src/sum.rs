//! Sums of one group: whole slices, or the rows of a bitmap.

use crate::bitmap::{WORD_ROWS, words_for};
use crate::number::Number;

/// Independent accumulators: two AVX2 registers of `f64`. The lane of a row is its index modulo this number, on
/// every machine, so that a sum has the same bits everywhere.
pub const SUM_LANES: usize = 8;

#[inline(always)]
fn fold(lanes: [f64; SUM_LANES]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

dispatched! {
    /// The sum in `f64`.
    pub fn float<T: Number>(values: &[T]) -> f64 {
        let (whole, tail) = values.as_chunks::<SUM_LANES>();
        let mut lanes = [0.0; SUM_LANES];
        for values in whole {
            for lane in 0..SUM_LANES {
                lanes[lane] += values[lane].to_f64();
            }
        }
        for (lane, value) in tail.iter().enumerate() {
            lanes[lane] += value.to_f64();
        }
        fold(lanes)
    }
}

dispatched! {
    /// The sum in `f64` of the rows whose bit is set.
    ///
    /// # Panics
    /// When `words` is not `words_for(values.len())` long.
    pub fn float_selected<T: Number>(values: &[T], words: &[u64]) -> f64 {
        assert_eq!(words.len(), words_for(values.len()));
        let (whole, tail) = values.as_chunks::<WORD_ROWS>();
        let mut lanes = [0.0; SUM_LANES];
        for (values, &word) in whole.iter().zip(words) {
            if word == 0 {
                continue;
            }
            let (eights, _) = values.as_chunks::<SUM_LANES>();
            for (at, values) in eights.iter().enumerate() {
                for lane in 0..SUM_LANES {
                    // All ones when kept. A select of the value or zero gives scalar adds at baseline.
                    let keep = ((word >> (at * SUM_LANES + lane)) & 1).wrapping_neg();
                    lanes[lane] += f64::from_bits(values[lane].to_f64().to_bits() & keep);
                }
            }
        }
        for (row, value) in tail.iter().enumerate() {
            if (words[whole.len()] >> row) & 1 == 1 {
                lanes[row % SUM_LANES] += value.to_f64();
            }
        }
        fold(lanes)
    }
}

dispatched! {
    /// The sum of integers of 32 bits and less, in `i64`: exact for fewer than 2^32 rows.
    pub fn integer<T: Number>(values: &[T]) -> i64 {
        values.iter().map(|value| value.to_i64()).fold(0, i64::wrapping_add)
    }
}

dispatched! {
    /// The sum of the rows whose bit is set, of integers of 32 bits and less: exact for fewer than 2^32 rows.
    ///
    /// # Panics
    /// When `words` is not `words_for(values.len())` long.
    pub fn integer_selected<T: Number>(values: &[T], words: &[u64]) -> i64 {
        assert_eq!(words.len(), words_for(values.len()));
        let mut sum = 0i64;
        for (values, &word) in values.chunks(WORD_ROWS).zip(words) {
            if word == 0 {
                continue;
            }
            for (row, value) in values.iter().enumerate() {
                sum = sum.wrapping_add(value.to_i64() & ((word >> row) & 1).wrapping_neg().cast_signed());
            }
        }
        sum
    }
}

dispatched! {
    /// The exact sum of integers of up to 64 bits, or of decimals while it fits 128 bits; wraps beyond.
    pub fn wide<T: Number>(values: &[T]) -> i128 {
        values.iter().map(|value| value.to_i128()).fold(0, i128::wrapping_add)
    }
}

/// As [`wide`], of the rows whose bit is set.
///
/// # Panics
/// When `words` is not `words_for(values.len())` long.
pub fn wide_selected<T: Number>(values: &[T], words: &[u64]) -> i128 {
    assert_eq!(words.len(), words_for(values.len()));
    let mut sum = 0i128;
    for (values, &word) in values.chunks(WORD_ROWS).zip(words) {
        if word == !0 {
            for value in values {
                sum = sum.wrapping_add(value.to_i128());
            }
            continue;
        }
        let mut left = word;
        while left != 0 {
            sum = sum.wrapping_add(values[left.trailing_zeros() as usize].to_i128());
            left &= left - 1;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words_of(bits: &[bool]) -> Vec<u64> {
        let mut words = vec![0; words_for(bits.len())];
        for (at, &bit) in bits.iter().enumerate() {
            words[at / 64] |= u64::from(bit) << (at % 64);
        }
        words
    }

    proptest! {
        #[test]
        fn sums_equal_a_naive_loop(rows in prop::collection::vec((any::<i32>(), any::<bool>()), 0..300)) {
            let values: Vec<i32> = rows.iter().map(|row| row.0).collect();
            let words = words_of(&rows.iter().map(|row| row.1).collect::<Vec<_>>());
            let all: i64 = values.iter().map(|&value| i64::from(value)).sum();
            let kept: i64 = rows.iter().filter(|row| row.1).map(|row| i64::from(row.0)).sum();
            prop_assert_eq!(integer(&values), all);
            prop_assert_eq!(integer_selected(&values, &words), kept);
            prop_assert_eq!(wide(&values), i128::from(all));
            prop_assert_eq!(wide_selected(&values, &words), i128::from(kept));
            // Whole numbers below 2^53: float sums are exact, so the order of additions does not show.
            prop_assert_eq!(float(&values), all as f64);
            prop_assert_eq!(float_selected(&values, &words), kept as f64);
        }

        #[test]
        fn a_full_bitmap_gives_the_bits_of_the_plain_sum(values in prop::collection::vec(-1e9f64..1e9, 0..300)) {
            let words = words_of(&vec![true; values.len()]);
            prop_assert_eq!(float(&values).to_bits(), float_selected(&values, &words).to_bits());
        }
    }

    #[test]
    fn wide_sum_goes_beyond_sixty_four_bits() {
        assert_eq!(wide(&[i64::MAX, i64::MAX]), i128::from(i64::MAX) * 2);
    }

    #[test]
    fn nan_outside_the_selection_does_not_show() {
        assert_eq!(float_selected(&[1.0, f64::NAN, 2.0], &[0b101]), 3.0);
    }
}
