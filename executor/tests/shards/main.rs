//! Plan nodes over real shards against DataFusion over the same rows in memory.

mod codec;
mod data;
mod fused;
mod harness;
mod scan;
