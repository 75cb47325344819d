//! The node's firewall: keeps the sets of its rules what the cluster's specification says, and the table as it was loaded.
//!
//! `futuswarm-firewall.service` has loaded the rules before dockerd started, closed to everything that needs to know the
//! cluster. What opens them is level-triggered: the specification is read again and again, and the table is compared with what
//! it was when this loop loaded it last, so that a table that somebody changed or took away comes back.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futuswarm_firewall::{ELEMENTS, Networks, RULES, TABLE};
use futuswarm_model::keys;
use futuswarm_node_files::{self as files, Files};
use futuswarm_retry::Backoff;
use futuswarm_store::{Bucket, Store};
use futuswarm_userdata::NodeConfig;
use tokio::process::Command;
use tokio::time::Instant;

use crate::Error;

const NFT: &str = "/usr/sbin/nft";
/// `nft` takes milliseconds; in an emulated machine that starts, seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two comparisons of the table.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// Between two readings of the specification, which changes when somebody deploys.
const SPECIFICATION_INTERVAL: Duration = Duration::from_secs(30);

/// What the user data says of the networks: enough for the Swarm and for containers, nothing for people. It does not change
/// in a node's life and needs no S3.
pub(crate) fn first_networks(config: &NodeConfig) -> Networks {
    Networks { vpc: config.vpc_cidr.into_iter().collect(), nodes: config.node_subnets.clone(), ..Networks::default() }
}

/// Keeps the firewall for as long as the agent lives.
pub(crate) async fn keep<B: Bucket + 'static>(store: Store<B>, networks: Networks, files: Files) {
    let mut firewall = Firewall::new(networks, files, Nft { program: NFT.into(), rules: RULES.into() });
    let mut backoff = Backoff::default();
    loop {
        let pause = match firewall.round(&store).await {
            Ok(()) => {
                backoff.reset();
                POLL_INTERVAL
            }
            Err(error) => backoff.failed("the firewall is not as it should be", &error.to_string()),
        };
        tokio::time::sleep(pause).await;
    }
}

/// The program that speaks to the kernel.
struct Nft {
    program: PathBuf,
    rules: PathBuf,
}

impl Nft {
    /// Replaces the table by the rules and the elements, all or nothing.
    async fn load(&self) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command.arg("--file").arg(&self.rules);
        run(command, "cannot load the firewall").await.map(drop)
    }

    /// The table as the kernel has it, without counters; `None` when there is none.
    async fn listing(&self) -> Option<String> {
        let mut command = Command::new(&self.program);
        command.args(["--stateless", "list", "table"]).args(TABLE);
        match run(command, "cannot list the firewall").await {
            Ok(listing) => Some(listing),
            // Absent, or unreadable: in both cases it is loaded again.
            Err(error) => {
                tracing::debug!(%error, "no table");
                None
            }
        }
    }
}

/// Runs `nft` with a deadline. Returns what it printed.
async fn run(mut command: Command, what: &str) -> Result<String, Error> {
    command.stdin(Stdio::null()).env_clear().kill_on_drop(true);
    let failed = |reason: String| Error::Firewall(format!("{what}: {reason}"));
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.map_err(|_| failed(format!("nft took longer than {} s", DEADLINE.as_secs())))?;
    let output = output.map_err(|error| failed(format!("nft cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("nft ended with {}: {}", output.status, stderr.lines().next().unwrap_or_default())))
}

struct Firewall {
    networks: Networks,
    files: Files,
    nft: Nft,
    /// When the specification was read last.
    read: Option<Instant>,
    /// The elements and the table as they were when it was loaded last.
    loaded: Option<(String, Option<String>)>,
}

impl Firewall {
    fn new(networks: Networks, files: Files, nft: Nft) -> Self {
        Self { networks, files, nft, read: None, loaded: None }
    }

    /// Makes the table what it should be.
    async fn round<B: Bucket>(&mut self, store: &Store<B>) -> Result<(), Error> {
        // What is known comes first: S3 may take long to answer, and containers run already.
        if self.loaded.is_none() {
            self.apply().await?;
        }
        let specification = if self.read.is_none_or(|read| read.elapsed() >= SPECIFICATION_INTERVAL) {
            self.read_specification(store).await
        } else {
            Ok(())
        };
        self.apply().await?;
        specification
    }

    /// Reads the networks of the specification; what was known stays when it cannot be read.
    async fn read_specification<B: Bucket>(&mut self, store: &Store<B>) -> Result<(), Error> {
        let specification = store.get::<serde_json::Value>(keys::SPEC).await?;
        // A cluster that is being destroyed, or made: S3 may not show it yet.
        if let Some(specification) = specification {
            let networks = Networks::of_specification(specification.value)?;
            if self.read.is_none() || networks != self.networks {
                tracing::info!(
                    ssh = ?networks.ssh.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    nodes = ?networks.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "the firewall follows the specification"
                );
            }
            self.networks = networks;
            self.read = Some(Instant::now());
        }
        Ok(())
    }

    /// Loads the rules when the elements are others, or the table is not as it was left.
    async fn apply(&mut self) -> Result<(), Error> {
        let elements = self.networks.elements();
        if let Some((last, table)) = &self.loaded
            && *last == elements
        {
            if table.is_some() && self.nft.listing().await == *table {
                return Ok(());
            }
            tracing::warn!("somebody changed the node's firewall; it is put back");
        }
        // Until it is loaded, nothing is as it should be.
        self.loaded = None;
        std::fs::create_dir_all(&self.files.run).map_err(files::Error::of(&self.files.run))?;
        files::replace(&self.files.run.join(ELEMENTS), elements.as_bytes())?;
        self.nft.load().await?;
        self.loaded = Some((elements, self.nft.listing().await));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
