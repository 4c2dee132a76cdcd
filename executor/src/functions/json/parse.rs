//! JSON text to a tree, with PostgreSQL's complaints about what is none.

use std::ops::Range;

use crate::error::{ErrorKind, ExecError};

/// Nesting that is followed: each level takes some stack.
const DEPTH_MAX: usize = 1_000;

/// A value and where it stands in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub span: Range<usize>,
}

/// Kinds of JSON values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number; its digits are in the text.
    Number,
    /// A string without its quotes and escapes.
    String(String),
    /// The elements.
    Array(Vec<Node>),
    /// Keys and values as they are written, repeated keys too.
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The text of the value.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        source.get(self.span.clone()).unwrap_or_default()
    }
}

/// Reads a whole text.
///
/// # Errors
/// 22P02 for text that is not JSON, 22P05 for a zero character, 54001 for nesting beyond what is followed.
pub fn parse(source: &str) -> Result<Node, ExecError> {
    let mut parser = Parser { source, at: 0, token: Token::End, start: 0, line_start: 0, line: 1 };
    parser.advance()?;
    let node = parser.value(0)?;
    if parser.token != Token::End {
        return Err(parser.expected("end of input"));
    }
    Ok(node)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    String(String),
    Number,
    True,
    False,
    Null,
    Punctuation(u8),
    End,
}

struct Parser<'a> {
    source: &'a str,
    /// The byte after the token.
    at: usize,
    token: Token,
    /// The token's first byte.
    start: usize,
    line_start: usize,
    line: usize,
}

