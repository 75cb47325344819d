//! The login of this node: Apache's container and files, and what HAProxy has to know of it. A loop beside HAProxy's own, because whom
//! an app admits counts within two seconds, whatever HAProxy is busy with.
//!
//! What cannot be read counts as it was read last. Who has read nothing lets nobody in.

mod admitted;
mod files;
mod secrets;

use std::collections::BTreeSet;
use std::time::Duration;

use futuswarm_edge::{PrivateDomain, Route, Routes, with_open_hosts};
use futuswarm_model::{Admissions, Locked, LoginClientSecret, LoginPassphrases, LoginProvider, LoginRecord, keys};
use futuswarm_node_files::{Files, LOGIN_USER};
use futuswarm_retry::Backoff;
use futuswarm_store::{Bucket, News, Store};
use futuswarm_swarm::{ContainerConfig, Engine};
use futuswarm_vault::Vault;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::{Cluster, Error, IMAGE};
use admitted::{Described, Records, describe};
use files::LoginFiles;
use secrets::Opened;

/// The container, and the bridge network that it is on. No app is on it.
const NAME: &str = "futuswarm-login";
/// Of the node; the load balancer sends the private domain here.
const PORT: u16 = 81;
/// A WebSocket takes 80 KiB, and an edge has room for 2,048; processes of before a reload have theirs as well.
const MEMORY_MIB: i64 = 512;
/// Apache writes down what it answers itself, and HAProxy the rest.
const LOG_MEGABYTES: u32 = 50;
/// The authorities of the image, one of which the provider's certificate comes from.
const AUTHORITIES: &str = "/etc/ssl/certs";
/// Reads its configuration again, and lets requests of before end.
const RELOAD: &str = "USR1";
/// Between two rounds.
const INTERVAL: Duration = Duration::from_secs(5);
/// Between two questions for whom apps admit and who is locked out.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// For so long there has to be no record before that is believed of a cluster that had a login: S3 may say so of what exists.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// What speaks to the outside.
pub(crate) struct Clients<'a, B, E, V> {
    pub(crate) engine: &'a E,
    pub(crate) store: &'a Store<B>,
    pub(crate) vault: &'a V,
    pub(crate) cluster: &'a Cluster,
}

/// What HAProxy has to know of the login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Front {
    /// Whether it is known if there is one.
    pub(crate) known: bool,
    /// `None` in a cluster without a login.
    pub(crate) domains: Option<Domains>,
    /// Apps that the world may use.
    open: BTreeSet<String>,
    /// Why nobody can sign in, or not everywhere.
    pub(crate) reason: Option<String>,
}

/// Where apps have hosts in a cluster with a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domains {
    pub(crate) private: PrivateDomain,
    open: Option<String>,
}

impl Front {
    /// These routes, and the hosts in the open domain of those that are open.
    pub(crate) fn with_open_hosts(&self, routes: Vec<Route>) -> Vec<Route> {
        match &self.domains {
            Some(Domains { private, open: Some(open) }) => {
                with_open_hosts(routes, &private.domain, open, |service| self.open.contains(service))
            }
            _ => routes,
        }
    }
}

/// Changes what HAProxy knows, and wakes it when that is something new.
fn tell(front: &watch::Sender<Front>, change: impl FnOnce(&mut Front)) {
    front.send_if_modified(|front| {
        let before = front.clone();
        change(front);
        *front != before
    });
}

/// Keeps this node's login right for as long as its process lives.
pub(crate) async fn keep<B: Bucket, E: Engine, V: Vault>(
    clients: Clients<'_, B, E, V>,
    files: Files,
    front: &watch::Sender<Front>,
) {
    let (mut gate, mut backoff) = (Gate::new(files), Backoff::default());
    loop {
        let (reason, pause) = match gate.round(&clients, front).await {
            Ok(reason) => {
                backoff.reset();
                (reason, INTERVAL)
            }
            Err(error) => {
                let reason = error.to_string();
                let pause = backoff.failed("the login is not as it should be", &reason);
                (Some(reason), pause)
            }
        };
        tell(front, |front| front.reason = reason);
        gate.watch(clients.store, front, pause).await;
    }
}

/// A document that is asked for again and again.
struct Known<T> {
    value: Option<T>,
    etag: Option<String>,
}

impl<T: DeserializeOwned> Known<T> {
    fn nothing() -> Self {
        Self { value: None, etag: None }
    }

