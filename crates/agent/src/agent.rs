//! The agent's loop: observe, decide, take one step; and what a member does between such steps.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_edge::Serving;
use futuswarm_imds::Metadata;
use futuswarm_model::{Genesis, NodeState, ServedRoutes};
use futuswarm_node_files::Files;
use futuswarm_retry::Backoff;
use futuswarm_store::Versioned;
use futuswarm_swarm::{LocalState, Membership, SwarmApi};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::decide::{Observed, Step, decide};
use crate::heartbeat::Heartbeat;
use crate::identity::Node;
use crate::leader::Leader;
use crate::notify::Notify;
use crate::platform::{Clients, Edge, Platform};
use crate::supervision::Supervisor;
use crate::way_in::WayIn;
use crate::{Error, disk, genesis, membership, tokens};

/// A round while the node is on its way into the Swarm: half a second is what a person does not notice.
const JOINING_ROUND: Duration = Duration::from_millis(500);
/// A round of a node that is Ready: events are rare, and each round costs a few requests.
const READY_ROUND: Duration = Duration::from_secs(3);
/// A new member starts its containers this long after it became one.
const YIELD: Duration = Duration::from_secs(6);
/// cloud-init and everything else that can wait starts this long after the node is Ready, if its edge serves by then.
const DEFERRED_AFTER: Duration = Duration::from_secs(10);
/// And this long after, whatever has gone wrong.
const DEFERRED_AT_LAST: Duration = Duration::from_secs(120);

/// A member that has read the record of its Swarm before waits so long for it.
const GENESIS_DEADLINE: Duration = Duration::from_secs(15);
/// A heartbeat that takes longer is given up: nothing else may wait for it.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);

/// The agent of one node.
pub(crate) struct Agent<P: Platform> {
    tasks: Supervisor,
    /// The record as it was read last, for as long as S3 does not answer.
    genesis: Option<Versioned<Genesis>>,
    node: Arc<Node>,
    clients: Clients<P>,
    notify: Notify,
    heartbeat: Heartbeat,
    /// What the edge serves, once its loop runs.
    serving: Option<watch::Receiver<Serving>>,
    /// How full the disk is, where somebody looks after it.
    pub(crate) disk: Option<watch::Receiver<disk::State>>,
    leader: Leader,
    /// What makes this node a way in for people, while it is a manager.
    way_in: WayIn,
    files: Files,
    /// The claim of another manager that this one waits for.
    unchanged_claim: genesis::Unchanged,
    ready_since: Option<Instant>,
    deferred_started: bool,
    /// A wrong decision, to show that the simulation notices it.
    #[cfg(test)]
    pub(crate) planted: Option<Planted>,
}

