//! Functions that give the facts of the session and the server.

use super::Kind::{Bool, Int, Text};
use super::{CatalogueFunction, argument, lenient, strict, text, volatile};
use crate::pg_catalog::error::{FunctionError, FunctionResult, Mistake};
use crate::pg_catalog::rows::Datum;
use crate::pg_catalog::session::SessionView;

/// PostgreSQL's encodings by number, as `pg_encoding_to_char` names them.
const ENCODINGS: [&str; 42] = [
    "SQL_ASCII",
    "EUC_JP",
    "EUC_CN",
    "EUC_KR",
    "EUC_TW",
    "EUC_JIS_2004",
    "UTF8",
    "MULE_INTERNAL",
    "LATIN1",
    "LATIN2",
    "LATIN3",
    "LATIN4",
    "LATIN5",
    "LATIN6",
    "LATIN7",
    "LATIN8",
    "LATIN9",
    "LATIN10",
    "WIN1256",
    "WIN1258",
    "WIN866",
    "WIN874",
    "KOI8R",
    "WIN1251",
    "WIN1252",
    "ISO_8859_5",
    "ISO_8859_6",
    "ISO_8859_7",
    "ISO_8859_8",
    "WIN1250",
    "WIN1253",
    "WIN1254",
    "WIN1255",
    "WIN1257",
    "KOI8U",
    "SJIS",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "SHIFT_JIS_2004",
];

/// A call without arguments.
const NONE: &[&[super::Kind]] = &[&[]];

pub(super) const FUNCTIONS: &[CatalogueFunction] = &[
    strict("current_database", NONE, "name", |view, _| Ok((&view.facts.database).into())),
    strict("current_catalog", NONE, "name", |view, _| Ok((&view.facts.database).into())),
    strict("current_user", NONE, "name", |view, _| Ok((&view.facts.user).into())),
    strict("current_role", NONE, "name", |view, _| Ok((&view.facts.user).into())),
    strict("user", NONE, "name", |view, _| Ok((&view.facts.user).into())),
    strict("session_user", NONE, "name", |view, _| Ok((&view.facts.session_user).into())),
    strict("current_schema", NONE, "name", |view, _| Ok(view.search_path(false).into_iter().next().into())),
    strict("current_schemas", &[&[Bool]], "_name", |view, arguments| {
        Ok(Datum::list(view.search_path(argument(arguments, 0).as_bool().unwrap_or(false))))
    }),
    strict("current_setting", &[&[Text], &[Text, Bool]], "text", current_setting),
    strict("version", NONE, "text", |_, _| {
        let version = env!("CARGO_PKG_VERSION");
        let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        Ok(format!("PostgreSQL 15.0 (quickdb {version}) on {target}, 64-bit").into())
    }),
    CatalogueFunction { strict: false, ..volatile("set_config", &[&[Text, Text, Bool]], "text", set_config) },
    volatile("pg_cancel_backend", &[&[Int]], "bool", |view, arguments| {
        signal(view, arguments, "cancel", "query", "canceled", |pid| view.facts.live.cancel(pid))
    }),
    volatile("pg_terminate_backend", &[&[Int], &[Int, Int]], "bool", |view, arguments| {
        signal(view, arguments, "terminate", "process", "terminated", |pid| view.facts.live.terminate(pid))
    }),
    strict("pg_backend_pid", NONE, "int4", |view, _| Ok(view.facts.backend_pid.into())),
    strict("pg_is_in_recovery", NONE, "bool", |_, _| Ok(false.into())),
    strict("pg_is_wal_replay_paused", NONE, "bool", |_, _| Ok(false.into())),
    strict("pg_postmaster_start_time", NONE, "timestamptz", |view, _| {
        Ok(view.facts.server_started_us.into())
    }),
    strict("pg_conf_load_time", NONE, "timestamptz", |view, _| Ok(view.facts.server_started_us.into())),
    strict("pg_my_temp_schema", NONE, "oid", |view, _| {
        Ok(view.snapshot.temporary_schema().map_or(0, |schema| schema.oid).into())
    }),
    strict("pg_is_other_temp_schema", &[&[Int]], "bool", |_, _| Ok(false.into())),
    strict("pg_blocking_pids", &[&[Int]], "_int4", |_, _| Ok(Datum::List(Vec::new()))),
    strict("inet_client_addr", NONE, "inet", |view, _| Ok(address(view.facts.client_address.as_ref()))),
    strict("inet_client_port", NONE, "int4", |view, _| Ok(port(view.facts.client_address.as_ref()))),
    strict("inet_server_addr", NONE, "inet", |view, _| Ok(address(view.facts.server_address.as_ref()))),
    strict("inet_server_port", NONE, "int4", |view, _| Ok(port(view.facts.server_address.as_ref()))),
    strict("txid_current", NONE, "int8", |view, _| Ok(view.facts.transaction_id.into())),
    strict("txid_current_if_assigned", NONE, "int8", |_, _| Ok(Datum::Null)),
    strict("pg_encoding_to_char", &[&[Int]], "name", |_, arguments| {
        let number = argument(arguments, 0).as_int().and_then(|number| usize::try_from(number).ok());
        Ok(number.and_then(|number| ENCODINGS.get(number)).copied().unwrap_or("").into())
    }),
    strict("pg_char_to_encoding", &[&[Text]], "int4", |_, arguments| {
        let name = text(arguments, 0).to_uppercase().replace('-', "");
        let position = ENCODINGS.iter().position(|known| *known == name);
        Ok(position.map_or(Datum::Int(-1), Datum::from))
    }),
    strict("pg_client_encoding", NONE, "name", |view, _| Ok(view.setting("client_encoding").into())),
    strict("getdatabaseencoding", NONE, "name", |_, _| Ok("UTF8".into())),
    // There is one replica of the server itself, and it is the one that answers.
    lenient("pg_last_wal_replay_lsn", NONE, "pg_lsn", |_, _| Ok(Datum::Null)),
    lenient("pg_last_wal_receive_lsn", NONE, "pg_lsn", |_, _| Ok(Datum::Null)),
];

