//! What `docs/operations.md` promises about failures, in virtual machines: the death of managers, outages of KMS and S3, answers
//! that are lost while a Swarm is founded, and a cluster that is deployed again over the bucket of the last one.
//!
//! The first of them takes an hour. To work on a part of it, keep its cluster: with `FUTUSWARM_TESTS_KEEP=FOLDER` (a short path
//! outside of other state folders) the cluster stays there when the test ends, and the next run with the same folder and
//! `FUTUSWARM_FAILURES_FROM=PART` begins with that part on it: `founding` (as always), `manager`, `leader` or `s3`.
#![expect(clippy::print_stderr, reason = "how long each failure lasted is a result of the test, too")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futuswarm_local_api::faults::Progress;
use futuswarm_testkit::{Account, Cluster, get};
use serde_json::{Value, json};

/// Three emulated machines take two minutes to be Ready on two idle cores, and more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
/// An outage that S3 has had.
const OUTAGE: Duration = Duration::from_secs(600);
/// The longest time without an answer of the page while a node dies: it is taken out of the balancer, and its tasks start elsewhere.
const DEATH_GAP: Duration = Duration::from_secs(90);
/// And while only a service of AWS is away: nothing that serves requests needs it.
const OUTAGE_GAP: Duration = Duration::from_secs(10);

/// Names the part of `managers_die…` to begin with.
const FROM_VARIABLE: &str = "FUTUSWARM_FAILURES_FROM";
/// Its parts, in their order.
const PARTS: [&str; 4] = ["founding", "manager", "leader", "s3"];

/// Asks for the page all the time.
struct Visitor {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<Instant>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Visitor {
    fn of(url: String) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ends, notes) = (Arc::clone(&stop), Arc::clone(&answered));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                if get(&url).is_ok_and(|page| page.starts_with("HTTP/1.1 200") && page.contains("Futuswarm")) {
                    notes.lock().unwrap().push(Instant::now());
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self { stop, answered, thread: Some(thread) }
    }

