//! Digests of layers, and gzip.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// How much is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// What was read: its digest as `sha256:…`, and how long it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// Of all bytes.
    pub digest: String,
    /// In bytes.
    pub length: u64,
}

/// The digest of some bytes.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Writes through, and hashes what it writes.
struct Hasher<W> {
    inner: W,
    hash: Sha256,
    length: u64,
}

impl<W: Write> Hasher<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    fn hashed(self) -> Hashed {
        Hashed { digest: format!("sha256:{}", hex::encode(self.hash.finalize())), length: self.length }
    }
}

impl<W: Write> Write for Hasher<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hash.update(&bytes[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn copy(mut from: impl Read, mut to: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => to(&piece[..length])?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads to the end.
///
/// # Errors
/// Those of the reader.
pub fn hash(from: impl Read) -> std::io::Result<Hashed> {
    let mut hasher = Hasher::new(std::io::sink());
    copy(from, |piece| hasher.write_all(piece))?;
    Ok(hasher.hashed())
}

/// Compresses, always to the same bytes for the same input: without a name and a time in the header. First what was read, then what
/// was written.
///
/// # Errors
/// Those of both sides.
pub fn gzip_to(from: impl Read, to: impl Write) -> std::io::Result<(Hashed, Hashed)> {
    let mut read = Hasher::new(std::io::sink());
    let mut encoder = GzEncoder::new(Hasher::new(to), Compression::new(6));
    copy(from, |piece| {
        read.write_all(piece)?;
        encoder.write_all(piece)
    })?;
    let mut written = encoder.finish()?;
    written.flush()?;
    Ok((read.hashed(), written.hashed()))
}

/// Decompresses, up to a limit in bytes.
///
/// # Errors
/// When it is no gzip, is cut, or has more in it than the limit.
pub fn gunzip_to(from: impl Read, to: impl Write, limit: u64) -> std::io::Result<Hashed> {
    let mut written = Hasher::new(to);
    copy(MultiGzDecoder::new(from), |piece| {
        if written.length + piece.len() as u64 > limit {
            return Err(std::io::Error::other(format!("more than {limit} bytes are in it")));
        }
        written.write_all(piece)
    })?;
    written.flush()?;
    Ok(written.hashed())
}
