//! A query string to statements, with PostgreSQL's syntax errors.

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{DescribeAlias, Ident, Statement, TableFactor, Visit, Visitor};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError, ParserOptions};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};
use quickdb_executor::error::ErrorKind;

use super::{copy_tokens, definition_tokens, own};
use crate::error::PgError;
use crate::sql::position::{byte_offset, position_of_byte};
use crate::sql::spellings::respelled;

/// Parentheses, subqueries and the like inside one another. Each level costs the parser and the planner a few stack
/// frames, which grow the stack on demand.
const NESTING_MAX: usize = 400;
/// Operators in one statement. A chain of them is a tree as deep as it is long, and dropping it recurses.
const OPERATORS_MAX: usize = 12_000;

/// One statement of a query string.
#[derive(Debug, Clone)]
pub struct ParsedStatement {
    /// What it says; spans refer to `source`.
    pub ast: Statement,
    /// The whole query string.
    pub source: Arc<str>,
    /// The statement's own text, without the semicolon.
    pub text: String,
    /// Where `text` begins in `source`, in bytes.
    pub offset: usize,
}

/// The statements of a query string; none for one of white space and comments.
///
/// # Errors
/// 42601 with PostgreSQL's words and position, 54001 for statements nested too deep.
pub fn parse(sql: &str) -> Result<Vec<ParsedStatement>, PgError> {
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql)
        .with_unescape(true)
        .tokenize_with_location()
        .map_err(|e| lexical_error(sql, &e.message, e.location))?;
    check_words(sql, &tokens)?;
    let tokens = respelled(tokens);
    let source: Arc<str> = Arc::from(sql);
    let mut statements = Vec::new();
    for run in tokens.split(|token| token.token == Token::SemiColon) {
        let Some(first) = run.iter().find(|token| !is_blank(&token.token)) else { continue };
        let last = run.iter().rfind(|token| !is_blank(&token.token)).unwrap_or(first);
        check_size(run)?;
        let start = byte_offset(sql, first.span.start.line, first.span.start.column);
        let end = byte_offset(sql, last.span.end.line, last.span.end.column);
        let ast = parse_one(sql, &dialect, run, end)?;
        let text = sql.get(start..end).unwrap_or_default().to_owned();
        statements.push(ParsedStatement { ast, source: Arc::clone(&source), text, offset: start });
    }
    Ok(statements)
}

fn parse_one(
    sql: &str,
    dialect: &PostgreSqlDialect,
    tokens: &[TokenWithSpan],
    end: usize,
) -> Result<Statement, PgError> {
    if let Some(junk) = trailing_junk(sql, tokens) {
        return Err(junk);
    }
    let begins = |keyword| {
        let first = tokens.iter().find(|token| !is_blank(&token.token));
        first.is_some_and(|token| matches!(&token.token, Token::Word(word) if word.keyword == keyword))
    };
    let (respelled, matching_header) = if begins(Keyword::COPY) {
        copy_tokens::respelled(tokens)
    } else {
        (definition_tokens::respelled(tokens.to_vec()), false)
    };
    let is_own = [Keyword::ALTER, Keyword::COMMENT, Keyword::CREATE].into_iter().any(begins);
    let parser_of = |tokens| {
        Parser::new(dialect)
            .with_options(ParserOptions::new().with_unescape(true))
            .with_recursion_limit(NESTING_MAX)
            .with_tokens_with_locations(tokens)
    };
    let mut parser = parser_of(respelled.clone());
    let own = if is_own { own::parse(&mut parser) } else { None };
    if own.is_none() {
        parser = parser_of(respelled);
    }
    let ends_here = |parser: &Parser| syntax_error(sql, parser.peek_token_ref(), end);
    let parsed = match own {
        Some(own) => own,
        None if begins(Keyword::CHECK) => parse_check_table(&mut parser),
        None => parser.parse_statement(),
    };
    let mut statement = match parsed {
        Ok(statement) => statement,
        Err(ParserError::RecursionLimitExceeded) => return Err(too_deep()),
        Err(ParserError::TokenizerError(_)) => return Err(ends_here(&parser)),
        Err(ParserError::ParserError(message)) => {
            let at = located(&message)
                .and_then(|location| tokens.iter().find(|token| token.span.start == location));
            return Err(match at {
                Some(token) => syntax_error(sql, token, end),
                None if message.contains("found: EOF") => end_of_input(sql, end),
                None => ends_here(&parser),
            });
        }
    };
    if parser.peek_token_ref().token != Token::EOF {
        return Err(ends_here(&parser));
    }
    if matching_header {
        copy_tokens::mark(&mut statement);
    }
    if let Some(ident) = reserved_word(&statement) {
        let from = byte_offset(sql, ident.span.start.line, ident.span.start.column);
        return Err(PgError::new(ErrorKind::Syntax, format!("syntax error at or near \"{}\"", ident.value))
            .at(Some(position_of_byte(sql, from))));
    }
    Ok(statement)
}

