//! CREATE TABLE and INSERT in the spellings that PostgreSQL takes and the parser does not.
//!
//! | written | parsed as |
//! |---|---|
//! | `CREATE UNLOGGED TABLE` | `CREATE TABLE`: nothing here has a log to leave out |
//! | `CREATE TABLE t (a, b) AS ..` | `CREATE TABLE t (a text, b text) AS ..`: the types are the query's |
//! | `CREATE TABLE t (LIKE u INCLUDING ALL, ..)` | a column called [`LIKE_COLUMN`] of type `u('including', 'all')` |
//! | `CREATE TABLE t AS .. WITH NO DATA` | `CREATE TABLE t STRICT AS ..`, where the word is a mark |
//! | `CREATE TABLE t AS TABLE u`, `INSERT INTO t TABLE u` | `.. SELECT * FROM u` |
//! | `GENERATED .. AS IDENTITY (START 5 INCREMENT 2)` | the options in the parser's order |
//! | `MERGE .. THEN DO NOTHING` | `UPDATE SET` or `INSERT` of [`NOTHING_COLUMN`] |
//! | `INSERT INTO t OVERRIDING SYSTEM VALUE`, `USER` | `INSERT OR IGNORE INTO t`, `OR REPLACE`: marks |
//! | `INSERT INTO t (VALUES ..)`, `(WITH ..)`, `((..` | the same without the parentheses |

use datafusion::sql::sqlparser::ast::SqliteOnConflict;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// The name of the column that stands for a LIKE; no name that is written has this letter.
pub(crate) const LIKE_COLUMN: &str = "\u{1}like";

/// The column that `DO NOTHING` of a MERGE writes.
pub(crate) const NOTHING_COLUMN: &str = "\u{1}nothing";

/// The marks of OVERRIDING; PostgreSQL does not have what they say.
pub(crate) const OVERRIDING_SYSTEM_VALUE: SqliteOnConflict = SqliteOnConflict::Ignore;
pub(crate) const OVERRIDING_USER_VALUE: SqliteOnConflict = SqliteOnConflict::Replace;

/// The tokens of a statement in the parser's spelling.
pub(super) fn respelled(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is_insert = |token: &TokenWithSpan| is_word(&token.token, "insert");
    let begins = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let creates = begins.is_some_and(|token| is_word(&token.token, "create"));
    let alters = begins.is_some_and(|token| is_word(&token.token, "alter"));
    let merges = tokens.iter().any(|token| is_word(&token.token, "merge"));
    if !creates && !alters && !merges && !tokens.iter().any(is_insert) {
        return tokens;
    }
    let solid: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    match (creates, alters) {
        (true, _) => identities(creation(solid)),
        (_, true) => identities(solid),
        _ if merges => merging(solid),
        _ => insertion(solid),
    }
}

fn is_word(token: &Token, text: &str) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text))
}

/// Tokens by place, and what becomes of them.
struct Edit {
    tokens: Vec<TokenWithSpan>,
    /// Tokens for the places of the old ones.
    replaced: Vec<Option<Vec<Token>>>,
}

impl Edit {
    fn of(tokens: Vec<TokenWithSpan>) -> Self {
        let replaced = vec![None; tokens.len()];
        Self { tokens, replaced }
    }

    fn at(&self, place: usize) -> Option<&Token> {
        self.tokens.get(place).map(|token| &token.token)
    }

    fn word(&self, place: usize, text: &str) -> bool {
        self.at(place).is_some_and(|token| is_word(token, text))
    }

    fn words(&self, place: usize, texts: &[&str]) -> bool {
        texts.iter().enumerate().all(|(offset, text)| self.word(place + offset, text))
    }

    fn becomes(&mut self, place: usize, tokens: Vec<Token>) {
        if let Some(slot) = self.replaced.get_mut(place) {
            *slot = Some(tokens);
        }
    }

    /// Puts tokens in front of the one at a place.
    fn precede(&mut self, place: usize, mut before: Vec<Token>) {
        before.extend(self.at(place).cloned());
        self.becomes(place, before);
    }

