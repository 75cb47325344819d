//! The loops that keep machines, databases and load balancers in step with the emulator, each at its own pace.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};

use crate::balancer::Balancer;
use crate::config::Extent;
use crate::databases::Databases;
use crate::dnsmasq::Dnsmasq;
use crate::error::Result;
use crate::imds::Imds;
use crate::vms::Vms;

/// Between two looks when nobody said that something changed.
const LOOK: Duration = Duration::from_secs(2);

/// Keeps the machines, and lets the metadata service prepare itself for them.
pub async fn machines(mut vms: Vms, extent: Extent, imds: Arc<Imds>, wake: Arc<Notify>) {
    loop {
        next(&wake).await;
        imds.prepare();
        let look = async {
            match extent {
                Extent::Api => vms.look().await.map(|_| ()),
                Extent::Databases => vms.look_and_connect().await,
                Extent::Machines => vms.reconcile().await,
            }
        };
        report("machines", look).await;
    }
}

/// Keeps the load balancers.
pub async fn balancer(mut balancer: Balancer, wake: Arc<Notify>) {
    loop {
        next(&wake).await;
        report("load balancers", balancer.reconcile()).await;
    }
}

/// Keeps the databases, and tells the name server of them.
pub async fn databases(mut databases: Databases, dnsmasq: Arc<Mutex<Dnsmasq>>, wake: Arc<Notify>) {
    // Names that the name server does not know yet.
    let mut untold: Option<BTreeMap<String, Ipv4Addr>> = None;
    loop {
        next(&wake).await;
        let look = async {
            if let Some(names) = databases.reconcile().await? {
                untold = Some(names);
            }
            if let Some(names) = &untold {
                dnsmasq.lock().await.set_names(names)?;
                untold = None;
            }
            Ok(())
        };
        report("databases", look).await;
    }
}

/// Waits for a change, or for a while: the timeout is the ordinary case.
async fn next(wake: &Notify) {
    let _either = tokio::time::timeout(LOOK, wake.notified()).await;
}

async fn report(what: &str, look: impl Future<Output = Result<()>>) {
    if let Err(error) = look.await {
        tracing::warn!(%error, what, "a look at the emulator failed; will look again");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_comes_with_a_change_or_after_a_while() {
        let wake = Notify::new();
        let started = tokio::time::Instant::now();
        next(&wake).await;
        assert_eq!(started.elapsed(), LOOK);
        // Also for a change that came while the last look was under way.
        wake.notify_one();
        next(&wake).await;
        assert_eq!(started.elapsed(), LOOK);
    }
}
