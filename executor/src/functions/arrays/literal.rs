//! Arrays from text, as `array_in` reads them: `{1,NULL,"a b",{..}}`, with or without bounds in front.

use datafusion::common::Result;

use super::shape::{DIMENSIONS_MAX, Dimensions};
use crate::error::{ErrorKind, ExecError};

/// The elements of an array in order, and its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayText {
    /// `None` for NULL.
    pub elements: Vec<Option<String>>,
    /// The shape.
    pub dimensions: Dimensions,
}

impl ArrayText {
    /// Reads an array.
    ///
    /// # Errors
    /// 22P02 for text that is no array, 2202E for bounds that contradict themselves, 54000 for too many dimensions.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self::read(text)?)
    }

    /// The same with the error as it is.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn read(text: &str) -> Result<Self, ExecError> {
        let malformed = |detail: &str| {
            ExecError::new(ErrorKind::InvalidText, format!("malformed array literal: \"{text}\""))
                .with_detail(detail)
        };
        let mut body = text.trim_ascii();
        let mut bounds = Vec::new();
        while let Some(rest) = body.strip_prefix('[') {
            let (bound, after) =
                rest.split_once(']').ok_or_else(|| malformed("Missing \"]\" after array dimensions."))?;
            bounds.push(bound_of(bound, &malformed)?);
            body = after.trim_ascii_start();
        }
        if bounds.len() > DIMENSIONS_MAX {
            return Err(too_deep(bounds.len()));
        }
        if !bounds.is_empty() {
            let after = body.strip_prefix('=');
            body =
                after.ok_or_else(|| malformed("Missing \"=\" after array dimensions."))?.trim_ascii_start();
        }
        if !body.starts_with('{') {
            let detail = if bounds.is_empty() {
                "Array value must start with \"{\" or dimension information."
            } else {
                "Array contents must start with \"{\"."
            };
            return Err(malformed(detail));
        }
        let mut reader = Reader { rest: body, elements: Vec::new(), lengths: Vec::new() };
        reader.list(0).map_err(|refusal| match refusal {
            Refusal::Malformed(detail) => malformed(&detail),
            Refusal::TooDeep => too_deep(DIMENSIONS_MAX + 1),
        })?;
        if !reader.rest.trim_ascii().is_empty() {
            return Err(malformed("Junk after closing right brace."));
        }
        let Reader { elements, lengths, .. } = reader;
        let lengths: Vec<usize> = lengths.into_iter().map(|length| length.unwrap_or(0)).collect();
        if !bounds.is_empty() {
            if bounds.len() != lengths.len() || bounds.iter().zip(&lengths).any(|(b, length)| b.1 != *length)
            {
                return Err(malformed("Specified array dimensions do not match array contents."));
            }
        }
        let lower = bounds.iter().map(|(lower, _)| *lower).chain(std::iter::repeat(1));
        let shape = if elements.is_empty() {
            Ok(Dimensions::default())
        } else {
            Dimensions::of(lengths.into_iter().zip(lower))
        };
        let dimensions = shape.map_err(|_| too_deep(DIMENSIONS_MAX + 1))?;
        Ok(Self { elements, dimensions })
    }
}

/// Whether a text is an array that a `List` cannot hold: one with bounds, or with braces in braces.
pub fn is_multi_text(text: &str) -> bool {
    let text = text.trim_ascii();
    text.starts_with('[')
        || text.strip_prefix('{').is_some_and(|rest| rest.trim_ascii_start().starts_with('{'))
}

