//! The fixed-width values that kernels work on.

/// A value that can be ordered as PostgreSQL orders it and added in one of three accumulators.
pub trait Number: Copy + PartialEq + PartialOrd + Default + Send + Sync + 'static {
    /// The least value in this order: where a maximum starts.
    const LEAST: Self;
    /// The greatest value in this order (NaN for floats): where a minimum starts.
    const GREATEST: Self;

    /// True for NaN, which only floats have.
    fn is_nan(self) -> bool;

    /// `self` as `f64`, rounded to nearest where it does not fit.
    fn to_f64(self) -> f64;

    /// `self` as `i64`; floats and wide integers are truncated, so callers only ask it of 64 bits and less.
    fn to_i64(self) -> i64;

    /// `self` as `i128`; floats are truncated.
    fn to_i128(self) -> i128;

    /// `yes` where `mask` is all ones, `no` where it is zero: bit operations, which vectorize where a choice does not.
    fn select(mask: u64, yes: Self, no: Self) -> Self;

    /// Whether `self` sorts before `other`: NaN sorts after every number.
    #[inline(always)]
    fn before(self, other: Self) -> bool {
        (self < other) | (other.is_nan() & !self.is_nan())
    }

    /// Whether `self` and `other` are one value: NaN is itself.
    #[inline(always)]
    fn same(self, other: Self) -> bool {
        (self == other) | (self.is_nan() & other.is_nan())
    }
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Number for $t {
            const LEAST: Self = <$t>::MIN;
            const GREATEST: Self = <$t>::MAX;

            #[inline(always)]
            fn is_nan(self) -> bool {
                false
            }

            #[inline(always)]
            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "rounding is the contract")]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::cast_lossless, reason = "truncation is the contract")]
            fn to_i64(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            #[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "one macro for all widths")]
            fn to_i128(self) -> i128 {
                self as i128
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::cast_lossless, clippy::unnecessary_cast, reason = "a mask is all ones or zero in every width")]
            fn select(mask: u64, yes: Self, no: Self) -> Self {
                let mask = mask.cast_signed() as $t;
                (yes & mask) | (no & !mask)
            }
        }
    )*};
}

macro_rules! float {
    ($($t:ty as $bits:ty),*) => {$(
        impl Number for $t {
            const LEAST: Self = <$t>::NEG_INFINITY;
            const GREATEST: Self = <$t>::NAN;

            #[inline(always)]
            fn is_nan(self) -> bool {
                self != self
            }

            #[inline(always)]
            #[allow(clippy::cast_lossless, clippy::unnecessary_cast, reason = "one macro for all widths")]
            fn to_f64(self) -> f64 {
                self as f64
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "truncation is the contract")]
            fn to_i64(self) -> i64 {
                self as i64
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "truncation is the contract")]
            fn to_i128(self) -> i128 {
                self as i128
            }

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast, reason = "a mask is all ones or zero in every width")]
            fn select(mask: u64, yes: Self, no: Self) -> Self {
                let mask = mask as $bits;
                <$t>::from_bits((yes.to_bits() & mask) | (no.to_bits() & !mask))
            }
        }
    )*};
}

integer!(i8, i16, i32, i64, i128, u8, u16, u32);
float!(f32 as u32, f64 as u64);
