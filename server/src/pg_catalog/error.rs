//! Errors of the catalogue's functions, in PostgreSQL's words.

use datafusion::error::DataFusionError;
use quickdb_executor::error::{ErrorKind, ExecError};

/// What kind of mistake it was; each has one SQLSTATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// 42P01: a relation that is not there.
    UndefinedTable,
    /// 42703: a column that is not there.
    UndefinedColumn,
    /// 42704: a type, role, setting or other object that is not there.
    UndefinedObject,
    /// 42883: a function that is not there.
    UndefinedFunction,
    /// 3F000: a schema that is not there.
    UndefinedSchema,
    /// 3D000: a database that is not there.
    UndefinedDatabase,
    /// 42809: an object of another kind than asked for.
    WrongObjectType,
    /// 42725: a name that more than one function has.
    AmbiguousFunction,
    /// 22023: an argument with a value that the function does not take.
    InvalidParameter,
    /// 22004: NULL where a value must be.
    NullValue,
    /// 42501: a right that the user has not.
    InsufficientPrivilege,
    /// 42602: a name that cannot be one.
    InvalidName,
    /// 0A000: a reference to another database.
    Unsupported,
    /// 55000: what must have happened before has not.
    NotPrepared,
    /// 22003: a number beyond its bounds.
    OutOfRange,
    /// 2200H: a sequence that has no value any more.
    SequenceLimit,
    /// XX000: the catalogue could not be written.
    Internal,
}

impl Mistake {
    const fn kind(self) -> Option<ErrorKind> {
        Some(match self {
            Self::UndefinedTable => ErrorKind::UndefinedTable,
            Self::UndefinedColumn => ErrorKind::UndefinedColumn,
            Self::UndefinedObject => ErrorKind::UndefinedObject,
            Self::UndefinedFunction => ErrorKind::UndefinedFunction,
            Self::UndefinedSchema => ErrorKind::UndefinedSchema,
            Self::AmbiguousFunction => ErrorKind::AmbiguousFunction,
            Self::InvalidParameter => ErrorKind::InvalidParameter,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::UndefinedDatabase
            | Self::WrongObjectType
            | Self::InvalidName
            | Self::NullValue
            | Self::NotPrepared
            | Self::OutOfRange
            | Self::SequenceLimit
            | Self::Internal
            | Self::InsufficientPrivilege => {
                return None;
            }
        })
    }

    /// PostgreSQL's code of the mistake.
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::UndefinedTable => "42P01",
            Self::UndefinedColumn => "42703",
            Self::UndefinedObject => "42704",
            Self::UndefinedFunction => "42883",
            Self::UndefinedSchema => "3F000",
            Self::UndefinedDatabase => "3D000",
            Self::WrongObjectType => "42809",
            Self::AmbiguousFunction => "42725",
            Self::InvalidParameter => "22023",
            Self::NullValue => "22004",
            Self::InsufficientPrivilege => "42501",
            Self::InvalidName => "42602",
            Self::Unsupported => "0A000",
            Self::NotPrepared => "55000",
            Self::OutOfRange => "22003",
            Self::SequenceLimit => "2200H",
            Self::Internal => "XX000",
        }
    }
}

/// An error of a catalogue function.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// What kind of mistake it was.
    pub mistake: Mistake,
    /// PostgreSQL's message.
    pub message: String,
}

impl FunctionError {
    pub(super) fn new(mistake: Mistake, message: impl Into<String>) -> Self {
        Self { mistake, message: message.into() }
    }
}

/// The result of a catalogue function.
pub type FunctionResult<T> = Result<T, FunctionError>;

/// The one place where errors of this module become DataFusion's. Kinds that the whole server knows become its own
/// error; the others stay what they are, and whoever finds one asks [`Mistake::sqlstate`].
impl From<FunctionError> for DataFusionError {
    fn from(error: FunctionError) -> Self {
        match error.mistake.kind() {
            Some(kind) => ExecError::new(kind, error.message).into_datafusion(),
            None => Self::External(Box::new(error)),
        }
    }
}
