//! Whom the login lets through to an app: its list of users and groups of the login's provider, and whether it is shown to the world.
//!
//! It is a fact of the app's own record and no part of releases: no deployment and no rollback changes it. Edges read it in one document for
//! all apps, which is brought up to date before the answer; a record whose change they may not have says so, so that a manager which dies in
//! between is followed by another.

use std::collections::BTreeSet;

use futuswarm_model::{Admission, AppRecord, Visitor};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{AdmitChange, Admitted, Answer};

use crate::refusal::Refused;
use crate::{Control, Error, Platform, desired, records};

/// What is to become of an admission, with entries that can be on a list.
enum Wish {
    Add(BTreeSet<Visitor>),
    Remove(BTreeSet<Visitor>),
    Everybody,
    Open(bool),
}

impl Wish {
    fn of(change: &AdmitChange) -> Result<Self, Refused> {
        Ok(match change {
            AdmitChange::Add(entries) => Self::Add(visitors(entries)?),
            AdmitChange::Remove(entries) => Self::Remove(visitors(entries)?),
            AdmitChange::Everybody => Self::Everybody,
            AdmitChange::Open => Self::Open(true),
            AdmitChange::Private => Self::Open(false),
        })
    }

    fn apply(&self, app: &str, host: &str, admission: &mut Admission) -> Result<(), Refused> {
        match self {
            Self::Add(new) => admission.only.get_or_insert_default().extend(new.iter().cloned()),
            Self::Remove(gone) => {
                let list = admission.only.get_or_insert_default();
                if let Some(nobody) = gone.iter().find(|visitor| !list.contains(*visitor)) {
                    return Err(Refused::not_found(format!(
                        "{nobody} is not on the list of {app}, and nothing was changed: `futuswarm app:access:list {app}` shows it"
                    )));
                }
                list.retain(|visitor| !gone.contains(visitor));
            }
            Self::Everybody => admission.only = None,
            Self::Open(open) => admission.open = *open,
        }
        match admission.fits(host) {
            true => Ok(()),
            false => Err(Refused::usage(format!(
                "the list of {app} would be longer than the login has room for (about 70 names): make a group at the provider, and name that"
            ))),
        }
    }
}

pub(crate) fn visitors(entries: &BTreeSet<String>) -> Result<BTreeSet<Visitor>, Refused> {
    if entries.is_empty() {
        return Err(Refused::usage("whom? Each is user:NAME or group:NAME, as the login's provider names them"));
    }
    entries.iter().map(|entry| entry.parse::<Visitor>().map_err(Refused::usage)).collect()
}

/// As messages have it.
pub(crate) fn texts(admission: &Admission) -> Option<BTreeSet<String>> {
    admission.only.as_ref().map(|only| only.iter().map(ToString::to_string).collect())
}

/// Whether the cluster has a login: whoever sets one up leaves a document that says so ([`futuswarm_model::keys::LOGIN`]).
pub(crate) async fn login_is_configured<P: Platform>(control: &Control<P>) -> Result<bool, Error> {
    Ok(control.records.has_login().await?)
}

fn answer(app: String, admission: &Admission, login: bool, changed: bool) -> Answer {
    Answer::Admitted(Admitted { app, open: admission.open, visitors: texts(admission), login, changed })
}

/// Whom an app admits.
pub(crate) async fn show<P: Platform>(control: &Control<P>, record: AppRecord) -> Result<Answer, Refused> {
    let login = login_is_configured(control).await?;
    Ok(answer(record.name, &record.admission, login, false))
}

/// Changes whom an app admits, and has edges know of it. To ask again for what is so already has them told again, if they may not know.
pub(crate) async fn change<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    change: &AdmitChange,
) -> Result<Answer, Refused> {
    let wish = Wish::of(change)?;
    let host = desired::host(app, &control.facts.domain);
    // Before the change, so that it does not look as if that had failed.
    let login = login_is_configured(control).await?;
    let changed = control.records.change_app(app, |record: &mut AppRecord| {
        // Their rights may have changed since the request was allowed.
        control.allowed(actor, Verb::ChangeVisitors, record)?;
        let before = record.admission.clone();
        wish.apply(app, &host, &mut record.admission)?;
        let is_new = record.admission != before;
        if is_new {
            record.unpublished = Some(fastrand::u64(..));
        }
        Ok::<_, Refused>((record.admission.clone(), record.unpublished, is_new))
    });
    let (admission, unpublished, is_new) = changed.await?;
    if let Some(asked) = unpublished {
        let kept = |error: Error| {
            Refused::from(error).after(&format!(
                "{app} has it from now on, and edges may not know yet: a manager tells them by itself, and so does the same command again; just now"
            ))
        };
        publish(control, app, asked).await.map_err(kept)?;
    }
    Ok(answer(app.to_owned(), &admission, login, is_new))
}

/// Has edges know what somebody has changed, if they may not.
pub(crate) async fn settle<P: Platform>(control: &Control<P>, app: &str) -> Result<(), Error> {
    let record = control.records.app(app).await?;
    match record.and_then(|record| record.unpublished) {
        Some(asked) => publish(control, app, asked).await,
        None => Ok(()),
    }
}

async fn publish<P: Platform>(control: &Control<P>, app: &str, asked: u64) -> Result<(), Error> {
    control.records.publish_admission(app).await?;
    let noted = control.records.change_app(app, |record: &mut AppRecord| {
        if record.unpublished == Some(asked) {
            record.unpublished = None;
        }
        Ok::<_, Error>(())
    });
    match noted.await {
        // What edges know of it goes with it.
        Err(Error::Records(records::Error::NoApp(_))) => Ok(()),
        noted => noted,
    }
}
