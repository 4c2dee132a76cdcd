//! Collects the different values of a text column while its shard is written.

use arrow::array::builder::StringDictionaryBuilder;
use arrow::array::{Array, StringArray, StringViewArray, UInt32Array};
use arrow::datatypes::UInt32Type;

/// Rows that are not NULL per different value, on average, from which on a column gets a dictionary.
///
/// An open shard keeps a view of 16 bytes per dictionary value on the heap: at four rows per value that is as much as
/// the 4-byte codes of the rows in the file. With fewer rows per value the dictionary outweighs what it saves, and
/// predicates and groups gain little from being worked out once per value.
pub(crate) const ROWS_PER_DICTIONARY_VALUE_MIN: u64 = 4;

/// Values of a dictionary at most: what a shard of four million rows, a usual size, may have by
/// [`ROWS_PER_DICTIONARY_VALUE_MIN`]. It bounds the writer's hash table.
const DICTIONARY_VALUES_MAX: usize = 1 << 20;

/// Bytes of all values of a dictionary at most, which the writer holds in memory: 64 for each of
/// [`DICTIONARY_VALUES_MAX`].
const DICTIONARY_BYTES_MAX: usize = DICTIONARY_VALUES_MAX * 64;

const _: () = assert!(DICTIONARY_BYTES_MAX <= i32::MAX as usize, "the builder has 32-bit offsets");

/// A dictionary that grows and the codes of all rows so far, in order of appearance.
pub(crate) struct DictionaryBuilder {
    builder: StringDictionaryBuilder<UInt32Type>,
    distinct: usize,
    bytes: usize,
    /// Rows that are not NULL.
    value_count: u64,
}

/// The codes of all rows and what they stand for.
pub(crate) struct Coded {
    /// NULL rows have any code, and there may be none that is valid.
    pub(crate) codes: UInt32Array,
    pub(crate) values: StringArray,
}

impl DictionaryBuilder {
    pub(crate) fn new() -> Self {
        Self { builder: StringDictionaryBuilder::new(), distinct: 0, bytes: 0, value_count: 0 }
    }

    /// Appends rows until the dictionary is full, and returns how many.
    pub(crate) fn append(&mut self, values: &StringViewArray) -> usize {
        for (row, value) in values.iter().enumerate() {
            let Some(value) = value else {
                self.builder.append_null();
                continue;
            };
            let is_full =
                self.distinct >= DICTIONARY_VALUES_MAX || self.bytes + value.len() > DICTIONARY_BYTES_MAX;
            let code = if is_full { None } else { self.builder.append(value).ok() };
            let Some(code) = code else {
                return row;
            };
            if code as usize == self.distinct {
                self.distinct += 1;
                self.bytes += value.len();
            }
            self.value_count += 1;
        }
        values.len()
    }

    /// Whether the rows so far deserve a dictionary.
    pub(crate) fn pays(&self) -> bool {
        let rows_min = (self.distinct as u64).saturating_mul(ROWS_PER_DICTIONARY_VALUE_MIN);
        self.distinct > 0 && rows_min <= self.value_count
    }

    pub(crate) fn finish(mut self) -> Coded {
        let array = self.builder.finish();
        let values = array.values().as_any().downcast_ref::<StringArray>().cloned();
        // The builder makes no other type.
        let values = values.unwrap_or_else(|| StringArray::from(Vec::<&str>::new()));
        Coded { codes: array.keys().clone(), values }
    }
}

impl Coded {
    /// The codes of the values in the order of their bytes, and the place of each code in that order.
    pub(crate) fn sorted(&self) -> (Vec<&str>, Vec<u32>) {
        let mut order: Vec<(&str, u32)> = self.values.iter().flatten().zip(0..).collect();
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

    #[test]
    fn ranks_order_like_bytes() {
        let mut builder = DictionaryBuilder::new();
        let values = StringViewArray::from(vec![Some("b"), None, Some("\u{e4}"), Some(""), Some("b")]);
        assert_eq!(builder.append(&values), 5);
        assert!(!builder.pays());
        let coded = builder.finish();
        assert_eq!(coded.codes.null_count(), 1);
        let (sorted, ranks) = coded.sorted();
        assert_eq!(sorted, ["", "b", "\u{e4}"]);
        let rows: Vec<_> =
            coded.codes.iter().map(|code| code.map(|code| sorted[ranks[code as usize] as usize])).collect();
        assert_eq!(rows, [Some("b"), None, Some("\u{e4}"), Some(""), Some("b")]);
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
    fn a_full_dictionary_says_where_it_stopped() {
        let mut builder = DictionaryBuilder::new();
        let long = "x".repeat(DICTIONARY_BYTES_MAX / 2);
        let longer = format!("{long}x");
        let values = StringViewArray::from(vec![Some("a"), Some(long.as_str()), None, Some(longer.as_str())]);
        assert_eq!(builder.append(&values), 3);
        assert_eq!(builder.finish().codes.len(), 3);
    }
}
