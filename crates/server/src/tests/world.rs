//! Managers with control services, a Swarm and a bucket, and clients that ask.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futuswarm_database::MemoryDatabases;
use futuswarm_faults::Faults;
use futuswarm_model::{AppRole, AuditEntry, Outcome, User};
use futuswarm_rpc::message::{Answer, Changed, Deploy, Deployment, Event, Import, Kind, Refusal, Request, Value, Wait};
use futuswarm_rpc::{Caller, Channel, Frame, Hello, Identity};
use futuswarm_store::{FaultyBucket, MemoryBucket};
use futuswarm_swarm::fake::{Behaviour, FakeEngine, FakeSwarm};
use futuswarm_swarm::faults::FaultyEngine;
use futuswarm_swarm::{InitOptions, SwarmApi as _, TaskApi as _, TaskState};
use futuswarm_vault::MemoryVault;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::audit::Audited;
use crate::clock::Clock;
use crate::control::{Facts, Tools};
use crate::records::Records;
use crate::registry::memory::MemoryRegistry;
use crate::wire::{self, Incoming, Outgoing};
use crate::{Control, OldTool, Platform, rollout, serve};

/// When worlds begin, in milliseconds since 1970.
pub(super) const START: u64 = 1_767_225_600_000;

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
    type Databases = MemoryDatabases;
    type Clock = TestClock;
    type Old = OldMemory;
}

/// The old tool's bucket and key in memory, whatever they are called.
pub(super) struct OldMemory {
    bucket: MemoryBucket,
    faults: Faults,
}

impl OldTool for OldMemory {
    type Bucket = FaultyBucket<MemoryBucket>;
    type Keys = MemoryVault;

    fn bucket(&self, _: &str, _: &str) -> Self::Bucket {
        FaultyBucket::new(self.bucket.clone(), self.faults.clone())
    }

    fn keys(&self, _: &str) -> MemoryVault {
        MemoryVault::new(self.faults.clone())
    }
}

