//! What is said of a failure when tasks and nodes say little: the Swarm's own way back, nodes that do not fit, what waits for a node.

use super::*;

const NOW: u64 = START + 200_000;

fn observed(service: Option<Service>) -> Observation {
    let (places, nodes) = (BTreeMap::new(), BTreeMap::new());
    let (image, hook, edges) = (Image::Unknown, HookRun::Absent, Edges::NotAsked);
    Observation { now: NOW, image, places, away_at: 0, nodes, hook, service, edges }
}

fn service(of: u64, update: Update, tasks: Vec<Task>) -> Service {
    Service { version: 8, release: Some(of), is_as_wanted: true, has_image: false, update, tasks }
}

fn task(of: u64, state: TaskState) -> Task {
    let error = if matches!(state, TaskState::Pending { .. }) { "no suitable node" } else { "" };
    Task { release: Some(of), state, is_wanted: true, error: error.to_owned(), log: Vec::new() }
}

/// Release 2, whose service was changed when it was of release 1.
fn updating() -> Release {
    let progress = Progress::Updating { base: Some(5), previous: Some(1) };
    Release { progress, ..release(2, Behaviour::Good) }
}

fn failure_of(step: Step) -> Failure {
    match step {
        Step::NoteBack { to: Some(1), outcome: Outcome::RolledBack, failure: Some(failure) } => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_swarm_that_went_back_without_a_word_is_not_called_late() {
    for (of, update, words) in [
        (1, Update::RollingBack, "the Swarm has put the release before back"),
        (1, Update::RolledBack, "the Swarm has put the release before back"),
        (2, Update::Paused, "the Swarm has stopped replacing tasks"),
    ] {
        let failure = failure_of(next(&updating(), &observed(Some(service(of, update, Vec::new())))));
        assert_eq!(failure.class, FailureClass::Exits);
        assert!(failure.reason.starts_with(words) && failure.reason.ends_with("no task says why"), "{failure:?}");
        assert!(failure.remedy.contains("futuswarm logs hello --previous"), "{failure:?}");
    }
}

#[test]
fn what_was_not_done_in_time_is_told_what_gives_it_more() {
    let release = updating();
    let late = Observation { now: release.deadline, ..observed(Some(service(2, Update::Updating, Vec::new()))) };
    let Step::NoteBack { failure: Some(failure), .. } = next(&release, &late) else { panic!() };
    assert_eq!(failure.reason, "it was not done after 300 s: nothing says what it waited for");
    assert!(failure.remedy.contains("under `[health]`") && !failure.remedy.contains("--wait"), "{failure:?}");
}

#[test]
fn tasks_that_were_stopped_from_outside_say_nothing_of_their_release() {
    let stopped = || Task { is_wanted: false, ..task(2, TaskState::Stopped { since: START }) };
    let service = service(2, Update::Updating, (0..5).map(|_| stopped()).collect());
    assert!(matches!(next(&updating(), &observed(Some(service))), Step::Wait { .. }));
}

#[test]
fn a_program_that_ends_with_0_is_told_whether_or_not_the_swarm_wants_its_task() {
    for is_wanted in [false, true] {
        let ended = TaskState::Ended { code: Some(0), out_of_memory: false, unhealthy: None };
        let service = service(1, Update::RollingBack, vec![Task { is_wanted, ..task(2, ended) }]);
        let failure = failure_of(next(&updating(), &observed(Some(service))));
        assert!(failure.reason.contains("ended with the code 0"), "{failure:?}");
    }
}

#[test]
fn a_hook_that_is_late_tells_its_last_lines() {
    let mut release = release(2, Behaviour::Good);
    release.digest = Some("sha256:1".to_owned());
    let mut observed = observed(None);
    observed.places.insert("a".to_owned(), Place::default());
    observed.nodes.insert("a".to_owned(), Pull::Done);
    observed.hook = HookRun::Running { since: NOW - 20_000, log: vec!["waits for a lock".to_owned()] };
    let Step::End { outcome: Outcome::Failed, failure: Some(failure) } = next(&release, &observed) else { panic!() };
    assert_eq!((failure.class, failure.log), (FailureClass::ReleaseHook, vec!["waits for a lock".to_owned()]));
}

fn place(away: Option<Away>, lacks: &[&str], memory: u64) -> Place {
    let lacks = lacks.iter().map(|label| (*label).to_owned()).collect();
    Place { away, lacks, memory: memory << 20, free: None }
}

/// Release 2, whose image is known, and which asks for these labels and so many MiB.
fn asking(labels: &[(&str, &str)], memory: u64) -> Release {
    let mut release = release(2, Behaviour::Good);
    release.settings.placement =
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    release.settings.memory = memory << 20;
    release.digest = Some("sha256:1".to_owned());
    release.deadline = NOW + 1;
    release
}

fn on(nodes: &[(&str, Place)]) -> Observation {
    let places = nodes.iter().map(|(name, place)| ((*name).to_owned(), place.clone())).collect();
    Observation { places, ..observed(None) }
}

/// Why no node will ever fit a release that asks for these labels and so many MiB.
fn unfit(labels: &[(&str, &str)], memory: u64, nodes: &[(&str, Place)]) -> Option<String> {
    match next(&asking(labels, memory), &on(nodes)) {
        Step::End { outcome: Outcome::Failed, failure: Some(failure) } => {
            assert_eq!(failure.class, FailureClass::NoNode);
            Some(failure.reason)
        }
        _ => None,
    }
}

#[test]
fn what_no_node_fits_is_told_with_the_label_or_the_nodes_that_are_away() {
    let labels = [("disk", "ssd"), ("zone", "a")];
    let nodes = [("i-1", place(None, &["disk=ssd"], 4096)), ("i-2", place(None, &["disk=ssd", "zone=a"], 4096))];
    let said = unfit(&labels, 512, &nodes).unwrap();
    assert_eq!(said, "no node has the label disk=ssd that the app asks for");
    let nodes = [("i-1", place(None, &["disk=ssd"], 4096)), ("i-2", place(None, &["zone=a"], 4096))];
    let said = unfit(&labels, 512, &nodes).unwrap();
    assert_eq!(said, "no node has all of the labels that the app asks for: disk=ssd, zone=a");
    let away = [("i-1", place(Some(Away::Drained), &[], 4096)), ("i-2", place(Some(Away::Paused), &[], 4096))];
    let said = unfit(&[], 512, &away).unwrap();
    assert_eq!(said, "all nodes that may run tasks of the app take none now: i-1 is drained, i-2 is paused");
    let nodes = [("i-1", place(None, &["disk=ssd"], 4096)), ("i-2", place(Some(Away::Paused), &[], 4096))];
    let said = unfit(&labels[..1], 512, &nodes).unwrap();
    assert_eq!(said, "all nodes that may run tasks of the app take none now: i-2 is paused");
    assert_eq!(unfit(&[], 512, &[]).unwrap(), "the Swarm has no node");
    // A node that is away has its labels all the same.
    let nodes = [("i-1", place(Some(Away::Unknown), &["disk=ssd"], 4096))];
    let said = unfit(&labels[..1], 512, &nodes).unwrap();
    assert_eq!(said, "no node has the label disk=ssd that the app asks for");
}

#[test]
fn nodes_that_may_return_are_waited_for_until_the_deadline() {
    for away in [Away::Down, Away::Disconnected, Away::Unknown] {
        let nodes = [
            ("i-1", place(Some(away), &[], 4096)),
            ("i-2", place(Some(Away::Drained), &[], 4096)),
            ("i-3", place(None, &["disk=ssd"], 4096)),
        ];
        let mut observed = on(&nodes);
        // The hook that runs there goes on.
        observed.hook = HookRun::Running { since: START, log: Vec::new() };
        let release = asking(&[("disk", "ssd")], 512);
        let words = format!("all nodes that may run tasks of the app take none now: i-1 is {away}, i-2 is drained");
        assert_eq!(next(&release, &observed), Step::Wait { why: words.clone() });
        observed.now = release.deadline;
        let Step::End { outcome: Outcome::TimedOut, failure: Some(failure) } = next(&release, &observed) else {
            panic!("{away}")
        };
        assert!(failure.class == FailureClass::NoNode && failure.reason.ends_with(&words), "{failure:?}");
        // What is too large for all of them, too, is waited for by nobody.
        let small = [("i-1", place(Some(away), &[], 4096)), ("i-2", place(None, &[], 2048))];
        assert!(unfit(&[], 8192, &small).unwrap().ends_with("have i-1 4096 MiB, i-2 2048 MiB"));
        assert_eq!(unfit(&[], 4096, &small), None, "the one that is away is large enough");
    }
}

#[test]
fn nothing_has_waited_for_a_node_for_too_long_while_one_may_return() {
    let hook = |away, away_at| {
        let mut observed = on(&[("i-1", place(None, &[], 4096)), ("i-2", place(away, &[], 4096))]);
        observed.nodes.insert("i-1".to_owned(), Pull::Done);
        observed.hook = HookRun::Waiting { since: NOW - UNPLACED, error: "no suitable node".to_owned() };
        observed.away_at = away_at;
        let tasks = vec![task(2, TaskState::Pending { since: NOW - UNPLACED })];
        let fails = places::waits(&updating(), &observed, &service(2, Update::Updating, tasks)).is_some();
        assert_eq!(matches!(next(&asking(&[], 512), &observed), Step::End { .. }), fails);
        fails
    };
    assert!(hook(None, 0) && hook(Some(Away::Drained), NOW - UNPLACED));
    assert!(!hook(None, NOW - UNPLACED + 1), "the Swarm needs a moment for one that came back");
    for away in [Away::Down, Away::Disconnected, Away::Unknown] {
        assert!(!hook(Some(away), 0), "{away}");
    }
}

#[test]
fn what_is_larger_than_every_node_is_told_at_once_with_what_they_have() {
    let nodes: Vec<(String, Place)> = (0..12).map(|at| (format!("i-{at:02}"), place(None, &[], 4096))).collect();
    let nodes: Vec<(&str, Place)> = nodes.iter().map(|(name, place)| (name.as_str(), place.clone())).collect();
    let said = unfit(&[], 200 << 10, &nodes).unwrap();
    assert!(said.contains("a task reserves 204800 MiB") && said.contains("i-00 4096 MiB, i-01 4096 MiB"), "{said}");
    assert!(said.ends_with("and 2 more"), "{said}");
    assert_eq!(unfit(&[], 4096, &nodes), None);
    // A larger one that takes no tasks is of no use, and one that has not said its size may be large enough.
    let away = [("i-1", place(None, &[], 4096)), ("i-2", place(Some(Away::Drained), &[], 8192))];
    assert!(unfit(&[], 8192, &away).unwrap().ends_with("and are large enough take none now: i-2 is drained"));
    assert_eq!(unfit(&[], 8192, &[("i-1", place(None, &[], 0))]), None);
}

#[test]
fn a_task_waits_for_a_node_as_long_as_something_stops_and_five_minutes_more() {
    let pending = |since| task(2, TaskState::Pending { since });
    let waits = |tasks| places::waits(&updating(), &observed(None), &service(2, Update::Updating, tasks));
    let (early, late) = (NOW - 2 * UNPLACED, NOW - UNPLACED);
    let failure = waits(vec![pending(late)]).unwrap();
    assert_eq!(
        (failure.class, failure.reason.as_str()),
        (FailureClass::NoNode, "no node can run a task: no suitable node")
    );
    assert_eq!(waits(vec![pending(late + 1)]), None);
    assert_eq!(waits(vec![task(1, TaskState::Pending { since: early })]), None, "of another release");
    let silent = Task { error: String::new(), ..pending(early) };
    assert_eq!(waits(vec![silent]), None, "the Swarm has not looked for a node yet");
    let old = TaskState::Running { since: START, healthy: Some(true), answer: String::new() };
    let stops = Task { is_wanted: false, ..task(1, old.clone()) };
    assert_eq!(waits(vec![pending(early), stops]), None, "its memory is not free yet");
    let stopped = |since| Task { is_wanted: false, ..task(1, TaskState::Stopped { since }) };
    assert_eq!(waits(vec![pending(early), stopped(late + 1)]), None);
    assert!(waits(vec![pending(early), stopped(late)]).is_some());
    let beside = waits(vec![pending(early), task(1, old)]).unwrap();
    assert!(beside.remedy.contains("stop-first"), "{beside:?}");
}

#[test]
fn where_a_program_listens_instead_is_told_with_what_to_do_about_it() {
    let everywhere = "listen on all addresses (0.0.0.0 or ::), at the port 8000";
    let other = "say `port = 3000` in app.toml, or let the program listen at 8000, which $PORT says";
    let nothing = "for one that is not meant to listen say `[health]` and `runs = \"5s\"`";
    for (said, remedy) in [
        ("nothing listens there; it listens at port 3000", other),
        ("nothing listens there; it listens at port 3000 and port 9090", other),
        ("it listens at 127.0.0.1 only, where nobody else reaches it", everywhere),
        ("nothing listens there; it listens at 127.0.0.1:3000 only, where nobody else reaches it", everywhere),
        ("nothing listens there, nor at any other port", nothing),
        ("nothing listens there", nothing),
    ] {
        let answer = format!("connect 10.0.3.7:8000: connection refused: {said}");
        let running = TaskState::Running { since: START, healthy: Some(false), answer: answer.clone() };
        let ended = TaskState::Ended { code: Some(137), out_of_memory: false, unhealthy: Some(answer.clone()) };
        for state in [running, ended] {
            let service = service(2, Update::Paused, vec![task(2, state)]);
            let failure = failure_of(next(&updating(), &observed(Some(service))));
            assert_eq!(failure.class, FailureClass::Port, "{failure:?}");
            assert!(failure.reason.ends_with(&answer) && failure.remedy.contains(remedy), "{failure:?}");
        }
    }
    let probe = include_str!("../../../../probe/src/listen.rs");
    for words in [failure::ELSEWHERE, failure::ALONE] {
        assert!(probe.contains(words), "the probe does not say {words:?}");
    }
}

#[test]
fn a_task_with_a_check_is_healthy_when_that_says_so_and_not_before() {
    let timing = Timing { interval: 5, timeout: 3, retries: 3, start: 60 };
    let checks = [Health::Port { timing, or_image: true }, Health::Port { timing, or_image: false }, Health::Image];
    for (health, unknown) in checks.map(|check| (check, false)).into_iter().chain([(Health::Runs { seconds: 5 }, true)])
    {
        let mut release = release(2, Behaviour::Good);
        release.settings.health = health;
        let says = |healthy| {
            let task = task(2, TaskState::Running { since: START, healthy, answer: String::new() });
            is_healthy(&release, &task, 2, NOW)
        };
        assert_eq!([None, Some(false), Some(true)].map(says), [unknown, false, true], "{:?}", release.settings.health);
    }
}

#[test]
fn the_image_is_looked_for_before_it_is_known_whether_it_has_a_check_of_its_own() {
    let mut release = release(2, Behaviour::Good);
    release.settings.health = defaults().health;
    let next_of = |release: &Release, image| next(release, &Observation { image, ..observed(None) });
    // Also of a digest that was noted when nobody asked for that yet.
    for digest in [None, Some("sha256:1".to_owned())] {
        release.digest = digest;
        assert_eq!(next_of(&release, Image::Unknown), Step::FindImage);
        for has_health_check in [false, true] {
            let found = Image::Present { digest: "sha256:1".to_owned(), has_health_check };
            let noted = Step::NoteDigest { digest: "sha256:1".to_owned(), has_health_check };
            assert_eq!(next_of(&release, found), noted);
        }
    }
    let Step::End { failure: Some(failure), .. } = next_of(&release, Image::Missing) else { panic!() };
    assert!(failure.reason.contains("not in the registry any more"), "{failure:?}");
    release.has_health_check = Some(false);
    assert!(!matches!(next_of(&release, Image::Unknown), Step::FindImage | Step::NoteDigest { .. }));
}
