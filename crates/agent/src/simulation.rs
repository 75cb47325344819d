//! The real agent on every node of a simulated cluster, in simulated time, through faults that a seed decides.
//!
//! `FUTUSWARM_SIMULATIONS=20000 cargo test --workspace --lib simulation -- --nocapture` plays more runs than the usual
//! 2000, and `FUTUSWARM_SEED=7` plays one, with all that happens in it.

mod checks;
mod clients;
mod cluster;
mod iam;
mod log;
mod plan;
mod run;

use std::collections::BTreeSet;
use std::time::Instant;

use futuswarm_model::Role;
use futuswarm_swarm::LocalState;
use futuswarm_swarm::fake::Defects;

use crate::decide::{Observed, Step, decide};
use run::{Report, run};

/// Defects, to show that the simulation notices them.
#[derive(Debug, Clone, Copy)]
struct Planted {
    engine: Defects,
    decide: Option<fn(&Observed<'_>, &Surroundings<'_>) -> Step>,
    takes_refusals_for_losses: bool,
    takes_every_manager_for_ours: bool,
    ec2_forgets_everybody: bool,
    edges_are_not_stopped: bool,
    names_are_not_changed: bool,
}

/// What a planted decision may go by beside what the agent has observed.
struct Surroundings<'a> {
    /// The node's wall clock, in milliseconds since 1970.
    now: u64,
    living: &'a BTreeSet<String>,
    /// Whether the run's faults have been over for so long that the cluster is as it should be.
    calm: bool,
}

const NOTHING: Planted = Planted {
    engine: Defects { joins_without_checking_the_token: false },
    decide: None,
    takes_refusals_for_losses: false,
    takes_every_manager_for_ours: false,
    ec2_forgets_everybody: false,
    edges_are_not_stopped: false,
    names_are_not_changed: false,
};

