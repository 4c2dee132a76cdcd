//! A value that limits the values of a chunk from below or above.

use std::cmp::Ordering;
use std::fmt;

use crate::decoder::{Decoder, malformed};
use crate::{Result, TEXT_BOUND_BYTES_MAX};

/// A smallest or largest value, of any type that has an order.
///
/// Bounds of one column are all of one variant and compare by their natural order; floats by [`f64::total_cmp`], so
/// that -0 lies below 0; text by its bytes (PostgreSQL's collation "C"). Bounds of different variants compare by
/// variant, which only makes the order total.
#[derive(Clone, Debug)]
pub enum Bound {
    /// Of a Boolean column; false lies below true.
    Bool(bool),
    /// Of Int16, Int32, Int64, Date32 (days), Time64 and Timestamp (microseconds) columns.
    Int(i64),
    /// Of Float32 and Float64 columns. Never NaN.
    Float(f64),
    /// Of a Decimal128 column: the unscaled value.
    Decimal(i128),
    /// Of a text column. At most [`TEXT_BOUND_BYTES_MAX`] bytes: a longer minimum is cut off (and so lies below), a
    /// longer maximum is cut off and its last character raised (and so lies above). A text bound therefore need not be
    /// a value of the column, unless minimum and maximum are equal.
    Text(String),
}

impl Bound {
    /// Number of the variant, in its encoding and in the order of different variants.
    const fn tag(&self) -> u8 {
        match self {
            Self::Bool(_) => 1,
            Self::Int(_) => 2,
            Self::Float(_) => 3,
            Self::Decimal(_) => 4,
            Self::Text(_) => 5,
        }
    }

    /// Appends the bound in the encoding of the shard footer (see `FORMAT.md`).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tag());
        match self {
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::Int(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Float(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Decimal(value) => out.extend_from_slice(&value.to_le_bytes()),
            Self::Text(value) => {
                // Gathered bounds are short. One of 4 GiB would be refused by `decode`.
                let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&bytes.to_le_bytes());
                out.extend_from_slice(value.as_bytes());
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote from the front of `input` and takes it off.
    ///
    /// # Errors
    /// [`StorageError::Malformed`](crate::StorageError::Malformed) on any other bytes; `input` is then unchanged.
    pub fn decode(input: &mut &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(input);
        let bound = Self::decode_from(&mut decoder)?;
        *input = decoder.rest();
        Ok(bound)
    }

    pub(crate) fn decode_from(decoder: &mut Decoder<'_>) -> Result<Self> {
        match decoder.u8()? {
            1 => decoder.flag().map(Self::Bool),
            2 => decoder.i64().map(Self::Int),
            3 => match decoder.f64()? {
                value if value.is_nan() => Err(malformed("a bound is NaN")),
                value => Ok(Self::Float(value)),
            },
            4 => decoder.i128().map(Self::Decimal),
            5 => decoder.text().map(|text| Self::Text(text.to_owned())),
            tag => Err(malformed(format!("unknown kind of bound {tag}"))),
        }
    }

    /// Bounds of texts of which `min` is the smallest and `max` the largest; `None` when no short text lies above
    /// `max`.
    pub(crate) fn of_text(min: &str, max: &str) -> Option<(Self, Self)> {
        let max =
            if max.len() <= TEXT_BOUND_BYTES_MAX { max.to_owned() } else { raised(prefix(max).to_owned())? };
        Some((Self::Text(prefix(min).to_owned()), Self::Text(max)))
    }
}

/// The longest prefix of whole characters that fits into a bound.
fn prefix(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BOUND_BYTES_MAX)).unwrap_or(text)
}

/// A short text above all texts that begin with `text`: its last character is replaced by the next one, or dropped
/// where there is none that fits. UTF-8 sorts as the code points do.
fn raised(mut text: String) -> Option<String> {
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next
            && text.len() + next.len_utf8() <= TEXT_BOUND_BYTES_MAX
        {
            text.push(next);
            return Some(text);
        }
    }
    None
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.tag().cmp(&other.tag()),
        }
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Bound {}

impl fmt::Display for Bound {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(formatter),
            Self::Int(value) => value.fmt(formatter),
            Self::Float(value) => value.fmt(formatter),
            Self::Decimal(value) => value.fmt(formatter),
            Self::Text(value) => value.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_bound() -> impl Strategy<Value = Bound> {
        prop_oneof![
            any::<bool>().prop_map(Bound::Bool),
            any::<i64>().prop_map(Bound::Int),
            any::<f64>().prop_filter("bounds are never NaN", |value| !value.is_nan()).prop_map(Bound::Float),
            any::<i128>().prop_map(Bound::Decimal),
            ".{0,16}".prop_map(Bound::Text),
        ]
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bounds in prop::collection::vec(any_bound(), 0..5)) {
            let mut bytes = Vec::new();
            for bound in &bounds {
                bound.encode(&mut bytes);
            }
            let mut rest = bytes.as_slice();
            for bound in &bounds {
                prop_assert_eq!(&Bound::decode(&mut rest)?, bound);
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut rest = bytes.as_slice();
            if Bound::decode(&mut rest).is_err() {
                prop_assert_eq!(rest.len(), bytes.len());
            }
        }

        #[test]
        fn short_texts_enclose_long_ones(min in "\\PC{0,90}", max in "\\PC{0,90}") {
            let (min, max) = if min <= max { (min, max) } else { (max, min) };
            if let Some((Bound::Text(low), Bound::Text(high))) = Bound::of_text(&min, &max) {
                prop_assert!(low <= min && max <= high);
                prop_assert!(low.len() <= TEXT_BOUND_BYTES_MAX && high.len() <= TEXT_BOUND_BYTES_MAX);
                prop_assert!(low != high || min == max);
            }
        }
    }

    #[test]
    fn raising_skips_what_cannot_be_raised() {
        assert_eq!(raised("ab".to_owned()).as_deref(), Some("ac"));
        assert_eq!(raised("a\u{10ffff}".to_owned()).as_deref(), Some("b"));
        assert_eq!(raised("\u{d7ff}".to_owned()).as_deref(), Some("\u{e000}"));
        assert_eq!(raised("\u{10ffff}\u{10ffff}".to_owned()), None);
        // U+0080 needs one byte more than U+007F, and there is no room for it.
        let full = format!("{}\u{7f}", "x".repeat(TEXT_BOUND_BYTES_MAX - 1));
        assert_eq!(raised(full), Some(format!("{}y", "x".repeat(TEXT_BOUND_BYTES_MAX - 2))));
    }

    #[test]
    fn floats_have_a_total_order() {
        assert!(Bound::Float(-0.0) < Bound::Float(0.0));
        assert!(Bound::Float(f64::NEG_INFINITY) < Bound::Float(f64::MIN));
        assert_eq!(Bound::Float(0.0), Bound::Float(0.0));
    }
}
