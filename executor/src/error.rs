//! Errors with a kind that survives the trip from a worker to the master.
//!
//! ```text
//! kernel or UDF ─▶ ExecError ─▶ DataFusionError::External ─▶ text over the wire ─▶ ExecError::find ─▶ SQLSTATE (server)
//! ```
//!
//! The worker protocol carries [`DataFusionError::External`] as text only, so the text itself holds the kind and the
//! fields: `quickdb:<Kind>: message`, then each field after a unit separator, then a record separator. [`ExecError::find`]
//! takes the typed error where it is still there and reads the text otherwise.

use std::error::Error;
use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;

const MARKER: &str = "quickdb:";
const FIELD_SEPARATOR: char = '\u{1f}';
const END: char = '\u{1e}';

macro_rules! error_kinds {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What went wrong, as far as a client can act on it. The server maps each kind to one SQLSTATE.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorKind { $($(#[$doc])* $name),+ }

        impl ErrorKind {
            /// Every kind, for tests that must not miss one.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name),+];

            /// The name that travels in the text.
            pub fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => stringify!($name)),+ }
            }

            /// The kind of a name, or `None` for a name of another version.
            pub fn from_name(name: &str) -> Option<ErrorKind> {
                match name { $(stringify!($name) => Some(ErrorKind::$name),)+ _ => None }
            }
        }
    };
}

error_kinds! {
    /// A division by zero of any numeric type.
    DivisionByZero,
    /// A number beyond the range of its type.
    NumericOutOfRange,
    /// Text that is no value of the type asked for.
    InvalidText,
    /// Text that is no date, time or interval.
    InvalidDatetime,
    /// A date, time or interval beyond its range.
    DatetimeOutOfRange,
    /// A field of an interval beyond its range.
    IntervalFieldOverflow,
    /// An offset from UTC that no zone can have.
    ZoneDisplacement,
    /// A subquery that must give one row gave more.
    CardinalityViolation,
    /// An argument outside what the function takes.
    InvalidParameter,
    /// A NULL where none may be.
    NullNotAllowed,
    /// A negative length given to `substring`.
    InvalidSubstring,
    /// A regular expression that does not compile.
    InvalidRegex,
    /// An escape character or sequence that is none.
    InvalidEscape,
    /// The logarithm of zero or of a negative number.
    InvalidLogArgument,
    /// A power that has no real value.
    InvalidPowerArgument,
    /// A place that an array or a bytea does not have.
    ArraySubscript,
    /// A value larger than any that can be made.
    LimitExceeded,
    /// A histogram's bounds or count that make no buckets.
    InvalidWidthBucket,
    /// A place in a window's frame below one.
    InvalidNthValue,
    /// A number of buckets below one.
    InvalidNtile,
    /// A character that text cannot hold.
    UntranslatableCharacter,
    /// A value that an operation cannot take for its shape or content.
    DataException,
    /// Text longer than its type takes.
    StringTooLong,
    /// No function or operator takes these arguments.
    UndefinedFunction,
    /// More than one function takes these arguments.
    AmbiguousFunction,
    /// No such relation.
    UndefinedTable,
    /// No such column.
    UndefinedColumn,
    /// A column name that more than one relation has.
    AmbiguousColumn,
    /// No such schema.
    UndefinedSchema,
    /// No such type, role, collation or setting.
    UndefinedObject,
    /// Expressions whose types do not go together.
    DatatypeMismatch,
    /// No cast between two types.
    CannotCoerce,
    /// A column outside of GROUP BY, or an aggregate where none may be.
    Grouping,
    /// A window function where none may be.
    Windowing,
    /// An ordinal or column reference that cannot be resolved.
    InvalidColumnReference,
    /// A parameter whose type cannot be told.
    IndeterminateDatatype,
    /// Text that is not SQL.
    Syntax,
    /// A statement nested deeper than the server follows.
    TooComplex,
    /// Something that is not built.
    Unsupported,
    /// The query was cancelled.
    Cancelled,
    /// The memory limit was reached.
    OutOfMemory,
    /// The disk is full.
    DiskFull,
    /// A shard whose bytes do not match their checksum.
    Corrupt,
    /// A shard that the worker does not hold.
    ShardMissing,
    /// A worker that does not answer.
    WorkerLost,
    /// The worker's shards are of another catalogue than the master's.
    OtherCatalogue,
    /// Reading or writing failed.
    Io,
    /// A defect of quickdb.
    Internal,
}

/// An error of a kind, with what PostgreSQL's protocol can say about it.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// One lowercase line.
    pub message: String,
    /// More about it, a sentence.
    pub detail: Option<String>,
    /// What to do about it, a sentence.
    pub hint: Option<String>,
    /// Where in the input it is, in PostgreSQL's words.
    pub context: Option<String>,
    /// The worker it happened on, where that is known.
    pub worker: Option<String>,
}

