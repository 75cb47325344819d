//! Drives releases to their end: each manager's control service looks for releases on their way that nobody drives, takes their lease,
//! and does what `paas::rollout` says, one step after the other.
//!
//! Everything that has to be known to carry on is in the app's record and in the Swarm. Each write of the record is a compare-and-swap
//! that checks the lease's epoch, so that a driver whose lease was taken over writes nothing more.

mod act;
mod edges;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{AppRecord, AuditEntry, Deploying, Failure, FailureClass, Outcome, Progress, Release};
use futuswarm_paas::rollout::{self, HookRun, Step};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::clock::Clock as _;
use crate::desired::Content;
use crate::drives::State;
use crate::links::{self, Settled};
use crate::{Control, Error, Platform, admission, collect, records, removal};
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
/// Between two looks for networks that apps have left.
const SWEEP: Duration = Duration::from_secs(60);

/// Looks for releases that nobody drives, removals and admissions that somebody has left half-done, and what apps and ended links leave
/// behind, for as long as the process lives.
pub(crate) async fn search<P: Platform>(control: Arc<Control<P>>) {
    let mut swept = Instant::now();
    loop {
        match control.records.pending().await {
            Ok(pending) => {
                for app in &pending {
                    drive(&control, app);
                }
                for app in &pending {
                    if let Err(error) = admission::settle(&control, app).await {
                        tracing::warn!(%error, app, "edges may not know yet whom an app admits");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for releases on their way"),
        }
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            if let Err(error) = removal::sweep(&control).await {
                tracing::warn!(%error, "cannot look for networks of removed apps");
            }
            if let Err(error) = control.records.ensure_admissions().await {
                tracing::warn!(%error, "cannot look whether edges know whom apps admit");
            }
            if let Err(error) = control.records.ensure_locked().await {
                tracing::warn!(%error, "cannot look whether edges know who is locked out");
            }
            if let Err(error) = links::sweep(&control).await {
                tracing::warn!(%error, "cannot look for networks of ended links");
            }
        }
        sleep(SEARCH.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
    }
}

/// Drives the release of an app, in a task of its own, unless somebody does; and then what follows from its links.
pub(crate) fn drive<P: Platform>(control: &Arc<Control<P>>, app: &str) {
    let Some(state) = control.drives.begin(app) else { return };
    let (control, app) = (Arc::clone(control), app.to_owned());
    tokio::spawn(async move {
        loop {
            let run = Drive { control: &control, app: &app, memory: Memory::default(), content: None, state: &state };
            let mut useless = false;
            if let Err(error) = run.forever().await {
                tracing::warn!(%error, app, "a release is left to whoever takes it over");
                useless = true;
            }
            match links::settle(&control, &app).await {
                Ok(Settled::Made(..)) if !useless => continue,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, app, "the networks of an app are looked at again later");
                    useless = true;
                }
            }
            if control.drives.end(&app, useless) {
                return;
            }
        }
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
    /// What the release runs with, until something about it fails.
    content: Option<Arc<Content>>,
    state: &'a watch::Sender<State>,
}

impl<P: Platform> Drive<'_, P> {
    async fn forever(mut self) -> Result<(), Error> {
        let Some(deploying) = self.take(self.control.clock.unix_millis()).await? else {
            return removal::carry_on(self.control, self.app).await.map(drop);
        };
        let mut release = deploying.release;
        let epoch = deploying.epoch;
        tracing::info!(app = self.app, release = release.number, epoch, "drives a release");
        self.state.send_replace(State::of(&release));
        if epoch > 1 {
            self.tell_resumed(&release, epoch).await;
        }
        let mut renewed = Instant::now();
        let mut failures = 0;
        loop {
            if renewed.elapsed() >= RENEW {
                match self.note(release.number, epoch, |_| ()).await? {
                    Ok(noted) => release = noted,
                    Err(stop) => return self.stopped(&stop, &release).await,
                }
                renewed = Instant::now();
            }
            // What may have been changed by others: somebody cancels.
            match self.step(&mut release, epoch).await {
                Ok(Ok(Some(()))) => failures = 0,
                Ok(Ok(None)) => {
                    self.say("done", true);
                    return Ok(());
                }
                Ok(Err(stop)) => return self.stopped(&stop, &release).await,
                // The Swarm or the bucket does not answer: the lease says for how long it is tried.
                Err(error) => {
                    failures += 1;
                    // It may be about something that was there when the content was read: a network, a secret.
                    self.content = None;
                    tracing::warn!(%error, app = self.app, release = release.number, failures, "a step failed");
                    self.say(&format!("waits: {error}"), false);
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
            // The way back has a time of its own, and then it is over.
            Progress::Updating { previous, .. } => Progress::GoingBack {
                to: *previous,
                outcome: Outcome::TimedOut,
                failure: Some(failure.clone()),
                until: now + crate::client::milliseconds(act::way_back(self.control, release, *previous).await),
            },
            Progress::Announcing { until, .. } | Progress::GoingBack { until, .. } if now < *until => return None,
            // Its tasks were healthy, and only what edges have is not known.
            Progress::Announcing { .. } => {
                let failure =
                    Failure { remedy: "open its URL, and deploy again if it is not served".to_owned(), ..failure };
                Progress::Ended { outcome: Outcome::Deployed, failure: Some(failure), at: now }
            }
            Progress::GoingBack { outcome, failure, .. } => {
                Progress::Ended { outcome: *outcome, failure: failure.clone(), at: now }
            }
            Progress::Ended { .. } => return None,
        };
        self.note(release.number, epoch, |release| release.progress = progress.clone()).await.ok()?.ok()
    }

    /// What a driver does that goes no further. One that has lost its release may have begun a job of it just then, after whoever ended
    /// it had cleared those away.
    async fn stopped(&self, stop: &Stop, release: &Release) -> Result<(), Error> {
        if matches!(stop, Stop::Nothing) {
            return Ok(());
        }
        tracing::info!(app = self.app, release = release.number, "another manager drives the release, or has ended it");
        let app = self.control.records.app(self.app).await?;
        let goes_on = app.and_then(|app| app.deploying).is_some_and(|it| it.release.number == release.number);
        if goes_on { Ok(()) } else { act::remove_jobs(&self.control.engine, release).await }
    }

    fn say(&self, text: &str, ended: bool) {
        self.state.send_if_modified(|state| {
            let changed = state.text != text || state.ended != ended;
            text.clone_into(&mut state.text);
            state.ended = ended;
            changed
        });
    }

    /// Tells what the release hook has written, unless it went wrong: then its lines are those of the failure.
    fn tell_hook(&self, hook: &HookRun) {
        let HookRun::Ended { code: 0, log } = hook else { return };
        self.state.send_if_modified(|state| {
            let changed = state.hook != *log;
            state.hook.clone_from(log);
            changed
        });
    }

    /// One step; `None` when the release is over and recorded.
    async fn step(&mut self, release: &mut Release, epoch: u64) -> Result<Result<Option<()>, Stop>, Error> {
        if matches!(release.progress, Progress::Ended { .. }) {
            return Ok(self.finish(release, epoch).await?.map(|()| None));
        }
        let control = self.control;
        let record = control.records.app(self.app).await?;
        if let Some(app) = &record {
            let ours = |deploying: &&Deploying| deploying.release.number == release.number && deploying.epoch == epoch;
            let Some(deploying) = app.deploying.as_ref().filter(ours) else { return Ok(Err(Stop::Lost)) };
            let (cancelled, superseded) = (deploying.release.cancelled, deploying.release.superseded);
            release.cancelled |= cancelled;
            release.superseded |= superseded;
        }
        let now = control.clock.unix_millis();
        let content = match &self.content {
            Some(content) => Arc::clone(content),
            None => Arc::clone(self.content.insert(Arc::new(control.content(release, record.as_ref()).await?))),
        };
        let mut observed = observe::observe(&control.engine, release, &content, &mut self.memory, now).await?;
        observe::measure(control, release, &mut observed, &mut self.memory).await;
        edges::look(control, release, &content, &mut observed, &mut self.memory).await;
        self.tell_hook(&observed.hook);
        let step = rollout::next(release, &observed);
        tracing::debug!(app = self.app, release = release.number, ?step, "next");
        // The release is in the app's record: who begins to collect images from now on keeps what it names. Who has begun before may be
        // deleting just that, and then it is looked for afterwards.
        if matches!(step, Step::FindImage | Step::Pull { .. }) && collect::collects(control).await?.is_some() {
            self.say("waits until images that nothing needs are deleted", false);
            return Ok(Ok(Some(())));
        }
        let progress = match step {
            Step::Wait { why } => {
                self.say(&why, false);
                return Ok(Ok(Some(())));
            }
            Step::NoteDigest { digest, has_health_check } => {
                let note = |release: &mut Release| {
                    release.digest = Some(digest.clone());
                    release.has_health_check = Some(has_health_check);
                };
                return self.noted(release, epoch, note).await;
            }
            Step::NoteUpdate { base, previous } => Progress::Updating { base, previous },
            Step::NoteHealthy { previous } => Progress::Announcing { previous, until: now + rollout::EDGES },
            Step::NoteBack { to, outcome, failure } => {
                let until = now + crate::client::milliseconds(act::way_back(control, release, to).await);
                Progress::GoingBack { to, outcome, failure, until }
            }
            Step::End { outcome, failure } => Progress::Ended { outcome, failure, at: now },
            step => {
                self.say(act::in_words(&step), false);
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
        let (control, app) = (self.control, self.app);
        let Progress::Ended { outcome, at, .. } = release.progress else { return Ok(Err(Stop::Nothing)) };
        match control.records.put_release(release).await {
            // What is recorded of a release stays: the one before us has written it, and we only tidy up.
            Err(records::Error::ReleaseExists { .. }) => {}
            put => put?,
        }
        // Before the app is let go: afterwards nobody would look for what is left.
        act::clean(control, release).await?;
        let line = self.line(release, outcome.to_string(), at);
        control.records.audit_once(&line, &format!("{app}-{}", release.number)).await?;
        let counts = match outcome {
            Outcome::Deployed => true,
            Outcome::Unchanged => self.says_something_new(release).await?,
            _ => false,
        };
        let (runs, now) = (outcome.is_good(), control.clock.unix_millis());
        let let_go = control.records.change_app(app, |app: &mut AppRecord| {
            let ours = |deploying: &Deploying| deploying.epoch == epoch && deploying.release.number == release.number;
            if !app.deploying.as_ref().is_some_and(ours) {
                return Ok(false);
            }
            app.deploying = None;
            // One that was superseded says nothing about whether the next one comes to run.
            if !runs && outcome != Outcome::Superseded {
                links::put_off(app, now);
            }
            if counts {
                app.release = Some(release.number);
            }
            Ok::<_, Error>(true)
        });
        if !let_go.await? {
            return Ok(Err(Stop::Lost));
        }
        tracing::info!(app, release = release.number, %outcome, "a release has ended");
        Ok(Ok(()))
    }

    /// Whether a release for which nothing had to be changed is what the app is from now on: by its release hook, for example, which no
    /// service shows. What is the same in everything leaves the app with the release that it has.
    async fn says_something_new(&self, release: &Release) -> Result<bool, Error> {
        // Nobody else changes what the app runs with while this release is on its way.
        let current = self.control.records.app(self.app).await?.and_then(|app| app.release);
        let Some(current) = current else { return Ok(true) };
        let current = self.control.records.release(self.app, current).await?;
        Ok(current.is_none_or(|current| !release.has_content_of(&current)))
    }

    /// Notes that somebody else has begun this release. Nothing depends on that line.
    async fn tell_resumed(&self, release: &Release, epoch: u64) {
        let at = self.control.clock.unix_millis();
        let line = self.line(release, "resumed".to_owned(), at);
        let what = format!("{}-{}-{epoch}", self.app, release.number);
        if let Err(error) = self.control.records.audit_once(&line, &what).await {
            tracing::warn!(%error, app = self.app, "that a release was taken over is in the journal only");
        }
    }

    /// A line of the audit that tells what came of a release. Its request has a line of its own, unless its manager has died.
    fn line(&self, release: &Release, outcome: String, at: u64) -> AuditEntry {
        AuditEntry {
            at,
            who: release.by.clone(),
            verb: format!("release {}", release.number),
            app: Some(self.app.to_owned()),
            outcome,
            milliseconds: at.saturating_sub(release.created_at),
            from: self.control.facts.node.clone(),
        }
    }
}
