//! FITS headers: cards of 80 characters in blocks of 2,880 bytes, up to END.

use std::io::{self, Read};

use super::FitsError;

/// Headers and data are filled up to a multiple of this.
pub(super) const BLOCK_BYTES: u64 = 2_880;
const CARD_BYTES: usize = 80;
/// A header of more blocks is damage, not metadata.
const HEADER_BLOCKS_MAX: usize = 20_000;

/// The cards of one header, in order.
#[derive(Debug, Default)]
pub(super) struct Header {
    cards: Vec<(String, String)>,
}

impl Header {
    /// Reads the header that begins here; `None` at the end of the file.
    ///
    /// # Errors
    /// What the file's reader says, and a header that does not end.
    pub(super) fn read(input: &mut dyn Read) -> Result<Option<Self>, FitsError> {
        let mut header = Self::default();
        for block_idx in 0..HEADER_BLOCKS_MAX {
            let mut block = [0_u8; BLOCK_BYTES as usize];
            match read_full(input, &mut block)? {
                0 if block_idx == 0 => return Ok(None),
                read if read < block.len() => {
                    // Some writers leave a few bytes of padding behind the last unit.
                    if block_idx == 0 && block.iter().take(read).all(|byte| matches!(byte, 0 | b' ')) {
                        return Ok(None);
                    }
                    return Err(FitsError::Damaged("the file ends inside of a header".into()));
                }
                _ => {}
            }
            for card in block.chunks(CARD_BYTES) {
                let card: String = card.iter().map(|byte| char::from(*byte)).collect();
                let (keyword, value) = card.split_at_checked(8).unwrap_or_default();
                let keyword = keyword.trim_end();
                if keyword == "END" {
                    return Ok(Some(header));
                }
                if let Some(value) = value.strip_prefix("= ") {
                    header.cards.push((keyword.to_owned(), value.to_owned()));
                } else if let (("CONTINUE", true), Some((_, last))) =
                    ((keyword, value.starts_with("  ")), header.cards.last_mut())
                {
                    continue_string(last, value);
                }
            }
        }
        Err(FitsError::Damaged("the header has no END".into()))
    }

    fn raw(&self, keyword: &str) -> Option<&str> {
        // The last one counts where a keyword is repeated against the rules.
        self.cards.iter().rev().find(|(found, _)| found == keyword).map(|(_, value)| value.as_str())
    }

    /// A text between apostrophes, without blanks at its end.
    pub(super) fn text(&self, keyword: &str) -> Option<String> {
        string_value(self.raw(keyword)?)
    }

    /// A whole number.
    pub(super) fn integer(&self, keyword: &str) -> Option<i64> {
        let value = without_comment(self.raw(keyword)?);
        value.parse().ok().or_else(|| {
            // Some writers put whole numbers with a point.
            let number: f64 = value.parse().ok()?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked: a whole number that a double holds exactly"
            )]
            (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
        })
    }

    /// A whole number that has to be there and not negative.
    pub(super) fn size(&self, keyword: &str) -> Result<u64, FitsError> {
        let value = self.integer(keyword).and_then(|value| u64::try_from(value).ok());
        value.ok_or_else(|| FitsError::Damaged(format!("{keyword} is missing or no size")))
    }

    /// A number.
    pub(super) fn float(&self, keyword: &str) -> Option<f64> {
        without_comment(self.raw(keyword)?).replace(['D', 'd'], "E").parse().ok()
    }

    /// Bytes of the data behind the header, without those that fill up the last block.
    pub(super) fn data_bytes(&self) -> Result<u64, FitsError> {
        let too_large = || FitsError::Damaged("sizes that cannot be".into());
        let axes = self.size("NAXIS")?;
        if axes == 0 {
            return Ok(0);
        }
        let groups = self.raw("GROUPS").is_some_and(|value| without_comment(value) == "T");
        let mut elements = 1_u64;
        for axis in 1..=axes.min(999) {
            let length = self.size(&format!("NAXIS{axis}"))?;
            // Random groups have no first axis.
            let length = if groups && axis == 1 && length == 0 { 1 } else { length };
            elements = elements.checked_mul(length).ok_or_else(too_large)?;
        }
        let bits = self.integer("BITPIX").unwrap_or(8).unsigned_abs();
        let optional = |keyword, default| match self.raw(keyword) {
            Some(_) => self.size(keyword),
            None => Ok(default),
        };
        let (heap, groups) = (optional("PCOUNT", 0)?, optional("GCOUNT", 1)?);
        elements
            .checked_add(heap)
            .and_then(|elements| elements.checked_mul(groups)?.checked_mul(bits / 8))
            .ok_or_else(too_large)
    }
}

/// Fills the buffer as far as there are bytes; gives how many.
pub(super) fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The text of a string value; `''` inside is an apostrophe.
fn string_value(value: &str) -> Option<String> {
    let mut rest = value.trim_start().strip_prefix('\'')?;
    let mut text = String::new();
    loop {
        let (part, after) = rest.split_once('\'')?;
        text.push_str(part);
        match after.strip_prefix('\'') {
            Some(after) => {
                text.push('\'');
                rest = after;
            }
            None => return Some(text.trim_end().to_owned()),
        }
    }
}

/// Joins the text of a CONTINUE card to the card before, whose text ends with an ampersand.
fn continue_string(last: &mut String, value: &str) {
    let (Some(text), Some(more)) = (string_value(last), string_value(value)) else { return };
    if let Some(begin) = text.strip_suffix('&') {
        *last = format!("'{}'", format!("{begin}{more}").replace('\'', "''"));
    }
}

fn without_comment(value: &str) -> &str {
    value.split('/').next().unwrap_or_default().trim()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of these cards, each `KEYWORD = value`.
    pub(in crate::load::fits) fn header(cards: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for card in cards.iter().chain(&["END"]) {
            let card = match card.split_once(" = ") {
                Some((keyword, value)) => format!("{keyword:<8}= {value}"),
                None => (*card).to_owned(),
            };
            bytes.extend_from_slice(format!("{card:<80}").as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES as usize), b' ');
        bytes
    }

    #[test]
    fn cards_are_read_by_their_kind() {
        let bytes = header(&[
            "SIMPLE = T",
            "BITPIX = -32 / single precision",
            "NAXIS = 2",
            "NAXIS1 = 3",
            "NAXIS2 = 5",
            "NAME = 'it''s a name  ' / comment",
            "TSCAL1 = 1.5D2",
            "LONG = 'begin &'",
            "CONTINUE  'end'",
        ]);
        let header = Header::read(&mut bytes.as_slice()).unwrap().unwrap();
        assert_eq!(header.integer("BITPIX"), Some(-32));
        assert_eq!(header.text("NAME").as_deref(), Some("it's a name"));
        assert_eq!(header.text("LONG").as_deref(), Some("begin end"));
        assert_eq!(header.float("TSCAL1"), Some(150.0));
        assert_eq!(header.data_bytes().unwrap(), 60);
        assert!(header.size("NAXIS3").is_err());
    }

    #[test]
    fn headers_that_end_early_are_refused() {
        assert!(Header::read(&mut [].as_slice()).unwrap().is_none());
        assert!(Header::read(&mut [b'x'; 100].as_slice()).is_err());
        assert!(Header::read(&mut [b' '; 2_880].as_slice()).is_err());
    }
}
