//! Who may work on the images: any number who push, or one who collects.
//!
//! Each writes that they are there, and then looks for the other. Leases end by themselves when whoever holds them dies; beyond that,
//! what a push counts on is kept for a day, so that a lease that is lost while a push goes on ends no image.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_paas::collection::YOUNG;
use futuswarm_rpc::message::RefusalClass;
use tokio::time::{Instant, sleep};

use crate::client::{Client, milliseconds};
use crate::clock::Clock as _;
use crate::refusal::Refused;
use crate::shares::SHARE;
use crate::{Control, Error, Platform};

/// How long who collects may be silent before others go on.
const LEASE: Duration = Duration::from_secs(150);
/// The lease is renewed so often.
const RENEW: Duration = Duration::from_secs(30);
/// Nothing is deleted any more when so little of the lease is left: longer than a deletion is tried.
const MARGIN: Duration = Duration::from_secs(60);
/// A push waits so long for who collects.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at who is there.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Lets a push of the app go on: nobody collects images before [`SHARE`] is over, and these blobs stay for a day. Waits for who collects
/// just now.
///
/// # Errors
/// When that takes too long, or the bucket does not answer.
pub(crate) async fn share<P: Platform>(
    control: &Control<P>,
    app: &str,
    blobs: &[String],
    client: &Client,
) -> Result<(), Refused> {
    if control.shares.cover(app, blobs) {
        return Ok(());
    }
    let began = Instant::now();
    loop {
        let written = Instant::now();
        write(control, app, blobs).await?;
        // After the writing: who begins to collect from now on sees it.
        let Some(busy) = collects(control).await? else {
            control.shares.note(app, written, blobs);
            return Ok(());
        };
        let mut busy = Some(busy);
        // What was written may be cleared away by who collects, so it is written again after that.
        while let Some(who) = busy {
            if began.elapsed() >= PATIENCE {
                return Err(Refused::new(RefusalClass::Locked, format!("{who}; push again in a minute")));
            }
            client.progress(format!("waits: {who}"), Some(PATIENCE));
            pause(Some(client)).await?;
            busy = collects(control).await?;
        }
    }
}

/// Goes on sharing for as long as a push takes, which may be hours.
pub(crate) async fn keep_sharing<P: Platform>(
    control: &Control<P>,
    app: &str,
    blobs: &[String],
) -> std::convert::Infallible {
    loop {
        sleep(SHARE / 3).await;
        if let Err(error) = write(control, app, blobs).await {
            tracing::warn!(%error, app, "images may be collected while one is pushed; what it counts on stays for a day");
        }
    }
}

async fn write<P: Platform>(control: &Control<P>, app: &str, blobs: &[String]) -> Result<(), Error> {
    let now = control.clock.unix_millis();
    let times = (now, now + milliseconds(SHARE), now.saturating_sub(YOUNG));
    Ok(control.records.share_push(app, &control.facts.node, times, blobs).await?)
}

/// Who collects images now, in words; `None` when nobody does.
pub(crate) async fn collects<P: Platform>(control: &Control<P>) -> Result<Option<String>, Error> {
    let collector = control.records.collector().await?;
    let now = control.clock.unix_millis();
    Ok(collector.is_live(now).then(|| in_words(&collector, now)))
}

fn in_words(collector: &futuswarm_model::Collector, now: u64) -> String {
    let seconds = now.saturating_sub(collector.since) / 1000;
    format!("images that nothing needs are being deleted since {seconds} s ({}, on {})", collector.by, collector.holder)
}

/// Waits for a moment, unless the client is gone.
async fn pause(client: Option<&Client>) -> Result<(), Refused> {
    let moment = POLL_INTERVAL.mul_f64(0.8 + 0.4 * fastrand::f64());
    match client {
        None => sleep(moment).await,
        Some(client) => tokio::select! {
            () = sleep(moment) => {}
            () = client.gone() => return Err(Refused::gone()),
        },
    }
    Ok(())
}

/// The lease of who collects.
pub(super) struct Lease<'a, P: Platform> {
    control: &'a Control<P>,
    epoch: u64,
    /// When the last renewal that was applied was sent.
    renewed: Mutex<Instant>,
}