    /// The place behind a name that may have dots.
    fn after_name(&self, mut place: usize) -> Option<usize> {
        loop {
            if !matches!(self.at(place), Some(Token::Word(_))) {
                return None;
            }
            place += 1;
            if self.at(place) != Some(&Token::Period) {
                return Some(place);
            }
            place += 1;
        }
    }

    /// The place of the parenthesis that closes the one at `opened`.
    fn closing(&self, opened: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for place in opened..self.tokens.len() {
            match self.at(place) {
                Some(Token::LParen) => depth += 1,
                Some(Token::RParen) => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(place);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The first place from `place` on that has the word and is in no parentheses.
    fn outside(&self, mut place: usize, text: &str) -> Option<usize> {
        while place < self.tokens.len() {
            if self.at(place) == Some(&Token::LParen) {
                place = self.closing(place)?;
            } else if self.word(place, text) {
                return Some(place);
            }
            place += 1;
        }
        None
    }

    fn done(self) -> Vec<TokenWithSpan> {
        let edited = self.tokens.into_iter().zip(self.replaced);
        let edited = edited.flat_map(|(token, replaced)| match replaced {
            None => vec![token],
            Some(tokens) => {
                tokens.into_iter().map(|new| TokenWithSpan { token: new, span: token.span }).collect()
            }
        });
        edited.collect()
    }
}

fn select_all() -> Vec<Token> {
    vec![Token::make_keyword("SELECT"), Token::Mul, Token::make_keyword("FROM")]
}

fn quoted(word: &Word) -> Token {
    let value = if word.quote_style.is_none() { word.value.to_lowercase() } else { word.value.clone() };
    Token::Word(Word { value, quote_style: Some('"'), keyword: Keyword::NoKeyword })
}

fn creation(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut edit = Edit::of(tokens);
    let mut place = 1;
    if edit.words(place, &["unlogged", "table"]) {
        edit.becomes(place, Vec::new());
        place += 1;
    }
    while ["global", "local", "temp", "temporary"].iter().any(|word| edit.word(place, word)) {
        place += 1;
    }
    if !edit.word(place, "table") {
        return edit.done();
    }
    place += 1;
    if edit.words(place, &["if", "not", "exists"]) {
        place += 3;
    }
    let Some(after_name) = edit.after_name(place) else { return edit.done() };
    let listed = (edit.at(after_name) == Some(&Token::LParen)).then(|| edit.closing(after_name)).flatten();
    match edit.outside(after_name, "as") {
        Some(query) => {
            if let Some(closed) = listed {
                typed_names(&mut edit, after_name, closed);
            }
            if edit.word(query + 1, "table") && matches!(edit.at(query + 2), Some(Token::Word(_))) {
                edit.becomes(query + 1, select_all());
            }
            without_data(&mut edit, query);
        }
        None => {
            if let Some(closed) = listed {
                likes(&mut edit, after_name, closed);
            }
        }
    }
    edit.done()
}

/// Puts the options of identity columns into the order in which the parser takes them.
fn identities(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    const ORDER: [&str; 6] = ["increment", "minvalue", "maxvalue", "start", "cache", "cycle"];
    let mut edit = Edit::of(tokens);
    for place in 0..edit.tokens.len() {
        if !edit.words(place, &["as", "identity"]) || edit.at(place + 2) != Some(&Token::LParen) {
            continue;
        }
        let opened = place + 2;
        let Some(closed) = edit.closing(opened) else { continue };
        // Each option with its rank, from its first word on.
        let mut options: Vec<(usize, Vec<Token>)> = Vec::new();
        let mut denied = false;
        for at in opened + 1..closed {
            let Some(token) = edit.at(at).cloned() else { continue };
            if is_word(&token, "no") {
                options.push((ORDER.len(), vec![token]));
                denied = true;
                continue;
            }
            match ORDER.iter().position(|word| is_word(&token, word)) {
                Some(rank) if denied => {
                    if let Some(last) = options.last_mut() {
                        last.0 = rank;
                        last.1.push(token);
                    }
                }
                Some(rank) => options.push((rank, vec![token])),
                None => match options.last_mut() {
                    Some(last) => last.1.push(token),
                    None => options.push((0, vec![token])),
                },
            }
            denied = false;
        }
        options.sort_by_key(|(rank, _)| *rank);
        for at in opened + 1..closed {
            edit.becomes(at, Vec::new());
        }
        if closed > opened + 1 {
            edit.becomes(opened + 1, options.into_iter().flat_map(|(_, tokens)| tokens).collect());
        }
    }
    edit.done()
}

/// Gives types to a list of bare names.
fn typed_names(edit: &mut Edit, opened: usize, closed: usize) {
    let bare = (opened + 1..closed).all(|place| match (place - opened) % 2 {
        1 => matches!(edit.at(place), Some(Token::Word(_))),
        _ => edit.at(place) == Some(&Token::Comma),
    });
    if bare {
        for place in (opened + 1..closed).step_by(2) {
            let name = edit.at(place).cloned();
            edit.becomes(place, name.into_iter().chain([Token::make_keyword("TEXT")]).collect());
        }
    }
}

/// Takes `WITH [NO] DATA` off the end.
fn without_data(edit: &mut Edit, query: usize) {
    let length = edit.tokens.len();
    let none = length >= 3 && edit.words(length - 3, &["with", "no", "data"]);
    let begin = match length {
        _ if none => length - 3,
        2.. if edit.words(length - 2, &["with", "data"]) => length - 2,
        _ => return,
    };
    for place in begin..length {
        edit.becomes(place, Vec::new());
    }
    if none {
        edit.precede(query, vec![Token::make_keyword("STRICT")]);
    }
}

/// Makes columns of the LIKEs of a list.
fn likes(edit: &mut Edit, opened: usize, closed: usize) {
    let mut place = opened + 1;
    while place < closed {
        let begins = matches!(edit.at(place - 1), Some(Token::Comma | Token::LParen));
        if begins
            && edit.word(place, "like")
            && let Some(mut after) = edit.after_name(place + 1)
        {
            let mut column = vec![Token::Word(Word {
                value: LIKE_COLUMN.to_owned(),
                quote_style: Some('"'),
                keyword: Keyword::NoKeyword,
            })];
            for part in place + 1..after {
                match edit.at(part) {
                    Some(Token::Word(word)) => column.push(quoted(word)),
                    other => column.extend(other.cloned()),
                }
            }
            let mut options = Vec::new();
            while let (Some(Token::Word(how)), Some(Token::Word(what))) = (edit.at(after), edit.at(after + 1))
            {
                options.extend([&how.value, &what.value].map(|word| Token::SingleQuotedString(word.clone())));
                after += 2;
            }
            if !options.is_empty() {
                column.push(Token::LParen);
                column.extend(options);
                column.push(Token::RParen);
            }
            edit.becomes(place, column);
            for part in place + 1..after {
                edit.becomes(part, Vec::new());
            }
            place = after;
            continue;
        }
        // What is in parentheses belongs to the column before.
        if edit.at(place) == Some(&Token::LParen) {
            place = edit.closing(place).unwrap_or(closed);
        }
        place += 1;
    }
}

/// Gives DO NOTHING of a MERGE a form that the parser takes.
fn merging(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mark = || {
        Token::Word(Word {
            value: NOTHING_COLUMN.to_owned(),
            quote_style: Some('"'),
            keyword: Keyword::NoKeyword,
        })
    };
    let one = || Token::Number("1".to_owned(), false);
    let mut edit = Edit::of(tokens);
    let mut not_matched = false;
    for place in 0..edit.tokens.len() {
        if edit.word(place, "matched") {
            not_matched = place > 0 && edit.word(place - 1, "not");
        }
        if edit.words(place, &["then", "do", "nothing"]) {
            let keyword = Token::make_keyword;
            let action = if not_matched {
                let mut action = vec![keyword("INSERT"), Token::LParen, mark(), Token::RParen];
                action.extend([keyword("VALUES"), Token::LParen, one(), Token::RParen]);
                action
            } else {
                vec![keyword("UPDATE"), keyword("SET"), mark(), Token::Eq, one()]
            };
            edit.becomes(place + 1, action);
            edit.becomes(place + 2, Vec::new());
        }
    }
    edit.done()
}

fn insertion(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut edit = Edit::of(tokens);
    for begin in 0..edit.tokens.len() {
        if !edit.words(begin, &["insert", "into"]) {
            continue;
        }
        let Some(mut place) = edit.after_name(begin + 2) else { continue };
        if edit.word(place, "as") {
            place += 2;
        }
        let is_query = |token: Option<&Token>| {
            token == Some(&Token::LParen)
                || ["values", "with", "table"]
                    .iter()
                    .any(|word| token.is_some_and(|token| is_word(token, word)))
        };
        if edit.at(place) == Some(&Token::LParen) && is_query(edit.at(place + 1)) {
            let Some(closed) = edit.closing(place) else { continue };
            let ends = matches!(edit.at(closed + 1), None | Some(Token::RParen))
                || edit.word(closed + 1, "returning")
                || edit.word(closed + 1, "on");
            if ends {
                edit.becomes(place, Vec::new());
                edit.becomes(closed, Vec::new());
                place += 1;
            }
        } else if edit.at(place) == Some(&Token::LParen)
            && let Some(closed) = edit.closing(place)
        {
            place = closed + 1;
        }
        for (who, mark) in [("system", "IGNORE"), ("user", "REPLACE")] {
            if edit.words(place, &["overriding", who, "value"]) {
                for word in place..place + 3 {
                    edit.becomes(word, Vec::new());
                }
                edit.precede(begin + 1, vec![Token::make_keyword("OR"), Token::make_keyword(mark)]);
                place += 3;
            }
        }
        if edit.word(place, "table") && matches!(edit.at(place + 1), Some(Token::Word(_))) {
            edit.becomes(place, select_all());
        }
    }
    edit.done()
}

#[cfg(test)]
mod tests {
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        assert_eq!(parse(sql).unwrap().remove(0).ast.to_string(), expected);
    }

    #[test]
    fn tables_of_queries() {
        check("CREATE TABLE t (a, b) AS SELECT 1, 2", "CREATE TABLE t (a TEXT, b TEXT) AS SELECT 1, 2");
        check("CREATE TEMP TABLE t AS TABLE u", "CREATE TEMPORARY TABLE t AS SELECT * FROM u");
        check("CREATE TABLE t AS (SELECT 1) WITH DATA", "CREATE TABLE t AS (SELECT 1)");
        check("CREATE TABLE t AS VALUES (1) WITH NO DATA", "CREATE TABLE t STRICT AS VALUES (1)");
        check("CREATE UNLOGGED TABLE t (a INT)", "CREATE TABLE t (a INT)");
    }

    #[test]
    fn likes_are_columns() {
        check(
            "CREATE TABLE t (a INT DEFAULT (f(1, 2)), LIKE s.\"U\" INCLUDING ALL EXCLUDING indexes, b INT)",
            "CREATE TABLE t (a INT DEFAULT (f(1, 2)), \"\u{1}like\" \"s\".\"U\"(INCLUDING, ALL, EXCLUDING, indexes), b INT)",
        );
        check("CREATE TABLE t (LIKE Text)", "CREATE TABLE t (\"\u{1}like\" \"text\")");
    }

    #[test]
    fn identity_options_in_any_order() {
        check(
            "CREATE TABLE t (a INT GENERATED ALWAYS AS IDENTITY (CACHE 5 NO MAXVALUE START WITH 3 INCREMENT -2))",
            "CREATE TABLE t (a INT GENERATED ALWAYS AS IDENTITY ( INCREMENT -2 NO MAXVALUE START WITH 3 CACHE 5 ))",
        );
    }

    #[test]
    fn sources_of_inserts() {
        check("INSERT INTO t (VALUES (1), (2))", "INSERT INTO t VALUES (1), (2)");
        check("INSERT INTO t (a) TABLE u", "INSERT INTO t (a) SELECT * FROM u");
        check(
            "INSERT INTO t (WITH q AS (SELECT 1) SELECT * FROM q) RETURNING a",
            "INSERT INTO t WITH q AS (SELECT 1) SELECT * FROM q RETURNING a",
        );
    }
}
