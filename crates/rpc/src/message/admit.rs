//! Whom the login lets through to an app: what is asked for, and how it is then.

use super::{BTreeSet, Deserialize, Serialize};

/// Who may open an app: asked, or changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// An app, by the rules of [`futuswarm_model::app_name`].
    pub app: String,
    /// What is to be another one; `None` to be told only.
    #[serde(default)]
    pub change: Option<AdmitChange>,
}

/// What is to be another one. Entries are `user:NAME` and `group:NAME`, as the login's provider names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdmitChange {
    /// Puts these on the list. An app that has none gets one with them, and admits nobody else from then on.
    Add(BTreeSet<String>),
    /// Takes these off the list, all of them or none.
    Remove(BTreeSet<String>),
    /// Ends the list: everybody who can log in is admitted.
    Everybody,
    /// Shows the app to the world, without a login. The list is kept.
    Open,
    /// Puts the app behind the login again.
    Private,
}

/// Who may open an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admitted {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// Whether the world may, without a login; the list does not count meanwhile.
    pub open: bool,
    /// Of those who can log in only these, each `user:NAME` or `group:NAME`; `None` for all of them.
    pub visitors: Option<BTreeSet<String>>,
    /// Whether the cluster has a login. Until it has one, the world may open every app.
    pub login: bool,
    /// Whether anything is another than before.
    pub changed: bool,
}