    /// The longest time without an answer since `start`.
    fn longest_gap(&self, start: Instant) -> Duration {
        let answered = self.answered.lock().unwrap();
        let mut last = start;
        let mut longest = Duration::ZERO;
        for at in answered.iter().filter(|at| **at > start).copied().chain([Instant::now()]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ended = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// What docker says on a node; nothing while the node cannot be asked.
fn docker(cluster: &Cluster, node: &str, words: &[&str]) -> Option<String> {
    let output = cluster.xtask(&[&["ssh", node, "--", "sudo", "docker"], words].concat());
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Instance → manager status, of every node in the Swarm's list.
fn listed(cluster: &Cluster, node: &str) -> Option<Vec<(String, String)>> {
    let text = docker(cluster, node, &["node", "ls", "--format", "{{.Hostname}}/{{.ManagerStatus}}/{{.Status}}"])?;
    text.lines()
        .map(|line| {
            let mut words = line.split('/');
            let (name, manager, state) = (words.next()?, words.next()?, words.next()?);
            Some((name.to_owned(), if manager.is_empty() { state.to_owned() } else { manager.to_owned() }))
        })
        .collect()
}

fn leader(cluster: &Cluster, asked: &str) -> String {
    let mut leader = None;
    cluster.wait("a leader", PATIENCE, || {
        leader = listed(cluster, asked).and_then(|nodes| nodes.into_iter().find(|(_, status)| status == "Leader"));
        leader.is_some()
    });
    leader.expect("a leader").0
}

fn of_role(status: &Value, role: &str) -> Vec<String> {
    let nodes = status["nodes"].as_array().expect("nodes").iter();
    let ours = nodes.filter(|node| node["role"] == role);
    ours.map(|node| node["instance"].as_str().expect("an id").to_owned()).collect()
}

fn faults(cluster: &Cluster, faults: &Value) {
    cluster.local(&["api-faults", &faults.to_string()]);
}

fn hits(cluster: &Cluster) -> u32 {
    let progress: Progress = serde_json::from_str(&cluster.local(&["api-faults"])).expect("progress is JSON");
    progress.all.hit
}

/// Waits until all four nodes are Ready and in the Swarm, with one leader and two that could be, and the dead one is forgotten.
fn is_whole_again(cluster: &Cluster, dead: &str) {
    cluster.wait("four nodes that are ready", PATIENCE, || {
        let ready = cluster.ready();
        ready.len() == 4 && !ready.iter().any(|node| node == dead)
    });
    let asked = of_role(&cluster.status(), "manager").remove(0);
    cluster.wait("a leader, two reachable managers and a worker, and nobody else", PATIENCE, || {
        let Some(nodes) = listed(cluster, &asked) else { return false };
        let mut states: Vec<&str> = nodes.iter().map(|(_, state)| state.as_str()).collect();
        states.sort_unstable();
        states == ["Leader", "Reachable", "Reachable", "Ready"] && nodes.iter().all(|(name, _)| name != dead)
    });
}

#[test]
#[ignore = "boots four virtual machines for an hour: `cargo xtask test --long` runs it"]
fn managers_die_and_services_of_aws_fail() {
    let from = std::env::var(FROM_VARIABLE).unwrap_or_else(|_| PARTS[0].to_owned());
    let from = PARTS.iter().position(|part| *part == from).unwrap_or_else(|| panic!("{from} is none of {PARTS:?}"));
    let cluster = Cluster::of("local-failures");
    if from == 0 {
        cluster.must(&["destroy-cluster"]);
        cluster.local(&["up"]);
        founded_once_while_answers_are_lost_and_objects_denied(&cluster);
    } else {
        faults(&cluster, &json!([]));
        is_whole_again(&cluster, "nobody");
    }
    let url = cluster.status()["url"].as_str().expect("a URL").to_owned();
    cluster.wait("the page, ten times in a row", PATIENCE, || (0..10).all(|_| get(&url).is_ok()));
    let visitor = Visitor::of(url);
    for part in [one_of_three_managers_dies, the_leader_dies_while_kms_is_away, s3_is_away_for_ten_minutes]
        .into_iter()
        .skip(from.saturating_sub(1))
    {
        part(&cluster, &visitor);
    }
}

fn founded_once_while_answers_are_lost_and_objects_denied(cluster: &Cluster) {
    let genesis = "cluster/genesis";
    faults(
        cluster,
        &json!([
            { "fault": { "kind": "lost" }, "action": "PutObject", "path": genesis, "caller": "node", "every": 2, "count": 3 },
            { "fault": { "kind": "absent" }, "path": genesis, "caller": "node", "every": 3, "count": 300 },
        ]),
    );
    cluster.must(&["deploy-cluster"]);
    assert!(hits(cluster) > 10, "the faults were met");
    faults(cluster, &json!([]));
    is_whole_again(cluster, "nobody");
    let nodes = cluster.ready();
    let said = |words: &str| nodes.iter().map(|node| cluster.console(node).matches(words).count()).sum::<usize>();
    assert_eq!(said("genesis: the Swarm is founded"), 1);
    assert_eq!(said("leaves the Swarm"), 0);
}

fn one_of_three_managers_dies(cluster: &Cluster, visitor: &Visitor) {
    let managers = of_role(&cluster.status(), "manager");
    let leads = leader(cluster, &managers[0]);
    let victim = managers.iter().find(|manager| **manager != leads).expect("one that does not lead");
    let started = Instant::now();
    cluster.must(&["chaos", "kill", victim]);
    is_whole_again(cluster, victim);
    assert_eq!(leader(cluster, &leads), leads, "the leader stays");
    // Demoted first: raft would count it for ever.
    assert!(cluster.console(&leads).contains("demoted a manager whose instance is gone"), "the leader says so");
    let gap = visitor.longest_gap(started);
    eprintln!("one of three managers died: whole again after {:?}, longest gap {gap:?}", started.elapsed());
    assert!(gap < DEATH_GAP, "{gap:?} without an answer");
}

fn the_leader_dies_while_kms_is_away(cluster: &Cluster, visitor: &Visitor) {
    let managers = of_role(&cluster.status(), "manager");
    let dead = leader(cluster, &managers[0]);
    let left = managers.iter().find(|manager| **manager != dead).expect("another manager");
    let started = Instant::now();
    faults(
        cluster,
        &json!([{ "fault": { "kind": "internal" }, "service": "kms", "caller": "node", "count": 1_000_000 }]),
    );
    cluster.must(&["chaos", "kill", &dead]);
    let leads = {
        let mut leads = dead.clone();
        cluster.wait("another leader", PATIENCE, || {
            let nodes = listed(cluster, left).unwrap_or_default();
            leads = nodes.into_iter().find(|(_, state)| state == "Leader").map_or(leads.clone(), |(name, _)| name);
            leads != dead
        });
        leads
    };
    // Its duty about tokens fails; all others are done.
    cluster.wait("the removal of the dead leader while KMS is away", PATIENCE, || {
        listed(cluster, left).is_some_and(|nodes| nodes.iter().all(|(name, _)| *name != dead))
    });
    let reason = |status: &Value, node: &str| {
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        let node = nodes.filter(|one| one["instance"] == node).map(|one| one["reason"].clone()).next();
        node.and_then(|reason| reason.as_str().map(str::to_owned)).unwrap_or_default()
    };
    cluster.wait("the leader's word about the duty that fails", PATIENCE, || {
        let status = cluster.status();
        let ready = cluster.ready().contains(&leads);
        ready && reason(&status, &leads).contains("join tokens: ")
    });
    cluster.wait("the replacement's word about why it waits", PATIENCE, || {
        let status = cluster.status();
        let new = of_role(&status, "manager").into_iter().find(|manager| !managers.contains(manager));
        new.is_some_and(|new| reason(&status, &new).contains("Decrypt"))
    });
    assert_eq!(cluster.ready().len(), 3, "nobody joins without KMS");
    faults(cluster, &json!([]));
    is_whole_again(cluster, &dead);
    cluster.wait("the end of the leader's complaint", PATIENCE, || reason(&cluster.status(), &leads).is_empty());
    let gap = visitor.longest_gap(started);
    eprintln!("the leader died while KMS was away: whole again after {:?}, longest gap {gap:?}", started.elapsed());
    assert!(gap < DEATH_GAP, "{gap:?} without an answer");
}

/// What must not change while only S3 is away.
fn unchanged(cluster: &Cluster, node: &str) -> Option<[String; 4]> {
    let mut nodes = docker(cluster, node, &["node", "ls", "--quiet"])?.lines().map(str::to_owned).collect::<Vec<_>>();
    nodes.sort();
    let tasks = docker(cluster, node, &["service", "ps", "mainpage", "--quiet", "--filter", "desired-state=running"])?;
    let mut tasks: Vec<&str> = tasks.lines().collect();
    tasks.sort_unstable();
    Some([
        docker(cluster, node, &["info", "--format", "{{.Swarm.Cluster.ID}}"])?,
        docker(cluster, node, &["inspect", "--format", "{{.State.StartedAt}}", "futuswarm-edge"])?,
        nodes.join(" "),
        tasks.join(" "),
    ])
}

fn s3_is_away_for_ten_minutes(cluster: &Cluster, visitor: &Visitor) {
    let before = cluster.ready();
    let asked = of_role(&cluster.status(), "manager").remove(0);
    let state = unchanged(cluster, &asked).expect("a node that can be asked");
    faults(
        cluster,
        &json!([{ "fault": { "kind": "internal" }, "service": "s3", "caller": "node", "count": 1_000_000 }]),
    );
    let started = Instant::now();
    let mut looks = 0;
    while started.elapsed() < OUTAGE {
        std::thread::sleep(Duration::from_secs(30));
        if let Some(now) = unchanged(cluster, &asked) {
            assert_eq!(now, state, "{:?} into the outage", started.elapsed());
            looks += 1;
        }
    }
    assert!(looks > 5, "the manager could be asked");
    assert!(hits(cluster) > 100, "agents go on asking");
    assert_eq!(cluster.ready(), Vec::<String>::new(), "nobody is counted as ready on the word of old heartbeats");
    let gap = visitor.longest_gap(started);
    assert!(gap < OUTAGE_GAP, "{gap:?} without an answer while only S3 is away");
    let ended = Instant::now();
    faults(cluster, &json!([]));
    cluster.wait("the same nodes, ready again", Duration::from_secs(180), || {
        let mut ready = cluster.ready();
        let mut before = before.clone();
        ready.sort();
        before.sort();
        ready == before
    });
    eprintln!("S3 was away for {OUTAGE:?}: longest gap {gap:?}, ready again {:?} after it", ended.elapsed());
    assert_eq!(unchanged(cluster, &asked).expect("a node that can be asked"), state);
}

#[test]
#[ignore = "boots virtual machines three times: `cargo xtask test --long` runs it"]
fn a_cluster_that_is_deployed_again_over_its_bucket_is_founded_anew() {
    let cluster = Cluster::of("local-lives");
    cluster.must(&["destroy-cluster"]);
    cluster.local(&["up"]);
    // Of one manager, the first and third write are claim and confirmation; what follows each is the SDK's second attempt.
    let lost = json!([{ "fault": { "kind": "lost" }, "action": "PutObject", "path": "cluster/genesis", "caller": "node",
        "every": 2, "count": 2 }]);
    faults(&cluster, &lost);
    cluster.must(&["deploy-cluster"]);
    assert_eq!(hits(&cluster), 2, "both answers were lost");
    faults(&cluster, &json!([]));
    let (first, worker) = (of_role(&cluster.status(), "manager"), of_role(&cluster.status(), "worker"));
    assert!(!cluster.console(&first[0]).contains("leaves the Swarm"), "a lost answer is no lost claim");
    let swarm_of = |manager: &str| docker(&cluster, manager, &["info", "--format", "{{.Swarm.Cluster.ID}}"]);
    let mut swarms = vec![];
    cluster.wait("the first Swarm's id", PATIENCE, || {
        swarms.extend(swarm_of(&first[0]));
        !swarms.is_empty()
    });
    let account = Account::of(cluster);
    let cluster = account.cluster();

    // A destroy that was killed when the managers were gone and the workers were not.
    let group = "futuswarm-local-lives-managers";
    let unprotected =
        json!({ "AutoScalingGroupName": group, "InstanceIds": [first[0]], "ProtectedFromScaleIn": false });
    let gone = account.call(&json!([
        ["autoscaling", null, "set_instance_protection", unprotected],
        ["autoscaling", null, "delete_auto_scaling_group", { "AutoScalingGroupName": group, "ForceDelete": true }]
    ]));
    assert!(gone.iter().all(|outcome| outcome["error"].is_null()), "{gone:?}");
    cluster.wait("the end of the manager", PATIENCE, || !of_role(&cluster.status(), "manager").contains(&first[0]));
    cluster.must(&["deploy-cluster"]);
    let second = of_role(&cluster.status(), "manager");
    assert_ne!(second, first);
    founded_anew(cluster, &second[0], 2, &mut swarms);
    assert_eq!(of_role(&cluster.status(), "worker"), worker, "the worker lives on");
    assert!(cluster.console(&worker[0]).contains("leaves the Swarm"), "and has moved");

    // A destroy that keeps the data, to its end.
    account.must_provision(&["destroy", "--yes"]);
    cluster
        .wait("the end of all machines", PATIENCE, || cluster.status()["nodes"].as_array().is_some_and(Vec::is_empty));
    cluster.must(&["deploy-cluster"]);
    let third = of_role(&cluster.status(), "manager");
    founded_anew(cluster, &third[0], 3, &mut swarms);
}

/// Both nodes are in one Swarm that was not there before, the page is served, and the manager has claimed this epoch.
fn founded_anew(cluster: &Cluster, manager: &str, epoch: u64, swarms: &mut Vec<String>) {
    cluster.wait("two nodes that are ready", PATIENCE, || cluster.ready().len() == 2);
    cluster.wait("both nodes in the Swarm", PATIENCE, || {
        let nodes = listed(cluster, manager).unwrap_or_default();
        let mut states: Vec<&str> = nodes.iter().map(|(_, state)| state.as_str()).collect();
        states.sort_unstable();
        states == ["Leader", "Ready"]
    });
    let swarm = docker(cluster, manager, &["info", "--format", "{{.Swarm.Cluster.ID}}"]).expect("the Swarm's id");
    assert!(!swarms.contains(&swarm), "{swarm} is another than {swarms:?}");
    swarms.push(swarm);
    let claimed = format!("the claim to found the Swarm won=true epoch={epoch}");
    assert!(cluster.console(manager).contains(&claimed), "{}", cluster.console(manager));
    let url = cluster.status()["url"].as_str().expect("a URL").to_owned();
    cluster.wait("the page, from every edge", PATIENCE, || {
        (0..6).all(|_| get(&url).is_ok_and(|page| page.starts_with("HTTP/1.1 200") && page.contains("Futuswarm")))
    });
}
