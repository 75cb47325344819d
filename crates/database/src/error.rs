//! What can go wrong with databases, in words that say what to do. None of them has a password in it.

/// Failures of databases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cluster was made without a server.
    #[error(
        "the cluster has no database server: whoever runs it adds `[rds]` to its specification and deploys it again"
    )]
    NoServer,
    /// The server is there and does not serve.
    #[error("the database server is {state}: try again when it is available")]
    NotAvailable {
        /// RDS's word, as in `creating`.
        state: String,
    },
    /// The name is somebody else's.
    #[error(
        "the server has {what} already, which is not this app's: choose another name for the app, or ask whoever runs the cluster"
    )]
    Taken {
        /// As in `a database "postgres"`.
        what: String,
    },
    /// AWS does not answer, or refuses.
    #[error(transparent)]
    Aws(#[from] futuswarm_aws::Error),
    /// AWS's answer lacks something.
    #[error("{operation} did not say {what}")]
    Incomplete {
        /// Of AWS's API.
        operation: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// Nobody answers, or the connection broke.
    #[error("the database server does not answer: {0}")]
    Unreachable(String),
    /// The server refuses a statement.
    #[error("the database server does not {what}: {message} (SQLSTATE {code})")]
    Refused {
        /// What was to be done, as in `make the role shop_a`.
        what: String,
        /// PostgreSQL's code, as in `42501`.
        code: String,
        /// What it says.
        message: String,
    },
    /// Somebody is connected to a database that everybody is to be kept out of.
    #[error(
        "connections to the database {database} were cut for {seconds} s, and there are still some, or some again, of {roles}: end what connects, take the right from the role with `revoke connect on database \"{database}\" from` and its name in `futuswarm db:psql {database}`, and try again"
    )]
    StillConnected {
        /// Its name, which is the app's.
        database: String,
        /// Whose connections they are, separated by commas.
        roles: String,
        /// How long they were cut.
        seconds: u64,
    },
    /// It was tried for as long as it may take.
    #[error("{0}; what was begun can be asked for again")]
    Exhausted(String),
    /// No password can be made.
    #[error("the machine has no randomness")]
    NoRandomness,
}

/// Codes of refusals that pass: somebody else was faster, or is still connected; the server starts, stops, or has no place left
/// (PostgreSQL documentation, appendix A). A wrong password passes while RDS gives the master user another one.
const PASSING: [&str; 14] = [
    "23505", "28P01", "40001", "40P01", "42710", "42P04", "53300", "55006", "55P03", "57014", "57P01", "57P02",
    "57P03", "XX000",
];

impl Error {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Aws(error) => error.is_transient(),
            Self::Refused { code, .. } => PASSING.contains(&code.as_str()),
            Self::NoServer
            | Self::NotAvailable { .. }
            | Self::Taken { .. }
            | Self::Incomplete { .. }
            | Self::StillConnected { .. }
            | Self::Exhausted(_)
            | Self::NoRandomness => false,
        }
    }
}

impl From<futuswarm_retry::Error<Error>> for Error {
    fn from(error: futuswarm_retry::Error<Error>) -> Self {
        match error {
            futuswarm_retry::Error::Permanent(error) => error,
            exhausted @ futuswarm_retry::Error::Exhausted { .. } => Self::Exhausted(exhausted.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_come_back_are_said_with_their_roles_and_not_cut_for_another_minute() {
        let error =
            Error::StillConnected { database: "shop".to_owned(), roles: "other_a, report".to_owned(), seconds: 60 };
        assert!(!error.is_transient());
        let said = error.to_string();
        assert!(said.contains("for 60 s") && said.contains("of other_a, report"), "{said}");
        assert!(said.contains("`revoke connect on database \"shop\" from`"), "{said}");
    }
}
