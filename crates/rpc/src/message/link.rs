//! Links between apps: what is asked for, and how it stands between two of them.

use super::{Deployment, Deserialize, Serialize, Wait};

/// A link of two apps, which share a network once the owners of both want it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The app that the asker speaks for.
    pub app: String,
    /// The app that is to be reached, and to reach it.
    pub other: String,
    /// Whether it is ended and not wanted.
    #[serde(default)]
    pub end: bool,
    /// How the app's own release is waited for; nobody waits for that of the other one.
    #[serde(default)]
    pub wait: Wait,
}

/// How it stands between two apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// Both want it: they share a network.
    Linked,
    /// The app wants it, and the other one has not said so.
    Waiting,
    /// The other one wants it, and the app has not said so.
    Asked,
    /// The app wants it with one that was removed; an app of that name which was made later is not meant.
    Gone,
    /// The app does not want it any more.
    Ended,
}

/// A line of the list of an app's links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// The other app.
    pub other: String,
    /// From the side of the app that was asked about.
    pub state: LinkState,
    /// Whether its tasks are, or are about to be, on the network that both share.
    pub attached: bool,
    /// Who wanted it for the app; `None` where only the other one wants it.
    pub by: Option<String>,
    /// When, in milliseconds since 1970.
    pub at: Option<u64>,
}

/// What was done about a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// Whose word was given or taken back.
    pub app: String,
    /// The other app.
    pub other: String,
    /// How it stands now.
    pub state: LinkState,
    /// Whether the app's tasks are on the network that both share.
    pub attached: bool,
    /// Who may say yes for the other app, while it has not: users, and groups with `@` before them.
    pub owners: Vec<String>,
    /// The app's own release that it took; `None` where none was needed, or it comes later.
    pub deployment: Option<Deployment>,
}
