//! futuswarm-testkit.
