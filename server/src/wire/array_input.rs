//! Arrays from text, as `array_in` reads them, into a tree of elements.

use super::input_error::InputError;

/// PostgreSQL's `MAXDIM`.
pub(super) const DIMENSIONS_MAX: usize = 6;

/// An element, or a dimension of elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArrayNode {
    Null,
    Text(String),
    List(Vec<ArrayNode>),
}

/// Reads `{1,NULL,"a b",{..}}`, with or without bounds in front (`[1:3]={..}`, which are dropped).
pub(super) fn parse_array(text: &str) -> Result<Vec<ArrayNode>, InputError> {
    let malformed = |detail: &str| {
        InputError::new("22P02", format!("malformed array literal: \"{text}\"")).with_detail(detail)
    };
    let mut body = text.trim_ascii();
    if body.starts_with('[') {
        let (_, after) =
            body.split_once('=').ok_or_else(|| malformed("Missing \"=\" after array dimensions."))?;
        body = after.trim_ascii_start();
    }
    if !body.starts_with('{') {
        return Err(malformed("Array value must start with \"{\" or dimension information."));
    }
    let mut reader = Reader { rest: body };
    let root = reader.list(1).map_err(|refusal| match refusal {
        Refusal::Malformed(detail) => malformed(&detail),
        Refusal::TooDeep => too_many_dimensions(DIMENSIONS_MAX + 1),
    })?;
    if !reader.rest.trim_ascii().is_empty() {
        return Err(malformed("Junk after closing right brace."));
    }
    if !is_rectangular(&root) {
        return Err(malformed("Multidimensional arrays must have sub-arrays with matching dimensions."));
    }
    Ok(root)
}

/// 54000 for more dimensions than PostgreSQL has.
pub(super) fn too_many_dimensions(count: usize) -> InputError {
    InputError::new(
        "54000",
        format!("number of array dimensions ({count}) exceeds the maximum allowed ({DIMENSIONS_MAX})"),
    )
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

    /// A list from its opening brace on; depth counts from 1.
    fn list(&mut self, depth: usize) -> Result<Vec<ArrayNode>, Refusal> {
        if depth > DIMENSIONS_MAX {
            return Err(Refusal::TooDeep);
        }
        self.next();
        let mut nodes = Vec::new();
        self.skip_blanks();
        // Only the array as a whole may be empty.
        if self.peek() == Some('}') && depth == 1 {
            self.next();
            return Ok(nodes);
        }
        loop {
            self.skip_blanks();
            let node = match self.peek() {
                Some('{') => ArrayNode::List(self.list(depth + 1)?),
                Some('"') => self.quoted()?,
                Some(found @ (',' | '}')) => {
                    return Err(malformed(format!("Unexpected \"{found}\" character.")));
                }
                Some(_) => self.plain()?,
                None => return Err(malformed("Unexpected end of input.")),
            };
            nodes.push(node);
            self.skip_blanks();
            match self.next() {
                Some(',') => {}
                Some('}') => return Ok(nodes),
                Some('{') => return Err(malformed("Unexpected \"{\" character.")),
                Some(_) => return Err(malformed("Unexpected array element.")),
                None => return Err(malformed("Unexpected end of input.")),
            }
        }
    }

    fn quoted(&mut self) -> Result<ArrayNode, Refusal> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(ArrayNode::Text(text)),
                Some('\\') => text.push(self.next().ok_or_else(|| malformed("Unexpected end of input."))?),
                Some(other) => text.push(other),
                None => return Err(malformed("Unexpected end of input.")),
            }
        }
    }

    /// An element without quotes: blanks at its end do not count unless they are escaped.
    fn plain(&mut self) -> Result<ArrayNode, Refusal> {
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
        if !escaped && text.eq_ignore_ascii_case("null") {
            return Ok(ArrayNode::Null);
        }
        Ok(ArrayNode::Text(text))
    }
}

/// The lengths of all dimensions along the first elements; `None` where other elements have others.
fn dimensions(nodes: &[ArrayNode]) -> Option<Vec<usize>> {
    let mut lens = vec![nodes.len()];
    let inner = |node: &ArrayNode| match node {
        ArrayNode::List(inner) => dimensions(inner),
        _ => Some(Vec::new()),
    };
    let Some(first) = nodes.first() else { return Some(lens) };
    let first = inner(first)?;
    if nodes.iter().skip(1).any(|node| inner(node).as_ref() != Some(&first)) {
        return None;
    }
    lens.extend(first);
    Some(lens)
}

fn is_rectangular(nodes: &[ArrayNode]) -> bool {
    dimensions(nodes).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> ArrayNode {
        ArrayNode::Text(text.to_owned())
    }

    #[test]
    fn elements_are_read_with_their_quotes_and_escapes() {
        assert_eq!(parse_array(" { } ").unwrap(), vec![]);
        assert_eq!(
            parse_array("{ a b , \"c,\\\"d\" ,null,\"NULL\",x\\ , \\null }").unwrap(),
            vec![text("a b"), text("c,\"d"), ArrayNode::Null, text("NULL"), text("x "), text("null")]
        );
        assert_eq!(
            parse_array("[0:1][1:1]={{1},{2}}").unwrap(),
            vec![ArrayNode::List(vec![text("1")]), ArrayNode::List(vec![text("2")])]
        );
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
            "{{}}",
            "{{1},{}}",
            "{{1},{1,2}}",
            "{\"a}",
            "{a\"b\"}",
            "{\\",
            "[1:2]{1}",
        ] {
            assert_eq!(parse_array(text).unwrap_err().sqlstate, "22P02", "{text}");
        }
        assert_eq!(parse_array(&"{".repeat(100_000)).unwrap_err().sqlstate, "54000");
    }
}
