//! Numbers that look random and depend on nothing but a column and a row: splitmix64 (Steele, Lea and Flood 2014).

/// The sequence of one column; every row has its own number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column(u64);

impl Column {
    /// The sequence of a name.
    pub(super) fn named(table: &str, name: &str) -> Self {
        let bytes = table.bytes().chain([b'.']).chain(name.bytes());
        Self(bytes.fold(0x51_7c_c1_b7_27_22_0a_95, |state, byte| mix(state ^ u64::from(byte))))
    }

    /// 64 bits.
    pub(super) fn bits(self, row: u64) -> u64 {
        mix(self.0.wrapping_add(row.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// A number from 0 to 1, never 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    pub(super) fn unit(self, row: u64) -> f64 {
        (self.bits(row) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `end`.
    pub(super) fn below(self, row: u64, end: u64) -> u64 {
        let wide = u128::from(self.bits(row)) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// True with a probability.
    pub(super) fn chance(self, row: u64, probability: f64) -> bool {
        self.unit(row) < probability
    }

    /// A number of the normal distribution, by Box and Muller.
    pub(super) fn normal(self, row: u64, mean: f64, deviation: f64) -> f64 {
        let first = 1.0 - self.unit(row);
        let second = Self(mix(self.0 ^ 0xabcd)).unit(row);
        mean + deviation * (-2.0 * first.ln()).sqrt() * (std::f64::consts::TAU * second).cos()
    }

    /// A whole number below `end`, small ones more often: `i` about as often as 1/(i + head).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the counts are far below 2^53"
    )]
    pub(super) fn zipf(self, row: u64, end: u64, head: f64) -> u64 {
        let value = head * (self.unit(row) * ((end as f64 + head) / head).ln()).exp() - head;
        (value as u64).min(end.saturating_sub(1))
    }
}

/// The finalizer of splitmix64: every bit depends on every bit.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_as_they_should() {
        let column = Column::named("t", "c");
        let rows = 0..100_000_u64;
        let mean = rows.clone().map(|row| column.unit(row)).sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let mean = rows.clone().map(|row| column.normal(row, 3.0, 2.0)).sum::<f64>() / 1e5;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
        assert!(rows.clone().all(|row| column.below(row, 7) < 7 && column.zipf(row, 5, 1.0) < 5));
        let zeros = rows.clone().filter(|row| column.zipf(*row, 100, 1.0) == 0).count();
        let last = rows.filter(|row| column.zipf(*row, 100, 1.0) == 99).count();
        assert!(zeros > 10 * last);
        assert_ne!(column.bits(1), Column::named("t", "d").bits(1));
    }
}
