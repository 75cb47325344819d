//! The node agent: one loop that looks at the world, takes the one step that is due, and looks again.
//!
//! Nothing is remembered that cannot be looked up: who the node is comes from the metadata service, what the cluster is
//! from S3, and what the node is part of from its Docker Engine. An agent that is killed anywhere carries on from there.

mod core;
mod decide;
mod edge;
pub mod engine_config;
mod error;
pub mod files;
mod genesis;
mod identity;
mod leader;
mod membership;
mod notify;
mod records;
mod removal;
mod tokens;
mod trouble;

use std::time::{Duration, Instant};

use futuswarm_imds::Imds;
use futuswarm_store::{NodeState, S3Bucket, Store};
use futuswarm_swarm::Engine;
use tokio::sync::watch;

use decide::{Observed, Step};
pub use error::Error;
use files::Files;
pub use identity::Node;
use leader::Leader;
use notify::Notify;
use records::Records;
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
/// Only when it cannot even begin; everything later is tried again.
pub async fn run(options: Options) -> Result<(), Error> {
    let notify = Notify::new();
    let imds = Imds::new()?;
    let node = identity::learn(&imds, &notify).await;
    tracing::info!(instance = node.instance, cluster = node.config.cluster, role = %node.config.role, address = %node.address, zone = node.zone, "identity");
    notify.ready();

    let sdk = futuswarm_aws::config(Some(&node.config.region), node.config.endpoint_url.as_deref()).await;
    let store = Store::new(S3Bucket::new(&sdk, &node.config.bucket));
    let mut agent = Agent {
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
    agent.forever().await
}

struct Agent {
    node: Node,
    imds: Imds,
    sdk: futuswarm_aws::SdkConfig,
    store: Store<S3Bucket>,
    engine: Option<Engine>,
    docker_socket: String,
    notify: Notify,
    records: Records,
    /// Whether the edge serves, once its loop runs.
    edge: Option<watch::Receiver<bool>>,
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
                Err(error) => {
                    let reason = error.to_string();
                    self.records.reason = Some(reason.clone());
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
        let genesis = self.store.get(futuswarm_store::keys::GENESIS).await?;
        let observed = Observed { node: &self.node, membership: &membership, genesis: genesis.as_ref() };
        match decide::decide(&observed) {
            Step::Claim => {
                self.records.enter(NodeState::Genesis, "claims the founding of the Swarm");
                genesis::claim(&self.store, &self.node).await?;
                Ok(Duration::ZERO)
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
                engine.leave_swarm(true).await?;
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

    /// A member's duties.
    async fn serve(&mut self, engine: &Engine, membership: &futuswarm_swarm::Membership) -> Result<Duration, Error> {
        let since = *self.ready_since.get_or_insert_with(Instant::now);
        self.records.node = membership.node.clone();
        self.records.reason = None;
        self.records.enter(NodeState::Ready, "is a member of the Swarm");
        self.records.write_if_due(&self.store).await?;
        let managed = membership.swarm.as_ref().filter(|_| membership.controls).cloned();
        if let Some(swarm_id) = &managed {
            self.records.write_manager_if_due(&self.store, &self.node, swarm_id).await?;
        }
        // The others first: containers that start here slow the joins of nodes on the same machine, and serve nobody yet.
        if since.elapsed() < YIELD {
            return Ok(JOINING_ROUND);
        }
        // A loop of its own: starting a container takes long on a slow machine, and a leader has more to do than wait for it.
        let serves =
            self.edge.get_or_insert_with(|| edge::start(engine.clone(), self.store.clone(), self.files.clone()));
        let serves = *serves.borrow();
        // Before anything that may fail: a node in trouble is the one that somebody wants to log in to.
        if !self.settled && since.elapsed() > if serves { SETTLE } else { SETTLE_AT_LAST } {
            self.settle().await;
        }
        if let Some(swarm_id) = &managed {
            self.notify.alive(&self.records.summary());
            self.leader.round(engine, &self.store, &self.sdk, swarm_id).await?;
        }
        Ok(READY_ROUND)
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
