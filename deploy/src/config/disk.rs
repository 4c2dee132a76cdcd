//! Limits of a disk as people write them.

use std::fmt;
use std::str::FromStr;

use quickdb_storage::DiskLimits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::memory::parse_size;

/// Left free on a worker's disk unless told otherwise: for deletion vectors, copies of the catalogue and, in a
/// one-process server, the catalogue itself.
const FREE_MIN_DEFAULT: DiskSize = DiskSize(Some(64 << 20));

/// So many bytes, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct DiskSize(Option<u64>);

impl DiskSize {
    /// `min_free_disk` unless told otherwise.
    pub(crate) fn free_min_default() -> Self {
        FREE_MIN_DEFAULT
    }

    /// What shards may take: `max_disk` and `min_free_disk`.
    pub(crate) fn limits(max: Self, free_min: Self) -> DiskLimits {
        DiskLimits { bytes_max: max.0, bytes_free_min: free_min.0.unwrap_or_default() }
    }
}

impl FromStr for DiskSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self(None)) } else { parse_size(text, "none").map(|bytes| Self(Some(bytes))) }
    }
}

impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(bytes) => write!(f, "{}KiB", bytes.div_ceil(1 << 10)),
        }
    }
}

impl<'de> Deserialize<'de> for DiskSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for DiskSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_size_reads_as_the_same() {
        for size in [DiskSize(None), DiskSize(Some(0)), DiskSize(Some(3 << 30))] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        assert_eq!("2 GB".parse(), Ok(DiskSize(Some(2_000_000_000))));
        assert!("auto".parse::<DiskSize>().unwrap_err().contains("expected \"none\""));
    }
}
