//! Every error that a client can see, as PostgreSQL would send it.
//!
//! Inside, errors are typed ([`ErrorKind`]); this is the one place that knows SQLSTATE. What DataFusion says in its own
//! words is recognised by [`PgError::from_datafusion`]; what it does not recognise is a defect of ours: XX000 with an id
//! that the log has too, and nothing of the inside in the message.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::error::ArrowError;
use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use quickdb_executor::error::{ErrorKind, ExecError};

use crate::sql::position::char_position;

mod catalogue;
mod wording;

/// A five-character SQLSTATE of PostgreSQL's appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl SqlState {
    /// The code of a kind of error.
    pub fn of(kind: ErrorKind) -> SqlState {
        SqlState(match kind {
            ErrorKind::DivisionByZero => "22012",
            ErrorKind::NumericOutOfRange => "22003",
            ErrorKind::InvalidText => "22P02",
            ErrorKind::InvalidDatetime => "22007",
            ErrorKind::DatetimeOutOfRange => "22008",
            ErrorKind::IntervalFieldOverflow => "22015",
            ErrorKind::ZoneDisplacement => "22009",
            ErrorKind::CardinalityViolation => "21000",
            ErrorKind::InvalidParameter => "22023",
            ErrorKind::NullNotAllowed => "22004",
            ErrorKind::InvalidSubstring => "22011",
            ErrorKind::InvalidRegex => "2201B",
            ErrorKind::InvalidEscape => "22025",
            ErrorKind::InvalidLogArgument => "2201E",
            ErrorKind::InvalidPowerArgument => "2201F",
            ErrorKind::LimitExceeded => "54000",
            ErrorKind::ArraySubscript => "2202E",
            ErrorKind::InvalidWidthBucket => "2201G",
            ErrorKind::InvalidNthValue => "22016",
            ErrorKind::InvalidNtile => "22014",
            ErrorKind::UntranslatableCharacter => "22P05",
            ErrorKind::DataException => "22000",
            ErrorKind::StringTooLong => "22001",
            ErrorKind::UndefinedFunction => "42883",
            ErrorKind::AmbiguousFunction => "42725",
            ErrorKind::UndefinedTable => "42P01",
            ErrorKind::UndefinedColumn => "42703",
            ErrorKind::AmbiguousColumn => "42702",
            ErrorKind::UndefinedSchema => "3F000",
            ErrorKind::UndefinedObject => "42704",
            ErrorKind::DatatypeMismatch => "42804",
            ErrorKind::CannotCoerce => "42846",
            ErrorKind::Grouping => "42803",
            ErrorKind::Windowing => "42P20",
            ErrorKind::InvalidColumnReference => "42P10",
            ErrorKind::IndeterminateDatatype => "42P18",
            ErrorKind::Syntax => "42601",
            ErrorKind::TooComplex => "54001",
            ErrorKind::Unsupported => "0A000",
            ErrorKind::Cancelled => "57014",
            ErrorKind::OutOfMemory => "53200",
            ErrorKind::DiskFull => "53100",
            ErrorKind::Corrupt | ErrorKind::ShardMissing => "XX001",
            ErrorKind::WorkerLost => "57P01",
            ErrorKind::OtherCatalogue => "55000",
            ErrorKind::Io => "58030",
            ErrorKind::Internal => "XX000",
        })
    }
}

/// How bad it is, as the protocol's `S` and `V` fields have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The connection ends.
    Fatal,
    /// Not an error.
    Warning,
    /// Not an error.
    Notice,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        })
    }
}

/// An error as a client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgError {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub sqlstate: SqlState,
    /// One line in PostgreSQL's words.
    pub message: String,
    /// A sentence more.
    pub detail: Option<String>,
    /// A sentence of advice.
    pub hint: Option<String>,
    /// What was being done, as in `COPY t, line 3`.
    pub context: Option<String>,
    /// Where in the query string, counted in characters from 1.
    pub position: Option<usize>,
    /// A schema that it is about.
    pub schema: Option<String>,
    /// A table that it is about.
    pub table: Option<String>,
    /// A column that it is about.
    pub column: Option<String>,
}

