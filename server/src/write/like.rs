//! `LIKE table [INCLUDING ...]` among the columns of CREATE TABLE.
//!
//! The parser does not know it there: `sql::spellings` writes it as a column of a name that no column has, whose type
//! is the table and whose type's modifiers are the options.

use datafusion::sql::sqlparser::ast::{ColumnDef, DataType, ObjectName};

use super::names::{RelationName, SearchPath};
use super::sequences::OwnSequence;
use super::tables::Wanted;
use crate::catalogue::{Column, ConstraintKind, Generation};
use crate::error::{PgError, SqlState};
use crate::session::Session;
use crate::sql::LIKE_COLUMN;
use crate::sql::own::SequenceChanges;

/// Which of a table's properties are copied beside names, types and NOT NULL.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    comments: bool,
    constraints: bool,
    defaults: bool,
    generated: bool,
    identity: bool,
    indexes: bool,
}

/// What a table gives to another.
pub(crate) struct Copied {
    pub(crate) columns: Vec<Column>,
    pub(crate) constraints: Vec<Wanted>,
    /// The sequences that identity columns are to have.
    pub(crate) sequences: Vec<OwnSequence>,
}

/// The table and the options, where a column is none.
pub(crate) fn of(column: &ColumnDef) -> Option<(ObjectName, Options)> {
    if column.name.value != LIKE_COLUMN {
        return None;
    }
    let DataType::Custom(source, words) = &column.data_type else { return None };
    let mut options = Options::default();
    for pair in words.chunks(2) {
        let [how, what] = pair else { continue };
        let on = how.eq_ignore_ascii_case("including");
        let all = what.eq_ignore_ascii_case("all");
        for (name, option) in [
            ("comments", &mut options.comments),
            ("constraints", &mut options.constraints),
            ("defaults", &mut options.defaults),
            ("generated", &mut options.generated),
            ("identity", &mut options.identity),
            ("indexes", &mut options.indexes),
        ] {
            if all || what.eq_ignore_ascii_case(name) {
                *option = on;
            }
        }
    }
    Some((source.clone(), options))
}

/// What the table gives.
///
/// # Errors
/// 42P01 for one that is not there.
pub(crate) fn copied(session: &Session, source: &ObjectName, options: Options) -> Result<Copied, PgError> {
    let name = RelationName::of(source, &session.database)?;
    let (snapshot, path) = (session.snapshot(), session.search_path());
    let lookup = SearchPath { snapshot: &snapshot, schemas: &path };
    if lookup.find_table(&name).is_none()
        && let Ok(view) = lookup.view(&name)
    {
        let columns = view.columns.iter().map(|(name, pg_type)| Column::new(name, *pg_type)).collect();
        return Ok(Copied { columns, constraints: Vec::new(), sequences: Vec::new() });
    }
    let table = lookup.table(&name)?;
    let columns = table.columns.iter().map(|column| Column {
        not_null: column.not_null,
        comment: column.comment.clone().filter(|_| options.comments),
        default: column.default.clone().filter(|_| match column.generation {
            Generation::None => options.defaults,
            Generation::Stored => options.generated,
            // It gets a sequence of its own.
            Generation::Always | Generation::ByDefault => false,
        }),
        generation: match column.generation {
            Generation::Stored if options.generated => Generation::Stored,
            identity if identity.is_identity() && options.identity => identity,
            _ => Generation::None,
        },
        ..Column::new(&column.name, column.pg_type)
    });
    let identities =
        table.columns.iter().filter(|column| column.generation.is_identity() && options.identity);
    let sequences = identities.map(|column| {
        let mut known = snapshot.sequences_of(table.oid);
        let known = known.find(|known| known.owned_by.is_some_and(|owner| owner.column == column.number));
        let options = known.map(|known| SequenceChanges {
            increment: Some(known.increment),
            min: Some(Some(known.min)),
            max: Some(Some(known.max)),
            start: Some(known.start),
            cache: Some(known.cache),
            cycle: Some(known.cycle),
            ..SequenceChanges::default()
        });
        OwnSequence { column: column.name.clone(), options: options.unwrap_or_default() }
    });
    let sequences = sequences.collect();
    let names_of = |numbers: &[u32]| -> Option<Vec<String>> {
        let name = |number: &u32| table.columns.iter().find(|column| column.number == *number);
        numbers.iter().map(|number| Some(name(number)?.name.clone())).collect()
    };
    let mut constraints = Vec::new();
    for known in &table.constraints {
        let wanted = match known.kind {
            ConstraintKind::Check => options.constraints,
            ConstraintKind::ForeignKey => false,
            _ => options.indexes,
        };
        if !wanted {
            continue;
        }
        let columns = names_of(&known.columns).ok_or_else(|| {
            PgError::with_state(SqlState("XX000"), format!("constraint {} has lost a column", known.name))
        })?;
        // A check keeps its name; what has an index gets one that is free.
        let name = (known.kind == ConstraintKind::Check).then(|| known.name.clone());
        constraints.push(Wanted { name, kind: known.kind, columns, definition: known.definition.clone() });
    }
    Ok(Copied { columns: columns.collect(), constraints, sequences })
}
