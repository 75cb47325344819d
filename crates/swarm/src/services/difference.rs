//! What an update would change.

use super::Service;
use super::spec::{HealthCheck, ServiceSpec};

impl ServiceSpec {
    /// Whether an update is needed to make `current` what it should be.
    #[must_use]
    pub fn differs_from(&self, current: &Service) -> bool {
        !self.differences(current).is_empty()
    }

    /// The fields that an update would change, by their names here, and options by Swarm's names that somebody else has set.
    #[must_use]
    pub fn differences(&self, current: &Service) -> Vec<String> {
        // Named one by one, so that a new field cannot be left out.
        let Self {
            name,
            image,
            command,
            args,
            environment,
            labels,
            container_labels,
            secrets,
            mounts,
            health,
            resources,
            placement,
            spread_over,
            networks,
            mode,
            restart,
            stop_grace,
            capabilities,
            read_only,
            init,
            update,
            rollback,
        } = self;
        let it = &current.spec;
        let same = [
            ("name", *name == it.name),
            ("image", is_same_image(image, &it.image)),
            ("command", *command == it.command),
            ("args", *args == it.args),
            ("environment", *environment == it.environment),
            ("labels", *labels == it.labels),
            ("container_labels", *container_labels == it.container_labels),
            ("secrets", *secrets == it.secrets),
            ("mounts", *mounts == it.mounts),
            ("health", is_same_check(health, &it.health)),
            ("resources", *resources == it.resources),
            ("placement", *placement == it.placement),
            ("spread_over", *spread_over == it.spread_over),
            ("networks", *networks == it.networks),
            ("mode", *mode == it.mode),
            ("restart", *restart == it.restart),
            ("stop_grace", *stop_grace == it.stop_grace),
            ("capabilities", *capabilities == it.capabilities),
            ("read_only", *read_only == it.read_only),
            ("init", *init == it.init),
            ("update", *update == it.update),
            ("rollback", *rollback == it.rollback),
        ];
        let changed = same.into_iter().filter(|(_, same)| !same).map(|(field, _)| field.to_owned());
        changed.chain(current.foreign.iter().cloned()).collect()
    }
}

/// A manager may have added a digest to a name that has none.
fn is_same_image(desired: &str, current: &str) -> bool {
    desired == current || (!desired.contains('@') && current.split_once('@').is_some_and(|(name, _)| name == desired))
}

/// Engines before 25 do not keep the interval of the start period; an update would not teach them.
fn is_same_check(desired: &HealthCheck, current: &HealthCheck) -> bool {
    match (desired, current) {
        (HealthCheck::Program(desired), HealthCheck::Program(current)) if current.start_interval.is_zero() => {
            let mut kept = desired.clone();
            kept.start_interval = current.start_interval;
            kept == *current
        }
        _ => desired == current,
    }
}
