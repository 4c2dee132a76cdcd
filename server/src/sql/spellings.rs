//! Spellings of PostgreSQL that the parser does not know, as ones that it does.
//!
//! | written | parsed as |
//! |---|---|
//! | `ORDER BY x USING <`, `USING >` | `ORDER BY x ASC`, `DESC` |
//! | `x IN ((SELECT ..), y)` | `x IN (+(SELECT ..), y)` |
//! | `x BETWEEN SYMMETRIC a AND b` | `x BETWEEN !!a AND b`, where the sign is a mark |
//! | `.. EXCLUDE NO OTHERS` of a window's frame | nothing, which means the same |
//! | `OVER (.. EXCLUDE TIES)`, `GROUP`, `CURRENT ROW` | `OVER (PARTITION BY frame_excludes('ties') ..)` |
//! | `ROLLUP ((a)::int, b)`, of grouping sets too | `ROLLUP (((a)::int), b)` |
//! | `TABLE t` for a query | `SELECT * FROM t` |
//! | `RESET TIME ZONE` | `RESET TimeZone` |
//! | `(record).*` | `(record).field`, where the field's name is a mark |
//! | `FROM person*` | `FROM person`: there are no descendants |

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use quickdb_executor::functions::excluding::MARK;

/// Stands for all fields of a record; no client sends the character.
pub(super) const ALL_FIELDS: &str = "\u{2}*";

/// The tokens in the parser's spelling.
pub(super) fn respelled(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // Where the tokens are that are not blank.
    let solid: Vec<usize> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(index, _)| index)
        .collect();
    let at = |place: usize| solid.get(place).and_then(|index| tokens.get(*index)).map(|token| &token.token);
    let word = |place: usize, text: &str| matches!(at(place), Some(Token::Word(word)) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(text));
    let mut changes: Vec<(usize, Change)> = Vec::new();
    for place in 0..solid.len() {
        let Some(index) = solid.get(place).copied() else { continue };
        let next = solid.get(place + 1).copied();
        if word(place, "using")
            && let (Some(sign @ (Token::Lt | Token::Gt)), Some(next)) = (at(place + 1), next)
        {
            let order = if *sign == Token::Lt { "ASC" } else { "DESC" };
            changes.push((index, Change::Becomes(Token::make_keyword(order))));
            changes.push((next, Change::Goes));
        } else if word(place, "table")
            && matches!(at(place + 1), Some(Token::Word(_)))
            && (place == 0
                || at(place - 1) == Some(&Token::SemiColon)
                || at(place - 1) == Some(&Token::LParen)
                || ["union", "all", "except", "intersect"].iter().any(|before| word(place - 1, before)))
        {
            let select = ["SELECT", "FROM"].map(Token::make_keyword);
            let [select, from] = select;
            changes.push((index, Change::Becomes(from)));
            changes.push((index, Change::Follows(Token::Mul)));
            changes.push((index, Change::Follows(select)));
        } else if word(place, "reset") && word(place + 1, "time") && word(place + 2, "zone") {
            changes.extend(next.map(|next| (next, Change::Becomes(Token::make_word("TimeZone", None)))));
            changes.extend(solid.get(place + 2).map(|zone| (*zone, Change::Goes)));
        } else if at(place) == Some(&Token::RParen)
            && at(place + 1) == Some(&Token::Period)
            && at(place + 2) == Some(&Token::Mul)
        {
            let all = Token::make_word(ALL_FIELDS, Some('"'));
            changes.extend(solid.get(place + 2).map(|star| (*star, Change::Becomes(all))));
        } else if word(place, "between") && word(place + 1, "symmetric") {
            changes.extend(next.map(|next| (next, Change::Becomes(Token::DoubleExclamationMark))));
        } else if word(place, "exclude") && word(place + 1, "no") && word(place + 2, "others") {
            let gone = (place..place + 3).filter_map(|place| solid.get(place).copied());
            changes.extend(gone.map(|index| (index, Change::Goes)));
        } else if word(place, "exclude")
            && let Some((words, length)) = exclusion(place, &word)
            && matches!(at(place + length), Some(Token::RParen))
            && let Some(opened) = opening(place, &at)
            && (opened..place).any(|place| ["rows", "range", "groups"].iter().any(|unit| word(place, unit)))
        {
            // The mark is a key of the partition.
            let gone = (place..place + length).filter_map(|place| solid.get(place).copied());
            changes.extend(gone.map(|index| (index, Change::Goes)));
            let partitioned = word(opened + 1, "partition");
            let first = if partitioned { opened + 3 } else { opened + 1 };
            let mut mark = Vec::new();
            if !partitioned {
                mark.extend([Keyword::PARTITION, Keyword::BY].map(keyword));
            }
            mark.extend([
                Token::make_word(MARK, None),
                Token::LParen,
                Token::SingleQuotedString(words.to_owned()),
                Token::RParen,
            ]);
            mark.extend(partitioned.then_some(Token::Comma));
            if let Some(first) = solid.get(first).copied() {
                changes.extend(mark.into_iter().rev().map(|token| (first, Change::Follows(token))));
            }
        } else if (word(place, "rollup") || word(place, "cube") || word(place, "sets"))
            && at(place + 1) == Some(&Token::LParen)
            && let Some(closed) = closing(place + 1, solid.len(), &at)
        {
            // An element that only begins with parentheses gets some of its own.
            let mut start = place + 2;
            for end in element_ends(place + 1, closed, &at) {
                let opened = at(start) == Some(&Token::LParen);
                let whole = closing(start, solid.len(), &at).is_some_and(|inner| inner + 1 == end);
                if let (true, false, Some(first), Some(after)) =
                    (opened, whole, solid.get(start).copied(), solid.get(end).copied())
                {
                    changes.push((first, Change::Follows(Token::LParen)));
                    changes.push((after, Change::Follows(Token::RParen)));
                }
                start = end + 1;
            }
        } else if word(place, "in")
            && at(place + 1) == Some(&Token::LParen)
            && at(place + 2) == Some(&Token::LParen)
            && is_query(at(place + 3))
            && let Some(closed) = closing(place + 2, solid.len(), &at)
            && at(closed + 1) == Some(&Token::Comma)
            && let Some(opened) = solid.get(place + 2)
        {
            changes.push((*opened, Change::Follows(Token::Plus)));
        } else if matches!(at(place), Some(Token::Mul))
            && place >= 2
            && (word(place - 2, "from") || word(place - 2, "join"))
            && matches!(at(place - 1), Some(Token::Word(name)) if name.keyword != Keyword::SELECT)
        {
            changes.push((index, Change::Goes));
        }
    }
    if changes.is_empty() {
        return tokens;
    }
    let mut respelled = Vec::with_capacity(tokens.len() + 1);
    for (index, token) in tokens.into_iter().enumerate() {
        let mut kept = Some(token.token);
        for (_, change) in changes.iter().filter(|(changed, _)| *changed == index).rev() {
            match change {
                Change::Goes => kept = None,
                Change::Becomes(other) => kept = Some(other.clone()),
                Change::Follows(before) => {
                    respelled.push(TokenWithSpan { token: before.clone(), span: token.span });
                }
            }
        }
        respelled.extend(kept.map(|kept| TokenWithSpan { token: kept, span: token.span }));
    }
    respelled
}

