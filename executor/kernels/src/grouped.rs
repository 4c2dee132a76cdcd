//! Accumulators of many groups: `accumulators[groups[i]]` takes in `values[i]`.
//!
//! All functions panic when `groups` and `values` differ in length or a group id is not below the number of
//! accumulators: ids come from our own key code, so that is a broken invariant.

use crate::extreme::{self, greater, lesser};
use crate::number::Number;
use crate::sum;

/// Up to this many groups, neighbouring rows often hit one group, and each addition waits for the store of the one
/// before it; such groups get several accumulators that take rows in turn.
const SPREAD_GROUPS_MAX: usize = 256;

/// Accumulators per group where they are spread; row `i` goes to number `i % SPREAD`.
const SPREAD: usize = 4;

/// Rows that are looked at together for being of one group, as they are where a table is sorted or clustered by its
/// key. Row by row, each addition would wait for the store of the one before it.
const RUN_ROWS: usize = 64;

/// The group of all rows of a block, when there is one.
#[inline(always)]
fn single_group(groups: &[u32; RUN_ROWS]) -> Option<usize> {
    let first = groups[0];
    if first != groups[RUN_ROWS - 1] {
        return None;
    }
    let differ = groups.iter().fold(0, |differ, group| differ | (group ^ first));
    (differ == 0).then_some(first as usize)
}

/// Lets `one` take in each block of a single group, and `each` every other row.
#[inline(always)]
fn by_runs<T: Number, S>(
    groups: &[u32],
    values: &[T],
    states: &mut [S],
    one: impl Fn(&mut S, &[T]),
    each: impl Fn(&mut S, T),
) {
    assert_eq!(groups.len(), values.len());
    let (blocks, tail) = groups.as_chunks::<RUN_ROWS>();
    let (value_blocks, value_tail) = values.as_chunks::<RUN_ROWS>();
    for (groups, values) in blocks.iter().zip(value_blocks) {
        if let Some(group) = single_group(groups) {
            one(&mut states[group], values);
        } else {
            for (&group, &value) in groups.iter().zip(values) {
                each(&mut states[group as usize], value);
            }
        }
    }
    for (&group, &value) in tail.iter().zip(value_tail) {
        each(&mut states[group as usize], value);
    }
}

/// Adds 1 for every row.
pub fn count(groups: &[u32], counts: &mut [i64]) {
    if counts.len() <= SPREAD_GROUPS_MAX && groups.len() >= counts.len() {
        let mut spread = [[0i64; SPREAD_GROUPS_MAX]; SPREAD];
        let (whole, tail) = groups.as_chunks::<SPREAD>();
        for four in whole {
            for (counts, &group) in spread.iter_mut().zip(four) {
                counts[group as usize % SPREAD_GROUPS_MAX] += 1;
            }
        }
        for &group in tail {
            spread[0][group as usize % SPREAD_GROUPS_MAX] += 1;
        }
        for (group, count) in counts.iter_mut().enumerate() {
            *count += spread.iter().map(|counts| counts[group]).sum::<i64>();
        }
        return;
    }
    let (blocks, tail) = groups.as_chunks::<RUN_ROWS>();
    for block in blocks {
        if let Some(group) = single_group(block) {
            counts[group] += RUN_ROWS as i64;
        } else {
            for &group in block {
                counts[group as usize] += 1;
            }
        }
    }
    for &group in tail {
        counts[group as usize] += 1;
    }
}

/// Adds each value in `f64`.
pub fn sum_float<T: Number>(groups: &[u32], values: &[T], sums: &mut [f64]) {
    assert_eq!(groups.len(), values.len());
    if sums.len() <= SPREAD_GROUPS_MAX && groups.len() >= sums.len() {
        let mut spread = [[0f64; SPREAD_GROUPS_MAX]; SPREAD];
        let (whole, tail) = groups.as_chunks::<SPREAD>();
        let (whole_values, tail_values) = values.as_chunks::<SPREAD>();
        for (groups, values) in whole.iter().zip(whole_values) {
            for lane in 0..SPREAD {
                spread[lane][groups[lane] as usize % SPREAD_GROUPS_MAX] += values[lane].to_f64();
            }
        }
        for (&group, value) in tail.iter().zip(tail_values) {
            spread[0][group as usize % SPREAD_GROUPS_MAX] += value.to_f64();
        }
        for (group, sum) in sums.iter_mut().enumerate() {
            *sum += (spread[0][group] + spread[2][group]) + (spread[1][group] + spread[3][group]);
        }
        return;
    }
    by_runs(
        groups,
        values,
        sums,
        |sum, values| *sum += sum::float(values),
        |sum, value| *sum += value.to_f64(),
    );
}

