//! Requests about images: which blobs are there, and the rest of them. An app's images are in a repository of its own, and nothing of
//! another app's is told or reached.

mod feed;
mod parts;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Event};
use futuswarm_rpc::{MOST_PARTS, has_few_parts};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::images;
use crate::limits::What;
use crate::refusal::Refused;
use crate::registry::{Digest, Error as RegistryError, LONGEST_MANIFEST, Registry as _, Upload};
use crate::{Control, Error, Platform, collect};
use feed::Feed;
use parts::parts;

/// So many blobs are asked about at once: far more than an image has layers (127).
const MOST_BLOBS: usize = 1000;
/// The longest layer.
const LONGEST_BLOB: u64 = 20 << 30;
/// So many uploads that were cut are remembered, to be carried on.
const MOST_UPLOADS: usize = 100;
/// So long they are: whoever comes later has made the image anew, and S3 keeps none for ever.
const KEPT: Duration = Duration::from_secs(86_400);
/// So many bytes at least go to the registry at once, and a cut loses no more. S3 takes no smaller part of an object but the last one
/// (Amazon S3 User Guide, "Amazon S3 multipart upload limits"), and each upload has as many in memory as its piece takes.
pub(crate) const PIECE: usize = 5 << 20;
/// Between two words to a client: the command line takes a connection for dead on which nothing comes for two minutes.
const TELL: Duration = Duration::from_secs(15);
/// What to do after a cut.
const AGAIN: &str = "push again; if the same manager answers, only what it does not have yet is sent";

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
struct Kept {
    going: Going,
    since: Instant,
}

/// Uploads that were cut, by app and digest. They end with the process: where they are is worth nothing to another manager's registry.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<HashMap<(String, Digest), Kept>>);

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, Digest), Kept>> {
        let mut uploads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|_, kept| kept.since.elapsed() < KEPT);
        uploads
    }

    fn take(&self, app: &str, digest: &Digest) -> Option<Going> {
        self.lock().remove(&(app.to_owned(), digest.clone())).map(|kept| kept.going)
    }

    fn keep(&self, app: &str, digest: &Digest, going: Going) {
        let mut uploads = self.lock();
        let key = (app.to_owned(), digest.clone());
        // Of two pushes of one layer, perhaps by somebody whose first connection was found dead later than they came again.
        if uploads.get(&key).is_some_and(|other| other.going.now.offset > going.now.offset) {
            return;
        }
        if uploads.len() >= MOST_UPLOADS {
            // Whichever: its rest is sent again from the beginning.
            let some = uploads.keys().next().cloned();
            some.map(|key| uploads.remove(&key));
        }
        uploads.insert(key, Kept { going, since: Instant::now() });
    }
}

fn digest(text: &str) -> Result<Digest, Refused> {
    Digest::parse(text)
        .ok_or_else(|| Refused::usage(format!("{text:?} is no digest: `sha256:` and 64 hexadecimal digits")))
}

/// Which of these blobs the repository of an app has; none of an app that there is not.
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
    if !exists {
        // Nothing is promised, and nothing is shared: any name that nobody has would hold `image:gc` off. Layers are shared as they come.
        return Ok(Answer::Blobs(BTreeSet::new()));
    }
    let texts: Vec<String> = digests.iter().map(ToString::to_string).collect();
    // Before anybody is told that one is there: from now on it stays.
    collect::share(control, app, &texts, client).await?;
    let mut there = BTreeSet::new();
    for (digest, text) in digests.into_iter().zip(texts) {
        if control.registry.has_blob(app, &digest).await.map_err(Error::from)? {
            there.insert(text);
        }
    }
    Ok(Answer::Blobs(there))
}

/// The digest of a blob that is announced, if there can be such a blob.
pub(crate) fn announced(text: &str, length: u64) -> Result<Digest, Refused> {
    match length <= LONGEST_BLOB {
        true => digest(text),
        false => Err(Refused::usage(format!("a layer of {length} bytes is too long; {LONGEST_BLOB} fit"))),
    }
}

