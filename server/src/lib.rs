//! The master of quickdb: what PostgreSQL's clients talk to.
//!
//! ```text
//!  socket ─▶ wire ─▶ session ─▶ sql ─▶ engine ─▶ executor ─▶ workers
//!             │        │          │       │
//!             │        │          │       └ catalogue (SQLite): tables, shards, roles, rows of small writes
//!             │        ├ write: INSERT and its kin ─▶ changes of the catalogue, shards on workers
//!             │        │          └ text ▶ AST ▶ rewrites ▶ logical plan, errors ▶ SQLSTATE
//!             │        └ settings, transaction, prepared statements, portals, pg_catalog
//!             └ startup, TLS, SCRAM, messages, text and binary forms of values
//! ```
//!
//! This crate alone knows the PostgreSQL protocol and SQLSTATE; it never touches a shard file itself.

#![forbid(unsafe_code)]

mod activity;
pub mod auth;
pub mod catalogue;
mod copies;
pub mod copy_in;
mod cursor;
mod engine;
pub mod error;
mod execution;
mod explain;
mod layouts;
mod master;
mod namespace;
pub mod pg_catalog;
mod portal;
mod recovery;
mod replicas;
mod session;
pub mod settings;
pub mod sql;
mod sqlstate;
mod tables;
mod upkeep;
mod utility;
pub mod wire;
mod write;

pub use master::{Master, MasterConfig, ServerError, TableLoad, TlsIdentity, Workers};
pub use recovery::{Findings, FoundTable, Recovery, RecoveryError, Source, recover};
pub use wire::startup::Auth;
