//! Requests about images: which blobs are there, and the rest of them. An app's images are in a repository of its own, and nothing of
//! another app's is told or reached.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futuswarm_paas::access::{Actor, Verb};
use futuswarm_rpc::message::{Answer, Event};
use tokio::sync::mpsc;

use crate::client::{Client, Input};
use crate::images;
use crate::refusal::Refused;
use crate::registry::{Digest, Error as RegistryError, LONGEST_MANIFEST, Registry as _, Upload};
use crate::{Control, Error, Platform};

/// So many blobs are asked about at once: far more than an image has layers (127).
const MOST_BLOBS: usize = 1000;
/// The longest layer.
const LONGEST_BLOB: u64 = 20 << 30;
/// So many uploads that were cut are remembered, to be carried on.
const MOST_UPLOADS: usize = 100;

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

/// Which of these blobs the app's repository has.
pub(crate) async fn find<P: Platform>(control: &Control<P>, app: &str, digests: &[String]) -> Result<Answer, Refused> {
    if digests.len() > MOST_BLOBS {
        return Err(Refused::usage(format!("{} blobs are too many for one question; {MOST_BLOBS} fit", digests.len())));
    }
    let mut there = BTreeSet::new();
    for text in digests {
        let digest = digest(text)?;
        if control.registry.has_blob(app, &digest).await.map_err(Error::from)? {
            there.insert(text.clone());
        }
    }
    Ok(Answer::Blobs(there))
}

/// Takes one blob. What arrived of one that was cut is not sent again.
pub(crate) async fn blob<P: Platform>(
    control: &Control<P>,
    app: &str,
    text: &str,
    length: u64,
    client: &mut Client,
) -> Result<Answer, Refused> {
    let digest = digest(text)?;
    if length > LONGEST_BLOB {
        return Err(Refused::usage(format!("a layer of {length} bytes is too long; {LONGEST_BLOB} fit")));
    }
    let registry = &control.registry;
    let kept = match control.uploads.take(app, &digest) {
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
    let sending = feed(client, sender, left);
    let (appended, fed) = tokio::join!(registry.append(&upload, left, receiver), sending);
    let uploaded = match (appended, fed) {
        (Ok(uploaded), Ok(())) => uploaded,
        (Err(error), Ok(())) => return Err(Error::from(error).into()),
        (_, Err(refused)) => {
            control.uploads.keep(app, &digest, upload);
            return Err(refused);
        }
    };
    match registry.finish(&uploaded, &digest).await {
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
    loop {
        match client.input().await {
            Some(Input::Bytes(bytes)) => {
                left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                    Refused::usage(format!("the layer is longer than the {length} bytes that were announced"))
                })?;
                if sender.send(bytes.into()).await.is_err() {
                    // The registry has refused: it says why.
                    return Ok(());
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

/// Names an image.
pub(crate) async fn manifest<P: Platform>(
    control: &Control<P>,
    actor: &Actor,
    app: &str,
    tag: &str,
    media_type: &str,
    manifest: String,
) -> Result<Answer, Refused> {
    if !images::is_tag(tag) {
        return Err(Refused::usage(format!("{tag:?} is no tag")));
    }
    let known = ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];
    if !known.contains(&media_type) {
        return Err(Refused::usage(format!("{media_type:?} is no manifest of one image: {}", known.join(" or "))));
    }
    if manifest.len() > LONGEST_MANIFEST {
        return Err(Refused::usage("the manifest is too long"));
    }
    // Who pushes first begins the app, as who deploys first does.
    control.create_unless_there(app, actor, Verb::PushImage).await?;
    match control.registry.put_manifest(app, tag, media_type, manifest.into()).await {
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
