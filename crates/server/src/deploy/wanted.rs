//! What a new release is to be, out of what was asked for and of what the app is at that moment.

use futuswarm_model::{AppRecord, Outcome, Progress, Release, Settings, keys};
use futuswarm_paas::settings::{self, AppFile};
use futuswarm_rpc::message::{Kind, Plan, PlannedChange};

use super::current;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, desired, images};

/// What a new release is to be.
pub(super) struct Wanted {
    pub(super) image: String,
    pub(super) digest: Option<String>,
    /// Of the image with that digest.
    pub(super) has_health_check: Option<bool>,
    pub(super) settings: Settings,
    pub(super) config: Option<String>,
    pub(super) secrets: Option<String>,
    pub(super) of: Option<u64>,
    pub(super) restart: bool,
}

/// How a new release follows from what the app is at that moment. It may wait for another release to end, and has to follow from that.
pub(super) enum Recipe {
    /// Of this image and these settings, where they were said.
    Deploy { image: Option<String>, file: Option<Box<AppFile>> },
    /// A repetition of this one, or of the one that ran before the one that runs.
    Rollback { to: Option<u64> },
    /// What the app runs with, with another number of tasks if one is given, and with the config and secrets that count now in the place
    /// of its own if that is asked for.
    Again { replicas: Option<u32>, restart: bool, latest: bool },
}

/// Reads `app.toml`.
pub(super) fn read(app: &str, text: &str) -> Result<AppFile, Refused> {
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

/// What a recipe makes of the app as its record is.
pub(super) async fn wanted<P: Platform>(
    control: &Control<P>,
    app: &str,
    record: Option<&AppRecord>,
    recipe: &Recipe,
) -> Result<Wanted, Refused> {
    let before = current(control, record).await?;
    // What a rollback has put aside must not come back with a restart.
    let mut kept = None;
    let (image, digest, has_health_check, settings, restart) = match recipe {
        Recipe::Rollback { to } => {
            let record = record.ok_or_else(|| Refused::not_found(format!("there is no app {app}")))?;
            return earlier(control, record, *to).await;
        }
        Recipe::Deploy { image, file } => {
            let named = image.clone().or_else(|| file.as_ref().and_then(|file| file.image.clone()));
            // A digest that was found belongs to the image as it was named then: a tag that is named again is looked up again.
            let (image, digest, has_health_check) = match (named, &before) {
                (Some(image), _) => (image, None, None),
                (None, Some(before)) => (before.image.clone(), before.digest.clone(), before.has_health_check),
                (None, None) => {
                    return Err(Refused::usage(format!(
                        "{app} has no release yet: say which image with `futuswarm deploy {app} -i {app}`, or `image` in app.toml"
                    )));
                }
            };
            let settings = match (file, &before) {
                (Some(file), _) => {
                    no_host(app, &file.settings)?;
                    one_port(&file.settings)?;
                    honoured(app, &file.settings, &control.facts.domain)?;
                    file.settings.clone()
                }
                (None, Some(before)) => before.settings.clone(),
                (None, None) => settings::defaults(),
            };
            (image, digest, has_health_check, settings, false)
        }
        Recipe::Again { replicas, restart, latest } => {
            let Some(before) = before else {
                return Err(Refused::failed(format!("{app} has no release yet: deploy it first")));
            };
            if !latest {
                kept = Some((before.config, before.secrets));
            }
            let replicas = replicas.unwrap_or(before.settings.replicas);
            let settings = Settings { replicas, ..before.settings };
            (before.image, before.digest, before.has_health_check, settings, *restart)
        }
    };
    images::reference(app, &image)?;
    let (config, secrets) = match (kept, record) {
        (Some(kept), _) => kept,
        (None, Some(_)) => (control.version(app, Kind::Config).await?, control.version(app, Kind::Secrets).await?),
        (None, None) => (None, None),
    };
    Ok(Wanted { image, digest, has_health_check, settings, config, secrets, of: None, restart })
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
        has_health_check: earlier.has_health_check,
        settings: earlier.settings,
        config: earlier.config,
        secrets: earlier.secrets,
        of: Some(to),
        restart: false,
    })
}

/// Only of a file: one that was taken before there was such a rule is passed over where the service is made, and its app goes on.
fn no_host(app: &str, settings: &Settings) -> Result<(), Refused> {
    match settings.edge_labels.keys().find(|label| desired::is_reserved(label)) {
        Some(label) => {
            Err(Refused::usage(format!("{label} is the platform's to set: {app} is served at its own name")))
        }
        None => Ok(()),
    }
}

/// The edge would send requests to another port than the one that tasks are told to listen on.
fn one_port(settings: &Settings) -> Result<(), Refused> {
    let port = settings.port.to_string();
    match settings.edge_labels.get("com.df.port").filter(|asked| asked.trim() != port) {
        Some(asked) => Err(Refused::usage(format!(
            "com.df.port under [edge] is {asked:?}, and the app's port is {port}: say it once, as `port` in app.toml"
        ))),
        None => Ok(()),
    }
}

/// The edge would leave out a service with labels that it does not honour, and nobody would hear of it who deploys.
fn honoured(app: &str, settings: &Settings, domain: &str) -> Result<(), Refused> {
    futuswarm_edge::check(&desired::edge_labels(app, settings, domain)).map_err(|error| {
        Refused::usage(format!(
            "{app} would not be served with what [edge] in app.toml says: {error} (docs/routing.md has all labels)"
        ))
    })
}

/// What a rollback does not put back: the config and secrets that count for what comes after it. Nobody should learn that from their next
/// deployment.
pub(super) async fn not_put_back<P: Platform>(control: &Control<P>, release: &Release) -> Vec<String> {
    let app = &release.app;
    let mut notes = Vec::new();
    let documents = [(Kind::Config, "config", &release.config), (Kind::Secrets, "secret", &release.secrets)];
    for (kind, command, runs) in documents {
        match control.records.history(app, keys::DEFAULT_ENVIRONMENT, kind.into(), 1).await {
            Ok(history) => {
                let newer = history.into_iter().next().filter(|latest| Some(&latest.version) != runs.as_ref());
                notes.extend(newer.map(|latest| {
                    format!(
                        "{command}: an earlier version comes back with this release only; version {} stays the latest, and comes with the next deployment or change: mend it with `futuswarm {command}:set {app} KEY=VALUE` (`futuswarm {command}:history {app}` lists the versions)",
                        latest.number
                    )
                }));
            }
            Err(error) => tracing::info!(%error, app, "not known whether a rollback leaves newer values behind"),
        }
    }
    notes
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

/// What a deployment would change.
pub(super) fn plan(app: &str, before: Option<&Release>, wanted: &Wanted) -> Plan {
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
