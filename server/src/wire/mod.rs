//! The PostgreSQL wire: types, values in text and binary, rows, parameters, COPY.
//!
//! ```text
//! Bind bytes ──params──▶ ScalarValue          RecordBatch ──row──▶ DataRow
//!                                             RecordBatch ──copy_out──▶ CopyData
//!            types: OIDs and arrow types
//!            text, binary, *_text: one value; column, scalar_column, nested: one column of a batch
//! ```

mod array_input;
pub mod binary;
pub mod calendar;
mod column;
pub mod copy_options;
pub mod copy_out;
mod datetime_decoder;
mod datetime_fields;
mod datetime_input;
mod datetime_text;
mod datetime_words;
mod float_text;
mod input_error;
mod interval_input;
mod interval_text;
mod json_input;
mod nested;
pub mod numeric_text;
pub mod params;
#[cfg(test)]
mod recorded;
pub mod row;
#[cfg(test)]
mod row_tests;
mod scalar_column;
mod scalar_input;
pub mod settings;
pub mod text;
pub mod time_zone;
pub mod types;
mod zone_abbreviations;

pub use column::{EncodeError, OidLookup, ROW_BYTES_MAX};
pub use interval_text::Interval;
