//! Brings the tasks of an app onto the networks that follow from its links, with a release that changes nothing else.
//!
//! A change of a link is one of an app's own record, which says at once that the networks have to be looked at. Whoever drives the app
//! looks: it tells the other app, compares the service with the links, and makes a release where they differ. The record says so until
//! they do not differ any more, so that a manager which dies anywhere is followed by another, and a release that was put back by another.

use std::sync::Arc;

use futuswarm_model::{AppRecord, Deploying, Reattach, Release};
use futuswarm_paas::links::{self, Attempt};

use super::networks;
use crate::clock::Clock as _;
use crate::{Control, Error, Platform, deploy, records, rollout};

/// What is true of the networks of an app after a look at them.
#[derive(Debug)]
pub(crate) enum Settled {
    /// There is nothing to do: its tasks are on them, or it has none, or no more is tried.
    Done,
    /// This release was made for them, after the one that the app runs with.
    Made(Box<Release>, Option<u64>),
    /// The release of this number is on its way. Afterwards there is to be looked again.
    Busy(u64),
    /// It is tried again later.
    Later,
}

/// Looks at the networks of an app if somebody has asked for that.
pub(crate) async fn settle<P: Platform>(control: &Arc<Control<P>>, app: &str) -> Result<Settled, Error> {
    loop {
        let Some(record) = control.records.app(app).await? else { return Ok(Settled::Done) };
        let Some(asked) = &record.reattach else { return Ok(Settled::Done) };
        // Before anything that may take long here: the other app need not wait for it.
        let all_told = tell(control, &record, asked).await?;
        if let Some(deploying) = &record.deploying {
            return Ok(Settled::Busy(deploying.release.number));
        }
        let now = control.clock.unix_millis();
        let next = match difference(control, &record).await? {
            Some(leaves) => links::attempt(asked.attempts, asked.not_before, leaves, now),
            None => Attempt::Never,
        };
        match next {
            Attempt::Later => return Ok(Settled::Later),
            // Somebody has not been told yet, and nobody else would.
            Attempt::Never if !all_told => return Ok(Settled::Later),
            Attempt::Never => {
                if done(control, &record, asked).await? {
                    return Ok(Settled::Done);
                }
            }
            Attempt::Now => {
                if let Some((release, previous)) = release(control, &record, asked, now).await? {
                    return Ok(Settled::Made(Box::new(release), previous));
                }
            }
        }
        // Somebody has changed the record since it was read: what was found out may not be true any more.
    }
}

/// Has the other apps looked at for which the same may follow. Returns whether all know.
async fn tell<P: Platform>(control: &Arc<Control<P>>, record: &AppRecord, asked: &Reattach) -> Result<bool, Error> {
    let mut told = Vec::new();
    for other in &asked.tell {
        match ask(control, record, other, &asked.by).await {
            Ok(()) => told.push(other),
            // This app goes on whatever is wrong with the other one.
            Err(error) => tracing::warn!(%error, app = record.name, other, "a linked app does not know yet"),
        }
    }
    if told.is_empty() {
        return Ok(asked.tell.is_empty());
    }
    let noted = control.records.change_app(&record.name, |record: &mut AppRecord| {
        // Who was to be told again since then still is.
        if let Some(known) = record.reattach.as_mut().filter(|known| known.asked == asked.asked) {
            known.tell.retain(|other| !told.contains(&other));
        }
        Ok::<_, Error>(())
    });
    gone_is_done(noted.await)?;
    Ok(told.len() == asked.tell.len())
}

/// Asks for a look at the networks of another app, if that wants a link with this one: otherwise nothing follows for it.
async fn ask<P: Platform>(control: &Arc<Control<P>>, record: &AppRecord, other: &str, by: &str) -> Result<(), Error> {
    let there = control.records.app(other).await?;
    if there.is_none_or(|there| !links::wants(&there, record)) {
        return Ok(());
    }
    let asked = control.records.change_app(other, |there: &mut AppRecord| {
        if links::wants(there, record) {
            there.ask_to_reattach(by, &[]);
        }
        Ok::<_, Error>(())
    });
    gone_is_done(asked.await)?;
    rollout::drive(control, other);
    Ok(())
}

