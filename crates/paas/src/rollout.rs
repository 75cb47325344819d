//! A release on its way: what to do next, decided from its record and from what is observed, as often as one likes.
//!
//! Whoever holds the app's lease looks, asks [`next`], does the one step, and looks again. Nothing else has to be remembered, so a manager
//! that dies between any two steps is followed by another that carries on from there. The one thing that cannot be observed, whether a
//! change of the service was applied or not, is decided by the Swarm's version of the service, which the record notes before the change.

use futuswarm_model::{Failure, Health, Hook, Outcome, Progress, Release};

mod deadline;
mod edges;
mod failure;
mod observed;
mod places;
#[cfg(test)]
mod tests;

pub use deadline::{time_allowed, time_back};
pub use edges::{EDGES, awaits_edges};
pub use observed::{Away, Edges, HookRun, Image, Observation, Place, Pull, Room, Service, Task, TaskState, Update};
pub use places::UNPLACED;

/// The next step of a release. Doing one twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do until something changes.
    Wait {
        /// For what, for whoever watches.
        why: String,
    },
    /// Look for the image in the registry.
    FindImage,
    /// Note in the release's record which image it is.
    NoteDigest {
        /// `sha256:` and 64 hexadecimal digits.
        digest: String,
        /// Whether the image has a HEALTHCHECK that is not switched off.
        has_health_check: bool,
    },
    /// Pull the image on these nodes.
    Pull {
        /// Their names.
        nodes: Vec<String>,
    },
    /// Start the release hook.
    RunHook,
    /// Note in the record that the service is about to be changed from what it is now.
    NoteUpdate {
        /// The Swarm's version of the service; `None` where there is none.
        base: Option<u64>,
        /// The release that it is of.
        previous: Option<u64>,
    },
    /// Make the service, or change it if it still has this version.
    Apply {
        /// The version; `None` to make it.
        base: Option<u64>,
    },
    /// Note in the record that the tasks are healthy, and that edges are waited for from now on, for as long as [`EDGES`].
    NoteHealthy {
        /// The release that the service was of before.
        previous: Option<u64>,
    },
    /// Note in the record that what was before is to be put back.
    NoteBack {
        /// The release to go back to; `None` for no service.
        to: Option<u64>,
        /// What will have come of the release.
        outcome: Outcome,
        /// Why; `None` where nothing went wrong.
        failure: Option<Failure>,
    },
    /// Put what was before back: the specification of a release, or no service.
    RollBack {
        /// The release to go back to; `None` to remove the service.
        to: Option<u64>,
    },
    /// Note what came of it, and let the app's lease go.
    End {
        /// What came of it.
        outcome: Outcome,
        /// Why, or what was not waited for any longer; `None` where nothing went wrong.
        failure: Option<Failure>,
    },
}

fn wait(why: impl Into<String>) -> Step {
    Step::Wait { why: why.into() }
}

fn end(outcome: Outcome) -> Step {
    Step::End { outcome, failure: None }
}

fn fail(outcome: Outcome, failure: Failure) -> Step {
    Step::End { outcome, failure: Some(failure) }
}

/// The next step of a release that has not ended.
#[must_use]
pub fn next(release: &Release, observed: &Observation) -> Step {
    match &release.progress {
        Progress::Ended { .. } => wait("it is over"),
        Progress::Preparing => prepare(release, observed),
        Progress::Updating { base, previous } => update(release, observed, *base, *previous),
        Progress::Announcing { previous, until } => edges::announce(release, observed, *previous, *until),
        Progress::GoingBack { to, outcome, failure, until } => {
            let ended = Step::End { outcome: *outcome, failure: failure.clone() };
            go_back(release, observed, *to, *until, ended)
        }
    }
}

/// Before anything that runs is changed: what fails here, fails without a trace.
fn prepare(release: &Release, observed: &Observation) -> Step {
    if let Some(outcome) = unwanted(release) {
        return end(outcome);
    }
    if observed.now >= release.deadline {
        return fail(Outcome::TimedOut, failure::late(release, observed));
    }
    let Some(digest) = release.digest.as_ref().filter(|_| release.is_image_known()) else {
        return match &observed.image {
            Image::Unknown => Step::FindImage,
            Image::Present { digest, has_health_check } => {
                Step::NoteDigest { digest: digest.clone(), has_health_check: *has_health_check }
            }
            Image::Missing if release.digest.is_some() => fail(Outcome::Failed, failure::image_gone(&release.image)),
            Image::Missing => fail(Outcome::Failed, failure::image_missing(&release.image)),
            Image::OtherPlatform { has } => fail(Outcome::Failed, failure::image_platform(&release.image, has)),
        };
    };
    if observed.service.as_ref().is_some_and(|service| is_unchanged(release, service)) {
        return end(Outcome::Unchanged);
    }
    let is_pulled = observed.service.as_ref().is_some_and(runs_image);
    if is_pulled && observed.image == Image::Unknown {
        return Step::FindImage;
    }
    // One that was found once: it was deleted since, and a node that has it still must not be the only one that ever will.
    if observed.image == Image::Missing {
        return fail(Outcome::Failed, failure::image_gone(&release.image));
    }
    match places::obstacle(release, &observed.places) {
        // Nodes that are away come back or are replaced; and all of them are for a moment when the Swarm's leader changes.
        Some((failure, true)) => return wait(failure.reason),
        // No pull makes a node larger, or gives it a label.
        Some((failure, false)) => return fail(Outcome::Failed, failure),
        None => {}
    }
    let hook = release.settings.release_hook.as_ref();
    let pulled = if is_pulled { None } else { pull(observed) };
    let before = pulled.or_else(|| hook.and_then(|hook| run(hook, release, observed, digest)));
    if let Some(step) = before {
        return step;
    }
    let service = observed.service.as_ref();
    Step::NoteUpdate {
        base: service.map(|service| service.version),
        previous: service.and_then(|service| service.release),
    }
}

