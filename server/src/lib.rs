//! The master of quickdb.

pub mod auth;
pub mod wire;
