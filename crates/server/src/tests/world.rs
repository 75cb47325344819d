//! Managers with control services, a Swarm and a bucket, and clients that ask.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futuswarm_faults::Faults;
use futuswarm_model::User;
use futuswarm_rpc::message::{Answer, Deploy, Deployment, Event, Refusal, Request, Wait};
use futuswarm_rpc::{Caller, Frame, Hello, Identity};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_swarm::fake::{Behaviour, FakeEngine, FakeSwarm};
use futuswarm_swarm::faults::FaultyEngine;
use futuswarm_swarm::{InitOptions, SwarmApi as _};
use futuswarm_vault::MemoryVault;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::clock::Clock;
use crate::control::Facts;
use crate::records::Records;
use crate::registry::memory::MemoryRegistry;
use crate::wire::{Incoming, Outgoing};
use crate::{Control, Platform, rollout, serve};

/// When worlds begin, in milliseconds since 1970.
pub(super) const START: u64 = 1_796_000_000_000;

/// Tokio's time as a wall clock.
#[derive(Debug, Clone)]
pub(super) struct TestClock(Instant);

impl Clock for TestClock {
    fn unix_millis(&self) -> u64 {
        START + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

pub(super) struct Memory;

impl Platform for Memory {
    type Bucket = FaultyBucket<MemoryBucket>;
    type Keys = MemoryVault;
    type Engine = FaultyEngine<FakeEngine>;
    type Registry = MemoryRegistry;
    type Clock = TestClock;
}

pub(super) struct World {
    pub(super) bucket: MemoryBucket,
    pub(super) swarm: FakeSwarm,
    pub(super) registry: MemoryRegistry,
    /// Of the first manager, without faults.
    pub(super) engine: FakeEngine,
    clock: TestClock,
}

impl World {
    /// One manager and two workers, an admin `root`, and users `jane` and `joe`.
    pub(super) async fn new() -> Self {
        let swarm = FakeSwarm::new(5);
        let engine = swarm.machine("i-1", "10.0.0.1");
        let options = InitOptions {
            address: "10.0.0.1".to_owned(),
            address_pool: "10.128.0.0/9".to_owned(),
            address_pool_mask: 24,
        };
        engine.init_swarm(&options).await.unwrap();
        let tokens = engine.join_tokens().await.unwrap();
        for index in 2..=3 {
            let worker = swarm.machine(&format!("i-{index}"), &format!("10.0.0.{index}"));
            let managers = vec!["10.0.0.1:2377".to_owned()];
            worker.join_swarm(&format!("10.0.0.{index}"), managers, &tokens.worker).await.unwrap();
        }
        let world = Self {
            bucket: MemoryBucket::default(),
            swarm,
            registry: MemoryRegistry::default(),
            engine,
            clock: TestClock(Instant::now()),
        };
        let records = world.records(Faults::none());
        for (name, admin) in [("root", true), ("jane", false), ("joe", false)] {
            let user = User {
                name: name.to_owned(),
                admin,
                groups: BTreeSet::new(),
                keys: BTreeSet::new(),
                created_at: START,
            };
            records.change_user::<crate::records::Error>(name, |_| Ok(user.clone())).await.unwrap();
        }
        world
    }

    pub(super) fn records(&self, faults: Faults) -> Records<FaultyBucket<MemoryBucket>, MemoryVault> {
        let bucket = FaultyBucket::new(self.bucket.clone(), faults.clone());
        Records::new(bucket, MemoryVault::new(faults), "prod", "alias/managers")
    }

    /// A control service, whose calls fail as `faults` say.
    pub(super) fn control(&self, node: &str, faults: Faults) -> Arc<Control<Memory>> {
        let (audits, mut lines) = mpsc::channel(100);
        tokio::spawn(async move { while lines.recv().await.is_some() {} });
        Arc::new(Control {
            records: self.records(faults.clone()),
            engine: FaultyEngine::new(self.engine.clone(), faults),
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            facts: Facts {
                cluster: "prod".to_owned(),
                domain: "apps.example.com".to_owned(),
                node: node.to_owned(),
                public: "https".to_owned(),
            },
            drives: Default::default(),
            uploads: Default::default(),
            programs: std::env::temp_dir().join("futuswarm-server-tests"),
            audits,
        })
    }

    /// A control service without faults, which looks for releases that nobody drives.
    pub(super) fn manager(&self, node: &str) -> Arc<Control<Memory>> {
        let control = self.control(node, Faults::none());
        tokio::spawn(rollout::search(Arc::clone(&control)));
        control
    }

    /// Pushes an image whose tasks do this.
    pub(super) fn image(&self, app: &str, tag: &str, behaviour: Behaviour) -> String {
        let digest = self.registry.push(app, tag, "amd64");
        self.swarm.push(&format!("127.0.0.1:5000/{app}@{digest}"), behaviour);
        digest
    }
}

pub(super) fn good() -> Behaviour {
    Behaviour::healthy_after(Duration::from_secs(1))
}

/// Everything that a client got.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) events: Vec<Event>,
}

impl Heard {
    pub(super) fn end(&self) -> Result<Answer, Refusal> {
        match self.events.last() {
            Some(Event::Done { answer }) => Ok((**answer).clone()),
            Some(Event::Failed(refusal)) => Err(refusal.clone()),
            other => panic!("no end: {other:?}"),
        }
    }
}

/// Asks as a user over a connection of its own.
pub(super) async fn ask(control: &Arc<Control<Memory>>, user: &str, request: &Request) -> Heard {
    heard(control, Identity::User(user.to_owned()), request, &[]).await
}

/// Asks, and sends these frames after the request.
pub(super) async fn heard(
    control: &Arc<Control<Memory>>,
    identity: Identity,
    request: &Request,
    input: &[Frame],
) -> Heard {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = tokio::spawn({
        let control = Arc::clone(control);
        async move { serve::connection(&control, theirs).await }
    });
    let (reader, writer) = ours.into_split();
    let (mut incoming, mut outgoing) = (Incoming::new(reader), Outgoing::new(writer));
    outgoing.message(&Caller { identity, from: None }).await.unwrap();
    outgoing.message(&Hello::of("test")).await.unwrap();
    outgoing.message(request).await.unwrap();
    for frame in input {
        outgoing.frame(frame).await.unwrap();
    }
    let _hello: Hello = incoming.message().await.unwrap();
    let mut events = Vec::new();
    while let Some(frame) = incoming.frame().await.unwrap() {
        if let Frame::Message(body) = frame {
            events.push(serde_json::from_slice(&body).unwrap());
        }
    }
    serving.await.unwrap().unwrap();
    Heard { events }
}

pub(super) fn deploy(app: &str, image: &str, app_file: Option<&str>) -> Request {
    Request::Deploy(Deploy {
        app: app.to_owned(),
        image: Some(image.to_owned()),
        app_file: app_file.map(str::to_owned),
        plan: false,
        wait: Wait::default(),
    })
}

pub(super) fn deployment(heard: &Heard) -> Deployment {
    match heard.end().unwrap() {
        Answer::Deployment(deployment) => deployment,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
