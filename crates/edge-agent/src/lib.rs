//! This node's edge: a container of our own, outside of the Swarm's scheduler, so that a network can be attached
//! without starting it again. In a cluster with a login a second container, with Apache, is before it.

mod config;
mod error;
mod login;
mod turns;

use std::collections::BTreeSet;
use std::time::Duration;

use futuswarm_edge::{
    CONFIG_FILE, LISTEN_PORT, LOGIN_MEMORY_MIB, MASTER_SOCKET, MEMORY_MIB, Refusal, Route, Routes, Serving,
};
use futuswarm_model::keys;
use futuswarm_node_files::Files;
use futuswarm_retry::Backoff;
use futuswarm_store::{Bucket, Store};
use futuswarm_swarm::{ContainerApi, ContainerConfig, Engine};
use futuswarm_vault::Vault;
use tokio::sync::watch;
use tokio::time::Instant;

use config::{Asked, Config};
pub use error::Error;
use login::{Clients, Front};
use turns::CURRENT;

/// The container, and the bridge network that it starts on.
const NAME: &str = "futuswarm-edge";
const HAPROXY: &str = "/usr/sbin/haproxy";
/// Both containers' part of the list of images: it has nothing of its own but users and folders.
const IMAGE: &str = "edge";
/// A line for each request has some 500 bytes, so that the last 400,000 requests of a node are there.
const LOG_MEGABYTES: u32 = 200;
/// Between two rounds: until the edge serves, and from then on.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(5);
/// A new edge says that it is not complete for at most this long because of a network that it cannot join: one broken network
/// must not keep every edge of the cluster away from the load balancer.
const PATIENCE: Duration = Duration::from_secs(90);

/// The cluster, as its sealed secrets name it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// In its specification.
    pub name: String,
    /// The KMS key of all nodes.
    pub key: String,
}

/// Keeps this node's edge right for as long as its process lives, and says through `serving` what it serves.
pub async fn run<B: Bucket, E: Engine, V: Vault>(
    engine: E,
    store: Store<B>,
    vault: V,
    cluster: Cluster,
    files: Files,
    serving: watch::Sender<Serving>,
) {
    let (sender, front) = watch::channel(Front::default());
    let clients = Clients { engine: &engine, store: &store, vault: &vault, cluster: &cluster };
    // Beside each other: HAProxy may need half a minute for a configuration, and whom an app admits counts within two seconds.
    tokio::join!(login::keep(clients, files.clone(), &sender), keep(&engine, &store, files, front, serving));
}

/// Keeps HAProxy right.
async fn keep<B: Bucket, E: Engine>(
    engine: &E,
    store: &Store<B>,
    files: Files,
    mut front: watch::Receiver<Front>,
    serving: watch::Sender<Serving>,
) {
    let (mut edge, mut backoff) = (Edge::new(files), Backoff::default());
    loop {
        let now = front.borrow_and_update().clone();
        let pause = if now.known {
            match edge.round(engine, store, &now).await {
                Ok(served) => {
                    backoff.reset();
                    let pause = if served.complete { INTERVAL } else { FIRST_INTERVAL };
                    // Who listens never ends before the process does.
                    let _nobody_listens = serving.send(served);
                    pause
                }
                Err(error) => backoff.failed("the edge is not as it should be", &error.to_string()),
            }
        } else {
            // Whether there is a login decides what may be served to whom.
            let _nobody_listens = serving.send(Serving { reason: now.reason, ..Serving::default() });
            FIRST_INTERVAL
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = front.changed() => {}
        }
    }
}

/// Removes the edge's container; its loop makes it again.
///
/// # Errors
/// When the engine refuses.
pub async fn stop(engine: &impl ContainerApi) -> Result<(), futuswarm_swarm::Error> {
    engine.remove_container(NAME).await
}

struct Edge {
    files: Files,
    config: Config,
    images_loaded: bool,
    /// Since when the container has lacked routes; `None` once it had all of them.
    incomplete_since: Option<Instant>,
    /// What could not be served in the last round, so that it is said once.
    refused: Vec<Refusal>,
}

impl Edge {
    fn new(files: Files) -> Self {
        let config = Config::new(&files);
        Self { files, config, images_loaded: false, incomplete_since: Some(Instant::now()), refused: Vec::new() }
    }

    /// Makes the edge serve the routes in the bucket.
    async fn round<B: Bucket>(
        &mut self,
        engine: &impl Engine,
        store: &Store<B>,
        front: &Front,
    ) -> Result<Serving, Error> {
        let images = self.files.container_images()?;
        if !self.images_loaded {
            for (part, name) in &images {
                if engine.ensure_image(name, &self.files.archive(part)).await? {
                    tracing::info!(image = name, "loaded from the node's own disk");
                }
            }
            self.images_loaded = true;
        }
        let Some(image) = images.get(IMAGE) else { return Ok(Serving::default()) };
        let private = front.domains.as_ref().map(|domains| domains.private.clone());

        let mut attached = networks(engine).await?;
        if attached.is_empty() {
            // A new container: what an earlier one had must not make this one look healthy.
            self.incomplete_since = Some(Instant::now());
        }
        if attached.is_empty() || !self.config.exists() {
            self.config.put(Asked { routes: Vec::new(), complete: false, private: private.clone() }).await?;
        }
        if self.run(engine, image, private.is_some()).await? {
            tracing::info!("the edge's container started");
            self.config.started();
            // It may be another container, which is on none of the networks that the one before it was on.
            attached = networks(engine).await?;
            self.incomplete_since = Some(Instant::now());
        }
        // Read last: a start takes a while, and what was published meanwhile belongs to what a complete edge serves.
        let published = store.get::<Routes>(keys::ROUTES).await?;
        let document = published.as_ref().map(|routes| routes.etag.clone());
        let desired = published.map(|routes| routes.value.routes).unwrap_or_default();
        let (routes, mut refused) = self.attach(engine, desired, &attached).await;
        let patient = self.incomplete_since.is_some_and(|since| since.elapsed() < PATIENCE);
        let complete = document.is_some() && (refused.is_empty() || !patient);
        let served = front.with_open_hosts(routes.clone());
        refused.extend(self.config.put(Asked { routes: served, complete, private }).await?);
        self.config.load().await?;
        if complete {
            self.incomplete_since = None;
        }
        self.leave(engine, &routes, &attached).await;
        self.log_news(&refused);
        let reason = refused.first().map(|first| match refused.len() {
            1 => format!("the edge does not serve {}: {}", first.service, first.reason),
            count => format!("the edge does not serve {} and {} more: {}", first.service, count - 1, first.reason),
        });
        let without = refused.into_iter().map(|one| one.service).collect();
        let reason = reason.or_else(|| front.reason.clone());
        Ok(Serving { complete, reason, document, without })
    }

