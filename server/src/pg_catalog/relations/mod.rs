//! Where the rows of the system relations come from, one file per group.

pub(super) mod classes;
pub(super) mod cluster;
pub(super) mod constraints;
pub(super) mod information_schema;
pub(super) mod live;
pub(super) mod routines;
pub(super) mod sequences;
pub(super) mod state;
pub(super) mod statistics;
pub(super) mod types;
