//! From an accepted socket to a session: TLS, the startup packet, authentication, the first parameters.

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use pgwire::api::{ClientInfo, PgWireConnectionState};
use pgwire::messages::response::ErrorResponse;
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, SecretKey, Startup,
};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};

use super::connection::Connection;
use super::interrupt::{Connections, Interrupts};
use super::socket::{Socket, error_info, split};
use crate::activity::{Activity, Live};
use crate::auth::channel_binding::ChannelBinding;
use crate::auth::scram::{AuthError, Credential, Mechanism, MockSecret, ServerExchange};
use crate::engine::Engine;
use crate::error::{PgError, Severity, SqlState};
use crate::pg_catalog::SessionActivity;
use crate::session::Session;
use crate::settings::Settings;

/// How clients prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Whoever connects is believed: a demo on loopback.
    Trust,
    /// SCRAM-SHA-256 against the verifiers in the catalogue.
    Scram,
}

/// What every connection of a server shares.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) engine: Arc<Engine>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) auth: Auth,
    /// Refuse clients without TLS.
    pub(crate) require_tls: bool,
    /// What channel binding says of the certificate that clients see.
    pub(crate) binding: Option<ChannelBinding>,
    /// Makes up answers for users who do not exist.
    pub(crate) mock_secret: MockSecret,
    /// `statement_timeout` of new sessions in milliseconds.
    pub(crate) statement_timeout_ms: u64,
}

enum Refusal {
    /// Tell the client, then close.
    Error(PgError),
    /// Just close: there is nobody to tell, or nothing to tell.
    Close,
}

impl From<PgError> for Refusal {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

fn fatal(code: SqlState, message: impl Into<String>) -> PgError {
    let mut error = PgError::with_state(code, message);
    error.severity = Severity::Fatal;
    error
}

/// Brings a negotiated socket to a session that is ready for its first statement. `None`: a cancel request,
/// or a client that was refused and told why.
pub(crate) async fn start(mut socket: Socket, door: &Door) -> Option<Connection> {
    let interrupts = Arc::new(Interrupts::default());
    match handshake(&mut socket, door).await {
        Ok(Some(client)) => open(socket, door, interrupts, client).await,
        Ok(None) | Err(Refusal::Close) => None,
        Err(Refusal::Error(error)) => {
            refuse(&mut socket, error).await;
            None
        }
    }
}

async fn refuse(socket: &mut Socket, mut error: PgError) {
    error.severity = Severity::Fatal;
    // The client may be gone; there is nobody else to tell.
    let _ = socket.send(PgWireBackendMessage::ErrorResponse(ErrorResponse::from(error_info(error)))).await;
    let _ = socket.close().await;
}

struct Greeting {
    user: String,
    database: String,
    startup: Vec<(String, String)>,
}

async fn handshake(socket: &mut Socket, door: &Door) -> Result<Option<Greeting>, Refusal> {
    let startup = match socket.next().await {
        Some(Ok(PgWireFrontendMessage::Startup(startup))) => startup,
        Some(Ok(PgWireFrontendMessage::CancelRequest(cancel))) => {
            door.connections.cancel(cancel.pid, &cancel.secret_key);
            return Ok(None);
        }
        Some(Ok(_)) => return Err(fatal(SqlState::PROTOCOL_VIOLATION, "expected a startup packet").into()),
        Some(Err(_)) => return Err(fatal(SqlState::PROTOCOL_VIOLATION, "invalid startup packet").into()),
        None => return Err(Refusal::Close),
    };
    negotiate_version(socket, &startup).await?;
    let greeting = greeting(startup)?;
    if door.require_tls && !socket.is_secure() {
        let message = format!(
            "no pg_hba.conf entry for host \"{}\", user \"{}\", database \"{}\", no encryption",
            socket.socket_addr().ip(),
            greeting.user,
            greeting.database
        );
        let error = fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message)
            .hint("This server accepts TLS connections only: connect with sslmode=require or stronger.");
        return Err(error.into());
    }
    socket.set_state(PgWireConnectionState::AuthenticationInProgress);
    match door.auth {
        Auth::Trust => {}
        Auth::Scram => scram(socket, door, &greeting.user).await?,
    }
    let snapshot = door.engine.snapshot();
    match snapshot.role(&greeting.user) {
        Some(role) if role.login => {}
        Some(_) => {
            let message = format!("role \"{}\" is not permitted to log in", greeting.user);
            return Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).into());
        }
        None => {
            let message = format!("role \"{}\" does not exist", greeting.user);
            return Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).into());
        }
    }
    if !snapshot.databases.iter().any(|database| database.name == greeting.database) {
        let message = format!("database \"{}\" does not exist", greeting.database);
        return Err(fatal(SqlState::INVALID_CATALOG_NAME, message).into());
    }
    Ok(Some(greeting))
}

