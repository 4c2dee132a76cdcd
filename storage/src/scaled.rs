//! Floats that are decimals in disguise: an integer divided by a power of ten gives the very bits.
//!
//! 12.34 is what 1234 / 100 rounds to, so that a column of prices can be packed as integers. What does not come back bit
//! for bit (NaN, -0, infinities, more digits than the others) is an exception and stored as it is. The idea is that of
//! ALP (Afroozeh, Kuffo and Boncz 2023), which multiplies by the inverse power where this divides: a quotient of two
//! exact numbers is the double nearest to the decimal, and so needs fewer exceptions.

use crate::packed::{PackPlan, PackedInt};

/// The integer type whose quotients make up a float.
pub(crate) trait DecimalFloat: Copy + 'static {
    /// An integer as wide as the float.
    type Int: PackedInt + Default;

    /// Powers of ten that divisors may be, which the float holds exactly.
    const DIVISORS: &'static [Self];

    /// The integer nearest to `self * divisor`, if dividing it gives the very bits of `self`.
    fn numerator(self, divisor: Self) -> Option<Self::Int>;

    /// Bits that `self * divisor` needs, sign included; many for what is no number.
    fn magnitude(self, divisor: Self) -> u32;
}

impl DecimalFloat for f64 {
    type Int = i64;

    const DIVISORS: &'static [Self] =
        &[1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17];

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the limit is 2^51")]
    fn numerator(self, divisor: Self) -> Option<i64> {
        const LIMIT: f64 = quickdb_kernels::packing::SCALED_MAGNITUDE_MAX as f64;
        let product = nearest(self * divisor);
        let is_exact = product.abs() < LIMIT && (product / divisor).to_bits() == self.to_bits();
        is_exact.then_some(product as i64)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "floats are cut to the range"
    )]
    fn magnitude(self, divisor: Self) -> u32 {
        64 - ((self * divisor).abs() as u64).leading_zeros()
    }
}

impl DecimalFloat for f32 {
    type Int = i32;

    const DIVISORS: &'static [Self] = &[1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the limit is 2^30")]
    fn numerator(self, divisor: Self) -> Option<i32> {
        const LIMIT: f64 = (1 << 30) as f64;
        let product = nearest(f64::from(self) * f64::from(divisor));
        // What is beyond the range is cut to it, what is no number becomes 0.
        let numerator = product as i32;
        let is_exact = product.abs() < LIMIT && (numerator as f32 / divisor).to_bits() == self.to_bits();
        is_exact.then_some(numerator)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "floats are cut to the range"
    )]
    fn magnitude(self, divisor: Self) -> u32 {
        32 - ((self * divisor).abs() as u32).leading_zeros()
    }
}

/// The integer nearest to a number below 2^51: beyond 2^52 doubles have no digits behind the point. The method of
/// [`f64`] is a call where the target has no instruction for it.
fn nearest(value: f64) -> f64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    (value + MAGIC) - MAGIC
}

/// A row number below the number of rows of a row group or of its elements, and the bytes of a value.
pub(crate) const fn exception_bytes<F>() -> usize {
    size_of::<F>() + size_of::<u32>()
}

/// Floats as integers over a power of ten.
pub(crate) struct ScaledFloats<F: DecimalFloat> {
    /// The power of ten, as a position in [`DecimalFloat::DIVISORS`].
    pub(crate) exponent: u8,
    /// One per value; that of an exception is the one before it.
    pub(crate) numerators: Vec<F::Int>,
    /// Positions of what is no such quotient, ascending, and its value.
    pub(crate) exceptions: Vec<(u32, F)>,
    pub(crate) plan: PackPlan<F::Int>,
}

/// Values that are looked at to choose the divisor.
const SAMPLE: usize = 256;

/// Of the sample, a first look that recognizes floats with all their digits cheaply.
const FIRST_LOOK: usize = 32;

/// Percent of the plain bytes that packed floats may have: dividing costs more than a copy, and should save something.
const BYTES_PERCENT_MAX: usize = 80;

