//! Certificates that quickdb makes for itself: an authority and what it signs, ECDSA P-256 throughout.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::error::Error;

const DAY: Duration = Duration::from_hours(24);
/// Certificates begin a day early, for clients whose clock or time zone is off.
const CLOCK_SKEW: Duration = DAY;
/// An authority lasts ten years.
const AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(3653);

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A server for clients: server authentication alone. Three years, since servers run for long
    /// and take up a renewed certificate at their next start.
    ClientPort,
    /// A node of a cluster, which is client and server to the others. One year.
    ClusterNode,
}

impl Purpose {
    fn validity(self) -> Duration {
        match self {
            Self::ClientPort => DAY.saturating_mul(3 * 365),
            Self::ClusterNode => DAY.saturating_mul(365),
        }
    }

    fn extended_usages(self) -> Vec<ExtendedKeyUsagePurpose> {
        match self {
            Self::ClientPort => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Self::ClusterNode => {
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
            }
        }
    }
}

/// A certificate and its private key, both in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The certificate.
    pub(crate) certificate_pem: String,
    /// The private key. It never goes into a log: the type has no `Debug`.
    pub(crate) key_pem: String,
}

/// An authority that signs certificates.
pub(crate) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority with a new key.
    ///
    /// # Errors
    /// [`Error::MakeCertificate`].
    pub(crate) fn generate(name: &str, now: SystemTime) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(failed(name))?;
        Self::with_key(name, key, now)
    }

    /// The authority of that name and key, with a validity that starts anew. What it signed before stays good, and what
    /// it signs now is good for those who know an older certificate of it.
    ///
    /// # Errors
    /// [`Error::MakeCertificate`].
    pub(crate) fn with_key(name: &str, key: KeyPair, now: SystemTime) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(name);
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + AUTHORITY_VALIDITY).into();
        // It signs nodes and no further authorities.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(failed(name))?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate.
    pub(crate) fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// The authority's private key.
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs a certificate over a new key for `name`, which is its first subject alternative name, and the other `names`:
    /// host names or addresses.
    ///
    /// # Errors
    /// [`Error::MakeCertificate`], for example for a name that no certificate can hold.
    pub(crate) fn issue(
        &self,
        name: &str,
        names: &[String],
        purpose: Purpose,
        now: SystemTime,
    ) -> Result<Identity, Error> {
        let mut all_names = vec![name.to_owned()];
        all_names.extend(names.iter().filter(|other| *other != name).cloned());
        let mut params = CertificateParams::new(all_names).map_err(failed(name))?;
        params.distinguished_name = common_name(name);
        params.not_before = (now - CLOCK_SKEW).into();
        params.not_after = (now + purpose.validity()).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = purpose.extended_usages();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(failed(name))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed(name))?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// The names by which a process on this machine is reached over loopback.
pub(crate) fn loopback_names() -> Vec<String> {
    let addresses = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    std::iter::once("localhost".to_owned()).chain(addresses.iter().map(IpAddr::to_string)).collect()
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, "quickdb");
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

fn failed(name: &str) -> impl Fn(rcgen::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::MakeCertificate { name: name.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, crypto,
    };

    use super::*;

    fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap();
        (vec![certificate], PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap())
    }

    fn roots(authority: &Authority) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    }

    /// Runs a handshake with client certificates in memory; the error of the side that refuses.
    fn handshake(
        authority: &Authority,
        server: &Identity,
        client: Option<&Identity>,
        name: &str,
    ) -> Result<(), tokio_rustls::rustls::Error> {
        let provider = Arc::new(crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots(authority), provider.clone()).build().unwrap();
        let (server_chain, server_key) = chain(server);
        let server_config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(server_chain, server_key)
            .unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(authority));
        let client_config = match client {
            Some(identity) => {
                let (chain, key) = chain(identity);
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client_config), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server_config)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            bytes.clear();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn nodes_of_one_authority_accept_each_other_by_name_and_address() {
        let now = SystemTime::now();
        let authority = Authority::generate("a test", now).unwrap();
        let node = |name: &str| authority.issue(name, &loopback_names(), Purpose::ClusterNode, now).unwrap();
        let (worker, master) = (node("worker-1"), node("master"));
        for name in ["worker-1", "localhost", "127.0.0.1", "::1"] {
            handshake(&authority, &worker, Some(&master), name).unwrap();
        }
        handshake(&authority, &worker, Some(&master), "worker-2").unwrap_err();
    }

    #[test]
    fn strangers_are_refused() {
        let now = SystemTime::now();
        let authority = Authority::generate("a test", now).unwrap();
        let worker = authority.issue("worker-1", &loopback_names(), Purpose::ClusterNode, now).unwrap();
        handshake(&authority, &worker, None, "localhost").unwrap_err();
        let other = Authority::generate("a test", now).unwrap();
        let stranger = other.issue("master", &loopback_names(), Purpose::ClusterNode, now).unwrap();
        handshake(&authority, &worker, Some(&stranger), "localhost").unwrap_err();
        // A certificate for the client port is no ticket into the cluster.
        let server = authority.issue("server", &loopback_names(), Purpose::ClientPort, now).unwrap();
        handshake(&authority, &worker, Some(&server), "localhost").unwrap_err();
    }

    #[test]
    fn an_authority_with_a_new_validity_is_the_same_authority() {
        let now = SystemTime::now();
        let old = Authority::generate("a test", now - DAY.saturating_mul(3650)).unwrap();
        let key = KeyPair::from_pem(&old.key_pem()).unwrap();
        let new = Authority::with_key("a test", key, now).unwrap();
        let worker = new.issue("worker-1", &loopback_names(), Purpose::ClusterNode, now).unwrap();
        let master = new.issue("master", &loopback_names(), Purpose::ClusterNode, now).unwrap();
        handshake(&old, &worker, Some(&master), "worker-1").unwrap();
    }

    #[test]
    fn an_impossible_name_is_an_error() {
        let authority = Authority::generate("a test", SystemTime::now()).unwrap();
        let result = authority.issue("wörker", &[], Purpose::ClusterNode, SystemTime::now());
        assert!(matches!(result.err(), Some(Error::MakeCertificate { .. })));
    }
}
