//! Secrets of the server itself, which no relation shows.

use rusqlite::{OptionalExtension, params};

use super::Catalogue;
use super::error::{CatalogueError, CatalogueResult};
use crate::auth::scram::MockSecret;

/// Of no use to a table of the catalogue, and made where it is missing: catalogues from before it had none.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID";

impl Catalogue {
    /// What logins of users who do not exist are answered from; made at the first call and the same ever after, so
    /// that a restart does not tell who exists.
    ///
    /// # Errors
    /// [`CatalogueError::Sqlite`]; [`CatalogueError::Corrupt`] for a secret of another length, or where the system
    /// gives no random bytes.
    pub fn mock_secret(&self) -> CatalogueResult<MockSecret> {
        self.commit_roles(|transaction, _| {
            transaction.execute(TABLE, [])?;
            let known: Option<Vec<u8>> = transaction
                .query_row("SELECT value FROM secrets WHERE name = 'mock'", [], |row| row.get(0))
                .optional()?;
            if let Some(known) = known {
                let secret = <[u8; 32]>::try_from(known).map_err(|_| {
                    CatalogueError::Corrupt("the secret for unknown users has a wrong length".into())
                })?;
                return Ok(MockSecret::new(secret));
            }
            let secret =
                MockSecret::generate().map_err(|error| CatalogueError::Corrupt(error.to_string()))?;
            let value = secret.as_bytes().as_slice();
            transaction.execute("INSERT INTO secrets (name, value) VALUES ('mock', ?1)", params![value])?;
            Ok(secret)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.sqlite");
        let first = *Catalogue::open(&path).unwrap().mock_secret().unwrap().as_bytes();
        let catalogue = Catalogue::open(&path).unwrap();
        assert_eq!(*catalogue.mock_secret().unwrap().as_bytes(), first);
        assert_ne!(*Catalogue::in_memory().unwrap().mock_secret().unwrap().as_bytes(), first);
    }
}
