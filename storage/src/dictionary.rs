//! Collects the different values of a text column while its shard is written.

use std::hash::{BuildHasher, RandomState};

use arrow::array::builder::StringViewBuilder;
use arrow::array::{Array, StringViewArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};

use crate::string_hash::StringHash;

/// Rows that are not NULL per different value, on average, from which on a column gets a dictionary.
///
/// An open shard keeps a view of 16 bytes per dictionary value on the heap. With fewer rows per value the dictionary
/// outweighs what it saves, and predicates and groups gain little from being worked out once per value.
pub(crate) const ROWS_PER_DICTIONARY_VALUE_MIN: u64 = 4;

/// Values of a dictionary at most: what a shard of four million rows, a usual size, may have by
/// [`ROWS_PER_DICTIONARY_VALUE_MIN`]. It bounds the writer's hash table.
const DICTIONARY_VALUES_MAX: usize = 1 << 20;

/// Bytes of all values of a dictionary at most, which the writer holds in memory: 64 for each of
/// [`DICTIONARY_VALUES_MAX`].
const DICTIONARY_BYTES_MAX: usize = DICTIONARY_VALUES_MAX * 64;

/// Rows that are not NULL after which a column is given up of which at least seven in eight rows have a value of their
/// own: addresses and keys are known by then, and hashing them is most of the time that writing them takes. A hundred
/// thousand values in any order are new in every second row still, and are worth a dictionary soon.
const HOPELESS_FROM_ROWS: u64 = 131_072;

/// The same for a column of which at least every second row has a value of its own.
const HOPELESS_IN_HALVES_FROM_ROWS: u64 = 1 << 20;

/// Slots of the hash table at first; a power of two.
const SLOTS_MIN: usize = 1024;

/// A dictionary that grows and the codes of all rows so far, in order of appearance.
pub(crate) struct DictionaryBuilder {
    /// Bytes of all values, one after the other.
    bytes: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
    hashes: Vec<u64>,
    /// Code + 1 of the value whose hash leads here, 0 where there is none; at most half of them are taken.
    slots: Vec<u32>,
    hash: StringHash,
    codes: Vec<u32>,
    /// A bit per row from the first NULL on.
    valid: Option<Vec<bool>>,
    /// Rows that are not NULL.
    value_count: u64,
}

/// The codes of all rows and what they stand for.
pub(crate) struct Coded {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    codes: Vec<u32>,
    valid: Option<NullBuffer>,
}

impl DictionaryBuilder {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::new(),
            hashes: Vec::new(),
            slots: vec![0; SLOTS_MIN],
            // Whoever chooses the values does not choose where they collide.
            hash: StringHash::new(RandomState::new().hash_one(0)),
            codes: Vec::new(),
            valid: None,
            value_count: 0,
        }
    }

    /// Appends rows until the dictionary is full or hopeless, and returns how many.
    pub(crate) fn append(&mut self, values: &StringViewArray) -> usize {
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        if nulls.is_some() && self.valid.is_none() {
            self.valid = Some(vec![true; self.codes.len()]);
        }
        self.codes.reserve(values.len());
        // Equal neighbours are frequent, and short texts are compared by their views alone.
        let mut last: Option<(u128, u32)> = None;
        for (row, view) in values.views().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                self.push_code(0, false);
                continue;
            }
            let code = match last {
                Some((known, code)) if known == *view => code,
                _ => {
                    let Some(code) = self.code(values.value(row).as_bytes()) else { return row };
                    last = Some((*view, code));
                    code
                }
            };
            self.push_code(code, true);
            self.value_count += 1;
        }
        values.len()
    }

    fn push_code(&mut self, code: u32, is_valid: bool) {
        self.codes.push(code);
        if let Some(valid) = &mut self.valid {
            valid.push(is_valid);
        }
    }

    /// The code of a value, a new one if need be; `None` when there is no room for it.
    fn code(&mut self, value: &[u8]) -> Option<u32> {
        let hash = self.hash.of(value);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let taken = *self.slots.get(slot)?;
            let Some(code) = taken.checked_sub(1) else { break };
            if self.hashes.get(code as usize) == Some(&hash) && self.value(code as usize) == value {
                return Some(code);
            }
            slot = (slot + 1) & mask;
        }
        let count = self.ends.len();
        let (values, rows) = (count as u64, self.value_count);
        let hopeless = rows >= HOPELESS_FROM_ROWS && values * 8 > rows * 7
            || rows >= HOPELESS_IN_HALVES_FROM_ROWS && values * 2 > rows;
        if hopeless || count >= DICTIONARY_VALUES_MAX || self.bytes.len() + value.len() > DICTIONARY_BYTES_MAX
        {
            return None;
        }
        let code = u32::try_from(count).ok()?;
        *self.slots.get_mut(slot)? = code + 1;
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
        self.hashes.push(hash);
        if self.ends.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(code)
    }

    fn grow(&mut self) {
        let slots = self.slots.len() * 2;
        self.slots = vec![0; slots];
        for (code, hash) in (1_u32..).zip(&self.hashes) {
            let mut slot = *hash as usize & (slots - 1);
            while let Some(taken) = self.slots.get_mut(slot) {
                if *taken == 0 {
                    *taken = code;
                    break;
                }
                slot = (slot + 1) & (slots - 1);
            }
        }
    }

    fn value(&self, code: usize) -> &[u8] {
        value(&self.bytes, &self.ends, code)
    }

    /// Whether the rows so far deserve a dictionary.
    pub(crate) fn pays(&self) -> bool {
        let rows_min = (self.ends.len() as u64).saturating_mul(ROWS_PER_DICTIONARY_VALUE_MIN);
        !self.ends.is_empty() && rows_min <= self.value_count
    }

    pub(crate) fn finish(self) -> Coded {
        let valid = self.valid.map(|valid| NullBuffer::new(BooleanBuffer::from(valid)));
        Coded { bytes: self.bytes, ends: self.ends, codes: self.codes, valid }
    }
}

