//! What a run needs to know of where it happens.

use crate::{Key, Ledger};

/// What a service answered to a call that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// What was to be made exists already.
    pub exists: bool,
    /// What was to be changed or deleted does not exist.
    pub is_gone: bool,
    /// Nobody knows whether the call took effect: no answer came, or the service failed.
    pub is_in_doubt: bool,
}

/// A failure of a resource's own work.
pub trait CallError: std::error::Error + Send + Sync + 'static {
    /// What the service answered; nothing when the failure is no answer of a service.
    fn answer(&self) -> Option<Answer>;
}

/// Everything that resources share in one run.
pub trait Context: Send + Sync + Sized {
    /// How many steps run at a time.
    const CONCURRENCY: usize;
    /// What resources are asked for and changed with; pure parts of a resource get none of them.
    type Clients: Send + Sync;
    /// Which properties resources have.
    type Key: Key;
    /// What resources fail with.
    type Error: CallError;

    /// What this run has noted and is held to.
    fn ledger(&self) -> &Ledger;
    /// Where the resources are, for messages: `eu-west-1`.
    fn place(&self) -> &str;
    /// The same run with nothing of what it has observed so far; with the same ledger.
    fn afresh(&self) -> Self;
    /// The same clients over connections of their own: the server at the other end of an old one may be behind.
    fn clients_afresh(&self, clients: &Self::Clients) -> Self::Clients;
    /// Whether the operator says that a component exists already: whether that is so is checked before anything is changed.
    fn is_adopted(&self, component: &str) -> bool;
}
