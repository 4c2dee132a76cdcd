//! Running and recording sqllogictest files.
//!
//! The format is that of the `sqllogictest` crate with three conventions: cells of a row are separated
//! by tabs; the type letters of a `query` line are those of [`Letter`] and are checked against what the
//! server describes; cells of float columns are compared with a tolerance ([`same_cell`]). The engine
//! name for `skipif` and `onlyif` is `quickdb` or `postgres`.

use std::fmt::Write as _;
use std::path::Path;

use async_trait::async_trait;
use sqllogictest::{
    AsyncDB, DBOutput, ExpectedError, QueryExpect, Record, RecordOutput, Runner, StatementExpect, parse_file,
};

use crate::Outcome;
use crate::cell::{Letter, same_cell};
use crate::session::{Answer, Session, SessionError};

/// Lines of an unexpected result that a report shows.
const SHOWN_LINES_MAX: usize = 20;

/// Sessions that a file may lose to hangs and broken connections: each costs up to
/// [`ANSWER_TIMEOUT`](crate::session::ANSWER_TIMEOUT), and a server that does not answer needs no more proof.
pub const LOST_SESSIONS_MAX: usize = 3;

/// Which server answers: decides what `skipif` and `onlyif` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// The server under test.
    Quickdb,
    /// The reference.
    Postgres,
}

/// What became of the records of a file. A record is known by its statement, on one line.
#[derive(Debug, Default)]
pub struct Tally {
    /// Records that gave the expected answer.
    pub passed: Vec<String>,
    /// Records that a condition left out.
    pub skipped: usize,
    /// Records that failed, each with a text that says where and how.
    pub failed: Vec<(String, String)>,
}

struct Database {
    session: Session,
    engine: Engine,
}