/// Adds each value, of 32 bits and less: exact for fewer than 2^32 rows.
pub fn sum_integer<T: Number>(groups: &[u32], values: &[T], sums: &mut [i64]) {
    by_runs(
        groups,
        values,
        sums,
        |sum, values| *sum = sum.wrapping_add(sum::integer(values)),
        |sum, value| *sum = sum.wrapping_add(value.to_i64()),
    );
}

/// Adds each value in 128 bits; returns false when a sum did not fit them.
#[must_use]
pub fn sum_wide<T: Number>(groups: &[u32], values: &[T], sums: &mut [i128]) -> bool {
    assert_eq!(groups.len(), values.len());
    let mut fits = true;
    for (&group, value) in groups.iter().zip(values) {
        let sum = &mut sums[group as usize];
        let (next, overflow) = sum.overflowing_add(value.to_i128());
        *sum = next;
        fits &= !overflow;
    }
    fits
}

/// Keeps the lesser of each value and its group's minimum; NaN is the greatest.
pub fn minimum<T: Number>(groups: &[u32], values: &[T], minima: &mut [T]) {
    by_runs(
        groups,
        values,
        minima,
        |found, values| *found = lesser(*found, extreme::minimum(values)),
        |found, value| *found = lesser(*found, value),
    );
}

/// Keeps the greater of each value and its group's maximum; NaN is the greatest.
pub fn maximum<T: Number>(groups: &[u32], values: &[T], maxima: &mut [T]) {
    by_runs(
        groups,
        values,
        maxima,
        |found, values| *found = greater(*found, extreme::maximum(values)),
        |found, value| *found = greater(*found, value),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn groups_equal_a_naive_loop(
            rows in prop::collection::vec((0u32..100, any::<i32>()), 0..500), few in any::<bool>(), clustered in any::<bool>(),
        ) {
            let group_count = if few { 7 } else { 100 };
            let mut groups: Vec<u32> = rows.iter().map(|row| row.0 % group_count).collect();
            if clustered {
                groups = (0..).map(|row: u32| row / 150 % group_count).take(rows.len()).collect();
            }
            let values: Vec<i32> = rows.iter().map(|row| row.1).collect();
            let size = group_count as usize;
            let of = |group: usize| {
                groups.iter().zip(&values).filter(move |pair| *pair.0 as usize == group).map(|pair| *pair.1)
            };
            let (mut counts, mut floats, mut integers, mut wides) =
                (vec![1; size], vec![0.0; size], vec![0; size], vec![0; size]);
            let (mut minima, mut maxima) = (vec![i32::GREATEST; size], vec![i32::LEAST; size]);
            count(&groups, &mut counts);
            sum_float(&groups, &values, &mut floats);
            sum_integer(&groups, &values, &mut integers);
            prop_assert!(sum_wide(&groups, &values, &mut wides));
            minimum(&groups, &values, &mut minima);
            maximum(&groups, &values, &mut maxima);
            for group in 0..size {
                let sum: i64 = of(group).map(i64::from).sum();
                prop_assert_eq!(counts[group], 1 + of(group).count() as i64);
                prop_assert_eq!(floats[group], sum as f64);
                prop_assert_eq!(integers[group], sum);
                prop_assert_eq!(wides[group], i128::from(sum));
                prop_assert_eq!(minima[group], of(group).min().unwrap_or(i32::MAX));
                prop_assert_eq!(maxima[group], of(group).max().unwrap_or(i32::MIN));
            }
        }
    }

    #[test]
    fn a_sum_beyond_128_bits_is_told() {
        let mut sums = [i128::MAX];
        assert!(!sum_wide(&[0], &[1i64], &mut sums));
    }

    #[test]
    fn nan_is_the_maximum_and_never_the_minimum_of_numbers() {
        let (mut minima, mut maxima) = ([f64::GREATEST], [f64::LEAST]);
        let values = [2.0, f64::NAN, 1.0];
        minimum(&[0, 0, 0], &values, &mut minima);
        maximum(&[0, 0, 0], &values, &mut maxima);
        assert_eq!(minima, [1.0]);
        assert!(maxima[0].is_nan());
    }
}
