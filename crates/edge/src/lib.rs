//! futuswarm-edge.