impl ExecError {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, hint: None, context: None, worker: None }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a context.
    #[must_use]
    pub fn with_context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// The same with the name of the worker it happened on.
    #[must_use]
    pub fn on_worker(mut self, worker: impl Into<String>) -> Self {
        self.worker = Some(worker.into());
        self
    }

    /// Wraps the error for DataFusion.
    pub fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }

    /// Wraps the error for an arrow kernel.
    pub fn into_arrow(self) -> ArrowError {
        ArrowError::ExternalError(Box::new(self))
    }

    /// The error inside `error`, however deep: typed where it never left the process, read from the text otherwise.
    pub fn find(error: &DataFusionError) -> Option<ExecError> {
        Self::find_typed(error).or_else(|| Self::from_text(&error.to_string()))
    }

    fn find_typed(error: &(dyn Error + 'static)) -> Option<ExecError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<ExecError>() {
                return Some(found.clone());
            }
            let inner: Option<&(dyn Error + 'static)> = match error.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Collection(errors)) => {
                    return errors.iter().find_map(|error| Self::find_typed(error));
                }
                Some(DataFusionError::Shared(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                    Some(inner.as_ref())
                }
                Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
                _ => match error.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    _ => error.source(),
                },
            };
            next = inner;
        }
        None
    }

    /// Reads an error out of text that another process made of it with [`Display`](fmt::Display).
    pub fn from_text(text: &str) -> Option<ExecError> {
        text.match_indices(MARKER).find_map(|(start, _)| {
            let rest = text.get(start + MARKER.len()..)?;
            let (name, rest) = rest.split_once(": ")?;
            let kind = ErrorKind::from_name(name)?;
            let body = rest.split(END).next()?;
            let mut fields = body.split(FIELD_SEPARATOR);
            let mut error = ExecError::new(kind, fields.next()?);
            for field in fields {
                match field.split_once('=') {
                    Some(("detail", value)) => error.detail = Some(value.to_owned()),
                    Some(("hint", value)) => error.hint = Some(value.to_owned()),
                    Some(("context", value)) => error.context = Some(value.to_owned()),
                    Some(("worker", value)) => error.worker = Some(value.to_owned()),
                    _ => {}
                }
            }
            Some(error)
        })
    }
}

/// Drops the two separators from text that came from outside, so that it cannot end a field early.
fn field(text: &str) -> String {
    text.chars().filter(|c| !matches!(*c, FIELD_SEPARATOR | END)).collect()
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARKER}{}: {}", self.kind.name(), field(&self.message))?;
        let fields = [
            ("detail", &self.detail),
            ("hint", &self.hint),
            ("context", &self.context),
            ("worker", &self.worker),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                write!(f, "{FIELD_SEPARATOR}{name}={}", field(value))?;
            }
        }
        write!(f, "{END}")
    }
}

/// The same as [`Display`](fmt::Display): some layers of the protocol send the debug form.
impl fmt::Debug for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ExecError {}

impl From<ExecError> for DataFusionError {
    fn from(error: ExecError) -> Self {
        error.into_datafusion()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn sample(kind: ErrorKind) -> ExecError {
        ExecError::new(kind, "bad \"thing\": x")
            .with_detail("It was bad.")
            .with_hint("Try another.")
            .with_context("line 1: it")
            .on_worker("worker-1")
    }

    #[test]
    fn every_kind_survives_as_text() {
        for kind in ErrorKind::ALL {
            let error = sample(*kind);
            let text = format!("External error: {error}\nsome trailer of a transport");
            assert_eq!(ExecError::from_text(&text), Some(error));
        }
    }

    #[test]
    fn text_inside_another_errors_text_is_found() {
        let inner = sample(ErrorKind::Corrupt).into_datafusion();
        let outer = DataFusionError::Execution(format!("task 3 failed: {inner}"));
        assert_eq!(ExecError::find(&outer), Some(sample(ErrorKind::Corrupt)));
    }

    #[test]
    fn typed_errors_are_found_through_wrappers() {
        let error = sample(ErrorKind::DivisionByZero);
        let wrapped = DataFusionError::Shared(Arc::new(
            DataFusionError::ArrowError(Box::new(error.clone().into_arrow()), None).context("evaluating"),
        ));
        assert_eq!(ExecError::find(&wrapped), Some(error));
    }

    #[test]
    fn separators_in_a_message_cannot_forge_fields() {
        let error = ExecError::new(ErrorKind::InvalidText, "a\u{1f}hint=forged\u{1e}b");
        let read = ExecError::from_text(&error.to_string()).unwrap();
        assert_eq!(read.message, "ahint=forgedb");
        assert_eq!(read.hint, None);
    }

    #[test]
    fn other_text_is_no_error_of_ours() {
        assert_eq!(ExecError::from_text("quickdb:Unheard: of"), None);
        assert_eq!(ExecError::from_text("quickdb: nothing"), None);
    }
}
