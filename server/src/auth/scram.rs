//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side (RFC 5802 and RFC 7677), on verifiers in the form of
//! `pg_authid.rolpassword`.
//!
//! ```text
//! client-first ──client_first──▶ server-first     (salt, iterations, both nonces)
//! client-final ──client_final──▶ server-final     (proof checked; the server's signature)
//! ```
//!
//! A user who does not exist gets an exchange that looks like any other and fails at its end.

use super::channel_binding::{ChannelBinding, TLS_SERVER_END_POINT};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{digest, hmac, pbkdf2};
use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

/// The mechanism's name without channel binding.
pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
/// The mechanism's name with channel binding.
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// PostgreSQL's number of iterations.
pub const ITERATIONS: NonZeroU32 = match NonZeroU32::new(4096) {
    Some(iterations) => iterations,
    None => NonZeroU32::MIN,
};
/// Bytes of a salt, as in PostgreSQL.
pub const SALT_BYTES: usize = 16;

/// Bytes of the server's part of the nonce before base64, as in PostgreSQL.
const NONCE_BYTES: usize = 18;
const KEY_BYTES: usize = digest::SHA256_OUTPUT_LEN;
/// No message of a client that means well is longer.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

type Key = [u8; KEY_BYTES];

/// Why a client is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A message that is no SCRAM message.
    #[error("malformed SCRAM message")]
    Malformed {
        /// DETAIL of the error.
        detail: &'static str,
    },
    /// The client's last message does not continue the exchange.
    #[error("invalid SCRAM response")]
    NonceMismatch,
    /// An authorization identity or an extension that is not supported.
    #[error("{message}")]
    NotSupported {
        /// PostgreSQL's message.
        message: &'static str,
    },
    /// The client believes that the server does no channel binding, but it was offered: someone is in between.
    #[error("SCRAM channel binding negotiation error")]
    BindingNegotiation,
    /// The client wants a channel binding that the server does not have.
    #[error("unsupported SCRAM channel-binding type \"{name}\"")]
    BindingType {
        /// The type that the client named.
        name: String,
    },
    /// The client has seen another certificate.
    #[error("SCRAM channel binding check failed")]
    BindingMismatch,
    /// Wrong password, or no such user.
    #[error("password authentication failed")]
    WrongPassword,
    /// A message at a time when none is expected.
    #[error("unexpected SCRAM message")]
    OutOfOrder,
    /// The operating system gave no random bytes.
    #[error("could not generate random nonce")]
    NoRandomness,
}

impl AuthError {
    /// PostgreSQL's code for the error.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Self::Malformed { .. }
            | Self::NonceMismatch
            | Self::BindingType { .. }
            | Self::BindingNegotiation
            | Self::OutOfOrder => "08P01",
            Self::NotSupported { .. } => "0A000",
            Self::BindingMismatch => "28000",
            Self::WrongPassword => "28P01",
            Self::NoRandomness => "XX000",
        }
    }

    /// The DETAIL that goes with the message.
    pub fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Malformed { detail } => Some(detail),
            Self::NonceMismatch => Some("Nonce does not match."),
            Self::BindingNegotiation => Some(
                "The client supports SCRAM channel binding but thinks the server does not.  \
                 However, this server does support channel binding.",
            ),
            _ => None,
        }
    }
}

/// A password's verifier: what the server stores instead of the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: Key,
    server_key: Key,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Verifier {
    /// The verifier of a password. The password is prepared with SASLprep; where that refuses it, it is taken as
    /// it is.
    pub fn from_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        let prepared = stringprep::saslprep(password).unwrap_or(Cow::Borrowed(password));
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.as_bytes(), &mut salted);
        let client_key = hmac_sha256(&salted, &[b"Client Key"]);
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(&client_key),
            server_key: hmac_sha256(&salted, &[b"Server Key"]),
        }
    }

    /// The verifier of a password with a random salt and PostgreSQL's number of iterations.
    ///
    /// # Errors
    /// [`AuthError::NoRandomness`].
    pub fn generate(password: &str) -> Result<Self, AuthError> {
        let mut salt = [0; SALT_BYTES];
        random(&mut salt)?;
        Ok(Self::from_password(password, &salt, ITERATIONS))
    }

    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (iterations, rest) = text.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let key = |text: &str| Key::try_from(BASE64.decode(text).ok()?).ok();
        Some(Self {
            iterations: iterations.parse().ok()?,
            salt: BASE64.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    /// Whether the password is the one that the verifier was made from.
    pub fn matches(&self, password: &str) -> bool {
        let other = Self::from_password(password, &self.salt, self.iterations);
        equal(&other.stored_key, &self.stored_key)
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{SCRAM_SHA_256}${}:{}${}:{}",
            self.iterations,
            BASE64.encode(&self.salt),
            BASE64.encode(self.stored_key),
            BASE64.encode(self.server_key)
        )
    }
}

