//! The two secrets of the login, and how one passphrase follows another without anybody's session being lost.

use std::time::Duration;

use futuswarm_secret::Secret;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::login::LONGEST_SESSION;

/// Six times of what a login takes at most: its state is encrypted as well.
const UNFINISHED: Duration = Duration::from_secs(30 * 60);
const PASSPHRASE: &str = "the passphrase";
const CLIENT_SECRET: &str = "the client secret";
/// 32 characters of base64url are 192 bits.
const PASSPHRASE_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
const CLIENT_SECRET_BYTES: usize = 512;

/// Where a cluster is on its way from one passphrase to the next. An edge opens only what it was given the passphrase of, and edges do
/// not change at the same moment: so each step has to be everywhere before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The new one opens; the old one still encrypts.
    Announced,
    /// The new one encrypts; the old one opens what is left of it.
    Switched,
    /// The old one is gone.
    Done,
}

impl Step {
    /// What edges are given.
    #[must_use]
    pub fn passphrases<'a>(self, old: &'a Secret, new: &'a Secret) -> Passphrases<'a> {
        match self {
            Self::Announced => Passphrases { encrypts: old, opens: Some(new) },
            Self::Switched => Passphrases { encrypts: new, opens: Some(old) },
            Self::Done => Passphrases { encrypts: new, opens: None },
        }
    }

    /// The next step, and how long this one has to last from when every edge has it. Sessions of before may be longer than the login says
    /// by now.
    #[must_use]
    pub fn next(self) -> Option<(Self, Duration)> {
        match self {
            Self::Announced => Some((Self::Switched, Duration::ZERO)),
            Self::Switched => Some((Self::Done, LONGEST_SESSION + UNFINISHED)),
            Self::Done => None,
        }
    }
}

/// What sessions are encrypted with. Whoever knows it makes a session for anybody.
#[derive(Clone, Copy)]
pub struct Passphrases<'a> {
    /// New sessions, and those that go on.
    pub encrypts: &'a Secret,
    /// Sessions of before, or of edges that are a step ahead.
    pub opens: Option<&'a Secret>,
}

/// The content of [`crate::SECRETS_FILE`], for a file that only Apache's user reads.
///
/// # Errors
/// When Apache would read a secret as something else than itself. The error does not have the secret.
pub fn secrets(client_secret: &Secret, passphrases: Passphrases<'_>) -> Result<Secret, Error> {
    client(client_secret.expose())?;
    let Passphrases { encrypts, opens } = passphrases;
    passphrase(encrypts.expose())?;
    // More than the longest that pass the checks: a text that grows leaves a copy of what it had behind.
    let mut text = String::with_capacity(2048);
    text.push_str(&format!("OIDCClientSecret {}\n", quoted(client_secret.expose())));
    text.push_str(&format!("OIDCCryptoPassphrase {}", quoted(encrypts.expose())));
    if let Some(opens) = opens {
        passphrase(opens.expose())?;
        if opens.expose() == encrypts.expose() {
            return Err(Error::Secret { what: PASSPHRASE, reason: "is the same as the one that it follows" });
        }
        text.push_str(&format!(" {}", quoted(opens.expose())));
    }
    text.push('\n');
    Ok(Secret::new(text))
}

fn client(secret: &str) -> Result<(), Error> {
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