impl<'a, P: Platform> Lease<'a, P> {
    /// Takes the lease, once nobody pushes and nobody else collects; waits so long for that.
    ///
    /// # Errors
    /// When somebody is there for longer, which is said, or the bucket does not answer.
    pub(super) async fn take(
        control: &'a Control<P>,
        by: &str,
        wait: Duration,
        client: Option<&Client>,
    ) -> Result<Self, Refused> {
        let began = Instant::now();
        loop {
            let busy = match pushes(control).await? {
                Some(pushes) => pushes,
                None => match Self::try_take(control, by).await? {
                    Ok(lease) => match pushes(control).await? {
                        None => return Ok(lease),
                        // They have begun at the same moment, and wait for us.
                        Some(pushes) => {
                            lease.give_back(None).await;
                            pushes
                        }
                    },
                    Err(who) => who,
                },
            };
            if began.elapsed() >= wait {
                let what = format!("{busy}: nothing was deleted; try again later, or wait with `--wait SECONDS`");
                return Err(Refused::new(RefusalClass::Locked, what));
            }
            if let Some(client) = client {
                client.progress(format!("waits: {busy}"), Some(wait));
            }
            pause(client).await?;
        }
    }

    /// The lease, or who has it.
    async fn try_take(control: &'a Control<P>, by: &str) -> Result<Result<Self, String>, Error> {
        let sent = Instant::now();
        let now = control.clock.unix_millis();
        let change = |collector: &mut futuswarm_model::Collector| {
            if collector.is_live(now) {
                return false;
            }
            collector.holder.clone_from(&control.facts.node);
            by.clone_into(&mut collector.by);
            collector.epoch += 1;
            (collector.since, collector.until) = (now, now + milliseconds(LEASE));
            true
        };
        let (collector, taken) = control.records.change_collector(change).await?;
        Ok(match taken {
            true => Ok(Self { control, epoch: collector.epoch, renewed: Mutex::new(sent) }),
            false => Err(in_words(&collector, now)),
        })
    }

    fn renewed(&self) -> MutexGuard<'_, Instant> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is time for one more deletion.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.renewed().elapsed() + MARGIN < LEASE {
            true => Ok(()),
            false => Err(Error::LeaseLost),
        }
    }

    /// Renews the lease until it is lost, and says why.
    pub(super) async fn keep(&self) -> Error {
        loop {
            sleep(RENEW).await;
            let sent = Instant::now();
            let until = self.control.clock.unix_millis() + milliseconds(LEASE);
            let change = |collector: &mut futuswarm_model::Collector| {
                let is_ours = collector.epoch == self.epoch && collector.until > 0;
                if is_ours {
                    collector.until = until;
                }
                is_ours
            };
            match self.control.records.change_collector(change).await {
                Ok((_, true)) => *self.renewed() = sent,
                Ok((_, false)) => return Error::LeaseLost,
                Err(error) => {
                    tracing::warn!(%error, "the lease of who collects images is not renewed yet");
                    if let Err(lost) = self.check() {
                        return lost;
                    }
                }
            }
        }
    }

    /// Gives it back; `ended_at` when images of all apps were collected to the end, in milliseconds since 1970.
    pub(super) async fn give_back(self, ended_at: Option<u64>) {
        let change = |collector: &mut futuswarm_model::Collector| {
            let is_ours = collector.epoch == self.epoch;
            if is_ours {
                collector.until = 0;
                collector.ended_at = ended_at.unwrap_or(collector.ended_at);
            }
            is_ours
        };
        if let Err(error) = self.control.records.change_collector(change).await {
            tracing::warn!(%error, seconds = LEASE.as_secs(), "pushes wait until a lease is over that could not be given back");
        }
    }
}

/// Which apps are being pushed now, in words; `None` when none is.
async fn pushes<P: Platform>(control: &Control<P>) -> Result<Option<String>, Error> {
    let now = control.clock.unix_millis();
    let mut shares = control.records.push_shares().await?;
    shares.retain(|share| share.until > now);
    let until = shares.iter().map(|share| share.until).max().unwrap_or_default();
    let apps: Vec<&str> = shares.iter().map(|share| share.app.as_str()).collect();
    let seconds = until.saturating_sub(now).div_ceil(1000);
    let words = || format!("images of {} are being pushed, which counts as over {seconds} s from now", apps.join(", "));
    Ok((!apps.is_empty()).then(words))
}
