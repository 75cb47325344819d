//! What IAM lets a node do, by the rules of `crates/provision/src/policies.rs`, and that each record has one writer.

use futuswarm_model::{Role, keys};
use futuswarm_vault::{Context, Error, MemoryVault, Secret, Vault};

use super::log::{Entry, Log};
use crate::Node;

/// A node that asks AWS for something. What it may not do is noted, and is a violation.
#[derive(Debug, Clone)]
pub(super) struct Principal {
    pub(super) instance: String,
    pub(super) log: Log,
    role: Role,
    heartbeat: String,
    cluster_key: String,
    manager_key: Option<String>,
}

impl Principal {
    pub(super) fn new(node: &Node, log: &Log) -> Self {
        Self {
            instance: node.instance.clone(),
            log: log.clone(),
            role: node.config.role,
            heartbeat: keys::node(&node.config.role_id, &node.instance),
            cluster_key: node.config.cluster_key.clone(),
            manager_key: node.config.manager_key.clone(),
        }
    }

    fn check(&self, may: bool, what: impl FnOnce() -> String) {
        if !may {
            let (instance, role) = (&self.instance, self.role);
            self.log.add(Entry::Forbidden(format!("{instance} is a {role}, and may not {}", what())));
        }
    }

    pub(super) fn gets(&self, key: &str) {
        let may = match self.role {
            Role::Manager => key.starts_with("cluster/"),
            Role::Worker => {
                [keys::SPEC, keys::GENESIS, keys::ROUTES, keys::ADMISSIONS, keys::LOGIN].contains(&key)
                    || key == keys::token(Role::Worker)
                    || key.starts_with("cluster/login/")
                    || key.starts_with(keys::MANAGERS)
            }
        };
        self.check(may, || format!("read {key}"));
    }

    /// A manager may write all of the cluster's objects; the records of other nodes are no business of its own all the same.
    pub(super) fn puts(&self, key: &str) {
        let may = match self.role {
            Role::Worker => key == self.heartbeat,
            Role::Manager if key.starts_with(keys::NODES) => key == self.heartbeat,
            Role::Manager if key.starts_with(keys::MANAGERS) => key == keys::manager(&self.instance),
            Role::Manager => key.starts_with("cluster/"),
        };
        self.check(may, || format!("write {key}"));
    }

    pub(super) fn deletes(&self, key: &str) {
        self.check(self.role == Role::Manager && key.starts_with("cluster/"), || format!("delete {key}"));
    }

    pub(super) fn describes_instances(&self) {
        self.check(self.role == Role::Manager, || "ask EC2 for instances".to_owned());
    }

    pub(super) fn asks_for_names(&self) {
        self.check(self.role == Role::Manager, || "ask Route 53 for names".to_owned());
    }

    fn seals(&self, key: &str, context: &Context) {
        self.check(self.role == Role::Manager && self.knows(key), || format!("seal the {context} with {key}"));
    }

    fn opens(&self, key: &str, context: &Context) {
        let may = match self.role {
            Role::Manager => self.knows(key),
            Role::Worker => {
                let kinds = [("join-token", "worker"), ("login", "client-secret"), ("login", "passphrase")];
                key == self.cluster_key && kinds.contains(&(&*context.kind, &*context.name))
            }
        };
        self.check(may, || format!("open the {context} with {key}"));
    }

    fn knows(&self, key: &str) -> bool {
        key == self.cluster_key || Some(key) == self.manager_key.as_deref()
    }
}

/// A node's way to the vault.
#[derive(Debug, Clone)]
pub(super) struct WatchedVault {
    pub(super) vault: MemoryVault,
    pub(super) principal: Principal,
}

impl Vault for WatchedVault {
    async fn seal(&self, key: &str, context: &Context, secret: &Secret) -> Result<String, Error> {
        self.principal.seals(key, context);
        self.vault.seal(key, context, secret).await
    }

    async fn open(&self, key: &str, context: &Context, sealed: &str) -> Result<Secret, Error> {
        self.principal.opens(key, context);
        self.vault.open(key, context, sealed).await
    }
}

#[test]
fn a_worker_may_write_its_own_heartbeat_and_nobody_the_record_of_another() {
    let forbidden = |role, key: &str| {
        let log = Log::new();
        Principal::new(&crate::heartbeat::tests::node("i-1", role), &log).puts(key);
        !log.violations().is_empty()
    };
    let (own, other) = (keys::node("AROA1", "i-1"), keys::node("AROA1", "i-11"));
    for key in [keys::GENESIS, keys::ROUTES, &keys::manager("i-1"), &keys::token(Role::Worker), &other] {
        assert!(forbidden(Role::Worker, key), "{key}");
    }
    assert!(!forbidden(Role::Worker, &own) && !forbidden(Role::Manager, &own));
    assert!(forbidden(Role::Manager, &other) && forbidden(Role::Manager, &keys::manager("i-11")));
    assert!(!forbidden(Role::Manager, keys::GENESIS) && !forbidden(Role::Manager, &keys::manager("i-1")));
}
