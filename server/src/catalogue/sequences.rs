//! Sequences: their definitions are part of snapshots, their values are not.
//!
//! ```text
//!  nextval ─▶ in memory, up to a value that SQLite has ─ used up ─▶ a later one is written first, then given out
//! ```
//!
//! **Invariant:** a value is given out once, whatever happens to the transaction or the server; what lay between the
//! last one and the one that SQLite has is skipped after a restart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, params};

use super::error::{CatalogueError, CatalogueResult};
use super::{Catalogue, is_temporary_schema};

/// Values that are written ahead of their use.
const AHEAD: u64 = 256;

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Its OID in `pg_class`.
    pub oid: u32,
    /// The OID of its schema.
    pub schema_oid: u32,
    /// The name of its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// The OID of its owner.
    pub owner: u32,
    /// What `COMMENT ON SEQUENCE` said.
    pub comment: Option<String>,
    /// The OID of its values' type.
    pub type_oid: u32,
    /// The first value.
    pub start: i64,
    /// What lies between two values; never 0.
    pub increment: i64,
    /// The least value.
    pub min: i64,
    /// The greatest value.
    pub max: i64,
    /// What `CACHE` said; nothing here depends on it.
    pub cache: i64,
    /// Whether it begins again at its end.
    pub cycle: bool,
    /// The column that it goes with.
    pub owned_by: Option<SequenceOwner>,
}

/// The column that a sequence goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceOwner {
    /// The OID of the table.
    pub table: u32,
    /// The number of the column.
    pub column: u32,
    /// Whether the column is an identity column, which cannot be without it.
    pub identity: bool,
}

/// Where a sequence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceValue {
    /// The last value, or the first one where none was given out.
    pub last: i64,
    /// Whether `last` was given out.
    pub called: bool,
}

impl Sequence {
    fn fresh(&self) -> SequenceValue {
        SequenceValue { last: self.start, called: false }
    }

    /// The value after one.
    fn after(&self, value: SequenceValue) -> CatalogueResult<SequenceValue> {
        if !value.called {
            return Ok(SequenceValue { called: true, ..value });
        }
        let next = value.last.checked_add(self.increment);
        if let Some(last) = next.filter(|next| (self.min..=self.max).contains(next)) {
            return Ok(SequenceValue { last, called: true });
        }
        if self.cycle {
            let last = if self.increment > 0 { self.min } else { self.max };
            return Ok(SequenceValue { last, called: true });
        }
        let (limit, bound) = if self.increment > 0 { ("maximum", self.max) } else { ("minimum", self.min) };
        Err(CatalogueError::SequenceLimit { sequence: self.name.clone(), limit, bound })
    }

    /// The value `steps` later, or the last one before the sequence's end, and how many steps it is.
    fn ahead(&self, value: SequenceValue, steps: u64) -> (SequenceValue, u64) {
        let whole = i128::from(self.increment) * i128::from(steps);
        let wanted = i128::from(value.last) + whole;
        let bound = i128::from(if self.increment > 0 { self.max } else { self.min });
        let beyond = if self.increment > 0 { wanted > bound } else { wanted < bound };
        let last = if beyond {
            let room = (bound - i128::from(value.last)) / i128::from(self.increment);
            i128::from(value.last) + room * i128::from(self.increment)
        } else {
            wanted
        };
        let steps = (last - i128::from(value.last)) / i128::from(self.increment);
        let last = i64::try_from(last).unwrap_or(value.last);
        (SequenceValue { last, called: true }, u64::try_from(steps).unwrap_or(0))
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    value: SequenceValue,
    /// Values that may be given out before something is written.
    left: u64,
}

/// Where the sequences of a catalogue stand.
#[derive(Debug, Default)]
pub(super) struct Values {
    states: Mutex<HashMap<u32, State>>,
}

impl Values {
    /// As SQLite has them.
    pub(super) fn read(connection: &Connection) -> CatalogueResult<Self> {
        let mut statement = connection.prepare("SELECT sequence, last, called FROM sequence_values")?;
        let states = statement.query_map([], |row| {
            let value = SequenceValue { last: row.get(1)?, called: row.get(2)? };
            Ok((row.get::<_, u32>(0)?, State { value, left: 0 }))
        })?;
        Ok(Self { states: Mutex::new(states.collect::<rusqlite::Result<_>>()?) })
    }
}

fn write(connection: &Connection, sequence: u32, value: SequenceValue) -> CatalogueResult<()> {
    connection.execute(
        "INSERT INTO sequence_values (sequence, last, called) VALUES (?1, ?2, ?3)
         ON CONFLICT (sequence) DO UPDATE SET last = excluded.last, called = excluded.called",
        params![sequence, value.last, value.called],
    )?;
    Ok(())
}

/// Lets sequences go on later than they stand: more values may have been given out than this catalogue knows of. One
/// that has not so many left is at its end.
pub(super) fn skip_ahead(connection: &Connection, steps: i64) -> CatalogueResult<()> {
    let known: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'sequence_values'",
        [],
        |row| row.get(0),
    )?;
    if known == 0 {
        return Ok(());
    }
    // Quotients, so that no sum is beyond a bigint.
    connection.execute(
        "UPDATE sequence_values SET called = 1, last = last + increment * max(0, min(?1,
             (CASE WHEN increment > 0 THEN max ELSE min END) / increment - last / increment))
         FROM sequences WHERE sequences.oid = sequence_values.sequence",
        [steps],
    )?;
    Ok(())
}

