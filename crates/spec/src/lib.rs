//! futuswarm-spec.
