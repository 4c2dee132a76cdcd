//! Segments of integers that are packed block by block, each block in the bits that its own range needs.

use std::sync::Arc;

use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ArrowNativeType;
use quickdb_kernels::packing::{self, BLOCK_VALUES, PackWord};

use crate::format::SEGMENT_ALIGNMENT_BYTES;

/// An integer that can be packed as its difference from the least one of its block.
pub(crate) trait PackedInt: Copy + Ord + 'static {
    /// What it is packed in: as wide as the integer.
    type Word: PackWord + ArrowNativeType + Into<u64>;

    /// Its bits.
    fn word(self) -> Self::Word;
}

macro_rules! packed_int {
    ($($int:ty as $word:ty),*) => {$(
        impl PackedInt for $int {
            type Word = $word;

            fn word(self) -> $word {
                <$word>::from_ne_bytes(self.to_ne_bytes())
            }
        }
    )*};
}

packed_int!(i16 as u16, i32 as u32, u32 as u32, i64 as u64);

/// How integers are going to be packed.
pub(crate) struct PackPlan<I: PackedInt> {
    /// The least value of each block, and the bits that the others need above it.
    frames: Vec<(I, usize)>,
    /// What all differences are multiples of, at least 1.
    scale: u64,
}

/// A packed segment that was checked: as many blocks as its values need, of possible widths, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct PackedSegment<T: PackWord + ArrowNativeType> {
    words: ScalarBuffer<T>,
    frames: Arc<[Frame<T>]>,
    values: usize,
}

#[derive(Clone, Copy, Debug)]
struct Frame<T> {
    base: T,
    width: usize,
    /// Where its words begin.
    start: usize,
}

/// Bytes before the blocks: a base of 8 bytes and a width of one for each, and zeros up to a whole number of lines.
fn header_bytes(blocks: usize) -> usize {
    (blocks * 9).next_multiple_of(usize::try_from(SEGMENT_ALIGNMENT_BYTES).unwrap_or(64))
}

impl<I: PackedInt> PackPlan<I> {
    /// Plans `values`; those under NULL should be near their neighbours. Differences share a divisor in types of 64
    /// bits only: timestamps of whole seconds, amounts of whole units.
    pub(crate) fn new(values: &[I]) -> Self {
        let ranges: Vec<(I, I)> = values.chunks(BLOCK_VALUES).filter_map(packing::range).collect();
        let scale = match ranges.iter().map(|range| range.0).min() {
            Some(least) if I::Word::WORD_BITS == 64 => common_divisor(values, least),
            _ => 1,
        };
        let width = |(least, greatest): (I, I)| {
            let range: u64 = greatest.word().minus(least.word()).into();
            (least, (range / scale).bits_used())
        };
        Self { frames: ranges.into_iter().map(width).collect(), scale }
    }

    /// What all differences are multiples of.
    pub(crate) fn scale(&self) -> u64 {
        self.scale
    }

    /// Length of the segment.
    pub(crate) fn bytes(&self) -> usize {
        let blocks = self.frames.iter().map(|(_, width)| packing::packed_bytes(*width));
        header_bytes(self.frames.len()) + blocks.sum::<usize>()
    }

    /// The segment of the `values` that were planned.
    pub(crate) fn pack(&self, values: &[I]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        for (base, _) in &self.frames {
            let base: u64 = base.word().into();
            out.extend_from_slice(&base.to_le_bytes());
        }
        // A word has at most 64 bits.
        out.extend(self.frames.iter().map(|(_, width)| u8::try_from(*width).unwrap_or(u8::MAX)));
        out.resize(header_bytes(self.frames.len()), 0);
        let mut block = vec![I::Word::default(); BLOCK_VALUES];
        let mut packed = Vec::new();
        for (values, (base, width)) in values.chunks(BLOCK_VALUES).zip(&self.frames) {
            let base = base.word();
            for (slot, value) in block.iter_mut().zip(values) {
                *slot = value.word().minus(base);
            }
            if let Some(unused) = block.get_mut(values.len()..) {
                unused.fill(I::Word::default());
            }
            if self.scale > 1 {
                for slot in &mut block {
                    let difference: u64 = (*slot).into();
                    *slot = I::Word::usize_as(usize::try_from(difference / self.scale).unwrap_or_default());
                }
            }
            packed.resize(packing::packed_words::<I::Word>(*width), I::Word::default());
            packing::pack(&block, I::Word::default(), *width, &mut packed);
            out.extend_from_slice(arrow::datatypes::ToByteSlice::to_byte_slice(packed.as_slice()));
        }
        out
    }
}

