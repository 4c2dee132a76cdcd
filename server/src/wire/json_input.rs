//! Checks that a text is JSON, as `json_in` does, without building a tree.

use quickdb_executor::functions::json::parse::parse;
use quickdb_executor::functions::json::value::Json;

use super::input_error::InputError;

/// Nesting that is followed; PostgreSQL's limit is its stack.
const DEPTH_MAX: usize = 10_000;

/// # Errors
/// 22P02 for text that is not JSON, 54001 for nesting beyond [`DEPTH_MAX`].
pub(crate) fn check_json(text: &str) -> Result<(), InputError> {
    let mut reader = Reader { rest: text.as_bytes() };
    match reader.document() {
        Ok(()) => Ok(()),
        Err(Refusal::TooDeep) => Err(InputError::new("54001", "stack depth limit exceeded")),
        // What is wrong with it the reader of trees says; it takes all that this one takes.
        Err(Refusal::Invalid) => match parse(text) {
            Err(error) => Err(error.into()),
            Ok(_) => Err(InputError::new("22P02", "invalid input syntax for type json")),
        },
    }
}

/// A text in the form in which `jsonb` is kept.
///
/// # Errors
/// Those of [`check_json`].
pub(crate) fn normal_json(text: &str) -> Result<String, InputError> {
    let node = parse(text)?;
    Ok(Json::of(&node, text).to_string())
}

enum Refusal {
    Invalid,
    TooDeep,
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance(1);
        }
    }

    /// The open arrays and objects are kept on the heap, so that depth costs no stack.
    fn document(&mut self) -> Result<(), Refusal> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.skip_blanks();
            // A value, or the end of an empty array or object.
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    self.advance(1);
                    if open.len() == DEPTH_MAX {
                        return Err(Refusal::TooDeep);
                    }
                    open.push(bracket);
                    self.skip_blanks();
                    let end = if bracket == b'[' { b']' } else { b'}' };
                    if self.peek() == Some(end) {
                        self.advance(1);
                        open.pop();
                    } else {
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                Some(_) => self.scalar()?,
                None => return Err(Refusal::Invalid),
            }
            // What follows a value.
            loop {
                self.skip_blanks();
                match (open.last().copied(), self.peek()) {
                    (None, None) => return Ok(()),
                    (Some(bracket), Some(b',')) => {
                        self.advance(1);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'['), Some(b']')) | (Some(b'{'), Some(b'}')) => {
                        self.advance(1);
                        open.pop();
                    }
                    _ => return Err(Refusal::Invalid),
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Refusal> {
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return Err(Refusal::Invalid);
        }
        self.string()?;
        self.skip_blanks();
        if self.peek() != Some(b':') {
            return Err(Refusal::Invalid);
        }
        self.advance(1);
        Ok(())
    }

    fn scalar(&mut self) -> Result<(), Refusal> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let word =
                    [&b"true"[..], b"false", b"null"].into_iter().find(|word| self.rest.starts_with(word));
                let word = word.ok_or(Refusal::Invalid)?;
                if self.rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric) {
                    return Err(Refusal::Invalid);
                }
                self.advance(word.len());
                Ok(())
            }
        }
    }

    fn string(&mut self) -> Result<(), Refusal> {
        self.advance(1);
        loop {
            match self.peek().ok_or(Refusal::Invalid)? {
                b'"' => {
                    self.advance(1);
                    return Ok(());
                }
                b'\\' => match self.rest.get(1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.advance(2),
                    Some(b'u')
                        if self.rest.get(2..6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
                    {
                        self.advance(6);
                    }
                    _ => return Err(Refusal::Invalid),
                },
                0..=0x1f => return Err(Refusal::Invalid),
                _ => self.advance(1),
            }
        }
    }

    fn digits(&mut self) -> Result<(), Refusal> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(count);
        if count == 0 { Err(Refusal::Invalid) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<(), Refusal> {
        if self.peek() == Some(b'-') {
            self.advance(1);
        }
        if self.peek() == Some(b'0') {
            self.advance(1);
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.advance(1);
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.advance(1);
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.advance(1);
            }
            self.digits()?;
        }
        if self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Refusal::Invalid);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_what_is_not() {
        for text in [
            "1",
            " -0.5e+10 ",
            "\"a\\u00e9\\n\"",
            "[]",
            "{}",
            "[1,[2,{}],{\"a\":null}]",
            "true",
            "{\"a\":[],\"b\":{\"c\":1}}",
        ] {
            assert!(check_json(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "x",
            "01",
            "1.",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "[1",
            "]",
            "1 2",
            "\"\\x\"",
            "\"\n\"",
            "nul",
            "truex",
            "[1}",
            "{\"a\":1,}",
        ] {
            assert_eq!(check_json(text).unwrap_err().sqlstate, "22P02", "{text}");
        }
        assert!(check_json(&format!("{}{}", "[".repeat(9_999), "]".repeat(9_999))).is_ok());
        assert_eq!(check_json(&"[".repeat(1_000_000)).unwrap_err().sqlstate, "54001");
    }
}
