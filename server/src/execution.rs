//! Running physical plans apart from the sockets.
//!
//! Plans are polled by a runtime of their own, so that a query that computes does not hold up the protocol
//! of other clients. Between the two is one bounded channel per query; dropping its receiving end stops the
//! plan and, through the streams it holds, its tasks on every worker.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use quickdb_executor::error::{ErrorKind, ExecError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::catalogue::CatalogueSnapshot;

/// Batches that wait for a client that reads slowly; the plan waits after that.
const BATCHES_AHEAD: usize = 2;

/// Plans are trees, and dropping a deep one recurses.
const STACK_BYTES: usize = 64 << 20;

/// The runtime that polls plans.
pub(crate) struct PlanRuntime {
    runtime: Option<Runtime>,
}

impl PlanRuntime {
    /// A runtime with `threads` threads.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("quickdb-plan")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs something else than a plan for a statement: the writing of a shard, the removal of one.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match &self.runtime {
            Some(runtime) => runtime.spawn(task),
            // It is there until the runtime is dropped.
            None => tokio::spawn(task),
        }
    }

    /// Starts a plan; its batches come out of the stream.
    /// The files of `snapshot` stay until the stream is dropped.
    pub(crate) fn start(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        snapshot: Arc<CatalogueSnapshot>,
    ) -> RowStream {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let running = self.runtime.as_ref().map(|runtime| {
            runtime.spawn(async move {
                let mut stream = match execute_stream(plan, context) {
                    Ok(stream) => stream,
                    Err(error) => {
                        let _ = sender.send(Err(error)).await;
                        return;
                    }
                };
                while let Some(batch) = stream.next().await {
                    let failed = batch.is_err();
                    if sender.send(batch).await.is_err() || failed {
                        return;
                    }
                }
            })
        });
        RowStream { batches, running, first: None, _snapshot: snapshot }
    }
}

impl Drop for PlanRuntime {
    fn drop(&mut self) {
        // Waiting for plans here could block the thread that drops.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The batches of a running plan. Dropping it cancels the plan.
pub(crate) struct RowStream {
    batches: mpsc::Receiver<Result<RecordBatch>>,
    running: Option<JoinHandle<()>>,
    first: Option<Result<RecordBatch>>,
    _snapshot: Arc<CatalogueSnapshot>,
}

impl RowStream {
    /// The next batch; `None` when the plan has ended well.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch>> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.receive().await,
        }
    }

    /// Waits for the first batch and keeps it, so that a failure before any row can be seen.
    pub(crate) async fn first_error(&mut self) -> Option<DataFusionError> {
        match self.receive().await {
            Some(Err(error)) => Some(error),
            first => {
                self.first = first;
                None
            }
        }
    }

    async fn receive(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.batches.recv().await {
            return Some(batch);
        }
        // The sender is gone: the plan has ended, or panicked half-way, which must not look like an end.
        match self.running.take()?.await {
            Ok(()) => None,
            Err(error) => {
                let message = format!("the query stopped in an unexpected way: {error}");
                Some(Err(ExecError::new(ErrorKind::Internal, message).into_datafusion()))
            }
        }
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}
