//! Columns as CREATE TABLE and ADD COLUMN write them.

use datafusion::sql::sqlparser::ast::{ColumnDef, ColumnOption, GeneratedAs};

use super::names::fold;
use super::sequences::{self, OwnSequence};
use super::tables::{Wanted, column_type, references};
use crate::catalogue::{Column, ConstraintKind, Generation, PgType};
use crate::error::{PgError, SqlState};
use crate::session::Session;
use crate::sql::own::SequenceChanges;

/// A column with what stands at it.
pub(crate) struct ColumnParts {
    pub(crate) column: Column,
    pub(crate) constraints: Vec<Wanted>,
    /// The sequence that it is to have.
    pub(crate) sequence: Option<OwnSequence>,
}

/// The type behind the name of a serial one.
fn serial(name: &str) -> Option<PgType> {
    Some(PgType::new(match name {
        "serial" | "serial4" => 23,
        "bigserial" | "serial8" => 20,
        "smallserial" | "serial2" => 21,
        _ => return None,
    }))
}

/// A column of CREATE TABLE or ADD COLUMN.
///
/// # Errors
/// 42704 for a type that there is not, 42601 for options that do not go together, 0A000 for those that columns here do
/// not have.
pub(crate) fn column_of(session: &Session, written: &ColumnDef) -> Result<ColumnParts, PgError> {
    let type_name = written.data_type.to_string();
    let serial = serial(&type_name.to_lowercase());
    let pg_type = match serial {
        Some(pg_type) => pg_type,
        None => column_type(&type_name)?,
    };
    let mut column = Column::new(fold(&written.name), pg_type);
    let mut constraints = Vec::new();
    let mut options = serial.map(|_| SequenceChanges::default());
    let mut nullable = None;
    let twice = |what: &str, column: &Column| {
        let message = format!("{what} specified for column \"{}\"", column.name);
        Err(PgError::with_state(SqlState("42601"), message))
    };
    for option in &written.options {
        let name = option.name.as_ref().map(fold);
        let on_column = |kind, definition: String| Wanted {
            name: name.clone(),
            kind,
            columns: vec![column.name.clone()],
            definition,
        };
        match &option.option {
            ColumnOption::Null => nullable = Some(true),
            ColumnOption::NotNull => {
                if nullable == Some(true) {
                    let message =
                        format!("conflicting NULL/NOT NULL declarations for column \"{}\"", column.name);
                    return Err(PgError::with_state(SqlState("42601"), message));
                }
                nullable = Some(false);
            }
            ColumnOption::Default(value) => {
                if column.default.is_some() || serial.is_some() {
                    return twice("multiple default values", &column);
                }
                if options.is_some() {
                    return twice("both default and identity", &column);
                }
                let text = sequences::by_number(session, value)?;
                column.default = Some(text).filter(|text| !text.eq_ignore_ascii_case("null"));
            }
            ColumnOption::PrimaryKey(_) => {
                nullable = Some(false);
                constraints.push(on_column(ConstraintKind::PrimaryKey, String::new()));
            }
            ColumnOption::Unique(_) => constraints.push(on_column(ConstraintKind::Unique, String::new())),
            ColumnOption::Check(check) => {
                let named = check.name.as_ref().map(fold).or(name.clone());
                let wanted = on_column(ConstraintKind::Check, check.expr.to_string());
                constraints.push(Wanted { name: named, ..wanted });
            }
            ColumnOption::ForeignKey(key) => {
                constraints.push(on_column(ConstraintKind::ForeignKey, references(key)));
            }
            ColumnOption::Generated { generation_expr: Some(expr), .. } => {
                if column.default.is_some() {
                    return twice("both default and generation expression", &column);
                }
                column.default = Some(expr.to_string());
                column.generation = Generation::Stored;
            }
            ColumnOption::Generated { generated_as, sequence_options, .. } => {
                if column.default.is_some() {
                    return twice("both default and identity", &column);
                }
                if column.generation.is_identity() {
                    return twice("multiple identity specifications", &column);
                }
                if ![20, 21, 23].contains(&pg_type.oid) {
                    let message = "identity column type must be smallint, integer, or bigint";
                    return Err(PgError::with_state(SqlState("22023"), message));
                }
                column.generation = match generated_as {
                    GeneratedAs::Always => Generation::Always,
                    _ => Generation::ByDefault,
                };
                options = Some(sequences::identity_options(sequence_options.as_deref().unwrap_or_default())?);
            }
            ColumnOption::Collation(_) => {}
            ColumnOption::Comment(text) => column.comment = Some(text.clone()),
            other => return Err(PgError::unsupported(format!("column option {other}"))),
        }
    }
    column.not_null = nullable == Some(false) || options.is_some();
    let sequence = options.map(|options| OwnSequence { column: column.name.clone(), options });
    Ok(ColumnParts { column, constraints, sequence })
}
