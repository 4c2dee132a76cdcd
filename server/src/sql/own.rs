//! Statements that the parser does not know, or not in all of PostgreSQL's forms.
//!
//! Their syntax is checked when a query string is parsed; the tree that travels is a PRAGMA, which PostgreSQL does not
//! know, and [`parse_own`] reads the statement's text again when it is run.

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;
use quickdb_executor::error::ErrorKind;

use super::ParsedStatement;
use crate::error::PgError;

/// What the PRAGMA is called.
const MARK: &str = "\u{1}own";

/// What ALTER and COMMENT name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    Table,
    View,
    Sequence,
    Index,
    Schema,
}

/// A statement that is parsed here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OwnStatement {
    CreateSequence { temporary: bool, if_not_exists: bool, name: ObjectName, options: SequenceChanges },
    AlterSequence { if_exists: bool, name: ObjectName, options: SequenceChanges },
    Alter { kind: ObjectKind, if_exists: bool, name: ObjectName, action: Action },
    CommentOnConstraint { constraint: Ident, table: ObjectName, comment: Option<String> },
    CommentOnRelation { kind: ObjectKind, name: ObjectName, comment: Option<String> },
}

/// What ALTER does to anything with a name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    RenameTo(Ident),
    RenameColumn(Ident, Ident),
    SetSchema(Ident),
    OwnerTo(Ident),
}

/// The options of CREATE and ALTER SEQUENCE that were given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SequenceChanges {
    pub(crate) data_type: Option<String>,
    pub(crate) increment: Option<i64>,
    /// `Some(None)` is NO MINVALUE.
    pub(crate) min: Option<Option<i64>>,
    pub(crate) max: Option<Option<i64>>,
    pub(crate) start: Option<i64>,
    /// `Some(None)` is RESTART at the start.
    pub(crate) restart: Option<Option<i64>>,
    pub(crate) cache: Option<i64>,
    pub(crate) cycle: Option<bool>,
    /// `Some(None)` is OWNED BY NONE.
    pub(crate) owned_by: Option<Option<ObjectName>>,
}

/// Parses a statement that is one of these; `None` for any other, of which some tokens have been read then.
pub(super) fn parse(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    match statement(parser) {
        Ok(None) => None,
        Ok(Some(_)) => Some(Ok(Statement::Pragma {
            name: ObjectName::from(vec![Ident::new(MARK)]),
            value: None,
            is_eq: false,
        })),
        Err(error) => Some(Err(error)),
    }
}

/// Whether a tree stands for one of these.
pub(crate) fn is_own(statement: &Statement) -> bool {
    matches!(statement, Statement::Pragma { name, .. } if name.0.first().and_then(|part| part.as_ident()).is_some_and(|name| name.value == MARK))
}

/// Reads a statement for which [`is_own`] holds.
///
/// # Errors
/// XX000: it was parsed before.
pub(crate) fn parse_own(parsed: &ParsedStatement) -> Result<OwnStatement, PgError> {
    let dialect = PostgreSqlDialect {};
    let read = Parser::new(&dialect).try_with_sql(&parsed.text).and_then(|mut parser| statement(&mut parser));
    match read {
        Ok(Some(own)) => Ok(own),
        other => {
            Err(PgError::new(ErrorKind::Internal, format!("a statement reads otherwise now: {other:?}")))
        }
    }
}

fn statement(parser: &mut Parser<'_>) -> Result<Option<OwnStatement>, ParserError> {
    match parser.next_token().token {
        Token::Word(word) if word.keyword == Keyword::CREATE => {
            let temporary = parser.parse_one_of_keywords(&[Keyword::TEMP, Keyword::TEMPORARY]).is_some();
            if !parser.parse_keyword(Keyword::SEQUENCE) {
                return Ok(None);
            }
            let if_not_exists = parser.parse_keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
            let name = parser.parse_object_name(false)?;
            let options = sequence_options(parser, false)?;
            Ok(Some(OwnStatement::CreateSequence { temporary, if_not_exists, name, options }))
        }
        Token::Word(word) if word.keyword == Keyword::ALTER => alter(parser),
        Token::Word(word) if word.keyword == Keyword::COMMENT => comment(parser),
        _ => Ok(None),
    }
}

fn alter(parser: &mut Parser<'_>) -> Result<Option<OwnStatement>, ParserError> {
    let kinds = [
        (Keyword::TABLE, ObjectKind::Table),
        (Keyword::VIEW, ObjectKind::View),
        (Keyword::SEQUENCE, ObjectKind::Sequence),
        (Keyword::INDEX, ObjectKind::Index),
        (Keyword::SCHEMA, ObjectKind::Schema),
    ];
    let Some((_, kind)) = kinds.into_iter().find(|(keyword, _)| parser.parse_keyword(*keyword)) else {
        return Ok(None);
    };
    let if_exists = parser.parse_keywords(&[Keyword::IF, Keyword::EXISTS]);
    let name = parser.parse_object_name(false)?;
    let action = if parser.parse_keywords(&[Keyword::RENAME, Keyword::TO]) {
        Action::RenameTo(parser.parse_identifier()?)
    } else if kind == ObjectKind::View && parser.parse_keyword(Keyword::RENAME) {
        let _ = parser.parse_keyword(Keyword::COLUMN);
        let old = parser.parse_identifier()?;
        parser.expect_keyword(Keyword::TO)?;
        Action::RenameColumn(old, parser.parse_identifier()?)
    } else if parser.parse_keywords(&[Keyword::SET, Keyword::SCHEMA]) {
        Action::SetSchema(parser.parse_identifier()?)
    } else if parser.parse_keywords(&[Keyword::OWNER, Keyword::TO]) {
        Action::OwnerTo(parser.parse_identifier()?)
    } else if kind == ObjectKind::Sequence {
        let options = sequence_options(parser, true)?;
        return Ok(Some(OwnStatement::AlterSequence { if_exists, name, options }));
    } else {
        return Ok(None);
    };
    // Several actions at once are the parser's.
    if parser.peek_token_ref().token == Token::Comma {
        return Ok(None);
    }
    Ok(Some(OwnStatement::Alter { kind, if_exists, name, action }))
}

