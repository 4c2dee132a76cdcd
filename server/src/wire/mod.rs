//! The PostgreSQL wire: types, values in text and binary, rows, parameters, COPY.
//!
//! ```text
//! Bind bytes ──params──▶ ScalarValue          RecordBatch ──row──▶ DataRow
//!                                             RecordBatch ──copy_out──▶ CopyData
//!            types: OIDs and arrow types
//!            text, binary, *_text: one value; column, scalar_column, nested: one column of a batch
//! ```
//!
//! Dates, times and intervals are [`quickdb_executor::datetime`]'s.

pub mod binary;
mod column;
mod connection;
pub mod copy_options;
pub mod copy_out;
mod float_text;
mod input_error;
pub(crate) mod interrupt;
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
pub(crate) mod socket;
pub mod startup;
pub mod text;
pub mod types;

pub(crate) use column::text_value;
pub use column::{EncodeError, ROW_BYTES_MAX, RegNames};

use crate::error::{PgError, SqlState};

impl From<EncodeError> for PgError {
    fn from(error: EncodeError) -> Self {
        PgError::with_state(SqlState(error.sqlstate()), error.to_string())
    }
}

impl From<params::InputError> for PgError {
    fn from(error: params::InputError) -> Self {
        let mut refusal = PgError::with_state(SqlState(error.sqlstate), error.message);
        refusal.detail = error.detail;
        refusal.hint = error.hint;
        refusal.context = error.context;
        refusal
    }
}

impl From<copy_options::CopyError> for PgError {
    fn from(error: copy_options::CopyError) -> Self {
        PgError::with_state(SqlState(error.sqlstate), error.to_string())
    }
}

impl From<copy_out::CopyOutError> for PgError {
    fn from(error: copy_out::CopyOutError) -> Self {
        match error {
            copy_out::CopyOutError::Encode(error) => error.into(),
            copy_out::CopyOutError::Copy(error) => error.into(),
        }
    }
}
