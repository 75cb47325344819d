//! Layers on their way: where the registry has each, written down so that another manager carries it on, and who sends the rest.
//!
//! One connection at a time sends an upload: two who send pieces to the same place would mix them, and docker-registry compares the digest
//! with what it was sent, which need not be what S3 has then. So whoever sends holds the upload, says so again and again, and stops when
//! that cannot be said any more. A manager that dies says nothing, and another one carries its upload on [`LEASE`] later. A layer of one
//! piece is only written down when it is cut: it is sent again as fast as it is looked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_model::PushUpload;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::feed::IDLE;
use super::{AGAIN, cut};
use crate::client::{Client, milliseconds};
use crate::clock::Clock as _;
use crate::collect::UPLOAD_KEPT;
use crate::refusal::Refused;
use crate::registry::{Digest, Error as RegistryError, Registry as _, Upload};
use crate::{Control, Error, Platform, records};

/// How long whoever sends an upload may be silent before another connection carries it on.
const LEASE: Duration = Duration::from_secs(60);
/// It is said so often.
const RENEW: Duration = Duration::from_secs(10);
/// So long after a failure it is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// So long one attempt takes at most.
const ATTEMPT: Duration = Duration::from_secs(10);
/// Nothing more is sent so long after it was said last. With one more attempt that is well before [`LEASE`] is over, also where two clocks
/// differ by some seconds.
const GOOD: Duration = Duration::from_secs(40);
/// So long an upload is waited for that somebody else holds and to which nothing comes: they are dead, or find out that their client is.
const PATIENCE: Duration = IDLE.saturating_add(LEASE);
/// So long one is waited for whose bytes are all there: the registry puts the layer to its place, and is given 600 s for that.
const ENDING: Duration = Duration::from_secs(660);
/// Between two looks at an upload that somebody else holds.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// An upload on its way.
#[derive(Debug)]
struct Going {
    /// Where the registry's last answer has it.
    now: Upload,
    /// Where the answer before that had it: docker-registry 2.8 confirms a piece also when S3 has not taken it, and is still there then.
    before: Option<Upload>,
}

impl From<Upload> for Going {
    fn from(now: Upload) -> Self {
        Self { now, before: None }
    }
}

#[derive(Debug)]
struct State {
    going: Going,
    /// When it was said last that it is held: since when that was sent. `None` while nobody else can know of the upload.
    said: Option<Instant>,
    /// Whether the bucket has confirmed it, so that what is there is ours or has been taken from us.
    confirmed: bool,
    /// Whether the registry takes nothing more of it.
    over: bool,
}

/// The upload of a layer that this connection sends, and nobody else.
pub(super) struct Holding<'a, P: Platform> {
    control: &'a Control<P>,
    app: &'a str,
    digest: &'a Digest,
    /// By which its record is known for ours.
    holder: String,
    state: Mutex<State>,
    /// That there is something new to write down.
    news: Notify,
}

/// What there is of a layer.
enum Found<'a, P: Platform> {
    /// An upload that was cut, or a new one.
    Ours(Holding<'a, P>),
    /// An upload that another connection sends.
    Theirs(PushUpload),
}

/// Whether an upload is worth looking for at `now`, in milliseconds since 1970.
fn is_known(upload: &PushUpload, now: u64) -> bool {
    upload.at.saturating_add(milliseconds(UPLOAD_KEPT)) > now
}