fn keyword(keyword: Keyword) -> Token {
    Token::make_keyword(&format!("{keyword:?}"))
}

/// What `EXCLUDE` is followed by, and how many tokens that is with it.
fn exclusion(place: usize, word: &impl Fn(usize, &str) -> bool) -> Option<(&'static str, usize)> {
    if word(place + 1, "current") && word(place + 2, "row") {
        return Some(("current row", 3));
    }
    ["group", "ties"].into_iter().find(|words| word(place + 1, words)).map(|words| (words, 2))
}

/// The place of the parenthesis that is open around `inside`.
fn opening<'t>(inside: usize, at: &impl Fn(usize) -> Option<&'t Token>) -> Option<usize> {
    let mut depth = 0_usize;
    for place in (0..inside).rev() {
        match at(place) {
            Some(Token::RParen) => depth += 1,
            Some(Token::LParen) if depth == 0 => return Some(place),
            Some(Token::LParen) => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where the elements of a list in parentheses end: at its commas and at its own end.
fn element_ends<'t>(opened: usize, closed: usize, at: &impl Fn(usize) -> Option<&'t Token>) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut ends = Vec::new();
    for place in opened + 1..closed {
        match at(place) {
            Some(Token::LParen | Token::LBracket) => depth += 1,
            Some(Token::RParen | Token::RBracket) => depth = depth.saturating_sub(1),
            Some(Token::Comma) if depth == 0 => ends.push(place),
            _ => {}
        }
    }
    ends.push(closed);
    ends
}

enum Change {
    Becomes(Token),
    Goes,
    /// Another token comes first.
    Follows(Token),
}

fn is_query(token: Option<&Token>) -> bool {
    matches!(token, Some(Token::Word(word)) if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES))
}

/// The place of the parenthesis that closes the one at `opened`.
fn closing<'t>(opened: usize, end: usize, at: &impl Fn(usize) -> Option<&'t Token>) -> Option<usize> {
    let mut depth = 0_usize;
    for place in opened..end {
        match at(place) {
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

#[cfg(test)]
mod tests {
    use crate::sql::parse::parse;

    #[track_caller]
    fn check(sql: &str, expected: &str) {
        assert_eq!(parse(sql).unwrap().remove(0).ast.to_string(), expected);
    }

    #[test]
    fn spellings_are_the_parsers() {
        check("SELECT a FROM t ORDER BY a USING >", "SELECT a FROM t ORDER BY a DESC");
        check("SELECT a FROM t JOIN u USING (a)", "SELECT a FROM t JOIN u USING(a)");
        check("SELECT a IN ((SELECT 1), 2)", "SELECT a IN (+(SELECT 1), 2)");
        check("SELECT a IN ((SELECT 1))", "SELECT a IN ((SELECT 1))");
        check("TABLE t ORDER BY a LIMIT 2", "SELECT * FROM t ORDER BY a LIMIT 2");
        check(
            "SELECT sum(a) OVER (ORDER BY b ROWS 1 PRECEDING EXCLUDE CURRENT ROW) FROM t",
            "SELECT sum(a) OVER (PARTITION BY frame_excludes('current row') ORDER BY b ROWS 1 PRECEDING) FROM t",
        );
        check(
            "SELECT sum(a) OVER (PARTITION BY c ORDER BY b GROUPS 1 PRECEDING EXCLUDE TIES) FROM t",
            "SELECT sum(a) OVER (PARTITION BY frame_excludes('ties'), c ORDER BY b GROUPS 1 PRECEDING) FROM t",
        );
        check("SELECT 1 FROM t GROUP BY CUBE ((a)::int, b)", "SELECT 1 FROM t GROUP BY CUBE ((a)::INT, b)");
        check("SELECT a FROM t* WHERE a * 2 = 4", "SELECT a FROM t WHERE a * 2 = 4");
    }
}
