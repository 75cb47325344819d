//! futuswarm-provision.