/// Does something to another session, where the user may: with its own, and as a superuser with all.
fn signal(
    view: &SessionView,
    arguments: &[Datum],
    verb: &str,
    what: &str,
    done: &str,
    act: impl FnOnce(i32) -> bool,
) -> FunctionResult<Datum> {
    let pid = argument(arguments, 0).as_int().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    let user = view.current_user();
    let target = view.facts.live.sessions().into_iter().find(|session| session.pid == pid);
    let Some(target) = target else { return Ok(false.into()) };
    let role = view.grantee(&target.user);
    if !user.superuser && !role.is_some_and(|role| role.oid == user.oid) {
        let message = if role.is_some_and(|role| role.superuser) {
            format!("must be a superuser to {verb} superuser {what}")
        } else {
            format!(
                "must be a member of the role whose {what} is being {done} or member of pg_signal_backend"
            )
        };
        return Err(FunctionError::new(Mistake::InsufficientPrivilege, message));
    }
    Ok(act(pid).into())
}

fn set_config(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let Some(name) = argument(arguments, 0).as_str() else {
        return Err(FunctionError::new(Mistake::NullValue, "SET requires parameter name"));
    };
    let local = argument(arguments, 2).as_bool().unwrap_or(false);
    let shown = view.facts.live.configure(name, argument(arguments, 1).as_str(), local);
    shown.map(Datum::from).map_err(|(state, message)| {
        let mistake = match state.as_str() {
            "42704" => Mistake::UndefinedObject,
            "42501" => Mistake::InsufficientPrivilege,
            _ => Mistake::InvalidParameter,
        };
        FunctionError::new(mistake, message)
    })
}

fn current_setting(view: &SessionView, arguments: &[Datum]) -> FunctionResult<Datum> {
    let name = text(arguments, 0);
    match view.setting(name) {
        Some(value) => Ok(value.into()),
        None if argument(arguments, 1).as_bool() == Some(true) => Ok(Datum::Null),
        None => Err(FunctionError::new(
            Mistake::UndefinedObject,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

fn address(of: Option<&(String, u16)>) -> Datum {
    of.map(|(address, _)| address).into()
}

fn port(of: Option<&(String, u16)>) -> Datum {
    of.map(|(_, port)| i32::from(*port)).into()
}