/// Version 3.2 at most, and no protocol options.
async fn negotiate_version(socket: &mut Socket, startup: &Startup) -> Result<(), Refusal> {
    let (major, minor) = (startup.protocol_number_major, startup.protocol_number_minor);
    if major != 3 {
        let message = format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2");
        return Err(fatal(SqlState::FEATURE_NOT_SUPPORTED, message).into());
    }
    let unknown: Vec<String> =
        startup.parameters.keys().filter(|name| name.starts_with("_pq_.")).cloned().collect();
    let version = if minor >= 2 { ProtocolVersion::PROTOCOL3_2 } else { ProtocolVersion::PROTOCOL3_0 };
    socket.set_protocol_version(version);
    if minor > 2 || minor == 1 || !unknown.is_empty() {
        let newest = if minor >= 2 { 2 } else { 0 };
        let negotiate = NegotiateProtocolVersion::new((3 << 16) | newest, unknown);
        socket
            .feed(PgWireBackendMessage::NegotiateProtocolVersion(negotiate))
            .await
            .map_err(|_| Refusal::Close)?;
    }
    Ok(())
}

fn greeting(startup: Startup) -> Result<Greeting, Refusal> {
    let mut settings = Vec::new();
    let (mut user, mut database, mut options) = (None, None, None);
    for (name, value) in startup.parameters {
        match name.as_str() {
            "user" => user = Some(value),
            "database" => database = Some(value),
            "options" => options = Some(value),
            "replication" => {
                if crate::settings::parse_bool(&value) != Some(false) {
                    return Err(fatal(SqlState::FEATURE_NOT_SUPPORTED, "replication is not supported").into());
                }
            }
            name if name.starts_with("_pq_.") => {}
            _ => settings.push((name, value)),
        }
    }
    let Some(user) = user.filter(|user| !user.is_empty()) else {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(fatal(SqlState::INVALID_AUTHORIZATION_SPECIFICATION, message).into());
    };
    // What the packet says itself comes after, and so wins over, what its options say.
    let mut startup = options.as_deref().map(command_line_settings).transpose()?.unwrap_or_default();
    startup.extend(settings);
    Ok(Greeting {
        database: database.filter(|name| !name.is_empty()).unwrap_or_else(|| user.clone()),
        user,
        startup,
    })
}