/// Looks for an upload of the layer that can be carried on. `alone`: another one is begun, whoever else sends the same layer.
async fn find<'a, P: Platform>(
    control: &'a Control<P>,
    app: &'a str,
    digest: &'a Digest,
    length: u64,
    alone: bool,
) -> Result<Found<'a, P>, Refused> {
    let holder = format!("{:032x}", fastrand::u128(..));
    let (sent, now) = (Instant::now(), control.clock.unix_millis());
    let mut is_old = false;
    let take = |there: Option<&PushUpload>| {
        let there = there.filter(|there| !there.is_held(now))?;
        is_old = !is_known(there, now);
        let (holder, node) = (holder.clone(), control.facts.node.clone());
        Some(PushUpload { holder, node, until: now + milliseconds(LEASE), at: now, ..there.clone() })
    };
    let there = match control.records.change_upload(app, digest.as_str(), take).await {
        // A newer version of this program has written it: it is as if nothing had.
        Err(records::Error::Unreadable { .. }) => None,
        Ok((Some(there), true)) => Some(there),
        Ok((Some(there), false)) if there.is_held(now) && !alone => return Ok(Found::Theirs(there)),
        Ok(_) => None,
        Err(error) => return Err(error.into()),
    };
    let Some(there) = there else {
        let begun = control.registry.begin(app).await.map_err(Error::from)?;
        let state = State { going: begun.into(), said: None, confirmed: false, over: false };
        return Ok(Found::Ours(Holding::new(control, (app, digest), holder, state)));
    };
    let going = Upload::at(&there.now).map(|now| Going { now, before: there.before.as_ref().and_then(Upload::at) });
    let going = match going.filter(|_| !is_old) {
        Some(going) => going,
        None => control.registry.begin(app).await.map_err(Error::from)?.into(),
    };
    let state = State { going, said: Some(sent), confirmed: true, over: false };
    let holding = Holding::new(control, (app, digest), holder, state);
    match holding.resume(length).await {
        Ok(()) => Ok(Found::Ours(holding)),
        Err(refused) => {
            holding.leave().await;
            Err(refused)
        }
    }
}

/// Looks for an upload as [`find`] does, and waits for who sends it: perhaps they are dead, or do not know yet that their client is gone.
/// `None` when that is all the same, because the layer may be there by now.
///
/// # Errors
/// When the client is gone, or the bucket or the registry does not answer.
pub(super) async fn wait_for<'a, P: Platform>(
    control: &'a Control<P>,
    (app, digest): (&'a str, &'a Digest),
    length: u64,
    waiting: &mut Waiting,
    client: &Client,
) -> Result<Option<Holding<'a, P>>, Refused> {
    match find(control, app, digest, length, waiting.enough).await? {
        Found::Ours(holding) => Ok(Some(holding)),
        Found::Theirs(there) => {
            let patience = if there.now.offset == length { ENDING } else { PATIENCE };
            waiting.look(&there, patience);
            if !waiting.enough {
                let (node, offset) = (&there.node, there.now.offset);
                let text = format!("waits: {offset} of {length} bytes came through {node}, and no more do");
                client.progress(text, Some(patience));
                tokio::select! {
                    () = sleep(POLL_INTERVAL) => {}
                    () = client.gone() => return Err(Refused::gone()),
                }
            }
            Ok(None)
        }
    }
}

/// How long somebody else's upload was looked at.
#[derive(Debug)]
pub(super) struct Waiting {
    began: Instant,
    /// So many bytes it had at first.
    offset: Option<u64>,
    /// Whether one of our own is begun now.
    enough: bool,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), offset: None, enough: false }
    }

    /// Whoever gets more bytes has a client.
    fn look(&mut self, there: &PushUpload, patience: Duration) {
        let offset = *self.offset.get_or_insert(there.now.offset);
        let advances = there.now.offset != offset && patience != ENDING;
        self.enough = advances || self.began.elapsed() >= patience;
    }
}

