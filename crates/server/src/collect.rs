//! Images that nothing needs: found, told, and deleted, at somebody's word or once a day.
//!
//! It is marked and swept over docker-registry's objects in the bucket, because the registry's own `garbage-collect` must be the only one
//! that runs, and there is a registry on every node. What is needed is decided by `paas::collection`; who may be at it is in `lease`.

mod lease;
mod survey;

use std::sync::Arc;
use std::time::Duration;

use futuswarm_model::app_name;
use futuswarm_paas::access::Actor;
use futuswarm_paas::collection::USUAL_KEEP;
use futuswarm_rpc::message::{Answer, Collected};
use futuswarm_swarm::NodeApi as _;
use tokio::time::sleep;

use crate::client::{Client, milliseconds};
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::registry::manifests::Manifests;
use crate::{Control, Error, Platform};
use lease::Lease;
pub(crate) use lease::{collects, keep_sharing, share};
use survey::{Scope, Survey, survey};

/// So long it is known where an upload is that was cut: whoever comes later has made the image anew, and S3 keeps none for ever.
pub(crate) const UPLOAD_KEPT: Duration = Duration::from_secs(86_400);
/// From the end of one daily round to the next.
const DAILY: Duration = Duration::from_secs(24 * 3600);
/// Between two looks whether the daily round is due.
const POLL_INTERVAL: Duration = Duration::from_secs(900);
/// The daily round waits so long for pushes, and then for its next look.
const DAILY_WAIT: Duration = Duration::from_secs(600);
/// The longest that somebody waits for pushes, in seconds.
const LONGEST_WAIT: u32 = 3600;
/// The most releases whose images are kept.
const MOST_KEPT: u32 = 1000;

/// What somebody wants collected.
pub(crate) struct Wanted {
    pub(crate) app: Option<String>,
    pub(crate) keep: Option<u32>,
    pub(crate) plan: bool,
    pub(crate) wait: Option<u32>,
}

/// Deletes images that nothing needs, or says which these are.
pub(crate) async fn collect<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    wanted: Wanted,
    client: &Client,
) -> Result<Answer, Refused> {
    let keep = wanted.keep.unwrap_or(USUAL_KEEP);
    if !(1..=MOST_KEPT).contains(&keep) {
        return Err(Refused::usage(format!(
            "the images of {keep} releases cannot be kept; of 1 to {MOST_KEPT} they can"
        )));
    }
    if let Some(app) = &wanted.app {
        app_name(app).map_err(Refused::usage)?;
    }
    let scope = Scope { app: wanted.app, keep };
    if wanted.plan {
        client.progress("looks for images that nothing needs", None);
        let mut planned = look(control, &scope, &mut Manifests::default()).await?.collected;
        planned.plan = true;
        return Ok(Answer::Collected(planned));
    }
    let wait = Duration::from_secs(wanted.wait.unwrap_or_default().min(LONGEST_WAIT).into());
    Ok(Answer::Collected(run(control, &scope, &actor.to_string(), wait, Some(client)).await?))
}

/// Collects once a day, on whichever manager leads the Swarm; for as long as the process lives.
pub(crate) async fn daily<P: Platform>(control: Arc<Control<P>>) {
    loop {
        sleep(POLL_INTERVAL.mul_f64(0.8 + 0.4 * fastrand::f64())).await;
        if let Err(refused) = daily_round(&control).await {
            tracing::warn!(%refused, "images that nothing needs are collected later");
        }
    }
}

/// Collects if it is time, and for this node to do it, and forgets keys of no token and layers of no push; `None` otherwise.
pub(crate) async fn daily_round<P: Platform>(control: &Control<P>) -> Result<Option<Collected>, Refused> {
    let nodes = control.engine.list_nodes().await.map_err(Error::from)?;
    if !nodes.iter().any(|node| node.is_leader() && node.hostname == control.facts.node) {
        return Ok(None);
    }
    let last = control.records.collector().await.map_err(Error::from)?.ended_at;
    if control.clock.unix_millis().saturating_sub(last) < milliseconds(DAILY) {
        return Ok(None);
    }
    let scope = Scope { app: None, keep: USUAL_KEEP };
    let collected = run(control, &scope, "the daily round", DAILY_WAIT, None).await?;
    tracing::info!(blobs = collected.blobs, bytes = collected.bytes, kept = collected.kept_blobs, "collected images");
    match control.records.forget_uploads(UPLOAD_KEPT).await {
        Ok(0) => {}
        Ok(uploads) => tracing::info!(uploads, "forgot layers whose rest nobody has sent"),
        Err(error) => tracing::warn!(%error, "layers whose rest nobody has sent are forgotten tomorrow"),
    }
    match control.records.forget_keys().await {
        Ok(0) => {}
        Ok(keys) => tracing::info!(keys, "forgot keys of tokens that there are not any more"),
        Err(error) => tracing::warn!(%error, "keys of tokens that there are not any more are forgotten tomorrow"),
    }
    Ok(Some(collected))
}

async fn look<P: Platform>(control: &Control<P>, scope: &Scope, manifests: &mut Manifests) -> Result<Survey, Error> {
    let now = control.records.bucket_time().await?;
    survey(control, scope, now, manifests).await
}

async fn run<P: Platform>(
    control: &Control<P>,
    scope: &Scope,
    by: &str,
    wait: Duration,
    client: Option<&Client>,
) -> Result<Collected, Refused> {
    let say = |text: &str| client.into_iter().for_each(|client| client.progress(text, None));
    say("looks for images that nothing needs");
    // Without the lease, so that pushes wait no longer than they must: what was read now is not read again, and often there is nothing.
    let mut manifests = Manifests::default();
    let first = look(control, scope, &mut manifests).await?;
    if first.is_empty() {
        note_end(control, scope).await?;
        return Ok(first.collected);
    }
    let lease = Lease::take(control, by, wait, client).await?;
    let swept = async {
        let survey = look(control, scope, &mut manifests).await?;
        sweep(control, &lease, &survey, &say).await?;
        Ok::<_, Error>(survey.collected)
    };
    let outcome = tokio::select! {
        swept = swept => swept,
        lost = lease.keep() => Err(lost),
    };
    let ended_at = (outcome.is_ok() && scope.app.is_none()).then(|| control.clock.unix_millis());
    lease.give_back(ended_at).await;
    Ok(outcome?)
}

/// Notes that there was nothing to do, for the daily round.
async fn note_end<P: Platform>(control: &Control<P>, scope: &Scope) -> Result<(), Error> {
    if scope.app.is_none() {
        let now = control.clock.unix_millis();
        let note = |collector: &mut futuswarm_model::Collector| {
            collector.ended_at = now;
            true
        };
        control.records.change_collector(note).await?;
    }
    Ok(())
}

/// Deletes what was found, one phase after the other: whatever ends it in between, no tag misses a blob.
async fn sweep<P: Platform>(
    control: &Control<P>,
    lease: &Lease<'_, P>,
    survey: &Survey,
    say: &(impl Fn(&str) + Sync),
) -> Result<(), Error> {
    let all: usize = survey.phases.iter().map(Vec::len).sum();
    let mut done = 0;
    for phase in &survey.phases {
        let mut rest = phase.as_slice();
        while !rest.is_empty() {
            say(&format!("deletes: {done} of {all} objects are gone"));
            lease.check()?;
            let count = control.records.delete_registry(rest).await?;
            (done, rest) = (done + count, &rest[count..]);
        }
    }
    for app in &survey.forgotten {
        lease.check()?;
        control.records.forget_push(app).await?;
    }
    Ok(())
}
