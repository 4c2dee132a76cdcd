//! Words that nobody knows, from numbers.

use super::random::{Column, mix};

const CONSONANTS: [&str; 16] =
    ["r", "t", "n", "s", "l", "k", "d", "m", "p", "v", "b", "g", "z", "ch", "f", "j"];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ei"];

/// The word of a number: two to four syllables.
pub(super) fn word(number: u64, out: &mut String) {
    let mut bits = mix(number ^ 0x5eed);
    let syllables = 2 + bits % 3;
    for _ in 0..syllables {
        let pick = |choices: &[&'static str], bits: u64| {
            let at = usize::try_from(bits % choices.len() as u64).unwrap_or(0);
            choices.get(at).copied().unwrap_or_default()
        };
        out.push_str(pick(&CONSONANTS, bits >> 8));
        out.push_str(pick(&VOWELS, bits >> 24));
        bits = mix(bits);
    }
}

/// The sentence of a number: one to `most` words of a vocabulary, the usual ones more often.
pub(super) fn sentence(number: u64, most: u64, vocabulary: u64, out: &mut String) {
    let words = Column::named("words", "sentence");
    let count = 1 + mix(number) % most.max(1);
    for at in 0..count {
        if at > 0 {
            out.push(' ');
        }
        word(words.zipf(number.wrapping_mul(16).wrapping_add(at), vocabulary, 20.0), out);
    }
}
