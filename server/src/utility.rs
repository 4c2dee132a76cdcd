//! Statements that do something to the session and read no data: settings, transactions, prepared
//! statements, cursors.

use std::sync::Arc;

use arrow::array::StringViewArray;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    self, CloseCursor, ContextModifier, CopySource, CopyTarget, DescribeAlias, DiscardObject, Expr,
    FetchDirection, ObjectName, Reset, Set, SetSessionAuthorizationParamKind, Statement as Ast,
    TransactionAccessMode, TransactionMode, UnaryOperator, Value, ValueWithSpan,
};
use pgwire::api::Type;

use crate::cursor::{Cursor, Description};
use crate::error::{PgError, Severity, SqlState};
use crate::portal::{Portal, PortalState};
use crate::session::{Action, Block, Outcome, Prepared, Savepoint, Session, Transaction};
use crate::settings::Settings;
use crate::sql::ParsedStatement;
use crate::wire::copy_options::CopyOptions;
use crate::write::check_table;
use crate::write::define::{define, is_definition, vacuumed};
use crate::write::drop::drop_relations;

/// Columns that a utility statement gives, if it gives any.
///
/// # Errors
/// A cursor or setting that is not there.
pub(crate) fn description(
    session: &Session,
    statement: &ParsedStatement,
) -> Result<Option<Description>, PgError> {
    match &statement.ast {
        Ast::ShowVariable { variable } => Ok(Some(show(session, &setting_name(variable))?.0)),
        Ast::Fetch { name, .. } => Ok(cursor(session, &name.value)?.prepared.description.clone()),
        // CHECK TABLE.
        Ast::ExplainTable { describe_alias: DescribeAlias::Describe, .. } => {
            Ok(Some(check_table::description()))
        }
        _ => Ok(None),
    }
}

/// Does what a utility statement says.
///
/// # Errors
/// The statement's; 0A000 for statements that this server does not have.
pub(crate) async fn run(session: &mut Session, statement: &ParsedStatement) -> Result<Outcome, PgError> {
    match &statement.ast {
        Ast::Set(set) => assign(session, set),
        Ast::Reset(reset) => {
            session.change_settings(|settings| match &reset.reset {
                Reset::ALL => {
                    settings.reset_all();
                    Ok(())
                }
                Reset::ConfigurationParameter(name) => settings.reset(&object_name(name)),
            })?;
            Ok(Outcome::done("RESET"))
        }
        Ast::ShowVariable { variable } => {
            let (description, batch) = show(session, &setting_name(variable))?;
            Ok(Outcome::Rows {
                description,
                cursor: Cursor::of_batches([batch]),
                tag: "SHOW",
                counted: false,
            })
        }
        Ast::StartTransaction { modes, begin, .. } => Ok(begin_block(session, modes, *begin)),
        Ast::Commit { chain, .. } => end_block(session, true, *chain).await,
        Ast::Rollback { savepoint: None, chain } => end_block(session, false, *chain).await,
        Ast::Rollback { savepoint: Some(name), .. } => rollback_to(session, &name.value),
        Ast::Savepoint { name } => savepoint(session, &name.value),
        Ast::ReleaseSavepoint { name } => release(session, &name.value),
        ast if is_definition(ast) => define(session, statement).await,
        Ast::Discard { object_type } => discard(session, object_type),
        Ast::Prepare { name, data_types, statement: inner } => {
            prepare(session, statement, &name.value, data_types, inner).await
        }
        Ast::Deallocate { name, .. } => deallocate(session, name),
        Ast::Declare { stmts } => declare(session, statement, stmts).await,
        Ast::Fetch { name, direction, .. } => fetch(session, &name.value, direction).await,
        Ast::Close { cursor } => close(session, cursor),
        // CHECK TABLE.
        Ast::ExplainTable { describe_alias: DescribeAlias::Describe, table_name, .. } => {
            Box::pin(check_table::run(session, table_name)).await
        }
        // Statistics come with the shards.
        Ast::Analyze(_) => Ok(Outcome::done("ANALYZE")),
        Ast::Vacuum(vacuum) => Box::pin(vacuumed(session, vacuum.table_name.as_ref())).await,
        other => Err(unsupported(other)),
    }
}

