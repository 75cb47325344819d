//! What the edge of one node serves at the moment, for the node's heartbeat.

use std::collections::BTreeSet;

/// Whether an edge has its routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// Whether it has every route that it can have.
    pub complete: bool,
    /// Which services it cannot serve on this node, and why, in one line.
    pub reason: Option<String>,
    /// The ETag of the document of routes that it has loaded; `None` before it has any.
    pub document: Option<String>,
    /// Services that it does not serve as that document says.
    pub without: BTreeSet<String>,
}
