//! A manager's control service over documents, a Swarm and a registry in memory, and clients that ask it over its socket.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futuswarm_database::MemoryDatabases;
use futuswarm_faults::Faults;
use futuswarm_model::{AppRecord, Outcome, Progress, Release, User, keys};
use futuswarm_paas::settings;
use futuswarm_rpc::message::{Answer, Event, Request};
use futuswarm_rpc::{Caller, Decoder, Frame, Hello, Identity};
use futuswarm_server::records::Records;
use futuswarm_server::registry::memory::MemoryRegistry;
use futuswarm_server::rehearsal::{Clients, serve};
use futuswarm_server::{Facts, OldTool, Platform, SystemClock};
use futuswarm_store::{Bucket, MemoryBucket, Store};
use futuswarm_swarm::fake::{FakeEngine, FakeSwarm};
use futuswarm_swarm::{InitOptions, SwarmApi as _};
use futuswarm_vault::{DataKeys, MemoryVault};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::simulated::SimulatedS3;

/// Who asks.
pub(crate) const USER: &str = "jane";
/// When everything was made, in milliseconds since 1970.
const NOW: u64 = 1_796_000_000_000;
/// So much is read at once, in bytes.
const READ: usize = 64 << 10;

pub(crate) struct Memory;

impl Platform for Memory {
    type Bucket = SimulatedS3;
    type Keys = MemoryVault;
    type Engine = FakeEngine;
    type Registry = MemoryRegistry;
    type Databases = MemoryDatabases;
    type Clock = SystemClock;
    type Old = NothingOld;
}

/// An old tool that has kept nothing.
pub(crate) struct NothingOld;

impl OldTool for NothingOld {
    type Bucket = MemoryBucket;
    type Keys = MemoryVault;

    fn bucket(&self, _: &str, _: &str) -> MemoryBucket {
        MemoryBucket::default()
    }

    fn keys(&self, _: &str) -> MemoryVault {
        MemoryVault::new(Faults::none())
    }
}

/// Starts the service in this runtime; it listens below `folder`, and its socket's path is returned.
pub(crate) async fn start(s3: &SimulatedS3, folder: &Path) -> anyhow::Result<PathBuf> {
    let swarm = FakeSwarm::new(1);
    let engine = swarm.machine("i-1", "10.0.0.1");
    let options =
        InitOptions { address: "10.0.0.1".to_owned(), address_pool: "10.128.0.0/9".to_owned(), address_pool_mask: 24 };
    engine.init_swarm(&options).await?;
    let clients = Clients::<Memory> {
        records: records(s3.clone(), MemoryVault::new(Faults::none())),
        engine,
        registry: MemoryRegistry::over(s3.content()),
        databases: MemoryDatabases::new(Faults::none()),
        old: NothingOld,
        clock: SystemClock,
        facts: Facts {
            cluster: "prod".to_owned(),
            domain: "apps.example.com".to_owned(),
            node: "i-1".to_owned(),
            public: "https".to_owned(),
        },
        programs: folder.join("programs"),
    };
    let socket = folder.join("control.sock");
    let listener = UnixListener::bind(&socket).with_context(|| socket.display().to_string())?;
    let uid = std::fs::metadata("/proc/self")?.uid();
    tokio::spawn(serve(clients, listener, vec![uid]));
    Ok(socket)
}

/// Documents of the cluster.
pub(crate) fn records<B: Bucket, K: DataKeys>(bucket: B, data_keys: K) -> Records<B, K> {
    Records::new(bucket, data_keys, "prod", "alias/managers")
}

/// The user who asks.
pub(crate) async fn make_user<B: Bucket>(store: &Store<B>) -> anyhow::Result<()> {
    let user = User {
        name: USER.to_owned(),
        admin: false,
        groups: Default::default(),
        keys: Default::default(),
        created_at: NOW,
    };
    store.put(&keys::user(USER), &user).await?;
    Ok(())
}

/// Documents of an app that runs with the last of so many releases, as the control service writes them.
pub(crate) async fn make_app<B: Bucket>(store: &Store<B>, name: &str, releases: u64) -> anyhow::Result<()> {
    let record = AppRecord {
        latest: releases,
        release: Some(releases).filter(|number| *number > 0),
        stamp: format!("{:032x}", fastrand::u128(..)),
        ..AppRecord::new(name, USER, NOW)
    };
    store.put(&keys::app(name), &record).await?;
    for number in 1..=releases {
        let release = Release {
            app: name.to_owned(),
            number,
            image: format!("{name}:{number}"),
            digest: Some(format!("sha256:{number:064x}")),
            has_health_check: Some(false),
            settings: settings::defaults(),
            config: None,
            secrets: None,
            of: None,
            by: USER.to_owned(),
            created_at: NOW + number,
            deadline: NOW + 600_000,
            restart: false,
            cancelled: false,
            superseded: false,
            progress: Progress::Ended { outcome: Outcome::Deployed, failure: None, at: NOW + number },
        };
        store.put(&keys::release(name, number), &release).await?;
    }
    Ok(())
}

/// A client that has greeted, and may ask for one thing.
pub(crate) struct Client {
    stream: UnixStream,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        let mut client = Self { stream, decoder: Decoder::default(), buffer: vec![0; READ] };
        client.send(&Caller { identity: Identity::User(USER.to_owned()), key: None, from: None }).await?;
        client.send(&Hello::of("0.1.0")).await?;
        let _hello: Hello = client.message().await?;
        Ok(client)
    }

    async fn send(&mut self, message: &impl serde::Serialize) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&Frame::message(message)?.encode()?).await?)
    }

    async fn message<T: serde::de::DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        loop {
            match self.decoder.next_frame()? {
                Some(Frame::Message(body)) => return Ok(serde_json::from_slice(&body)?),
                Some(other) => bail!("a message is due, and this came: {other:?}"),
                None => {}
            }
            let length = self.stream.read(&mut self.buffer).await?;
            anyhow::ensure!(length > 0, "the service has ended the connection");
            self.decoder.feed(&self.buffer[..length]);
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(mut self, request: &Request) -> anyhow::Result<Answer> {
        self.send(request).await?;
        loop {
            match self.message().await? {
                Event::Done { answer } => return Ok(*answer),
                Event::Failed(refusal) => bail!("refused: {}", refusal.message),
                _ => {}
            }
        }
    }
}