/// `-c name=value` and `--name=value` of the startup packet's `options`; a backslash keeps a blank.
fn command_line_settings(options: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = vec![String::new()];
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match (c, words.last_mut()) {
            ('\\', Some(word)) => word.extend(chars.next()),
            (c, Some(word)) if !c.is_whitespace() => word.push(c),
            _ => words.push(String::new()),
        }
    }
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => Some(setting.to_owned()),
            (None, Some("")) => words.next(),
            (None, Some(setting)) => Some(setting.to_owned()),
            (None, None) => None,
        };
        let Some((name, value)) = setting.as_deref().and_then(|setting| setting.split_once('=')) else {
            let message = format!("invalid command-line argument for server process: {word}");
            return Err(fatal(SqlState::SYNTAX_ERROR, message).into());
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

async fn scram(socket: &mut Socket, door: &Door, user: &str) -> Result<(), Refusal> {
    let failed = |error: AuthError| match error {
        AuthError::WrongPassword => {
            fatal(SqlState::INVALID_PASSWORD, format!("password authentication failed for user \"{user}\""))
        }
        error => {
            let mut refusal = fatal(SqlState(error.sqlstate()), error.to_string());
            refusal.detail = error.detail().map(str::to_owned);
            refusal
        }
    };
    let malformed = |_| fatal(SqlState::PROTOCOL_VIOLATION, "malformed SCRAM message");
    let snapshot = door.engine.snapshot();
    // A user who does not exist goes through the same exchange, so that nobody can tell the difference.
    let credential = match snapshot.role(user).and_then(|role| role.verifier.clone()) {
        Some(verifier) => Credential::known(verifier),
        None => Credential::unknown(user, &door.mock_secret),
    };
    let binding = door.binding.clone().filter(|_| socket.is_secure());
    let mechanisms = Mechanism::offered(binding.as_ref()).iter().map(|name| (*name).to_owned()).collect();
    authentication(socket, Authentication::SASL(mechanisms)).await?;

    let initial = password_message(socket).await?.into_sasl_initial_response().map_err(malformed)?;
    let mechanism = Mechanism::named(&initial.auth_method).ok_or_else(|| {
        fatal(SqlState::PROTOCOL_VIOLATION, "client selected an invalid SASL authentication mechanism")
    })?;
    let mut exchange = ServerExchange::new(credential, mechanism, binding);
    let server_first = exchange.client_first(&initial.data.unwrap_or_default()).map_err(failed)?;
    authentication(socket, Authentication::SASLContinue(server_first.into())).await?;

    let response = password_message(socket).await?.into_sasl_response().map_err(malformed)?;
    let server_final = exchange.client_final(&response.data).map_err(failed)?;
    authentication(socket, Authentication::SASLFinal(server_final.into())).await
}

async fn authentication(socket: &mut Socket, message: Authentication) -> Result<(), Refusal> {
    socket.send(PgWireBackendMessage::Authentication(message)).await.map_err(|_| Refusal::Close)
}

async fn password_message(
    socket: &mut Socket,
) -> Result<pgwire::messages::startup::PasswordMessageFamily, Refusal> {
    match socket.next().await {
        Some(Ok(PgWireFrontendMessage::PasswordMessageFamily(message))) => Ok(message),
        // psql closes the connection to ask its user for the password.
        None | Some(Err(_) | Ok(PgWireFrontendMessage::Terminate(_))) => Err(Refusal::Close),
        Some(Ok(_)) => Err(fatal(SqlState::PROTOCOL_VIOLATION, "expected a password response").into()),
    }
}

async fn open(
    mut socket: Socket,
    door: &Door,
    interrupts: Arc<Interrupts>,
    greeting: Greeting,
) -> Option<Connection> {
    let timeout = ("statement_timeout".to_owned(), door.statement_timeout_ms.to_string());
    let mut settings = match Settings::with_startup(std::iter::once(timeout).chain(greeting.startup)) {
        Ok(settings) => settings,
        Err(error) => {
            refuse(&mut socket, error).await;
            return None;
        }
    };
    settings.force("session_authorization", &greeting.user);
    let superuser = door.engine.snapshot().role(&greeting.user).is_some_and(|role| role.superuser);
    settings.force("is_superuser", if superuser { "on" } else { "off" });
    let secret = match socket.protocol_version() {
        ProtocolVersion::PROTOCOL3_0 => SecretKey::I32(rand::random()),
        _ => SecretKey::Bytes(rand::random::<[u8; 32]>().to_vec().into()),
    };
    let address = socket.socket_addr();
    let activity = Activity::new(SessionActivity {
        database: greeting.database.clone(),
        user: greeting.user.clone(),
        application_name: settings.value("application_name").to_owned(),
        client_address: Some((address.ip().to_string(), address.port())),
        is_encrypted: socket.is_secure(),
        ..SessionActivity::default()
    });
    let guard = door.connections.enter(secret.clone(), Arc::clone(&interrupts), Arc::clone(&activity));
    let session = Session::new(
        Arc::clone(&door.engine),
        greeting.user,
        greeting.database,
        guard.pid,
        address,
        settings,
        Live::new(Arc::clone(&door.engine), Arc::clone(&door.connections), activity),
    );
    socket.set_state(PgWireConnectionState::ReadyForQuery);
    let (mut client, messages) = split(socket, Arc::clone(&interrupts));
    let greeted = async {
        client.feed(PgWireBackendMessage::Authentication(Authentication::Ok)).await?;
        for (name, value) in session.settings().reported() {
            client.parameter(name, value).await?;
        }
        client.feed(PgWireBackendMessage::BackendKeyData(BackendKeyData::new(guard.pid, secret))).await
    };
    greeted.await.ok()?;
    Some(Connection::new(client, messages, session, interrupts, guard, Arc::clone(&door.connections)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_startup_packet_are_a_command_line() {
        let settings = |text: &str| command_line_settings(text).ok();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            settings("-c geqo=off  -cjit=on --statement-timeout=5s").unwrap(),
            [pair("geqo", "off"), pair("jit", "on"), pair("statement_timeout", "5s")]
        );
        assert_eq!(settings(r"-c search_path=a\ b").unwrap(), [pair("search_path", "a b")]);
        assert_eq!(settings("").unwrap(), []);
        assert!(settings("-x").is_none());
        assert!(settings("-c geqo").is_none());
    }

    #[test]
    fn a_startup_packet_without_a_user_is_refused() {
        assert!(greeting(Startup::new()).is_err());
    }
}
