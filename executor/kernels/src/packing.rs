//! Integers in as few bits as their range needs.
//!
//! A block holds [`BLOCK_VALUES`] values of one width. It is a table of words: `T::LANES` columns (128 bytes, whatever
//! the word) and `width` rows. Value `i` belongs to column `i % T::LANES`, in which the values follow each other bit by
//! bit, the lowest bits first. So neighbouring values lie in neighbouring words at the same shift, and the loops below
//! are vector code that a compiler finds by itself; the values come out in order. The layout is that of FastLanes
//! (Afroozeh and Boncz 2023) without its reordering, which only deltas need.

/// Values of one block.
pub const BLOCK_VALUES: usize = 1024;

/// A word that values are packed in: as wide as the values come out.
pub trait PackWord: Copy + Default + Eq + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// Bits of a word, and of a packed value at most.
    const WORD_BITS: usize;
    /// Words side by side.
    const LANES: usize = 1024 / Self::WORD_BITS;

    /// `(self >> by) & mask`
    fn shifted_down(self, by: usize, mask: Self) -> Self;
    /// `self << by`
    fn shifted_up(self, by: usize) -> Self;
    /// `self | other`
    fn or(self, other: Self) -> Self;
    /// `self & other`
    fn and(self, other: Self) -> Self;
    /// `self + other`, wrapping
    fn plus(self, other: Self) -> Self;
    /// `self - other`, wrapping
    fn minus(self, other: Self) -> Self;
    /// The lowest `width` bits set.
    fn mask(width: usize) -> Self;
    /// The bits that the value needs.
    fn bits_used(self) -> usize;
}

macro_rules! pack_word {
    ($($t:ty),*) => {$(
        impl PackWord for $t {
            const WORD_BITS: usize = <$t>::BITS as usize;

            #[inline(always)]
            fn shifted_down(self, by: usize, mask: Self) -> Self {
                (self >> by) & mask
            }

            #[inline(always)]
            fn shifted_up(self, by: usize) -> Self {
                self << by
            }

            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }

            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn mask(width: usize) -> Self {
                if width == 0 { 0 } else { <$t>::MAX >> (Self::WORD_BITS - width) }
            }

            #[inline(always)]
            fn bits_used(self) -> usize {
                Self::WORD_BITS - self.leading_zeros() as usize
            }
        }
    )*};
}

pack_word!(u16, u32, u64);

/// Words of a block whose values have `width` bits.
pub const fn packed_words<T: PackWord>(width: usize) -> usize {
    width * T::LANES
}

/// Bytes of a block whose values have `width` bits: the same for every word.
pub const fn packed_bytes(width: usize) -> usize {
    width * BLOCK_VALUES / 8
}

dispatched! {
    /// Packs `values[i] - base` in `width` bits each.
    ///
    /// # Panics
    /// When there are not [`BLOCK_VALUES`] values, `packed` is not `packed_words(width)` long or `width` is more than
    /// a word has. Bits above the width are lost.
    pub fn pack<T: PackWord>(values: &[T], base: T, width: usize, packed: &mut [T]) {
        assert!(values.len() == BLOCK_VALUES && width <= T::WORD_BITS && packed.len() == packed_words::<T>(width));
        packed.fill(T::default());
        if width == 0 {
            return;
        }
        let mask = T::mask(width);
        for (row, values) in values.chunks_exact(T::LANES).enumerate() {
            let (word, shift) = (row * width / T::WORD_BITS, row * width % T::WORD_BITS);
            let (low, high) = packed[word * T::LANES..].split_at_mut(T::LANES);
            for (low, &value) in low.iter_mut().zip(values) {
                *low = low.or(value.minus(base).and(mask).shifted_up(shift));
            }
            if shift + width > T::WORD_BITS {
                for (high, &value) in high[..T::LANES].iter_mut().zip(values) {
                    *high = high.or(value.minus(base).and(mask).shifted_down(T::WORD_BITS - shift, mask));
                }
            }
        }
    }
}