impl PgError {
    /// An error of a kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_state(SqlState::of(kind), message)
    }

    /// An error with a code that no kind has.
    pub fn with_state(sqlstate: SqlState, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            sqlstate,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            position: None,
            schema: None,
            table: None,
            column: None,
        }
    }

    /// Something that is not built: 0A000.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("{what} is not supported"))
    }

    /// The same that ends the connection.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.severity = Severity::Fatal;
        self
    }

    /// The same with a detail.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a context.
    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// The same at a place in the query string, in characters from 1, unless it has one.
    #[must_use]
    pub fn at(mut self, position: Option<usize>) -> Self {
        self.position = self.position.or(position);
        self
    }

    /// What a client is told of an error of planning or execution; `sql` is the query string that spans refer to.
    pub fn from_datafusion(error: DataFusionError, sql: Option<&str>) -> PgError {
        let position =
            sql.and_then(|sql| diagnosed(&error).and_then(|diagnostic| span_position(diagnostic, sql)));
        Self::translate(&error).at(position)
    }

    fn translate(error: &DataFusionError) -> PgError {
        if let Some(ours) = ExecError::find(error) {
            return ours.into();
        }
        if let Some(mistake) = catalogue_mistake(error) {
            return PgError::with_state(SqlState(mistake.mistake.sqlstate()), mistake.message.clone());
        }
        let root = error.find_root();
        match root {
            DataFusionError::SchemaError(schema_error, _) => schema(schema_error),
            DataFusionError::SQL(parser_error, _) => {
                PgError::new(ErrorKind::Syntax, parser_error.to_string())
            }
            DataFusionError::ArrowError(arrow_error, _) => {
                arrow(arrow_error).unwrap_or_else(|| internal(error))
            }
            DataFusionError::ResourcesExhausted(_) => PgError::new(ErrorKind::OutOfMemory, "out of memory")
                .detail("The query reached its memory limit."),
            DataFusionError::IoError(io) if io.kind() == std::io::ErrorKind::StorageFull => {
                PgError::new(ErrorKind::DiskFull, "could not write: no space left on device")
            }
            DataFusionError::IoError(io) => PgError::new(ErrorKind::Io, io.kind().to_string()),
            DataFusionError::ExecutionJoin(join) if join.is_cancelled() => cancelled(),
            DataFusionError::Plan(text)
            | DataFusionError::NotImplemented(text)
            | DataFusionError::Execution(text)
            | DataFusionError::Configuration(text)
            | DataFusionError::Internal(text) => {
                let known = wording::translate(text);
                match (known, root) {
                    (Some(known), _) => known,
                    // What the planner refuses and nothing here has words for is a shape of query that it cannot do.
                    (None, DataFusionError::NotImplemented(text) | DataFusionError::Plan(text)) => {
                        not_built(text)
                    }
                    (None, _) => internal(error),
                }
            }
            DataFusionError::External(inner) => match inner.downcast_ref::<PgError>() {
                Some(ours) => ours.clone(),
                None => wording::translate(&inner.to_string()).unwrap_or_else(|| internal(error)),
            },
            _ => internal(error),
        }
    }
}

/// 57014 in PostgreSQL's words.
pub fn cancelled() -> PgError {
    PgError::new(ErrorKind::Cancelled, "canceling statement due to user request")
}

impl From<ExecError> for PgError {
    fn from(error: ExecError) -> Self {
        if error.kind == ErrorKind::Internal {
            return defect(&error.to_string());
        }
        let mut translated = PgError::new(error.kind, error.message);
        translated.detail =
            error.detail.or_else(|| error.worker.map(|worker| format!("It happened on worker {worker}.")));
        translated.hint = error.hint;
        translated.context = error.context;
        translated
    }
}

impl From<PgError> for DataFusionError {
    fn from(error: PgError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.severity, self.sqlstate, self.message)
    }
}

impl std::error::Error for PgError {}

/// The message of a column that is missing, without the hint, which takes the names in scope.
fn schema(error: &SchemaError) -> PgError {
    match error {
        SchemaError::AmbiguousReference { field } => PgError::new(
            ErrorKind::AmbiguousColumn,
            format!("column reference \"{}\" is ambiguous", field.name),
        ),
        SchemaError::FieldNotFound { field, valid_fields } => missing_column(field, valid_fields),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            PgError::with_state(SqlState("42701"), format!("column \"{name}\" specified more than once"))
        }
    }
}

fn missing_column(field: &Column, valid: &[Column]) -> PgError {
    let Some(relation) = &field.relation else {
        let similar = similar_column(None, &field.name, valid);
        let error =
            PgError::new(ErrorKind::UndefinedColumn, format!("column \"{}\" does not exist", field.name));
        return with_similar(error, similar);
    };
    let in_scope =
        valid.iter().any(|column| column.relation.as_ref().is_some_and(|r| r.table() == relation.table()));
    if !in_scope {
        return PgError::new(
            ErrorKind::UndefinedTable,
            format!("missing FROM-clause entry for table \"{}\"", relation.table()),
        );
    }
    let similar = similar_column(Some(relation.table()), &field.name, valid);
    let error = PgError::new(
        ErrorKind::UndefinedColumn,
        format!("column {}.{} does not exist", relation.table(), field.name),
    );
    with_similar(error, similar)
}

fn with_similar(error: PgError, similar: Option<String>) -> PgError {
    match similar {
        Some(column) => error.hint(format!("Perhaps you meant to reference the column \"{column}\".")),
        None => error,
    }
}

