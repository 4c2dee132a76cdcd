//! One connection to the server under test.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

use crate::cell::{Letter, write_cell};

/// Longer than any query of the files takes on two busy cores; a hang is a failure, not a wait.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What went wrong with a statement. Its text is `SQLSTATE: message` where the server sent one.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server answered with an error.
    #[error("{code}: {message}")]
    Server {
        /// The SQLSTATE.
        code: String,
        /// The primary message.
        message: String,
        /// Character position in the statement, from 1, where the server gives one.
        position: Option<u32>,
    },
    /// The connection broke, or the server spoke out of turn.
    #[error("connection: {0}")]
    Connection(String),
    /// Nothing came back in time.
    #[error("no answer in {} seconds", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// The simple and the extended protocol describe different columns.
    #[error("the simple protocol names the columns {simple:?}, Describe names them {extended:?}")]
    Names {
        /// Names in the row description of the simple protocol.
        simple: Vec<String>,
        /// Names that Describe gives for the same statement.
        extended: Vec<String>,
    },
}

impl SessionError {
    /// Whether the session is of no use any more.
    pub fn loses_session(&self) -> bool {
        matches!(self, Self::Connection(_) | Self::Timeout)
    }

    /// The SQLSTATE, where the server sent an error.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl From<tokio_postgres::Error> for SessionError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::ErrorPosition;
        let Some(sent) = error.as_db_error() else {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                text = format!("{text}: {inner}");
                cause = inner.source();
            }
            return Self::Connection(text);
        };
        let position = match sent.position() {
            Some(ErrorPosition::Original(position)) => Some(*position),
            _ => None,
        };
        Self::Server { code: sent.code().code().to_owned(), message: sent.message().to_owned(), position }
    }
}

/// What a statement gave: rows of written cells, or only a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A result set.
    Rows {
        /// Names and types of its columns.
        columns: Vec<(String, Letter)>,
        /// Its rows.
        rows: Vec<Vec<String>>,
    },
    /// No result set; the number in the command tag.
    Done(u64),
}

/// A connection without TLS and without a password.
pub struct Session {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// Connects to a `postgresql://` URL.
    pub async fn connect(dsn: &str) -> Result<Self, SessionError> {
        let (client, connection) = in_time(tokio_postgres::connect(dsn, NoTls)).await?;
        let connection = tokio::spawn(async move {
            // A connection that breaks fails the statement that waits for it.
            drop(connection.await);
        });
        Ok(Self { client, connection })
    }

    /// The driver's client, for what this type does not cover.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs a statement over the simple protocol. Where it gives rows, it is also prepared over the
    /// extended protocol, for the column types, and both must name the same columns.
    pub async fn ask(&self, sql: &str) -> Result<Answer, SessionError> {
        let messages = self.simple(sql).await?;
        let mut names: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        let mut count = 0;
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(columns) => {
                    names = Some(columns.iter().map(|column| column.name().to_owned()).collect());
                    rows.clear();
                }
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|i| write_cell(row.get(i))).collect());
                }
                SimpleQueryMessage::CommandComplete(affected) => count = affected,
                _ => {}
            }
        }
        let Some(simple) = names else { return Ok(Answer::Done(count)) };
        let described = self.prepare(sql).await?;
        let extended: Vec<String> =
            described.columns().iter().map(|column| column.name().to_owned()).collect();
        if simple != extended {
            return Err(SessionError::Names { simple, extended });
        }
        let columns = described.columns().iter().map(|column| Letter::of(column.type_())).zip(simple);
        Ok(Answer::Rows { columns: columns.map(|(letter, name)| (name, letter)).collect(), rows })
    }

    /// The messages that the simple protocol gives for a statement.
    pub async fn simple(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, SessionError> {
        in_time(self.client.simple_query(sql)).await
    }

    /// Prepares a statement over the extended protocol.
    pub async fn prepare(&self, sql: &str) -> Result<Statement, SessionError> {
        in_time(self.client.prepare(sql)).await
    }

    /// The single value of a statement that gives one row of one column, as text.
    pub async fn value(&self, sql: &str) -> Result<String, SessionError> {
        match self.ask(sql).await? {
            Answer::Rows { rows, .. } => match rows.as_slice() {
                [row] if row.len() == 1 => Ok(row.concat()),
                _ => Err(SessionError::Connection(format!("not one value but {rows:?}"))),
            },
            Answer::Done(_) => Err(SessionError::Connection("no result set".to_owned())),
        }
    }
}

async fn in_time<T>(
    answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, SessionError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(SessionError::Timeout),
    }
}
