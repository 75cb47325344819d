//! The real agent on every node of a simulated cluster, in simulated time, through faults that a seed decides.
//!
//! `FUTUSWARM_SIMULATIONS=20000 cargo test --workspace --lib simulation -- --nocapture` plays more runs than the usual
//! 2000, and `FUTUSWARM_SEED=7` plays one, with all that happens in it.

mod checks;
mod clients;
mod cluster;
mod log;
mod plan;
mod run;

use std::path::Path;
use std::time::Instant;

use futuswarm_swarm::LocalState;
use futuswarm_swarm::fake::Defects;

use crate::decide::{Observed, Step, decide};
use run::{Report, run};

/// Defects, to show that the simulation notices them.
#[derive(Clone, Copy)]
struct Planted {
    engine: Defects,
    decide: fn(&Observed<'_>) -> Step,
    takes_refusals_for_losses: bool,
    ec2_forgets_everybody: bool,
}

const NOTHING: Planted = Planted {
    engine: Defects { joins_without_checking_the_token: false },
    decide,
    takes_refusals_for_losses: false,
    ec2_forgets_everybody: false,
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

/// The first of these seeds whose run goes wrong.
fn first_violation(planted: Planted, seeds: u64, files: &Path) -> Option<(u64, Report)> {
    let runs = (0..seeds).map(|seed| (seed, run(seed, planted, files.to_owned())));
    runs.into_iter().find(|(_, report)| !report.violations.is_empty())
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
    let (_, report) = first_violation(planted, 2000, files().path()).expect("some run notices it");
    assert!(report.violations[0].contains("joined swarm-"), "{:?}", report.violations);
}

#[test]
fn an_agent_that_founds_when_the_record_is_said_not_to_exist_is_noticed() {
    let rash = |observed: &Observed<'_>| match (observed.genesis, observed.membership.state) {
        (None, LocalState::Inactive) => Step::InitSwarm,
        _ => decide(observed),
    };
    let (_, report) = first_violation(Planted { decide: rash, ..NOTHING }, 2000, files().path()).expect("noticed");
    assert!(report.violations[0].contains("initialised swarm-"), "{:?}", report.violations);
}

#[test]
fn a_founder_that_takes_a_refusal_for_a_loss_is_noticed() {
    let planted = Planted { takes_refusals_for_losses: true, ..NOTHING };
    let (_, report) = first_violation(planted, 2000, files().path()).expect("some run notices it");
    assert!(report.violations[0].contains("left the cluster's Swarm"), "{:?}", report.violations);
}

#[test]
fn an_ec2_that_takes_the_living_for_dead_is_noticed() {
    let planted = Planted { ec2_forgets_everybody: true, ..NOTHING };
    let (_, report) = first_violation(planted, 2000, files().path()).expect("some run notices it");
    assert!(report.violations[0].contains("lives, and was demoted or removed"), "{:?}", report.violations);
}
