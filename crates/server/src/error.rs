//! What goes wrong inside, and what a client is told of it.

use futuswarm_rpc::message::RefusalClass;

use crate::refusal::Refused;
use crate::{records, registry};

/// Failures of what the service needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of documents in the bucket.
    #[error(transparent)]
    Records(#[from] records::Error),
    /// Of the Swarm or the node's engine.
    #[error(transparent)]
    Swarm(#[from] futuswarm_swarm::Error),
    /// Of the node's registry.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Of the database server.
    #[error(transparent)]
    Database(#[from] futuswarm_database::Error),
    /// Something that a record names is not there.
    #[error(
        "{0} is named by a record, and not in the bucket: somebody has deleted it; restore the object's older version"
    )]
    Missing(String),
    /// The lease of who collects images is over before the work is.
    #[error(
        "somebody else may work on the images by now, so nothing more was deleted: what is left goes with the next `futuswarm image:gc`"
    )]
    LeaseLost,
    /// The service cannot begin.
    #[error("{what}: {reason}")]
    Start {
        /// What it cannot do.
        what: &'static str,
        /// Why.
        reason: String,
    },
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Records(error) => error.into(),
            Error::Swarm(error) if error.is_not_found() => Self::not_found(error.to_string()),
            Error::Swarm(error) => Self::unavailable(format!(
                "the Swarm does not do it: {error}; running apps go on; try again in a minute"
            )),
            Error::Registry(error @ registry::Error::Refused { .. }) => Self::failed(error.to_string()),
            Error::Database(error) => error.into(),
            Error::Registry(error) => Self::unavailable(format!("{error}; try again in a minute")),
            Error::Missing(_) | Error::Start { .. } | Error::LeaseLost => Self::failed(error.to_string()),
        }
    }
}

impl From<futuswarm_database::Error> for Refused {
    fn from(error: futuswarm_database::Error) -> Self {
        use futuswarm_database::Error as E;
        match error {
            E::NoServer => Self::not_found(error.to_string()),
            E::Taken { .. } => Self::usage(error),
            E::NotAvailable { .. } | E::Aws(_) | E::Unreachable(_) | E::Exhausted(_) => {
                Self::unavailable(format!("{error}; running apps go on"))
            }
            E::Incomplete { .. } | E::Refused { .. } | E::StillConnected { .. } | E::NoRandomness => {
                Self::failed(error.to_string())
            }
        }
    }
}

impl From<records::Error> for Refused {
    fn from(error: records::Error) -> Self {
        use records::Error as E;
        let class = match &error {
            E::Name(_) => RefusalClass::Usage,
            E::NoApp(_) | E::NoVersion { .. } => RefusalClass::NotFound,
            E::AppExists(_) | E::BeingRemoved(_) | E::OnItsWay { .. } | E::Busy { .. } => RefusalClass::Locked,
            E::TokenExists { .. } | E::KeyTaken { .. } => RefusalClass::Usage,
            E::Store(_) | E::Vault(_) | E::Unavailable(_) | E::Undecided { .. } => RefusalClass::Unavailable,
            _ => RefusalClass::Failed,
        };
        match class {
            RefusalClass::Unavailable => Self::new(class, format!("{error}; running apps go on")),
            class => Self::new(class, error.to_string()),
        }
    }
}