#[async_trait]
impl AsyncDB for Database {
    type Error = SessionError;
    type ColumnType = Letter;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Letter>, SessionError> {
        Ok(match self.session.ask(sql).await? {
            Answer::Rows { columns, rows } => {
                DBOutput::Rows { types: columns.into_iter().map(|(_, letter)| letter).collect(), rows }
            }
            Answer::Done(count) => DBOutput::StatementComplete(count),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.engine {
            Engine::Quickdb => "quickdb",
            Engine::Postgres => "postgres",
        }
    }

    fn error_sql_state(error: &SessionError) -> Option<String> {
        error.code().map(str::to_owned)
    }
}

/// Runs every record of a file on a fresh session and says which failed; it does not stop at the first.
pub async fn run_file(dsn: &str, engine: Engine, path: &Path) -> Outcome<Tally> {
    let mut tally = Tally::default();
    visit(dsn, engine, path, |record, output| match judge(record, output) {
        Verdict::Passed { sql } => tally.passed.push(one_line(&sql)),
        Verdict::Skipped => tally.skipped += 1,
        Verdict::Failed { line, sql, why } => {
            tally.failed.push((one_line(&sql), format!("{}:{line}\n{sql}\n{why}", path.display())));
        }
        Verdict::NotATest => {}
    })
    .await?;
    Ok(tally)
}

/// Rewrites a file with the answers of the server: types, rows, counts, and SQLSTATEs of statements that
/// fail. Returns how many records changed. Records that a condition leaves out stay as they are.
pub async fn record_file(dsn: &str, path: &Path) -> Outcome<usize> {
    let mut text = String::new();
    let mut changed = 0;
    visit(dsn, Engine::Postgres, path, |record, output| {
        let fresh = match judge(record, output) {
            Verdict::Failed { .. } => {
                changed += 1;
                rewritten(record, output)
            }
            _ => record.clone(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{fresh}");
    })
    .await?;
    if changed > 0 {
        std::fs::write(path, format!("{}\n", text.trim_end()))?;
    }
    Ok(changed)
}

/// A statement without its line breaks.
pub fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn visit(
    dsn: &str,
    engine: Engine,
    path: &Path,
    mut each: impl FnMut(&Record<Letter>, &RecordOutput<Letter>),
) -> Outcome<()> {
    let connect = || Runner::new(|| async { Ok(Database { session: Session::connect(dsn).await?, engine }) });
    let mut runner = connect();
    let mut lost = 0;
    for record in parse_file::<Letter>(path)? {
        if matches!(record, Record::Halt { .. }) {
            return Err(format!("{}: halt leaves the rest of the file untested", path.display()).into());
        }
        if lost == LOST_SESSIONS_MAX {
            return Err(format!("{}: given up after {lost} lost sessions", path.display()).into());
        }
        let output = runner.apply_record(record.clone()).await;
        each(&record, &output);
        if matches!(got(&output), Got::Error(error) if error.loses_session()) {
            lost += 1;
            runner = connect();
        }
    }
    Ok(())
}

enum Verdict {
    Passed { sql: String },
    Skipped,
    Failed { line: u32, sql: String, why: String },
    NotATest,
}

fn judge(record: &Record<Letter>, output: &RecordOutput<Letter>) -> Verdict {
    let (line, sql, complaint) = match record {
        Record::Statement { loc, sql, expected, .. } => {
            (loc.line(), sql, statement_complaint(expected, output))
        }
        Record::Query { loc, sql, expected, .. } => (loc.line(), sql, query_complaint(expected, output)),
        _ => return Verdict::NotATest,
    };
    match (output, complaint) {
        (RecordOutput::Nothing, _) => Verdict::Skipped,
        (_, None) => Verdict::Passed { sql: sql.clone() },
        (_, Some(why)) => Verdict::Failed { line, sql: sql.clone(), why },
    }
}

/// The error of an output, or its rows (none for a bare count) with the count of rows.
enum Got<'a> {
    Rows(&'a [Letter], &'a [Vec<String>]),
    Count(u64),
    Error(&'a SessionError),
    Odd(String),
}

fn got(output: &RecordOutput<Letter>) -> Got<'_> {
    let error = match output {
        RecordOutput::Query { error: None, types, rows } => return Got::Rows(types, rows),
        RecordOutput::Statement { error: None, count } => return Got::Count(*count),
        RecordOutput::Query { error: Some(error), .. }
        | RecordOutput::Statement { error: Some(error), .. } => error,
        other => return Got::Odd(format!("unexpected kind of record: {other:?}")),
    };
    match error.downcast_ref::<SessionError>() {
        Some(error) => Got::Error(error),
        None => Got::Odd(error.to_string()),
    }
}

fn statement_complaint(expected: &StatementExpect, output: &RecordOutput<Letter>) -> Option<String> {
    match (expected, got(output)) {
        (_, Got::Odd(text)) => Some(text),
        (StatementExpect::Error(expected), got) => error_complaint(expected, &got),
        (_, Got::Error(error)) => Some(format!("failed with {error}")),
        (StatementExpect::Ok, _) => None,
        (StatementExpect::Count(expected), got) => {
            let actual = match got {
                Got::Rows(_, rows) => rows.len() as u64,
                Got::Count(count) => count,
                _ => 0,
            };
            (actual != *expected).then(|| format!("expected {expected} rows, got {actual}"))
        }
    }
}

fn query_complaint(expected: &QueryExpect<Letter>, output: &RecordOutput<Letter>) -> Option<String> {
    match (expected, got(output)) {
        (_, Got::Odd(text)) => Some(text),
        (QueryExpect::Error(expected), got) => error_complaint(expected, &got),
        (_, Got::Error(error)) => Some(format!("failed with {error}")),
        (_, Got::Count(_)) => Some("gave no result set".to_owned()),
        (QueryExpect::Results { types, results, .. }, Got::Rows(actual_types, rows)) => {
            let mut why = String::new();
            if types != actual_types {
                let _ = writeln!(why, "types: expected {}, got {}", letters(types), letters(actual_types));
            }
            why.push_str(&rows_complaint(actual_types, results, rows));
            (!why.is_empty()).then_some(why)
        }
    }
}

fn error_complaint(expected: &ExpectedError, got: &Got<'_>) -> Option<String> {
    match got {
        Got::Error(error) if expected.is_match(&error.to_string(), error.code()) => None,
        Got::Error(error) => Some(format!("expected the error {expected}, got {error}")),
        _ => Some(format!("expected the error {expected}, but it succeeded")),
    }
}

fn rows_complaint(types: &[Letter], expected: &[String], rows: &[Vec<String>]) -> String {
    let same = expected.len() == rows.len()
        && expected.iter().zip(rows).all(|(line, row)| {
            let cells: Vec<&str> = if types.is_empty() { Vec::new() } else { line.split('\t').collect() };
            cells.len() == row.len()
                && types.iter().zip(cells).zip(row).all(|((letter, a), b)| same_cell(*letter, a, b))
        });
    if same {
        return String::new();
    }
    let mut why = format!("expected {} rows, got {}\n", expected.len(), rows.len());
    let mut shown = 0;
    for i in 0..expected.len().max(rows.len()) {
        let expected = expected.get(i).cloned();
        let actual = rows.get(i).map(|row| row.join("\t"));
        if expected == actual {
            continue;
        }
        if shown == SHOWN_LINES_MAX {
            why.push_str("...\n");
            break;
        }
        shown += 1;
        for (sign, line) in [('-', expected), ('+', actual)] {
            if let Some(line) = line {
                let _ = writeln!(why, "{sign}{line}");
            }
        }
    }
    why
}

fn letters(types: &[Letter]) -> String {
    types.iter().map(sqllogictest::ColumnType::to_char).collect()
}

/// The record with what the server gave in place of what was expected.
fn rewritten(record: &Record<Letter>, output: &RecordOutput<Letter>) -> Record<Letter> {
    let error = |error: &SessionError| {
        ExpectedError::SqlState(error.code().map_or_else(|| error.to_string(), str::to_owned))
    };
    let mut fresh = record.clone();
    match (&mut fresh, got(output)) {
        (Record::Statement { expected, .. }, Got::Error(sent)) => {
            *expected = StatementExpect::Error(error(sent));
        }
        (Record::Statement { expected: expected @ StatementExpect::Count(_), .. }, Got::Count(count)) => {
            *expected = StatementExpect::Count(count);
        }
        (Record::Statement { expected, .. }, Got::Count(_) | Got::Rows(..)) => {
            *expected = StatementExpect::Ok
        }
        (Record::Query { expected, .. }, Got::Error(sent)) => *expected = QueryExpect::Error(error(sent)),
        (
            Record::Query { expected: QueryExpect::Results { types, results, .. }, .. },
            Got::Rows(actual_types, rows),
        ) => {
            *types = actual_types.to_vec();
            *results = rows.iter().map(|row| row.join("\t")).collect();
        }
        (Record::Query { expected, .. }, Got::Rows(types, rows)) => {
            *expected = QueryExpect::Results {
                types: types.to_vec(),
                sort_mode: None,
                result_mode: None,
                label: None,
                results: rows.iter().map(|row| row.join("\t")).collect(),
            };
        }
        _ => {}
    }
    fresh
}
