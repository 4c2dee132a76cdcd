//! A bound statement: the protocol's portals and SQL's cursors, which share their names.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use pgwire::api::results::FieldFormat;

use crate::cursor::{Cursor, Description};
use crate::session::Prepared;

/// A statement with its parameters and how far it has run.
pub(crate) struct Portal {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) values: Vec<ScalarValue>,
    /// Result formats as the client asked for them: none, one for all columns, or one each.
    pub(crate) formats: Vec<FieldFormat>,
    pub(crate) state: PortalState,
    /// Whether it outlives its transaction (`WITH HOLD`).
    pub(crate) hold: bool,
    /// When it was made: microseconds since 1970.
    pub(crate) opened_us: i64,
}

/// How far a portal has run.
pub(crate) enum PortalState {
    /// Not at all.
    Ready,
    /// Some rows are still to be read.
    Open { description: Description, cursor: Cursor, tag: &'static str, counted: bool },
    /// To its end; running it again gives no rows.
    Done { tag: String },
}

impl Portal {
    pub(crate) fn new(prepared: Arc<Prepared>, values: Vec<ScalarValue>, formats: Vec<FieldFormat>) -> Self {
        let opened_us = chrono::Utc::now().timestamp_micros();
        Self { prepared, values, formats, state: PortalState::Ready, hold: false, opened_us }
    }
}