/// A number or parameter with letters right behind it.
fn trailing_junk(sql: &str, tokens: &[TokenWithSpan]) -> Option<PgError> {
    let (first, what) = tokens.array_windows().find_map(|[first, second]| {
        let touches = matches!(&second.token, Token::Word(word) if word.quote_style.is_none())
            && first.span.end == second.span.start;
        match &first.token {
            Token::Number(..) if touches => Some((first, "numeric literal")),
            Token::Placeholder(_) if touches => Some((first, "parameter")),
            _ => None,
        }
    })?;
    let from = byte_offset(sql, first.span.start.line, first.span.start.column);
    let own = byte_offset(sql, first.span.end.line, first.span.end.column);
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    let rest = sql.get(own..).unwrap_or_default();
    let to = own + rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    let text = sql.get(from..to).unwrap_or_default();
    let message = format!("trailing junk after {what} at or near \"{text}\"");
    Some(PgError::new(ErrorKind::Syntax, message).at(Some(position_of_byte(sql, from))))
}

/// `CHECK TABLE name`, which no parser knows: it travels as a DESCRIBE, which PostgreSQL does not know.
fn parse_check_table(parser: &mut Parser<'_>) -> Result<Statement, ParserError> {
    parser.expect_keyword(Keyword::CHECK)?;
    parser.expect_keyword(Keyword::TABLE)?;
    Ok(Statement::ExplainTable {
        describe_alias: DescribeAlias::Describe,
        hive_format: None,
        has_table_keyword: true,
        table_name: parser.parse_object_name(false)?,
    })
}

/// Words that PostgreSQL never takes for a name unless they are quoted, and the parser does.
const RESERVED: [&str; 58] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "not",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "some",
    "symmetric",
    "then",
    "to",
    "trailing",
    "union",
    "unique",
    "using",
    "variadic",
];

/// A reserved word that stands for a relation.
fn reserved_word(statement: &Statement) -> Option<Ident> {
    struct Names {
        found: Option<Ident>,
    }
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            let TableFactor::Table { name, .. } = factor else { return ControlFlow::Continue(()) };
            let reserved = name.0.iter().filter_map(|part| part.as_ident()).find(|ident| {
                ident.quote_style.is_none() && RESERVED.contains(&ident.value.to_lowercase().as_str())
            });
            match reserved {
                Some(ident) => {
                    self.found = Some(ident.clone());
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        }
    }
    let mut names = Names { found: None };
    let _ = statement.visit(&mut names);
    names.found
}

