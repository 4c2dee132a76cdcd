//! Values to bins of equal width, as numpy assigns them.
//!
//! A value belongs to the bin whose lower edge is the last one not above it; the last bin holds its upper edge too.
//! What lies outside, and NaN, belongs to none. The bin is computed first and looked up only where rounding might
//! have put it on the wrong side of an edge.

use crate::bitmap::WORD_ROWS;
use crate::number::Number;

/// Values that are looked at together: where none of them is near an edge, none is looked up.
const BLOCK: usize = 64;

/// Rows of a word that are visited one by one where no more are left out.
const FEW: u32 = 8;

/// Adding and subtracting it rounds a double of less than 2^51 to the nearest integer, whose low bits are then those
/// of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The bins along one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    edges: Vec<f64>,
    first: f64,
    last: f64,
    /// Bins per unit.
    scale: f64,
    /// Distance from an edge, in bins, within which a computed bin is not trusted.
    doubt: f64,
}

impl Axis {
    /// The axis of ascending `edges`, which are evenly spaced but for the rounding to `epsilon`, the relative
    /// precision that they were computed in. `None` when there are fewer than two, they do not ascend strictly, one
    /// is not finite, or there are more than 32 bits can count.
    pub fn new(edges: Vec<f64>, epsilon: f64) -> Option<Self> {
        let (first, last) = (*edges.first()?, *edges.last()?);
        let bins = edges.len() - 1;
        let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
        if bins == 0 || u32::try_from(bins).is_err() || !ascending || !(last - first).is_finite() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "32 bits fit")]
        let bins = bins as f64;
        let scale = bins / (last - first);
        // The edges are off by half a unit in the last place of the larger end, the computed bin by a few of its own.
        let doubt = 4.0 * (first.abs().max(last.abs()) * scale * epsilon + bins * f64::EPSILON);
        Some(Self { edges, first, last, scale, doubt })
    }

    /// How many bins there are.
    pub fn bins(&self) -> usize {
        self.edges.len() - 1
    }

    /// The edges: one more than there are bins.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The bin of one value that lies between the ends, by looking.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the value is inside")]
    fn look_up(&self, value: f64) -> usize {
        let last = self.bins() - 1;
        let mut bin = (((value - self.first) * self.scale) as usize).min(last);
        while bin > 0 && value < self.edges[bin] {
            bin -= 1;
        }
        while bin < last && value >= self.edges[bin + 1] {
            bin += 1;
        }
        bin
    }
}

dispatched! {
    /// Computes bins block by block, and leaves those that may be wrong to [`Axis::look_up`].
    pub fn fill<T: Number>(axis: &Axis, values: &[T], bins: &mut [u32]) {
        let Axis { first, last, scale, doubt, .. } = *axis;
        #[expect(clippy::cast_possible_truncation, reason = "an axis has at most so many bins")]
        let none = axis.bins() as u32;
        for (values, bins) in values.chunks(BLOCK).zip(bins.chunks_mut(BLOCK)) {
            let mut doubtful = 0u64;
            for (bin, value) in bins.iter_mut().zip(values) {
                let value = value.to_f64();
                let inside = (value >= first) & (value <= last);
                let at = (value - first) * scale;
                let nearest = (at + ROUND) - ROUND;
                doubtful |= u64::from(inside & ((at - nearest).abs() < doubt));
                #[expect(clippy::cast_possible_truncation, reason = "the low bits are the integer")]
                let computed = (at - 0.5 + ROUND).to_bits() as u32;
                let mask = u32::from(inside).wrapping_neg();
                *bin = (computed & mask) | (none & !mask);
            }
            if doubtful != 0 {
                for (bin, value) in bins.iter_mut().zip(values) {
                    let value = value.to_f64();
                    if value >= first && value <= last {
                        #[expect(clippy::cast_possible_truncation, reason = "an axis has at most so many bins")]
                        let found = axis.look_up(value) as u32;
                        *bin = found;
                    }
                }
            }
        }
    }
}

/// Replaces `bins` by the bin of every value; that of a value in none is the number of bins.
pub fn find<T: Number>(axis: &Axis, values: &[T], bins: &mut Vec<u32>) {
    bins.clear();
    bins.resize(values.len(), 0);
    fill(axis, values, bins);
}

/// Turns `rows`, bins along an axis of `row_count` bins, and `columns`, bins along one of `column_count`, into the
/// numbers of cells, row by row. A value that is in no bin of one axis is in no cell: its number is that of the cells.
///
/// # Panics
/// When the lengths differ, or there are more cells than 32 bits can count.
pub fn cells(rows: &mut [u32], row_count: usize, columns: &[u32], column_count: usize) {
    assert_eq!(rows.len(), columns.len());
    let none = u32::try_from(row_count * column_count).unwrap_or(u32::MAX);
    assert!(none < u32::MAX, "too many cells for 32-bit numbers");
    #[expect(clippy::cast_possible_truncation, reason = "their product fits")]
    let (row_count, column_count) = (row_count as u32, column_count as u32);
    for (row, &column) in rows.iter_mut().zip(columns) {
        let inside = (*row < row_count) & (column < column_count);
        let cell = row.wrapping_mul(column_count).wrapping_add(column);
        *row = if inside { cell } else { none };
    }
}