dispatched! {
    /// Undoes [`pack`]: `values[i] = base + packed value i`, wrapping.
    ///
    /// # Panics
    /// When `values` is not [`BLOCK_VALUES`] long, `packed` is not `packed_words(width)` long or `width` is more than
    /// a word has.
    pub fn unpack<T: PackWord>(packed: &[T], width: usize, base: T, values: &mut [T]) {
        assert!(values.len() == BLOCK_VALUES && width <= T::WORD_BITS && packed.len() == packed_words::<T>(width));
        if width == 0 {
            values.fill(base);
            return;
        }
        let mask = T::mask(width);
        for (row, values) in values.chunks_exact_mut(T::LANES).enumerate() {
            let (word, shift) = (row * width / T::WORD_BITS, row * width % T::WORD_BITS);
            let low = &packed[word * T::LANES..][..T::LANES];
            if shift + width <= T::WORD_BITS {
                for (value, &low) in values.iter_mut().zip(low) {
                    *value = base.plus(low.shifted_down(shift, mask));
                }
            } else {
                let high = &packed[(word + 1) * T::LANES..][..T::LANES];
                for ((value, &low), &high) in values.iter_mut().zip(low).zip(high) {
                    let joined = low.shifted_down(shift, mask).or(high.shifted_up(T::WORD_BITS - shift).and(mask));
                    *value = base.plus(joined);
                }
            }
        }
    }
}

dispatched! {
    /// The least and the greatest value; `None` when there are none.
    pub fn range<T: RangeValue>(values: &[T]) -> Option<(T, T)> {
        let &first = values.first()?;
        let (mut least, mut greatest) = (first, first);
        for &value in values {
            least = if value < least { value } else { least };
            greatest = if value > greatest { value } else { greatest };
        }
        Some((least, greatest))
    }
}

/// Values whose order is that of `<`.
pub trait RangeValue: Copy + Ord + 'static {}

impl<T: Copy + Ord + 'static> RangeValue for T {}

/// Multiplies by `scale` and adds `base`, wrapping: what differences that were divided by their common divisor become.
pub fn rescale(values: &mut [u64], scale: u64, base: u64) {
    for value in values {
        *value = value.wrapping_mul(scale).wrapping_add(base);
    }
}

/// Sets the values to zero whose bit in `valid` is not set. Bit `i` is bit `i % 64` of word `i / 64`.
///
/// # Panics
/// When `valid` has fewer bits than there are values.
pub fn zero_invalid<T: Copy + Default>(values: &mut [T], valid: &[u64]) {
    assert!(valid.len() >= values.len().div_ceil(64));
    for (values, &word) in values.chunks_mut(64).zip(valid) {
        /// Values of a word that are visited one by one where no more are invalid.
        const FEW: u32 = 8;
        let mut left = !word;
        if left.count_ones() <= FEW {
            while left != 0 {
                if let Some(value) = values.get_mut(left.trailing_zeros() as usize) {
                    *value = T::default();
                }
                left &= left - 1;
            }
            continue;
        }
        for (row, value) in values.iter_mut().enumerate() {
            *value = if word >> row & 1 == 1 { *value } else { T::default() };
        }
    }
}

/// Integers beyond this magnitude are not turned to floats by [`scaled_doubles`]: the trick that does it without
/// AVX-512 needs their sum with 2^52 + 2^51 to stay in one binade.
pub const SCALED_MAGNITUDE_MAX: i64 = 1 << 51;

/// `doubles[i] = integers[i] / divisor`, rounded to nearest. Exact where the integers are below
/// [`SCALED_MAGNITUDE_MAX`]; others give any value.
///
/// # Panics
/// When the lengths differ.
pub fn scaled_doubles(integers: &[u64], divisor: f64, doubles: &mut [f64]) {
    widened(integers, divisor, doubles);
}

/// 2^52 + 2^51: adding a small integer to its bits adds it to the number.
const MAGIC: f64 = 6_755_399_441_055_744.0;

dispatched! {
    /// See [`scaled_doubles`].
    pub fn widened<T: IntegerBits>(integers: &[T], divisor: f64, doubles: &mut [f64]) {
        assert_eq!(integers.len(), doubles.len());
        for (double, &integer) in doubles.iter_mut().zip(integers) {
            *double = (f64::from_bits(integer.bits().wrapping_add(MAGIC.to_bits())) - MAGIC) / divisor;
        }
    }
}

/// 64 bits of a signed integer.
pub trait IntegerBits: Copy + 'static {
    /// The bits.
    fn bits(self) -> u64;
}

impl IntegerBits for u64 {
    #[inline(always)]
    fn bits(self) -> u64 {
        self
    }
}

