//! What makes a manager a way in for people: a certificate of the cluster's SSH authority for its host key. Clients trust the
//! authority and no single node, so that nobody is asked about the key of a manager that was replaced.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{Role, SealedAuthority, SshAuthority, keys};
use futuswarm_node_files::Files;
use futuswarm_ssh_keys::{Authority, HostCertificate};
use futuswarm_store::{Bucket, Store};
use futuswarm_vault::{Context, Vault};

use crate::duties::Duties;
use crate::identity::Node;
use crate::platform::{Clients, Platform};
use crate::{Clock as _, Error, random, tokens};

/// The duty of every manager. It asks the bucket once, and KMS only when there is something to sign.
const DUTIES: &[(&str, Duration)] = &[(CERTIFICATE, Duration::from_secs(600))];
const CERTIFICATE: &str = "SSH host certificate";

/// The duty and how it went.
pub(crate) struct WayIn {
    node: Arc<Node>,
    files: Files,
    duties: Duties,
}

impl WayIn {
    pub(crate) fn new(node: &Arc<Node>, files: Files) -> Self {
        Self { node: Arc::clone(node), files, duties: Duties::new(DUTIES) }
    }

    /// Why people cannot come in here, in one line.
    pub(crate) fn failing(&self) -> Option<String> {
        self.duties.failing()
    }

    /// Starts the duty when it is due, and waits for nothing.
    ///
    /// # Errors
    /// When it panicked.
    pub(crate) fn round<P: Platform>(&mut self, clients: &Clients<P>) -> Result<(), Error> {
        self.duties.collect()?;
        for duty in self.duties.due() {
            let (store, vault, now) = (clients.store.clone(), clients.vault.clone(), clients.clock.unix_millis());
            let (node, files) = (Arc::clone(&self.node), self.files.clone());
            self.duties.start(duty, async move {
                let authority = authority(&store, &vault, &node, now).await?;
                certify(&vault, &node, &files, &authority, now).await
            });
        }
        Ok(())
    }

    /// Ends the duty of one who is no manager any more.
    pub(crate) fn step_down(&mut self) {
        self.duties.reset();
    }
}

/// The cluster's SSH authority, which the first manager that asks makes: of several at once the bucket lets one win. One that is there
/// and cannot be opened is an error and is never replaced, since every client trusts it.
async fn authority<B: Bucket>(
    store: &Store<B>,
    vault: &impl Vault,
    node: &Node,
    now: u64,
) -> Result<SealedAuthority, Error> {
    let sealed = match store.get::<SealedAuthority>(keys::SSH_AUTHORITY_KEY).await? {
        Some(sealed) => sealed.value,
        None => make(store, vault, node, now).await?,
    };
    let shown = SshAuthority { public: sealed.public.clone() };
    let last = match store.get::<SshAuthority>(keys::SSH_AUTHORITY).await {
        Ok(last) => last.map(|last| last.value),
        // Derived from the other document, so whatever this is can be written again.
        Err(futuswarm_store::Error::Malformed { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if last.as_ref() != Some(&shown) {
        store.put(keys::SSH_AUTHORITY, &shown).await?;
    }
    Ok(sealed)
}

async fn make<B: Bucket>(
    store: &Store<B>,
    vault: &impl Vault,
    node: &Node,
    now: u64,
) -> Result<SealedAuthority, Error> {
    let authority = Authority::from_seed(&random::bytes()?, &node.config.cluster);
    let ciphertext = vault.seal(tokens::key(node, Role::Manager)?, &context(node), &authority.private()?).await?;
    let sealed = SealedAuthority { public: authority.public()?, ciphertext, made_at: now };
    if store.create(keys::SSH_AUTHORITY_KEY, &sealed).await?.is_some() {
        tracing::info!(fingerprint = authority.fingerprint(), "made the cluster's SSH authority");
        return Ok(sealed);
    }
    let other = store.get::<SealedAuthority>(keys::SSH_AUTHORITY_KEY).await?;
    let gone = || Error::Waiting("another manager makes the cluster's SSH authority; reads it again".to_owned());
    Ok(other.ok_or_else(gone)?.value)
}

/// Has the host key certified, unless its certificate is in order. A unit has sshd read the new one.
async fn certify(
    vault: &impl Vault,
    node: &Node,
    files: &Files,
    sealed: &SealedAuthority,
    now: u64,
) -> Result<(), Error> {
    let host = std::fs::read_to_string(&files.host_key);
    let host = host.map_err(futuswarm_node_files::Error::of(&files.host_key))?;
    let seconds = now / 1000;
    // Whatever cannot be read is made again.
    let there = std::fs::read_to_string(files.host_certificate()).unwrap_or_default();
    let is_current = |there: HostCertificate| there.is_current(&sealed.public, &host, seconds);
    if HostCertificate::parse(&there).is_some_and(is_current) {
        return Ok(());
    }
    let private = vault.open(tokens::key(node, Role::Manager)?, &context(node), &sealed.ciphertext).await?;
    let authority = Authority::from_private(&private)?;
    if authority.public()? != sealed.public {
        let reason =
            "the sealed key of the cluster's SSH authority belongs to another public key than the one beside it";
        return Err(Error::Refused(format!("{reason} ({})", keys::SSH_AUTHORITY_KEY)));
    }
    let certificate = authority.certify(&host, &node.instance, random::bytes()?, seconds)?;
    files.write_host_certificate(&certificate)?;
    tracing::info!(authority = authority.fingerprint(), "the host key has a certificate of the cluster");
    Ok(())
}

/// Never the context of a join token, so that neither can be put in the other's place.
fn context(node: &Node) -> Context {
    Context { cluster: node.config.cluster.clone(), kind: "ssh-authority".to_owned(), name: "host".to_owned() }
}
