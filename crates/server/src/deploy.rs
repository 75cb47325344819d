//! Requests that make a release, and wait for its end. The request only writes the release into the app's record: whoever drives it
//! carries it on, whatever becomes of the connection or of this manager.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::{AppRecord, Deploying, Outcome, Progress, Release, Settings, app_name};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_paas::settings::{self, AppFile};
use futuswarm_rpc::message::{Answer, Deploy, Deployment, Kind, Plan, PlannedChange, RefusalClass, Wait};
use tokio::time::{Instant, sleep};

use crate::client::{Client, milliseconds};
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, desired, images, rollout};

/// A release that is not healthy by then has failed. Ample for a pull of gigabytes to every node and a slow start.
const DEADLINE: Duration = Duration::from_secs(900);
/// Between two looks at a release that another manager drives.
const LOOK: Duration = Duration::from_secs(1);
/// The longest that one release waits for another, in seconds.
pub(crate) const LONGEST_WAIT: u32 = 3600;
/// So long a release waits for the one whose place it takes, in seconds: longer than that is put back, and than a dead manager's lease.
const SUPERSEDING: u32 = 600;
/// Between two attempts to be the next release of an app.
const LOCK: Duration = Duration::from_secs(1);

/// What a new release is to be.
struct Wanted {
    image: String,
    digest: Option<String>,
    settings: Settings,
    config: Option<String>,
    secrets: Option<String>,
    of: Option<u64>,
    restart: bool,
}

/// How a new release follows from what the app is at that moment. It may wait for another release to end, and has to follow from that.
enum Recipe {
    /// Of this image and these settings, where they were said.
    Deploy { image: Option<String>, file: Option<Box<AppFile>> },
    /// A repetition of this one, or of the one that ran before the one that runs.
    Rollback { to: Option<u64> },
    /// What the app runs with, with another number of tasks if one is given, and the config and secrets that count now.
    Again { replicas: Option<u32>, restart: bool },
}

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
    let recipe = Recipe::Again { replicas: Some(replicas), restart: false };
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
    let recipe = Recipe::Again { replicas: None, restart: true };
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
    let recipe = Recipe::Again { replicas: None, restart: false };
    release(control, actor, verb, app, &recipe, wait, client).await
}

/// What a recipe makes of the app as its record is.
async fn wanted<P: Platform>(
    control: &Control<P>,
    app: &str,
    record: Option<&AppRecord>,
    recipe: &Recipe,
) -> Result<Wanted, Refused> {
    let before = current(control, record).await?;
    let (image, digest, settings, restart) = match recipe {
        Recipe::Rollback { to } => {
            let record = record.ok_or_else(|| Refused::not_found(format!("there is no app {app}")))?;
            return earlier(control, record, *to).await;
        }
        Recipe::Deploy { image, file } => {
            let named = image.clone().or_else(|| file.as_ref().and_then(|file| file.image.clone()));
            // A digest that was found belongs to the image as it was named then: a tag that is named again is looked up again.
            let (image, digest) = match (named, &before) {
                (Some(image), _) => (image, None),
                (None, Some(before)) => (before.image.clone(), before.digest.clone()),
                (None, None) => {
                    return Err(Refused::usage(format!(
                        "{app} has no release yet: say which image with `futuswarm deploy {app} -i {app}`, or `image` in app.toml"
                    )));
                }
            };
            let settings = match (file, &before) {
                (Some(file), _) => file.settings.clone(),
                (None, Some(before)) => before.settings.clone(),
                (None, None) => settings::defaults(),
            };
            (image, digest, settings, false)
        }
        Recipe::Again { replicas, restart } => {
            let Some(before) = before else {
                return Err(Refused::failed(format!("{app} has no release yet: deploy it first")));
            };
            let replicas = replicas.unwrap_or(before.settings.replicas);
            (before.image, before.digest, Settings { replicas, ..before.settings }, *restart)
        }
    };
    images::reference(app, &image)?;
    if let Some(label) = settings.edge_labels.keys().find(|label| desired::is_reserved(label)) {
        return Err(Refused::usage(format!("{label} is the platform's to set: {app} is served at its own name")));
    }
    let (config, secrets) = match record {
        Some(_) => (control.version(app, Kind::Config).await?, control.version(app, Kind::Secrets).await?),
        None => (None, None),
    };
    Ok(Wanted { image, digest, settings, config, secrets, of: None, restart })
}

