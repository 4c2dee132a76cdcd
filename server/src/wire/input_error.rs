//! Refusals of values that clients send, with PostgreSQL's codes and words.

use crate::error::SqlState;
use quickdb_executor::error::ExecError;
use std::fmt;

/// A value that is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// SQLSTATE.
    pub sqlstate: &'static str,
    /// Primary message.
    pub message: String,
    /// DETAIL.
    pub detail: Option<String>,
    /// HINT.
    pub hint: Option<String>,
    /// CONTEXT.
    pub context: Option<String>,
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InputError {}

impl From<ExecError> for InputError {
    fn from(error: ExecError) -> Self {
        Self {
            sqlstate: SqlState::of(error.kind).0,
            message: error.message,
            detail: error.detail,
            hint: error.hint,
            context: error.context,
        }
    }
}

impl InputError {
    pub(super) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into(), detail: None, hint: None, context: None }
    }

    /// 22P02: the text is no value of the type.
    pub(super) fn syntax(type_name: &str, text: &str) -> Self {
        Self::new("22P02", format!("invalid input syntax for type {type_name}: \"{text}\""))
    }

    /// 22003 in the words of the integer types.
    pub(super) fn out_of_range(type_name: &str, text: &str) -> Self {
        Self::new("22003", format!("value \"{text}\" is out of range for type {type_name}"))
    }

    /// 22P03 for the parameter of a number that counts from 1.
    pub(super) fn binary_format(param_number: usize) -> Self {
        Self::new("22P03", format!("incorrect binary data format in bind parameter {param_number}"))
    }

    /// 08P01: the bytes end too early.
    pub(super) fn truncated() -> Self {
        Self::new("08P01", "insufficient data left in message")
    }

    pub(super) fn not_supported(message: impl Into<String>) -> Self {
        Self::new("0A000", message)
    }
}
