//! The worker of quickdb: plan nodes over shards.
//!
//! ```text
//!   DataFusion plan ──▶ FuseAggregates ──▶ ShardScanExec / ShardAggregateExec ──▶ QuickdbCodec ──▶ worker
//!                                               │                                                   │
//!                                               ▼                                                   ▼
//!                                  ShardStore ──▶ row groups ──▶ zone maps ──▶ predicate ──▶ batches or states
//!                                                       (on rayon, through `cpu`)
//! ```
//!
//! A plan node that reads shards is a leaf. It names its shards by number and finds their files through the
//! [`store::ShardStore`] of the session that runs it, so the same node runs on any worker that holds them.
pub mod codec;
mod column_test;
pub mod cpu;
pub mod error;
pub mod float_extremes;
pub mod fused;
mod live_filter;
mod predicate;
mod prune;
mod row_group;
pub mod scan;
mod selection;
pub mod store;
mod table;