    async fn run(&mut self, engine: &impl Engine, image: &str, has_login: bool) -> Result<bool, Error> {
        engine.ensure_bridge(NAME).await?;
        let dir = self.files.edge_dir().display().to_string();
        let run_dir = self.files.edge_run_dir().display().to_string();
        let config = format!("{dir}/{CURRENT}/{CONFIG_FILE}");
        let memory = if has_login { LOGIN_MEMORY_MIB } else { MEMORY_MIB };
        // The agent is root without capabilities, and another user to HAProxy; only the folder keeps others out.
        let master = format!("{run_dir}/{MASTER_SOCKET},mode,666");
        let desired = ContainerConfig {
            name: NAME.to_owned(),
            image: image.to_owned(),
            command: [HAPROXY, "-W", "-db", "-S", &master, "-f", &config].map(str::to_owned).to_vec(),
            // HAProxy is the node's own, from the verified root.
            mounts: vec![("/usr".to_owned(), "/usr".to_owned()), (dir.clone(), dir)],
            // The second is for the socket of the login, also before there is one: the folder is nothing by itself.
            writable: vec![run_dir, self.files.login_socket_dir().display().to_string()],
            ports: vec![(80, LISTEN_PORT)],
            network: NAME.to_owned(),
            // The configuration says how many processes may share it.
            memory_bytes: i64::from(memory) << 20,
            log_megabytes: Some(LOG_MEGABYTES),
            environment: Vec::new(),
            user: None,
        };
        Ok(engine.ensure_container(&desired).await?)
    }

    /// Attaches the edge to the networks of its services. Returns the routes whose network it is on; one network that cannot be
    /// joined holds back none of the others.
    async fn attach(
        &self,
        engine: &impl Engine,
        desired: Vec<Route>,
        attached: &BTreeSet<String>,
    ) -> (Vec<Route>, Vec<Refusal>) {
        let mut attached = attached.clone();
        let (mut failed, mut routes, mut refused) = (BTreeSet::new(), Vec::new(), Vec::new());
        for route in desired {
            let network = &route.network;
            if !attached.contains(network) && !failed.contains(network) {
                match engine.connect_network(network, NAME).await {
                    Ok(()) => {
                        tracing::info!(network, "the edge is attached");
                        attached.insert(network.clone());
                    }
                    Err(error) => {
                        failed.insert(network.clone());
                        let reason = format!("the network {network} cannot be joined: {error}");
                        refused.push(Refusal { service: route.service, reason });
                        continue;
                    }
                }
            }
            if attached.contains(network) {
                routes.push(route);
            // One that has several destinations is told of once.
            } else if !refused.iter().any(|one: &Refusal| one.service == route.service) {
                let reason = format!("the network {network} cannot be joined");
                refused.push(Refusal { service: route.service, reason });
            }
        }
        (routes, refused)
    }

    /// Leaves networks that no service needs any more: nobody could remove them otherwise.
    async fn leave(&self, engine: &impl Engine, routes: &[Route], attached: &BTreeSet<String>) {
        for network in unneeded(routes, attached) {
            match engine.disconnect_network(network, NAME).await {
                Ok(()) => tracing::info!(network, "the edge has left"),
                // It is tried again in the next round, and hurts nobody until then.
                Err(error) => tracing::warn!(network, %error, "the edge cannot leave a network; will try again"),
            }
        }
    }

    /// Logs what is not served, once per reason.
    fn log_news(&mut self, refused: &[Refusal]) {
        for Refusal { service, reason } in refused.iter().filter(|one| !self.refused.contains(one)) {
            tracing::warn!(service, reason, "not served by this node");
        }
        self.refused = refused.to_vec();
    }
}

/// Networks that the edge's container is on; none when there is no such container.
async fn networks(engine: &impl ContainerApi) -> Result<BTreeSet<String>, Error> {
    let container = engine.inspect_container(NAME).await?;
    Ok(container.into_iter().flat_map(|container| container.networks).collect())
}

/// Networks that the edge is on and that none of its routes needs; its own bridge is for the world.
fn unneeded<'a>(routes: &[Route], attached: &'a BTreeSet<String>) -> Vec<&'a String> {
    let needed = |network: &String| network == NAME || routes.iter().any(|route| route.network == *network);
    attached.iter().filter(|network| !needed(network)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edge_leaves_what_it_no_longer_serves_and_nothing_else() {
        let route = |network: &str| Route { network: network.to_owned(), ..Route::default() };
        let attached = BTreeSet::from([NAME.to_owned(), "used".to_owned(), "old".to_owned()]);
        assert_eq!(unneeded(&[route("used")], &attached), ["old"]);
        assert_eq!(unneeded(&[], &attached), ["old", "used"]);
    }
}