/// The greatest number that all differences from the least value are multiples of; 1 when there is no other.
fn common_divisor<I: PackedInt>(values: &[I], least: I) -> u64 {
    let mut divisor = 0_u64;
    for value in values {
        let difference: u64 = value.word().minus(least.word()).into();
        if divisor == 0 {
            divisor = difference;
        } else if !difference.is_multiple_of(divisor) {
            divisor = greatest_common_divisor(divisor, difference);
            if divisor == 1 {
                break;
            }
        }
    }
    divisor.max(1)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl<T: PackWord + ArrowNativeType> PackedSegment<T> {
    /// Checks a segment of `values` values. It begins at a multiple of its words' size.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn parse(segment: &Buffer, values: usize) -> Result<Self, String> {
        let blocks = values.div_ceil(BLOCK_VALUES);
        let header = header_bytes(blocks);
        let short = || format!("{values} packed values have {} bytes", segment.len());
        let bases = segment.get(..blocks * 8).ok_or_else(short)?;
        let widths = segment.get(blocks * 8..blocks * 9).ok_or_else(short)?;
        let mut start = 0;
        let mut frames = Vec::with_capacity(blocks);
        for (base, width) in bases.as_chunks::<8>().0.iter().zip(widths) {
            let (base, width) = (u64::from_le_bytes(*base), usize::from(*width));
            if width > T::WORD_BITS || base.bits_used() > T::WORD_BITS {
                return Err(format!("a packed block has the base {base} and {width} bits"));
            }
            // Exact, as was just checked: a usize has 64 bits.
            let base = T::usize_as(usize::try_from(base).unwrap_or_default());
            frames.push(Frame { base, width, start });
            start += packing::packed_words::<T>(width);
        }
        if segment.len() != header + start * size_of::<T>() {
            return Err(short());
        }
        let words = ScalarBuffer::new(segment.clone(), header / size_of::<T>(), start);
        Ok(Self { words, frames: frames.into(), values })
    }

    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.values
    }

    /// Bytes of the segment.
    pub(crate) fn bytes(&self) -> usize {
        header_bytes(self.frames.len()) + size_of_val(&*self.words)
    }

    /// Base and width of a block; `None` beyond the last.
    pub(crate) fn frame(&self, block: usize) -> Option<(T, usize)> {
        self.frames.get(block).map(|frame| (frame.base, frame.width))
    }

    /// `rows` values from `start` on, each the base of its block plus `scale` times what is packed, wrapping.
    ///
    /// # Panics
    /// When they do not exist.
    pub(crate) fn read(&self, start: usize, rows: usize, scale: T, rescale: Rescale<T>) -> Vec<T> {
        assert!(start.checked_add(rows).is_some_and(|end| end <= self.values), "rows exist");
        let mut out = vec![T::default(); rows];
        let mut rest = out.as_mut_slice();
        let (mut block, mut skipped) = (start / BLOCK_VALUES, start % BLOCK_VALUES);
        let mut scratch = Vec::new();
        while !rest.is_empty() {
            let taken = (BLOCK_VALUES - skipped).min(rest.len());
            let (part, left) = std::mem::take(&mut rest).split_at_mut(taken);
            if taken == BLOCK_VALUES {
                self.unpack(block, scale, rescale, part);
            } else {
                scratch.resize(BLOCK_VALUES, T::default());
                self.unpack(block, scale, rescale, &mut scratch);
                if let Some(values) = scratch.get(skipped..skipped + taken) {
                    part.copy_from_slice(values);
                }
            }
            (block, skipped, rest) = (block + 1, 0, left);
        }
        out
    }

    /// All values of a block, those beyond the last one included.
    fn unpack(&self, block: usize, scale: T, rescale: Rescale<T>, out: &mut [T]) {
        let Some(Frame { base, width, start }) = self.frames.get(block).copied() else { return };
        let packed = self.words.get(start..start + packing::packed_words::<T>(width)).unwrap_or_default();
        match rescale {
            None => packing::unpack(packed, width, base, out),
            Some(rescale) => {
                packing::unpack(packed, width, T::default(), out);
                rescale(out, scale, base);
            }
        }
    }
}

