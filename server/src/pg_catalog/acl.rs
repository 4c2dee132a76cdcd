//! Who may do what.
//!
//! A superuser may do everything, an owner everything with what it owns, everybody what PostgreSQL grants to `PUBLIC`
//! from the start.

use super::builtin::{INFORMATION_SCHEMA_OID, PG_CATALOG_OID, PG_TOAST_OID, QUICKDB_SCHEMA_OID};
use super::relation;
use super::session::SessionView;
use crate::catalogue::Role;

/// The OID of the role that owns the system's objects.
pub(super) const SYSTEM_OWNER: u32 = 10;

/// The OID of the role that stands for the owner of the database.
pub(super) const DATABASE_OWNER: u32 = 6_171;

/// The roles that PostgreSQL has from the start, none of which can connect.
pub(super) const PREDEFINED_ROLES: [(u32, &str); 12] = [
    (3_373, "pg_monitor"),
    (3_374, "pg_read_all_settings"),
    (3_375, "pg_read_all_stats"),
    (3_377, "pg_stat_scan_tables"),
    (4_200, "pg_signal_backend"),
    (4_544, "pg_checkpoint"),
    (4_569, "pg_read_server_files"),
    (4_570, "pg_write_server_files"),
    (4_571, "pg_execute_server_program"),
    (DATABASE_OWNER, "pg_database_owner"),
    (6_181, "pg_read_all_data"),
    (6_182, "pg_write_all_data"),
];

/// The catalogues that only a superuser may read.
const SECRET_RELATIONS: [&str; 12] = [
    "pg_authid",
    "pg_shadow",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_subscription",
    "pg_user_mapping",
    "pg_largeobject",
    "pg_config",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_shmem_allocations",
];

/// A role whose privileges are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grantee {
    pub(super) oid: u32,
    pub(super) superuser: bool,
    owns_database: bool,
}

/// An object with its owner and what everybody may do with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Securable {
    pub(super) owner: u32,
    pub(super) public: &'static [&'static str],
}

impl Grantee {
    /// A role that has only what everybody has.
    pub(super) const NOBODY: Self = Self { oid: 0, superuser: false, owns_database: false };

    /// Whether the role has a privilege on an object; `grantable` asks whether it may give it on.
    pub(super) fn may(self, object: Securable, privilege: &str, grantable: bool) -> bool {
        self.superuser || self.is(object.owner) || (!grantable && object.public.contains(&privilege))
    }

    /// Whether the role is that one, or stands in for it.
    pub(super) fn is(self, role: u32) -> bool {
        self.oid == role || (role == DATABASE_OWNER && self.owns_database)
    }
}

impl SessionView {
    /// The role of that name; `public` stands for everybody.
    pub(super) fn grantee(&self, name: &str) -> Option<Grantee> {
        if name == "public" {
            return Some(Grantee::NOBODY);
        }
        if let Some(role) = self.snapshot.role(name) {
            return Some(self.of_role(role));
        }
        let (oid, _) = PREDEFINED_ROLES.into_iter().find(|(_, known)| *known == name)?;
        Some(Grantee { oid, ..Grantee::NOBODY })
    }

    /// The role with that OID.
    pub(super) fn grantee_by_oid(&self, oid: u32) -> Option<Grantee> {
        match self.snapshot.roles.iter().find(|role| role.oid == oid) {
            Some(role) => Some(self.of_role(role)),
            None => self.role_name(oid).map(|_| Grantee { oid, ..Grantee::NOBODY }),
        }
    }

    fn of_role(&self, role: &Role) -> Grantee {
        let owned = |owner: u32| owner == role.oid;
        let mut databases =
            self.snapshot.databases.iter().filter(|database| database.name == self.facts.database);
        Grantee {
            oid: role.oid,
            superuser: role.superuser,
            owns_database: databases.any(|database| owned(database.owner)),
        }
    }

    /// The name of a role, a predefined one included.
    pub(super) fn role_name(&self, oid: u32) -> Option<&str> {
        let role = self.snapshot.roles.iter().find(|role| role.oid == oid).map(|role| &*role.name);
        role.or_else(|| PREDEFINED_ROLES.into_iter().find(|(known, _)| *known == oid).map(|(_, name)| name))
    }

    /// A relation as the object of privileges.
    pub(super) fn securable_relation(&self, oid: u32) -> Option<Securable> {
        if let Some(table) = self.snapshot.table_by_oid(oid) {
            return Some(Securable { owner: table.owner, public: &[] });
        }
        if let Some(view) = self.snapshot.views.iter().find(|view| view.oid == oid) {
            return Some(Securable { owner: view.owner, public: &[] });
        }
        let relation = relation::by_oid(oid)?;
        let public: &[_] = if SECRET_RELATIONS.contains(&relation.name) { &[] } else { &["SELECT"] };
        Some(Securable { owner: SYSTEM_OWNER, public })
    }

    /// A schema as the object of privileges.
    pub(super) fn securable_schema(&self, oid: u32) -> Option<Securable> {
        match oid {
            PG_CATALOG_OID | INFORMATION_SCHEMA_OID | QUICKDB_SCHEMA_OID => {
                Some(Securable { owner: SYSTEM_OWNER, public: &["USAGE"] })
            }
            PG_TOAST_OID => Some(Securable { owner: SYSTEM_OWNER, public: &[] }),
            oid => {
                let schema = self.snapshot.schemas.iter().find(|schema| schema.oid == oid)?;
                let public: &[_] = if schema.name == "public" { &["USAGE"] } else { &[] };
                Some(Securable { owner: schema.owner, public })
            }
        }
    }

    /// A database as the object of privileges.
    pub(super) fn securable_database(&self, oid: u32) -> Option<Securable> {
        let database = self.snapshot.databases.iter().find(|database| database.oid == oid)?;
        Some(Securable { owner: database.owner, public: &["CONNECT", "TEMPORARY", "TEMP"] })
    }
}
