//! The reconcilers of machines, databases and load balancers: each is a task of its own and keeps its own pace, woken by changes and
//! otherwise by time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::balancer::Balancer;
use crate::config::Mode;
use crate::databases::Databases;
use crate::dnsmasq::Dnsmasq;
use crate::error::Result;
use crate::imds::Imds;
use crate::vms::Vms;

/// Between two polls when nobody said that something changed.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Brings something into the state that the emulator tells.
pub trait Reconcile {
    /// What it is about, for the log.
    const WHAT: &'static str;

    /// Observes the emulator, and does what follows from it. An error is logged, and the next round tries again.
    fn reconcile(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Reconciles again and again; never ends.
pub async fn run(mut reconciler: impl Reconcile, wake: Arc<Notify>) {
    loop {
        next(&wake).await;
        reconcile(&mut reconciler).await;
    }
}

async fn reconcile<R: Reconcile>(reconciler: &mut R) {
    if let Err(error) = reconciler.reconcile().await {
        tracing::warn!(%error, what = R::WHAT, "cannot be reconciled with the emulator; will try again");
    }
}

/// Waits for a change, or for a while: the timeout is the ordinary case.
async fn next(wake: &Notify) {
    let _either = tokio::time::timeout(POLL_INTERVAL, wake.notified()).await;
}

/// The machines, as far as the mode has any; the metadata service prepares itself for them.
pub struct Machines {
    pub vms: Vms,
    /// What there is behind the API.
    pub mode: Mode,
    /// The metadata service.
    pub imds: Arc<Imds>,
}

impl Reconcile for Machines {
    const WHAT: &'static str = "machines";

    async fn reconcile(&mut self) -> Result<()> {
        self.imds.prepare();
        match self.mode {
            Mode::Api => self.vms.observe().await.map(|_| ()),
            Mode::Databases => self.vms.observe_and_connect().await,
            Mode::Machines => self.vms.reconcile().await,
        }
    }
}

impl Reconcile for Balancer {
    const WHAT: &'static str = "load balancers";

    async fn reconcile(&mut self) -> Result<()> {
        Self::reconcile(self).await
    }
}

/// The databases; the name server is told of them.
pub struct NamedDatabases {
    databases: Databases,
    dnsmasq: Arc<Mutex<Dnsmasq>>,
    /// Names that the name server does not know yet.
    unpublished: Option<BTreeMap<String, Ipv4Addr>>,
}

impl NamedDatabases {
    /// Databases whose names nobody knows yet.
    pub fn new(databases: Databases, dnsmasq: Arc<Mutex<Dnsmasq>>) -> Self {
        Self { databases, dnsmasq, unpublished: None }
    }
}

impl Reconcile for NamedDatabases {
    const WHAT: &'static str = "databases";

    async fn reconcile(&mut self) -> Result<()> {
        if let Some(names) = self.databases.reconcile().await? {
            self.unpublished = Some(names);
        }
        if let Some(names) = &self.unpublished {
            self.dnsmasq.lock().await.set_names(names)?;
            self.unpublished = None;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_round_comes_with_a_change_or_after_a_while() {
        let wake = Notify::new();
        let started = tokio::time::Instant::now();
        next(&wake).await;
        assert_eq!(started.elapsed(), POLL_INTERVAL);
        // Also for a change that came while the last round was under way.
        wake.notify_one();
        next(&wake).await;
        assert_eq!(started.elapsed(), POLL_INTERVAL);
    }
}