impl<F: DecimalFloat> ScaledFloats<F> {
    /// The packed form of `values`, of which those that are not `is_valid` may become anything; `None` when it would
    /// not be much smaller.
    pub(crate) fn of(values: &[F], is_valid: impl Fn(usize) -> bool) -> Option<Self> {
        let exponent = choose(values)?;
        let divisor = *F::DIVISORS.get(exponent)?;
        let plain = size_of_val(values);
        let exceptions_max = plain * BYTES_PERCENT_MAX / 100 / exception_bytes::<F>();
        let mut numerators = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        let mut previous = values.iter().find_map(|value| value.numerator(divisor))?;
        for (row, value) in values.iter().enumerate() {
            match value.numerator(divisor) {
                Some(numerator) => previous = numerator,
                None if is_valid(row) => {
                    if exceptions.len() >= exceptions_max {
                        return None;
                    }
                    exceptions.push((u32::try_from(row).ok()?, *value));
                }
                None => {}
            }
            numerators.push(previous);
        }
        let plan = PackPlan::new(&numerators);
        let bytes = plan.bytes() + exceptions.len() * exception_bytes::<F>();
        (bytes * 100 <= plain * BYTES_PERCENT_MAX).then(|| Self {
            // There are fewer divisors.
            exponent: u8::try_from(exponent).unwrap_or(u8::MAX),
            numerators,
            exceptions,
            plan,
        })
    }
}

/// The exponent that needs the fewest bits for a sample of the values.
fn choose<F: DecimalFloat>(values: &[F]) -> Option<usize> {
    let step = values.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<F> = values.iter().step_by(step).copied().collect();
    let first_step = sample.len().div_ceil(FIRST_LOOK).max(1);
    let is_decimal = |value: &F| F::DIVISORS.iter().any(|divisor| value.numerator(*divisor).is_some());
    let (hits, looks) = sample
        .iter()
        .step_by(first_step)
        .fold((0, 0), |(hits, looks), value| (hits + usize::from(is_decimal(value)), looks + 1));
    if hits * 2 < looks {
        return None;
    }
    let exception_bits = exception_bytes::<F>() * 8;
    let cost = |divisor: F| {
        let (mut exceptions, mut bits) = (0, 0);
        for value in &sample {
            match value.numerator(divisor) {
                Some(_) => bits = bits.max(value.magnitude(divisor)),
                None => exceptions += 1,
            }
        }
        sample.len() * bits as usize + exceptions * exception_bits
    };
    (0..F::DIVISORS.len()).min_by_key(|exponent| F::DIVISORS.get(*exponent).map_or(usize::MAX, |d| cost(*d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponent(values: &[f64]) -> Option<u8> {
        ScaledFloats::of(values, |_| true).map(|scaled| scaled.exponent)
    }

    #[test]
    fn digits_behind_the_point_are_found() {
        let cents: Vec<f64> = (0..2000).map(|row| f64::from(row * 37) / 100.0).collect();
        assert_eq!(exponent(&cents), Some(2));
        let whole: Vec<f64> = (0..2000).map(f64::from).collect();
        assert_eq!(exponent(&whole), Some(0));
        let irrational: Vec<f64> = (0..2000).map(|row| f64::from(row).sqrt().sin()).collect();
        assert_eq!(exponent(&irrational), None);
        assert_eq!(exponent(&[f64::NAN; 2000]), None);
        let singles: Vec<f32> = (0..2000_u16).map(|row| f32::from(row) / 1000.0).collect();
        assert_eq!(ScaledFloats::of(&singles, |_| true).map(|scaled| scaled.exponent), Some(3));
    }

    #[test]
    fn what_is_no_decimal_is_an_exception_where_it_counts() {
        let mut values: Vec<f64> = (0..2000).map(|row| f64::from(row) / 10.0).collect();
        for (row, value) in [(3, f64::NAN), (5, -0.0), (7, f64::INFINITY), (9, 1.0 / 3.0), (11, f64::NAN)] {
            values[row] = value;
        }
        let scaled = ScaledFloats::of(&values, |row| row != 11).unwrap();
        let rows: Vec<u32> = scaled.exceptions.iter().map(|exception| exception.0).collect();
        assert_eq!((scaled.exponent, rows), (1, vec![3, 5, 7, 9]));
        assert_eq!((scaled.numerators[2], scaled.numerators[3], scaled.numerators[4]), (2, 2, 4));
    }
}
