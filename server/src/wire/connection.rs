//! The protocol after startup: which message does what, and what is sent back.
//!
//! ```text
//!  Query ───────────────────▶ parse ▶ (prepare ▶ run ▶ rows)*            ▶ ReadyForQuery
//!  Parse ▶ Bind ▶ Execute* ─▶ prepare    values     run, or go on reading  ▶ (Sync) ReadyForQuery
//! ```
//!
//! After an error in the extended protocol everything up to the next Sync is skipped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pgwire::api::Type;
use pgwire::api::results::FieldFormat;
use pgwire::messages::PgWireBackendMessage as Backend;
use pgwire::messages::PgWireFrontendMessage as Frontend;
use pgwire::messages::copy::{CopyData, CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::data::{NoData, ParameterDescription, RowDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_PORTAL,
};
use pgwire::messages::response::EmptyQueryResponse;

use tokio_util::sync::CancellationToken;

use super::copy_out::CopyEncoder;
use super::interrupt::{ConnectionGuard, Connections, Interrupts, terminated};
use super::params;
use super::row::{RowEncoder, field_infos};
use super::socket::{Client, ClientGone, Messages};
use crate::cursor::{Cursor, Description};
use crate::error::{PgError, Severity, SqlState};
use crate::portal::{Portal, PortalState};
use crate::session::again::{WrittenOnce, WrittenSoFar};
use crate::session::{Action, Outcome, Prepared, Session, Transaction};
use crate::sql;
use crate::utility;
use crate::wire::copy_options::CopyOptions;

/// How long a session that waits for its client may hold on to what it has seen of the catalogue.
const CATCH_UP: Duration = Duration::from_secs(10);

/// A connection whose client has been let in.
pub(crate) struct Connection {
    client: Client,
    messages: Messages,
    session: Session,
    interrupts: Arc<Interrupts>,
    /// Skipping to the next Sync.
    skipping: bool,
    /// Since the last Sync.
    written: WrittenSoFar,
    _entered: ConnectionGuard,
    _connections: Arc<Connections>,
}

/// Why a connection ends.
enum End {
    /// The client said so, or is gone.
    Client,
    /// The server must say why.
    Server(PgError),
}

impl From<ClientGone> for End {
    fn from(_: ClientGone) -> Self {
        Self::Client
    }
}

impl Connection {
    pub(crate) fn new(
        client: Client,
        messages: Messages,
        session: Session,
        interrupts: Arc<Interrupts>,
        entered: ConnectionGuard,
        connections: Arc<Connections>,
    ) -> Self {
        Self {
            client,
            messages,
            session,
            interrupts,
            skipping: false,
            written: WrittenSoFar::default(),
            _entered: entered,
            _connections: connections,
        }
    }

    /// Serves until the client leaves or `stop` is cancelled; a statement that runs then is finished first.
    pub(crate) async fn serve(mut self, stop: CancellationToken) {
        if self.ready().await.is_err() {
            return;
        }
        let end = loop {
            if let Err(end) = self.turn(&stop).await {
                break end;
            }
        };
        if let End::Server(mut error) = end {
            error.severity = Severity::Fatal;
            // The client may be gone; there is nobody else to tell.
            let _ = self.client.error(error).await;
            let _ = self.client.flush().await;
        }
    }

    /// One message.
    async fn turn(&mut self, stop: &CancellationToken) -> Result<(), End> {
        let message = match self.next_message(stop).await? {
            Ok(message) => message,
            Err(error) => {
                return Err(End::Server(PgError::with_state(
                    SqlState::PROTOCOL_VIOLATION,
                    error.to_string(),
                )));
            }
        };
        match message {
            Frontend::Terminate(_) => Err(End::Client),
            Frontend::Sync(_) => {
                if std::mem::take(&mut self.skipping) {
                    self.session.roll_back_unless_in_block();
                }
                let written = self.written.take();
                if let Err(error) = self.session.commit_unless_in_block().await
                    && let Err(error) = self.commit_again(written, error).await
                {
                    self.session.fail();
                    self.client.error(error).await?;
                }
                if matches!(self.session.transaction, Transaction::Idle) {
                    self.session.portals.retain(|_, portal| portal.hold);
                }
                Ok(self.ready().await?)
            }
            _ if self.skipping => Ok(()),
            Frontend::Query(query) => {
                self.simple_query(&query.query).await?;
                Ok(self.ready().await?)
            }
            Frontend::Parse(message) => {
                let result = self.parse(message).await;
                self.extended(result).await
            }
            Frontend::Bind(message) => {
                let result = self.bind(message).await;
                self.extended(result).await
            }
            Frontend::Describe(message) => {
                let result = self.describe(message).await;
                self.extended(result).await
            }
            Frontend::Execute(message) => {
                let result = self.execute(message).await;
                self.extended(result).await
            }
            Frontend::Close(message) => {
                let result = self.close(message).await;
                self.extended(result).await
            }
            Frontend::Flush(_) => Ok(self.client.flush().await?),
            // Left over from a COPY that failed.
            Frontend::CopyData(_) | Frontend::CopyDone(_) | Frontend::CopyFail(_) => Ok(()),
            _ => Err(End::Server(PgError::with_state(SqlState::PROTOCOL_VIOLATION, "unexpected message"))),
        }
    }

    async fn next_message(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Result<Frontend, pgwire::error::PgWireError>, End> {
        let (setting, message, code) = match self.session.transaction {
            Transaction::Idle => (
                "idle_session_timeout",
                "terminating connection due to idle-session timeout",
                SqlState::IDLE_SESSION_TIMEOUT,
            ),
            Transaction::Open(_) | Transaction::Failed(_) => (
                "idle_in_transaction_session_timeout",
                "terminating connection due to idle-in-transaction timeout",
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            ),
        };
        let limit = self.session.settings().milliseconds(setting).map(Duration::from_millis);
        let expired = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(expired);
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let message = "terminating connection due to administrator command";
                    return Err(End::Server(PgError::with_state(SqlState::ADMIN_SHUTDOWN, message)));
                }
                () = self.interrupts.terminated.cancelled() => return Err(End::Server(terminated())),
                next = self.messages.next() => next,
                () = &mut expired => return Err(End::Server(PgError::with_state(code, message))),
                () = tokio::time::sleep(CATCH_UP) => {
                    self.session.catch_up();
                    continue;
                }
            };
            return next.ok_or(End::Client);
        }
    }

    async fn ready(&mut self) -> Result<(), ClientGone> {
        if self.interrupts.terminated.is_cancelled() {
            return Ok(());
        }
        for (name, value) in self.session.take_changed() {
            self.client.parameter(&name, &value).await?;
        }
        self.session.catch_up();
        let status = self.session.status();
        self.session.activity().end(status);
        self.client.ready(status).await
    }

    /// Tells of a failed statement; of the end that another session has made of this one it is told once, later.
    async fn failed(&mut self, error: PgError) -> Result<(), ClientGone> {
        self.session.fail();
        if self.interrupts.terminated.is_cancelled() {
            return Ok(());
        }
        self.client.error(error).await
    }

    /// Tells of a failed message of the extended protocol, and skips to the next Sync.
    async fn extended(&mut self, result: Result<(), PgError>) -> Result<(), End> {
        if let Err(error) = result {
            self.skipping = true;
            self.failed(error).await?;
        }
        Ok(())
    }

    fn statement_timeout(&self) -> Option<Duration> {
        self.session.settings().milliseconds("statement_timeout").map(Duration::from_millis)
    }

    async fn simple_query(&mut self, text: &str) -> Result<(), ClientGone> {
        self.session.activity().begin(text);
        let interrupts = Arc::clone(&self.interrupts);
        let timeout = self.statement_timeout();
        let result = interrupts.guard(timeout, self.simple_statements(text)).await;
        if let Err(error) = result {
            self.failed(error).await?;
        }
        Ok(())
    }

    async fn simple_statements(&mut self, text: &str) -> Result<(), PgError> {
        let statements = sql::parse(text)?;
        if statements.is_empty() {
            self.client.feed(Backend::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        let count = statements.len();
        for (statement, number) in statements.into_iter().zip(1..) {
            let prepared = self.session.prepare(statement, &[]).await?;
            let outcome = self.session.run(&prepared, &[]).await?;
            let mut outcome = self.copied(outcome).await?;
            // All statements of a string are one transaction, unless they say otherwise.
            if number == count {
                let committed = self.session.commit_unless_in_block().await;
                match committed {
                    // Nobody has heard of it yet.
                    Err(error) if count == 1 && self.session.may_run_again(&prepared, &error) => {
                        outcome = self.session.run_again(&prepared, &[]).await?;
                    }
                    committed => committed?,
                }
            }
            match outcome {
                Outcome::Rows { description, mut cursor, tag, counted } => {
                    let formats = [FieldFormat::Text];
                    self.row_description(&description, &formats).await?;
                    let mut encoder = self.row_encoder(&description, &formats)?;
                    let rows = self.send_rows(&mut encoder, &mut cursor, usize::MAX, &prepared).await?;
                    self.client.complete(full_tag(tag, counted, rows)).await?;
                }
                outcome => {
                    self.send_without_rows(outcome, &prepared).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_without_rows(&mut self, outcome: Outcome, prepared: &Prepared) -> Result<String, PgError> {
        let tag = match outcome {
            Outcome::Done { tag, notices } => {
                for notice in notices {
                    self.client.notice(notice).await?;
                }
                tag
            }
            Outcome::Copy { description, cursor, options } => {
                let rows = self.copy_out(description, cursor, options, prepared).await?;
                format!("COPY {rows}")
            }
            Outcome::Rows { tag, .. } => tag.to_owned(),
            // It has become `Done` before.
            Outcome::CopyIn(_) => String::new(),
        };
        for (name, value) in self.session.take_changed() {
            self.client.parameter(&name, &value).await?;
        }
        self.client.complete(tag.clone()).await?;
        Ok(tag)
    }

    fn row_encoder(&self, description: &Description, formats: &[FieldFormat]) -> Result<RowEncoder, PgError> {
        let formats = one_each(formats, description.names.len());
        let encoder = RowEncoder::new(&description.schema, &formats, self.session.output_settings())?;
        Ok(encoder.with_names(self.session.reg_names()))
    }

    /// Commits the one statement since the last Sync once more, where another session's commit came first. Its client
    /// has been told how many rows it were: it has to be as many again.
    async fn commit_again(&mut self, written: Option<WrittenOnce>, error: PgError) -> Result<(), PgError> {
        match written {
            Some(once) if self.session.may_run_again(&once.prepared, &error) => {
                match self.session.run_again(&once.prepared, &once.values).await? {
                    Outcome::Done { tag, .. } if tag == once.tag => Ok(()),
                    _ => Err(error),
                }
            }
            _ => Err(error),
        }
    }

    async fn row_description(
        &mut self,
        description: &Description,
        formats: &[FieldFormat],
    ) -> Result<(), PgError> {
        let formats = one_each(formats, description.names.len());
        let fields = field_infos(&description.schema, &description.names, &description.origins, &formats)?;
        let fields = fields.iter().map(Into::into).collect();
        Ok(self.client.feed(Backend::RowDescription(RowDescription::new(fields))).await?)
    }

    /// Sends up to `limit` rows; gives how many it were.
    async fn send_rows(
        &mut self,
        encoder: &mut RowEncoder,
        cursor: &mut Cursor,
        limit: usize,
        prepared: &Prepared,
    ) -> Result<usize, PgError> {
        let mut sent = 0;
        while sent < limit {
            let batch = cursor.take(limit - sent).await;
            let batch =
                batch.map_err(|error| PgError::from_datafusion(error, Some(&prepared.statement.source)))?;
            let Some(batch) = batch else { break };
            sent += batch.num_rows();
            for row in encoder.encode_batch(&batch)? {
                self.client.feed(Backend::DataRow(row?)).await?;
            }
        }
        Ok(sent)
    }

    /// Takes the data of a COPY that waits for it; any other outcome stays as it is.
    async fn copied(&mut self, outcome: Outcome) -> Result<Outcome, PgError> {
        let Outcome::CopyIn(mut copy) = outcome else { return Ok(outcome) };
        let columns = i16::try_from(copy.columns).map_err(|_| {
            PgError::with_state(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many columns for COPY")
        })?;
        let format = i8::from(copy.binary);
        let formats = vec![i16::from(format); copy.columns];
        self.client.feed(Backend::CopyInResponse(CopyInResponse::new(format, columns, formats))).await?;
        self.client.flush().await?;
        loop {
            let message = self.messages.next().await.ok_or_else(|| {
                PgError::with_state(SqlState::CONNECTION_FAILURE, "the client left during COPY from stdin")
            })?;
            let message = message
                .map_err(|error| PgError::with_state(SqlState::PROTOCOL_VIOLATION, error.to_string()))?;
            match message {
                Frontend::CopyData(data) => {
                    if !copy.feed(&data.data).await {
                        break;
                    }
                }
                Frontend::CopyDone(_) => break,
                Frontend::CopyFail(fail) => {
                    let message = format!("COPY from stdin failed: {}", fail.message);
                    return Err(PgError::with_state(SqlState::QUERY_CANCELED, message));
                }
                // A client may have sent these before it knew of the COPY.
                Frontend::Flush(_) | Frontend::Sync(_) => {}
                _ => {
                    let message = "unexpected message type during COPY from stdin";
                    return Err(PgError::with_state(SqlState::PROTOCOL_VIOLATION, message));
                }
            }
        }
        let table = copy.table();
        let written = copy.finish().await?;
        Ok(Outcome::done(self.session.take_copied(&table, written).await?))
    }

    async fn copy_out(
        &mut self,
        description: Description,
        mut cursor: Cursor,
        options: CopyOptions,
        prepared: &Prepared,
    ) -> Result<usize, PgError> {
        let mut encoder = CopyEncoder::with_names(
            &description.schema,
            description.names,
            options,
            self.session.output_settings(),
        )?
        .printing_by(self.session.reg_names());
        let columns = i16::try_from(encoder.column_count()).map_err(|_| {
            PgError::with_state(SqlState::PROGRAM_LIMIT_EXCEEDED, "too many columns for COPY")
        })?;
        let format = encoder.format_code();
        let formats = vec![i16::from(format); encoder.column_count()];
        self.client.feed(Backend::CopyOutResponse(CopyOutResponse::new(format, columns, formats))).await?;
        // A header line is a message of its own; the binary header is one with the first row, which clients that read
        // row by row rely on.
        let mut header = encoder.header()?;
        if format == 0
            && let Some(line) = header.take()
        {
            self.client.feed(Backend::CopyData(CopyData::new(line))).await?;
        }
        let mut rows = 0;
        loop {
            let batch = cursor.take(usize::MAX).await;
            let batch =
                batch.map_err(|error| PgError::from_datafusion(error, Some(&prepared.statement.source)))?;
            let Some(batch) = batch else { break };
            rows += batch.num_rows();
            for data in encoder.encode_batch(&batch)? {
                let data = after(header.take(), data);
                self.client.feed(Backend::CopyData(CopyData::new(data))).await?;
            }
        }
        if let Some(trailer) = encoder.trailer() {
            let trailer = after(header.take(), trailer);
            self.client.feed(Backend::CopyData(CopyData::new(trailer))).await?;
        }
        self.client.feed(Backend::CopyDone(CopyDone::new())).await?;
        Ok(rows)
    }

    async fn parse(&mut self, message: Parse) -> Result<(), PgError> {
        let name = message.name.unwrap_or_default();
        if !name.is_empty() && self.session.statements.contains_key(&name) {
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(PgError::with_state(SqlState::DUPLICATE_PREPARED_STATEMENT, text));
        }
        self.session.activity().begin(&message.query);
        let declared: Vec<_> = message.type_oids.iter().map(|oid| declared_type(*oid)).collect();
        let mut statements = sql::parse(&message.query)?;
        let statement = match statements.len() {
            0 => None,
            1 => statements.pop(),
            _ => {
                let text = "cannot insert multiple commands into a prepared statement";
                return Err(PgError::with_state(SqlState::SYNTAX_ERROR, text));
            }
        };
        let prepared = match statement {
            Some(statement) => {
                let interrupts = Arc::clone(&self.interrupts);
                let timeout = self.statement_timeout();
                interrupts.guard(timeout, self.session.prepare(statement, &declared)).await?
            }
            None => Prepared::empty(),
        };
        self.session.statements.insert(name, Arc::new(prepared));
        Ok(self.client.feed(Backend::ParseComplete(ParseComplete::new())).await?)
    }

    async fn bind(&mut self, message: Bind) -> Result<(), PgError> {
        let statement = message.statement_name.unwrap_or_default();
        let prepared = self.session.statements.get(&statement).cloned();
        let prepared = prepared.ok_or_else(|| utility::no_such_statement(&statement))?;
        self.session.admit(&prepared.statement)?;
        let portal = message.portal_name.unwrap_or_default();
        if !portal.is_empty() && self.session.portals.contains_key(&portal) {
            let text = format!("cursor \"{portal}\" already exists");
            return Err(PgError::with_state(SqlState::DUPLICATE_CURSOR, text));
        }
        let expected = prepared.parameters.len();
        if message.parameters.len() != expected {
            let text = format!(
                "bind message supplies {} parameters, but prepared statement \"{statement}\" requires {expected}",
                message.parameters.len()
            );
            return Err(PgError::with_state(SqlState::PROTOCOL_VIOLATION, text));
        }
        let formats = params::parameter_formats(&message.parameter_format_codes, expected)?;
        let context = self.session.input_context();
        let values = (1..)
            .zip(message.parameters.iter().zip(formats).zip(&prepared.parameters))
            .map(|(number, ((bytes, format), data_type))| {
                params::decode_param(number, bytes.as_deref(), format, data_type.oid(), &context)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let columns = prepared.description.as_ref().map_or(0, |description| description.names.len());
        let result_formats = &message.result_column_format_codes;
        if result_formats.len() > 1 && result_formats.len() != columns {
            let text = format!(
                "bind message has {} result formats but query has {columns} columns",
                result_formats.len()
            );
            return Err(PgError::with_state(SqlState::PROTOCOL_VIOLATION, text));
        }
        let result_formats = result_formats.iter().map(|code| FieldFormat::from(*code)).collect();
        self.session.portals.insert(portal, Portal::new(prepared, values, result_formats));
        Ok(self.client.feed(Backend::BindComplete(BindComplete::new())).await?)
    }

    async fn describe(&mut self, message: Describe) -> Result<(), PgError> {
        let name = message.name.unwrap_or_default();
        let (prepared, formats) = if message.target_type == TARGET_TYPE_BYTE_PORTAL {
            let portal = self.session.portals.get(&name).ok_or_else(|| no_such_portal(&name))?;
            (Arc::clone(&portal.prepared), portal.formats.clone())
        } else {
            let prepared = self.session.statements.get(&name).cloned();
            let prepared = prepared.ok_or_else(|| utility::no_such_statement(&name))?;
            let parameters = ParameterDescription::new(utility::parameter_oids(&prepared.parameters));
            self.client.feed(Backend::ParameterDescription(parameters)).await?;
            (prepared, Vec::new())
        };
        match &prepared.description {
            Some(description) if utility::gives_rows(&prepared) => {
                self.row_description(description, &formats).await
            }
            _ => Ok(self.client.feed(Backend::NoData(NoData::new())).await?),
        }
    }

    async fn execute(&mut self, message: Execute) -> Result<(), PgError> {
        let name = message.name.unwrap_or_default();
        let limit = usize::try_from(message.max_rows).ok().filter(|rows| *rows > 0).unwrap_or(usize::MAX);
        let mut portal = self.session.portals.remove(&name).ok_or_else(|| no_such_portal(&name))?;
        self.session.activity().begin(&portal.prepared.statement.source);
        let interrupts = Arc::clone(&self.interrupts);
        let timeout = self.statement_timeout();
        interrupts.guard(timeout, self.execute_portal(&mut portal, limit)).await?;
        // The statement may have ended the transaction, and with it every other portal.
        self.session.portals.insert(name, portal);
        Ok(())
    }

    async fn execute_portal(&mut self, portal: &mut Portal, limit: usize) -> Result<(), PgError> {
        let prepared = Arc::clone(&portal.prepared);
        if matches!(prepared.action, Action::Empty) {
            return Ok(self.client.feed(Backend::EmptyQueryResponse(EmptyQueryResponse::new())).await?);
        }
        if let PortalState::Ready = portal.state {
            let outcome = self.session.run(&prepared, &portal.values).await?;
            match self.copied(outcome).await? {
                Outcome::Rows { description, cursor, tag, counted } => {
                    portal.state = PortalState::Open { description, cursor, tag, counted };
                }
                outcome => {
                    let tag = self.send_without_rows(outcome, &prepared).await?;
                    self.written.add(&prepared, &portal.values, &tag);
                    portal.state = PortalState::Done { tag };
                    return Ok(());
                }
            }
        }
        let (done, sent) = match &mut portal.state {
            PortalState::Open { description, cursor, tag, counted } => {
                let mut encoder = self.row_encoder(description, &portal.formats)?;
                let sent = self.send_rows(&mut encoder, cursor, limit, &prepared).await?;
                let done = sent < limit
                    || cursor
                        .is_done()
                        .await
                        .map_err(|error| PgError::from_datafusion(error, Some(&prepared.statement.source)))?;
                (done.then(|| (*tag, *counted)), sent)
            }
            PortalState::Done { tag } => {
                let tag = tag.clone();
                return Ok(self.client.complete(tag).await?);
            }
            PortalState::Ready => (None, 0),
        };
        match done {
            Some((tag, counted)) => {
                self.client.complete(full_tag(tag, counted, sent)).await?;
                portal.state = PortalState::Done { tag: full_tag(tag, counted, 0) };
            }
            None => self.client.feed(Backend::PortalSuspended(PortalSuspended::new())).await?,
        }
        Ok(())
    }

    async fn close(&mut self, message: Close) -> Result<(), PgError> {
        let name = message.name.unwrap_or_default();
        if message.target_type == TARGET_TYPE_BYTE_PORTAL {
            self.session.portals.remove(&name);
        } else {
            self.session.statements.remove(&name);
        }
        Ok(self.client.feed(Backend::CloseComplete(CloseComplete::new())).await?)
    }
}

/// Formats as the protocol gives them (none, one for all, one each) as one for each column.
fn one_each(formats: &[FieldFormat], columns: usize) -> Vec<FieldFormat> {
    match formats {
        [] => vec![FieldFormat::Text; columns],
        [one] => vec![*one; columns],
        formats => formats.to_vec(),
    }
}

/// `data` with what goes before it.
fn after(header: Option<Bytes>, data: Bytes) -> Bytes {
    match header {
        Some(header) => [header, data].concat().into(),
        None => data,
    }
}

fn full_tag(tag: &str, counted: bool, rows: usize) -> String {
    if counted { format!("{tag} {rows}") } else { tag.to_owned() }
}

fn no_such_portal(name: &str) -> PgError {
    PgError::with_state(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

/// A type that the client declares for a parameter; 0 and `unknown` leave it to the server.
fn declared_type(oid: u32) -> Option<Type> {
    Type::from_oid(oid).filter(|data_type| *data_type != Type::UNKNOWN)
}
