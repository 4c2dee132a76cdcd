//! `quickdb load`: files into a table of a running server.
//!
//! ```text
//!  files ─▶ format, by content ─▶ file: columns ─▶ plan: the table's columns ─▶ CREATE TABLE, COMMENT ON
//!             │                                                                      │ one
//!             └▶ batches: Parquet, Arrow, FITS, CSV (reader threads) ─ bounded ─▶ sending: COPY ... FROM STDIN
//!                                                                                    │ transaction
//!                                                             progress, Ctrl-C ──────┘ (FORMAT arrow), COMMIT
//! ```
//!
//! Batches have the table's types before they are sent: a value that does not fit is refused here, with its file.

pub(crate) mod client;
mod csv;
mod dsn;
mod file;
mod fits;
mod format;
mod plan;
mod progress;
mod resuming;
mod sending;
mod sniff;
mod tls;

pub(crate) use file::{FileOptions, LoadFile};
pub(crate) use plan::{Plan, TableName, TableOptions, parse_schema};
pub(crate) use progress::{Progress, per_second_text};
pub(crate) use resuming::{Loaded, resume};
pub(crate) use sending::send;
pub(crate) use sniff::CsvOptions;

use std::path::{Path, PathBuf};

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A file that cannot be read, or a value in it that does not fit.
    #[error("{}: {message}", file.display())]
    File { file: PathBuf, message: String },
    /// What the files and the options ask for does not go together.
    #[error("{0}")]
    Plan(String),
    /// There is no server, or it does not let us in.
    #[error("cannot connect to {server}: {message}")]
    Connect { server: String, message: String },
    /// The server refuses something.
    #[error("the server refused {what}: {message}")]
    Server { what: String, message: String },
    /// Ctrl-C.
    #[error("interrupted; nothing was loaded")]
    Interrupted,
    /// Ctrl-C, between or in the transactions of single files.
    #[error("interrupted; {files} files were loaded, and --resume goes on with the others")]
    Stopped { files: usize },
}

impl LoadError {
    fn file(file: &Path, message: impl std::fmt::Display) -> Self {
        Self::File { file: file.to_owned(), message: message.to_string() }
    }
}
