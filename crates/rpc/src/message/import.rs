//! Taking config and secrets out of the old tool's bucket.

use serde::{Deserialize, Serialize};

use super::{Deployment, Kind, Wait};

/// Which objects are wanted, and for which app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    /// The app that gets them; made when nobody has it.
    pub app: String,
    /// The old tool's bucket, which the cluster's specification has to name.
    pub bucket: String,
    /// The old service, whose objects are `PREFIX/ENVIRONMENT/KEY`; `None` for the app's own name.
    pub prefix: Option<String>,
    /// The old environment; `None` for `default`. Docker secrets come from `docker-secret` beside it.
    pub environment: Option<String>,
    /// The KMS key that opens the objects; `None` for the one of the specification. Any other is refused.
    pub key_arn: Option<String>,
    /// Only say what would be taken.
    #[serde(default)]
    pub plan: bool,
    /// Whether running tasks keep what they have until the next deployment or change.
    #[serde(default)]
    pub stage: bool,
    /// How the release is waited for.
    #[serde(default)]
    pub wait: Wait,
}

/// What was found, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The app, as its record is called ([`futuswarm_model::keys::app`]).
    pub app: String,
    /// As it was asked for.
    pub bucket: String,
    /// Whether nothing was changed because only a plan was wanted.
    pub plan: bool,
    /// In the order of their keys in the bucket.
    pub objects: Vec<ImportedObject>,
    /// Version of the config that counts now; `None` where there is none.
    pub config: Option<String>,
    /// Version of the secrets that counts now; `None` where there are none.
    pub secrets: Option<String>,
    /// The release that was made with them; `None` where none was.
    pub deployment: Option<Deployment>,
}

/// One object of the old bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedObject {
    /// Its whole key in the old bucket.
    pub object: String,
    /// Whether it is config or a secret here.
    pub kind: Kind,
    /// What it is called here.
    pub key: String,
    /// What became of it, or would.
    pub outcome: ImportOutcome,
    /// Why it was not taken, or something to know about it.
    pub reason: Option<String>,
}

/// What becomes of an object of the old bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// The app had no such key.
    Added,
    /// The app had another value.
    Changed,
    /// The app has this value already.
    Unchanged,
    /// It cannot be taken.
    NotTaken,
}

impl std::fmt::Display for ImportOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::NotTaken => "not taken",
        })
    }
}
