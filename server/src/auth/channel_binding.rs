//! The channel binding type `tls-server-end-point` (RFC 5929, section 4): a hash of the server's certificate
//! under the hash function of the certificate's own signature.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The name of the only channel binding type that PostgreSQL clients use.
pub const TLS_SERVER_END_POINT: &str = "tls-server-end-point";

/// The hash of the certificate that the client has seen in the TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelBinding {
    certificate_hash: Vec<u8>,
}

impl ChannelBinding {
    /// The binding of a certificate in DER. `None` where the certificate cannot be read or its signature
    /// algorithm names no hash that is known (Ed25519 has none): SCRAM-SHA-256-PLUS is not to be offered then.
    pub fn of_certificate(certificate_der: &[u8]) -> Option<Self> {
        let algorithm = signature_hash(certificate_der)?;
        Some(Self { certificate_hash: digest(algorithm, certificate_der).as_ref().to_vec() })
    }

    /// The bytes that the client has to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.certificate_hash
    }
}

const TAG_SEQUENCE: u8 = 0x30;
const TAG_OBJECT_IDENTIFIER: u8 = 0x06;
/// The first, explicitly tagged field of the parameters of RSASSA-PSS: its hash.
const TAG_PSS_HASH: u8 = 0xa0;

/// 1.2.840.113549.1.1: PKCS #1 signatures, by their last arc.
const PKCS1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// 1.2.840.10045.4.3: ECDSA with a SHA-2 hash, by their last arc.
const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// 2.16.840.1.101.3.4.2: the SHA-2 hashes themselves, by their last arc.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// 1.2.840.10045.4.1: ECDSA with SHA-1.
const ECDSA_SHA1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// The hash function of the certificate's signature algorithm; MD5 and SHA-1 are replaced by SHA-256, as the
/// RFC asks.
fn signature_hash(certificate_der: &[u8]) -> Option<&'static Algorithm> {
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    let (certificate, _) = read_tagged(certificate_der, TAG_SEQUENCE)?;
    let (_, after_tbs) = read_tagged(certificate, TAG_SEQUENCE)?;
    let (algorithm, _) = read_tagged(after_tbs, TAG_SEQUENCE)?;
    let (identifier, parameters) = read_tagged(algorithm, TAG_OBJECT_IDENTIFIER)?;
    if identifier == ECDSA_SHA1 {
        return Some(&SHA256);
    }
    let (last_arc, family) = identifier.split_last()?;
    match (family, last_arc) {
        // md5, sha1, sha256 with RSA.
        (PKCS1, 4 | 5 | 11) | (ECDSA_SHA2, 2) => Some(&SHA256),
        (PKCS1, 12) | (ECDSA_SHA2, 3) => Some(&SHA384),
        (PKCS1, 13) | (ECDSA_SHA2, 4) => Some(&SHA512),
        (PKCS1, 10) => pss_hash(parameters),
        _ => None,
    }
}

fn pss_hash(parameters: &[u8]) -> Option<&'static Algorithm> {
    let (parameters, _) = read_tagged(parameters, TAG_SEQUENCE)?;
    // Without a hash field the hash is SHA-1.
    let Some((hash, _)) = read_tagged(parameters, TAG_PSS_HASH) else { return Some(&SHA256) };
    let (hash, _) = read_tagged(hash, TAG_SEQUENCE)?;
    let (identifier, _) = read_tagged(hash, TAG_OBJECT_IDENTIFIER)?;
    let (last_arc, family) = identifier.split_last()?;
    match (family, last_arc) {
        (SHA2, 1) => Some(&SHA256),
        (SHA2, 2) => Some(&SHA384),
        (SHA2, 3) => Some(&SHA512),
        _ => None,
    }
}

/// The content of the DER element at the front, if it has the tag, and what follows it.
fn read_tagged(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    if *found != tag {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (len, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (len, rest) = rest.split_at_checked(usize::from(*first & 0x7f))?;
        if len.len() > 4 {
            return None;
        }
        (len.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
    };
    rest.split_at_checked(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DER element with a short length.
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn certificate(algorithm: &[u8]) -> Vec<u8> {
        let tbs = element(TAG_SEQUENCE, &[2, 1, 0]);
        element(TAG_SEQUENCE, &[tbs, element(TAG_SEQUENCE, algorithm), element(3, &[0, 1])].concat())
    }

    #[test]
    fn the_hash_follows_the_signature_algorithm() {
        let with = |family: &[u8], arc: u8| element(TAG_OBJECT_IDENTIFIER, &[family, &[arc]].concat());
        let cases = [
            (with(PKCS1, 5), Some(32)),
            (with(PKCS1, 11), Some(32)),
            (with(PKCS1, 12), Some(48)),
            (with(PKCS1, 13), Some(64)),
            (with(ECDSA_SHA2, 2), Some(32)),
            (with(ECDSA_SHA2, 3), Some(48)),
            (with(ECDSA_SHA2, 4), Some(64)),
            // Ed25519.
            (element(TAG_OBJECT_IDENTIFIER, &[0x2b, 0x65, 0x70]), None),
        ];
        for (algorithm, hash_bytes) in cases {
            let der = certificate(&algorithm);
            let binding = ChannelBinding::of_certificate(&der);
            assert_eq!(binding.map(|binding| binding.as_bytes().len()), hash_bytes, "{algorithm:02x?}");
        }
        let pss_hash = element(TAG_PSS_HASH, &element(TAG_SEQUENCE, &with(SHA2, 2)));
        let pss = [with(PKCS1, 10), element(TAG_SEQUENCE, &pss_hash)].concat();
        assert_eq!(ChannelBinding::of_certificate(&certificate(&pss)).unwrap().as_bytes().len(), 48);
    }

    #[test]
    fn damaged_certificates_have_no_binding() {
        let der = certificate(&element(TAG_OBJECT_IDENTIFIER, &[PKCS1, &[11]].concat()));
        for len in 0..der.len() {
            assert_eq!(ChannelBinding::of_certificate(&der[..len]), None);
        }
    }
}
