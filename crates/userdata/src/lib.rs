//! futuswarm-userdata.