impl Catalogue {
    /// Where a sequence stands.
    pub fn sequence_value(&self, sequence: &Sequence) -> SequenceValue {
        let states = self.sequences.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.get(&sequence.oid).map_or_else(|| sequence.fresh(), |state| state.value)
    }

    /// The next value of a sequence.
    ///
    /// # Errors
    /// [`CatalogueError::SequenceLimit`] at its end.
    pub fn next_value(&self, sequence: &Sequence) -> CatalogueResult<i64> {
        // A state is replaced as a whole, so that a poisoned lock holds whole ones.
        let mut states = self.sequences.states.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = State { value: sequence.fresh(), left: 0 };
        let state = states.get(&sequence.oid).copied().unwrap_or(fresh);
        let value = sequence.after(state.value)?;
        let mut left = state.left;
        // A sequence that begins again is not where the values written ahead are.
        let wrapped = state.value.called && (value.last > state.value.last) != (sequence.increment > 0);
        if left == 0 || wrapped {
            let (written, steps) = sequence.ahead(value, AHEAD);
            if !is_temporary_schema(&sequence.schema) {
                self.write_sequence(sequence.oid, written)?;
            }
            left = steps + 1;
        }
        states.insert(sequence.oid, State { value, left: left - 1 });
        Ok(value.last)
    }

    /// Makes a sequence stand elsewhere, at once and whatever becomes of the transaction.
    ///
    /// # Errors
    /// [`CatalogueError::Sqlite`].
    pub fn set_value(&self, sequence: &Sequence, value: SequenceValue) -> CatalogueResult<()> {
        let mut states = self.sequences.states.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_temporary_schema(&sequence.schema) {
            self.write_sequence(sequence.oid, value)?;
        }
        states.insert(sequence.oid, State { value, left: 0 });
        Ok(())
    }

    fn write_sequence(&self, oid: u32, value: SequenceValue) -> CatalogueResult<()> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        write(&connection, oid, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(increment: i64, min: i64, max: i64, cycle: bool) -> Sequence {
        Sequence {
            oid: 20_000,
            schema_oid: 2_200,
            schema: "public".into(),
            name: "s".into(),
            owner: 10,
            comment: None,
            type_oid: 20,
            start: if increment > 0 { min } else { max },
            increment,
            min,
            max,
            cache: 1,
            cycle,
            owned_by: None,
        }
    }

    #[test]
    fn values_are_given_once_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue");
        let mut last = 0;
        for _ in 0..3 {
            let catalogue = Catalogue::open(&path).unwrap();
            let counting = sequence(1, 1, i64::MAX, false);
            for _ in 0..300 {
                let next = catalogue.next_value(&counting).unwrap();
                assert!(next > last, "{next} after {last}");
                last = next;
            }
        }
        assert!(last < 900 + 3 * 256 + 1);
    }

    #[test]
    fn a_recovered_sequence_goes_on_later() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE sequences (oid INTEGER, increment INTEGER, min INTEGER, max INTEGER);
                 CREATE TABLE sequence_values (sequence INTEGER, last INTEGER, called INTEGER) STRICT;
                 INSERT INTO sequences VALUES (1, 1, 1, 9223372036854775807), (2, -2, -9, -1), (3, 5, -10, 100);
                 INSERT INTO sequence_values VALUES (1, 7, 1), (2, -3, 1), (3, -10, 0);",
            )
            .unwrap();
        skip_ahead(&connection, 1_000).unwrap();
        let mut statement = connection.prepare("SELECT last FROM sequence_values ORDER BY sequence").unwrap();
        let last: Vec<i64> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(last, [1_007, -9, 100]);
    }

    #[test]
    fn ends_are_errors_or_beginnings() {
        let catalogue = Catalogue::in_memory().unwrap();
        let short = sequence(2, 1, 6, false);
        let values: Vec<_> = (0..3).map(|_| catalogue.next_value(&short).unwrap()).collect();
        assert_eq!(values, [1, 3, 5]);
        let error = catalogue.next_value(&short).unwrap_err().to_string();
        assert_eq!(error, "nextval: reached maximum value of sequence \"s\" (6)");
        let round = Sequence { oid: 20_001, ..sequence(-2, -5, -1, true) };
        let values: Vec<_> = (0..5).map(|_| catalogue.next_value(&round).unwrap()).collect();
        assert_eq!(values, [-1, -3, -5, -1, -3]);
        catalogue.set_value(&round, SequenceValue { last: -4, called: false }).unwrap();
        assert_eq!(catalogue.next_value(&round).unwrap(), -4);
    }
}
