//! The partial aggregate fused with the scan below it.
//!
//! ```text
//!  row group ──▶ predicate ──▶ selection ──▶ key codes ──▶ group ids ──┐
//!      │                          │                                   ▼
//!      └── argument columns ──────┴── argument expressions ──▶ accumulators ──▶ partial table of one range
//!                                                                                     │
//!                                        merged two by two, in the order of the rows  ▼
//!                                                               partial states ──▶ DataFusion's final aggregate
//! ```
//!
//! [`FuseAggregates`] finds a partial aggregate over a shard scan and puts a [`ShardAggregateExec`] in its place,
//! whose output is the very schema of partial states that the final aggregate above expects. What has no kernel of
//! ours falls back by itself, not with its query: a key or an argument that is no plain column is evaluated by
//! DataFusion on the selected rows of each chunk, and an aggregate without kernel runs its own accumulator on the
//! same group ids.
//!
//! Where the groups are many, rows are first sorted by the hash of their keys into partitions, and each partition is
//! grouped by itself, in a table that fits the cache (`partitioned`).
//!
//! The rows are cut into ranges that depend on the shards alone, and the ranges' tables are merged along a fixed
//! tree: sums of floats have the same bits in every run, whatever the number of threads.

mod accumulators;
mod arguments;
mod binned;
mod chunk;
mod dictionary;
mod driver;
mod exec;
mod final_stage;
mod group_keys;
mod lane;
mod partitioned;
mod program;
mod results;
mod rule;
mod shared;
mod shifted;
mod states;
mod table;

pub use exec::ShardAggregateExec;
pub(crate) use exec::as_aggregate;
pub use final_stage::GATHERED_GROUPS_MAX;
pub use rule::FuseAggregates;
