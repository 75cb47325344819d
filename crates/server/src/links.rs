//! Links between apps: two share a network of their own once the owners of both want it, and for as long as both do.
//!
//! What an app wants is a fact of its own record ([`futuswarm_paas::links`]), and no part of releases: a rollback brings no link back. On
//! the network that two share there are no names but those that the Swarm gives their services, which are the apps' own and unique: no
//! attachment has an alias, so that nobody can be found there under another app's name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futuswarm_model::{AppRecord, AppRole, Link, app_name};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_paas::links::{self as rules, LinkError};
use futuswarm_rpc::message::{Answer, Deployment, Link as Request, LinkChange, LinkRow, LinkState, RefusalClass, Wait};
use tokio::time::{Instant, sleep};

mod networks;
mod pair;
mod settle;

use crate::audit::Audited;
use crate::client::Client;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Error, Platform, deploy, records, rollout};
pub(crate) use networks::sweep;
use pair::Pair;
pub(crate) use settle::{Settled, put_off, settle};

/// The link is made already when its release has to wait for another one: so long, since nobody wants to ask again.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks whether the other release has ended.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

impl From<LinkError> for Refused {
    fn from(error: LinkError) -> Self {
        let class = match error {
            LinkError::Platform(_) => RefusalClass::Denied,
            LinkError::Itself(_) | LinkError::TooMany(_) => RefusalClass::Usage,
        };
        Self::new(class, error.to_string())
    }
}

/// Gives the word of an app for a link, or takes it back, and waits for what follows for that app. What follows for the other one, its
/// own driver does.
pub(crate) async fn change<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    request: Request,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let Request { app, other, end, wait } = request;
    app_name(&other).map_err(Refused::usage)?;
    let command = if end { "app:unlink" } else { "app:link" };
    let by = format!("{actor} ({command} {app} {other})");
    let kept = |refused: Refused| {
        let lead = if end { "wants no link any more" } else { "wants the link from now on" };
        refused.after(&format!("{app} {lead}, and what follows comes by itself once it is possible; just now"))
    };
    let concerns_other = match end {
        true => take_back(control, actor, &app, &other, &by).await?,
        false => match give(control, actor, &app, &other, &by).await? {
            Some(record) => {
                // Read again: of two who say it at the same time, the later one sees both.
                let there = control.records.app(&other).await.map_err(|error| kept(error.into()))?;
                there.is_some_and(|there| rules::are_linked(&record, &there))
            }
            None => false,
        },
    };
    if concerns_other {
        // The other app's people find it under that app, too.
        control.audit(Audited::of_other(actor, command, &other));
    }
    let deployment = follow(control, actor, (&app, &by), &wait, client).await.map_err(kept)?;
    let record = control.existing(&app).await.map_err(kept)?;
    let there = control.records.app(&other).await.map_err(|error| kept(error.into()))?;
    let state = if end { LinkState::Ended } else { state(&record, &other, there.as_ref()) };
    let owners = there.filter(|_| state == LinkState::Waiting).map(|there| owners(&there)).unwrap_or_default();
    let attached = networks::attached(control, &app).await.map_err(|error| kept(error.into()))?.unwrap_or_default();
    let attached = is_attached(&attached, &app, &other);
    Ok(Answer::Link(LinkChange { app, other, state, attached, owners, deployment }))
}

/// Notes that the app wants the link. To ask again is no error, and has everything looked at again. Returns the record when it is new.
async fn give<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    other: &str,
    by: &str,
) -> Result<Option<AppRecord>, Refused> {
    rules::check(app, other, matches!(actor, Actor::User { admin: true, .. }))?;
    let there = control.records.app(other).await.map_err(Error::from)?;
    // As whoever asks for an app is told that there is none of the name.
    let there = there.ok_or_else(|| Refused::not_found(format!("there is no app {other}")))?;
    let link = Link { life: there.created_at, by: actor.to_string(), at: control.clock.unix_millis() };
    let given = control.records.change_app(app, |record: &mut AppRecord| {
        // Their rights may have changed since the request was allowed.
        control.allowed(actor, Verb::Link, record)?;
        let is_new = rules::want(record, other, link.clone())?;
        record.ask_to_reattach(by, &[other]);
        Ok::<_, Refused>(is_new.then(|| record.clone()))
    });
    given.await
}

/// Notes that the app does not want the link any more. The other app may be gone. Returns whether both were linked.
async fn take_back<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    other: &str,
    by: &str,
) -> Result<bool, Refused> {
    let there = control.records.app(other).await.map_err(Error::from)?;
    let taken = control.records.change_app(app, |record: &mut AppRecord| {
        control.allowed(actor, Verb::Link, record)?;
        let was_linked = there.as_ref().is_some_and(|there| rules::are_linked(record, there));
        if record.links.remove(other).is_none() {
            return Err(Refused::not_found(format!(
                "{app} wants no link with {other}; `futuswarm app:links {app}` lists those that it wants"
            )));
        }
        record.ask_to_reattach(by, &[other]);
        Ok(was_linked)
    });
    taken.await
}

