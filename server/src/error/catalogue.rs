//! Errors of the catalogue as a client gets them.

use super::{PgError, SqlState};
use crate::catalogue::CatalogueError;

impl From<CatalogueError> for PgError {
    fn from(error: CatalogueError) -> Self {
        let code = match &error {
            CatalogueError::Sqlite(sqlite) => match sqlite.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull) => "53100",
                _ => "58030",
            },
            CatalogueError::DiskFull { .. } => "53100",
            CatalogueError::Conflict(_) => "40001",
            CatalogueError::UndefinedDatabase(_) | CatalogueError::UndefinedSchema(_) => "3F000",
            CatalogueError::DuplicateSchema(_) => "42P06",
            CatalogueError::SchemaNotEmpty(_)
            | CatalogueError::InUse { .. }
            | CatalogueError::RoleInUse(_)
            | CatalogueError::WorkerInUse { .. } => "2BP01",
            CatalogueError::UndefinedTable(_) => "42P01",
            CatalogueError::DuplicateTable(_) => "42P07",
            CatalogueError::UndefinedColumn { .. } => "42703",
            CatalogueError::DuplicateColumn(_) => "42701",
            CatalogueError::TooManyColumns { .. } => "54011",
            CatalogueError::UndefinedType(_)
            | CatalogueError::UndefinedRole(_)
            | CatalogueError::UndefinedWorker(_) => "42704",
            CatalogueError::UnsupportedType { .. } => "0A000",
            CatalogueError::ReservedName(_) => "42939",
            CatalogueError::DuplicateRole(_) => "42710",
            CatalogueError::InvalidVerifier => "22023",
            _ => "XX000",
        };
        let told = PgError::with_state(SqlState(code), error.to_string());
        match error {
            CatalogueError::Conflict(relation) => told
                .detail(format!("Another transaction has changed {relation}."))
                .hint("Run the transaction again."),
            CatalogueError::DiskFull { .. } => {
                told.hint("Check free disk space. Rows can still be deleted and tables dropped.")
            }
            CatalogueError::InUse { by, .. } => {
                told.detail(by.join("\n")).hint("Use DROP ... CASCADE to drop the dependent objects too.")
            }
            _ => told,
        }
    }
}