/// The one column in scope that is spelt most like `name`, by PostgreSQL's rule: at most half of the letters differ.
fn similar_column(relation: Option<&str>, name: &str, valid: &[Column]) -> Option<String> {
    let mut best: Vec<(usize, &Column)> = Vec::new();
    for column in valid {
        let Some(table) = column.relation.as_ref() else { continue };
        let table_distance = relation.map_or(0, |wanted| distance(wanted, table.table()));
        let total = table_distance + distance(name, &column.name);
        if distance(name, &column.name) > 3.max(name.len() / 2) || total > 3 {
            continue;
        }
        match best.first() {
            Some((found, _)) if *found < total => {}
            Some((found, _)) if *found == total => best.push((total, column)),
            _ => best = vec![(total, column)],
        }
    }
    match best.as_slice() {
        [(total, column)] if *total <= name.len() / 2 => {
            let table = column.relation.as_ref().map_or("", |relation| relation.table());
            Some(format!("{table}.{}", column.name))
        }
        _ => None,
    }
}

/// Insertions, deletions and substitutions between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in b.iter().enumerate() {
            let substitute = previous.get(column).copied().unwrap_or(0) + usize::from(from != *to);
            let delete = previous.get(column + 1).copied().unwrap_or(0) + 1;
            let insert = current.get(column).copied().unwrap_or(0) + 1;
            current.push(substitute.min(delete).min(insert));
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

fn arrow(error: &ArrowError) -> Option<PgError> {
    Some(match error {
        ArrowError::DivideByZero => PgError::new(ErrorKind::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(_) => PgError::new(ErrorKind::NumericOutOfRange, "value out of range"),
        ArrowError::MemoryError(_) => PgError::new(ErrorKind::OutOfMemory, "out of memory"),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(inner) => PgError::translate(inner),
            None => wording::translate(&inner.to_string())?,
        },
        other => wording::translate(&other.to_string())?,
    })
}

fn not_built(text: &str) -> PgError {
    // The text is DataFusion's; its first line names the feature and no type of Rust's when it is short.
    let first = text.lines().next().unwrap_or_default().trim_end_matches('.');
    let presentable = first.len() <= 80
        && !first.contains(['{', '(', '`', '\'', '"'])
        && !first.contains("::")
        && !first.contains("Expr");
    tracing::info!(text, "a query that is not supported");
    let message = if presentable && !first.is_empty() {
        format!("this query is not supported: {}", first.to_lowercase())
    } else {
        "this query is not supported".to_owned()
    };
    PgError::new(ErrorKind::Unsupported, message).hint("Try to write the query in another way.")
}

static NEXT_DEFECT: AtomicU64 = AtomicU64::new(1);

fn internal(error: &DataFusionError) -> PgError {
    defect(&error.strip_backtrace())
}

/// A defect of ours: the log has all of it, the client an id to look for.
fn defect(text: &str) -> PgError {
    let id = NEXT_DEFECT.fetch_add(1, Ordering::Relaxed);
    tracing::error!(id, text, "internal error");
    PgError::new(ErrorKind::Internal, format!("internal error {id}"))
        .hint("The server's log has the details under this number. Please report it as a bug.")
}

fn diagnosed(error: &DataFusionError) -> Option<&Diagnostic> {
    match error {
        DataFusionError::Diagnostic(diagnostic, _) => Some(diagnostic),
        DataFusionError::Context(_, inner) => diagnosed(inner),
        DataFusionError::Shared(inner) => diagnosed(inner),
        DataFusionError::Collection(errors) => errors.first().and_then(diagnosed),
        _ => None,
    }
}

fn span_position(diagnostic: &Diagnostic, sql: &str) -> Option<usize> {
    let start = diagnostic.span?.start;
    char_position(sql, start.line, start.column)
}

/// An error of one of the catalogue's functions, which have codes that no kind has.
fn catalogue_mistake(error: &DataFusionError) -> Option<&crate::pg_catalog::FunctionError> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            _ => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_five_characters() {
        for kind in ErrorKind::ALL {
            let code = SqlState::of(*kind).0;
            assert_eq!(code.len(), 5, "{kind:?}");
            assert!(code.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()));
        }
    }

    #[test]
    fn defects_say_nothing_of_the_inside() {
        let error =
            DataFusionError::Internal("Unexpected plan node. This was likely caused by a bug".to_owned());
        let error = PgError::from_datafusion(error, None);
        assert_eq!(error.sqlstate, SqlState("XX000"));
        assert!(error.message.starts_with("internal error "));
    }

    #[test]
    fn hints_name_the_one_similar_column() {
        let valid = [Column::new(Some("flights"), "carrier"), Column::new(Some("flights"), "origin")];
        let error = missing_column(&Column::new_unqualified("carier"), &valid);
        assert_eq!(error.message, "column \"carier\" does not exist");
        assert_eq!(
            error.hint.as_deref(),
            Some("Perhaps you meant to reference the column \"flights.carrier\".")
        );
        let error = missing_column(&Column::new(Some("planes"), "carrier"), &valid);
        assert_eq!(error.message, "missing FROM-clause entry for table \"planes\"");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
