//! The login of the private domain as a whole: what is asked for, and how it is then.

use futuswarm_model::{PassphraseStep, Rotation};

use super::{BTreeSet, Deserialize, Serialize};

/// What is asked of the login. Entries are `user:NAME` and `group:NAME`, as its provider names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginOrder {
    /// To be told how it is.
    Show,
    /// To be told who is locked out.
    Locked,
    /// Refuses these at every app that needs a login, with sessions from before, too.
    Lock(BTreeSet<String>),
    /// Ends that, for all of these or for none.
    Unlock(BTreeSet<String>),
    /// Has another passphrase follow the one that sessions are encrypted with.
    Rotate(Rotation),
}

/// How the login is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginState {
    /// Apps have hosts one label below it; `None` when the cluster has no login. So are the following.
    pub domain: Option<String>,
    /// URL of the provider.
    pub issuer: Option<String>,
    /// Since when the provider says of itself what edges go by, in milliseconds since 1970; `None` while it has said nothing.
    pub discovered_at: Option<u64>,
    /// Whether the client's secret is there.
    pub client_secret: bool,
    /// What sessions are encrypted with; `None` before the first.
    pub passphrase: Option<PassphraseState>,
    /// So many users and groups are locked out.
    pub locked: u64,
}

/// Where the cluster is on its way from one passphrase to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseState {
    /// `done` when no change is on its way.
    pub step: PassphraseStep,
    /// When this step was taken, in milliseconds since 1970.
    pub since: u64,
    /// A change that was asked for and has not begun.
    pub asked: Option<Rotation>,
    /// When another change may begin at the earliest, in milliseconds since 1970.
    pub free_at: u64,
}

/// Who is refused at every app that needs a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedOut {
    /// Each `user:NAME` or `group:NAME`.
    pub visitors: BTreeSet<String>,
    /// Whether the cluster has a login.
    pub login: bool,
    /// Whether anything is another than before.
    pub changed: bool,
}
