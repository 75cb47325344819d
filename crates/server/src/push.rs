//! Requests about images: which blobs are there, and the rest of them. An app's images are in a repository of its own, and nothing of
//! another app's is told or reached.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Event, RefusalClass};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{Client, Input};
use crate::images;
use crate::limits::What;
use crate::refusal::Refused;
use crate::registry::{Digest, Error as RegistryError, LONGEST_MANIFEST, Registry as _, Upload};
use crate::{Control, Error, Platform, collect};

/// So many blobs are asked about at once: far more than an image has layers (127).
const MOST_BLOBS: usize = 1000;
/// The longest layer.
const LONGEST_BLOB: u64 = 20 << 30;
/// So many uploads that were cut are remembered, to be carried on.
const MOST_UPLOADS: usize = 100;
/// Within so much time that it is waited for ...
const IDLE: Duration = Duration::from_secs(60);
/// ... so many bytes have to come: a slow line sends far more, and who sends nothing keeps a place from others.
const LEAST: usize = 16 << 10;
/// So long the registry may take none of the bytes that have come.
const STUCK: Duration = Duration::from_secs(120);
/// So long it may say nothing once it has all of them.
const APPEND: Duration = Duration::from_secs(120);

/// Uploads that were cut, by app and digest.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<(String, Digest), Upload>>);

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Digest), Upload>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, app: &str, digest: &Digest) -> Option<Upload> {
        self.lock().remove(&(app.to_owned(), digest.clone()))
    }

    fn keep(&self, app: &str, digest: &Digest, upload: Upload) {
        let mut uploads = self.lock();
        if uploads.len() >= MOST_UPLOADS {
            // Whichever: its rest is sent again from the beginning.
            let some = uploads.keys().next().cloned();
            some.map(|key| uploads.remove(&key));
        }
        uploads.insert((app.to_owned(), digest.clone()), upload);
    }
}

fn digest(text: &str) -> Result<Digest, Refused> {
    Digest::parse(text)
        .ok_or_else(|| Refused::usage(format!("{text:?} is no digest: `sha256:` and 64 hexadecimal digits")))
}

/// Which of these blobs the repository of an app has; none of one that there is not.
pub(crate) async fn find<P: Platform>(
    control: &Control<P>,
    exists: bool,
    app: &str,
    digests: &[String],
    client: &Client,
) -> Result<Answer, Refused> {
    if digests.len() > MOST_BLOBS {
        return Err(Refused::usage(format!("{} blobs are too many for one question; {MOST_BLOBS} fit", digests.len())));
    }
    let digests: Vec<Digest> = digests.iter().map(|text| digest(text)).collect::<Result<_, _>>()?;
    let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
    // Before anybody is told that one is there: from now on it stays.
    collect::share(control, app, &texts, client).await?;
    let mut there = BTreeSet::new();
    for (digest, text) in digests.into_iter().zip(texts) {
        if exists && control.registry.has_blob(app, &digest).await.map_err(Error::from)? {
            there.insert(text);
        }
    }
    Ok(Answer::Blobs(there))
}

/// Takes one blob. What arrived of one that was cut is not sent again.
pub(crate) async fn blob<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    text: &str,
    length: u64,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let digest = digest(text)?;
    if length > LONGEST_BLOB {
        return Err(Refused::usage(format!("a layer of {length} bytes is too long; {LONGEST_BLOB} fit")));
    }
    let _place = control.connections.limits.take(What::Upload, actor)?;
    let blobs = [digest.to_string()];
    collect::share(control, app, &blobs, client).await?;
    tokio::select! {
        taken = take(control, app, &digest, length, client) => taken,
        never = collect::keep_sharing(control, app, &blobs) => match never {},
    }
}

