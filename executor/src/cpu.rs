//! The one bridge between Tokio, where streams are polled, and rayon, where the work is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use datafusion::error::Result;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::error::{ErrorKind, ExecError};

/// Runs `work` on the rayon pool and waits for its result without blocking a Tokio thread.
///
/// Work that nobody waits for any more, or whose `cancel` was given before its turn came, is not started. Work that
/// runs long looks at `cancel` itself, through [`check`].
///
/// # Errors
/// What `work` returns; `Cancelled` when it was not started; `Internal` when it panicked.
pub async fn run<T, F>(cancel: &CancellationToken, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let cancel = cancel.clone();
    let span = tracing::Span::current();
    rayon::spawn(move || {
        if sender.is_closed() || cancel.is_cancelled() {
            return;
        }
        let result = span.in_scope(|| catch_unwind(AssertUnwindSafe(work)));
        // The receiver may have gone while the work ran; then nobody wants the result.
        let _ = sender.send(result);
    });
    match receiver.await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => {
            Err(ExecError::new(ErrorKind::Internal, message_of(panic.as_ref())).into_datafusion())
        }
        Err(_) => Err(cancelled()),
    }
}

/// An error when `cancel` was given: long work asks once per row group.
///
/// # Errors
/// `Cancelled`.
pub fn check(cancel: &CancellationToken) -> Result<()> {
    if cancel.is_cancelled() { Err(cancelled()) } else { Ok(()) }
}

/// How many pieces of work make sense to have queued for one query: enough to keep every thread busy while results
/// are taken, few enough that another query's work is soon reached.
pub fn queue_length() -> usize {
    rayon::current_num_threads() * 2
}

fn cancelled() -> datafusion::error::DataFusionError {
    ExecError::new(ErrorKind::Cancelled, "query was cancelled").into_datafusion()
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown cause".to_owned());
    format!("worker thread panicked: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn a_panic_becomes_an_internal_error() {
        let error = run::<(), _>(&CancellationToken::new(), || panic!("boom")).await.unwrap_err();
        let error = ExecError::find(&error).unwrap();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(error.message.contains("boom"));
    }

    #[tokio::test]
    async fn cancelled_work_is_not_started() {
        let cancel = CancellationToken::new();
        cancel.cancel();
        let started = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&started);
        let error = run(&cancel, move || {
            seen.store(true, Ordering::SeqCst);
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(ExecError::find(&error).unwrap().kind, ErrorKind::Cancelled);
        assert!(!started.load(Ordering::SeqCst));
    }
}