/// A secret of the server from which the salts of users who do not exist are made, so that the same name always
/// has the same salt. It should outlive restarts.
#[derive(Clone)]
pub struct MockSecret([u8; 32]);

impl MockSecret {
    /// A secret that was stored.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// A new secret.
    ///
    /// # Errors
    /// [`AuthError::NoRandomness`].
    pub fn generate() -> Result<Self, AuthError> {
        let mut secret = [0; 32];
        random(&mut secret)?;
        Ok(Self(secret))
    }

    /// The secret, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MockSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MockSecret(..)")
    }
}

/// Who logs in, as far as the exchange is concerned.
#[derive(Debug, Clone)]
pub struct Credential {
    verifier: Verifier,
    /// The exchange has to fail whatever the client proves.
    doomed: bool,
}

impl Credential {
    /// A user with a password.
    pub fn known(verifier: Verifier) -> Self {
        Self { verifier, doomed: false }
    }

    /// A user who does not exist, has no password or may not log in.
    pub fn unknown(user: &str, secret: &MockSecret) -> Self {
        let derive = |purpose: &[u8]| hmac_sha256(&secret.0, &[purpose, user.as_bytes()]);
        let salt = derive(b"salt").get(..SALT_BYTES).unwrap_or_default().to_vec();
        let (stored_key, server_key) = (derive(b"stored key"), derive(b"server key"));
        Self { verifier: Verifier { iterations: ITERATIONS, salt, stored_key, server_key }, doomed: true }
    }
}

/// The mechanism that the client has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    Plain,
    /// SCRAM-SHA-256-PLUS.
    Plus,
}

impl Mechanism {
    /// The mechanism of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            SCRAM_SHA_256 => Some(Self::Plain),
            SCRAM_SHA_256_PLUS => Some(Self::Plus),
            _ => None,
        }
    }

    /// The mechanisms to offer, best first: with channel binding only on a TLS connection whose certificate has
    /// a binding.
    pub fn offered(binding: Option<&ChannelBinding>) -> &'static [&'static str] {
        if binding.is_some() { &[SCRAM_SHA_256_PLUS, SCRAM_SHA_256] } else { &[SCRAM_SHA_256] }
    }
}

/// One login.
#[derive(Debug)]
pub struct ServerExchange {
    credential: Credential,
    mechanism: Mechanism,
    binding: Option<ChannelBinding>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Challenged(Challenge),
    Finished,
}

/// What was said so far.
#[derive(Debug)]
struct Challenge {
    /// Of the client's first message: the flag of channel binding and the authorization identity.
    gs2_header: String,
    client_first_bare: String,
    server_first: String,
    nonce: String,
}

impl ServerExchange {
    /// A login with the mechanism that the client chose; `binding` is the one of this connection's TLS
    /// certificate, if PLUS was offered.
    pub fn new(credential: Credential, mechanism: Mechanism, binding: Option<ChannelBinding>) -> Self {
        Self { credential, mechanism, binding, state: State::Start }
    }

    /// The server-first message for the client-first message.
    ///
    /// # Errors
    /// [`AuthError`] for a message that is none, or that asks for what is not supported.
    pub fn client_first(&mut self, message: &[u8]) -> Result<Vec<u8>, AuthError> {
        let mut nonce = [0; NONCE_BYTES];
        random(&mut nonce)?;
        self.client_first_with_nonce(message, &BASE64.encode(nonce))
    }

