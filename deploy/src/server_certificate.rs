//! The certificate of a server that was given none: an authority of its own and a certificate in `DIR/tls`, made by the
//! first start, used again by later ones, and renewed before they expire.
//!
//! ```text
//! DIR/tls/ca.pem      the authority: sslrootcert of clients that verify
//! DIR/tls/ca.key      its key, mode 0600
//! DIR/tls/server.pem  the server's certificate
//! DIR/tls/server.key  its key, mode 0600
//! ```

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::crypto;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::atomic_file::{self, Access};
use crate::certificates::{Authority, Identity, Purpose};
use crate::error::Error;

/// The folder in the data directory.
pub(crate) const FOLDER: &str = "tls";
/// The authority's certificate in that folder.
pub(crate) const AUTHORITY_FILE: &str = "ca.pem";

const AUTHORITY_KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "server.pem";
const KEY_FILE: &str = "server.key";
const AUTHORITY_NAME: &str = "quickdb authority of this server";
/// A certificate with less time left than this is renewed at the next start.
const RENEW_BEFORE: Duration = Duration::from_hours(90 * 24);

/// The certificate in `DIR/tls` for all of `names`, the first of which must exist. It is made or renewed where the one
/// that is there is absent, damaged, about to expire, or for other names; the authority's key stays as long as it can be
/// read, so that clients which trust it need nothing new.
///
/// # Errors
/// When a file cannot be written or a name cannot be in a certificate.
pub(crate) fn ensure(dir: &Path, names: &[String], now: SystemTime) -> Result<Identity, Error> {
    let folder = dir.join(FOLDER);
    if let Some(identity) = usable(&folder, names, now + RENEW_BEFORE) {
        return Ok(identity);
    }
    atomic_file::create_private_folder(&folder)?;
    let kept_key =
        fs::read_to_string(folder.join(AUTHORITY_KEY_FILE)).ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    let authority = match kept_key {
        Some(key) => Authority::with_key(AUTHORITY_NAME, key, now)?,
        None => Authority::generate(AUTHORITY_NAME, now)?,
    };
    let first = names.first().map_or("localhost", String::as_str);
    let identity = authority.issue(first, names, Purpose::ClientPort, now)?;
    let write =
        |name: &str, text: &str, access| atomic_file::write(&folder.join(name), text.as_bytes(), access);
    write(AUTHORITY_KEY_FILE, &authority.key_pem(), Access::Private)?;
    write(AUTHORITY_FILE, &authority.certificate_pem(), Access::Public)?;
    write(KEY_FILE, &identity.key_pem, Access::Private)?;
    write(CERTIFICATE_FILE, &identity.certificate_pem, Access::Public)?;
    Ok(identity)
}

/// The identity in `folder`, if it is whole, verifies against the authority beside it for every name, and still does at
/// the time `until`.
fn usable(folder: &Path, names: &[String], until: SystemTime) -> Option<Identity> {
    let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
    let identity = Identity { certificate_pem: read(CERTIFICATE_FILE)?, key_pem: read(KEY_FILE)? };
    let certificate = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).ok()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).ok()?;
    let provider = Arc::new(crypto::ring::default_provider());
    CertifiedKey::from_der(vec![certificate.clone()], key, &provider).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(read(AUTHORITY_FILE)?.as_bytes()).ok()?).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let until = UnixTime::since_unix_epoch(until.duration_since(SystemTime::UNIX_EPOCH).ok()?);
    for name in names {
        let name = ServerName::try_from(name.as_str()).ok()?;
        verifier.verify_server_cert(&certificate, &[], &name, &[], until).ok()?;
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::certificates::loopback_names;

    const YEAR: Duration = Duration::from_hours(365 * 24);

    fn ca(dir: &Path) -> String {
        fs::read_to_string(dir.join(FOLDER).join(AUTHORITY_FILE)).unwrap()
    }

    #[test]
    fn the_first_start_makes_it_and_the_second_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let first = ensure(dir.path(), &loopback_names(), now).unwrap();
        let authority = ca(dir.path());
        let second = ensure(dir.path(), &loopback_names(), now + YEAR).unwrap();
        assert_eq!(first.certificate_pem, second.certificate_pem);
        assert_eq!(first.key_pem, second.key_pem);
        assert_eq!(ca(dir.path()), authority);
        for name in [KEY_FILE, AUTHORITY_KEY_FILE] {
            let mode = fs::metadata(dir.path().join(FOLDER).join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn an_expiring_certificate_is_renewed_under_the_same_authority_key() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let old = ensure(dir.path(), &loopback_names(), now).unwrap();
        let authority_key = fs::read(dir.path().join(FOLDER).join(AUTHORITY_KEY_FILE)).unwrap();
        let new = ensure(dir.path(), &loopback_names(), now + YEAR * 3).unwrap();
        assert_ne!(old.certificate_pem, new.certificate_pem);
        assert_eq!(fs::read(dir.path().join(FOLDER).join(AUTHORITY_KEY_FILE)).unwrap(), authority_key);
        assert!(usable(&dir.path().join(FOLDER), &loopback_names(), now + YEAR * 5).is_some());
    }

    #[test]
    fn other_names_and_damage_make_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let mut names = loopback_names();
        let old = ensure(dir.path(), &names, now).unwrap();
        names.push("db.example.org".to_owned());
        let more_names = ensure(dir.path(), &names, now).unwrap();
        assert_ne!(old.certificate_pem, more_names.certificate_pem);
        for name in [CERTIFICATE_FILE, KEY_FILE, AUTHORITY_FILE, AUTHORITY_KEY_FILE] {
            fs::write(dir.path().join(FOLDER).join(name), "damage").unwrap();
            ensure(dir.path(), &names, now).unwrap();
            assert!(usable(&dir.path().join(FOLDER), &names, now).is_some(), "{name}");
        }
    }
}