/// An app that is gone has no networks.
fn gone_is_done(changed: Result<(), Error>) -> Result<(), Error> {
    match changed {
        Err(Error::Records(records::Error::NoApp(_))) => Ok(()),
        changed => changed,
    }
}

/// Whether the app's service is on other networks than it should be, and if so, whether it has one to leave. An app that runs nothing
/// comes onto them with its next release.
async fn difference<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<Option<bool>, Error> {
    if record.release.is_none() {
        return Ok(None);
    }
    let wanted = networks::wanted(control, record).await?;
    let attached = networks::attached(control, &record.name).await?;
    Ok(attached.filter(|attached| *attached != wanted).map(|attached| !attached.is_subset(&wanted)))
}

/// Notes that there is nothing to look at any more, unless the record has changed since it was read; then it is `false`.
async fn done<P: Platform>(control: &Control<P>, known: &AppRecord, asked: &Reattach) -> Result<bool, Error> {
    if asked.attempts > 0 {
        tracing::info!(
            app = known.name,
            attempts = asked.attempts,
            "the networks of an app are not looked at any more"
        );
    }
    let noted = control.records.change_app(&known.name, |record: &mut AppRecord| {
        if !is_unchanged(record, known, asked) {
            return Ok(false);
        }
        record.reattach = None;
        Ok::<_, Error>(true)
    });
    match noted.await {
        Err(Error::Records(records::Error::NoApp(_))) => Ok(true),
        noted => noted,
    }
}

/// Whether a decision on the record still counts. Not by its stamp: that somebody was told is a writing, and changes nothing of it.
fn is_unchanged(record: &AppRecord, known: &AppRecord, asked: &Reattach) -> bool {
    let same =
        |now: &Reattach| (now.asked, now.attempts, now.not_before) == (asked.asked, asked.attempts, asked.not_before);
    record.created_at == known.created_at
        && record.links == known.links
        && (record.latest, record.release) == (known.latest, known.release)
        && record.deploying.is_none()
        && record.reattach.as_ref().is_some_and(same)
}

/// Writes a release into the record that says the same as the one that the app runs with; `None` when the record has changed since it
/// was read.
async fn release<P: Platform>(
    control: &Control<P>,
    known: &AppRecord,
    asked: &Reattach,
    now: u64,
) -> Result<Option<(Release, Option<u64>)>, Error> {
    let Some(number) = known.release else { return Ok(None) };
    let app = &known.name;
    let runs = control.records.release(app, number).await?;
    let runs = runs.ok_or_else(|| Error::Missing(format!("release {number} of {app}")))?;
    let made = control.records.change_app(app, |record: &mut AppRecord| {
        if !is_unchanged(record, known, asked) {
            return Ok(None);
        }
        record.latest += 1;
        let release = deploy::repeated(&runs, record.latest, &asked.by, now);
        record.deploying = Some(Deploying { release: release.clone(), holder: String::new(), epoch: 0, until: 0 });
        if let Some(reattach) = &mut record.reattach {
            count(reattach, now);
        }
        Ok::<_, Error>(Some((release, record.release)))
    });
    match made.await {
        Err(Error::Records(records::Error::NoApp(_))) => Ok(None),
        made => made,
    }
}

fn count(reattach: &mut Reattach, now: u64) {
    reattach.attempts = reattach.attempts.saturating_add(1);
    reattach.not_before = links::pause(reattach.attempts, now);
}

/// Puts the next attempt off, when a release of the app that ended at `now` did not come to run.
pub(crate) fn put_off(record: &mut AppRecord, now: u64) {
    if let Some(reattach) = &mut record.reattach {
        reattach.not_before = links::pause(reattach.attempts, now);
    }
}
