//! Connections of sessions: who is at the other end, the greeting, one request, its end, and its line in the audit.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{Event, Notice, Request};
use futuswarm_rpc::{Caller, Frame, Hello, Identity, agree};
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::audit::Audited;
use crate::client::{Client, Ends, Input, Reading, milliseconds};
use crate::limits::{Place, What};
use crate::refusal::Refused;
use crate::verbs::Subject;
use crate::wire::{self, Incoming, Outgoing};
use crate::{Control, Platform, standing, verbs};

/// So many connections at once: more than a team has, fewer than would hurt the manager.
const CONNECTIONS: usize = 256;
/// So many more are told that there are too many.
const TURNED_AWAY: usize = 16;
/// From the connection to the request. A person may have to touch a key, but before SSH lets them in.
const GREETING_DEADLINE: Duration = Duration::from_secs(30);
/// As [`GREETING_DEADLINE`], for who is only to be told why there is no room.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);
/// So long a request that is long waits until others have been read. What is left until [`GREETING_DEADLINE`] is for reading it.
const TURN: Duration = Duration::from_secs(15);
/// Between two looks whether it is a long request's turn.
const TURN_LOOK: Duration = Duration::from_millis(200);
/// What is said last to a client whose request was ended, or to one while the service stops, is not waited for longer.
const LAST_WORD: Duration = Duration::from_secs(5);
/// So long requests are given to end when the service stops: the grace of a program, and a little.
const STOP: Duration = Duration::from_secs(20);

/// Accepts connections until `stop` ends, and then ends the requests that go on. Only these users of the node may connect: the session's
/// and root.
pub(crate) async fn accept<P: Platform>(
    control: Arc<Control<P>>,
    listener: UnixListener,
    uids: Vec<u32>,
    stop: impl Future<Output = ()>,
) {
    let (places, told) = (Arc::new(Semaphore::new(CONNECTIONS)), Arc::new(Semaphore::new(TURNED_AWAY)));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, for example: it passes.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        match stream.peer_cred() {
            Ok(peer) if uids.contains(&peer.uid()) => {}
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "refused a connection of a user who is no session");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, "refused a connection of nobody known");
                continue;
            }
        }
        let control = Arc::clone(&control);
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            connections.spawn(async move {
                if let Err(error) = connection(&control, stream).await {
                    tracing::info!(%error, "a connection ended early");
                }
                drop(place);
            });
            continue;
        }
        tracing::warn!(connections = CONNECTIONS, "refused a connection: there are too many");
        if let Ok(place) = Arc::clone(&told).try_acquire_owned() {
            connections.spawn(async move {
                let _nobody = turn_away(&control, stream).await;
                drop(place);
            });
        }
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "ends the requests that go on");
    control.connections.stopping.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP, ended).await.is_err() {
        tracing::warn!("not all requests have ended in time");
    }
}

/// One connection, from its beginning to its end.
pub(crate) async fn connection<P: Platform>(control: &Arc<Control<P>>, stream: UnixStream) -> Result<(), wire::Error> {
    let (reader, writer) = stream.into_split();
    let (mut incoming, mut outgoing) = (Incoming::guarded(reader), Outgoing::new(writer));
    let late = |limit: Duration| wire::Error::Ended(format!("no request within {} s", limit.as_secs()));
    let began = Instant::now();
    let caller: Caller =
        timeout(GREETING_DEADLINE, incoming.message()).await.map_err(|_| late(GREETING_DEADLINE))??;
    // Before anything is waited for: who only connects takes places, too.
    let (limit, place) = match control.connections.limits.take(What::Connection, &caller.identity) {
        Ok(place) => (GREETING_DEADLINE.saturating_sub(began.elapsed()), Ok(place)),
        Err(refused) => (REFUSAL_DEADLINE, Err(refused)),
    };
    let greeting = greet(control, &caller, place, &mut incoming, &mut outgoing);
    let greeted = tokio::select! {
        greeted = timeout(limit, greeting) => greeted.map_err(|_| late(limit))??,
        () = control.connections.stopping() => None,
    };
    let Some((request, _place)) = greeted else { return Ok(()) };

    let began = Instant::now();
    let (mut client, Ends { outgoing: events, reading: input, ending }) = Client::new();
    let mut writing = tokio::spawn(write(events, outgoing));
    let reading = tokio::spawn(read(incoming, input));
    let (verb, subject) = verbs::verb(&request);
    let mut audited = Audited::begin(verb, subject, &caller);
    let app = match subject {
        Subject::App(app) => Some(app.to_owned()),
        // What is asked of the cluster for the sake of an app is the cluster's to allow.
        Subject::Cluster | Subject::ForApp(_) => None,
    };
    let subject = app.as_deref().map_or(Subject::Cluster, Subject::App);
    let stopping = async {
        control.connections.stopping().await;
        ending.end(Refused::unavailable(
            "the control service of this manager stops; a release goes on by itself: ask again in a minute",
        ));
        std::future::pending::<std::convert::Infallible>().await
    };
    let mut outcome = tokio::select! {
        outcome = answer(control, &caller, request, &mut client, &mut audited) => outcome,
        never = standing::watch(control, &caller, (verb, subject), &ending) => match never {},
        never = stopping => match never {},
    };
    let ended = client.ended();
    // A request that was ended says only that its client is gone.
    if let (Err(_), Some(reason)) = (&outcome, &ended) {
        outcome = Err(reason.clone());
    }
    audited.end(outcome.as_ref().err(), milliseconds(began.elapsed()));
    control.audit(audited);
    let event = match outcome {
        Ok(answer) => Event::Done { answer: Box::new(answer) },
        Err(refused) => Event::Failed(refused.into()),
    };
    // Its writer ends once everything has been sent, or nobody takes it.
    let last = async {
        let _gone = client.finish(&event).await;
        drop(client);
        (&mut writing).await.unwrap_or_else(|error| Err(wire::Error::Ended(error.to_string())))
    };
    let sent = match ended {
        None => last.await,
        Some(reason) => {
            let late = |_| Err(wire::Error::Ended(format!("its client did not read why it was ended: {reason}")));
            timeout(LAST_WORD, last).await.unwrap_or_else(late)
        }
    };
    reading.abort();
    writing.abort();
    sent
}

