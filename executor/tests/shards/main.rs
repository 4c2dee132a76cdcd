//! Plan nodes over real shards against DataFusion over the same rows in memory.

mod changes;
mod codec;
mod data;
mod faults;
mod fused;
mod harness;
#[path = "../common/junk.rs"]
mod junk;
mod scan;
