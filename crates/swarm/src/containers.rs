//! Containers that run on one node, outside of the Swarm's scheduler, and their images.

use std::path::Path;

use crate::Error;

/// A container as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Unique on the node.
    pub name: String,
    /// The image, present on this node.
    pub image: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Read-only mounts, host path → container path.
    pub mounts: Vec<(String, String)>,
    /// Folders that it may write to, at the same path as on the host.
    pub writable: Vec<String>,
    /// Published ports, host port → container port. Host mode: the client's address is kept.
    pub ports: Vec<(u16, u16)>,
    /// The bridge network it starts on.
    pub network: String,
    /// Memory limit, in bytes.
    pub memory_bytes: i64,
    /// How much of what it prints is kept on the node's disk at most; `None` is what the engine keeps of every container.
    pub log_megabytes: Option<u32>,
    /// `NAME=value`, beside what the image says. No secret: whoever may ask the engine reads it.
    pub environment: Vec<String>,
    /// `UID:GID`; `None` is the image's own.
    pub user: Option<String>,
}

impl ContainerConfig {
    /// All of it in one text, kept as a label of the container, so that a change is noticed.
    pub(crate) fn definition(&self) -> String {
        // Readable on purpose: `docker inspect` then shows why a container was made again.
        format!(
            "{} {:?} {:?} {:?} {:?} {} {} {:?} {:?} {:?}",
            self.image,
            self.command,
            self.mounts,
            self.writable,
            self.ports,
            self.network,
            self.memory_bytes,
            self.log_megabytes,
            self.environment,
            self.user
        )
    }
}

/// What the engine says of a container that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The definition that it was made from; `None` when somebody else made it.
    pub definition: Option<String>,
    /// Whether its process runs.
    pub running: bool,
    /// Names of the networks it is on.
    pub networks: Vec<String>,
}

/// `docker container` and `docker image`.
pub trait ContainerApi: Send + Sync {
    /// Whether an image of this name is on the node.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn image_exists(&self, name: &str) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Loads the images of a `docker save` archive.
    ///
    /// # Errors
    /// When the file cannot be read or the engine refuses it.
    fn load_image(&self, archive: &Path) -> impl Future<Output = Result<(), Error>> + Send;

    /// A container, or `None` when there is none of this name.
    ///
    /// # Errors
    /// When the engine does not answer.
    fn inspect_container(&self, name: &str) -> impl Future<Output = Result<Option<Container>, Error>> + Send;

    /// Makes a container that does not run yet.
    ///
    /// # Errors
    /// When the engine refuses, for example because there is one of that name.
    fn create_container(&self, config: &ContainerConfig) -> impl Future<Output = Result<(), Error>> + Send;

    /// Starts a container.
    ///
    /// # Errors
    /// When the engine refuses.
    fn start_container(&self, name: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Sends a signal to the first process of a container, by its name without `SIG`. One that does not run gets none, and that is no error.
    ///
    /// # Errors
    /// When the engine refuses, for example because there is no container of that name.
    fn signal_container(&self, name: &str, signal: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Removes a container, running or not; no error when there is none.
    ///
    /// # Errors
    /// When the engine refuses.
    fn remove_container(&self, name: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Loads an image from an archive unless one of that name is there; `true` when it was loaded.
    ///
    /// # Errors
    /// As [`ContainerApi::load_image`].
    fn ensure_image(&self, name: &str, archive: &Path) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            if self.image_exists(name).await? {
                return Ok(false);
            }
            self.load_image(archive).await?;
            Ok(true)
        }
    }

    /// Makes the container run as defined: created, started, or made again when its definition changed or it cannot be started.
    /// `true` when something was done.
    ///
    /// # Errors
    /// When the engine refuses.
    fn ensure_container(&self, desired: &ContainerConfig) -> impl Future<Output = Result<bool, Error>> + Send {
        async move {
            let mut kept = false;
            match self.inspect_container(&desired.name).await? {
                Some(current) => {
                    let same = current.definition.as_ref() == Some(&desired.definition());
                    if same && current.running {
                        return Ok(false);
                    }
                    kept = same;
                    if !same {
                        self.remove_container(&desired.name).await?;
                        self.create_container(desired).await?;
                    }
                }
                None => self.create_container(desired).await?,
            }
            match self.start_container(&desired.name).await {
                // After a restart dockerd may say for ever that the task of a container which does not run exists already.
                Err(Error::Refused { .. }) if kept => {
                    self.remove_container(&desired.name).await?;
                    self.create_container(desired).await?;
                    self.start_container(&desired.name).await?;
                }
                started => started?,
            }
            Ok(true)
        }
    }
}