/// Folds an identifier as PostgreSQL does.
pub(crate) fn fold(name: &ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn object_name(name: &ObjectName) -> String {
    let parts: Vec<_> =
        name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect();
    parts.join(".")
}

/// `TIME ZONE` and `TRANSACTION ISOLATION LEVEL` are settings in several words.
fn setting_name(words: &[ast::Ident]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.value.clone()).collect();
    let upper: Vec<_> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
    match upper.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["TIME", "ZONE"] => "TimeZone".to_owned(),
        ["TRANSACTION", "ISOLATION", "LEVEL"] => "transaction_isolation".to_owned(),
        ["SESSION", "AUTHORIZATION"] => "session_authorization".to_owned(),
        _ => words.join("."),
    }
}

fn text_batch(columns: &[&str], values: Vec<Vec<String>>) -> Result<(Description, RecordBatch), PgError> {
    let fields: Vec<_> = columns.iter().map(|name| Field::new(*name, DataType::Utf8View, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays =
        values.into_iter().map(|column| Arc::new(StringViewArray::from_iter_values(column)) as _).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)
        .map_err(|error| PgError::with_state(SqlState::INTERNAL_ERROR, error.to_string()))?;
    Ok((Description::of(schema), batch))
}

fn show(session: &Session, name: &str) -> Result<(Description, RecordBatch), PgError> {
    let settings = session.settings();
    if name.eq_ignore_ascii_case("all") {
        let (mut names, mut values, mut descriptions) = (Vec::new(), Vec::new(), Vec::new());
        for (setting, value) in settings.all() {
            names.push(setting.name.to_owned());
            values.push(value);
            descriptions.push(setting.category.to_owned());
        }
        return text_batch(&["name", "setting", "description"], vec![names, values, descriptions]);
    }
    let value = settings.show(name)?;
    text_batch(&[crate::settings::spelling(name).as_str()], vec![vec![value]])
}

/// The value of a setting as SET writes it; `None` is DEFAULT.
fn value_text(values: &[Expr]) -> Result<Option<String>, PgError> {
    let mut parts = Vec::with_capacity(values.len());
    for value in values {
        parts.push(match value {
            Expr::Identifier(word)
                if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("default") =>
            {
                return Ok(None);
            }
            // A list is kept as identifiers, so one that needs its quotes keeps them.
            Expr::Identifier(word) if values.len() > 1 && word.quote_style.is_some() => word.to_string(),
            Expr::Identifier(word) => fold(word),
            Expr::CompoundIdentifier(words) => words.iter().map(fold).collect::<Vec<_>>().join("."),
            Expr::Value(value) => literal(value)?,
            Expr::Interval(interval) => match interval.value.as_ref() {
                Expr::Value(value) => format!("interval '{}'", literal(value)?),
                other => return Err(not_a_value(other)),
            },
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Value(value) => format!("-{}", literal(value)?),
                other => return Err(not_a_value(other)),
            },
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => match expr.as_ref() {
                Expr::Value(value) => literal(value)?,
                other => return Err(not_a_value(other)),
            },
            other => return Err(not_a_value(other)),
        });
    }
    Ok(Some(parts.join(", ")))
}

fn not_a_value(expr: &Expr) -> PgError {
    PgError::with_state(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{expr}\""))
}

fn literal(value: &ValueWithSpan) -> Result<String, PgError> {
    match &value.value {
        Value::Number(number, _) => Ok(number.to_string()),
        Value::Boolean(on) => Ok(if *on { "on" } else { "off" }.to_owned()),
        Value::Null => Ok("NULL".to_owned()),
        other => other.clone().into_string().ok_or_else(|| {
            PgError::with_state(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{other}\""))
        }),
    }
}

