//! The two secrets of the login, and what edges are given of them in each step from one passphrase to the next.

use futuswarm_model::PassphraseStep;
use futuswarm_secret::Secret;

use crate::Error;

const PASSPHRASE: &str = "the passphrase";
const CLIENT_SECRET: &str = "the client secret";
/// 32 characters of base64url are 192 bits.
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
const CLIENT_SECRET_BYTES: usize = 512;

/// What sessions are encrypted with. Whoever knows it makes a session for anybody.
#[derive(Clone, Copy)]
pub enum Passphrases<'a> {
    /// Encrypts without a mark, and opens both what has one and what has none.
    One(&'a Secret),
    /// For the time of a change.
    Two {
        /// New sessions and those that go on, with a mark, and opens what has one.
        encrypts: &'a Secret,
        /// What has no mark.
        opens: &'a Secret,
    },
    /// Encrypts with a mark, and opens both what has one and what has none.
    Twice(&'a Secret),
}

impl<'a> Passphrases<'a> {
    /// What edges are given in a step from the `old` passphrase to the `new` one.
    #[must_use]
    pub fn of(step: PassphraseStep, old: &'a Secret, new: &'a Secret) -> Self {
        match step {
            PassphraseStep::Switched => Self::Two { encrypts: new, opens: old },
            PassphraseStep::Twice => Self::Twice(new),
            PassphraseStep::Done => Self::One(new),
        }
    }
}

/// The content of [`crate::SECRETS_FILE`], for a file that only Apache's user reads.
///
/// # Errors
/// When Apache would read a secret as something else than itself, or a passphrase follows itself. The error does not have the secret.
pub fn secrets(client_secret: &Secret, passphrases: Passphrases<'_>) -> Result<Secret, Error> {
    check_client_secret(client_secret)?;
    let (first, second) = match passphrases {
        Passphrases::One(one) => (one, None),
        Passphrases::Two { encrypts, opens } if encrypts.expose() == opens.expose() => {
            return Err(Error::Secret { what: PASSPHRASE, reason: "is the same as the one that it follows" });
        }
        Passphrases::Two { encrypts, opens } => (encrypts, Some(opens)),
        Passphrases::Twice(one) => (one, Some(one)),
    };
    passphrase(first.expose())?;
    // More than the longest that pass the checks: a text that grows leaves a copy of what it had behind.
    let mut text = String::with_capacity(2048);
    text.push_str(&format!("OIDCClientSecret {}\n", quoted(client_secret.expose())));
    text.push_str(&format!("OIDCCryptoPassphrase {}", quoted(first.expose())));
    if let Some(second) = second {
        passphrase(second.expose())?;
        text.push_str(&format!(" {}", quoted(second.expose())));
    }
    text.push('\n');
    Ok(Secret::new(text))
}

/// Whether Apache takes this for the client's secret and for nothing else; for whoever takes it from people, too.
///
/// # Errors
/// When it does not. The error does not have the secret.
pub fn check_client_secret(secret: &Secret) -> Result<(), Error> {
    let secret = secret.expose();
    let wrong = |reason| Err(Error::Secret { what: CLIENT_SECRET, reason });
    if secret.is_empty() || secret.len() > CLIENT_SECRET_BYTES {
        return wrong("has to have 1 to 512 characters");
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("has a space, a line break or a letter beyond ASCII; copy it again from the provider");
    }
    // mod_auth_openidc runs what stands behind it as a program.
    if secret.starts_with("exec:") {
        return wrong("begins with exec:, which Apache would take for a program to run");
    }
    if secret.contains("${") {
        return wrong("has ${ in it, which Apache would replace; have the provider make another");
    }
    Ok(())
}

fn passphrase(passphrase: &str) -> Result<(), Error> {
    let letters = passphrase.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if PASSPHRASE_BYTES.contains(&passphrase.len()) && letters {
        return Ok(());
    }
    Err(Error::Secret { what: PASSPHRASE, reason: "has to have 32 to 128 letters, digits, - and _" })
}

/// One word of Apache's configuration.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
