//! Addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use crate::error::Error;

/// Finds out whether an address can be listened on, so that a port in use is reported before any work is done.
///
/// # Errors
/// [`Error::PortInUse`] or [`Error::Listen`], naming `setting`, where the user gave the address.
pub(crate) fn probe(address: SocketAddr, setting: &'static str) -> Result<(), Error> {
    TcpListener::bind(address).map(drop).map_err(|error| Error::from_listen(address, setting, error))
}

/// Whether a port on 127.0.0.1 is free at this moment.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Reads `IP:PORT` or `localhost:PORT`.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.strip_prefix("localhost:").map(str::parse) {
        Some(Ok(port)) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => Err("expected IP:PORT, for example 127.0.0.1:5433, 0.0.0.0:5433 or [::1]:5433".to_owned()),
    }
}

/// The connection string of a server that listens on `address`.
pub(crate) fn url(address: SocketAddr, require_tls: bool) -> String {
    let ip = match address.ip() {
        // A server on all addresses can be reached here by the loopback one.
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
    };
    let address = SocketAddr::new(ip, address.port());
    let options = if require_tls { "?sslmode=require" } else { "" };
    format!("postgresql://quickdb@{address}/quickdb{options}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        assert_eq!(parse("0.0.0.0:1").unwrap(), "0.0.0.0:1".parse().unwrap());
        assert_eq!(parse("localhost:5433").unwrap(), "127.0.0.1:5433".parse().unwrap());
        assert_eq!(parse("[::1]:5433").unwrap(), "[::1]:5433".parse().unwrap());
        for wrong in ["", "5433", "localhost", "db.example.org:5433", "127.0.0.1:99999"] {
            assert!(parse(wrong).unwrap_err().contains("IP:PORT"), "{wrong}");
        }
    }

    #[test]
    fn a_port_in_use_is_reported_with_the_setting() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        assert!(!is_free(address.port()));
        let message = probe(address, "--listen").unwrap_err().line();
        assert!(message.contains(&address.to_string()) && message.contains("--listen"), "{message}");
    }

    #[test]
    fn urls_name_an_address_that_can_be_reached() {
        let url = |address: &str, tls| url(address.parse().unwrap(), tls);
        assert_eq!(url("127.0.0.1:5433", false), "postgresql://quickdb@127.0.0.1:5433/quickdb");
        assert_eq!(url("0.0.0.0:5433", true), "postgresql://quickdb@127.0.0.1:5433/quickdb?sslmode=require");
        assert_eq!(url("[::]:5433", false), "postgresql://quickdb@[::1]:5433/quickdb");
    }
}