/// What comes of a release that somebody wants to end. One that a later release takes the place of is put back, too: what the later one
/// goes back to if it fails is what the service is when it begins, and that has to be something that ran.
fn unwanted(release: &Release) -> Option<Outcome> {
    match (release.cancelled, release.superseded) {
        (true, _) => Some(Outcome::Cancelled),
        (false, true) => Some(Outcome::Superseded),
        (false, false) => None,
    }
}

/// Whether the service is already what the release wants, with all its tasks healthy.
fn is_unchanged(release: &Release, service: &Service) -> bool {
    !release.restart
        && service.is_as_wanted
        && service.update == Update::Idle
        && is_settled(release, service, service.release, u64::MAX)
}

/// Whether tasks run with the release's image already, as after a change of config. A pull job would then find it on nearly every node, and
/// a node takes longer to say so than a small app takes to start. The one that tasks run with was pulled wherever they could run, so it
/// lacks only where a node has come or tidied up since. A task that is placed there pulls it itself: that may take long, but tasks of the
/// release before run on meanwhile, and a pull that fails is put back like any other task that cannot start.
fn runs_image(service: &Service) -> bool {
    service.has_image && service.tasks.iter().any(|task| matches!(task.state, TaskState::Running { .. }))
}

/// The image is where a task may start before any task does: a slow pull is not a task that does not start.
fn pull(observed: &Observation) -> Option<Step> {
    let absent: Vec<String> =
        observed.nodes.iter().filter(|(_, pull)| **pull == Pull::Absent).map(|(node, _)| node.clone()).collect();
    if !absent.is_empty() {
        return Some(Step::Pull { nodes: absent });
    }
    let done = observed.nodes.values().filter(|pull| **pull == Pull::Done).count();
    // A node that cannot pull is no reason to stop while others can: the Swarm places tasks elsewhere.
    let failed = observed.nodes.iter().find_map(|(node, pull)| match pull {
        Pull::Failed { reason, room } => Some((node, reason, *room)),
        _ => None,
    });
    match (observed.nodes.values().any(|pull| *pull == Pull::Running), failed) {
        (true, _) => Some(wait(format!("the image is on {done} of {} nodes", observed.nodes.len()))),
        (false, Some((node, reason, room))) if done == 0 => {
            Some(fail(Outcome::Failed, failure::pull(node, reason, room)))
        }
        (false, _) => None,
    }
}

/// The release hook runs to its end before anything is changed; `None` once it has.
fn run(hook: &Hook, release: &Release, observed: &Observation, digest: &str) -> Option<Step> {
    let lasts = |since: u64| observed.now.saturating_sub(since);
    let failure = match &observed.hook {
        HookRun::Absent => return Some(Step::RunHook),
        HookRun::Waiting { since, error } if places::is_late(observed, *since) => {
            places::unplaced("the release hook", release, error, &observed.places)
        }
        HookRun::Waiting { error, .. } => return Some(wait(format!("the release hook waits for a node: {error}"))),
        HookRun::Running { since, log } if lasts(*since) >= u64::from(hook.timeout) * 1000 => {
            failure::hook_late(hook.timeout, log)
        }
        HookRun::Running { .. } => return Some(wait("the release hook runs")),
        HookRun::Ended { code: 0, .. } => return None,
        HookRun::Ended { code, log } => failure::hook_failed(*code, log),
        HookRun::Rejected { reason } => failure::rejected(reason, digest),
    };
    Some(fail(Outcome::Failed, failure))
}

