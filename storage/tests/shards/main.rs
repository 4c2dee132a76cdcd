//! Whole shards, written and read through the public interface.

mod corruption;
mod fixture;
mod generate;
mod lifecycle;
mod round_trip;
