//! A load that goes on where another one stopped: each file in a transaction of its own, which also writes into a table
//! beside the loaded one that the file is in it.
//!
//! ```text
//!  for each file that quickdb_loaded_files does not name:
//!      BEGIN; (CREATE TABLE ...;) COPY ...; INSERT INTO quickdb_loaded_files ...; COMMIT
//! ```
//!
//! So whatever stops it, the rows of a file are in the table exactly if its name is in the other one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::client::{Connection, text_literal};
use super::sending::copy;
use super::{LoadError, LoadFile, Plan, Progress};
use crate::shutdown::Shutdown;

/// The table that remembers, in the schema of the loaded one.
const MEMORY: &str = "quickdb_loaded_files";

/// What a file was when it was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Microseconds since 1970.
    modified_us: i64,
}

/// What a load has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Rows of this time.
    pub(crate) rows: u64,
    /// Files of this time.
    pub(crate) files: usize,
    /// Files that were loaded before.
    pub(crate) skipped: usize,
}

/// Loads the files that are not in the table yet, one transaction each.
///
/// # Errors
/// [`LoadError`]; files whose transactions were committed before stay loaded, and remembered.
pub(crate) async fn resume(
    connection: &Connection,
    plan: &Arc<Plan>,
    files: &Arc<Vec<LoadFile>>,
    threads: usize,
    progress: &Progress,
    shutdown: &Shutdown,
) -> Result<Loaded, LoadError> {
    let mut known = if plan.creates { HashMap::new() } else { remembered(connection, plan).await? };
    let mut creates = plan.creates;
    let mut loaded = Loaded::default();
    for (file_idx, file) in files.iter().enumerate() {
        let (name, stamp) = stamp(&file.path)?;
        match known.insert(name.clone(), stamp) {
            Some(before) if before == stamp => {
                progress.skip(file_idx);
                loaded.skipped += 1;
                continue;
            }
            Some(_) => {
                let message = "it was loaded before and has changed since; \
                               take its old rows away, or give the new ones another name";
                return Err(LoadError::file(&file.path, message));
            }
            None => {}
        }
        connection.run("BEGIN").await?;
        let work = async {
            if std::mem::take(&mut creates) {
                for statement in plan.statements() {
                    connection.run(&statement).await?;
                }
            }
            let rows = copy(connection, plan, files, &[file_idx], threads, progress).await?;
            remember(connection, plan, &name, stamp, rows).await?;
            Ok(rows)
        };
        let done = tokio::select! {
            done = work => done,
            () = shutdown.requested() => Err(LoadError::Stopped { files: loaded.files }),
        };
        match done {
            Ok(rows) => {
                connection.run("COMMIT").await?;
                loaded.rows += rows;
                loaded.files += 1;
            }
            Err(error) => {
                progress.end();
                // The transaction ends with the connection in any case.
                let _ = connection.run("ROLLBACK").await;
                return Err(error);
            }
        }
    }
    progress.end();
    Ok(loaded)
}

fn memory(plan: &Plan) -> String {
    plan.table.beside(MEMORY).to_string()
}

/// The loaded table's OID: one that was dropped and made again has none of the files.
fn oid(plan: &Plan) -> String {
    format!("{}::regclass::oid::bigint", text_literal(&plan.table.to_string()))
}

async fn remembered(connection: &Connection, plan: &Plan) -> Result<HashMap<String, Stamp>, LoadError> {
    if connection.table_columns(&plan.table.beside(MEMORY)).await?.is_none() {
        return Ok(HashMap::new());
    }
    let query =
        format!("SELECT file, bytes, modified_us FROM {} WHERE table_oid = {}", memory(plan), oid(plan));
    let unreadable = || LoadError::Plan(format!("the table {} is not one of quickdb load's", memory(plan)));
    let mut known = HashMap::new();
    for row in connection.rows(&query).await? {
        let [Some(file), Some(bytes), Some(modified_us)] = row.as_slice() else { return Err(unreadable()) };
        let bytes = bytes.parse().map_err(|_| unreadable())?;
        let modified_us = modified_us.parse().map_err(|_| unreadable())?;
        known.insert(file.clone(), Stamp { bytes, modified_us });
    }
    Ok(known)
}

async fn remember(
    connection: &Connection,
    plan: &Plan,
    file: &str,
    stamp: Stamp,
    rows: u64,
) -> Result<(), LoadError> {
    let (memory, Stamp { bytes, modified_us }) = (memory(plan), stamp);
    connection
        .run(&format!(
            "CREATE TABLE IF NOT EXISTS {memory} (table_oid bigint NOT NULL, table_name text NOT NULL, \
             file text NOT NULL, bytes bigint NOT NULL, modified_us bigint NOT NULL, row_count bigint NOT NULL, \
             loaded_at timestamp with time zone NOT NULL)"
        ))
        .await?;
    connection
        .run(&format!(
            "INSERT INTO {memory} VALUES ({}, {}, {}, {bytes}, {modified_us}, {rows}, now())",
            oid(plan),
            text_literal(&plan.table.to_string()),
            text_literal(file)
        ))
        .await
}

/// A file's absolute name, and what tells it from a later one of that name.
fn stamp(path: &Path) -> Result<(String, Stamp), LoadError> {
    let failed = |error| LoadError::file(path, error);
    let name = fs::canonicalize(path).map_err(failed)?.to_string_lossy().into_owned();
    let metadata = fs::metadata(path).map_err(failed)?;
    let modified = metadata.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified_us = i64::try_from(modified.as_micros()).unwrap_or(i64::MAX);
    Ok((name, Stamp { bytes: metadata.len(), modified_us }))
}
