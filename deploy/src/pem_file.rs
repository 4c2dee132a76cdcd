//! PEM files that the configuration names: read and checked before a server starts with them.

use std::fs;
use std::path::Path;

use tokio_rustls::rustls::crypto;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::certificates::Identity;
use crate::error::Error;

/// Reads a certificate chain and its key, and checks that they belong together.
///
/// # Errors
/// [`Error::Read`] and [`Error::Certificate`], naming the file.
pub(crate) fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let certificate_pem = fs::read_to_string(certificate).map_err(Error::read(certificate, "certificate"))?;
    let key_pem = fs::read_to_string(key).map_err(Error::read(key, "private key"))?;
    let chain = certificates(certificate, &certificate_pem)?;
    let wrong_key =
        |message: String| Error::Certificate { path: key.to_owned(), what: "private key", message };
    let key_der = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| wrong_key("no private key in PEM format".to_owned()))?;
    CertifiedKey::from_der(chain, key_der, &crypto::ring::default_provider())
        .map_err(|error| wrong_key(format!("cannot be used with {}: {error}", certificate.display())))?;
    Ok(Identity { certificate_pem, key_pem })
}

/// Reads the certificates of authorities.
///
/// # Errors
/// [`Error::Read`] and [`Error::Certificate`], naming the file.
pub(crate) fn read_authorities(path: &Path) -> Result<String, Error> {
    let pem = fs::read_to_string(path).map_err(Error::read(path, "certificate of the authority"))?;
    certificates(path, &pem)?;
    Ok(pem)
}

/// Reads certificates.
///
/// # Errors
/// [`Error::Read`] and [`Error::Certificate`], naming the file.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = fs::read_to_string(path).map_err(Error::read(path, "certificate of the authority"))?;
    certificates(path, &pem)
}

fn certificates(path: &Path, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |message: &str| Error::Certificate {
        path: path.to_owned(),
        what: "certificate",
        message: message.to_owned(),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("broken PEM format"))?;
    if chain.is_empty() { Err(wrong("no certificate in PEM format")) } else { Ok(chain) }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::certificates::{Authority, Purpose};

    #[test]
    fn a_pair_reads_and_a_mismatch_names_the_key() {
        let now = SystemTime::now();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate("a test", now).unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            let identity = authority.issue(name, &[], Purpose::ClusterNode, now).unwrap();
            fs::write(path(&format!("{name}.pem")), identity.certificate_pem).unwrap();
            fs::write(path(&format!("{name}.key")), identity.key_pem).unwrap();
        }
        read_identity(&path("a.pem"), &path("a.key")).unwrap();
        read_authorities(&path("a.pem")).unwrap();
        let mismatch = read_identity(&path("a.pem"), &path("b.key")).err().unwrap().line();
        assert!(mismatch.contains("b.key") && mismatch.contains("a.pem"), "{mismatch}");
        let swapped = read_identity(&path("a.key"), &path("a.pem")).err().unwrap().line();
        assert!(swapped.contains("no certificate in PEM format"), "{swapped}");
        let absent = read_identity(&path("c.pem"), &path("a.key")).err().unwrap().line();
        assert!(absent.contains("cannot read") && absent.contains("c.pem"), "{absent}");
    }
}