/// `singles[i] = integers[i] / divisor`, rounded to nearest, of signed 32-bit integers.
///
/// # Panics
/// When the lengths differ.
#[expect(clippy::cast_precision_loss, reason = "rounding is the contract")]
pub fn scaled_singles(integers: &[u32], divisor: f32, singles: &mut [f32]) {
    assert_eq!(integers.len(), singles.len());
    for (single, &integer) in singles.iter_mut().zip(integers) {
        *single = integer.cast_signed() as f32 / divisor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit.
    fn naive<T: PackWord>(packed: &[T], width: usize, base: T) -> Vec<T> {
        let bit_of = |lane: usize, bit: usize| {
            packed[bit / T::WORD_BITS * T::LANES + lane].shifted_down(bit % T::WORD_BITS, T::mask(1))
        };
        (0..BLOCK_VALUES)
            .map(|at| {
                let (lane, row) = (at % T::LANES, at / T::LANES);
                let bits = (0..width).map(|bit| bit_of(lane, row * width + bit).shifted_up(bit));
                base.plus(bits.fold(T::default(), PackWord::or))
            })
            .collect()
    }

    fn check<T: PackWord>(random: impl Fn(usize) -> T, base: T) {
        for width in 0..=T::WORD_BITS {
            let values: Vec<T> =
                (0..BLOCK_VALUES).map(|at| base.plus(random(at).and(T::mask(width)))).collect();
            let mut packed = vec![T::default(); packed_words::<T>(width)];
            assert_eq!(size_of_val(packed.as_slice()), packed_bytes(width));
            pack(&values, base, width, &mut packed);
            assert_eq!(naive(&packed, width, base), values, "width {width}");
            let mut unpacked = vec![T::default(); BLOCK_VALUES];
            unpack(&packed, width, base, &mut unpacked);
            assert_eq!(unpacked, values, "width {width}");
        }
    }

    fn random(seed: u64, at: usize) -> u64 {
        let mut z = seed.wrapping_add((at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        #[expect(clippy::cast_possible_truncation, reason = "random bits are cut to size")]
        fn blocks_of_every_width_come_back(seed in any::<u64>(), base in any::<u64>()) {
            check(|at| random(seed, at) as u16, base as u16);
            check(|at| random(seed, at) as u32, base as u32);
            check(|at| random(seed, at), base);
        }

        #[test]
        fn integers_become_the_doubles_that_division_gives(
            integers in prop::collection::vec(-SCALED_MAGNITUDE_MAX + 1..SCALED_MAGNITUDE_MAX, 0..50),
            exponent in 0..23_i32,
        ) {
            let divisor = 10_f64.powi(exponent);
            let bits: Vec<u64> = integers.iter().map(|integer| integer.cast_unsigned()).collect();
            let mut doubles = vec![0.0; integers.len()];
            scaled_doubles(&bits, divisor, &mut doubles);
            #[expect(clippy::cast_precision_loss, reason = "they are small enough")]
            let expected: Vec<f64> = integers.iter().map(|&integer| integer as f64 / divisor).collect();
            prop_assert_eq!(doubles, expected);
        }

        #[test]
        fn values_without_their_bit_become_zero(pairs in prop::collection::vec((any::<bool>(), 1_u32..9), 0..200)) {
            let mut values: Vec<u32> = pairs.iter().map(|pair| pair.1).collect();
            let mut words = vec![0_u64; pairs.len().div_ceil(64)];
            for (row, pair) in pairs.iter().enumerate() {
                words[row / 64] |= u64::from(pair.0) << (row % 64);
            }
            zero_invalid(&mut values, &words);
            let expected: Vec<u32> = pairs.iter().map(|pair| if pair.0 { pair.1 } else { 0 }).collect();
            prop_assert_eq!(values, expected);
        }

        #[test]
        fn ranges_are_those_of_the_iterator(values in prop::collection::vec(any::<i64>(), 0..100)) {
            let expected = values.iter().min().copied().zip(values.iter().max().copied());
            prop_assert_eq!(range(&values), expected);
        }
    }

    #[test]
    fn scales_wrap() {
        let mut values = [0, 1, 2, u64::MAX];
        rescale(&mut values, 100, 7);
        assert_eq!(values, [7, 107, 207, 7_u64.wrapping_sub(100)]);
        let mut singles = [0.0; 2];
        scaled_singles(&[15, (-25_i32).cast_unsigned()], 10.0, &mut singles);
        assert_eq!(singles, [1.5, -2.5]);
    }
}