/// After the service may have been changed: it ends healthy, or as it was before.
fn update(release: &Release, observed: &Observation, base: Option<u64>, previous: Option<u64>) -> Step {
    let ended_early = match (unwanted(release), observed.now >= release.deadline) {
        (Some(outcome), _) => Some((outcome, None)),
        (_, true) => Some((Outcome::TimedOut, Some(failure::late(release, observed)))),
        _ => None,
    };
    let Some(service) = &observed.service else {
        return match (base, ended_early) {
            (_, Some((outcome, failure))) => Step::End { outcome, failure },
            (None, None) => Step::Apply { base: None },
            (Some(_), None) => fail(Outcome::Failed, failure::removed()),
        };
    };
    let is_ours = service.release == Some(release.number);
    let was_applied = base.map_or(is_ours, |base| service.version != base);
    match (was_applied, is_ours) {
        (false, _) => match (ended_early, base) {
            (Some((outcome, failure)), _) => Step::End { outcome, failure },
            (None, Some(base)) => Step::Apply { base: Some(base) },
            (None, None) => fail(Outcome::Failed, failure::taken()),
        },
        // The Swarm has gone back by itself, as its failure action says.
        (true, false) if service.release == previous => Step::NoteBack {
            to: previous,
            outcome: Outcome::RolledBack,
            failure: Some(failure::of_tasks(release, service, &observed.places).unwrap_or_else(|| {
                failure::unsaid(
                    release,
                    "the Swarm has put the release before back, because a task ended early or could not start",
                )
            })),
        },
        (true, false) => fail(Outcome::Failed, failure::taken()),
        (true, true) => applied(release, observed, service, previous, ended_early),
    }
}

/// The service is what the release wants: its tasks become healthy, or they do not.
fn applied(
    release: &Release,
    observed: &Observation,
    service: &Service,
    previous: Option<u64>,
    ended_early: Option<(Outcome, Option<Failure>)>,
) -> Step {
    let fallen_back = if previous.is_some() { Outcome::RolledBack } else { Outcome::Failed };
    if let Some((outcome, failure)) = ended_early {
        return Step::NoteBack { to: previous, outcome, failure };
    }
    if let Some(failure) = stuck(release, observed, service).or_else(|| places::waits(release, observed, service)) {
        return Step::NoteBack { to: previous, outcome: fallen_back, failure: Some(failure) };
    }
    if service.update == Update::Paused {
        let failure = failure::of_tasks(release, service, &observed.places)
            .unwrap_or_else(|| failure::unsaid(release, "the Swarm has stopped replacing tasks"));
        return Step::NoteBack { to: previous, outcome: fallen_back, failure: Some(failure) };
    }
    if !is_settled(release, service, Some(release.number), observed.now) {
        let healthy =
            service.tasks.iter().filter(|task| is_healthy(release, task, release.number, observed.now)).count();
        return wait(format!("{healthy} of {} tasks are healthy", release.settings.replicas));
    }
    // A release that changes nothing of its routes has nobody to wait for, and takes no write more.
    match edges::lacking(observed) {
        Some(_) => Step::NoteHealthy { previous },
        None => end(Outcome::Deployed),
    }
}

/// What was before is put back, by the Swarm or by us, and is waited for as long as it is given.
fn go_back(release: &Release, observed: &Observation, to: Option<u64>, until: u64, ended: Step) -> Step {
    let Some(service) = &observed.service else { return ended };
    let is_ours = service.release == Some(release.number);
    match is_ours {
        // What cannot be put back in time is not tried for ever: the app must be free for a release that mends it.
        true if observed.now < until => Step::RollBack { to },
        true => ended,
        false if service.release == to && matches!(service.update, Update::RollingBack | Update::Updating) => {
            match observed.now < until {
                true => wait("the release before is put back"),
                false => ended,
            }
        }
        false => ended,
    }
}

/// What stands in the way of a release for good: its tasks end again and again, or cannot start.
fn stuck(release: &Release, observed: &Observation, service: &Service) -> Option<Failure> {
    const ATTEMPTS: usize = 3;
    // What was stopped from outside, as by a drained node, says nothing of the release.
    let is_bad = |task: &&Task| {
        task.release == Some(release.number) && matches!(task.state, TaskState::Ended { .. } | TaskState::Rejected)
    };
    let bad = service.tasks.iter().filter(is_bad).count();
    (bad >= ATTEMPTS).then(|| failure::of_tasks(release, service, &observed.places)).flatten()
}

/// Whether all tasks that there should be are healthy and of this release, and none of another runs.
fn is_settled(release: &Release, service: &Service, of: Option<u64>, now: u64) -> bool {
    let Some(of) = of else { return false };
    let running = |task: &&Task| !task.state.is_over();
    let others = service.tasks.iter().filter(running).any(|task| task.release != Some(of));
    let healthy = service.tasks.iter().filter(|task| is_healthy(release, task, of, now)).count();
    let replicas = usize::try_from(release.settings.replicas).unwrap_or(usize::MAX);
    service.update != Update::Updating && !others && healthy == replicas
}

fn is_healthy(release: &Release, task: &Task, of: u64, now: u64) -> bool {
    let TaskState::Running { since, healthy, .. } = &task.state else { return false };
    let by_itself = match release.health() {
        Health::Runs { seconds } => now.saturating_sub(*since) >= u64::from(*seconds) * 1000,
        Health::Http { .. } | Health::Port { .. } | Health::Image => *healthy == Some(true),
    };
    task.release == Some(of) && task.is_wanted && by_itself && *healthy != Some(false)
}
