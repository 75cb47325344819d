//! The clients of a simulated node: a bucket, an engine, a vault, EC2, a clock and an edge in memory.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futuswarm_edge::Serving;
use futuswarm_faults::Faults;
use futuswarm_imds::{Identity, Metadata};
use futuswarm_model::{Genesis, keys};
use futuswarm_store::{Bucket, Condition, FaultyBucket, MemoryBucket, Object, Put};
use futuswarm_swarm::fake::FakeEngine;
use futuswarm_swarm::faults::FaultyEngine;
use futuswarm_vault::MemoryVault;
use tokio::sync::watch;
use tokio::time::Instant;

use super::log::{Entry, Log};
use crate::{Clock, Edge, Error, Instances, Platform};

pub(super) struct Simulated;

impl Platform for Simulated {
    type Bucket = FaultyBucket<WatchedBucket>;
    type Engine = FaultyEngine<FakeEngine>;
    type Vault = MemoryVault;
    type Instances = FakeInstances;
    type Metadata = FakeMetadata;
    type Clock = JumpyClock;
    type Edge = IdleEdge;
}

/// The bucket that all nodes share; what is written goes into the log.
#[derive(Debug, Clone)]
pub(super) struct WatchedBucket {
    pub(super) bucket: MemoryBucket,
    pub(super) log: Log,
    /// A planted defect: a refused write of the record of the Swarm is read as that of another founder.
    pub(super) takes_refusals_for_losses: bool,
    refused: Arc<AtomicBool>,
}

impl WatchedBucket {
    pub(super) fn new(bucket: MemoryBucket, log: Log, takes_refusals_for_losses: bool) -> Self {
        Self { bucket, log, takes_refusals_for_losses, refused: Arc::default() }
    }
}

impl Bucket for WatchedBucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, futuswarm_store::Error> {
        let mut object = self.bucket.get(key).await?;
        if let Some(object) = object.as_mut().filter(|_| key == keys::GENESIS)
            && self.refused.swap(false, Ordering::Relaxed)
        {
            let mut genesis: Genesis = serde_json::from_slice(&object.body).unwrap();
            genesis.founder = Some("i-somebody".to_owned());
            object.body = serde_json::to_vec(&genesis).unwrap();
        }
        Ok(object)
    }

    async fn put(&self, key: &str, body: Vec<u8>, condition: Condition) -> Result<Put, futuswarm_store::Error> {
        let put = self.bucket.put(key, body.clone(), condition).await?;
        if put == Put::Refused {
            self.refused.store(self.takes_refusals_for_losses && key == keys::GENESIS, Ordering::Relaxed);
            return Ok(put);
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        self.log.add(match key {
            keys::GENESIS => Entry::Genesis(serde_json::from_slice(&body).unwrap()),
            _ => Entry::Written { key: key.to_owned(), digest: hasher.finish() },
        });
        Ok(put)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, futuswarm_store::Error> {
        self.bucket.list(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), futuswarm_store::Error> {
        self.bucket.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), futuswarm_store::Error> {
        self.bucket.delete_all(keys).await
    }
}

/// EC2: the instances that live are in the set that all nodes share.
#[derive(Debug, Clone)]
pub(super) struct FakeInstances {
    pub(super) living: Arc<Mutex<BTreeSet<String>>>,
    pub(super) faults: Faults,
    /// A planted defect: it says that nobody lives.
    pub(super) forgets_everybody: bool,
}

impl Instances for FakeInstances {
    async fn alive(&self, instances: &[String]) -> Result<BTreeSet<String>, Error> {
        let ask = || async {
            let living = self.living.lock().unwrap();
            let lives = |instance: &&String| !self.forgets_everybody && living.contains(*instance);
            Ok(instances.iter().filter(lives).cloned().collect())
        };
        let failed = |reason: &str| {
            let (operation, message) = ("DescribeInstances", reason.to_owned());
            let failure = futuswarm_aws::Failure { operation, code: None, message, request_id: None, status: None };
            futuswarm_aws::Error::from(failure).into()
        };
        self.faults.around(self.faults.draw(), ask, failed).await
    }
}

/// The metadata service, of which a running agent needs the public key only.
#[derive(Debug, Clone)]
pub(super) struct FakeMetadata;

impl Metadata for FakeMetadata {
    async fn identity(&self) -> Result<Identity, futuswarm_imds::Error> {
        Err(futuswarm_imds::Error::BadEndpoint("a simulation".to_owned()))
    }

    async fn user_data(&self) -> Result<Option<String>, futuswarm_imds::Error> {
        Ok(None)
    }

    async fn public_key(&self) -> Result<Option<String>, futuswarm_imds::Error> {
        Ok(None)
    }
}

/// A node's wall clock: simulated time and an offset in milliseconds, which jumps.
#[derive(Debug, Clone)]
pub(super) struct JumpyClock {
    pub(super) start: Instant,
    pub(super) offset: Arc<AtomicI64>,
}

impl Clock for JumpyClock {
    fn unix_millis(&self) -> u64 {
        let elapsed = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX);
        let millis = 1_800_000_000_000 + elapsed + self.offset.load(Ordering::Relaxed);
        u64::try_from(millis).unwrap_or_default()
    }
}

/// An edge that needs a while until it serves.
#[derive(Debug, Clone)]
pub(super) struct IdleEdge(pub(super) Duration);

impl Edge for IdleEdge {
    fn start(&self) -> (impl Future<Output = ()> + Send + 'static, watch::Receiver<Serving>) {
        let (sender, receiver) = watch::channel(Serving::default());
        let starts = self.0;
        let task = async move {
            tokio::time::sleep(starts).await;
            let _nobody_listens = sender.send(Serving { complete: true, reason: None });
            // The agent that listens has crashed: nothing is left to keep.
            sender.closed().await;
            std::future::pending().await
        };
        (task, receiver)
    }

    async fn stop(&self) -> Result<(), futuswarm_swarm::Error> {
        Ok(())
    }
}
