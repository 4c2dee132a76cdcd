//! Reads little-endian values from bytes that nobody vouches for.

use crate::{Result, StorageError};

/// The bytes of an encoding that are still to be read. No method panics, and none allocates more than there are bytes.
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

/// The error for bytes that are not what they should be.
pub(crate) fn malformed(what: impl Into<String>) -> StorageError {
    StorageError::Malformed { what: what.into() }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Fails when bytes are left.
    pub(crate) fn end(&self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(malformed(format!("{} bytes are left over", self.rest.len())))
        }
    }

    pub(crate) fn bytes(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let (taken, rest) =
            self.rest.split_at_checked(bytes).ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn i8(&mut self) -> Result<i8> {
        self.array().map(i8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn i128(&mut self) -> Result<i128> {
        self.array().map(i128::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// A byte that is 0 or 1.
    pub(crate) fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(malformed(format!("a flag is {other}"))),
        }
    }

    /// A u32 length and as many bytes of UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let bytes = self.u32()?;
        let bytes = self.bytes(bytes as usize)?;
        str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
    }
}

/// Appends what [`Decoder::text`] reads.
///
/// # Errors
/// [`StorageError::Malformed`] when the text is longer than a u32 can say.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let bytes = u32::try_from(text.len()).map_err(|_| malformed("a text has more than 4 GiB"))?;
    out.extend_from_slice(&bytes.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}
