//! What the edge of one node serves at the moment, for the node's heartbeat.

/// Whether an edge has its routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Serving {
    /// Whether it has every route that it can have.
    pub complete: bool,
    /// Which services it cannot serve on this node, and why, in one line.
    pub reason: Option<String>,
}
