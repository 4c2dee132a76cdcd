//! Whole shards, written and read through the public interface.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "tests may fail, and cut random bits to size"
)]

mod corruption;
mod fixture;
mod generate;
mod lifecycle;
mod round_trip;
