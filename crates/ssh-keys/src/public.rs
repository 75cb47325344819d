//! Public keys of people and of CI, as lines of `authorized_keys`.

#[cfg(test)]
mod tests;

use std::fmt;

use sha2::{Digest as _, Sha256};
use ssh_key::HashAlg;
use ssh_key::public::KeyData;

/// What NIST SP 800-57 asks of keys that are used after 2030, in bits.
pub const LEAST_RSA_BITS: usize = 3072;
/// An RSA key of 16384 bits, the most that OpenSSH makes, is 2.8 kB long; nobody means more.
const LONGEST_LINE: usize = 8 << 10;

/// Types that people have, besides RSA: those that OpenSSH makes today, with and without a hardware key.
const TYPES: [&str; 6] = [
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
const RSA: &str = "ssh-rsa";

/// Why a text is no public key that may log in. None of these repeats the text: it may be a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing in it.
    #[error("it is empty; give the content of a file like ~/.ssh/id_ed25519.pub")]
    Empty,
    /// It is the other half.
    #[error("it is a private key, which should not leave its owner's machine; give the file that ends with .pub")]
    Private,
    /// There are more lines than one.
    #[error("it has several lines; give one public key at a time")]
    Lines,
    /// It is longer than any key.
    #[error("it is longer than any public key")]
    Long,
    /// Options before the key could run programs and forward ports; here the cluster alone says what a key may do.
    #[error("it begins with options or is no public key: a key is a line like `ssh-ed25519 AAAA… comment`")]
    Options,
    /// A type that is broken, or that nobody is known to use.
    #[error("keys of the type {0} are not taken; make one with `ssh-keygen -t ed25519`")]
    Type(String),
    /// Too few bits.
    #[error("it is an RSA key of {0} bits, and {LEAST_RSA_BITS} are the least; make one with `ssh-keygen -t ed25519`")]
    Short(usize),
    /// It is cut or altered.
    #[error("it is damaged: {0}; copy the whole line of the .pub file")]
    Damaged(String),
}

/// A public key that may log in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    line: String,
    hash: [u8; 32],
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.line)
    }
}

impl PublicKey {
    /// Reads `TYPE BASE64 [COMMENT]`, the one line of a `.pub` file. The comment is left out.
    ///
    /// # Errors
    /// When it is something else, or a key that must not log in.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim_matches([' ', '\t', '\r', '\n', '\u{feff}']);
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.contains("PRIVATE KEY-----") || text.starts_with("PuTTY-User-Key-File") {
            return Err(KeyError::Private);
        }
        if text.contains(['\n', '\r', '\0']) {
            return Err(KeyError::Lines);
        }
        if text.len() > LONGEST_LINE {
            return Err(KeyError::Long);
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), blob) = (words.next(), words.next()) else { return Err(KeyError::Empty) };
        if kind == "ssh-dss" || kind.ends_with("-cert-v01@openssh.com") {
            return Err(KeyError::Type(kind.to_owned()));
        }
        if kind != RSA && !TYPES.contains(&kind) {
            return Err(KeyError::Options);
        }
        let Some(blob) = blob else { return Err(KeyError::Damaged("nothing follows its type".to_owned())) };
        let key = ssh_key::PublicKey::from_openssh(&format!("{kind} {blob}"));
        let key = key.map_err(|error| KeyError::Damaged(error.to_string()))?;
        if let KeyData::Rsa(rsa) = key.key_data() {
            let modulus = rsa.n.as_positive_bytes().unwrap_or_default();
            let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
            if bits < LEAST_RSA_BITS {
                return Err(KeyError::Short(bits));
            }
        }
        let damaged = |error: ssh_key::Error| KeyError::Damaged(error.to_string());
        let hash = Sha256::digest(key.to_bytes().map_err(damaged)?).into();
        // Written again, so that one key has one form, whatever its base64 was padded with.
        let line = ssh_key::PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(damaged)?;
        Ok(Self { line: line.trim_end().to_owned(), hash })
    }

    /// Type and base64 with one space between them, without a comment: as sshd says it, and as records have it.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// SHA-256 of the key's blob in hexadecimal digits: the name of a token's record.
    #[must_use]
    pub fn hash(&self) -> String {
        hex::encode(self.hash)
    }

    /// As `ssh-keygen -l` shows it: `SHA256:` and base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ssh_key::Fingerprint::Sha256(self.hash).to_string()
    }
}

/// The fingerprint of any key, as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(key: &ssh_key::PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}
