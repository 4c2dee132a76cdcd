//! The hot loops of COPY: the bytes of `COPY ... FROM STDIN` to Arrow columns.
//!
//! ```text
//!  CopyData bytes ─▶ pending ─split─▶ Rows: a Span per field ─┬─ column 0: fast form, else its reader ─▶ builder ─┐
//!                   (text, CSV,                               ├─ column 1: ...                                    ├─▶ batch
//!                    binary)                                  └─ column n: ...                                    ─┘
//! ```
//!
//! A chunk of input is cut into fields first; then each column reads its fields of all rows, so that what depends on
//! the column's type is decided once per chunk. The forms that nearly all values have (`-12`, `1.50`, `2013-01-31`,
//! text without escapes) are read here; everything else goes to the column's *reader*, which the server gives and
//! which knows PostgreSQL's input functions.
//!
//! The first error in the order of rows, then columns, is the one that is reported, as PostgreSQL would.
//!
//! This crate is compiled for speed, unlike the server around it: all generic code is instantiated here.

mod binary;
mod column;
mod decoder;
mod fast;
mod fault;
mod layout;
mod list;
mod rows;
mod scanner;
mod split;
mod unescape;

pub use column::{Column, Reader, TextReader};
pub use decoder::{BATCH_ROWS, Batch, Decoder};
pub use fault::{Fault, LineFault, Refusal};
pub use layout::{Header, Layout};
