//! Connection strings, with the parameters of libpq about certificates.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Whom to believe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any certificate, as libpq does with `sslmode=require`.
    Anyone,
    /// Certificates of these authorities; for the server's name too where `host`.
    Authorities { file: PathBuf, host: bool },
}

/// A connection string that was read.
#[derive(Debug)]
pub(super) struct Dsn {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

impl Dsn {
    /// Reads `postgresql://user:password@host:port/database?sslmode=...`; `password` is for one that has none.
    ///
    /// # Errors
    /// What is no connection string.
    pub(super) fn parse(text: &str, password: Option<&str>) -> Result<Self, String> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if !base.starts_with("postgresql://") && !base.starts_with("postgres://") {
            return Err("a connection string begins with postgresql://".to_owned());
        }
        let mut authorities = None;
        let mut mode = "prefer".to_owned();
        let mut rest = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = value.to_owned(),
                Some(("sslrootcert", value)) => authorities = Some(PathBuf::from(unescaped(value))),
                _ => rest.push(pair),
            }
        }
        let base = with_port(base);
        let text = if rest.is_empty() { base } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = text.parse().map_err(|error: tokio_postgres::Error| {
            std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
        })?;
        let (ssl_mode, host) = match mode.as_str() {
            "disable" => (SslMode::Disable, false),
            "allow" | "prefer" => (SslMode::Prefer, false),
            "require" => (SslMode::Require, false),
            "verify-ca" => (SslMode::Require, false),
            "verify-full" => (SslMode::Require, true),
            other => {
                return Err(format!(
                    "sslmode={other} is none of disable, allow, prefer, require, verify-ca, verify-full"
                ));
            }
        };
        config.ssl_mode(ssl_mode);
        if config.get_user().is_none() {
            config.user("quickdb");
        }
        if config.get_dbname().is_none() {
            config.dbname("quickdb");
        }
        if config.get_application_name().is_none() {
            config.application_name("quickdb load");
        }
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password);
        }
        let trust = match authorities {
            Some(file) => Trust::Authorities { file, host },
            None if mode.starts_with("verify") => {
                return Err(format!(
                    "sslmode={mode} needs sslrootcert=FILE with the authority's certificate"
                ));
            }
            None => Trust::Anyone,
        };
        Ok(Self { config, trust })
    }

    /// The server, for messages.
    pub(super) fn server(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            Some(tokio_postgres::config::Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or_default();
        format!("{host}:{port}")
    }
}

/// The address with quickdb's port where it has none; the client library would take PostgreSQL's.
fn with_port(base: &str) -> String {
    let Some((scheme, rest)) = base.split_once("://") else { return base.to_owned() };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (rest, String::new()),
    };
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if host.is_empty() || has_port {
        return base.to_owned();
    }
    let port = crate::cli::CLIENT_ADDRESS_DEFAULT.port();
    format!("{scheme}://{authority}:{port}{path}")
}

/// A value with `%20` and the like resolved.
fn unescaped(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_quickdb() {
        let dsn = Dsn::parse("postgresql://127.0.0.1", Some("secret")).unwrap();
        assert_eq!(dsn.server(), "127.0.0.1:5433");
        assert_eq!((dsn.config.get_user(), dsn.config.get_dbname()), (Some("quickdb"), Some("quickdb")));
        assert_eq!(dsn.config.get_password(), Some(&b"secret"[..]));
        assert_eq!((dsn.config.get_ssl_mode(), dsn.trust), (SslMode::Prefer, Trust::Anyone));
    }

    #[test]
    fn certificates_are_asked_for_as_in_libpq() {
        let url = "postgresql://u:p@h:1/d?sslmode=verify-full&sslrootcert=%2Fa%20b&connect_timeout=3";
        let dsn = Dsn::parse(url, Some("other")).unwrap();
        assert_eq!(dsn.trust, Trust::Authorities { file: "/a b".into(), host: true });
        assert_eq!(dsn.config.get_password(), Some(&b"p"[..]));
        assert_eq!(dsn.config.get_ssl_mode(), SslMode::Require);
        assert!(Dsn::parse("postgresql://h?sslmode=verify-ca", None).is_err());
        assert!(Dsn::parse("postgresql://h?sslmode=maybe", None).is_err());
        assert!(Dsn::parse("host=h", None).is_err());
        assert!(Dsn::parse("postgresql://h:port", None).is_err());
    }
}
