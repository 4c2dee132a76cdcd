//! Arithmetic on columns of floats, in place.
//!
//! Every function returns whether some row wants a second look: PostgreSQL refuses a division by zero, and finite
//! operands whose result is infinite, or zero where it cannot be. Rows that are left out are computed with the others,
//! so that the caller has to find out whether it was one of those.

use crate::number::Number;

/// Rows that are computed together; each has a flag of the values' own width, so that the loop stays in one vector
/// type.
const LANES: usize = 16;

/// A floating-point number.
pub trait Float: Number {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Infinity.
    const INFINITY: Self;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;
    /// Without its sign.
    fn abs(self) -> Self;
    /// The greatest whole number not above it.
    fn floor(self) -> Self;
    /// The least whole number not below it.
    fn ceil(self) -> Self;
    /// The whole number next to it in the direction of zero.
    fn trunc(self) -> Self;
    /// The nearest whole number, the even one of two.
    fn round(self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `self + other`
    fn plus(self, other: Self) -> Self;
    /// `self - other`
    fn minus(self, other: Self) -> Self;
    /// `self * other`
    fn times(self, other: Self) -> Self;
    /// `self / other`
    fn over(self, other: Self) -> Self;

    /// Whether it is neither infinite nor NaN.
    #[inline(always)]
    fn is_number(self) -> bool {
        self.abs() < Self::INFINITY
    }
}

macro_rules! float {
    ($($t:ty),*) => {$(
        impl Float for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INFINITY: Self = <$t>::INFINITY;

            #[inline(always)]
            #[allow(clippy::cast_possible_truncation, reason = "rounding is the contract")]
            fn of(value: f64) -> Self {
                value as $t
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn floor(self) -> Self {
                self.floor()
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                self.ceil()
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                self.trunc()
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.round_ties_even()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self - other
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn over(self, other: Self) -> Self {
                self / other
            }
        }
    )*};
}

float!(f32, f64);

/// An operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

/// A function of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`
    Negate,
    /// `abs`
    Abs,
    /// `floor`
    Floor,
    /// `ceil`
    Ceil,
    /// `trunc`
    Trunc,
    /// `round`, half to even
    Round,
    /// `sqrt`, which wants a second look below zero
    Sqrt,
}

/// What an operator is applied to beside the values.
#[derive(Debug, Clone, Copy)]
pub enum Operand<'a, T> {
    /// A value for each row.
    Values(&'a [T]),
    /// One value on the right of every row.
    Right(T),
    /// One value on the left of every row.
    Left(T),
}

#[inline(always)]
fn overflows<T: Float>(a: T, b: T, result: T) -> bool {
    (result.abs() == T::INFINITY) & a.is_number() & b.is_number()
}

#[inline(always)]
fn add<T: Float>(a: T, b: T) -> (T, bool) {
    let result = a.plus(b);
    (result, overflows(a, b, result))
}

#[inline(always)]
fn subtract<T: Float>(a: T, b: T) -> (T, bool) {
    let result = a.minus(b);
    (result, overflows(a, b, result))
}

#[inline(always)]
fn multiply<T: Float>(a: T, b: T) -> (T, bool) {
    let result = a.times(b);
    let vanishes = (result == T::ZERO) & (a != T::ZERO) & (b != T::ZERO);
    (result, overflows(a, b, result) | vanishes)
}

#[inline(always)]
fn divide<T: Float>(a: T, b: T) -> (T, bool) {
    let result = a.over(b);
    let vanishes = (result == T::ZERO) & (a != T::ZERO) & b.is_number();
    (result, (b == T::ZERO) | overflows(a, b, result) | vanishes)
}

#[inline(always)]
fn pairs<T: Float>(values: &mut [T], others: &[T], compute: impl Fn(T, T) -> (T, bool)) -> bool {
    assert_eq!(values.len(), others.len());
    let (blocks, tail) = values.as_chunks_mut::<LANES>();
    let (other_blocks, other_tail) = others.as_chunks::<LANES>();
    let mut flags = [T::ZERO; LANES];
    for (values, others) in blocks.iter_mut().zip(other_blocks) {
        for lane in 0..LANES {
            let (result, doubt) = compute(values[lane], others[lane]);
            values[lane] = result;
            flags[lane] = flags[lane].plus(if doubt { T::ONE } else { T::ZERO });
        }
    }
    let mut doubtful = flags.iter().any(|flag| *flag != T::ZERO);
    for (value, other) in tail.iter_mut().zip(other_tail) {
        let (result, doubt) = compute(*value, *other);
        *value = result;
        doubtful |= doubt;
    }
    doubtful
}

#[inline(always)]
fn each<T: Float>(values: &mut [T], compute: impl Fn(T) -> (T, bool)) -> bool {
    let (blocks, tail) = values.as_chunks_mut::<LANES>();
    let mut flags = [T::ZERO; LANES];
    for values in blocks {
        for lane in 0..LANES {
            let (result, doubt) = compute(values[lane]);
            values[lane] = result;
            flags[lane] = flags[lane].plus(if doubt { T::ONE } else { T::ZERO });
        }
    }
    let mut doubtful = flags.iter().any(|flag| *flag != T::ZERO);
    for value in tail {
        let (result, doubt) = compute(*value);
        *value = result;
        doubtful |= doubt;
    }
    doubtful
}

#[inline(always)]
fn with<T: Float>(values: &mut [T], operand: Operand<'_, T>, compute: impl Fn(T, T) -> (T, bool)) -> bool {
    match operand {
        Operand::Values(others) => pairs(values, others, compute),
        Operand::Right(other) => each(values, |value| compute(value, other)),
        Operand::Left(other) => each(values, |value| compute(other, value)),
    }
}

dispatched! {
    /// Replaces each value by the result of an operator.
    ///
    /// # Panics
    /// When there are not as many values on the other side.
    pub fn apply<T: Float>(operator: Operator, values: &mut [T], operand: Operand<'_, T>) -> bool {
        match operator {
            Operator::Add => with(values, operand, add),
            Operator::Subtract => with(values, operand, subtract),
            Operator::Multiply => with(values, operand, multiply),
            Operator::Divide => with(values, operand, divide),
        }
    }
}

dispatched! {
    /// Replaces each value by that of a function.
    pub fn apply_unary<T: Float>(function: Unary, values: &mut [T]) -> bool {
        match function {
            Unary::Negate => each(values, |value| (T::ZERO.minus(T::ONE).times(value), false)),
            Unary::Abs => each(values, |value| (value.abs(), false)),
            Unary::Floor => each(values, |value| (value.floor(), false)),
            Unary::Ceil => each(values, |value| (value.ceil(), false)),
            Unary::Trunc => each(values, |value| (value.trunc(), false)),
            Unary::Round => each(values, |value| (value.round(), false)),
            Unary::Sqrt => each(values, |value| (value.sqrt(), value < T::ZERO)),
        }
    }
}

dispatched! {
    /// Replaces `into` by the values as doubles.
    pub fn widen<T: Number>(values: &[T], into: &mut Vec<f64>) {
        into.clear();
        into.extend(values.iter().map(|value| value.to_f64()));
    }
}

/// The codes of whole numbers: how far each lies above `least`; `nan` for NaN. Others lie at most 2^31 away.
pub fn whole_codes(values: &[f64], least: f64, nan: u32, codes: &mut Vec<u32>) {
    codes.clear();
    codes.resize(values.len(), 0);
    fill_whole_codes(values, least, nan, codes);
}

dispatched! {
    /// See [`whole_codes`].
    pub fn fill_whole_codes<T: Number>(values: &[T], least: f64, nan: u32, codes: &mut [u32]) {
        /// Added to a double below 2^51, it leaves the nearest integer in the low bits.
        const ROUND: f64 = 6_755_399_441_055_744.0;
        for (code, value) in codes.iter_mut().zip(values) {
            let value = value.to_f64();
            #[expect(clippy::cast_possible_truncation, reason = "the low bits are the integer")]
            let whole = (value - least + ROUND).to_bits() as u32;
            let mask = u32::from(value.is_nan()).wrapping_neg();
            *code = (whole & !mask) | (nan & mask);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OPERATORS: [Operator; 4] =
        [Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide];

    fn odd() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => -1e3f64..1e3,
            1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 1e-300, 1e300]),
        ]
    }

    fn naive(operator: Operator, a: f64, b: f64) -> f64 {
        match operator {
            Operator::Add => a + b,
            Operator::Subtract => a - b,
            Operator::Multiply => a * b,
            Operator::Divide => a / b,
        }
    }

    /// What PostgreSQL refuses; a second look may also be wanted of NaN over zero, which it does not.
    fn refused(operator: Operator, a: f64, b: f64) -> bool {
        let result = naive(operator, a, b);
        let overflow = result.is_infinite() && a.is_finite() && b.is_finite();
        let vanishes = result == 0.0
            && a != 0.0
            && (operator == Operator::Multiply && b != 0.0 || operator == Operator::Divide && b.is_finite());
        overflow || vanishes || operator == Operator::Divide && b == 0.0
    }

    proptest! {
        #[test]
        fn operators_equal_a_naive_loop(rows in prop::collection::vec((odd(), odd()), 0..70), constant in odd()) {
            let left: Vec<f64> = rows.iter().map(|row| row.0).collect();
            let right: Vec<f64> = rows.iter().map(|row| row.1).collect();
            for operator in OPERATORS {
                for (operand, pair) in [
                    (Operand::Values(right.as_slice()), Box::new(|row: usize| (left[row], right[row])) as Box<dyn Fn(usize) -> (f64, f64)>),
                    (Operand::Right(constant), Box::new(|row: usize| (left[row], constant))),
                    (Operand::Left(constant), Box::new(|row: usize| (constant, left[row]))),
                ] {
                    let mut values = left.clone();
                    let doubt = apply(operator, &mut values, operand);
                    let mut any = false;
                    for (row, value) in values.iter().enumerate() {
                        let (a, b) = pair(row);
                        let expected = naive(operator, a, b);
                        prop_assert!(*value == expected || value.is_nan() && expected.is_nan());
                        any |= refused(operator, a, b);
                    }
                    prop_assert_eq!(doubt, any);
                }
            }
        }

        #[test]
        fn functions_equal_a_naive_loop(values in prop::collection::vec(odd(), 0..70)) {
            for (function, naive) in [
                (Unary::Negate, (|x| -x) as fn(f64) -> f64),
                (Unary::Abs, f64::abs),
                (Unary::Floor, f64::floor),
                (Unary::Ceil, f64::ceil),
                (Unary::Trunc, f64::trunc),
                (Unary::Round, f64::round_ties_even),
                (Unary::Sqrt, f64::sqrt),
            ] {
                let mut found = values.clone();
                let doubt = apply_unary(function, &mut found);
                for (found, value) in found.iter().zip(&values) {
                    prop_assert!(found.to_bits() == naive(*value).to_bits() || found.is_nan() && naive(*value).is_nan());
                }
                prop_assert_eq!(doubt, function == Unary::Sqrt && values.iter().any(|value| *value < 0.0));
            }
        }

        #[test]
        fn codes_count_from_the_least(values in prop::collection::vec(-1000i32..1000, 0..70)) {
            let mut whole: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            whole.push(f64::NAN);
            let mut codes = vec![];
            whole_codes(&whole, -1000.0, 7000, &mut codes);
            for (code, value) in codes.iter().zip(&values) {
                prop_assert_eq!(i64::from(*code), i64::from(*value) + 1000);
            }
            prop_assert_eq!(codes.last(), Some(&7000));
        }
    }
}