    /// Whether it is another one than before.
    async fn read<B: Bucket>(&mut self, store: &Store<B>, key: &str) -> Result<bool, Error> {
        match store.get_if_changed(key, self.etag.as_deref()).await? {
            News::Same | News::Changed(None) => Ok(false),
            News::Changed(Some(document)) => {
                (self.value, self.etag) = (Some(document.value), Some(document.etag));
                Ok(true)
            }
        }
    }
}

struct Gate {
    nodes_files: Files,
    files: LoginFiles,
    record: Option<LoginRecord>,
    /// Since when there has been no record, where there was one.
    absent_since: Option<Instant>,
    provider: Option<LoginProvider>,
    admissions: Known<Admissions>,
    locked: Known<Locked>,
    routes: Known<Routes>,
    opened: Opened,
    is_image_loaded: bool,
    /// Whether a container, or its files, may be there.
    may_run: bool,
    /// Whether what is on disk may be newer than what Apache has read.
    stale: bool,
}

impl Gate {
    fn new(files: Files) -> Self {
        Self {
            files: LoginFiles::new(&files),
            nodes_files: files,
            record: None,
            absent_since: None,
            provider: None,
            admissions: Known::nothing(),
            locked: Known::nothing(),
            routes: Known::nothing(),
            opened: Opened::default(),
            is_image_loaded: false,
            // An agent before this one may have started it, and may not have told it of the newest.
            may_run: true,
            stale: true,
        }
    }

    /// Makes the login what the bucket says. Returns why nobody can sign in, or not everywhere.
    async fn round<B: Bucket, E: Engine, V: Vault>(
        &mut self,
        clients: &Clients<'_, B, E, V>,
        front: &watch::Sender<Front>,
    ) -> Result<Option<String>, Error> {
        let (engine, store) = (clients.engine, clients.store);
        let doubt = self.read_record(store).await;
        let Some(record) = self.record.clone() else {
            // Nobody knows whether there is one.
            doubt?;
            tell(front, |front| *front = Front { known: true, ..Front::default() });
            self.close(engine).await?;
            return Ok(None);
        };
        let (_, lists) = self.read_lists(store).await;
        self.tell_front(&record, front);
        if self.locked.value.is_none() {
            lists?;
            return Ok(None);
        }
        self.routes.read(store, keys::ROUTES).await?;
        self.provider = store.get(keys::LOGIN_PROVIDER).await?.map(|provider| provider.value);
        let client = store.get::<LoginClientSecret>(keys::LOGIN_CLIENT_SECRET).await?;
        let passphrases = store.get::<LoginPassphrases>(keys::LOGIN_PASSPHRASES).await?;
        let lacking = match (&self.provider, &client, &passphrases) {
            (None, _, _) => Some("what its provider says of itself is not in the bucket yet"),
            (Some(provider), _, _) if provider.issuer != record.issuer => {
                Some("what the bucket has of its provider is of another issuer")
            }
            (_, None, _) => Some("the client's secret is not in the bucket: `cargo xtask login secret` puts it there"),
            (_, _, None) => Some("no passphrase is in the bucket yet"),
            _ => None,
        };
        let (None, Some(client), Some(passphrases)) = (lacking, client, passphrases) else {
            self.close(engine).await?;
            return Ok(lacking.map(|reason| format!("the login does not run: {reason}")));
        };
        let secrets = self.opened.file(clients.vault, clients.cluster, &client.value, &passphrases.value).await?;
        let Some(Described { login, refused }) = self.describe()? else { return Ok(None) };
        let put = self.files.put(login, &secrets).await;
        self.stale |= matches!(put, Ok(true));
        if self.files.exist() {
            self.run(engine).await?;
        }
        put?;
        doubt?;
        lists?;
        Ok(match refused.as_slice() {
            [] => None,
            [only] => Some(format!("the login: {only}")),
            [first, rest @ ..] => Some(format!("the login: {first} (and {} more)", rest.len())),
        })
    }

    /// Reads whether there is a login. An error leaves what was known.
    async fn read_record<B: Bucket>(&mut self, store: &Store<B>) -> Result<(), Error> {
        match store.peek::<LoginRecord>(keys::LOGIN).await? {
            Some(record) => (self.record, self.absent_since) = (Some(record.value), None),
            None if self.record.is_none() && !self.files.exist() => {}
            None => {
                let since = *self.absent_since.get_or_insert_with(Instant::now);
                if since.elapsed() < GONE_AFTER {
                    return Err(Error::Vanished);
                }
                self.record = None;
            }
        }
        Ok(())
    }

