//! Drives releases to their end: each manager's control service looks for releases on their way that nobody drives, takes their lease,
//! and does what `paas::rollout` says, one step after the other.
//!
//! Everything that has to be known to carry on is in the app's record and in the Swarm. Each write of the record is a compare-and-swap
//! that checks the lease's epoch, so that a driver whose lease was taken over writes nothing more.

mod act;
mod observe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futuswarm_model::{AppRecord, Deploying, Failure, FailureClass, Outcome, Progress, Release};
use futuswarm_paas::rollout::{self, Step};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::clock::Clock as _;
use crate::desired::Content;
use crate::{Control, Error, Platform, apps, records};
pub(crate) use act::secrets;
use observe::Memory;

/// How long a driver may be silent before another takes over. Longer than any call's deadline, so that a slow call is not a death.
pub(crate) const LEASE: Duration = Duration::from_secs(90);
/// The lease is renewed when so much of it is over.
const RENEW: Duration = Duration::from_secs(30);
/// Between two observations.
const ROUND: Duration = Duration::from_millis(500);
/// Between two searches for releases that nobody drives.
const SEARCH: Duration = Duration::from_secs(10);

/// What people are told of a release on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// The release that it is about; zero before it is known.
    pub(crate) release: u64,
    pub(crate) text: String,
    pub(crate) ended: bool,
}

/// Releases that this process drives, by app.
#[derive(Debug, Default)]
pub(crate) struct Drives(Mutex<BTreeMap<String, watch::Receiver<State>>>);

impl Drives {
    /// What is said of the app's release; `None` when this process does not drive one.
    pub(crate) fn state(&self, app: &str) -> Option<watch::Receiver<State>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(app).cloned()
    }

    /// Notes that this process drives a release of the app; `None` when it does already.
    fn begin(&self, app: &str) -> Option<watch::Sender<State>> {
        let mut drives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if drives.contains_key(app) {
            return None;
        }
        let (sender, receiver) = watch::channel(State::default());
        drives.insert(app.to_owned(), receiver);
        Some(sender)
    }

    fn end(&self, app: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
    }
}

