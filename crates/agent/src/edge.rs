//! This node's edge: a container of the agent's own, outside of the Swarm's scheduler, so that a network can be attached
//! without starting it anew.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use futuswarm_edge::{LISTEN_PORT, Routes, render};
use futuswarm_store::{Bucket, Store, keys};
use futuswarm_swarm::{Container, Engine, LocalNetwork};

use tokio::sync::watch;

use crate::Error;
use crate::files::{self, Files};
use crate::supervision::Supervisor;
use crate::trouble::Trouble;

const NAME: &str = "futuswarm-edge";
const HAPROXY: &str = "/usr/sbin/haproxy";
const CONFIG: &str = "haproxy.cfg";
/// HAProxy checks a configuration in milliseconds; in an emulated machine in a second.
const CHECK_DEADLINE: Duration = Duration::from_secs(30);

/// Between two looks at the routes: until there are any, and from then on.
const FIRST_LOOK: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(5);

/// Starts the edge's own loop; the receiver says whether it has routes to serve.
pub(crate) fn start<B: Bucket + 'static>(
    tasks: &Supervisor,
    engine: Engine,
    store: Store<B>,
    files: Files,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tasks.spawn("the edge", async move {
        let (mut edge, mut trouble) = (Edge::new(files), Trouble::default());
        loop {
            let pause = match edge.round(&engine, &store).await {
                Ok(serves) => {
                    trouble.over();
                    // The agent's own loop never ends before its process does.
                    let _nobody_listens = sender.send(serves);
                    if serves { LOOK } else { FIRST_LOOK }
                }
                Err(error) => trouble.failed("the edge is not as it should be", &error.to_string()),
            };
            tokio::time::sleep(pause).await;
        }
    });
    receiver
}

/// Removes the edge's container; its loop makes it again.
pub(crate) async fn stop(engine: &Engine) -> Result<(), Error> {
    Ok(engine.remove_container(NAME).await?)
}

struct Edge {
    files: Files,
    images_loaded: bool,
    /// What the running HAProxy serves.
    current: Option<String>,
    /// A configuration that HAProxy refused, so that it is said once.
    refused: Option<String>,
    attached: BTreeSet<String>,
}

impl Edge {
    fn new(files: Files) -> Self {
        Self { files, images_loaded: false, current: None, refused: None, attached: BTreeSet::new() }
    }

    /// Makes the edge serve the routes in the bucket. Returns whether there were any.
    async fn round<B: Bucket>(&mut self, engine: &Engine, store: &Store<B>) -> Result<bool, Error> {
        let images = self.files.container_images()?;
        if !self.images_loaded {
            for (part, name) in &images {
                if engine.ensure_image(name, &self.files.archive(part)).await? {
                    tracing::info!(image = name, "loaded from the node's own disk");
                }
            }
            self.images_loaded = true;
        }
        let routes = store.get::<Routes>(keys::ROUTES).await?;
        let published = routes.is_some();
        let routes = routes.map(|routes| routes.value).unwrap_or_default();
        self.configure(engine, &routes).await?;
        if let Some(image) = images.get("edge") {
            self.run(engine, image).await?;
            self.attach(engine, &routes).await?;
        }
        Ok(published)
    }

    /// Renders, checks and reloads. A configuration that HAProxy refuses changes nothing: the last good one is served.
    async fn configure(&mut self, engine: &Engine, routes: &Routes) -> Result<(), Error> {
        let text = render(routes)?;
        if self.current.as_ref() == Some(&text) || self.refused.as_ref() == Some(&text) {
            return Ok(());
        }
        let dir = self.files.edge_dir();
        std::fs::create_dir_all(&dir).map_err(files::file(&dir))?;
        let candidate = dir.join("candidate.cfg");
        files::replace(&candidate, text.as_bytes())?;
        if let Err(reason) = check(&candidate).await {
            tracing::warn!(reason, "HAProxy refuses the new configuration; the old one stays");
            self.refused = Some(text);
            return Ok(());
        }
        let first = !dir.join(CONFIG).exists();
        files::replace(&dir.join(CONFIG), text.as_bytes())?;
        // USR2 makes HAProxy's master load the configuration and hand the listeners over without losing a connection.
        if !first && let Err(error) = engine.signal_container(NAME, "SIGUSR2").await {
            tracing::debug!(%error, "no edge to reload; it will start with the new configuration");
        }
        tracing::info!(services = routes.routes.len(), "the edge serves");
        self.current = Some(text);
        Ok(())
    }

    async fn run(&mut self, engine: &Engine, image: &str) -> Result<(), Error> {
        engine.ensure_bridge(&LocalNetwork(NAME.to_owned())).await?;
        let dir = self.files.edge_dir().display().to_string();
        let wanted = Container {
            name: NAME.to_owned(),
            image: image.to_owned(),
            command: [HAPROXY, "-W", "-db", "-f", &format!("{dir}/{CONFIG}")].map(str::to_owned).to_vec(),
            // HAProxy is the node's own, from the verified root.
            mounts: vec![("/usr".to_owned(), "/usr".to_owned()), (dir.clone(), dir)],
            ports: vec![(80, LISTEN_PORT)],
            network: NAME.to_owned(),
            memory_bytes: 128 << 20,
        };
        if engine.ensure_container(&wanted).await? {
            tracing::info!("the edge's container started");
            self.attached.clear();
        }
        Ok(())
    }

    /// Attaches the edge to the networks of its services.
    async fn attach(&mut self, engine: &Engine, routes: &Routes) -> Result<(), Error> {
        let wanted: BTreeSet<String> = routes.routes.iter().map(|route| route.network.clone()).collect();
        if wanted.is_subset(&self.attached) {
            return Ok(());
        }
        self.attached = engine.container_networks(NAME).await?.into_iter().collect();
        for network in wanted.difference(&self.attached.clone()) {
            engine.connect(NAME, network).await?;
            tracing::info!(network, "the edge is attached");
            self.attached.insert(network.clone());
        }
        Ok(())
    }
}

async fn check(config: &std::path::Path) -> Result<(), String> {
    let run = tokio::process::Command::new(HAPROXY)
        .arg("-c")
        .arg("-f")
        .arg(config)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CHECK_DEADLINE, run)
        .await
        .map_err(|_| format!("no answer within {} s", CHECK_DEADLINE.as_secs()))?
        .map_err(|error| format!("{HAPROXY}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let alert = text.lines().find(|line| line.contains("ALERT")).unwrap_or("no reason given");
    Err(alert.trim().to_owned())
}
