//! `swarm init`, `join` and `leave` of an engine in memory.

use std::time::Duration;

use futuswarm_model::Role;
use futuswarm_secret::Secret;
use tokio::time::Instant;

use super::events::Event;
use super::machine::{Join, Local};
use super::swarm::FakeCluster;
use super::world::World;
use super::{FakeEngine, refused};
use crate::{Error, InitOptions, JoinTokens, LocalState, Membership, SwarmApi};

/// So long the engine lets the caller of a join wait.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a call checks what it waits for.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
const EXISTS: &str =
    "This node is already part of a swarm. Use \"docker swarm leave\" to leave this swarm and join another one.";

impl SwarmApi for FakeEngine {
    async fn membership(&self) -> Result<Membership, Error> {
        let mut world = self.world("info")?;
        let Some(machine) = world.machines.get(&self.hostname) else {
            return Err(Error::Incomplete { operation: "info", field: "Swarm" });
        };
        let none = Membership { state: LocalState::Inactive, node: None, controls: false, swarm: None, error: None };
        Ok(match machine.local.clone() {
            Local::Inactive => none,
            Local::Joining(_) => Membership { state: LocalState::Pending, ..none },
            Local::Locked => Membership { state: LocalState::Locked, ..none },
            Local::Failed { error } => Membership { state: LocalState::Error, error: Some(error), ..none },
            Local::Member { swarm, node } => {
                let controls = world.role(&self.hostname) == Some(Role::Manager);
                // A manager asks its Swarm; a worker has it in its certificate.
                let error = if controls { world.controlled(&self.hostname, "info").err() } else { None };
                let error = error.map(|error| match error {
                    Error::Refused { message, .. } => message,
                    other => other.to_string(),
                });
                let swarm = error.is_none().then_some(swarm);
                Membership { state: LocalState::Active, node: Some(node), controls, swarm, error }
            }
        })
    }

