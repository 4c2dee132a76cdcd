//! A fast hash of short strings.

/// Folded multiplication, eight bytes at a time, after wyhash (Wang Yi 2019). The seed makes it different in every
/// dictionary, so that nobody can choose values that collide.
#[derive(Clone, Copy)]
pub(crate) struct StringHash {
    seed: u64,
}

impl StringHash {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    pub(crate) fn of(self, bytes: &[u8]) -> u64 {
        const A: u64 = 0xa076_1d64_78bd_642f;
        const B: u64 = 0xe703_7ed1_a0b4_28db;
        let (words, tail) = bytes.as_chunks::<8>();
        let mut state = self.seed ^ A ^ (bytes.len() as u64).wrapping_mul(B);
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), B);
        }
        let mut last = [0; 8];
        for (slot, byte) in last.iter_mut().zip(tail) {
            *slot = *byte;
        }
        fold(state ^ u64::from_le_bytes(last), A ^ self.seed.rotate_left(32))
    }
}

/// The halves of the product, one over the other.
#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn similar_strings_have_different_hashes() {
        let hash = StringHash::new(1);
        let strings: Vec<String> = (0..5000)
            .flat_map(|row| [format!("{row}"), format!("value {row:09}"), "\0".repeat(row)])
            .collect();
        let low: HashSet<u64> = strings.iter().map(|text| hash.of(text.as_bytes()) & 0xff_ffff).collect();
        // Of 15,000 random numbers of 24 bits about seven collide.
        assert!(low.len() > 14_960, "{}", low.len());
        assert_ne!(hash.of(b"a"), StringHash::new(2).of(b"a"));
    }
}
