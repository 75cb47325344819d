//! Images on one node.

use std::collections::BTreeSet;

use crate::Error;

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of its config.
    pub id: String,
    /// `linux` and the like.
    pub os: String,
    /// `amd64` and the like, with a variant where there is one, as in `arm/v7`.
    pub architecture: String,
    /// Whether it has a HEALTHCHECK that is not switched off.
    pub has_health_check: bool,
    /// TCP ports that it says it listens on, in their order.
    pub exposed_ports: Vec<u16>,
    /// Its size unpacked, in bytes.
    pub bytes: u64,
}

impl Image {
    /// As in `linux/amd64`.
    #[must_use]
    pub fn platform(&self) -> String {
        format!("{}/{}", self.os, self.architecture)
    }
}

/// How far the pull of one layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullProgress {
    /// The engine's short id of the layer; empty for the image as a whole.
    pub layer: String,
    /// In the engine's words, as in `Downloading`.
    pub status: String,
    /// Bytes so far, and of the whole, where the engine says it.
    pub bytes: Option<(u64, u64)>,
}

/// An image in the list of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalImage {
    /// Digest of its config.
    pub id: String,
    /// All names by which it can be removed, tags and digests, as in `127.0.0.1:5000/app@sha256:…`; empty for one without a name.
    pub references: Vec<String>,
    /// When it was built, in seconds since 1970: an engine does not say when it was pulled.
    pub created_at: i64,
    /// Its size unpacked, in bytes; what it shares with others is in it.
    pub bytes: u64,
}

/// `docker pull` and `docker image`.
pub trait ImageApi: Send + Sync {
    /// Pulls an image by its reference with a digest, as in `127.0.0.1:5000/app@sha256:…`. What the engine has already is not
    /// fetched again.
    ///
    /// # Errors
    /// When the registry has no such image ([`Error::is_not_found`]), nothing happens for two minutes, or the disk is full.
    fn pull_image(
        &self,
        reference: &str,
        progress: &mut (dyn FnMut(PullProgress) + Send),
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// What an image that is on this node says of itself; no registry is asked. `None` when it is not here.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn inspect_image(&self, reference: &str) -> impl Future<Output = Result<Option<Image>, Error>> + Send;

    /// All images of this node that are no part of another one.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn list_images(&self) -> impl Future<Output = Result<Vec<LocalImage>, Error>> + Send;

    /// Ids of the images that containers of this node are made of, whether they run or not: also those of tasks that are over, as far as
    /// the Swarm keeps them.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn images_in_use(&self) -> impl Future<Output = Result<BTreeSet<String>, Error>> + Send;

    /// Takes a name off an image, and removes the image with its last one; no error when there is none. Nothing is forced: what a
    /// container is made of stays.
    ///
    /// # Errors
    /// When a container is made of it ([`Error::is_conflict`]), or the engine does not answer.
    fn remove_image(&self, reference: &str) -> impl Future<Output = Result<(), Error>> + Send;
}