fn assign(session: &mut Session, set: &Set) -> Result<Outcome, PgError> {
    let (name, value, local) = match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            (object_name(variable), value_text(values)?, matches!(scope, Some(ContextModifier::Local)))
        }
        Set::SetTimeZone { local, value: Expr::Identifier(word) }
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("local") =>
        {
            ("TimeZone".to_owned(), None, *local)
        }
        Set::SetTimeZone { local, value } => {
            ("TimeZone".to_owned(), value_text(std::slice::from_ref(value))?, *local)
        }
        Set::SetNames { charset_name, .. } => {
            ("client_encoding".to_owned(), Some(charset_name.value.clone()), false)
        }
        Set::SetNamesDefault {} => ("client_encoding".to_owned(), None, false),
        Set::SetTransaction { modes, snapshot: None, session: whole } => {
            let prefix = if *whole { "default_" } else { "" };
            let outside = !*whole && matches!(session.transaction, Transaction::Idle);
            if !outside {
                set_modes(session, prefix, modes)?;
            }
            let notices = if outside {
                vec![warning(
                    SqlState::NO_ACTIVE_SQL_TRANSACTION,
                    "SET TRANSACTION can only be used in transaction blocks",
                )]
            } else {
                Vec::new()
            };
            return Ok(Outcome::Done { tag: "SET".to_owned(), notices });
        }
        Set::SetRole { role_name, .. } => {
            if let Some(role) = role_name
                && fold(role) != session.user
                && session.engine.snapshot().role(&fold(role)).is_none()
            {
                let message = format!("role \"{}\" does not exist", fold(role));
                return Err(PgError::with_state(SqlState::INVALID_PARAMETER_VALUE, message));
            }
            if role_name.as_ref().is_some_and(|role| fold(role) != session.user) {
                return Err(PgError::with_state(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "changing the role of a session is not supported",
                ));
            }
            return Ok(Outcome::done("SET"));
        }
        Set::SetSessionAuthorization(param) => {
            let own = match &param.kind {
                SetSessionAuthorizationParamKind::Default => true,
                SetSessionAuthorizationParamKind::User(user) => fold(user) == session.user,
            };
            if !own {
                let message = "changing the user of a session is not supported";
                return Err(PgError::with_state(SqlState::FEATURE_NOT_SUPPORTED, message));
            }
            return Ok(Outcome::done("SET"));
        }
        other => return Err(unsupported(&Ast::Set(other.clone()))),
    };
    let notices = configure(session, &name, value.as_deref(), local)?;
    let notices = notices.into_iter().collect();
    Ok(Outcome::Done { tag: "SET".to_owned(), notices })
}

/// Gives a setting a value, or its default; the notice is for a `local` one outside of a transaction block.
pub(crate) fn configure(
    session: &mut Session,
    name: &str,
    value: Option<&str>,
    local: bool,
) -> Result<Option<PgError>, PgError> {
    match (&mut session.transaction, local) {
        (Transaction::Open(block), true) => {
            let before = session_value(&block.before, name);
            if !block.local.iter().any(|(known, _)| *known == name) {
                block.local.push((name.to_owned(), before));
            }
        }
        (Transaction::Idle, true) => {
            return Ok(Some(warning(
                SqlState::NO_ACTIVE_SQL_TRANSACTION,
                "SET LOCAL can only be used in transaction blocks",
            )));
        }
        _ => {}
    }
    session.change_settings(|settings| match value {
        Some(value) => settings.set(name, value),
        None => settings.reset(name),
    })?;
    Ok(None)
}

fn session_value(settings: &Settings, name: &str) -> String {
    settings.value(name).to_owned()
}

fn warning(code: SqlState, message: &str) -> PgError {
    let mut notice = PgError::with_state(code, message);
    notice.severity = Severity::Warning;
    notice
}