/// Gives the values without a bit in `words` the number `none`.
///
/// # Panics
/// When `words` has fewer bits than there are values.
pub fn leave_out(bins: &mut [u32], words: &[u64], none: u32) {
    assert!(words.len() * WORD_ROWS >= bins.len());
    for (bins, &word) in bins.chunks_mut(WORD_ROWS).zip(words) {
        let mut left = !word;
        if left.count_ones() <= FEW {
            while left != 0 {
                if let Some(bin) = bins.get_mut(left.trailing_zeros() as usize) {
                    *bin = none;
                }
                left &= left - 1;
            }
            continue;
        }
        for (row, bin) in bins.iter_mut().enumerate() {
            let keep = u32::from((word >> row) & 1 == 1).wrapping_neg();
            *bin = (*bin & keep) | (none & !keep);
        }
    }
}

/// Turns the bin of each row into the number of its counter: every group has `per_group` of them.
///
/// # Panics
/// When the lengths differ.
pub fn counters(bins: &mut [u32], groups: &[u32], per_group: u32) {
    assert_eq!(bins.len(), groups.len());
    for (bin, &group) in bins.iter_mut().zip(groups) {
        *bin = bin.wrapping_add(group.wrapping_mul(per_group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn even(first: f64, last: f64, bins: usize) -> Vec<f64> {
        let step = (last - first) / bins as f64;
        let mut edges: Vec<f64> = (0..=bins).map(|edge| edge as f64 * step + first).collect();
        edges[bins] = last;
        edges
    }

    fn naive(edges: &[f64], value: f64) -> u32 {
        let bins = edges.len() - 1;
        let last = edges[bins];
        if !(edges[0]..=last).contains(&value) {
            return bins as u32;
        }
        (edges.partition_point(|edge| *edge <= value) - 1).min(bins - 1) as u32
    }

    fn check<T: Number>(axis: &Axis, values: &[T]) {
        let mut found = vec![];
        find(axis, values, &mut found);
        let expected: Vec<u32> = values.iter().map(|value| naive(axis.edges(), value.to_f64())).collect();
        assert_eq!(found, expected);
    }

    fn next(value: f64, up: bool) -> f64 {
        if up { value.next_up() } else { value.next_down() }
    }

    proptest! {
        #[test]
        fn bins_are_those_between_the_edges(
            first in -1e3f64..1e3, width in 1e-3f64..1e4, bins in 1usize..300,
            places in prop::collection::vec((-0.1f64..1.1, any::<bool>(), any::<bool>()), 0..300),
        ) {
            let Some(axis) = Axis::new(even(first, first + width, bins), f64::EPSILON) else { return Ok(()) };
            let mut values: Vec<f64> = places.iter().map(|(place, on_edge, up)| {
                if *on_edge {
                    let edge = (place.clamp(0.0, 1.0) * bins as f64) as usize;
                    next(axis.edges()[edge], *up)
                } else {
                    first + place * width
                }
            }).collect();
            values.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, first, first + width]);
            values.extend(axis.edges());
            check(&axis, &values);
            let single: Vec<f32> = values.iter().map(|value| *value as f32).collect();
            check(&axis, &single);
        }

        #[test]
        fn edges_in_single_precision_are_taken_as_they_are(
            first in -50f32..50.0, width in 0.5f32..100.0, bins in 1usize..400, places in prop::collection::vec(0f32..1.0, 0..300),
        ) {
            let edges: Vec<f64> = even(f64::from(first), f64::from(first + width), bins)
                .into_iter().map(|edge| f64::from(edge as f32)).collect();
            let Some(axis) = Axis::new(edges, f64::from(f32::EPSILON)) else { return Ok(()) };
            let mut values: Vec<f32> = places.iter().map(|place| first + place * width).collect();
            values.extend(axis.edges().iter().map(|edge| *edge as f32));
            check(&axis, &values);
        }

        #[test]
        fn whole_numbers_on_edges(values in prop::collection::vec(-20i32..30, 0..200), bins in 1usize..40) {
            let axis = Axis::new(even(-10.0, 20.0, bins), f64::EPSILON).unwrap();
            check(&axis, &values);
        }

        #[test]
        fn cells_are_pairs_of_bins(pairs in prop::collection::vec((0u32..5, 0u32..8), 0..100)) {
            let mut rows: Vec<u32> = pairs.iter().map(|pair| pair.0).collect();
            let columns: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
            cells(&mut rows, 4, &columns, 7);
            for (cell, (row, column)) in rows.iter().zip(&pairs) {
                let expected = if *row < 4 && *column < 7 { row * 7 + column } else { 28 };
                prop_assert_eq!(*cell, expected);
            }
        }

        #[test]
        fn rows_are_left_out_and_spread_over_groups(rows in prop::collection::vec((0u32..5, any::<bool>(), 0u32..3), 0..200)) {
            let mut bins: Vec<u32> = rows.iter().map(|row| row.0).collect();
            let mut words = vec![0; crate::bitmap::words_for(rows.len())];
            for (at, row) in rows.iter().enumerate() {
                words[at / 64] |= u64::from(row.1) << (at % 64);
            }
            leave_out(&mut bins, &words, 5);
            let groups: Vec<u32> = rows.iter().map(|row| row.2).collect();
            counters(&mut bins, &groups, 6);
            for (bin, (value, kept, group)) in bins.iter().zip(&rows) {
                prop_assert_eq!(*bin, group * 6 + if *kept { *value } else { 5 });
            }
        }
    }

    #[test]
    fn edges_must_ascend() {
        assert!(Axis::new(vec![1.0], 0.0).is_none());
        assert!(Axis::new(vec![1.0, 1.0], 0.0).is_none());
        assert!(Axis::new(vec![1.0, f64::NAN, 2.0], 0.0).is_none());
        assert!(Axis::new(vec![f64::MIN, f64::MAX], 0.0).is_none());
        assert!(Axis::new(vec![1.0, 2.0], 0.0).is_some());
    }
}
