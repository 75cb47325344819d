//! futuswarm-local.
