//! Requests about apps: which there are, how they are, and what came of their releases.

use std::collections::HashMap;
use std::sync::Arc;

use futuswarm_model::{AppEntry, AppRecord, Outcome, Progress, Release, Settings, person_name};
use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{Answer, App, AppRow, ReleaseRow, TaskRow, Wait, Why};
use futuswarm_swarm::{APP_LABEL, NodeApi as _, ServiceApi as _, Task, TaskApi as _, TaskState};

use crate::client::Client;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, admission, clock, deploy};

/// The most releases that are shown at once.
const MOST_RELEASES: u32 = 200;

/// Apps that the actor may see, or, with `of`, those of them that a user has a role in: which apps others have is not for everybody.
pub(crate) async fn list<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    of: Option<&str>,
) -> Result<Answer, Refused> {
    let Actor::User { name, admin, groups } = actor else { return Ok(Answer::Apps(Vec::new())) };
    let index = control.records.apps().await.map_err(Error::from)?;
    let other = match of {
        Some(user) => {
            person_name(user).map_err(Refused::usage)?;
            let user = control.records.user(user).await.map_err(Error::from)?;
            Some(user.ok_or_else(|| Refused::not_found("there is no such user"))?)
        }
        None => None,
    };
    let running = running(&control.engine).await?;
    let rows = index.into_iter().filter_map(|(app, entry)| {
        let own = entry.access.role(name, groups);
        let role = match &other {
            Some(user) => Some(entry.access.role(&user.name, &user.groups)?),
            None => own,
        };
        (*admin || own.is_some()).then(|| row(control, &app, &entry, role, &running))
    });
    Ok(Answer::Apps(rows.collect()))
}

/// Tasks of each app that run, and that should.
async fn running<E: futuswarm_swarm::Engine>(engine: &E) -> Result<HashMap<String, (u32, u32)>, Refused> {
    let services = engine.list_services().await.map_err(Error::from)?;
    let apps: HashMap<String, (String, u64)> = services
        .into_iter()
        .filter(|service| service.spec.labels.get(APP_LABEL) == Some(&service.spec.name))
        .map(|service| (service.id.clone(), (service.spec.name.clone(), service.replicas().unwrap_or_default())))
        .collect();
    let mut running: HashMap<String, (u32, u32)> =
        apps.values().map(|(app, replicas)| (app.clone(), (0, u32::try_from(*replicas).unwrap_or(u32::MAX)))).collect();
    for task in engine.list_tasks(None).await.map_err(Error::from)? {
        let app = apps.get(&task.service).and_then(|(app, _)| running.get_mut(app));
        if let (Some((running, _)), TaskState::Running, true) = (app, task.state, task.is_wanted()) {
            *running += 1;
        }
    }
    Ok(running)
}

fn row<P: Platform>(
    control: &Control<P>,
    app: &str,
    entry: &AppEntry,
    role: Option<futuswarm_model::AppRole>,
    tasks: &HashMap<String, (u32, u32)>,
) -> AppRow {
    let (running, replicas) = tasks.get(app).copied().unwrap_or_default();
    AppRow {
        app: app.to_owned(),
        url: control.url(app),
        release: entry.release,
        image: entry.image.clone(),
        role,
        running,
        replicas,
        deploying: entry.deploying,
        open: entry.open,
    }
}

/// One app.
pub(crate) async fn show<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    record: AppRecord,
) -> Result<Answer, Refused> {
    let (release, login) =
        tokio::join!(deploy::current(control, Some(&record)), admission::login_is_configured(control));
    let (release, login) = (release?, login?);
    let nodes = control.engine.list_nodes().await.map_err(Error::from)?;
    let hostnames: HashMap<String, String> = nodes.into_iter().map(|node| (node.id, node.hostname)).collect();
    let (mut tasks, mut replicas) = (Vec::new(), 0);
    if let Some(service) = control.engine.inspect_service(&record.name).await.map_err(Error::from)? {
        replicas = u32::try_from(service.replicas().unwrap_or_default()).unwrap_or(u32::MAX);
        tasks = control.engine.list_tasks(Some(&service.id)).await.map_err(Error::from)?;
    }
    let running = tasks.iter().filter(|task| task.state == TaskState::Running && task.is_wanted()).count();
    tasks.sort_by(|one, other| other.created_at.cmp(&one.created_at));
    let role = match actor {
        Actor::User { name, groups, .. } => record.access.role(name, groups),
        Actor::Token { .. } => None,
    };
    Ok(Answer::App(Box::new(App {
        row: AppRow {
            url: control.url(&record.name),
            release: record.release,
            image: release.as_ref().map(|release| release.image.clone()),
            role,
            running: u32::try_from(running).unwrap_or(u32::MAX),
            replicas,
            deploying: record.deploying.as_ref().map(|deploying| deploying.release.number),
            open: record.admission.open,
            app: record.name,
        },
        visitors: admission::texts(&record.admission),
        login,
        digest: release.as_ref().and_then(|release| release.digest.clone()),
        config: release.as_ref().and_then(|release| release.config.clone()),
        secrets: release.as_ref().and_then(|release| release.secrets.clone()),
        // That of the app: releases do not say it any more.
        settings: release.map(|release| Settings { open: record.admission.open, ..release.settings }),
        created_by: record.created_by,
        created_at: record.created_at,
        tasks: tasks.into_iter().map(|task| task_row(task, &hostnames)).collect(),
    })))
}

