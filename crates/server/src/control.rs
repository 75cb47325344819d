//! The control service: its clients, and what every request of it needs of them.

use futuswarm_database::Databases;
use futuswarm_model::AppRecord;
use futuswarm_paas::access::{self, Actor, Target, Verb};
use futuswarm_store::{Blobs, Bucket};
use futuswarm_swarm::Engine;
use futuswarm_vault::DataKeys;

use crate::audit::Audited;
use crate::clock::Clock;
use crate::connections::Connections;
use crate::drives::Drives;
use crate::old_tool::OldTool;
use crate::records::Records;
use crate::refusal::Refused;
use crate::registry::Registry;
use crate::shares::Shares;
use crate::{Error, desired};

/// The types of a control service's clients.
pub trait Platform: Send + Sync + Sized + 'static {
    /// The cluster's bucket.
    type Bucket: Bucket + Blobs + Clone + 'static;
    /// What opens sealed documents.
    type Keys: DataKeys + Clone + 'static;
    /// The node's Docker Engine.
    type Engine: Engine;
    /// The node's image registry.
    type Registry: Registry;
    /// The cluster's database server.
    type Databases: Databases + 'static;
    /// The wall clock.
    type Clock: Clock;
    /// Where the old tool's objects are.
    type Old: OldTool;
}

/// What the service knows of its cluster and its node.
#[derive(Debug, Clone)]
pub struct Facts {
    /// As in its specification; encryption contexts name it.
    pub cluster: String,
    /// Apps are named below it.
    pub domain: String,
    /// The instance's id, by which managers tell each other apart.
    pub node: String,
    /// How visitors reach the balancer: `https`, and a port where it is not the usual one.
    pub public: String,
}

/// The container image that programs of the node's own `/usr` run in, out of the node's image and not of a registry.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Its name on the node.
    pub image: String,
    /// What it is loaded from when it is not there.
    pub archive: std::path::PathBuf,
}

/// The control service.
pub struct Control<P: Platform> {
    pub(crate) records: Records<P::Bucket, P::Keys>,
    pub(crate) engine: P::Engine,
    pub(crate) registry: P::Registry,
    pub(crate) clock: P::Clock,
    pub(crate) old: P::Old,
    pub(crate) facts: Facts,
    pub(crate) drives: Drives,
    pub(crate) shares: Shares,
    pub(crate) databases: P::Databases,
    /// What PostgreSQL's programs run in.
    pub(crate) tools: Tools,
    pub(crate) connections: Connections,
    /// Where the secrets of one-off programs are, in memory.
    pub(crate) programs: std::path::PathBuf,
    /// Where lines of the audit go; a task of its own writes them to the bucket.
    pub(crate) audits: tokio::sync::mpsc::Sender<Audited>,
}

impl<P: Platform> Control<P> {
    /// The version of this program.
    pub(crate) fn program(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    pub(crate) fn existing_or(&self, record: Option<AppRecord>, app: &str) -> Result<AppRecord, Refused> {
        record.ok_or_else(|| Refused::not_found(format!("there is no app {app}")))
    }

    /// The record of an app that has to exist.
    pub(crate) async fn existing(&self, app: &str) -> Result<AppRecord, Refused> {
        let record = self.records.app(app).await.map_err(Error::from)?;
        self.existing_or(record, app)
    }

    /// Where an app is served.
    pub(crate) fn url(&self, app: &str) -> String {
        self.at(&desired::host(app, &self.facts.domain))
    }

    /// How visitors reach a host of the cluster.
    pub(crate) fn at(&self, host: &str) -> String {
        let (scheme, port) = self.facts.public.split_once(':').unwrap_or((&self.facts.public, ""));
        if port.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") }
    }

    /// Whether the actor may do this to the app as its record is now.
    pub(crate) fn allowed(&self, actor: &Actor, verb: Verb, record: &AppRecord) -> Result<(), Refused> {
        let target = Target::App { name: &record.name, access: &record.access };
        Ok(access::decide(actor, verb, target, self.clock.unix_millis())?)
    }

    /// Leaves a line for the audit.
    pub(crate) fn audit(&self, audited: Audited) {
        // The journal has it already; a bucket that does not answer for so long is not waited for.
        if self.audits.try_send(audited).is_err() {
            tracing::warn!("a line of the audit is in the journal only: the bucket takes none");
        }
    }
}