impl<'a, P: Platform> Holding<'a, P> {
    fn new(control: &'a Control<P>, (app, digest): (&'a str, &'a Digest), holder: String, state: State) -> Self {
        Self { control, app, digest, holder, state: Mutex::new(state), news: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rest goes.
    pub(super) fn upload(&self) -> Upload {
        self.state().going.now.clone()
    }

    /// Asks the registry whether the upload is still what it was. Another one begins if nobody knows what there is of it, or it cannot go on.
    async fn resume(&self, length: u64) -> Result<(), Refused> {
        let places = {
            let state = self.state();
            [Some(state.going.now.clone()), state.going.before.clone()]
        };
        for upload in places.into_iter().flatten() {
            match self.control.registry.resume(&upload).await {
                Ok(Some(upload)) if upload.offset <= length => {
                    self.state().going = upload.into();
                    return Ok(());
                }
                Err(error @ RegistryError::Unreachable { .. }) => return Err(cut(&error)),
                // A registry that refuses it once does so for ever.
                Ok(_) | Err(_) => {}
            }
        }
        let begun = self.control.registry.begin(self.app).await.map_err(Error::from)?;
        self.state().going = begun.into();
        Ok(())
    }

    /// Whether it is still ours to send.
    ///
    /// # Errors
    /// When another connection may have it by now.
    pub(super) fn check(&self) -> Result<(), Refused> {
        match self.state().said {
            Some(said) if said.elapsed() >= GOOD => Err(lost("the bucket does not answer")),
            _ => Ok(()),
        }
    }

    /// Notes that the registry has a piece more of a layer of so many bytes.
    pub(super) fn advance(&self, next: &Upload, length: u64) {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.going.now, next.clone());
        state.going.before = Some(before);
        if next.offset < length || state.said.is_some() {
            self.news.notify_one();
        }
    }

    /// Notes that the registry takes nothing more of it.
    pub(super) fn end(&self) {
        self.state().over = true;
    }

    /// Writes down where the upload is, after each piece and from time to time, until it is not ours any more; says why.
    pub(super) async fn keep(&self) -> Refused {
        let mut pause = RENEW;
        loop {
            tokio::select! {
                () = self.news.notified() => {}
                () = sleep(pause) => {}
            }
            let is_anything = {
                let state = self.state();
                state.said.is_some() || state.going.now.offset > 0
            };
            if !is_anything {
                continue;
            }
            let written = timeout(ATTEMPT, self.write(milliseconds(LEASE))).await;
            pause = match written {
                Ok(Ok(true)) => RENEW,
                Ok(Ok(false)) => return lost("another connection carries it on"),
                Ok(Err(error)) => {
                    tracing::warn!(%error, app = self.app, "where a layer on its way is, is not written down yet");
                    RETRY
                }
                Err(_) => RETRY,
            };
            if let Err(lost) = self.check() {
                return lost;
            }
        }
    }

    /// Writes down where the upload is, and that it is held for so many milliseconds; for zero it is let go. What others hold stays, and so
    /// does what others have let go farther on. `false` when another connection has taken the upload.
    async fn write(&self, held: u64) -> Result<bool, records::Error> {
        let (sent, now) = (Instant::now(), self.control.clock.unix_millis());
        let (record, is_ours) = {
            let mut state = self.state();
            // Before it is known what comes of it: who reads it counts from then on.
            state.said = state.said.or(Some(sent));
            let record = PushUpload {
                now: state.going.now.place(),
                before: state.going.before.as_ref().map(Upload::place),
                node: self.control.facts.node.clone(),
                holder: self.holder.clone(),
                until: if held == 0 { 0 } else { now + held },
                at: now,
                stamp: String::new(),
            };
            (record, state.confirmed && held > 0)
        };
        let change = |there: Option<&PushUpload>| {
            let is_free = match there {
                Some(there) if there.holder == record.holder => true,
                // It was, and somebody has taken it.
                _ if is_ours => false,
                Some(there) if there.is_held(now) => false,
                Some(there) => !is_known(there, now) || there.now.offset <= record.now.offset,
                None => true,
            };
            is_free.then(|| record.clone())
        };
        let changed = self.control.records.change_upload(self.app, self.digest.as_str(), change).await;
        let mut state = self.state();
        match changed {
            Ok((_, true)) => {
                (state.said, state.confirmed) = (Some(sent), true);
                Ok(true)
            }
            Ok((_, false)) if is_ours => Ok(false),
            Ok((_, false)) => {
                state.said = None;
                Ok(true)
            }
            Err(error) => {
                if !state.confirmed && !matches!(error, records::Error::Undecided { .. }) {
                    state.said = None;
                }
                Err(error)
            }
        }
    }

    /// Lets the upload go: whoever sends the layer again carries it on, if there is something to carry on.
    pub(super) async fn leave(&self) {
        let (is_told, is_worth) = {
            let state = self.state();
            (state.said.is_some(), !state.over && state.going.now.offset > 0)
        };
        let leaving = async {
            match (is_worth, is_told) {
                (true, _) => self.write(0).await.map(|_| ()),
                (false, true) => self.control.records.end_upload(self.app, self.digest.as_str(), &self.holder).await,
                (false, false) => Ok(()),
            }
        };
        let reason = match timeout(ATTEMPT, leaving).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ATTEMPT.as_secs()),
        };
        tracing::warn!(%reason, app = self.app, seconds = LEASE.as_secs(), "whoever sends a layer again waits for it");
    }
}

fn lost(reason: &str) -> Refused {
    Refused::unavailable(format!("this connection has lost the upload of the layer: {reason}; {AGAIN}"))
}
