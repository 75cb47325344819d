//! futuswarm-bake.
