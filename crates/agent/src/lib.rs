//! The node agent: one loop that looks at the world, takes the one step that is due, and looks again.
//!
//! Nothing is remembered that cannot be looked up: who the node is comes from the metadata service, what the cluster is
//! from S3, and what the node is part of from its Docker Engine. An agent that is killed anywhere carries on from there.

mod certificate;
mod core;
mod decide;
mod duties;
mod edge;
pub mod engine_config;
mod error;
pub mod files;
mod firewall;
mod genesis;
mod identity;
mod leader;
mod membership;
mod notify;
mod records;
mod rehearsal;
mod removal;
mod routes;
mod supervision;
mod tokens;
mod trouble;

use std::time::Duration;

use futuswarm_imds::Imds;
use futuswarm_model::{Genesis, NodeState};
use futuswarm_store::{S3Bucket, Store, Versioned};
use futuswarm_swarm::{Engine, LocalState, Membership};
use tokio::sync::watch;
use tokio::time::Instant;

use decide::{Observed, Step};
use edge::Serving;
pub use error::Error;
use files::Files;
pub use identity::Node;
use leader::Leader;
use notify::Notify;
use records::Records;
use supervision::Supervisor;
use trouble::Trouble;

/// A round while the node is on its way into the Swarm: half a second is what a person does not notice.
const JOINING_ROUND: Duration = Duration::from_millis(500);
/// A round of a node that is Ready: events are rare, and each round costs a few requests.
const READY_ROUND: Duration = Duration::from_secs(3);
/// A new member starts its containers this long after it became one.
const YIELD: Duration = Duration::from_secs(6);
/// cloud-init and everything else that can wait starts this long after the node is Ready, if its edge serves by then.
const SETTLE: Duration = Duration::from_secs(10);
/// And this long after, whatever has gone wrong.
const SETTLE_AT_LAST: Duration = Duration::from_secs(120);

/// A member that has read the record of its Swarm before waits so long for it.
const GENESIS_DEADLINE: Duration = Duration::from_secs(15);
/// A heartbeat that takes longer is given up: nothing else may wait for it.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);

/// What the agent talks to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine's socket.
    pub docker_socket: String,
    /// Where the agent writes, and what it finds in the image.
    pub files: Files,
}

/// Runs the agent until its process ends.
///
/// # Errors
/// When it cannot even begin, or a task beside its loop has ended; everything else is tried again.
pub async fn run(options: Options) -> Result<(), Error> {
    let notify = Notify::new();
    let imds = Imds::new()?;
    let node = identity::learn(&imds, &notify).await;
    tracing::info!(instance = node.instance, cluster = node.config.cluster, role = %node.config.role, address = %node.address, zone = node.zone, "identity");
    notify.ready();

    let sdk = futuswarm_aws::config(Some(&node.config.region)).await;
    let sdk = rehearsal::trust(sdk, options.files.credentials.as_deref())?;
    let store = Store::new(S3Bucket::new(&sdk, &node.config.bucket));
    let (tasks, mut ends) = supervision::supervisor();
    let networks = firewall::first_networks(&node.config);
    tasks.spawn("the firewall", firewall::keep(store.clone(), networks, options.files.clone()));
    let mut agent = Agent {
        tasks,
        genesis: None,
        records: Records::new(&node),
        edge: None,
        leader: Leader::new(&sdk, &node, options.files.clone()),
        ready_since: None,
        settled: false,
        imds,
        node,
        sdk,
        store,
        engine: None,
        docker_socket: options.docker_socket,
        notify,
        files: options.files,
    };
    tokio::select! {
        biased;
        // Whatever the loop is waiting for: it tells systemd nothing more.
        error = ends.first() => Err(error),
        ended = agent.forever() => ended,
    }
}

