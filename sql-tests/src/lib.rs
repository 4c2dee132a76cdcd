//! Tests of quickdb over the wire. This crate knows no other crate of the workspace: it starts the
//! built binary and speaks to it as any client does.
//!
//! ```text
//!   slt/**/*.slt        statements/*.txt                 tests/*.rs
//!        │                     │                             │
//!        ▼                     ▼                             ▼
//!   [slt] records       [statement] columns,          [server] the binary, started,
//!   rows and types      errors, positions             signalled, stopped, its log kept
//!        └──────────┬──────────┘                             │
//!                   ▼                                        ▼
//!            [session] one connection, ◀──────────────── [programs] psql, openssl, python
//!            both query protocols
//! ```
//!
//! The expected answers are recorded from PostgreSQL 15 (`reference.py` makes one with the demo's
//! tables, the `record` binary fills and verifies the files), never from quickdb.

pub mod cell;
pub mod cluster;
pub mod corpus;
pub mod programs;
pub mod server;
pub mod session;
pub mod slt;
pub mod statement;

use std::error::Error;
use std::fmt;

/// Why a test failed. Its debug form, which a test prints, is the plain text with line breaks.
pub struct Failure(Box<dyn Error + Send + Sync>);

/// What every fallible function here returns.
pub type Outcome<T> = Result<T, Failure>;

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