pub(super) struct World {
    pub(super) bucket: MemoryBucket,
    pub(super) swarm: FakeSwarm,
    pub(super) registry: MemoryRegistry,
    pub(super) databases: MemoryDatabases,
    /// Of the first manager, without faults.
    pub(super) engine: FakeEngine,
    /// The audit of all control services.
    pub(super) audited: Arc<Mutex<Vec<AuditEntry>>>,
    clock: TestClock,
    /// The old tool's, and what happens to calls to it.
    pub(super) old: MemoryBucket,
    pub(super) old_faults: Faults,
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
        let bucket = MemoryBucket::default();
        bucket.advance(Duration::from_millis(START));
        let world = Self {
            registry: MemoryRegistry::over(bucket.clone()),
            bucket,
            swarm,
            databases: MemoryDatabases::new(Faults::none()),
            engine,
            audited: Arc::default(),
            clock: TestClock(Instant::now()),
            old: MemoryBucket::default(),
            old_faults: Faults::none(),
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

    /// A world with a manager, in which the first release of jane's `hello` runs.
    pub(super) async fn with_hello() -> (Self, Arc<Control<Memory>>) {
        let world = Self::new().await;
        let control = world.manager("i-1");
        world.first_release(&control, "jane", "hello").await;
        (world, control)
    }

    /// Deploys the image `1` of an app, whose tasks are good, by a user who may be the first to name the app.
    pub(super) async fn first_release(&self, control: &Arc<Control<Memory>>, user: &str, app: &str) {
        self.image(app, "1", good());
        let first = deployment(&ask(control, user, &deploy(app, &format!("{app}:1"), None)).await);
        assert_eq!(first.outcome, Some(Outcome::Deployed), "{app}: {first:?}");
    }

    /// Which releases the tasks of `hello` are of that run and shall run.
    pub(super) async fn running(&self) -> Vec<Option<u64>> {
        let tasks = self.engine.list_tasks(Some("hello")).await.unwrap();
        let runs = tasks.iter().filter(|task| task.state == TaskState::Running && task.is_wanted());
        runs.map(|task| task.release()).collect()
    }

    pub(super) fn records(&self, faults: Faults) -> Records<FaultyBucket<MemoryBucket>, MemoryVault> {
        let bucket = FaultyBucket::new(self.bucket.clone(), faults.clone());
        Records::new(bucket, MemoryVault::new(faults), "prod", "alias/managers")
    }

    /// Milliseconds since 1970.
    pub(super) fn now(&self) -> u64 {
        self.clock.unix_millis()
    }

    /// A control service, whose calls fail as `faults` say.
    pub(super) fn control(&self, node: &str, faults: Faults) -> Arc<Control<Memory>> {
        let (audits, mut lines) = mpsc::channel::<Audited>(100);
        let (audited, clock) = (Arc::clone(&self.audited), self.clock.clone());
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                audited.lock().unwrap().push(line.row(clock.unix_millis()));
            }
        });
        Arc::new(Control {
            records: self.records(faults.clone()),
            engine: FaultyEngine::new(self.engine.clone(), faults.clone()),
            databases: self.databases.with_faults(faults),
            // As the fake engine names what it loads.
            tools: Tools { image: "edge".to_owned(), archive: "/containers/edge.tar".into() },
            registry: self.registry.clone(),
            clock: self.clock.clone(),
            old: OldMemory { bucket: self.old.clone(), faults: self.old_faults.clone() },
            facts: Facts {
                cluster: "prod".to_owned(),
                domain: "apps.example.com".to_owned(),
                node: node.to_owned(),
                public: "https".to_owned(),
            },
            drives: Default::default(),
            shares: Default::default(),
            connections: Default::default(),
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

    /// Since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.clock.0.elapsed()
    }

    /// Lets time pass for everybody, in seconds.
    pub(super) async fn pass(&self, time: u64) {
        self.bucket.advance(Duration::from_secs(time));
        seconds(time).await;
    }

    pub(super) async fn days(&self, days: u64) {
        self.pass(days * 86_400).await;
    }

    /// Pushes an image with layers, whose tasks are good.
    pub(super) fn image_of(&self, app: &str, tag: &str, layers: &[&str]) -> String {
        let digest = self.registry.push_layers(app, tag, "amd64", layers);
        self.swarm.push(&format!("127.0.0.1:5000/{app}@{digest}"), good());
        digest
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
    /// What came on standard output.
    pub(super) output: Vec<u8>,
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
    heard_as(control, Caller { identity, key: None, from: None }, request, input).await
}

/// As [`heard`], with the key that has let the asker in.
pub(super) async fn heard_as(
    control: &Arc<Control<Memory>>,
    caller: Caller,
    request: &Request,
    input: &[Frame],
) -> Heard {
    let (ours, serving) = connect(control);
    let heard = converse(ours, caller, request, input).await;
    serving.await.unwrap().unwrap();
    heard
}

/// A user who has come without a key.
pub(super) fn caller(user: &str) -> Caller {
    Caller { identity: Identity::User(user.to_owned()), key: None, from: None }
}

/// The client's end of a connection, and what comes of the other one.
pub(super) fn connect(control: &Arc<Control<Memory>>) -> (UnixStream, JoinHandle<Result<(), wire::Error>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let control = Arc::clone(control);
    (ours, tokio::spawn(async move { serve::connection(&control, theirs).await }))
}

/// Says who is calling, and exchanges greetings; the request is next.
pub(super) async fn greet(stream: UnixStream, caller: &Caller) -> (Incoming<OwnedReadHalf>, Outgoing<OwnedWriteHalf>) {
    let (reader, writer) = stream.into_split();
    let (mut incoming, mut outgoing) = (Incoming::new(reader), Outgoing::new(writer));
    outgoing.message(caller).await.unwrap();
    outgoing.message(&Hello::of("test")).await.unwrap();
    let _hello: Hello = incoming.message().await.unwrap();
    (incoming, outgoing)
}

/// What a client says on its end of a connection, and hears.
pub(super) async fn converse(stream: UnixStream, caller: Caller, request: &Request, input: &[Frame]) -> Heard {
    let (mut incoming, mut outgoing) = greet(stream, &caller).await;
    outgoing.message(request).await.unwrap();
    for frame in input {
        outgoing.frame(frame).await.unwrap();
    }
    let (mut events, mut output) = (Vec::new(), Vec::new());
    while let Some(frame) = incoming.frame().await.unwrap() {
        match frame {
            Frame::Message(body) => events.push(serde_json::from_slice(&body).unwrap()),
            Frame::Chunk(Channel::Output, bytes) => output.extend(bytes),
            _ => {}
        }
    }
    Heard { events, output }
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

pub(super) fn changed(heard: &Heard) -> Changed {
    match heard.end().unwrap() {
        Answer::Changed(changed) => changed,
        other => panic!("{other:?}"),
    }
}

/// Sets config or secrets, which an app that runs gets with a release.
pub(super) fn set(app: &str, kind: Kind, entries: &[(&str, &str)]) -> Request {
    change(app, kind, entries, false)
}

/// Sets config or secrets, which wait for the next deployment or change.
pub(super) fn stage(app: &str, kind: Kind, entries: &[(&str, &str)]) -> Request {
    change(app, kind, entries, true)
}

fn change(app: &str, kind: Kind, entries: &[(&str, &str)], stage: bool) -> Request {
    Request::Change {
        app: app.to_owned(),
        kind,
        set: entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from((*value).to_owned()))).collect(),
        unset: BTreeSet::new(),
        dotenv: None,
        replace: false,
        stage,
        wait: Wait::default(),
    }
}

/// Takes what the bucket `old` has of a service that is called like the app.
pub(crate) fn wish(app: &str) -> Import {
    Import {
        app: app.to_owned(),
        bucket: "old".to_owned(),
        prefix: None,
        environment: None,
        key_arn: None,
        plan: false,
        stage: false,
        wait: Wait::default(),
    }
}

pub(super) fn grant(app: &str, who: &str, role: AppRole) -> Request {
    Request::Grant { app: app.to_owned(), principal: who.parse().unwrap(), role }
}

pub(super) async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
