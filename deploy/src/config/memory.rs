//! A memory limit as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::machine::Machine;

const UNITS: [(&str, u64); 8] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
/// Less than this leaves no room for a single batch of every column of a wide table.
const BYTES_MIN: u64 = 64 << 20;

/// How much memory queries may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MemoryLimit {
    /// Half of the machine's.
    #[default]
    Auto,
    /// So many bytes.
    Bytes(u64),
}

impl MemoryLimit {
    /// The limit on this machine, in bytes.
    pub(crate) fn bytes(self, machine: &Machine) -> u64 {
        match self {
            Self::Auto => machine.query_memory_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match parse_size(text, "auto")? {
            bytes if bytes >= BYTES_MIN => Ok(Self::Bytes(bytes)),
            _ => Err(format!("the size {text:?} is too small: at least 64MiB are needed")),
        }
    }
}

/// A whole number with a unit, in bytes; `or` is what a message names beside it.
pub(super) fn parse_size(text: &str, or: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "invalid size {text:?}: expected \"{or}\" or a whole number with a unit, for example \"512MiB\" or \"8GB\""
        )
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim_start();
    let (_, unit_bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*unit_bytes).ok_or_else(|| format!("the size {text:?} is too large"))
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Bytes(bytes) => write!(f, "{}KiB", bytes.div_ceil(1 << 10)),
        }
    }
}

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for MemoryLimit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_with_their_units() {
        assert_eq!("auto".parse(), Ok(MemoryLimit::Auto));
        assert_eq!("512MiB".parse(), Ok(MemoryLimit::Bytes(512 << 20)));
        assert_eq!("8 GB".parse(), Ok(MemoryLimit::Bytes(8_000_000_000)));
        for wrong in ["", "12", "MiB", "1.5GiB", "-1GiB", "4 apples", "1KiB", "99999999999TiB"] {
            assert!(wrong.parse::<MemoryLimit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_written_size_reads_as_the_same() {
        for limit in [MemoryLimit::Auto, MemoryLimit::Bytes(512 << 20)] {
            assert_eq!(limit.to_string().parse(), Ok(limit));
        }
    }
}
