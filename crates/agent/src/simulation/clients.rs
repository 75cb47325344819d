//! The clients of a simulated node: a bucket, an engine, a vault, EC2, a clock and an edge in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futuswarm_edge::Serving;
use futuswarm_faults::Faults;
use futuswarm_imds::{Identity, Metadata};
use futuswarm_model::{Genesis, ManagerRecord, keys};
use futuswarm_store::{Bucket, Condition, FaultyBucket, MemoryBucket, Object, Put, Version};
use futuswarm_swarm::fake::FakeEngine;
use futuswarm_swarm::faults::FaultyEngine;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Planted;
use super::iam::{Principal, WatchedVault};
use super::log::Entry;
use crate::{
    Addresses, Answer, Clock, Discovery, Dns, Edge, Error, InstanceAddresses, Instances, Platform, Record, Zone,
};

pub(super) struct Simulated;

impl Platform for Simulated {
    type Bucket = FaultyBucket<WatchedBucket>;
    type Engine = FaultyEngine<FakeEngine>;
    type Vault = WatchedVault;
    type Instances = FakeInstances;
    type Dns = FakeDns;
    type Discovery = FakeProvider;
    type Metadata = FakeMetadata;
    type Clock = JumpyClock;
    type Edge = IdleEdge;
}

/// The bucket that all nodes share; what is written goes into the log.
#[derive(Debug, Clone)]
pub(super) struct WatchedBucket {
    bucket: MemoryBucket,
    principal: Principal,
    living: Arc<Mutex<BTreeSet<String>>>,
    planted: Planted,
    refused: Arc<AtomicBool>,
}

impl WatchedBucket {
    pub(super) fn new(
        bucket: MemoryBucket,
        principal: Principal,
        living: Arc<Mutex<BTreeSet<String>>>,
        planted: Planted,
    ) -> Self {
        Self { bucket, principal, living, planted, refused: Arc::default() }
    }

    /// A planted defect: the record of a manager of another Swarm is read as one of the cluster's.
    async fn as_ours(&self, record: &mut Object) -> Result<(), futuswarm_store::Error> {
        let Some(genesis) = self.bucket.get(keys::GENESIS).await? else { return Ok(()) };
        let genesis: Genesis = serde_json::from_slice(&genesis.body).unwrap();
        let mut manager: ManagerRecord = serde_json::from_slice(&record.body).unwrap();
        manager.swarm_id = genesis.swarm_id.unwrap_or(manager.swarm_id);
        record.body = serde_json::to_vec(&manager).unwrap();
        Ok(())
    }
}

impl Bucket for WatchedBucket {
    async fn get(&self, key: &str) -> Result<Option<Object>, futuswarm_store::Error> {
        self.principal.gets(key);
        let mut object = self.bucket.get(key).await?;
        if let Some(object) = object.as_mut().filter(|_| key.starts_with(keys::MANAGERS))
            && self.planted.takes_every_manager_for_ours
        {
            self.as_ours(object).await?;
        }
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
        self.principal.puts(key);
        let put = self.bucket.put(key, body.clone(), condition).await?;
        if put == Put::Refused {
            self.refused.store(self.planted.takes_refusals_for_losses && key == keys::GENESIS, Ordering::Relaxed);
            return Ok(put);
        }
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        self.principal.log.add(match key {
            keys::GENESIS => {
                let (genesis, living) = (serde_json::from_slice(&body).unwrap(), self.living.lock().unwrap().clone());
                Entry::Genesis { genesis, living }
            }
            keys::LOGIN_PASSPHRASES => Entry::Passphrases(serde_json::from_slice(&body).unwrap()),
            _ if key.starts_with(keys::MANAGERS) => Entry::Manager(serde_json::from_slice(&body).unwrap()),
            _ => Entry::Written { key: key.to_owned(), digest: hasher.finish() },
        });
        Ok(put)
    }

    async fn get_version(&self, key: &str, version: &str) -> Result<Option<Object>, futuswarm_store::Error> {
        self.principal.gets(key);
        self.bucket.get_version(key, version).await
    }

    async fn versions(&self, key: &str, limit: usize) -> Result<Vec<Version>, futuswarm_store::Error> {
        self.bucket.versions(key, limit).await
    }

