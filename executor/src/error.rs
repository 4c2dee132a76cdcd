//! What can go wrong while a plan runs, by kind.

use std::fmt;

use datafusion::error::DataFusionError;

/// Kinds of failure that a client is told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Stored bytes are not what was written.
    Corrupt,
    /// A memory limit was reached.
    OutOfMemory,
    /// The disk is full.
    DiskFull,
    /// The operating system refused to read or write.
    Io,
    /// A broken invariant of ours.
    Internal,
    /// A worker was asked for a shard that it does not hold.
    ShardMissing,
    /// The query was cancelled.
    Cancelled,
    /// A number does not fit its type.
    NumericOverflow,
}

impl ErrorKind {
    const ALL: [Self; 8] = [
        Self::Corrupt,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::Io,
        Self::Internal,
        Self::ShardMissing,
        Self::Cancelled,
        Self::NumericOverflow,
    ];

    /// The kind's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Corrupt => "CORRUPT",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::DiskFull => "DISK_FULL",
            Self::Io => "IO",
            Self::Internal => "INTERNAL",
            Self::ShardMissing => "SHARD_MISSING",
            Self::Cancelled => "CANCELLED",
            Self::NumericOverflow => "NUMERIC_OVERFLOW",
        }
    }
}

/// A failure with its kind. It is shown as `quickdb:<KIND>: message`, so that it survives being sent as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecError {
    /// What kind of failure.
    pub kind: ErrorKind,
    /// One lowercase line.
    pub message: String,
    /// More for those who look.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The worker where it happened.
    pub worker: Option<String>,
}

impl ExecError {
    /// An error with a message and nothing else.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), detail: None, hint: None, worker: None }
    }

    /// The same error, at `worker`.
    #[must_use]
    pub fn at(mut self, worker: impl Into<String>) -> Self {
        self.worker = Some(worker.into());
        self
    }

    /// Wraps the error for DataFusion.
    pub fn into_datafusion(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }

    /// Finds the error in what DataFusion handed back: as a value, or in the text of an error of another process.
    pub fn find(error: &DataFusionError) -> Option<Self> {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = source {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found.clone());
            }
            source = error.source();
        }
        let text = error.to_string();
        let (_, tail) = text.split_once("quickdb:")?;
        let (name, message) = tail.split_once(": ")?;
        let kind = ErrorKind::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some(Self::new(kind, message))
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "quickdb:{}: {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for ExecError {}
