//! How long a release may take, by what `app.toml` says of its hook and its tasks.

use std::time::Duration;

use futuswarm_model::{Health, Settings, UpdateOrder};

/// In seconds. Ample for a pull of gigabytes to every node, and for what the Swarm takes itself.
const BASE: u64 = 900;
/// An engine asks the HEALTHCHECK of an image for the first time after so many seconds, unless the image says otherwise.
const IMAGE_CHECK: u64 = 30;
/// In seconds, for the way back: the image is where it ran, but a node may have to be replaced meanwhile.
const BASE_BACK: u64 = 300;
/// A day, in seconds: nobody means that a release keeps its app for longer.
const LONGEST: u64 = 86_400;

/// How long after it was wanted a release has to be healthy. Tasks are replaced one after the other, so the time of each counts.
#[must_use]
pub fn time_allowed(settings: &Settings) -> Duration {
    let hook = settings.release_hook.as_ref().map_or(0, |hook| u64::from(hook.timeout));
    Duration::from_secs((BASE + hook + replacing(settings)).min(LONGEST))
}

/// How long it may take to put back what a release with these settings has replaced or is to replace. No hook runs then.
#[must_use]
pub fn time_back(settings: &Settings) -> Duration {
    Duration::from_secs((BASE_BACK + replacing(settings)).min(LONGEST))
}

/// What tasks may take to start and to stop, in seconds.
fn replacing(settings: &Settings) -> u64 {
    let start = match &settings.health {
        // Before anything is known of the image, which may have a check of its own in the place of this one.
        Health::Http { timing, .. } | Health::Port { timing, .. } => u64::from(timing.start),
        Health::Runs { seconds } => u64::from(*seconds),
        Health::Image => IMAGE_CHECK,
    };
    let replicas = u64::from(settings.replicas);
    let stops = match settings.update_order {
        // Nothing waits for a task that stops, but the end of the release for the last one.
        UpdateOrder::StartFirst => 1,
        UpdateOrder::StopFirst => replicas.max(1),
    };
    replicas * start + stops * u64::from(settings.stop_grace)
}

#[cfg(test)]
mod tests {
    use futuswarm_model::{Hook, Timing};

    use super::*;
    use crate::settings::defaults;

    #[test]
    fn a_release_has_the_time_that_its_hook_and_its_tasks_may_take() {
        let seconds = |settings: &Settings| time_allowed(settings).as_secs();
        let plain = Settings { health: Health::Runs { seconds: 5 }, ..defaults() };
        assert_eq!(seconds(&plain), 900 + 5 + 10);
        assert_eq!(seconds(&defaults()), 900 + 60 + 10, "an app whose file says nothing of its health");
        let hook = Some(Hook { command: vec!["migrate".to_owned()], timeout: 3600 });
        assert_eq!(seconds(&Settings { release_hook: hook, ..plain.clone() }), 900 + 3600 + 5 + 10);
        let timing = Timing { interval: 5, timeout: 3, retries: 3, start: 600 };
        let health = Health::Http { path: "/".to_owned(), timing };
        let three = Settings { replicas: 3, stop_grace: 60, health, ..plain.clone() };
        assert_eq!(seconds(&three), 900 + 3 * 600 + 60);
        let update_order = UpdateOrder::StopFirst;
        let stop_first = Settings { update_order, ..three };
        assert_eq!(seconds(&stop_first), 900 + 3 * (600 + 60), "each has to stop before the next");
        assert_eq!(time_back(&stop_first).as_secs(), 300 + 3 * (600 + 60), "the way back is as slow");
        let none = Settings { replicas: 0, update_order, stop_grace: 3600, ..plain.clone() };
        assert_eq!(seconds(&none), 900 + 3600, "those that ran before stop");
        assert_eq!(seconds(&Settings { health: Health::Image, replicas: 2, ..plain.clone() }), 900 + 2 * 30 + 10);
        let slow = Settings { replicas: 200, health: Health::Runs { seconds: 3600 }, ..plain };
        assert_eq!(seconds(&slow), 86_400, "a day at most");
        assert_eq!(time_back(&slow).as_secs(), 86_400);
    }
}