/// Looks for releases that nobody drives, for as long as the process lives.
pub(crate) async fn search<P: Platform>(control: Arc<Control<P>>) {
    loop {
        match control.records.pending().await {
            Ok(pending) => {
                for app in pending {
                    drive(&control, &app);
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for releases on their way"),
        }
        sleep(SEARCH.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

/// Drives the release of an app, in a task of its own, unless somebody does.
pub(crate) fn drive<P: Platform>(control: &Arc<Control<P>>, app: &str) {
    let Some(state) = control.drives.begin(app) else { return };
    let (control, app) = (Arc::clone(control), app.to_owned());
    tokio::spawn(async move {
        let run = Drive { control: &control, app: &app, memory: Memory::default(), content: None, state };
        if let Err(error) = run.forever().await {
            tracing::warn!(%error, app, "a release is left to whoever takes it over");
        }
        control.drives.end(&app);
    });
}

/// Why a driver stops before the end.
enum Stop {
    /// There is nothing to drive, or it is over.
    Nothing,
    /// Another driver holds the lease.
    Lost,
}

/// One driver of one app's releases.
struct Drive<'a, P: Platform> {
    control: &'a Arc<Control<P>>,
    app: &'a str,
    memory: Memory,
    /// What the release runs with: it never changes.
    content: Option<Arc<Content>>,
    state: watch::Sender<State>,
}

impl<P: Platform> Drive<'_, P> {
    async fn forever(mut self) -> Result<(), Error> {
        let Some(deploying) = self.take(self.control.clock.unix_millis()).await? else {
            return self.finish_removal().await;
        };
        let mut release = deploying.release;
        let epoch = deploying.epoch;
        tracing::info!(app = self.app, release = release.number, epoch, "drives a release");
        let mut renewed = Instant::now();
        let mut failures = 0;
        loop {
            if renewed.elapsed() >= RENEW {
                match self.note(release.number, epoch, |_| ()).await? {
                    Ok(noted) => release = noted,
                    Err(stop) => return self.stopped(&stop),
                }
                renewed = Instant::now();
            }
            // What may have been changed by others: somebody cancels.
            match self.step(&mut release, epoch).await {
                Ok(Ok(Some(()))) => failures = 0,
                Ok(Ok(None)) => {
                    self.say(release.number, "done", true);
                    return Ok(());
                }
                Ok(Err(stop)) => return self.stopped(&stop),
                // The Swarm or the bucket does not answer: the lease says for how long it is tried.
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, app = self.app, release = release.number, failures, "a step failed");
                    self.say(release.number, &format!("waits: {error}"), false);
                    if let Some(noted) = self.give_up(&release, epoch, &error).await {
                        release = noted;
                    }
                    if renewed.elapsed() >= LEASE {
                        return Err(error);
                    }
                }
            }
            sleep(ROUND.saturating_mul(1 + failures.min(10))).await;
        }
    }

    /// Ends a release that cannot even be looked at, once its time is over: what fails for good must not keep the app for ever.
    async fn give_up(&self, release: &Release, epoch: u64, error: &Error) -> Option<Release> {
        let now = self.control.clock.unix_millis();
        if now < release.deadline || matches!(release.progress, Progress::Ended { .. }) {
            return None;
        }
        let reason = format!("it was not done in time: {error}");
        let remedy = "see what does not answer, and deploy again".to_owned();
        let failure = Failure { class: FailureClass::Late, reason, remedy, log: Vec::new() };
        let ended = |at| Progress::Ended { outcome: Outcome::TimedOut, failure: Some(failure.clone()), at };
        let progress = match &release.progress {
            Progress::Preparing => ended(now),
            // As long again for the way back, and then no more.
            Progress::Updating { previous, .. } => Progress::GoingBack {
                to: *previous,
                outcome: Outcome::TimedOut,
                failure: Some(failure.clone()),
                until: now + crate::client::milliseconds(act::WAY_BACK),
            },
            Progress::GoingBack { until, .. } if now < *until => return None,
            Progress::GoingBack { outcome, failure, .. } => {
                Progress::Ended { outcome: *outcome, failure: failure.clone(), at: now }
            }
            Progress::Ended { .. } => return None,
        };
        self.note(release.number, epoch, |release| release.progress = progress.clone()).await.ok()?.ok()
    }

    /// Carries on with a removal that somebody else has not ended.
    async fn finish_removal(&self) -> Result<(), Error> {
        let left = self.control.records.app_or_rest(self.app).await?;
        let now = self.control.clock.unix_millis();
        let is_old = |since: u64| now.saturating_sub(since) > crate::client::milliseconds(LEASE);
        if let Some(record) = left.filter(|record| record.removing.is_some_and(is_old))
            && let Err(refused) = apps::finish_removal(self.control, &record).await
        {
            tracing::warn!(%refused, app = self.app, "an app is not removed to the end yet");
        }
        Ok(())
    }

    fn stopped(&self, stop: &Stop) -> Result<(), Error> {
        if matches!(stop, Stop::Lost) {
            tracing::info!(app = self.app, "another manager drives the release");
        }
        Ok(())
    }

    fn say(&self, release: u64, text: &str, ended: bool) {
        self.state.send_if_modified(|state| {
            let new = State { release, text: text.to_owned(), ended };
            let changed = *state != new;
            *state = new;
            changed
        });
    }

    /// One step; `None` when the release is over and recorded.
    async fn step(&mut self, release: &mut Release, epoch: u64) -> Result<Result<Option<()>, Stop>, Error> {
        if matches!(release.progress, Progress::Ended { .. }) {
            return Ok(self.finish(release, epoch).await?.map(|()| None));
        }
        let control = self.control;
        if let Some(app) = control.records.app(self.app).await? {
            let ours = |deploying: &Deploying| deploying.release.number == release.number && deploying.epoch == epoch;
            let Some(deploying) = app.deploying.filter(ours) else { return Ok(Err(Stop::Lost)) };
            let cancelled = deploying.release.cancelled;
            release.cancelled |= cancelled;
        }
        let now = control.clock.unix_millis();
        let content = match &self.content {
            Some(content) => Arc::clone(content),
            None => Arc::clone(self.content.insert(Arc::new(control.content(release).await?))),
        };
        let observed = observe::observe(&control.engine, release, &content, &mut self.memory, now).await?;
        let step = rollout::next(release, &observed);
        tracing::debug!(app = self.app, release = release.number, ?step, "next");
        let progress = match step {
            Step::Wait { why } => {
                self.say(release.number, &why, false);
                return Ok(Ok(Some(())));
            }
            Step::NoteDigest { digest } => {
                return self.noted(release, epoch, |release| release.digest = Some(digest.clone())).await;
            }
            Step::NoteUpdate { base, previous } => Progress::Updating { base, previous },
            Step::NoteBack { to, outcome, failure } => {
                let until = now + crate::client::milliseconds(act::WAY_BACK);
                Progress::GoingBack { to, outcome, failure, until }
            }
            Step::End { outcome, failure } => Progress::Ended { outcome, failure, at: now },
            step => {
                self.say(release.number, act::in_words(&step), false);
                // Just before what is seen outside: who has lost the lease changes nothing more.
                if let Err(stop) = self.note(release.number, epoch, |_| ()).await? {
                    return Ok(Err(stop));
                }
                act::act(control, release, &content, &step, &mut self.memory).await?;
                return Ok(Ok(Some(())));
            }
        };
        self.noted(release, epoch, |release| release.progress = progress.clone()).await
    }

    async fn noted(
        &self,
        release: &mut Release,
        epoch: u64,
        change: impl Fn(&mut Release) + Send + Sync,
    ) -> Result<Result<Option<()>, Stop>, Error> {
        Ok(self.note(release.number, epoch, change).await?.map(|noted| {
            *release = noted;
            Some(())
        }))
    }

    /// Takes the lease of the app's release; `None` when there is no release on its way, or somebody else drives it.
    async fn take(&self, now: u64) -> Result<Option<Deploying>, Error> {
        let holder = self.control.facts.node.clone();
        let until = now + crate::client::milliseconds(LEASE);
        let taken = self.control.records.change_app(self.app, |app: &mut AppRecord| {
            let Some(deploying) = &mut app.deploying else { return Ok(None) };
            // Our own lease is that of a process before this one, or of the request that made the release.
            if deploying.holder != holder && deploying.until > now {
                return Ok(None);
            }
            deploying.holder.clone_from(&holder);
            deploying.epoch += 1;
            deploying.until = until;
            Ok::<_, Error>(Some(deploying.clone()))
        });
        match taken.await {
            // A mark may be older than the app.
            Err(Error::Records(records::Error::NoApp(_))) => Ok(None),
            taken => taken,
        }
    }

    /// Changes the release in the app's record, if the lease is still ours, and renews that.
    async fn note(
        &self,
        number: u64,
        epoch: u64,
        change: impl Fn(&mut Release) + Send + Sync,
    ) -> Result<Result<Release, Stop>, Error> {
        let until = self.control.clock.unix_millis() + crate::client::milliseconds(LEASE);
        let noted = self.control.records.change_app(self.app, |app: &mut AppRecord| {
            let ours = |deploying: &&mut Deploying| deploying.epoch == epoch && deploying.release.number == number;
            let Some(deploying) = app.deploying.as_mut().filter(ours) else { return Ok(None) };
            change(&mut deploying.release);
            deploying.until = until;
            Ok::<_, Error>(Some(deploying.release.clone()))
        });
        Ok(noted.await?.ok_or(Stop::Lost))
    }

    /// Records a release that has ended, once, and lets the app go.
    async fn finish(&self, release: &Release, epoch: u64) -> Result<Result<(), Stop>, Error> {
        let control = self.control;
        match control.records.put_release(release).await {
            // What is recorded of a release stays: the one before us has written it, and we only tidy up.
            Err(records::Error::ReleaseExists { .. }) => {}
            put => put?,
        }
        // Before the app is let go: afterwards nobody would look for what is left.
        act::clean(control, release).await?;
        let Progress::Ended { outcome, .. } = &release.progress else { return Ok(Err(Stop::Nothing)) };
        let runs = outcome.is_good();
        // Something else may run after a release that was superseded while its service was changed.
        let let_go = control.records.change_app(self.app, |app: &mut AppRecord| {
            let ours = |deploying: &Deploying| deploying.epoch == epoch && deploying.release.number == release.number;
            if !app.deploying.as_ref().is_some_and(ours) {
                return Ok(false);
            }
            app.deploying = None;
            if runs && (app.release.is_none() || *outcome != Outcome::Unchanged) {
                app.release = Some(release.number);
            }
            Ok::<_, Error>(true)
        });
        if !let_go.await? {
            return Ok(Err(Stop::Lost));
        }
        tracing::info!(app = self.app, release = release.number, %outcome, "a release has ended");
        Ok(Ok(()))
    }
}