/// Tells a client that there is no room.
async fn turn_away<P: Platform>(control: &Control<P>, stream: UnixStream) -> Result<(), wire::Error> {
    let (reader, writer) = stream.into_split();
    let (mut incoming, mut outgoing) = (Incoming::guarded(reader), Outgoing::new(writer));
    let told = async {
        let caller: Caller = incoming.message().await?;
        let refused = Refused::unavailable(format!(
            "this manager has {CONNECTIONS} requests open already, which is as many as it takes: try again in a minute"
        ));
        greet(control, &caller, Err(refused), &mut incoming, &mut outgoing).await
    };
    timeout(REFUSAL_DEADLINE, told).await.map_err(|_| wire::Error::Ended("no request".to_owned()))??;
    Ok(())
}

/// Greets, and reads the request; `None` when there is no place for it, or both programs do not understand each other, which the client
/// says to its user.
async fn greet<P: Platform>(
    control: &Control<P>,
    caller: &Caller,
    mut place: Result<Place, Refused>,
    incoming: &mut Incoming<OwnedReadHalf>,
    outgoing: &mut Outgoing<OwnedWriteHalf>,
) -> Result<Option<(Request, Place)>, wire::Error> {
    let ours = Hello::of(control.program());
    outgoing.message(&ours).await?;
    let theirs: Hello = incoming.message().await?;
    if agree(&theirs, &ours).is_err() {
        return Ok(None);
    }
    let mut request: Result<Request, wire::Error> = incoming.message().await;
    if matches!(request, Err(wire::Error::Long)) && place.is_ok() {
        match turn(control, &caller.identity).await {
            Ok(_turn) => request = incoming.long_message().await,
            Err(refused) => place = Err(refused),
        }
    }
    let unread = matches!(request, Err(wire::Error::Long));
    let refused = match (request, place) {
        (Ok(request), Ok(place)) => return Ok(Some((request, place))),
        (_, Err(refused)) => refused,
        // A request of a later version, or one that makes no sense: said as a refusal, since both sides can read that.
        (Err(error @ wire::Error::Message(_)), _) => {
            Refused::usage(format!("the cluster does not understand the request: {error}"))
        }
        (Err(error @ wire::Error::Parts), _) => {
            Refused::usage(format!("the cluster does not take the request: {error}"))
        }
        (Err(error), _) => return Err(error),
    };
    control.audit(Audited::unheard(caller, &refused));
    outgoing.message(&Event::Failed(refused.into())).await?;
    if unread {
        incoming.drain().await;
    }
    Ok(None)
}

/// The place that a long request takes while it is read, once it is its turn.
async fn turn<P: Platform>(control: &Control<P>, asker: &Identity) -> Result<Place, Refused> {
    let began = Instant::now();
    loop {
        match control.connections.limits.take(What::LongRequest, asker) {
            Err(_) if began.elapsed() < TURN => sleep(TURN_LOOK).await,
            taken => return taken,
        }
    }
}

async fn answer<P: Platform>(
    control: &Arc<Control<P>>,
    caller: &Caller,
    request: Request,
    client: &mut Client,
    audited: &mut Audited,
) -> Result<futuswarm_rpc::message::Answer, Refused> {
    let actor: Actor = control.actor(caller).await?;
    audited.who(&actor);
    control.handle(&actor, request, client).await
}

async fn write(mut events: mpsc::Receiver<Frame>, mut outgoing: Outgoing<OwnedWriteHalf>) -> Result<(), wire::Error> {
    while let Some(frame) = events.recv().await {
        outgoing.frame(&frame).await?;
    }
    Ok(())
}

/// Hands on what the client sends, until it is gone or sends what makes no sense.
async fn read(mut incoming: Incoming<OwnedReadHalf>, reading: Reading) {
    loop {
        let next = match incoming.frame().await {
            Ok(Some(Frame::Chunk(futuswarm_rpc::Channel::Input, bytes))) => Input::Bytes(bytes),
            Ok(Some(Frame::End(futuswarm_rpc::Channel::Input))) => Input::End,
            Ok(Some(Frame::Message(body))) => match wire::read::<Notice>(&body) {
                Ok(notice) => Input::Notice(notice),
                Err(error) => {
                    tracing::info!(%error, "a client's notice is ignored");
                    continue;
                }
            },
            Ok(Some(_)) | Ok(None) | Err(_) => return,
        };
        let sent = tokio::select! {
            biased;
            sent = reading.input.send(next) => sent,
            // While nothing is taken nothing is read, so that the end of a session that was killed would not be seen.
            () = incoming.gone() => return,
        };
        if sent.is_err() {
            // Nobody reads it for this request; the end of the connection is still to be noticed.
            while let Ok(Some(_)) = incoming.frame().await {}
            return;
        }
    }
}