    async fn list_entries(&self, prefix: &str) -> Result<Vec<futuswarm_store::Entry>, futuswarm_store::Error> {
        self.bucket.list_entries(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, futuswarm_store::Error> {
        self.bucket.list_folders(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<(), futuswarm_store::Error> {
        self.principal.deletes(key);
        self.bucket.delete(key).await
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), futuswarm_store::Error> {
        keys.iter().for_each(|key| self.principal.deletes(key));
        self.bucket.delete_all(keys).await
    }
}

/// EC2: the instances that live are in the set that all nodes share.
#[derive(Debug, Clone)]
pub(super) struct FakeInstances {
    pub(super) living: Arc<Mutex<BTreeSet<String>>>,
    /// Of all instances that ever were.
    pub(super) addresses: Arc<Mutex<BTreeMap<String, Ipv4Addr>>>,
    pub(super) faults: Faults,
    /// A planted defect: it says that nobody lives.
    pub(super) forgets_everybody: bool,
    pub(super) principal: Principal,
}

impl Instances for FakeInstances {
    async fn alive(&self, instances: &[String]) -> Result<BTreeSet<String>, Error> {
        self.principal.describes_instances();
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

impl InstanceAddresses for FakeInstances {
    async fn addresses(&self, instances: &[String]) -> Result<BTreeMap<String, Addresses>, Error> {
        let alive = self.alive(instances).await?;
        let addresses = self.addresses.lock().unwrap();
        let address = |name: String| {
            let private = *addresses.get(&name)?;
            Some((name, Addresses { private, public: None }))
        };
        Ok(alive.into_iter().filter_map(address).collect())
    }
}

/// Route 53, with one zone that serves the cluster's domain, and the records that all nodes share.
#[derive(Debug, Clone)]
pub(super) struct FakeDns {
    pub(super) records: Arc<Mutex<BTreeMap<String, Record>>>,
    pub(super) faults: Faults,
    /// A planted defect: it says that it has changed what it has not.
    pub(super) forgets: bool,
    pub(super) principal: Principal,
}

impl FakeDns {
    async fn call<T>(&self, operation: &'static str, call: impl Fn() -> T) -> Result<T, Error> {
        self.principal.asks_for_names();
        let failed = |reason: &str| {
            let message = reason.to_owned();
            let failure = futuswarm_aws::Failure { operation, code: None, message, request_id: None, status: None };
            futuswarm_aws::Error::from(failure).into()
        };
        self.faults.around(self.faults.draw(), || async { Ok(call()) }, failed).await
    }
}

impl Dns for FakeDns {
    async fn zones(&self) -> Result<Vec<Zone>, Error> {
        let zone = || Zone { id: "Z1".to_owned(), name: "example.com".to_owned() };
        self.call("ListHostedZones", || vec![zone()]).await
    }

    async fn record(&self, _: &str, name: &str) -> Result<Option<Record>, Error> {
        self.call("ListResourceRecordSets", || self.records.lock().unwrap().get(name).cloned()).await
    }

    async fn put(&self, _: &str, name: &str, record: &Record) -> Result<(), Error> {
        let put = || {
            if self.forgets {
                return;
            }
            let mut hasher = DefaultHasher::new();
            record.addresses.hash(&mut hasher);
            self.principal.log.add(Entry::Written { key: name.to_owned(), digest: hasher.finish() });
            self.records.lock().unwrap().insert(name.to_owned(), record.clone());
        };
        self.call("ChangeResourceRecordSets", put).await
    }
}

/// The login's provider, which calls itself what it is asked as.
#[derive(Debug, Clone)]
pub(super) struct FakeProvider {
    pub(super) faults: Faults,
}

impl Discovery for FakeProvider {
    async fn get(&self, url: &str) -> Result<Answer, Error> {
        let answer = || async {
            let issuer = url.strip_suffix("/.well-known/openid-configuration").unwrap_or_default();
            let endpoint = |name: &str| format!("{issuer}/{name}");
            let document = serde_json::json!({
                "issuer": issuer,
                "authorization_endpoint": endpoint("auth"),
                "token_endpoint": endpoint("token"),
                "jwks_uri": endpoint("jwks"),
                "response_types_supported": ["code"],
            });
            Ok(Answer { status: 200, body: document.to_string().into_bytes() })
        };
        let failed = |reason: &str| Error::Login(format!("{url}: {reason}"));
        self.faults.around(self.faults.draw(), answer, failed).await
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
pub(super) struct IdleEdge {
    pub(super) starts: Duration,
    /// A planted defect: nothing is removed.
    pub(super) is_not_stopped: bool,
    /// Those of the engine that its container is on.
    pub(super) faults: Faults,
    pub(super) principal: Principal,
}

impl Edge for IdleEdge {
    fn start(&self) -> (impl Future<Output = ()> + Send + 'static, watch::Receiver<Serving>) {
        let (sender, receiver) = watch::channel(Serving::default());
        let starts = self.starts;
        let task = async move {
            tokio::time::sleep(starts).await;
            let _nobody_listens = sender.send(Serving { complete: true, ..Serving::default() });
            // The agent that listens has crashed: nothing is left to keep.
            sender.closed().await;
            std::future::pending().await
        };
        (task, receiver)
    }

    async fn stop(&self) -> Result<(), futuswarm_swarm::Error> {
        let remove = || async {
            if !self.is_not_stopped {
                self.principal.log.add(Entry::EdgeStopped { instance: self.principal.instance.clone() });
            }
            Ok(())
        };
        let failed = |reason: &str| {
            let (operation, reason) = ("container rm", reason.to_owned());
            futuswarm_swarm::Error::Unreachable { operation, reason }
        };
        self.faults.around(self.faults.draw(), remove, failed).await
    }
}
