//! What can go wrong with documents, in words that say what to do.

use futuswarm_model::NameError;

/// Failures of documents. None of them has a value in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that no document can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is no such app, or not any more.
    #[error("there is no app {0:?}")]
    NoApp(String),
    /// The name is taken.
    #[error("there is an app {0} already")]
    AppExists(String),
    /// The name is not free yet.
    #[error("{0} is being removed: try again in a minute")]
    BeingRemoved(String),
    /// An app whose data nobody has said that they may go.
    #[error("{0} has a database: end that first with `futuswarm db:drop {0}`, which takes a last backup")]
    HasDatabase(String),
    /// A removal that took so long that somebody else may go on with it.
    #[error("{0} is not removed completely yet: a manager goes on with it by itself within two minutes")]
    RemovalUnfinished(String),
    /// An app whose release is on its way is not removed.
    #[error("release {number} of {app} is on its way: end it with `futuswarm cancel {app}` first")]
    OnItsWay {
        /// Whose it is.
        app: String,
        /// The release's number.
        number: u64,
    },
    /// A version that the document never had, or that was another app's of the same name.
    #[error("the {what} has no version {version:?}: its history has those that it has")]
    NoVersion {
        /// Kind of document and app, as KMS's encryption context names them.
        what: String,
        /// As it was asked for.
        version: String,
    },
    /// A release has one record, which is not changed.
    #[error("release {number} of {app} has a record already, which says something else")]
    ReleaseExists {
        /// Whose it is.
        app: String,
        /// The number that is taken.
        number: u64,
    },
    /// A release with a number that the app has not given away: the app was removed and made again.
    #[error("release {number} is not one of this {app}, whose newest is {latest}: the app was removed and made again")]
    NotItsRelease {
        /// Whose it should be.
        app: String,
        /// The number that is too high.
        number: u64,
        /// What the app's record says.
        latest: u64,
    },
    /// A token's name is taken.
    #[error("{app} has a token {name} already: revoke it first, or take another name")]
    TokenExists {
        /// Whose it is.
        app: String,
        /// The name that is taken.
        name: String,
    },
    /// A key is good for one token.
    #[error("the key is the token {name} of {app} already: make another key")]
    KeyTaken {
        /// Whose it is.
        app: String,
        /// As in the record of that app.
        name: String,
    },
    /// So many blobs that no clean-up could go through them.
    #[error("pushes of {app} have announced more than {most} layers within a day: push again tomorrow")]
    TooManyBlobs {
        /// Whose they are.
        app: String,
        /// So many are possible.
        most: usize,
    },
    /// A document that another version of the program wrote, or somebody by hand.
    #[error(
        "{key} in the cluster's bucket cannot be read by this version of the program ({reason}): a newer version wrote it, or somebody changed it by hand; update this node, or restore an older version of the object"
    )]
    Unreadable {
        /// As in `futuswarm_model::keys`.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bucket failed or refused.
    #[error(transparent)]
    Store(futuswarm_store::Error),
    /// KMS failed or refused, or a document is another than it should be.
    #[error(transparent)]
    Vault(#[from] futuswarm_vault::Error),
    /// No answer for so long that it was given up; nothing was changed by it.
    #[error("{0}; nothing was changed: try again")]
    Unavailable(String),
    /// No answer to a write, and none about what came of it.
    #[error("{key}: the change may have been made or not, look before it is made again ({last})")]
    Undecided {
        /// As in `futuswarm_model::keys`.
        key: String,
        /// The last failure, in words.
        last: String,
    },
    /// Others changed it again and again.
    #[error("{key}: others were faster {attempts} times; nothing was changed: try again")]
    Busy {
        /// As in `futuswarm_model::keys`.
        key: String,
        /// Of writing it.
        attempts: u32,
    },
}

impl Error {
    /// Whether trying again later may help, and does no harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Vault(error) => error.is_transient(),
            Self::BeingRemoved(_) | Self::Unavailable(_) | Self::Busy { .. } => true,
            _ => false,
        }
    }
}

impl From<futuswarm_store::Error> for Error {
    fn from(error: futuswarm_store::Error) -> Self {
        match error {
            futuswarm_store::Error::Malformed { key, reason } => Self::Unreadable { key, reason },
            error => Self::Store(error),
        }
    }
}

impl From<futuswarm_retry::Error<Error>> for Error {
    fn from(error: futuswarm_retry::Error<Error>) -> Self {
        match error {
            futuswarm_retry::Error::Permanent(error) => error,
            exhausted @ futuswarm_retry::Error::Exhausted { .. } => Self::Unavailable(exhausted.to_string()),
        }
    }
}
