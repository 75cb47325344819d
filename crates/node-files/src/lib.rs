//! The files that the programs of a node write and find: the interface to the units and the containers of the image.

mod download;
mod logins;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

pub use logins::{LoginKeys, LoginToken, Logins};

/// A file that cannot be read or written, or is not what it should be.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct Error {
    path: String,
    reason: String,
}

impl Error {
    /// What is wrong with a file.
    #[must_use]
    pub fn new(path: &Path, reason: impl Display) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }

    /// Makes an error of one that does not name its file.
    pub fn of(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |error| Self { path, reason: error.to_string() }
    }
}

/// Where things are on the node.
#[derive(Debug, Clone)]
pub struct Files {
    /// `/run/futuswarm`: `futuswarm-cloud-init.path` and `sshd` look here.
    pub run: PathBuf,
    /// `/usr/share/futuswarm/containers`: archives of the core containers, and the list of them.
    pub containers: PathBuf,
    /// [`HOST_KEY`]: what sshd shows of itself.
    pub host_key: PathBuf,
    /// [`DOWNLOAD`]: what the mainpage offers.
    pub download: PathBuf,
    /// What systemd hands to the agent's unit alone, if anything.
    pub credentials: Option<PathBuf>,
}

impl Default for Files {
    fn default() -> Self {
        Self {
            run: "/run/futuswarm".into(),
            containers: "/usr/share/futuswarm/containers".into(),
            host_key: HOST_KEY.into(),
            download: DOWNLOAD.into(),
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
        }
    }
}

/// Who may log in, as the control service has written it last. On the disk and not in `/run`, so that people and CI come in after a
/// restart, too, while S3 is away.
pub const LOGINS: &str = "/var/lib/futuswarm/logins.json";
/// The account that everybody logs in with who is let in by [`LOGINS`]; sessions run as it, and its group may connect to
/// [`CONTROL_SOCKET`]. A bake makes it with this id, which the control service looks for in the peer of a connection.
pub const ACCOUNT: (&str, u32) = ("futuswarm", 1001);
/// Where the control service listens; root and the group of [`ACCOUNT`] may connect.
pub const CONTROL_SOCKET: &str = "/run/futuswarm/control.sock";
/// The public key that sshd shows; `sshd-keygen.service` makes it again at each start, since `/etc` is not kept.
pub const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// The name of the credential of `futuswarm-agent.service` with the authority of a rehearsal.
pub const REHEARSAL_AUTHORITY: &str = "futuswarm.rehearsal-ca";

/// User and group of Apache in the login's container, as the engine wants them; tmpfiles gives its folders to them. HAProxy is another
/// user (65532), so that neither reads what is the other's.
pub const LOGIN_USER: &str = "65533:65533";

/// The folder of the command line for download. On the disk and not in `/run`, which is memory; tmpfiles makes it before the mainpage's
/// tasks can want it, and `PlatformMount::downloads` shows it to them.
pub const DOWNLOAD: &str = "/var/lib/futuswarm/cli";

impl Files {
    /// The folder that is mounted into the edge container.
    #[must_use]
    pub fn edge_dir(&self) -> PathBuf {
        self.run.join("edge")
    }

    /// The folder that HAProxy in the edge container may write to; tmpfiles makes it for its user and our group.
    #[must_use]
    pub fn edge_run_dir(&self) -> PathBuf {
        self.run.join("edge-run")
    }

    /// The folder that is mounted into the login's container: Apache's configuration with its secrets. tmpfiles makes it for Apache's group
    /// and nobody else, and with the bit that gives everything in it that group, which the agent has no right to give.
    #[must_use]
    pub fn login_dir(&self) -> PathBuf {
        self.run.join("login")
    }

    /// The folder that Apache in the login's container may write to; tmpfiles makes it for its user and our group.
    #[must_use]
    pub fn login_run_dir(&self) -> PathBuf {
        self.run.join("login-run")
    }

    /// The folder of the socket by which the login hands requests on; tmpfiles makes it for HAProxy's user, Apache's group and nobody else.
    #[must_use]
    pub fn login_socket_dir(&self) -> PathBuf {
        self.run.join("login-socket")
    }

    /// The certificate authority of a rehearsal, which only a machine of the local cloud has.
    #[must_use]
    pub fn rehearsal_authority(&self) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(REHEARSAL_AUTHORITY);
        path.exists().then_some(path)
    }

    /// Names of the core containers' images by part (`edge`, `mainpage`).
    ///
    /// # Errors
    /// When the list cannot be read.
    pub fn container_images(&self) -> Result<BTreeMap<String, String>, Error> {
        let path = self.containers.join("index.json");
        let text = std::fs::read(&path).map_err(Error::of(&path))?;
        serde_json::from_slice(&text).map_err(|error| Error::new(&path, error))
    }

    /// The archive of a core container.
    #[must_use]
    pub fn archive(&self, part: &str) -> PathBuf {
        self.containers.join(format!("{part}.tar"))
    }

    /// Replaces the list of SSH keys that may log in.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_authorized_keys(&self, key: Option<&str>) -> Result<(), Error> {
        let dir = self.run.join("ssh");
        std::fs::create_dir_all(&dir).map_err(Error::of(&dir))?;
        replace(&dir.join("authorized_keys"), key.map(|key| format!("{}\n", key.trim())).unwrap_or_default().as_bytes())
    }

    /// The certificate of the host key; `sshd_config.d` names it, and `futuswarm-host-certificate.path` has sshd read it.
    #[must_use]
    pub fn host_certificate(&self) -> PathBuf {
        self.run.join("ssh/host-cert.pub")
    }

    /// The mark of a manager: `futuswarm-server.path` starts the control service when it is there, which ends when it is gone.
    #[must_use]
    pub fn manager_mark(&self) -> PathBuf {
        self.run.join("manager")
    }

    /// Makes the mark of a manager, or takes it away.
    ///
    /// # Errors
    /// When it cannot be written or removed.
    pub fn mark_manager(&self, is_manager: bool) -> Result<(), Error> {
        let mark = self.manager_mark();
        match (is_manager, mark.exists()) {
            (true, false) => replace(&mark, b""),
            (false, true) => std::fs::remove_file(&mark).map_err(Error::of(&mark)),
            _ => Ok(()),
        }
    }

    /// Replaces the certificate of the host key.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_host_certificate(&self, text: &str) -> Result<(), Error> {
        let path = self.host_certificate();
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(Error::of(dir))?;
        }
        replace(&path, text.as_bytes())
    }

    /// Replaces the configuration of the node's image registry, which starts it (`futuswarm-registry.path`).
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_registry(&self, text: &[u8]) -> Result<(), Error> {
        replace(&self.run.join("registry.json"), text)
    }

    /// Starts what waits for the node to be Ready (`futuswarm-cloud-init.path`).
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn mark_ready(&self) -> Result<(), Error> {
        replace(&self.run.join("ready"), b"")
    }
}

/// Writes a whole file or nothing.
///
/// # Errors
/// When it cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, content).map_err(Error::of(&temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::of(path))
}
