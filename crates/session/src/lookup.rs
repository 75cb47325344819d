//! From a key that sshd offers to the line of `authorized_keys` that lets it in, or to none.

use futuswarm_model::{app_name, person_name};
use futuswarm_node_files::Logins;
use futuswarm_rpc::Identity;
use futuswarm_ssh_keys::PublicKey;

#[cfg(test)]
mod tests;

/// The forced command's program. sshd hands the command to the account's shell, so nothing in it may need quoting.
pub const PROGRAM: &str = "/usr/bin/futuswarm-node";

/// Why a key that is known does not get in. These go to the journal; sshd tells the client nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody knows whom such a key stands for: letting it in as either would give one the rights of the other.
    #[error("the key {fingerprint} belongs to {first} and to {second}; take it from one of them")]
    Ambiguous {
        /// As `ssh-keygen -l` shows it.
        fingerprint: String,
        /// One of the owners.
        first: String,
        /// Another one.
        second: String,
    },
    /// A token whose time is over.
    #[error("{token} has expired; make another with `futuswarm tokens:create`")]
    Expired {
        /// Its app and name.
        token: String,
    },
    /// A name that could end the quotes of the line.
    #[error("{0}")]
    Name(String),
}

/// What sshd is told of a key (`%t %k`): the line that lets it in, or `None` for one that nobody has. `now` in milliseconds since 1970.
///
/// # Errors
/// When the key is known and must not log in all the same.
pub fn line(logins: &Logins, kind: &str, key: &str, now: u64) -> Result<Option<String>, Refusal> {
    // Whatever is not taken into records is in none.
    let Ok(key) = PublicKey::parse(&format!("{kind} {key}")) else { return Ok(None) };
    let people = logins.users.iter().filter(|(_, keys)| keys.keys.contains(key.line()));
    let mut owners: Vec<Identity> = people.map(|(name, _)| Identity::User(name.clone())).collect();
    let token = logins.tokens.get(&key.hash());
    owners.extend(token.map(|token| Identity::Token { app: token.app.clone(), name: token.name.clone() }));
    let owner = match owners.as_slice() {
        [] => return Ok(None),
        [owner] => owner,
        [first, second, ..] => {
            let (first, second) = (first.to_string(), second.to_string());
            return Err(Refusal::Ambiguous { fingerprint: key.fingerprint(), first, second });
        }
    };
    // The service is told which key it was: a connection that it opened goes on after the key was taken away.
    let argument = format!("{} --key {}", argument(owner)?, key.hash());
    if token.is_some_and(|token| token.expires_at <= now) {
        return Err(Refusal::Expired { token: owner.to_string() });
    }
    // `restrict` takes everything away that OpenSSH has and will have: terminals, forwarding, user's rc files.
    Ok(Some(format!("restrict,command=\"{PROGRAM} session {argument}\" {}", key.line())))
}

/// Who the session's is, as its argument. The names were checked when they were written; this is the last place before a shell.
fn argument(owner: &Identity) -> Result<String, Refusal> {
    let wrong = |error: futuswarm_model::NameError| Refusal::Name(error.to_string());
    match owner {
        Identity::User(name) => Ok(format!("--user {}", person_name(name).map_err(wrong)?)),
        Identity::Token { app, name } => {
            Ok(format!("--token {}/{}", app_name(app).map_err(wrong)?, person_name(name).map_err(wrong)?))
        }
    }
}
