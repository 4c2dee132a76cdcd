//! The worker of quickdb.
pub mod error;
pub mod functions;
