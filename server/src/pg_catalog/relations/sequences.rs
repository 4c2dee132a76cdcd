//! Relations about sequences, and how defaults show them.

use std::sync::Arc;

use crate::catalogue::{Column, Generation, PgType, Sequence};
use crate::pg_catalog::identifier;
use crate::pg_catalog::relation::RowSource;
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;
use crate::write::sequences::called_by;

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_sequence"), sequences),
    (("pg_catalog", "pg_sequences"), sequences_shown),
    (("information_schema", "sequences"), standard_sequences),
];

/// The columns that every sequence has as a relation: name and type.
pub(in crate::pg_catalog) const COLUMNS: [(&str, u32); 3] =
    [("last_value", 20), ("log_cnt", 20), ("is_called", 16)];

impl SessionView {
    /// A column's default as it is shown: sequences by their names. An identity column has none.
    pub(in crate::pg_catalog) fn shown_default(&self, column: &Column) -> Option<String> {
        let default = column.default.as_ref().filter(|_| !column.generation.is_identity())?;
        if column.generation == Generation::Stored {
            return Some(format!("({default})"));
        }
        let sequence = called_by(default).and_then(|oid| self.format_relation(oid));
        Some(match sequence {
            Some(name) => format!("nextval('{}'::regclass)", name.replace('\'', "''")),
            None => default.clone(),
        })
    }

    /// The sequence that goes with a column.
    pub(in crate::pg_catalog) fn sequence_of(&self, table: u32, column: u32) -> Option<&Arc<Sequence>> {
        let mut own = self.snapshot.sequences_of(table);
        own.find(|sequence| sequence.owned_by.is_some_and(|owner| owner.column == column))
    }

    /// A relation's name with its schema.
    pub(in crate::pg_catalog) fn qualified(&self, oid: u32) -> Option<String> {
        let (schema, name) = self.relation_name(oid)?;
        Some(format!("{}.{}", identifier::quote(schema), identifier::quote(name)))
    }
}

fn sequences(view: &SessionView, rows: &mut Rows) {
    for sequence in view.snapshot.sequences.iter() {
        rows.push([
            ("seqrelid", sequence.oid.into()),
            ("seqtypid", sequence.type_oid.into()),
            ("seqstart", Datum::Int(sequence.start)),
            ("seqincrement", Datum::Int(sequence.increment)),
            ("seqmax", Datum::Int(sequence.max)),
            ("seqmin", Datum::Int(sequence.min)),
            ("seqcache", Datum::Int(sequence.cache)),
            ("seqcycle", sequence.cycle.into()),
        ]);
    }
}

fn sequences_shown(view: &SessionView, rows: &mut Rows) {
    for sequence in view.snapshot.sequences.iter() {
        let value = view.facts.live.sequence_value(sequence).filter(|value| value.called);
        rows.push([
            ("schemaname", (&sequence.schema).into()),
            ("sequencename", (&sequence.name).into()),
            ("sequenceowner", view.role_name(sequence.owner).map(str::to_owned).into()),
            ("data_type", sequence.type_oid.into()),
            ("start_value", Datum::Int(sequence.start)),
            ("min_value", Datum::Int(sequence.min)),
            ("max_value", Datum::Int(sequence.max)),
            ("increment_by", Datum::Int(sequence.increment)),
            ("cycle", sequence.cycle.into()),
            ("cache_size", Datum::Int(sequence.cache)),
            ("last_value", value.map_or(Datum::Null, |value| Datum::Int(value.last))),
        ]);
    }
}

fn standard_sequences(view: &SessionView, rows: &mut Rows) {
    // Those of identity columns are not the standard's sequences.
    let own = view.snapshot.sequences.iter();
    for sequence in own.filter(|sequence| !sequence.owned_by.is_some_and(|owner| owner.identity)) {
        let bits: i64 = match sequence.type_oid {
            21 => 16,
            23 => 32,
            _ => 64,
        };
        rows.push([
            ("sequence_catalog", (&view.facts.database).into()),
            ("sequence_schema", (&sequence.schema).into()),
            ("sequence_name", (&sequence.name).into()),
            ("data_type", PgType::new(sequence.type_oid).to_string().into()),
            ("numeric_precision", Datum::Int(bits)),
            ("numeric_precision_radix", Datum::Int(2)),
            ("numeric_scale", Datum::Int(0)),
            ("start_value", sequence.start.to_string().into()),
            ("minimum_value", sequence.min.to_string().into()),
            ("maximum_value", sequence.max.to_string().into()),
            ("increment", sequence.increment.to_string().into()),
            ("cycle_option", if sequence.cycle { "YES" } else { "NO" }.into()),
        ]);
    }
}