fn comment(parser: &mut Parser<'_>) -> Result<Option<OwnStatement>, ParserError> {
    if !parser.parse_keyword(Keyword::ON) {
        return Ok(None);
    }
    if parser.parse_keyword(Keyword::CONSTRAINT) {
        let constraint = parser.parse_identifier()?;
        parser.expect_keyword(Keyword::ON)?;
        let table = parser.parse_object_name(false)?;
        let comment = comment_text(parser)?;
        return Ok(Some(OwnStatement::CommentOnConstraint { constraint, table, comment }));
    }
    let kind = match parser.parse_one_of_keywords(&[Keyword::INDEX, Keyword::SEQUENCE]) {
        Some(Keyword::INDEX) => ObjectKind::Index,
        Some(_) => ObjectKind::Sequence,
        None => return Ok(None),
    };
    let name = parser.parse_object_name(false)?;
    let comment = comment_text(parser)?;
    Ok(Some(OwnStatement::CommentOnRelation { kind, name, comment }))
}

fn comment_text(parser: &mut Parser<'_>) -> Result<Option<String>, ParserError> {
    parser.expect_keyword(Keyword::IS)?;
    if parser.parse_keyword(Keyword::NULL) {
        return Ok(None);
    }
    parser.parse_literal_string().map(Some)
}

fn sequence_options(parser: &mut Parser<'_>, alters: bool) -> Result<SequenceChanges, ParserError> {
    let mut changes = SequenceChanges::default();
    loop {
        if parser.parse_keyword(Keyword::AS) {
            changes.data_type = Some(parser.parse_data_type()?.to_string());
        } else if parser.parse_keyword(Keyword::INCREMENT) {
            let _ = parser.parse_keyword(Keyword::BY);
            changes.increment = Some(number(parser)?);
        } else if parser.parse_keyword(Keyword::MINVALUE) {
            changes.min = Some(Some(number(parser)?));
        } else if parser.parse_keyword(Keyword::MAXVALUE) {
            changes.max = Some(Some(number(parser)?));
        } else if parser.parse_keywords(&[Keyword::NO, Keyword::MINVALUE]) {
            changes.min = Some(None);
        } else if parser.parse_keywords(&[Keyword::NO, Keyword::MAXVALUE]) {
            changes.max = Some(None);
        } else if parser.parse_keywords(&[Keyword::NO, Keyword::CYCLE]) {
            changes.cycle = Some(false);
        } else if parser.parse_keyword(Keyword::CYCLE) {
            changes.cycle = Some(true);
        } else if parser.parse_keyword(Keyword::START) {
            let _ = parser.parse_keyword(Keyword::WITH);
            changes.start = Some(number(parser)?);
        } else if alters && parser.parse_keyword(Keyword::RESTART) {
            let given = parser.parse_keyword(Keyword::WITH)
                || matches!(parser.peek_token_ref().token, Token::Number(..) | Token::Minus);
            changes.restart = Some(if given { Some(number(parser)?) } else { None });
        } else if parser.parse_keyword(Keyword::CACHE) {
            changes.cache = Some(number(parser)?);
        } else if parser.parse_keywords(&[Keyword::OWNED, Keyword::BY]) {
            let none = parser.parse_keyword(Keyword::NONE);
            changes.owned_by = Some(if none { None } else { Some(parser.parse_object_name(false)?) });
        } else {
            return Ok(changes);
        }
    }
}

fn number(parser: &mut Parser<'_>) -> Result<i64, ParserError> {
    let negative = parser.consume_token(&Token::Minus);
    let token = parser.next_token();
    let Token::Number(digits, _) = &token.token else { return parser.expected("a number", token) };
    let text = if negative { format!("-{digits}") } else { digits.clone() };
    text.parse().or_else(|_| parser.expected("a number", token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(sql: &str) -> OwnStatement {
        let parsed = crate::sql::parse(sql).unwrap().remove(0);
        assert!(is_own(&parsed.ast), "{sql}");
        parse_own(&parsed).unwrap()
    }

    #[test]
    fn options_come_in_any_order() {
        let statement = own("CREATE SEQUENCE s CACHE 5 NO MAXVALUE MINVALUE -3 INCREMENT -1 OWNED BY t.a");
        let OwnStatement::CreateSequence { options, .. } = statement else { panic!("{statement:?}") };
        assert_eq!(
            (options.cache, options.max, options.min, options.increment),
            (Some(5), Some(None), Some(Some(-3)), Some(-1))
        );
        assert!(options.owned_by.unwrap().is_some());
    }

    #[test]
    fn others_are_left_to_the_parser() {
        for sql in ["ALTER TABLE t ADD COLUMN a int", "COMMENT ON TABLE t IS 'x'", "CREATE TABLE t (a int)"] {
            assert!(!is_own(&crate::sql::parse(sql).unwrap().remove(0).ast), "{sql}");
        }
        assert_eq!(crate::sql::parse("ALTER SEQUENCE s RESTART WITH x").unwrap_err().position, Some(31));
    }
}
