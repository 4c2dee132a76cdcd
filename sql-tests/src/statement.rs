//! Files of statements with what a client learns besides rows: names and types of columns and
//! parameters, or the error with its SQLSTATE, position and message.
//!
//! ```text
//! # a comment
//! SELECT count(*), 1 + 1 FROM flights WHERE month = $1
//! <- int4
//! -> count int8
//! -> ?column? int4
//!
//! SELECT nothing FROM flights
//! !! 42703 at 8: column "nothing" does not exist
//! ```
//!
//! Records are separated by empty lines. `<-` is a parameter type, `->` a column and its type (both from
//! Describe), `!!` the error (`at` a character position, where there is one). Hints are not compared: they
//! are advice to people, and quickdb may have better.

use std::fmt::Write as _;
use std::path::Path;

use tokio_postgres::{Column, SimpleColumn, SimpleQueryMessage};

use crate::Outcome;
use crate::session::{Session, SessionError};
use crate::slt::{LOST_SESSIONS_MAX, Tally, one_line};

/// One statement of a file with its comment and the lines expected of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// Line of the first line of SQL, from 1.
    line: usize,
    comment: String,
    sql: String,
    expected: Vec<String>,
}

/// Checks every statement of a file; it does not stop at the first failure.
pub async fn run_file(dsn: &str, path: &Path) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let mut session = Session::connect(dsn).await?;
    let mut lost = 0;
    for entry in parse(&std::fs::read_to_string(path)?) {
        if lost == LOST_SESSIONS_MAX {
            return Err(format!("{}: given up after {lost} lost sessions", path.display()).into());
        }
        let actual = match outcome(&session, &entry.sql).await {
            Ok(actual) => actual,
            Err(error) => {
                lost += 1;
                session = Session::connect(dsn).await?;
                vec![format!("!! {error}")]
            }
        };
        if actual == entry.expected {
            tally.passed.push(one_line(&entry.sql));
        } else {
            let (expected, actual) = (entry.expected.join("\n-"), actual.join("\n+"));
            let text = format!("{}:{}\n{}\n-{expected}\n+{actual}", path.display(), entry.line, entry.sql);
            tally.failed.push((one_line(&entry.sql), text));
        }
    }
    Ok(tally)
}

/// Rewrites a file with the answers of the server. Returns how many statements changed.
pub async fn record_file(dsn: &str, path: &Path) -> Outcome<usize> {
    let session = Session::connect(dsn).await?;
    let mut text = String::new();
    let mut changed = 0;
    for entry in parse(&std::fs::read_to_string(path)?) {
        let actual = outcome(&session, &entry.sql).await?;
        changed += usize::from(actual != entry.expected);
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{}\n{}\n\n", entry.comment, entry.sql, actual.join("\n"));
    }
    if changed > 0 {
        std::fs::write(path, format!("{}\n", text.trim_end()))?;
    }
    Ok(changed)
}

/// What a statement gives. One with parameters is only described; any other also runs, because some errors
/// come then. A session that is lost is an error.
async fn outcome(session: &Session, sql: &str) -> Result<Vec<String>, SessionError> {
    let described = match session.prepare(sql).await {
        Ok(described) => described,
        // The simple protocol gives the same error, except that it takes several statements at once.
        Err(SessionError::Server { code, .. }) if code == "42601" && sql.contains(';') => {
            let sent = session.simple(sql).await;
            return sent.map_or_else(error_lines, |_| Ok(vec!["-> several statements".to_owned()]));
        }
        Err(error) => return error_lines(error),
    };
    let extended: Vec<&str> = described.columns().iter().map(Column::name).collect();
    if described.params().is_empty() {
        let messages = match session.simple(sql).await {
            Ok(messages) => messages,
            Err(error) => return error_lines(error),
        };
        let named = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => Some(columns),
            _ => None,
        });
        let simple: Vec<&str> =
            named.iter().flat_map(|columns| columns.iter()).map(SimpleColumn::name).collect();
        if simple != extended {
            return Ok(vec![format!("-> the simple protocol names {simple:?}")]);
        }
    }
    let parameters = described.params().iter().map(|kind| format!("<- {}", kind.name()));
    let columns =
        described.columns().iter().map(|column| format!("-> {} {}", column.name(), column.type_().name()));
    Ok(parameters.chain(columns).collect())
}

fn error_lines(error: SessionError) -> Result<Vec<String>, SessionError> {
    match error {
        SessionError::Server { code, message, position } => {
            let place = position.map_or_else(String::new, |position| format!(" at {position}"));
            Ok(vec![format!("!! {code}{place}: {}", message.replace('\n', "\\n"))])
        }
        SessionError::Names { .. } => Ok(vec![format!("!! {error}")]),
        lost => Err(lost),
    }
}

fn parse(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut comment = String::new();
    let mut current: Option<Entry> = None;
    for (i, line) in text.lines().enumerate() {
        if line.is_empty() {
            match current.take() {
                Some(entry) => entries.push(entry),
                None if !comment.is_empty() => comment.push('\n'),
                None => {}
            }
        } else if current.is_none() && line.starts_with('#') {
            comment.push_str(line);
            comment.push('\n');
        } else {
            let entry = current.get_or_insert_with(|| Entry {
                line: i + 1,
                comment: std::mem::take(&mut comment),
                sql: String::new(),
                expected: Vec::new(),
            });
            if ["<- ", "-> ", "!! "].iter().any(|mark| line.starts_with(mark)) {
                entry.expected.push(line.to_owned());
            } else {
                if !entry.sql.is_empty() {
                    entry.sql.push('\n');
                }
                entry.sql.push_str(line);
            }
        }
    }
    entries.extend(current);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_comment_sql_and_expected_lines() {
        let entries =
            parse("# about\n\n# one\nSELECT\n1\n-> ?column? int4\n\n\nSELECT x\n!! 42703 at 8: no\n");
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].comment, "# about\n\n# one\n");
        assert_eq!(entries[0].sql, "SELECT\n1");
        assert_eq!(entries[0].line, 4);
        assert_eq!(entries[1].expected, ["!! 42703 at 8: no"]);
    }
}
