//! Connections of sessions: who is at the other end, the greeting, one request, its end, and its line in the audit.

use std::sync::Arc;
use std::time::Duration;

use futuswarm_paas::access::Actor;
use futuswarm_rpc::message::{Event, Notice, Request};
use futuswarm_rpc::{Caller, Frame, Hello, agree};
use tokio::net::UnixListener;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

use crate::audit::Audited;
use crate::client::{Client, Input, Reading, milliseconds};
use crate::refusal::Refused;
use crate::wire::{self, Incoming, Outgoing};
use crate::{Control, Platform, verbs};

/// So many connections at once: more than a team has, fewer than would hurt the manager.
const CONNECTIONS: usize = 256;
/// From the connection to the request. A person may have to touch a key, but before SSH lets them in.
const GREETING_DEADLINE: Duration = Duration::from_secs(30);

/// Accepts connections until the process ends. Only these users of the node may connect: the session's and root.
pub(crate) async fn accept<P: Platform>(control: Arc<Control<P>>, listener: UnixListener, uids: Vec<u32>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
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
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(connections = CONNECTIONS, "refused a connection: there are too many");
            continue;
        };
        let control = Arc::clone(&control);
        tokio::spawn(async move {
            if let Err(error) = connection(&control, stream).await {
                tracing::info!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

pub(crate) async fn connection<P: Platform>(control: &Arc<Control<P>>, stream: UnixStream) -> Result<(), wire::Error> {
    let (reader, writer) = stream.into_split();
    let (mut incoming, mut outgoing) = (Incoming::new(reader), Outgoing::new(writer));
    let greeting = greet(control, &mut incoming, &mut outgoing);
    let late = |_| wire::Error::Ended(format!("no request within {} s", GREETING_DEADLINE.as_secs()));
    let Some((caller, request)) = timeout(GREETING_DEADLINE, greeting).await.map_err(late)?? else { return Ok(()) };

    let began = Instant::now();
    let (mut client, events, input) = Client::new();
    let writing = tokio::spawn(write(events, outgoing));
    let reading = tokio::spawn(read(incoming, input));
    let (verb, subject) = verbs::verb(&request);
    let mut audited = Audited::begin(verb, subject, &caller);
    let outcome = answer(control, &caller, request, &mut client, &mut audited).await;
    audited.end(outcome.as_ref().err(), milliseconds(began.elapsed()));
    control.audit(audited);
    let event = match outcome {
        Ok(answer) => Event::Done { answer: Box::new(answer) },
        Err(refused) => Event::Failed(refused.into()),
    };
    let _gone = client.send(&event).await;
    // Its writer ends once everything has been sent, or nobody takes it.
    drop(client);
    let sent = writing.await;
    reading.abort();
    sent.unwrap_or_else(|error| Err(wire::Error::Ended(error.to_string())))
}

/// Greets, and reads the request; `None` when both programs do not understand each other, which the client says to its user.
async fn greet<P: Platform>(
    control: &Control<P>,
    incoming: &mut Incoming<OwnedReadHalf>,
    outgoing: &mut Outgoing<OwnedWriteHalf>,
) -> Result<Option<(Caller, Request)>, wire::Error> {
    let caller: Caller = incoming.message().await?;
    let ours = Hello::of(control.program());
    outgoing.message(&ours).await?;
    let theirs: Hello = incoming.message().await?;
    if agree(&theirs, &ours).is_err() {
        return Ok(None);
    }
    match incoming.message().await {
        Ok(request) => Ok(Some((caller, request))),
        // A request of a later version, or one that makes no sense: said as a refusal, since both sides can read that.
        Err(error @ wire::Error::Message(_)) => {
            let refused = Refused::usage(format!("the cluster does not understand the request: {error}"));
            outgoing.message(&Event::Failed(refused.into())).await?;
            Ok(None)
        }
        Err(error) => Err(error),
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
        if reading.input.send(next).await.is_err() {
            // Nobody reads it for this request; the end of the connection is still to be noticed.
            while let Ok(Some(_)) = incoming.frame().await {}
            return;
        }
    }
}
