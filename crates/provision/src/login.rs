//! The client's secret of the login: from whoever deploys the cluster into the bucket, sealed. It comes by standard input, since arguments and
//! environments are seen by others, and is checked by the rule by which Apache takes it later.

mod hidden;

use std::fmt;
use std::io::{IsTerminal as _, Read};

use anyhow::{Context as _, bail};
use futuswarm_model::{LOGIN_CLIENT_SECRET_NAME, LOGIN_KIND, LoginClientSecret, keys};
use futuswarm_store::{Bucket, Store};
use futuswarm_vault::{KmsVault, Secret, Vault};
use serde::Serialize;

use crate::{Aws, Cluster, Error};

/// In bytes; more than a secret may have, so that a longer one is read far enough to be refused.
const ENOUGH: u64 = 4096;
/// In bytes; a text that outgrows its memory leaves a copy of what it had behind.
const ROOM: usize = 8192;

/// What became of it; its JSON form is an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// As in its spec.
    pub cluster: String,
    /// Whether there was one before.
    pub replaced: bool,
}

impl fmt::Display for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = if self.replaced { "replaced" } else { "sealed" };
        write!(formatter, "{done} the client secret of the login of the cluster {}", self.cluster)
    }
}

/// Reads the secret from standard input: at a terminal a line that is not shown, else everything.
///
/// # Errors
/// When nothing was typed, or Apache would take it for something else. No error has the secret.
pub fn read_secret() -> anyhow::Result<Secret> {
    let input = std::io::stdin();
    match input.is_terminal() {
        true => checked(hidden::line(
            "the client's secret, as the provider shows it; it is not shown here, and ends with Enter:",
        )?),
        false => read(input.lock()),
    }
}

fn read(input: impl Read) -> anyhow::Result<Secret> {
    let mut text = String::with_capacity(ROOM);
    // What is no text is not said: it may be most of a secret.
    let read = input.take(ENOUGH).read_to_string(&mut text);
    let text = Secret::new(text);
    if let Err(error) = read {
        bail!("the client's secret cannot be read from standard input: {}", error.kind());
    }
    checked(text)
}

/// Without the ends of its line, if it is a secret.
fn checked(text: Secret) -> anyhow::Result<Secret> {
    let secret = Secret::new(text.expose().trim_end_matches(['\r', '\n']).to_owned());
    futuswarm_sso::check_client_secret(&secret).context("nothing was changed")?;
    Ok(secret)
}

impl Aws {
    /// Seals the secret and puts it into the cluster's bucket, where edges find it.
    ///
    /// # Errors
    /// When there is no cluster, or AWS does not answer, or refuses.
    pub async fn seal_login_secret(&self, cluster: &Cluster, secret: &Secret) -> Result<Sealed, Error> {
        let key = cluster.names.cluster_key();
        seal(&self.store, &KmsVault::new(&self.sdk), &key, &cluster.spec.cluster, secret).await
    }

    /// What to do next in a cluster that has a login and no secret for it; nothing in any other.
    ///
    /// # Errors
    /// When the bucket does not answer.
    pub async fn login_lacks(&self, cluster: &Cluster) -> Result<Option<String>, Error> {
        if cluster.spec.login.is_none() || has_secret(&self.store).await? {
            return Ok(None);
        }
        let local = if futuswarm_spec::is_local(&cluster.spec.cluster) { " --local" } else { "" };
        Ok(Some(format!(
            "the login has no client secret yet, so that nobody reaches an app of {}: give it with `cargo xtask login secret SPEC{local}`, which asks for it",
            cluster.spec.domain
        )))
    }
}

async fn has_secret<B: Bucket>(store: &Store<B>) -> Result<bool, Error> {
    match store.get::<LoginClientSecret>(keys::LOGIN_CLIENT_SECRET).await {
        Ok(stored) => Ok(stored.is_some()),
        // Somebody wrote something else there, which is replaced.
        Err(futuswarm_store::Error::Malformed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Repeated after an answer that was lost, it does the same again.
async fn seal<B: Bucket, V: Vault>(
    store: &Store<B>,
    vault: &V,
    key: &str,
    cluster: &str,
    secret: &Secret,
) -> Result<Sealed, Error> {
    let replaced = has_secret(store).await.map_err(|error| match &error {
        Error::Store(futuswarm_store::Error::Service { source, .. }) if source.is_not_found() => Error::Missing(
            "the cluster has no bucket yet, so nothing was changed: run `cargo xtask deploy-cluster` first".to_owned(),
        ),
        _ => error,
    })?;
    let context = futuswarm_vault::Context {
        cluster: cluster.to_owned(),
        kind: LOGIN_KIND.to_owned(),
        name: LOGIN_CLIENT_SECRET_NAME.to_owned(),
    };
    let ciphertext = vault.seal(key, &context, secret).await?;
    store.put(keys::LOGIN_CLIENT_SECRET, &LoginClientSecret { ciphertext }).await?;
    Ok(Sealed { cluster: cluster.to_owned(), replaced })
}

#[cfg(test)]
mod tests;
