//! The master of quickdb: the PostgreSQL protocol, sessions, planning, the catalogue.

pub mod catalogue;
pub mod error;
pub mod pg_catalog;
pub mod sql;
