//! The master of quickdb.
pub mod error;
pub mod sql;