fn too_deep(count: usize) -> ExecError {
    ExecError::new(
        ErrorKind::LimitExceeded,
        format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
}

/// Lower bound and length of `2:4` or `3`.
fn bound_of(bound: &str, malformed: &impl Fn(&str) -> ExecError) -> Result<(i32, usize), ExecError> {
    let number = |text: &str| text.trim_ascii().parse::<i32>().ok();
    let (lower, upper) = match bound.split_once(':') {
        Some((lower, upper)) => (number(lower), number(upper)),
        None => (Some(1), number(bound)),
    };
    let (Some(lower), Some(upper)) = (lower, upper) else {
        return Err(malformed("\"[\" must introduce explicitly-specified array dimensions."));
    };
    let length = i64::from(upper) - i64::from(lower) + 1;
    match usize::try_from(length) {
        Ok(length) if length > 0 => Ok((lower, length)),
        _ => Err(ExecError::new(ErrorKind::ArraySubscript, "upper bound cannot be less than lower bound")),
    }
}

enum Refusal {
    Malformed(String),
    TooDeep,
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::Malformed(detail.into())
}

struct Reader<'a> {
    rest: &'a str,
    elements: Vec<Option<String>>,
    /// The length of each dimension, once the first list of it has ended.
    lengths: Vec<Option<usize>>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    }

    /// A list from its opening brace on; depth counts from 0.
    fn list(&mut self, depth: usize) -> Result<(), Refusal> {
        if depth >= DIMENSIONS_MAX {
            return Err(Refusal::TooDeep);
        }
        if self.lengths.len() == depth {
            // Elements stand in the innermost dimension only.
            if !self.elements.is_empty() {
                return Err(ragged());
            }
            self.lengths.push(None);
        }
        self.next();
        self.skip_blanks();
        // Only the array as a whole may be empty.
        if self.peek() == Some('}') && depth == 0 {
            self.next();
            return Ok(());
        }
        let mut length = 0;
        loop {
            self.skip_blanks();
            match self.peek() {
                Some('{') => self.list(depth + 1)?,
                Some('"') => {
                    let text = self.quoted()?;
                    self.element(depth, Some(text))?;
                }
                Some(found @ (',' | '}')) => {
                    return Err(malformed(format!("Unexpected \"{found}\" character.")));
                }
                Some(_) => {
                    let element = self.plain()?;
                    self.element(depth, element)?;
                }
                None => return Err(malformed("Unexpected end of input.")),
            }
            length += 1;
            self.skip_blanks();
            match self.next() {
                Some(',') => {}
                Some('}') => break,
                Some('{') => return Err(malformed("Unexpected \"{\" character.")),
                Some(_) => return Err(malformed("Unexpected array element.")),
                None => return Err(malformed("Unexpected end of input.")),
            }
        }
        match self.lengths.get_mut(depth) {
            Some(known @ None) => *known = Some(length),
            Some(Some(known)) if *known != length => return Err(ragged()),
            _ => {}
        }
        Ok(())
    }

    fn element(&mut self, depth: usize, element: Option<String>) -> Result<(), Refusal> {
        if depth + 1 != self.lengths.len() {
            return Err(ragged());
        }
        self.elements.push(element);
        Ok(())
    }

    fn quoted(&mut self) -> Result<String, Refusal> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.next().ok_or_else(|| malformed("Unexpected end of input."))?),
                Some(other) => text.push(other),
                None => return Err(malformed("Unexpected end of input.")),
            }
        }
    }

    /// An element without quotes: blanks at its end do not count unless they are escaped.
    fn plain(&mut self) -> Result<Option<String>, Refusal> {
        let mut text = String::new();
        let mut kept = 0;
        let mut escaped = false;
        while let Some(next) = self.peek() {
            match next {
                ',' | '}' => break,
                '{' => return Err(malformed("Unexpected \"{\" character.")),
                '"' => return Err(malformed("Unexpected array element.")),
                '\\' => {
                    self.next();
                    text.push(self.next().ok_or_else(|| malformed("Unexpected end of input."))?);
                    kept = text.len();
                    escaped = true;
                }
                other => {
                    self.next();
                    text.push(other);
                    if !matches!(other, ' ' | '\t'..='\r') {
                        kept = text.len();
                    }
                }
            }
        }
        text.truncate(kept);
        Ok((escaped || !text.eq_ignore_ascii_case("null")).then_some(text))
    }
}

fn ragged() -> Refusal {
    malformed("Multidimensional arrays must have sub-arrays with matching dimensions.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn elements_are_read_with_their_quotes_and_escapes() {
        assert_eq!(ArrayText::parse(" { } ").unwrap().elements, vec![]);
        assert_eq!(
            ArrayText::parse("{ a b , \"c,\\\"d\" ,null,\"NULL\",x\\ , \\null }").unwrap().elements,
            vec![some("a b"), some("c,\"d"), None, some("NULL"), some("x "), some("null")]
        );
    }

    #[test]
    fn shapes_are_read() {
        let read = ArrayText::parse("[0:1][1:1]={{1},{2}}").unwrap();
        assert_eq!(read.dimensions, Dimensions::of([(2, 0), (1, 1)]).unwrap());
        let read = ArrayText::parse("{{{1,2}},{{3,4}}}").unwrap();
        assert_eq!(read.dimensions, Dimensions::of([(2, 1), (1, 1), (2, 1)]).unwrap());
        assert!(is_multi_text(" { {1}}") && is_multi_text("[1:1]={1}") && !is_multi_text("{1,{2}}"));
    }

    #[test]
    fn malformed_arrays_are_refused() {
        for text in [
            "",
            "1",
            "{",
            "{1",
            "{1,}",
            "{,1}",
            "{1}}",
            "{{1},2}",
            "{1,{2}}",
            "{{}}",
            "{{1},{}}",
            "{{1},{1,2}}",
            "{{1,2},{{3}}}",
            "{\"a}",
            "{a\"b\"}",
            "{\\",
            "[1:2]{1}",
            "[1:2]={1}",
            "[1]={{1}}",
        ] {
            assert_eq!(ArrayText::read(text).unwrap_err().kind, ErrorKind::InvalidText, "{text}");
        }
        assert_eq!(ArrayText::read(&"{".repeat(100_000)).unwrap_err().kind, ErrorKind::LimitExceeded);
        assert_eq!(ArrayText::read("[2:1]={1}").unwrap_err().kind, ErrorKind::ArraySubscript);
    }
}