fn value<'a>(bytes: &'a [u8], ends: &[usize], code: usize) -> &'a [u8] {
    let start = code.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let end = ends.get(code).copied().unwrap_or(start);
    bytes.get(start..end).unwrap_or_default()
}

impl Coded {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The codes of `rows` rows from `start` on, in order of appearance, and which rows are NULL if some are.
    pub(crate) fn codes(&self, start: usize, rows: usize) -> (&[u32], Option<NullBuffer>) {
        let nulls = self.valid.as_ref().map(|valid| valid.slice(start, rows));
        let codes = self.codes.get(start..start + rows).unwrap_or_default();
        (codes, nulls.filter(|nulls| nulls.null_count() > 0))
    }

    /// The texts of `rows` rows from `start` on.
    pub(crate) fn texts(&self, start: usize, rows: usize) -> StringViewArray {
        let (codes, nulls) = self.codes(start, rows);
        let mut texts = StringViewBuilder::with_capacity(rows);
        for (row, code) in codes.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                texts.append_null();
            } else {
                texts.append_value(self.value(*code as usize));
            }
        }
        texts.finish()
    }

    fn value(&self, code: usize) -> &str {
        // It was a text when it was appended.
        str::from_utf8(value(&self.bytes, &self.ends, code)).unwrap_or_default()
    }

    /// The values in the order of their bytes, and the place of each code in that order.
    pub(crate) fn sorted(&self) -> (Vec<&str>, Vec<u32>) {
        let mut order: Vec<(&str, u32)> =
            (0..self.ends.len()).map(|code| self.value(code)).zip(0..).collect();
        order.sort_unstable();
        let mut ranks = vec![0; order.len()];
        for ((_, code), rank) in order.iter().zip(0..) {
            if let Some(slot) = ranks.get_mut(*code as usize) {
                *slot = rank;
            }
        }
        (order.into_iter().map(|(value, _)| value).collect(), ranks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(coded: &Coded) -> Vec<Option<String>> {
        coded.texts(0, coded.len()).iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn ranks_order_like_bytes() {
        let mut builder = DictionaryBuilder::new();
        let values = StringViewArray::from(vec![Some("b"), None, Some("\u{e4}"), Some(""), Some("b")]);
        assert_eq!(builder.append(&values), 5);
        assert!(!builder.pays());
        let coded = builder.finish();
        let (codes, nulls) = coded.codes(0, 5);
        let nulls = nulls.unwrap();
        assert_eq!(nulls.null_count(), 1);
        let (sorted, ranks) = coded.sorted();
        assert_eq!(sorted, ["", "b", "\u{e4}"]);
        let rows: Vec<_> = codes
            .iter()
            .zip(nulls.iter())
            .map(|(code, is_valid)| is_valid.then(|| sorted[ranks[*code as usize] as usize]))
            .collect();
        assert_eq!(rows, [Some("b"), None, Some("\u{e4}"), Some(""), Some("b")]);
        assert_eq!(coded.texts(0, 5), values);
    }

    #[test]
    fn many_values_are_told_apart() {
        let mut builder = DictionaryBuilder::new();
        let value = |row: usize| format!("{}{row}", "some text that is longer than a view ".repeat(row % 3));
        let values: StringViewArray = (0..60_000).map(|row| (row % 7 > 0).then(|| value(row / 3))).collect();
        for start in (0..60_000).step_by(10_000) {
            assert_eq!(builder.append(&values.slice(start, 10_000)), 10_000);
        }
        let coded = builder.finish();
        let expected: Vec<_> = values.iter().map(|text| text.map(str::to_owned)).collect();
        assert_eq!(texts(&coded), expected);
        assert_eq!(coded.sorted().0.len(), 20_000);
    }

    #[test]
    fn four_rows_per_value_pay() {
        let mut builder = DictionaryBuilder::new();
        assert!(!builder.pays());
        builder.append(&StringViewArray::from(vec!["a", "a", "a"]));
        assert!(!builder.pays());
        builder.append(&StringViewArray::from(vec![None, Some("a")]));
        assert!(builder.pays());
    }

    #[test]
    fn a_full_or_hopeless_dictionary_says_where_it_stopped() {
        let mut builder = DictionaryBuilder::new();
        let long = "x".repeat(DICTIONARY_BYTES_MAX / 2);
        let longer = format!("{long}x");
        let values = StringViewArray::from(vec![Some("a"), Some(long.as_str()), None, Some(longer.as_str())]);
        assert_eq!(builder.append(&values), 3);
        assert_eq!(builder.finish().len(), 3);
        let mut builder = DictionaryBuilder::new();
        let rows = usize::try_from(HOPELESS_FROM_ROWS).unwrap();
        let values: StringViewArray = (0..rows + 10).map(|row| Some(row.to_string())).collect();
        assert_eq!(builder.append(&values), rows);
    }
}
