//! Roles, their passwords' verifiers, and stored settings.

use rusqlite::params;

use super::Catalogue;
use super::error::{CatalogueError, CatalogueResult};
use super::file::BOOTSTRAP_ROLE_OID;
use super::numbers::{self, Counter};
use super::tables::role_oid;
use crate::auth::scram::Verifier;

/// What `CREATE ROLE` and `ALTER ROLE` set; `None` leaves it as it is (and off in a new role).
#[derive(Debug, Clone, Default)]
pub struct RoleOptions {
    /// Whether the role may do everything.
    pub superuser: Option<bool>,
    /// Whether the role may connect.
    pub login: Option<bool>,
    /// What its password is checked against; `Some(None)` takes the password away.
    pub verifier: Option<Option<Verifier>>,
}

impl Catalogue {
    /// Creates a role: its OID.
    ///
    /// # Errors
    /// [`CatalogueError::DuplicateRole`]; [`CatalogueError::ReservedName`] for names that begin with `pg_`.
    pub fn create_role(&self, name: &str, options: &RoleOptions) -> CatalogueResult<u32> {
        self.commit_roles(|transaction, current| {
            if name.is_empty() || name.starts_with("pg_") || name == "public" || name == "none" {
                return Err(CatalogueError::ReservedName(name.to_owned()));
            }
            if current.role(name).is_some() {
                return Err(CatalogueError::DuplicateRole(name.to_owned()));
            }
            let oid = u32::try_from(numbers::reserve(transaction, Counter::Oid, 1)?)
                .map_err(|_| CatalogueError::Corrupt("out of OIDs".into()))?;
            transaction.execute(
                "INSERT INTO roles (oid, name, superuser, login, verifier) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    oid,
                    name,
                    options.superuser.unwrap_or(false),
                    options.login.unwrap_or(false),
                    options.verifier.clone().flatten().map(|verifier| verifier.to_string()),
                ],
            )?;
            Ok(oid)
        })
    }

    /// Changes a role.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedRole`].
    pub fn alter_role(&self, name: &str, options: &RoleOptions) -> CatalogueResult<()> {
        self.commit_roles(|transaction, current| {
            let oid = role_oid(current, name)?;
            transaction.execute(
                "UPDATE roles SET superuser = coalesce(?2, superuser), login = coalesce(?3, login) WHERE oid = ?1",
                params![oid, options.superuser, options.login],
            )?;
            if let Some(verifier) = &options.verifier {
                let verifier = verifier.as_ref().map(ToString::to_string);
                transaction
                    .execute("UPDATE roles SET verifier = ?2 WHERE oid = ?1", params![oid, verifier])?;
            }
            Ok(())
        })
    }

    /// Drops a role that owns nothing.
    ///
    /// # Errors
    /// [`CatalogueError::UndefinedRole`], [`CatalogueError::RoleInUse`].
    pub fn drop_role(&self, name: &str) -> CatalogueResult<()> {
        self.commit_roles(|transaction, current| {
            let oid = role_oid(current, name)?;
            let owns = current.tables().iter().any(|table| table.owner == oid)
                || current.schemas.iter().any(|schema| schema.owner == oid)
                || current.databases.iter().any(|database| database.owner == oid);
            if owns || oid == BOOTSTRAP_ROLE_OID {
                return Err(CatalogueError::RoleInUse(name.to_owned()));
            }
            transaction.execute("DELETE FROM settings WHERE role = ?1", [oid])?;
            transaction.execute("DELETE FROM roles WHERE oid = ?1", [oid])?;
            Ok(())
        })
    }

    /// Stores a setting of a database and a role (0: of all), or removes it with `None`.
    pub fn store_setting(
        &self,
        database: u32,
        role: u32,
        name: &str,
        value: Option<&str>,
    ) -> CatalogueResult<()> {
        self.commit_roles(|transaction, _| {
            match value {
                Some(value) => transaction.execute(
                    "INSERT INTO settings (database, role, name, value) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (database, role, name) DO UPDATE SET value = excluded.value",
                    params![database, role, name, value],
                )?,
                None => transaction.execute(
                    "DELETE FROM settings WHERE database = ?1 AND role = ?2 AND name = ?3",
                    params![database, role, name],
                )?,
            };
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_created_changed_and_dropped() {
        let catalogue = Catalogue::in_memory().unwrap();
        let verifier = Verifier::generate("secret").unwrap();
        let options = RoleOptions {
            login: Some(true),
            verifier: Some(Some(verifier.clone())),
            ..RoleOptions::default()
        };
        let oid = catalogue.create_role("ann", &options).unwrap();
        let role = catalogue.snapshot().role("ann").unwrap().clone();
        assert_eq!((role.oid, role.superuser, role.login), (oid, false, true));
        assert_eq!(role.verifier, Some(verifier));

        let taken = RoleOptions { superuser: Some(true), verifier: Some(None), ..RoleOptions::default() };
        catalogue.alter_role("ann", &taken).unwrap();
        let role = catalogue.snapshot().role("ann").unwrap().clone();
        assert_eq!((role.superuser, role.login, role.verifier), (true, true, None));

        assert!(matches!(catalogue.create_role("ann", &options), Err(CatalogueError::DuplicateRole(_))));
        assert!(matches!(catalogue.drop_role("quickdb"), Err(CatalogueError::RoleInUse(_))));
        catalogue.store_setting(0, oid, "work_mem", Some("1MB")).unwrap();
        catalogue.drop_role("ann").unwrap();
        assert!(catalogue.snapshot().role("ann").is_none() && catalogue.snapshot().settings.is_empty());
        assert!(matches!(catalogue.drop_role("ann"), Err(CatalogueError::UndefinedRole(_))));
    }

    #[test]
    fn a_stored_setting_is_replaced_and_removed() {
        let catalogue = Catalogue::in_memory().unwrap();
        for value in ["UTC", "Europe/Paris"] {
            catalogue.store_setting(0, 0, "TimeZone", Some(value)).unwrap();
        }
        assert_eq!(catalogue.snapshot().settings[0].value, "Europe/Paris");
        catalogue.store_setting(0, 0, "TimeZone", None).unwrap();
        assert!(catalogue.snapshot().settings.is_empty());
    }
}
