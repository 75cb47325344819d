//! The cluster's SSH certificate authority. Clients trust its public key, so that a replaced node is known at once.

#[cfg(test)]
mod tests;

use std::time::Duration;

use futuswarm_secret::Secret;
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Algorithm, Certificate, LineEnding, PrivateKey, PublicKey};

use crate::public::fingerprint;

/// The name that host certificates are for. Clients say `HostKeyAlias=futuswarm`, whatever address they come by.
pub const PRINCIPAL: &str = "futuswarm";
/// How long a host certificate is valid. A node renews it when half of this is over, so a cluster whose KMS is away for two weeks
/// still lets people in.
pub const VALIDITY: Duration = Duration::from_secs(30 * 86_400);
/// Clocks of clients may be behind by so much.
const SKEW: Duration = Duration::from_secs(3600);

/// What an authority cannot do.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The stored key is damaged, or of another type.
    #[error("the private key of the cluster's SSH authority cannot be used: {0}")]
    Authority(String),
    /// A host's public key is damaged, or of another type.
    #[error("the host's public key cannot be certified: {0}")]
    Host(String),
    /// A certificate could not be made.
    #[error("cannot make the host's certificate: {0}")]
    Certificate(String),
}

/// A key pair that signs host keys. Ed25519 only. Not `Debug`: it is a secret.
pub struct Authority(PrivateKey);

impl Authority {
    /// A new authority out of 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32], cluster: &str) -> Self {
        let pair = Ed25519Keypair::from_seed(seed);
        let key = PrivateKey::new(KeypairData::Ed25519(pair), format!("futuswarm {cluster}"));
        // It fails only for keys that are encrypted.
        Self(key.unwrap_or_else(|_| PrivateKey::from(Ed25519Keypair::from_seed(seed))))
    }

    /// Reads what [`Self::private`] wrote.
    ///
    /// # Errors
    /// When it is damaged, encrypted, or no Ed25519 key.
    pub fn from_private(text: &Secret) -> Result<Self, AuthorityError> {
        // The library's errors tell what is wrong with the form and nothing of the content.
        let key = PrivateKey::from_openssh(text.expose());
        let key = key.map_err(|error| AuthorityError::Authority(error.to_string()))?;
        match key.algorithm() {
            Algorithm::Ed25519 if !key.is_encrypted() => Ok(Self(key)),
            other => Err(AuthorityError::Authority(format!("it is {}, and not a plain ssh-ed25519", other.as_str()))),
        }
    }

    /// The private key in OpenSSH's form, to be sealed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn private(&self) -> Result<Secret, AuthorityError> {
        let text = self.0.to_openssh(LineEnding::LF).map_err(|error| AuthorityError::Authority(error.to_string()))?;
        Ok(Secret::new((*text).clone()))
    }

    /// The public key, `ssh-ed25519 BASE64`: what follows `@cert-authority futuswarm` in a client's `known_hosts`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn public(&self) -> Result<String, AuthorityError> {
        let key = PublicKey::new(self.0.public_key().key_data().clone(), "");
        let line = key.to_openssh().map_err(|error| AuthorityError::Authority(error.to_string()))?;
        Ok(line.trim_end().to_owned())
    }

    /// As `ssh-keygen -l` shows the public key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key())
    }

    /// A certificate of a host's public key (the text of its `.pub` file), as the text of its `-cert.pub` file. `id` is for people who
    /// look at it, `nonce` is random, `now` in seconds since 1970.
    ///
    /// # Errors
    /// When the host's key is damaged, or no Ed25519 key.
    pub fn certify(&self, host: &str, id: &str, nonce: [u8; 32], now: u64) -> Result<String, AuthorityError> {
        let host = host_key(host)?;
        let failed = |error: ssh_key::Error| AuthorityError::Certificate(error.to_string());
        let (from, until) = (now.saturating_sub(SKEW.as_secs()), now.saturating_add(VALIDITY.as_secs()));
        let mut builder = Builder::new(nonce.to_vec(), host.key_data().clone(), from, until).map_err(failed)?;
        builder.serial(now).map_err(failed)?;
        builder.key_id(id).map_err(failed)?;
        builder.cert_type(CertType::Host).map_err(failed)?;
        builder.valid_principal(PRINCIPAL).map_err(failed)?;
        let certificate = builder.sign(&self.0).map_err(failed)?;
        let text = certificate.to_openssh().map_err(failed)?;
        Ok(format!("{}\n", text.trim_end()))
    }
}

fn host_key(text: &str) -> Result<PublicKey, AuthorityError> {
    let key = PublicKey::from_openssh(text.trim()).map_err(|error| AuthorityError::Host(error.to_string()))?;
    match key.algorithm() {
        Algorithm::Ed25519 => Ok(key),
        other => Err(AuthorityError::Host(format!("it is {}, and not ssh-ed25519", other.as_str()))),
    }
}

/// A certificate that a host has.
#[derive(Debug, Clone)]
pub struct HostCertificate(Certificate);

impl HostCertificate {
    /// Reads the text of a `-cert.pub` file; `None` when it is something else, which is reason enough to make another.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Certificate::from_openssh(text.trim()).ok().map(Self)
    }

    /// Whether it is for this host key, of the authority with this public key, and not yet in its second half.
    #[must_use]
    pub fn is_current(&self, authority: &str, host: &str, now: u64) -> bool {
        let (Ok(authority), Ok(host)) = (host_key(authority), host_key(host)) else { return false };
        let (certificate, half) = (&self.0, VALIDITY.as_secs() / 2);
        // One that is valid for longer than ours was made by a clock that was wrong.
        let ends = now.saturating_add(half)..=now.saturating_add(VALIDITY.as_secs());
        certificate.public_key() == host.key_data()
            && certificate.signature_key() == authority.key_data()
            && certificate.cert_type() == CertType::Host
            && certificate.valid_principals() == [PRINCIPAL]
            && certificate.valid_after() <= now
            && ends.contains(&certificate.valid_before())
    }

    /// The end of its time, in seconds since 1970.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        self.0.valid_before()
    }
}
