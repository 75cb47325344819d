//! The greeting: both sides say which versions of the protocol they speak, and go on with the newest that both do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Versions of the protocol that this build speaks, the oldest and the newest. A change that an older peer would misread is a new version.
pub const PROTOCOL: (u32, u32) = (2, 2);

/// The first message of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest version of the protocol that the sender speaks.
    pub oldest: u32,
    /// The newest version that it speaks.
    pub newest: u32,
    /// Version of the sender's program, for people.
    pub program: String,
}

impl Hello {
    /// The greeting of this build, whose program has the version `program`.
    #[must_use]
    pub fn of(program: &str) -> Self {
        Self { oldest: PROTOCOL.0, newest: PROTOCOL.1, program: program.to_owned() }
    }
}

/// Two programs that do not understand each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    client: Hello,
    server: Hello,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, server } = self;
        write!(
            formatter,
            "futuswarm {} speaks the protocol {}, and the cluster's {} the protocol {}: ",
            client.program,
            range(client),
            server.program,
            range(server)
        )?;
        formatter.write_str(match client.newest < server.oldest {
            true => "get the command line of this cluster from its main page",
            false => "the cluster is older than the command line; get the one of this cluster from its main page, or have the cluster renewed",
        })
    }
}

impl std::error::Error for Mismatch {}

fn range(hello: &Hello) -> String {
    match hello.oldest == hello.newest {
        true => hello.newest.to_string(),
        false => format!("{} to {}", hello.oldest, hello.newest),
    }
}

/// The version that both speak.
///
/// # Errors
/// When there is none.
pub fn agree(client: &Hello, server: &Hello) -> Result<u32, Mismatch> {
    let version = client.newest.min(server.newest);
    match version >= client.oldest.max(server.oldest) {
        true => Ok(version),
        false => Err(Mismatch { client: client.clone(), server: server.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(oldest: u32, newest: u32) -> Hello {
        Hello { oldest, newest, program: format!("0.{newest}.0") }
    }

    #[test]
    fn the_newest_version_of_both_is_spoken() {
        for (client, server, version) in
            [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((3, 3), (1, 4), 3)]
        {
            assert_eq!(agree(&hello(client.0, client.1), &hello(server.0, server.1)), Ok(version));
        }
    }

    #[test]
    fn who_does_not_fit_is_told_what_to_renew() {
        let old = agree(&hello(1, 1), &hello(2, 4)).unwrap_err().to_string();
        assert_eq!(
            old,
            "futuswarm 0.1.0 speaks the protocol 1, and the cluster's 0.4.0 the protocol 2 to 4: get the command line of this cluster from its main page"
        );
        let new = agree(&hello(3, 3), &hello(1, 2)).unwrap_err().to_string();
        assert!(new.contains("the cluster is older than the command line"), "{new}");
    }
}