    fn client_first_with_nonce(&mut self, message: &[u8], server_nonce: &str) -> Result<Vec<u8>, AuthError> {
        if !matches!(std::mem::replace(&mut self.state, State::Finished), State::Start) {
            return Err(AuthError::OutOfOrder);
        }
        let message = message_text(message)?;
        let malformed = |detail| AuthError::Malformed { detail };
        let (flag, rest) =
            message.split_once(',').ok_or(malformed("Comma expected, but found end of string."))?;
        self.check_binding_flag(flag)?;
        let (identity, bare) =
            rest.split_once(',').ok_or(malformed("Unexpected attribute in client-first-message."))?;
        if identity.starts_with("a=") {
            return Err(AuthError::NotSupported {
                message: "client uses authorization identity, but it is not supported",
            });
        }
        if !identity.is_empty() {
            return Err(malformed("Unexpected attribute in client-first-message."));
        }
        if bare.starts_with("m=") {
            return Err(AuthError::NotSupported {
                message: "client requires an unsupported SCRAM extension",
            });
        }
        // The user name is that of the startup message, whatever is said here. Extensions may follow the nonce.
        let mut attributes = bare.split(',');
        attributes
            .next()
            .and_then(|user| user.strip_prefix("n="))
            .ok_or(malformed("Expected attribute \"n\"."))?;
        let client_nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or(malformed("Expected attribute \"r\"."))?;
        if client_nonce.is_empty() || !client_nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
            return Err(AuthError::NotSupported { message: "non-printable characters in SCRAM nonce" });
        }
        let verifier = &self.credential.verifier;
        let nonce = format!("{client_nonce}{server_nonce}");
        let server_first = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let answer = server_first.clone().into_bytes();
        let gs2_header = format!("{flag},{identity},");
        let client_first_bare = bare.to_owned();
        self.state = State::Challenged(Challenge { gs2_header, client_first_bare, server_first, nonce });
        Ok(answer)
    }

    fn check_binding_flag(&self, flag: &str) -> Result<(), AuthError> {
        let malformed = |detail| Err(AuthError::Malformed { detail });
        match (flag, self.mechanism) {
            ("n", Mechanism::Plain) => Ok(()),
            ("y", Mechanism::Plain) if self.binding.is_some() => Err(AuthError::BindingNegotiation),
            ("y", Mechanism::Plain) => Ok(()),
            ("n" | "y", Mechanism::Plus) => malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
            ),
            (flag, mechanism) => match flag.strip_prefix("p=") {
                Some(_) if mechanism == Mechanism::Plain => malformed(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.",
                ),
                Some(TLS_SERVER_END_POINT) if self.binding.is_some() => Ok(()),
                Some(name) => Err(AuthError::BindingType { name: name.chars().take(64).collect() }),
                None => malformed("Unexpected channel-binding flag."),
            },
        }
    }

    /// The server-final message for the client-final message: the client has proved that it knows the password.
    ///
    /// # Errors
    /// [`AuthError::WrongPassword`] also for a user who does not exist; the others for a message that is none.
    pub fn client_final(&mut self, message: &[u8]) -> Result<Vec<u8>, AuthError> {
        let State::Challenged(challenge) = std::mem::replace(&mut self.state, State::Finished) else {
            return Err(AuthError::OutOfOrder);
        };
        let message = message_text(message)?;
        let malformed = |detail| AuthError::Malformed { detail };
        let (without_proof, proof) =
            message.rsplit_once(",p=").ok_or(malformed("Expected attribute \"p\"."))?;
        let proof = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| Key::try_from(proof).ok())
            .ok_or(malformed("Malformed proof in client-final-message."))?;
        let mut attributes = without_proof.split(',');
        let binding = attributes
            .next()
            .and_then(|binding| binding.strip_prefix("c="))
            .ok_or(malformed("Expected attribute \"c\"."))?;
        let nonce = attributes
            .next()
            .and_then(|nonce| nonce.strip_prefix("r="))
            .ok_or(malformed("Expected attribute \"r\"."))?;
        self.check_binding(binding, &challenge)?;
        if !equal(nonce.as_bytes(), challenge.nonce.as_bytes()) {
            return Err(AuthError::NonceMismatch);
        }
        let verifier = &self.credential.verifier;
        let auth_message: [&[u8]; 5] = [
            challenge.client_first_bare.as_bytes(),
            b",",
            challenge.server_first.as_bytes(),
            b",",
            without_proof.as_bytes(),
        ];
        let client_signature = hmac_sha256(&verifier.stored_key, &auth_message);
        let mut client_key = proof;
        client_key.iter_mut().zip(client_signature).for_each(|(key, signature)| *key ^= signature);
        let server_signature = hmac_sha256(&verifier.server_key, &auth_message);
        let proven = equal(&sha256(&client_key), &verifier.stored_key);
        if !proven || self.credential.doomed {
            return Err(AuthError::WrongPassword);
        }
        Ok(format!("v={}", BASE64.encode(server_signature)).into_bytes())
    }

    fn check_binding(&self, sent: &str, challenge: &Challenge) -> Result<(), AuthError> {
        let mut expected = challenge.gs2_header.clone().into_bytes();
        if let (Mechanism::Plus, Some(binding)) = (self.mechanism, &self.binding) {
            expected.extend_from_slice(binding.as_bytes());
        }
        if equal(sent.as_bytes(), BASE64.encode(expected).as_bytes()) {
            return Ok(());
        }
        Err(match self.mechanism {
            Mechanism::Plus => AuthError::BindingMismatch,
            Mechanism::Plain => AuthError::Malformed {
                detail: "Unexpected SCRAM channel-binding attribute in client-final-message.",
            },
        })
    }
}

