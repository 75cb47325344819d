//! Requests about images: which blobs are there, and the rest of them. An app's images are in a repository of its own, and nothing of
//! another app's is told or reached.

mod feed;
mod parts;
mod uploads;

use std::collections::BTreeSet;
use std::time::Duration;

use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Event};
use futuswarm_rpc::{MOST_PARTS, has_few_parts};
use tokio::time::sleep;

use crate::client::Client;
use crate::images;
use crate::limits::What;
use crate::refusal::Refused;
use crate::registry::manifests::named_blobs;
use crate::registry::{Digest, Error as RegistryError, LONGEST_MANIFEST, Registry as _};
use crate::{Control, Error, Platform, collect};
use feed::Feed;
use parts::parts;
use uploads::{Holding, Waiting};

/// So many blobs are asked about at once: far more than an image has layers (127).
const MOST_BLOBS: usize = 1000;
/// The longest layer.
const LONGEST_BLOB: u64 = 20 << 30;
/// So many bytes at least go to the registry at once, and a cut loses no more. S3 takes no smaller part of an object but the last one
/// (Amazon S3 User Guide, "Amazon S3 multipart upload limits"), and each upload has as many in memory as its piece takes.
pub(crate) const PIECE: usize = 5 << 20;
/// Between two words to a client: the command line takes a connection for dead on which nothing comes for two minutes.
const TELL: Duration = Duration::from_secs(15);
/// What to do after a cut.
const AGAIN: &str = "push again: only what the cluster does not have yet is sent";

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
    let mut waiting = Waiting::new();
    let holding = loop {
        // An earlier push has ended it, and nobody heard so.
        if control.registry.blob_length(app, digest).await.map_err(|error| cut(&error))? == Some(length) {
            return Ok(done(length));
        }
        if let Some(holding) = uploads::wait_for(control, (app, digest), length, &mut waiting, client).await? {
            break holding;
        }
    };
    let sent = tokio::select! {
        sent = send(control, &holding, (app, digest), length, client) => sent,
        // Its last piece may still be on its way to S3: nobody is told that it is free before its time is over.
        lost = holding.keep() => return Err(lost),
    };
    holding.leave().await;
    sent.map(|()| done(length))
}

fn done(length: u64) -> Answer {
    Answer::Done(format!("{length} bytes"))
}

/// Sends the rest of an upload to the registry, and ends it.
async fn send<P: Platform>(
    control: &Control<P>,
    holding: &Holding<'_, P>,
    (app, digest): (&str, &Digest),
    length: u64,
    client: &mut Client,
) -> Result<(), Refused> {
    append(control, holding, length, client).await?;
    holding.check()?;
    let upload = holding.upload();
    let ending = control.registry.finish(&upload, digest);
    let error = match telling(client, &format!("checks all {length} bytes of the layer"), ending).await {
        // Nothing has ended: the registry has less than it confirmed.
        Err(error @ RegistryError::Refused { status: 404, .. }) => return Err(cut(&error)),
        ended => {
            // An upload whose end failed on its way takes nothing more, for ever.
            holding.end();
            match ended {
                Ok(()) => return Ok(()),
                Err(error) => error,
            }
        }
    };
    if matches!(error, RegistryError::Refused { status: 400, .. }) {
        return Err(Refused::usage(format!(
            "what was sent is not {digest}: the layer was changed while it was sent, or its digest is wrong; push the image again"
        )));
    }
    match control.registry.blob_length(app, digest).await {
        Ok(Some(there)) if there == length => Ok(()),
        _ => Err(cut(&error)),
    }
}

fn cut(error: &RegistryError) -> Refused {
    Refused::unavailable(format!("{error}: {AGAIN}"))
}

/// Hands the client's bytes to the registry, piece by piece.
async fn append<P: Platform>(
    control: &Control<P>,
    holding: &Holding<'_, P>,
    length: u64,
    client: &mut Client,
) -> Result<(), Refused> {
    let mut upload = holding.upload();
    client.send(&Event::Ready { offset: upload.offset }).await?;
    let mut feed = Feed::new(length, upload.offset);
    loop {
        let text = format!("takes the layer: {} of {length} bytes are in the registry", upload.offset);
        let piece = feed.piece(client, &text).await?;
        if piece.is_empty() {
            return Ok(());
        }
        holding.check()?;
        let appended = telling(client, &text, control.registry.append(&upload, piece.into())).await;
        upload = appended.map_err(|error| cut(&error))?;
        holding.advance(&upload, length);
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
    collect::share(control, app, &named_blobs(manifest.as_bytes()), client).await?;
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
