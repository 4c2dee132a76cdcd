//! What the catalogue keeps of a password: PostgreSQL's SCRAM-SHA-256 verifier (RFC 5803), as in `pg_authid`.

use std::fmt;
use std::str::FromStr;

use super::error::CatalogueError;

/// The rounds of PBKDF2 that quickdb asks for, as PostgreSQL 15 does.
pub const SCRAM_ITERATIONS: u32 = 4_096;

/// The keys that a password can be checked against, but not be found from.
///
/// Its text is `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>` with base64 for bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramVerifier {
    /// How many rounds of PBKDF2 made the keys.
    pub iterations: u32,
    /// The salt.
    pub salt: Vec<u8>,
    /// SHA-256 of the client key.
    pub stored_key: [u8; 32],
    /// What the server proves itself with.
    pub server_key: [u8; 32],
}

/// Keys do not belong in logs.
impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl fmt::Display for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key[..], &self.server_key[..]].map(encode_base64);
        write!(f, "SCRAM-SHA-256${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for ScramVerifier {
    type Err = CatalogueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or(CatalogueError::InvalidVerifier)
    }
}

fn parse(text: &str) -> Option<ScramVerifier> {
    let (head, keys) = text.strip_prefix("SCRAM-SHA-256$")?.split_once('$')?;
    let (iterations, salt) = head.split_once(':')?;
    let (stored, server) = keys.split_once(':')?;
    Some(ScramVerifier {
        iterations: iterations.parse().ok().filter(|iterations| *iterations > 0)?,
        salt: decode_base64(salt)?,
        stored_key: decode_base64(stored)?.try_into().ok()?,
        server_key: decode_base64(server)?.try_into().ok()?,
    })
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = usize::try_from((bits >> (18 - 6 * position)) & 63).unwrap_or(0);
            let letter = ALPHABET.get(index).filter(|_| position <= chunk.len());
            text.push(letter.map_or('=', |letter| char::from(*letter)));
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let letters = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in letters.bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_both_ways_at_every_length() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (&[0xff, 0xfe, 0xfd], "//79"),
        ] {
            assert_eq!(encode_base64(bytes), text);
            assert_eq!(decode_base64(text).unwrap(), bytes);
        }
        assert!(decode_base64("Zg=").is_none() && decode_base64("Z*==").is_none());
    }

    #[test]
    fn a_verifier_reads_and_prints_as_in_pg_authid() {
        let verifier = ScramVerifier {
            iterations: SCRAM_ITERATIONS,
            salt: (0..16).collect(),
            stored_key: [7; 32],
            server_key: [9; 32],
        };
        let text = verifier.to_string();
        assert!(text.starts_with("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$BwcH"), "{text}");
        assert_eq!(text.parse::<ScramVerifier>().unwrap(), verifier);
        for wrong in ["", "md5abc", "SCRAM-SHA-256$0:AA==$AA==:AA==", "SCRAM-SHA-256$4096:AA==$AA==:AA=="] {
            assert!(wrong.parse::<ScramVerifier>().is_err(), "{wrong}");
        }
        assert!(!format!("{verifier:?}").contains('7'));
    }
}
