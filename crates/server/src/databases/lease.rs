//! Who changes a database: a lease in the app's record, renewed for as long as the work goes on, and free again when its holder died.

use std::time::Duration;

use futuswarm_model::{AppDatabase, AppRecord, DatabaseLease};
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::RefusalClass;
use tokio::time::{Instant, sleep};

use crate::client::milliseconds;
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::{Control, Platform};

/// How long a holder may be silent. Longer than any call of theirs.
const LEASE: Duration = Duration::from_secs(180);
/// What the stamp of whoever drops a database begins with. It is no field of its own: managers of the version before know none.
const DROPS: &str = "drop-";
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(45);

/// What is to be done, and by whom.
pub(super) struct Claim<'a> {
    pub(super) app: &'a str,
    pub(super) actor: &'a Actor,
    pub(super) verb: Verb,
    /// Whether the app may have no database yet. From now on the record says that it has one.
    pub(super) begins: bool,
}

/// Works while nobody else changes the app's database. The work is given up when the lease is lost.
pub(super) async fn leased<P: Platform, T>(
    control: &Control<P>,
    claim: Claim<'_>,
    work: impl Future<Output = Result<T, Refused>>,
) -> Result<T, Refused> {
    let what = if claim.verb == Verb::DropDatabase { DROPS } else { "" };
    let stamp = format!("{what}{:032x}", fastrand::u128(..));
    take(control, &claim, &stamp).await?;
    let outcome = tokio::select! {
        outcome = work => outcome,
        lost = keep(control, claim.app, &stamp) => Err(lost),
    };
    if let Err(error) = give_back(control, claim.app, &stamp).await {
        tracing::warn!(%error, app = claim.app, "the lease of a database ends by itself");
    }
    outcome
}

/// Refuses what would write into a database that is being dropped: its last backup may be taken already.
pub(super) fn refuse_dropping<P: Platform>(control: &Control<P>, record: &AppRecord) -> Result<(), Refused> {
    let app = &record.name;
    let database = record.database.as_ref().ok_or_else(|| super::none(app))?;
    let now = control.clock.unix_millis();
    match database.lease.as_ref().filter(|lease| lease.until > now && lease.stamp.starts_with(DROPS)) {
        Some(lease) => Err(Refused::new(
            RefusalClass::Locked,
            format!(
                "{} is dropping the database of {app}: wait for them, or {} s if they are gone, and look at `futuswarm db:list {app}`",
                lease.by,
                lease.until.saturating_sub(now).div_ceil(1000)
            ),
        )),
        None => Ok(()),
    }
}

async fn take<P: Platform>(control: &Control<P>, claim: &Claim<'_>, stamp: &str) -> Result<(), Refused> {
    let (app, by) = (claim.app, claim.actor.to_string());
    let taken = control.records.change_app(app, |record: &mut AppRecord| {
        // Their rights may have changed since they asked.
        control.allowed(claim.actor, claim.verb, record)?;
        let now = control.clock.unix_millis();
        if claim.begins && record.database.is_none() {
            record.database = Some(AppDatabase { by: by.clone(), created_at: now, lease: None });
        }
        let database = record.database.as_mut().ok_or_else(|| super::none(app))?;
        if let Some(other) = database.lease.as_ref().filter(|other| other.until > now && other.stamp != stamp) {
            return Err(Refused::new(
                RefusalClass::Locked,
                format!(
                    "{} is changing the database of {app}: wait for them, or {} s if they are gone, and try again",
                    other.by,
                    other.until.saturating_sub(now).div_ceil(1000)
                ),
            ));
        }
        let until = now + milliseconds(LEASE);
        database.lease = Some(DatabaseLease { by: by.clone(), stamp: stamp.to_owned(), until });
        Ok(())
    });
    taken.await
}

/// Renews the lease for ever; ends with a refusal when it is somebody else's, or may be.
async fn keep<P: Platform>(control: &Control<P>, app: &str, stamp: &str) -> Refused {
    let lost = || {
        Refused::failed(format!(
            "the lease of the database of {app} was lost: look at `futuswarm db:list {app}` and try again"
        ))
    };
    let mut renewed = Instant::now();
    loop {
        sleep(RENEW).await;
        let kept = control.records.change_app(app, |record: &mut AppRecord| {
            let lease = record.database.as_mut().and_then(|database| database.lease.as_mut());
            let Some(lease) = lease.filter(|lease| lease.stamp == stamp) else { return Ok(false) };
            lease.until = control.clock.unix_millis() + milliseconds(LEASE);
            Ok::<_, Refused>(true)
        });
        match kept.await {
            Ok(true) => renewed = Instant::now(),
            Ok(false) => return lost(),
            // The bucket does not answer; as long as the lease is good that hurts nobody.
            Err(error) => tracing::warn!(%error, app, "the lease of a database is not renewed"),
        }
        if renewed.elapsed() + RENEW > LEASE {
            return lost();
        }
    }
}

async fn give_back<P: Platform>(control: &Control<P>, app: &str, stamp: &str) -> Result<(), Refused> {
    let given = control.records.change_app(app, |record: &mut AppRecord| {
        if let Some(database) = &mut record.database {
            database.lease = database.lease.take().filter(|lease| lease.stamp != stamp);
        }
        Ok::<_, Refused>(())
    });
    given.await
}