/// The `Line: 1, Column: 8` at the end of a parser's message.
fn located(message: &str) -> Option<Location> {
    let (_, place) = message.rsplit_once("Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some(Location::new(line.parse().ok()?, column.trim().parse().ok()?))
}

fn syntax_error(sql: &str, token: &TokenWithSpan, end: usize) -> PgError {
    if token.token == Token::EOF || token.span.start.line == 0 {
        return end_of_input(sql, end);
    }
    let from = byte_offset(sql, token.span.start.line, token.span.start.column);
    let to = byte_offset(sql, token.span.end.line, token.span.end.column);
    let text = sql
        .get(from..to)
        .filter(|text| !text.is_empty())
        .map_or_else(|| token.token.to_string(), str::to_owned);
    PgError::new(ErrorKind::Syntax, format!("syntax error at or near \"{text}\""))
        .at(Some(position_of_byte(sql, from)))
}

fn end_of_input(sql: &str, end: usize) -> PgError {
    // PostgreSQL names the semicolon where the statement has one.
    let rest = sql.get(end..).unwrap_or_default();
    let gap = rest.len() - rest.trim_start().len();
    if rest.trim_start().starts_with(';') {
        return PgError::new(ErrorKind::Syntax, "syntax error at or near \";\"")
            .at(Some(position_of_byte(sql, end + gap)));
    }
    let length = sql.trim_end_matches(char::is_whitespace).len().max(end);
    PgError::new(ErrorKind::Syntax, "syntax error at end of input").at(Some(position_of_byte(sql, length)))
}

fn lexical_error(sql: &str, message: &str, location: Location) -> PgError {
    let at = byte_offset(sql, location.line, location.column);
    let message_folded = message.to_ascii_lowercase();
    let opened = |opener: &[&str]| {
        let before = sql.get(..at).unwrap_or(sql);
        // The location is the opening quote or right after it.
        let here = sql.get(at..).unwrap_or_default();
        if opener.iter().any(|opener| here.starts_with(opener)) {
            return at;
        }
        opener.iter().filter_map(|opener| before.rfind(opener)).max().unwrap_or(at)
    };
    let (what, from) = if message_folded.contains("comment") {
        ("unterminated /* comment", opened(&["/*"]))
    } else if message_folded.contains("dollar") || message_folded.contains('$') {
        ("unterminated dollar-quoted string", dollar_tag(sql, at))
    } else if message_folded.contains("delimited")
        || message_folded.contains("identifier")
        || message_folded.contains('"')
    {
        ("unterminated quoted identifier", opened(&["\""]))
    } else if message_folded.contains("string") || message_folded.contains("literal") {
        ("unterminated quoted string", opened(&["'"]))
    } else {
        ("syntax error", at)
    };
    let near = sql.get(from..).unwrap_or_default();
    PgError::new(ErrorKind::Syntax, format!("{what} at or near \"{near}\""))
        .at(Some(position_of_byte(sql, from)))
}

/// The beginning of the last `$tag$` that begins at or before an offset.
fn dollar_tag(sql: &str, at: usize) -> usize {
    let is_tag = |text: &str| {
        text.strip_prefix('$')
            .and_then(|rest| rest.split_once('$'))
            .is_some_and(|(tag, _)| tag.chars().all(|c| c.is_alphanumeric() || c == '_'))
    };
    let starts = sql.match_indices('$').map(|(start, _)| start).filter(|start| *start <= at);
    starts.filter(|start| sql.get(*start..).is_some_and(is_tag)).last().unwrap_or(at)
}

/// Words that the tokenizer takes and PostgreSQL does not.
fn check_words(sql: &str, tokens: &[TokenWithSpan]) -> Result<(), PgError> {
    for token in tokens {
        if let Token::Word(word) = &token.token
            && word.quote_style == Some('"')
            && word.value.is_empty()
        {
            let from = byte_offset(sql, token.span.start.line, token.span.start.column);
            return Err(PgError::new(
                ErrorKind::Syntax,
                "zero-length delimited identifier at or near \"\"\"\"",
            )
            .at(Some(position_of_byte(sql, from))));
        }
    }
    Ok(())
}

fn check_size(tokens: &[TokenWithSpan]) -> Result<(), PgError> {
    let operators = tokens.iter().filter(|token| is_operator(&token.token)).count();
    if operators > OPERATORS_MAX {
        return Err(too_deep());
    }
    Ok(())
}

fn too_deep() -> PgError {
    PgError::new(ErrorKind::TooComplex, "stack depth limit exceeded")
        .hint("Write the statement with less nesting, or with IN lists instead of chains of operators.")
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none()
                && ["and", "or", "union", "not"].iter().any(|w| word.value.eq_ignore_ascii_case(w))
        }
        Token::Whitespace(_) | Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DollarQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Placeholder(_)
        | Token::LBracket
        | Token::RBracket => false,
        _ => true,
    }
}

fn is_blank(token: &Token) -> bool {
    matches!(
        token,
        Token::EOF
            | Token::Whitespace(
                Whitespace::Space
                    | Whitespace::Newline
                    | Whitespace::Tab
                    | Whitespace::SingleLineComment { .. }
                    | Whitespace::MultiLineComment(_)
            )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, message: &str, position: usize) {
        let error = parse(sql).unwrap_err();
        assert_eq!(
            (error.sqlstate.0, error.message.as_str(), error.position),
            ("42601", message, Some(position))
        );
    }

    #[test]
    fn statements_keep_their_text_and_place() {
        let statements = parse(" select 1 ; ; -- nothing\nselect ';' ;").unwrap();
        let texts: Vec<(&str, usize)> = statements.iter().map(|s| (s.text.as_str(), s.offset)).collect();
        assert_eq!(texts, [("select 1", 1), ("select ';'", 25)]);
        assert!(parse(" ; /* nothing */").unwrap().is_empty());
    }

    #[test]
    fn errors_are_where_postgresql_has_them() {
        check("selec 1", "syntax error at or near \"selec\"", 1);
        check("select 1 from from t", "syntax error at or near \"from\"", 15);
        check("select 1 +", "syntax error at end of input", 11);
        check("select 'a'; selec 1", "syntax error at or near \"selec\"", 13);
        check("select 'abc", "unterminated quoted string at or near \"'abc\"", 8);
        check("select \"abc", "unterminated quoted identifier at or near \"\"abc\"", 8);
        check("select /* abc", "unterminated /* comment at or near \"/* abc\"", 8);
        check("select $$abc", "unterminated dollar-quoted string at or near \"$$abc\"", 8);
        check("select \"\"", "zero-length delimited identifier at or near \"\"\"\"", 8);
        check("select (1;", "syntax error at or near \";\"", 10);
    }

    #[test]
    fn hostile_nesting_is_refused() {
        let nested = format!("select {}1{}", "(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(parse(&nested).unwrap_err().sqlstate.0, "54001");
        let chained = format!("select {}1", "1+".repeat(100_000));
        assert_eq!(parse(&chained).unwrap_err().sqlstate.0, "54001");
    }
}
