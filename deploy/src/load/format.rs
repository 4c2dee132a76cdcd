//! What a file is, by how it begins.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{LoadError, fits};

/// Bytes that tell formats apart.
const HEAD_BYTES: usize = 16;
const READ_BYTES: usize = 1 << 20;

/// The formats that can be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Apache Parquet.
    Parquet,
    /// An Arrow IPC file.
    ArrowFile,
    /// An Arrow IPC stream.
    ArrowStream,
    /// FITS.
    Fits,
    /// Text with delimiters.
    Csv,
}

impl Format {
    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::ArrowFile => "Arrow file",
            Self::ArrowStream => "Arrow stream",
            Self::Fits => "FITS",
            Self::Csv => "CSV",
        }
    }
}

/// How a file is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) format: Format,
    pub(crate) compression: Compression,
}

impl Kind {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// A file that cannot be read, is empty, or whose compressed content cannot be read from its middle.
    pub(crate) fn of(path: &Path) -> Result<Self, LoadError> {
        let unreadable = |error: io::Error| LoadError::file(path, error);
        let mut file = File::open(path).map_err(unreadable)?;
        if file.metadata().map_err(unreadable)?.is_dir() {
            return Err(LoadError::file(path, "is a directory"));
        }
        let head = head(&mut file).map_err(unreadable)?;
        if head.is_empty() {
            return Err(LoadError::file(path, "is empty"));
        }
        let compression = if head.starts_with(&[0x1f, 0x8b]) {
            Compression::Gzip
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Compression::Zstd
        } else {
            Compression::None
        };
        let head = match compression {
            Compression::None => head,
            _ => {
                let mut input = open(path, compression, Arc::default()).map_err(unreadable)?;
                self::head(input.as_mut()).map_err(unreadable)?
            }
        };
        let format = of_head(&head);
        if compression != Compression::None && matches!(format, Format::Parquet | Format::ArrowFile) {
            let message =
                format!("is a compressed {}, which cannot be read that way; decompress it", format.name());
            return Err(LoadError::file(path, message));
        }
        Ok(Self { format, compression })
    }
}

fn of_head(head: &[u8]) -> Format {
    if head.starts_with(b"PAR1") {
        Format::Parquet
    } else if head.starts_with(b"ARROW1") {
        Format::ArrowFile
    } else if head.starts_with(fits::MAGIC) {
        Format::Fits
    } else if head.starts_with(&[0xff; 4]) {
        // The mark in front of the first message.
        Format::ArrowStream
    } else {
        Format::Csv
    }
}

fn head(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    input.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The content of a file from its start, decompressed; `read` counts the bytes of the file itself.
///
/// # Errors
/// A file that cannot be opened.
pub(crate) fn open(
    path: &Path,
    compression: Compression,
    read: Arc<AtomicU64>,
) -> io::Result<Box<dyn Read + Send>> {
    let file = BufReader::with_capacity(READ_BYTES, Counted { file: File::open(path)?, read });
    Ok(match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
    })
}

/// A file that counts what is read from it.
pub(crate) struct Counted {
    pub(crate) file: File,
    pub(crate) read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn kind(bytes: &[u8]) -> Result<Kind, LoadError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Kind::of(file.path())
    }

    #[test]
    fn files_are_known_by_their_content() {
        for (bytes, format) in [
            (&b"PAR1..."[..], Format::Parquet),
            (b"ARROW1\0\0", Format::ArrowFile),
            (&[0xff, 0xff, 0xff, 0xff, 0x10], Format::ArrowStream),
            (b"SIMPLE  =                    T", Format::Fits),
            (b"a,b\n", Format::Csv),
        ] {
            assert_eq!(kind(bytes).unwrap(), Kind { format, compression: Compression::None });
        }
        assert!(kind(b"").unwrap_err().to_string().contains("is empty"));
    }

    #[test]
    fn compressed_files_are_looked_into() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"a,b\n1,2\n").unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(kind(&gz).unwrap(), Kind { format: Format::Csv, compression: Compression::Gzip });
        let zst = zstd::encode_all(&b"SIMPLE  = "[..], 1).unwrap();
        assert_eq!(kind(&zst).unwrap(), Kind { format: Format::Fits, compression: Compression::Zstd });
        let zst = zstd::encode_all(&b"PAR1"[..], 1).unwrap();
        assert!(kind(&zst).unwrap_err().to_string().contains("decompress it"));
    }
}
