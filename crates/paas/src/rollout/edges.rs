//! What a release waits for once its tasks are healthy: that visitors of its URL reach them. The Swarm's leader publishes the routes, and
//! each node's edge reads them some seconds later.

use futuswarm_model::{Failure, FailureClass as Class, Outcome, Progress, Release};

use super::failure;
use super::{Edges, Observation, Place, Step, end, fail, is_settled, unwanted, wait};

/// So many milliseconds edges are waited for. As a rule all of them have new routes after a quarter of that; what is broken about one of
/// them is no fault of the release, so that it never fails by it.
pub const EDGES: u64 = 60_000;
/// So many nodes are told by their names.
const MOST: usize = 5;

/// Whether what edges have decides on the next step: it is looked for then only.
#[must_use]
pub fn awaits_edges(release: &Release, observed: &Observation) -> bool {
    match &release.progress {
        Progress::Announcing { .. } => true,
        Progress::Updating { .. } => observed.service.as_ref().is_some_and(|service| {
            let number = Some(release.number);
            service.release == number && is_settled(release, service, number, observed.now)
        }),
        Progress::Preparing | Progress::GoingBack { .. } | Progress::Ended { .. } => false,
    }
}

/// The tasks have become healthy: nothing but a person, or somebody who takes the service away, keeps the release from being deployed.
pub(super) fn announce(release: &Release, observed: &Observation, previous: Option<u64>, until: u64) -> Step {
    if let Some(outcome) = unwanted(release) {
        return Step::NoteBack { to: previous, outcome, failure: None };
    }
    match &observed.service {
        None => return fail(Outcome::Failed, failure::removed()),
        Some(service) if service.release != Some(release.number) => return fail(Outcome::Failed, failure::taken()),
        Some(_) => {}
    }
    match lacking(observed) {
        None => end(Outcome::Deployed),
        Some(what) if observed.now < until => wait(format!("the tasks are healthy, and {what}")),
        Some(what) => fail(Outcome::Deployed, unserved(&what)),
    }
}

/// What edges lack, in words; `None` when nothing is waited for.
pub(super) fn lacking(observed: &Observation) -> Option<String> {
    let behind = match &observed.edges {
        Edges::NotAsked => return None,
        Edges::Unknown { reason } => return Some(format!("it is not known whether the edges serve it: {reason}")),
        Edges::Unpublished { refused: None } => return Some("the edges do not know its routes yet".to_owned()),
        Edges::Unpublished { refused: Some(reason) } => {
            return Some(format!("the edges do not serve all of it: {reason}"));
        }
        Edges::Published { behind } => behind,
    };
    // Who is away serves nobody, and has the routes before it does so again.
    let is_there = |node: &&String| !observed.places.get(*node).is_some_and(Place::may_return);
    let behind: Vec<&str> = behind.iter().filter(is_there).map(String::as_str).collect();
    let told = behind.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    match behind.len() {
        0 => None,
        count if count > MOST => Some(format!("the edges of {told} and {} more do not serve it yet", count - MOST)),
        _ => Some(format!("the edges of {told} do not serve it yet")),
    }
}

/// What is said of a release that is deployed although not every edge is known to serve it.
fn unserved(what: &str) -> Failure {
    let reason = format!("its tasks are healthy, but {what} ({} s were waited)", EDGES / 1000);
    let remedy = "open its URL in a moment; if it is not served then, whoever runs the cluster sees with `cargo xtask status` what edges lack";
    Failure::new(Class::Late, reason, remedy)
}
