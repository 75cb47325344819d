//! Join tokens: sealed by managers with the key of their role, opened by those who may.

use futuswarm_model::{Role, SealedToken, keys};
use futuswarm_store::{Bucket, Store, Swap};
use futuswarm_swarm::SwarmApi;
use futuswarm_vault::{Context, Secret, Vault};

use crate::Error;
use crate::identity::Node;

/// Seals both tokens and stores them, unless what is stored already opens to the same.
pub(crate) async fn publish<B: Bucket>(
    store: &Store<B>,
    vault: &impl Vault,
    node: &Node,
    engine: &impl SwarmApi,
    swarm_id: &str,
) -> Result<(), Error> {
    let tokens = engine.join_tokens().await?;
    for (role, token) in [(Role::Worker, &tokens.worker), (Role::Manager, &tokens.manager)] {
        let key = key(node, role)?;
        let context = context(node, role);
        let stored = store.get::<SealedToken>(&keys::token(role)).await?;
        if let Some(stored) = &stored
            && stored.value.swarm_id == swarm_id
            && opens_to(vault, key, &context, &stored.value.ciphertext, token).await?
        {
            continue;
        }
        let sealed = SealedToken { swarm_id: swarm_id.to_owned(), ciphertext: vault.seal(key, &context, token).await? };
        // Not over what another manager has written in the meantime: a leader that was deposed knows older tokens.
        match store.swap(&keys::token(role), &sealed, stored.as_ref().map(|stored| stored.etag.as_str())).await? {
            Swap::Applied(_) => tracing::info!(%role, "published the sealed join token"),
            Swap::Refused(_) => {
                let reason = format!("another manager has just written the join token of {role}s; reads it again");
                return Err(Error::Waiting(reason));
            }
        }
    }
    Ok(())
}

/// Whether what is stored is this token. One that cannot be opened under this key and context is another; a KMS that does not
/// answer says nothing.
async fn opens_to(
    vault: &impl Vault,
    key: &str,
    context: &Context,
    stored: &str,
    token: &Secret,
) -> Result<bool, Error> {
    match vault.open(key, context, stored).await {
        Ok(opened) => Ok(opened.expose() == token.expose()),
        Err(error) if error.is_transient() => Err(error.into()),
        Err(_) => Ok(false),
    }
}

/// Opens the token of this node's own role; only one that was made for `swarm_id` counts.
pub(crate) async fn open<B: Bucket>(
    store: &Store<B>,
    vault: &impl Vault,
    node: &Node,
    swarm_id: &str,
) -> Result<Secret, Error> {
    let role = node.config.role;
    let sealed = store.get::<SealedToken>(&keys::token(role)).await?;
    let sealed = sealed.ok_or_else(|| Error::Waiting("no manager has published a join token yet".to_owned()))?.value;
    if sealed.swarm_id != swarm_id {
        let reason = format!(
            "the join token is for the Swarm {}, and the cluster's is {swarm_id}; waits for a new one",
            sealed.swarm_id
        );
        return Err(Error::Waiting(reason));
    }
    Ok(vault.open(key(node, role)?, &context(node, role), &sealed.ciphertext).await?)
}

/// The KMS key that seals the token of a role.
pub(crate) fn key(node: &Node, role: Role) -> Result<&str, Error> {
    let key = match role {
        Role::Worker => Some(&node.config.cluster_key),
        Role::Manager => node.config.manager_key.as_ref(),
    };
    let none = || Error::Refused("this node's user data names no key for what only managers may open".to_owned());
    key.map(String::as_str).ok_or_else(none)
}

fn context(node: &Node, role: Role) -> Context {
    Context { cluster: node.config.cluster.clone(), kind: "join-token".to_owned(), name: role.to_string() }
}

#[cfg(test)]
mod tests {
    use futuswarm_faults::{Fault, Faults};
    use futuswarm_store::MemoryBucket;
    use futuswarm_swarm::InitOptions;
    use futuswarm_swarm::fake::{FakeEngine, FakeSwarm};
    use futuswarm_vault::MemoryVault;

    use super::*;
    use crate::heartbeat::tests::node;

    fn manager() -> Node {
        let mut manager = node("i-1", Role::Manager);
        manager.config.manager_key = Some("alias/futuswarm/prod/manager".to_owned());
        manager
    }

    /// The engine of a manager, and the id of the Swarm that it has initialised.
    async fn initialised() -> (FakeEngine, String) {
        let engine = FakeSwarm::new(1).machine("i-1", "10.42.0.4");
        let (address_pool, address_pool_mask) = ("10.128.0.0/9".to_owned(), 24);
        let options = InitOptions { address: "10.42.0.4".to_owned(), address_pool, address_pool_mask };
        engine.init_swarm(&options).await.unwrap();
        let swarm = engine.membership().await.unwrap().swarm.unwrap();
        (engine, swarm)
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_sealed_once_and_opened_by_their_role_for_their_swarm() {
        let (bucket, vault, manager) = (MemoryBucket::default(), MemoryVault::new(Faults::none()), manager());
        let store = Store::new(bucket.clone());
        let (engine, swarm) = initialised().await;
        let early = open(&store, &vault, &node("i-2", Role::Worker), &swarm).await.err().unwrap();
        assert!(matches!(early, Error::Waiting(_)), "{early}");
        for _ in 0..3 {
            publish(&store, &vault, &manager, &engine, &swarm).await.unwrap();
        }
        assert_eq!(bucket.writes(), 2, "what opens to the same token is left alone");
        let tokens = engine.join_tokens().await.unwrap();
        let opened = open(&store, &vault, &node("i-2", Role::Worker), &swarm).await.unwrap();
        assert_eq!(opened.expose(), tokens.worker.expose());
        assert_eq!(open(&store, &vault, &manager, &swarm).await.unwrap().expose(), tokens.manager.expose());
        let other = open(&store, &vault, &manager, "swarm-of-another-epoch").await.err().unwrap();
        assert!(other.to_string().contains("waits for a new one"), "{other}");
        let keyless = open(&store, &vault, &node("i-3", Role::Manager), &swarm).await.err().unwrap();
        assert!(matches!(keyless, Error::Refused(_)), "{keyless}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_does_not_answer_replaces_no_token() {
        let (bucket, manager) = (MemoryBucket::default(), manager());
        let store = Store::new(bucket.clone());
        let (engine, swarm) = initialised().await;
        publish(&store, &MemoryVault::new(Faults::none()), &manager, &engine, &swarm).await.unwrap();
        let away = MemoryVault::new(Faults::script([Fault::Fail]));
        assert!(publish(&store, &away, &manager, &engine, &swarm).await.is_err());
        assert_eq!(bucket.writes(), 2);
        publish(&store, &away, &manager, &engine, &swarm).await.unwrap();
        assert_eq!(bucket.writes(), 2, "it answers again, and the tokens are those that are stored");
    }
}