fn task_row(task: Task, hostnames: &HashMap<String, String>) -> TaskRow {
    TaskRow {
        slot: u32::try_from(task.slot).unwrap_or_default(),
        release: task.release(),
        node: task.node.as_ref().map(|id| hostnames.get(id).unwrap_or(id).clone()),
        state: task.state.as_str().to_owned(),
        desired: task.desired.as_str().to_owned(),
        since: clock::milliseconds(&task.since),
        error: task.error,
        id: task.id,
    }
}

/// The latest releases; the one on its way is the first of them.
pub(crate) async fn releases<P: Platform>(
    control: &Control<P>,
    record: AppRecord,
    limit: u32,
) -> Result<Answer, Refused> {
    let limit = limit.clamp(1, MOST_RELEASES) as usize;
    let releases = control.records.releases(&record.name, limit).await.map_err(Error::from)?;
    Ok(Answer::Releases(releases.into_iter().map(|release| release_row(release, record.release)).collect()))
}

fn release_row(release: Release, current: Option<u64>) -> ReleaseRow {
    let (outcome, reason) = match release.progress {
        Progress::Ended { outcome, failure, .. } => (Some(outcome), failure.map(|failure| failure.reason)),
        _ => (None, None),
    };
    ReleaseRow {
        release: release.number,
        image: release.image,
        digest: release.digest,
        config: release.config,
        secrets: release.secrets,
        of: release.of,
        by: release.by,
        created_at: release.created_at,
        outcome,
        current: current == Some(release.number),
        reason,
    }
}

/// Why a release failed: the one asked about, or the latest that did. What somebody ended has not failed.
pub(crate) async fn why<P: Platform>(
    control: &Control<P>,
    record: AppRecord,
    number: Option<u64>,
) -> Result<Answer, Refused> {
    const FAR_ENOUGH: usize = 100;
    let app = record.name;
    let release = match number {
        Some(number) => {
            let release = control.records.release(&app, number).await.map_err(Error::from)?;
            Some(release.ok_or_else(|| Refused::not_found(format!("{app} has no release {number} that has ended")))?)
        }
        None => {
            let releases = control.records.releases(&app, FAR_ENOUGH).await.map_err(Error::from)?;
            releases.into_iter().find(|release| has_failed(&release.progress))
        }
    };
    let (outcome, failure): (Option<Outcome>, _) = match release.as_ref().map(|release| &release.progress) {
        Some(Progress::Ended { outcome, failure, .. }) => (Some(*outcome), failure.clone()),
        _ => (None, None),
    };
    Ok(Answer::Why(Why { app, release: release.map(|release| release.number), outcome, failure }))
}

/// One that was deployed although edges were late has a reason, too.
fn has_failed(progress: &Progress) -> bool {
    matches!(progress, Progress::Ended { outcome, failure: Some(_), .. } if !outcome.is_good())
}

/// Restarts all apps, one after the other, so that no two are at their weakest at once.
pub(crate) async fn restart_all<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let index = control.records.apps().await.map_err(Error::from)?;
    // One that was never deployed runs nothing: only values were set for it, or an image was pushed.
    let apps: Vec<String> = index.into_iter().filter(|(_, row)| row.release.is_some()).map(|(app, _)| app).collect();
    let (mut restarted, mut failed) = (0, Vec::new());
    for (at, app) in apps.iter().enumerate() {
        // Nobody waits for them any more: without that, all the rest would be at their weakest at once.
        client.still_there()?;
        client.progress(format!("restarts {app}, {} of {}", at + 1, apps.len()), None);
        match deploy::restart(control, actor, app, &Wait::default(), client).await {
            Ok(deployment) if deployment.outcome.is_some_and(Outcome::is_good) => restarted += 1,
            Ok(_) => failed.push(app.clone()),
            Err(refused) => failed.push(format!("{app} ({refused})")),
        }
    }
    match failed.is_empty() {
        true => Ok(Answer::Done(format!("{restarted} apps are restarted"))),
        false => Err(Refused::failed(format!("{restarted} apps are restarted; not {}", failed.join(", ")))),
    }
}
