//! The options of COPY in the spellings that PostgreSQL takes and the parser does not.
//!
//! ```text
//!  HEADER on, FORMAT 'csv', FORCE_QUOTE *, ENCODING utf8  ─▶  HEADER true, FORMAT csv, FORCE_QUOTE ("*"), ENCODING 'utf8'
//! ```
//!
//! `HEADER match` has no place in the parser's tree: it travels as [`MATCHING_HEADER`].

use datafusion::sql::sqlparser::ast::{CopyLegacyOption, Statement};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// What stands in a COPY statement's tree for `HEADER match`. Of all options that the parser knows and PostgreSQL does
/// not, it is the one nearest in meaning.
pub(crate) const MATCHING_HEADER: CopyLegacyOption = CopyLegacyOption::IgnoreHeader(0);

/// The tokens of a COPY statement in the parser's spelling, and whether its header has to match.
pub(super) fn respelled(tokens: &[TokenWithSpan]) -> (Vec<TokenWithSpan>, bool) {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut matching = false;
    let solid: Vec<&TokenWithSpan> =
        tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let mut in_options = false;
    let mut at = 0;
    while let Some(token) = solid.get(at) {
        at += 1;
        // The list of options is the one behind the target; that of columns is in front of it.
        in_options |= ["stdin", "stdout"].iter().any(|target| is_word(&token.token, target));
        let Some(argument) = solid.get(at).filter(|_| in_options) else {
            out.push((*token).clone());
            continue;
        };
        let option = match &token.token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_lowercase(),
            _ => String::new(),
        };
        let replaced = match (option.as_str(), text_of(&argument.token)) {
            ("header", Some(text)) if text.eq_ignore_ascii_case("match") => {
                matching = true;
                Some(vec![])
            }
            ("header" | "freeze", Some(text)) => match text.to_ascii_lowercase().as_str() {
                "true" | "on" | "1" => Some(vec![word("true", Keyword::TRUE)]),
                "false" | "off" | "0" => Some(vec![word("false", Keyword::FALSE)]),
                _ => None,
            },
            ("format", Some(text)) if matches!(argument.token, Token::SingleQuotedString(_)) => {
                Some(vec![word(&text, Keyword::NoKeyword)])
            }
            ("encoding", Some(text)) => Some(vec![Token::SingleQuotedString(text)]),
            ("force_quote" | "force_not_null" | "force_null", None) if argument.token == Token::Mul => {
                Some(vec![Token::LParen, word("*", Keyword::NoKeyword), Token::RParen])
            }
            _ => None,
        };
        out.push((*token).clone());
        if let Some(replacement) = replaced {
            at += 1;
            out.extend(replacement.into_iter().map(|token| TokenWithSpan { token, span: argument.span }));
        }
    }
    (out, matching)
}

/// Notes in the tree that the header has to match.
pub(super) fn mark(statement: &mut Statement) {
    if let Statement::Copy { legacy_options, .. } = statement {
        legacy_options.push(MATCHING_HEADER);
    }
}

fn is_word(token: &Token, word: &str) -> bool {
    matches!(token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

fn word(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}

fn text_of(token: &Token) -> Option<String> {
    match token {
        Token::Word(word) => Some(word.value.clone()),
        Token::SingleQuotedString(text) | Token::Number(text, false) => Some(text.clone()),
        _ => None,
    }
}