async fn take<P: Platform>(
    control: &Control<P>,
    app: &str,
    digest: &Digest,
    length: u64,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let registry = &control.registry;
    let kept = match control.uploads.take(app, digest) {
        Some(upload) => registry.resume(&upload).await.map_err(Error::from)?.filter(|upload| upload.offset <= length),
        None => None,
    };
    let upload = match kept {
        Some(upload) => upload,
        None => registry.begin(app).await.map_err(Error::from)?,
    };
    client.send(&Event::Ready { offset: upload.offset }).await?;
    let left = length - upload.offset;
    let (sender, receiver) = mpsc::channel(4);
    let sent = Notify::new();
    let sending = async {
        let fed = feed(client, sender, left).await;
        sent.notify_one();
        fed
    };
    let appending = async {
        tokio::select! {
            appended = registry.append(&upload, left, receiver) => appended,
            () = async { sent.notified().await; sleep(APPEND).await } => Err(RegistryError::Unreachable {
                operation: "PATCH upload",
                reason: format!("not within {} s after the last byte", APPEND.as_secs()),
            }),
        }
    };
    let (appended, fed) = tokio::join!(appending, sending);
    let uploaded = match (appended, fed) {
        (Ok(uploaded), Ok(())) => uploaded,
        (Err(error), Ok(())) => return Err(Error::from(error).into()),
        (_, Err(refused)) => {
            control.uploads.keep(app, digest, upload);
            return Err(refused);
        }
    };
    match registry.finish(&uploaded, digest).await {
        Ok(()) => Ok(Answer::Done(format!("{length} bytes"))),
        Err(RegistryError::Refused { status: 400..=499, .. }) => Err(Refused::usage(format!(
            "what was sent is not {digest}: the layer was changed while it was sent, or its digest is wrong; push the image again"
        ))),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Hands the client's bytes to the registry, exactly so many.
async fn feed(client: &mut Client, sender: mpsc::Sender<Bytes>, length: u64) -> Result<(), Refused> {
    let mut left = length;
    // Only what is waited for the client counts: the registry may be the slow one.
    let (mut waited, mut arrived) = (Duration::ZERO, 0);
    loop {
        let began = Instant::now();
        let Ok(input) = timeout(IDLE.saturating_sub(waited), client.input()).await else {
            return Err(Refused::new(
                RefusalClass::TimedOut,
                format!(
                    "{arrived} bytes came in {} s, and {LEAST} are the least: push again, and only the rest is sent",
                    IDLE.as_secs()
                ),
            ));
        };
        waited += began.elapsed();
        match input {
            Some(Input::Bytes(bytes)) => {
                left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                    Refused::usage(format!("the layer is longer than the {length} bytes that were announced"))
                })?;
                arrived += bytes.len();
                if arrived >= LEAST {
                    (waited, arrived) = (Duration::ZERO, 0);
                }
                match timeout(STUCK, sender.send(bytes.into())).await {
                    Ok(Ok(())) => {}
                    // The registry has refused: it says why.
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => {
                        return Err(Refused::unavailable(format!(
                            "the registry of this node has taken no byte for {} s: push again in a minute, and only the rest is sent",
                            STUCK.as_secs()
                        )));
                    }
                }
            }
            Some(Input::End) if left == 0 => return Ok(()),
            Some(Input::End) => {
                return Err(Refused::usage(format!(
                    "the layer ended {left} bytes before the {length} that were announced"
                )));
            }
            Some(Input::Notice(_)) => {}
            None => return Err(Refused::failed("the connection was cut; push again, and only the rest is sent")),
        }
    }
}

/// A manifest, and how it is to be called.
pub(crate) struct Named {
    pub(crate) tag: String,
    pub(crate) media_type: String,
    pub(crate) manifest: String,
}

/// Names an image.
pub(crate) async fn manifest<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    named: Named,
    client: &Client,
) -> Result<Answer, Refused> {
    let Named { tag, media_type, manifest } = named;
    if !images::is_tag(&tag) {
        return Err(Refused::usage(format!("{tag:?} is no tag")));
    }
    let known = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
    if !known.contains(&media_type.as_str()) {
        return Err(Refused::usage(format!("{media_type:?} is no manifest of one image: {}", known.join(" or "))));
    }
    if manifest.len() > LONGEST_MANIFEST {
        return Err(Refused::usage("the manifest is too long"));
    }
    // Who pushes first begins the app, as who deploys first does.
    control.create_unless_there(app, actor, Verb::PushImage).await?;
    // Before the registry looks whether they are there: those that it finds stay.
    collect::share(control, app, &collect::named_blobs(manifest.as_bytes()), client).await?;
    match control.registry.put_manifest(app, &tag, &media_type, manifest.into()).await {
        Ok(digest) => Ok(Answer::Pushed(digest.to_string())),
        Err(RegistryError::Refused { status: 400..=499, reason, .. }) => Err(Refused::usage(format!(
            "the registry does not take the manifest: {reason}; are all its layers there? push the image again"
        ))),
        Err(error) => Err(Error::from(error).into()),
    }
}

/// Tags of the app's repository.
pub(crate) async fn images<P: Platform>(control: &Control<P>, app: &str) -> Result<Answer, Refused> {
    let mut images = std::collections::BTreeMap::new();
    for tag in control.registry.tags(app).await.map_err(Error::from)? {
        if let Some(manifest) = control.registry.manifest(app, &tag).await.map_err(Error::from)? {
            images.insert(tag, manifest.digest.to_string());
        }
    }
    Ok(Answer::Images(images))
}
