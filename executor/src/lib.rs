//! The worker of quickdb: the plan nodes that read shards, the functions that run beside the data, and both
//! ends of the protocol between master and workers.
//!
//! ```text
//!        master                                             worker
//!  ┌───────────────────┐                              ┌─────────────────────┐
//!  │ logical plan      │                              │ worker   (tonic)    │
//!  │   ▼ fused         │   plans   codec ─ mTLS ────▶ │   ▼                 │
//!  │ ShardAggregate    │                              │ ShardScan/Aggregate │
//!  │   ▼ pinning       │                              │   ▼ cpu (rayon)     │
//!  │ one task a worker │ ◀──── partial states ─────── │ kernels over store  │
//!  │ shards ───────────┼─── new shards, by Flight ──▶ │ shard_service       │
//!  └───────────────────┘                              └─────────────────────┘
//! ```
//!
//! An embedded worker is the same nodes in the master's process, with its [`store::ShardStore`] in the
//! session and no network.

#![forbid(unsafe_code)]

pub mod cluster;
pub mod codec;
mod column_test;
mod columns;
mod compaction;
mod computation;
pub mod cpu;
pub mod datetime;
pub mod error;
pub mod fences;
pub mod float_extremes;
pub mod functions;
pub mod fused;
mod gathered;
mod live_filter;
pub mod pinning;
mod predicate;
mod prune;
mod row_group;
pub mod scan;
mod selection;
pub mod session;
mod shard_copy;
pub mod shard_description;
mod shard_messages;
mod shard_protocol;
mod shard_service;
mod shard_writing;
pub mod shards;
pub mod store;
pub mod table;
mod tail;
pub mod tls;
mod view;
pub mod worker;
pub mod yielding;
