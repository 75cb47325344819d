//! Between healthy tasks and the end of a release: edges are waited for, for a while, and nothing of them makes a release fail.

use super::*;

const UNTIL: u64 = START + 100_000;

fn announcing() -> Release {
    let progress = Progress::Announcing { previous: Some(1), until: UNTIL };
    Release { progress, ..release(2, Behaviour::Good) }
}

fn settled(of: u64) -> Service {
    let task = || Task {
        release: Some(of),
        state: TaskState::Running { since: START, healthy: Some(true), answer: String::new() },
        is_wanted: true,
        error: String::new(),
        log: Vec::new(),
    };
    let tasks = (0..3).map(|_| task()).collect();
    Service { version: 8, release: Some(of), is_as_wanted: true, has_image: false, update: Update::Idle, tasks }
}

fn observed(now: u64, service: Option<Service>, edges: Edges) -> Observation {
    let (places, nodes, image, hook) = (BTreeMap::new(), BTreeMap::new(), Image::Unknown, HookRun::Absent);
    Observation { now, image, places, away_at: 0, nodes, hook, service, edges }
}

fn behind(nodes: &[&str]) -> Edges {
    Edges::Published { behind: nodes.iter().map(|node| (*node).to_owned()).collect() }
}

const DEPLOYED: Step = Step::End { outcome: Outcome::Deployed, failure: None };

#[test]
fn a_release_whose_routes_every_edge_has_ends_without_a_note() {
    let progress = Progress::Updating { base: Some(5), previous: Some(1) };
    let updating = Release { progress, ..release(2, Behaviour::Good) };
    for edges in [Edges::NotAsked, behind(&[])] {
        assert_eq!(next(&updating, &observed(START, Some(settled(2)), edges.clone())), DEPLOYED);
        assert_eq!(next(&announcing(), &observed(START, Some(settled(2)), edges)), DEPLOYED);
    }
    let step = next(&updating, &observed(START, Some(settled(2)), behind(&["a"])));
    assert_eq!(step, Step::NoteHealthy { previous: Some(1) });
}

#[test]
fn what_edges_lack_is_waited_for_and_then_told_with_a_release_that_is_deployed() {
    let unknown = Edges::Unknown { reason: "the bucket does not answer".to_owned() };
    let refused = Edges::Unpublished { refused: Some("x.com/ is served by first".to_owned()) };
    let many = behind(&["a", "b", "c", "d", "e", "f", "g"]);
    for (edges, words) in [
        (Edges::Unpublished { refused: None }, "the edges do not know its routes yet"),
        (refused, "the edges do not serve all of it: x.com/ is served by first"),
        (behind(&["a", "b"]), "the edges of a, b do not serve it yet"),
        (many, "the edges of a, b, c, d, e and 2 more do not serve it yet"),
        (unknown, "it is not known whether the edges serve it: the bucket does not answer"),
    ] {
        let Step::Wait { why } = next(&announcing(), &observed(UNTIL - 1, Some(settled(2)), edges.clone())) else {
            panic!("{edges:?}")
        };
        assert_eq!(why, format!("the tasks are healthy, and {words}"));
        // Also when the time of the release itself is over: it was healthy before.
        let late = Release { deadline: UNTIL - 5, ..announcing() };
        assert!(matches!(next(&late, &observed(UNTIL - 1, Some(settled(2)), edges.clone())), Step::Wait { .. }));
        let step = next(&late, &observed(UNTIL, Some(settled(2)), edges));
        let Step::End { outcome: Outcome::Deployed, failure: Some(failure) } = step else { panic!("{step:?}") };
        assert_eq!(failure.class, FailureClass::Late);
        assert_eq!(failure.reason, format!("its tasks are healthy, but {words} (60 s were waited)"));
    }
}

#[test]
fn nodes_that_are_away_are_not_waited_for() {
    for (away, waits) in
        [(None, true), (Some(Away::Drained), true), (Some(Away::Down), false), (Some(Away::Unknown), false)]
    {
        let place = Place { away, ..Place::default() };
        let places = BTreeMap::from([("a".to_owned(), place)]);
        let seen = Observation { places, ..observed(START, Some(settled(2)), behind(&["a"])) };
        assert_eq!(next(&announcing(), &seen) != DEPLOYED, waits, "{away:?}");
    }
}

#[test]
fn whoever_ends_it_or_takes_the_service_is_heeded_while_edges_are_waited_for() {
    for (cancelled, outcome) in [(true, Outcome::Cancelled), (false, Outcome::Superseded)] {
        let ended = Release { cancelled, superseded: !cancelled, ..announcing() };
        let step = next(&ended, &observed(START, Some(settled(2)), behind(&["a"])));
        assert_eq!(step, Step::NoteBack { to: Some(1), outcome, failure: None });
    }
    for service in [None, Some(settled(3))] {
        let step = next(&announcing(), &observed(START, service, behind(&["a"])));
        let Step::End { outcome: Outcome::Failed, failure: Some(failure) } = step else { panic!("{step:?}") };
        assert_eq!(failure.class, FailureClass::Interfered);
    }
}

#[test]
fn edges_are_looked_at_only_once_the_tasks_are_healthy() {
    let progress = Progress::Updating { base: Some(5), previous: Some(1) };
    let updating = Release { progress, ..release(2, Behaviour::Good) };
    let seen = |service| observed(START, service, Edges::NotAsked);
    assert!(awaits_edges(&updating, &seen(Some(settled(2)))));
    let unsettled = Service { update: Update::Updating, ..settled(2) };
    for service in [None, Some(unsettled), Some(settled(1))] {
        assert!(!awaits_edges(&updating, &seen(service)));
    }
    assert!(awaits_edges(&announcing(), &seen(None)));
    assert!(!awaits_edges(&release(2, Behaviour::Good), &seen(Some(settled(2)))));
}
