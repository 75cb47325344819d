//! Requests that make a release, and wait for its end. The request only writes the release into the app's record: whoever drives it
//! carries it on, whatever becomes of the connection or of this manager.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{AppRecord, Deploying, Progress, Release, app_name};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_paas::rollout::time_allowed;
use futuswarm_paas::settings;
use futuswarm_rpc::message::{Answer, Deploy, Deployment, Event, RefusalClass, Wait};
use tokio::time::{Instant, sleep};

use crate::client::{Client, milliseconds};
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, drives, rollout};
use wanted::{Recipe, not_put_back, plan, read, wanted};

mod wanted;

/// Between two looks at a release that another manager drives.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The longest that one release waits for another, in seconds.
pub(crate) const LONGEST_WAIT: u32 = 3600;
/// So long a release waits for the one whose place it takes, in seconds: longer than most are put back, and than a dead manager's lease.
/// Where tasks may take longer to start by what `app.toml` says, it is told that the other is on its way still.
const SUPERSEDING: u32 = 600;
/// Between two attempts to be the next release of an app.
const LOCK: Duration = Duration::from_secs(1);

/// Deploys an image and settings, or says what it would change.
pub(crate) async fn deploy<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    request: Deploy,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let app = app_name(&request.app).map_err(Refused::usage)?.to_owned();
    let file = request.app_file.as_deref().map(|text| read(&app, text)).transpose()?.map(Box::new);
    let recipe = Recipe::Deploy { image: request.image, file };
    if request.plan {
        let record = control.records.app(&app).await.map_err(Error::from)?;
        let before = current(control, record.as_ref()).await?;
        let wanted = wanted(control, &app, record.as_ref(), &recipe).await?;
        return Ok(Answer::Plan(plan(&app, before.as_ref(), &wanted)));
    }
    release(control, actor, Verb::Deploy, &app, &recipe, &request.wait, client).await.map(Answer::Deployment)
}

/// Makes a release out of an earlier one.
pub(crate) async fn rollback<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    to: Option<u64>,
    wait: &Wait,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    release(control, actor, Verb::Rollback, app, &Recipe::Rollback { to }, wait, client).await
}

/// Makes a release with another number of tasks.
pub(crate) async fn scale<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    replicas: u32,
    wait: &Wait,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    let (least, most) = (settings::REPLICAS.start(), settings::REPLICAS.end());
    if !settings::REPLICAS.contains(&u64::from(replicas)) {
        return Err(Refused::usage(format!("{replicas} tasks are not possible; {least} to {most} are")));
    }
    let recipe = Recipe::Again { replicas: Some(replicas), restart: false, latest: false };
    release(control, actor, Verb::Scale, app, &recipe, wait, client).await
}

/// Makes a release that replaces all tasks.
pub(crate) async fn restart<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    app: &str,
    wait: &Wait,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    let recipe = Recipe::Again { replicas: None, restart: true, latest: false };
    release(control, actor, Verb::Restart, app, &recipe, wait, client).await
}

/// Makes a release with the config and secrets that count now, on the right to change them.
pub(crate) async fn with_values<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    wait: &Wait,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    let recipe = Recipe::Again { replicas: None, restart: false, latest: true };
    release(control, actor, verb, app, &recipe, wait, client).await
}

/// Has a release end so that another takes its place, on the right to make that other one.
pub(crate) async fn supersede<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    number: u64,
) -> Result<(), Refused> {
    let superseded = control.records.change_app(app, |record: &mut AppRecord| {
        control.allowed(actor, verb, record)?;
        let goes_on =
            |release: &&mut Release| release.number == number && !matches!(release.progress, Progress::Ended { .. });
        if let Some(release) = record.deploying.as_mut().map(|deploying| &mut deploying.release).filter(goes_on) {
            release.superseded = true;
        }
        Ok::<_, Refused>(())
    });
    superseded.await
}

/// Has the release that is on its way end.
pub(crate) async fn cancel<P: Platform>(control: &Control<P>, app: &str) -> Result<Answer, Refused> {
    let cancelled = control.records.change_app(app, |record: &mut AppRecord| {
        // One that has ended is only being tidied up after: what is recorded of it does not change any more.
        let goes_on = |deploying: &&mut Deploying| !matches!(deploying.release.progress, Progress::Ended { .. });
        let Some(deploying) = record.deploying.as_mut().filter(goes_on) else { return Ok(None) };
        deploying.release.cancelled = true;
        Ok::<_, Error>(Some(deploying.release.number))
    });
    match cancelled.await? {
        Some(number) => Ok(Answer::Done(format!("release {number} of {app} will end and be put back"))),
        None => Err(Refused::not_found(format!("{app} has no release on its way"))),
    }
}

/// The release that the app runs with.
pub(crate) async fn current<P: Platform>(
    control: &Control<P>,
    record: Option<&AppRecord>,
) -> Result<Option<Release>, Refused> {
    let Some((app, number)) = record.and_then(|record| Some((&record.name, record.release?))) else { return Ok(None) };
    Ok(control.records.release(app, number).await.map_err(Error::from)?)
}

/// For how long another release of the app is waited for.
pub(crate) fn longest(wait: &Wait) -> Duration {
    let at_least = if wait.supersede { SUPERSEDING } else { 0 };
    Duration::from_secs(wait.for_lock.unwrap_or_default().clamp(at_least, LONGEST_WAIT).into())
}