fn set_modes(session: &mut Session, prefix: &str, modes: &[TransactionMode]) -> Result<(), PgError> {
    session.change_settings(|settings| {
        modes.iter().try_for_each(|mode| match mode {
            TransactionMode::AccessMode(mode) => {
                let read_only = matches!(mode, TransactionAccessMode::ReadOnly);
                settings.set(&format!("{prefix}transaction_read_only"), if read_only { "on" } else { "off" })
            }
            TransactionMode::IsolationLevel(level) => {
                settings.set(&format!("{prefix}transaction_isolation"), &level.to_string().to_lowercase())
            }
        })
    })
}

fn begin_block(session: &mut Session, modes: &[TransactionMode], begin: bool) -> Outcome {
    let tag = if begin { "BEGIN" } else { "START TRANSACTION" };
    if !matches!(session.transaction, Transaction::Idle) {
        let notice = warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress");
        return Outcome::Done { tag: tag.to_owned(), notices: vec![notice] };
    }
    let before = session.settings().clone();
    // A transaction starts at the session's defaults.
    let isolation = before.value("default_transaction_isolation").to_owned();
    let read_only = before.value("default_transaction_read_only").to_owned();
    session.transaction = Transaction::Open(Block {
        local: ["transaction_isolation", "transaction_read_only"]
            .map(|name| (name.to_owned(), session_value(&before, name)))
            .to_vec(),
        before,
        savepoints: Vec::new(),
    });
    // Both values have passed the same check already.
    let _ = session.change_settings(|settings| {
        settings.set("transaction_isolation", &isolation)?;
        settings.set("transaction_read_only", &read_only)
    });
    let _ = set_modes(session, "", modes);
    session.begin_work();
    Outcome::done(tag)
}

async fn end_block(session: &mut Session, commit: bool, chain: bool) -> Result<Outcome, PgError> {
    let (tag, notices) = match std::mem::take(&mut session.transaction) {
        Transaction::Idle => {
            let notice = warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress");
            if commit {
                session.commit_work().await?;
            } else {
                session.roll_back_work();
            }
            (if commit { "COMMIT" } else { "ROLLBACK" }, vec![notice])
        }
        Transaction::Open(block) if commit => {
            if let Err(error) = session.commit_work().await {
                session.replace_settings(block.before);
                return Err(error);
            }
            let _ = session.change_settings(|settings| {
                block.local.iter().try_for_each(|(name, value)| settings.set(name, value))
            });
            ("COMMIT", Vec::new())
        }
        // A failed transaction cannot commit.
        Transaction::Open(block) | Transaction::Failed(block) => {
            session.roll_back_work();
            session.replace_settings(block.before);
            ("ROLLBACK", Vec::new())
        }
    };
    session.portals.retain(|_, portal| portal.hold);
    if chain && notices.is_empty() {
        begin_block(session, &[], true);
    }
    Ok(Outcome::Done { tag: tag.to_owned(), notices })
}

fn no_such_savepoint(name: &str) -> PgError {
    PgError::with_state(
        SqlState::INVALID_SAVEPOINT_SPECIFICATION,
        format!("savepoint \"{name}\" does not exist"),
    )
}

fn block_only(statement: &str) -> PgError {
    let message = format!("{statement} can only be used in transaction blocks");
    PgError::with_state(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)
}

fn savepoint(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let (settings, changes) = (session.settings().clone(), session.work_len());
    let Transaction::Open(block) = &mut session.transaction else { return Err(block_only("SAVEPOINT")) };
    block.savepoints.push(Savepoint { name: name.to_owned(), settings, changes });
    Ok(Outcome::done("SAVEPOINT"))
}

fn release(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let Transaction::Open(block) = &mut session.transaction else {
        return Err(block_only("RELEASE SAVEPOINT"));
    };
    let position = block.savepoints.iter().rposition(|known| known.name == name);
    block.savepoints.truncate(position.ok_or_else(|| no_such_savepoint(name))?);
    Ok(Outcome::done("RELEASE"))
}

