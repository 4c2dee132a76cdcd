//! Splits date, time and interval texts into fields, as PostgreSQL's input functions do before they look at
//! what the fields mean.

/// What a field looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// Digits, perhaps with one point.
    Number,
    /// Fields with `-`, `/` or `.` between them, or a zone name.
    Date,
    /// Digits with colons.
    Time,
    /// A sign and digits.
    Signed,
    /// Letters.
    Word,
    /// A sign and letters: `-infinity`.
    SignedWord,
}

/// A field in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) kind: FieldKind,
    pub(super) text: String,
}

/// PostgreSQL's `MAXDATEFIELDS`.
const FIELDS_MAX: usize = 25;
/// PostgreSQL's `MAXDATELEN` and a little: longer texts are refused before any work.
const TEXT_BYTES_MAX: usize = 256;

/// The characters that are left to read.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn peek(&self) -> u8 {
        self.rest.first().copied().unwrap_or(0)
    }

    fn next(&mut self) -> u8 {
        let byte = self.peek();
        self.rest = self.rest.get(1..).unwrap_or_default();
        byte
    }

    fn take_while(&mut self, text: &mut String, keep: impl Fn(u8) -> bool) {
        while !self.rest.is_empty() && keep(self.peek()) {
            text.push(char::from(self.next().to_ascii_lowercase()));
        }
    }
}

/// The fields of a text; `None` where a character fits nowhere.
pub(super) fn split_fields(text: &str, is_known_word: impl Fn(&str) -> bool) -> Option<Vec<Field>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut cursor = Cursor { rest: text.as_bytes() };
    let mut fields = Vec::new();
    while !cursor.rest.is_empty() {
        let first = cursor.peek();
        if is_space(first) {
            cursor.next();
            continue;
        }
        let mut text = String::new();
        let kind = if first.is_ascii_digit() {
            number_or_date(&mut cursor, &mut text)
        } else if first == b'.' {
            text.push(char::from(cursor.next()));
            cursor.take_while(&mut text, |byte| byte.is_ascii_digit());
            FieldKind::Number
        } else if first.is_ascii_alphabetic() {
            word_or_date(&mut cursor, &mut text, &is_known_word)
        } else if matches!(first, b'+' | b'-') {
            text.push(char::from(cursor.next()));
            while is_space(cursor.peek()) {
                cursor.next();
            }
            if cursor.peek().is_ascii_digit() {
                cursor.take_while(&mut text, |byte| {
                    byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-')
                });
                FieldKind::Signed
            } else if cursor.peek().is_ascii_alphabetic() {
                cursor.take_while(&mut text, |byte| byte.is_ascii_alphabetic());
                FieldKind::SignedWord
            } else {
                return None;
            }
        } else if first.is_ascii_punctuation() {
            cursor.next();
            continue;
        } else {
            return None;
        };
        if fields.len() == FIELDS_MAX {
            return None;
        }
        fields.push(Field { kind, text });
    }
    Some(fields)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn number_or_date(cursor: &mut Cursor<'_>, text: &mut String) -> FieldKind {
    let digit = |byte: u8| byte.is_ascii_digit();
    cursor.take_while(text, digit);
    match cursor.peek() {
        b':' => {
            cursor.take_while(text, |byte| digit(byte) || matches!(byte, b':' | b'.'));
            FieldKind::Time
        }
        separator @ (b'-' | b'/' | b'.') => {
            text.push(char::from(cursor.next()));
            if !digit(cursor.peek()) {
                // A month's name follows.
                cursor.take_while(text, |byte| byte.is_ascii_alphanumeric() || byte == separator);
                return FieldKind::Date;
            }
            cursor.take_while(text, digit);
            // The same separator twice makes a date of three fields.
            if cursor.peek() == separator {
                cursor.take_while(text, |byte| digit(byte) || byte == separator);
                return FieldKind::Date;
            }
            if separator == b'.' { FieldKind::Number } else { FieldKind::Date }
        }
        _ => FieldKind::Number,
    }
}

fn word_or_date(
    cursor: &mut Cursor<'_>,
    text: &mut String,
    is_known_word: &impl Fn(&str) -> bool,
) -> FieldKind {
    cursor.take_while(text, |byte| byte.is_ascii_alphabetic());
    let next = cursor.peek();
    // `mar-13-2001`, `america/new_york`; but `t04:05` and `dec25` only where the word itself is unknown.
    let goes_on =
        matches!(next, b'-' | b'/' | b'.') || (next == b'+' || next.is_ascii_digit()) && !is_known_word(text);
    if !goes_on {
        return FieldKind::Word;
    }
    cursor.take_while(text, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
    });
    FieldKind::Date
}

/// The fraction behind a point, `.25`, in microseconds.
pub(super) fn fraction_micros(text: &str) -> Option<i64> {
    if !text.starts_with('.') || !text.bytes().skip(1).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if text.len() == 1 {
        return Some(0);
    }
    let fraction: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a second is at most 1,000,000")]
    Some((fraction * 1_000_000.0).round_ties_even() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Option<Vec<(FieldKind, String)>> {
        let known = |word: &str| matches!(word, "t" | "dec");
        Some(split_fields(text, known)?.into_iter().map(|field| (field.kind, field.text)).collect())
    }

    #[test]
    fn fields_are_told_apart_by_their_characters() {
        use FieldKind::{Date, Number, Signed, SignedWord, Time, Word};
        let cases: &[(&str, &[(FieldKind, &str)])] = &[
            (
                "2001-02-03T04:05:06.7+08",
                &[(Date, "2001-02-03"), (Word, "t"), (Time, "04:05:06.7"), (Signed, "+08")],
            ),
            (
                "Feb 3, 2001 04:05 PM",
                &[(Word, "feb"), (Number, "3"), (Number, "2001"), (Time, "04:05"), (Word, "pm")],
            ),
            ("America/New_York", &[(Date, "america/new_york")]),
            ("-infinity", &[(SignedWord, "-infinity")]),
            ("- 5.5", &[(Signed, "-5.5")]),
            ("3-feb-2001", &[(Date, "3-feb-2001")]),
            ("1.5", &[(Number, "1.5")]),
            ("1.5.2001", &[(Date, "1.5.2001")]),
            ("dec25", &[(Word, "dec"), (Number, "25")]),
        ];
        for (text, expected) in cases {
            let expected = expected.iter().map(|(kind, text)| (*kind, (*text).to_owned())).collect();
            assert_eq!(fields(text), Some(expected), "{text}");
        }
        assert_eq!(fields("+"), None);
        assert_eq!(fields("é"), None);
        assert_eq!(fields(&"1 ".repeat(200)), None);
    }
}
