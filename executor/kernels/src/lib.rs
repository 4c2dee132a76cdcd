//! Loops over slices: the innermost part of every quickdb query.
//!
//! ```text
//!  column slices ──▶ compare ──▶ bitmap (64 rows a word) ──▶ indices
//!        │                          │                          │
//!        ▼                          ▼                          ▼
//!   sum, extreme (one group)   masked sum, extreme       gather, grouped accumulators
//!        │                                                     │
//!        └──────────────── partial states ◀────────────────────┘
//!                                                group ids ◀── key_table (u64 keys)
//! ```
//!
//! The crate knows `std` alone. Every function takes slices and writes into slices or into vectors that the
//! caller owns and reuses; lengths are asserted once at the top, and the loops have no branch that depends on a
//! type, no allocation and no error. Rows are counted from the start of the slice. A bitmap holds row `i` in bit
//! `i % 64` of word `i / 64`, as Arrow does; bits at and after the row count are zero.
//!
//! Loops that gain from it are compiled twice, for the baseline of the target and for AVX2, and the better one is
//! chosen at run time; both give the same bits, since neither reorders a floating-point operation.
//!
//! Floating-point order is PostgreSQL's: NaN equals NaN and is greater than every number, and -0 equals 0.
#![expect(clippy::indexing_slicing, reason = "lengths are asserted once at the top of each kernel")]

#[macro_use]
mod dispatch;
pub mod arithmetic;
pub mod bitmap;
pub mod compare;
pub mod extreme;
pub mod gather;
pub mod grouped;
pub mod histogram;
pub mod key_table;
pub mod number;
pub mod packing;
pub mod sum;

pub use compare::Comparison;
pub use histogram::Axis;
pub use key_table::KeyTable;
pub use number::Number;