fn rollback_to(session: &mut Session, name: &str) -> Result<Outcome, PgError> {
    let mut block = match std::mem::take(&mut session.transaction) {
        Transaction::Idle => return Err(block_only("ROLLBACK TO SAVEPOINT")),
        Transaction::Open(block) | Transaction::Failed(block) => block,
    };
    let Some(position) = block.savepoints.iter().rposition(|known| known.name == name) else {
        session.transaction = Transaction::Failed(block);
        return Err(no_such_savepoint(name));
    };
    block.savepoints.truncate(position + 1);
    let point = block.savepoints.last().map(|point| (point.settings.clone(), point.changes));
    session.transaction = Transaction::Open(block);
    if let Some((settings, changes)) = point {
        session.replace_settings(settings);
        session.go_back_to(changes);
    }
    Ok(Outcome::done("ROLLBACK"))
}

fn discard(session: &mut Session, what: &DiscardObject) -> Result<Outcome, PgError> {
    if matches!(what, DiscardObject::ALL) {
        if !matches!(session.transaction, Transaction::Idle) {
            let message = "DISCARD ALL cannot run inside a transaction block";
            return Err(PgError::with_state(SqlState::ACTIVE_SQL_TRANSACTION, message));
        }
        session.portals.clear();
        session.statements.clear();
        session.change_settings(|settings| {
            settings.reset_all();
            Ok(())
        })?;
    }
    if matches!(what, DiscardObject::ALL | DiscardObject::SEQUENCES) {
        session.forget_values();
    }
    if matches!(what, DiscardObject::ALL | DiscardObject::TEMP) {
        discard_temporary(session)?;
    }
    Ok(Outcome::done(format!("DISCARD {what}")))
}

/// Drops the session's temporary relations.
fn discard_temporary(session: &mut Session) -> Result<(), PgError> {
    let snapshot = session.snapshot();
    let Some(own) = snapshot.temporary_schema() else { return Ok(()) };
    let tables = snapshot.tables().iter().filter(|table| table.schema_oid == own.oid);
    let views = snapshot.views.iter().filter(|view| view.schema_oid == own.oid);
    let sequences = snapshot.sequences.iter().filter(|sequence| sequence.schema_oid == own.oid);
    let sequences = sequences.map(|sequence| sequence.oid);
    let inside: Vec<u32> =
        tables.map(|table| table.oid).chain(views.map(|view| view.oid)).chain(sequences).collect();
    drop_relations(session, &inside, "", true)?;
    Ok(())
}

async fn prepare(
    session: &mut Session,
    outer: &ParsedStatement,
    name: &str,
    types: &[ast::DataType],
    inner: &Ast,
) -> Result<Outcome, PgError> {
    if session.statements.contains_key(name) {
        let message = format!("prepared statement \"{name}\" already exists");
        return Err(PgError::with_state(SqlState::DUPLICATE_PREPARED_STATEMENT, message));
    }
    let declared = types.iter().map(|data_type| crate::sql::parameter_type(data_type).map(Some));
    let declared = declared.collect::<Result<Vec<_>, _>>()?;
    let statement = ParsedStatement { ast: inner.clone(), ..outer.clone() };
    let mut prepared = Box::pin(session.prepare(statement, &declared)).await?;
    prepared.from_sql = true;
    session.statements.insert(name.to_owned(), Arc::new(prepared));
    Ok(Outcome::done("PREPARE"))
}

fn deallocate(session: &mut Session, name: &ast::Ident) -> Result<Outcome, PgError> {
    if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("all") {
        session.statements.retain(|name, _| name.is_empty());
        return Ok(Outcome::done("DEALLOCATE ALL"));
    }
    match session.statements.remove(&fold(name)) {
        Some(_) => Ok(Outcome::done("DEALLOCATE")),
        None => Err(no_such_statement(&name.value)),
    }
}

