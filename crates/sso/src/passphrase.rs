//! The two secrets of the login, and how one passphrase follows another with as few sessions lost as Apache's module allows.

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

/// Where a cluster is on its way from one passphrase to the next. Each step has to be on every edge before the next one begins.
///
/// mod_auth_openidc 2.4.17 never tries both of its two passphrases. While it has two, it marks what it encrypts, opens what is marked with
/// the first alone, and what is not marked with the second alone; while it has one, it opens with that. So no two edges that encrypt with
/// different passphrases open what the other one has encrypted, and the change from the old one to the new costs some people a sign-in:
/// those whose session an edge that is ahead has written and one that is behind is asked with. Everything else goes on in these steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The new one encrypts, with a mark; the old one opens what is left of it, which has none.
    Switched,
    /// Nothing is left of the old one. The new one opens both what edges that are behind have marked and what those ahead do not.
    Twice,
    /// The new one alone.
    Done,
}

impl Step {
    /// What edges are given.
    #[must_use]
    pub fn passphrases<'a>(self, old: &'a Secret, new: &'a Secret) -> Passphrases<'a> {
        match self {
            Self::Switched => Passphrases::Two { encrypts: new, opens: old },
            Self::Twice => Passphrases::Twice(new),
            Self::Done => Passphrases::One(new),
        }
    }

    /// What follows when this one has lasted; `None` when the change is over.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Switched => Some(Self::Twice),
            Self::Twice => Some(Self::Done),
            Self::Done => None,
        }
    }

    /// How long this step has to last from when every edge has it; of the last one, until another passphrase may follow. Sessions of before
    /// may be longer than the login says by now.
    #[must_use]
    pub fn lasts(self) -> Duration {
        match self {
            // What is marked would be opened with the passphrase that follows.
            Self::Switched | Self::Done => LONGEST_SESSION + UNFINISHED,
            Self::Twice => Duration::ZERO,
        }
    }
}

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