/// Takes one blob. Pieces of it that arrived before a cut are not sent again.
pub(crate) async fn blob<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    text: &str,
    length: u64,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let digest = announced(text, length)?;
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
    let done = || Ok(Answer::Done(format!("{length} bytes")));
    // An earlier push has ended it, and nobody heard so.
    if control.registry.blob_length(app, digest).await.map_err(|error| cut(&error))? == Some(length) {
        return done();
    }
    let mut going = begin(control, app, digest, length).await?;
    if let Err(refused) = append(control, &mut going, length, client).await {
        control.uploads.keep(app, digest, going);
        return Err(refused);
    }
    let ending = control.registry.finish(&going.now, digest);
    match telling(client, &format!("checks all {length} bytes of the layer"), ending).await {
        Ok(()) => done(),
        Err(RegistryError::Refused { status: 400, .. }) => Err(Refused::usage(format!(
            "what was sent is not {digest}: the layer was changed while it was sent, or its digest is wrong; push the image again"
        ))),
        // Nothing has ended: the registry has less than it confirmed.
        Err(error @ RegistryError::Refused { status: 404, .. }) => {
            control.uploads.keep(app, digest, going);
            Err(cut(&error))
        }
        // An upload whose end failed on its way takes nothing more, for ever: it is not kept.
        Err(error) => match control.registry.blob_length(app, digest).await {
            Ok(Some(there)) if there == length => done(),
            _ => Err(cut(&error)),
        },
    }
}

fn cut(error: &RegistryError) -> Refused {
    Refused::unavailable(format!("{error}: {AGAIN}"))
}

/// An upload that was cut, if it is still what it was then, or a new one.
async fn begin<P: Platform>(control: &Control<P>, app: &str, digest: &Digest, length: u64) -> Result<Going, Refused> {
    let registry = &control.registry;
    if let Some(kept) = control.uploads.take(app, digest) {
        for upload in [Some(kept.now.clone()), kept.before.clone()].into_iter().flatten() {
            match registry.resume(&upload).await {
                Ok(Some(upload)) if upload.offset <= length => return Ok(upload.into()),
                Err(error @ RegistryError::Unreachable { .. }) => {
                    control.uploads.keep(app, digest, kept);
                    return Err(cut(&error));
                }
                // Nobody knows what there is of it, or it cannot go on: a registry that refuses it once does so for ever.
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(registry.begin(app).await.map_err(Error::from)?.into())
}

/// Hands the client's bytes to the registry, piece by piece. `going` is always where the registry's last answer has it.
async fn append<P: Platform>(
    control: &Control<P>,
    going: &mut Going,
    length: u64,
    client: &mut Client,
) -> Result<(), Refused> {
    client.send(&Event::Ready { offset: going.now.offset }).await?;
    let mut feed = Feed::new(length, going.now.offset);
    loop {
        let text = format!("takes the layer: {} of {length} bytes are in the registry", going.now.offset);
        let piece = feed.piece(client, &text).await?;
        if piece.is_empty() {
            return Ok(());
        }
        let appended = telling(client, &text, control.registry.append(&going.now, piece.into())).await;
        let next = appended.map_err(|error| cut(&error))?;
        going.before = Some(std::mem::replace(&mut going.now, next));
    }
}

/// Waits for the registry, and tells the client so.
async fn telling<T>(client: &Client, text: &str, what: impl Future<Output = T>) -> T {
    tokio::pin!(what);
    loop {
        tokio::select! {
            done = &mut what => return done,
            () = sleep(TELL) => client.progress(text, None),
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
    if !has_few_parts(manifest.as_bytes()) {
        return Err(Refused::usage(format!("the manifest has more than {MOST_PARTS} keys and values: no image's has")));
    }
    let parts = parts(&manifest)?;
    // Who pushes first begins the app, as who deploys first does.
    control.create_unless_there(app, actor, Verb::PushImage).await?;
    // Before the registry looks whether they are there: those that it finds stay.
    collect::share(control, app, &collect::named_blobs(manifest.as_bytes()), client).await?;
    for part in parts {
        part.check(control.registry.blob_length(app, &part.digest).await.map_err(Error::from)?)?;
    }
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