struct Agent {
    tasks: Supervisor,
    /// The record as it was read last, for as long as S3 does not answer.
    genesis: Option<Versioned<Genesis>>,
    node: Node,
    imds: Imds,
    sdk: futuswarm_aws::SdkConfig,
    store: Store<S3Bucket>,
    engine: Option<Engine>,
    docker_socket: String,
    notify: Notify,
    records: Records,
    /// What the edge serves, once its loop runs.
    edge: Option<watch::Receiver<Serving>>,
    leader: Leader,
    files: Files,
    ready_since: Option<Instant>,
    settled: bool,
}

impl Agent {
    async fn forever(&mut self) -> Result<(), Error> {
        let mut trouble = Trouble::default();
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    trouble.over();
                    pause
                }
                Err(error @ Error::TaskEnded { .. }) => return Err(error),
                Err(error) => {
                    let reason = error.to_string();
                    self.records.reason = Some(reason.clone());
                    if let (false, Err(error)) = (matches!(error, Error::Store(_)), self.heartbeat(None).await) {
                        tracing::debug!(%error, "the heartbeat comes later");
                    }
                    trouble.failed("a round failed", &reason)
                }
            };
            self.notify.alive(&self.records.summary());
            tokio::time::sleep(pause).await;
        }
    }

    /// One look and one step. Returns how long to wait before the next look.
    async fn round(&mut self) -> Result<Duration, Error> {
        let (engine, membership) = membership::look(&mut self.engine, &self.docker_socket).await?;
        let genesis = self.genesis(&membership).await?;
        let observed = Observed { node: &self.node, membership: &membership, genesis: genesis.as_ref() };
        match decide::decide(&observed) {
            Step::Claim { open } => {
                self.records.enter(NodeState::Genesis, "claims the founding of the Swarm");
                let won = genesis::claim(&self.store, &self.node, &open).await?;
                Ok(if won { Duration::ZERO } else { JOINING_ROUND })
            }
            Step::Found => {
                self.records.enter(NodeState::Genesis, "founds the Swarm");
                membership::found(&engine, &self.node).await?;
                Ok(Duration::ZERO)
            }
            Step::Confirm { swarm_id } => {
                genesis::confirm(&self.store, &self.node, &engine, &swarm_id).await?;
                self.publish(&engine, &swarm_id).await?;
                Ok(Duration::ZERO)
            }
            Step::AwaitGenesis => {
                self.records.enter(NodeState::Joining, "waits for a manager to found the Swarm");
                if let Some(genesis) = genesis {
                    genesis::take_over_if_abandoned(&self.store, &self.node, &self.sdk, genesis).await?;
                }
                self.records.write_if_due(&self.store).await?;
                Ok(JOINING_ROUND)
            }
            Step::Join { swarm_id } => {
                self.records.enter(NodeState::Joining, "joins the Swarm");
                membership::join(&engine, &self.node, &self.store, &self.sdk, &swarm_id).await?;
                Ok(Duration::ZERO)
            }
            Step::AwaitEngine => {
                self.records.enter(NodeState::Joining, "waits for the engine to finish joining");
                Ok(JOINING_ROUND)
            }
            Step::Leave { reason } => {
                tracing::warn!(reason, "leaves the Swarm that this engine is in, and joins the cluster's own");
                // The edge holds networks of that Swarm; its loop starts it again, and may do so while the engine leaves.
                edge::stop(&engine).await?;
                engine.leave_swarm(true).await?;
                edge::stop(&engine).await?;
                Ok(Duration::ZERO)
            }
            Step::Refuse { reason } => Err(Error::Refused(reason)),
            Step::Serve => self.serve(&engine, &membership).await,
        }
    }

    /// What a manager publishes so that others can join: tokens first, then its address, which makes others look.
    async fn publish(&mut self, engine: &Engine, swarm_id: &str) -> Result<(), Error> {
        tokens::publish(&self.store, &self.sdk, &self.node, engine, swarm_id).await?;
        self.records.write_manager(&self.store, &self.node, swarm_id).await
    }

    /// The record of the cluster's Swarm. A member goes by the last one while S3 does not answer: what it does for the Swarm
    /// needs no bucket.
    async fn genesis(&mut self, membership: &Membership) -> Result<Option<Versioned<Genesis>>, Error> {
        let last = self.genesis.as_ref().filter(|genesis| is_settled(membership, &genesis.value));
        let read = self.store.get(futuswarm_model::keys::GENESIS);
        let answer = match last {
            Some(_) => tokio::time::timeout(GENESIS_DEADLINE, read).await,
            None => Ok(read.await),
        };
        match (answer, last) {
            (Ok(Ok(genesis)), _) => {
                self.genesis.clone_from(&genesis);
                Ok(genesis)
            }
            (Ok(Err(error)), Some(last)) if error.is_transient() => {
                tracing::debug!(%error, "goes by the record that was read last");
                Ok(Some(last.clone()))
            }
            (Ok(Err(error)), _) => Err(error.into()),
            (Err(_), last) => Ok(last.cloned()),
        }
    }

    /// Says that the node lives, and for a manager of `swarm_id` where others can join.
    async fn heartbeat(&mut self, swarm_id: Option<&str>) -> Result<(), Error> {
        let write = async {
            self.records.write_if_due(&self.store).await?;
            match swarm_id {
                Some(swarm_id) => self.records.write_manager_if_due(&self.store, &self.node, swarm_id).await,
                None => Ok(()),
            }
        };
        let late =
            || Error::Waiting(format!("the heartbeat was not written within {} s", HEARTBEAT_DEADLINE.as_secs()));
        tokio::time::timeout(HEARTBEAT_DEADLINE, write).await.map_err(|_| late())?
    }

    /// A member's duties.
    async fn serve(&mut self, engine: &Engine, membership: &Membership) -> Result<Duration, Error> {
        let since = *self.ready_since.get_or_insert_with(Instant::now);
        let managed = membership.swarm.as_ref().filter(|_| membership.controls).cloned();
        if managed.is_none() {
            self.leader.step_down();
        }
        self.records.node = membership.node.clone();
        self.records.reason = self.leader.failing();
        self.records.enter(NodeState::Ready, "is a member of the Swarm");
        // It is told at the end: nothing here waits for S3.
        let heartbeat = self.heartbeat(managed.as_deref()).await;
        // The others first: containers that start here slow the joins of nodes on the same machine, and serve nobody yet.
        if since.elapsed() < YIELD {
            return heartbeat.map(|()| JOINING_ROUND);
        }
        // A loop of its own: starting a container takes long on a slow machine, and a leader has more to do than wait for it.
        let serves = self
            .edge
            .get_or_insert_with(|| edge::start(&self.tasks, engine.clone(), self.store.clone(), self.files.clone()));
        let serving = serves.borrow().clone();
        self.records.reason = self.records.reason.take().or(serving.reason);
        self.records.serves = serving.complete;
        // Before anything that may fail: a node in trouble is the one that somebody wants to log in to.
        if !self.settled && since.elapsed() > if serving.complete { SETTLE } else { SETTLE_AT_LAST } {
            self.settle().await;
        }
        if let Some(swarm_id) = &managed {
            self.notify.alive(&self.records.summary());
            self.leader.round(engine, &self.store, swarm_id).await?;
        }
        heartbeat.map(|()| READY_ROUND)
    }

    /// What can wait until the node is Ready and the others have had their turn: SSH keys and cloud-init.
    async fn settle(&mut self) {
        let done = async {
            let key = self.imds.public_key().await?;
            self.files.write_authorized_keys(key.as_deref())?;
            self.files.mark_ready()
        };
        match done.await {
            Ok(()) => self.settled = true,
            Err(error) => tracing::warn!(%error, "could not write the SSH keys; will try again"),
        }
    }
}

/// Whether a node is in the very Swarm that the record names.
fn is_settled(membership: &Membership, genesis: &Genesis) -> bool {
    let is_its = |swarm: &String| genesis.swarm_id.as_ref() == Some(swarm);
    membership.state == LocalState::Active && genesis.swarm_id.is_some() && membership.swarm.as_ref().is_none_or(is_its)
}