/// Waits for the app's own release, if one follows from the change. That of the other app is nothing to wait for: it may be busy, or fail.
async fn follow<P: Platform>(
    control: &Arc<Control<P>>,
    actor: &Actor,
    (app, by): (&str, &str),
    wait: &Wait,
    client: &mut Client,
) -> Result<Option<Deployment>, Refused> {
    let began = Instant::now();
    let limit = if wait.for_lock.is_some() { deploy::longest(wait) } else { PATIENCE };
    let mut before = None;
    loop {
        match settle(control, app).await? {
            Settled::Made(release, previous) => {
                rollout::drive(control, app);
                return match wait.detach {
                    true => Ok(Some(deploy::deployment(control, &release, previous))),
                    false => deploy::watch(control, app, release.number, previous, client).await.map(Some),
                };
            }
            Settled::Busy(number) => {
                // That one, and not a later one: it may be that of this change.
                if wait.supersede && before.is_none() {
                    deploy::supersede(control, actor, Verb::Link, app, number).await?;
                }
                if wait.detach || began.elapsed() >= limit {
                    return Ok(None);
                }
                before = Some(number);
                client.progress(format!("waits for release {number} of {app}"), Some(limit));
                tokio::select! {
                    () = sleep(POLL_INTERVAL) => {}
                    () = client.gone() => return Err(Refused::gone()),
                }
            }
            Settled::Done | Settled::Later => break,
        }
    }
    // The release that was waited for may be the one for this change: somebody who looks for what is to be done was faster.
    let Some(number) = before else { return Ok(None) };
    let release = control.records.release(app, number).await.map_err(Error::from)?;
    Ok(release.filter(|release| release.by == by).map(|release| deploy::deployment(control, &release, None)))
}

fn owners(record: &AppRecord) -> Vec<String> {
    let owners = record.access.rows().filter(|(_, role)| *role == AppRole::Owner);
    owners.map(|(principal, _)| principal.to_string()).collect()
}

/// How it stands between an app and another one that it wants a link with.
fn state(record: &AppRecord, other: &str, there: Option<&AppRecord>) -> LinkState {
    match there.filter(|there| rules::wants(record, there)) {
        Some(there) if rules::are_linked(record, there) => LinkState::Linked,
        Some(_) => LinkState::Waiting,
        None if record.links.contains_key(other) => LinkState::Gone,
        None => LinkState::Ended,
    }
}

fn is_attached(attached: &BTreeSet<Pair>, app: &str, other: &str) -> bool {
    attached.iter().any(|pair| pair.is_of(app, other))
}

/// The links of an app, and those that others want with it.
pub(crate) async fn list<P: Platform>(control: &Control<P>, record: AppRecord) -> Result<Answer, Refused> {
    let attached = networks::attached(control, &record.name).await?.unwrap_or_default();
    let mut rows = BTreeMap::new();
    for (other, row) in control.records.apps().await.map_err(Error::from)? {
        if other != record.name && row.links.get(&record.name) == Some(&record.created_at) {
            let row = LinkRow { other: other.clone(), state: LinkState::Asked, attached: false, by: None, at: None };
            rows.insert(other, row);
        }
    }
    let mut asked = Vec::new();
    for other in record.links.keys() {
        asked.push(control.records.app(other));
    }
    for ((other, link), answer) in record.links.iter().zip(join_all(asked).await) {
        let there = match answer {
            // That of another app, which is nothing to hide the rest for.
            Err(error @ records::Error::Unreadable { .. }) => {
                tracing::warn!(%error, app = record.name, other, "a link does not count");
                None
            }
            answer => answer.map_err(Error::from)?,
        };
        let state = state(&record, other, there.as_ref());
        // A later app of the name asks: what was said of the one before it is no answer.
        if state == LinkState::Gone && rows.contains_key(other) {
            continue;
        }
        let (by, at) = (Some(link.by.clone()), Some(link.at));
        let attached = is_attached(&attached, &record.name, other);
        rows.insert(other.clone(), LinkRow { other: other.clone(), state, attached, by, at });
    }
    Ok(Answer::Links(rows.into_values().collect()))
}

/// Ids of the networks that the tasks of an app are on beside its own.
pub(crate) async fn ensured<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<Vec<String>, Error> {
    networks::ensured(control, record).await
}

/// Takes what other apps want with an app that is being removed out of their records: its links go with it. Whoever looks for what there
/// is to do has those leave the networks that they shared with it.
pub(crate) async fn part<P: Platform>(control: &Control<P>, removed: &AppRecord) -> Result<(), Error> {
    let index = control.records.apps().await?;
    let wants = |life: Option<&u64>| life == Some(&removed.created_at);
    let mut others: Vec<String> = removed.links.keys().cloned().collect();
    others.extend(index.into_iter().filter(|(_, row)| wants(row.links.get(&removed.name))).map(|(other, _)| other));
    others.sort();
    others.dedup();
    for other in others {
        let parted = control.records.change_app(&other, |record: &mut AppRecord| {
            if rules::wants(record, removed) {
                record.links.remove(&removed.name);
                record.ask_to_reattach(&format!("the removal of {}", removed.name), &[]);
            }
            Ok::<_, Error>(())
        });
        match parted.await {
            Ok(()) | Err(Error::Records(records::Error::NoApp(_))) => {}
            // Its word does not count without this app: nothing has to wait for somebody to mend its record.
            Err(Error::Records(error @ records::Error::Unreadable { .. })) => {
                tracing::warn!(%error, app = other, "an app keeps a link with one that is removed");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
