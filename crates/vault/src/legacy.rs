//! Objects of the old tool (`secret` 0.8), read and never written: each has a KMS data key of 64 bytes without an encryption context,
//! of which 32 are for AES-256-EAX and 32 for an HMAC-SHA256 over the ciphertext.
//!
//! What an object is called is not authenticated there: whoever may write to the old bucket can put one in the place of another.

#[cfg(test)]
mod tests;

use std::fmt;

use aes::Aes256;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eax::Eax;
use eax::aead::{AeadInPlace as _, KeyInit as _};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::Error;

type Cipher = Eax<Aes256>;

/// Bytes of a nonce, and of a tag: what the old tool writes, and what the cipher takes.
const BLOCK: usize = 16;
/// Bytes of each of the two keys.
const KEY: usize = 32;

/// The two keys of one object. Their memory is overwritten when they are dropped.
pub struct LegacyKey([u8; LegacyKey::BYTES]);

impl LegacyKey {
    /// The length of both together.
    pub const BYTES: usize = 2 * KEY;

    /// The keys of these bytes; `None` when they are more or fewer.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    fn cipher(&self) -> Cipher {
        let mut key = [0; KEY];
        key.copy_from_slice(&self.0[..KEY]);
        let cipher = Cipher::new(&key.into());
        zeroize::Zeroize::zeroize(&mut key);
        cipher
    }

    fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0[KEY..])
    }
}

impl Drop for LegacyKey {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// Opens data keys of the old tool, with a key that it keeps to itself.
pub trait LegacyKeys: Send + Sync {
    /// Opens a wrapped data key that was made with the key `key` (an ARN) and no encryption context (KMS `Decrypt`).
    ///
    /// # Errors
    /// When it does not answer, or it was made with another key.
    fn open_legacy_key(&self, key: &str, wrapped: &[u8]) -> impl Future<Output = Result<LegacyKey, Error>> + Send;
}

/// Why an object is not opened. None of these has anything of its content in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// Something else than the old tool writes.
    #[error("it is no JSON of the old tool")]
    Unknown,
    /// A field that is not what the old tool writes.
    #[error("its field `{0}` is not what the old tool writes")]
    Field(&'static str),
    /// The HMAC is not that of the ciphertext.
    #[error("its HMAC is that of something else: it was damaged or changed")]
    Hmac,
    /// The tag is not that of ciphertext and nonce.
    #[error("its tag is that of something else: it was damaged or changed")]
    Tag,
}

#[derive(Deserialize)]
struct Wire {
    key: String,
    contents: String,
    nonce: String,
    tag: String,
    hmac: String,
    /// Older versions of the tool had no such field.
    #[serde(default)]
    is_file: bool,
}

/// An object of the old tool, as it lies in its bucket.
pub struct LegacyObject {
    wrapped: Vec<u8>,
    ciphertext: Vec<u8>,
    nonce: [u8; BLOCK],
    tag: [u8; BLOCK],
    hmac: Vec<u8>,
    is_file: bool,
}

impl fmt::Debug for LegacyObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "LegacyObject({} bytes)", self.ciphertext.len())
    }
}

impl LegacyObject {
    /// Reads the body of an object.
    ///
    /// # Errors
    /// When it is none of the old tool.
    pub fn parse(body: &[u8]) -> Result<Self, LegacyError> {
        let wire: Wire = serde_json::from_slice(body).map_err(|_| LegacyError::Unknown)?;
        let bytes = |field, text: &str| STANDARD.decode(text).map_err(|_| LegacyError::Field(field));
        let block = |field, text: &str| -> Result<[u8; BLOCK], LegacyError> {
            bytes(field, text)?.try_into().map_err(|_| LegacyError::Field(field))
        };
        Ok(Self {
            wrapped: bytes("key", &wire.key)?,
            ciphertext: bytes("contents", &wire.contents)?,
            nonce: block("nonce", &wire.nonce)?,
            tag: block("tag", &wire.tag)?,
            hmac: hex::decode(&wire.hmac).map_err(|_| LegacyError::Field("hmac"))?,
            is_file: wire.is_file,
        })
    }

    /// Its data key as KMS wrapped it.
    #[must_use]
    pub fn wrapped_key(&self) -> &[u8] {
        &self.wrapped
    }

    /// Whether the value was read from a file, which the old tool gave to no task as a variable.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.is_file
    }

    /// The value. The HMAC is compared in constant time, and nothing is deciphered before it is right.
    ///
    /// # Errors
    /// When it was damaged or changed, or belongs to another key.
    pub fn open(&self, key: &LegacyKey) -> Result<Zeroizing<Vec<u8>>, LegacyError> {
        hmac::verify(&key.mac(), &self.ciphertext, &self.hmac).map_err(|_| LegacyError::Hmac)?;
        let mut value = Zeroizing::new(self.ciphertext.clone());
        let opened =
            key.cipher().decrypt_in_place_detached(&self.nonce.into(), b"", value.as_mut_slice(), &self.tag.into());
        opened.map_err(|_| LegacyError::Tag)?;
        Ok(value)
    }
}