fn message_text(message: &[u8]) -> Result<&str, AuthError> {
    if message.is_empty() {
        return Err(AuthError::Malformed { detail: "The message is empty." });
    }
    if message.len() > MESSAGE_BYTES_MAX || message.contains(&0) {
        return Err(AuthError::Malformed { detail: "Message length does not match input length." });
    }
    std::str::from_utf8(message).map_err(|_| AuthError::Malformed { detail: "The message is not UTF-8." })
}

fn random(bytes: &mut [u8]) -> Result<(), AuthError> {
    SystemRandom::new().fill(bytes).map_err(|_| AuthError::NoRandomness)
}

fn sha256(bytes: &[u8]) -> Key {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    key
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0; KEY_BYTES];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// Comparison whose time does not depend on where the bytes differ.
fn equal(left: &[u8], right: &[u8]) -> bool {
    // Tags under one key are equal exactly when the bytes are, and ring compares a tag in constant time.
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"comparison");
    hmac::verify(&key, left, hmac::sign(&key, right).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of RFC 7677, section 3.
    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn verifier(password: &str) -> Verifier {
        Verifier::from_password(password, &BASE64.decode(SALT).unwrap(), ITERATIONS)
    }

    fn exchange(password: &str) -> ServerExchange {
        ServerExchange::new(Credential::known(verifier(password)), Mechanism::Plain, None)
    }

    /// The client's side, for tests of what the RFC has no example of.
    fn client_final(password: &str, binding: &[u8], client_first_bare: &str, server_first: &str) -> String {
        let attribute =
            |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name)).unwrap().to_owned();
        let salt = BASE64.decode(attribute("s=")).unwrap();
        let iterations: NonZeroU32 = attribute("i=").parse().unwrap();
        let mut salted = [0; KEY_BYTES];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
        let mut proof = hmac_sha256(&salted, &[b"Client Key"]);
        let without_proof = format!("c={},r={}", BASE64.encode(binding), attribute("r="));
        let auth_message = format!("{client_first_bare},{server_first},{without_proof}");
        let signature = hmac_sha256(&sha256(&proof), &[auth_message.as_bytes()]);
        proof.iter_mut().zip(signature).for_each(|(key, signature)| *key ^= signature);
        format!("{without_proof},p={}", BASE64.encode(proof))
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let mut exchange = exchange("pencil");
        let server_first = exchange.client_first_with_nonce(CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
        assert_eq!(server_first, SERVER_FIRST.as_bytes());
        assert_eq!(exchange.client_final(CLIENT_FINAL.as_bytes()).unwrap(), SERVER_FINAL.as_bytes());
        assert_eq!(exchange.client_final(CLIENT_FINAL.as_bytes()), Err(AuthError::OutOfOrder));
    }

    #[test]
    fn a_wrong_password_fails() {
        let mut exchange = exchange("pencil2");
        exchange.client_first_with_nonce(CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
        assert_eq!(exchange.client_final(CLIENT_FINAL.as_bytes()), Err(AuthError::WrongPassword));
    }

    #[test]
    fn an_unknown_user_cannot_be_told_from_a_wrong_password() {
        let secret = MockSecret::new([7; 32]);
        let first = |user: &str| {
            let credential = Credential::unknown(user, &secret);
            let mut exchange = ServerExchange::new(credential, Mechanism::Plain, None);
            let answer = exchange.client_first_with_nonce(CLIENT_FIRST.as_bytes(), SERVER_NONCE).unwrap();
            (exchange, String::from_utf8(answer).unwrap())
        };
        let (mut exchange, answer) = first("nobody");
        assert_eq!(answer.len(), SERVER_FIRST.len());
        assert_eq!(first("nobody").1, answer);
        assert_ne!(first("somebody").1, answer);
        let last = client_final("pencil", b"n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", &answer);
        assert_eq!(exchange.client_final(last.as_bytes()), Err(AuthError::WrongPassword));
    }

    #[test]
    fn verifiers_recorded_from_postgresql_read_back() {
        // ALTER ROLE ... PASSWORD 'pencil', 'Ⅸ' and 'I\u{ad}X' (which SASLprep makes IX).
        for line in include_str!("testdata/verifiers.tsv").lines() {
            let (password, stored) = line.split_once('\t').unwrap();
            let verifier = Verifier::parse(stored).unwrap();
            assert_eq!(verifier.to_string(), stored);
            assert!(verifier.matches(password), "{password}");
            assert!(!verifier.matches("other"));
        }
        for text in [
            "",
            "md5abc",
            "SCRAM-SHA-256$0:AAAA$AAAA:AAAA",
            "SCRAM-SHA-256$4096:W22Z$x:y",
            "SCRAM-SHA-256$4096",
        ] {
            assert_eq!(Verifier::parse(text), None, "{text}");
        }
        let generated = Verifier::generate("pencil").unwrap();
        assert!(generated.matches("pencil"));
        assert_eq!(Verifier::parse(&generated.to_string()), Some(generated));
    }

    #[test]
    fn channel_binding_is_checked() {
        let der = [
            0x30, 0x18, 0x30, 0, 0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0, 3, 5,
            0, 1, 2, 3, 4,
        ];
        let binding = ChannelBinding::of_certificate(&der).unwrap();
        let bare = "n=,r=abc";
        let header = "p=tls-server-end-point,,";
        let login = |seen: &[u8]| {
            let credential = Credential::known(verifier("pencil"));
            let mut exchange = ServerExchange::new(credential, Mechanism::Plus, Some(binding.clone()));
            let server_first = exchange.client_first(format!("{header}{bare}").as_bytes()).unwrap();
            let server_first = String::from_utf8(server_first).unwrap();
            let last = client_final("pencil", &[header.as_bytes(), seen].concat(), bare, &server_first);
            exchange.client_final(last.as_bytes())
        };
        assert!(login(binding.as_bytes()).is_ok());
        assert_eq!(login(b"another certificate"), Err(AuthError::BindingMismatch));

        let first = |mechanism, binding: Option<ChannelBinding>, message: &str| {
            let credential = Credential::known(verifier("pencil"));
            ServerExchange::new(credential, mechanism, binding).client_first(message.as_bytes()).map(|_| ())
        };
        assert_eq!(first(Mechanism::Plain, None, "y,,n=,r=abc"), Ok(()));
        assert_eq!(
            first(Mechanism::Plain, Some(binding.clone()), "y,,n=,r=abc"),
            Err(AuthError::BindingNegotiation)
        );
        assert!(matches!(
            first(Mechanism::Plain, None, "p=tls-server-end-point,,n=,r=abc"),
            Err(AuthError::Malformed { .. })
        ));
        assert!(matches!(
            first(Mechanism::Plus, Some(binding.clone()), "n,,n=,r=abc"),
            Err(AuthError::Malformed { .. })
        ));
        assert_eq!(
            first(Mechanism::Plus, Some(binding), "p=tls-unique,,n=,r=abc"),
            Err(AuthError::BindingType { name: "tls-unique".into() })
        );
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let first =
            |message: &str| exchange("pencil").client_first(message.as_bytes()).unwrap_err().sqlstate();
        assert_eq!(first("n,a=admin,n=,r=abc"), "0A000");
        assert_eq!(first("n,,m=x,n=,r=abc"), "0A000");
        assert_eq!(first("n,,n=,r="), "0A000");
        for message in ["", "n", "n,", "n,,", "n,,n=x", "n,,r=abc", "x,,n=,r=abc", "n,,n=,r=a\0"] {
            assert_eq!(first(message), "08P01", "{message:?}");
        }
    }

    #[test]
    fn another_nonce_is_refused() {
        let mut exchange = exchange("pencil");
        exchange.client_first(CLIENT_FIRST.as_bytes()).unwrap();
        assert_eq!(exchange.client_final(CLIENT_FINAL.as_bytes()), Err(AuthError::NonceMismatch));
    }

    proptest! {
        #[test]
        fn hostile_messages_do_not_panic(first: Vec<u8>, last: Vec<u8>, tail in "(c=biws,r=[!-~]*)?,?p=[A-Za-z0-9+/=]*") {
            let mut hostile = exchange("pencil");
            let _ = hostile.client_first(&first);
            let mut good_start = exchange("pencil");
            good_start.client_first(CLIENT_FIRST.as_bytes()).unwrap();
            prop_assert!(good_start.client_final(&last).is_err());
            let mut good_start = exchange("pencil");
            good_start.client_first(CLIENT_FIRST.as_bytes()).unwrap();
            prop_assert!(good_start.client_final(tail.as_bytes()).is_err());
        }
    }
}
