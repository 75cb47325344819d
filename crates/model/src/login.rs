//! The login of the private domain, as the bucket has it: what the spec says, what the provider says of itself, and the two secrets, sealed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Visitor;
use crate::admission::fit;

/// A working day. A session cannot be taken back from who has copied it but by locking its user out, and knows groups as they were at
/// its beginning, so that no spec makes it longer.
pub const LONGEST_SESSION: Duration = Duration::from_secs(8 * 60 * 60);
/// Six times of what a sign-in takes at most: its state is encrypted as well.
const UNFINISHED: Duration = Duration::from_secs(30 * 60);
/// So long after a step was taken, every edge has read it: they ask every second, and one that cannot for so long is none that serves.
const READ_BY_EDGES: Duration = Duration::from_secs(120);
/// The key of the list of who is locked out, as the login has it.
const EVERYWHERE: &str = "everywhere";

/// What the cluster's specification says of its login, under [`crate::keys::LOGIN`]. Who deploys the cluster writes it; without a login it
/// is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRecord {
    /// The bare domain; apps have hosts one label below.
    pub domain: String,
    /// The open domain, if the cluster has one: apps that are open have hosts one label below it as well, without a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_domain: Option<String>,
    /// URL of the provider, to the letter as its discovery document says it.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// Asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that names users.
    pub user_claim: String,
    /// The claim that names groups; absent where the provider tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_claim: Option<String>,
    /// Seconds after which a session without a request ends.
    pub inactivity_seconds: u64,
    /// Seconds after which a session ends in any case.
    pub longest_seconds: u64,
    /// Whom to ask, for the pages that say no.
    pub contact: String,
    /// CIDR blocks of the load balancer, which alone is believed about a visitor's address.
    pub balancers: Vec<String>,
}

/// What the provider says of itself in its discovery document, under [`crate::keys::LOGIN_PROVIDER`], so that an edge starts while the
/// provider is away. The Swarm's leader writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginProvider {
    /// As in the [`LoginRecord`] that it was asked for: another one makes this one void.
    pub issuer: String,
    /// `authorization_endpoint`.
    pub authorization: String,
    /// `token_endpoint`.
    pub token: String,
    /// `jwks_uri`.
    pub jwks: String,
    /// `userinfo_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userinfo: Option<String>,
    /// `end_session_endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_session: Option<String>,
    /// Whether the client's secret goes into the form (`client_secret_post`), because the provider takes it in no header.
    pub secret_in_form: bool,
    /// When the provider said so, in milliseconds since 1970.
    pub at: u64,
}

/// A sealed secret of the login, under [`crate::keys::LOGIN_CLIENT_SECRET`]: whoever deploys the cluster writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginClientSecret {
    /// Sealed with the cluster's key, as kind [`LOGIN_KIND`] and name `client-secret`.
    pub ciphertext: String,
}

/// What sessions are encrypted with, under [`crate::keys::LOGIN_PASSPHRASES`]. The Swarm's leader makes it and takes each step of a change,
/// by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginPassphrases {
    /// Sealed with the cluster's key, as kind [`LOGIN_KIND`] and name `passphrase`.
    pub current: String,
    /// The one before it, sealed the same, until the change is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// `switched`, `twice` or `done`: docs/sso.md.
    pub step: PassphraseStep,
    /// When this step was taken, in milliseconds since 1970.
    pub since: u64,
    /// That somebody wants another passphrase. The control service writes it, and the leader takes it away with the answer to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Rotation>,
}

impl LoginPassphrases {
    /// When this step has lasted, on every edge, in milliseconds since 1970: the next one may begin, or another change.
    #[must_use]
    pub fn ends_at(&self) -> u64 {
        self.since.saturating_add(milliseconds(self.step.lasts() + READ_BY_EDGES))
    }

