//! Functions of sequences. What they do is done at once and is not undone.

use std::sync::Arc;

use super::Kind::{Bool, Int, Text};
use super::{CatalogueFunction, argument, strict, text, volatile};
use crate::catalogue::{Sequence, SequenceValue};
use crate::pg_catalog::error::{FunctionError, FunctionResult, Mistake};
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    volatile("nextval", &[&[Text], &[Int]], "int8", |view, arguments| {
        Ok(Datum::Int(view.facts.live.next_value(sequence(view, arguments)?)?))
    }),
    volatile("currval", &[&[Text], &[Int]], "int8", |view, arguments| {
        let sequence = sequence(view, arguments)?;
        view.facts.live.current_value(sequence.oid).map(Datum::Int).ok_or_else(|| {
            let message =
                format!("currval of sequence \"{}\" is not yet defined in this session", sequence.name);
            FunctionError::new(Mistake::NotPrepared, message)
        })
    }),
    volatile("lastval", &[&[]], "int8", |view, _| {
        let last = view.facts.live.last_sequence();
        let current = last
            .filter(|oid| view.snapshot.sequence_by_oid(*oid).is_some())
            .and_then(|oid| view.facts.live.current_value(oid));
        current.map(Datum::Int).ok_or_else(|| {
            FunctionError::new(Mistake::NotPrepared, "lastval is not yet defined in this session")
        })
    }),
    volatile(
        "setval",
        &[&[Text, Int], &[Int, Int], &[Text, Int, Bool], &[Int, Int, Bool]],
        "int8",
        |view, arguments| set(view, arguments, argument(arguments, 2).as_bool().unwrap_or(true)),
    ),
    strict("pg_sequence_last_value", &[&[Int]], "int8", |view, arguments| {
        let value = view.facts.live.sequence_value(sequence(view, arguments)?);
        Ok(value.filter(|value| value.called).map_or(Datum::Null, |value| Datum::Int(value.last)))
    }),
];

/// The sequence that the first argument means.
fn sequence<'a>(view: &'a SessionView, arguments: &[Datum]) -> FunctionResult<&'a Arc<Sequence>> {
    let oid = match argument(arguments, 0) {
        Datum::Text(_) => view.existing_relation_oid(text(arguments, 0))?,
        other => other.as_oid().unwrap_or_default(),
    };
    view.snapshot.sequence_by_oid(oid).ok_or_else(|| match view.relation_name(oid) {
        Some((_, name)) => {
            FunctionError::new(Mistake::WrongObjectType, format!("\"{name}\" is not a sequence"))
        }
        None => {
            FunctionError::new(Mistake::UndefinedTable, format!("could not open relation with OID {oid}"))
        }
    })
}

fn set(view: &SessionView, arguments: &[Datum], called: bool) -> FunctionResult<Datum> {
    let sequence = sequence(view, arguments)?;
    let last = argument(arguments, 1).as_int().unwrap_or_default();
    if !(sequence.min..=sequence.max).contains(&last) {
        let message = format!(
            "setval: value {last} is out of bounds for sequence \"{}\" ({}..{})",
            sequence.name, sequence.min, sequence.max
        );
        return Err(FunctionError::new(Mistake::OutOfRange, message));
    }
    view.facts.live.set_value(sequence, SequenceValue { last, called })?;
    Ok(Datum::Int(last))
}
