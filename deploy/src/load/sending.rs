//! Rows to the server: readers decode on threads of their own, and one connection sends.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use futures::SinkExt;
use tokio::sync::mpsc;

use super::client::{Connection, said};
use super::file::Part;
use super::{LoadError, LoadFile, Plan, Progress};
use crate::shutdown::Shutdown;

/// Batches that wait to be sent, for each reader.
const BATCHES_AHEAD: usize = 2;
/// Bytes of a message: small enough for the server to take turns.
const MESSAGE_BYTES: usize = 1 << 20;

/// What readers tell.
enum News {
    Rows(usize, RecordBatch),
    PartDone(usize),
    Failed(LoadError),
}

/// Makes the table, sends all rows and commits; gives how many rows they were. Whatever goes wrong, nothing of it stays.
///
/// # Errors
/// [`LoadError`].
pub(crate) async fn send(
    connection: &Connection,
    plan: &Arc<Plan>,
    files: &Arc<Vec<LoadFile>>,
    threads: usize,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<u64, LoadError> {
    connection.run("BEGIN").await?;
    let work = async {
        for statement in plan.statements() {
            connection.run(&statement).await?;
        }
        let all: Vec<usize> = (0..files.len()).collect();
        copy(connection, plan, files, &all, threads, progress).await
    };
    let done = tokio::select! {
        done = work => done,
        () = shutdown.requested() => Err(LoadError::Interrupted),
    };
    progress.end();
    match done {
        Ok(rows) => {
            connection.run("COMMIT").await?;
            Ok(rows)
        }
        Err(error) => {
            // The transaction ends with the connection in any case.
            let _ = connection.run("ROLLBACK").await;
            Err(error)
        }
    }
}

/// Sends the rows of the files at these positions.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn copy(
    connection: &Connection,
    plan: &Arc<Plan>,
    files: &Arc<Vec<LoadFile>>,
    which: &[usize],
    threads: usize,
    progress: &Progress,
) -> Result<u64, LoadError> {
    let refused =
        |error: tokio_postgres::Error| LoadError::Server { what: "the rows".into(), message: said(&error) };
    let encoding = |error: ArrowError| LoadError::Plan(format!("the rows cannot be encoded: {error}"));
    let mut news = read(plan, files, which, threads, progress)?;
    let sink = connection.client.copy_in::<_, Bytes>(&plan.copy()).await.map_err(refused)?;
    let mut sink = pin!(sink);
    let mut writer = StreamWriter::try_new(Vec::new(), &plan.arrow_schema()).map_err(encoding)?;
    let mut total = 0;
    while let Some(message) = news.recv().await {
        let (file_idx, batch) = match message {
            News::Rows(file_idx, batch) => (file_idx, batch),
            News::PartDone(file_idx) => {
                progress.part_done(file_idx);
                continue;
            }
            News::Failed(error) => return Err(error),
        };
        writer.write(&batch).map_err(encoding)?;
        let mut bytes = Bytes::from(std::mem::take(writer.get_mut()));
        while !bytes.is_empty() {
            let message = bytes.split_to(bytes.len().min(MESSAGE_BYTES));
            sink.send(message).await.map_err(refused)?;
        }
        let rows = batch.num_rows() as u64;
        total += rows;
        progress.advance(file_idx, rows, files.get(file_idx).map_or(0, LoadFile::bytes_read));
    }
    writer.finish().map_err(encoding)?;
    sink.send(Bytes::from(std::mem::take(writer.get_mut()))).await.map_err(refused)?;
    let taken = sink.finish().await.map_err(refused)?;
    if taken == total {
        Ok(total)
    } else {
        let message = format!("it counts {taken} rows instead of {total}");
        Err(LoadError::Server { what: "the rows".into(), message })
    }
}

/// Starts the readers; they end when nobody listens any more.
fn read(
    plan: &Arc<Plan>,
    files: &Arc<Vec<LoadFile>>,
    which: &[usize],
    threads: usize,
    progress: &Progress,
) -> Result<mpsc::Receiver<News>, LoadError> {
    let mut parts: VecDeque<(usize, Part)> = VecDeque::new();
    // A file alone is cut into parts for all threads; of many files each thread has one.
    let each = if which.len() >= threads { 1 } else { threads };
    for file_idx in which.iter().copied() {
        let Some(file) = files.get(file_idx) else { continue };
        let of_file = file.parts(each)?;
        progress.parts(file_idx, of_file.len().max(1));
        parts.extend(of_file.into_iter().map(|part| (file_idx, part)));
    }
    let readers = threads.min(parts.len()).max(1);
    let parts = Arc::new(Mutex::new(parts));
    let (sender, receiver) = mpsc::channel(readers * BATCHES_AHEAD);
    for _ in 0..readers {
        let (parts, sender) = (Arc::clone(&parts), sender.clone());
        let (plan, files) = (Arc::clone(plan), Arc::clone(files));
        std::thread::spawn(move || {
            loop {
                let next = parts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((file_idx, part)) = next else { return };
                if read_part(&plan, &files, file_idx, &part, &sender).is_none() {
                    return;
                }
            }
        });
    }
    Ok(receiver)
}

/// `None` when there is nobody to tell, or a failure was told.
fn read_part(
    plan: &Plan,
    files: &[LoadFile],
    file_idx: usize,
    part: &Part,
    sender: &mpsc::Sender<News>,
) -> Option<()> {
    let (file, places) = (files.get(file_idx)?, plan.places.get(file_idx)?);
    let types: Vec<_> = plan.columns.iter().map(|column| column.pg_type).collect();
    let tell = |news| sender.blocking_send(news).ok();
    let batches = match file.batches(part, places, &types, &plan.arrow_schema()) {
        Ok(batches) => batches,
        Err(error) => {
            tell(News::Failed(error));
            return None;
        }
    };
    for batch in batches {
        match batch {
            Ok(batch) => tell(News::Rows(file_idx, batch))?,
            Err(error) => {
                tell(News::Failed(error));
                return None;
            }
        }
    }
    tell(News::PartDone(file_idx))
}
