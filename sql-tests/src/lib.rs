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
pub mod corpus;
pub mod programs;
pub mod server;
pub mod session;
pub mod slt;
pub mod statement;

/// What every fallible function here returns: a test only prints the error.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