/// The image's list of containers, which the leader reads.
fn files() -> tempfile::TempDir {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("index.json"), r#"{"mainpage":"futuswarm/mainpage:1"}"#).unwrap();
    std::fs::create_dir(files.path().join("run")).unwrap();
    files
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

fn story(seed: u64, report: &Report) -> String {
    let lines = report.log.lines();
    let last = lines.len().saturating_sub(if number("FUTUSWARM_SEED").is_some() { usize::MAX } else { 60 });
    format!(
        "seed {seed}: {:#?}\n{}\n{}\nreplay: FUTUSWARM_SEED={seed} cargo test --workspace --lib simulation::the_agents -- --nocapture",
        report.plan,
        lines[last..].join("\n"),
        report.violations.join("\n")
    )
}

/// Plays runs until each of these has been the first that was wrong with one.
fn assert_noticed(planted: Planted, expected: &[&str]) {
    let (files, mut missing) = (files(), expected.to_vec());
    for seed in 0..2000 {
        let report = run(seed, planted, files.path().to_owned());
        let Some(first) = report.violations.first() else { continue };
        let before = missing.len();
        missing.retain(|what| !first.contains(what));
        if missing.len() < before {
            futuswarm_output::println!("seed {seed}: {first}");
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("no run of 2000 notices {missing:?}");
}

#[test]
fn the_agents_make_one_swarm_of_every_cluster() {
    let files = files();
    if let Some(seed) = number("FUTUSWARM_SEED") {
        let report = run(seed, NOTHING, files.path().to_owned());
        assert!(report.violations.is_empty(), "{}", story(seed, &report));
        futuswarm_output::println!("{}", story(seed, &report));
        return;
    }
    let runs = number("FUTUSWARM_SIMULATIONS").unwrap_or(2000);
    let (start, mut lost, mut simulated, mut failed) = (Instant::now(), 0, 0, Vec::new());
    for seed in 0..runs {
        let report = run(seed, NOTHING, files.path().to_owned());
        lost += u64::from(report.lost);
        simulated += report.simulated.as_secs();
        if !report.violations.is_empty() {
            failed.push((seed, report));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    futuswarm_output::println!(
        "{runs} runs in {seconds:.1} s, {:.0} a second; {lost} ended without a majority; {} h of simulated time",
        runs as f64 / seconds,
        simulated / 3600
    );
    if let Some((seed, report)) = failed.first() {
        let all = failed.iter().map(|(seed, report)| format!("seed {seed}: {}", report.violations[0]));
        panic!("{}\n{} runs went wrong:\n{}", story(*seed, report), failed.len(), all.collect::<Vec<_>>().join("\n"));
    }
    assert!(lost * 4 < runs, "most of the runs must be about clusters that come through: {lost} did not");
}

#[test]
fn a_seed_is_one_story() {
    let files = files();
    for seed in 0..20 {
        let (first, second) =
            (run(seed, NOTHING, files.path().to_owned()), run(seed, NOTHING, files.path().to_owned()));
        assert_eq!(first.log.digest(), second.log.digest(), "seed {seed}: {}", difference(&first, &second));
    }
    let other = run(20, NOTHING, files.path().to_owned());
    assert_ne!(run(0, NOTHING, files.path().to_owned()).log.digest(), other.log.digest());
}

fn difference(first: &Report, second: &Report) -> String {
    let (first, second) = (first.log.lines(), second.log.lines());
    let other = first.iter().zip(&second).find(|(first, second)| first != second);
    format!("{other:?}, {} and {} lines", first.len(), second.len())
}

#[test]
fn an_engine_that_does_not_check_tokens_is_noticed() {
    let planted = Planted { engine: Defects { joins_without_checking_the_token: true }, ..NOTHING };
    assert_noticed(planted, &["joined swarm-"]);
}

#[test]
fn an_agent_that_founds_when_the_record_is_said_not_to_exist_is_noticed() {
    let rash = |observed: &Observed<'_>, _: &Surroundings<'_>| match (observed.genesis, observed.membership.state) {
        (None, LocalState::Inactive) => Step::InitSwarm,
        _ => decide(observed),
    };
    assert_noticed(Planted { decide: Some(rash), ..NOTHING }, &["initialised swarm-"]);
}

#[test]
fn an_agent_whose_loop_panics_is_noticed() {
    let planted = |observed: &Observed<'_>, _: &Surroundings<'_>| match decide(observed) {
        Step::Leave { .. } => panic!("a defect of the loop"),
        step => step,
    };
    let planted = Planted { decide: Some(planted), ..NOTHING };
    assert_noticed(planted, &["ended: the agent's loop has ended: it panicked: a defect of the loop"]);
}

/// The rule before founders were observed: the time in the record, by the observer's wall clock.
#[test]
fn claims_whose_age_wall_clocks_tell_are_noticed_when_they_look_too_old_and_too_young() {
    let by_wall_clock = |observed: &Observed<'_>, surroundings: &Surroundings<'_>| {
        let step = decide(observed);
        let (Step::AwaitGenesis, Some(record), Role::Manager) = (&step, observed.genesis, observed.node.config.role)
        else {
            return step;
        };
        let Some(founder) = &record.value.founder else { return step };
        let age = surroundings.now.saturating_sub(record.value.claimed_at) / 1000;
        if age < 30 || (age < 15 * 60 && surroundings.living.contains(founder)) {
            // As `AwaitGenesis` does without its own rule.
            return Step::AwaitEngine;
        }
        Step::Claim { open: record.clone() }
    };
    let planted = Planted { decide: Some(by_wall_clock), ..NOTHING };
    assert_noticed(planted, &["lives, and its claim was replaced", "no Swarm is confirmed"]);
}

#[test]
fn an_agent_that_leaves_a_swarm_with_its_edge_in_it_is_noticed() {
    let planted = Planted { edges_are_not_stopped: true, ..NOTHING };
    assert_noticed(planted, &["and its edge was not stopped before"]);
}

#[test]
fn an_agent_that_never_leaves_a_wrong_swarm_is_noticed() {
    let stays = |observed: &Observed<'_>, _: &Surroundings<'_>| match decide(observed) {
        Step::Leave { .. } if observed.membership.state == LocalState::Active => Step::AwaitEngine,
        step => step,
    };
    assert_noticed(Planted { decide: Some(stays), ..NOTHING }, &["is not in swarm-"]);
}

#[test]
fn an_agent_that_joins_by_the_record_of_a_manager_of_another_swarm_is_noticed() {
    let planted = Planted { takes_every_manager_for_ours: true, ..NOTHING };
    assert_noticed(planted, &["and no manager of it has said so"]);
}

#[test]
fn an_agent_that_hangs_once_it_is_ready_is_noticed() {
    let hangs = |observed: &Observed<'_>, surroundings: &Surroundings<'_>| match decide(observed) {
        // Rounds that do nothing and write nothing are all that the others see of a loop that hangs.
        Step::Serve if surroundings.calm => Step::AwaitEngine,
        step => step,
    };
    assert_noticed(Planted { decide: Some(hangs), ..NOTHING }, &["has fallen silent"]);
}

#[test]
fn a_founder_that_takes_a_refusal_for_a_loss_is_noticed() {
    let planted = Planted { takes_refusals_for_losses: true, ..NOTHING };
    assert_noticed(planted, &["left the cluster's Swarm"]);
}

#[test]
fn a_name_that_is_not_changed_is_noticed() {
    let planted = Planted { names_are_not_changed: true, ..NOTHING };
    assert_noticed(planted, &["ssh.example.com leads to"]);
}

#[test]
fn an_ec2_that_takes_the_living_for_dead_is_noticed() {
    let planted = Planted { ec2_forgets_everybody: true, ..NOTHING };
    assert_noticed(planted, &["lives, and was demoted or removed"]);
}