/// Writes the release into the app's record, has it driven, and waits for its end as it was asked to.
async fn release<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    verb: Verb,
    app: &str,
    recipe: &Recipe,
    wait: &Wait,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    let by = actor.to_string();
    // What makes no sense now makes no app.
    let record = control.records.app(app).await.map_err(Error::from)?;
    wanted(control, app, record.as_ref(), recipe).await?;
    control.begin(app, actor, verb, client).await?;
    let began = Instant::now();
    let limit = longest(wait);
    let made = loop {
        let record = control.existing(app).await?;
        let now = control.clock.unix_millis();
        if let Some(other) = &record.deploying {
            let other = &other.release;
            if began.elapsed() >= limit {
                return Err(Refused::new(
                    RefusalClass::Locked,
                    format!(
                        "release {} of {app} is on its way since {} s, by {}; wait for it with `--wait SECONDS`, take its place with `--supersede`, or end it with `futuswarm cancel {app}`",
                        other.number,
                        now.saturating_sub(other.created_at) / 1000,
                        other.by
                    ),
                ));
            }
            if wait.supersede && !other.superseded {
                supersede(control, actor, verb, app, other.number).await?;
            }
            client.progress(format!("waits for release {} of {app}", other.number), Some(limit));
            tokio::select! {
                () = sleep(LOCK) => continue,
                () = client.gone() => return Err(Refused::gone()),
            }
        }
        let wanted = wanted(control, app, Some(&record), recipe).await?;
        let (wanted, base) = (&wanted, (record.latest, record.release));
        let attempt = control.records.change_app(app, |record: &mut AppRecord| {
            // Their rights may have changed while they waited.
            control.allowed(actor, verb, record)?;
            // It was made from something else than the app is now: it is made again.
            if record.deploying.is_some() || (record.latest, record.release) != base {
                return Ok(None);
            }
            record.latest += 1;
            let release = Release {
                app: app.to_owned(),
                number: record.latest,
                image: wanted.image.clone(),
                digest: wanted.digest.clone(),
                has_health_check: wanted.has_health_check,
                settings: wanted.settings.clone(),
                config: wanted.config.clone(),
                secrets: wanted.secrets.clone(),
                of: wanted.of,
                by: by.clone(),
                created_at: now,
                deadline: now + milliseconds(time_allowed(&wanted.settings)),
                restart: wanted.restart,
                cancelled: false,
                superseded: false,
                progress: Progress::Preparing,
            };
            record.deploying = Some(Deploying { release: release.clone(), holder: String::new(), epoch: 0, until: 0 });
            Ok::<_, Refused>(Some((release, record.release)))
        });
        if let Some(made) = attempt.await? {
            break made;
        }
    };
    let (release, previous) = made;
    rollout::drive(control, app);
    if matches!(recipe, Recipe::Rollback { .. }) {
        for text in not_put_back(control, &release).await {
            let _gone = client.send(&Event::Note { text }).await;
        }
    }
    match wait.detach {
        true => Ok(deployment(control, &release, previous)),
        false => watch(control, app, release.number, previous, client).await,
    }
}

/// A release that says the same as another one, after a change of what is no part of releases.
pub(crate) fn repeated(release: &Release, number: u64, by: &str, now: u64) -> Release {
    Release {
        number,
        of: Some(release.of.unwrap_or(release.number)),
        by: by.to_owned(),
        created_at: now,
        deadline: now + milliseconds(time_allowed(&release.settings)),
        restart: false,
        cancelled: false,
        superseded: false,
        progress: Progress::Preparing,
        ..release.clone()
    }
}

/// Waits for the end of a release, and says how far it is.
pub(crate) async fn watch<P: Platform>(
    control: &Arc<Control<P>>,
    app: &str,
    number: u64,
    previous: Option<u64>,
    client: &mut Client,
) -> Result<Deployment, Refused> {
    let mut is_hook_told = false;
    loop {
        let (said, is_ours) = match control.drives.state(app) {
            Some(mut state) => {
                let said = state.borrow_and_update().clone();
                if said.release == number && !is_hook_told {
                    for line in &said.hook {
                        is_hook_told = true;
                        client.send(&Event::Note { text: format!("release hook: {line}") }).await?;
                    }
                }
                if said.release == number && !said.ended {
                    client.progress(format!("release {number}: {}", said.text), Some(said.limit));
                    tokio::select! {
                        _later = tokio::time::timeout(POLL_INTERVAL, state.changed()) => {}
                        () = client.gone() => return Err(Refused::gone()),
                    }
                }
                (said.text, said.release == number && !said.ended)
            }
            None => (String::new(), false),
        };
        // Its record says more than whoever drives it, and is there when nobody does.
        if !is_ours {
            let record = control.existing(app).await?;
            match record.deploying {
                Some(deploying) if deploying.release.number == number => {
                    let who = if said.is_empty() { "another manager drives it" } else { said.as_str() };
                    let limit = drives::limit(&deploying.release);
                    client.progress(format!("release {number}: {who}"), Some(limit));
                }
                // It has ended, and the app is free for the next one.
                _ => match control.records.release(app, number).await.map_err(Error::from)? {
                    Some(release) => return Ok(deployment(control, &release, previous)),
                    None => return Err(Refused::not_found(format!("{app} has no release {number}"))),
                },
            }
            tokio::select! {
                () = sleep(POLL_INTERVAL) => {}
                () = client.gone() => return Err(Refused::gone()),
            }
        }
    }
}

/// What there is to say of a release.
pub(crate) fn deployment<P: Platform>(control: &Control<P>, release: &Release, previous: Option<u64>) -> Deployment {
    let (outcome, failure, end) = match &release.progress {
        Progress::Ended { outcome, failure, at } => (Some(*outcome), failure.clone(), *at),
        _ => (None, None, control.clock.unix_millis()),
    };
    Deployment {
        app: release.app.clone(),
        release: Some(release.number),
        image: release.image.clone(),
        url: control.url(&release.app),
        outcome,
        seconds: end.saturating_sub(release.created_at) / 1000,
        failure,
        previous,
    }
}
