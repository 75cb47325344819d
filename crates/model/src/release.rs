//! A release: what an app ran with, who wanted it, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Health, Settings};

/// What counts where the image has a HEALTHCHECK and nobody has said anything else.
const IMAGE: &Health = &Health::Image;

/// A release under `apps/<app>/releases/<number>`. It names everything that it runs with, so that it can be run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// As in the key of the record.
    pub app: String,
    /// Counts the releases of the app, from 1.
    pub number: u64,
    /// The image as it was asked for, for people.
    pub image: String,
    /// Digest of its manifest (`sha256:…`), once it is known; what runs is this and no tag.
    pub digest: Option<String>,
    /// Whether the image has a HEALTHCHECK that is not switched off, once that is known.
    #[serde(default)]
    pub has_health_check: Option<bool>,
    /// All of them, defaults included.
    pub settings: Settings,
    /// The version of the config that its tasks get; `None` for none.
    pub config: Option<String>,
    /// The version of the secrets that its tasks get; `None` for none.
    pub secrets: Option<String>,
    /// The release that this one repeats: of a rollback, or after a change of links, which are no part of releases.
    pub of: Option<u64>,
    /// Who wanted it.
    pub by: String,
    /// When it was wanted, in milliseconds since 1970.
    pub created_at: u64,
    /// Until when it has to be healthy, in milliseconds since 1970.
    pub deadline: u64,
    /// Its tasks are replaced although nothing of them differs.
    #[serde(default)]
    pub restart: bool,
    /// Somebody wants it to end.
    #[serde(default)]
    pub cancelled: bool,
    /// Somebody wants it to end because a later release is to take its place.
    #[serde(default)]
    pub superseded: bool,
    /// How far it is.
    pub progress: Progress,
}

impl Release {
    /// Whether it says the same as another of what an app is: image, settings, config and secrets. Some of that no service shows: the
    /// release hook, and whether the app is open.
    #[must_use]
    pub fn has_content_of(&self, other: &Self) -> bool {
        fn content(release: &Release) -> (&str, Option<&str>, &Settings, Option<&str>, Option<&str>) {
            let Release { image, digest, settings, config, secrets, .. } = release;
            (image.as_str(), digest.as_deref(), settings, config.as_deref(), secrets.as_deref())
        }
        content(self) == content(other)
    }

    /// What says that its tasks are healthy. It may follow from the image, so it counts once [`Release::is_image_known`].
    #[must_use]
    pub fn health(&self) -> &Health {
        match (&self.settings.health, self.has_health_check) {
            (Health::Port { or_image: true, .. }, Some(true)) => IMAGE,
            (health, _) => health,
        }
    }

    /// Whether everything is known of its image that has to be known before it runs. Of releases that were made before health followed from
    /// the image, and of those that repeat them, only the digest may be.
    #[must_use]
    pub fn is_image_known(&self) -> bool {
        let follows = matches!(self.settings.health, Health::Port { or_image: true, .. });
        self.digest.is_some() && (self.has_health_check.is_some() || !follows)
    }
}

/// How far a release is: what has to be known to carry on with it, and cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "kebab-case")]
pub enum Progress {
    /// Nothing that runs was changed.
    Preparing,
    /// The service is about to be changed, or was.
    Updating {
        /// The Swarm's version of the service just before, by which a change that was applied is told from one that was not;
        /// `None` where there was no service.
        base: Option<u64>,
        /// The release that the service was of just before, which is the one to go back to.
        previous: Option<u64>,
    },
    /// Its tasks are healthy and alone, and the edges get to know what it asks of them. It will not fail any more.
    Announcing {
        /// The release to go back to when somebody ends it.
        previous: Option<u64>,
        /// Until when edges are waited for, in milliseconds since 1970.
        until: u64,
    },
    /// It will not become what the app runs with, and what was before is being put back.
    GoingBack {
        /// The release to go back to; `None` for no service.
        to: Option<u64>,
        /// What will have come of it.
        outcome: Outcome,
        /// Why; `None` where nothing went wrong.
        failure: Option<Failure>,
        /// Until when it is waited for, in milliseconds since 1970.
        until: u64,
    },
    /// It is over.
    Ended {
        /// What came of it.
        outcome: Outcome,
        /// Why; `None` where nothing went wrong. Of one that was deployed it says what was not waited for any longer.
        failure: Option<Failure>,
        /// When, in milliseconds since 1970.
        at: u64,
    },
}