/// A name that no prepared statement has.
pub(crate) fn no_such_statement(name: &str) -> PgError {
    let message = if name.is_empty() {
        "unnamed prepared statement does not exist".to_owned()
    } else {
        format!("prepared statement \"{name}\" does not exist")
    };
    PgError::with_state(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

/// What EXECUTE runs, with its parameters computed.
///
/// # Errors
/// No such statement, or the wrong number of parameters.
pub(crate) async fn execute_target(
    session: &mut Session,
    statement: &ParsedStatement,
) -> Result<(Arc<Prepared>, Vec<ScalarValue>), PgError> {
    let Ast::Execute { name: Some(name), parameters, .. } = &statement.ast else {
        return Err(unsupported(&statement.ast));
    };
    let name = name.0.last().and_then(|part| part.as_ident()).map(fold).unwrap_or_default();
    let prepared = session.statements.get(&name).cloned().ok_or_else(|| no_such_statement(&name))?;
    if parameters.len() != prepared.parameters.len() {
        let message = format!("wrong number of parameters for prepared statement \"{name}\"");
        let detail =
            format!("Expected {} parameters but got {}.", prepared.parameters.len(), parameters.len());
        return Err(PgError::with_state(SqlState::SYNTAX_ERROR, message).detail(detail));
    }
    let context = session.context();
    let values =
        crate::sql::constants(&context.state, &context.facts, statement, parameters, &prepared.parameters)
            .await?;
    Ok((prepared, values))
}

/// The query that a COPY sends, and in which format.
///
/// # Errors
/// 0A000 for the directions and targets that this server does not have.
pub(crate) fn copy_query(statement: &ParsedStatement) -> Result<(ParsedStatement, CopyOptions), PgError> {
    let Ast::Copy { source, to, target, options, legacy_options, .. } = &statement.ast else {
        return Err(unsupported(&statement.ast));
    };
    if !to {
        return Err(PgError::with_state(SqlState::FEATURE_NOT_SUPPORTED, "COPY FROM is not supported"));
    }
    if !matches!(target, CopyTarget::Stdout) {
        return Err(PgError::with_state(
            SqlState::FEATURE_NOT_SUPPORTED,
            "COPY to a file of the server is not supported",
        )
        .hint("Use COPY TO STDOUT, or psql's \\copy, to have the rows on the client."));
    }
    let options = CopyOptions::parse(options, legacy_options)?;
    let query = match source {
        CopySource::Query(query) => query.clone(),
        CopySource::Table { table_name, columns } => crate::sql::table_query(table_name, columns)?,
    };
    Ok((ParsedStatement { ast: Ast::Query(query), ..statement.clone() }, options))
}

async fn declare(
    session: &mut Session,
    statement: &ParsedStatement,
    declarations: &[ast::Declare],
) -> Result<Outcome, PgError> {
    let [declaration] = declarations else { return Err(unsupported(&statement.ast)) };
    let (Some(name), Some(query)) = (declaration.names.first(), &declaration.for_query) else {
        return Err(unsupported(&statement.ast));
    };
    let name = fold(name);
    let hold = declaration.hold == Some(true);
    if matches!(session.transaction, Transaction::Idle) && !hold {
        return Err(block_only("DECLARE CURSOR"));
    }
    if declaration.scroll == Some(true) {
        return Err(PgError::with_state(
            SqlState::FEATURE_NOT_SUPPORTED,
            "scrollable cursors are not supported",
        )
        .hint("Declare the cursor without SCROLL and fetch forward."));
    }
    if session.portals.contains_key(&name) {
        return Err(PgError::with_state(
            SqlState::DUPLICATE_CURSOR,
            format!("cursor \"{name}\" already exists"),
        ));
    }
    let query = ParsedStatement { ast: Ast::Query(query.clone()), ..statement.clone() };
    let prepared = Box::pin(session.prepare(query, &[])).await?;
    let mut portal = Portal::new(Arc::new(prepared), Vec::new(), Vec::new());
    portal.hold = hold;
    session.portals.insert(name, portal);
    Ok(Outcome::done("DECLARE CURSOR"))
}

fn cursor<'a>(session: &'a Session, name: &str) -> Result<&'a Portal, PgError> {
    session.portals.get(name).ok_or_else(|| no_such_cursor(name))
}