    /// Reads whom apps admit and who is locked out, and says whether that has changed.
    async fn read_lists<B: Bucket>(&mut self, store: &Store<B>) -> (bool, Result<(), Error>) {
        let admissions = self.admissions.read(store, keys::ADMISSIONS).await;
        let locked = self.locked.read(store, keys::LOGIN_LOCKED).await;
        if locked.is_ok() {
            // Nobody has been locked out yet where nobody has written it.
            self.locked.value.get_or_insert_with(Locked::default);
        }
        let changed = matches!(admissions, Ok(true)) || matches!(locked, Ok(true));
        (changed, admissions.and(locked).map(|_| ()))
    }

    fn tell_front(&self, record: &LoginRecord, front: &watch::Sender<Front>) {
        let private = PrivateDomain {
            domain: record.domain.clone(),
            socket: files::socket(&self.nodes_files).display().to_string(),
            // An address that the provider calls otherwise it has perhaps not verified.
            named_by_email: record.user_claim == "email",
            // No app has a key yet: docs/sso.md says what is missing.
            tokens: false,
        };
        let admissions = self.admissions.value.iter().flat_map(|admissions| &admissions.apps);
        let open = admissions.filter(|(_, admission)| admission.open).map(|(app, _)| app.clone()).collect();
        tell(front, |front| {
            front.known = true;
            front.domains = Some(Domains { private, open: record.open_domain.clone() });
            front.open = open;
        });
    }

    /// The login as it should be; `None` while something of it is not known.
    fn describe(&self) -> Result<Option<Described>, Error> {
        let (Some(record), Some(provider), Some(locked)) = (&self.record, &self.provider, &self.locked.value) else {
            return Ok(None);
        };
        let routes = self.routes.value.as_ref().map(|routes| routes.routes.as_slice()).unwrap_or_default();
        let records = Records { record, provider, locked, admissions: self.admissions.value.as_ref(), routes };
        // The folder is said by whoever puts it there.
        Ok(Some(describe(&records, self.files.places(crate::turns::CURRENT))?))
    }

    /// Makes the container run with what is on disk.
    async fn run(&mut self, engine: &impl Engine) -> Result<(), Error> {
        let images = self.nodes_files.container_images()?;
        let Some(image) = images.get(IMAGE) else { return Ok(()) };
        if !self.is_image_loaded {
            engine.ensure_image(image, &self.nodes_files.archive(IMAGE)).await?;
            self.is_image_loaded = true;
        }
        engine.ensure_bridge(NAME).await?;
        self.may_run = true;
        if engine.ensure_container(&self.container(image)).await? {
            tracing::info!("the login's container started");
            self.stale = false;
        } else if self.stale {
            engine.signal_container(NAME, RELOAD).await?;
            self.stale = false;
        }
        Ok(())
    }

    fn container(&self, image: &str) -> ContainerConfig {
        let same = |path: String| (path.clone(), path);
        let files = &self.nodes_files;
        ContainerConfig {
            name: NAME.to_owned(),
            image: image.to_owned(),
            command: self.files.command(),
            // Apache is the node's own, from the verified root. Who reads the socket's folder may connect to what is in it.
            mounts: vec![
                same("/usr".to_owned()),
                same(AUTHORITIES.to_owned()),
                same(files.login_dir().display().to_string()),
                same(files.login_socket_dir().display().to_string()),
            ],
            writable: vec![files.login_run_dir().display().to_string()],
            ports: vec![(PORT, futuswarm_sso::LISTEN_PORT)],
            network: NAME.to_owned(),
            memory_bytes: MEMORY_MIB << 20,
            log_megabytes: Some(LOG_MEGABYTES),
            environment: self.files.environment(),
            user: Some(LOGIN_USER.to_owned()),
        }
    }

    /// Takes the container and its files away.
    async fn close(&mut self, engine: &impl Engine) -> Result<(), Error> {
        if self.may_run {
            engine.remove_container(NAME).await?;
            self.files.remove()?;
            self.may_run = false;
        }
        Ok(())
    }

    /// Waits, and has lists that change meanwhile count at once. What goes wrong here is told by the next round.
    async fn watch<B: Bucket>(&mut self, store: &Store<B>, front: &watch::Sender<Front>, pause: Duration) {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Some(record) = self.record.clone().filter(|_| left > WATCH_INTERVAL) else {
                return tokio::time::sleep(left).await;
            };
            tokio::time::sleep(WATCH_INTERVAL).await;
            if let (true, _) = self.read_lists(store).await {
                self.tell_front(&record, front);
                if let Ok(Some(described)) = self.describe() {
                    let _told_by_the_next_round = self.files.put_lists(described.login).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