impl Parser<'_> {
    fn bytes(&self) -> &[u8] {
        self.source.as_bytes()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes().get(at).copied()
    }

    /// The next token.
    fn advance(&mut self) -> Result<(), ExecError> {
        while let Some(blank @ (b' ' | b'\t' | b'\n' | b'\r')) = self.byte(self.at) {
            self.at += 1;
            if blank == b'\n' {
                self.line += 1;
                self.line_start = self.at;
            }
        }
        self.start = self.at;
        self.token = match self.byte(self.at) {
            None => Token::End,
            Some(mark @ (b'{' | b'}' | b'[' | b']' | b',' | b':')) => {
                self.at += 1;
                Token::Punctuation(mark)
            }
            Some(b'"') => Token::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => {
                let word = self.word_from(self.at);
                self.at = word.end;
                match self.bytes().get(word) {
                    Some(b"true") => Token::True,
                    Some(b"false") => Token::False,
                    Some(b"null") => Token::Null,
                    _ => {
                        if self.at == self.start {
                            let next = self.source.get(self.at..).and_then(|rest| rest.chars().next());
                            self.at += next.map_or(1, char::len_utf8);
                        }
                        return Err(self.invalid_token());
                    }
                }
            }
        };
        Ok(())
    }

    /// Letters, digits and everything beyond ASCII from a place on.
    fn word_from(&self, from: usize) -> Range<usize> {
        let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_' || **byte >= 0x80;
        let length = self.bytes().get(from..).unwrap_or_default().iter().take_while(word).count();
        from..from + length
    }

    fn number(&mut self) -> Result<Token, ExecError> {
        let digits = |parser: &mut Self| {
            let count = parser.bytes().get(parser.at..).unwrap_or_default();
            let count = count.iter().take_while(|byte| byte.is_ascii_digit()).count();
            parser.at += count;
            count > 0
        };
        let mut valid = true;
        if self.byte(self.at) == Some(b'-') {
            self.at += 1;
        }
        if self.byte(self.at) == Some(b'0') {
            self.at += 1;
        } else {
            valid &= digits(self);
        }
        if self.byte(self.at) == Some(b'.') {
            self.at += 1;
            valid &= digits(self);
        }
        if matches!(self.byte(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            valid &= digits(self);
        }
        // What is glued to a number spoils it.
        let rest = self.word_from(self.at);
        if !valid || !rest.is_empty() {
            self.at = rest.end;
            return Err(self.invalid_token());
        }
        Ok(Token::Number)
    }

    fn string(&mut self) -> Result<String, ExecError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let rest = self.source.get(self.at..).unwrap_or_default();
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let Some(plain) = plain else {
                self.at = self.source.len();
                return Err(self.invalid_token());
            };
            text.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.byte(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut text)?;
                }
                Some(control) => {
                    let detail = format!("Character with value 0x{control:02x} must be escaped.");
                    return Err(self.refuse(&detail));
                }
                None => return Err(self.invalid_token()),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), ExecError> {
        let Some(letter) = self.source.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return Err(self.invalid_token());
        };
        self.at += letter.len_utf8();
        text.push(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(text),
            _ => return Err(self.refuse(&format!("Escape sequence \"\\{letter}\" is invalid."))),
        });
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, ExecError> {
        let digits =
            self.source.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => {
                let digits = self.bytes().get(self.at..).unwrap_or_default();
                let good = digits.iter().take_while(|byte| byte.is_ascii_hexdigit()).count().min(3);
                let next = self.source.get(self.at + good..).and_then(|rest| rest.chars().next());
                self.at += good + next.map_or(0, char::len_utf8);
                Err(self.refuse("\"\\u\" must be followed by four hexadecimal digits."))
            }
        }
    }

    fn unicode(&mut self, text: &mut String) -> Result<(), ExecError> {
        let code = self.hex()?;
        if code == 0 {
            let refused =
                ExecError::new(ErrorKind::UntranslatableCharacter, "unsupported Unicode escape sequence");
            return Err(refused
                .with_detail("\\u0000 cannot be converted to text.")
                .with_context(self.context()));
        }
        let low_missing = "Unicode low surrogate must follow a high surrogate.";
        if (0xdc00..0xe000).contains(&code) {
            return Err(self.refuse(low_missing));
        }
        if !(0xd800..0xdc00).contains(&code) {
            text.extend(char::from_u32(code));
            return Ok(());
        }
        if self.bytes().get(self.at..self.at + 2) != Some(b"\\u") {
            return Err(self.refuse(low_missing));
        }
        self.at += 2;
        let low = self.hex()?;
        if (0xd800..0xdc00).contains(&low) {
            return Err(self.refuse("Unicode high surrogate must not follow a high surrogate."));
        }
        if !(0xdc00..0xe000).contains(&low) {
            return Err(self.refuse(low_missing));
        }
        text.extend(char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)));
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, ExecError> {
        if depth > DEPTH_MAX {
            return Err(ExecError::new(ErrorKind::TooComplex, "stack depth limit exceeded"));
        }
        let start = self.start;
        let mut end = self.at;
        let kind = match std::mem::replace(&mut self.token, Token::End) {
            Token::String(text) => Kind::String(text),
            Token::Number => Kind::Number,
            Token::True => Kind::Bool(true),
            Token::False => Kind::Bool(false),
            Token::Null => Kind::Null,
            Token::Punctuation(b'[') => {
                let elements = self.array(depth)?;
                end = self.at;
                Kind::Array(elements)
            }
            Token::Punctuation(b'{') => {
                let pairs = self.object(depth)?;
                end = self.at;
                Kind::Object(pairs)
            }
            token => {
                self.token = token;
                return Err(self.expected("JSON value"));
            }
        };
        self.advance()?;
        Ok(Node { kind, span: start..end })
    }

    /// Elements up to the closing bracket, which stays the token.
    fn array(&mut self, depth: usize) -> Result<Vec<Node>, ExecError> {
        let mut elements = Vec::new();
        self.advance()?;
        if self.token == Token::Punctuation(b']') {
            return Ok(elements);
        }
        loop {
            elements.push(self.value(depth + 1)?);
            match self.token {
                Token::Punctuation(b',') => self.advance()?,
                Token::Punctuation(b']') => return Ok(elements),
                _ => return Err(self.expected("\",\" or \"]\"")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Vec<(String, Node)>, ExecError> {
        let mut pairs = Vec::new();
        self.advance()?;
        if self.token == Token::Punctuation(b'}') {
            return Ok(pairs);
        }
        let mut wanted = "string or \"}\"";
        loop {
            let key = match std::mem::replace(&mut self.token, Token::End) {
                Token::String(key) => key,
                token => {
                    self.token = token;
                    return Err(self.expected(wanted));
                }
            };
            self.advance()?;
            if self.token != Token::Punctuation(b':') {
                return Err(self.expected("\":\""));
            }
            self.advance()?;
            pairs.push((key, self.value(depth + 1)?));
            match self.token {
                Token::Punctuation(b',') => self.advance()?,
                Token::Punctuation(b'}') => return Ok(pairs),
                _ => return Err(self.expected("\",\" or \"}\"")),
            }
            wanted = "string";
        }
    }

    fn found(&self) -> &str {
        self.source.get(self.start..self.at).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> ExecError {
        if self.start >= self.source.len() {
            return self.refuse("The input string ended unexpectedly.");
        }
        self.refuse(&format!("Expected {what}, but found \"{}\".", self.found()))
    }

    fn invalid_token(&self) -> ExecError {
        self.refuse(&format!("Token \"{}\" is invalid.", self.found()))
    }

    fn refuse(&self, detail: &str) -> ExecError {
        ExecError::new(ErrorKind::InvalidText, "invalid input syntax for type json")
            .with_detail(detail)
            .with_context(self.context())
    }

    /// Some of the line up to the token's end.
    fn context(&self) -> String {
        const SHOWN_MAX: usize = 50;
        let mut start = self.line_start;
        if self.at - start >= SHOWN_MAX {
            start = self.at - SHOWN_MAX;
            while start < self.at && !self.source.is_char_boundary(start) {
                start += 1;
            }
            // A few bytes more are shown rather than marked as left out.
            if start - self.line_start <= 3 {
                start = self.line_start;
            }
        }
        let before = if start > self.line_start { "..." } else { "" };
        let rest = self.source.get(self.at..).unwrap_or_default();
        let after = if rest.is_empty() || rest.starts_with(['\n', '\r']) { "" } else { "..." };
        let shown = self.source.get(start..self.at).unwrap_or_default();
        format!("JSON data, line {}: {before}{shown}{after}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_stand() {
        let source = " {\"a\" : [1, -2.5e3], \"b\\u00e9\": null } ";
        let Kind::Object(pairs) = parse(source).unwrap().kind else { panic!() };
        assert_eq!(pairs[0].1.text(source), "[1, -2.5e3]");
        assert_eq!((pairs[1].0.as_str(), &pairs[1].1.kind), ("bé", &Kind::Null));
    }

    #[test]
    fn refusals_say_what_is_wrong_and_where() {
        let cases = [
            ("", "The input string ended unexpectedly.", "JSON data, line 1: "),
            ("{\"a\":1", "The input string ended unexpectedly.", "JSON data, line 1: {\"a\":1"),
            ("abc", "Token \"abc\" is invalid.", "JSON data, line 1: abc"),
            ("[1,]", "Expected JSON value, but found \"]\".", "JSON data, line 1: [1,]"),
            ("{1:2}", "Expected string or \"}\", but found \"1\".", "JSON data, line 1: {1..."),
            ("{\"a\" 1}", "Expected \":\", but found \"1\".", "JSON data, line 1: {\"a\" 1..."),
            ("1 2", "Expected end of input, but found \"2\".", "JSON data, line 1: 1 2"),
            ("[\n01]", "Token \"01\" is invalid.", "JSON data, line 2: 01..."),
        ];
        for (text, detail, context) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.detail.as_deref(), Some(detail), "{text}");
            assert_eq!(error.context.as_deref(), Some(context), "{text}");
        }
        assert_eq!(parse(&"[".repeat(100_000)).unwrap_err().kind, ErrorKind::TooComplex);
    }
}