/// What a rollback makes: all of an earlier release.
async fn earlier<P: Platform>(control: &Control<P>, record: &AppRecord, to: Option<u64>) -> Result<Wanted, Refused> {
    let app = &record.name;
    let to = match to {
        Some(to) => to,
        None => before_current(control, record).await?,
    };
    let earlier = control.records.release(app, to).await.map_err(Error::from)?;
    let earlier = earlier.ok_or_else(|| Refused::not_found(format!("{app} has no release {to}")))?;
    let Some(digest) = earlier.digest else {
        return Err(Refused::failed(format!(
            "release {to} of {app} never had an image, so there is nothing to go back to; `futuswarm releases -a {app}` shows the others"
        )));
    };
    Ok(Wanted {
        image: earlier.image,
        digest: Some(digest),
        settings: earlier.settings,
        config: earlier.config,
        secrets: earlier.secrets,
        of: Some(to),
        restart: false,
    })
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

fn read(app: &str, text: &str) -> Result<AppFile, Refused> {
    let problems = |problems: Vec<settings::Problem>| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Refused::usage(format!("app.toml cannot be used:\n{}", lines.join("\n")))
    };
    let file = settings::parse(text).map_err(problems)?;
    match &file.app {
        Some(other) if other != app => {
            Err(Refused::usage(format!("app.toml is that of {other}, and {app} was to be deployed")))
        }
        _ => Ok(file),
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

/// The release that ran before the one that runs.
async fn before_current<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<u64, Refused> {
    const FAR_ENOUGH: usize = 100;
    let none = || Refused::not_found(format!("{} has no release before the one that it runs with", record.name));
    let runs = record.release.ok_or_else(none)?;
    let releases = control.records.releases(&record.name, FAR_ENOUGH).await.map_err(Error::from)?;
    // One that repeats another is not gone back to: the second `rollback` goes further back than the first.
    let now = releases.iter().find(|release| release.number == runs);
    let base = now.and_then(|release| release.of).unwrap_or(runs);
    let before = |release: &&Release| release.number < base && release.of.is_none();
    counted(&releases).into_iter().filter(before).map(|release| release.number).max().ok_or_else(none)
}

/// The releases that the app has run with, out of those that have ended, newest first. Of those for which nothing had to be changed only
/// such as say something else than the one before.
fn counted(releases: &[Release]) -> Vec<&Release> {
    let mut counted: Vec<&Release> = Vec::new();
    for release in releases.iter().rev() {
        let counts = match &release.progress {
            Progress::Ended { outcome: Outcome::Deployed, .. } => true,
            Progress::Ended { outcome: Outcome::Unchanged, .. } => {
                counted.last().is_none_or(|before| !release.has_content_of(before))
            }
            _ => false,
        };
        if counts {
            counted.push(release);
        }
    }
    counted
}

fn plan(app: &str, before: Option<&Release>, wanted: &Wanted) -> Plan {
    let none = String::new;
    let line = |name: &str, before: String, after: String| PlannedChange { name: name.to_owned(), before, after };
    let shown = |version: &Option<String>| version.clone().unwrap_or_default();
    let mut changes = vec![
        line("image", before.map_or_else(none, |before| before.image.clone()), wanted.image.clone()),
        line("config", before.map_or_else(none, |before| shown(&before.config)), shown(&wanted.config)),
        line("secrets", before.map_or_else(none, |before| shown(&before.secrets)), shown(&wanted.secrets)),
    ];
    let from = before.map_or_else(settings::defaults, |before| before.settings.clone());
    let differences = settings::differences(&from, &wanted.settings);
    changes.extend(differences.into_iter().map(|one| line(&one.name, one.before, one.after)));
    // The same tag may be another image by now.
    changes.retain(|change| change.before != change.after || (change.name == "image" && wanted.digest.is_none()));
    Plan { app: app.to_owned(), new: before.is_none(), changes }
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
    control.create_unless_there(app, actor, verb).await?;
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
                settings: wanted.settings.clone(),
                config: wanted.config.clone(),
                secrets: wanted.secrets.clone(),
                of: wanted.of,
                by: by.clone(),
                created_at: now,
                deadline: now + milliseconds(DEADLINE),
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
        deadline: now + milliseconds(DEADLINE),
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
    loop {
        let (said, is_ours) = match control.drives.state(app) {
            Some(mut state) => {
                let said = state.borrow_and_update().clone();
                if said.release == number && !said.ended {
                    client.progress(format!("release {number}: {}", said.text), Some(DEADLINE));
                    tokio::select! {
                        _later = tokio::time::timeout(LOOK, state.changed()) => {}
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
                    client.progress(format!("release {number}: {who}"), Some(DEADLINE));
                }
                // It has ended, and the app is free for the next one.
                _ => match control.records.release(app, number).await.map_err(Error::from)? {
                    Some(release) => return Ok(deployment(control, &release, previous)),
                    None => return Err(Refused::not_found(format!("{app} has no release {number}"))),
                },
            }
            tokio::select! {
                () = sleep(LOOK) => {}
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
