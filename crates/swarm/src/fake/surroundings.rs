//! What is outside of a Swarm and counts for it: machines, and what was pushed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::behaviour::{Behaviour, FakeImage};
use super::machine::{Local, Machine};
use super::swarm::Member;
use crate::{PlatformMount, ServiceSpec};

/// Images of this registry must have been pushed; others are in the machines' own image.
pub(super) const REGISTRY: &str = "127.0.0.1:5000/";

/// What is outside of a Swarm and counts for it.
pub(super) struct Surroundings<'a> {
    pub(super) swarm: &'a str,
    pub(super) machines: &'a BTreeMap<String, Machine>,
    pub(super) images: &'a BTreeMap<String, FakeImage>,
    pub(super) began: Instant,
}

impl Surroundings<'_> {
    pub(super) fn is_alive(&self, node: &str, member: &Member) -> bool {
        let is_node =
            |local: &Local| matches!(local, Local::Member { swarm, node: id } if swarm == self.swarm && id == node);
        self.machines.get(&member.hostname).is_some_and(|machine| machine.running && is_node(&machine.local))
    }

    /// What a node finds when it wants to start a task, with what that will do; and whether the image was there already.
    pub(super) fn image(&self, spec: &ServiceSpec, machine: Option<&Machine>) -> (FakeImage, bool) {
        let is_there = machine.is_some_and(|machine| machine.images.contains(&spec.image));
        let failing = machine.and_then(|machine| machine.pulls_fail.clone()).filter(|_| !is_there);
        let pushed = self.images.get(&spec.image);
        let missing = pushed.is_none() && spec.image.starts_with(REGISTRY);
        let built_in = || FakeImage { pull: Duration::ZERO, ..FakeImage::default() };
        let mut image = pushed.cloned().unwrap_or_else(built_in);
        if let Some(reason) = failing.or_else(|| missing.then(|| format!("No such image: {}", spec.image))) {
            image.behaviour = Behaviour::rejected(&reason);
        } else if spec.command.first().is_some_and(|program| program == PlatformMount::health_probe().target()) {
            // Ours, whatever is in the image.
            image.behaviour = Behaviour::exits(Duration::ZERO, 0);
        } else if image.architecture != "amd64" {
            let exec = Behaviour::exits(Duration::ZERO, 255).with_log(["exec /app: exec format error"]);
            image.behaviour = Behaviour { healthy: None, ..exec };
        } else if spec.mode.is_job() {
            image.behaviour = image.job.clone();
        }
        (image, is_there)
    }
}
