//! `docker info` and `docker swarm` on the engine.

use bollard::models::{
    LocalNodeState, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, SwarmSpecDispatcher, SwarmSpecOrchestration,
};
use bollard::query_parameters::LeaveSwarmOptionsBuilder;
use futuswarm_secret::Secret;

use super::{DockerEngine, certificate};
use crate::{Error, InitOptions, JoinTokens, LocalState, Membership, SwarmApi};

/// Tasks kept per slot. Swarm counts the one that runs or waits to start, too, so that of three only two that have ended would stay: too
/// few to tell a program that ends again and again from one that was unlucky once, which takes three, also for a manager that has just
/// taken the release over. What a Swarm was founded with stays; there the driver of a release remembers those that it has seen.
const TASK_HISTORY: i64 = 5;
/// Time between heartbeats of a node to a manager, in nanoseconds. Swarm's default; three missed ones mean "down".
const DISPATCHER_HEARTBEAT_NANOS: i64 = 5_000_000_000;

impl SwarmApi for DockerEngine {
    async fn membership(&self) -> Result<Membership, Error> {
        let info = self.docker().await?.info().await.map_err(|error| Error::call("info", error));
        let info = info.inspect_err(|_| self.disconnect())?;
        let swarm = info.swarm.ok_or(Error::Incomplete { operation: "info", field: "Swarm" })?;
        let state = match swarm.local_node_state {
            Some(LocalNodeState::ACTIVE) => LocalState::Active,
            Some(LocalNodeState::PENDING) => LocalState::Pending,
            Some(LocalNodeState::ERROR) => LocalState::Error,
            Some(LocalNodeState::LOCKED) => LocalState::Locked,
            Some(LocalNodeState::INACTIVE | LocalNodeState::EMPTY) | None => LocalState::Inactive,
        };
        let mut membership = Membership {
            state,
            node: swarm.node_id.filter(|id| !id.is_empty()),
            controls: swarm.control_available.unwrap_or(false),
            swarm: swarm.cluster.and_then(|cluster| cluster.id).filter(|id| !id.is_empty()),
            error: swarm.error.filter(|error| !error.is_empty()),
        };
        // The engine of a worker does not say it.
        if state == LocalState::Active && membership.swarm.is_none() && !membership.controls {
            membership.swarm = certificate::swarm_of(&self.certificate);
        }
        Ok(membership)
    }

    async fn init_swarm(&self, options: &InitOptions) -> Result<(), Error> {
        let request = SwarmInitRequest {
            listen_addr: Some(format!("{}:2377", options.address)),
            advertise_addr: Some(options.address.clone()),
            // A secondary address here would make VXLAN packets arrive from an address that the peers do not expect.
            data_path_addr: Some(options.address.clone()),
            default_addr_pool: Some(vec![options.address_pool.clone()]),
            subnet_size: Some(u32::from(options.address_pool_mask)),
            force_new_cluster: Some(false),
            spec: Some(SwarmSpec {
                orchestration: Some(SwarmSpecOrchestration { task_history_retention_limit: Some(TASK_HISTORY) }),
                dispatcher: Some(SwarmSpecDispatcher { heartbeat_period: Some(DISPATCHER_HEARTBEAT_NANOS) }),
                ..SwarmSpec::default()
            }),
            ..SwarmInitRequest::default()
        };
        self.docker().await?.init_swarm(request).await.map_err(|error| Error::call("swarm init", error))?;
        Ok(())
    }

    async fn join_swarm(&self, address: &str, managers: Vec<String>, token: &Secret) -> Result<(), Error> {
        let request = SwarmJoinRequest {
            listen_addr: Some(format!("{address}:2377")),
            advertise_addr: Some(address.to_owned()),
            data_path_addr: Some(address.to_owned()),
            remote_addrs: Some(managers),
            join_token: Some(token.expose().to_owned()),
        };
        self.docker().await?.join_swarm(request).await.map_err(|error| Error::call("swarm join", error))
    }

    async fn leave_swarm(&self, force: bool) -> Result<(), Error> {
        let options = LeaveSwarmOptionsBuilder::default().force(force).build();
        let left = self.docker().await?.leave_swarm(Some(options)).await;
        left.map_err(|error| Error::call("swarm leave", error))
    }

    async fn join_tokens(&self) -> Result<JoinTokens, Error> {
        let swarm = self.docker().await?.inspect_swarm().await.map_err(|error| Error::call("swarm inspect", error))?;
        let missing = |field| Error::Incomplete { operation: "swarm inspect", field };
        let tokens = swarm.join_tokens.ok_or_else(|| missing("JoinTokens"))?;
        Ok(JoinTokens {
            worker: Secret::new(tokens.worker.ok_or_else(|| missing("JoinTokens.Worker"))?),
            manager: Secret::new(tokens.manager.ok_or_else(|| missing("JoinTokens.Manager"))?),
        })
    }
}

#[cfg(test)]
mod tests;
