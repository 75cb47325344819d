//! Independent duties: each runs when it is due, in a task of its own, with its own deadline, backoff and reason.
//!
//! One that fails, hangs or is slow holds back no other.

use std::collections::HashMap;
use std::fmt::Display;
use std::time::Duration;

use futuswarm_retry::Backoff;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::Error;
use crate::supervision::panicked;

/// A run that takes longer has failed: more than the deadlines of the few calls that it makes.
const DEADLINE: Duration = Duration::from_secs(120);

/// When a duty is due, and how its last runs ended.
#[derive(Debug)]
struct Schedule {
    /// From the end of a good run to the beginning of the next.
    every: Duration,
    /// When it is due; `None` for now.
    due_at: Option<Instant>,
    running: bool,
    backoff: Backoff,
    /// Why the last run failed.
    reason: Option<String>,
}

/// Duties by their names.
#[derive(Debug)]
pub(crate) struct Duties {
    schedules: Vec<(&'static str, Schedule)>,
    runs: JoinSet<Result<(), Error>>,
    names: HashMap<Id, &'static str>,
}

impl Duties {
    /// Duties with the time from the end of a good run to the beginning of the next; all are due.
    pub(crate) fn new(duties: &[(&'static str, Duration)]) -> Self {
        let schedule =
            |every| Schedule { every, due_at: None, running: false, backoff: Backoff::default(), reason: None };
        let schedules = duties.iter().map(|(name, every)| (*name, schedule(*every))).collect();
        Self { schedules, runs: JoinSet::new(), names: HashMap::new() }
    }

    /// Notes which runs have ended, and how.
    ///
    /// # Errors
    /// When a run panicked.
    pub(crate) fn collect(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.runs.try_join_next_with_id() {
            let (id, outcome) = match ended {
                Ok((id, outcome)) => (id, outcome),
                Err(error) => return Err(panicked(self.names.remove(&error.id()).unwrap_or("a duty"), error)),
            };
            let Some(name) = self.names.remove(&id) else { continue };
            let Some((_, schedule)) = self.schedules.iter_mut().find(|(known, _)| *known == name) else { continue };
            schedule.running = false;
            let pause = match outcome {
                Ok(()) => {
                    schedule.backoff.reset();
                    schedule.reason = None;
                    schedule.every
                }
                Err(error) => {
                    let reason = error.to_string();
                    let pause = schedule.backoff.failed(name, &reason);
                    schedule.reason = Some(reason);
                    pause
                }
            };
            schedule.due_at = Some(Instant::now() + pause);
        }
        Ok(())
    }

    /// The duties that are due and do not run.
    pub(crate) fn due(&self) -> Vec<&'static str> {
        let now = Instant::now();
        let is_due = |schedule: &Schedule| !schedule.running && schedule.due_at.is_none_or(|at| at <= now);
        self.schedules.iter().filter(|(_, schedule)| is_due(schedule)).map(|(name, _)| *name).collect()
    }

    /// Starts a run of a duty.
    pub(crate) fn start(&mut self, name: &'static str, run: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let Some((_, schedule)) = self.schedules.iter_mut().find(|(known, _)| *known == name) else { return };
        schedule.running = true;
        let run = async move {
            let late = || Error::Waiting(format!("no end within {} s", DEADLINE.as_secs()));
            tokio::time::timeout(DEADLINE, run).await.map_err(|_| late())?
        };
        self.names.insert(self.runs.spawn(run).id(), name);
    }

    /// Ends every run, forgets every failure, and makes every duty due.
    pub(crate) fn reset(&mut self) {
        self.runs = JoinSet::new();
        self.names.clear();
        for (_, schedule) in &mut self.schedules {
            (schedule.due_at, schedule.running, schedule.reason) = (None, false, None);
            schedule.backoff = Backoff::default();
        }
    }

    /// The duties that fail, each with its reason, in one line.
    pub(crate) fn failing(&self) -> Option<String> {
        let failing = self.schedules.iter().filter_map(|(name, schedule)| Some(line(name, schedule.reason.as_ref()?)));
        let failing: Vec<String> = failing.collect();
        (!failing.is_empty()).then(|| failing.join("; "))
    }
}

fn line(name: &str, reason: impl Display) -> String {
    format!("{name}: {reason}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use super::*;

    const ALL: &[(&str, Duration)] =
        &[("tokens", Duration::from_secs(600)), ("labels", Duration::ZERO), ("removal", Duration::from_secs(10))];

    type Runs = Arc<Mutex<BTreeMap<&'static str, u32>>>;

    /// Rounds of three seconds for so long; `how` says what a run of a duty does.
    async fn rounds<F, Fut>(duties: &mut Duties, seconds: u64, how: F) -> Result<BTreeMap<&'static str, u32>, Error>
    where
        F: Fn(&'static str) -> Fut,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (runs, end) = (Runs::default(), Instant::now() + Duration::from_secs(seconds));
        while Instant::now() < end {
            duties.collect()?;
            for name in duties.due() {
                *runs.lock().unwrap().entry(name).or_default() += 1;
                duties.start(name, how(name));
            }
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        duties.collect()?;
        let runs = runs.lock().unwrap().clone();
        Ok(runs)
    }

    async fn outcome(fails: bool) -> Result<(), Error> {
        if fails { Err(Error::Waiting("KMS is away".to_owned())) } else { Ok(()) }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_stops_no_other_and_is_named() {
        let mut duties = Duties::new(ALL);
        let runs = rounds(&mut duties, 600, |name| outcome(name == "tokens")).await.unwrap();
        assert_eq!(duties.failing().unwrap(), "tokens: KMS is away");
        assert_eq!(runs["labels"], 200, "in every round");
        assert!((38..=60).contains(&runs["removal"]), "ten seconds after each run: {runs:?}");
        assert!((40..=200).contains(&runs["tokens"]), "again and again, with pauses of up to 15 s: {runs:?}");
        let runs = rounds(&mut duties, 600, |_| outcome(false)).await.unwrap();
        assert_eq!(duties.failing(), None);
        assert_eq!(runs["tokens"], 1, "a good run is good for ten minutes");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_stops_no_other_and_has_a_deadline() {
        let mut duties = Duties::new(ALL);
        let hangs = |name| async move {
            match name {
                "tokens" => std::future::pending().await,
                _ => Ok(()),
            }
        };
        let runs = rounds(&mut duties, 100, hangs).await.unwrap();
        assert_eq!((runs["labels"], runs["tokens"]), (34, 1));
        rounds(&mut duties, 60, hangs).await.unwrap();
        assert_eq!(duties.failing().unwrap(), "tokens: no end within 120 s");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_panics_is_an_error_and_no_silence() {
        let mut duties = Duties::new(ALL);
        let panics = |name| async move {
            assert_ne!(name, "removal", "a defect");
            Ok(())
        };
        let error = rounds(&mut duties, 30, panics).await.unwrap_err().to_string();
        assert!(error.starts_with("removal has ended: it panicked: ") && error.contains("a defect"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leads_no_more_ends_what_runs_and_begins_again() {
        let mut duties = Duties::new(ALL);
        let hangs = |_| std::future::pending();
        rounds(&mut duties, 9, hangs).await.unwrap();
        assert!(duties.due().is_empty());
        duties.reset();
        assert_eq!(duties.due(), ["tokens", "labels", "removal"]);
        tokio::task::yield_now().await;
        duties.collect().unwrap();
        assert_eq!(duties.failing(), None, "what was ended has not failed");
    }
}
