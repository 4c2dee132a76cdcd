//! Selections as bitmaps: one bit a row, 64 rows a word.

/// Rows in one word.
pub const WORD_ROWS: usize = 64;

/// Words that `rows` rows need.
pub const fn words_for(rows: usize) -> usize {
    rows.div_ceil(WORD_ROWS)
}

/// Sets the first `rows` bits and clears the rest of the last word.
///
/// # Panics
/// When `words` is not `words_for(rows)` long.
pub fn fill(words: &mut [u64], rows: usize) {
    assert_eq!(words.len(), words_for(rows));
    words.fill(!0);
    clear_tail(words, rows);
}

/// Clears the bits at and after `rows` in the last word.
///
/// # Panics
/// When `words` is not `words_for(rows)` long.
pub fn clear_tail(words: &mut [u64], rows: usize) {
    assert_eq!(words.len(), words_for(rows));
    let used = rows % WORD_ROWS;
    if used != 0
        && let Some(last) = words.last_mut()
    {
        *last &= (1 << used) - 1;
    }
}

/// How many bits are set.
pub fn count_ones(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

/// `into &= other`, word by word.
///
/// # Panics
/// When the lengths differ.
pub fn and(into: &mut [u64], other: &[u64]) {
    assert_eq!(into.len(), other.len());
    for (into, other) in into.iter_mut().zip(other) {
        *into &= other;
    }
}

/// Appends the positions of the set bits to `indices`, in order.
///
/// # Panics
/// When there are more than `u32::MAX` rows.
pub fn indices(words: &[u64], indices: &mut Vec<u32>) {
    assert!(words.len() <= u32::MAX as usize / WORD_ROWS);
    indices.reserve(count_ones(words));
    let mut base = 0u32;
    for &word in words {
        if word == !0 {
            indices.extend(base..base + WORD_ROWS as u32);
        } else {
            let mut left = word;
            while left != 0 {
                indices.push(base + left.trailing_zeros());
                left &= left - 1;
            }
        }
        base += WORD_ROWS as u32;
    }
}

/// Copies `rows` bits that start at bit `offset` of little-endian `bytes` (an Arrow boolean buffer) to the start of
/// `words`, and clears what follows them.
///
/// # Panics
/// When `bytes` holds fewer than `offset + rows` bits or `words` is not `words_for(rows)` long.
pub fn copy_from_bytes(words: &mut [u64], bytes: &[u8], offset: usize, rows: usize) {
    assert_eq!(words.len(), words_for(rows));
    assert!(bytes.len() * 8 >= offset + rows);
    let (byte, shift) = (offset / 8, offset % 8);
    let bytes = &bytes[byte..];
    for (at, word) in words.iter_mut().enumerate() {
        let from = at * 8;
        let take = bytes.len().saturating_sub(from).min(8);
        let mut low = [0u8; 8];
        low[..take].copy_from_slice(&bytes[from..from + take]);
        *word = u64::from_le_bytes(low) >> shift;
        if shift != 0
            && let Some(&next) = bytes.get(from + 8)
        {
            *word |= u64::from(next) << (WORD_ROWS - shift);
        }
    }
    clear_tail(words, rows);
}

/// Sets byte `i` to 1 when bit `i` is set, else to 0.
///
/// # Panics
/// When `words` is not `words_for(bytes.len())` long.
pub fn to_bytes(words: &[u64], bytes: &mut [u8]) {
    assert_eq!(words.len(), words_for(bytes.len()));
    for (bytes, &word) in bytes.chunks_mut(WORD_ROWS).zip(words) {
        for (row, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from((word >> row) & 1 == 1);
        }
    }
}

/// Writes the bits of `from`, in order, to the positions of the set bits of `words`: a selection of the selected
/// rows becomes a selection of all rows. Bits of `words` that are not set stay clear.
///
/// # Panics
/// When `from` has fewer words than the set bits of `words` need.
pub fn scatter(words: &mut [u64], from: &[u64]) {
    assert!(from.len() >= words_for(count_ones(words)));
    let mut at = 0;
    for word in words.iter_mut() {
        let mut left = *word;
        let mut kept = 0;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            if (from[at / WORD_ROWS] >> (at % WORD_ROWS)) & 1 == 1 {
                kept |= bit;
            }
            at += 1;
            left ^= bit;
        }
        *word = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words_of(bits: &[bool]) -> Vec<u64> {
        let mut words = vec![0; words_for(bits.len())];
        for (at, &bit) in bits.iter().enumerate() {
            words[at / 64] |= u64::from(bit) << (at % 64);
        }
        words
    }

    proptest! {
        #[test]
        fn indices_are_the_positions_of_set_bits(bits in prop::collection::vec(any::<bool>(), 0..300)) {
            let mut found = vec![];
            indices(&words_of(&bits), &mut found);
            let expected: Vec<u32> = (0..bits.len() as u32).filter(|&at| bits[at as usize]).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn bits_copied_from_bytes_keep_their_order(
            bytes in prop::collection::vec(any::<u8>(), 1..60), offset in 0usize..70, rows in 0usize..400,
        ) {
            let offset = offset.min(bytes.len() * 8);
            let rows = rows.min(bytes.len() * 8 - offset);
            let mut words = vec![!0; words_for(rows)];
            copy_from_bytes(&mut words, &bytes, offset, rows);
            let bits: Vec<bool> = (offset..offset + rows).map(|at| (bytes[at / 8] >> (at % 8)) & 1 == 1).collect();
            prop_assert_eq!(words, words_of(&bits));
        }

        #[test]
        fn scatter_puts_the_nth_bit_at_the_nth_selected_row(
            pairs in prop::collection::vec((any::<bool>(), any::<bool>()), 0..300),
        ) {
            let selected: Vec<bool> = pairs.iter().map(|pair| pair.0).collect();
            let verdicts: Vec<bool> = pairs.iter().filter(|pair| pair.0).map(|pair| pair.1).collect();
            let mut words = words_of(&selected);
            scatter(&mut words, &words_of(&verdicts));
            let expected: Vec<bool> = pairs.iter().map(|pair| pair.0 && pair.1).collect();
            prop_assert_eq!(words, words_of(&expected));
        }
    }

    #[test]
    fn bytes_are_the_bits() {
        let mut bytes = [9; 66];
        to_bytes(&[0b101, 0b10], &mut bytes);
        let set: Vec<usize> = (0..66).filter(|&row| bytes[row] == 1).collect();
        assert_eq!(set, [0, 2, 65]);
        assert_eq!(bytes.iter().filter(|byte| **byte == 0).count(), 63);
    }

    #[test]
    fn fill_leaves_the_tail_clear() {
        let mut words = [0; 2];
        fill(&mut words, 70);
        assert_eq!(words, [!0, 0b11_1111]);
        assert_eq!(count_ones(&words), 70);
    }
}