/// Why a release failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind, which `why` tells apart.
    pub class: FailureClass,
    /// What happened, in one line.
    pub reason: String,
    /// One thing to do.
    pub remedy: String,
    /// The last lines of what failed.
    pub log: Vec<String>,
}

impl Failure {
    /// One of which there are no lines.
    #[must_use]
    pub fn new(class: FailureClass, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { class, reason: reason.into(), remedy: remedy.into(), log: Vec::new() }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The registry has no such image.
    ImageMissing,
    /// The image is for another platform.
    ImagePlatform,
    /// The image cannot be pulled.
    Pull,
    /// The disk of a node has no room for the image or the task.
    DiskFull,
    /// The release hook failed.
    ReleaseHook,
    /// The program ends.
    Exits,
    /// The program is killed because it uses too much memory.
    OutOfMemory,
    /// The program runs, and is never healthy.
    Unhealthy,
    /// The program listens on another port than the app says.
    Port,
    /// No node may or can run a task.
    NoNode,
    /// The engine refuses to start a task.
    Rejected,
    /// Somebody else changed or removed the service.
    Interfered,
    /// It took too long, and nothing else is known.
    Late,
}

/// What came of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its tasks run and are healthy, and those of others are gone.
    Deployed,
    /// Nothing that runs had to be changed. What no service shows of it, such as the release hook, counts from then on.
    Unchanged,
    /// Its tasks failed, and those of the release before run again.
    RolledBack,
    /// It failed, and nothing that ran before was changed.
    Failed,
    /// It was not healthy in time; those of the release before run again.
    TimedOut,
    /// Somebody ended it.
    Cancelled,
    /// Somebody ended it so that a later release takes its place.
    Superseded,
}

impl Outcome {
    /// Whether the release is what the app runs with.
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Deployed | Self::Unchanged)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Deployed => "deployed",
            Self::Unchanged => "unchanged",
            Self::RolledBack => "rolled_back",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A release as it was written before health could follow from the image.
    fn stored(health: &str) -> Release {
        let settings = format!(
            r#"{{"command":[],"port":8000,"replicas":1,"memory":1,"cpu_millis":1000,"health":{health},"release_hook":null,"env":{{}},
            "placement":{{}},"stop_grace":10,"update_order":"start-first","open":false,"edge_labels":{{}},"read_only":false}}"#
        );
        let text = format!(
            r#"{{"app":"hello","number":1,"image":"hello:1","digest":"sha256:1","settings":{settings},"config":null,"secrets":null,
            "of":null,"by":"jane","created_at":1,"deadline":2,"progress":{{"stage":"preparing"}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn releases_that_were_stored_before_are_read_as_they_were_written() {
        let timing = r#"{"interval":5,"timeout":3,"retries":3,"start":60}"#;
        for (health, expected) in [
            (r#"{"runs":{"seconds":5}}"#, Health::Runs { seconds: 5 }),
            (r#""image""#, Health::Image),
            (
                &format!(r#"{{"http":{{"path":"/","timing":{timing}}}}}"#),
                Health::Http {
                    path: "/".to_owned(),
                    timing: crate::Timing { interval: 5, timeout: 3, retries: 3, start: 60 },
                },
            ),
        ] {
            let release = stored(health);
            assert_eq!((release.health(), release.has_health_check), (&expected, None));
            assert!(release.is_image_known());
            let again: Release = serde_json::from_str(&serde_json::to_string(&release).unwrap()).unwrap();
            assert_eq!(again, release);
        }
        assert!(matches!(stored(&format!(r#"{{"port":{{"timing":{timing}}}}}"#)).health(), Health::Port { .. }));
    }

    #[test]
    fn the_images_own_check_counts_when_nobody_has_said_anything_else() {
        let port = |or_image| {
            stored(&format!(
                r#"{{"port":{{"timing":{{"interval":5,"timeout":3,"retries":3,"start":60}},"or_image":{or_image}}}}}"#
            ))
        };
        for (or_image, has_health_check, is_image, is_known) in [
            (true, Some(true), true, true),
            (true, Some(false), false, true),
            (true, None, false, false),
            (false, Some(true), false, true),
            (false, None, false, true),
        ] {
            let mut release = Release { has_health_check, ..port(or_image) };
            let told = (matches!(release.health(), Health::Image), release.is_image_known());
            assert_eq!(told, (is_image, is_known), "{or_image} {has_health_check:?}");
            release.digest = None;
            assert!(!release.is_image_known());
        }
    }
}
