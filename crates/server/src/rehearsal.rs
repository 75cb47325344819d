//! The control service over clients of any kind, for measurements: the same connections, decisions and audit as on a manager. It drives no
//! releases, and nobody's keys are its business.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use crate::control::{Facts, Tools};
use crate::records::Records;
use crate::{Control, Platform, serve, start};

/// A control service's clients.
pub struct Clients<P: Platform> {
    /// Documents of the cluster.
    pub records: Records<P::Bucket, P::Keys>,
    /// The node's Docker Engine.
    pub engine: P::Engine,
    /// The node's image registry.
    pub registry: P::Registry,
    /// The cluster's database server.
    pub databases: P::Databases,
    /// Where the old tool's objects are.
    pub old: P::Old,
    /// What time it is.
    pub clock: P::Clock,
    /// What the service knows of its cluster and its node.
    pub facts: Facts,
    /// A folder for the secrets of one-off programs.
    pub programs: PathBuf,
}

/// Answers whoever of these users connects to `listener`, for as long as the process lives.
pub async fn serve<P: Platform>(clients: Clients<P>, listener: UnixListener, uids: Vec<u32>) {
    let (audits, lines) = mpsc::channel(start::AUDITS);
    let Clients { records, engine, registry, databases, old, clock, facts, programs } = clients;
    let control = Arc::new(Control::<P> {
        records,
        engine,
        registry,
        clock,
        old,
        facts,
        drives: Default::default(),
        shares: Default::default(),
        databases,
        // No program of a database is run.
        tools: Tools { image: String::new(), archive: PathBuf::new() },
        connections: Default::default(),
        programs,
        audits,
    });
    let (_open, last) = oneshot::channel();
    tokio::spawn(start::audit(Arc::clone(&control), lines, last));
    serve::accept(control, listener, uids, std::future::pending()).await;
}
