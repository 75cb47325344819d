//! One run over a cluster: its options, what it has noted so far, and what it knows of the account.

use std::collections::BTreeMap;
use std::sync::Arc;

use futuswarm_converge::{Confirmed, Context, Ledger, Listener, Mode};

use crate::field::Field;
use crate::inventory::Inventory;
use crate::{Aws, CliProgram, Cluster, Error};

/// What the command line adds to the spec.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Name of the image that nodes start from; the promoted one when there is none.
    pub image: Option<String>,
    /// SSH public key for the nodes' `admin`, in OpenSSH's format; the spec's own when there is none.
    pub ssh_public_key: Option<String>,
    /// The command line to offer for download; what is offered stays when there is none.
    pub cli: Option<Arc<CliProgram>>,
    /// Existing EC2 resources that become components of the cluster: component → id.
    pub adopt: BTreeMap<String, String>,
    /// Whether certificates that nobody has validated yet are waited for.
    pub wait_for_certificates: bool,
}

/// A run; good for one.
pub struct Run {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) inventory: Inventory,
    ledger: Ledger,
    has_stale_tags: bool,
}

impl Run {
    /// A run that has noted nothing yet.
    #[must_use]
    pub fn new(cluster: Cluster, overrides: Overrides, mode: Mode, listener: Listener) -> Self {
        Self::with(Arc::new(cluster), Arc::new(overrides), Ledger::new(mode, listener), false)
    }

    fn with(cluster: Arc<Cluster>, overrides: Arc<Overrides>, ledger: Ledger, has_stale_tags: bool) -> Self {
        let inventory = Inventory::new(Arc::clone(&cluster), overrides.adopt.clone());
        Self { cluster, overrides, inventory, ledger, has_stale_tags }
    }

    /// Holds it to changes that somebody has confirmed: any other one stops it.
    #[must_use]
    pub fn holding_to(mut self, confirmed: Confirmed) -> Self {
        self.ledger = self.ledger.holding_to(confirmed);
        self
    }

    /// The same when what there is may have the tags of another spec.
    pub(crate) fn with_stale_tags(mut self, has_stale_tags: bool) -> Self {
        self.has_stale_tags = has_stale_tags;
        self
    }

    /// Whether what there is may have the tags of another spec.
    pub(crate) fn has_stale_tags(&self) -> bool {
        self.has_stale_tags
    }

    /// The id of a component that was observed or made in this run.
    pub(crate) fn id(&self, component: &str) -> Option<String> {
        self.ledger.id(component)
    }

    /// The id of a component for a comparison; in a plan it may not exist yet.
    pub(crate) fn id_or_unknown(&self, component: &str) -> String {
        self.ledger.id_or_unknown(component)
    }

    /// The id of a component that must exist.
    pub(crate) fn need(&self, component: &str) -> Result<String, Error> {
        self.id(component).ok_or_else(|| Error::NotMade(component.to_owned()))
    }

    /// Replaces an id that was noted before.
    pub(crate) fn note_id(&self, component: impl Into<String>, id: impl Into<String>) {
        self.ledger.note_id(component, id);
    }

    /// What this run does.
    pub(crate) fn mode(&self) -> Mode {
        self.ledger.mode()
    }

    /// Whether this run brings a domain about; of one that goes nobody has to do anything.
    pub(crate) fn is_desired_domain(&self, domain: &str) -> bool {
        self.mode().applies() && self.cluster.spec.domains().contains(&domain)
    }

    /// Something that somebody has to know or do.
    pub(crate) fn note(&self, text: String) {
        self.ledger.note(text);
    }
}

impl Context for Run {
    /// AWS throttles per account and per operation; more at a time would not be faster.
    const CONCURRENCY: usize = 16;
    type Clients = Aws;
    type Key = Field;
    type Error = Error;

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn place(&self) -> &str {
        &self.cluster.names.region
    }

    fn afresh(&self) -> Self {
        let (cluster, overrides) = (Arc::clone(&self.cluster), Arc::clone(&self.overrides));
        Self::with(cluster, overrides, self.ledger.clone(), self.has_stale_tags)
    }

    fn clients_afresh(&self, clients: &Aws) -> Aws {
        clients.afresh(&self.cluster)
    }

    fn is_adopted(&self, component: &str) -> bool {
        self.overrides.adopt.contains_key(component)
    }
}

#[cfg(test)]
impl Run {
    /// One that applies the shipped local spec.
    pub(crate) fn local() -> Self {
        Self::of(Cluster::local(), Mode::Apply { plan: false })
    }

    pub(crate) fn of(cluster: Cluster, mode: Mode) -> Self {
        Self::new(cluster, Overrides::default(), mode, Box::new(|_| {}))
    }
}