    async fn init_swarm(&self, _options: &InitOptions) -> Result<(), Error> {
        {
            let mut world = self.world("swarm init")?;
            if !matches!(world.machines[&self.hostname].local, Local::Inactive) {
                return Err(refused("swarm init", 503, EXISTS));
            }
            let (swarm, node) = (world.new_id("swarm-"), world.new_id("node-"));
            let mut cluster = FakeCluster::default();
            let Some(machine) = world.machines.get_mut(&self.hostname) else { return Ok(()) };
            cluster.add(&node, &self.hostname, &machine.address, Role::Manager);
            machine.local = Local::Member { swarm: swarm.clone(), node };
            world.clusters.insert(swarm.clone(), cluster);
            world.observer.tell(Event::Initialised { hostname: self.hostname.clone(), swarm });
            world.settle();
        }
        // Until it has elected itself.
        loop {
            if self.leads_or_fails()? {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn join_swarm(&self, _address: &str, managers: Vec<String>, token: &Secret) -> Result<(), Error> {
        let refusal = self.world("swarm join")?.begin_join(&self.hostname, &managers, token.expose())?;
        if let Some((after, refusal)) = refusal {
            tokio::time::sleep(after).await;
            return Err(refusal);
        }
        let deadline = Instant::now() + JOIN_TIMEOUT;
        loop {
            let local = self.world("swarm join")?.machines[&self.hostname].local.clone();
            match local {
                Local::Member { .. } => return Ok(()),
                Local::Inactive | Local::Locked => return Err(refused("swarm join", 500, "context canceled")),
                Local::Failed { error } => {
                    // One that fails while somebody waits leaves nothing behind.
                    if let Some(machine) = self.world("swarm join")?.machines.get_mut(&self.hostname) {
                        machine.local = Local::Inactive;
                    }
                    return Err(refused("swarm join", 500, error));
                }
                Local::Joining(_) if Instant::now() >= deadline => {
                    let message = "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the \"docker info\" command to see the current swarm status of your node.";
                    return Err(refused("swarm join", 503, message));
                }
                Local::Joining(_) => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    async fn leave_swarm(&self, force: bool) -> Result<(), Error> {
        let mut world = self.world("swarm leave")?;
        if matches!(world.machines[&self.hostname].local, Local::Inactive) {
            return Err(refused("swarm leave", 503, "This node is not part of a swarm"));
        }
        if !force && matches!(world.machines[&self.hostname].local, Local::Locked) {
            let message =
                "Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.";
            return Err(refused("swarm leave", 503, message));
        }
        if !force && world.role(&self.hostname) == Some(Role::Manager) {
            let message = "You are attempting to leave the swarm on a node that is participating as a manager. The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use `--force` to suppress this message.";
            return Err(refused("swarm leave", 503, message));
        }
        if let Some(swarm) = world.member(&self.hostname).map(|(swarm, _)| swarm.to_owned()) {
            world.observer.tell(Event::Left { hostname: self.hostname.clone(), swarm });
        }
        if let Some(machine) = world.machines.get_mut(&self.hostname) {
            machine.local = Local::Inactive;
        }
        world.settle();
        Ok(())
    }

    async fn join_tokens(&self) -> Result<JoinTokens, Error> {
        let mut world = self.world("swarm inspect")?;
        world.controlled(&self.hostname, "swarm inspect")?;
        let (swarm, _) = world.member(&self.hostname).unwrap_or_default();
        let token = |role| Secret::new(format!("SWMTKN-1-{swarm}-{role}"));
        Ok(JoinTokens { worker: token(Role::Worker), manager: token(Role::Manager) })
    }
}

impl FakeEngine {
    /// Whether the Swarm that the engine has initialised has elected it; an error when the engine cannot take part any more.
    fn leads_or_fails(&self) -> Result<bool, Error> {
        let mut world = self.world("swarm init")?;
        if world.member(&self.hostname).is_none() {
            return Err(refused("swarm init", 500, "context canceled"));
        }
        Ok(world.controlled(&self.hostname, "swarm init").is_ok())
    }
}

/// The Swarm and the role that a token is for.
fn parse(token: &str) -> Option<(&str, Role)> {
    let (swarm, role) = token.strip_prefix("SWMTKN-1-")?.rsplit_once('-')?;
    match role {
        "manager" => Some((swarm, Role::Manager)),
        "worker" => Some((swarm, Role::Worker)),
        _ => None,
    }
}

impl World {
    /// Begins to join through the first of the addresses, the only one that Docker asks. Returns the refusal of what answers there,
    /// and after which time it arrives.
    fn begin_join(
        &mut self,
        hostname: &str,
        managers: &[String],
        token: &str,
    ) -> Result<Option<(Duration, Error)>, Error> {
        if !matches!(self.machines[hostname].local, Local::Inactive) {
            return Err(refused("swarm join", 503, EXISTS));
        }
        let Some((swarm, role)) = parse(token) else {
            return Err(refused("swarm join", 400, "invalid join token"));
        };
        let Some(remote) = managers.first() else {
            return Err(refused("swarm join", 400, "at least 1 RemoteAddr is required to join"));
        };
        let (asking, manager) = (hostname.to_owned(), remote.clone());
        self.observer.tell(Event::Asked { hostname: asking, swarm: swarm.to_owned(), manager });
        let address = remote.rsplit_once(':').map_or(remote.as_str(), |(address, _)| address);
        let manager = self.at_address(address).map(str::to_owned);
        let mut swarm = swarm.to_owned();
        if let Some(manager) = &manager {
            let theirs = self.member(manager).map(|(swarm, _)| swarm.to_owned());
            let refusal = match theirs.filter(|_| self.role(manager) == Some(Role::Manager)) {
                None => {
                    let message = format!(
                        "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {remote}: connect: connection refused\""
                    );
                    Some(refused("swarm join", 503, message))
                }
                Some(theirs) if theirs != swarm && self.defects.joins_without_checking_the_token => {
                    swarm = theirs;
                    None
                }
                Some(theirs) if theirs != swarm => {
                    Some(refused("swarm join", 500, format!("remote CA does not match fingerprint. Expected: {swarm}")))
                }
                Some(_) => None,
            };
            if let Some(refusal) = refusal {
                return Ok(Some((self.between(100, 4000), refusal)));
            }
        }
        let now = Instant::now();
        let (at, fails_at) = (now + self.between(500, 6000), now + self.between(22_000, 60_000));
        if let Some(machine) = self.machines.get_mut(hostname) {
            machine.local = Local::Joining(Join { swarm, role, manager, at, fails_at });
        }
        Ok(None)
    }
}
