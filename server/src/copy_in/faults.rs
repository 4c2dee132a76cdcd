//! Faults of COPY data as PostgreSQL tells of them, with the line in the context.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use bytes::BytesMut;
use quickdb_copy::{Batch, Fault, LineFault, Refusal};

use super::CopyColumn;
use crate::error::{PgError, SqlState};
use crate::wire::params::InputContext;
use crate::wire::settings::OutputSettings;
use crate::wire::text_value;

const BAD_COPY_FILE_FORMAT: SqlState = SqlState("22P04");
const NOT_NULL_VIOLATION: SqlState = SqlState("23502");
/// Bytes of a line or value that the context shows.
const CONTEXT_BYTES_MAX: usize = 100;
/// Bytes of a value that the detail about a failing row shows.
const FAILING_BYTES_MAX: usize = 64;

/// What messages name: the table and its columns.
pub(super) struct Site {
    relation: String,
    names: Vec<String>,
    fields: Vec<FieldRef>,
    settings: Arc<OutputSettings>,
}

impl Site {
    pub(super) fn new(relation: &str, columns: &[CopyColumn], context: &InputContext) -> Self {
        let field = |column: &CopyColumn| Arc::new(column.pg_type.field(&column.name, true));
        Self {
            relation: relation.to_owned(),
            names: columns.iter().map(|column| column.name.clone()).collect(),
            fields: columns.iter().map(field).collect(),
            settings: Arc::clone(&context.settings),
        }
    }

    pub(super) fn relation(&self) -> &str {
        &self.relation
    }

    pub(super) fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("?", String::as_str)
    }

    /// The error of a fault.
    pub(super) fn error(&self, fault: Fault) -> PgError {
        match fault {
            Fault::Line { line: 0, fault, .. } => self.line_error(&fault),
            Fault::Line { line, text, fault } => {
                self.line_error(&fault).context(self.line_context(line, text.as_deref()))
            }
            Fault::Value { line, column, text, refusal } => {
                let place = format!("{}, column {}", self.line_context(line, None), self.name(column));
                let context =
                    text.map_or_else(|| place.clone(), |text| format!("{place}: {}", quoted(&text)));
                value_error(refusal).context(context)
            }
            Fault::Field { line, column, truncated } => {
                let what = if truncated { "unexpected EOF in COPY data" } else { "invalid field size" };
                let context = format!("{}, column {}", self.line_context(line, None), self.name(column));
                PgError::with_state(BAD_COPY_FILE_FORMAT, what).context(context)
            }
            Fault::Null { line, column, text, row } => {
                self.null_error(column, &row).context(self.line_context(line, text.as_deref()))
            }
            Fault::Arrow(error) => PgError::from_datafusion(error.into(), None),
        }
    }

    fn line_context(&self, line: u64, text: Option<&str>) -> String {
        let place = format!("COPY {}, line {line}", self.relation);
        text.map_or_else(|| place.clone(), |text| format!("{place}: {}", quoted(text)))
    }

    /// 23502 for a row with NULL in a column that takes none.
    pub(super) fn null_error(&self, column: usize, row: &Batch) -> PgError {
        let (name, relation) = (self.name(column), &self.relation);
        let message = format!(
            "null value in column \"{name}\" of relation \"{relation}\" violates not-null constraint"
        );
        let values: Vec<String> =
            self.fields.iter().zip(&row.columns).map(|(field, array)| self.shown(field, array)).collect();
        let mut error = PgError::with_state(NOT_NULL_VIOLATION, message)
            .detail(format!("Failing row contains ({}).", values.join(", ")));
        error.table = Some(relation.clone());
        error.column = Some(name.to_owned());
        error
    }

    fn shown(&self, field: &Field, array: &arrow::array::ArrayRef) -> String {
        let mut out = BytesMut::new();
        match text_value(field, array, 0, &self.settings, &mut out) {
            Ok(true) => clipped(&String::from_utf8_lossy(&out), FAILING_BYTES_MAX),
            _ => "null".to_owned(),
        }
    }

    fn line_error(&self, fault: &LineFault) -> PgError {
        let bad = |message: &str| PgError::with_state(BAD_COPY_FILE_FORMAT, message);
        let csv_hint = |what: &str| format!("Use quoted CSV field to represent {what}.");
        match fault {
            LineFault::StrayReturn { csv: false } => {
                bad("literal carriage return found in data").hint("Use \"\\r\" to represent carriage return.")
            }
            LineFault::StrayReturn { csv: true } => {
                bad("unquoted carriage return found in data").hint(csv_hint("carriage return"))
            }
            LineFault::StrayNewline { csv: false } => {
                bad("literal newline found in data").hint("Use \"\\n\" to represent newline.")
            }
            LineFault::StrayNewline { csv: true } => {
                bad("unquoted newline found in data").hint(csv_hint("newline"))
            }
            LineFault::MarkerCorrupt
            | LineFault::MarkerStyle
            | LineFault::ExtraData
            | LineFault::Unterminated => bad(&fault.to_string()),
            LineFault::MissingData(column) => {
                bad(&format!("missing data for column \"{}\"", self.name(*column)))
            }
            LineFault::InvalidUtf8(bytes) => {
                let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
                let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
                PgError::with_state(SqlState("22021"), message)
            }
            LineFault::TooLong => PgError::with_state(SqlState::PROGRAM_LIMIT_EXCEEDED, "out of memory")
                .detail("A row of COPY data is longer than a gigabyte."),
            LineFault::HeaderCount { got, expected } => {
                bad(&format!("wrong number of fields in header line: got {got}, expected {expected}"))
            }
            LineFault::HeaderName { field, got, null, expected } => {
                let got = match got {
                    Some(got) => format!("got \"{got}\""),
                    None => format!("got null value (\"{null}\")"),
                };
                let number = field + 1;
                bad(&format!(
                    "column name mismatch in header line field {number}: {got}, expected \"{expected}\""
                ))
            }
            LineFault::Signature => bad("COPY file signature not recognized"),
            LineFault::BinaryHeader(what) => bad(what),
            LineFault::FieldCount { got, expected } => {
                bad(&format!("row field count is {got}, expected {expected}"))
            }
            LineFault::AfterTrailer => bad("received copy data after EOF marker"),
        }
    }
}

fn value_error(refusal: Refusal) -> PgError {
    match refusal.downcast::<PgError>() {
        Ok(error) => *error,
        Err(refusal) => match refusal.downcast_ref::<LineFault>() {
            Some(LineFault::InvalidUtf8(bytes)) => {
                let shown: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
                let message = format!("invalid byte sequence for encoding \"UTF8\": {}", shown.join(" "));
                PgError::with_state(SqlState("22021"), message)
            }
            _ => PgError::new(quickdb_executor::error::ErrorKind::Internal, refusal.to_string()),
        },
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", clipped(text, CONTEXT_BYTES_MAX))
}

/// At most so many bytes of a text, with dots where something is cut off.
fn clipped(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}...", text.get(..end).unwrap_or_default())
}
