//! Relations that all databases share: databases, roles, tablespaces.

use crate::catalogue::Role;
use crate::pg_catalog::acl::{PREDEFINED_ROLES, SYSTEM_OWNER};
use crate::pg_catalog::relation::{self, RowSource};
use crate::pg_catalog::rows::{Datum, Rows};
use crate::pg_catalog::session::SessionView;

/// The encoding UTF8, by PostgreSQL's number.
const UTF8: i64 = 6;

/// The tablespaces of PostgreSQL: `pg_default` and `pg_global`.
pub(in crate::pg_catalog) const TABLESPACES: [(u32, &str); 2] = [(1_663, "pg_default"), (1_664, "pg_global")];

pub(in crate::pg_catalog) const SOURCES: &[((&str, &str), RowSource)] = &[
    (("pg_catalog", "pg_database"), databases),
    (("pg_catalog", "pg_authid"), |view, rows| roles(view, rows, Datum::Null)),
    (("pg_catalog", "pg_roles"), |view, rows| roles(view, rows, "********".into())),
    (("pg_catalog", "pg_user"), |view, rows| users(view, rows, "********".into())),
    (("pg_catalog", "pg_shadow"), |view, rows| users(view, rows, Datum::Null)),
    (("pg_catalog", "pg_group"), groups),
    (("pg_catalog", "pg_auth_members"), members),
    (("pg_catalog", "pg_tablespace"), tablespaces),
    (("pg_catalog", "pg_shdescription"), descriptions),
    (("pg_catalog", "pg_db_role_setting"), settings),
];

fn databases(view: &SessionView, rows: &mut Rows) {
    for database in view.snapshot.databases.iter() {
        rows.push([
            ("oid", database.oid.into()),
            ("datname", (&database.name).into()),
            ("datdba", database.owner.into()),
            ("encoding", UTF8.into()),
            ("datlocprovider", "c".into()),
            ("datallowconn", true.into()),
            ("datconnlimit", Datum::Int(-1)),
            ("dattablespace", Datum::Int(1_663)),
            ("datcollate", "C".into()),
            ("datctype", "C".into()),
        ]);
    }
}

/// The predefined roles, and those of users. No password leaves the catalogue, not even as a verifier.
fn roles(view: &SessionView, rows: &mut Rows, password: Datum) {
    let mut push = |oid: u32, name: String, superuser: bool, login: bool| {
        rows.push([
            ("oid", oid.into()),
            ("rolname", name.into()),
            ("rolsuper", superuser.into()),
            ("rolinherit", true.into()),
            ("rolcreaterole", superuser.into()),
            ("rolcreatedb", superuser.into()),
            ("rolcanlogin", login.into()),
            ("rolreplication", false.into()),
            ("rolbypassrls", superuser.into()),
            ("rolconnlimit", Datum::Int(-1)),
            ("rolpassword", password.clone()),
        ]);
    };
    for (oid, name) in PREDEFINED_ROLES {
        push(oid, name.to_owned(), false, false);
    }
    for role in view.snapshot.roles.iter() {
        push(role.oid, role.name.clone(), role.superuser, role.login);
    }
}

fn users(view: &SessionView, rows: &mut Rows, password: Datum) {
    for role in view.snapshot.roles.iter().filter(|role| role.login) {
        rows.push([
            ("usename", (&role.name).into()),
            ("usesysid", role.oid.into()),
            ("usecreatedb", role.superuser.into()),
            ("usesuper", role.superuser.into()),
            ("userepl", false.into()),
            ("usebypassrls", role.superuser.into()),
            ("passwd", password.clone()),
        ]);
    }
}

fn groups(view: &SessionView, rows: &mut Rows) {
    let of_users = view.snapshot.roles.iter().filter(|role| !role.login);
    let of_users = of_users.map(|Role { oid, name, .. }| (*oid, name.clone()));
    let predefined = PREDEFINED_ROLES.into_iter().map(|(oid, name)| (oid, name.to_owned()));
    for (oid, name) in predefined.chain(of_users) {
        rows.push([("groname", name.into()), ("grosysid", oid.into()), ("grolist", Datum::List(Vec::new()))]);
    }
}

/// `pg_monitor` is a member of the roles that read settings and statistics, as in PostgreSQL.
fn members(_: &SessionView, rows: &mut Rows) {
    for role in [3_374_u32, 3_375, 3_377] {
        rows.push([("roleid", role.into()), ("member", Datum::Int(3_373)), ("grantor", SYSTEM_OWNER.into())]);
    }
}

fn tablespaces(_: &SessionView, rows: &mut Rows) {
    for (oid, name) in TABLESPACES {
        rows.push([("oid", oid.into()), ("spcname", name.into()), ("spcowner", SYSTEM_OWNER.into())]);
    }
}

fn descriptions(view: &SessionView, rows: &mut Rows) {
    let [database, role] = ["pg_database", "pg_authid"]
        .map(|name| relation::by_name("pg_catalog", name).map_or(0, |relation| relation.oid));
    let databases = view.snapshot.databases.iter().map(|found| (found.oid, database, &found.comment));
    let roles = view.snapshot.roles.iter().map(|found| (found.oid, role, &found.comment));
    for (object, class, comment) in databases.chain(roles) {
        if let Some(comment) = comment {
            rows.push([
                ("objoid", object.into()),
                ("classoid", class.into()),
                ("description", comment.into()),
            ]);
        }
    }
}

fn settings(view: &SessionView, rows: &mut Rows) {
    // Settings of the server have no row; the others are one array per database and role.
    let of_server = |database: u32, role: u32| database == 0 && role == 0;
    let mut stored = view.snapshot.settings.iter().filter(|stored| !of_server(stored.database, stored.role));
    let mut next = stored.next();
    while let Some(first) = next {
        let (database, role) = (first.database, first.role);
        let mut config = vec![format!("{}={}", first.name, first.value)];
        next = stored.next();
        while let Some(more) = next.filter(|more| (more.database, more.role) == (database, role)) {
            config.push(format!("{}={}", more.name, more.value));
            next = stored.next();
        }
        rows.push([
            ("setdatabase", database.into()),
            ("setrole", role.into()),
            ("setconfig", Datum::list(config)),
        ]);
    }
}