fn no_such_cursor(name: &str) -> PgError {
    PgError::with_state(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist"))
}

async fn fetch(session: &mut Session, name: &str, direction: &FetchDirection) -> Result<Outcome, PgError> {
    let count = |limit: &ValueWithSpan| literal(limit).ok().and_then(|text| text.parse::<usize>().ok());
    let wanted = match direction {
        FetchDirection::Next | FetchDirection::Forward { limit: None } => Some(1),
        FetchDirection::All | FetchDirection::ForwardAll => Some(usize::MAX),
        FetchDirection::Count { limit } | FetchDirection::Forward { limit: Some(limit) } => count(limit),
        _ => None,
    };
    let Some(wanted) = wanted else {
        return Err(PgError::with_state(
            SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "cursor can only scan forward",
        )
        .hint("Declare it with SCROLL option to enable backward scan."));
    };
    let mut portal = session.portals.remove(name).ok_or_else(|| no_such_cursor(name))?;
    let rows = read(session, &mut portal, wanted).await;
    session.portals.insert(name.to_owned(), portal);
    let (description, batches) = rows?;
    Ok(Outcome::Rows { description, cursor: Cursor::of_batches(batches), tag: "FETCH", counted: true })
}

/// Reads up to `wanted` rows of a cursor, starting it at the first call.
async fn read(
    session: &mut Session,
    portal: &mut Portal,
    wanted: usize,
) -> Result<(Description, Vec<RecordBatch>), PgError> {
    if let PortalState::Ready = portal.state {
        let prepared = Arc::clone(&portal.prepared);
        let Outcome::Rows { description, cursor, tag, counted } =
            Box::pin(session.run(&prepared, &portal.values)).await?
        else {
            return Err(PgError::with_state(SqlState::INTERNAL_ERROR, "a cursor's query gave no rows"));
        };
        portal.state = PortalState::Open { description, cursor, tag, counted };
    }
    let mut batches = Vec::new();
    let mut left = wanted;
    let PortalState::Open { description, cursor, .. } = &mut portal.state else {
        let description = portal.prepared.description.clone();
        return description
            .map(|description| (description, batches))
            .ok_or_else(|| PgError::with_state(SqlState::INTERNAL_ERROR, "a cursor without columns"));
    };
    while left > 0 {
        let batch = cursor.take(left).await;
        match batch
            .map_err(|error| PgError::from_datafusion(error, Some(&portal.prepared.statement.source)))?
        {
            Some(batch) => {
                left -= batch.num_rows();
                batches.push(batch);
            }
            None => break,
        }
    }
    Ok((description.clone(), batches))
}

fn close(session: &mut Session, which: &CloseCursor) -> Result<Outcome, PgError> {
    match which {
        CloseCursor::All => {
            session.portals.clear();
            Ok(Outcome::done("CLOSE CURSOR ALL"))
        }
        CloseCursor::Specific { name } => match session.portals.remove(&fold(name)) {
            Some(_) => Ok(Outcome::done("CLOSE CURSOR")),
            None => Err(no_such_cursor(&fold(name))),
        },
    }
}

/// A statement that parses and is not built.
pub(crate) fn unsupported(statement: &Ast) -> PgError {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let command = match words.as_slice() {
        [
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "VACUUM" | "ANALYZE" | "LISTEN"
            | "NOTIFY",
            ..,
        ] => words.first().map(|word| (*word).to_owned()).unwrap_or_default(),
        _ => words.join(" "),
    };
    PgError::with_state(SqlState::FEATURE_NOT_SUPPORTED, format!("{command} is not supported")).hint(
        "This version reads: SELECT, WITH, VALUES, TABLE, EXPLAIN, COPY ... TO STDOUT, cursors and settings.",
    )
}

/// Whether a prepared statement gives rows to a client that executes it.
pub(crate) fn gives_rows(prepared: &Prepared) -> bool {
    prepared.description.is_some() && !matches!(prepared.action, Action::CopyOut(..))
}

/// Types of the parameters as a client sees them.
pub(crate) fn parameter_oids(parameters: &[Type]) -> Vec<u32> {
    parameters.iter().map(Type::oid).collect()
}