    /// When another change may begin at the earliest, in milliseconds since 1970.
    #[must_use]
    pub fn free_at(&self) -> u64 {
        let (mut at, mut step) = (self.ends_at(), self.step);
        while let Some(next) = step.next() {
            at = at.saturating_add(milliseconds(next.lasts() + READ_BY_EDGES));
            step = next;
        }
        at
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How a passphrase is to be followed by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rotation {
    /// In three steps: sessions go on.
    InSteps,
    /// In the place of the one that counts, which somebody else may know: everybody signs in again.
    AtOnce,
}

/// Where a cluster is on its way from one passphrase to the next. Each step has to be on every edge before the next one begins.
///
/// mod_auth_openidc 2.4.17 never tries both of its two passphrases. While it has two, it marks what it encrypts, opens what is marked with
/// the first alone, and what is not marked with the second alone; while it has one, it opens with that. So no two edges that encrypt with
/// different passphrases open what the other one has encrypted, and the change from the old one to the new costs some people a sign-in:
/// those whose session an edge that is ahead has written and one that is behind is asked with. Everything else goes on in these steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassphraseStep {
    /// The new one encrypts, with a mark; the old one opens what is left of it, which has none.
    Switched,
    /// Nothing is left of the old one. The new one opens both what edges that are behind have marked and what those ahead do not.
    Twice,
    /// The new one alone.
    Done,
}

impl PassphraseStep {
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

/// Who is refused at every app that needs a login, under [`crate::keys::LOGIN_LOCKED`]. The control service writes it, by compare-and-swap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Users and groups.
    pub visitors: BTreeSet<Visitor>,
}

impl Locked {
    /// Whether the login has room for the list. It takes more for each name than that of an app, since users are found in any spelling.
    #[must_use]
    pub fn fits(&self) -> bool {
        fit(EVERYWHERE, self.visitors.iter().map(Visitor::locked_bytes))
    }
}

/// The kind of everything that is sealed for the login, in its encryption context.
pub const LOGIN_KIND: &str = "login";
/// The name of the client's secret in its encryption context.
pub const LOGIN_CLIENT_SECRET_NAME: &str = "client-secret";
/// The name of a passphrase in its encryption context.
pub const LOGIN_PASSPHRASE_NAME: &str = "passphrase";

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    fn passphrases(step: PassphraseStep, since: u64) -> LoginPassphrases {
        LoginPassphrases { current: "new".to_owned(), previous: None, step, since, asked: None }
    }

    #[test]
    fn every_step_lasts_until_all_edges_have_had_it_for_as_long_as_a_session_may_be() {
        let (session, read) = (8 * HOUR + HOUR / 2, 120_000);
        for (step, ends, free) in [
            (PassphraseStep::Switched, session + read, 2 * session + 3 * read),
            (PassphraseStep::Twice, read, session + 2 * read),
            (PassphraseStep::Done, session + read, session + read),
        ] {
            let record = passphrases(step, 7);
            assert_eq!((record.ends_at(), record.free_at()), (7 + ends, 7 + free), "{step:?}");
        }
        assert_eq!(passphrases(PassphraseStep::Switched, u64::MAX).free_at(), u64::MAX, "no overflow");
    }

    #[test]
    fn nothing_is_asked_unless_it_is_said() {
        let record = passphrases(PassphraseStep::Done, 7);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"current":"new","step":"done","since":7}"#);
        assert_eq!(serde_json::from_str::<LoginPassphrases>(&text).unwrap(), record);
        for (rotation, word) in [(Rotation::InSteps, "in-steps"), (Rotation::AtOnce, "at-once")] {
            let asked = LoginPassphrases { asked: Some(rotation), ..record.clone() };
            let text = serde_json::to_string(&asked).unwrap();
            assert!(text.ends_with(&format!(r#","asked":"{word}"}}"#)), "{text}");
            assert_eq!(serde_json::from_str::<LoginPassphrases>(&text).unwrap(), asked);
        }
    }

    #[test]
    fn some_dozens_can_be_locked_out_and_no_hundreds() {
        let people = |count: usize| Locked {
            visitors: (0..count)
                .map(|number| format!("user:someone.{number:03}@example.com").parse().unwrap())
                .collect(),
        };
        assert!(people(0).fits() && people(40).fits() && !people(100).fits());
        // What has another meaning in an expression is said to have none.
        let dots = Locked { visitors: [format!("user:{}", ".".repeat(200)).parse().unwrap()].into() };
        assert!(!dots.fits(), "it is too long for a line");
    }
}
