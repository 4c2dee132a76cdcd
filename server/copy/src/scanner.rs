//! The next of three special bytes, found 64 bytes at a time.

const BLOCK_BYTES: usize = 64;
/// Gathers the lowest bits of eight bytes in the uppermost byte of the product.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// Walks over the special bytes of a text. None of them may be zero.
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    needles: [u8; 3],
    /// Where the current block begins.
    block: usize,
    /// The special bytes of the block that have not been given yet.
    hits: u64,
}

impl<'a> Scanner<'a> {
    /// From `at` on.
    pub(crate) fn new(bytes: &'a [u8], at: usize, needles: [u8; 3]) -> Self {
        let mut scanner = Self { bytes, needles, block: at, hits: 0 };
        scanner.load();
        scanner
    }

    /// The place of the next one.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<usize> {
        while self.hits == 0 {
            self.block += BLOCK_BYTES;
            if self.block >= self.bytes.len() {
                return None;
            }
            self.load();
        }
        let place = self.block + self.hits.trailing_zeros() as usize;
        self.hits &= self.hits - 1;
        Some(place)
    }

    /// Leaves out those before `at`.
    #[inline]
    pub(crate) fn skip_to(&mut self, at: usize) {
        match at.checked_sub(self.block) {
            None => {}
            Some(ahead) if ahead < BLOCK_BYTES => self.hits &= u64::MAX << ahead,
            Some(_) => {
                self.block = at;
                self.load();
            }
        }
    }

    #[inline]
    fn load(&mut self) {
        let rest = self.bytes.get(self.block..).unwrap_or_default();
        self.hits = match rest.first_chunk::<BLOCK_BYTES>() {
            Some(block) => hits(block, self.needles),
            None => {
                let mut block = [0; BLOCK_BYTES];
                block.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                hits(&block, self.needles)
            }
        };
    }
}

/// One bit for each byte that is one of the needles. Both loops become vector instructions.
#[inline]
fn hits(block: &[u8; BLOCK_BYTES], [a, b, c]: [u8; 3]) -> u64 {
    let mut found = [0_u8; BLOCK_BYTES];
    for (found, byte) in found.iter_mut().zip(block) {
        *found = u8::from(*byte == a) | u8::from(*byte == b) | u8::from(*byte == c);
    }
    let mut bits = [0_u8; 8];
    for (bits, eight) in bits.iter_mut().zip(found.as_chunks::<8>().0) {
        *bits = u64::from_le_bytes(*eight).wrapping_mul(GATHER).to_le_bytes()[7];
    }
    u64::from_le_bytes(bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn special_bytes_are_found_in_order(text in "[a-d,|\n]{0,300}", start in 0_usize..300, skip in 0_usize..300) {
            let bytes = text.as_bytes();
            let start = start.min(bytes.len());
            let expected = |from: usize| {
                (from..bytes.len()).find(|at| matches!(bytes[*at], b',' | b'|' | b'\n'))
            };
            let mut scanner = Scanner::new(bytes, start, [b',', b'|', b'\n']);
            let mut from = start;
            for _ in 0..5 {
                let next = scanner.next();
                prop_assert_eq!(next, expected(from));
                let Some(next) = next else { return Ok(()) };
                from = next + 1;
            }
            scanner.skip_to(skip);
            prop_assert_eq!(scanner.next(), expected(from.max(skip)));
        }
    }
}
