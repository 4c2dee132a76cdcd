//! Statements that are their own transaction are run again where another session's commit came first: PostgreSQL would
//! have waited for it and gone on.

use std::sync::Arc;

use datafusion::common::ScalarValue;

use super::{Action, Outcome, Prepared, Session, Transaction};
use crate::error::{PgError, SqlState};

/// Times that a statement is run again.
const AGAIN_MAX: u32 = 50;

/// The one statement of an implicit transaction, after it has been run.
pub(crate) struct WrittenOnce {
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) values: Vec<ScalarValue>,
    pub(crate) tag: String,
}

/// What an implicit transaction has written since it began.
#[derive(Default)]
pub(crate) enum WrittenSoFar {
    #[default]
    Nothing,
    Once(WrittenOnce),
    /// More than one statement, or something that cannot be done again.
    More,
}

impl WrittenSoFar {
    /// A statement has been run, and its client told of it.
    pub(crate) fn add(&mut self, prepared: &Arc<Prepared>, values: &[ScalarValue], tag: &str) {
        *self = match (std::mem::take(self), is_repeatable(&prepared.action)) {
            (Self::Nothing, true) => Self::Once(WrittenOnce {
                prepared: Arc::clone(prepared),
                values: values.to_vec(),
                tag: tag.to_owned(),
            }),
            _ => Self::More,
        };
    }

    /// The one statement, where it is one.
    pub(crate) fn take(&mut self) -> Option<WrittenOnce> {
        match std::mem::take(self) {
            Self::Once(once) => Some(once),
            _ => None,
        }
    }
}

fn is_repeatable(action: &Action) -> bool {
    matches!(action, Action::Insert(_) | Action::Modify(_) | Action::Merge(_))
}

impl Session {
    /// Whether a statement that could not be committed may be run again.
    pub(crate) fn may_run_again(&self, prepared: &Prepared, error: &PgError) -> bool {
        matches!(self.transaction, Transaction::Idle)
            && error.sqlstate == SqlState("40001")
            && is_repeatable(&prepared.action)
    }

    /// Runs a statement over what is committed now, and commits it.
    ///
    /// # Errors
    /// The statement's; 40001 when others are always first.
    pub(crate) async fn run_again(
        &mut self,
        prepared: &Prepared,
        values: &[ScalarValue],
    ) -> Result<Outcome, PgError> {
        for _ in 1..AGAIN_MAX {
            self.roll_back_work();
            let outcome = self.run(prepared, values).await?;
            match self.commit_work().await {
                Ok(()) => return Ok(outcome),
                Err(error) if error.sqlstate == SqlState("40001") => {}
                Err(error) => return Err(error),
            }
        }
        self.roll_back_work();
        let outcome = self.run(prepared, values).await?;
        self.commit_work().await?;
        Ok(outcome)
    }
}