#[cfg(test)]
pub(crate) type Planted = Box<dyn Fn(&Observed<'_>) -> Step + Send + Sync>;

impl<P: Platform> Agent<P> {
    pub(crate) fn new(node: Node, clients: Clients<P>, tasks: Supervisor, files: Files) -> Self {
        let node = Arc::new(node);
        Self {
            tasks,
            genesis: None,
            heartbeat: Heartbeat::new(&node),
            serving: None,
            disk: None,
            leader: Leader::new(&node, files.clone()),
            way_in: WayIn::new(&node, files.clone()),
            unchanged_claim: genesis::Unchanged::default(),
            ready_since: None,
            deferred_started: false,
            #[cfg(test)]
            planted: None,
            node,
            clients,
            notify: Notify::new(),
            files,
        }
    }

    /// Takes one step after the other.
    ///
    /// # Errors
    /// Only when one of its tasks has ended; everything else is tried again.
    pub(crate) async fn forever(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            let pause = match self.round().await {
                Ok(pause) => {
                    backoff.reset();
                    pause
                }
                Err(error @ Error::TaskEnded { .. }) => return Err(error),
                Err(error) => {
                    let reason = error.to_string();
                    self.heartbeat.reason = Some(reason.clone());
                    if let (false, Err(error)) = (matches!(error, Error::Store(_)), self.beat(None).await) {
                        tracing::debug!(%error, "the heartbeat comes later");
                    }
                    backoff.failed("a round failed", &reason)
                }
            };
            self.notify.alive(&self.heartbeat.summary());
            tokio::time::sleep(pause).await;
        }
    }

    /// Observes, and takes one step. Returns how long to wait before the next round.
    async fn round(&mut self) -> Result<Duration, Error> {
        let membership = self.clients.engine.membership().await?;
        if let Err(error) = self.files.mark_manager(membership.controls) {
            tracing::warn!(%error, "the control service may not know whether this node is a manager");
        }
        let genesis = self.read_genesis(&membership).await?;
        let observed = Observed { node: &self.node, membership: &membership, genesis: genesis.as_ref() };
        let step = decide(&observed);
        #[cfg(test)]
        let step = self.planted.as_ref().map_or(step, |planted| planted(&observed));
        match step {
            Step::Claim { open } => {
                self.enter(NodeState::Genesis, "claims the founding of the Swarm");
                let won = genesis::claim(&self.clients.store, &self.node, &self.clients.clock, &open).await?;
                Ok(if won { Duration::ZERO } else { JOINING_ROUND })
            }
            Step::InitSwarm => {
                self.enter(NodeState::Genesis, "initialises the Swarm");
                membership::init(&self.clients.engine, &self.node).await?;
                Ok(Duration::ZERO)
            }
            Step::Confirm { swarm_id } => {
                genesis::confirm(&self.clients.store, &self.node, &self.clients.engine, &swarm_id).await?;
                self.publish(&swarm_id).await?;
                Ok(Duration::ZERO)
            }
            Step::AwaitGenesis => {
                self.enter(NodeState::Joining, "waits for a manager to found the Swarm");
                if let Some(genesis) = genesis {
                    let Clients { store, instances, clock, .. } = &self.clients;
                    let unchanged = &mut self.unchanged_claim;
                    genesis::take_over_if_abandoned(store, &self.node, instances, clock, genesis, unchanged).await?;
                }
                self.heartbeat.write_if_due(&self.clients.store, &self.clients.clock).await?;
                Ok(JOINING_ROUND)
            }
            Step::Join { swarm_id } => {
                self.enter(NodeState::Joining, "joins the Swarm");
                let Clients { store, engine, vault, clock, .. } = &self.clients;
                membership::join(engine, &self.node, store, vault, clock, &swarm_id).await?;
                Ok(Duration::ZERO)
            }
            Step::AwaitEngine => {
                self.enter(NodeState::Joining, "waits for the engine to finish joining");
                Ok(JOINING_ROUND)
            }
            Step::Leave { reason } => {
                tracing::warn!(reason, "leaves the Swarm that this engine is in, and joins the cluster's own");
                // The edge holds networks of that Swarm; its loop starts it again, and may do so while the engine leaves.
                self.clients.edge.stop().await?;
                self.clients.engine.leave_swarm(true).await?;
                self.clients.edge.stop().await?;
                Ok(Duration::ZERO)
            }
            Step::Refuse { reason } => Err(Error::Refused(reason)),
            Step::Serve => self.serve(&membership).await,
        }
    }

    fn enter(&mut self, state: NodeState, what: &str) {
        self.heartbeat.enter(&self.clients.clock, state, what);
    }

    /// What a manager publishes so that others can join: tokens first, then its address, which makes others ask it.
    async fn publish(&mut self, swarm_id: &str) -> Result<(), Error> {
        let Clients { store, engine, vault, clock, .. } = &self.clients;
        tokens::publish(store, vault, &self.node, engine, swarm_id).await?;
        self.heartbeat.write_manager(store, clock, swarm_id).await
    }

    /// The record of the cluster's Swarm. A member goes by the last one while S3 does not answer: what it does for the Swarm
    /// needs no bucket.
    async fn read_genesis(&mut self, membership: &Membership) -> Result<Option<Versioned<Genesis>>, Error> {
        let last = self.genesis.as_ref().filter(|genesis| is_of(membership, &genesis.value));
        let read = self.clients.store.get(futuswarm_model::keys::GENESIS);
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
    async fn beat(&mut self, swarm_id: Option<&str>) -> Result<(), Error> {
        let Clients { store, clock, .. } = &self.clients;
        let write = async {
            self.heartbeat.write_if_due(store, clock).await?;
            match swarm_id {
                Some(swarm_id) => self.heartbeat.write_manager_if_due(store, clock, swarm_id).await,
                None => Ok(()),
            }
        };
        let late =
            || Error::Waiting(format!("the heartbeat was not written within {} s", HEARTBEAT_DEADLINE.as_secs()));
        tokio::time::timeout(HEARTBEAT_DEADLINE, write).await.map_err(|_| late())?
    }

    /// A member's duties.
    async fn serve(&mut self, membership: &Membership) -> Result<Duration, Error> {
        let since = *self.ready_since.get_or_insert_with(Instant::now);
        let managed = membership.swarm.as_ref().filter(|_| membership.controls).cloned();
        if managed.is_none() {
            self.leader.step_down();
            self.way_in.step_down();
        }
        self.heartbeat.swarm_node = membership.node.clone();
        let disk = self.disk.as_ref().map(|disk| disk.borrow().clone()).unwrap_or_default();
        self.heartbeat.usage = disk.usage;
        self.heartbeat.reason = self.leader.failing().or(self.way_in.failing()).or(disk.reason);
        self.enter(NodeState::Ready, "is a member of the Swarm");
        // It counts at the end: nothing here waits for S3.
        let heartbeat = self.beat(managed.as_deref()).await;
        // The others first: containers that start here slow the joins of nodes on the same machine, and serve nobody yet.
        if since.elapsed() < YIELD {
            return heartbeat.map(|()| JOINING_ROUND);
        }
        // A loop of its own: starting a container takes long on a slow machine, and a leader has more to do than wait for it.
        let serving = self.serving.get_or_insert_with(|| {
            let (task, serving) = self.clients.edge.start();
            self.tasks.spawn("the edge", task);
            serving
        });
        let serving = serving.borrow().clone();
        self.heartbeat.reason = self.heartbeat.reason.take().or(serving.reason);
        self.heartbeat.serves = serving.complete;
        self.heartbeat.routes = serving.document.map(|etag| ServedRoutes { etag, without: serving.without });
        // Before anything that may fail: a node in trouble is the one that somebody wants to log in to.
        let wait = if serving.complete { DEFERRED_AFTER } else { DEFERRED_AT_LAST };
        if !self.deferred_started && since.elapsed() > wait {
            self.start_deferred().await;
        }
        if let Some(swarm_id) = &managed {
            self.notify.alive(&self.heartbeat.summary());
            self.way_in.round(&self.clients)?;
            self.leader.round(&self.clients, swarm_id).await?;
        }
        heartbeat.map(|()| READY_ROUND)
    }

    /// What can wait until the node is Ready and the others have had their turn: SSH keys and cloud-init.
    async fn start_deferred(&mut self) {
        let done = async {
            let key = self.clients.metadata.public_key().await?;
            self.files.write_authorized_keys(key.as_deref())?;
            Ok::<(), Error>(self.files.mark_ready()?)
        };
        match done.await {
            Ok(()) => self.deferred_started = true,
            Err(error) => tracing::warn!(%error, "could not write the SSH keys; will try again"),
        }
    }
}

/// Whether a node is in the very Swarm that the record names.
fn is_of(membership: &Membership, genesis: &Genesis) -> bool {
    let is_its = |swarm: &String| genesis.swarm_id.as_ref() == Some(swarm);
    membership.state == LocalState::Active && genesis.swarm_id.is_some() && membership.swarm.as_ref().is_none_or(is_its)
}
