//! Nodes of the Swarm as places for tasks of a release, and what is still free on them.

use std::collections::{BTreeMap, HashMap};

use futuswarm_model::Release;
use futuswarm_paas::rollout::{Away, HookRun, Place, Service, Task, TaskState, UNPLACED};
use futuswarm_swarm::{Availability, Node, NodeState, Task as SwarmTask};

/// All nodes as places, by what people call them. A machine that has joined once more is listed twice for a while, as the dead node that
/// it was beside the one that it is: what can take tasks counts.
pub(super) fn of<'a>(nodes: &'a [Node], release: &Release) -> BTreeMap<String, (&'a Node, Place)> {
    let rank = |place: &Place| (place.fits(), place.away.is_none());
    let mut places: BTreeMap<String, (&Node, Place)> = BTreeMap::new();
    for node in nodes {
        let place = place(node, release);
        if places.get(name(node)).is_none_or(|(_, known)| rank(&place) > rank(known)) {
            places.insert(name(node).to_owned(), (node, place));
        }
    }
    places
}

/// One that has not connected yet has no host name.
fn name(node: &Node) -> &str {
    if node.hostname.is_empty() { &node.id } else { &node.hostname }
}

fn place(node: &Node, release: &Release) -> Place {
    let away = match (node.state, node.spec.availability) {
        (NodeState::Ready, Availability::Active) => None,
        (NodeState::Ready, Availability::Drain) => Some(Away::Drained),
        (NodeState::Ready, Availability::Pause) => Some(Away::Paused),
        (NodeState::Down, _) => Some(Away::Down),
        (NodeState::Disconnected, _) => Some(Away::Disconnected),
        (NodeState::Unknown, _) => Some(Away::Unknown),
    };
    let asked = release.settings.placement.iter();
    let lacks = asked.filter(|(label, value)| node.spec.labels.get(*label) != Some(*value));
    let lacks = lacks.map(|(label, value)| format!("{label}={value}")).collect();
    Place { away, lacks, memory: node.memory_bytes, free: None }
}

/// Nodes on which tasks of the release may run now.
pub(super) fn fitting<'a>(nodes: &'a [Node], release: &Release) -> Vec<&'a Node> {
    nodes.iter().filter(|node| place(node, release).fits()).collect()
}

/// Whether something of the release has waited for a node for so long that it may be the end of it. `away_at` is when a node was last away
/// that may be what it waits for.
pub(super) fn is_unplaced(
    release: &Release,
    hook: &HookRun,
    service: Option<&Service>,
    away_at: u64,
    now: u64,
) -> bool {
    let is_late = |since: u64| now.saturating_sub(since.max(away_at)) >= UNPLACED;
    let waits = |task: &Task| {
        let is_ours = task.release == Some(release.number) && !task.error.is_empty();
        is_ours && matches!(task.state, TaskState::Pending { since } if is_late(since))
    };
    matches!(hook, HookRun::Waiting { since, .. } if is_late(*since))
        || service.is_some_and(|service| service.tasks.iter().any(waits))
}

/// What tasks have reserved of the memory of nodes, in bytes by the ids of those.
pub(super) fn reserved(tasks: &[SwarmTask]) -> HashMap<String, u64> {
    let mut reserved = HashMap::new();
    for task in tasks.iter().filter(|task| !task.state.is_over()) {
        if let Some(node) = &task.node {
            *reserved.entry(node.clone()).or_default() += task.resources.reserved_memory_bytes;
        }
    }
    reserved
}

#[cfg(test)]
mod tests {
    use futuswarm_model::{Progress, Role};
    use futuswarm_paas::rollout::Update;
    use futuswarm_paas::settings::defaults;
    use futuswarm_swarm::NodeSpec;

    use super::*;

    const NOW: u64 = 10 * UNPLACED;

    fn release() -> Release {
        Release {
            app: "hello".to_owned(),
            number: 2,
            image: "hello:1".to_owned(),
            digest: None,
            has_health_check: None,
            settings: defaults(),
            config: None,
            secrets: None,
            of: None,
            by: "jane".to_owned(),
            created_at: 0,
            deadline: NOW,
            restart: false,
            cancelled: false,
            superseded: false,
            progress: Progress::Preparing,
        }
    }

    fn node(id: &str, state: NodeState) -> Node {
        let availability = Availability::Active;
        Node {
            id: id.to_owned(),
            version: 1,
            spec: NodeSpec { name: None, labels: HashMap::new(), role: Role::Worker, availability },
            hostname: "i-1".to_owned(),
            state,
            address: "10.0.0.1".to_owned(),
            manager_status: None,
            engine: "26.1.5".to_owned(),
            memory_bytes: 4 << 30,
            nano_cpus: 2_000_000_000,
        }
    }

    #[test]
    fn a_dead_node_does_not_hide_the_living_one_that_has_its_name() {
        let (dead, living) = (node("dead", NodeState::Down), node("living", NodeState::Ready));
        for nodes in [[dead.clone(), living.clone()], [living, dead]] {
            let places = of(&nodes, &release());
            let (node, place) = &places["i-1"];
            assert!(node.id == "living" && place.fits() && places.len() == 1, "{places:?}");
        }
    }

    #[test]
    fn only_what_waits_with_a_word_of_the_swarm_and_is_of_the_release_is_unplaced() {
        let late = NOW - UNPLACED;
        let is_late = |of: u64, error: &str, since: u64, away_at: u64| {
            let (state, error) = (TaskState::Pending { since }, error.to_owned());
            let task = Task { release: Some(of), state, is_wanted: true, error, log: Vec::new() };
            let (update, tasks) = (Update::Updating, vec![task]);
            let service = Service { version: 1, release: Some(2), is_as_wanted: true, has_image: false, update, tasks };
            is_unplaced(&release(), &HookRun::Absent, Some(&service), away_at, NOW)
        };
        assert!(is_late(2, "no suitable node", late, late));
        assert!(!is_late(1, "no suitable node", late, 0), "of another release");
        assert!(!is_late(2, "", late, 0), "the Swarm has not looked for a node yet");
        assert!(!is_late(2, "no suitable node", late + 1, 0));
        assert!(!is_late(2, "no suitable node", late, late + 1), "a node came back just now");
        let hook = HookRun::Waiting { since: late, error: "no suitable node".to_owned() };
        assert!(is_unplaced(&release(), &hook, None, 0, NOW));
    }
}