/// What makes values of packed differences that were divided by a scale; `None` where they were not.
pub(crate) type Rescale<T> = Option<fn(&mut [T], T, T)>;

impl<T: PackWord + ArrowNativeType> PackedSegment<T> {
    /// `rows` values from `start` on that were not scaled.
    ///
    /// # Panics
    /// When they do not exist.
    pub(crate) fn values(&self, start: usize, rows: usize) -> Vec<T> {
        self.read(start, rows, T::default(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(bytes: Vec<u8>) -> Buffer {
        let mut aligned = arrow::buffer::MutableBuffer::new(bytes.len());
        aligned.extend_from_slice(&bytes);
        aligned.into()
    }

    fn check<I: PackedInt>(values: &[I], rescale: Rescale<I::Word>) {
        let plan = PackPlan::new(values);
        let bytes = plan.pack(values);
        assert_eq!(bytes.len(), plan.bytes());
        let packed = PackedSegment::<I::Word>::parse(&segment(bytes), values.len()).unwrap();
        let scale = I::Word::usize_as(usize::try_from(plan.scale()).unwrap());
        let expected: Vec<I::Word> = values.iter().map(|value| value.word()).collect();
        assert_eq!(packed.len(), values.len());
        assert_eq!(packed.read(0, values.len(), scale, rescale), expected);
        for start in (0..values.len()).step_by(700) {
            let rows = (values.len() - start).min(1500);
            assert_eq!(packed.read(start, rows, scale, rescale), expected[start..start + rows]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn packed_values_come_back(
            values in prop::collection::vec(any::<i64>(), 0..2500),
            shift in 0..64_u32,
            scale in prop::sample::select(vec![1_i64, 7, 1_000_000, 86_400_000_000]),
        ) {
            let longs: Vec<i64> = values.iter().map(|value| (value >> shift).wrapping_mul(scale)).collect();
            check(&longs, Some(packing::rescale));
            let ints: Vec<i32> = values.iter().map(|value| (value >> (shift / 2 + 32)) as i32).collect();
            check(&ints, None);
            let codes: Vec<u32> = ints.iter().map(|value| value.cast_unsigned()).collect();
            check(&codes, None);
            let shorts: Vec<i16> = values.iter().map(|value| (value >> (shift / 4 + 48)) as i16).collect();
            check(&shorts, None);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), values in 0..3000_usize) {
            if let Ok(packed) = PackedSegment::<u32>::parse(&segment(bytes), values) {
                prop_assert_eq!(packed.values(0, values).len(), values);
            }
        }
    }

    #[test]
    fn whole_seconds_need_no_more_bits_than_seconds() {
        let seconds: Vec<i64> = (0..1024).collect();
        let micros: Vec<i64> =
            seconds.iter().map(|second| second * 1_000_000 + 1_700_000_000_000_005).collect();
        assert_eq!(PackPlan::new(&micros).scale(), 1_000_000);
        assert_eq!(PackPlan::new(&micros).bytes(), PackPlan::new(&seconds).bytes());
        assert_eq!(PackPlan::new(&[i64::MIN, i64::MAX]).scale(), u64::MAX);
        assert_eq!(PackPlan::new(&[5_i64, 5]).scale(), 1);
    }
}
